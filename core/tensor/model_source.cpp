// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/model_source.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/base/half.h"

namespace tenpak {
namespace {

/// Bytes read at a time: cancel is polled between two of these, and memory stays bounded by it.
constexpr std::uint64_t kReadBlock = 4u << 20;

template <class T, class F>
void convert(std::span<const std::byte> in, float* out, F f) {
    for (std::size_t i = 0; i < in.size() / sizeof(T); ++i) {
        T v;
        std::memcpy(&v, in.data() + i * sizeof(T), sizeof(T));
        out[i] = f(v);
    }
}

}  // namespace

void ModelSource::index_names() {
    const auto& all = tensors();
    by_name_.resize(all.size());
    std::iota(by_name_.begin(), by_name_.end(), 0u);
    std::sort(by_name_.begin(), by_name_.end(), [&](std::uint32_t a, std::uint32_t b) { return all[a].name < all[b].name; });
}

const TensorInfo* ModelSource::find(std::string_view name) const {
    const auto& all = tensors();
    const auto it = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                     [&](std::uint32_t i, std::string_view n) { return all[i].name < n; });
    return it != by_name_.end() && all[*it].name == name ? &all[*it] : nullptr;
}

Result<std::vector<float>> ModelSource::read_float(const TensorInfo& tensor) const {
    if (!is_float(tensor.dtype)) {
        return make_error(ErrorCode::kUnsupported, "a " + std::string(dtype_label(tensor.dtype)) + " tensor where a float is needed",
                          id() + ", tensor " + tensor.name);
    }
    const std::size_t width = dtype_bits(tensor.dtype) / 8;
    try {
        std::vector<float> out(tensor.elements());
        Bytes block(std::min(tensor.bytes, kReadBlock));
        for (std::uint64_t at = 0; at < tensor.bytes; at += kReadBlock) {
            const std::span<std::byte> part(block.data(), std::min(kReadBlock, tensor.bytes - at));
            TENPAK_RETURN_IF_ERROR(read(tensor, at, part));
            float* to = out.data() + at / width;
            switch (tensor.dtype) {
                case DType::kBF16: convert<std::uint16_t>(part, to, bf16_to_float); break;
                case DType::kF16: convert<std::uint16_t>(part, to, fp16_to_float); break;
                case DType::kF32: convert<float>(part, to, [](float v) { return v; }); break;
                default: convert<double>(part, to, [](double v) { return static_cast<float>(v); }); break;
            }
        }
        return out;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a tensor of " + std::to_string(tensor.elements()) + " weights",
                          id() + ", tensor " + tensor.name);
    }
}

std::uint64_t ModelSource::weight_bytes() const {
    std::uint64_t n = 0;
    for (const TensorInfo& t : tensors()) n += t.bytes;
    return n;
}

std::uint64_t ModelSource::parameters() const {
    std::uint64_t n = 0;
    for (const TensorInfo& t : tensors()) n += t.elements();
    return n;
}

Result<Digest> tensor_digest(const ModelSource& source, const TensorInfo& tensor, const JobContext& ctx) {
    Sha256 hash;
    Bytes block(std::min(tensor.bytes, kReadBlock));
    for (std::uint64_t at = 0; at < tensor.bytes; at += kReadBlock) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::span<std::byte> part(block.data(), std::min(kReadBlock, tensor.bytes - at));
        TENPAK_RETURN_IF_ERROR(source.read(tensor, at, part));
        hash.update(part);
    }
    return hash.finish();
}

}  // namespace tenpak
