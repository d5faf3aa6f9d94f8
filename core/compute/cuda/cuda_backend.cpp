// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstring>
#include <map>

#include "core/compute/cuda/pack.h"

namespace tenpak::compute {
namespace {

constexpr std::size_t kErrorSize = 512;
constexpr std::size_t kMostCommands = 8192;  // then the list is handed over even if nobody waits for it
constexpr std::uint32_t kMaxHeadDim = 256;   // plan.h
constexpr std::size_t kAlignment = 256;
constexpr std::uint64_t kCopyBytes = 1u << 30;  // beyond every cache
constexpr std::uint32_t kWholePage = 31;  // log2 of positions: a slot is one page

std::atomic<std::uint64_t> next_serial{1};

Error device_error(int code, const char* text) {
    if (code == TENPAK_CUDA_OUT_OF_MEMORY) {
        return make_error(ErrorCode::kOutOfMemory, std::string("the GPU has not enough memory (") + text + ")", {}, "Use a smaller context or batch, a smaller candidate, or --device cpu");
    }
    return make_error(ErrorCode::kInternal, text, "CUDA module");
}

/// The session, and the list of commands that has not been handed over yet.
class Queue {
   public:
    Queue(const tenpak_cuda_compute& functions, tenpak_cuda_session* session) : f_(functions), session_(session) {}
    ~Queue() { f_.close(session_); }
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    tenpak_cuda_command& add(tenpak_cuda_op op) {
        if (commands_.size() >= kMostCommands) flush();
        tenpak_cuda_command c;
        std::memset(&c, 0, sizeof c);  // lists are compared as bytes
        c.op = op;
        return commands_.emplace_back(c);
    }
    /// The offset of a copy of `values` in the payload; the same as before where they repeat.
    template <class T>
    std::uint32_t payload(std::span<const T> values) {
        const std::size_t at = (payload_.size() + 15) / 16 * 16;
        payload_.resize(at + values.size_bytes());
        std::memcpy(payload_.data() + at, values.data(), values.size_bytes());
        return static_cast<std::uint32_t>(at);
    }
    /// Positions are the same in every layer.
    std::uint32_t positions(std::span<const std::uint32_t> values) {
        if (positions_.empty() || !std::equal(values.begin(), values.end(), positions_.begin(), positions_.end())) {
            positions_.assign(values.begin(), values.end());
            positions_at_ = payload(values);
        }
        return positions_at_;
    }
    void flush() {
        if (!commands_.empty() && error_.ok()) {
            std::array<char, kErrorSize> text{};
            const int code = f_.run(session_, commands_.data(), static_cast<std::uint32_t>(commands_.size()), payload_.data(), static_cast<std::uint32_t>(payload_.size()), text.data(), text.size());
            if (code != TENPAK_CUDA_OK) refuse(device_error(code, text.data()));
        }
        commands_.clear();
        payload_.clear();
        positions_.clear();
    }
    void refuse(Error e) {
        if (error_.ok()) error_ = std::move(e);
    }
    /// What went wrong since it was last asked. A device that is out of memory goes on.
    Status take_error() {
        Status s = error_;
        if (!s.ok() && s.error().code == ErrorCode::kOutOfMemory) error_ = {};
        return s;
    }
    Status upload(const void* from, std::size_t bytes, void* to) {
        flush();
        TENPAK_RETURN_IF_ERROR(take_error());
        return call([&](char* text) { return f_.upload(session_, from, bytes, to, text, kErrorSize); });
    }
    Status download(const void* from, std::size_t bytes, void* to) {
        flush();
        TENPAK_RETURN_IF_ERROR(take_error());
        return call([&](char* text) { return f_.download(session_, from, bytes, to, text, kErrorSize); });
    }
    Status synchronize() {
        flush();
        TENPAK_RETURN_IF_ERROR(take_error());
        return call([&](char* text) { return f_.synchronize(session_, text, kErrorSize); });
    }
    Result<void*> allocate(std::uint64_t bytes) {
        void* memory = nullptr;
        TENPAK_RETURN_IF_ERROR(call([&](char* text) { return f_.allocate(session_, bytes, &memory, text, kErrorSize); }));
        return memory;
    }
    void release(void* memory) {
        flush();
        f_.release(session_, memory);
    }
    Result<tenpak_cuda_memory_use> memory() const {
        tenpak_cuda_memory_use use{};
        std::array<char, kErrorSize> text{};
        if (const int code = f_.memory(session_, &use, text.data(), text.size()); code != TENPAK_CUDA_OK) return device_error(code, text.data());
        return use;
    }
    const char* dense_library() const { return f_.dense_library(session_); }

