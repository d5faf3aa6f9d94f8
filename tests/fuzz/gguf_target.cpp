// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/tensor/gguf.h"
#include "tests/fuzz/targets.h"
#include "tests/support/gguf_builder.h"

namespace tenpak::fuzz {

void gguf_target(Input input) {
    const auto h = parse_gguf_header(input, "fuzz");
    if (!h.ok()) {
        if (h.error().what.empty() || h.error().text().find('\n') != std::string::npos) std::abort();
        return;
    }
    // What was accepted lies inside the file, aligned, in whole blocks; blocks of any bits can be read.
    for (const GgufTensor& t : h->tensors) {
        const GgmlTypeInfo& info = ggml_type_info(t.type);
        if (t.offset % h->alignment != 0 || t.offset > input.size() || t.bytes > input.size() - t.offset) std::abort();
        if (t.elements() / info.weights * info.bytes != t.bytes) std::abort();
        if (!info.readable || t.bytes < info.bytes) continue;
        float out[256];
        dequantize_blocks(t.type, input.data() + t.offset, 1, out);
    }
}

std::vector<std::string> gguf_seeds() {
    test::GgufBytes small(3, 0, 0);
    test::GgufBytes all(3, 3, 3);
    all.key("general.architecture", GgufType::kString).text("llama");
    all.key("general.alignment", GgufType::kU32).put(std::uint32_t{32});
    all.key("tokens", GgufType::kArray).put(static_cast<std::uint32_t>(GgufType::kString)).put(std::uint64_t{2}).text("a").text("bc");
    all.tensor("a", {32, 2}, GgmlType::kQ4_0, 0).tensor("b", {256}, GgmlType::kQ6_K, 64).tensor("c", {3}, GgmlType::kF16, 288);
    all.pad(32).fill(320);
    return {small.out, all.out};
}

}  // namespace tenpak::fuzz
