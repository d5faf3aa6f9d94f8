// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/pairs.h"

#include <cstring>

#include "core/base/half.h"
#include "tests/bench/peers.h"
#include "tests/bench/program.h"

namespace tenpak::bench {

namespace {

Bytes whole(const fs::path& p) { return need(read_file(p, std::uint64_t{8} << 30)); }

float as_float(const std::byte* p, DType t) {
    if (t == DType::kF32) {
        float f = 0;
        std::memcpy(&f, p, 4);
        return f;
    }
    std::uint16_t h = 0;
    std::memcpy(&h, p, 2);
    return t == DType::kBF16 ? bf16_to_float(h) : fp16_to_float(h);
}
Bytes cast(const Bytes& from, DType a, DType b) {
    const std::size_t wa = dtype_bits(a) / 8, wb = dtype_bits(b) / 8, n = from.size() / wa;
    Bytes to(n * wb);
    for (std::size_t i = 0; i < n; ++i) {
        const float f = as_float(from.data() + i * wa, a);
        if (b == DType::kF32) {
            std::memcpy(to.data() + i * wb, &f, 4);
        } else {
            const std::uint16_t h = b == DType::kBF16 ? float_to_bf16(f) : float_to_fp16(f);
            std::memcpy(to.data() + i * wb, &h, 2);
        }
    }
    return to;
}
bool castable(DType t) { return t == DType::kF32 || t == DType::kBF16 || t == DType::kF16; }

}  // namespace

Pair load_pair(const std::string& name, const fs::path& base_path, const fs::path& fine_path) {
    Pair p;
    p.name = name;
    p.base_path = base_path;
    p.fine_path = fine_path;
    const auto base = need(ModelDirectory::open(base_path)), fine = need(ModelDirectory::open(fine_path));
    p.raw = fine->total_bytes();
    p.weights = fine->parameters();
    for (const TensorInfo& t : fine->tensors()) {
        Bytes f(t.bytes);
        need(fine->read(t, 0, f));
        const TensorInfo* b = base->find(t.name);
        const bool cast_base = b != nullptr && b->dtype != t.dtype;
        if (b == nullptr || b->shape != t.shape || t.bytes == 0 ||
            (cast_base && (!castable(b->dtype) || !castable(t.dtype)))) {
            p.rest += static_cast<double>(zstd_plain(f, 19).size());
            continue;
        }
        Bytes g(b->bytes);
        need(base->read(*b, 0, g));
        if (cast_base) g = cast(g, b->dtype, t.dtype);
        p.paired += f.size();
        p.tensors.push_back({t.name, t.dtype, std::move(f), std::move(g), cast_base});
    }
    for (const ModelFile& f : fine->files()) {
        if (!f.weights) {
            const Bytes all = whole(fine->file_path(f));
            const auto same = base->read_side_file(f.path);
            if (!same.ok() || *same != all) p.rest += static_cast<double>(zstd_plain(all, 19).size());
            continue;
        }
        const File file = need(File::open(fine->file_path(f)));
        std::uint64_t head = 0;
        need(file.read_at(0, std::as_writable_bytes(std::span(&head, 1))));
        Bytes header(8 + head);
        need(file.read_at(0, header));
        p.rest += static_cast<double>(zstd_plain(header, 19).size());
    }
    return p;
}

}  // namespace tenpak::bench
