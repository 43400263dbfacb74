/* quantize.h: reads through loader/file.h, writes through loader/write.h, so that the output appears whole or
 * not at all. A tensor is a long row of values here: it is cut into chunks, workers take chunks of one band
 * at a time, and the band is written in order. Must never look at more of the input than the loader has
 * checked. */
#include "quantize.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/file.h"
#include "loader/write.h"
#include "os.h"
#include "pool.h"

enum {
    CHUNK = 16384,     /* values per piece of work; a multiple of every block */
    BAND_CHUNKS = 64,  /* pieces between two writes: about 1 MiB of output */
    THREADS_MAX = 256, /* beyond this the disk decides */
    FILE_TYPE_Q8_0 = 7 /* general.file_type, llama.cpp's "mostly Q8_0" */
};
/* Of general.quantization_version: the layout of the blocks has been this one since 2023. */
enum { QUANTIZATION_VERSION = 2 };

/* Index of the value that spoiled a block: the first that is not finite, else the largest. */
static size_t find_bad(const float *x) {
    size_t largest = 0;
    for (size_t i = 0; i < 32; i++) {
        if (!isfinite(x[i])) return i;
        if (fabsf(x[i]) > fabsf(x[largest])) largest = i;
    }
    return largest;
}

size_t quantize_q8_0(const kernels *k, const float *x, size_t n, void *blocks) {
    const block_q8_0 *out = blocks;
    k->encode[FORMAT_Q8_0](x, blocks, n);
    for (size_t i = 0; i < n; i += 32, out++)
        if ((out->d & 0x7c00) == 0x7c00) return i + find_bad(x + i); /* Inf or NaN */
    return n;
}

/* ---- which tensor becomes what ---- */

static bool ends_with(str s, const char *end) {
    size_t n = strlen(end);
    return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

static bool contains(str s, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, part, n) == 0) return true;
    return false;
}

/* Matrices of weights, but not norms, and not the router of a mixture of experts, which is small and decides
 * much. */
static bool is_weight_matrix(const gguf_tensor *t) {
    return t->n_rows > 1 && t->ne[0] % 32 == 0 && ends_with(t->name, ".weight") &&
           !contains(t->name, "norm") && !contains(t->name, "ffn_gate_inp");
}

static bool is_float(uint32_t format) {
    return format == FORMAT_F32 || format == FORMAT_F16 || format == FORMAT_BF16;
}

typedef struct job {
    const gguf *in;
    const kernels *k;
    pool *pool;
    file_writer *out;
    uint32_t *formats; /* (n_tensors) of the output */
    float *values;     /* (pool_size, CHUNK) one scratch per worker */
    uint8_t *blocks;   /* (BAND_CHUNKS, CHUNK / 32) blocks of the band */
} job;

#define NAME_OF(t) (int)((t)->name.n < 100 ? (t)->name.n : 100), (t)->name.p

static leat_status choose_formats(job *j, leat_error *e) {
    for (size_t i = 0; i < j->in->n_tensors; i++) {
        const gguf_tensor *t = &j->in->tensors[i];
        j->formats[i] = t->format;
        if (!is_weight_matrix(t) || t->format == FORMAT_Q8_0) continue;
        if (is_float(t->format))
            j->formats[i] = FORMAT_Q8_0;
        else if (format_get(t->format)->block_elems > 1)
            return error_set(
                e, LEAT_E_UNSUPPORTED,
                "tensor \"%.*s\" is %s already: quantizing twice loses quality, start from F32, F16 or BF16",
                NAME_OF(t), format_get(t->format)->name);
    }
    return LEAT_OK;
}

/* ---- the header ---- */

static leat_status put_u32(job *j, uint32_t v, leat_error *e) {
    uint8_t b[4];
    for (int i = 0; i < 4; i++) b[i] = (uint8_t)(v >> 8 * i);
    return writer_put(j->out, b, sizeof b, e);
}

static leat_status put_u64(job *j, uint64_t v, leat_error *e) {
    leat_status status = put_u32(j, (uint32_t)v, e);
    return status ? status : put_u32(j, (uint32_t)(v >> 32), e);
}

static leat_status put_str(job *j, str s, leat_error *e) {
    leat_status status = put_u64(j, s.n, e);
    return status ? status : writer_put(j->out, s.p, s.n, e);
}

