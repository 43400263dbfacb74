/* Memory that is given back all at once: what a JSON document, a compiled template or one rendering is made
 * of. Grows in chunks from loader/alloc.h up to a limit, never moves what it gave out, and hands out zeroed
 * bytes. Not for use by two threads at a time. */
#ifndef LEAT_RUNTIME_TEXT_ARENA_H
#define LEAT_RUNTIME_TEXT_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct arena {
    struct arena_chunk *chunks; /* the newest first */
    size_t total, limit;        /* bytes taken from the heap, and how many may be */
    bool over_limit;            /* the last failure was the limit, not the system's memory */
} arena;

/* Never fails: nothing is taken before it is needed. */
void arena_init(arena *a, size_t limit);
/* All of it; a zeroed arena is fine. */
void arena_free(arena *a);

/* n zeroed bytes aligned for any type, or NULL. */
void *arena_alloc(arena *a, size_t n);
/* The same for count * size, checked. */
void *arena_array(arena *a, size_t count, size_t size);
/* A copy of n bytes, with a NUL behind; NULL when there is no memory. */
char *arena_copy(arena *a, const char *p, size_t n);

#endif
