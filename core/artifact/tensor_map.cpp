// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/tensor_map.h"

#include <algorithm>
#include <cstring>

#include "core/delta/reconstruct.h"
#include "core/tensor/model_source.h"

namespace tenpak::artifact {
namespace {

/// The first 8 + N bytes of a weight file, from as many decoded blocks as that takes.
Result<SafetensorsHeader> read_header(const BlockSource& source, const FileRecord& file) {
    Bytes prefix;
    std::uint64_t need = 8;
    for (const BlockId id : file.blocks) {
        if (prefix.size() >= need) break;
        TENPAK_ASSIGN(const Bytes b, delta::decode_block(source, id, nullptr));
        prefix.insert(prefix.end(), b.begin(), b.end());
        if (need == 8 && prefix.size() >= 8) {
            std::uint64_t n = 0;
            std::memcpy(&n, prefix.data(), 8);
            if (n <= kMaxSafetensorsHeader) need += n;
        }
    }
    return parse_safetensors_header(prefix, file.size, file.path);
}

}  // namespace

Result<TensorMap> map_tensors(const BlockSource& source) {
    TensorMap map;
    std::vector<TensorInfo> infos;
    std::vector<MappedTensor> mapped;
    std::uint32_t weight_file = 0;
    for (const FileRecord& file : source.files()) {
        if (!file.path.ends_with(".safetensors")) {
            map.files.insert(map.files.end(), file.blocks.begin(), file.blocks.end());
            continue;
        }
        TENPAK_ASSIGN(SafetensorsHeader header, read_header(source, file));
        std::size_t t = 0;
        for (TensorInfo& info : header.tensors) {
            info.file = weight_file;
            mapped.push_back({info, tensor_part(info.name), {}});
            infos.push_back(std::move(info));
        }
        ++weight_file;
        // Tensors and blocks both lie in order: one walk over the two.
        MappedTensor* const first = mapped.data() + (mapped.size() - header.tensors.size());
        std::uint64_t begin = 0;
        for (const BlockId id : file.blocks) {
            const std::uint64_t end = begin + source.blocks()[id].raw_size;
            if (begin < header.header_bytes) map.files.push_back(id);
            while (t < header.tensors.size() && first[t].info.offset + first[t].info.bytes <= begin) ++t;
            for (std::size_t k = t; k < header.tensors.size() && first[k].info.offset < end; ++k) {
                const std::uint64_t from = std::max(begin, first[k].info.offset), to = std::min(end, first[k].info.offset + first[k].info.bytes);
                if (from < to) first[k].pieces.push_back({id, from - begin, to - from});
            }
            begin = end;
        }
    }
    std::sort(map.files.begin(), map.files.end());
    map.files.erase(std::unique(map.files.begin(), map.files.end()), map.files.end());
    for (const std::uint32_t i : layer_order(infos)) map.tensors.push_back(std::move(mapped[i]));
    return map;
}

}  // namespace tenpak::artifact
