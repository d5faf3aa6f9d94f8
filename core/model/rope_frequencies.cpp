// SPDX-License-Identifier: Apache-2.0
#include "core/model/rope_frequencies.h"

#include <cmath>
#include <numbers>

namespace tenpak::model {
namespace {

Result<double> positive(const Json& j, const char* key, const std::string& where) {
    TENPAK_ASSIGN(const double v, json_get<double>(j, key, where));
    if (!(v > 0 && v < 1e12)) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must be a positive number", where);
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

}  // namespace

Result<std::vector<float>> rope_frequencies(const Json& config, std::uint32_t head_dim, std::uint32_t max_positions, const std::string& where) {
    const Json* scaling = nullptr;
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
        if (scaling == nullptr && config.contains(key) && !config.at(key).is_null()) scaling = &config.at(key);
    }
    if (scaling != nullptr && !scaling->is_object()) return make_error(ErrorCode::kMalformed, "\"rope_scaling\" must be an object", where);
    double theta = 10000;
    if (scaling != nullptr && scaling->contains("rope_theta")) {
        TENPAK_ASSIGN(theta, positive(*scaling, "rope_theta", where));
    } else if (config.contains("rope_theta") && !config.at("rope_theta").is_null()) {
        TENPAK_ASSIGN(theta, positive(config, "rope_theta", where));
    }
    std::string type = "default";
    if (scaling != nullptr) {
        const char* key = scaling->contains("rope_type") ? "rope_type" : scaling->contains("type") ? "type" : nullptr;
        if (key != nullptr) {
            TENPAK_ASSIGN(type, json_get<std::string>(*scaling, key, where));
        }
    }
    std::vector<float> out(head_dim / 2);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
        out[i] = 1.0f / static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    }
    if (type == "default") return out;
    if (type == "linear") {
        TENPAK_ASSIGN(const double factor, positive(*scaling, "factor", where));
        for (float& f : out) f /= static_cast<float>(factor);
        return out;
    }
    if (type == "llama3") {
        Llama3Scaling s{};
        TENPAK_ASSIGN(s.factor, positive(*scaling, "factor", where));
        TENPAK_ASSIGN(s.low, positive(*scaling, "low_freq_factor", where));
        TENPAK_ASSIGN(s.high, positive(*scaling, "high_freq_factor", where));
        s.original = max_positions;
        if (scaling->contains("original_max_position_embeddings")) {
            TENPAK_ASSIGN(s.original, positive(*scaling, "original_max_position_embeddings", where));
        }
        if (s.high <= s.low) return make_error(ErrorCode::kMalformed, "\"high_freq_factor\" must be above \"low_freq_factor\"", where);
        for (float& f : out) f = static_cast<float>(s.apply(static_cast<double>(f)));
        return out;
    }
    return make_error(ErrorCode::kUnsupported, "rope scaling \"" + type + "\" cannot be run yet", where, "Known: default, linear, llama3");
}

}  // namespace tenpak::model
