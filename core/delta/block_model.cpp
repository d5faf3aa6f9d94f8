// SPDX-License-Identifier: Apache-2.0
// The blocks of a model as a ModelSource (reconstruct.h: open_blocks_as_model).
#include <algorithm>
#include <list>
#include <mutex>
#include <set>
#include <unordered_map>

#include "core/base/json.h"
#include "core/delta/reconstruct.h"

namespace tenpak::delta {

namespace {

constexpr std::size_t kCacheBytes = 64u << 20;
constexpr std::uint64_t kMaxSideFile = 256u << 20;

class BlockModel : public ModelSource {
   public:
    BlockModel(std::shared_ptr<const BlockSource> blocks, std::shared_ptr<const ModelSource> base, std::string id)
        : blocks_(std::move(blocks)), base_(std::move(base)), id_(std::move(id)) {}

    Status open() {
        for (std::size_t f = 0; f < blocks_->files().size(); ++f) {
            const FileRecord& record = blocks_->files()[f];
            auto& begins = begins_.emplace_back();
            std::uint64_t at = 0;
            for (const BlockId b : record.blocks) {
                if (b >= blocks_->blocks().size()) return make_error(ErrorCode::kMalformed, "a file names a block that is not there", record.path);
                begins.push_back(at);
                at += blocks_->blocks()[b].raw_size;
            }
            if (at != record.size) return make_error(ErrorCode::kMalformed, "the blocks of a file do not add up to its size", record.path);
        }
        TENPAK_ASSIGN(weight_files_, find_weight_files());
        for (std::uint32_t w = 0; w < weight_files_.size(); ++w) {
            const std::size_t f = weight_files_[w];
            const FileRecord& record = blocks_->files()[f];
            const std::string where = id_ + ", " + record.path;
            if (record.size < 8) return make_error(ErrorCode::kMalformed, "too short for a safetensors file", where);
            std::uint64_t n = 0;
            TENPAK_RETURN_IF_ERROR(read_file_range(f, 0, std::as_writable_bytes(std::span(&n, 1))));
            if (n > kMaxSafetensorsHeader || n > record.size - 8) return make_error(ErrorCode::kMalformed, "the safetensors header is longer than its file", where);
            Bytes prefix(static_cast<std::size_t>(n + 8));
            TENPAK_RETURN_IF_ERROR(read_file_range(f, 0, prefix));
            TENPAK_ASSIGN(SafetensorsHeader header, parse_safetensors_header(prefix, record.size, where));
            for (TensorInfo& t : header.tensors) {
                t.file = w;
                tensors_.push_back(std::move(t));
            }
        }
        index_names();
        std::set<std::string_view> names;
        for (const TensorInfo& t : tensors_)
            if (!names.insert(t.name).second) return make_error(ErrorCode::kMalformed, "a tensor is in two files", id_ + ", tensor " + t.name);
        return {};
    }

