// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/model/regex.h"

#include <pcre2.h>

namespace tenpak::model {
namespace {

constexpr std::size_t kMaxPattern = 64 * 1024;

struct Free {
    void operator()(pcre2_match_data* d) const { pcre2_match_data_free(d); }
    void operator()(pcre2_match_context* c) const { pcre2_match_context_free(c); }
    void operator()(pcre2_compile_context* c) const { pcre2_compile_context_free(c); }
};

std::unique_ptr<pcre2_match_context, Free> limited_context() {
    std::unique_ptr<pcre2_match_context, Free> context(pcre2_match_context_create(nullptr));
    if (!context) return context;
    pcre2_set_match_limit(context.get(), 10'000'000);
    pcre2_set_heap_limit(context.get(), 64 * 1024);  // KiB
    return context;
}

}  // namespace

struct Regex::Impl {
    pcre2_code* code = nullptr;
    std::string pattern;
    ~Impl() { pcre2_code_free(code); }
};

Regex::Regex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

std::string Regex::escaped(std::string_view literal) {
    std::string out;
    for (const char c : literal) {
        if (std::string_view("\\^$.|?*+()[]{}-#&~").find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
    return out;
}

Result<Regex> Regex::compile(const std::string& pattern, const std::string& where) {
    if (pattern.size() > kMaxPattern) return make_error(ErrorCode::kMalformed, "a pattern is longer than 64 KiB", where);
    auto impl = std::make_unique<Impl>();
    impl->pattern = pattern;
    TENPAK_ASSIGN(const std::string spelled, translate_pattern(pattern, where));
    const std::unique_ptr<pcre2_compile_context, Free> context(pcre2_compile_context_create(nullptr));
    if (!context) return make_error(ErrorCode::kOutOfMemory, "no memory to compile a pattern");
    pcre2_set_parens_nest_limit(context.get(), 100);
    int error = 0;
    PCRE2_SIZE at = 0;
    // Ruby's ^ and $ are always those of lines.
    impl->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled.data()), spelled.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &at, context.get());
    if (impl->code == nullptr) {
        PCRE2_UCHAR message[256];
        pcre2_get_error_message(error, message, sizeof message);
        return make_error(ErrorCode::kMalformed, std::string("a pattern does not compile: ") + reinterpret_cast<const char*>(message), where + ": " + pattern);
    }
    (void)pcre2_jit_compile(impl->code, PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
    return Regex(std::move(impl));
}

Status Regex::find_all(std::string_view text, std::vector<Match>& out) const {
    // Pieces are many and short: what a match needs is kept. Groups are not asked for, so one pair of offsets is enough.
    thread_local const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create(1, nullptr));
    thread_local const std::unique_ptr<pcre2_match_context, Free> context = limited_context();
    if (!data || !context) return make_error(ErrorCode::kOutOfMemory, "no memory to match a pattern");
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t at = 0, last_end = SIZE_MAX;
    while (at <= text.size()) {
        int rc = pcre2_match(impl_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), context.get());
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
            rc = pcre2_match(impl_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), context.get());
        }
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) return make_error(ErrorCode::kMalformed, "a pattern of tokenizer.json takes too long on this text", impl_->pattern);
        const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
        if (range[1] < range[0]) return make_error(ErrorCode::kUnsupported, "a pattern's match ends before it begins", impl_->pattern);
        at = range[1];
        if (range[1] == range[0] && range[1] == last_end) {
            do ++at;  // an empty match right behind another does not count
            while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u);
            continue;
        }
        out.push_back({range[0], range[1]});
        last_end = range[1];
    }
    return {};
}

}  // namespace tenpak::model
