/* The public view of files in leat.h: metadata and tensors of any well-formed GGUF. Arguments are checked
 * here; what a file says was checked when the loader parsed it. Called by programs; needs no model. */
#include <string.h>

#include "arch.h"
#include "kernels/kernels.h"
#include "leat.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/file.h"
#include "loader/write.h"
#include "os.h"

struct leat_file {
    model_file *file;
    kernels kernels; /* for decoding */
};

_Static_assert((int)LEAT_META_U8 == GGUF_U8 && (int)LEAT_META_I32 == GGUF_I32 &&
                   (int)LEAT_META_F32 == GGUF_F32 && (int)LEAT_META_BOOL == GGUF_BOOL &&
                   (int)LEAT_META_STRING == GGUF_STRING && (int)LEAT_META_ARRAY == GGUF_ARRAY &&
                   (int)LEAT_META_U64 == GGUF_U64 && (int)LEAT_META_F64 == GGUF_F64 && GGUF_TYPE_COUNT == 13,
               "the public metadata types are GGUF's");

leat_status leat_file_open(const char *path, leat_file **out, leat_error *e) {
    if (out) *out = NULL;
    if (!path || !out) return error_set(e, LEAT_E_ARG, "leat_file_open: %s is NULL", path ? "out" : "path");
    leat_status status = LEAT_OK;
    leat_file *f = mem_alloc(1, sizeof *f);
    if (!f) return error_set(e, LEAT_E_NOMEM, "out of memory for opening a file");
    if ((status = file_open(path, &f->file, e))) goto fail;
    if (!kernels_init(&f->kernels, NULL)) {
        status = error_set(e, LEAT_E_UNSUPPORTED, "this machine runs none of the instruction sets");
        goto fail;
    }
    *out = f;
    return error_set(e, LEAT_OK, "%s", "");
fail:
    leat_file_close(f);
    return status;
}

void leat_file_close(leat_file *file) {
    if (!file) return;
    file_close(file->file);
    mem_free(file);
}

uint32_t leat_file_version(const leat_file *file) {
    return file ? file_gguf(file->file)->version : 0;
}
uint64_t leat_file_size(const leat_file *file) {
    return file ? file_bytes(file->file) : 0;
}
size_t leat_file_parts(const leat_file *file) {
    return file ? file_parts(file->file) : 0;
}
size_t leat_file_meta_count(const leat_file *file) {
    return file ? file_gguf(file->file)->n_kv : 0;
}
size_t leat_file_tensor_count(const leat_file *file) {
    return file ? file_gguf(file->file)->n_tensors : 0;
}

static leat_str public_str(str s) {
    return (leat_str){s.p, s.n};
}

/* ---- metadata ---- */

leat_status leat_file_meta(const leat_file *file, size_t index, leat_meta *out) {
    if (!out || index >= leat_file_meta_count(file)) return LEAT_E_ARG;
    const gguf_kv *kv = &file_gguf(file->file)->kv[index];
    *out =
        (leat_meta){public_str(kv->key), (leat_meta_type)kv->type, (leat_meta_type)kv->elem_type, kv->count};
    return LEAT_OK;
}

leat_status leat_file_meta_find(const leat_file *file, const char *key, size_t *index) {
    if (!file || !key || !index) return LEAT_E_ARG;
    const gguf *g = file_gguf(file->file);
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return LEAT_E_MISSING;
    *index = (size_t)(kv - g->kv);
    return LEAT_OK;
}

leat_status leat_file_meta_value(const leat_file *file, size_t index, uint64_t element, size_t *cursor,
                                 leat_value *out) {
    if (!out || index >= leat_file_meta_count(file)) return LEAT_E_ARG;
    const gguf_kv *kv = &file_gguf(file->file)->kv[index];
    if (element >= kv->count) return LEAT_E_ARG;
    leat_value v = {0};
    switch (kv->elem_type) {
    case GGUF_STRING: {
        /* the cursor is the byte after the string before; 0 says nothing but for the first element */
        size_t at = cursor ? *cursor : 0;
        for (uint64_t i = at ? element : 0; i < element; i++) gguf_kv_next_str(kv, &at);
        if (at >= kv->bytes) return LEAT_E_ARG; /* not a cursor of this entry */
        v.str = public_str(gguf_kv_next_str(kv, &at));
        if (cursor) *cursor = at;
        break;
    }
    case GGUF_F32:
    case GGUF_F64: v.f64 = gguf_kv_f64(kv, element); break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: v.i64 = gguf_kv_i64(kv, element); break;
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64:
    case GGUF_BOOL: v.u64 = gguf_kv_u64(kv, element); break;
    default: return LEAT_E_TYPE;
    }
    *out = v;
    return LEAT_OK;
}

/* ---- tensors ---- */