   private:
    template <class F>
    Status call(const F& f) {
        std::array<char, kErrorSize> text{};
        const int code = f(text.data());
        if (code == TENPAK_CUDA_OK) return {};
        const Error e = device_error(code, text.data());
        if (code != TENPAK_CUDA_OUT_OF_MEMORY) refuse(e);
        return e;
    }

    const tenpak_cuda_compute& f_;
    tenpak_cuda_session* const session_;
    std::vector<tenpak_cuda_command> commands_;
    std::vector<std::byte> payload_;
    std::vector<std::uint32_t> positions_;
    std::uint32_t positions_at_ = 0;
    Status error_;
};

/// The order of a weight's columns on the device.
class DeviceColumns {
   public:
    DeviceColumns(std::shared_ptr<Queue> queue, void* memory) : queue_(std::move(queue)), memory_(memory) {}
    ~DeviceColumns() { queue_->release(memory_); }
    DeviceColumns(const DeviceColumns&) = delete;
    DeviceColumns& operator=(const DeviceColumns&) = delete;
    const std::uint32_t* get() const { return static_cast<const std::uint32_t*>(memory_); }

   private:
    std::shared_ptr<Queue> queue_;
    void* const memory_;
};

class CudaLinear final : public PackedLinear {
   public:
    CudaLinear(std::shared_ptr<Queue> queue, std::string kernel) : queue_(std::move(queue)), kernel_(std::move(kernel)) {}
    ~CudaLinear() override {
        if (memory_ != nullptr) queue_->release(memory_);
    }
    std::uint32_t n() const override { return weight_.n; }
    std::uint32_t k() const override { return weight_.k; }
    std::uint64_t bytes() const override { return bytes_; }
    const char* kernel() const override { return kernel_.c_str(); }
    const tenpak_cuda_weight& weight() const { return weight_; }

    /// `columns`: of w, on the device; null: none.
    Status upload(const CudaWeight& w, std::shared_ptr<const DeviceColumns> columns) {
        struct Part {
            const void* data;
            std::size_t bytes;
        };
        const Part parts[] = {{w.codes.data(), w.codes.size() * 4}, {w.scales.data(), w.scales.size() * 2}, {w.zeros.data(), w.zeros.size()},
                              {w.row_scales.data(), w.row_scales.size() * 4}, {w.bias.data(), w.bias.size() * 4}, {w.low.data(), w.low.size() * 4}};
        std::size_t total = 0;
        for (const Part& p : parts) total += (p.bytes + kAlignment - 1) / kAlignment * kAlignment;
        TENPAK_ASSIGN(memory_, queue_->allocate(total));
        bytes_ = total;
        const void* addresses[std::size(parts)] = {};
        std::size_t at = 0;
        for (std::size_t i = 0; i < std::size(parts); ++i) {
            if (parts[i].bytes == 0) continue;
            void* const to = static_cast<std::byte*>(memory_) + at;
            TENPAK_RETURN_IF_ERROR(queue_->upload(parts[i].data, parts[i].bytes, to));
            addresses[i] = to;
            at += (parts[i].bytes + kAlignment - 1) / kAlignment * kAlignment;
        }
        weight_ = w.shape;
        weight_.serial = next_serial++;
        weight_.codes = addresses[0];
        weight_.scales = static_cast<const std::uint16_t*>(addresses[1]);
        weight_.zeros = static_cast<const std::uint8_t*>(addresses[2]);
        weight_.row_scales = static_cast<const float*>(addresses[3]);
        weight_.bias = static_cast<const float*>(addresses[4]);
        weight_.low = static_cast<const std::uint32_t*>(addresses[5]);
        if (columns != nullptr) weight_.columns = columns->get();
        columns_ = std::move(columns);
        return {};
    }

