#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiny random-weight models of every architecture and what transformers computes with them in fp32.

Each model is a folder tests/fixtures/architectures/NAME: config.json, model.safetensors (bf16), expected.safetensors:
  tokens       [n] int32          the text
  prefill      [n, vocab] f32     logits of one forward pass over it
  steps        [m, vocab] f32     logits of the last m tokens, one at a time behind a prompt of n - m (KV cache)
  short        [s, vocab] f32     logits of its first s tokens alone (another sequence for the batch)
Features are switched on where they show: windows shorter than the text, scaling beyond the original context.

    make_arch_fixtures.py [--out FOLDER] [NAME ...]
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
import transformers as tf
from safetensors.torch import load_file, save_file

VOCAB, LENGTH, STEPS, SHORT = 64, 40, 12, 9
LLAMA = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def like(**changes):
    return {**LLAMA, **changes}


def rope(rope_type, **values):
    return {"rope_type": rope_type, "rope_theta": 10000.0, **values}


LONG = dict(short_factor=[1.0, 1.1, 1.5, 2.0], long_factor=[1.0, 2.0, 4.0, 8.0])
MODELS = {
    "llama": (tf.LlamaConfig(**like(attention_bias=True, mlp_bias=True)), tf.LlamaForCausalLM),
    "llama_mha_tied": (tf.LlamaConfig(**like(num_key_value_heads=4, tie_word_embeddings=True, head_dim=16, hidden_act="gelu")), tf.LlamaForCausalLM),
    "llama_linear": (tf.LlamaConfig(**like(rope_parameters=rope("linear", factor=4.0))), tf.LlamaForCausalLM),
    "llama_dynamic": (tf.LlamaConfig(**like(max_position_embeddings=24, rope_parameters=rope("dynamic", factor=4.0))), tf.LlamaForCausalLM),
    "llama_yarn": (tf.LlamaConfig(**like(rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16))), tf.LlamaForCausalLM),
    "llama_yarn_mscale": (tf.LlamaConfig(**like(rope_parameters=rope("yarn", factor=8.0, original_max_position_embeddings=16, beta_fast=16.0, beta_slow=2.0,
                                                                     mscale=1.2, mscale_all_dim=0.5, truncate=False))), tf.LlamaForCausalLM),
    "llama3": (tf.LlamaConfig(**like(rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                          original_max_position_embeddings=16))), tf.LlamaForCausalLM),
    "llama_longrope": (tf.LlamaConfig(**like(rope_parameters=rope("longrope", factor=2.0, original_max_position_embeddings=32, **LONG))), tf.LlamaForCausalLM),
    "mistral": (tf.MistralConfig(**like(sliding_window=11)), tf.MistralForCausalLM),
    "mistral_full": (tf.MistralConfig(**like(sliding_window=None, head_dim=16)), tf.MistralForCausalLM),
    "qwen2": (tf.Qwen2Config(**like(tie_word_embeddings=True)), tf.Qwen2ForCausalLM),
    "qwen2_window": (tf.Qwen2Config(**like(num_hidden_layers=3, use_sliding_window=True, sliding_window=9, max_window_layers=1)), tf.Qwen2ForCausalLM),
    "qwen3": (tf.Qwen3Config(**like(head_dim=16)), tf.Qwen3ForCausalLM),
    "smollm3": (tf.SmolLM3Config(**like(num_hidden_layers=4, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=13)), tf.SmolLM3ForCausalLM),
    "gemma2": (tf.Gemma2Config(**like(num_hidden_layers=4, head_dim=16, sliding_window=10, query_pre_attn_scalar=24, attn_logit_softcapping=2.0,
                                      final_logit_softcapping=3.0)), tf.Gemma2ForCausalLM),
    "phi3": (tf.Phi3Config(**like(sliding_window=15)), tf.Phi3ForCausalLM),
    "phi3_longrope": (tf.Phi3Config(**like(original_max_position_embeddings=32, max_position_embeddings=128, rope_parameters=rope("longrope", **LONG))), tf.Phi3ForCausalLM),
    "phi4_mini": (tf.Phi3Config(**like(original_max_position_embeddings=64, rope_parameters=rope("default", partial_rotary_factor=0.5))), tf.Phi3ForCausalLM),
    "gpt2": (tf.GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2), tf.GPT2LMHeadModel),
    "gpt_neox": (tf.GPTNeoXConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=72, max_position_embeddings=64,
                                  rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}), tf.GPTNeoXForCausalLM),
    "gpt_neox_serial": (tf.GPTNeoXConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=72, max_position_embeddings=64,
                                         use_parallel_residual=False, hidden_act="gelu_new"), tf.GPTNeoXForCausalLM),
}


