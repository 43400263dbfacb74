/* Hash tables over names: which entry has this one, and does one appear twice. Private to the loader. */
#ifndef LEAT_LOADER_NAMES_H
#define LEAT_LOADER_NAMES_H

#include "gguf.h"

/* An array of n records of `stride` bytes that each begin with their name. */
typedef struct names {
    const void *base;
    size_t n, stride;
} names;

static inline names names_of_kv(const gguf *g) {
    return (names){g->kv, g->n_kv, sizeof *g->kv};
}
static inline names names_of_tensors(const gguf *g) {
    return (names){g->tensors, g->n_tensors, sizeof *g->tensors};
}

/* Builds the table; *table belongs to the caller (mem_free). LEAT_E_DUPLICATE when two names are equal, with
 * the pair in first and second, LEAT_E_NOMEM; then no table. */
leat_status names_index(names list, uint32_t **table, size_t *table_size, size_t *first, size_t *second);

/* Index of the record called `name`, or SIZE_MAX. */
size_t names_find(names list, const uint32_t *table, size_t table_size, str name);

#endif