    const std::string& id() const override { return id_; }
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    Status read(const TensorInfo& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override {
        if (tensor.file >= weight_files_.size() || byte_offset > tensor.bytes || out.size() > tensor.bytes - byte_offset)
            return make_error(ErrorCode::kInvalidArgument, "a read beyond the tensor's end", id_ + ", tensor " + tensor.name);
        return read_file_range(weight_files_[tensor.file], tensor.offset + byte_offset, out);
    }
    Result<Bytes> read_side_file(std::string_view path) const override {
        for (std::size_t f = 0; f < blocks_->files().size(); ++f) {
            const FileRecord& record = blocks_->files()[f];
            if (record.path != path) continue;
            if (record.size > kMaxSideFile) return make_error(ErrorCode::kUnsupported, "too large to read at once", record.path);
            Bytes out(static_cast<std::size_t>(record.size));
            TENPAK_RETURN_IF_ERROR(read_file_range(f, 0, out));
            return out;
        }
        return make_error(ErrorCode::kNotFound, "no such file in the model", id_ + ", " + std::string(path));
    }

   private:
    /// As ModelDirectory chooses: model.safetensors, else the index's shards, else all .safetensors of the root.
    Result<std::vector<std::size_t>> find_weight_files() const {
        std::vector<std::size_t> all;
        std::size_t index = blocks_->files().size();
        for (std::size_t f = 0; f < blocks_->files().size(); ++f) {
            const std::string& path = blocks_->files()[f].path;
            if (path == "model.safetensors") return std::vector<std::size_t>{f};
            if (path == "model.safetensors.index.json") index = f;
            if (path.ends_with(".safetensors") && path.find('/') == path.npos) all.push_back(f);
        }
        if (index < blocks_->files().size()) {
            TENPAK_ASSIGN(const Bytes text, read_side_file("model.safetensors.index.json"));
            TENPAK_ASSIGN(const Json j, parse_json(as_text(text), id_ + ", model.safetensors.index.json"));
            TENPAK_ASSIGN(const Json map, json_get<Json>(j, "weight_map", id_));
            std::set<std::string> shards;
            for (const auto& item : map.items())
                if (item.value().is_string()) shards.insert(item.value().get<std::string>());
            std::vector<std::size_t> named;
            for (std::size_t f = 0; f < blocks_->files().size(); ++f)
                if (shards.contains(blocks_->files()[f].path)) named.push_back(f);
            if (named.size() != shards.size()) return make_error(ErrorCode::kMalformed, "a shard that the index names is missing", id_);
            return named;
        }
        if (all.empty()) return make_error(ErrorCode::kUnsupported, "no .safetensors file in it", id_);
        return all;
    }

    Status read_file_range(std::size_t file, std::uint64_t offset, std::span<std::byte> out) const {
        const FileRecord& record = blocks_->files()[file];
        const auto& begins = begins_[file];
        auto i = static_cast<std::size_t>(std::upper_bound(begins.begin(), begins.end(), offset) - begins.begin());
        while (!out.empty()) {
            // Blocks of no bytes share their begin with the next: upper_bound found the last of them.
            if (i == 0 || i > begins.size()) return make_error(ErrorCode::kInternal, "a read beyond the file's end", record.path);
            TENPAK_ASSIGN(const std::shared_ptr<const Bytes> block, cached(record.blocks[i - 1]));
            const auto from = static_cast<std::size_t>(offset - begins[i - 1]);
            const std::size_t n = std::min(out.size(), block->size() - std::min(from, block->size()));
            std::copy_n(block->begin() + static_cast<std::ptrdiff_t>(std::min(from, block->size())), n, out.begin());
            out = out.subspan(n);
            offset += n;
            ++i;
        }
        return {};
    }

    Result<std::shared_ptr<const Bytes>> cached(BlockId id) const {
        {
            std::scoped_lock lock(m_);
            if (const auto it = known_.find(id); it != known_.end()) {
                recent_.splice(recent_.begin(), recent_, it->second);
                return it->second->second;
            }
        }
        TENPAK_ASSIGN(Bytes raw, decode_block(*blocks_, id, base_.get()));
        auto block = std::make_shared<const Bytes>(std::move(raw));
        std::scoped_lock lock(m_);
        if (known_.contains(id)) return block;  // another thread was faster
        recent_.emplace_front(id, block);
        known_[id] = recent_.begin();
        held_ += block->size();
        while (held_ > kCacheBytes && recent_.size() > 1) {
            held_ -= recent_.back().second->size();
            known_.erase(recent_.back().first);
            recent_.pop_back();
        }
        return block;
    }

    std::shared_ptr<const BlockSource> blocks_;
    std::shared_ptr<const ModelSource> base_;
    std::string id_;
    std::vector<TensorInfo> tensors_;
    std::vector<std::size_t> weight_files_;               // index into the source's files
    std::vector<std::vector<std::uint64_t>> begins_;      // [file][block]: where it begins in the file
    using Entry = std::pair<BlockId, std::shared_ptr<const Bytes>>;
    mutable std::mutex m_;
    mutable std::list<Entry> recent_;
    mutable std::unordered_map<BlockId, std::list<Entry>::iterator> known_;
    mutable std::size_t held_ = 0;
};

}  // namespace

Result<std::shared_ptr<const ModelSource>> open_blocks_as_model(std::shared_ptr<const BlockSource> blocks, std::shared_ptr<const ModelSource> base, std::string id) {
    try {
        auto model = std::make_shared<BlockModel>(std::move(blocks), std::move(base), std::move(id));
        TENPAK_RETURN_IF_ERROR(model->open());
        return std::shared_ptr<const ModelSource>(std::move(model));
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to open the model");
    }
}

}  // namespace tenpak::delta
