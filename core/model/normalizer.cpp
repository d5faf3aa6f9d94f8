// SPDX-License-Identifier: Apache-2.0
#include "core/model/normalizer.h"

#include <unicode/normalizer2.h>
#include <unicode/unistr.h>

namespace tenpak::model {
namespace {

constexpr int kMaxDepth = 8;

const icu::Normalizer2* instance(const std::string& form, UErrorCode& status) {
    if (form == "NFC") return icu::Normalizer2::getNFCInstance(status);
    if (form == "NFD") return icu::Normalizer2::getNFDInstance(status);
    if (form == "NFKC") return icu::Normalizer2::getNFKCInstance(status);
    return icu::Normalizer2::getNFKDInstance(status);
}

}  // namespace

Status Normalizer::add(const Json& d, const std::string& where, int depth) {
    if (depth > kMaxDepth) return make_error(ErrorCode::kMalformed, "normalizers nested too deep", where);
    TENPAK_ASSIGN(const auto type, json_get<std::string>(d, "type", where));
    if (type == "Sequence") {
        TENPAK_ASSIGN(const Json list, json_get<Json>(d, "normalizers", where));
        if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"normalizers\" must be a list", where);
        for (const Json& n : list) TENPAK_RETURN_IF_ERROR(add(n, where, depth + 1));
        return {};
    }
    if (type != "NFC" && type != "NFD" && type != "NFKC" && type != "NFKD") {
        return make_error(ErrorCode::kUnsupported, "normalizer \"" + type + "\" is not built yet", where, "Known: NFC, NFD, NFKC, NFKD and Sequences of them");
    }
    forms_.push_back(type);
    return {};
}

Result<Normalizer> Normalizer::parse(const Json& description, const std::string& where) {
    Normalizer n;
    if (!description.is_null()) TENPAK_RETURN_IF_ERROR(n.add(description, where, 0));
    return n;
}

Result<std::string> Normalizer::apply(std::string_view text) const {
    std::string current(text);
    for (const std::string& form : forms_) {
        UErrorCode status = U_ZERO_ERROR;
        const icu::Normalizer2* normalizer = instance(form, status);
        if (U_FAILURE(status)) return make_error(ErrorCode::kInternal, "ICU has no " + form + " data");
        std::string out;
        icu::StringByteSink<std::string> sink(&out);
        normalizer->normalizeUTF8(0, icu::StringPiece(current.data(), static_cast<std::int32_t>(current.size())), sink, nullptr, status);
        if (U_FAILURE(status)) return make_error(ErrorCode::kMalformed, "the text cannot be normalized to " + form);
        current = std::move(out);
    }
    return current;
}

}  // namespace tenpak::model
