/* See eval.h. A window is evaluated in batches; what is said of its counted part is handed on while it is in
 * the session's memory, so that nothing grows with a text. */
#include "eval.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "term.h"

enum { TILES_MIN = 48 }; /* as GEMM_TILES_MIN, tokens from which on tiles are used (kernels/kernels.h) */

/* What a signal cancels. Atomics, because the handler may run at any moment. */
static _Atomic(leat_session *) running[EVAL_MODELS];

static void cancel_running(void) {
    for (size_t i = 0; i < EVAL_MODELS; i++) {
        leat_session *session = atomic_load(&running[i]);
        if (session) leat_session_cancel(session);
    }
}

int eval_stopped(const leat_error *e) {
    return term_interrupted() ? 128 + term_interrupted() : fail("%s", e->message);
}

int eval_check_chunks(const char *command, int64_t chunks) {
    return chunks ? EXIT_DONE : usage_error(command, "--chunks must be 1 or more, or -1 for all, not 0");
}

int eval_windows_of(size_t n_tokens, size_t n_ctx, size_t stride, int64_t n_windows, eval_windows *out) {
    size_t length = n_ctx + stride / 2;
    *out = (eval_windows){.length = length, .step = n_ctx, .first = n_ctx / 2};
    if (stride) {
        out->step = stride;
        out->first = length - 1 - stride;
    }
    if (n_tokens < length || (stride && n_tokens == length))
        return fail("the text has %zu tokens, which is less than one window of %zu needs: give a longer text "
                    "or a smaller -c",
                    n_tokens, stride ? length + 1 : length);
    out->n = stride ? (n_tokens - length + stride - 1) / stride : n_tokens / n_ctx;
    if (n_windows >= 0 && (uint64_t)n_windows < out->n) out->n = (size_t)n_windows;
    return EXIT_DONE;
}

size_t eval_counted(const eval_windows *w) {
    return w->length - 1 - w->first;
}

/* Has the file matrices that are not of floats? */
static bool is_quantized(const char *path) {
    static const char *const floats[] = {"F64", "F32", "F16", "BF16"};
    char default_path[PATH_MAX];
    leat_file *file;
    leat_tensor_info t;
    bool found = false;
    if (!path && !default_model_path(default_path)) path = default_path;
    if (!path || leat_file_open(path, &file, NULL)) return false;
    for (size_t i = 0; i < leat_file_tensor_count(file) && !found; i++) {
        bool is_float = false;
        if (leat_file_tensor(file, i, &t)) continue;
        for (size_t k = 0; k < sizeof floats / sizeof *floats; k++) is_float |= !strcmp(t.type, floats[k]);
        found = !is_float;
    }
    leat_file_close(file);
    return found;
}

const char *eval_activations(const eval_model *m, const eval_options *o) {
    if (!m->quantized || activations_form(o->activations) == LEAT_ACTIVATIONS_F32) return "f32";
    return !strcmp(m->info.isa, "amx") && m->n_batch >= TILES_MIN ? "bf16" : "int8";
}

int eval_open_model(eval_model *m, const char *path, const eval_options *o) {
    double start = term_seconds();
    int status = open_model(path, false, o->isa, &m->model);
    m->open_seconds = term_seconds() - start;
    m->path = path ? path : "the default model";
    if (status) return status;
    leat_model_get_info(m->model, &m->info);
    m->quantized = is_quantized(path);
    return EXIT_DONE;
}

static void close_session(eval_model *m) {
    for (size_t i = 0; i < EVAL_MODELS && m->session; i++) {
        leat_session *session = m->session;
        atomic_compare_exchange_strong(&running[i], &session, NULL);
    }
    leat_session_close(m->session);
    m->session = NULL;
}

