// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/jobs/sweep.h"

namespace tenpak::jobs {
namespace {

constexpr std::size_t kMaxCandidates = 10'000, kMaxBatches = 64;

Json to_json(const SweepSpec& s) {
    Json j = {{"model", s.model_path}, {"text", s.text_path}, {"calibration", s.calibration_path}, {"candidates", s.candidates},
            {"eval_samples", s.eval_samples}, {"context", s.context}, {"batches", s.batches}, {"timing_samples", s.timing_samples},
            {"timing_seconds", s.timing_seconds}, {"backend", s.backend}, {"model_fingerprint", s.model_fingerprint}, {"device", s.device}};
    if (!s.base_path.empty()) j["base"] = s.base_path;
    if (!s.tasks_path.empty()) j["tasks"] = s.tasks_path;
    if (s.split_text) j["split_text"] = true;
    for (const ImportedModel& m : s.imports) j["imports"].push_back({{"name", m.name}, {"path", m.path}, {"fingerprint", m.fingerprint}});
    return j;
}

}  // namespace

std::string sweep_spec_json(const SweepSpec& spec) { return canonical_json(to_json(spec)); }

Result<SweepSpec> sweep_spec_from_json(const std::string& json, const std::string& where) {
    TENPAK_ASSIGN(const Json j, parse_json(json, where, {.max_bytes = 4'000'000, .max_depth = 4}));
    SweepSpec s;
    TENPAK_ASSIGN(s.model_path, json_get<std::string>(j, "model", where));
    if (j.contains("base")) {
        TENPAK_ASSIGN(s.base_path, json_get<std::string>(j, "base", where));
    }
    if (j.contains("tasks")) {
        TENPAK_ASSIGN(s.tasks_path, json_get<std::string>(j, "tasks", where));
    }
    TENPAK_ASSIGN(s.text_path, json_get<std::string>(j, "text", where));
    TENPAK_ASSIGN(s.calibration_path, json_get<std::string>(j, "calibration", where));
    TENPAK_ASSIGN(s.backend, json_get<std::string>(j, "backend", where));
    TENPAK_ASSIGN(s.model_fingerprint, json_get<std::string>(j, "model_fingerprint", where));
    TENPAK_ASSIGN(s.device, json_get<std::string>(j, "device", where));
    const auto small = [&](const char* key, std::uint32_t& out) -> Status {
        TENPAK_ASSIGN(const auto v, json_get<std::uint64_t>(j, key, where));
        if (v > 1u << 30) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" is too large", where);
        out = static_cast<std::uint32_t>(v);
        return {};
    };
    TENPAK_RETURN_IF_ERROR(small("eval_samples", s.eval_samples));
    TENPAK_RETURN_IF_ERROR(small("context", s.context));
    TENPAK_ASSIGN(s.timing_samples, json_get<std::uint64_t>(j, "timing_samples", where));
    TENPAK_ASSIGN(s.timing_seconds, json_get<double>(j, "timing_seconds", where));
    if (!(s.timing_seconds >= 0) || s.timing_samples > 1u << 30) return make_error(ErrorCode::kMalformed, "timing limits out of range", where);
    TENPAK_ASSIGN(const Json candidates, json_get<Json>(j, "candidates", where));
    if (!candidates.is_array() || candidates.size() > kMaxCandidates) return make_error(ErrorCode::kMalformed, "\"candidates\" must be an array", where);
    for (const Json& c : candidates) {
        if (!c.is_string()) return make_error(ErrorCode::kMalformed, "\"candidates\" must hold strings", where);
        s.candidates.push_back(c.get<std::string>());
    }
    s.split_text = j.value("split_text", Json(false)) == Json(true);
    const Json imports = j.value("imports", Json::array());
    if (!imports.is_array() || imports.size() > kMaxCandidates) return make_error(ErrorCode::kMalformed, "\"imports\" must be an array", where);
    for (const Json& i : imports) {
        ImportedModel m;
        TENPAK_ASSIGN(m.name, json_get<std::string>(i, "name", where));
        TENPAK_ASSIGN(m.path, json_get<std::string>(i, "path", where));
        TENPAK_ASSIGN(m.fingerprint, json_get<std::string>(i, "fingerprint", where));
        s.imports.push_back(std::move(m));
    }
    TENPAK_ASSIGN(const Json batches, json_get<Json>(j, "batches", where));
    if (!batches.is_array() || batches.size() > kMaxBatches) return make_error(ErrorCode::kMalformed, "\"batches\" must be an array", where);
    s.batches.clear();
    for (const Json& b : batches) {
        if (!b.is_number_unsigned() || b.get<std::uint64_t>() < 1 || b.get<std::uint64_t>() > 65536) {
            return make_error(ErrorCode::kMalformed, "\"batches\" must hold numbers from 1 to 65536", where);
        }
        s.batches.push_back(b.get<std::uint32_t>());
    }
    return s;
}

std::string sweep_result_key(const SweepSpec& spec) {
    Json j = to_json(spec);
    j.erase("candidates");
    j.erase("imports");
    j["program"] = TENPAK_VERSION;
    return to_hex(sha256(as_bytes(canonical_json(j))));
}

JobRecord make_sweep_job(const SweepSpec& spec, const optimizer::Limits& limits, const std::string& hardware) {
    JobRecord job;
    job.kind = "sweep";
    job.title = std::filesystem::path(spec.model_path).filename().string();
    job.spec_json = sweep_spec_json(spec);
    job.result_key = sweep_result_key(spec);
    job.limits = limits;
    job.hardware = hardware;
    return job;
}

}  // namespace tenpak::jobs
