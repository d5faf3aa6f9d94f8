#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the bundled sample (resources/sample): a small Llama-architecture base model, a full fine-tune of it and
a merged LoRA fine-tune of it, each on a domain of its own, with held-out and calibration texts.

Needs the Debian packages   bible-kjv bible-kjv-text sword-comm-mhcc sword-comm-tdavid dict-jargon dict-devil
and from PyPI               torch numpy tokenizers

    python3 tests/oracle/train_sample.py --out OUT

OUT/sample is the folder to ship, OUT/adapter the LoRA in PEFT's layout, OUT/figures.json the measurements.
Seeds are fixed and the number of steps does not depend on the clock; bit-exact repetition still needs the same
PyTorch, the same CPU and the same --threads. A stage whose result already lies in OUT is not run again.
"""
import argparse
import gzip
import hashlib
import json
import math
import re
import shutil
import struct
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

SEED = 20240607
WINDOW = 256  # evaluation window, tokens
CONTEXT = 512  # training window and max_position_embeddings, tokens
EOT = "<|endoftext|>"

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 768,
    "max_position_embeddings": CONTEXT,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 1536,
}
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# steps of BATCH windows; both fine-tunes start from the bf16-rounded base, in fp32, without weight decay
BATCH = 4
BASE = dict(steps=1400, lr=2.5e-3, weight_decay=0.1, warmup=80)
FINETUNE = dict(steps=240, lr=1.2e-4, weight_decay=0.0, warmup=10)
LORA = dict(steps=120, lr=4.5e-4, weight_decay=0.0, warmup=10, rank=8, alpha=16)


# ---------------------------------------------------------------------------------------------------- texts

def squeeze(s):
    return re.sub(r"\s+", " ", s).strip()


def share(key, percent):
    """True for a fixed, pseudo-random `percent` of all keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little") % 1000 < percent * 10


def read_kjv(root):
    """[(book, chapter text)] of the King James Version, verse references dropped."""
    exe = root / "usr/bin/bible"
    out = subprocess.run([str(exe), "-p", str(root / "usr/lib"), "-f", "gen1:1-rev22:21"],
                         check=True, capture_output=True, text=True).stdout
    chapters, last = [], None
    for line in out.splitlines():
        m = re.match(r"(\d?[A-Za-z]+)(\d+):\d+ (.*)", line)
        if not m:
            continue
        if (m[1], m[2]) != last:
            chapters.append((m[1], []))
            last = (m[1], m[2])
        chapters[-1][1].append(squeeze(m[3]))
    return [(book, " ".join(verses)) for book, verses in chapters]


def read_zcom(stem):
    """The decompressed blocks of a SWORD zCom4 module (12 bytes an index record: offset, stored, raw)."""
    kind = "bz" if stem.with_suffix(".bzs").exists() else "cz"
    index = stem.with_suffix(f".{kind}s").read_bytes()
    data = stem.with_suffix(f".{kind}z").read_bytes()
    for at in range(0, len(index), 12):
        offset, stored, _ = struct.unpack("<III", index[at:at + 12])
        if stored:
            yield zlib.decompress(data[offset:offset + stored]).decode("utf-8", "replace")


def osis_paragraphs(xml):
    xml = re.sub(r"<table>.*?</table>", " ", xml, flags=re.S)
    xml = re.sub(r"<title[^>]*>.*?</title>", "\n", xml, flags=re.S)
    xml = re.sub(r"<hi type=\"bold\">\s*(Verses?|Ver\.)[^<]*</hi>", "\n", xml)
    xml = re.sub(r"</?(div|chapter|milestone|p|lg|l|lb|list|item|verse)\b[^>]*>", "\n", xml)
    xml = re.sub(r"<[^>]*>", "", xml)
    for a, b in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        xml = xml.replace(a, b)
    return [p for p in map(squeeze, xml.split("\n")) if len(p) > 60 and p.isprintable()]


def read_mhcc(root):
    """[(book, text)] of Matthew Henry's Concise Commentary."""
    folder, books = root / "usr/share/sword/modules/comments/zcom/mhcc", []
    for part in ("ot", "nt"):
        for block in read_zcom(folder / part):
            m = re.search(r'osisID="(\w+)"[^>]*type="book"', block)
            paragraphs = osis_paragraphs(block)
            if m and paragraphs:
                books.append((m[1], "\n".join(paragraphs)))
    return books


