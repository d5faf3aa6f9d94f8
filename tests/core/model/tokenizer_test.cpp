// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <sstream>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/byte_level.h"
#include "core/model/tokenizer.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;
using tenpak::test::shared_data;
using tenpak::test::source_dir;

std::shared_ptr<const Tokenizer> parse(const Json& j) {
    auto t = parse_tokenizer(j.dump(), "tokenizer.json");
    EXPECT_TRUE(t.ok()) << t.error().text();
    return t.ok() ? *t : nullptr;
}
/// Byte alphabet plus a few merges: "th" 256, "the" 257, "Ġthe" 258, "  " 259, "aa" 260, "aaa" 261.
Json small() {
    Json vocab = Json::object();
    int id = 0;
    for (const auto& c : byte_characters()) vocab[c] = id++;
    Json merges = Json::array();
    const auto merge = [&](const std::string& a, const std::string& b) {
        vocab[a + b] = id++;
        merges.push_back(a + " " + b);
    };
    merge("t", "h");
    merge("th", "e");
    merge("\xc4\xa0", "the");
    merge("\xc4\xa0", "\xc4\xa0");
    merge("a", "a");
    merge("aa", "a");
    return {{"added_tokens", {{{"id", 300}, {"content", "<s>"}, {"special", true}, {"normalized", false}},
                              {{"id", 301}, {"content", "<s>x"}, {"special", true}, {"normalized", false}},
                              {{"id", 302}, {"content", "<w>"}, {"lstrip", true}, {"rstrip", true}, {"normalized", false}},
                              {{"id", 303}, {"content", "word"}, {"single_word", true}, {"normalized", true}}}},
            {"normalizer", nullptr}, {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}, {"post_processor", nullptr},
            {"decoder", {{"type", "ByteLevel"}}}, {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}
std::vector<Token> ids(const Tokenizer& t, std::string_view text, bool special = false) {
    auto r = t.encode(text, special);
    EXPECT_TRUE(r.ok()) << r.error().text();
    return r.ok() ? *r : std::vector<Token>{};
}
using Ids = std::vector<Token>;

TEST(Tokenizer, MergesByRankThenPosition) {
    const auto t = parse(small());
    ASSERT_TRUE(t);
    EXPECT_EQ(ids(*t, "the the"), (Ids{257, 258}));
    EXPECT_EQ(ids(*t, "aaaaa"), (Ids{260, 261})) << "pairs from the left, then a pair with the rest";
    EXPECT_EQ(ids(*t, ""), Ids{});
    EXPECT_EQ(t->decode(ids(*t, "the the \n aaaa \xc3\xa9\xf0\x9f\x98\x80")), "the the \n aaaa \xc3\xa9\xf0\x9f\x98\x80");
    EXPECT_EQ(t->vocabulary(), 262u + 4);
}

TEST(Tokenizer, AddedTokens) {
    const auto t = parse(small());
    ASSERT_TRUE(t);
    EXPECT_EQ(ids(*t, "<s>the<s>xthe"), (Ids{300, 257, 301, 257})) << "longest of those that begin at one place";
    EXPECT_EQ(ids(*t, "the  <w>\n the"), (Ids{257, 302, 257})) << "white space on both sides is swallowed";
    EXPECT_EQ(ids(*t, "word,").front(), 303);
    EXPECT_NE(ids(*t, "words").front(), 303) << "not inside of a word";
    EXPECT_EQ(t->decode(std::vector<Token>{300, 257}), "<s>the");
}

TEST(Tokenizer, TemplateAddsBosAndEosOnlyWhenAsked) {
    Json j = small();
    j["post_processor"] = {{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, {{"type", "TemplateProcessing"},
        {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}}}},
        {"pair", Json::array()}, {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {300}}}}, {"</s>", {{"id", "</s>"}, {"ids", {301, 302}}}}}}}}}};
    const auto t = parse(j);
    ASSERT_TRUE(t);
    EXPECT_EQ(ids(*t, "the", true), (Ids{300, 257, 301, 302}));
    EXPECT_EQ(ids(*t, "the", false), (Ids{257}));
    EXPECT_EQ(ids(*t, "", true), (Ids{300, 301, 302}));
}

