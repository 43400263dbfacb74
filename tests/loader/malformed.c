/* Expands malformed.def. A row's statements see `b`, a fresh builder, and `m`, the file that comes out; the
 * macros below are their vocabulary. */
#include "malformed.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/formats.h"

typedef struct made {
    uint8_t *p;
    size_t n;
} made;

#define P(n) (UINT64_C(1) << (n))

static void finish(build *b, made *m) {
    if (!m->p) m->p = build_finish(b, &m->n);
}

/* A well-formed start: one key, then whatever the row adds. */
static void key(build *b) {
    build_str(b, "general.architecture", "llama");
}

static void base(build *b) {
    key(b);
    build_tensor(b, "a", FORMAT_F32, 8, 2, NULL);
}

static void cut(build *b, made *m, size_t n) {
    finish(b, m);
    if (n < m->n) m->n = n;
}

static void cut_end(build *b, made *m, size_t n) {
    finish(b, m);
    m->n -= n;
}

static void patch(build *b, made *m, size_t at, unsigned width, uint64_t v) {
    finish(b, m);
    for (unsigned i = 0; i < width; i++) m->p[at + i] = (uint8_t)(v >> (8 * i));
}

static void text(build *b, made *m, const char *start) {
    finish(b, m);
    memcpy(m->p, start, strlen(start));
}

/* A key of any type whose value the row adds with build_raw. */
static void raw(build *b, const char *name, uint32_t type) {
    build_key(b, name, strlen(name), type);
}

static void array(build *b, const char *name, uint32_t elem, uint64_t count) {
    raw(b, name, GGUF_ARRAY);
    build_raw_u32(b, elem);
    build_raw_u64(b, count);
}

static void align(build *b, uint32_t v) {
    build_u32(b, "general.alignment", v);
    build_tensor(b, "a", FORMAT_F32, 8, 2, NULL);
}

/* A tensor "t" with 4 KiB of data, after a good one. */
static void tensor(build *b, uint32_t n_dims, uint64_t n0, uint64_t n1, uint64_t n2, uint64_t n3,
                   uint32_t format) {
    uint64_t ne[4] = {n0, n1, n2, n3};
    base(b);
    build_tensor_raw(b, "t", 1, n_dims, ne, format, 64, 4096);
}

/* A tensor whose name has n bytes, of which the record may claim another number. */
static void named(build *b, const void *name, size_t n) {
    uint64_t ne[1] = {4};
    base(b);
    build_tensor_raw(b, name, n, 1, ne, FORMAT_F32, 64, 4096);
}

/* Overwrites the k-th integer of that kind (from 0). */
static void field(build *b, made *m, const char *what, size_t k, uint64_t v) {
    size_t n;
    finish(b, m);
    const build_field *f = build_fields(b, &n);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(f[i].what, what) && k-- == 0) patch(b, m, f[i].offset, f[i].width, v);
}

/* A float32 tensor of `values` values at a given offset, without data of its own; room() gives the file some.
 */
static void at(build *b, const char *name, uint64_t offset, uint64_t values) {
    build_tensor_raw(b, name, strlen(name), 1, &values, FORMAT_F32, offset, 0);
}

static void room(build *b, size_t n) {
    uint64_t ne[1] = {1};
    build_tensor_raw(b, "last", 4, 1, ne, FORMAT_F32, n - 32, n);
}

#define M(name, status, place, ...)                                                                          \
    static void make_##name(build *b, made *m) {                                                             \
        (void)m;                                                                                             \
        __VA_ARGS__;                                                                                         \
    }
#include "malformed.def"
#undef M

static void (*const makers[])(build *, made *) = {
#define M(name, status, place, ...) make_##name,
#include "malformed.def"
#undef M
};

const malformed_case malformed_cases[] = {
#define M(name, status, place, ...) {#name, LEAT_E_##status, place},
#include "malformed.def"
#undef M
};

const size_t malformed_count = sizeof malformed_cases / sizeof *malformed_cases;

uint8_t *malformed_build(size_t i, size_t *n) {
    build *b = build_open();
    made m = {NULL, 0};
    makers[i](b, &m);
    finish(b, &m);
    uint8_t *p = malloc(m.n ? m.n : 1);
    if (p) memcpy(p, m.p, m.n);
    *n = m.n;
    build_close(b);
    return p;
}
