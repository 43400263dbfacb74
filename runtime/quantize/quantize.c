/* quantize.h: reads through loader/file.h, writes through loader/write.h, so that the output appears whole or
 * not at all. What becomes of each tensor is in the plan (quantize_plan.h). A tensor is cut into pieces of
 * some rows, or of one row's columns where rows are long; workers take pieces of one band at a time, and the
 * band is written in order. A piece's bytes depend on it alone, so the number of threads can't change the
 * file. Must never look at more of the input than the loader has checked. */
#include "quantize.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/write.h"
#include "runtime/os.h"
#include "runtime/pool.h"
#include "quantize_plan.h"
#include "search.h"

enum {
    PIECE = 16384,         /* values per piece of work, or one row */
    PIECE_COLUMNS = 65536, /* columns per piece at most; a multiple of every block */
    BAND_PIECES = 64,      /* pieces between two writes */
    THREADS_MAX = 256,     /* beyond this the disk decides */
    DROP_VALUES = 1 << 26  /* values between two chances for a source to let go of memory */
};

typedef struct job {
    const quantize_plan *plan;
    const leat_quantize_params *params;
    kernels k;
    pool *pool;
    float *values;          /* (pool_size, piece) one scratch per worker */
    uint8_t *blocks;        /* the band, (BAND_PIECES, piece) as the output's type */
    size_t piece;           /* values of the longest piece */
    uint64_t n_done, n_all; /* weights */
    uint64_t n_dropped;     /* n_done when the source last let go */
} job;

/* How a tensor is cut. */
typedef struct cut {
    size_t rows, columns; /* of a piece; several rows only when they are whole */
    uint64_t per_row;     /* pieces */
    uint64_t n;           /* pieces */
} cut;

static cut cut_tensor(const gguf_tensor *t) {
    cut c = {1, (size_t)t->ne[0], 1, t->n_rows};
    if (t->ne[0] > PIECE_COLUMNS) {
        c.columns = PIECE_COLUMNS;
        c.per_row = (t->ne[0] + PIECE_COLUMNS - 1) / PIECE_COLUMNS;
        c.n = c.per_row * t->n_rows;
    } else {
        c.rows = t->ne[0] < PIECE ? PIECE / (size_t)t->ne[0] : 1;
        c.n = (t->n_rows + c.rows - 1) / c.rows;
    }
    return c;
}

/* Where piece i starts and how many values it has. */
static uint64_t piece_start(const gguf_tensor *t, const cut *c, uint64_t i) {
    if (c->per_row > 1) return i / c->per_row * t->ne[0] + i % c->per_row * c->columns;
    return i * c->rows * t->ne[0];
}

static size_t piece_values(const gguf_tensor *t, const cut *c, uint64_t i) {
    if (c->per_row > 1) {
        uint64_t left = t->ne[0] - i % c->per_row * c->columns;
        return left < c->columns ? (size_t)left : c->columns;
    }
    uint64_t rows = t->n_rows - i * c->rows;
    return (rows < c->rows ? (size_t)rows : c->rows) * (size_t)t->ne[0];
}

typedef struct band {
    job *j;
    const gguf_tensor *t;
    size_t index; /* of t */
    cut c;
    uint32_t to;             /* type; the tensor's own: only look at the values */
    const float *importance; /* (ne[2], ne[0]) or NULL */
    uint64_t first, end;     /* pieces */
    _Atomic uint64_t next;   /* to be taken */
    _Atomic uint64_t bad;    /* lowest index of a value that can't be written; UINT64_MAX: none */
} band;

/* The first of n values that is not finite or beyond `largest`, or n. */
static size_t find_bad(const float *x, size_t n, float largest) {
    uint32_t limit, most = 0, bits;
    memcpy(&limit, &largest, sizeof limit);
    for (size_t i = 0; i < n; i++) { /* magnitudes are ordered as their bits are; NaN is above all */
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    if (most <= limit) return n;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= largest)) return i;
    return n;
}