def read_tdavid(root):
    """[(psalm number, text)] of the Treasury of David."""
    psalms = []
    for block in read_zcom(root / "usr/share/sword/modules/comments/zcom/tdavid/ot"):
        m = re.search(r'osisID="Ps\.(\d+)"', block)
        if m:
            psalms.append((int(m[1]), "\n".join(osis_paragraphs(block))))
    return psalms


def read_dictd(root, name):
    return gzip.decompress((root / f"usr/share/dictd/{name}.dict.dz").read_bytes()).decode("utf-8")


def read_jargon(root):
    """[(headword, entry as prose)] of the Jargon File; pronunciation lines and link braces dropped."""
    entries = []
    for chunk in re.split(r"\n\n(?=\S)", read_dictd(root, "jargon")):
        lines = chunk.strip("\n").split("\n")
        head = squeeze(lines[0])
        body = [x for x in lines[1:] if x.startswith("    ") or not x.strip()]
        paragraphs = [squeeze(p) for p in re.split(r"\n\s*\n", "\n".join(body))]
        text = "\n".join(p for p in paragraphs if p)
        if head.startswith("00-database") or not text:
            continue
        text = re.sub(r"\{([^{}]*)\}", r"\1", text)
        entries.append((head, f"{head}: {text}"))
    return entries


def read_devil(root):
    """[(headword, entry)] of the Devil's Dictionary; prose is rejoined, verse keeps its lines."""
    text = read_dictd(root, "devil")
    entries = []
    for chunk in re.split(r"\n\n(?=[A-Z][A-Z'\- ]+, ?[a-z.]+)", text)[1:]:
        out = []
        for p in re.split(r"\n\s*\n", chunk):
            lines = p.split("\n")
            if all(x.startswith("  ") for x in lines if x.strip()):
                out += [squeeze(x) for x in lines if x.strip()]
            else:
                out.append(squeeze(re.sub(r"\n    (?=\S)", "\n\v", p).replace("\n", " ")).replace("\v", ""))
        body = "\n".join(x for x in out if x).replace("_", "")
        entries.append((chunk.split(",")[0], body))
    return entries


def join(items):
    return "\n\n".join(text for _, text in items) + "\n"


def take(items, size):
    """The first items that fill about `size` characters."""
    out, n = [], 0
    for item in items:
        if n >= size:
            break
        out.append((item[0], item[1][:size - n].rsplit("\n", 1)[0] if n + len(item[1]) > size * 1.3 else item[1]))
        n += len(out[-1][1])
    return out


def prepare_texts(root):
    """{domain: list of training documents}, {file name: text}. Held out: whole books, psalms or entries."""
    kjv, mhcc, tdavid = read_kjv(root), read_mhcc(root), read_tdavid(root)
    kjv_held, mhcc_held = ("Ruth", "Est", "Gal", "Eph"), ("Ruth", "Esth", "Gal", "Eph")
    assert set(kjv_held) <= {b for b, _ in kjv}, sorted({b for b, _ in kjv})
    assert set(mhcc_held) <= {b for b, _ in mhcc}, sorted({b for b, _ in mhcc})
    base_held = (take([x for x in kjv if x[0] in kjv_held], 48_000) + take([x for x in mhcc if x[0] in mhcc_held], 40_000)
                 + take([x for x in tdavid if x[0] % 10 == 6], 40_000))
    kjv_train = [x for x in kjv if x[0] not in kjv_held]
    mhcc_train = [x for x in mhcc if x[0] not in mhcc_held]
    tdavid_train = [x for x in tdavid if x[0] % 10 in (1, 4, 8)]
    jargon, devil = read_jargon(root), read_devil(root)
    train = {
        "base": [t for _, t in kjv_train + mhcc_train + tdavid_train],
        "finetune": [t for k, t in jargon if not share(k, 9)],
        "lora": [t for k, t in devil if not share(k, 20)],
    }
    calibration = (take([x for x in kjv_train if x[0] in ("1Sam", "1Sa", "Mat", "Matt")], 34_000)
                   + take(mhcc_train[25:], 34_000) + take(tdavid_train[5:], 34_000))
    files = {
        "base.txt": join(base_held),
        "finetune.txt": join([x for x in jargon if share(x[0], 9)]),
        "lora.txt": join([x for x in devil if share(x[0], 20)]),
        "calibration.txt": join(calibration),
    }
    return train, files


