/* What tokenizers ask of a character: its class, its lower case, what is left of it without accents.
 * Unicode 15.0; the tables are generated, see make_unicode_tables.py. Used by the pre-tokenizers and by
 * wordpiece.c. */
#ifndef LEAT_RUNTIME_TEXT_UNICODE_H
#define LEAT_RUNTIME_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum unicode_class {
    UNICODE_OTHER,           /* unassigned */
    UNICODE_LETTER,          /* \p{L} */
    UNICODE_NUMBER,          /* \p{N} */
    UNICODE_SPACE,           /* \s: the property White_Space, which goes before the category */
    UNICODE_PUNCTUATION,     /* \p{P} */
    UNICODE_SYMBOL,          /* \p{S} */
    UNICODE_MARK_NONSPACING, /* \p{Mn} */
    UNICODE_MARK,            /* the rest of \p{M} */
    UNICODE_CONTROL          /* \p{C} but for the unassigned: control, format, private use */
};

enum { UNICODE_LIMIT = 0x110000 };

extern const uint8_t unicode_blocks[UNICODE_LIMIT / 128]; /* which block stands for these 128 code points */
extern const uint8_t unicode_classes[];                   /* blocks of 128 classes, four bits each */

/* Any value: what is no code point counts as U+FFFD, which would stand for it. */
static inline enum unicode_class unicode_class_of(uint32_t cp) {
    if (cp >= UNICODE_LIMIT) return UNICODE_SYMBOL;
    uint32_t at = unicode_blocks[cp / 128] * 128u + cp % 128;
    return (enum unicode_class)(unicode_classes[at / 2] >> at % 2 * 4 & 15);
}

/* Capital letters first, first + step, ... last become small by adding the difference. Ascending. */
typedef struct unicode_lower_range {
    uint32_t first, last, step;
    int32_t difference;
} unicode_lower_range;
extern const unicode_lower_range unicode_lower_ranges[];
/* The canonical decomposition of a character without its nonspacing marks: one to three characters, or none
 * if it is nothing but marks; 0 fills up. Ascending; Hangul syllables, which decompose by rule, are not in
 * it. */
typedef struct unicode_base {
    uint32_t cp, base[3];
} unicode_base;
extern const unicode_base unicode_bases[];
extern const size_t unicode_n_lower, unicode_n_bases;

uint32_t unicode_lower(uint32_t cp);
/* Writes what is left of a character after decomposing it (NFD) and dropping nonspacing marks; returns how
 * many. */
size_t unicode_without_accents(uint32_t cp, uint32_t out[3]);

#endif
