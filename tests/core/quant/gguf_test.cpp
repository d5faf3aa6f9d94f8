// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "core/base/json.h"
#include "core/base/thread_pool.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/model/tokenizer.h"
#include "core/model/transformer.h"
#include "core/quant/layouts/gguf_blocks.h"
#include "core/quant/layouts/gguf_config.h"
#include "core/quant/layouts/gguf_export.h"
#include "core/quant/layouts/gguf_import.h"
#include "core/quant/layouts/gguf_model.h"
#include "core/quant/layouts/gguf_names.h"
#include "core/quant/layouts/gguf_pre_tokenizer.h"
#include "core/quant/round_to_nearest.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;
using namespace tenpak::quant;
using compute::LinearWeight;
using compute::WeightFormat;

namespace {

/// A byte-level BPE of as many characters as the fixtures' models have tokens.
std::string letters_tokenizer(std::size_t size) {
    std::vector<std::string> tokens = {"<s>", "</s>", "<unk>", "\xc4\xa0", "\xc4\x8a", "th"};
    for (char c = 'a'; c <= 'z'; ++c) tokens.emplace_back(1, c);
    for (char c = 'A'; c <= 'Z'; ++c) tokens.emplace_back(1, c);
    for (char c = '0'; c <= '9'; ++c) tokens.emplace_back(1, c);
    Json vocab = Json::object();
    for (std::size_t i = 0; i < size; ++i) vocab[tokens[i]] = i;
    const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    return Json{{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"t h"}}}}, {"pre_tokenizer", byte_level}, {"decoder", byte_level},
                {"added_tokens", {{{"id", 1}, {"content", "</s>"}, {"special", true}, {"normalized", false}}}}}.dump();
}

struct Fixture {
    test::TempDir dir;
    std::filesystem::path model;
    std::shared_ptr<const ModelSource> source;

    /// `edit` changes config.json.
    explicit Fixture(const std::string& name, const std::function<void(Json&)>& edit = {}) {
        const auto from = test::source_dir() / "tests/fixtures/architectures" / name;
        model = dir / "m";
        std::filesystem::create_directories(model);
        std::filesystem::copy(from / "model.safetensors", model / "model.safetensors");
        Json config = *parse_json(*read_text_file(from / "config.json"), name);
        if (edit) edit(config);
        dir.write("m/config.json", config.dump());
        dir.write("m/tokenizer.json", letters_tokenizer(config.at("vocab_size").get<std::size_t>()));
        auto opened = ModelDirectory::open(model);
        EXPECT_TRUE(opened.ok());
        source = *opened;
    }
    Status write(const QuantizedModel& m, const char* name = "x.gguf") const { return export_gguf(*source, {}, m, dir / name, {}); }
};

std::vector<float> last_logits(const std::shared_ptr<const ModelSource>& source, const compute::WeightOverrides& overrides = {}) {
    const auto backend = compute::make_cpu_backend();
    auto t = model::Transformer::load(source, overrides, *backend, {}, {});
    EXPECT_TRUE(t.ok()) << t.error().text();
    if (!t.ok()) return {};
    const std::vector<model::Token> tokens = {3, 7, 11, 20, 31, 5, 9};
    model::KvCache cache((*t)->config(), *backend, 1, 16);
    std::vector<float> logits;
    const model::SequenceChunk chunk{0, tokens};
    EXPECT_TRUE((*t)->forward({&chunk, 1}, cache, model::LogitsOf::kLastOfChunk, logits).ok());
    return logits;
}