static leat_status put_kv_u32(job *j, const char *key, uint32_t v, leat_error *e) {
    leat_status status;
    if ((status = put_str(j, (str){key, strlen(key)}, e))) return status;
    if ((status = put_u32(j, GGUF_U32, e))) return status;
    return put_u32(j, v, e);
}

/* Entries that speak of the input file, not of the model; two of them are written anew. */
static bool is_dropped(str key) {
    return str_eq(key, "general.quantization_version") || str_eq(key, "general.file_type") ||
           str_eq(key, "split.no") || str_eq(key, "split.count") || str_eq(key, "split.tensors.count");
}

static leat_status put_metadata(job *j, leat_error *e) {
    leat_status status;
    for (size_t i = 0; i < j->in->n_kv; i++) {
        const gguf_kv *kv = &j->in->kv[i];
        if (is_dropped(kv->key)) continue;
        if ((status = put_str(j, kv->key, e))) return status;
        if ((status = put_u32(j, kv->type, e))) return status;
        if (kv->type == GGUF_ARRAY) {
            if ((status = put_u32(j, kv->elem_type, e))) return status;
            if ((status = put_u64(j, kv->count, e))) return status;
        }
        if ((status = writer_put(j->out, kv->data, kv->bytes, e))) return status;
    }
    /* at the end and in this order, as llama.cpp does */
    if ((status = put_kv_u32(j, "general.quantization_version", QUANTIZATION_VERSION, e))) return status;
    return put_kv_u32(j, "general.file_type", FILE_TYPE_Q8_0, e);
}

static leat_status put_header(job *j, leat_error *e) {
    const gguf *g = j->in;
    leat_status status;
    uint64_t n_kv = 2, offset = 0;
    for (size_t i = 0; i < g->n_kv; i++) n_kv += !is_dropped(g->kv[i].key);

    if ((status = writer_put(j->out, "GGUF", 4, e))) return status;
    if ((status = put_u32(j, 3, e))) return status;
    if ((status = put_u64(j, g->n_tensors, e))) return status;
    if ((status = put_u64(j, n_kv, e))) return status;
    if ((status = put_metadata(j, e))) return status;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const gguf_tensor *t = &g->tensors[i];
        if ((status = put_str(j, t->name, e))) return status;
        if ((status = put_u32(j, t->n_dims, e))) return status;
        for (uint32_t dim = 0; dim < t->n_dims; dim++)
            if ((status = put_u64(j, t->ne[dim], e))) return status;
        if ((status = put_u32(j, j->formats[i], e))) return status;
        if ((status = put_u64(j, offset, e))) return status;
        /* can't wrap: no tensor grows (Q8_0 is smaller than any float), the input's fit, and padding is below
         * alignment */
        uint64_t bytes = (uint64_t)format_row_bytes(j->formats[i], (size_t)t->ne[0]) * t->n_rows;
        offset += (bytes + g->alignment - 1) / g->alignment * g->alignment;
    }
    return writer_align(j->out, g->alignment, e);
}

/* ---- the tensors ---- */

typedef struct band {
    job *j;
    const gguf_tensor *t;
    uint64_t start, end;  /* values of the tensor */
    bool quantize;        /* else only look at the values */
    atomic_uint next;     /* chunk to be taken */
    _Atomic uint64_t bad; /* lowest index of a value that can't be written; UINT64_MAX: none */
} band;

static void work(void *arg, uint32_t worker) {
    band *b = arg;
    float *x = b->j->values + (size_t)worker * CHUNK;
    os_fp fp;
    os_fp_default(&fp);
    for (;;) {
        uint64_t chunk = atomic_fetch_add(&b->next, 1), at = b->start + chunk * CHUNK;
        if (at >= b->end) break;
        size_t n = b->end - at < CHUNK ? (size_t)(b->end - at) : CHUNK, good = 0;
        /* the rows of a tensor follow one another, and a chunk is whole blocks */
        b->j->k->decode[b->t->format](b->t->data + format_row_bytes(b->t->format, (size_t)at), x, n);
        if (b->quantize)
            good = quantize_q8_0(b->j->k, x, n, b->j->blocks + format_row_bytes(FORMAT_Q8_0, chunk * CHUNK));
        else
            while (good < n && isfinite(x[good])) good++;
        uint64_t bad = atomic_load(&b->bad);
        while (good < n && at + good < bad && !atomic_compare_exchange_weak(&b->bad, &bad, at + good)) {
        }
    }
    os_fp_restore(&fp);
}

