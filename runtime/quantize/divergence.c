/* divergence.h: chunks of the text are contexts of their own. The first tokens of a chunk, which hardly have
 * any context, are passed over. */
#include "divergence.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "runtime/pool.h"
#include "runtime/score/score.h"
#include "runtime/session.h"

enum { SKIPPED = 16, BATCH = 512 };
static const size_t memory_max = (size_t)512 << 20;

struct divergence {
    leat_token *tokens; /* (n_chunks, n_ctx) */
    size_t n_chunks, n_ctx, n_vocab, skip;
    uint32_t n_threads;
    float *logits;  /* (n_chunks, n_ctx - skip, n_vocab) of the original */
    double *values; /* (n_chunks, n_ctx - skip) */
    pool *pool;
};

/* Rows of logits to be compared, by all workers. */
typedef struct comparison {
    const divergence *d;
    const leat_session *s;
    size_t first, batch, row; /* rows of the batch from `first` on; where they go */
    _Atomic size_t next;
} comparison;

static void compare(void *arg, uint32_t worker) {
    comparison *c = arg;
    (void)worker;
    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->batch;) {
        size_t row = c->row + i - c->first;
        c->d->values[row] = score_kl(c->d->logits + row * c->d->n_vocab,
                                     leat_session_logits(c->s, c->batch - 1 - i), c->d->n_vocab);
    }
}

/* One chunk: its logits are kept, or compared with what was kept. */
static leat_status run_chunk(divergence *d, leat_session *s, size_t chunk, bool keep, leat_error *e) {
    leat_session_rewind(s, 0);
    for (size_t at = 0; at < d->n_ctx;) {
        size_t n = d->n_ctx - at < BATCH ? d->n_ctx - at : BATCH, first = at < d->skip ? d->skip - at : 0;
        leat_status status = session_eval(s, d->tokens + chunk * d->n_ctx + at, n, NULL, NULL, e);
        if (status) return status;
        size_t row = chunk * (d->n_ctx - d->skip) + at + first - d->skip;
        for (size_t i = first; keep && i < n; i++)
            memcpy(d->logits + (row + i - first) * d->n_vocab, leat_session_logits(s, n - 1 - i),
                   d->n_vocab * sizeof(float));
        comparison c = {.d = d, .s = s, .first = first, .batch = n, .row = row};
        atomic_init(&c.next, first);
        if (!keep) pool_run(d->pool, pool_size(d->pool), compare, &c);
        at += n;
    }
    return LEAT_OK;
}

static leat_status run_chunks(divergence *d, leat_model *model, bool keep, leat_error *e) {
    leat_session *s = NULL;
    leat_session_params p;
    leat_session_params_default(&p);
    p.n_ctx = (uint32_t)d->n_ctx;
    p.n_batch = BATCH;
    p.n_threads = d->n_threads;
    p.logits_all = true;
    leat_status status = session_open(model, &p, false, NULL, &s, e);
    for (size_t i = 0; i < d->n_chunks && !status; i++) status = run_chunk(d, s, i, keep, e);
    session_close(s);
    return status;
}

/* Chunks from all over the text, each with BOS in the place of its first token where the model wants one. */
static void take_tokens(divergence *d, const leat_model *model, const divergence_params *p) {
    size_t all = p->n_tokens / d->n_ctx;
    for (size_t i = 0; i < d->n_chunks; i++) {
        leat_token *to = d->tokens + i * d->n_ctx;
        memcpy(to, p->tokens + i * all / d->n_chunks * d->n_ctx, d->n_ctx * sizeof *to);
        if (leat_token_add_bos(model) && leat_token_bos(model) >= 0) to[0] = leat_token_bos(model);
    }
}

leat_status divergence_open(leat_model *original, const divergence_params *p, divergence **out,
                            leat_error *e) {
    leat_status status;
    divergence *d = mem_alloc(1, sizeof *d);
    if (!d) return error_set(e, LEAT_E_NOMEM, "out of memory for measuring");
    *d = (divergence){.n_ctx = p->n_ctx, .n_threads = p->n_threads, .n_vocab = original->hp.n_vocab};
    if (d->n_ctx > p->n_tokens) d->n_ctx = p->n_tokens;
    if (d->n_ctx > original->hp.n_ctx_train) d->n_ctx = original->hp.n_ctx_train;
    if (d->n_ctx < 2) {
        status = error_set(e, LEAT_E_ARG, "the calibration text is shorter than two tokens");
        goto fail;
    }
    d->skip = d->n_ctx > 4 * SKIPPED ? SKIPPED : 0;
    d->n_chunks = p->n_tokens / d->n_ctx < p->max_chunks ? p->n_tokens / d->n_ctx : p->max_chunks;
    size_t fits = memory_max / sizeof(float) / (d->n_ctx - d->skip) / d->n_vocab;
    if (d->n_chunks > fits) d->n_chunks = fits;
    if (!d->n_chunks) d->n_chunks = 1;
    size_t rows = d->n_chunks * (d->n_ctx - d->skip);
    d->tokens = mem_alloc(d->n_chunks, d->n_ctx * sizeof *d->tokens);
    d->logits = mem_alloc(rows, d->n_vocab * sizeof *d->logits);
    d->values = mem_alloc(rows, sizeof *d->values);
    if (!d->tokens || !d->logits || !d->values) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for measuring on %zu tokens", rows);
        goto fail;
    }
    take_tokens(d, original, p);
    if ((status = pool_open(p->n_threads, &d->pool, e))) goto fail;
    if ((status = run_chunks(d, original, true, e))) goto fail;
    *out = d;
    return LEAT_OK;
fail:
    divergence_close(d);
    return status;
}

void divergence_close(divergence *d) {
    if (!d) return;
    pool_close(d->pool);
    mem_free(d->tokens);
    mem_free(d->logits);
    mem_free(d->values);
    mem_free(d);
}

size_t divergence_tokens(const divergence *d) {
    return d->n_chunks * d->n_ctx;
}

leat_status divergence_measure(divergence *d, leat_model *changed, double *mean, leat_error *e) {
    size_t rows = d->n_chunks * (d->n_ctx - d->skip);
    leat_status status = run_chunks(d, changed, false, e);
    *mean = 0;
    for (size_t i = 0; i < rows; i++) *mean += d->values[i] / (double)rows;
    return status;
}