/// Random codes, scales that fp16 holds.
LinearWeight random_weight(WeightFormat format, std::uint32_t n, std::uint32_t k, std::uint32_t group, bool symmetric = true) {
    std::mt19937 rng(3);
    LinearWeight w;
    w.format = format;
    w.n = n;
    w.k = k;
    w.group = group;
    w.symmetric = symmetric;
    const std::size_t count = std::size_t{n} * k, groups = count / (group == 0 ? k : group);
    const bool int4 = format == WeightFormat::kInt4Group || format == WeightFormat::kInt4Residual || format == WeightFormat::kInt4Sparse;
    w.codes.resize(int4 ? count / 2 : count);
    for (auto& c : w.codes) c = static_cast<std::uint8_t>(rng());
    for (std::size_t g = 0; g < groups; ++g) {
        w.scales.push_back(static_cast<float>(1 + rng() % 255) / 4096);  // 8 bits
        if (format == WeightFormat::kInt4Group) w.zeros.push_back(symmetric ? 8 : static_cast<std::uint8_t>(rng() % 16));
        if (format == WeightFormat::kInt4Residual) w.zeros.push_back(static_cast<std::uint8_t>(rng() % 64));
        if (format == WeightFormat::kInt4Sparse) w.multiples.push_back(static_cast<std::uint8_t>(1 + rng() % 15));
    }
    if (format == WeightFormat::kInt4Residual) {
        w.low.resize(count / 4);
        for (auto& c : w.low) c = static_cast<std::uint8_t>(rng());
    }
    if (format == WeightFormat::kInt4Sparse) {
        w.low.resize(count / 8);
        for (auto& c : w.low) c = static_cast<std::uint8_t>(rng());
        w.mask.assign(count / 8, 0x24);  // two of eight
    }
    EXPECT_TRUE(w.validate("w").ok());
    return w;
}

std::vector<float> through_blocks(const LinearWeight& w, GgmlType type, BlockLoss& loss) {
    std::vector<std::byte> raw;
    for (std::uint32_t r = 0; r < w.n; ++r) append_row(w, type, r, raw, loss);
    const GgmlTypeInfo& info = ggml_type_info(type);
    std::vector<float> out(std::size_t{w.n} * w.k);
    EXPECT_EQ(raw.size(), out.size() / info.weights * info.bytes);
    dequantize_blocks(type, raw.data(), out.size() / info.weights, out.data());
    return out;
}

}  // namespace

TEST(GgufBlocks, HoldWhatEachFormatStandsFor) {
    struct Case {
        LinearWeight w;
        GgmlType type;
    };
    const Case cases[] = {
        {random_weight(WeightFormat::kInt8Group, 6, 128, 64), GgmlType::kQ8_0},
        {random_weight(WeightFormat::kInt8Channel, 6, 96, 0), GgmlType::kQ8_0},
        {random_weight(WeightFormat::kInt4Residual, 6, 128, 128, false), GgmlType::kQ8_0},
        {random_weight(WeightFormat::kInt4Sparse, 6, 128, 32), GgmlType::kQ8_0},
        {random_weight(WeightFormat::kInt4Group, 6, 192, 64), GgmlType::kQ4_0},
    };
    for (const Case& c : cases) {
        ASSERT_EQ(ggml_type_for(c.w), c.type) << weight_format_name(c.w.format);
        BlockLoss loss;
        EXPECT_EQ(through_blocks(c.w, c.type, loss), c.w.dequantize()) << weight_format_name(c.w.format);
        EXPECT_EQ(loss.weights, 0u);
    }
}

TEST(GgufBlocks, SayWhatRoundingToFp16Moves) {
    LinearWeight w = random_weight(WeightFormat::kInt4Group, 4, 64, 32, false);
    ASSERT_EQ(ggml_type_for(w), GgmlType::kQ4_1);
    BlockLoss loss;
    const auto got = through_blocks(w, GgmlType::kQ4_1, loss), want = w.dequantize();
    float largest = 0;
    std::size_t moved = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        moved += got[i] != want[i] ? 1u : 0u;
        largest = std::max(largest, std::fabs(got[i] - want[i]) / w.scales[i / 32]);
    }
    EXPECT_EQ(loss.weights, moved);
    EXPECT_FLOAT_EQ(loss.largest, largest);
    EXPECT_LT(largest, 0.01f);

    w = random_weight(WeightFormat::kInt8Group, 1, 32, 32);
    w.scales[0] = 1e-9f;  // below fp16: all weights vanish, and are told
    loss = block_loss(w, GgmlType::kQ8_0);
    EXPECT_GT(loss.weights, 20u);
    w.scales[0] = 1e6f;
    EXPECT_FALSE(std::isfinite(block_loss(w, GgmlType::kQ8_0).largest));
}

TEST(GgufBlocks, HaveNoPlaceForOthers) {
    EXPECT_FALSE(ggml_type_for(random_weight(WeightFormat::kInt8Group, 2, 48, 16)));
    LinearWeight ordered = random_weight(WeightFormat::kInt4Group, 2, 64, 32);
    for (std::uint32_t c = 0; c < 64; ++c) ordered.group_index.push_back(c % 2);
    EXPECT_FALSE(ggml_type_for(ordered));
}

