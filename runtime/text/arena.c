/* arena.h: chunks that double in size, each used from its start to its end. Used by json.c and the template
 * files. */
#include "arena.h"

#include <stdint.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/checked.h"

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used; /* of the bytes behind this head */
};

enum { HEAD = (sizeof(struct arena_chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT };

void arena_init(arena *a, size_t limit) {
    *a = (arena){NULL, 0, limit, false};
}

void arena_free(arena *a) {
    for (struct arena_chunk *c = a->chunks; c;) {
        struct arena_chunk *next = c->next;
        mem_free(c);
        c = next;
    }
    a->chunks = NULL;
    a->total = 0;
}

static struct arena_chunk *add_chunk(arena *a, size_t need) {
    size_t size = a->chunks ? a->chunks->size * 2 : FIRST_CHUNK, bytes;
    if (size > LARGEST_CHUNK) size = LARGEST_CHUNK;
    if (size < need) size = need;
    a->over_limit = !checked_add(size, HEAD, &bytes) || bytes > a->limit - a->total;
    if (a->over_limit && size > need) { /* what is left may still do */
        size = need;
        a->over_limit = !checked_add(size, HEAD, &bytes) || bytes > a->limit - a->total;
    }
    if (a->over_limit) return NULL;
    struct arena_chunk *c = mem_alloc(1, bytes);
    if (!c) return NULL;
    a->total += bytes;
    *c = (struct arena_chunk){a->chunks, size, 0};
    a->chunks = c;
    return c;
}

void *arena_alloc(arena *a, size_t n) {
    size_t need;
    struct arena_chunk *c = a->chunks;
    if (!checked_align_up(n ? n : 1, ALIGNMENT, &need)) {
        a->over_limit = true;
        return NULL;
    }
    if ((!c || need > c->size - c->used) && !(c = add_chunk(a, need))) return NULL;
    void *p = (char *)c + HEAD + c->used;
    c->used += need;
    return p;
}

void *arena_array(arena *a, size_t count, size_t size) {
    size_t n;
    if (!checked_mul(count, size, &n)) {
        a->over_limit = true;
        return NULL;
    }
    return arena_alloc(a, n);
}

char *arena_copy(arena *a, const char *p, size_t n) {
    size_t bytes;
    char *copy = checked_add(n, 1, &bytes) ? arena_alloc(a, bytes) : NULL;
    if (copy && n) memcpy(copy, p, n);
    return copy;
}