/* Whole rows of a matrix share its importance; a piece may begin and end within a row, and go on in the next
 * matrix. */
static void quantize_piece(const band *b, uint64_t start, const float *x, size_t n, uint8_t *out) {
    const uint64_t *ne = b->t->ne;
    quantize_rows_fn *quantize = b->j->k.quantize_rows[b->to];
    if (!b->importance) {
        quantize(x, NULL, n, 1, out);
        return;
    }
    for (size_t at = 0; at < n;) {
        uint64_t row = (start + at) / ne[0], column = (start + at) % ne[0];
        size_t left = n - at, m = ne[0] - column < left ? (size_t)(ne[0] - column) : left, rows = 1;
        if (!column && m == ne[0]) {
            uint64_t of_matrix = ne[1] - row % ne[1];
            rows = left / m < of_matrix ? left / m : (size_t)of_matrix;
        }
        quantize(x + at, b->importance + row / ne[1] % ne[2] * ne[0] + column, m, rows,
                 out + format_row_bytes(b->to, at));
        at += m * rows;
    }
}

static void work(void *arg, uint32_t worker) {
    band *b = arg;
    float *x = b->j->values + (size_t)worker * b->j->piece;
    const weight_source *source = b->j->plan->source;
    bool blocks = source && b->to == b->t->format && format_get(b->to)->block_elems > 1;
    uint64_t from = piece_start(b->t, &b->c, b->first);
    os_fp fp;
    os_fp_default(&fp);
    for (;;) {
        uint64_t i = b->first + atomic_fetch_add(&b->next, 1);
        if (i >= b->end) break;
        uint64_t start = piece_start(b->t, &b->c, i);
        size_t n = piece_values(b->t, &b->c, i);
        float largest = b->to == b->t->format ? 3.4028235e38f : quantize_largest(b->to);
        uint8_t *out = b->j->blocks + format_row_bytes(b->to, (size_t)(start - from));
        if (blocks) {
            source->read_blocks(source->owner, b->index, start, n, out);
            continue;
        }
        /* rows follow one another, and a piece is whole blocks */
        if (source)
            source->read(source->owner, b->index, start, n, x);
        else
            b->j->k.decode[b->t->format](b->t->data + format_row_bytes(b->t->format, (size_t)start), x, n);
        size_t good = find_bad(x, n, largest);
        if (good == n && (source || b->to != b->t->format)) quantize_piece(b, start, x, n, out);
        uint64_t bad = atomic_load(&b->bad);
        while (good < n && start + good < bad && !atomic_compare_exchange_weak(&b->bad, &bad, start + good)) {
        }
    }
    os_fp_restore(&fp);
}

static leat_status report(job *j, uint64_t n, leat_error *e) {
    j->n_done += n;
    if (j->plan->source && j->n_done - j->n_dropped >= DROP_VALUES) {
        j->plan->source->drop(j->plan->source->owner);
        j->n_dropped = j->n_done;
    }
    if (!j->params->progress || j->params->progress(j->params->user, (size_t)j->n_done, (size_t)j->n_all))
        return LEAT_OK;
    return error_set(e, LEAT_E_CANCELLED, "quantizing was stopped after %" PRIu64 " of %" PRIu64 " weights",
                     j->n_done, j->n_all);
}

/* Runs the pieces of a tensor, band by band; writes what comes out of them where there is something to
 * quantize. */
