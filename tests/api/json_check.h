/* Is a text one valid JSON value (RFC 8259)? For what the program prints with --json. */
#ifndef LEAT_TESTS_JSON_CHECK_H
#define LEAT_TESTS_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* Blanks around it are fine; anything else behind it is not. *where is the offset of the first fault. */
bool json_valid(const char *text, size_t n, size_t *where);

#endif
