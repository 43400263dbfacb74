#!/usr/bin/env python3
"""Writes unicode_tables.c: the classes of characters that tokenizers tell apart, lower case, and base characters.

    make_unicode_tables.py [FOLDER] > unicode_tables.c

FOLDER holds UnicodeData.txt and PropList.txt of the Unicode Character Database; by default where Debian's package
unicode-data puts them. The version is the one the files name. Run it only to move to another version of Unicode:
the result is kept in the tree, so a build needs neither Python nor the database.
"""
import re
import sys

OTHER, LETTER, NUMBER, SPACE, PUNCTUATION, SYMBOL, MARK_NONSPACING, MARK, CONTROL = range(9)
CATEGORIES = {"L": LETTER, "N": NUMBER, "P": PUNCTUATION, "S": SYMBOL, "M": MARK, "Mn": MARK_NONSPACING, "C": CONTROL}
BLOCK = 128  # code points per block; equal blocks are stored once


def read_database(folder):
    classes = bytearray(0x110000)
    lower, parts = {}, {}
    start = None
    with open(f"{folder}/UnicodeData.txt", encoding="ascii") as f:
        for line in f:
            fields = line.split(";")
            code, name, category = int(fields[0], 16), fields[1], fields[2]
            kind = CATEGORIES.get(category, CATEGORIES.get(category[0], OTHER))
            if name.endswith(", First>"):
                start = code
                continue
            first = start if name.endswith(", Last>") else code
            start = None
            for c in range(first, code + 1):
                classes[c] = kind
            if fields[13]:
                lower[code] = int(fields[13], 16)
            if fields[5] and not fields[5].startswith("<"):
                parts[code] = [int(c, 16) for c in fields[5].split()]
    with open(f"{folder}/PropList.txt", encoding="utf-8") as f:
        version = re.search(r"PropList-([0-9.]+)\.txt", f.readline()).group(1)
        for line in f:
            m = re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*White_Space\b", line)
            if m:
                for c in range(int(m.group(1), 16), int(m.group(2) or m.group(1), 16) + 1):
                    classes[c] = SPACE
    return version, classes, lower, parts


def decompose(parts, c):
    return [d for p in parts[c] for d in decompose(parts, p)] if c in parts else [c]


def lower_ranges(lower):
    """[first, last, step, difference]: step 1 for alphabets in a row, 2 where capital and small letters alternate."""
    ranges = []
    for c in sorted(lower):
        difference = lower[c] - c
        if ranges and ranges[-1][3] == difference:
            first, last, step, _ = ranges[-1]
            if c - last in (1, 2) and (first == last or c - last == step):
                ranges[-1][1:3] = [c, c - last]
                continue
        ranges.append([c, c, 1, difference])
    return ranges


def rows(values, per_row):
    for i in range(0, len(values), per_row):
        yield "    " + " ".join(f"{v}," for v in values[i:i + per_row])


def main():
    version, classes, lower, parts = read_database(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode")
    limit = 0x110000
    blocks, index = {}, []
    for first in range(0, limit, BLOCK):
        block = bytes(classes[first:first + BLOCK])
        index.append(blocks.setdefault(block, len(blocks)))
    packed = [block[i] | block[i + 1] << 4 for block in blocks for i in range(0, BLOCK, 2)]
    assert len(blocks) <= 256
    ranges = lower_ranges(lower)
    bases = []
    for c in sorted(parts):
        base = [d for d in decompose(parts, c) if classes[d] != MARK_NONSPACING]
        assert len(base) <= 3
        bases.append((c, base + [0] * (3 - len(base))))
    print(f"/* Written by make_unicode_tables.py from the Unicode Character Database, version {version}: do not edit.\n"
          " * What the tables mean: see unicode.h. */")
    print('#include "unicode.h"\n')
    print("/* clang-format off */")
    print(f"const uint8_t unicode_blocks[UNICODE_LIMIT / 128] = {{")
    print("\n".join(rows(index, 24)))
    print("};\n")
    print(f"const uint8_t unicode_classes[{len(packed)}] = {{")
    print("\n".join(rows(packed, 24)))
    print("};\n")
    print(f"const size_t unicode_n_lower = {len(ranges)}, unicode_n_bases = {len(bases)};\n")
    print(f"const unicode_lower_range unicode_lower_ranges[{len(ranges)}] = {{")
    print("\n".join(rows([f"{{{a:#x}, {b:#x}, {s}, {d}}}" for a, b, s, d in ranges], 4)))
    print("};\n")
    print(f"const unicode_base unicode_bases[{len(bases)}] = {{")
    print("\n".join(rows([f"{{{c:#x}, {{{', '.join(format(x, '#x') for x in b)}}}}}" for c, b in bases], 3)))
    print("};")
    print("/* clang-format on */")


main()