int eval_open_session(eval_model *m, const eval_options *o, size_t n_ctx, size_t n_logits) {
    leat_session_params p;
    leat_error e;
    double start = term_seconds();
    size_t batch = (size_t)o->batch < n_ctx ? (size_t)o->batch : n_ctx;
    leat_session_params_default(&p);
    if (n_ctx > UINT32_MAX) return fail("a window of %zu tokens is too long", n_ctx);
    p.n_ctx = (uint32_t)n_ctx;
    p.n_batch = (uint32_t)batch;
    p.n_threads = thread_count(o->threads);
    p.k_type = cache_type(o->cache_k);
    p.v_type = cache_type(o->cache_v);
    p.activations = activations_form(o->activations);
    p.logits_all = n_logits > 0;
    p.n_logits = (uint32_t)(n_logits < batch ? n_logits : batch);
    close_session(m);
    if (leat_session_open(m->model, &p, &m->session, &e)) return fail("%s", e.message);
    m->load_seconds = m->open_seconds + term_seconds() - start;
    m->n_batch = batch;
    for (size_t i = 0; i < EVAL_MODELS; i++) {
        leat_session *none = NULL;
        if (atomic_compare_exchange_strong(&running[i], &none, m->session)) break;
    }
    term_catch_signals(cancel_running);
    return EXIT_DONE;
}

void eval_close(eval_model *m) {
    close_session(m);
    leat_model_close(m->model);
    m->model = NULL;
}

int eval_read_text(const leat_model *model, const char *path, leat_token **tokens, size_t *count) {
    char *text;
    size_t n;
    int status = read_text(path, &text, &n);
    if (status) return status;
    if (n && text[n - 1] == '\n') n--;
    status = tokenize_text(model, text, n, leat_token_add_bos(model) ? LEAT_TOKENIZE_BOS : 0, tokens, count);
    free(text);
    return status;
}

uint64_t eval_vocabulary(const leat_model *model) {
    const uint64_t prime = 0x100000001B3; /* FNV-1a */
    uint64_t hash = 0xCBF29CE484222325;
    leat_model_info info;
    leat_model_get_info(model, &info);
    for (uint32_t i = 0; i < info.n_vocab; i++) {
        leat_str text = leat_token_text(model, (leat_token)i, false);
        for (size_t k = 0; k < text.size; k++) hash = (hash ^ (unsigned char)text.data[k]) * prime;
        hash = (hash ^ text.size) * prime; /* where it ends */
    }
    return hash;
}

/* One batch of a window in all models, and what they say of the counted part of it. at: its place in the
 * window. */
static int eval_batch(eval_model *models, size_t n_models, const eval_windows *w, const leat_token *batch,
                      const leat_token *window, size_t at, size_t n, eval_fn *fn, void *user) {
    leat_error e;
    for (size_t k = 0; k < n_models; k++) {
        eval_model *m = &models[k];
        double start = term_seconds();
        leat_status failed = leat_session_eval(m->session, batch, n, &e);
        m->seconds += term_seconds() - start;
        m->n_evaluated += n;
        if (term_interrupted() || failed) return eval_stopped(&e);
    }
    for (size_t i = at < w->first ? w->first : at; i < at + n && i + 1 < w->length; i++) {
        const float *logits[EVAL_MODELS] = {NULL};
        for (size_t k = 0; k < n_models; k++) {
            logits[k] = leat_session_logits(models[k].session, at + n - 1 - i);
            if (!logits[k]) return fail("%s: no logits for position %zu", models[k].path, i);
        }
        int status = fn(user, logits, window[i + 1]);
        if (status) return status;
    }
    return EXIT_DONE;
}

int eval_walk(eval_model *models, size_t n_models, const eval_windows *w, const leat_token *tokens,
              size_t from, size_t to, eval_fn *fn, void *user) {
    int status = EXIT_DONE;
    bool bos = leat_token_add_bos(models[0].model) && leat_token_bos(models[0].model) >= 0;
    size_t n_batch = models[0].n_batch;
    leat_token *batch = malloc(n_batch * sizeof *batch);
    if (!batch) return fail("no memory for a batch of %zu tokens", n_batch);
    for (size_t i = from; i < to && !status; i++) {
        const leat_token *window = tokens + i * w->step;
        for (size_t k = 0; k < n_models; k++) leat_session_rewind(models[k].session, 0);
        for (size_t at = 0; at < w->length && !status; at += n_batch) {
            size_t n = w->length - at < n_batch ? w->length - at : n_batch;
            memcpy(batch, window + at, n * sizeof *batch);
            if (at == 0 && bos) batch[0] = leat_token_bos(models[0].model);
            status = eval_batch(models, n_models, w, batch, window, at, n, fn, user);
        }
    }
    free(batch);
    return status;
}
