/* Tensor records: name -> checked shape, type and place. gguf.c calls it after the metadata; file.c builds
 * the index again when it joins split files. It must never let a size reach a consumer that was not computed
 * here, in one order, with every product checked. */
#include <inttypes.h>

#include "alloc.h"
#include "checked.h"
#include "kernels/formats.h"
#include "names.h"
#include "parse.h"

/* A tensor's bytes in the data section: [begin, end). */
typedef struct extent {
    uint64_t begin, end;
    size_t index;
} extent;

static leat_status truncated(const cursor *c, size_t i, const char *what, leat_error *e) {
    return error_set(e, LEAT_E_TRUNCATED, "file ends at byte %zu, inside the %s of tensor %zu", c->n, what,
                     i);
}

static leat_status parse_name(cursor *c, size_t i, gguf_tensor *t, leat_error *e) {
    size_t at = c->pos;
    uint64_t length;
    const uint8_t *bytes;
    if (!cursor_u64(c, &length)) return truncated(c, i, "name length", e);
    if (length == 0 || length > LIMIT_NAME_BYTES)
        return error_set(e, LEAT_E_NAME, "tensor %zu, byte %zu: name length is %" PRIu64 ", not 1 to %d", i,
                         at, length, LIMIT_NAME_BYTES);
    if (!cursor_take(c, length, &bytes)) return truncated(c, i, "name", e);
    t->name = (str){(const char *)bytes, (size_t)length};
    if (!is_printable(t->name))
        return error_set(e, LEAT_E_NAME, "tensor %zu \"%.*s\", byte %zu: name is not all printable ASCII", i,
                         SHOW(t->name), at + 8);
    return LEAT_OK;
}

/* The dimensions, and their product within bounds, multiplied in file order and checked at each step: a
 * product that wraps to something harmless is the classic way past a loader. */
static leat_status parse_shape(cursor *c, size_t i, gguf_tensor *t, leat_error *e) {
    size_t at = c->pos;
    if (!cursor_u32(c, &t->n_dims)) return truncated(c, i, "number of dimensions", e);
    if (t->n_dims < 1 || t->n_dims > LIMIT_DIMS)
        return error_set(e, LEAT_E_DIMS,
                         "tensor %zu \"%.*s\", byte %zu: has %" PRIu32 " dimensions, not 1 to %d", i,
                         SHOW(t->name), at, t->n_dims, LIMIT_DIMS);
    uint64_t values = 1, rows = 1;
    for (uint32_t d = 0; d < LIMIT_DIMS; d++) {
        t->ne[d] = 1;
        if (d >= t->n_dims) continue;
        at = c->pos;
        if (!cursor_u64(c, &t->ne[d])) return truncated(c, i, "dimensions", e);
        if (t->ne[d] < 1 || t->ne[d] > LIMIT_DIM)
            return error_set(e, LEAT_E_DIMS,
                             "tensor %zu \"%.*s\", byte %zu: dimension %" PRIu32 " is %" PRIu64
                             ", not 1 to %" PRIu64,
                             i, SHOW(t->name), at, d, t->ne[d], LIMIT_DIM);
        if (!checked_mul_u64(values, t->ne[d], &values) || values > LIMIT_ELEMENTS)
            return error_set(e, LEAT_E_DIMS, "tensor %zu \"%.*s\": more than %" PRIu64 " values", i,
                             SHOW(t->name), LIMIT_ELEMENTS);
        if (d > 0) rows *= t->ne[d]; /* divides `values`, so it can't wrap either */
    }
    if (!checked_size(rows, &t->n_rows))
        return error_set(e, LEAT_E_SIZE, "tensor %zu \"%.*s\": too many rows for this machine", i,
                         SHOW(t->name));
    return LEAT_OK;
}

/* The type, and with it the sizes in bytes. */
static leat_status parse_type(cursor *c, size_t i, gguf_tensor *t, leat_error *e) {
    size_t at = c->pos;
    if (!cursor_u32(c, &t->format)) return truncated(c, i, "type", e);
    const format_info *info = format_get(t->format);
    if (!info || !info->name)
        return error_set(e, LEAT_E_TYPE, "tensor %zu \"%.*s\", byte %zu: type %" PRIu32 " is unknown", i,
                         SHOW(t->name), at, t->format);
    if (!info->block_elems)
        return error_set(e, LEAT_E_TYPE,
                         "tensor %zu \"%.*s\", byte %zu: type %" PRIu32
                         " (%s) was removed from GGUF, convert the model again",
                         i, SHOW(t->name), at, t->format, info->name);
    if (t->ne[0] % info->block_elems)
        return error_set(e, LEAT_E_DIMS,
                         "tensor %zu \"%.*s\": rows of %" PRIu64 " values are no multiple of the %" PRIu32
                         " in a block of %s",
                         i, SHOW(t->name), t->ne[0], info->block_elems, info->name);
    uint64_t row_bytes, bytes;
    if (!checked_mul_u64(t->ne[0] / info->block_elems, info->block_bytes, &row_bytes) ||
        !checked_mul_u64(row_bytes, t->n_rows, &bytes) || !checked_size(row_bytes, &t->row_bytes) ||
        !checked_size(bytes, &t->bytes))
        return error_set(e, LEAT_E_SIZE, "tensor %zu \"%.*s\": too large for this machine", i, SHOW(t->name));
    if (t->bytes > c->n)
        return error_set(e, LEAT_E_SIZE, "tensor %zu \"%.*s\": needs %zu bytes, but the whole file has %zu",
                         i, SHOW(t->name), t->bytes, c->n);
    return LEAT_OK;
}

