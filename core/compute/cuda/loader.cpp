// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/loader.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "core/base/half.h"
#include "core/compute/cuda/module.h"

namespace tenpak::compute {
namespace {

constexpr std::size_t kErrorSize = 512;
using ErrorText = std::array<char, kErrorSize>;

std::vector<std::filesystem::path> places() {
    std::vector<std::filesystem::path> p;
    if (const char* named = std::getenv("TENPAK_CUDA_MODULE"); named != nullptr && named[0] == '/') p.emplace_back(named);
    std::error_code ec;
    const auto folder = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
    if (!ec) {
        p.push_back(folder / "tenpak_cuda.so");
        p.push_back(folder.parent_path() / "lib" / "tenpak" / "tenpak_cuda.so");
    }
    return p;
}

}  // namespace

struct CudaModule::Impl {
    void* handle = nullptr;
    decltype(&tenpak_cuda_abi) abi = nullptr;
    decltype(&tenpak_cuda_get_runtime) get_runtime = nullptr;
    decltype(&tenpak_cuda_get_device) get_device = nullptr;
    decltype(&tenpak_cuda_copy_bandwidth) copy_bandwidth = nullptr;
    decltype(&tenpak_cuda_rms_norm) rms_norm = nullptr;
    decltype(&tenpak_cuda_allocate) allocate = nullptr;
    decltype(&tenpak_cuda_release) release = nullptr;
    decltype(&tenpak_cuda_copy) copy = nullptr;
    decltype(&tenpak_cuda_decode_blocks) decode_blocks = nullptr;
    decltype(&tenpak_cuda_get_compute) get_compute = nullptr;
    tenpak_cuda_runtime runtime{};
    std::vector<CudaDevice> devices;

