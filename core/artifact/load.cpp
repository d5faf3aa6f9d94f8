// SPDX-License-Identifier: Apache-2.0
// Decoding an artifact's parts: what needs the delta engine.
#include <algorithm>

#include "core/artifact/artifact.h"
#include "core/artifact/tensor_map.h"
#include "core/delta/reconstruct.h"
#include "core/quant/layouts/gguf_model.h"

namespace tenpak {
namespace {

Result<Bytes> decode_tensor(const Artifact& artifact, const artifact::MappedTensor& tensor, const ModelSource* base) {
    Bytes data;
    data.reserve(tensor.info.bytes);
    for (const auto& piece : tensor.pieces) {
        TENPAK_ASSIGN(const Bytes raw, delta::decode_block(artifact, piece.block, base));
        const auto from = raw.begin() + static_cast<std::ptrdiff_t>(piece.skip);
        data.insert(data.end(), from, from + static_cast<std::ptrdiff_t>(piece.size));
    }
    return data;
}

}  // namespace

Result<std::vector<BlockId>> Artifact::part(std::string_view name) const {
    try {
        std::vector<BlockId> ids;
        for (const FileRecord& f : files()) {
            if (f.path == name) ids = f.blocks;
        }
        TENPAK_ASSIGN(const artifact::TensorMap map, artifact::map_tensors(*this));
        if (name == "files") ids = map.files;
        for (const auto& t : map.tensors) {
            if (t.part != name && t.info.name != name) continue;
            for (const auto& piece : t.pieces) ids.push_back(piece.block);
        }
        if (ids.empty()) return make_error(ErrorCode::kNotFound, "no part \"" + std::string(name) + "\" in the artifact", path().string());
        for (std::size_t i = 0, n = ids.size(); i < n; ++i)
            if (const auto factors = blocks()[ids[i]].factors) ids.push_back(*factors);
        std::sort(ids.begin(), ids.end());
        ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
        return ids;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the list of tensors", path().string());
    }
}

Result<std::vector<TensorInfo>> Artifact::tensors() const {
    try {
        TENPAK_ASSIGN(artifact::TensorMap map, artifact::map_tensors(*this));
        std::vector<TensorInfo> out;
        out.reserve(map.tensors.size());
        for (auto& t : map.tensors) out.push_back(std::move(t.info));
        return out;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the list of tensors", path().string());
    }
}

Result<Bytes> Artifact::read_side_file(std::string_view name) const {
    constexpr std::uint64_t kMaxSideFile = 256u << 20;
    try {
        for (const FileRecord& f : files()) {
            if (f.path != name) continue;
            if (f.size > kMaxSideFile) return make_error(ErrorCode::kUnsupported, "a side file of more than 256 MiB", path().string() + ", file " + f.path);
            Bytes out;
            for (const BlockId id : f.blocks) {
                TENPAK_ASSIGN(const Bytes b, delta::decode_block(*this, id, nullptr));
                out.insert(out.end(), b.begin(), b.end());
            }
            return out;
        }
        return make_error(ErrorCode::kNotFound, "no file " + std::string(name) + " in the artifact", path().string());
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a side file", path().string());
    }
}

Result<std::vector<std::pair<std::string, Bytes>>> Artifact::load_chunk(std::string_view part_name, const ModelSource* base) const {
    try {
        TENPAK_ASSIGN(const artifact::TensorMap map, artifact::map_tensors(*this));
        std::vector<std::pair<std::string, Bytes>> out;
        for (const auto& t : map.tensors) {
            if (t.part != part_name && t.info.name != part_name) continue;
            TENPAK_ASSIGN(Bytes data, decode_tensor(*this, t, base));
            out.emplace_back(t.info.name, std::move(data));
        }
        if (out.empty()) return make_error(ErrorCode::kNotFound, "no part \"" + std::string(part_name) + "\" in the artifact", path().string());
        return out;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the part", path().string());
    }
}

Status Artifact::stream_layers(const ModelSource* base,
                               const std::function<Status(const std::string& part, const std::string& tensor, Bytes data)>& on_part,
                               const JobContext& ctx) const {
    try {
        TENPAK_ASSIGN(const artifact::TensorMap map, artifact::map_tensors(*this));
        for (const auto& t : map.tensors) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            TENPAK_ASSIGN(Bytes data, decode_tensor(*this, t, base));
            TENPAK_RETURN_IF_ERROR(on_part(t.part, t.info.name, std::move(data)));
        }
        return {};
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a tensor", path().string());
    }
}

Result<std::shared_ptr<const ModelSource>> open_model(const fs::path& path, const fs::path& base) {
    std::error_code ec;
    if (!looks_like_artifact(path) || !fs::exists(path, ec)) {
        if (quant::GgufModel::is_gguf(path)) {
            TENPAK_ASSIGN(auto gguf, quant::GgufModel::open(path));
            return std::shared_ptr<const ModelSource>(std::move(gguf));
        }
        TENPAK_ASSIGN(auto directory, ModelDirectory::open(path));
        return std::shared_ptr<const ModelSource>(std::move(directory));
    }
    TENPAK_ASSIGN(auto artifact, Artifact::open(path));
    std::shared_ptr<const ModelSource> base_model;
    if (delta::needs_base(*artifact)) {
        if (base.empty()) {
            return make_error(ErrorCode::kInvalidArgument, "this artifact is a delta of " + (artifact->model().base ? artifact->model().base->id : "a base"), path.string(), "Name its base with --base");
        }
        TENPAK_ASSIGN(base_model, open_model(base, {}));
        TENPAK_RETURN_IF_ERROR(delta::check_base(*artifact, base_model.get(), false, {}));
    }
    return delta::open_blocks_as_model(std::move(artifact), std::move(base_model), path.filename().string());
}

}  // namespace tenpak
