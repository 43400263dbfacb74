/* See view.h. Reading is what worker threads do: nothing here writes to anything shared. */
#include "view.h"

#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/limits.h"

view view_whole(const source_tensor *t) {
    return (view){.src = t, .n_dims = 1, .count = {t->n}, .stride = {1}, .n = t->n};
}

view view_rows(const source_tensor *t, uint64_t cols, uint64_t first, uint64_t rows) {
    return (view){
        .src = t, .base = first * cols, .n_dims = 1, .count = {rows * cols}, .stride = {1}, .n = rows * cols};
}

bool view_inside(const view *v) {
    uint64_t last = v->base, n = 1;
    for (uint32_t i = 0; i < v->n_dims; i++) {
        uint64_t steps = v->count[i] - 1, most = v->src->n;     /* 2^48 at most */
        uint64_t values = v->stride[i] ? most : LIMIT_ELEMENTS; /* one may stand for many */
        if (!v->count[i] || v->count[i] > values / n || (steps && v->stride[i] > most / steps)) return false;
        n *= v->count[i];
        last += steps * v->stride[i];
        if (last >= most) return false;
    }
    return n == v->n;
}

uint64_t target_values(const target *t) {
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

bool target_add(target *t, const view *v) {
    if (t->n_parts == t->capacity) {
        size_t more = t->capacity ? 2 * t->capacity : 4;
        view *parts = mem_resize(t->parts, t->capacity, more, sizeof *parts);
        if (parts) t->parts = parts;
        uint64_t *ends = mem_resize(t->ends, t->capacity, more, sizeof *ends);
        if (ends) t->ends = ends;
        if (!parts || !ends) return false;
        t->capacity = more;
    }
    t->ends[t->n_parts] = (t->n_parts ? t->ends[t->n_parts - 1] : 0) + v->n;
    t->parts[t->n_parts++] = *v;
    return true;
}

void target_free(target *t) {
    mem_free(t->parts);
    mem_free(t->ends);
}

/* Values [at, at + n) of one view, in stretches of its innermost dimension. */
static void read_view(const view *v, uint64_t at, size_t n, float *out) {
    uint32_t inner = v->n_dims - 1;
    while (n) {
        uint64_t rest = at / v->count[inner], i = at % v->count[inner];
        uint64_t where = v->base + i * v->stride[inner], left = v->count[inner] - i;
        for (uint32_t d = inner; d-- > 0; rest /= v->count[d]) where += rest % v->count[d] * v->stride[d];
        size_t m = left < n ? (size_t)left : n;
        source_read(v->src, where, v->stride[inner], m, out);
        at += m;
        out += m;
        n -= m;
    }
}

/* The part that value `at` is in. */
static size_t part_of(const target *t, uint64_t at) {
    size_t low = 0, high = t->n_parts - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (at < t->ends[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void read_parts(const target *t, uint64_t start, size_t n, float *out) {
    float *x = out;
    for (size_t k = part_of(t, start); n; k++) {
        uint64_t first = k ? t->ends[k - 1] : 0, left = t->ends[k] - start;
        size_t m = left < n ? (size_t)left : n;
        read_view(&t->parts[k], start - first, m, x);
        start += m;
        x += m;
        n -= m;
    }
}

/* Divides each row's values among n from `at` on by the length of the whole row. */
static void unit_rows(const target *t, uint64_t at, size_t n, float *x) {
    float part[512];
    while (n) {
        uint64_t row = at / t->ne[0], left = t->ne[0] - at % t->ne[0];
        double sum = 0;
        for (uint64_t c = 0, m; c < t->ne[0]; c += m) {
            m = t->ne[0] - c < 512 ? t->ne[0] - c : 512;
            read_parts(t, row * t->ne[0] + c, (size_t)m, part);
            for (uint64_t i = 0; i < m; i++) sum += (double)part[i] * (double)part[i];
        }
        double length = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12;
        size_t m = left < n ? (size_t)left : n;
        for (size_t i = 0; i < m; i++) x[i] = (float)((double)x[i] / length);
        at += m;
        x += m;
        n -= m;
    }
}

void target_read(const target *t, uint64_t start, size_t n, float *out) {
    read_parts(t, start, n, out);
    switch (t->change) {
    case CHANGE_NONE: break;
    case CHANGE_ADD_ONE:
        for (size_t i = 0; i < n; i++) out[i] += 1.0f;
        break;
    case CHANGE_NEG_EXP:
        for (size_t i = 0; i < n; i++) out[i] = -expf(out[i]);
        break;
    case CHANGE_UNIT: unit_rows(t, start, n, out); break;
    }
}

/* The byte of a view of bytes. */
static uint8_t byte_of(const view *v, uint64_t at) {
    uint64_t where = v->base;
    for (uint32_t d = v->n_dims; d-- > 0; at /= v->count[d]) where += at % v->count[d] * v->stride[d];
    return v->src->data[where];
}

void target_blocks(const target *t, uint64_t start, size_t n, uint8_t *out) {
    const view *scales = &t->parts[0], *codes = &t->parts[1];
    for (uint64_t b = start / 32; n; b++, n -= 32) {
        uint8_t values[32];
        for (size_t i = 0; i < 16; i++) {
            uint8_t pair = byte_of(codes, b * 16 + i);
            values[2 * i] = pair & 15;
            values[2 * i + 1] = pair >> 4;
        }
        *out++ = byte_of(scales, b);
        for (size_t i = 0; i < 16; i++) *out++ = (uint8_t)(values[i] | values[i + 16] << 4);
    }
}
