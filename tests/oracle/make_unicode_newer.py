#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes core/model/unicode_newer.inc: characters that Unicode 15 to 17 added, with their general category.

ICU 72 knows Unicode 15 and PCRE2 10.42 knows Unicode 14, while the reference library's regular expressions follow
Unicode 16 and its character tests Unicode 17. The categories are read off that library, for code points that Python's
own database (run this under 3.11: Unicode 14) does not assign.

    make_unicode_newer.py > core/model/unicode_newer.inc
"""
import unicodedata

from tokenizers import Regex, pre_tokenizers


def members(pattern, points):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    return {c for c in points if not split.pre_tokenize_str(chr(c))}


def main():
    assert unicodedata.unidata_version.startswith("14."), unicodedata.unidata_version
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) == "Cn"]
    classes = {name: members("\\p{%s}" % name, points) for name in ("Lu", "Ll", "Lt", "Lm", "Lo", "M", "Nd", "N", "P", "S")}
    digits = pre_tokenizers.Digits(individual_digits=True)
    classes["N17"] = {c for c in points if len(digits.pre_tokenize_str("a" + chr(c))) == 2}
    ranges = []
    for c in points:
        name = next((k for k, v in classes.items() if c in v), None)
        if name is None:
            continue
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == name:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, name])
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by tests/oracle/make_unicode_newer.py: {first, last, category} after Unicode 14; N17: numbers of Unicode 17.")
    line = ""
    for first, last, name in ranges:
        item = "{0x%x, 0x%x, k%s}, " % (first, last, name)
        if len(line) + len(item) > 118:
            print(line.rstrip())
            line = ""
        line += item
    print(line.rstrip().rstrip(","))


main()