TEST(GgufNames, GoBothWays) {
    const GgufFamily& llama = *gguf_family_of("LlamaForCausalLM");
    EXPECT_EQ(gguf_name(llama, "model.layers.12.mlp.up_proj.weight", "model."), "blk.12.ffn_up.weight");
    EXPECT_EQ(gguf_name(llama, "layers.0.self_attn.q_proj.bias", ""), "blk.0.attn_q.bias");
    EXPECT_EQ(gguf_name(llama, "lm_head.weight", "model."), "output.weight");
    EXPECT_EQ(hf_name(llama, "blk.12.ffn_up.weight"), "model.layers.12.mlp.up_proj.weight");
    EXPECT_EQ(hf_name(llama, "output_norm.weight"), "model.norm.weight");
    for (const char* name : {"blk.x.ffn_up.weight", "blk.01.ffn_up.weight", "blk..ffn_up.weight", "blk.1.nothing.weight", "token_embd", "blk.999999.ffn_up.weight"}) EXPECT_FALSE(hf_name(llama, name)) << name;
    EXPECT_FALSE(gguf_name(llama, "model.layers.0.self_attn.rotary_emb.inv_freq", "model."));
    EXPECT_EQ(gguf_family_of("T5ForConditionalGeneration"), nullptr);
}

TEST(GgufNames, RowsGoBothWays) {
    for (const auto order : {GgufRows::Order::kSame, GgufRows::Order::kInterleaved, GgufRows::Order::kByHead}) {
        const GgufRows rows{order, 3, 8};
        for (std::uint32_t r = 0; r < 3 * 3 * 8; ++r) EXPECT_EQ(rows.gguf_row(rows.hf_row(r)), r);
    }
    const GgufRows pairs{GgufRows::Order::kInterleaved, 2, 8};
    EXPECT_EQ(pairs.hf_row(1), 4u);  // the partner of row 0 lies half a head behind it
    EXPECT_EQ(pairs.hf_row(8), 8u);
}

TEST(GgufPreTokenizer, IsRecognizedByWhatItDoes) {
    const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
    const auto name = [](const Json& pre, bool ignore = false) {
        const auto r = recognize_pre_tokenizer(pre, ignore, "t");
        return r.ok() ? r->name : std::string("none");
    };
    EXPECT_EQ(name(byte_level), "gpt-2");
    EXPECT_EQ(name({{"type", "Sequence"}, {"pretokenizers", {digits, byte_level}}}), "smollm");
    EXPECT_EQ(name({{"type", "Sequence"}, {"pretokenizers", {byte_level, digits}}}), "none");
    EXPECT_EQ(name({{"type", "ByteLevel"}, {"add_prefix_space", true}}), "none");
    EXPECT_EQ(name(Json()), "none");
    EXPECT_EQ(name({{"type", "Whitespace"}}), "none");
    EXPECT_EQ(name(byte_level, true), "none");
    for (const char* known : {"gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2"}) {
        const auto made = make_pre_tokenizer(known, "t");
        ASSERT_TRUE(made.ok());
        EXPECT_EQ(name(made->second, made->first.ignore_merges), known);
    }
    EXPECT_EQ(make_pre_tokenizer("viking", "t").error().code, ErrorCode::kUnsupported);
}

