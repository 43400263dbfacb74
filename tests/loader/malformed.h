/* The table of broken files: each has a name, how to build it, and how it must be refused. For the loader's
 * suites and whoever wants hostile input (fuzz corpus, tests of the tools). */
#ifndef LEAT_TESTS_MALFORMED_H
#define LEAT_TESTS_MALFORMED_H

#include "gguf_build.h"

typedef struct malformed_case {
    const char *name;
    leat_status status;
    const char *place; /* a part of the message: where in the file the trouble is */
} malformed_case;

extern const malformed_case malformed_cases[];
extern const size_t malformed_count;

/* The file of case i, in a block of exactly its size that the caller frees with free(). */
uint8_t *malformed_build(size_t i, size_t *n);

#endif
