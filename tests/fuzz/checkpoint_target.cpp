// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>

#include "core/quant/layouts/layout_functions.h"
#include "core/tensor/model_source.h"
#include "tests/fuzz/targets.h"
#include "tests/support/safetensors_builder.h"

namespace tenpak::fuzz {
namespace {

/// A model that is one .safetensors file in memory.
class MemorySource : public ModelSource {
   public:
    MemorySource(Input file, SafetensorsHeader header) : file_(file), tensors_(std::move(header.tensors)) { index_names(); }
    const std::string& id() const override { return id_; }
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    Status read(const TensorInfo& t, std::uint64_t offset, std::span<std::byte> out) const override {
        if (offset > t.bytes || out.size() > t.bytes - offset) std::abort();  // asked for bytes that the tensor does not have
        if (!out.empty()) std::memcpy(out.data(), file_.data() + t.offset + offset, out.size());
        return {};
    }
    Result<Bytes> read_side_file(std::string_view) const override { return make_error(ErrorCode::kNotFound, "no side files"); }

   private:
    Input file_;
    std::vector<TensorInfo> tensors_;
    std::string id_ = "fuzz";
};

struct Tensor {
    const char *name, *dtype;
    std::vector<unsigned> shape;
    unsigned bytes;        ///< of all
    std::string data = {};  ///< empty: 0x3c
};

std::string seed(const std::string& settings, const std::vector<Tensor>& tensors) {
    std::string header = "{", data;
    for (const Tensor& t : tensors) {
        std::string shape;
        for (const unsigned d : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(d);
        const std::string value = t.data.empty() ? std::string(t.bytes, '\x3c') : t.data;
        header += (header.size() > 1 ? "," : "") + std::string("\"") + t.name + "\":{\"dtype\":\"" + t.dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                  std::to_string(data.size()) + "," + std::to_string(data.size() + value.size()) + "]}";
        data += value;
    }
    return settings + "\n" + test::safetensors_bytes(header + "}", data);
}

}  // namespace

void checkpoint_target(Input input) {
    const std::string_view text = as_text(input);
    const std::size_t line = std::min(text.find('\n'), text.size());
    const Input file = input.subspan(std::min(line + 1, input.size()));
    const auto settings = parse_json(text.substr(0, line), "settings");
    auto header = parse_safetensors_header(file, file.size(), "fuzz");
    if (!settings.ok() || !settings->is_object() || !header.ok()) return;
    const MemorySource source(file, std::move(*header));
    for (const auto import : {quant::import_autoawq, quant::import_gptq, quant::import_compressed_tensors, quant::import_fp8, quant::import_bitsandbytes}) {
        const auto r = import(source, *settings, "settings", {});
        if (!r.ok()) {
            if (r.error().what.empty() || r.error().text().find('\n') != std::string::npos) std::abort();
            continue;
        }
        // What was accepted can be run: every weight is whole.
        for (const auto& [name, w] : r->linears) {
            if (!w.validate(name).ok() || w.dequantize().size() != std::size_t{w.n} * w.k) std::abort();
        }
    }
}

std::vector<std::string> checkpoint_seeds() {
    const std::string state = R"({"quant_type":"nf4","blocksize":64,"dtype":"bfloat16","shape":[2,64]})";
    const std::string nested = R"({"quant_type":"nf4","blocksize":64,"shape":[2,64],"nested_blocksize":256,"nested_offset":0.5})";
    const float levels[16] = {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022833234f, -0.09105003625154495f, 0.0f,
                              0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};
    const std::string map(reinterpret_cast<const char*>(levels), sizeof levels);
    const std::string shape = std::string("\x08\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0", 16), index(64 * 4, '\0');
    return {
        seed(R"({"quant_method":"awq","bits":4,"version":"gemm"})", {{"a.qweight", "I32", {64, 2}, 512}, {"a.qzeros", "I32", {2, 2}, 16}, {"a.scales", "F16", {2, 16}, 64}}),
        seed(R"({"quant_method":"gptq","bits":4,"group_size":32})", {{"a.qweight", "I32", {8, 16}, 512}, {"a.qzeros", "I32", {2, 2}, 16}, {"a.scales", "F16", {2, 16}, 64}}),
        seed(R"({"bits":8,"group_size":-1,"checkpoint_format":"gptq_v2"})", {{"a.qweight", "I32", {16, 4}, 256}, {"a.qzeros", "I32", {1, 1}, 4}, {"a.scales", "F16", {1, 4}, 8}, {"a.g_idx", "I32", {64}, 256, index}}),
        seed(R"({"bits":3,"group_size":32})", {{"a.qweight", "I32", {3, 32}, 384}, {"a.qzeros", "I32", {1, 3}, 12}, {"a.scales", "F16", {1, 32}, 64}}),
        seed(R"({"format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4,"type":"int","strategy":"group"}}}})",
             {{"a.weight_packed", "I32", {8, 8}, 256}, {"a.weight_scale", "BF16", {8, 2}, 32}, {"a.weight_zero_point", "I32", {1, 2}, 8}, {"a.weight_shape", "I64", {2}, 16, shape}}),
        seed(R"({"format":"float-quantized","config_groups":{"g":{"weights":{"num_bits":8,"type":"float","strategy":"channel"},"input_activations":{"num_bits":8,"type":"float","dynamic":true,"strategy":"token"}}}})",
             {{"a.weight", "F8_E4M3", {4, 8}, 32}, {"a.weight_scale", "F32", {4, 1}, 16}}),
        seed(R"({"load_in_4bit":true})", {{"a.weight", "U8", {64, 1}, 64}, {"a.weight.absmax", "F32", {2}, 8}, {"a.weight.quant_map", "F32", {16}, 64, map},
                                          {"a.weight.quant_state.bitsandbytes__nf4", "U8", {static_cast<unsigned>(state.size())}, 0, state}}),
        seed(R"({"load_in_4bit":true})", {{"a.weight", "U8", {64, 1}, 64}, {"a.weight.absmax", "U8", {2}, 2}, {"a.weight.quant_map", "F32", {16}, 64, map},
                                          {"a.weight.nested_absmax", "F32", {1}, 4}, {"a.weight.nested_quant_map", "F32", {256}, 1024},
                                          {"a.weight.quant_state.bitsandbytes__nf4", "U8", {static_cast<unsigned>(nested.size())}, 0, nested}}),
        seed(R"({"load_in_8bit":true,"llm_int8_threshold":6.0})", {{"a.weight", "I8", {4, 8}, 32}, {"a.SCB", "F32", {4}, 16}, {"a.weight_format", "U8", {}, 1, std::string(1, '\0')}}),
    };
}

}  // namespace tenpak::fuzz