leat_status leat_file_tensor(const leat_file *file, size_t index, leat_tensor_info *out) {
    if (!out || index >= leat_file_tensor_count(file)) return LEAT_E_ARG;
    const gguf_tensor *t = &file_gguf(file->file)->tensors[index];
    *out = (leat_tensor_info){.name = public_str(t->name),
                              .type = format_get(t->format)->name,
                              .type_id = t->format,
                              .n_dims = t->n_dims,
                              .dims = {t->ne[0], t->ne[1], t->ne[2], t->ne[3]},
                              .n_elements = t->ne[0] * t->n_rows,
                              .bytes = t->bytes,
                              .decodable = file->kernels.decode[t->format] != NULL};
    return LEAT_OK;
}

leat_status leat_file_tensor_find(const leat_file *file, const char *name, size_t *index) {
    if (!file || !name || !index) return LEAT_E_ARG;
    const gguf *g = file_gguf(file->file);
    const gguf_tensor *t = gguf_find_tensor(g, name);
    if (!t) return LEAT_E_MISSING;
    *index = (size_t)(t - g->tensors);
    return LEAT_OK;
}

/* The tensor at `index`, if there is one that can be decoded. */
static leat_status find_decodable(const leat_file *file, size_t index, const gguf_tensor **out,
                                  leat_error *e) {
    if (!file) return error_set(e, LEAT_E_ARG, "the file is NULL");
    const gguf *g = file_gguf(file->file);
    if (index >= g->n_tensors)
        return error_set(e, LEAT_E_ARG, "tensor %zu is asked for, the file has %zu", index, g->n_tensors);
    const gguf_tensor *t = &g->tensors[index];
    if (!file->kernels.decode[t->format])
        return error_set(e, LEAT_E_UNSUPPORTED, "tensor \"%.*s\" is of type %s, which can't be decoded",
                         (int)(t->name.n < 100 ? t->name.n : 100), t->name.p, format_get(t->format)->name);
    *out = t;
    return LEAT_OK;
}

static leat_status check_not_lost(const leat_file *file, leat_error *e) {
    if (file_lost(file->file))
        return error_set(e, LEAT_E_IO, "the file shrank or could not be read while it was in use");
    return LEAT_OK;
}

leat_status leat_tensor_decode(const leat_file *file, size_t index, uint64_t row, float *out, leat_error *e) {
    const gguf_tensor *t = NULL;
    leat_status status = find_decodable(file, index, &t, e);
    if (status) return status;
    if (!out) return error_set(e, LEAT_E_ARG, "leat_tensor_decode: out is NULL");
    if (row >= t->n_rows)
        return error_set(e, LEAT_E_ARG, "row %llu is asked for, tensor \"%.*s\" has %zu",
                         (unsigned long long)row, (int)(t->name.n < 100 ? t->name.n : 100), t->name.p,
                         t->n_rows);
    os_fp fp;
    os_fp_default(&fp);
    file->kernels.decode[t->format](t->data + (size_t)row * t->row_bytes, out, (size_t)t->ne[0]);
    os_fp_restore(&fp);
    status = check_not_lost(file, e);
    return status ? status : error_set(e, LEAT_OK, "%s", "");
}

leat_status leat_tensor_export(const leat_file *file, size_t index, const char *path, leat_error *e) {
    enum { CHUNK = 16384 }; /* values, a multiple of every block: rows follow one another without gaps */
    const gguf_tensor *t = NULL;
    float *values = NULL;
    file_writer *w = NULL;
    leat_status status = find_decodable(file, index, &t, e);
    if (status) return status;
    if (!path) return error_set(e, LEAT_E_ARG, "leat_tensor_export: path is NULL");

    os_fp fp;
    os_fp_default(&fp);
    values = mem_alloc(CHUNK, sizeof *values);
    if (!values) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for exporting a tensor");
        goto fail;
    }
    if ((status = writer_open(path, &w, e))) goto fail;
    uint64_t n = t->ne[0] * t->n_rows;
    for (uint64_t at = 0; at < n; at += CHUNK) {
        size_t m = n - at < CHUNK ? (size_t)(n - at) : CHUNK;
        file->kernels.decode[t->format](t->data + format_row_bytes(t->format, (size_t)at), values, m);
        if ((status = writer_put(w, values, m * sizeof *values, e))) goto fail;
    }
    if ((status = check_not_lost(file, e))) goto fail;
    status = writer_commit(w, e);
    w = NULL;
    if (!status) error_set(e, LEAT_OK, "%s", "");
fail:
    writer_abandon(w);
    mem_free(values);
    os_fp_restore(&fp);
    return status;
}

const char *leat_architecture(size_t i) {
    for (size_t n = 0; arch_list[n]; n++)
        if (n == i) return arch_list[n]->name;
    return NULL;
}
