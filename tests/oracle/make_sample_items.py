#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes resources/sample/text/tasks.jsonl: multiple-choice items for the sample model.

Each item shows some sentences of the held-out text and asks which sentence comes next: the true one, or one of three that
stand elsewhere in the same text and are about as long. Nothing of it was trained on. Chance is 25 %.

    python3 tests/oracle/make_sample_items.py
"""
import argparse
import json
import pathlib
import random
import re

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "resources/sample/text"


def sentences(text):
    """Sentences of 5 to 25 words, None between paragraphs."""
    out = []
    for paragraph in text.split("\n\n"):
        out += re.split(r"(?<=[.?!])\s+", " ".join(paragraph.split()))
        out.append(None)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--text", type=pathlib.Path, default=SAMPLE / "base.txt")
    parser.add_argument("--out", type=pathlib.Path, default=SAMPLE / "tasks.jsonl")
    args = parser.parse_args()
    rng = random.Random(20261126)
    all_sentences = sentences(args.text.read_text(encoding="utf-8"))
    usable = lambda s: s is not None and 5 <= len(s.split()) <= 25
    places = [i for i in range(3, len(all_sentences)) if all(s is not None for s in all_sentences[i - 2 : i + 1]) and usable(all_sentences[i])]
    pool = [s for s in all_sentences if usable(s)]
    places = sorted(rng.sample(places, min(args.items, len(places))))
    with args.out.open("w", encoding="utf-8") as out:
        for i in places:
            truth = all_sentences[i]
            near = [s for s in pool if s != truth and abs(len(s) - len(truth)) <= max(12, len(truth) // 5) and s not in all_sentences[i - 3 : i + 1]]
            choices = rng.sample(near, 3) + [truth]
            rng.shuffle(choices)
            context = " ".join(s for s in all_sentences[i - 3 : i] if s is not None)
            context = " ".join(context.split()[-70:])
            out.write(json.dumps({"context": context, "choices": choices, "answer": choices.index(truth)}, ensure_ascii=False) + "\n")
    print(f"{len(places)} items in {args.out}")


if __name__ == "__main__":
    main()
