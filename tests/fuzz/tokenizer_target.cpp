// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/base/file.h"
#include "core/model/chat_template.h"
#include "core/model/tokenizer_files.h"
#include "tests/fuzz/targets.h"

namespace tenpak::fuzz {
namespace {

void use(const model::Tokenizer& t) {
    static const std::string texts[] = {"", " a b  ab<s>aab</s> \xc3\xa9\xf0\x9f\x98\x80\n12", "ab ab\tabc\xe2\x96\x81" "ab"};
    for (const std::string& text : texts) {
        const auto ids = t.encode(text, true);
        if (!ids.ok()) {
            if (ids.error().text().find('\n') != std::string::npos) std::abort();
            continue;
        }
        if (!is_valid_utf8(t.decode(*ids))) std::abort();
        const auto again = t.encode(text, true);
        if (!again.ok() || *again != *ids) std::abort();
    }
}

const char* const kBpe = R"({"version":"1.0","added_tokens":[{"id":0,"content":"<s>","special":true,"normalized":false},{"id":9,"content":"</s>","lstrip":true,"rstrip":true,"single_word":true,"normalized":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Prepend","prepend":"\u2581"},{"type":"Replace","pattern":{"String":" "},"content":"\u2581"},{"type":"Strip","strip_left":true,"strip_right":false}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s)|\\p{L}+|\\s+(?!\\S)|\\d{1,3}"},"behavior":"MergedWithNext","invert":false},{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Contiguous"}]},
"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]}}},
"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"Regex":"\u2581"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":1}]},
"model":{"type":"BPE","unk_token":"<s>","fuse_unk":true,"byte_fallback":true,"ignore_merges":false,"vocab":{"<s>":0,"a":1,"b":2,"ab":3,"\u2581":4,"\u2581ab":5,"<0x0A>":6,"aab":7},"merges":["a b",["\u2581","ab"],"a ab"]}})";
const char* const kUnigram = R"({"added_tokens":[],"normalizer":{"type":"BertNormalizer","clean_text":true,"lowercase":true},"pre_tokenizer":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"first","split":true},
"post_processor":{"type":"RobertaProcessing","sep":["a",1],"cls":["b",2]},"decoder":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always"},
"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0],["a",-1.5],["b",-2.25],["\u2581a",-3],["ab",-2.5]]}})";
const char* const kByteLevel = R"({"normalizer":{"type":"Precompiled","precompiled_charsmap":"CAAAAAAAAAAAAAAAYQA="},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true,"use_regex":true},
"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"BertProcessing","sep":["a",1],"cls":["b",2]}]},"decoder":{"type":"ByteLevel"},
"model":{"vocab":{"a":1,"b":2,"ab</w>":3,"b</w>":4,"\u0120":5},"merges":["a b</w>"],"end_of_word_suffix":"</w>","continuing_subword_prefix":""}})";

}  // namespace

void tokenizer_target(Input input) {
    const auto t = model::parse_tokenizer(as_text(input), "fuzz");
    if (t.ok()) use(**t);
    else if (t.error().text().find('\n') != std::string::npos) std::abort();
}
std::vector<std::string> tokenizer_seeds() { return {kBpe, kUnigram, kByteLevel}; }

void sentencepiece_target(Input input) {
    const auto json = model::sentencepiece_as_json(as_text(input), "fuzz");
    if (!json.ok()) return;
    const auto t = model::build_tokenizer(*json, "fuzz");
    if (t.ok()) use(**t);
}
std::vector<std::string> sentencepiece_seeds() {
    const auto field = [](char tag, const std::string& bytes) { return std::string{tag, static_cast<char>(bytes.size())} + bytes; };
    const auto piece = [&](const std::string& text, const std::string& score, char type) { return field(0x0a, field(0x0a, text) + "\x15" + score + "\x18" + type); };
    std::vector<std::string> seeds;
    for (const char kind : {1, 2}) {
        std::string s = piece("<unk>", std::string(4, '\0'), 2) + piece("<s>", std::string(4, '\0'), 3) + piece("a", std::string("\0\0\x80\xbf", 4), 1) + piece("b", std::string("\0\0\0\xc0", 4), 1) +
                        piece("ab", std::string("\0\0\x40\xc0", 4), 1) + piece("\xe2\x96\x81", std::string("\0\0\x80\xc0", 4), 1) + piece("aab", std::string(4, '\0'), 4);
        s += field(0x12, std::string{'\x18', kind});
        s += field(0x1a, std::string("\x18\x01\x20\x01\x28\x01"));
        seeds.push_back(s);
    }
    return seeds;
}

void chat_template_target(Input input) {
    const auto t = model::ChatTemplate::parse(as_text(input), "fuzz");
    if (!t.ok()) {
        if (t.error().text().find('\n') != std::string::npos) std::abort();
        return;
    }
    const OrderedJson variables = {{"messages", {{{"role", "user"}, {"content", "a\xc3\xa9"}}, {{"role", "assistant"}, {"content", "b"}}}}, {"bos_token", "<s>"}, {"n", 3}, {"x", 1.5}, {"tools", nullptr}};
    const auto text = t->render(variables);
    if (text.ok() && (!is_valid_utf8(*text) || text->size() > (20u << 20))) std::abort();
    if (!text.ok() && text.error().text().find('\n') != std::string::npos) std::abort();
}
std::vector<std::string> chat_template_seeds() {
    return {
        "{{ bos_token }}{% for m in messages %}{% if loop.first and m.role != 'user' %}{{ raise_exception('x') }}{% elif m['role'] == 'user' %}{{ '<u>' + m.content | trim + '\\n' }}{% else %}{{ m.content[::-1] }}{% endif %}{%- endfor %}",
        "{%- set ns = namespace(a=1, b=[]) -%}{% for i in range(n) if i is odd %}{% set ns.a = ns.a * 2 + i // 2 - i % 3 %}{% else %}none{% endfor %}{{ ns.a ~ x }}{# note #}{% raw %}{{ }}{% endraw %}",
        "{% macro f(a, b='z') %}{{ a | tojson(indent=2) }}{{ b.upper().split('z') | join('-') }}{% endmacro %}{{ f({'k': [1, 2.5, none, true]}) }}{% set t %}{{ messages | map(attribute='role') | list | sort }}{% endset %}{{ t if t is defined else 'no' }}",
        "{% filter upper %}{{ messages | selectattr('role', 'eq', 'user') | list | length }}{% endfilter %}{% generation %}{{ (1, 2)[0] < 3 <= 4 and 'a' in 'abc' or not false }}{% endgeneration %}{{ {'b': 1, 'a': 2} | dictsort }}",
    };
}

}  // namespace tenpak::fuzz
