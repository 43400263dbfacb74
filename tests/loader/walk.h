/* Touches everything a description says, the way consumers do. For mutated files and the fuzz target: with a
 * sanitizer on, or a buffer of exactly the file's size, a lie in the description becomes a fault. */
#ifndef LEAT_TESTS_WALK_H
#define LEAT_TESTS_WALK_H

#include <stdint.h>

#include "loader/gguf.h"

/* A checksum of all of it, or 0 when an invariant of gguf.h doesn't hold. Never 0 otherwise. p, n: the bytes
 * g was parsed from. */
uint64_t walk(const gguf *g, const uint8_t *p, size_t n);

#endif
