// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

#include <unordered_set>
#include <vector>

#include "core/base/file.h"

namespace tenpak {
namespace {

// Refuses what a DOM would silently accept: double keys and unbounded depth. Builds through nlohmann's own DOM builder.
class StrictSax : public nlohmann::json_sax<Json> {
   public:
    StrictSax(Json& out, int max_depth) : dom_(out, false), max_depth_(max_depth) {}
    std::string problem;
    std::size_t problem_at = 0;

    bool null() override { return dom_.null(); }
    bool boolean(bool v) override { return dom_.boolean(v); }
    bool number_integer(number_integer_t v) override { return dom_.number_integer(v); }
    bool number_unsigned(number_unsigned_t v) override { return dom_.number_unsigned(v); }
    bool number_float(number_float_t v, const string_t& s) override { return dom_.number_float(v, s); }
    bool string(string_t& v) override { return dom_.string(v); }
    bool binary(binary_t& v) override { return dom_.binary(v); }
    bool start_object(std::size_t n) override {
        if (!descend()) return false;
        keys_.emplace_back();
        return dom_.start_object(n);
    }
    bool key(string_t& k) override {
        if (!keys_.back().insert(k).second) {
            problem = "the key \"" + k.substr(0, 200) + "\" is given twice";
            return false;
        }
        return dom_.key(k);
    }
    bool end_object() override {
        keys_.pop_back();
        --depth_;
        return dom_.end_object();
    }
    bool start_array(std::size_t n) override { return descend() && dom_.start_array(n); }
    bool end_array() override {
        --depth_;
        return dom_.end_array();
    }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
        problem = "not valid JSON";
        problem_at = position;
        (void)e;
        return false;
    }

   private:
    bool descend() {
        if (++depth_ <= max_depth_) return true;
        problem = "nested more than " + std::to_string(max_depth_) + " deep";
        return false;
    }
    nlohmann::detail::json_sax_dom_parser<Json> dom_;
    int max_depth_;
    int depth_ = 0;
    std::vector<std::unordered_set<std::string>> keys_;
};
}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
    if (text.size() > limits.max_bytes) {
        return make_error(ErrorCode::kMalformed, "JSON of more than " + std::to_string(limits.max_bytes) + " bytes", where);
    }
    if (!is_valid_utf8(text)) return make_error(ErrorCode::kMalformed, "JSON that is not UTF-8", where);
    // The lexer takes NUL for the end of its input and skips a byte order mark: both would hide bytes from a second reader.
    if (text.find('\0') != text.npos || text.starts_with("\xef\xbb\xbf")) {
        return make_error(ErrorCode::kMalformed, "not valid JSON (NUL or byte order mark)", where);
    }
    Json j;
    StrictSax sax(j, limits.max_depth);
    if (!Json::sax_parse(text.begin(), text.end(), &sax)) {
        std::string at = where;
        if (sax.problem_at > 0) at += ", byte " + std::to_string(sax.problem_at);
        return make_error(ErrorCode::kMalformed, sax.problem.empty() ? "not valid JSON" : sax.problem, at);
    }
    return j;
}

std::string canonical_json(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace tenpak