    ~Impl() {
        if (handle != nullptr) ::dlclose(handle);
    }
    template <class F>
    bool find(const char* name, F& out) {
        out = reinterpret_cast<F>(::dlsym(handle, name));
        return out != nullptr;
    }
};

CudaModule::CudaModule(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaModule::~CudaModule() = default;

Result<std::unique_ptr<CudaModule>> CudaModule::open() {
    void* driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver == nullptr) return make_error(ErrorCode::kUnsupported, "no NVIDIA driver found: running on the CPU");
    ::dlclose(driver);
    auto impl = std::make_unique<Impl>();
    std::string problem = "this build has no CUDA module";
    for (const auto& p : places()) {
        std::error_code ec;
        if (!std::filesystem::exists(p, ec)) continue;
        impl->handle = ::dlopen(p.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (impl->handle != nullptr) break;
        problem = "the CUDA module cannot be opened (" + std::string(::dlerror()) + ")";
    }
    if (impl->handle == nullptr) return make_error(ErrorCode::kUnsupported, problem + ": running on the CPU");
    if (!impl->find("tenpak_cuda_abi", impl->abi) || impl->abi() != TENPAK_CUDA_ABI || !impl->find("tenpak_cuda_get_runtime", impl->get_runtime) ||
        !impl->find("tenpak_cuda_get_device", impl->get_device) || !impl->find("tenpak_cuda_copy_bandwidth", impl->copy_bandwidth) ||
        !impl->find("tenpak_cuda_rms_norm", impl->rms_norm) || !impl->find("tenpak_cuda_allocate", impl->allocate) || !impl->find("tenpak_cuda_release", impl->release) ||
        !impl->find("tenpak_cuda_copy", impl->copy) || !impl->find("tenpak_cuda_decode_blocks", impl->decode_blocks) ||
        !impl->find("tenpak_cuda_get_compute", impl->get_compute)) {
        return make_error(ErrorCode::kUnsupported, "the CUDA module is of another version of tenpak: running on the CPU");
    }
    ErrorText error{};
    if (impl->get_runtime(&impl->runtime, error.data(), error.size()) != 0) {
        return make_error(ErrorCode::kUnsupported, std::string(error.data()) + ": running on the CPU");
    }
    if (impl->runtime.devices <= 0) return make_error(ErrorCode::kUnsupported, "no NVIDIA GPU found: running on the CPU");
    for (int i = 0; i < impl->runtime.devices; ++i) {
        tenpak_cuda_device d{};
        if (impl->get_device(i, &d, error.data(), error.size()) != 0) {
            return make_error(ErrorCode::kUnsupported, std::string(error.data()) + ": running on the CPU");
        }
        impl->devices.push_back({d.name, d.sm_major, d.sm_minor, d.multiprocessors, d.memory_bytes, d.free_bytes});
    }
    return std::unique_ptr<CudaModule>(new CudaModule(std::move(impl)));
}

int CudaModule::driver_version() const { return impl_->runtime.driver_version; }
int CudaModule::runtime_version() const { return impl_->runtime.runtime_version; }
const std::vector<CudaDevice>& CudaModule::devices() const { return impl_->devices; }
const tenpak_cuda_compute& CudaModule::compute() const { return *impl_->get_compute(); }

Result<double> CudaModule::copy_bandwidth(int device, std::uint64_t bytes) const {
    ErrorText error{};
    double rate = 0;
    if (impl_->copy_bandwidth(device, bytes, &rate, error.data(), error.size()) != 0) return make_error(ErrorCode::kInternal, error.data(), "CUDA module");
    return rate;
}

CudaMemory& CudaMemory::operator=(CudaMemory&& o) noexcept {
    std::swap(module_, o.module_);
    std::swap(device_, o.device_);
    std::swap(memory_, o.memory_);
    std::swap(bytes_, o.bytes_);
    return *this;
}

CudaMemory::~CudaMemory() {
    if (memory_ != nullptr) module_->impl_->release(device_, memory_, nullptr, 0);
}

Result<CudaMemory> CudaModule::allocate(int device, std::uint64_t bytes) const {
    ErrorText error{};
    CudaMemory m;
    if (impl_->allocate(device, std::max<std::uint64_t>(bytes, 16), &m.memory_, error.data(), error.size()) != 0)
        return make_error(ErrorCode::kUnsupported, error.data(), "CUDA module");
    m.module_ = this;
    m.device_ = device;
    m.bytes_ = bytes;
    return m;
}

Status CudaModule::upload(CudaMemory& to, std::uint64_t offset, std::span<const std::byte> from) const {
    if (offset > to.bytes_ || from.size() > to.bytes_ - offset) return make_error(ErrorCode::kInvalidArgument, "an upload does not fit the device memory");
    ErrorText error{};
    if (!from.empty() && impl_->copy(to.device_, static_cast<std::byte*>(to.memory_) + offset, from.data(), from.size(), 0, error.data(), error.size()) != 0)
        return make_error(ErrorCode::kInternal, error.data(), "CUDA module");
    return {};
}

Status CudaModule::download(const CudaMemory& from, std::uint64_t offset, std::span<std::byte> to) const {
    if (offset > from.bytes_ || to.size() > from.bytes_ - offset) return make_error(ErrorCode::kInvalidArgument, "a download goes beyond the device memory");
    ErrorText error{};
    if (!to.empty() && impl_->copy(from.device_, to.data(), static_cast<const std::byte*>(from.memory_) + offset, to.size(), 1, error.data(), error.size()) != 0)
        return make_error(ErrorCode::kInternal, error.data(), "CUDA module");
    return {};
}

Result<double> CudaModule::decode_blocks(std::span<const tenpak_weight_block> blocks, const CudaMemory& image, const CudaMemory& predictions, const CudaMemory& keys,
                                         CudaMemory& output) const {
    const auto inside = [](std::uint64_t offset, std::uint64_t size, const CudaMemory& m) { return offset <= m.bytes() && size <= m.bytes() - offset; };
    for (const tenpak_weight_block& b : blocks) {
        const bool weights = b.kind == TENPAK_BLOCK_WEIGHTS, predicted = b.kind == TENPAK_BLOCK_PREDICTED || (weights && b.keys != TENPAK_KEYS_NONE);
        const std::uint64_t head = !weights ? (b.kind == TENPAK_BLOCK_STORED ? b.bytes : 0) : tenpak_weight_header_bytes(b.entries, b.contexts, b.keys_count);
        if (!inside(b.output_offset, b.bytes, output) || !inside(b.image_offset, head, image) || (predicted && !inside(b.prediction_offset, b.bytes, predictions)) ||
            (weights && !inside(b.words_offset, (std::uint64_t{4} << b.lanes_log2) + 2 * std::uint64_t{b.words}, image)) ||
            (weights && b.keys == TENPAK_KEYS_GIVEN && !inside(b.keys_offset, b.bytes / b.weight_bytes, keys)))
            return make_error(ErrorCode::kInvalidArgument, "a block lies outside the device memory");
    }
    std::vector<std::uint32_t> status(blocks.size());
    double seconds = 0;
    ErrorText error{};
    if (impl_->decode_blocks(output.device(), blocks.data(), static_cast<std::uint32_t>(blocks.size()), image.get(), predictions.get(), keys.get(), output.get(),
                             status.data(), &seconds, error.data(), error.size()) != 0)
        return make_error(ErrorCode::kInternal, error.data(), "CUDA module");
    for (std::size_t i = 0; i < status.size(); ++i)
        if (status[i] != 0) return make_error(ErrorCode::kMalformed, "a weights block does not end where it must", "block " + std::to_string(i), "The block is damaged");
    return seconds;
}

Status CudaModule::self_test(int device) const {
    std::mt19937 rng(1);
    std::normal_distribution<float> normal(0.0f, 2.0f);
    constexpr float kEps = 1e-5f;
    // Rows shorter and longer than a block, and a length that is no multiple of a warp.
    for (const std::uint32_t columns : {1u, 31u, 256u, 1000u, 4096u}) {
        const std::uint32_t rows = 17;
        std::vector<std::uint16_t> x(static_cast<std::size_t>(rows) * columns), w(columns), y(x.size());
        for (auto& v : x) v = float_to_bf16(normal(rng));
        for (auto& v : w) v = float_to_bf16(1 + 0.1f * normal(rng));
        ErrorText error{};
        if (impl_->rms_norm(device, x.data(), w.data(), kEps, rows, columns, y.data(), error.data(), error.size()) != 0) {
            return make_error(ErrorCode::kInternal, error.data(), "CUDA module");
        }
        for (std::uint32_t r = 0; r < rows; ++r) {
            double sum = 0;
            for (std::uint32_t c = 0; c < columns; ++c) {
                const double v = bf16_to_float(x[static_cast<std::size_t>(r) * columns + c]);
                sum += v * v;
            }
            const double scale = 1 / std::sqrt(sum / columns + static_cast<double>(kEps));
            for (std::uint32_t c = 0; c < columns; ++c) {
                const std::size_t i = static_cast<std::size_t>(r) * columns + c;
                const double want = static_cast<double>(bf16_to_float(x[i])) * scale * static_cast<double>(bf16_to_float(w[c]));
                const double got = bf16_to_float(y[i]);
                // Half a unit in the last place of bf16 is 2^-9; fp32 sums add a little.
                if (!(std::fabs(got - want) <= std::fabs(want) * 0x1.1p-8 + 1e-30)) {
                    return make_error(ErrorCode::kNumeric, "RMSNorm on the GPU gives " + std::to_string(got) + " where the CPU gives " + std::to_string(want),
                                      "row " + std::to_string(r) + ", column " + std::to_string(c) + " of " + std::to_string(columns));
                }
            }
        }
    }
    return {};
}

}  // namespace tenpak::compute
