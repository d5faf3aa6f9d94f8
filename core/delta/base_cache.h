// SPDX-License-Identifier: Apache-2.0
// SHA-256 of base tensors, remembered by the identity of the file that holds them (device, inode, size, modification
// time), so that a warm base costs nothing. One small JSON file a weight file, under $XDG_CACHE_HOME/tenpak/base.
// A cache that cannot be read or written is no error: the hash is computed.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// Thread-safe.
class BaseCache {
   public:
    /// $XDG_CACHE_HOME or ~/.cache; empty where neither is known (then nothing is kept).
    static fs::path default_folder();
    explicit BaseCache(fs::path folder = default_folder());
    ~BaseCache();  ///< saves

    /// `fresh`: hash even if a remembered value exists (and remember the new one).
    Result<Digest> digest(const ModelSource& base, const TensorInfo& tensor, bool fresh, const JobContext& ctx);
    /// Digests of several tensors, in parallel; progress under `phase`. Same order as `tensors`.
    Result<std::vector<Digest>> digests(const ModelSource& base, const std::vector<const TensorInfo*>& tensors, bool fresh, unsigned threads,
                                        const char* phase, const JobContext& ctx);
    std::size_t computed() const { return computed_; }  ///< hashes that were not remembered
    void save() noexcept;

   private:
    struct Entry {
        FileIdentity identity;
        std::map<std::string, Digest> known;  ///< "offset+bytes" -> digest
        bool changed = false;
    };
    Entry& entry(const FileIdentity& identity);
    fs::path file_of(const FileIdentity& identity) const;

    fs::path folder_;
    std::mutex m_;
    std::map<std::string, Entry> entries_;
    std::size_t computed_ = 0;
};

}  // namespace tenpak::delta
