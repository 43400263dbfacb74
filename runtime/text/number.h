/* Decimal text to double and back, correctly rounded and the same in every locale. Used by json.c and the
 * templates. */
#ifndef LEAT_RUNTIME_TEXT_NUMBER_H
#define LEAT_RUNTIME_TEXT_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes at p are a number: [-] digits [. digits] [e [+-] digits], 0 if none starts here. With
 * `strict` as RFC 8259 has it: no leading zeros. *integer says that there is neither fraction nor exponent.
 */
size_t number_scan(const char *p, size_t n, bool strict, bool *integer);

/* Of text that number_scan accepts; may be infinite. */
double number_double(const char *p, size_t n);
/* Of [-] digits; false if it does not fit. */
bool number_int(const char *p, size_t n, int64_t *out);

enum { NUMBER_BYTES = 40 };
/* The shortest decimal that reads back as v, in Python's form: 1.0, 0.1, 1e+16, inf, nan. Returns its length;
 * a NUL is added. */
size_t number_repr(double v, char out[NUMBER_BYTES]);

#endif