def randomize(model, seed):
    """Weights large enough that attention and norms matter; everything representable in bf16."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                mean = 1.0 if "norm" in name or "ln_" in name else 0.0
                mean = 0.0 if name.endswith("bias") or isinstance(model, tf.Gemma2ForCausalLM) else mean
                p.copy_(mean + 0.2 * torch.randn(p.shape, generator=g))
            elif "embed" in name or "wte" in name or "wpe" in name:
                p.copy_(0.7 * torch.randn(p.shape, generator=g))
            else:
                fan_in = p.shape[0] if ".c_" in name else p.shape[1]
                p.copy_(1.3 * fan_in ** -0.5 * torch.randn(p.shape, generator=g))
            p.copy_(p.to(torch.bfloat16).to(torch.float32))


def expected(model, recode):
    g = torch.Generator().manual_seed(7)
    tokens = torch.randint(3, VOCAB, (LENGTH,), generator=g)
    with torch.no_grad():
        prefill = model(tokens[None]).logits[0]
        # Frequencies of dynamic scaling are a state of the module: every pass starts with a short one that resets it.
        model(tokens[None, :4])
        short = model(tokens[None, :SHORT]).logits[0]
        model(tokens[None, :4])
        out = model(tokens[None, :LENGTH - STEPS], use_cache=True)
        cache, steps = out.past_key_values, []
        for t in range(LENGTH - STEPS, LENGTH):
            if recode is not None and t == recode:  # what generate() does: the cache is dropped where the factors change
                out = model(tokens[None, :t + 1], use_cache=True)
            else:
                out = model(tokens[None, t:t + 1], cache=cache, use_cache=True)
            cache = out.past_key_values
            steps.append(out.logits[0, -1])
    return {"tokens": tokens.to(torch.int32), "prefill": prefill.float(), "steps": torch.stack(steps).float(), "short": short.float()}


def older(config):
    """config.json as transformers 4 wrote it: rope_theta and rope_scaling beside the other fields."""
    parameters = dict(config.pop("rope_parameters"))
    config["rope_theta"] = parameters.pop("rope_theta")
    partial = parameters.pop("partial_rotary_factor", None)
    if partial is not None and config["model_type"] == "gpt_neox":
        config["rotary_pct"] = partial
        config["rotary_emb_base"] = config.pop("rope_theta")
    elif partial is not None:
        config["partial_rotary_factor"] = partial
    kind = parameters.pop("rope_type")
    if kind == "default":
        config["rope_scaling"] = None
    else:
        config["rope_scaling"] = {"type": "su" if kind == "longrope" and config["model_type"] == "phi3" else kind, **parameters}
    config.pop("layer_types", None)
    return config


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "fixtures/architectures")
    ap.add_argument("names", nargs="*")
    args = ap.parse_args()
    torch.set_num_threads(1)
    total = 0
    for seed, (name, (config, cls)) in enumerate(MODELS.items()):
        if args.names and name not in args.names:
            continue
        config._attn_implementation = "eager"
        model = cls(config).eval()
        randomize(model, 100 + seed)
        parameters = getattr(config, "rope_parameters", None) or {}
        original = parameters.get("original_max_position_embeddings")
        recode = original if parameters.get("rope_type") == "longrope" and LENGTH - STEPS <= original < LENGTH else None
        values = expected(model, recode)
        path = args.out / name
        shutil.rmtree(path, ignore_errors=True)
        model.to(torch.bfloat16).save_pretrained(path, safe_serialization=True)
        (path / "generation_config.json").unlink(missing_ok=True)
        # Half of the fixtures speak the older dialect.
        saved = json.loads((path / "config.json").read_text())
        if seed % 2 == 1 and saved.get("rope_parameters"):
            saved = older(saved)
        (path / "config.json").write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n")
        save_file(values, path / "expected.safetensors")
        size = sum(f.stat().st_size for f in path.iterdir())
        total += size
        print(f"{name}: {size:,} bytes, {len(load_file(path / 'model.safetensors'))} tensors, logits rms {values['prefill'].square().mean().sqrt():.3f}", flush=True)
    print(f"{total:,} bytes, transformers {tf.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
