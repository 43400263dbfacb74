/* Reservation of the key/value cache, and the windows that slide over it. */
#include "kv.h"

#include <string.h>

#include "kernels/formats.h"
#include "loader/alloc.h"
#include "os.h"

enum { LINE = 64 };

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Positions that a windowed layer keeps beyond those it needs, so that a session can go back a little; and by
 * how many it lets its buffer run on before it moves rows: each is moved about window / slack times. */
static size_t spare(size_t window) {
    return larger(window / 4, 64);
}

static size_t room_of(const kv_shape *s, size_t n_ctx, size_t n_batch) {
    size_t slack = 2 * spare(s->window);
    if (!s->window || s->window >= n_ctx || n_ctx - s->window <= slack) return n_ctx;
    return n_ctx - s->window - slack <= n_batch ? n_ctx : s->window + slack + n_batch;
}

/* Adds n_head * room * row to *sum; true on overflow. */
static bool add_rows(size_t n_head, size_t room, size_t row, size_t *sum) {
    size_t n;
    return __builtin_mul_overflow(n_head, room, &n) || __builtin_mul_overflow(n, row, &n) ||
           __builtin_add_overflow(*sum, n, sum);
}

/* Keys first, then values on a cache line: the bytes of the former to *k. */
static size_t measure(const kv_shape *shapes, size_t n_layer, size_t n_ctx, size_t n_batch, uint32_t k_format,
                      uint32_t v_format, size_t *k) {
    size_t v = 0, all;
    *k = 0;
    for (size_t i = 0; i < n_layer; i++) {
        const kv_shape *s = &shapes[i];
        size_t room = room_of(s, n_ctx, n_batch);
        if (add_rows(s->n_head, room, format_row_bytes(k_format, s->dim_k), k) ||
            add_rows(s->n_head, room, format_row_bytes(v_format, s->dim_v), &v))
            return 0;
    }
    if (__builtin_add_overflow(*k, v, &all) || all > SIZE_MAX - 2 * LINE) return 0;
    return all + LINE;
}

size_t kv_bytes(const kv_shape *shapes, size_t n_layer, size_t n_ctx, size_t n_batch, uint32_t k_format,
                uint32_t v_format) {
    size_t k;
    return measure(shapes, n_layer, n_ctx, n_batch, k_format, v_format, &k);
}

leat_status kv_open(kv_cache *c, const kv_shape *shapes, size_t n_layer, size_t n_ctx, size_t n_batch,
                    uint32_t k_format, uint32_t v_format, leat_error *e) {
    size_t k_bytes;
    *c = (kv_cache){.n_ctx = n_ctx, .n_layer = n_layer, .k_format = k_format, .v_format = v_format};
    c->bytes = measure(shapes, n_layer, n_ctx, n_batch, k_format, v_format, &k_bytes);
    c->layer = mem_alloc(n_layer, sizeof *c->layer);
    c->memory = c->bytes && c->layer ? os_reserve(c->bytes) : NULL;
    if (!c->memory) {
        size_t mib = c->bytes >> 20;
        kv_close(c);
        return error_set(e, LEAT_E_NOMEM, "no memory for a key/value cache of %zu tokens (%zu MiB)", n_ctx,
                         mib);
    }
    char *k = c->memory, *v = k + (k_bytes + LINE - 1) / LINE * LINE;
    for (size_t i = 0; i < n_layer; i++) {
        const kv_shape *s = &shapes[i];
        kv_layer *l = &c->layer[i];
        *l = (kv_layer){.n_head = s->n_head,
                        .window = s->window,
                        .k_row = format_row_bytes(k_format, s->dim_k),
                        .v_row = format_row_bytes(v_format, s->dim_v),
                        .room = room_of(s, n_ctx, n_batch),
                        .k = k,
                        .v = v};
        k += l->n_head * l->room * l->k_row;
        v += l->n_head * l->room * l->v_row;
    }
    return LEAT_OK;
}

void kv_close(kv_cache *c) {
    if (c->memory) os_release(c->memory, c->bytes);
    mem_free(c->layer);
    *c = (kv_cache){0};
}

size_t kv_used(const kv_cache *c, size_t length) {
    size_t sum = 0;
    for (size_t i = 0; i < c->n_layer; i++) {
        const kv_layer *l = &c->layer[i];
        sum += l->n_head * (length - l->base) * (l->k_row + l->v_row);
    }
    return sum;
}

/* The first position that a token at `position` sees. */
static size_t first_seen(const kv_layer *l, size_t position) {
    return l->window && position >= l->window ? position - l->window + 1 : 0;
}

static void slide(kv_layer *l, size_t to, size_t length) {
    size_t by = to - l->base, n = length - to;
    for (size_t h = 0; h < l->n_head; h++) {
        char *k = l->k + h * l->room * l->k_row, *v = l->v + h * l->room * l->v_row;
        memmove(k, k + by * l->k_row, n * l->k_row);
        memmove(v, v + by * l->v_row, n * l->v_row);
    }
    l->base = to;
}

void kv_advance(kv_cache *c, size_t length, size_t n) {
    for (size_t i = 0; i < c->n_layer; i++) {
        kv_layer *l = &c->layer[i];
        if (length + n - l->base <= l->room) continue;
        size_t needed = first_seen(l, length), more = spare(l->window);
        slide(l, needed - l->base < more ? l->base : needed - more, length);
    }
}

bool kv_rewind(kv_cache *c, size_t length) {
    for (size_t i = 0; i < c->n_layer; i++)
        if (length && first_seen(&c->layer[i], length) < c->layer[i].base) return false;
    for (size_t i = 0; !length && i < c->n_layer; i++) c->layer[i].base = 0;
    return true;
}

size_t kv_base_after(const kv_layer *l, size_t from, size_t to) {
    return l->base >= to ? l->base - (to - from) : l->base > from ? from : l->base;
}

bool kv_can_drop(const kv_cache *c, size_t from, size_t to, size_t length) {
    size_t left = length - (to - from);
    for (size_t i = 0; i < c->n_layer; i++)
        if (kv_base_after(&c->layer[i], from, to) > first_seen(&c->layer[i], left)) return false;
    return true;
}

size_t kv_rewind_floor(const kv_cache *c, size_t length) {
    size_t lowest = 0;
    for (size_t i = 0; i < c->n_layer; i++) {
        const kv_layer *l = &c->layer[i];
        if (l->base) lowest = larger(lowest, l->base + l->window - 1);
    }
    return lowest < length ? lowest : length;
}
