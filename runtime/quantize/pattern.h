/* Regular expressions for naming tensors: searching, as grep does. Literals (any case), . [a-z] [^...] \d \w
 * \s and escapes, ( ) (?: ), |, * + ? {m,n}, ^ $. Matching takes time in proportion to text times pattern,
 * whatever the pattern. Used by quantize.c. */
#ifndef LEAT_RUNTIME_QUANTIZE_PATTERN_H
#define LEAT_RUNTIME_QUANTIZE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "loader/error.h"

typedef struct pattern pattern;

/* The n bytes at text. The message of a failure names the pattern and what is wrong in it. */
leat_status pattern_open(const char *text, size_t n, pattern **out, leat_error *e);
void pattern_close(pattern *p); /* NULL is fine */

/* Whether any part of the text matches. */
bool pattern_found(const pattern *p, const char *text, size_t n);

#endif
