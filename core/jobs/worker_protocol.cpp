// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/worker_protocol.h"

#include <algorithm>
#include <cmath>

#include "core/jobs/line_channel.h"

namespace tenpak::jobs {
namespace {

constexpr const char* kWhere = "worker channel";
constexpr std::size_t kMaxText = 4000, kMaxPhase = 64;

Result<std::string> short_text(const Json& j, const char* key, std::size_t cap) {
    TENPAK_ASSIGN(std::string s, json_get<std::string>(j, key, kWhere));
    if (s.size() > cap) s.resize(cap);
    return s;
}
Result<int> protocol_of(const Json& j) {
    TENPAK_ASSIGN(const auto v, json_get<std::uint64_t>(j, "protocol", kWhere));
    return static_cast<int>(std::min<std::uint64_t>(v, 1'000'000));
}

}  // namespace

std::string start_message(const StartMessage& m) {
    return canonical_json({{"type", "start"}, {"protocol", m.protocol}, {"candidate", m.candidate}, {"attempt", m.attempt}, {"reference", m.reference}, {"checkpoints", m.checkpoints}, {"spec", sweep_spec_json(m.spec)}});
}

Result<StartMessage> parse_start(const std::string& line) {
    TENPAK_ASSIGN(const Json j, parse_json(line, kWhere, {.max_bytes = kMaxLine, .max_depth = 4}));
    TENPAK_ASSIGN(const std::string type, json_get<std::string>(j, "type", kWhere));
    if (type != "start") return make_error(ErrorCode::kMalformed, "expected a start message", kWhere);
    StartMessage m;
    TENPAK_ASSIGN(m.protocol, protocol_of(j));
    TENPAK_ASSIGN(m.candidate, json_get<std::string>(j, "candidate", kWhere));
    TENPAK_ASSIGN(const auto attempt, json_get<std::uint64_t>(j, "attempt", kWhere));
    m.attempt = static_cast<unsigned>(std::min<std::uint64_t>(attempt, 1'000'000));
    if (j.contains("checkpoints")) {
        TENPAK_ASSIGN(m.checkpoints, json_get<std::string>(j, "checkpoints", kWhere));
    }
    if (j.contains("reference")) {
        TENPAK_ASSIGN(m.reference, json_get<std::string>(j, "reference", kWhere));
    }
    TENPAK_ASSIGN(const std::string spec, json_get<std::string>(j, "spec", kWhere));
    TENPAK_ASSIGN(m.spec, sweep_spec_from_json(spec, kWhere));
    return m;
}

std::string hello_message(int protocol) { return canonical_json({{"type", "hello"}, {"protocol", protocol}}); }
std::string heartbeat_message() { return canonical_json({{"type", "heartbeat"}}); }
std::string progress_message(const std::string& phase, double fraction) {
    return canonical_json({{"type", "progress"}, {"phase", phase}, {"fraction", fraction}});
}
std::string result_message(const optimizer::Trial& trial) { return canonical_json({{"type", "result"}, {"trial", trial_to_json(trial)}}); }
std::string error_message(const Error& e) {
    return canonical_json({{"type", "error"}, {"code", error_code_name(e.code)}, {"what", e.what}, {"where", e.where}, {"hint", e.hint}});
}

Result<WorkerMessage> parse_worker_message(const std::string& line) {
    TENPAK_ASSIGN(const Json j, parse_json(line, kWhere, {.max_bytes = kMaxLine, .max_depth = 4}));
    TENPAK_ASSIGN(const std::string type, json_get<std::string>(j, "type", kWhere));
    WorkerMessage m;
    if (type == "heartbeat") return m;
    if (type == "hello") {
        m.type = WorkerMessage::Type::kHello;
        TENPAK_ASSIGN(m.protocol, protocol_of(j));
    } else if (type == "progress") {
        m.type = WorkerMessage::Type::kProgress;
        TENPAK_ASSIGN(m.phase, short_text(j, "phase", kMaxPhase));
        TENPAK_ASSIGN(m.fraction, json_get<double>(j, "fraction", kWhere));
        m.fraction = std::isfinite(m.fraction) ? std::clamp(m.fraction, 0.0, 1.0) : 0;
    } else if (type == "result") {
        m.type = WorkerMessage::Type::kResult;
        TENPAK_ASSIGN(const std::string trial, json_get<std::string>(j, "trial", kWhere));
        TENPAK_ASSIGN(m.trial, trial_from_json(trial, kWhere));
    } else if (type == "error") {
        m.type = WorkerMessage::Type::kError;
        TENPAK_ASSIGN(const std::string code, json_get<std::string>(j, "code", kWhere));
        m.error.code = ErrorCode::kInternal;
        for (int i = 0; i < kErrorCodeCount; ++i) {
            if (code == error_code_name(static_cast<ErrorCode>(i))) m.error.code = static_cast<ErrorCode>(i);
        }
        TENPAK_ASSIGN(m.error.what, short_text(j, "what", kMaxText));
        TENPAK_ASSIGN(m.error.where, short_text(j, "where", kMaxText));
        TENPAK_ASSIGN(m.error.hint, short_text(j, "hint", kMaxText));
    } else {
        return make_error(ErrorCode::kMalformed, "a message of unknown type", kWhere);
    }
    return m;
}

}  // namespace tenpak::jobs
