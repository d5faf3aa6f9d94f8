// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "core/base/half.h"
#include "core/base/json.h"
#include "core/tensor/peft_adapter.h"

namespace tenpak {
namespace {

Bytes as_type(const std::vector<float>& x, DType dtype) {
    Bytes out(x.size() * dtype_bits(dtype) / 8);
    if (dtype == DType::kF32) {
        if (!x.empty()) std::memcpy(out.data(), x.data(), out.size());
        return out;
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::uint16_t h = float_to_bf16(x[i]);
        std::memcpy(out.data() + 2 * i, &h, 2);
    }
    return out;
}

std::vector<float> turned(const std::vector<float>& x, std::size_t rows, std::size_t columns) {
    std::vector<float> t(x.size());
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j) t[j * rows + i] = x[i * columns + j];
    return t;
}

/// PEFT wraps embeddings in another layer, whose factors have other names and order.
bool is_embedding(std::string_view module) {
    const std::string_view last = module.substr(module.rfind('.') + 1);
    return last == "embed_tokens" || last == "wte" || last == "word_embeddings" || last == "embed_in" ||
           last == "tok_embeddings";
}

}  // namespace

Status write_peft_adapter(const fs::path& dir, const std::vector<LoraToWrite>& modules, const std::string& base_model,
                          DType dtype) {
    if (dtype != DType::kF32 && dtype != DType::kBF16)
        return make_error(ErrorCode::kInvalidArgument, "an adapter is written in fp32 or bf16");
    if (modules.empty()) return make_error(ErrorCode::kInvalidArgument, "there is no adapter to write", dir.string());
    std::map<std::uint32_t, std::size_t> ranks;
    std::set<std::string> names;
    for (const LoraToWrite& m : modules) {
        constexpr std::string_view kEnding = ".weight";
        if (m.rank == 0 || m.up.size() != std::size_t{m.rows} * m.rank ||
            m.down.size() != std::size_t{m.columns} * m.rank || !m.tensor.ends_with(kEnding) ||
            m.tensor.size() == kEnding.size())
            return make_error(ErrorCode::kInvalidArgument, "PEFT has no place for the factors of a tensor", m.tensor);
        if (!names.insert(m.tensor.substr(0, m.tensor.size() - kEnding.size())).second)
            return make_error(ErrorCode::kInvalidArgument, "a tensor comes twice", m.tensor);
        ++ranks[m.rank];
    }
    const std::uint32_t usual = std::max_element(ranks.begin(), ranks.end(), [](const auto& a, const auto& b) {
                                    return a.second < b.second;
                                })->first;
    Json pattern = Json::object();
    std::vector<Bytes> data;
    std::vector<TensorToWrite> tensors;
    data.reserve(2 * modules.size());
    const auto put = [&](std::string name, std::uint64_t rows, std::uint64_t columns, const std::vector<float>& x) {
        data.push_back(as_type(x, dtype));
        tensors.push_back({std::move(name), dtype, {rows, columns}, data.back()});
    };
    for (const LoraToWrite& m : modules) {
        const std::string module = m.tensor.substr(0, m.tensor.size() - 7), full = "base_model.model." + module;
        if (m.rank != usual) pattern[module] = m.rank;
        if (is_embedding(module)) {  // W = (B A)^T: A is up^T, B is down^T
            put(full + ".lora_embedding_A", m.rank, m.rows, turned(m.up, m.rows, m.rank));
            put(full + ".lora_embedding_B", m.columns, m.rank, turned(m.down, m.rank, m.columns));
        } else {
            put(full + ".lora_A.weight", m.rank, m.columns, m.down);
            put(full + ".lora_B.weight", m.rows, m.rank, m.up);
        }
    }
    const Json config = {{"peft_type", "LORA"},
                         {"task_type", nullptr},
                         {"base_model_name_or_path", base_model},
                         {"r", usual},
                         {"lora_alpha", usual},
                         {"lora_dropout", 0.0},
                         {"rank_pattern", pattern},
                         {"alpha_pattern", pattern},
                         {"target_modules", names},
                         {"modules_to_save", nullptr},
                         {"bias", "none"},
                         {"fan_in_fan_out", false},
                         {"use_rslora", false},
                         {"use_dora", false},
                         {"inference_mode", true},
                         {"init_lora_weights", true}};
    TENPAK_ASSIGN(AtomicDirectory folder, AtomicDirectory::create(dir));
    TENPAK_RETURN_IF_ERROR(write_safetensors(folder.path() / "adapter_model.safetensors", std::move(tensors)));
    TENPAK_RETURN_IF_ERROR(write_file_atomic(folder.path() / "adapter_config.json", as_bytes(config.dump(2) + "\n")));
    return folder.commit();
}

}  // namespace tenpak
