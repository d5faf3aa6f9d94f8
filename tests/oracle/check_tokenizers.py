#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens of `tenpak tokenize` against the PyPI `tokenizers` library: ids and decoded text, string by string.

    check_tokenizers.py build/release/bin/tenpak ../shared/data/tokenizers [--count 10000] [--only NAME]

Every vocabulary of the folder, the small ones of tests/fixtures/tokenizers and some built here (a Unigram model with
SentencePiece's full nmt_nfkc map, one of each kind of pre-tokenizer and normalizer) see the vectors, random Unicode strings
and pieces of the sample's texts. Exit code 1 when anything differs.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads and subprocesses do not go together
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import random_text  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(tenpak, directory, strings, flags):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as f:
        f.write("\n".join(json.dumps(s) for s in strings))
        f.flush()
        out = subprocess.run([tenpak, "tokenize", str(directory), "--lines", f.name, *flags], capture_output=True)
    if out.returncode != 0:
        raise SystemExit("%s: %s" % (directory, out.stderr.decode()))
    return [json.loads(line) for line in out.stdout.decode().split("\n") if line]


def compare(tenpak, name, directory, reference, strings):
    differences = 0
    shown = 0
    for special in (False, True):
        got = run(tenpak, directory, strings, [] if special else ["--no-special", "--skip-special"])
        assert len(got) == len(strings)
        for text, g in zip(strings, got):
            ids = reference.encode(text, add_special_tokens=special).ids
            decoded = reference.decode(ids, skip_special_tokens=not special)
            if g["ids"] == ids and g["decoded"] == decoded:
                continue
            differences += 1
            if shown < 3:
                shown += 1
                print("  %s differs for %r" % (name, text[:200]))
                if g["ids"] != ids:
                    at = next((i for i, (a, b) in enumerate(zip(g["ids"] + [None], ids + [None])) if a != b), 0)
                    print("    ids from %d: %s, want %s (%s)" % (at, g["ids"][at:at + 8], ids[at:at + 8], [reference.id_to_token(i) for i in ids[at:at + 8]]))
                else:
                    print("    decoded %r want %r" % (g["decoded"][:200], decoded[:200]))
    return differences


def vectors(folder, name):
    """Inputs of llama.cpp's vocabulary tests and the ids expected there."""
    text = (folder / "vectors" / ("ggml-vocab-%s.gguf.inp" % name)).read_text(encoding="utf-8")
    want = (folder / "vectors" / ("ggml-vocab-%s.gguf.out" % name)).read_text().splitlines()
    inputs = text.split("\n__ggml_vocab_test__\n")
    return [(i, [int(x) for x in w.split()]) for i, w in zip(inputs, want)]


def gpt2_reference(folder):
    merges = [tuple(line.split(" ")) for line in (folder / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:] if line]
    t = Tokenizer(models.BPE(vocab=json.loads((folder / "encoder.json").read_text(encoding="utf-8")), merges=merges))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<|endoftext|>"])
    return t


def save(t, folder, name):
    d = pathlib.Path(folder) / name
    d.mkdir()
    t.save(str(d / "tokenizer.json"))
    return d


def built_here(folder, prose):
    """Tokenizers that exercise the rest of what tokenizer.json can say."""
    lines = [l for l in prose.splitlines() if l]
    made = []

    def unigram(normalizer, pre, decoder, **options):
        t = Tokenizer(models.Unigram())
        t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
        t.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=1500, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False, **options))
        return t

    def bpe(normalizer, pre, decoder, model=None, trainer=None):
        t = Tokenizer(models.BPE(**(model or {})))
        if normalizer:
            t.normalizer = normalizer
        if pre:
            t.pre_tokenizer = pre
        if decoder:
            t.decoder = decoder
        t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=1200, show_progress=False, **(trainer or {})))
        return t

    import sentencepiece as spm
    prefix = str(pathlib.Path(folder) / "full")
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=prefix, vocab_size=1000, model_type="unigram", byte_fallback=False, minloglevel=2)
    from sentencepiece import sentencepiece_model_pb2 as pb
    m = pb.ModelProto()
    m.ParseFromString(open(prefix + ".model", "rb").read())
    for scheme in ("always", "first", "never"):
        t = Tokenizer(models.Unigram([(p.piece, p.score) for p in m.pieces], 0, False))
        t.normalizer = normalizers.Sequence([normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap), normalizers.Replace(__import__("tokenizers").Regex(" {2,}"), " ")])
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        t.decoder = decoders.Metaspace(prepend_scheme=scheme)
        t.add_special_tokens(["<s>", "</s>"])
        t.add_tokens([AddedToken("[WORD]", single_word=True), AddedToken("[L]", lstrip=True, normalized=False), AddedToken("[R]", rstrip=True, normalized=False), AddedToken("Ünicode", normalized=True)])
        t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
        made.append(("unigram-nmt-nfkc-" + scheme, save(t, folder, "nfkc-" + scheme), t))
    t = unigram(normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Lowercase(), normalizers.StripAccents()]),
                pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), decoders.Metaspace())
    made.append(("unigram-lower", save(t, folder, "lower"), t))
    t = unigram(normalizers.NFD(), pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_next")]), None)
    made.append(("unigram-whitespace", save(t, folder, "whitespace"), t))
    t = unigram(normalizers.Sequence([normalizers.Strip(True, True), normalizers.NFKD()]), pre_tokenizers.Metaspace(prepend_scheme="first", split=False), decoders.Metaspace(prepend_scheme="first"))
    made.append(("unigram-unsplit", save(t, folder, "unsplit"), t))
    t = bpe(normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder(suffix="</w>"), dict(unk_token="<unk>"),
            dict(special_tokens=["<unk>"], end_of_word_suffix="</w>"))
    made.append(("bpe-suffix", save(t, folder, "suffix"), t))
    t = bpe(None, pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.Digits(), pre_tokenizers.Punctuation("contiguous")]), decoders.WordPiece(prefix="##"),
            dict(unk_token="<unk>", fuse_unk=True), dict(special_tokens=["<unk>"], continuing_subword_prefix="##"))
    made.append(("bpe-prefix", save(t, folder, "prefix"), t))
    from tokenizers import Regex
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            t = bpe(None, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{Han}+|\s+$|^\w|\b\d|[a-z\d]{2,3}(?=\S)|a*"), behavior, invert), pre_tokenizers.ByteLevel(add_prefix_space=True)]),
                    decoders.ByteLevel(), None, dict(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
            t.post_processor = processors.Sequence([processors.ByteLevel(), processors.RobertaProcessing(("</s>", 5), ("<s>", 6))])
            made.append(("bpe-split-%s-%s" % (behavior, invert), save(t, folder, "split-%s-%s" % (behavior, invert)), t))
    t = bpe(normalizers.Sequence([normalizers.Prepend("_"), normalizers.Replace("aa", "b"), normalizers.ByteLevel()]), None, decoders.ByteLevel(), None, dict(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    made.append(("bpe-byte-normalizer", save(t, folder, "byte"), t))
    return made


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tenpak")
    p.add_argument("data", type=pathlib.Path)
    p.add_argument("--count", type=int, default=10000)
    p.add_argument("--only", default="")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    prose = "".join((ROOT / "resources/sample/text" / f).read_text(encoding="utf-8") for f in ("base.txt", "finetune.txt"))
    with tempfile.TemporaryDirectory() as folder:
        def all_cases():
            for d in sorted(a.data.iterdir()):
                if (d / "tokenizer.json").exists():
                    yield d.name, d, Tokenizer.from_file(str(d / "tokenizer.json"))
                elif (d / "vocab.bpe").exists():
                    yield d.name, d, gpt2_reference(d)
            for d in sorted((ROOT / "tests/fixtures/tokenizers").glob("*/tokenizer.json")):
                yield "fixture " + d.parent.name, d.parent, Tokenizer.from_file(str(d))
            if a.only not in ("gpt2", "llama3", "mistral", "qwen3", "fixture"):
                yield from built_here(folder, prose)

        known = {"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen3": "qwen2", "mistral-v01": "", "llama2-spm": "llama-spm"}
        total = 0
        inputs = sorted({i for n in ("gpt-2", "llama-bpe", "llama-spm", "qwen2", "falcon", "phi-3") for i, _ in vectors(a.data, n)})
        for name, directory, reference in all_cases():
            if a.only and a.only not in name:
                continue
            began = time.time()
            specials = [t.content for t in reference.get_added_tokens_decoder().values()][:40]
            strings = inputs + prose.splitlines()[:300] + [prose[:20000]] + random_text.make(a.seed, a.count, specials, prose)
            wrong = compare(a.tenpak, name, directory, reference, strings)
            print("%-32s %6d strings, with and without special tokens: %d differences (%.0f s)" % (name, len(strings), wrong, time.time() - began), flush=True)
            total += wrong
        # Expected ids of the vectors themselves, also for a vocabulary that the library does not read (SentencePiece).
        for name, vector in known.items():
            if not vector or (a.only and a.only not in name):
                continue
            pairs = vectors(a.data, vector)
            got = run(a.tenpak, a.data / name, [i for i, _ in pairs], ["--no-special"])
            wrong = sum(g["ids"] != w for g, (_, w) in zip(got, pairs))
            print("%-32s %6d vectors: %d differences" % (name, len(pairs), wrong))
            total += wrong
    print("differences: %d" % total)
    return 1 if total else 0


sys.exit(main())