TEST(Gguf, EveryArchitectureComesBackAsItWas) {
    struct Case {
        const char* name;
        std::function<void(Json&)> edit;
    };
    const Case cases[] = {
        {"llama", {}}, {"llama3", {}}, {"llama_linear", {}}, {"llama_yarn", {}}, {"llama_longrope", {}}, {"mistral_full", {}}, {"qwen2", {}}, {"qwen3", {}}, {"phi3", {}},
        {"phi3_longrope", {}}, {"phi4_mini", {}}, {"gpt2", {}},
        {"gemma2", [](Json& c) { c["query_pre_attn_scalar"] = c["head_dim"]; }},
        {"smollm3", [](Json& c) { c["no_rope_layers"] = {1, 1, 1, 0}; }},
        {"gpt_neox", [](Json& c) { c["hidden_act"] = "gelu_pytorch_tanh"; }},  // what llama.cpp computes
    };
    for (const Case& c : cases) {
        const Fixture f(c.name, c.edit);
        const Status s = f.write({});
        ASSERT_TRUE(s.ok()) << c.name << ": " << s.error().text();
        EXPECT_TRUE(GgufModel::is_gguf(f.dir / "x.gguf"));
        const auto back = GgufModel::open(f.dir / "x.gguf");
        ASSERT_TRUE(back.ok()) << c.name << ": " << back.error().text();
        for (const TensorInfo& t : (*back)->tensors()) {
            const TensorInfo* was = f.source->find(t.name);
            ASSERT_NE(was, nullptr) << c.name << " " << t.name;
            EXPECT_EQ(t.shape, was->shape) << c.name << " " << t.name;
            const bool offset = std::string(c.name) == "gemma2" && t.name.ends_with("norm.weight");  // adding 1 and taking it away rounds
            if (!offset) {
                EXPECT_EQ(*(*back)->read_float(t), *f.source->read_float(*was)) << c.name << " " << t.name;
            }
            // Any part of a tensor can be read.
            Bytes part(std::min<std::uint64_t>(t.bytes - 3, 21)), whole(t.bytes);
            ASSERT_TRUE((*back)->read(t, 0, whole).ok());
            ASSERT_TRUE((*back)->read(t, 3, part).ok());
            EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 3)) << c.name << " " << t.name;
            EXPECT_FALSE((*back)->read(t, t.bytes - 1, part).ok());
        }
        const auto want = last_logits(f.source), got = last_logits(*back);
        ASSERT_EQ(want.size(), got.size());
        for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-5 * (1 + std::fabs(want[i]))) << c.name << " " << i;
        const auto tokenizer = model::load_tokenizer(**back), own = model::load_tokenizer(*f.source);
        ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().text();
        EXPECT_EQ(*(*tokenizer)->encode("The thin 42 cats</s> slept", true), *(*own)->encode("The thin 42 cats</s> slept", true)) << c.name;
    }
}

TEST(Gguf, PackedWeightsComeBackAsTheyWere) {
    const Fixture f("llama", [](Json& c) { c["num_hidden_layers"] = c["num_hidden_layers"]; });
    QuantizedModel m;
    for (const TensorInfo& t : f.source->tensors()) {
        const auto n = static_cast<std::uint32_t>(t.shape[0]), k = t.shape.size() == 2 ? static_cast<std::uint32_t>(t.shape[1]) : 0u;
        if (t.name.ends_with("q_proj.weight")) m.weights.linears[t.name] = random_weight(WeightFormat::kInt8Group, n, k, 32);
        if (t.name.ends_with("k_proj.weight")) m.weights.linears[t.name] = random_weight(WeightFormat::kInt4Group, n, k, 32);
        if (t.name.ends_with("o_proj.weight")) m.weights.linears[t.name] = random_weight(WeightFormat::kInt4Group, n, k, 32, false);
    }
    ASSERT_GE(m.weights.linears.size(), 6u);
    const Status s = f.write(m);
    ASSERT_TRUE(s.ok()) << s.error().text();
    const auto back = GgufModel::open(f.dir / "x.gguf");
    ASSERT_TRUE(back.ok()) << back.error().text();
    const auto imported = import_quantized(**back, {});
    ASSERT_TRUE(imported.ok()) << imported.error().text();
    ASSERT_EQ(imported->linears.size(), m.weights.linears.size());
    for (const auto& [name, w] : m.weights.linears) {
        const LinearWeight& got = imported->linears.at(name);
        EXPECT_EQ(got.format, w.format) << name;
        EXPECT_EQ(got.dequantize(), w.dequantize()) << name;
        const TensorInfo* t = (*back)->find(name);
        const auto dense = *(*back)->read_float(*t), want = w.dequantize();
        for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(dense[i], want[i], name.ends_with("o_proj.weight") ? w.scales[i / 32] * 0.01f : 0) << name << " " << i;
    }
    const auto notes = gguf_import_notes(**back, *imported);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("Q4_1"), std::string::npos) << notes[0];
    // Without packed forms the same tensors run as fp32, which is said.
    EXPECT_EQ(gguf_import_notes(**back, {}).size(), 3u);
    EXPECT_EQ(gguf_import_notes(*f.source, {}).size(), 0u);
}

