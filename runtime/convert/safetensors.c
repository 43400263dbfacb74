/* The header of a safetensors file: eight bytes with its length, a JSON object of tensors, then their bytes.
 * See weights.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"
#include "loader/alloc.h"
#include "loader/cursor.h"
#include "loader/error.h"
#include "loader/limits.h"
#include "weights.h"

enum {
    HEADER_MAX = 100000000, /* what the format's own library allows */
    TREE_MAX = 700 << 20,   /* of the header's values in memory; they go again after each file */
    SOURCES_MAX = 1 << 22,  /* tensors of all files; with every expert apart, public models have 10^5 */
    NAME_MAX_BYTES = 512
};

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
#define X(NAME, text, bytes) {text, bytes},
#include "weight_types.def"
#undef X
};

const char *weight_type_name(weight_type t) {
    return types[t].name;
}

size_t weight_type_bytes(weight_type t) {
    return types[t].bytes;
}

bool weight_is_float(weight_type t) {
    return t == WEIGHT_F32 || t == WEIGHT_F16 || t == WEIGHT_BF16 || t == WEIGHT_F64;
}

static int shown(str s) {
    return (int)(s.n < 120 ? s.n : 120);
}

/* One whole number from 0 to `max`. */
static bool read_size(const json_value *v, uint64_t max, uint64_t *out) {
    if (v->type != JSON_INT || v->integer < 0 || (uint64_t)v->integer > max) return false;
    *out = (uint64_t)v->integer;
    return true;
}

static leat_status read_shape(source_tensor *t, const json_value *shape, leat_error *e) {
    uint64_t n = 1;
    if (!shape || shape->type != JSON_ARRAY)
        return error_set(e, LEAT_E_DIMS, "tensor \"%.*s\" has no shape", shown(t->name), t->name.p);
    if (shape->count > WEIGHT_DIMS)
        return error_set(e, LEAT_E_DIMS, "tensor \"%.*s\" has %zu dimensions; at most %d", shown(t->name),
                         t->name.p, shape->count, WEIGHT_DIMS);
    for (size_t i = 0; i < WEIGHT_DIMS; i++) t->dims[i] = 1;
    for (const json_value *v = shape->first; v; v = v->next) {
        uint64_t dim;
        if (!read_size(v, LIMIT_DIM, &dim) || (dim && n > LIMIT_ELEMENTS / dim))
            return error_set(e, LEAT_E_DIMS, "tensor \"%.*s\" has a bad shape", shown(t->name), t->name.p);
        t->dims[t->n_dims++] = dim;
        n *= dim;
    }
    t->n = n;
    return LEAT_OK;
}

static leat_status read_tensor(source_tensor *t, const json_value *v, const uint8_t *data, size_t n_data,
                               leat_error *e) {
    const json_value *type = json_get(v, "dtype"), *offsets = json_get(v, "data_offsets");
    uint64_t from, to;
    size_t kind = 0;
    if (v->type != JSON_OBJECT || !type || type->type != JSON_STRING)
        return error_set(e, LEAT_E_TYPE, "tensor \"%.*s\" has no dtype", shown(t->name), t->name.p);
    while (kind < WEIGHT_TYPE_COUNT && !str_eq(type->text, types[kind].name)) kind++;
    if (kind == WEIGHT_TYPE_COUNT)
        return error_set(e, LEAT_E_TYPE, "tensor \"%.*s\" has the unknown dtype \"%.40s\"", shown(t->name),
                         t->name.p, type->text.p);
    t->type = (weight_type)kind;
    leat_status s = read_shape(t, json_get(v, "shape"), e);
    if (s) return s;
    if (!offsets || offsets->type != JSON_ARRAY || offsets->count != 2 ||
        !read_size(offsets->first, INT64_MAX, &from) || !read_size(offsets->last, INT64_MAX, &to) ||
        from > to)
        return error_set(e, LEAT_E_OFFSET, "tensor \"%.*s\" has bad data_offsets", shown(t->name), t->name.p);
    if (to > n_data)
        return error_set(e, LEAT_E_OFFSET,
                         "tensor \"%.*s\" ends at byte %" PRIu64
                         " of the data, which has %zu: the file is cut "
                         "short",
                         shown(t->name), t->name.p, to, n_data);
    if (to - from != t->n * types[kind].bytes) /* 2^48 values at most: can't wrap */
        return error_set(e, LEAT_E_SIZE,
                         "tensor \"%.*s\" has %" PRIu64 " bytes, but its shape and type take %" PRIu64,
                         shown(t->name), t->name.p, to - from, (uint64_t)(t->n * types[kind].bytes));
    t->data = data + from;
    t->bytes = (size_t)(to - from);
    return LEAT_OK;
}