TEST(Tokenizer, NormalizesToNfc) {
    Json j = small();
    j["normalizer"] = {{"type", "NFC"}};
    const auto t = parse(j);
    ASSERT_TRUE(t);
    EXPECT_EQ(ids(*t, "e\xcc\x81"), ids(*t, "\xc3\xa9"));
    EXPECT_EQ(ids(*parse(small()), "e\xcc\x81").size(), 3u);
}

TEST(Tokenizer, PrefixSpaceSplitsAndDigits) {
    Json j = small();
    j["pre_tokenizer"]["add_prefix_space"] = true;
    EXPECT_EQ(ids(*parse(j), "the"), (Ids{258}));
    j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"String", "|"}}}, {"behavior", "Removed"}, {"invert", false}},
                                                                   {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};

    EXPECT_EQ(ids(*parse(j), "the|aa|a").size(), 3u) << "the bar is gone and keeps a and aa apart";
    j["pre_tokenizer"]["pretokenizers"][0] = {{"type", "Digits"}, {"individual_digits", true}};
    j["model"]["vocab"]["11"] = 270;
    j["model"]["merges"].push_back("1 1");
    EXPECT_EQ(ids(*parse(j), "11").size(), 2u);
    j["pre_tokenizer"]["pretokenizers"][0] = {{"type", "Digits"}, {"individual_digits", false}};
    EXPECT_EQ(ids(*parse(j), "11"), (Ids{270}));
}

TEST(Tokenizer, UnknownPartsAreRefusedByName) {
    const auto refused = [](const char* part, const Json& value, const char* name) {
        Json j = small();
        j[Json::json_pointer(part)] = value;
        const auto t = parse_tokenizer(j.dump(), "x/tokenizer.json");
        ASSERT_FALSE(t.ok()) << part;
        EXPECT_EQ(t.error().code, ErrorCode::kUnsupported) << t.error().text();
        EXPECT_NE(t.error().text().find(name), std::string::npos) << t.error().text();
    };
    refused("/normalizer", {{"type", "Precompiled"}}, "Precompiled");
    refused("/pre_tokenizer", {{"type", "Metaspace"}}, "Metaspace");
    refused("/pre_tokenizer", nullptr, "SentencePiece");
    refused("/post_processor", {{"type", "RobertaProcessing"}}, "RobertaProcessing");
    refused("/decoder", {{"type", "WordPiece"}}, "WordPiece");
    refused("/model/type", "Unigram", "Unigram");
    refused("/model/byte_fallback", true, "byte_fallback");
    refused("/model/end_of_word_suffix", "</w>", "end_of_word_suffix");
}