TEST(Gguf, RefusesWhatLlamaCppWouldComputeOtherwise) {
    const auto refuses = [](const Fixture& f, const std::string& part) {
        const Status s = f.write({});
        ASSERT_FALSE(s.ok()) << part;
        EXPECT_EQ(s.error().code, ErrorCode::kUnsupported) << s.error().text();
        EXPECT_NE(s.error().text().find(part), std::string::npos) << s.error().text();
        EXPECT_FALSE(std::filesystem::exists(f.dir / "x.gguf"));
    };
    refuses(Fixture("llama_dynamic"), "dynamic");
    refuses(Fixture("llama_mha_tied"), "activation");
    refuses(Fixture("gemma2"), "scale of attention");
    refuses(Fixture("smollm3"), "other layers");
    {
        const Fixture f("llama");
        Json t = *parse_json(letters_tokenizer(64), "t");
        t["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Punctuation"}}, t["pre_tokenizer"]}}};
        f.dir.write("m/tokenizer.json", t.dump());
        refuses(f, "no rule that cuts");
        t = *parse_json(letters_tokenizer(64), "t");
        t["normalizer"] = {{"type", "Lowercase"}};
        f.dir.write("m/tokenizer.json", t.dump());
        refuses(f, "Lowercase");
        std::filesystem::remove(f.model / "tokenizer.json");
        EXPECT_EQ(f.write({}).error().code, ErrorCode::kNotFound);
    }
    {
        const Fixture f("llama");
        ASSERT_TRUE(f.write({}).ok());
        EXPECT_EQ(f.write({}).error().code, ErrorCode::kInvalidArgument);  // nothing is overwritten
        QuantizedModel m;
        m.weights.linears["model.layers.0.self_attn.q_proj.weight"] = random_weight(WeightFormat::kInt8Group, 32, 32, 16);
        EXPECT_EQ(f.write(m, "y.gguf").error().code, ErrorCode::kUnsupported);
    }
    const auto config = model::read_config(*Fixture("llama").source);
    ASSERT_TRUE(config.ok());
    for (const char* name : {"nf4", "fp8", "gptq_g128_desc", "rtn_g128"}) EXPECT_FALSE(check_gguf(*config, *find_candidate(name)).ok()) << name;  // rows of 56
    EXPECT_TRUE(check_gguf(*config, *find_candidate("fp16")).ok());
}

namespace {

/// The fixtures' vocabularies were trained by pairs. SentencePiece joins whatever gives a token: all pairs, token by token.
Json with_all_merges(Json root) {
    Json& m = root["model"];
    std::vector<std::string> order;
    for (const Json& merge : m.at("merges")) {
        std::string whole;
        if (merge.is_array()) whole = merge[0].get<std::string>() + merge[1].get<std::string>();
        else {
            whole = merge.get<std::string>();
            whole.erase(whole.find(' ', 1), 1);
        }
        if (std::find(order.begin(), order.end(), whole) == order.end()) order.push_back(whole);
    }
    const Json vocab = m.at("vocab");
    std::set<std::string> added;
    for (const Json& t : root.at("added_tokens")) added.insert(t.at("content").get<std::string>());
    m["merges"] = Json::array();
    for (const std::string& whole : order) {
        for (std::size_t cut = 1; cut < whole.size(); ++cut) {
            const std::string a = whole.substr(0, cut), b = whole.substr(cut);
            if ((static_cast<unsigned char>(b[0]) & 0xc0u) == 0x80u || !vocab.contains(a) || !vocab.contains(b) || added.contains(a) || added.contains(b)) continue;
            m["merges"].push_back({a, b});
        }
    }
    return root;
}

/// The fixture "llama" with this tokenizer; of the weights only the embedding's size matters.
void set_tokenizer(Fixture& f, const Json& root) {
    std::size_t vocab = root.at("model").at("vocab").size() + 32;
    for (const Json& t : root.at("added_tokens")) vocab = std::max(vocab, t.at("id").get<std::size_t>() + 1);
    Json config = *parse_json(*read_text_file(f.model / "config.json"), "config.json");
    config["vocab_size"] = vocab;
    f.dir.write("m/config.json", config.dump());
    f.dir.write("m/tokenizer.json", root.dump());
    std::vector<TensorToWrite> tensors;
    std::vector<Bytes> data;
    data.reserve(f.source->tensors().size());
    for (const TensorInfo& t : f.source->tensors()) {
        auto shape = t.shape;
        if (t.name == "model.embed_tokens.weight" || t.name == "lm_head.weight") shape[0] = vocab;
        std::uint64_t count = 2;
        for (const auto d : shape) count *= d;
        data.emplace_back(count);
        tensors.push_back({t.name, DType::kBF16, shape, data.back()});
    }
    ASSERT_TRUE(write_safetensors(f.model / "model.safetensors", tensors).ok());
    f.source = *ModelDirectory::open(f.model);
}

}  // namespace

