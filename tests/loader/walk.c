/* See walk.h. */
#include "walk.h"

#include <string.h>

#include "kernels/formats.h"

static uint64_t sum_bytes(const void *p, size_t n) {
    const uint8_t *b = p;
    uint64_t s = 0;
    for (size_t i = 0; i < n; i++) s = s * 31 + b[i];
    return s;
}

static bool inside(const void *what, size_t length, const uint8_t *p, size_t n) {
    const uint8_t *w = what;
    return w >= p && w <= p + n && length <= (size_t)(p + n - w);
}

static bool walk_kv(const gguf *g, const gguf_kv *kv, const uint8_t *p, size_t n, uint64_t *sum) {
    if (!kv->key.n || !inside(kv->key.p, kv->key.n, p, n) || !inside(kv->data, kv->bytes, p, n)) return false;
    if (kv->type >= GGUF_TYPE_COUNT || kv->elem_type >= GGUF_TYPE_COUNT || kv->elem_type == GGUF_ARRAY)
        return false;
    if (kv->type != GGUF_ARRAY && (kv->count != 1 || kv->elem_type != kv->type)) return false;
    *sum += sum_bytes(kv->key.p, kv->key.n);
    size_t at = 0;
    for (uint64_t i = 0; i < kv->count; i++) {
        if (kv->elem_type == GGUF_STRING) {
            str s = gguf_kv_next_str(kv, &at);
            if (!inside(s.p, s.n, p, n)) return false;
            *sum += sum_bytes(s.p, s.n);
        } else {
            double d = gguf_kv_f64(kv, i);
            *sum += gguf_kv_u64(kv, i) + (uint64_t)gguf_kv_i64(kv, i) + sum_bytes(&d, sizeof d);
        }
    }
    if (kv->elem_type == GGUF_STRING && at != kv->bytes) return false;
    /* Names that are short enough for C strings are found where they stand. */
    char key[256];
    if (kv->key.n >= sizeof key) return true;
    memcpy(key, kv->key.p, kv->key.n);
    key[kv->key.n] = 0;
    if (gguf_find(g, key) != kv) return false;
    uint32_t u;
    float f;
    bool b, found;
    str s;
    const gguf_kv *array;
    *sum += (uint64_t)meta_u32(g, key, 0, UINT32_MAX, &u, &found, NULL) +
            meta_f32(g, key, 0, 1, &f, &found, NULL) + meta_bool(g, key, &b, &found, NULL) +
            meta_str(g, key, &s, &found, NULL) +
            meta_array(g, key, kv->elem_type, 1000, &array, &found, NULL);
    return true;
}

static bool walk_tensor(const gguf *g, const gguf_tensor *t, const uint8_t *p, size_t n, uint64_t *sum) {
    if (!t->name.n || !inside(t->name.p, t->name.n, p, n) || !inside(t->data, t->bytes, p, n)) return false;
    if (t->n_dims < 1 || t->n_dims > 4 || t->bytes != t->row_bytes * t->n_rows || !t->bytes) return false;
    if (t->data < p + g->data_offset || (size_t)(t->data - p - g->data_offset) % g->alignment) return false;
    if (format_row_bytes(t->format, (size_t)t->ne[0]) != t->row_bytes) return false;
    if (t->ne[1] * t->ne[2] * t->ne[3] != t->n_rows) return false;
    char name[128];
    memcpy(name, t->name.p, t->name.n);
    name[t->name.n] = 0;
    if (gguf_find_tensor(g, name) != t) return false;
    *sum += sum_bytes(t->data, t->bytes);
    return true;
}

uint64_t walk(const gguf *g, const uint8_t *p, size_t n) {
    uint64_t sum = 1;
    if (g->data_offset > n || !g->alignment) return 0;
    for (size_t i = 0; i < g->n_kv; i++)
        if (!walk_kv(g, &g->kv[i], p, n, &sum)) return 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (!walk_tensor(g, &g->tensors[i], p, n, &sum)) return 0;
        for (size_t k = 0; k < i && i < 64; k++)
            if (g->tensors[k].data < g->tensors[i].data + g->tensors[i].bytes &&
                g->tensors[i].data < g->tensors[k].data + g->tensors[k].bytes)
                return 0;
    }
    return sum ? sum : 1;
}