static int by_place(const void *a, const void *b) {
    const source_tensor *x = *(const source_tensor *const *)a, *y = *(const source_tensor *const *)b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

enum { SHOWN_OF_TWO = 80 }; /* two names have to fit one message */

/* A long name without its middle: names of a model differ in layers, near their beginning, and at their end.
 */
static const char *shortened(str name, char out[SHOWN_OF_TWO + 1]) {
    const size_t half = (SHOWN_OF_TWO - 3) / 2;
    if (name.n <= SHOWN_OF_TWO)
        snprintf(out, SHOWN_OF_TWO + 1, "%.*s", (int)name.n, name.p);
    else
        snprintf(out, SHOWN_OF_TWO + 1, "%.*s...%.*s", (int)half, name.p, (int)half, name.p + name.n - half);
    return out;
}

/* Tensors [first, w->n) are of one file: do two share bytes? */
static leat_status check_overlap(const weights *w, size_t first, leat_error *e) {
    size_t n = w->n - first;
    leat_status s = LEAT_OK;
    const source_tensor **list = mem_alloc(n, sizeof *list);
    if (!list) return error_set(e, LEAT_E_NOMEM, "out of memory for %zu tensors", n);
    for (size_t i = 0; i < n; i++) list[i] = &w->t[first + i];
    qsort(list, n, sizeof *list, by_place);
    for (size_t i = 1; i < n && !s; i++) {
        char a[SHOWN_OF_TWO + 1], b[SHOWN_OF_TWO + 1];
        if (list[i - 1]->data + list[i - 1]->bytes <= list[i]->data) continue;
        s = error_set(e, LEAT_E_OVERLAP, "tensors \"%s\" and \"%s\" share bytes",
                      shortened(list[i - 1]->name, a), shortened(list[i]->name, b));
    }
    mem_free(list);
    return s;
}

static leat_status add_tensors(weights *w, const json_value *root, const uint8_t *data, size_t n_data,
                               leat_error *e) {
    size_t first = w->n;
    if (root->count > SOURCES_MAX - w->n)
        return error_set(e, LEAT_E_COUNT, "more than %d tensors", SOURCES_MAX);
    if (w->capacity - w->n < root->count) {
        size_t capacity = w->n + root->count + w->capacity / 2;
        source_tensor *t = mem_resize(w->t, w->capacity, capacity, sizeof *t);
        if (!t) return error_set(e, LEAT_E_NOMEM, "out of memory for %zu tensors", capacity);
        w->t = t;
        w->capacity = capacity;
    }
    for (const json_value *v = root->first; v; v = v->next) {
        if (str_eq(v->key, "__metadata__")) continue;
        if (!v->key.n || v->key.n > NAME_MAX_BYTES || memchr(v->key.p, 0, v->key.n))
            return error_set(e, LEAT_E_NAME, "a tensor has a bad name: \"%.*s\"", shown(v->key), v->key.p);
        const size_t before = w->prefix ? strlen(w->prefix) : 0;
        char *name = arena_alloc(&w->names, before + v->key.n + 1);
        if (!name) return error_set(e, LEAT_E_NOMEM, "out of memory for names of tensors");
        if (before) memcpy(name, w->prefix, before);
        memcpy(name + before, v->key.p, v->key.n);
        name[before + v->key.n] = 0;
        source_tensor *t = &w->t[w->n];
        memset(t, 0, sizeof *t);
        t->name = (str){name, before + v->key.n};
        leat_status s = read_tensor(t, v, data, n_data, e);
        if (s) return s;
        w->n++;
    }
    return check_overlap(w, first, e);
}

leat_status safetensors_parse(weights *w, const char *file, const uint8_t *p, size_t n, leat_error *e) {
    leat_error own;
    if (!e) e = &own;
    const json_value *root = NULL;
    arena a;
    leat_status s;
    if (n < 8) {
        error_set(e, LEAT_E_TRUNCATED, "has %zu bytes and is no safetensors file", n);
        return about_file(file, LEAT_E_TRUNCATED, e);
    }
    uint64_t header = load_u64(p);
    if (header > HEADER_MAX || header > n - 8) {
        s = header > HEADER_MAX ? LEAT_E_MAGIC : LEAT_E_TRUNCATED;
        error_set(e, s, "says its header has %" PRIu64 " bytes: it is %s", header,
                  header > HEADER_MAX ? "no safetensors file" : "cut short, or no safetensors file");
        return about_file(file, s, e);
    }
    arena_init(&a, TREE_MAX);
    s = json_parse(&a, file, (const char *)p + 8, (size_t)header, &root, e);
    if (!s && root->type != JSON_OBJECT) {
        s = error_set(e, LEAT_E_VALUE, "the header is no JSON object");
        about_file(file, s, e);
    } else if (!s) {
        s = add_tensors(w, root, p + 8 + header, n - 8 - (size_t)header, e);
        if (s) about_file(file, s, e);
    }
    arena_free(&a);
    return s;
}
