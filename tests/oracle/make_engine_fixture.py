#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files of the inference engine from the bundled sample: tests/fixtures/engine/*.json.

The oracle is PyPI's transformers and torch, in fp32 on the CPU, and PyPI's tokenizers. Needs: torch transformers tokenizers

    python3 tests/oracle/make_engine_fixture.py [--sample resources/sample] [--out tests/fixtures/engine]

tokenizer.json   cases[]{text, ids, tokens, decoded}: no special token is added
logits.json      prompt: 64 token ids from text/base.txt. Per model: last = fp32 logits of the last position (whole
                 vocabulary, rounded to 6 significant digits); positions[]{position, logits of vocab_ids}
perplexity.json  per model and text: tokens, windows, predicted, nll (sum, nats), mean_nll, perplexity. Windows of 256
                 tokens, not overlapping, each fed alone, remainder dropped; 255 predicted tokens a window
generation.json  per model: the 32 greedy continuations of the prompt's first 16 tokens, and the least gap between the best
                 and the second logit on the way (a test may expect equal ids where its error stays below that gap)
"""
import argparse
import hashlib
import json
import math
from pathlib import Path

import tokenizers
import torch
import transformers

WINDOW = 256
MODELS = ("base", "finetune", "lora")
TEXTS = ("base", "finetune", "lora", "calibration")
PROMPT = 64
POSITIONS = (0, 1, 7, 31, 62)

STRINGS = [
    "In the beginning God created the heaven and the earth.",
    "",
    " ",
    "I'm sure they've said it's what we'd expect; you'll see, and don't ask whose 'tis. IT'S, WE'LL",
    "3.14159 1,000,000 0x1F2e 2024-06-07 007 ½ Ⅷ ٣",
    "two  spaces   three    four\ttab\t\ttabs\n\nlines \n mixed \r\n  end   ",
    "naïve façade, Ångström, Zoë’s “quoted” — dashes – and … ellipsis",
    "e\u0301 decomposed, \u00e9 composed, \ufb01 ligature, zero\u200bwidth, nbsp\u00a0here, \u3000wide",
    "日本語のテキスト、Ελληνικά, Русский, العربية, हिन्दी, ไทย",
    "emoji 😀👍🏽 family 👨‍👩‍👧 flag 🇩🇪",
    "def f(x):\n    return {'a': [x**2, -x], \"b\": None}  # comment\n",
    "<|endoftext|>And it came to pass<|endoftext|> <|endoftext",
    "kluge: /klooj/ n. [from the German ‘klug’, clever] 1. A Rube Goldberg device; see_also::crock_of__stuff",
    "\n\n\n   leading and trailing\n\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!!!!!!!!!!!!!!??",
]


def short(values):
    return [float(f"{v:.6g}") for v in values]


def write(path, value):
    """Indented JSON, but lists of numbers or strings on one line."""
    text = json.dumps(value, ensure_ascii=True, indent=1)
    out, depth = [], 0
    for line in text.split("\n"):  # keep lists of numbers and strings on one line
        s = line.strip()
        if depth:
            out[-1] += s + (" " if s.endswith(",") else "")
        else:
            out.append(line)
        if s.endswith("[") and not s.endswith("[]"):
            nested = s.startswith(('"cases"', '"positions"'))
            if depth or not nested:
                depth += 1
        elif s.startswith("]") and depth:
            depth -= 1
    result = "\n".join(x.rstrip() for x in out) + "\n"
    assert json.loads(result) == value
    path.write_text(result)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def perplexity(model, ids):
    n = ids.numel() // WINDOW
    nll = 0.0
    with torch.no_grad():
        for batch in ids[:n * WINDOW].view(n, WINDOW).split(16):
            logits = model(batch).logits[:, :-1].float()
            nll += torch.nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1), reduction="none").double().sum().item()
    count = n * (WINDOW - 1)
    return {"tokens": ids.numel(), "windows": n, "predicted": count, "nll": round(nll, 4),
            "mean_nll": round(nll / count, 8), "perplexity": round(math.exp(nll / count), 6)}


def greedy(model, prompt, count):
    ids, gap = list(prompt), math.inf
    with torch.no_grad():
        for _ in range(count):
            top = model(torch.tensor([ids])).logits[0, -1].float().topk(2)
            gap = min(gap, (top.values[0] - top.values[1]).item())
            ids.append(int(top.indices[0]))
    return {"ids": ids[len(prompt):], "least_gap": float(f"{gap:.6g}")}


def main():
    root = Path(__file__).resolve().parents[2]
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--sample", type=Path, default=root / "resources/sample")
    ap.add_argument("--out", type=Path, default=root / "tests/fixtures/engine")
    args = ap.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    made_with = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
                 "tokenizers": tokenizers.__version__, "dtype": "float32", "device": "cpu"}

    tok = tokenizers.Tokenizer.from_file(str(args.sample / "base/tokenizer.json"))
    hf = transformers.AutoTokenizer.from_pretrained(str(args.sample / "base"))
    cases = []
    for s in STRINGS:
        enc = tok.encode(s)
        assert hf(s)["input_ids"] == enc.ids, (s, type(hf))
        cases.append({"text": s, "ids": enc.ids, "tokens": enc.tokens,
                      "decoded": tok.decode(enc.ids, skip_special_tokens=False)})
    write(args.out / "tokenizer.json", {"made_with": made_with, "vocab_size": tok.get_vocab_size(), "cases": cases})

    texts = {t: torch.tensor(tok.encode((args.sample / f"text/{t}.txt").read_text()).ids) for t in TEXTS}
    prompt = texts["base"][:PROMPT]
    vocab_ids = [0, 1, 2, 13, 64, 127, 255, 256, 257, 300, 511, 512, 777, 1024, 1279, 1535]
    logits = {"made_with": made_with, "prompt": prompt.tolist(), "vocab_ids": vocab_ids, "models": {}}
    ppl = {"made_with": made_with, "window": WINDOW, "models": {}}
    generation = {"made_with": made_with, "prompt": prompt[:16].tolist(), "models": {}}
    for name in MODELS:
        model = transformers.LlamaForCausalLM.from_pretrained(str(args.sample / name), dtype=torch.float32,
                                                               attn_implementation="eager").eval()
        assert all(p.dtype == torch.float32 for p in model.parameters())
        with torch.no_grad():
            out = model(prompt[None]).logits[0].float()
        weights = (args.sample / name / "model.safetensors").read_bytes()
        logits["models"][name] = {
            "model_sha256": hashlib.sha256(weights).hexdigest(),
            "last": short(out[-1].tolist()),
            "argmax": out.argmax(-1).tolist(),
            "positions": [{"position": p, "logits": short(out[p, vocab_ids].tolist())} for p in POSITIONS]}
        generation["models"][name] = greedy(model, prompt[:16].tolist(), 32)
        ppl["models"][name] = {t: perplexity(model, ids) for t, ids in texts.items()}
        print(name, {t: v["perplexity"] for t, v in ppl["models"][name].items()}, flush=True)
    write(args.out / "logits.json", logits)
    write(args.out / "perplexity.json", ppl)
    write(args.out / "generation.json", generation)


if __name__ == "__main__":
    main()
