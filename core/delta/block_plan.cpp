// SPDX-License-Identifier: Apache-2.0
#include "core/delta/block_plan.h"

#include <algorithm>

#include "core/delta/payload.h"

namespace tenpak::delta {

Result<BlockPlan> plan_blocks(const ModelDirectory& model, const PairPlan* pairs, std::uint64_t block_weights) {
    BlockPlan plan;
    plan.of_file.resize(model.files().size());
    plan.raw_bytes = model.total_bytes();
    if (block_weights == 0) return make_error(ErrorCode::kInvalidArgument, "blocks of no weights");
    for (const std::uint32_t i : layer_order(model.tensors())) {
        const TensorInfo& t = model.tensors()[i];
        const unsigned bits = dtype_bits(t.dtype);
        // A multiple of 64 weights fills whole bytes for elements of 4 and 6 bits, too.
        const std::uint64_t weights = std::max<std::uint64_t>(block_weights / 64 * 64, 64);
        const std::uint64_t step = std::min<std::uint64_t>(weights * bits / 8, kMaxBlockBytes / 64 * 64);
        std::uint32_t n = 0;
        for (std::uint64_t at = 0; at < t.bytes; at += step) {
            PlannedBlock b;
            b.name = t.name + '#' + std::to_string(n++);
            b.file = static_cast<std::uint32_t>(model.weight_file(t.file));
            b.file_offset = t.offset + at;
            b.size = std::min(step, t.bytes - at);
            b.dtype = t.dtype;
            b.tensor = i;
            b.tensor_offset = at;
            if (pairs != nullptr) b.base = pairs->pairs[i].base;
            plan.of_file[b.file].push_back(static_cast<std::uint32_t>(plan.blocks.size()));
            plan.blocks.push_back(std::move(b));
        }
    }
    std::vector<std::uint64_t> outside(model.files().size());  // bytes of each file that no tensor holds, at its begin
    for (std::size_t f = 0; f < outside.size(); ++f) outside[f] = model.files()[f].weights ? 0 : model.files()[f].size;
    std::uint32_t weight_files = 0;
    for (const ModelFile& f : model.files()) weight_files += f.weights ? 1 : 0;
    for (std::uint32_t w = 0; w < weight_files; ++w) outside[model.weight_file(w)] = model.weight_header(w).header_bytes;
    for (std::uint32_t f = 0; f < outside.size(); ++f) {
        std::uint32_t n = 0;
        for (std::uint64_t at = 0; at < outside[f]; at += kSideBlockBytes) {
            PlannedBlock b;
            b.name = model.files()[f].path + '#' + std::to_string(n++);
            b.file = f;
            b.file_offset = at;
            b.size = std::min(kSideBlockBytes, outside[f] - at);
            plan.of_file[f].push_back(static_cast<std::uint32_t>(plan.blocks.size()));
            plan.blocks.push_back(std::move(b));
        }
        auto& order = plan.of_file[f];
        std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return plan.blocks[a].file_offset < plan.blocks[b].file_offset; });
        std::uint64_t at = 0;
        for (const std::uint32_t b : order) {
            if (plan.blocks[b].file_offset != at) return make_error(ErrorCode::kInternal, "blocks do not tile the file", model.files()[f].path);
            at += plan.blocks[b].size;
        }
        if (at != model.files()[f].size) return make_error(ErrorCode::kInternal, "blocks do not fill the file", model.files()[f].path);
    }
    return plan;
}

Status read_block(const ModelDirectory& model, const PlannedBlock& block, Bytes& out) {
    out.resize(static_cast<std::size_t>(block.size));
    if (block.tensor) return model.read(model.tensors()[*block.tensor], block.tensor_offset, out);
    TENPAK_ASSIGN(const File file, File::open(model.file_path(model.files()[block.file])));
    return file.read_at(block.file_offset, out);
}

}  // namespace tenpak::delta