static leat_status run_tensor(job *j, size_t index, uint32_t to, const float *importance, file_writer *w,
                              leat_error *e) {
    leat_status status;
    const gguf_tensor *t = &j->plan->in->tensors[index];
    bool writes = to != t->format || j->plan->source;
    band b = {.j = j, .t = t, .index = index, .c = cut_tensor(t), .to = to, .importance = importance};
    for (b.first = 0; b.first < b.c.n; b.first = b.end) {
        b.end = b.c.n - b.first < BAND_PIECES ? b.c.n : b.first + BAND_PIECES;
        atomic_init(&b.next, 0);
        atomic_init(&b.bad, UINT64_MAX);
        pool_run(j->pool, pool_size(j->pool), work, &b);
        uint64_t bad = atomic_load(&b.bad);
        if (bad != UINT64_MAX)
            return error_set(e, LEAT_E_NUMERIC,
                             "tensor \"%.*s\": row %" PRIu64 ", column %" PRIu64
                             " is not finite or too large for %s",
                             NAME_OF(t), bad / t->ne[0], bad % t->ne[0], format_get(to)->name);
        uint64_t last = b.end - 1;
        size_t n = (size_t)(piece_start(t, &b.c, last) - piece_start(t, &b.c, b.first)) +
                   piece_values(t, &b.c, last);
        if (writes && (status = writer_put(w, j->blocks, format_row_bytes(to, n), e))) return status;
        if ((status = report(j, n, e))) return status;
    }
    return LEAT_OK;
}

static leat_status put_tensor(job *j, size_t index, file_writer *w, leat_error *e) {
    const gguf_tensor *t = &j->plan->in->tensors[index];
    uint32_t to = j->plan->formats[index];
    leat_status status = LEAT_OK;
    float *importance = NULL;
    bool plain = t->format == FORMAT_F32 || t->format == FORMAT_F16 || t->format == FORMAT_BF16;
    if (to != t->format && j->plan->importance) {
        if ((status = importance_of(j->plan->importance, t, &importance, e))) return status;
        if (!importance && recipe_needs_importance(j->plan->mix, t, to))
            return error_set(
                e, LEAT_E_MISSING,
                "the importance matrix has nothing for tensor \"%.*s\", which would be worthless as %s",
                NAME_OF(t), format_get(to)->name);
    }
    if (to != t->format || plain || j->plan->source)
        status = run_tensor(j, index, to, importance, w, e);
    else
        status = report(j, t->ne[0] * t->n_rows, e);
    mem_free(importance);
    if (!status && to == t->format && !j->plan->source) status = writer_put(w, t->data, t->bytes, e);
    return status;
}

/* ---- files ---- */

/* OUT-00001-of-00003.gguf of OUT, OUT.gguf or a name of that form. */
static char *part_path(const char *out_path, size_t part, size_t parts) {
    size_t n = strlen(out_path);
    char *path = mem_alloc(n + 32, 1);
    if (!path) return NULL;
    if (n > 5 && !strcmp(out_path + n - 5, ".gguf")) n -= 5;
    if (n > 15 && out_path[n - 15] == '-' && !memcmp(out_path + n - 9, "-of-", 4)) n -= 15;
    memcpy(path, out_path, n);
    if (parts > 1)
        snprintf(path + n, 32, "-%05u-of-%05u.gguf", (unsigned)part + 1, (unsigned)parts);
    else
        memcpy(path, out_path, strlen(out_path) + 1);
    return path;
}

static leat_status put_part(job *j, size_t part, file_writer *w, leat_error *e) {
    const quantize_plan *p = j->plan;
    leat_status status = quantize_header(p, part, w, e);
    for (size_t i = 0; i < p->in->n_tensors && !status; i++) {
        if (p->parts > 1 && p->in->tensors[i].part != part) continue;
        if (!(status = put_tensor(j, i, w, e))) status = writer_align(w, part ? 32 : p->in->alignment, e);
    }
    return status;
}

