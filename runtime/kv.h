/* The key/value cache of a session: for each layer and KV head the keys and the values of all positions, each
 * head's positions adjacent, so that attention streams. Memory is reserved for the whole context and becomes
 * real as positions are written. Rewinding needs no work here: positions beyond the session's length are
 * simply overwritten. */
#ifndef LEAT_RUNTIME_KV_H
#define LEAT_RUNTIME_KV_H

#include <stddef.h>
#include <stdint.h>

#include "loader/error.h"

typedef struct kv_cache {
    size_t n_ctx, n_layer, n_head;
    uint32_t k_format, v_format; /* any that encode writes; heads are whole blocks */
    size_t k_row, v_row;         /* bytes of one head's key or value at one position */
    char *k, *v;                 /* (n_layer, n_head, n_ctx, row) */
    size_t bytes;                /* reserved for both */
} kv_cache;

/* Bytes that a cache of this shape reserves; 0 if the product does not fit a size_t. */
size_t kv_bytes(size_t n_ctx, size_t n_layer, size_t n_head, size_t k_row, size_t v_row);

leat_status kv_open(kv_cache *c, size_t n_ctx, size_t n_layer, size_t n_head, size_t dim_k, size_t dim_v,
                    uint32_t k_format, uint32_t v_format, leat_error *e);
void kv_close(kv_cache *c);

static inline void *kv_key(const kv_cache *c, size_t layer, size_t head, size_t position) {
    return c->k + ((layer * c->n_head + head) * c->n_ctx + position) * c->k_row;
}
static inline void *kv_value(const kv_cache *c, size_t layer, size_t head, size_t position) {
    return c->v + ((layer * c->n_head + head) * c->n_ctx + position) * c->v_row;
}

#endif