   private:
    std::shared_ptr<Queue> queue_;
    std::string kernel_;
    std::shared_ptr<const DeviceColumns> columns_;
    tenpak_cuda_weight weight_{};
    void* memory_ = nullptr;
    std::uint64_t bytes_ = 0;
};

std::uint32_t kind_of(Activation a) {
    switch (a) {
        case Activation::kSilu: return TENPAK_CUDA_SILU;
        case Activation::kGeluTanh: return TENPAK_CUDA_GELU_TANH;
        case Activation::kGeluErf: return TENPAK_CUDA_GELU_ERF;
    }
    return TENPAK_CUDA_SILU;
}

class Implementation final : public CudaBackend {
   public:
    Implementation(std::shared_ptr<CudaModule> module, std::shared_ptr<Queue> queue, int index, std::string device)
        : module_(std::move(module)), queue_(std::move(queue)), index_(index), device_(std::move(device)) {}
    ~Implementation() override { queue_->flush(); }

    std::string name() const override { return "cuda"; }
    std::string description() const override { return device_ + ", " + queue_->dense_library(); }
    unsigned threads() const override { return 1; }
    std::uint64_t workspace_bytes() const override {
        const auto use = memory();
        return use.ok() ? use->workspace : 0;
    }
    Result<tenpak_cuda_memory_use> memory() const override { return queue_->memory(); }
    std::uint64_t peak_bytes() const override {
        const auto use = memory();
        return use.ok() ? use->peak : 0;
    }
    std::uint64_t free_memory() const override { return free_bytes(); }
    std::uint64_t free_bytes() const override {
        const auto use = memory();
        return use.ok() ? use->free_bytes : 0;
    }
    std::uint64_t total_bytes() const override {
        const auto use = memory();
        return use.ok() ? use->total_bytes : 0;
    }
    double copy_bandwidth() override {
        if (module_ == nullptr || !queue_->synchronize().ok()) return 0;
        const auto rate = module_->copy_bandwidth(index_, std::min<std::uint64_t>(kCopyBytes, free_bytes() / 4));
        return rate.ok() ? *rate : 0;
    }

    float* allocate(std::size_t floats) override {
        auto memory = queue_->allocate(std::uint64_t{floats} * sizeof(float));
        return memory.ok() ? static_cast<float*>(*memory) : nullptr;
    }
    void release(float* memory) override { queue_->release(memory); }
    bool host_memory() const override { return false; }
    Status upload(const float* host, std::size_t n, float* device) override { return queue_->upload(host, n * sizeof(float), device); }
    Status download(const float* device, std::size_t n, float* host) override { return queue_->download(device, n * sizeof(float), host); }
    Status synchronize() override { return queue_->synchronize(); }

    void copy(const float* from, std::size_t n, float* to) override {
        constexpr std::size_t kRow = 1u << 20;  // a job counts columns in 32 bits
        std::vector<tenpak_cuda_copy_job> jobs;
        for (std::size_t at = 0; at < n; at += kRow) {
            jobs.push_back({from + at, to + at, 1, static_cast<std::uint32_t>(std::min(kRow, n - at)), 0, 0});
        }
        copy_jobs(jobs, std::min(kRow, n));
    }
    void append_kv(std::span<const KvAppend> appends, std::uint32_t kv_dim) override {
        std::vector<tenpak_cuda_copy_job> jobs;
        std::size_t most = 0;
        for (const KvAppend& a : appends) {
            const std::size_t at = std::size_t{a.first} * kv_dim;
            jobs.push_back({a.keys, a.kv.keys + at, a.tokens, kv_dim, kv_dim, kv_dim});
            jobs.push_back({a.values, a.kv.values + at, a.tokens, kv_dim, kv_dim, kv_dim});
            most = std::max(most, std::size_t{a.tokens} * kv_dim);
        }
        copy_jobs(jobs, most);
    }

