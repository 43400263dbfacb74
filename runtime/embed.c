/* Embedders: texts are packed into passes, and the hidden states of each are pooled as they come. How texts
 * are packed does not show in what becomes of them. */
#include "embed.h"

#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "session.h"

enum { N_BATCH_DEFAULT = 512, N_BATCH_MAX = 1 << 20 };

struct leat_embedder {
    leat_session *session;
    const leat_model *model; /* the session's */
    leat_pooling pooling;
    bool normalize, truncate, alone;
    size_t n_ctx, n_batch, n_embd, dims;
    leat_token *tokens;  /* (n_batch) of the next pass */
    uint32_t *positions; /* (n_batch) */
    span *texts;         /* (n_batch) */
    size_t *rows;        /* (n_batch) where the vectors of each text go */
    size_t n_tokens, n_texts, longest;
    double *sum;             /* (n_embd) of a mean */
    float *pooled, *scratch; /* (n_embd), twice the head's width */
    atomic_bool busy;
};

void leat_embed_params_default(leat_embed_params *p) {
    if (p) *p = (leat_embed_params){.normalize = true};
}

static const char *const pooling_names[] = {
    [LEAT_POOLING_MODEL] = "model", [LEAT_POOLING_NONE] = "none", [LEAT_POOLING_MEAN] = "mean",
    [LEAT_POOLING_CLS] = "cls",     [LEAT_POOLING_LAST] = "last", [LEAT_POOLING_RANK] = "rank",
};
enum { N_POOLINGS = sizeof pooling_names / sizeof *pooling_names };

const char *leat_pooling_name(size_t pooling) {
    return pooling < N_POOLINGS ? pooling_names[pooling] : NULL;
}

/* What the file says, or else what attention makes sensible. */
leat_pooling embedder_pooling_of(const leat_model *m) {
    static const leat_pooling in_file[] = {LEAT_POOLING_NONE, LEAT_POOLING_MEAN, LEAT_POOLING_CLS,
                                           LEAT_POOLING_LAST, LEAT_POOLING_RANK};
    if (m->hp.pooling < sizeof in_file / sizeof *in_file) return in_file[m->hp.pooling];
    return m->hp.both_ways ? LEAT_POOLING_MEAN : LEAT_POOLING_LAST;
}

static leat_status choose_pooling(const leat_model *m, leat_pooling asked, leat_pooling *out, leat_error *e) {
    if ((unsigned)asked >= N_POOLINGS)
        return error_set(e, LEAT_E_ARG, "pooling is %d, which is none that we know", (int)asked);
    *out = asked == LEAT_POOLING_MODEL ? embedder_pooling_of(m) : asked;
    if (*out == LEAT_POOLING_RANK && !m->head.classes.data)
        return error_set(e, LEAT_E_ARG,
                         "pooling by rank needs a classifier (cls.output.weight), which the "
                         "model does not have");
    return LEAT_OK;
}

static leat_status check_params(const leat_model *m, leat_embed_params *p, leat_error *e) {
    if (!m->arch) return error_set(e, LEAT_E_STATE, "the model was opened for its vocabulary only");
    uint32_t trained = m->hp.n_ctx_train;
    if (p->n_ctx > trained)
        return error_set(e, LEAT_E_ARG, "n_ctx is %u, and the model was trained for texts of up to %u tokens",
                         p->n_ctx, trained);
    if (!p->n_ctx) p->n_ctx = trained;
    if (!p->n_batch) p->n_batch = N_BATCH_DEFAULT;
    if (p->n_batch > N_BATCH_MAX)
        return error_set(e, LEAT_E_ARG, "n_batch is %u, not 1 .. %d", p->n_batch, N_BATCH_MAX);
    /* a text whose tokens see both ways is one pass */
    if (m->hp.both_ways && p->n_batch < p->n_ctx) p->n_batch = p->n_ctx;
    return LEAT_OK;
}

