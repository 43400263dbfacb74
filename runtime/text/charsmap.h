/* The normalization that a SentencePiece model carries with it: which byte strings are replaced by which. */
#ifndef LEAT_RUNTIME_TEXT_CHARSMAP_H
#define LEAT_RUNTIME_TEXT_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/error.h"

enum { CHARSMAP_TEXT_MAX = 256 }; /* bytes of a replacement; NFKC makes at most 33 of a character */

typedef struct charsmap { /* views into the file */
    const uint8_t *units; /* (n_units, 4) */
    size_t n_units;       /* 0: there is no charsmap */
    const char *texts;
    size_t n_texts, longest;
} charsmap;

leat_status charsmap_open(charsmap *m, const uint8_t *p, size_t n, leat_error *e);
/* The longest match at p: its length, 0 if there is none, and the NUL-terminated text that replaces it. */
leat_status charsmap_match(const charsmap *m, const char *p, size_t n, size_t *length, const char **text,
                           leat_error *e);

#endif
