// SPDX-License-Identifier: Apache-2.0
#include "core/delta/block_plan.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "core/delta/payload.h"
#include "core/delta/transform.h"

namespace tenpak::delta {

namespace {

/// Side files smaller than this, and those that tools read to see what a model is, never need the base.
constexpr std::uint64_t kPredictedSideFile = 32u << 10;
/// What a block of a changed side file sees of the base's file before and behind its own place.
constexpr std::uint64_t kSideWindow = 256u << 10;
/// A group of small tensors is closed at this size, so that one of them can be read without many others.
constexpr std::uint64_t kGroupBytes = 128u << 10;

class Planner {
   public:
    Planner(const ModelDirectory& model, const ModelSource* base, const PairPlan* pairs, std::uint64_t block_weights)
        : model_(model), base_(base), pairs_(pairs), block_weights_(block_weights) {}

    Result<BlockPlan> run() {
        if (block_weights_ == 0) return make_error(ErrorCode::kInvalidArgument, "blocks of no weights");
        plan_.of_file.resize(model_.files().size());
        plan_.raw_bytes = model_.total_bytes();
        group_small_tensors();
        for (const std::uint32_t i : layer_order(model_.tensors())) {
            if (model_.tensors()[i].bytes == 0 || done_[i]) continue;
            if (group_of_[i].size() > 1) add_group(group_of_[i]);
            else add_tensor(i);
        }
        for (std::uint32_t f = 0; f < model_.files().size(); ++f) {
            add_outside(f);
            TENPAK_RETURN_IF_ERROR(check_tiling(f));
        }
        return std::move(plan_);
    }

   private:
    const TensorPair* pair_of(std::uint32_t tensor) const {
        if (pairs_ == nullptr || base_ == nullptr || !pairs_->pairs[tensor].base) return nullptr;
        return &pairs_->pairs[tensor];
    }
    /// Whether all of the tensor is predicted.
    bool is_whole(std::uint32_t tensor) const {
        const TensorPair* p = pair_of(tensor);
        return p != nullptr && p->weights == model_.tensors()[tensor].elements();
    }
    BaseRange range_of(const TensorPair& p, std::uint64_t first_weight, std::uint64_t weights) const {
        const TensorInfo& b = base_->tensors()[*p.base];
        const unsigned bits = dtype_bits(b.dtype);
        return {b.name, (p.base_weight + first_weight) * bits / 8, weights * bits / 8, false};
    }
    void add(PlannedBlock block) {
        plan_.of_file[block.file].push_back(static_cast<std::uint32_t>(plan_.blocks.size()));
        plan_.blocks.push_back(std::move(block));
    }

    /// Runs of small tensors of one element type that lie one behind the other in a file.
    void group_small_tensors() {
        const auto& tensors = model_.tensors();
        done_.assign(tensors.size(), false);
        group_of_.assign(tensors.size(), {});
        std::vector<std::uint32_t> order(tensors.size());
        std::iota(order.begin(), order.end(), 0u);
        std::sort(order.begin(), order.end(), [&](auto a, auto b) { return std::tie(tensors[a].file, tensors[a].offset, a) < std::tie(tensors[b].file, tensors[b].offset, b); });
        std::vector<std::uint32_t> run;
        std::uint64_t bytes = 0;
        const auto close = [&] {
            for (const std::uint32_t i : run) group_of_[i] = run;
            run.clear();
            bytes = 0;
        };
        for (const std::uint32_t i : order) {
            const TensorInfo& t = tensors[i];
            if (t.bytes == 0) continue;
            const bool small = t.bytes < kSmallTensorBytes && dtype_bits(t.dtype) % 8 == 0;
            if (!run.empty()) {
                const TensorInfo& last = tensors[run.back()];
                const bool alike = last.file == t.file && last.offset + last.bytes == t.offset && last.dtype == t.dtype && same_prediction(run.back(), i);
                // Another layer begins a new group where this one is worth a block.
                const bool full = bytes >= kGroupBytes || (bytes >= kGroupBytes / 4 && tensor_part(last.name) != tensor_part(t.name));
                if (!small || !alike || full) close();
            }
            if (!small) continue;
            run.push_back(i);
            bytes += t.bytes;
        }
        close();
    }
    bool same_prediction(std::uint32_t a, std::uint32_t b) const {
        const TensorPair *p = pair_of(a), *q = pair_of(b);
        if (p == nullptr || q == nullptr) return p == q;
        return is_whole(a) && is_whole(b) && p->transform == q->transform;
    }

    void add_group(const std::vector<std::uint32_t>& group) {
        const TensorInfo& first = model_.tensors()[group.front()];
        PlannedBlock b;
        b.name = first.name + '+' + std::to_string(group.size() - 1) + "#0";
        b.file = static_cast<std::uint32_t>(model_.weight_file(first.file));
        b.file_offset = first.offset;
        b.dtype = first.dtype;
        for (const std::uint32_t i : group) {
            const TensorInfo& t = model_.tensors()[i];
            done_[i] = true;
            b.pieces.push_back({i, 0, t.bytes});
            b.size += t.bytes;
            if (const TensorPair* p = pair_of(i); p != nullptr && is_whole(i)) {
                b.base.push_back(range_of(*p, 0, t.elements()));
                b.transform = p->transform;
            }
        }
        add(std::move(b));
    }

