// SPDX-License-Identifier: Apache-2.0
#include "core/delta/predict.h"

#include <algorithm>

#include "core/delta/factor_cache.h"
#include "core/delta/payload.h"
#include "core/delta/transform.h"

namespace tenpak::delta {

namespace {

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

Error no_such_range(const ModelSource& base, const std::string& name) {
    return make_error(ErrorCode::kWrongBase, "the base has no such range of " + name, "base " + base.id(), "Give the model that was the base when the delta was made");
}

Status read_range(const ModelSource& base, const BaseRange& r, std::span<std::byte> out) {
    if (r.in_file) {
        auto file = base.read_side_file(r.tensor);
        if (!file.ok() || r.offset > file->size() || r.size > file->size() - r.offset) return no_such_range(base, r.tensor);
        std::copy_n(file->begin() + static_cast<std::ptrdiff_t>(r.offset), r.size, out.begin());
        return {};
    }
    const TensorInfo* t = base.find(r.tensor);
    if (t == nullptr || r.offset > t->bytes || r.size > t->bytes - r.offset) return no_such_range(base, r.tensor);
    return base.read(*t, r.offset, out);
}

}  // namespace

Result<std::uint64_t> predicted_size(const std::vector<BaseRange>& ranges, const std::string& transform) {
    std::uint64_t size = 0;
    for (const BaseRange& r : ranges) {
        if (r.size > kMaxBlockBytes) return malformed("a block's place in the base is too large");
        size += r.size;
        if (size > kMaxBlockBytes) return malformed("a block's place in the base is too large");
        if (r.in_file && !transform.empty()) return malformed("a side file of the base has no weights to transform");
    }
    if (transform.empty()) return size;
    TENPAK_ASSIGN(const Transform t, parse_transform(transform));
    const std::uint64_t from = t.bytes_from(1);
    for (const BaseRange& r : ranges)
        if (r.size % from != 0 || r.offset % from != 0) return malformed("a block's place in the base does not hold whole weights");
    for (const BaseRange& r : ranges)
        if (r.offset / from % t.group() != 0) return malformed("a block begins inside a group of the base's quantization");
    size = t.bytes_to(size / from);
    if (size > kMaxBlockBytes) return malformed("a block's place in the base is too large");
    return size;
}

Status predict_from_base(const ModelSource& base, const std::vector<BaseRange>& ranges, const std::string& transform, Bytes& out) {
    TENPAK_ASSIGN(const std::uint64_t size, predicted_size(ranges, transform));
    out.resize(static_cast<std::size_t>(size));
    std::span<std::byte> rest(out);
    std::optional<Transform> t;
    if (!transform.empty()) {
        TENPAK_ASSIGN(t, parse_transform(transform));
    }
    Bytes before;
    for (const BaseRange& r : ranges) {
        if (!t) {
            TENPAK_RETURN_IF_ERROR(read_range(base, r, rest.first(r.size)));
            rest = rest.subspan(r.size);
            continue;
        }
        if (const TensorInfo* info = base.find(r.tensor); info != nullptr && info->dtype != t->from)
            return make_error(ErrorCode::kWrongBase, r.tensor + " has another element type than when the delta was made", "base " + base.id(), "Give the model that was the base when the delta was made");
        before.resize(r.size);
        TENPAK_RETURN_IF_ERROR(read_range(base, r, before));
        const std::uint64_t first = r.offset / t->bytes_from(1), weights = r.size / t->bytes_from(1);
        TENPAK_RETURN_IF_ERROR(apply_transform(*t, first, before, rest.first(t->bytes_to(weights))));
        rest = rest.subspan(t->bytes_to(weights));
    }
    return {};
}

Status add_low_rank(const LowRankPredictor& predictor, std::uint64_t first_weight, FloatKind kind, std::span<const std::byte> base, Predicted& out) {
    out.bytes.resize(base.size());
    out.keys.resize(base.size() / make_layout(static_cast<unsigned>(kind), 0)->bytes);
    return predictor.predict(first_weight, base, kind, out.bytes, out.keys);
}

Result<Bytes> predict_weights(const ModelSource& base, const TensorInfo& tensor, std::uint64_t first, std::uint64_t weights, const std::string& transform) {
    const unsigned bits = dtype_bits(tensor.dtype);
    Bytes all;
    if (transform.empty()) {
        TENPAK_RETURN_IF_ERROR(predict_from_base(base, {{tensor.name, first * bits / 8, weights * bits / 8, false}}, transform, all));
        return all;
    }
    TENPAK_ASSIGN(const Transform t, parse_transform(transform));
    const std::uint64_t group = t.group(), begin = first / group * group;
    const std::uint64_t end = std::min(std::max((first + weights + group - 1) / group * group, first + weights), std::max(tensor.elements(), first + weights));
    TENPAK_RETURN_IF_ERROR(predict_from_base(base, {{tensor.name, begin * bits / 8, (end - begin) * bits / 8, false}}, transform, all));
    const std::uint64_t skip = t.bytes_to(first - begin);
    return Bytes(all.begin() + static_cast<std::ptrdiff_t>(skip), all.begin() + static_cast<std::ptrdiff_t>(skip + t.bytes_to(weights)));
}

Status predict_block(const BlockSource& blocks, const BlockInfo& info, const ModelSource* base, Predicted& out) {
    out.keys.clear();
    out.bytes.clear();
    if (info.base.empty()) return {};
    if (base == nullptr) return make_error(ErrorCode::kInvalidArgument, "this block needs the base", info.name, "Give the base model");
    TENPAK_RETURN_IF_ERROR(predict_from_base(*base, info.base, info.transform, info.factors ? out.base : out.bytes));
    if (!info.factors) return {};
    // The element type that the prediction has: the transform's, or the base's own.
    const TensorInfo* t = base->find(info.base.front().tensor);
    std::optional<FloatKind> kind = t != nullptr ? float_kind(t->dtype) : std::nullopt;
    if (!info.transform.empty()) {
        TENPAK_ASSIGN(const Transform transform, parse_transform(info.transform));
        kind = float_kind(transform.to);
    }
    if (!kind || info.base.size() != 1) return malformed("a block has a low-rank term and no one tensor of weights to add it to");
    TENPAK_ASSIGN(const auto predictor, predictor_of(blocks, *info.factors));
    return add_low_rank(*predictor, info.factors_weight, *kind, out.base, out);
}

}  // namespace tenpak::delta
