// SPDX-License-Identifier: Apache-2.0
#include "core/model/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace tenpak::model {
namespace {

constexpr const char* kKnown = "Known: default, linear, dynamic, yarn, llama3, longrope (su)";

bool present(const Json& j, const char* key) { return j.contains(key) && !j.at(key).is_null(); }

Result<double> positive(const Json& j, const char* key, const std::string& where) {
    TENPAK_ASSIGN(const double v, json_get<double>(j, key, where));
    if (!(v > 0 && v < 1e12)) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must be a positive number", where);
    return v;
}
Result<double> positive_or(const Json& j, const char* key, double fallback, const std::string& where) {
    if (!present(j, key)) return fallback;
    return positive(j, key, where);
}

/// theta^(2i/dim), rounded as fp32 arithmetic rounds it.
std::vector<float> powers(double theta, std::uint32_t dim) {
    std::vector<float> out(dim / 2);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
        out[i] = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    }
    return out;
}
std::vector<float> inverse(std::vector<float> v) {
    for (float& f : v) f = 1.0f / f;
    return v;
}

/// Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended.
struct Llama3Scaling {
    double factor, low, high, original;
    double apply(double f) const {
        const double wavelength = 2 * std::numbers::pi / f;
        if (wavelength > original / low) return f / factor;
        if (wavelength < original / high) return f;
        const double smooth = (original / wavelength - low) / (high - low);
        return (1 - smooth) * f / factor + smooth * f;
    }
};

/// YaRN (arXiv 2309.00071): dimensions that turn more than beta_fast times over the original context are kept, those
/// that turn less than beta_slow times are stretched, a ramp between.
struct Yarn {
    double factor, beta_fast = 32, beta_slow = 1, original;
    bool truncate = true;
    void apply(Rope& rope) const {
        const auto dimension = [&](double turns) { return rope.dim * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(rope.theta)); };
        double low = dimension(beta_fast), high = dimension(beta_slow);
        if (truncate) {
            low = std::floor(low);
            high = std::ceil(high);
        }
        low = std::max(low, 0.0);
        high = std::min(high, static_cast<double>(rope.dim) - 1);
        if (low == high) high += 0.001;
        const auto p = powers(rope.theta, rope.dim);
        for (std::size_t i = 0; i < p.size(); ++i) {
            const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
            rope.short_frequencies[i] = static_cast<float>((ramp / factor + (1 - ramp)) / static_cast<double>(p[i]));
        }
    }
};
double yarn_scale(double factor, double m) { return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0; }

/// The scaling part of config.json under way.
struct Reader {
    const Json& scaling;
    const std::string& where;
    double max_positions, original;

    Result<double> factor_or_ratio() const { return positive_or(scaling, "factor", max_positions / original, where); }

    Status yarn(Rope& rope) const {
        Yarn y{};
        y.original = original;
        TENPAK_ASSIGN(y.factor, factor_or_ratio());
        TENPAK_ASSIGN(y.beta_fast, positive_or(scaling, "beta_fast", 32, where));
        TENPAK_ASSIGN(y.beta_slow, positive_or(scaling, "beta_slow", 1, where));
        if (present(scaling, "truncate")) {
            TENPAK_ASSIGN(y.truncate, json_get<bool>(scaling, "truncate", where));
        }
        if (rope.theta <= 1) return make_error(ErrorCode::kMalformed, "\"rope_theta\" must be above 1", where);
        double fallback = yarn_scale(y.factor, 1);
        if (present(scaling, "mscale") && present(scaling, "mscale_all_dim")) {
            TENPAK_ASSIGN(const double m, json_get<double>(scaling, "mscale", where));
            TENPAK_ASSIGN(const double all, json_get<double>(scaling, "mscale_all_dim", where));
            if (m > 0 && all > 0) fallback = yarn_scale(y.factor, m) / yarn_scale(y.factor, all);
        }
        TENPAK_ASSIGN(const double attention, positive_or(scaling, "attention_factor", fallback, where));
        rope.attention_factor = static_cast<float>(attention);
        y.apply(rope);
        return {};
    }

    Status llama3(Rope& rope) const {
        Llama3Scaling s{};
        TENPAK_ASSIGN(s.factor, positive(scaling, "factor", where));
        TENPAK_ASSIGN(s.low, positive(scaling, "low_freq_factor", where));
        TENPAK_ASSIGN(s.high, positive(scaling, "high_freq_factor", where));
        s.original = original;
        if (s.high <= s.low) return make_error(ErrorCode::kMalformed, "\"high_freq_factor\" must be above \"low_freq_factor\"", where);
        for (float& f : rope.short_frequencies) f = static_cast<float>(s.apply(static_cast<double>(f)));
        return {};
    }