leat_status embedder_open(leat_model *m, const leat_embed_params *params, leat_embedder **out,
                          leat_error *e) {
    leat_embed_params p;
    leat_pooling pooling;
    leat_embed_params_default(&p);
    if (params) p = *params;
    *out = NULL;
    leat_status st = check_params(m, &p, e);
    if (!st) st = choose_pooling(m, p.pooling, &pooling, e);
    if (st) return st;
    leat_embedder *em = mem_alloc(1, sizeof *em);
    if (!em) return error_set(e, LEAT_E_NOMEM, "out of memory for an embedder");
    leat_session_params sp;
    leat_session_params_default(&sp);
    /* the cache is also for short texts side by side, which may be more tokens than any one has */
    sp.n_ctx = p.n_ctx > p.n_batch ? p.n_ctx : p.n_batch;
    sp.n_batch = p.n_batch;
    sp.n_threads = p.n_threads;
    if (m->hp.both_ways) sp.k_type = sp.v_type = LEAT_KV_F32; /* small: it is that of a layer */
    size_t n_embd = m->hp.n_embd, wide = embed_head_scratch(&m->head, n_embd);
    em->model = m;
    em->pooling = pooling;
    em->normalize = p.normalize;
    em->truncate = p.truncate;
    em->n_ctx = p.n_ctx;
    em->n_batch = p.n_batch;
    em->n_embd = n_embd;
    em->dims = pooling == LEAT_POOLING_RANK   ? m->head.classes.n_rows
               : pooling == LEAT_POOLING_NONE ? n_embd
                                              : embed_head_width(&m->head, n_embd);
    st = session_open(m, &sp, true, NULL, &em->session, e);
    if (st) goto fail;
    em->alone = session_texts_alone(em->session);
    em->tokens = mem_alloc(p.n_batch, sizeof *em->tokens);
    em->positions = mem_alloc(p.n_batch, sizeof *em->positions);
    em->texts = mem_alloc(p.n_batch, sizeof *em->texts);
    em->rows = mem_alloc(p.n_batch, sizeof *em->rows);
    em->sum = mem_alloc(n_embd, sizeof *em->sum);
    em->pooled = mem_alloc(n_embd, sizeof *em->pooled);
    em->scratch = mem_alloc(wide, 2 * sizeof *em->scratch);
    if (!em->tokens || !em->positions || !em->texts || !em->rows || !em->sum || !em->pooled || !em->scratch) {
        st = error_set(e, LEAT_E_NOMEM, "out of memory for an embedder of batches of %u tokens", p.n_batch);
        goto fail;
    }
    *out = em;
    return LEAT_OK;
fail:
    embedder_close(em);
    return st;
}

void embedder_close(leat_embedder *em) {
    if (!em) return;
    session_close(em->session);
    mem_free(em->tokens);
    mem_free(em->positions);
    mem_free(em->texts);
    mem_free(em->rows);
    mem_free(em->sum);
    mem_free(em->pooled);
    mem_free(em->scratch);
    mem_free(em);
}

/* Length 1, but for a vector of zeros. */
static void normalize(float *x, size_t n) {
    double square = 0.0;
    for (size_t i = 0; i < n; i++) square += (double)x[i] * (double)x[i];
    const double scale = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    for (size_t i = 0; i < n; i++) x[i] = (float)((double)x[i] * scale);
}

static bool finite_row(const float *x, size_t n) {
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) sum += x[i] - x[i];
    return sum == 0.0f;
}

/* The pooled vector as the caller gets it. */
static void finish(const leat_embedder *em, float *out) {
    const leat_model *m = em->model;
    if (em->pooling == LEAT_POOLING_RANK) {
        bool qwen = !strcmp(m->arch_name, "qwen3"), modern = !strcmp(m->arch_name, "modern-bert");
        embed_head_classify(&m->head, &m->kernels, em->pooled, em->n_embd, modern, qwen, m->hp.norm_eps,
                            em->scratch, out);
        return;
    }
    embed_head_project(&m->head, &m->kernels, em->pooled, em->n_embd, em->scratch, out);
    if (em->normalize) normalize(out, em->dims);
}

