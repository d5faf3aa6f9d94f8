// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/limits_json.h"

#include <array>
#include <utility>

#include "core/base/json.h"

namespace tenpak::jobs {
namespace {

using optimizer::Limits;
constexpr std::array<std::pair<const char*, std::optional<double> Limits::*>, 5> kFields = {{
    {"max_ppl_delta", &Limits::max_ppl_delta},
    {"max_latency_p99_ms", &Limits::max_latency_p99_ms},
    {"min_throughput_tps", &Limits::min_throughput_tps},
    {"max_memory_mb", &Limits::max_memory_mb},
    {"min_accuracy", &Limits::min_accuracy},
}};

}  // namespace

std::string limits_to_json(const Limits& limits) {
    Json j = Json::object();
    for (const auto& [key, field] : kFields) {
        if (limits.*field) j[key] = *(limits.*field);
    }
    return canonical_json(j);
}

Result<Limits> limits_from_json(const std::string& json, const std::string& where) {
    TENPAK_ASSIGN(const Json j, parse_json(json, where, {.max_bytes = 10'000, .max_depth = 4}));
    if (!j.is_object()) return make_error(ErrorCode::kMalformed, "limits must be an object", where);
    Limits out;
    for (const auto& [key, field] : kFields) {
        if (!j.contains(key)) continue;
        TENPAK_ASSIGN(out.*field, json_get<double>(j, key, where));
    }
    return out;
}

}  // namespace tenpak::jobs