    void add_tensor(std::uint32_t i) {
        const TensorInfo& t = model_.tensors()[i];
        done_[i] = true;
        const unsigned bits = dtype_bits(t.dtype);
        const TensorPair* pair = pair_of(i);
        // A multiple of 64 weights fills whole bytes for elements of 4 and 6 bits, too; a transform may need blocks to begin with a group.
        std::uint64_t group = 64;
        if (pair != nullptr && !pair->transform.empty())
            if (const auto transform = parse_transform(pair->transform); transform.ok()) group = std::max(group, transform->group());
        const std::uint64_t weights = std::max<std::uint64_t>(block_weights_ / group * group, group);
        const std::uint64_t step = std::min<std::uint64_t>(weights * bits / 8, kMaxBlockBytes / 64 * 64);
        // Where the base's counterpart ends (a vocabulary that grew), a block ends.
        const std::uint64_t predicted = pair == nullptr ? 0 : pair->weights == t.elements() ? t.bytes : pair->weights * bits / 8;
        std::uint32_t n = 0;
        for (std::uint64_t at = 0, size = 0; at < t.bytes; at += size) {
            size = std::min(step, t.bytes - at);
            if (at < predicted) size = std::min(size, predicted - at);
            PlannedBlock b;
            b.name = t.name + '#' + std::to_string(n++);
            b.file = static_cast<std::uint32_t>(model_.weight_file(t.file));
            b.file_offset = t.offset + at;
            b.size = size;
            b.dtype = t.dtype;
            b.pieces.push_back({i, at, size});
            if (at < predicted) {
                b.base.push_back(range_of(*pair, at * 8 / bits, size * 8 / bits));
                b.transform = pair->transform;
            }
            add(std::move(b));
        }
    }

    /// What no tensor of a file holds: all of a side file, the header of a weight file.
    void add_outside(std::uint32_t f) {
        const ModelFile& file = model_.files()[f];
        std::uint64_t bytes = file.size, base_bytes = 0;
        if (file.weights) {
            bytes = 0;
            for (std::uint32_t w = 0; w < model_.weight_files(); ++w)
                if (model_.weight_file(w) == f) bytes = model_.weight_header(w).header_bytes;
        } else if (base_ != nullptr && pairs_ != nullptr && bytes >= kPredictedSideFile && file.path != "config.json" && !file.path.ends_with(".index.json")) {
            if (const auto there = base_->read_side_file(file.path); there.ok()) base_bytes = there->size();
        }
        std::uint32_t n = 0;
        for (std::uint64_t at = 0; at < bytes; at += kSideBlockBytes) {
            PlannedBlock b;
            b.name = file.path + '#' + std::to_string(n++);
            b.file = f;
            b.file_offset = at;
            b.size = std::min(kSideBlockBytes, bytes - at);
            if (base_bytes > 0) {
                // Of equal length: most likely the same file, and then the same place.
                const std::uint64_t margin = base_bytes == bytes ? 0 : kSideWindow;
                const std::uint64_t from = std::min(at - std::min(at, margin), base_bytes), to = std::min(at + b.size + margin, base_bytes);
                if (from < to) b.base.push_back({file.path, from, to - from, true});
            }
            add(std::move(b));
        }
    }

    Status check_tiling(std::uint32_t f) {
        auto& order = plan_.of_file[f];
        std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return plan_.blocks[a].file_offset < plan_.blocks[b].file_offset; });
        std::uint64_t at = 0;
        for (const std::uint32_t b : order) {
            if (plan_.blocks[b].file_offset != at) return make_error(ErrorCode::kInternal, "blocks do not tile the file", model_.files()[f].path);
            at += plan_.blocks[b].size;
        }
        if (at != model_.files()[f].size) return make_error(ErrorCode::kInternal, "blocks do not fill the file", model_.files()[f].path);
        return {};
    }

    const ModelDirectory& model_;
    const ModelSource* base_;
    const PairPlan* pairs_;
    std::uint64_t block_weights_;
    BlockPlan plan_;
    std::vector<bool> done_;                            // [tensor] its blocks are planned
    std::vector<std::vector<std::uint32_t>> group_of_;  // [tensor] the tensors it shares a block with, itself among them
};

}  // namespace

Result<BlockPlan> plan_blocks(const ModelDirectory& model, const ModelSource* base, const PairPlan* pairs, std::uint64_t block_weights) {
    return Planner(model, base, pairs, block_weights).run();
}

BlockOwner block_owner(std::string_view block_name) {
    BlockOwner o;
    const auto hash = block_name.rfind('#');
    o.name = block_name.substr(0, hash);
    if (hash == std::string_view::npos) return o;
    const std::string_view part = block_name.substr(hash + 1);
    o.factors = part == "factors";
    const auto plus = o.name.rfind('+');
    if (part != "0" || plus == std::string_view::npos) return o;
    const std::string_view digits = o.name.substr(plus + 1);
    std::uint32_t more = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), more);
    if (error != std::errc() || end != digits.data() + digits.size() || more == 0) return o;
    o.more = more;
    o.name = o.name.substr(0, plus);
    return o;
}

std::uint64_t share_of(const PlannedBlock& block, std::size_t piece, std::uint64_t stored) {
    std::uint64_t before = 0;
    for (std::size_t i = 0; i < piece; ++i) before += block.pieces[i].size;
    return stored * (before + block.pieces[piece].size) / block.size - stored * before / block.size;
}

Status read_block(const ModelDirectory& model, const PlannedBlock& block, Bytes& out) {
    out.resize(static_cast<std::size_t>(block.size));
    if (block.in_tensor()) {
        std::span<std::byte> rest(out);
        for (const BlockPiece& p : block.pieces) {
            TENPAK_RETURN_IF_ERROR(model.read(model.tensors()[p.tensor], p.offset, rest.first(p.size)));
            rest = rest.subspan(p.size);
        }
        return {};
    }
    TENPAK_ASSIGN(const File file, File::open(model.file_path(model.files()[block.file])));
    return file.read_at(block.file_offset, out);
}

}  // namespace tenpak::delta