    Result<std::unique_ptr<PackedLinear>> make_linear(const LinearWeight& weight) override {
        TENPAK_ASSIGN(const CudaWeight packed, pack_for_cuda(weight));
        auto linear = std::make_unique<CudaLinear>(queue_, packed.kernel + " CUDA");
        auto columns = columns_on_device(packed.columns);
        if (Status s = columns.ok() ? linear->upload(packed, *columns) : Status(columns.error()); !s.ok()) {
            Error e = s.error();
            if (e.code == ErrorCode::kOutOfMemory) {
                const auto use = memory();
                e.what = "the GPU has no room for a weight of " + std::to_string(packed.bytes()) + " bytes" +
                         (use.ok() ? ": " + std::to_string(use->used) + " bytes are used by this model, " + std::to_string(use->free_bytes) + " of " + std::to_string(use->total_bytes) + " are free" : "");
            }
            return e;
        }
        return std::unique_ptr<PackedLinear>(std::move(linear));
    }
    void linear(const PackedLinear& w, const float* x, std::uint32_t tokens, float* y) override {
        if (tokens == 0) return;
        const tenpak_cuda_weight& weight = static_cast<const CudaLinear&>(w).weight();
        tenpak_cuda_command& c = queue_->add(TENPAK_CUDA_LINEAR);
        c.n[0] = tokens;
        c.in[0] = x;
        c.out = y;
        c.weight = &weight;
        c.weight_serial = weight.serial;
    }
    void rms_norm(const float* x, const float* weight, float eps, std::uint32_t tokens, std::uint32_t dim, float* y, bool unit_offset) override {
        norm(TENPAK_CUDA_RMS_NORM, x, weight, nullptr, eps, tokens, dim, y, unit_offset);
    }
    void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::uint32_t tokens, std::uint32_t dim, float* y) override {
        norm(TENPAK_CUDA_LAYER_NORM, x, weight, bias, eps, tokens, dim, y, false);
    }
    void rope(float* x, std::span<const std::uint32_t> positions, const RopeShape& shape, const float* inv_freq) override {
        if (positions.empty() || shape.rotary_dim == 0) return;
        tenpak_cuda_command& c = queue_->add(TENPAK_CUDA_ROPE);  // first: it may hand the list over
        c.payload = queue_->positions(positions);
        c.n[0] = static_cast<std::uint32_t>(positions.size());
        c.n[1] = shape.heads;
        c.n[2] = shape.head_dim;
        c.n[3] = shape.rotary_dim;
        c.n[4] = static_cast<std::uint32_t>(shape.stride);
        c.f[0] = shape.attention_factor;
        c.in[1] = inv_freq;
        c.out = x;
    }
    void attention_batch(std::span<const AttentionJob> jobs, const AttentionShape& shape) override {
        if (shape.head_dim > kMaxHeadDim || shape.kv_heads == 0 || shape.heads % shape.kv_heads != 0) {
            queue_->refuse(make_error(ErrorCode::kUnsupported, "attention heads of " + std::to_string(shape.head_dim) + " values, " + std::to_string(shape.heads) + " over " +
                                                                   std::to_string(shape.kv_heads) + " cannot run on the GPU", {}, "Use --device cpu"));
            return;
        }
        for (const bool decode : {true, false}) attention_jobs(jobs, shape, decode);
    }
    void activation_mul(Activation kind, const float* gate, const float* up, std::size_t n, float* out) override {
        tenpak_cuda_command& c = element(TENPAK_CUDA_ACTIVATION_MUL, gate, n, out);
        c.in[1] = up;
        c.n[1] = kind_of(kind);
    }
    void activation(Activation kind, float* x, std::size_t n) override { element(TENPAK_CUDA_ACTIVATION, x, n, x).n[1] = kind_of(kind); }
    void add(float* x, const float* y, std::size_t n) override { element(TENPAK_CUDA_ADD, y, n, x); }
    void scale(float* x, std::size_t n, float factor) override { element(TENPAK_CUDA_SCALE, nullptr, n, x).f[0] = factor; }
    void softcap(float* x, std::size_t n, float cap) override { element(TENPAK_CUDA_SOFTCAP, nullptr, n, x).f[0] = cap; }
    Status gram(const float* x, std::uint32_t tokens, std::uint32_t k, float* h, float* sums) override {
        if (tokens == 0 || k == 0) return {};
        tenpak_cuda_command& c = queue_->add(TENPAK_CUDA_GRAM);
        c.n[0] = tokens;
        c.n[1] = k;
        c.in[0] = x;
        c.in[1] = sums;
        c.out = h;
        return {};
    }

