# SPDX-License-Identifier: Apache-2.0
"""Random Unicode strings that hit what tokenizers stumble over; the same for the same seed."""
import random

BLOCKS = [
    (0x20, 0x7E, 12), (0x00, 0x1F, 2), (0x7F, 0x9F, 1), (0xA0, 0xFF, 3), (0x100, 0x24F, 2), (0x250, 0x2FF, 1), (0x300, 0x36F, 3), (0x370, 0x3FF, 2), (0x400, 0x4FF, 3),
    (0x530, 0x5FF, 1), (0x600, 0x6FF, 2), (0x700, 0x8FF, 1), (0x900, 0x97F, 2), (0x980, 0xDFF, 1), (0xE00, 0xE7F, 2), (0xE80, 0x10FF, 1), (0x1100, 0x11FF, 1), (0x1200, 0x1FFF, 1),
    (0x2000, 0x206F, 3), (0x2070, 0x20CF, 1), (0x2100, 0x2BFF, 2), (0x2C00, 0x2FFF, 1), (0x3000, 0x303F, 1), (0x3040, 0x30FF, 3), (0x3100, 0x33FF, 1), (0x3400, 0x9FFF, 4),
    (0xA000, 0xABFF, 1), (0xAC00, 0xD7FF, 2), (0xE000, 0xF8FF, 1), (0xF900, 0xFAFF, 1), (0xFB00, 0xFFFF, 2), (0x10000, 0x1FFFF, 3), (0x1F300, 0x1FAFF, 4), (0x20000, 0x3FFFF, 1),
    (0xE0000, 0xE01FF, 1), (0x40000, 0x10FFFF, 1),
]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u180e", "\u200b", "\ufeff", "\u0085", "\u2581", " \u2581"]
SNIPPETS = ["'s", "'S", "'ll", "don't", "I'VE", "'\u017f", "3.14159", "1234567890", "\u0661\u0662", "\u00bd", "\u2163", "e\u0301", "\u00e9", "\u1e9b\u0323", "\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\U0001f44d\U0001f3fd", "\u0915\u094d\u0937\u093f", "\ufb01", "\uff21\uff22", "\u0130", "\u00df", "\u03a3\u03c2",
            "http://example.com/a_b?c=d", "def f(x):\n    return x\n", "<0x0A>", "<0xE2>", "[INST]", "</s>", "..", "...", "----", "____", "####", "\\n", "\u200d", "\u0000", "\u007f", "\ufffd", "(a)", "x=1;"]


def make(seed, count, extra=(), prose=""):
    """`count` strings; `extra`: special tokens to mix in; `prose`: a text to cut pieces from."""
    rng = random.Random(seed)
    weights = [w for _, _, w in BLOCKS]
    extra = list(extra)

    def character():
        low, high, _ = rng.choices(BLOCKS, weights)[0]
        while True:
            c = rng.randint(low, high)
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    def piece():
        kind = rng.random()
        if kind < 0.35:
            return character()
        if kind < 0.45:  # a run within one script
            low, high, _ = rng.choices(BLOCKS, weights)[0]
            return "".join(chr(c) for c in (rng.randint(low, high) for _ in range(rng.randint(1, 6))) if not 0xD800 <= c < 0xE000)
        if kind < 0.60:
            return rng.choice(SPACES)
        if kind < 0.72:
            return rng.choice(SNIPPETS)
        if kind < 0.80:
            return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 7)))
        if kind < 0.86 and extra:
            return rng.choice(["", " ", "\n"]) + rng.choice(extra) + rng.choice(["", " ", "a"])
        if kind < 0.93 and prose:
            at = rng.randrange(len(prose))
            return prose[at:at + rng.randint(1, 40)]
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ") for _ in range(rng.randint(1, 9)))

    return ["".join(piece() for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 21, 40]))) for _ in range(count)]
