// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/recorded_sweep.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/jobs/limits_json.h"
#include "core/jobs/process_identity.h"

namespace tenpak::jobs {
namespace {

constexpr const char* kFormat = "tenpak-recorded-sweep-1";
std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

}  // namespace

Status save_recorded_sweep(const std::filesystem::path& path, RecordedSweep sweep) {
    sweep.spec.model_path = file_name(sweep.spec.model_path);
    sweep.spec.text_path = file_name(sweep.spec.text_path);
    sweep.spec.calibration_path = file_name(sweep.spec.calibration_path);
    sweep.spec.tasks_path = file_name(sweep.spec.tasks_path);
    Json trials = Json::array();
    bool any = false;
    for (const optimizer::Trial& t : sweep.trials) {
        if (t.status == optimizer::TrialStatus::kDone) {
            any = true;
            if (sweep.device.empty()) sweep.device = t.device;
        }
        TENPAK_ASSIGN(Json j, parse_json(trial_to_json(t), "trial"));
        trials.push_back(std::move(j));
    }
    if (!any) return make_error(ErrorCode::kInvalidArgument, "a sweep without a finished trial is not worth recording", path.string());
    TENPAK_ASSIGN(Json spec, parse_json(sweep_spec_json(sweep.spec), "spec"));
    TENPAK_ASSIGN(Json limits, parse_json(limits_to_json(sweep.limits), "limits"));
    const Json doc = {{"format", kFormat}, {"program", std::string("tenpak ") + TENPAK_VERSION}, {"recorded_at", now_rfc3339()}, {"device", sweep.device},
                      {"hardware", sweep.hardware}, {"limits", std::move(limits)}, {"spec", std::move(spec)}, {"trials", std::move(trials)}};
    const std::string text = doc.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
    return write_file_atomic(path, as_bytes(text));
}

Result<RecordedSweep> load_recorded_sweep(const std::filesystem::path& path) {
    const std::string where = path.string();
    TENPAK_ASSIGN(const std::string text, read_text_file(path, 64u << 20));
    TENPAK_ASSIGN(const Json doc, parse_json(text, where, {.max_bytes = 64u << 20, .max_depth = 10}));
    TENPAK_ASSIGN(const std::string format, json_get<std::string>(doc, "format", where));
    if (format != kFormat) return make_error(ErrorCode::kUnsupported, "not a recorded sweep that this program reads (\"" + format.substr(0, 60) + "\")", where);
    RecordedSweep r;
    TENPAK_ASSIGN(r.program, json_get<std::string>(doc, "program", where));
    TENPAK_ASSIGN(r.recorded_at, json_get<std::string>(doc, "recorded_at", where));
    TENPAK_ASSIGN(r.device, json_get<std::string>(doc, "device", where));
    TENPAK_ASSIGN(r.hardware, json_get<std::string>(doc, "hardware", where));
    TENPAK_ASSIGN(const Json limits, json_get<Json>(doc, "limits", where));
    TENPAK_ASSIGN(r.limits, limits_from_json(canonical_json(limits), where));
    TENPAK_ASSIGN(const Json spec, json_get<Json>(doc, "spec", where));
    TENPAK_ASSIGN(r.spec, sweep_spec_from_json(canonical_json(spec), where));
    TENPAK_ASSIGN(const Json trials, json_get<Json>(doc, "trials", where));
    if (!trials.is_array() || trials.size() > 100'000) return make_error(ErrorCode::kMalformed, "\"trials\" must be an array", where);
    for (const Json& t : trials) {
        TENPAK_ASSIGN(optimizer::Trial trial, trial_from_json(canonical_json(t), where));
        trial.provenance = optimizer::Provenance::kRecorded;
        r.trials.push_back(std::move(trial));
    }
    return r;
}

}  // namespace tenpak::jobs
