// SPDX-License-Identifier: Apache-2.0
// Dense products by cuBLASLt, opened at run time: the toolkit has it as a shared library of half a gigabyte only, and a machine
// without it still runs everything by own kernels, prefill of dense weights slowly.
#pragma once
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

namespace tenpak::compute::gpu {

class DenseLibrary {
   public:
    /// Null on success, else why there is none (kept by the object).
    const char* open();
    ~DenseLibrary();
    bool opened() const { return handle_ != nullptr; }
    const char* description() const { return text_.c_str(); }

    /// y[tokens][n] (fp32) = x[tokens][k] w[n][k]^T, sums in fp32. `format`: TENPAK_CUDA_WEIGHT_BF16, FP16 or FP32, of w and x.
    cublasStatus_t multiply(cudaStream_t stream, std::uint32_t format, std::uint32_t n, std::uint32_t k, std::uint32_t tokens, const void* w, std::uint32_t w_stride,
                            const void* x, std::uint32_t x_stride, float* y, void* workspace, std::size_t workspace_bytes);
    const char* status_text(cublasStatus_t s) const { return get_status_string_ != nullptr ? get_status_string_(s) : "unknown"; }

   private:
    struct Product {
        cublasLtMatmulDesc_t description = nullptr;
        cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
        cublasLtMatmulAlgo_t algorithm{};
    };
    using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;
    cublasStatus_t prepare(const Key& key, std::size_t workspace_bytes, Product& out);
    void destroy(Product& p);
    void forget();
    template <class F>
    bool find(const char* name, F& out);

    void* library_ = nullptr;
    cublasLtHandle_t handle_ = nullptr;
    std::string text_;
    std::map<Key, Product> products_;
    decltype(&cublasLtCreate) create_ = nullptr;
    decltype(&cublasLtDestroy) destroy_ = nullptr;
    decltype(&cublasLtGetVersion) get_version_ = nullptr;
    decltype(&cublasLtGetStatusString) get_status_string_ = nullptr;
    decltype(&cublasLtMatmul) matmul_ = nullptr;
    decltype(&cublasLtMatmulDescCreate) desc_create_ = nullptr;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy_ = nullptr;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set_ = nullptr;
    decltype(&cublasLtMatrixLayoutCreate) layout_create_ = nullptr;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy_ = nullptr;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create_ = nullptr;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy_ = nullptr;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set_ = nullptr;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic_ = nullptr;
};

}  // namespace tenpak::compute::gpu
