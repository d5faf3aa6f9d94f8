// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <sstream>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/byte_level.h"
#include "core/model/tokenizer.h"
#include "core/model/tokenizer_files.h"
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
    return {{"added_tokens", {{{"id", 262}, {"content", "<s>"}, {"special", true}, {"normalized", false}},
                              {{"id", 263}, {"content", "<s>x"}, {"special", true}, {"normalized", false}},
                              {{"id", 264}, {"content", "<w>"}, {"lstrip", true}, {"rstrip", true}, {"normalized", false}},
                              {{"id", 265}, {"content", "word"}, {"single_word", true}, {"normalized", true}}}},
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
    EXPECT_EQ(ids(*t, "<s>the<s>xthe"), (Ids{262, 257, 263, 257})) << "longest of those that begin at one place";
    EXPECT_EQ(ids(*t, "the  <w>\n the"), (Ids{257, 264, 257})) << "white space on both sides is swallowed";
    EXPECT_EQ(ids(*t, "word,").front(), 265);
    EXPECT_NE(ids(*t, "words").front(), 265) << "not inside of a word";
    EXPECT_EQ(t->decode(std::vector<Token>{262, 257}), "<s>the");
}

TEST(Tokenizer, TemplateAddsBosAndEosOnlyWhenAsked) {
    Json j = small();
    j["post_processor"] = {{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, {{"type", "TemplateProcessing"},
        {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}}}},
        {"pair", Json::array()}, {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {262}}}}, {"</s>", {{"id", "</s>"}, {"ids", {263, 264}}}}}}}}}};
    const auto t = parse(j);
    ASSERT_TRUE(t);
    EXPECT_EQ(ids(*t, "the", true), (Ids{262, 257, 263, 264}));
    EXPECT_EQ(ids(*t, "the", false), (Ids{257}));
    EXPECT_EQ(ids(*t, "", true), (Ids{262, 263, 264}));
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
    refused("/normalizer", {{"type", "Telepathy"}}, "Telepathy");
    refused("/normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Telepathy"}}}}}, "Telepathy");
    refused("/pre_tokenizer", {{"type", "UnicodeScripts"}}, "UnicodeScripts");
    refused("/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "often"}}, "often");
    refused("/pre_tokenizer", {{"type", "Punctuation"}, {"behavior", "Melted"}}, "Melted");
    refused("/post_processor", {{"type", "PairProcessing"}}, "PairProcessing");
    refused("/decoder", {{"type", "CTC"}}, "CTC");
    refused("/model/type", "WordPiece", "WordPiece");
    // Patterns that would mean something else here than in the reference.
    const auto pattern = [&](const char* regex, const char* name) {
        refused("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}}, name);
    };
    pattern("[a[bc]]", "a class in a class");
    pattern("[a&&b]", "&&");
    pattern("[\\W_]", "\\W");
    pattern("a{1,3}+", "}+");
    pattern("(?<name>a)", "(?<");
    pattern("\\Ra", "\\R");
    pattern("(a)\\1", "\\1");
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
    EXPECT_EQ(code("/added_tokens", {{{"id", 1}, {"content", 5}}}), ErrorCode::kMalformed);
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
    const auto llama2 = load_tokenizer_folder(shared_data() / "tokenizers/llama2-spm");  // a SentencePiece file
    ASSERT_TRUE(llama2.ok()) << llama2.error().text();
    check_vectors(**llama2, "ggml-vocab-llama-spm");
    const auto folder = load_tokenizer_folder(shared_data() / "tokenizers/gpt2");  // encoder.json and vocab.bpe
    ASSERT_TRUE(folder.ok()) << folder.error().text();
    check_vectors(**folder, "ggml-vocab-gpt-2");
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

// --- small tokenizers of every kind (tests/oracle/make_tokenizer_fixtures.py) ---------------------------------------------

void check_fixture(const std::string& name, bool special) {
    const auto folder = source_dir() / "tests/fixtures/tokenizers" / name;
    const auto t = load_tokenizer_folder(folder);
    ASSERT_TRUE(t.ok()) << t.error().text();
    const auto cases = read_text_file(folder / "cases.json");
    ASSERT_TRUE(cases.ok());
    const Json list = Json::parse(*cases);
    EXPECT_GT(list.size(), 15u);
    for (const Json& c : list) {
        const auto want = c["ids"].get<Ids>();
        EXPECT_EQ(ids(**t, c["text"].get<std::string>(), special), want) << name << ": " << c["text"];
        EXPECT_EQ((*t)->decode(want), c["decoded"].get<std::string>()) << name << ": " << c["text"];
    }
}
TEST(TokenizerFixtures, Gemma) { check_fixture("gemma-like", true); }
TEST(TokenizerFixtures, Llama) { check_fixture("llama-like", true); }
TEST(TokenizerFixtures, LlamaPrefixOnlyAtTheStart) { check_fixture("llama-like-first", true); }
TEST(TokenizerFixtures, T5) { check_fixture("t5-like", true); }
TEST(TokenizerFixtures, SentencePieceBpe) { check_fixture("sentencepiece-bpe", false); }
TEST(TokenizerFixtures, SentencePieceUnigram) { check_fixture("sentencepiece-unigram", false); }

TEST(Tokenizer, LongTextWithoutSpacesTakesNoQuadraticTime) {
    // 2 MB take a fraction of a second; quadratic time would be hours. Both with and without places to cut.
    const auto t = load_tokenizer_folder(source_dir() / "tests/fixtures/tokenizers/llama-like");
    ASSERT_TRUE(t.ok()) << t.error().text();
    const std::string as(2'000'000, 'a'), same(2'000'000, 'z');
    EXPECT_EQ((*t)->decode(ids(**t, as)), as);
    EXPECT_EQ((*t)->decode(ids(**t, same)), same);
    std::string mixed;
    for (unsigned i = 0; mixed.size() < 2'000'000; ++i) mixed += static_cast<char>('a' + i * i % 23);
    EXPECT_EQ((*t)->decode(ids(**t, mixed)), mixed);
}

TEST(Tokenizer, SpecialTokensAndSpellings) {
    const auto t = parse(small());
    ASSERT_TRUE(t);
    EXPECT_TRUE(t->is_special(262));
    EXPECT_FALSE(t->is_special(257));
    EXPECT_EQ(t->decode(std::vector<Token>{262, 257}, true), "the");
    EXPECT_EQ(t->token_id("<s>"), 262);
    EXPECT_EQ(t->token_id("the"), 257);
    EXPECT_FALSE(t->token_id("no such token"));
    EXPECT_EQ(t->token_text(258), "\xc4\xa0the");
    EXPECT_FALSE(t->token_text(5000));
}

TEST(Tokenizer, HostilePatternsEnd) {
    Json j = small();
    j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}};
    const auto t = parse(j);
    ASSERT_TRUE(t);
    const auto r = t->encode(std::string(40, 'a') + "b", false);
    if (!r.ok()) {
        EXPECT_EQ(r.error().code, ErrorCode::kMalformed);
    }
    j["pre_tokenizer"]["pattern"]["Regex"] = std::string(5000, '(');
    EXPECT_EQ(parse_tokenizer(j.dump(), "x").error().code, ErrorCode::kMalformed);
}

TEST(Tokenizer, SentencePieceFilesThatAreNone) {
    EXPECT_EQ(sentencepiece_as_json("not a protobuf", "x").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(sentencepiece_as_json("", "x").error().code, ErrorCode::kMalformed);
    const auto bytes = read_text_file(source_dir() / "tests/fixtures/tokenizers/sentencepiece-bpe/tokenizer.model");
    ASSERT_TRUE(bytes.ok());
    for (std::size_t cut = 1; cut < bytes->size(); cut = cut * 3 / 2 + 1) {
        const auto r = sentencepiece_as_json(std::string_view(*bytes).substr(0, cut), "x");
        if (r.ok()) {
            EXPECT_TRUE(build_tokenizer(*r, "x").ok());
        }
    }
}

}  // namespace