# ------------------------------------------------------------------------------------------------ tokenizer

def train_tokenizer(train, path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    # a third of the base text, so that the fine-tunes' words have a say in the merges
    texts = train["base"][::3] + train["finetune"] + train["lora"]
    tok.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"], special_tokens=[EOT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert tok.get_vocab_size() == CONFIG["vocab_size"]
    tok.save(str(path))


def load_tokenizer(path):
    from tokenizers import Tokenizer
    return Tokenizer.from_file(str(path))


def stream(tok, documents):
    """One token stream: every document preceded by the end-of-text token, which also begins a text."""
    out = []
    for enc in tok.encode_batch(documents):
        out.append(0)
        out.extend(enc.ids)
    return torch.tensor(out, dtype=torch.long)


# ---------------------------------------------------------------------------------------------------- model

def rope_tables(length):
    half = CONFIG["head_dim"] // 2
    inv = 1.0 / (CONFIG["rope_theta"] ** (torch.arange(half, dtype=torch.float32) / half))
    angle = torch.outer(torch.arange(length, dtype=torch.float32), inv)
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


def shapes():
    """Name and shape of every tensor, in Hugging Face's naming."""
    h, m, d = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["head_dim"]
    q, kv = CONFIG["num_attention_heads"] * d, CONFIG["num_key_value_heads"] * d
    out = {"model.embed_tokens.weight": (CONFIG["vocab_size"], h)}
    for i in range(CONFIG["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = (h,)
        out[p + "self_attn.q_proj.weight"] = (q, h)
        out[p + "self_attn.k_proj.weight"] = (kv, h)
        out[p + "self_attn.v_proj.weight"] = (kv, h)
        out[p + "self_attn.o_proj.weight"] = (h, q)
        out[p + "post_attention_layernorm.weight"] = (h,)
        out[p + "mlp.gate_proj.weight"] = (m, h)
        out[p + "mlp.up_proj.weight"] = (m, h)
        out[p + "mlp.down_proj.weight"] = (h, m)
    out["model.norm.weight"] = (h,)
    return out


def init_weights(seed):
    g = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes().items():
        if len(shape) == 1:
            out[name] = torch.ones(shape)
        else:
            std = CONFIG["initializer_range"]
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std /= math.sqrt(2 * CONFIG["num_hidden_layers"])
            out[name] = torch.randn(shape, generator=g) * std
    return out


def rms_norm(x, weight):
    return F.rms_norm(x.float(), (x.shape[-1],), weight.float(), CONFIG["rms_norm_eps"]).to(x.dtype)


def forward(w, ids, lora=None):
    """Logits [batch, time, vocab] of weights `w` ({name: tensor}); `lora` is {linear: (A, B)} with its scale inside."""
    heads, kv, d = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"], CONFIG["head_dim"]
    b, t = ids.shape
    cos, sin = rope_tables(t)

    def linear(x, name):
        y = F.linear(x, w[name])
        if lora is not None and name in lora:
            a, up, scale = lora[name]
            y = y + F.linear(F.linear(x, a), up) * scale
        return y

    x = F.embedding(ids, w["model.embed_tokens.weight"])
    for i in range(CONFIG["num_hidden_layers"]):
        p = f"model.layers.{i}."
        y = rms_norm(x, w[p + "input_layernorm.weight"])
        q = linear(y, p + "self_attn.q_proj.weight").view(b, t, heads, d).transpose(1, 2)
        k = linear(y, p + "self_attn.k_proj.weight").view(b, t, kv, d).transpose(1, 2)
        v = linear(y, p + "self_attn.v_proj.weight").view(b, t, kv, d).transpose(1, 2)
        q, k = rotate(q, cos.to(q.dtype), sin.to(q.dtype)), rotate(k, cos.to(k.dtype), sin.to(k.dtype))
        k, v = (z.repeat_interleave(heads // kv, dim=1) for z in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, heads * d)
        x = x + linear(y, p + "self_attn.o_proj.weight")
        y = rms_norm(x, w[p + "post_attention_layernorm.weight"])
        y = F.silu(linear(y, p + "mlp.gate_proj.weight")) * linear(y, p + "mlp.up_proj.weight")
        x = x + linear(y, p + "mlp.down_proj.weight")
    return F.linear(rms_norm(x, w["model.norm.weight"]), w["model.embed_tokens.weight"])


def perplexity(w, ids):
    """Windows of WINDOW tokens, each fed alone, the remainder dropped; the first token of a window is not predicted."""
    w = {k: v.float() for k, v in w.items()}
    n = ids.numel() // WINDOW
    windows = ids[:n * WINDOW].view(n, WINDOW)
    nll = 0.0
    with torch.no_grad():
        for batch in windows.split(16):
            logits = forward(w, batch)[:, :-1].float()
            nll += F.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1), reduction="sum").item()
    count = n * (WINDOW - 1)
    return math.exp(nll / count)


# ------------------------------------------------------------------------------------------------- training

def batches(data, steps, seed):
    """Batches of non-overlapping windows, reshuffled and shifted every epoch."""
    g = torch.Generator().manual_seed(seed)
    made = 0
    while True:
        shift = int(torch.randint(0, CONTEXT, (1,), generator=g))
        n = (data.numel() - shift - 1) // CONTEXT
        for picks in torch.randperm(n, generator=g).split(BATCH):
            if len(picks) < BATCH:
                break
            x = torch.stack([data[shift + int(i) * CONTEXT:shift + int(i) * CONTEXT + CONTEXT + 1] for i in picks])
            yield x[:, :-1], x[:, 1:]
            made += 1
            if made == steps:
                return


def loss_of(weights, x, y, lora):
    logits = forward(weights, x, lora)
    return F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), y.reshape(-1))


def optimise(label, weights, data, plan, seed, compiled, lora=None):
    """Trains `weights` (or only the pairs of `lora`) in place in fp32."""
    params = [t for pair in lora.values() for t in pair[:2]] if lora else list(weights.values())
    for t in params:
        t.requires_grad_(True)
    groups = [{"params": [t for t in params if t.dim() > 1], "weight_decay": plan["weight_decay"]},
              {"params": [t for t in params if t.dim() == 1], "weight_decay": 0.0}]
    opt = torch.optim.AdamW([g for g in groups if g["params"]], lr=plan["lr"], betas=(0.9, 0.98), eps=1e-8)
    loss_fn = torch.compile(loss_of) if compiled else loss_of
    start, mean = time.time(), None
    for step, (x, y) in enumerate(batches(data, plan["steps"], seed)):
        done = max(0.0, (step - plan["warmup"]) / (plan["steps"] - plan["warmup"]))
        scale = min(1.0, (step + 1) / plan["warmup"]) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for g in opt.param_groups:
            g["lr"] = plan["lr"] * scale
        loss = loss_fn(weights, x.contiguous(), y.contiguous(), lora)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if step % 20 == 0 or step + 1 == plan["steps"]:
            print(f"{label} step {step + 1}/{plan['steps']} loss {mean:.3f} {time.time() - start:.0f} s", flush=True)
    for t in params:
        t.requires_grad_(False)


def to_bf16(weights):
    return {k: v.detach().to(torch.bfloat16).contiguous() for k, v in weights.items()}


# -------------------------------------------------------------------------------------------------- writing

def write_safetensors(path, tensors):
    names = {torch.bfloat16: "BF16", torch.float32: "F32"}
    header, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        t = tensors[name].contiguous()
        raw = t.view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(data))