/* No part appears before all are written. */
static leat_status put_files(job *j, const char *out_path, leat_error *e) {
    leat_status status = LEAT_OK;
    size_t parts = j->plan->parts;
    file_writer **writers = mem_alloc(parts, sizeof *writers);
    if (!writers) return error_set(e, LEAT_E_NOMEM, "out of memory for quantizing");
    for (size_t i = 0; i < parts && !status; i++) {
        char *path = part_path(out_path, i, parts);
        status =
            path ? writer_open(path, &writers[i], e) : error_set(e, LEAT_E_NOMEM, "out of memory for a path");
        mem_free(path);
        if (!status) status = put_part(j, i, writers[i], e);
    }
    bool lost = j->plan->source ? j->plan->source->lost(j->plan->source->owner) : file_lost(j->plan->file);
    if (!status && lost) status = error_set(e, LEAT_E_IO, "the input file shrank while it was read");
    for (size_t i = 0; i < parts && !status; i++) {
        status = writer_commit(writers[i], e);
        writers[i] = NULL;
    }
    for (size_t i = 0; i < parts; i++) writer_abandon(writers[i]);
    mem_free(writers);
    return status;
}

/* Room for the longest piece, and for a band of the largest. */
static leat_status get_room(job *j, leat_error *e) {
    size_t band_bytes = 0;
    for (size_t i = 0; i < j->plan->in->n_tensors; i++) {
        const gguf_tensor *t = &j->plan->in->tensors[i];
        cut c = cut_tensor(t);
        size_t n = c.rows * c.columns, bytes = format_row_bytes(j->plan->formats[i], n);
        j->n_all += t->ne[0] * t->n_rows;
        if (n > j->piece) j->piece = n;
        if ((j->plan->source || j->plan->formats[i] != t->format) && bytes > band_bytes) band_bytes = bytes;
    }
    j->values = mem_alloc(pool_size(j->pool), j->piece * sizeof *j->values);
    j->blocks = mem_alloc(BAND_PIECES, band_bytes);
    return j->values && j->blocks ? LEAT_OK : error_set(e, LEAT_E_NOMEM, "out of memory for quantizing");
}

/* Carries out a plan whose opening ended with `status`, and closes it. */
static leat_status run_plan(job *j, quantize_plan *plan, leat_status status, const char *out_path,
                            leat_error *e) {
    const leat_quantize_params *params = j->params;
    if (status) goto fail;
    uint32_t n_threads = params->n_threads ? params->n_threads : os_threads_default();
    if ((status = pool_open(n_threads < THREADS_MAX ? n_threads : THREADS_MAX, &j->pool, e))) goto fail;
    if (params->target_bpw > 0 || params->target_bytes) {
        if ((status = search_types(plan, params, &j->k, j->pool, e))) goto fail;
        quantize_plan_note(plan, params);
        quantize_plan_sum_up(plan);
    }
    if ((status = get_room(j, e))) goto fail;
    if ((status = put_files(j, out_path, e))) goto fail;
    if (params->summary) *params->summary = plan->summary;
fail:
    mem_free(j->values);
    mem_free(j->blocks);
    pool_close(j->pool);
    quantize_plan_close(plan);
    return status;
}

static leat_status no_isa(leat_error *e) {
    return error_set(e, LEAT_E_UNSUPPORTED, "this machine runs none of the instruction sets");
}

leat_status quantize_file(const char *in_path, const char *out_path, const leat_quantize_params *params,
                          leat_error *e) {
    quantize_plan plan = {NULL};
    job j = {.plan = &plan, .params = params};
    if (!kernels_init(&j.k, NULL)) return no_isa(e);
    return run_plan(&j, &plan, quantize_plan_open(&plan, in_path, params, &j.k, e), out_path, e);
}

leat_status quantize_source(const gguf *in, const weight_source *source, const char *out_path,
                            const leat_quantize_params *params, leat_error *e) {
    quantize_plan plan = {NULL};
    job j = {.plan = &plan, .params = params};
    if (!kernels_init(&j.k, NULL)) return no_isa(e);
    leat_status status = quantize_plan_source(&plan, in, source, params, &j.k, e);
    if (!status) status = source->check(source->owner, in, plan.formats, e);
    return run_plan(&j, &plan, status, out_path, e);
}
