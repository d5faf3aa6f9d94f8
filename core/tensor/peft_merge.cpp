// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "core/base/half.h"
#include "core/tensor/peft_adapter.h"

namespace tenpak {
namespace {

/// Columns of a row that are summed together: they stay in the first-level cache.
constexpr std::size_t kStrip = 2048;

template <class T, class Load, class Store>
void add(std::byte* weights, std::size_t n, const float* product, Load load, Store store) {
    for (std::size_t j = 0; j < n; ++j) {
        T w;
        std::memcpy(&w, weights + j * sizeof w, sizeof w);
        w = store(load(w) + product[j]);
        std::memcpy(weights + j * sizeof w, &w, sizeof w);
    }
}

class MergedModel : public ModelSource {
 public:
    MergedModel(std::shared_ptr<const ModelSource> base, std::shared_ptr<const PeftAdapter> adapter)
        : base_(std::move(base)), adapter_(std::move(adapter)) {
        id_ = base_->id() + " + " + adapter_->path().filename().string();
    }
    Status prepare() {
        TENPAK_ASSIGN(const std::vector<LoraTarget> targets, adapter_->match(*base_));
        for (const LoraTarget& t : targets) {
            const TensorInfo& tensor = base_->tensors()[t.tensor];
            if (!is_float(tensor.dtype) || tensor.dtype == DType::kF64)
                return make_error(
                    ErrorCode::kUnsupported,
                    "an adapter cannot be merged into a tensor of type " + std::string(dtype_label(tensor.dtype)),
                    tensor.name, "Take a base in bf16, fp16 or fp32");
            targets_.emplace(tensor.name, t);
        }
        for (const PeftAdapter::Replacement& r : adapter_->replacements()) {
            const TensorInfo* t = base_->find(r.name);
            if (t == nullptr || t->shape != r.tensor.shape)
                return make_error(ErrorCode::kMismatch,
                                  "the adapter replaces a tensor that the base does not have in this shape", r.name);
            if (t->dtype != r.tensor.dtype)
                return make_error(ErrorCode::kUnsupported, "the adapter replaces a tensor by one of another type",
                                  r.name, "Merge the adapter with PEFT and take the merged model");
            replaced_.emplace(r.name, &r.tensor);
        }
        index_names();
        return {};
    }
    const std::string& id() const override { return id_; }
    const std::vector<TensorInfo>& tensors() const override { return base_->tensors(); }
    Result<Bytes> read_side_file(std::string_view path) const override { return base_->read_side_file(path); }
    Status read(const TensorInfo& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override {
        if (const auto it = replaced_.find(tensor.name); it != replaced_.end())
            return adapter_->files().read(*it->second, byte_offset, out);
        TENPAK_RETURN_IF_ERROR(base_->read(tensor, byte_offset, out));
        const auto it = targets_.find(tensor.name);
        if (it == targets_.end() || out.empty()) return {};
        const std::size_t width = dtype_bits(tensor.dtype) / 8;
        TENPAK_ASSIGN(const std::shared_ptr<const LoraMatrices> lora, matrices(it->second));
        if (byte_offset % width == 0 && out.size() % width == 0)
            return merge_lora(*lora, tensor.dtype, byte_offset / width, out);
        // A range that cuts weights: whole ones around it.
        const std::uint64_t begin = byte_offset / width * width,
                            end = (byte_offset + out.size() + width - 1) / width * width;
        Bytes whole(static_cast<std::size_t>(end - begin));
        TENPAK_RETURN_IF_ERROR(base_->read(tensor, begin, whole));
        TENPAK_RETURN_IF_ERROR(merge_lora(*lora, tensor.dtype, begin / width, whole));
        std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(byte_offset - begin), out.size(), out.begin());
        return {};
    }

 private:
    /// Reading goes from tensor to tensor: the module read last is kept.
    Result<std::shared_ptr<const LoraMatrices>> matrices(const LoraTarget& t) const {
        {
            std::scoped_lock lock(m_);
            if (last_ && last_module_ == t.module) return last_;
        }
        TENPAK_ASSIGN(LoraMatrices loaded, adapter_->load(t));
        auto shared = std::make_shared<const LoraMatrices>(std::move(loaded));
        std::scoped_lock lock(m_);
        last_ = shared;
        last_module_ = t.module;
        return shared;
    }

    std::shared_ptr<const ModelSource> base_;
    std::shared_ptr<const PeftAdapter> adapter_;
    std::string id_;
    std::map<std::string, LoraTarget, std::less<>> targets_;
    std::map<std::string, const TensorInfo*, std::less<>> replaced_;
    mutable std::mutex m_;
    mutable std::shared_ptr<const LoraMatrices> last_;
    mutable std::uint32_t last_module_ = 0;
};

}  // namespace

Status merge_lora(const LoraMatrices& lora, DType dtype, std::uint64_t first, std::span<std::byte> weights) {
    if (dtype != DType::kBF16 && dtype != DType::kF16 && dtype != DType::kF32)
        return make_error(ErrorCode::kUnsupported,
                          "an adapter cannot be merged into weights of type " + std::string(dtype_label(dtype)));
    const std::size_t width = dtype_bits(dtype) / 8;
    const std::uint64_t n = weights.size() / width, all = std::uint64_t{lora.rows} * lora.columns;
    if (weights.size() % width != 0 || first > all || n > all - first)
        return make_error(ErrorCode::kInvalidArgument, "weights outside the matrix of a LoRA module");
    const auto scale = static_cast<float>(lora.scale);
    std::vector<float> product(std::min<std::size_t>(kStrip, lora.columns));
    for (std::uint64_t at = first; at < first + n;) {
        const std::uint64_t row = at / lora.columns, column = at % lora.columns;
        const auto m =
            static_cast<std::size_t>(std::min({std::uint64_t{product.size()}, lora.columns - column, first + n - at}));
        std::fill_n(product.begin(), m, 0.0f);
        for (std::size_t c = 0; c < lora.rank; ++c) {
            const float u = lora.up[row * lora.rank + c];
            const float* v = lora.down.data() + c * lora.columns + column;
            for (std::size_t j = 0; j < m; ++j) product[j] += u * v[j];
        }
        for (std::size_t j = 0; j < m; ++j) product[j] *= scale;
        if (lora.dtype == DType::kBF16)
            for (std::size_t j = 0; j < m; ++j) product[j] = bf16_to_float(float_to_bf16(product[j]));
        if (lora.dtype == DType::kF16)
            for (std::size_t j = 0; j < m; ++j) product[j] = fp16_to_float(float_to_fp16(product[j]));
        std::byte* w = weights.data() + static_cast<std::size_t>(at - first) * width;
        if (dtype == DType::kBF16)
            add<std::uint16_t>(w, m, product.data(), bf16_to_float, float_to_bf16);
        else if (dtype == DType::kF16)
            add<std::uint16_t>(w, m, product.data(), fp16_to_float, float_to_fp16);
        else
            add<float>(
                w, m, product.data(), [](float x) { return x; }, [](float x) { return x; });
        at += m;
    }
    return {};
}

Result<std::shared_ptr<const ModelSource>> open_merged(std::shared_ptr<const ModelSource> base,
                                                       std::shared_ptr<const PeftAdapter> adapter) {
    auto merged = std::make_shared<MergedModel>(std::move(base), std::move(adapter));
    TENPAK_RETURN_IF_ERROR(merged->prepare());
    return std::shared_ptr<const ModelSource>(std::move(merged));
}

}  // namespace tenpak