def read_safetensors(path):
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    kinds = {"BF16": torch.bfloat16, "F32": torch.float32}
    out = {}
    for name, e in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            buf = bytearray(raw[8 + size + a:8 + size + b])
            out[name] = torch.frombuffer(buf, dtype=kinds[e["dtype"]]).view(e["shape"])
    return out


def write_model(folder, weights, tokenizer):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(
        {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "do_sample": True, "temperature": 0.8, "top_p": 0.95},
        indent=2) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"add_bos_token": False, "add_eos_token": False, "add_prefix_space": False, "bos_token": EOT, "eos_token": EOT,
         "pad_token": EOT, "clean_up_tokenization_spaces": False, "model_max_length": CONTEXT,
         "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2) + "\n")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    write_safetensors(folder / "model.safetensors", weights)


# ----------------------------------------------------------------------------------------- delta statistics

def ordered(t):
    """bf16 bits as integers in the order of the values: -0 and +0 are both 0, neighbours differ by one."""
    u = t.contiguous().view(torch.int16).numpy().view(np.uint16).astype(np.int32).ravel()
    return np.where(u & 0x8000, -(u & 0x7FFF), u), (u >> 7) & 0xFF


def delta_bits(base, other):
    """Entropy of map(other) - map(base) given the base's exponent, bits a weight: (per tensor, over all weights)."""
    per, bits, count = {}, 0.0, 0
    for name in base:
        b, exponent = ordered(base[name])
        o, _ = ordered(other[name])
        d = o - b
        total = 0.0
        for e in np.unique(exponent):
            _, c = np.unique(d[exponent == e], return_counts=True)
            total -= float((c * np.log2(c / c.sum())).sum())
        per[name] = max(0.0, total) / d.size
        bits += total
        count += d.size
    return per, bits / count


