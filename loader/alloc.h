/* The memory seam: every byte of heap the library owns comes from here, so that tests can count allocations
 * and fail each in turn (tests/faults links another alloc.c). Sizes are checked products; memory is zeroed.
 */
#ifndef LEAT_LOADER_ALLOC_H
#define LEAT_LOADER_ALLOC_H

#include <stddef.h>

/* count * size bytes of zeroed memory at 64-byte alignment, or NULL (also when the product overflows). A
 * count or size of 0 gives a valid pointer to nothing. Free with mem_free. */
void *mem_alloc(size_t count, size_t size);

/* Like realloc for arrays from mem_alloc: keeps min(old, new) * size bytes; new tail is zeroed. On failure
 * NULL, and p is still valid. */
void *mem_resize(void *p, size_t old_count, size_t new_count, size_t size);

/* NULL is fine. */
void mem_free(void *p);

#endif
