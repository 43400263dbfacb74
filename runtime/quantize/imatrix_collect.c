/* imatrix.h: running a model over a text, chunk by chunk, and adding up what its matrices are multiplied
 * with. A chunk's sums are added when it is complete, so that whoever stops between two has whole ones. */
#include <math.h>
#include <string.h>

#include "imatrix.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "runtime/model.h"
#include "runtime/observe.h"
#include "runtime/session.h"

enum { CHUNK_DEFAULT = 512, CHUNK_MIN = 2 };

static leat_status take_site(leat_imatrix *m, const gguf_tensor *t, const observe_site *site, leat_error *e) {
    imatrix_entry *x;
    size_t n = site->n_mat * site->n_cols, n_count = site->experts ? site->n_mat : 1;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(site->sums[i]))
            return error_set(e, LEAT_E_NUMERIC,
                             "what \"%.*s\" is multiplied with is not finite in column %zu",
                             (int)(t->name.n < 100 ? t->name.n : 100), t->name.p, i % site->n_cols);
    leat_status status = imatrix_get(m, t->name, n, n_count, &x, e);
    if (status) return status;
    for (size_t i = 0; i < n; i++) x->sums[i] += site->sums[i];
    for (size_t i = 0; i < x->n_count; i++) x->counts[i] += (double)site->count[n_count == 1 ? 0 : i];
    return LEAT_OK;
}

/* What the observer has, added to m; the observer starts again. */
static leat_status take(leat_imatrix *m, observer *o, leat_error *e) {
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < o->n_uses && !status; i++)
        status = take_site(m, &o->g->tensors[o->uses[i].tensor], o->uses[i].site, e);
    observer_clear(o);
    if (!status) m->n_chunks++;
    return status;
}

/* A chunk of its own context, with BOS in the place of its first token where the model wants one. */
static leat_status run_chunk(leat_session *s, leat_token *tokens, size_t n, leat_error *e) {
    leat_model *model = leat_session_model(s);
    leat_token first = tokens[0];
    leat_session_rewind(s, 0);
    if (leat_token_add_bos(model) && leat_token_bos(model) >= 0) tokens[0] = leat_token_bos(model);
    leat_status status = session_eval(s, tokens, n, NULL, NULL, e);
    tokens[0] = first;
    return status;
}

static leat_status run_chunks(leat_imatrix *m, leat_session *s, observer *o, leat_token *tokens, size_t n,
                              const leat_imatrix_params *p, size_t n_chunks, leat_error *e) {
    leat_status status = LEAT_OK;
    size_t size = n / n_chunks < p->n_ctx ? n / n_chunks : p->n_ctx;
    m->chunk_size = (uint32_t)size;
    for (size_t i = 0; i < n_chunks && !status; i++) {
        status = run_chunk(s, tokens + i * size, size, e);
        if (!status) status = take(m, o, e);
        if (!status && p->progress && !p->progress(p->user, i + 1, n_chunks) && i + 1 < n_chunks)
            status = error_set(e, LEAT_E_CANCELLED, "stopped after %zu of %zu chunks", i + 1, n_chunks);
    }
    return status;
}

leat_status imatrix_collect(leat_imatrix *m, leat_model *model, const leat_token *tokens, size_t n,
                            const leat_imatrix_params *params, leat_error *e) {
    leat_imatrix_params p = *params;
    leat_session_params sp;
    leat_session *s = NULL;
    observer o;
    if (!p.n_ctx) p.n_ctx = CHUNK_DEFAULT;
    if (p.n_ctx > model->hp.n_ctx_train && model->hp.n_ctx_train) p.n_ctx = model->hp.n_ctx_train;
    size_t skip = p.first_chunk > SIZE_MAX / p.n_ctx ? SIZE_MAX : p.first_chunk * p.n_ctx;
    if (p.n_ctx < CHUNK_MIN || skip > n || n - skip < CHUNK_MIN)
        return error_set(e, LEAT_E_ARG,
                         "%zu tokens are too few for chunks of %u of which the first %zu are left out", n,
                         p.n_ctx, p.first_chunk);
    size_t n_chunks = (n - skip) / p.n_ctx;
    if (!n_chunks) n_chunks = 1; /* one that is shorter */
    if (p.max_chunks && n_chunks > p.max_chunks) n_chunks = p.max_chunks;
    leat_session_params_default(&sp);
    sp.n_ctx = p.n_ctx;
    sp.n_threads = p.n_threads;
    if (p.n_batch) sp.n_batch = p.n_batch < 2 ? 2 : p.n_batch;
    observer_open(&o, file_gguf(model->file));
    leat_status status = LEAT_OK;
    leat_token *copy = mem_alloc(n - skip, sizeof *copy);
    if (copy)
        memcpy(copy, tokens + skip, (n - skip) * sizeof *copy);
    else
        status = error_set(e, LEAT_E_NOMEM, "out of memory for %zu tokens", n);
    if (!status) status = session_open(model, &sp, false, &o, &s, e);
    if (!status && p.dataset) status = imatrix_add_dataset(m, (str){p.dataset, strlen(p.dataset)}, e);
    if (!status) status = run_chunks(m, s, &o, copy, n - skip, &p, n_chunks, e);
    session_close(s);
    observer_close(&o);
    mem_free(copy);
    return status;
}
