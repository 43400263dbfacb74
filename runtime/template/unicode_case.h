/* Upper case of characters (lower case: unicode.h), and which are written as escapes by Python's repr(). The
 * tables are generated, see make_case_tables.py; string.c and print.c search them. */
#ifndef LEAT_RUNTIME_TEMPLATE_UNICODE_CASE_H
#define LEAT_RUNTIME_TEMPLATE_UNICODE_CASE_H

#include <stddef.h>
#include <stdint.h>

typedef struct case_run { /* first, first + step, ... last each change by delta */
    uint32_t first, last, step;
    int32_t delta;
} case_run;

typedef struct case_several { /* one character becomes up to three */
    uint32_t cp, to[3];
} case_several;

typedef struct code_range {
    uint32_t first, last;
} code_range;

extern const case_run unicode_upper[];
extern const size_t unicode_upper_count;
extern const case_several unicode_upper_several[];
extern const size_t unicode_upper_several_count;
extern const code_range unicode_hidden[]; /* not printable */
extern const size_t unicode_hidden_count;

#endif