   private:
    /// One address for equal orders: q, k and v of a layer, quantized with the same Hessian, then share one operand and one launch.
    Result<std::shared_ptr<const DeviceColumns>> columns_on_device(const std::vector<std::uint32_t>& columns) {
        if (columns.empty()) return std::shared_ptr<const DeviceColumns>();
        std::weak_ptr<const DeviceColumns>& known = columns_[columns];
        if (auto here = known.lock()) return here;
        TENPAK_ASSIGN(void* const memory, queue_->allocate(columns.size() * 4));
        auto made = std::make_shared<const DeviceColumns>(queue_, memory);
        TENPAK_RETURN_IF_ERROR(queue_->upload(columns.data(), columns.size() * 4, memory));
        known = made;
        std::erase_if(columns_, [](const auto& c) { return c.second.expired(); });
        return std::shared_ptr<const DeviceColumns>(made);
    }
    tenpak_cuda_command& element(tenpak_cuda_op op, const float* x, std::size_t n, float* out) {
        tenpak_cuda_command& c = queue_->add(op);
        c.size = n;
        c.in[0] = x;
        c.out = out;
        return c;
    }
    void norm(tenpak_cuda_op op, const float* x, const float* weight, const float* bias, float eps, std::uint32_t tokens, std::uint32_t dim, float* y, bool unit_offset) {
        if (tokens == 0) return;
        tenpak_cuda_command& c = queue_->add(op);
        c.n[0] = tokens;
        c.n[1] = dim;
        c.n[2] = unit_offset ? 1 : 0;
        c.f[0] = eps;
        c.in[0] = x;
        c.in[1] = weight;
        c.in[2] = bias;
        c.out = y;
    }
    void copy_jobs(std::span<const tenpak_cuda_copy_job> jobs, std::size_t most) {
        if (jobs.empty() || most == 0) return;
        constexpr std::size_t kGrid = 65535;  // blocks in a grid's second dimension
        for (std::size_t at = 0; at < jobs.size(); at += kGrid) {
            const auto part = jobs.subspan(at, std::min(kGrid, jobs.size() - at));
            tenpak_cuda_command& c = queue_->add(TENPAK_CUDA_COPY);
            c.payload = queue_->payload(part);
            c.n[0] = static_cast<std::uint32_t>(part.size());
            c.size = most;
        }
    }
    void attention_jobs(std::span<const AttentionJob> jobs, const AttentionShape& shape, bool decode) {
        struct Page {
            const float *keys, *values;
        };
        std::vector<tenpak_cuda_attention_job> list;
        std::vector<Page> pages;
        std::uint32_t tokens = 0, positions = 0;
        for (const AttentionJob& j : jobs) {
            if (j.tokens == 0 || (j.tokens == 1) != decode) continue;
            pages.push_back({j.kv.keys, j.kv.values});
            list.push_back({j.q, j.out, j.tokens, j.first, 0, kWholePage});
            tokens = std::max(tokens, j.tokens);
            positions = std::max(positions, j.first + j.tokens);
        }
        if (list.empty()) return;
        tenpak_cuda_command& c = queue_->add(TENPAK_CUDA_ATTENTION);
        const std::uint32_t pages_at = queue_->payload(std::span<const Page>(pages));
        for (std::size_t i = 0; i < list.size(); ++i) list[i].pages = pages_at + static_cast<std::uint32_t>(i * sizeof(Page));
        c.payload = queue_->payload(std::span<const tenpak_cuda_attention_job>(list));
        c.n[0] = static_cast<std::uint32_t>(list.size());
        c.n[1] = shape.heads;
        c.n[2] = shape.kv_heads;
        c.n[3] = shape.head_dim;
        c.n[4] = tokens;
        // Rounded up, so that the steps of a growing sequence are the same list.
        c.n[5] = std::bit_ceil(std::max(positions, 256u));
        c.n[6] = shape.window;
        c.f[0] = shape.scale;
        c.f[1] = shape.softcap;
    }

