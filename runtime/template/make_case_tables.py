#!/usr/bin/env python3
"""Writes unicode_case.c: upper case of characters, and which have no shape of their own, from Python's
own Unicode database, whose behaviour templates expect.

    make_case_tables.py > unicode_case.c
"""
import sys
import unicodedata


def runs(function):
    """(first, last, step, delta) for characters that change into one character."""
    out = []
    for cp in range(0x110000):
        if 0xD800 <= cp < 0xE000:
            continue
        to = function(chr(cp))
        if len(to) != 1 or ord(to) == cp:
            continue
        delta = ord(to) - cp
        if out and out[-1][3] == delta:
            first, last, step, _ = out[-1]
            if cp - last <= 2 and (step == 0 or step == cp - last):
                out[-1] = (first, cp, cp - last, delta)
                continue
        out.append((cp, cp, 0, delta))
    return out


def several(function):
    return [(cp, function(chr(cp))) for cp in range(0x110000)
            if not 0xD800 <= cp < 0xE000 and len(function(chr(cp))) > 1]


def hidden():
    out = []
    for cp in range(0x110000):
        if chr(cp).isprintable():
            continue
        if out and out[-1][1] == cp - 1:
            out[-1] = (out[-1][0], cp)
        else:
            out.append((cp, cp))
    return out


def table(name, rows, form):
    print(f"const {name}[] = {{")
    line = "   "
    for row in rows:
        cell = " " + form(row) + ","
        if len(line) + len(cell) > 110:
            print(line)
            line = "   "
        line += cell
    print(line)
    print("};\n")


def main():
    print("/* Written by make_case_tables.py from the Unicode Character Database, version "
          f"{unicodedata.unidata_version}: do not edit.\n * unicode_case.h says what the rows mean. */")
    print('#include "unicode_case.h"\n\n/* clang-format off */')
    rows = runs(str.upper)
    table("case_run unicode_upper", rows, lambda r: f"{{{r[0]}, {r[1]}, {max(r[2], 1)}, {r[3]}}}")
    print(f"const size_t unicode_upper_count = {len(rows)};\n")
    rows = several(str.upper)
    table("case_several unicode_upper_several", rows,
          lambda r: f'{{{r[0]}, {{{", ".join(str(ord(c)) for c in r[1])}}}}}')
    print(f"const size_t unicode_upper_several_count = {len(rows)};\n")
    rows = hidden()
    table("code_range unicode_hidden", rows, lambda r: f"{{{r[0]}, {r[1]}}}")
    print(f"const size_t unicode_hidden_count = {len(rows)};")


sys.exit(main())