static leat_status put_tensor(job *j, size_t index, leat_error *e) {
    const gguf_tensor *t = &j->in->tensors[index];
    leat_status status;
    bool quantize = j->formats[index] != t->format;
    uint64_t n = t->ne[0] * t->n_rows;
    for (uint64_t at = 0; at < n && (quantize || is_float(t->format)); at += (uint64_t)CHUNK * BAND_CHUNKS) {
        uint64_t end = n - at < (uint64_t)CHUNK * BAND_CHUNKS ? n : at + (uint64_t)CHUNK * BAND_CHUNKS;
        band b = {.j = j, .t = t, .start = at, .end = end, .quantize = quantize};
        atomic_init(&b.next, 0);
        atomic_init(&b.bad, UINT64_MAX);
        pool_run(j->pool, work, &b);
        uint64_t bad = atomic_load(&b.bad);
        if (bad != UINT64_MAX)
            return error_set(e, LEAT_E_NUMERIC,
                             "tensor \"%.*s\": row %" PRIu64 ", column %" PRIu64
                             " is not finite or too large",
                             NAME_OF(t), bad / t->ne[0], bad % t->ne[0]);
        if (quantize &&
            (status = writer_put(j->out, j->blocks, format_row_bytes(FORMAT_Q8_0, (size_t)(end - at)), e)))
            return status;
    }
    if (!quantize && (status = writer_put(j->out, t->data, t->bytes, e))) return status;
    return writer_align(j->out, j->in->alignment, e);
}

static leat_status check_type(const char *type, leat_error *e) {
    int format = format_find(type);
    if (format == FORMAT_Q8_0) return LEAT_OK;
    if (format < 0)
        return error_set(e, LEAT_E_ARG, "\"%.40s\" is no tensor type; this version quantizes to q8_0", type);
    return error_set(e, LEAT_E_UNSUPPORTED,
                     "quantizing to %s is not supported; this version quantizes to q8_0",
                     format_get((uint32_t)format)->name);
}

leat_status quantize_file(const char *in_path, const char *out_path, const leat_quantize_params *params,
                          leat_error *e) {
    leat_status status = check_type(params->type, e);
    if (status) return status;
    model_file *file = NULL;
    kernels k;
    job j = {.k = &k};
    if ((status = file_open(in_path, &file, e))) goto fail;
    j.in = file_gguf(file);
    if (!kernels_init(&k, NULL)) {
        status = error_set(e, LEAT_E_UNSUPPORTED, "this machine runs none of the instruction sets");
        goto fail;
    }
    uint32_t n_threads = params->n_threads ? params->n_threads : os_threads_default();
    if ((status = pool_open(n_threads < THREADS_MAX ? n_threads : THREADS_MAX, &j.pool, e))) goto fail;
    j.formats = mem_alloc(j.in->n_tensors, sizeof *j.formats);
    j.values = mem_alloc(pool_size(j.pool), CHUNK * sizeof *j.values);
    j.blocks = mem_alloc(BAND_CHUNKS, format_row_bytes(FORMAT_Q8_0, CHUNK));
    if (!j.formats || !j.values || !j.blocks) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for quantizing");
        goto fail;
    }
    if ((status = choose_formats(&j, e))) goto fail;
    if ((status = writer_open(out_path, &j.out, e))) goto fail;
    if ((status = put_header(&j, e))) goto fail;
    for (size_t i = 0; i < j.in->n_tensors; i++) {
        if ((status = put_tensor(&j, i, e))) goto fail;
        if (params->progress && !params->progress(params->user, i + 1, j.in->n_tensors)) {
            status = error_set(e, LEAT_E_CANCELLED, "quantizing was stopped after %zu of %zu tensors", i + 1,
                               j.in->n_tensors);
            goto fail;
        }
    }
    if (file_lost(file)) {
        status = error_set(e, LEAT_E_IO, "%.150s: the file shrank while it was read", in_path);
        goto fail;
    }
    status = writer_commit(j.out, e);
    j.out = NULL;
fail:
    writer_abandon(j.out);
    mem_free(j.formats);
    mem_free(j.values);
    mem_free(j.blocks);
    pool_close(j.pool);
    file_close(file);
    return status;
}
