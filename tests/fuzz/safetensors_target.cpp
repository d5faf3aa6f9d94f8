// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/tensor/safetensors.h"
#include "tests/fuzz/targets.h"
#include "tests/support/safetensors_builder.h"

namespace tenpak::fuzz {

void safetensors_target(Input input) {
    const auto h = parse_safetensors_header(input, input.size(), "fuzz");
    if (!h.ok()) {
        if (h.error().what.empty() || h.error().text().find('\n') != std::string::npos) std::abort();
        return;
    }
    // What was accepted keeps the format's promises: tensors cover the data without holes, inside the file.
    std::uint64_t end = h->header_bytes;
    for (const TensorInfo& t : h->tensors) {
        if (t.offset != end || t.bytes > input.size() - end) std::abort();
        if (t.elements() * dtype_bits(t.dtype) != t.bytes * 8) std::abort();
        end += t.bytes;
    }
    if (end != input.size()) std::abort();
}

std::vector<std::string> safetensors_seeds() {
    return {
        test::small_safetensors({{"a", 4}, {"model.layers.0.b", 7}}),
        test::safetensors_bytes("{}", ""),
        test::safetensors_bytes(R"({"__metadata__":{"format":"pt","k":"v"},"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"y":{"dtype":"I64","shape":[],"data_offsets":[24,32]},"z":{"dtype":"F4","shape":[2,0],"data_offsets":[32,32]}}   )",
                                std::string(32, 'd')),
    };
}

}  // namespace tenpak::fuzz
