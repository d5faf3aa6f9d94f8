// SPDX-License-Identifier: Apache-2.0
// Whole texts through the model without a cache. Layers are the outer loop where their weights are streamed: the file is
// read once, however many texts there are. Both orders run the same batches, so that both give the same bits.
#include <algorithm>

#include "core/model/transformer_impl.h"

namespace tenpak::model {
namespace {

// Tokens of a batch: enough for full matrix tiles, few enough to hear "stop" between layers.
constexpr std::size_t kBatchTokens = 1024;

struct Group {
    Batch batch;
    std::size_t row = 0;  ///< of the output
};

std::vector<Group> grouped(std::span<const std::span<const Token>> windows, const Rope& rope) {
    std::vector<Group> groups;
    std::size_t row = 0;
    for (const auto& window : windows) {
        if (groups.empty() || groups.back().batch.tokens.size() + window.size() > kBatchTokens) groups.push_back({{}, row});
        groups.back().batch.add(window, 0, rope.variant(static_cast<std::uint32_t>(window.size())));
        row += window.size();
    }
    return groups;
}

}  // namespace

Status Transformer::Impl::window_states(std::span<const std::span<const Token>> windows, std::vector<float>& out) {
    std::size_t rows = 0;
    for (const auto& window : windows) {
        if (window.empty()) return make_error(ErrorCode::kInvalidArgument, "a text without tokens");
        rows += window.size();
    }
    const std::size_t dim = config.hidden;
    std::vector<Group> groups = grouped(windows, config.rope);
    out.resize(rows * dim);
    const auto rows_of = [&](const Group& g) { return std::span(out).subspan(g.row * dim, g.batch.tokens.size() * dim); };
    const auto start = [&](const Group& g) -> Status {
        TENPAK_RETURN_IF_ERROR(embed(g.batch.tokens, g.batch.positions, host_rows));
        std::copy(host_rows.begin(), host_rows.end(), rows_of(g).begin());
        return {};
    };
    const auto leave = [&](const Group& g) { return backend.download(hidden.data(), rows_of(g).size(), rows_of(g).data()); };
    const auto finish = [&](const Group& g) -> Status {
        norm(final_norm, hidden, static_cast<std::uint32_t>(g.batch.tokens.size()), config.hidden, hidden);
        return leave(g);
    };
    if (!plan.streamed) {
        for (const Group& g : groups) {
            TENPAK_RETURN_IF_ERROR(start(g));
            TENPAK_RETURN_IF_ERROR(hidden.assign(rows_of(g)));
            for (std::uint32_t l = 0; l < config.layers; ++l) TENPAK_RETURN_IF_ERROR(block(l, g.batch, {}));
            TENPAK_RETURN_IF_ERROR(finish(g));
        }
        return {};
    }
    for (const Group& g : groups) TENPAK_RETURN_IF_ERROR(start(g));
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        for (const Group& g : groups) {
            TENPAK_RETURN_IF_ERROR(hidden.assign(rows_of(g)));
            TENPAK_RETURN_IF_ERROR(block(l, g.batch, {}));
            TENPAK_RETURN_IF_ERROR(l + 1 == config.layers ? finish(g) : leave(g));
        }
    }
    return {};
}

std::uint32_t Transformer::windows_at_once(std::uint32_t length) const {
    const Impl& m = *impl_;
    const std::uint64_t each = std::max(1u, length), batch = std::max<std::uint64_t>(1, kBatchTokens / each);
    if (!m.plan.streamed) return static_cast<std::uint32_t>(batch);
    // Half of what the plan leaves: the KV cache that it counts is not used here.
    const std::uint64_t taken = m.plan.streamed_total() - m.plan.kv_cache;
    const std::uint64_t left = m.plan.available > taken ? (m.plan.available - taken) / 2 : 0;
    const std::uint64_t fit = left / (each * m.config.hidden * sizeof(float));
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fit, batch, 1u << 20));
}

}  // namespace tenpak::model