# --------------------------------------------------------------------------------------------------- README

README = """\
<!-- SPDX-License-Identifier: CC0-1.0 -->
# The bundled sample

A base model, two fine-tunes of it and the texts to judge them by, small enough to come with the program. Really trained,
by `tests/oracle/train_sample.py`; good for trying out every screen and for tests, not for writing prose.

| folder | what it is |
|---|---|
| `base/` | the base model, trained from nothing on the base texts |
| `finetune/` | a full fine-tune of `base/` (every weight trained) on the Jargon File |
| `lora/` | a LoRA fine-tune of `base/` (rank @RANK@, alpha @ALPHA@, all seven linear layers) on the Devil's Dictionary, merged into bf16 as PEFT merges |
| `text/base.txt`, `finetune.txt`, `lora.txt` | held-out text of each of the three domains; nothing was trained on it |
| `text/calibration.txt` | for calibrating quantization: from the training part of the base texts |

## Architecture
Llama (`LlamaForCausalLM`), @PARAMETERS@ parameters in bf16: 4 layers, hidden size 256, intermediate size 768, 8 heads and 4
key/value heads of 32, tied embeddings, RMSNorm with epsilon 1e-5, RoPE with theta 10000, 512 positions. The tokenizer is a
byte-level BPE of 1,536 tokens with GPT-2's splitting; `<|endoftext|>` (0) begins a text and ends it, and isn't added by itself.

## Perplexity
| model | base.txt | finetune.txt | lora.txt |
|---|---:|---:|---:|
@TABLE@

Convention: non-overlapping windows of 256 tokens, each fed alone, remainder dropped (windows: @WINDOWS@); the mean
cross-entropy over each window's 255 predicted tokens; the bf16 weights evaluated in fp32. "untrained" is the base's
initialisation. On their own domain `finetune/` is @GAIN_FINETUNE@ % and `lora/` @GAIN_LORA@ % below the base.

Entropy of the difference from the base, in bits a weight (order-preserving integer difference of the bf16 values, given the
base's exponent, over all weights): `finetune/` @BITS_FINETUNE@ (@CHANGED_FINETUNE@ % of the weights changed), `lora/` @BITS_LORA@
(@CHANGED_LORA@ % changed; embeddings and norms are the base's).

## How it was made
    apt-get install bible-kjv bible-kjv-text sword-comm-mhcc sword-comm-tdavid dict-jargon dict-devil
    pip install torch numpy tokenizers
    python3 tests/oracle/train_sample.py --out OUT

AdamW in fp32 on a CPU, cosine schedule, @STEP_TOKENS@ tokens a step: base @STEPS_BASE@ steps (peak learning rate @LR_BASE@, weight
decay 0.1); full fine-tune @STEPS_FINETUNE@ steps (@LR_FINETUNE@, no decay) and LoRA @STEPS_LORA@ steps (@LR_LORA@, no decay), both from the
bf16-rounded base. Seeds are fixed; bit-exact repetition also needs the same PyTorch, CPU and thread count.

## Sources and their status
From Debian 12 (bookworm), as the packages' copyright files state it:

| used for | text | package | copyright file |
|---|---|---|---|
| base | King James Version | bible-kjv-text 4.38 (read with the program in bible-kjv) | "The copyright for the King James Version text of the Bible is expired since the translation was done in 1611" |
| base | Matthew Henry's Concise Commentary | sword-comm-mhcc 2.0-1 | "License: public-domain. Public Domain--Copy Freely." |
| base | C. H. Spurgeon, The Treasury of David (three psalms in ten) | sword-comm-tdavid 2.1-1 | "This work's final volume was released in 1885. It is now in the public domain." |
| finetune | The Jargon File, version 4.4.7, 29 Dec 2003 | dict-jargon 4.4.7-3.1 | "This document (the Jargon File) is in the public domain, to be freely used, shared, and modified." |
| lora | Ambrose Bierce, The Devil's Dictionary | dict-devil 1.0-13.1 | "The Devil's Dictionary is in the public domain, its copyright has expired." |

Only the texts are used, nothing of the packaging or the programs (those are GPL-2+). Cleaning: markup, verse numbers,
pronunciations and cross-reference braces dropped, lines rejoined. The King James Version is under a perpetual Crown patent
for printing within the United Kingdom.

Held out, by whole units: the books Ruth, Esther, Galatians and Ephesians (the Bible, and Henry on them), Spurgeon on psalms
6, 16, 26 and so on (`base.txt` takes the first 40 to 48 KB of each of the three), and 9 % of the Jargon File's and 20 % of the
Devil's Dictionary's entries, chosen by a hash of the headword. The tokenizer saw training parts only. Runs of 13 words that
also occur in the same domain's training part, mostly quotations: base.txt 0.06 %, finetune.txt 0.02 %, lora.txt none.

## Licence
SPDX-License-Identifier: CC0-1.0. The weights, tokenizer, configuration files and this page are dedicated to the public domain
(CC0 1.0 Universal). The texts are in the public domain already.
"""


