// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/dense_library.h"

#include <dlfcn.h>

#include "core/compute/cuda/commands.h"

namespace tenpak::compute::gpu {
namespace {

#define TENPAK_STRING(x) TENPAK_STRING_(x)
#define TENPAK_STRING_(x) #x
constexpr const char* kName = "libcublasLt.so." TENPAK_STRING(CUBLAS_VER_MAJOR);
constexpr std::size_t kMostProducts = 1024;  // shapes whose algorithm is remembered

/// Bytes, a power of two of at most 256.
std::uint32_t alignment_of(const void* p) {
    const auto a = reinterpret_cast<std::uintptr_t>(p) | 256u;
    return static_cast<std::uint32_t>(a & (~a + 1));
}

}  // namespace

template <class F>
bool DenseLibrary::find(const char* name, F& out) {
    out = reinterpret_cast<F>(::dlsym(library_, name));
    return out != nullptr;
}

const char* DenseLibrary::open() {
    for (const std::string& folder : {std::string(), std::string("/usr/local/cuda/lib64/"), std::string("/opt/cuda/lib64/")}) {
        library_ = ::dlopen((folder + kName).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library_ != nullptr) break;
    }
    if (library_ == nullptr) {
        text_ = std::string("no ") + kName + " (CUDA toolkit): dense prefill by own kernels";
        return text_.c_str();
    }
    if (!find("cublasLtCreate", create_) || !find("cublasLtDestroy", destroy_) || !find("cublasLtGetVersion", get_version_) ||
        !find("cublasLtGetStatusString", get_status_string_) || !find("cublasLtMatmul", matmul_) || !find("cublasLtMatmulDescCreate", desc_create_) ||
        !find("cublasLtMatmulDescDestroy", desc_destroy_) || !find("cublasLtMatmulDescSetAttribute", desc_set_) || !find("cublasLtMatrixLayoutCreate", layout_create_) ||
        !find("cublasLtMatrixLayoutDestroy", layout_destroy_) || !find("cublasLtMatmulPreferenceCreate", preference_create_) ||
        !find("cublasLtMatmulPreferenceDestroy", preference_destroy_) || !find("cublasLtMatmulPreferenceSetAttribute", preference_set_) ||
        !find("cublasLtMatmulAlgoGetHeuristic", heuristic_)) {
        text_ = std::string(kName) + " lacks a function: dense prefill by own kernels";
        return text_.c_str();
    }
    if (const cublasStatus_t s = create_(&handle_); s != CUBLAS_STATUS_SUCCESS) {
        handle_ = nullptr;
        text_ = std::string(kName) + " does not start (" + get_status_string_(s) + "): dense prefill by own kernels";
        return text_.c_str();
    }
    const std::size_t v = get_version_();  // 130000 is 13.0.0
    text_ = "cuBLASLt " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100);
    return nullptr;
}

DenseLibrary::~DenseLibrary() {
    if (handle_ != nullptr) {
        forget();
        destroy_(handle_);
    }
    // The library stays open: closing it while the driver unwinds is known to fault.
}

void DenseLibrary::destroy(Product& p) {
    if (p.description != nullptr) desc_destroy_(p.description);
    for (cublasLtMatrixLayout_t l : {p.w, p.x, p.y})
        if (l != nullptr) layout_destroy_(l);
    p = {};
}
void DenseLibrary::forget() {
    for (auto& [key, product] : products_) destroy(product);
    products_.clear();
}

cublasStatus_t DenseLibrary::prepare(const Key& key, std::size_t workspace_bytes, Product& p) {
    const auto [format, n, k, tokens, w_stride, x_stride, x_alignment, y_alignment] = key;
    const cudaDataType type = format == TENPAK_CUDA_WEIGHT_BF16 ? CUDA_R_16BF : format == TENPAK_CUDA_WEIGHT_FP16 ? CUDA_R_16F : CUDA_R_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    cublasStatus_t s = desc_create_(&p.description, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    // Row-major w[n][stride] is column-major [stride][n].
    if (s == CUBLAS_STATUS_SUCCESS) s = desc_set_(p.description, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    if (s == CUBLAS_STATUS_SUCCESS) s = layout_create_(&p.w, type, k, n, w_stride);
    if (s == CUBLAS_STATUS_SUCCESS) s = layout_create_(&p.x, type, k, tokens, x_stride);
    if (s == CUBLAS_STATUS_SUCCESS) s = layout_create_(&p.y, CUDA_R_32F, n, tokens, n);
    cublasLtMatmulPreference_t preference = nullptr;
    if (s == CUBLAS_STATUS_SUCCESS) s = preference_create_(&preference);
    if (s == CUBLAS_STATUS_SUCCESS) s = preference_set_(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, sizeof workspace_bytes);
    // Activations lie anywhere in a buffer.
    const std::uint32_t x_bytes = x_alignment, y_bytes = y_alignment;
    if (s == CUBLAS_STATUS_SUCCESS) s = preference_set_(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &x_bytes, sizeof x_bytes);
    if (s == CUBLAS_STATUS_SUCCESS) s = preference_set_(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &y_bytes, sizeof y_bytes);
    if (s == CUBLAS_STATUS_SUCCESS) s = preference_set_(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &y_bytes, sizeof y_bytes);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    if (s == CUBLAS_STATUS_SUCCESS) s = heuristic_(handle_, p.description, p.w, p.x, p.y, p.y, preference, 1, &found, &count);
    if (s == CUBLAS_STATUS_SUCCESS && count == 0) s = CUBLAS_STATUS_NOT_SUPPORTED;
    if (preference != nullptr) preference_destroy_(preference);
    p.algorithm = found.algo;
    return s;
}

cublasStatus_t DenseLibrary::multiply(cudaStream_t stream, std::uint32_t format, std::uint32_t n, std::uint32_t k, std::uint32_t tokens, const void* w,
                                      std::uint32_t w_stride, const void* x, std::uint32_t x_stride, float* y, void* workspace, std::size_t workspace_bytes) {
    const Key key{format, n, k, tokens, w_stride, x_stride, alignment_of(x), alignment_of(y)};
    auto at = products_.find(key);
    if (at == products_.end()) {
        if (products_.size() >= kMostProducts) forget();
        Product p;
        if (const cublasStatus_t s = prepare(key, workspace_bytes, p); s != CUBLAS_STATUS_SUCCESS) {
            destroy(p);
            return s;
        }
        at = products_.emplace(key, p).first;
    }
    const Product& p = at->second;
    const float one = 1, none = 0;
    return matmul_(handle_, p.description, &one, w, p.w, x, p.x, &none, y, p.y, y, p.y, &p.algorithm, workspace, workspace_bytes, stream);
}

}  // namespace tenpak::compute::gpu