    std::shared_ptr<CudaModule> module_;  // before the queue: it closes its session first
    std::shared_ptr<Queue> queue_;
    std::map<std::vector<std::uint32_t>, std::weak_ptr<const DeviceColumns>> columns_;
    int index_;
    std::string device_;
};

Result<std::unique_ptr<CudaBackend>> open_session(std::shared_ptr<CudaModule> module, const tenpak_cuda_compute& functions, int device, const std::string& description) {
    tenpak_cuda_session* session = nullptr;
    std::array<char, kErrorSize> text{};
    if (const int code = functions.open(device, &session, text.data(), text.size()); code != TENPAK_CUDA_OK) return device_error(code, text.data());
    auto queue = std::make_shared<Queue>(functions, session);
    return std::unique_ptr<CudaBackend>(std::make_unique<Implementation>(std::move(module), std::move(queue), device, description));
}

}  // namespace

Result<std::unique_ptr<CudaBackend>> make_cuda_backend(const tenpak_cuda_compute& functions, int device, const std::string& description) {
    return open_session(nullptr, functions, device, description);
}

Result<std::unique_ptr<CudaBackend>> make_cuda_backend(int device) {
    auto opened = CudaModule::open();
    if (!opened.ok()) {
        Error e = opened.error();
        // Its reason is worded for a program that goes on without; here a GPU was asked for.
        if (const std::size_t at = e.what.rfind(": running on the CPU"); at != std::string::npos) e.what.resize(at);
        e.hint = "Use --device cpu";
        return e;
    }
    std::shared_ptr<CudaModule> module = std::move(*opened);
    const auto count = static_cast<int>(module->devices().size());
    if (device < 0 || device >= count) {
        return make_error(ErrorCode::kInvalidArgument, "there is no GPU " + std::to_string(device), {},
                          count == 1 ? "This machine has one, cuda:0" : "This machine has cuda:0 to cuda:" + std::to_string(count - 1));
    }
    const CudaDevice& d = module->devices()[static_cast<std::size_t>(device)];
    const tenpak_cuda_compute& functions = module->compute();
    return open_session(std::move(module), functions, device, d.name);
}

bool is_cuda_device(const std::string& name) { return name == "cuda" || name.starts_with("cuda:"); }

Result<int> cuda_device_index(const std::string& name) {
    if (name == "cuda") return 0;
    int index = 0;
    const char *first = name.data() + std::min<std::size_t>(5, name.size()), *last = name.data() + name.size();
    const auto [end, ec] = std::from_chars(first, last, index);
    if (!is_cuda_device(name) || first == last || ec != std::errc() || end != last || index < 0) {
        return make_error(ErrorCode::kInvalidArgument, "\"" + name + "\" is not a device", {}, "Use cpu, cuda or cuda:N");
    }
    return index;
}

}  // namespace tenpak::compute
