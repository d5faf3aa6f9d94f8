// SPDX-License-Identifier: Apache-2.0
#include "core/delta/factor_cache.h"

#include <list>
#include <mutex>

#include "core/base/hash.h"
#include "core/delta/codec.h"

namespace tenpak::delta {

namespace {

constexpr std::size_t kCacheBytes = 192u << 20;

struct Cache {
    std::mutex m;  // held while factors are decoded: the threads that wait want the same ones
    std::list<std::pair<Digest, std::shared_ptr<const LowRankPredictor>>> recent;
    std::size_t bytes = 0;
};
Cache& cache() {
    static Cache c;
    return c;
}

Error with_place(Error e, const BlockInfo& info) {
    if (e.where.empty()) e.where = info.name;
    return e;
}

Result<std::shared_ptr<const LowRankPredictor>> load(const BlockSource& blocks, BlockId id) {
    const BlockInfo& info = blocks.blocks()[id];
    TENPAK_ASSIGN(const Bytes stored, blocks.read_block(id));
    auto factors = factors_decode(stored, info.raw_size);
    if (!factors.ok()) return with_place(std::move(factors).error(), info);
    const Bytes raw = factors_to_bytes(*factors);
    if (raw.size() != info.raw_size || sha256(raw) != info.raw_sha256)
        return make_error(ErrorCode::kIntegrity, "decoded factors differ from what was encoded", info.name, "The artifact is damaged: get it again");
    auto predictor = LowRankPredictor::make(*factors);
    if (!predictor.ok()) return with_place(std::move(predictor).error(), info);
    return std::make_shared<const LowRankPredictor>(std::move(*predictor));
}

}  // namespace

Result<std::shared_ptr<const LowRankPredictor>> predictor_of(const BlockSource& blocks, BlockId id) {
    if (id >= blocks.blocks().size() || blocks.blocks()[id].codec != kFactorsCodec)
        return make_error(ErrorCode::kMalformed, "a block names factors that are none", {}, "The artifact is damaged or made by a faulty program");
    // The name is the hash that the manifest declares: load() has compared it with the content.
    const Digest& name = blocks.blocks()[id].raw_sha256;
    Cache& c = cache();
    std::scoped_lock lock(c.m);
    for (auto it = c.recent.begin(); it != c.recent.end(); ++it) {
        if (it->first != name) continue;
        c.recent.splice(c.recent.begin(), c.recent, it);
        return it->second;
    }
    TENPAK_ASSIGN(auto predictor, load(blocks, id));
    c.bytes += predictor->memory_bytes();
    c.recent.emplace_front(name, predictor);
    while (c.bytes > kCacheBytes && c.recent.size() > 1) {
        c.bytes -= c.recent.back().second->memory_bytes();
        c.recent.pop_back();
    }
    return predictor;
}

}  // namespace tenpak::delta
