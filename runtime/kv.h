/* The key/value cache of a session: for each layer and KV head the keys and the values of the positions it
 * keeps, adjacent, so that attention streams. A plain layer keeps the whole context. A windowed layer keeps
 * the last positions only: rows move to the front of their buffer when it is full (kv_advance), seldom enough
 * to cost next to nothing. Memory is reserved at once and becomes real as positions are written, in small
 * pages: of huge ones each head of each layer would take one for its last keys and one for its last values,
 * half a gigabyte for 16 layers of 8 heads. Rewinding needs no work here while what the window needs is still
 * there (kv_rewind): positions beyond the session's length are simply overwritten. Owned by a session;
 * changed only between passes. */
#ifndef LEAT_RUNTIME_KV_H
#define LEAT_RUNTIME_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/error.h"

/* What a layer asks of the cache. n_head == 0: the layer has no attention. */
typedef struct kv_shape {
    size_t n_head, dim_k, dim_v;
    size_t window; /* positions that a token sees, itself included; 0: all before it */
    /* how keys were turned to their positions, for when they move */
    int rope;           /* a plan_rope */
    size_t rope_first;  /* the first value that is rotated */
    const float *gain;  /* (dim_k) what rotated values were multiplied with; NULL: nothing */
    size_t gain_stride; /* from the gain of one head to that of the next; 0: they share one */
    bool fixed;         /* they can't be turned again */
} kv_shape;

typedef struct kv_layer {
    size_t n_head, window;
    size_t k_row, v_row; /* bytes of one head's key or value at one position */
    size_t room;         /* positions that fit */
    size_t base;         /* the first position that is kept; 0 but for windowed layers */
    char *k, *v;         /* (n_head, room, row) */
} kv_layer;

typedef struct kv_cache {
    size_t n_ctx, n_layer;
    uint32_t k_format, v_format; /* any that encode writes; heads are whole blocks */
    kv_layer *layer;             /* (n_layer) */
    char *memory;
    size_t bytes; /* reserved */
} kv_cache;

/* Bytes that a cache for passes of up to n_batch tokens reserves; 0 if the sum does not fit a size_t. */
size_t kv_bytes(const kv_shape *shapes, size_t n_layer, size_t n_ctx, size_t n_batch, uint32_t k_format,
                uint32_t v_format);

leat_status kv_open(kv_cache *c, const kv_shape *shapes, size_t n_layer, size_t n_ctx, size_t n_batch,
                    uint32_t k_format, uint32_t v_format, leat_error *e);
void kv_close(kv_cache *c);

/* Bytes of the rows that a session of `length` tokens keeps. */
size_t kv_used(const kv_cache *c, size_t length);

/* Makes room for n positions from `length` on, n <= n_batch. Before each pass. */
void kv_advance(kv_cache *c, size_t length, size_t n);
/* The session goes back to `length` tokens. False, nothing changed, when a windowed layer has given up
 * positions that the next token would see. Going back to 0 is always possible. */
bool kv_rewind(kv_cache *c, size_t length);
/* True if, with positions from .. to - 1 of `length` gone, all layers still have what the next token sees. */
bool kv_can_drop(const kv_cache *c, size_t from, size_t to, size_t length);
/* The first position that a layer keeps then. */
size_t kv_base_after(const kv_layer *l, size_t from, size_t to);
/* The smallest length above 0 that a session of `length` tokens can go back to; 0 if any will do. */
size_t kv_rewind_floor(const kv_cache *c, size_t length);

static inline void *kv_key(const kv_cache *c, size_t layer, size_t head, size_t position) {
    const kv_layer *l = &c->layer[layer];
    return l->k + (head * l->room + (position - l->base)) * l->k_row;
}
static inline void *kv_value(const kv_cache *c, size_t layer, size_t head, size_t position) {
    const kv_layer *l = &c->layer[layer];
    return l->v + (head * l->room + (position - l->base)) * l->v_row;
}

#endif
