#!/usr/bin/env python3
"""Writes iq_tables.c: the codebooks of the IQ1, IQ2 and IQ3 tensor types.

    make_iq_tables.py FOLDER > iq_tables.c

FOLDER holds NAME.i8 for each codebook below: signed bytes, (entries, values per entry), as an entry of the codebook
decodes with a scale of one; and iq2_signs.i8, (128, 8), which is only checked against the rule that needs no table.
The codebooks are facts of the file format. The result is kept in the tree, so a build needs neither Python nor FOLDER.
"""
import sys

PER_ROW = 16
# name, entries, values per entry, the values there are, what is packed into the table, how: a macro of iq_tables.c
BOOKS = [
    ("iq1", "iq1_s_grid", 2048, 8, [-1, 0, 1], "uint32_t", "NIBBLES"),
    ("iq2_xxs", "iq2_xxs_grid", 256, 8, [8, 25, 43], "uint64_t", "BYTES8"),
    ("iq2_xs", "iq2_xs_grid", 512, 8, [8, 25, 43], "uint64_t", "BYTES8"),
    ("iq2_s", "iq2_s_grid", 1024, 8, [8, 25, 43], "uint64_t", "BYTES8"),
    ("iq3_xxs", "iq3_xxs_grid", 256, 4, [4, 12, 20, 28, 36, 44, 52, 62], "uint32_t", "HALVES4"),
    ("iq3_s", "iq3_s_grid", 512, 4, [1, 3, 5, 7, 9, 11, 13, 15], "uint32_t", "ODD4"),
]

HEAD = """\
/* Written by make_iq_tables.py from the codebooks' signed bytes: do not edit. iq_tables.h says what an entry is. Here each
 * value of an entry is two bits (IQ1: -1, 0, 1; IQ2: 8, 25, 43) or three (IQ3: 4, 12, 20, 28, 36, 44, 52, 62 and 1, 3 .. 15),
 * the first value lowest; the macros put them into bytes or nibbles, all at compile time. */
#include "iq_tables.h"

/* clang-format off */
#define AT2(c, i) ((c) >> 2 * (i) & 3)
#define AT3(c, i) ((c) >> 3 * (i) & 7)
#define NIBBLE(c, i, to) (uint32_t)AT2(c, i) << 4 * (to)
#define NIBBLES(c) (NIBBLE(c, 0, 0) | NIBBLE(c, 4, 1) | NIBBLE(c, 1, 2) | NIBBLE(c, 5, 3) | \\
                    NIBBLE(c, 2, 4) | NIBBLE(c, 6, 5) | NIBBLE(c, 3, 6) | NIBBLE(c, 7, 7))
#define BYTE(c, i) (uint64_t)(0x2b1908 >> 8 * AT2(c, i) & 0xff) << 8 * (i)
#define BYTES8(c) (BYTE(c, 0) | BYTE(c, 1) | BYTE(c, 2) | BYTE(c, 3) | BYTE(c, 4) | BYTE(c, 5) | BYTE(c, 6) | BYTE(c, 7))
#define HALF(c, i) (uint32_t)(4 * AT3(c, i) + 2 + AT3(c, i) / 7) << 8 * (i)
#define HALVES4(c) (HALF(c, 0) | HALF(c, 1) | HALF(c, 2) | HALF(c, 3))
#define ODD(c, i) (uint32_t)(2 * AT3(c, i) + 1) << 8 * (i)
#define ODD4(c) (ODD(c, 0) | ODD(c, 1) | ODD(c, 2) | ODD(c, 3))
"""


def read(folder, name, entries, width):
    with open(f"{folder}/{name}.i8", "rb") as f:
        data = f.read()
    assert len(data) == entries * width, name
    values = [b - 256 if b > 127 else b for b in data]
    return [values[i:i + width] for i in range(0, len(values), width)]


def main():
    folder = sys.argv[1]
    for code, signs in enumerate(read(folder, "iq2_signs", 128, 8)):
        bits = code | bin(code).count("1") % 2 << 7  # bit 7 makes the number of minus signs even
        assert signs == [-1 if bits >> i & 1 else 1 for i in range(8)]
    print(HEAD)
    letters = [chr(ord("a") + i) for i in range(PER_ROW)]
    for name, file, entries, width, levels, c_type, macro in BOOKS:
        bits = 2 if len(levels) <= 4 else 3
        print(f"#define R({', '.join(letters)}) \\\n    " +
              " \\\n    ".join(", ".join(f"{macro}(0x##{c})" for c in letters[i:i + 4]) + "," for i in range(0, PER_ROW, 4)))
        print(f"const {c_type} {name}_grid[{entries}] = {{")
        codes = [sum(levels.index(v) << bits * i for i, v in enumerate(entry)) for entry in read(folder, file, entries, width)]
        for i in range(0, entries, PER_ROW):
            print("    R(" + ",".join(f"{c:x}" for c in codes[i:i + PER_ROW]) + ")")
        print("};\n#undef R\n")
    print("/* clang-format on */")


main()
