/* What pre-tokenizers ask of a character: letter (\p{L}), number (\p{N}), white space (\s, the property
 * White_Space) or anything else. Unicode 15.0; the tables are generated, see make_unicode_tables.py. */
#ifndef LEAT_RUNTIME_TEXT_UNICODE_H
#define LEAT_RUNTIME_TEXT_UNICODE_H

#include <stdint.h>

enum unicode_class { UNICODE_OTHER, UNICODE_LETTER, UNICODE_NUMBER, UNICODE_SPACE };

enum { UNICODE_LIMIT = 0x32400 }; /* from here on everything is UNICODE_OTHER */

extern const uint8_t unicode_blocks[UNICODE_LIMIT / 128];
extern const uint8_t unicode_classes[];

/* Any value: what is no code point is UNICODE_OTHER. */
static inline enum unicode_class unicode_class_of(uint32_t cp) {
    if (cp >= UNICODE_LIMIT) return UNICODE_OTHER;
    uint32_t at = unicode_blocks[cp / 128] * 128u + cp % 128;
    return (enum unicode_class)(unicode_classes[at / 4] >> at % 4 * 2 & 3);
}

#endif