    /// LongRoPE (arXiv 2402.13753): a divisor a dimension, one set for contexts up to the original one, one beyond.
    Status longrope(Rope& rope) const {
        rope.kind = Rope::Kind::kLong;
        rope.original = static_cast<std::uint32_t>(original);
        TENPAK_ASSIGN(const double factor, factor_or_ratio());
        const double fallback = factor <= 1 || original <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
        TENPAK_ASSIGN(const double attention, positive_or(scaling, "attention_factor", fallback, where));
        rope.attention_factor = static_cast<float>(attention);
        const auto p = powers(rope.theta, rope.dim);
        rope.long_frequencies.resize(p.size());
        for (auto [key, out] : {std::pair{"short_factor", &rope.short_frequencies}, {"long_factor", &rope.long_frequencies}}) {
            TENPAK_ASSIGN(const Json list, json_get<Json>(scaling, key, where));
            if (!list.is_array() || list.size() != p.size()) {
                return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must be a list of " + std::to_string(p.size()) + " numbers", where);
            }
            for (std::size_t i = 0; i < p.size(); ++i) {
                const double f = list[i].is_number() ? list[i].get<double>() : 0;
                if (!(f > 0 && f < 1e12)) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must hold positive numbers", where);
                (*out)[i] = 1.0f / (static_cast<float>(f) * p[i]);
            }
        }
        return {};
    }
};

}  // namespace

std::uint32_t Rope::variant(std::uint32_t context) const {
    if (kind == Kind::kFixed || context <= original) return 0;
    return kind == Kind::kLong ? 1 : context;
}

std::vector<float> Rope::frequencies(std::uint32_t variant) const {
    if (variant == 0) return short_frequencies;
    if (kind == Kind::kLong) return long_frequencies;
    const double ratio = factor * variant / original - (factor - 1);
    return inverse(powers(theta * std::pow(ratio, static_cast<double>(dim) / (dim - 2.0)), dim));
}

Result<Rope> read_rope(const Json& config, std::uint32_t head_dim, std::uint32_t max_positions, const RopeDefaults& defaults, const std::string& where) {
    const Json none = Json::object();
    const Json* scaling = nullptr;
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
        if (scaling == nullptr && present(config, key)) scaling = &config.at(key);
    }
    if (scaling == nullptr) scaling = &none;
    if (!scaling->is_object()) return make_error(ErrorCode::kMalformed, "\"rope_scaling\" must be an object", where);
    for (const auto& [key, value] : scaling->items()) {
        if (value.is_object()) return make_error(ErrorCode::kUnsupported, "rotary embedding that differs between kinds of layers (\"" + key + "\") cannot be run yet", where);
    }
    Rope rope;
    TENPAK_ASSIGN(const double theta, positive_or(config, defaults.theta_key, defaults.theta, where));
    TENPAK_ASSIGN(rope.theta, positive_or(*scaling, "rope_theta", theta, where));
    TENPAK_ASSIGN(const double outer, positive_or(config, defaults.partial_key, defaults.partial, where));
    TENPAK_ASSIGN(const double partial, positive_or(*scaling, "partial_rotary_factor", outer, where));
    rope.dim = partial > 1 ? 0 : static_cast<std::uint32_t>(head_dim * partial);
    if (rope.dim < 2 || rope.dim % 2 != 0) {
        return make_error(ErrorCode::kMalformed, "a rotated part of " + std::to_string(head_dim * partial) + " of " + std::to_string(head_dim) + " values a head is not possible", where);
    }
    std::string type = "default";
    const char* key = present(*scaling, "rope_type") ? "rope_type" : present(*scaling, "type") ? "type" : nullptr;
    if (key != nullptr) {
        TENPAK_ASSIGN(type, json_get<std::string>(*scaling, key, where));
    }
    if (type == "su" || (type == "yarn" && defaults.yarn_means_long)) type = "longrope";
    rope.short_frequencies = inverse(powers(rope.theta, rope.dim));
    if (type == "default") return rope;

    Reader reader{*scaling, where, static_cast<double>(max_positions), 0};
    TENPAK_ASSIGN(const double inner, positive_or(*scaling, "original_max_position_embeddings", defaults.original != 0 ? defaults.original : max_positions, where));
    // One beside the scaling counts more, as in transformers (Phi-3).
    TENPAK_ASSIGN(reader.original, positive_or(config, "original_max_position_embeddings", defaults.original != 0 ? defaults.original : inner, where));
    if (type == "linear") {
        TENPAK_ASSIGN(const double factor, positive(*scaling, "factor", where));
        for (float& f : rope.short_frequencies) f /= static_cast<float>(factor);
    } else if (type == "dynamic") {
        rope.kind = Rope::Kind::kDynamic;
        rope.original = max_positions;
        TENPAK_ASSIGN(rope.factor, positive(*scaling, "factor", where));
        if (rope.dim < 4 || rope.factor < 1) return make_error(ErrorCode::kMalformed, "dynamic rope scaling needs a factor of at least 1 and 4 rotated values", where);
    } else if (type == "yarn") {
        TENPAK_RETURN_IF_ERROR(reader.yarn(rope));
    } else if (type == "llama3") {
        TENPAK_RETURN_IF_ERROR(reader.llama3(rope));
    } else if (type == "longrope") {
        TENPAK_RETURN_IF_ERROR(reader.longrope(rope));
    } else {
        return make_error(ErrorCode::kUnsupported, "rope scaling \"" + type + "\" cannot be run yet", where, kKnown);
    }
    return rope;
}

}  // namespace tenpak::model