TEST(Gguf, SentencePieceVocabulariesComeBack) {
    for (const char* name : {"llama-like", "gemma-like", "llama-like-first"}) {
        const auto from = test::source_dir() / "tests/fixtures/tokenizers" / name;
        const Json root = *parse_json(*read_text_file(from / "tokenizer.json"), name);
        Fixture f("llama");
        set_tokenizer(f, root);
        const Status refused = f.write({});
        ASSERT_FALSE(refused.ok()) << name;  // llama.cpp would join pairs that these tokenizers do not
        EXPECT_NE(refused.error().text().find("ways that the merges do not list"), std::string::npos) << refused.error().text();
        set_tokenizer(f, with_all_merges(root));
        const Status s = f.write({});
        ASSERT_TRUE(s.ok()) << name << ": " << s.error().text();
        const auto back = GgufModel::open(f.dir / "x.gguf");
        ASSERT_TRUE(back.ok()) << back.error().text();
        const auto own = model::load_tokenizer(*f.source), got = model::load_tokenizer(**back);
        ASSERT_TRUE(got.ok()) << name << ": " << got.error().text();
        const Json cases = *parse_json(*read_text_file(from / "cases.json"), name);
        int compared = 0;
        for (const Json& c : cases.is_array() ? cases : cases.at("cases")) {
            const auto text = c.at("text").get<std::string>();
            // "first" puts a space in front of the whole text alone, and not where one is; llama.cpp always: said in a note.
            if (std::string(name) == "llama-like-first" && (text.find('<') != text.npos || text.starts_with(' ') || text.starts_with("\u2581"))) continue;
            EXPECT_EQ(*(*got)->encode(text, true), *(*own)->encode(text, true)) << name << ": " << text;
            ++compared;
        }
        EXPECT_GT(compared, 20) << name;
        EXPECT_EQ(gguf_source_notes(*f.source).size(), std::string(name) == "llama-like-first" ? 1u : 0u) << name;
    }
}

TEST(Gguf, HostileFilesAreRefused) {
    const test::TempDir dir;
    const auto error = [&](const test::GgufBytes& b) {
        dir.write("h.gguf", b.out);
        const auto m = GgufModel::open(dir / "h.gguf");
        EXPECT_FALSE(m.ok());
        return m.ok() ? std::string() : m.error().text();
    };
    {
        test::GgufBytes b(3, 0, 1);
        b.key("general.architecture", GgufType::kString).text("clip").fill(32);
        EXPECT_NE(error(b).find("\"clip\" cannot be run"), std::string::npos);
    }
    {
        test::GgufBytes b(3, 0, 1);
        b.key("general.architecture", GgufType::kString).text("llama").fill(32);
        EXPECT_NE(error(b).find("token_embd.weight"), std::string::npos);
    }
    {
        test::GgufBytes b(3, 1, 2);
        b.key("general.architecture", GgufType::kString).text("llama").key("llama.expert_count", GgufType::kU32).put(std::uint32_t{8});
        b.tensor("token_embd.weight", {32, 4}, GgmlType::kF32, 0).pad(32).fill(512);
        EXPECT_NE(error(b).find("expert_count"), std::string::npos);
    }
    {
        test::GgufBytes b(3, 1, 1);
        b.key("general.architecture", GgufType::kString).text("llama");
        b.tensor("token_embd.weight", {256, 4}, GgmlType::kIq2Xxs, 0).pad(32).fill(512);
        EXPECT_NE(error(b).find("IQ2_XXS"), std::string::npos);
    }
    // A damaged byte anywhere in a real file: an error or a model, never worse.
    const Fixture f("llama");
    ASSERT_TRUE(f.write({}).ok());
    const auto good = *read_file(f.dir / "x.gguf");
    std::mt19937 rng(1);
    for (int i = 0; i < 400; ++i) {
        Bytes bad = good;
        bad[rng() % 3000] = static_cast<std::byte>(rng());
        ASSERT_TRUE(write_file_atomic(dir / "b.gguf", bad).ok());
        const auto m = GgufModel::open(dir / "b.gguf");
        if (!m.ok()) {
            EXPECT_FALSE(m.error().what.empty());
            continue;
        }
        for (const auto& name : GgufModel::side_files()) (void)(*m)->read_side_file(name);
        (void)model::load_tokenizer(**m);
        (void)import_gguf(**m, {});
    }
}
