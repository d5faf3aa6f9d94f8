// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/model/regex.h"

#include <pcre2.h>

namespace tenpak::model {

struct Regex::Impl {
    pcre2_code* code = nullptr;
    std::string pattern;
    ~Impl() { pcre2_code_free(code); }
};

Regex::Regex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

std::string with_unicode_space(const std::string& pattern) {
    static const std::string kSpace = "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
    std::string out;
    bool in_class = false;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (c == '\\' && i + 1 < pattern.size()) {
            const char e = pattern[++i];
            if (e == 's') out += in_class ? kSpace : "[" + kSpace + "]";
            else if (e == 'S' && !in_class) out += "[^" + kSpace + "]";
            else out += {c, e};
            continue;
        }
        if (c == '[' && !in_class) in_class = true;
        else if (c == ']' && in_class) in_class = false;
        out += c;
    }
    return out;
}

Result<Regex> Regex::compile(const std::string& pattern, const std::string& where) {
    auto impl = std::make_unique<Impl>();
    impl->pattern = pattern;
    const std::string spelled = with_unicode_space(pattern);
    int error = 0;
    PCRE2_SIZE at = 0;
    impl->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled.data()), spelled.size(), PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
    if (impl->code == nullptr) {
        PCRE2_UCHAR message[256];
        pcre2_get_error_message(error, message, sizeof message);
        return make_error(ErrorCode::kMalformed, std::string("a pattern does not compile: ") + reinterpret_cast<const char*>(message), where);
    }
    (void)pcre2_jit_compile(impl->code, PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
    return Regex(std::move(impl));
}

Result<std::vector<Regex::Match>> Regex::find_all(std::string_view text) const {
    std::vector<Match> found;
    struct Free {
        void operator()(pcre2_match_data* d) const { pcre2_match_data_free(d); }
        void operator()(pcre2_match_context* c) const { pcre2_match_context_free(c); }
    };
    const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create_from_pattern(impl_->code, nullptr));
    const std::unique_ptr<pcre2_match_context, Free> context(pcre2_match_context_create(nullptr));
    if (!data || !context) return make_error(ErrorCode::kOutOfMemory, "no memory to match a pattern");
    pcre2_set_match_limit(context.get(), 10'000'000);
    pcre2_set_heap_limit(context.get(), 64 * 1024);  // KiB
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t at = 0;
    while (at < text.size()) {
        int rc = pcre2_match(impl_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), context.get());
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
            rc = pcre2_match(impl_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), context.get());
        }
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) return make_error(ErrorCode::kMalformed, "a pattern of tokenizer.json takes too long on this text", impl_->pattern);
        const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
        if (range[1] > range[0]) {
            found.push_back({range[0], range[1]});
            at = range[1];
        } else {
            at = range[1] + 1;  // an empty match: go on behind the character
            while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u) ++at;
        }
    }
    return found;
}

}  // namespace tenpak::model