/* Sinks entry i of a heap whose largest `begin` is on top. */
static void sink(extent *heap, size_t n, size_t i) {
    extent moved = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1].begin > heap[child].begin) child++;
        if (heap[child].begin <= moved.begin) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* Heapsort: n log n for any input, in place, without recursion (the C library's qsort promises none of the
 * three). */
static void sort(extent *list, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sink(list, n, i);
    for (size_t end = n; end-- > 1;) {
        extent top = list[0];
        list[0] = list[end];
        list[end] = top;
        sink(list, end, 0);
    }
}

static leat_status check_apart(const gguf *g, extent *list, leat_error *e) {
    bool ordered = true;
    for (size_t i = 1; i < g->n_tensors && ordered; i++) ordered = list[i - 1].begin <= list[i].begin;
    if (!ordered) sort(list, g->n_tensors); /* writers put them in order, so this is for others */
    for (size_t i = 1; i < g->n_tensors; i++) {
        if (list[i].begin >= list[i - 1].end) continue;
        size_t a = list[i - 1].index, b = list[i].index;
        return error_set(e, LEAT_E_OVERLAP,
                         "tensor %zu \"%.*s\" at offset %" PRIu64 " overlaps tensor %zu \"%.*s\"", b,
                         SHOW(g->tensors[b].name), list[i].begin, a, SHOW(g->tensors[a].name));
    }
    return LEAT_OK;
}

/* Where the data is, once the end of the records is known. */
static leat_status place(const cursor *c, gguf *g, extent *list, leat_error *e) {
    size_t start;
    /* A file without tensors may end with its last key: then there is no data section to pad for. */
    if (!checked_align_up(c->pos, g->alignment, &start) || start > c->n) start = c->n;
    g->data_offset = start;
    for (size_t i = 0; i < g->n_tensors; i++) {
        gguf_tensor *t = &g->tensors[i];
        uint64_t offset = list[i].begin;
        size_t room = c->n - start;
        if (offset % g->alignment)
            return error_set(e, LEAT_E_OFFSET,
                             "tensor %zu \"%.*s\": offset %" PRIu64 " is no multiple of the alignment %zu", i,
                             SHOW(t->name), offset, g->alignment);
        if (offset > room || t->bytes > room - offset)
            return error_set(e, LEAT_E_OFFSET,
                             "tensor %zu \"%.*s\": %zu bytes at offset %" PRIu64
                             " of the data, which ends after %zu bytes: is the file complete?",
                             i, SHOW(t->name), t->bytes, offset, room);
        t->data = c->p + start + (size_t)offset;
        list[i].end = offset + t->bytes;
    }
    return check_apart(g, list, e);
}

leat_status tensors_parse(cursor *c, gguf *g, leat_error *e) {
    leat_status status;
    extent *list = mem_alloc(g->n_tensors, sizeof *list);
    g->tensors = mem_alloc(g->n_tensors, sizeof *g->tensors);
    if (!list || !g->tensors) {
        status = error_set(e, LEAT_E_NOMEM, "no memory for %zu tensor records", g->n_tensors);
        goto fail;
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        gguf_tensor *t = &g->tensors[i];
        status = parse_name(c, i, t, e);
        if (!status) status = parse_shape(c, i, t, e);
        if (!status) status = parse_type(c, i, t, e);
        if (!status && !cursor_u64(c, &list[i].begin)) status = truncated(c, i, "offset", e);
        if (status) goto fail;
        list[i].index = i;
    }
    status = place(c, g, list, e);
fail:
    mem_free(list);
    return status;
}

leat_status tensors_index(gguf *g, leat_error *e) {
    size_t first = 0, second = 0;
    leat_status status =
        names_index(names_of_tensors(g), &g->tensor_index, &g->tensor_index_size, &first, &second);
    if (status == LEAT_E_DUPLICATE)
        return error_set(e, status, "tensor \"%.*s\" appears twice, as number %zu and %zu",
                         SHOW(g->tensors[first].name), first, second);
    if (status) return error_set(e, status, "no memory for the index of %zu tensors", g->n_tensors);
    return LEAT_OK;
}