TEST(Tokenizer, MalformedFiles) {
    const auto code = [](const char* part, const Json& value) {
        Json j = small();
        j[Json::json_pointer(part)] = value;
        const auto t = parse_tokenizer(j.dump(), "x");
        return t.ok() ? ErrorCode::kInternal : t.error().code;
    };
    EXPECT_EQ(code("/model/merges", {"t zzz"}), ErrorCode::kMalformed);
    EXPECT_EQ(code("/model/merges", {"t"}), ErrorCode::kMalformed);
    EXPECT_EQ(code("/model/merges", {"t h e"}), ErrorCode::kMalformed);
    EXPECT_EQ(code("/model/vocab/a", -1), ErrorCode::kMalformed);
    EXPECT_EQ(code("/model/vocab/a", 2000000000), ErrorCode::kMalformed) << "a table of that size would be allocated";
    EXPECT_EQ(code("/model/vocab", Json::array()), ErrorCode::kMalformed);
    EXPECT_EQ(code("/added_tokens", {{{"id", 1}, {"content", ""}}}), ErrorCode::kMalformed);
    EXPECT_EQ(code("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "(["}}}, {"behavior", "Isolated"}}), ErrorCode::kMalformed);
    EXPECT_FALSE(parse_tokenizer("{", "x").ok());
    EXPECT_FALSE(parse_tokenizer("[]", "x").ok());
    const auto t = parse(small());
    EXPECT_EQ(t->encode("\xff\xfe", false).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(t->decode(std::vector<Token>{-1, 1 << 20}), "") << "ids that do not exist";
}

TEST(Tokenizer, LossyDecodingReplacesMaximalSubparts) {
    EXPECT_EQ(lossy_utf8("a\xff" "b"), "a\xef\xbf\xbd" "b");
    EXPECT_EQ(lossy_utf8("\xe2\x82"), "\xef\xbf\xbd") << "a cut character is one replacement";
    EXPECT_EQ(lossy_utf8("\xf0\x9f\x98\x41"), "\xef\xbf\xbd\x41");
    EXPECT_EQ(lossy_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") << "a surrogate is no character";
    EXPECT_EQ(lossy_utf8("\xe2\x82\xac"), "\xe2\x82\xac");
}

// --- real vocabularies -------------------------------------------------------------------------------------------------

Json gpt2_json() {
    const auto vocab = read_text_file(shared_data() / "tokenizers/gpt2/encoder.json");
    const auto merges = read_text_file(shared_data() / "tokenizers/gpt2/vocab.bpe");
    if (!vocab.ok() || !merges.ok()) return nullptr;
    Json list = Json::array();
    std::istringstream in(*merges);
    std::string line;
    std::getline(in, line);  // "#version"
    while (std::getline(in, line)) {
        if (!line.empty()) list.push_back(line);
    }
    Json j = small();
    j["added_tokens"] = Json::array();
    j["model"] = {{"type", "BPE"}, {"vocab", Json::parse(*vocab)}, {"merges", list}};
    return j;
}

void check_vectors(const Tokenizer& t, const std::string& name) {
    const auto dir = shared_data() / "tokenizers/vectors";
    const auto inputs = read_text_file(dir / (name + ".gguf.inp")), outputs = read_text_file(dir / (name + ".gguf.out"));
    ASSERT_TRUE(inputs.ok() && outputs.ok());
    std::istringstream want_lines(*outputs);
    std::string text = *inputs, line;
    const std::string mark = "\n__ggml_vocab_test__\n";
    int cases = 0;
    for (std::size_t at = 0; at <= text.size();) {
        const auto end = std::min(text.find(mark, at), text.size());
        const std::string part = text.substr(at, end - at);
        at = end + mark.size();
        if (!std::getline(want_lines, line)) break;
        std::istringstream numbers(line);
        Ids want;
        for (Token v; numbers >> v;) want.push_back(v);
        EXPECT_EQ(ids(t, part), want) << name << " case " << cases << ": " << part;
        EXPECT_EQ(t.decode(want), part);
        ++cases;
    }
    EXPECT_GT(cases, 30) << name;
}

TEST(TokenizerVectors, Gpt2Llama3Qwen) {
    if (!std::filesystem::exists(shared_data() / "tokenizers/gpt2/encoder.json")) GTEST_SKIP() << "no shared data: real vocabularies not checked";
    const auto gpt2 = parse(gpt2_json());
    ASSERT_TRUE(gpt2);
    check_vectors(*gpt2, "ggml-vocab-gpt-2");
    for (const auto& [folder, vectors] : {std::pair{"llama3", "ggml-vocab-llama-bpe"}, {"qwen3", "ggml-vocab-qwen2"}}) {
        const auto text = read_text_file(shared_data() / "tokenizers" / folder / "tokenizer.json");
        ASSERT_TRUE(text.ok());
        const auto t = parse_tokenizer(*text, folder);
        ASSERT_TRUE(t.ok()) << t.error().text();
        check_vectors(**t, vectors);
    }
    const auto mistral = read_text_file(shared_data() / "tokenizers/mistral-v01/tokenizer.json");
    ASSERT_TRUE(mistral.ok());
    EXPECT_EQ(parse_tokenizer(*mistral, "mistral").error().code, ErrorCode::kUnsupported);
}

TEST(TokenizerVectors, SampleMatchesThePythonLibrary) {
    const auto fixture = read_text_file(source_dir() / "tests/fixtures/engine/tokenizer.json");
    const auto json = read_text_file(tenpak::test::sample_dir() / "base/tokenizer.json");
    if (!fixture.ok() || !json.ok()) GTEST_SKIP() << "the sample models are not there";
    const auto t = parse_tokenizer(*json, "sample");
    ASSERT_TRUE(t.ok()) << t.error().text();
    const Json f = Json::parse(*fixture);
    EXPECT_EQ((*t)->vocabulary(), f["vocab_size"].get<std::size_t>());
    for (const Json& c : f["cases"]) {
        const auto want = c["ids"].get<Ids>();
        EXPECT_EQ(ids(**t, c["text"].get<std::string>()), want) << c["text"];
        EXPECT_EQ((*t)->decode(want), c["decoded"].get<std::string>());
    }
    EXPECT_GT(f["cases"].size(), 10u);
}

}  // namespace
