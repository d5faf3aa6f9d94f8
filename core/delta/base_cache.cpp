// SPDX-License-Identifier: Apache-2.0
#include "core/delta/base_cache.h"

#include <atomic>
#include <chrono>
#include <cstdlib>

#include "core/base/json.h"
#include "core/base/thread_pool.h"

namespace tenpak::delta {

namespace {

constexpr std::uint64_t kMaxCacheFile = 16u << 20;
/// A file changed this recently may change again within the clock's grain: its hashes are not kept.
constexpr std::uint64_t kSettledNs = 1'000'000'000;

std::string identity_text(const FileIdentity& i) {
    return std::to_string(i.device) + '-' + std::to_string(i.inode) + '-' + std::to_string(i.size) + '-' + std::to_string(i.mtime_ns);
}
std::string range_text(const TensorInfo& t) { return std::to_string(t.offset) + '+' + std::to_string(t.bytes); }

bool settled(const FileIdentity& i) {
    const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    return now > 0 && static_cast<std::uint64_t>(now) > i.mtime_ns && static_cast<std::uint64_t>(now) - i.mtime_ns > kSettledNs;
}

}  // namespace

fs::path BaseCache::default_folder() {
    if (const char* x = std::getenv("XDG_CACHE_HOME"); x != nullptr && *x == '/') return fs::path(x) / "tenpak" / "base";
    if (const char* h = std::getenv("HOME"); h != nullptr && *h == '/') return fs::path(h) / ".cache" / "tenpak" / "base";
    return {};
}

BaseCache::BaseCache(fs::path folder) : folder_(std::move(folder)) {}
BaseCache::~BaseCache() { save(); }

fs::path BaseCache::file_of(const FileIdentity& identity) const {
    // By device and inode alone: a changed file replaces what was kept of its older self.
    const std::string key = std::to_string(identity.device) + '-' + std::to_string(identity.inode);
    return folder_ / (key + ".json");
}

BaseCache::Entry& BaseCache::entry(const FileIdentity& identity) {
    const auto [it, fresh] = entries_.try_emplace(identity_text(identity));
    Entry& e = it->second;
    if (!fresh) return e;
    e.identity = identity;
    if (folder_.empty()) return e;
    const auto text = read_text_file(file_of(identity), kMaxCacheFile);
    if (!text.ok()) return e;
    const auto j = parse_json(*text, "base cache");
    if (!j.ok()) return e;
    const auto file = json_get<std::string>(*j, "file", "base cache");
    const auto known = json_get<Json>(*j, "sha256", "base cache");
    if (!file.ok() || !known.ok() || *file != identity_text(identity) || !known->is_object()) return e;
    for (const auto& [range, hex] : known->items()) {
        if (!hex.is_string()) continue;
        if (const auto d = digest_from_hex(hex.get<std::string>())) e.known[range] = *d;
    }
    return e;
}

Result<Digest> BaseCache::digest(const ModelSource& base, const TensorInfo& tensor, bool fresh, const JobContext& ctx) {
    // Only files have an identity; what is decoded from an artifact is hashed each time.
    const auto* directory = dynamic_cast<const ModelDirectory*>(&base);
    if (directory == nullptr) return tensor_digest(base, tensor, ctx);
    const FileIdentity identity = directory->weight_handle(tensor.file).identity();
    const std::string range = range_text(tensor);
    if (!fresh) {
        std::scoped_lock lock(m_);
        const Entry& e = entry(identity);
        if (const auto it = e.known.find(range); it != e.known.end()) return it->second;
    }
    TENPAK_ASSIGN(const Digest d, tensor_digest(base, tensor, ctx));
    std::scoped_lock lock(m_);
    ++computed_;
    Entry& e = entry(identity);
    e.known[range] = d;
    e.changed = true;
    return d;
}

Result<std::vector<Digest>> BaseCache::digests(const ModelSource& base, const std::vector<const TensorInfo*>& tensors, bool fresh, unsigned threads,
                                               const char* phase, const JobContext& ctx) {
    std::vector<Digest> out(tensors.size());
    std::uint64_t total = 0, done = 0;
    for (const TensorInfo* t : tensors) total += t->bytes;
    std::mutex m;
    ThreadPool pool(threads == 0 ? usable_cpus() : threads);
    TENPAK_RETURN_IF_ERROR(pool.try_parallel_for(tensors.size(), ctx, [&](std::size_t i, unsigned) -> Status {
        TENPAK_ASSIGN(out[i], digest(base, *tensors[i], fresh, ctx));
        std::scoped_lock lock(m);
        done += tensors[i]->bytes;
        ctx.report({phase, done, total, "bytes", tensors[i]->name});
        return {};
    }));
    return out;
}

void BaseCache::save() noexcept {
    try {
        std::scoped_lock lock(m_);
        if (folder_.empty()) return;
        for (auto& [key, e] : entries_) {
            if (!e.changed || !settled(e.identity)) continue;
            Json known = Json::object();
            for (const auto& [range, d] : e.known) known[range] = to_hex(d);
            std::error_code ec;
            fs::create_directories(folder_, ec);
            const std::string text = canonical_json({{"file", key}, {"sha256", std::move(known)}});
            if (write_file_atomic(file_of(e.identity), as_bytes(text)).ok()) e.changed = false;
        }
    } catch (...) {
        // A cache that cannot be written costs time later, nothing else.
    }
}

}  // namespace tenpak::delta
