/* trial.h: rows are the pieces of work; their errors are kept apart and added in order. */
#include "trial.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "loader/alloc.h"
#include "runtime/os.h"

typedef struct work {
    const trial *r;
    size_t n;        /* rows to be done */
    float *rows;     /* (workers, 2, ne[0]) the row, and what becomes of it */
    uint8_t *blocks; /* (workers, bytes of a row) */
    double *sums;    /* (n, 2) error and energy of each row */
    size_t row_bytes;
    _Atomic size_t next;
    _Atomic size_t bad; /* the first row with a value that is not finite or too large; SIZE_MAX: none */
} work;

size_t trial_step(const gguf_tensor *t, size_t values) {
    size_t rows = values / (size_t)t->ne[0];
    if (!rows) rows = 1;
    return (t->n_rows + rows - 1) / rows;
}

static bool writable(const float *x, size_t n, float largest) {
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= largest)) return false;
    return true;
}

static void do_row(work *w, size_t i, float *x, float *y, uint8_t *blocks) {
    const trial *r = w->r;
    const gguf_tensor *t = r->t;
    size_t n = (size_t)t->ne[0], row = i * r->step;
    const float *importance =
        r->importance ? r->importance + row / (size_t)t->ne[1] % (size_t)t->ne[2] * n : NULL;
    r->k->decode[t->format](t->data + row * t->row_bytes, x, n);
    if (!writable(x, n, quantize_largest(r->to))) {
        size_t bad = atomic_load(&w->bad);
        while (row < bad && !atomic_compare_exchange_weak(&w->bad, &bad, row)) {
        }
        return;
    }
    uint8_t *out = r->out ? r->out + row * w->row_bytes : blocks;
    r->k->quantize_rows[r->to](x, importance, n, 1, out);
    if (!r->error) return;
    double error = 0, energy = 0;
    r->k->decode[r->to](out, y, n);
    for (size_t c = 0; c < n; c++) {
        double d = (double)x[c] - (double)y[c], weight = importance ? (double)importance[c] : 1;
        error += weight * d * d;
        energy += weight * (double)x[c] * (double)x[c];
    }
    w->sums[2 * i] = error;
    w->sums[2 * i + 1] = energy;
}

static void do_rows(void *arg, uint32_t worker) {
    work *w = arg;
    size_t n = (size_t)w->r->t->ne[0];
    float *x = w->rows + 2 * worker * n;
    os_fp fp;
    os_fp_default(&fp);
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        do_row(w, i, x, x + n, w->blocks + worker * w->row_bytes);
    os_fp_restore(&fp);
}

leat_status trial_run(const trial *r, leat_error *e) {
    const gguf_tensor *t = r->t;
    leat_status status = LEAT_OK;
    size_t workers = pool_size(r->pool);
    work w = {.r = r,
              .n = (t->n_rows + r->step - 1) / r->step,
              .row_bytes = format_row_bytes(r->to, (size_t)t->ne[0])};
    atomic_init(&w.bad, SIZE_MAX);
    w.rows = mem_alloc(2 * workers, (size_t)t->ne[0] * sizeof *w.rows);
    w.blocks = mem_alloc(workers, w.row_bytes);
    w.sums = mem_alloc(w.n, 2 * sizeof *w.sums);
    if (!w.rows || !w.blocks || !w.sums)
        status = error_set(e, LEAT_E_NOMEM, "out of memory for trying types");
    else
        pool_run(r->pool, pool_size(r->pool), do_rows, &w);
    size_t bad = atomic_load(&w.bad);
    if (bad != SIZE_MAX)
        status = error_set(e, LEAT_E_NUMERIC,
                           "tensor \"%.*s\": row %zu has a value that is not finite or too large for %s",
                           (int)(t->name.n < 100 ? t->name.n : 100), t->name.p, bad, format_get(r->to)->name);
    double error = 0, energy = 0, part = (double)t->n_rows / (double)w.n;
    for (size_t i = 0; i < w.n && w.sums; i++) {
        error += w.sums[2 * i];
        energy += w.sums[2 * i + 1];
    }
    if (!status && r->error) *r->error = error * part;
    if (!status && r->energy) *r->energy = energy * part;
    mem_free(w.rows);
    mem_free(w.blocks);
    mem_free(w.sums);
    return status;
}
