// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/model_source.h"

namespace tenpak {
namespace {

TEST(TensorPlace, LayerAndProjectionOfTheUsualFamilies) {
    struct Case {
        const char *name, *projection, *part;
        int layer;
    };
    const Case cases[] = {
        {"model.layers.13.mlp.up_proj.weight", "up_proj", "layers.13", 13},
        {"model.layers.0.input_layernorm.weight", "input_layernorm", "layers.0", 0},
        {"model.layers.7.self_attn.q_proj.qweight", "q_proj", "layers.7", 7},
        {"base_model.model.model.layers.2.self_attn.v_proj.lora_A.weight", "v_proj", "layers.2", 2},
        {"transformer.h.11.attn.c_attn.bias", "c_attn", "layers.11", 11},
        {"model.layers.3.mlp.experts.5.w1.weight", "w1", "layers.3", 3},
        {"model.embed_tokens.weight", "embed_tokens", "embeddings", -1},
        {"transformer.wte.weight", "wte", "embeddings", -1},
        {"model.norm.weight", "norm", "norm", -1},
        {"lm_head.weight", "lm_head", "head", -1},
        {"conv1.weight", "conv1", "other", -1},
        {"weight", "weight", "other", -1},
        {"", "", "other", -1},
        {"layers.99999999999.x.weight", "x", "other", -1},
        {"layers.-1.x.weight", "x", "other", -1},
        {"...", "", "other", -1},
    };
    for (const Case& c : cases) {
        const TensorPlace p = tensor_place(c.name);
        EXPECT_EQ(p.layer, c.layer) << c.name;
        EXPECT_EQ(p.projection, c.projection) << c.name;
        EXPECT_EQ(tensor_part(c.name), c.part) << c.name;
    }
}

TEST(LayerOrder, EmbeddingsLayersNormHeadRest) {
    std::vector<TensorInfo> tensors;
    for (const char* n : {"lm_head.weight", "model.layers.10.a.weight", "zeta", "model.layers.2.b.weight", "model.layers.2.a.weight", "alpha",
                          "model.norm.weight", "model.embed_tokens.weight"}) {
        tensors.emplace_back();
        tensors.back().name = n;
    }
    std::vector<std::string> names;
    for (const auto i : layer_order(tensors)) names.push_back(tensors[i].name);
    EXPECT_EQ(names, (std::vector<std::string>{"model.embed_tokens.weight", "model.layers.2.a.weight", "model.layers.2.b.weight",
                                               "model.layers.10.a.weight", "model.norm.weight", "lm_head.weight", "alpha", "zeta"}));
}

}  // namespace
}  // namespace tenpak
