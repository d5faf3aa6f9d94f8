// SPDX-License-Identifier: Apache-2.0
// The messages between `tenpak worker` and its parent, one JSON object a line.
//   parent -> worker  {"type":"start","protocol":1,"candidate":C,"attempt":N,"reference":F,"checkpoints":D,"spec":"…"}   then perhaps {"type":"cancel"}
//   worker -> parent  {"type":"hello","protocol":1}, {"type":"heartbeat"}, {"type":"progress","phase":P,"fraction":F},
//                     and at the end {"type":"result","trial":"…"} or {"type":"error","code":C,"what":…,"where":…,"hint":…}
#pragma once
#include <string>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/jobs/sweep.h"
#include "core/optimizer/trial.h"

namespace tenpak::jobs {

struct StartMessage {
    int protocol = 0;
    SweepSpec spec;
    std::string candidate;
    unsigned attempt = 1;
    std::string reference;  ///< file of fp16's predictions: fp16 writes it, the others read it. Empty: none
    std::string checkpoints;  ///< folder of quantized layers, shared by the sweep's candidates. Empty: none
};
std::string start_message(const StartMessage& m);
Result<StartMessage> parse_start(const std::string& line);

/// What a worker says. Which fields count depends on `type`.
struct WorkerMessage {
    enum class Type { kHello, kHeartbeat, kProgress, kResult, kError } type = Type::kHeartbeat;
    int protocol = 0;
    std::string phase;
    double fraction = 0;
    optimizer::Trial trial;
    Error error;
};
std::string hello_message(int protocol);
std::string heartbeat_message();
std::string progress_message(const std::string& phase, double fraction);
std::string result_message(const optimizer::Trial& trial);
std::string error_message(const Error& error);
Result<WorkerMessage> parse_worker_message(const std::string& line);

}  // namespace tenpak::jobs
