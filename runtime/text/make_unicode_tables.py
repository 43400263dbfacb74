#!/usr/bin/env python3
"""Writes unicode_tables.c: the classes of characters that pre-tokenizers tell apart.

    make_unicode_tables.py [FOLDER] > unicode_tables.c

FOLDER holds UnicodeData.txt and PropList.txt of the Unicode Character Database; by default where Debian's package
unicode-data puts them. The version is the one the files name. Run it only to move to another version of Unicode:
the result is kept in the tree, so a build needs neither Python nor the database.
"""
import re
import sys

OTHER, LETTER, NUMBER, SPACE = range(4)
BLOCK = 128  # code points per block; equal blocks are stored once


def read_classes(folder):
    classes = bytearray(0x110000)
    start = None
    with open(f"{folder}/UnicodeData.txt", encoding="ascii") as f:
        for line in f:
            fields = line.split(";")
            code, name, category = int(fields[0], 16), fields[1], fields[2]
            kind = {"L": LETTER, "N": NUMBER}.get(category[0], OTHER)
            if name.endswith(", First>"):
                start = code
                continue
            first = start if name.endswith(", Last>") else code
            start = None
            for c in range(first, code + 1):
                classes[c] = kind
    with open(f"{folder}/PropList.txt", encoding="utf-8") as f:
        version = re.search(r"PropList-([0-9.]+)\.txt", f.readline()).group(1)
        for line in f:
            m = re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*White_Space\b", line)
            if m:
                for c in range(int(m.group(1), 16), int(m.group(2) or m.group(1), 16) + 1):
                    classes[c] = SPACE
    return version, classes


def rows(values, per_row):
    for i in range(0, len(values), per_row):
        yield "    " + " ".join(f"{v}," for v in values[i:i + per_row])


def main():
    version, classes = read_classes(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode")
    limit = max(c for c in range(0x110000) if classes[c] != OTHER) + 1
    limit = (limit + BLOCK - 1) // BLOCK * BLOCK
    blocks, index = {}, []
    for first in range(0, limit, BLOCK):
        block = bytes(classes[first:first + BLOCK])
        index.append(blocks.setdefault(block, len(blocks)))
    assert len(blocks) <= 256
    packed = []
    for block in blocks:
        for i in range(0, BLOCK, 4):
            packed.append(sum(block[i + k] << 2 * k for k in range(4)))
    print(f"/* Written by make_unicode_tables.py from the Unicode Character Database, version {version}: do not edit. A class is\n"
          " * two bits (unicode.h); unicode_blocks says which block of 128 code points stands for each range of 128. */")
    print('#include "unicode.h"\n')
    print("/* clang-format off */")
    print(f'_Static_assert(UNICODE_LIMIT == {limit:#x}, "unicode.h knows where the table ends");\n')
    print(f"const uint8_t unicode_blocks[UNICODE_LIMIT / 128] = {{")
    print("\n".join(rows(index, 24)))
    print("};\n")
    print(f"const uint8_t unicode_classes[{len(packed)}] = {{")
    print("\n".join(rows(packed, 24)))
    print("};")
    print("/* clang-format on */")


main()
