#!/usr/bin/env python3
"""Writes width_tables.h: which characters take no cell of a terminal, and which take two.

    make_width_tables.py [FOLDER] > width_tables.h

FOLDER holds the Unicode Character Database; by default where Debian's package unicode-data puts it. Run it only to
move to another version of Unicode: the result is kept in the tree, so a build needs neither Python nor the database.
"""
import re
import sys

HANGUL_JOINING = [(0x1160, 0x11FF), (0xD7B0, 0xD7FF)]  # vowels and finals, drawn into the syllable before them


def read_ranges(path, wanted):
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*(\w+)", line)
            if m and m.group(3) in wanted:
                yield int(m.group(1), 16), int(m.group(2) or m.group(1), 16)


def as_ranges(codes):
    ranges = []
    for c in sorted(codes):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def write(name, ranges):
    print(f"static const width_range {name}[] = {{")
    line = "   "
    for first, last in ranges:
        item = f" {{0x{first:X}, 0x{last:X}}},"
        if len(line) + len(item) > 109:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode"
    with open(f"{folder}/EastAsianWidth.txt", encoding="utf-8") as f:
        version = re.search(r"EastAsianWidth-([0-9.]+)\.txt", f.readline()).group(1)
    zero, wide = set(), set()
    for first, last in read_ranges(f"{folder}/extracted/DerivedGeneralCategory.txt", ("Mn", "Me", "Cf")):
        zero.update(range(first, last + 1))
    for first, last in HANGUL_JOINING:
        zero.update(range(first, last + 1))
    zero.discard(0xAD)  # terminals show the soft hyphen
    for first, last in read_ranges(f"{folder}/EastAsianWidth.txt", ("W", "F")):
        wide.update(range(first, last + 1))
    print(f"/* Cells that characters take in a terminal, from Unicode {version}. Written by make_width_tables.py. */")
    print("/* clang-format off */")
    write("no_cell", as_ranges(zero))
    write("two_cells", as_ranges(wide - zero))
    print("/* clang-format on */")


main()