/* Where in a text what represents it is found. */
static leat_pooling place_of(const leat_embedder *em) {
    if (em->pooling != LEAT_POOLING_RANK) return em->pooling;
    if (!em->model->hp.both_ways) return LEAT_POOLING_LAST;
    return strcmp(em->model->arch_name, "modern-bert") ? LEAT_POOLING_CLS : LEAT_POOLING_MEAN;
}

/* Tokens at .. at + n of a text of `total` tokens are `token` .. of the pass that was; its vector or vectors
 * go to `out`. */
static leat_status take(leat_embedder *em, size_t token, size_t at, size_t n, size_t total, float *out,
                        leat_error *e) {
    const leat_pooling place = place_of(em);
    for (size_t i = 0; i < n; i++) {
        bool first = at + i == 0, last = at + i + 1 == total;
        const float *x = session_hidden(em->session, token + i);
        if ((place == LEAT_POOLING_CLS && !first) || (place == LEAT_POOLING_LAST && !last)) continue;
        if (!finite_row(x, em->n_embd))
            return error_set(
                e, LEAT_E_NUMERIC,
                "what the model makes of token %zu of a text is not finite: the weights are damaged", at + i);
        if (place == LEAT_POOLING_NONE) {
            float *row = out + (at + i) * em->dims;
            memcpy(row, x, em->n_embd * sizeof *row);
            if (em->normalize) normalize(row, em->n_embd);
            continue;
        }
        if (place != LEAT_POOLING_MEAN) {
            memcpy(em->pooled, x, em->n_embd * sizeof *x);
            finish(em, out);
            continue;
        }
        for (size_t c = 0; c < em->n_embd; c++) em->sum[c] = (first ? 0.0 : em->sum[c]) + (double)x[c];
        if (!last) continue;
        for (size_t c = 0; c < em->n_embd; c++) em->pooled[c] = (float)(em->sum[c] / (double)total);
        finish(em, out);
    }
    return LEAT_OK;
}

/* Runs the texts that are packed. */
static leat_status flush(leat_embedder *em, float *out, leat_error *e) {
    leat_status st =
        session_encode(em->session, em->tokens, em->texts, em->n_texts, em->longest, em->positions, e);
    for (size_t i = 0; !st && i < em->n_texts; i++)
        st = take(em, em->texts[i].first, 0, em->texts[i].n, em->texts[i].n, out + em->rows[i] * em->dims, e);
    em->n_tokens = em->n_texts = em->longest = 0;
    return st;
}

/* The tokens of a text that are used: its first n, but for the last where that is the end of sequence. */
static leat_token token_at(const leat_embedder *em, const leat_token *tokens, size_t length, size_t n,
                           size_t i) {
    leat_token last = tokens[length - 1];
    return n < length && i + 1 == n && n > 1 && last == leat_token_eos(em->model) ? last : tokens[i];
}

static void pack(leat_embedder *em, const leat_token *tokens, size_t length, size_t n, size_t row) {
    for (size_t i = 0; i < n; i++) {
        em->tokens[em->n_tokens + i] = token_at(em, tokens, length, n, i);
        em->positions[em->n_tokens + i] = (uint32_t)i;
    }
    em->texts[em->n_texts] = (span){em->n_tokens, n};
    em->rows[em->n_texts++] = row;
    em->n_tokens += n;
    if (em->longest < n) em->longest = n;
}

