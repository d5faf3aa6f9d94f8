// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/loader.h"

#include <dlfcn.h>

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
        !impl->find("tenpak_cuda_rms_norm", impl->rms_norm)) {
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

Result<double> CudaModule::copy_bandwidth(int device, std::uint64_t bytes) const {
    ErrorText error{};
    double rate = 0;
    if (impl_->copy_bandwidth(device, bytes, &rate, error.data(), error.size()) != 0) return make_error(ErrorCode::kInternal, error.data(), "CUDA module");
    return rate;
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