# --------------------------------------------------------------------------------------------------- stages

def stage_base(out, streams, compiled):
    w = init_weights(SEED)
    optimise("base", w, streams["base"], BASE, SEED + 1, compiled)
    write_model(out / "sample/base", to_bf16(w), out / "tokenizer.json")


def stage_finetune(out, streams, compiled, base):
    w = {k: v.float() for k, v in base.items()}
    optimise("finetune", w, streams["finetune"], FINETUNE, SEED + 2, compiled)
    write_model(out / "sample/finetune", to_bf16(w), out / "tokenizer.json")


def stage_lora(out, streams, compiled, base):
    w = {k: v.float() for k, v in base.items()}
    g = torch.Generator().manual_seed(SEED + 3)
    r, scale, pairs = LORA["rank"], LORA["alpha"] / LORA["rank"], {}
    for name, t in w.items():
        if name.split(".")[-2] in LINEARS:
            rows, cols = t.shape
            bound = 1 / math.sqrt(cols)  # kaiming_uniform_(a=sqrt(5)), as PEFT does
            a = (torch.rand((r, cols), generator=g) * 2 - 1) * bound
            pairs[name] = (a, torch.zeros((rows, r)), scale)
    optimise("lora", w, streams["lora"], LORA, SEED + 4, compiled, pairs)
    # PEFT's merge_and_unload of a bf16 model with fp32 factors: (B @ A) * scale in fp32 is added in place to the bf16
    # weight, so the sum is taken in fp32 and rounded once
    merged, adapter = {}, {}
    for name, t in base.items():
        if name in pairs:
            a, up, _ = pairs[name]
            merged[name] = t.clone()
            merged[name] += (up.detach() @ a.detach()) * scale
            stem = "base_model.model." + name[:-len(".weight")]
            adapter[stem + ".lora_A.weight"] = a.detach().clone()
            adapter[stem + ".lora_B.weight"] = up.detach().clone()
        else:
            merged[name] = t.clone()
    write_model(out / "sample/lora", merged, out / "tokenizer.json")
    folder = out / "adapter"
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "adapter_model.safetensors", adapter)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"base_model_name_or_path": "base", "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
         "init_lora_weights": True, "lora_alpha": LORA["alpha"], "lora_dropout": 0.0, "modules_to_save": None,
         "peft_type": "LORA", "r": r, "target_modules": list(LINEARS), "task_type": "CAUSAL_LM", "use_dora": False,
         "use_rslora": False}, indent=2) + "\n")


