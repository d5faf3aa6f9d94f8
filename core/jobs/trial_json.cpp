// SPDX-License-Identifier: Apache-2.0
// A Trial as JSON: in the store, over the worker's channel, in recorded sweeps. Unknown numbers are null; keys that are
// absent keep their defaults, keys that are not known are ignored, so that an older program reads a newer one's results.
#include <cmath>

#include "core/base/json.h"
#include "core/jobs/job_store.h"

namespace tenpak::jobs {
namespace {

using optimizer::BatchPoint;
using optimizer::Metrics;
using optimizer::Trial;

constexpr std::size_t kMaxArray = 1'000'000, kMaxString = 100'000;

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }
Json numbers(const std::vector<double>& v) {
    Json a = Json::array();
    for (const double d : v) a.push_back(number(d));
    return a;
}

// Reads typed fields of one object; the first that does not fit makes status() an error.
class Reader {
   public:
    Reader(const Json& object, const std::string& where) : object_(object), where_(where) {
        if (!object.is_object()) bad("trial", "is no object");
    }
    Status status() const { return problem_ ? Status(*problem_) : Status(); }

    void get(const char* key, double& out) {
        const Json* v = find(key);
        if (v == nullptr) return;
        if (v->is_null()) out = optimizer::kUnknown;
        else if (v->is_number()) out = v->get<double>();
        else bad(key, "must be a number or null");
    }
    void get(const char* key, bool& out) {
        const Json* v = find(key);
        if (v == nullptr) return;
        if (v->is_boolean()) out = v->get<bool>();
        else bad(key, "must be true or false");
    }
    void get(const char* key, std::uint64_t& out) {
        const Json* v = find(key);
        if (v == nullptr) return;
        if (v->is_number_unsigned()) out = v->get<std::uint64_t>();
        else bad(key, "must be a non-negative integer");
    }
    void get(const char* key, std::uint32_t& out) {
        std::uint64_t wide = out;
        get(key, wide);
        if (wide > UINT32_MAX) bad(key, "is too large");
        else out = static_cast<std::uint32_t>(wide);
    }
    void get(const char* key, std::string& out) {
        const Json* v = find(key);
        if (v == nullptr) return;
        if (v->is_string() && v->get_ref<const std::string&>().size() <= kMaxString) out = v->get<std::string>();
        else bad(key, "must be a string of at most 100000 bytes");
    }
    void get(const char* key, std::vector<double>& out) {
        const Json* v = array(key);
        if (v == nullptr) return;
        out.clear();
        for (const Json& e : *v) {
            if (!e.is_number() && !e.is_null()) return bad(key, "must hold numbers or null");
            out.push_back(e.is_null() ? optimizer::kUnknown : e.get<double>());
        }
    }
    void get(const char* key, std::vector<std::string>& out) {
        const Json* v = array(key);
        if (v == nullptr) return;
        out.clear();
        for (const Json& e : *v) {
            if (!e.is_string() || e.get_ref<const std::string&>().size() > kMaxString) return bad(key, "must hold strings");
            out.push_back(e.get<std::string>());
        }
    }
    const Json* array(const char* key) {
        const Json* v = find(key);
        if (v != nullptr && (!v->is_array() || v->size() > kMaxArray)) {
            bad(key, "must be an array of at most 1000000 elements");
            return nullptr;
        }
        return v;
    }
    const Json* find(const char* key) {
        if (problem_) return nullptr;
        const auto it = object_.find(key);
        return it == object_.end() ? nullptr : &*it;
    }
    void bad(const char* key, const char* why) {
        if (!problem_) problem_ = make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" " + why, where_);
    }

   private:
    const Json& object_;
    const std::string& where_;
    std::optional<Error> problem_;
};

template <class Names, class T>
void read_name(Reader& r, const char* key, Names name_of, T last, T& out) {
    std::string s;
    r.get(key, s);
    for (int i = 0; i <= static_cast<int>(last); ++i) {
        if (s == name_of(static_cast<T>(i))) {
            out = static_cast<T>(i);
            return;
        }
    }
    r.bad(key, "has an unknown value");
}

Json metrics_json(const Metrics& m) {
    Json batches = Json::array();
    for (const BatchPoint& b : m.batches) {
        batches.push_back({{"batch", b.batch}, {"p50_ms", number(b.p50_ms)}, {"p95_ms", number(b.p95_ms)}, {"p99_ms", number(b.p99_ms)},
                           {"throughput_tps", number(b.throughput_tps)}, {"samples", b.samples}, {"variation", number(b.variation)}});
    }
    return {{"perplexity", number(m.perplexity)}, {"ppl_delta", number(m.ppl_delta)}, {"ppl_delta_low", number(m.ppl_delta_low)},
            {"ppl_delta_high", number(m.ppl_delta_high)}, {"kl_divergence", number(m.kl_divergence)},
            {"top1_agreement", number(m.top1_agreement)}, {"eval_tokens", m.eval_tokens}, {"eval_windows", m.eval_windows},
            {"eval_context", m.eval_context}, {"convention", m.convention}, {"batches", std::move(batches)},
            {"time_to_first_token_ms", number(m.time_to_first_token_ms)}, {"prefill_tps", number(m.prefill_tps)},
            {"bandwidth_fraction", number(m.bandwidth_fraction)}, {"accuracy", number(m.accuracy)}, {"accuracy_error", number(m.accuracy_error)}, {"accuracy_items", m.accuracy_items},
            {"speed_vs_fp16", number(m.speed_vs_fp16)}, {"speed_vs_fp16_low", number(m.speed_vs_fp16_low)}, {"speed_vs_fp16_high", number(m.speed_vs_fp16_high)},
            {"noisy", m.noisy}, {"memory_bytes", m.memory_bytes},
            {"stored_bytes", m.stored_bytes}, {"compression", number(m.compression)}, {"bits_per_weight", number(m.bits_per_weight)},
            {"layer_error", numbers(m.layer_error)}, {"window_nll", numbers(m.window_nll)}, {"notes", m.notes}, {"kernels", m.kernels},
            {"quantize_seconds", number(m.quantize_seconds)}, {"evaluate_seconds", number(m.evaluate_seconds)},
            {"timing_seconds", number(m.timing_seconds)},
            {"total_seconds", number(m.total_seconds)}};
}

