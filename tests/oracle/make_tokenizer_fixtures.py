#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers of every kind and what the reference libraries make of some texts with them.

    make_tokenizer_fixtures.py   writes tests/fixtures/tokenizers (trained on the sample's own texts)
"""
import json
import pathlib
import sys
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import random_text  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/fixtures/tokenizers"
PROSE = "".join((ROOT / "resources/sample/text" / f).read_text(encoding="utf-8") for f in ("base.txt", "finetune.txt"))
LINES = [l for l in PROSE.splitlines() if l]
BYTES = ["<0x%02X>" % b for b in range(256)]


def texts(t):
    specials = [x.content for x in t.get_added_tokens_decoder().values()][:12]
    fixed = ["", " ", "Hello world!", "  two  spaces ", "caf\u00e9 cafe\u0301", "1234567", "\n\n\tx", "\U0001f600\u200d", "\u4f60\u597d", "a" * 50, "<s>x</s>", "I'VE it's"]
    return fixed + random_text.make(7, 60, specials, PROSE)


def write(name, t):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    cases = []
    for text in texts(t):
        ids = t.encode(text).ids
        cases.append({"text": text, "ids": ids, "decoded": t.decode(ids, skip_special_tokens=False)})
    (folder / "cases.json").write_text(json.dumps(cases, ensure_ascii=True, separators=(",", ":")) + "\n")


def gemma_like():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    words = [w for l in LINES for w in l.split(" ")]
    t.train_from_iterator(words, trainers.BpeTrainer(vocab_size=1200, special_tokens=["<pad>", "<eos>", "<bos>", "<unk>"] + BYTES, show_progress=False, limit_alphabet=90))
    d = json.loads(t.to_str())
    d["added_tokens"] = [x for x in d["added_tokens"] if not x["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(d))
    t.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("[toxicity=0]", normalized=False)])
    t.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    write("gemma-like", t)


def llama_like(name, legacy):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    words = [("\u2581" if legacy else "") + w for l in LINES for w in l.split(" ")]
    t.train_from_iterator(words, trainers.BpeTrainer(vocab_size=1100, special_tokens=["<unk>", "<s>", "</s>"] + BYTES, show_progress=False, limit_alphabet=90))
    d = json.loads(t.to_str())
    d["added_tokens"] = [x for x in d["added_tokens"] if not x["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(d))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    write(name, t)


def t5_like():
    with tempfile.TemporaryDirectory() as folder:
        rules = pathlib.Path(folder) / "rules.tsv"  # a small map: the full nmt_nfkc would be 240 KB
        table = {"\u00bd": "1\u20442", "\ufb01": "fi", "\u2163": "IV", "\t": " ", "\n": " ", "\u3000": " ", "\u200b": "", "e\u0301": "\u00e9", "\uff21": "A", "\u0130": "i", "\u00df": "ss", "\u0000": ""}
        rules.write_text("".join("%s\t%s\n" % (" ".join("%X" % ord(c) for c in k), " ".join("%X" % ord(c) for c in v)) for k, v in table.items() if k != "\u0000"))
        spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_prefix=folder + "/m", vocab_size=1000, model_type="unigram", normalization_rule_tsv=str(rules), minloglevel=2,
                                       pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
        m = pb.ModelProto()
        m.ParseFromString(open(folder + "/m.model", "rb").read())
    t = Tokenizer(models.Unigram([(p.piece, p.score) for p in m.pieces], 2, False))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.add_special_tokens(["<pad>", "</s>", "<extra_id_0>"])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    write("t5-like", t)


def sentencepiece(name, kind):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_prefix=scratch + "/m", vocab_size=900, model_type=kind, byte_fallback=True, normalization_rule_name="identity",
                                       remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True, user_defined_symbols=["\n\n"], minloglevel=2)
        m = pb.ModelProto()
        m.ParseFromString(open(scratch + "/m.model", "rb").read())
    m.normalizer_spec.precompiled_charsmap = b""
    m.ClearField("denormalizer_spec")
    (folder / "tokenizer.model").write_bytes(m.SerializeToString())
    p = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    cases = []
    for text in ["Hello world!", "  two  spaces ", "caf\u00e9", "1234567", "x\n\n\n\ty", "\U0001f600", "\u4f60\u597d there", "a" * 50] + [l[:200] for l in LINES[:12]]:
        ids = p.encode(text)
        cases.append({"text": text, "ids": ids, "decoded": p.decode(ids)})
    (folder / "cases.json").write_text(json.dumps(cases, ensure_ascii=True, separators=(",", ":")) + "\n")


gemma_like()
llama_like("llama-like", True)
llama_like("llama-like-first", False)
t5_like()
sentencepiece("sentencepiece-bpe", "bpe")
sentencepiece("sentencepiece-unigram", "unigram")