def measure(out, tok, files):
    """Everything the README states, from the bf16 files as they lie on the disk."""
    models = {n: read_safetensors(out / f"sample/{n}/model.safetensors") for n in ("base", "finetune", "lora")}
    held = {n: torch.tensor(tok.encode(files[f"{n}.txt"]).ids) for n in ("base", "finetune", "lora")}
    rows = {"untrained": to_bf16(init_weights(SEED)), **models}
    figures = {"windows": {n: t.numel() // WINDOW for n, t in held.items()},
               "tokens": {n: t.numel() for n, t in held.items()},
               "perplexity": {m: {t: perplexity(w, ids) for t, ids in held.items()} for m, w in rows.items()},
               "delta_bits_per_weight": {}, "delta_bits_per_tensor": {}, "changed_fraction": {},
               "parameters": sum(t.numel() for t in models["base"].values())}
    for n in ("finetune", "lora"):
        per, total = delta_bits(models["base"], models[n])
        figures["delta_bits_per_tensor"][n] = per
        figures["delta_bits_per_weight"][n] = total
        figures["changed_fraction"][n] = sum(
            int((models["base"][k] != models[n][k]).sum()) for k in per) / figures["parameters"]
        print(f"\n{n}: bits a weight, entropy of the ordered difference given the base's exponent")
        for k, v in per.items():
            print(f"  {v:6.3f}  {k}")
        print(f"  {total:6.3f}  over all weights")
    for m, row in figures["perplexity"].items():
        print(f"{m:>10}  " + "  ".join(f"{t} {p:9.2f}" for t, p in row.items()))
    return figures


def write_readme(out, figures):
    template = README
    p, own = figures["perplexity"], {}
    table = "\n".join(f"| {m} | " + " | ".join(f"{row[t]:.2f}" for t in ("base", "finetune", "lora")) + " |"
                      for m, row in p.items())
    for n in ("finetune", "lora"):
        own[n] = 100 * (1 - p[n][n] / p["base"][n])
    values = {"TABLE": table, "PARAMETERS": f"{figures['parameters']:,}",
              "GAIN_FINETUNE": f"{own['finetune']:.1f}", "GAIN_LORA": f"{own['lora']:.1f}",
              "BITS_FINETUNE": f"{figures['delta_bits_per_weight']['finetune']:.2f}",
              "BITS_LORA": f"{figures['delta_bits_per_weight']['lora']:.2f}",
              "CHANGED_FINETUNE": f"{100 * figures['changed_fraction']['finetune']:.1f}",
              "CHANGED_LORA": f"{100 * figures['changed_fraction']['lora']:.1f}",
              "WINDOWS": ", ".join(f"{n} {w}" for n, w in figures["windows"].items()),
              "STEPS_BASE": str(BASE["steps"]), "STEPS_FINETUNE": str(FINETUNE["steps"]), "STEPS_LORA": str(LORA["steps"]),
              "LR_BASE": f"{BASE['lr']:g}", "LR_FINETUNE": f"{FINETUNE['lr']:g}", "LR_LORA": f"{LORA['lr']:g}",
              "STEP_TOKENS": f"{BATCH * CONTEXT:,}", "RANK": str(LORA["rank"]), "ALPHA": str(LORA["alpha"])}
    for k, v in values.items():
        template = template.replace(f"@{k}@", v)
    (out / "sample/README.md").write_text(template)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--root", type=Path, default=Path("/"), help="where the Debian packages are installed or unpacked")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--until", choices=("texts", "base", "all"), default="all")
    ap.add_argument("--eager", action="store_true", help="train without torch.compile (which needs a C++ compiler)")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    out, compiled = args.out, not args.eager
    (out / "sample/text").mkdir(parents=True, exist_ok=True)

    train, files = prepare_texts(args.root)
    for name, text in files.items():
        (out / "sample/text" / name).write_text(text)
    if not (out / "tokenizer.json").exists():
        train_tokenizer(train, out / "tokenizer.json")
    tok = load_tokenizer(out / "tokenizer.json")
    streams = {n: stream(tok, docs) for n, docs in train.items()}
    for n, t in streams.items():
        print(f"{n}: {sum(map(len, train[n])):,} characters, {t.numel():,} tokens to train on, "
              f"{len(files[n + '.txt'].encode()):,} bytes held out", flush=True)
    if args.until == "texts":
        return
    done = lambda n: (out / f"sample/{n}/model.safetensors").exists()
    if not done("base"):
        stage_base(out, streams, compiled)
    if args.until == "base":
        return
    base = read_safetensors(out / "sample/base/model.safetensors")
    if not done("finetune"):
        stage_finetune(out, streams, compiled, base)
    if not done("lora"):
        stage_lora(out, streams, compiled, base)
    figures = measure(out, tok, files)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    write_readme(out, figures)


if __name__ == "__main__":
    main()
