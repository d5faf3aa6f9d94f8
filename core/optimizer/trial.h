// SPDX-License-Identifier: Apache-2.0
// One trial of a sweep as every view, the store, the CLI and the server see it: an immutable value.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace tenpak::optimizer {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

enum class TrialStatus { kQueued, kRunning, kDone, kFailed };
enum class Provenance { kMeasured, kProjected, kRecorded };
const char* trial_status_name(TrialStatus s);  ///< "queued", "running", "done", "failed"
const char* provenance_name(Provenance p);     ///< "measured", "projected", "recorded"

/// Fewer samples than these claim no p99 (design section 4).
inline constexpr std::uint64_t kMinP99Samples = 300;

/// Timing at one batch size.
struct BatchPoint {
    std::uint32_t batch = 1;
    double p50_ms = kUnknown, p95_ms = kUnknown, p99_ms = kUnknown;
    double throughput_tps = kUnknown;
    std::uint64_t samples = 0;  ///< decode steps; p99 is NaN below kMinP99Samples
    double variation = kUnknown;
};

/// What was measured. NaN where it was not.
struct Metrics {
    double perplexity = kUnknown;
    double ppl_delta = kUnknown, ppl_delta_low = kUnknown, ppl_delta_high = kUnknown;  ///< percent of fp16, paired 95 %
    double kl_divergence = kUnknown, top1_agreement = kUnknown;                         ///< against fp16; fraction 0..1
    std::uint64_t eval_tokens = 0;
    std::uint32_t eval_windows = 0, eval_context = 0;
    std::string convention;
    std::vector<BatchPoint> batches;           ///< ascending batch
    double time_to_first_token_ms = kUnknown, prefill_tps = kUnknown, bandwidth_fraction = kUnknown;
    double accuracy = kUnknown, accuracy_error = kUnknown;  ///< percent, and its standard error
    std::uint32_t accuracy_items = 0;
    /// Tokens per second over fp16's, both run in turn at the largest batch, and the 95 % interval: unlike two trials'
    /// throughputs it does not depend on what the machine did between them.
    double speed_vs_fp16 = kUnknown, speed_vs_fp16_low = kUnknown, speed_vs_fp16_high = kUnknown;
    bool noisy = false;                        ///< a batch stayed too noisy to rank by, after repeated runs
    std::uint64_t memory_bytes = 0, stored_bytes = 0;  ///< 0: not measured
    double compression = kUnknown;             ///< 16-bit weight bytes over stored bytes
    double bits_per_weight = kUnknown;
    std::vector<double> layer_error;           ///< mean relative output error per decoder layer
    std::vector<double> window_nll;            ///< for pairing; fp16's own as well
    std::vector<std::string> notes, kernels;
    double quantize_seconds = kUnknown, evaluate_seconds = kUnknown, timing_seconds = kUnknown;
    double total_seconds = kUnknown;           ///< of the whole trial: loading, all measurements, the comparison with fp16
};

/// ui-design section 11 calls this TrialUpdate.
struct Trial {
    std::string id;         ///< stable; equals the candidate's name within one job
    std::string candidate;
    TrialStatus status = TrialStatus::kQueued;
    std::string phase;      ///< "load", "quantize", "perplexity", "timing"
    double fraction = 0;    ///< of the phase
    Metrics metrics;
    Provenance provenance = Provenance::kMeasured;
    std::string device;       ///< "CPU, 2 cores, AVX-512 VNNI, AMX"
    std::string measured_at;  ///< RFC 3339, UTC
    std::string error;        ///< Error::text() when failed
    std::string error_code;
    unsigned attempts = 0;
};

}  // namespace tenpak::optimizer