Status read_metrics(const Json& j, const std::string& where, Metrics& m) {
    Reader r(j, where);
    r.get("perplexity", m.perplexity);
    r.get("ppl_delta", m.ppl_delta);
    r.get("ppl_delta_low", m.ppl_delta_low);
    r.get("ppl_delta_high", m.ppl_delta_high);
    r.get("kl_divergence", m.kl_divergence);
    r.get("top1_agreement", m.top1_agreement);
    r.get("eval_tokens", m.eval_tokens);
    r.get("eval_windows", m.eval_windows);
    r.get("eval_context", m.eval_context);
    r.get("convention", m.convention);
    r.get("time_to_first_token_ms", m.time_to_first_token_ms);
    r.get("prefill_tps", m.prefill_tps);
    r.get("bandwidth_fraction", m.bandwidth_fraction);
    r.get("accuracy", m.accuracy);
    r.get("accuracy_error", m.accuracy_error);
    r.get("accuracy_items", m.accuracy_items);
    r.get("speed_vs_fp16", m.speed_vs_fp16);
    r.get("speed_vs_fp16_low", m.speed_vs_fp16_low);
    r.get("speed_vs_fp16_high", m.speed_vs_fp16_high);
    r.get("noisy", m.noisy);
    r.get("memory_bytes", m.memory_bytes);
    r.get("stored_bytes", m.stored_bytes);
    r.get("compression", m.compression);
    r.get("bits_per_weight", m.bits_per_weight);
    r.get("layer_error", m.layer_error);
    r.get("window_nll", m.window_nll);
    r.get("notes", m.notes);
    r.get("kernels", m.kernels);
    r.get("quantize_seconds", m.quantize_seconds);
    r.get("evaluate_seconds", m.evaluate_seconds);
    r.get("timing_seconds", m.timing_seconds);
    r.get("total_seconds", m.total_seconds);
    if (const Json* batches = r.array("batches")) {
        m.batches.clear();
        for (const Json& e : *batches) {
            BatchPoint b;
            Reader p(e, where);
            p.get("batch", b.batch);
            p.get("p50_ms", b.p50_ms);
            p.get("p95_ms", b.p95_ms);
            p.get("p99_ms", b.p99_ms);
            p.get("throughput_tps", b.throughput_tps);
            p.get("samples", b.samples);
            p.get("variation", b.variation);
            TENPAK_RETURN_IF_ERROR(p.status());
            m.batches.push_back(b);
        }
    }
    return r.status();
}

}  // namespace

std::string trial_to_json(const Trial& t) {
    const Json j = {{"id", t.id}, {"candidate", t.candidate}, {"status", trial_status_name(t.status)}, {"phase", t.phase},
                    {"fraction", number(t.fraction)}, {"metrics", metrics_json(t.metrics)}, {"provenance", provenance_name(t.provenance)},
                    {"device", t.device}, {"measured_at", t.measured_at}, {"error", t.error}, {"error_code", t.error_code},
                    {"attempts", t.attempts}};
    return canonical_json(j);
}

Result<Trial> trial_from_json(const std::string& json, const std::string& where) {
    TENPAK_ASSIGN(const Json j, parse_json(json, where, {.max_bytes = 64'000'000, .max_depth = 8}));
    Trial t;
    Reader r(j, where);
    r.get("id", t.id);
    r.get("candidate", t.candidate);
    read_name(r, "status", optimizer::trial_status_name, optimizer::TrialStatus::kFailed, t.status);
    r.get("phase", t.phase);
    r.get("fraction", t.fraction);
    read_name(r, "provenance", optimizer::provenance_name, optimizer::Provenance::kRecorded, t.provenance);
    r.get("device", t.device);
    r.get("measured_at", t.measured_at);
    r.get("error", t.error);
    r.get("error_code", t.error_code);
    std::uint32_t attempts = 0;
    r.get("attempts", attempts);
    t.attempts = attempts;
    if (t.id.empty() || t.candidate.empty()) r.bad("id", "and \"candidate\" must not be empty");
    const Json* metrics = r.find("metrics");
    TENPAK_RETURN_IF_ERROR(r.status());
    if (metrics != nullptr) TENPAK_RETURN_IF_ERROR(read_metrics(*metrics, where, t.metrics));
    return t;
}

}  // namespace tenpak::jobs