/* A text longer than a pass, or of a model that can't have several in one. */
static leat_status run_alone(leat_embedder *em, const leat_token *tokens, size_t length, size_t n, float *out,
                             leat_error *e) {
    leat_status st = LEAT_OK;
    session_forget(em->session);
    for (size_t at = 0, part; !st && at < n; at += part) {
        part = n - at < em->n_batch ? n - at : em->n_batch;
        for (size_t i = 0; i < part; i++) em->tokens[i] = token_at(em, tokens, length, n, at + i);
        st = session_encode_part(em->session, em->tokens, part, e);
        if (!st) st = take(em, 0, at, part, n, out, e);
    }
    session_forget(em->session);
    return st;
}

static leat_status check_texts(const leat_embedder *em, const leat_token *tokens, const size_t *lengths,
                               size_t n_texts, leat_error *e) {
    uint32_t n_vocab = em->model->hp.n_vocab;
    for (size_t i = 0; i < n_texts; tokens += lengths[i++]) {
        if (!lengths[i]) return error_set(e, LEAT_E_ARG, "text %zu has no tokens", i);
        if (lengths[i] > em->n_ctx && !em->truncate)
            return error_set(e, LEAT_E_CONTEXT,
                             "text %zu has %zu tokens, and the context holds %zu: it could be truncated", i,
                             lengths[i], em->n_ctx);
        for (size_t j = 0; j < lengths[i]; j++)
            if (tokens[j] < 0 || (uint32_t)tokens[j] >= n_vocab)
                return error_set(e, LEAT_E_ARG, "token %zu of text %zu is %d, not 0 .. %u", j, i, tokens[j],
                                 n_vocab - 1);
    }
    return LEAT_OK;
}

leat_status embedder_run(leat_embedder *em, const leat_token *tokens, const size_t *lengths, size_t n_texts,
                         float *out, leat_progress_fn *progress, void *user, leat_error *e) {
    if (atomic_exchange_explicit(&em->busy, true, memory_order_acquire))
        return error_set(e, LEAT_E_BUSY, "the embedder is in use by another thread");
    leat_status st = check_texts(em, tokens, lengths, n_texts, e);
    size_t row = 0;
    em->n_tokens = em->n_texts = em->longest = 0;
    for (size_t i = 0; !st && i < n_texts; tokens += lengths[i++]) {
        size_t n = lengths[i] < em->n_ctx ? lengths[i] : em->n_ctx;
        bool apart = em->alone || n > em->n_batch;
        if (em->n_texts && (apart || em->n_tokens + n > em->n_batch)) {
            st = flush(em, out, e);
            if (!st && progress && !progress(user, i, n_texts))
                st = error_set(e, LEAT_E_CANCELLED, "stopped after %zu of %zu texts", i, n_texts);
        }
        if (st) break;
        if (apart)
            st = run_alone(em, tokens, lengths[i], n, out + row * em->dims, e);
        else
            pack(em, tokens, lengths[i], n, row);
        row += em->pooling == LEAT_POOLING_NONE ? n : 1;
    }
    if (!st && em->n_texts) st = flush(em, out, e);
    if (!st && progress) progress(user, n_texts, n_texts);
    atomic_store_explicit(&em->busy, false, memory_order_release);
    return st;
}

/* ---- the public functions of an embedder that only look or set ---- */

size_t leat_embedder_dims(const leat_embedder *em) {
    return em ? em->dims : 0;
}
leat_pooling leat_embedder_pooling(const leat_embedder *em) {
    return em ? em->pooling : LEAT_POOLING_MODEL;
}
uint32_t leat_embedder_n_ctx(const leat_embedder *em) {
    return em ? (uint32_t)em->n_ctx : 0;
}
uint32_t leat_embedder_threads(const leat_embedder *em) {
    return em ? leat_session_threads(em->session) : 0;
}
uint64_t leat_embedder_bytes(const leat_embedder *em) {
    return em ? leat_session_bytes(em->session) : 0;
}
leat_model *leat_embedder_model(const leat_embedder *em) {
    return em ? leat_session_model(em->session) : NULL;
}
void leat_embedder_cancel(leat_embedder *em) {
    if (em) leat_session_cancel(em->session);
}
