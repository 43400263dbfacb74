/* Sessions: sizes are worked out and compared with the memory there is before anything is taken, then
 * everything a token needs is allocated at once. */
#include "session.h"

#include <string.h>

#include "loader/alloc.h"
#include "os.h"

/* Beyond some hundreds of tokens the multipliers have all they can do, and what a larger pass keeps between
 * its stages only leaves the caches: such a batch is evaluated in even passes of about PASS_USUAL tokens. */
enum { PASS_USUAL = 512, PASS_MOST = PASS_USUAL + PASS_USUAL / 2 };
enum { N_BATCH_MAX = 2048, N_BATCH_DEFAULT = 512, N_THREADS_MAX = 1024 };

void leat_session_params_default(leat_session_params *p) {
    if (p) *p = (leat_session_params){.n_batch = N_BATCH_DEFAULT};
}

static const struct kv_type {
    const char *name;
    uint32_t format;
} kv_types[] = {
    [LEAT_KV_F16] = {"f16", FORMAT_F16},          [LEAT_KV_F32] = {"f32", FORMAT_F32},
    [LEAT_KV_BF16] = {"bf16", FORMAT_BF16},       [LEAT_KV_Q8_0] = {"q8_0", FORMAT_Q8_0},
    [LEAT_KV_Q4_0] = {"q4_0", FORMAT_Q4_0},       [LEAT_KV_Q5_0] = {"q5_0", FORMAT_Q5_0},
    [LEAT_KV_IQ4_NL] = {"iq4_nl", FORMAT_IQ4_NL},
};
enum { N_KV_TYPES = sizeof kv_types / sizeof *kv_types };

const char *leat_kv_type_name(size_t type) {
    return type < N_KV_TYPES ? kv_types[type].name : NULL;
}

static uint32_t kv_format(leat_kv_type t) {
    return kv_types[t].format;
}

int session_kv_type(uint32_t format) {
    for (int i = 0; i < N_KV_TYPES; i++)
        if (kv_types[i].format == format) return i;
    return -1;
}

/* A head is stored in whole blocks of its own, so that positions can be overwritten one by one. */
static leat_status check_kv_type(const char *what, leat_kv_type type, uint32_t head_dim, leat_error *e) {
    if ((unsigned)type >= N_KV_TYPES)
        return error_set(e, LEAT_E_ARG, "the type of the cache for %s is %d, which is none that we know",
                         what, (int)type);
    uint32_t block = format_get(kv_format(type))->block_elems;
    if (head_dim % block)
        return error_set(e, LEAT_E_ARG,
                         "%s can't be kept as %s: their head size is %u, which is no multiple of %u", what,
                         kv_types[type].name, head_dim, block);
    return LEAT_OK;
}

/* Models that make embeddings only. */
static leat_status check_writes(const leat_model *m, leat_error *e) {
    if (m->arch->embeds)
        return error_set(e, LEAT_E_UNSUPPORTED,
                         "%s makes embeddings and no text: leat embed, or leat_embedder_open, is for it",
                         m->arch_name);
    if (m->hp.both_ways)
        return error_set(e, LEAT_E_UNSUPPORTED,
                         "the model's attention is not causal (%s.attention.causal): it makes embeddings and "
                         "no text, for which there is leat embed, or leat_embedder_open",
                         m->arch_name);
    return LEAT_OK;
}

static leat_status check_params(const leat_model *m, bool embeds, leat_session_params *p, leat_error *e) {
    if (!m->arch) return error_set(e, LEAT_E_STATE, "the model was opened for its vocabulary only");
    leat_status st = embeds ? LEAT_OK : check_writes(m, e);
    if (st) return st;
    if (!p->n_ctx) p->n_ctx = m->hp.n_ctx_train;
    if (!p->n_batch) p->n_batch = N_BATCH_DEFAULT;
    if (p->n_batch > N_BATCH_MAX && !embeds)
        return error_set(e, LEAT_E_ARG, "n_batch is %u, not 1 .. %d", p->n_batch, N_BATCH_MAX);
    if (p->n_batch > p->n_ctx) p->n_batch = p->n_ctx;
    if ((unsigned)p->activations > LEAT_ACTIVATIONS_F32)
        return error_set(e, LEAT_E_ARG, "activations is %d, which is no form that we know",
                         (int)p->activations);
    if (!p->n_threads) p->n_threads = LEAT_THREADS_AUTO;
    if (!p->n_threads_batch) p->n_threads_batch = p->n_threads;
    if (p->n_threads != LEAT_THREADS_AUTO && p->n_threads > N_THREADS_MAX)
        return error_set(e, LEAT_E_ARG, "n_threads is %u, not 1 .. %d", p->n_threads, N_THREADS_MAX);
    if (p->n_threads_batch != LEAT_THREADS_AUTO && p->n_threads_batch > N_THREADS_MAX)
        return error_set(e, LEAT_E_ARG, "n_threads_batch is %u, not 1 .. %d", p->n_threads_batch,
                         N_THREADS_MAX);
    st = check_kv_type("keys", p->k_type, m->hp.head_dim_k, e);
    /* latent values are the first part of the keys */
    leat_kv_type v_type = m->hp.latent.absorbed ? p->k_type : p->v_type;
    if (!st) st = check_kv_type("values", v_type, m->hp.head_dim_v, e);
    if (!st && m->hp.head_dim_swa) st = check_kv_type("keys", p->k_type, m->hp.head_dim_swa, e);
    if (!st && m->hp.head_dim_swa) st = check_kv_type("values", p->v_type, m->hp.head_dim_swa, e);
    return st;
}

/* What grows with the context: the cache, and the tokens themselves. 0 if that does not fit a size_t. */
static size_t context_bytes(const leat_session *s, const leat_session_params *p, uint32_t n_ctx) {
    size_t tokens, sum;
    size_t kv = kv_bytes(s->plan.kv, s->model->hp.n_layer, n_ctx, p->n_batch, kv_format(p->k_type),
                         kv_format(p->v_type));
    return !kv || __builtin_mul_overflow(n_ctx, sizeof *s->tokens, &tokens) ||
                   __builtin_add_overflow(kv, tokens, &sum)
               ? 0
               : sum;
}

/* The largest context that fits into `available` bytes beside `fixed` ones; 0 if none does. */
static uint32_t largest_context(const leat_session *s, const leat_session_params *p, uint64_t fixed,
                                uint64_t available) {
    uint32_t low = 0, high = p->n_ctx;
    while (fixed < available && high - low > 1) {
        uint32_t n = low + (high - low) / 2;
        size_t need = context_bytes(s, p, n);
        if (need && need <= available - fixed)
            low = n;
        else
            high = n;
    }
    return low;
}

/* Refuses what can't fit, and says what would. The weights count too: they are mapped, but a machine that
 * can't hold them reads them from the disk for every token. */
static leat_status check_memory(const leat_session *s, const leat_session_params *p, size_t fixed_need,
                                leat_error *e) {
    uint64_t available = os_available_memory(), file = file_bytes(s->model->file), fixed;
    size_t context = context_bytes(s, p, p->n_ctx);
    if (fixed_need == SIZE_MAX || __builtin_add_overflow(fixed_need, file, &fixed)) fixed = UINT64_MAX;
    if (context && fixed != UINT64_MAX &&
        (available == UINT64_MAX || (fixed <= available && context <= available - fixed)))
        return LEAT_OK;
    unsigned long long mib = 1 << 20, fit = largest_context(s, p, fixed, available);
    if (fit)
        return error_set(e, LEAT_E_NOMEM,
                         "a context of %u tokens needs %llu MiB for its cache beside %llu MiB of weights and "
                         "activations, and %llu MiB are available: a context of %llu would fit",
                         p->n_ctx, context / mib, (unsigned long long)fixed / mib,
                         (unsigned long long)available / mib, fit);
    return error_set(e, LEAT_E_NOMEM,
                     "the model needs %llu MiB for weights and activations, and %llu MiB are available",
                     (unsigned long long)fixed / mib, (unsigned long long)available / mib);
}

/* Positions that the model has learned end somewhere; those that are rotated do not. */
static leat_status check_positions(const leat_session *s, const leat_session_params *p, leat_error *e) {
    /* texts for embeddings begin at 0 each, wherever they lie in the cache, and are measured by the embedder
     */
    if (s->embeds || !s->plan.n_positions || p->n_ctx <= s->plan.n_positions) return LEAT_OK;
    return error_set(e, LEAT_E_ARG,
                     "a context of %u tokens is more than the %zu positions that the model knows", p->n_ctx,
                     s->plan.n_positions);
}

static uint32_t fixed_threads(uint32_t n) {
    return n == LEAT_THREADS_AUTO ? 0 : n;
}

static run_threads threads_of(const leat_session_params *p) {
    return (run_threads){.one = fixed_threads(p->n_threads), .many = fixed_threads(p->n_threads_batch)};
}

/* What a session takes whatever its context; SIZE_MAX if that does not fit. */
static size_t fixed_bytes(const leat_session *s, const leat_session_params *p, size_t n_out) {
    size_t need = runner_size(&s->plan, &s->kernels, p->n_batch, n_out, run_threads_most(threads_of(p))), all;
    return __builtin_add_overflow(need, state_bytes(s->plan.state_floats), &all) ? SIZE_MAX : all;
}

/* Tokens of a batch whose logits are kept, at most. */
static size_t outputs(const leat_session_params *p, bool embeds) {
    if (embeds) return 0;
    if (!p->logits_all) return 1;
    return p->n_logits && p->n_logits < p->n_batch ? p->n_logits : p->n_batch;
}

leat_status session_open(leat_model *m, const leat_session_params *params, bool embeds, struct observer *o,
                         leat_session **out, leat_error *e) {
    leat_session_params p;
    const hparams *hp = &m->hp;
    leat_session_params_default(&p);
    if (params) p = *params;
    *out = NULL;
    leat_status st = check_params(m, embeds, &p, e);
    if (st) return st;
    if (o && p.n_batch < 2)
        return error_set(e, LEAT_E_ARG, "inputs are observed in batches of at least two tokens");
    leat_session *s = mem_alloc(1, sizeof *s);
    if (!s) return error_set(e, LEAT_E_NOMEM, "out of memory for a session");
    s->model = model_hold(m);
    s->logits_all = p.logits_all;
    s->embeds = embeds;
    s->kernels = m->kernels;
    if (p.activations == LEAT_ACTIVATIONS_F32) kernels_float_activations(&s->kernels);
    st = plan_compile(m->arch, hp, m->weights, m->layers, &s->kernels, embeds, o, &s->plan, e);
    if (!st && hp->both_ways && session_texts_alone(s))
        st = error_set(e, LEAT_E_UNSUPPORTED, "attention.causal is false in a model with recurrent layers");
    size_t n_out = s->n_out = outputs(&p, embeds);
    /* experts share the tokens of a pass: the more, the better for each */
    s->even = n_out == 1 && !o && !s->plan.moe.n_expert && p.n_batch > PASS_MOST;
    if (s->even) p.n_batch = PASS_MOST;
    s->n_batch = p.n_batch;
    if (!st) st = check_positions(s, &p, e);
    if (!st) st = rope_init(&s->rope[PLAN_ROPE], &hp->rope, p.n_ctx, e);
    if (!st) st = rope_init(&s->rope[PLAN_ROPE_SWA], &hp->rope_swa, p.n_ctx, e);
    if (!st) st = check_memory(s, &p, fixed_bytes(s, &p, n_out), e);
    if (!st)
        st = kv_open(&s->kv, s->plan.kv, hp->n_layer, p.n_ctx, p.n_batch, kv_format(p.k_type),
                     kv_format(p.v_type), e);
    if (!st) st = state_open(&s->state, s->plan.state_floats, e);
    if (!st && !(s->tokens = os_reserve(p.n_ctx * sizeof *s->tokens)))
        st = error_set(e, LEAT_E_NOMEM, "no memory for %u tokens", p.n_ctx);
    if (!st)
        st = runner_open(&s->plan, &s->kernels, s->rope, &s->kv, p.n_batch, n_out, threads_of(&p), &s->runner,
                         e);
    if (st) {
        session_close(s);
        return st;
    }
    *out = s;
    return LEAT_OK;
}

leat_status session_measure(const leat_model *m, const leat_session_params *params, leat_memory *out,
                            leat_error *e) {
    leat_session_params p;
    leat_session s = {0};
    leat_session_params_default(&p);
    if (params) p = *params;
    if (m->arch) s.embeds = m->arch->embeds || m->hp.both_ways;
    leat_status st = check_params(m, s.embeds, &p, e);
    if (st) return st;
    if (m->hp.both_ways) p.n_batch = p.n_ctx;
    s.kernels = m->kernels;
    if (p.activations == LEAT_ACTIVATIONS_F32) kernels_float_activations(&s.kernels);
    st = plan_compile(m->arch, &m->hp, m->weights, m->layers, &s.kernels, s.embeds, NULL, &s.plan, e);
    if (!st) st = check_positions(&s, &p, e);
    size_t n_out = outputs(&p, s.embeds);
    size_t kv =
        st ? 0
           : kv_bytes(s.plan.kv, m->hp.n_layer, p.n_ctx, p.n_batch, kv_format(p.k_type), kv_format(p.v_type));
    size_t state = st ? 0 : state_bytes(s.plan.state_floats);
    size_t buffers = st ? 0 : fixed_bytes(&s, &p, n_out), tokens;
    plan_free(&s.plan);
    if (st) return st;
    if (!kv || state == SIZE_MAX || buffers == SIZE_MAX ||
        __builtin_mul_overflow(p.n_ctx, sizeof *s.tokens, &tokens) ||
        __builtin_add_overflow(buffers - state, tokens, &buffers))
        return error_set(e, LEAT_E_NOMEM, "a context of %u tokens needs more memory than there can be",
                         p.n_ctx);
    *out = (leat_memory){.weights = file_bytes(m->file),
                         .cache = kv,
                         .state = state,
                         .buffers = buffers,
                         .available = os_available_memory(),
                         .n_ctx = p.n_ctx};
    return LEAT_OK;
}

void session_close(leat_session *s) {
    if (!s) return;
    runner_close(s->runner);
    os_release(s->tokens, s->kv.n_ctx * sizeof *s->tokens);
    kv_close(&s->kv);
    state_close(&s->state);
    for (size_t i = 0; i < ROPE_SETS; i++) rope_free(&s->rope[i]);
    plan_free(&s->plan);
    model_release(s->model);
    mem_free(s);
}

static leat_status check_tokens(const leat_session *s, const leat_token *tokens, size_t n, leat_error *e) {
    uint32_t n_vocab = s->model->hp.n_vocab;
    if (n > s->kv.n_ctx - s->length)
        return error_set(e, LEAT_E_CONTEXT,
                         "%zu tokens do not fit: the context holds %zu and has %zu already", n, s->kv.n_ctx,
                         s->length);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab)
            return error_set(e, LEAT_E_ARG, "token %zu is %d, not 0 .. %u", i, tokens[i], n_vocab - 1);
    return LEAT_OK;
}

/* One batch at position pos, its logits but for the last n_out left out. */
static leat_status pass(leat_session *s, const leat_token *tokens, size_t n, size_t pos, size_t n_out,
                        leat_error *e) {
    state_cache *state = &s->state;
    s->n_logits = 0;
    kv_advance(&s->kv, pos, n);
    runner_set_state(s->runner, state->side[state->now], state->side[state->now ^ 1]);
    leat_status st = runner_pass(s->runner, tokens, n, pos, n_out, &s->cancel, e);
    if (file_lost(s->model->file))
        return error_set(e, LEAT_E_IO,
                         "the model file was cut short or could not be read while it was in use");
    if (st) return st;
    memmove(s->tokens + pos, tokens, n * sizeof *tokens); /* when run once more, they lie there already */
    state_commit(state, n);
    if (state_due(state)) state_keep(state);
    return LEAT_OK;
}

/* Tokens of the next pass when there are n to go. */
static size_t pass_length(const leat_session *s, size_t n) {
    if (!s->even) return n < s->n_batch ? n : s->n_batch;
    size_t passes = (n + PASS_USUAL / 2 - 1) / PASS_USUAL;
    return passes > 1 ? (n + passes - 1) / passes : n;
}

/* Brings a recurrent state that had to go back further than the session to where that is. */
static leat_status catch_up(leat_session *s, leat_error *e) {
    leat_status st = LEAT_OK;
    while (!st && s->state.n_floats && s->state.length < s->length) {
        size_t at = s->state.length, n = pass_length(s, s->length - at);
        st = pass(s, s->tokens + at, n, at, 0, e);
    }
    return st;
}

static leat_status eval_batches(leat_session *s, const leat_token *tokens, size_t n,
                                leat_progress_fn *progress, void *user, leat_error *e) {
    for (size_t done = 0; done < n;) {
        size_t batch = pass_length(s, n - done);
        bool last = done + batch == n;
        size_t n_out = s->embeds ? 0 : !s->logits_all ? last : batch < s->n_out ? batch : s->n_out;
        leat_status st = pass(s, tokens + done, batch, s->length, n_out, e);
        if (st) return st;
        s->length += batch;
        s->n_logits = n_out;
        done += batch;
        if (progress && !progress(user, done, n) && done < n)
            return error_set(e, LEAT_E_CANCELLED, "evaluation was stopped after %zu of %zu tokens", done, n);
    }
    return LEAT_OK;
}

leat_status session_take(leat_session *s, leat_error *e) {
    if (!runner_here(s->runner))
        return error_set(e, LEAT_E_FORK,
                         "the session's threads stayed behind in the process that was forked: open another "
                         "session here");
    if (atomic_exchange_explicit(&s->busy, true, memory_order_acquire))
        return error_set(e, LEAT_E_BUSY, "the session is in use by another thread");
    return LEAT_OK;
}

void session_give(leat_session *s) {
    atomic_store_explicit(&s->busy, false, memory_order_release);
}

void session_forget(leat_session *s) {
    state_rewind(&s->state, 0);
    kv_rewind(&s->kv, 0);
    s->length = s->n_logits = 0;
}

leat_status session_eval(leat_session *s, const leat_token *tokens, size_t n, leat_progress_fn *progress,
                         void *user, leat_error *e) {
    leat_status st = session_take(s, e);
    if (st) return st;
    st = check_tokens(s, tokens, n, e);
    if (!st) st = catch_up(s, e);
    if (!st && n > 1) state_keep(&s->state); /* where a turn begins, a chat comes back to */
    if (!st) st = eval_batches(s, tokens, n, progress, user, e);
    if (!st && n > 1) state_keep(&s->state);
    if (st == LEAT_E_CANCELLED)
        atomic_store(&s->cancel, false); /* a cancel is used up by the eval that it ended */
    session_give(s);
    return st;
}

bool session_texts_alone(const leat_session *s) {
    return s->plan.state_floats || s->model->hp.latent.absorbed;
}

leat_status session_encode(leat_session *s, const leat_token *tokens, const span *texts, size_t n_texts,
                           size_t longest, const uint32_t *positions, leat_error *e) {
    size_t n = n_texts ? texts[n_texts - 1].first + texts[n_texts - 1].n : 0;
    leat_status st = check_tokens(s, tokens, n, e);
    if (st || !n) return st;
    session_forget(s);
    runner_set_spans(s->runner, texts, n_texts, longest, positions);
    st = pass(s, tokens, n, 0, 0, e);
    runner_set_spans(s->runner, NULL, 0, 0, NULL);
    if (st == LEAT_E_CANCELLED) atomic_store(&s->cancel, false);
    session_forget(s);
    return st;
}

leat_status session_encode_part(leat_session *s, const leat_token *tokens, size_t n, leat_error *e) {
    leat_status st = check_tokens(s, tokens, n, e);
    if (!st) st = pass(s, tokens, n, s->length, 0, e);
    if (!st) s->length += n;
    if (st == LEAT_E_CANCELLED) atomic_store(&s->cancel, false);
    return st;
}

const float *session_hidden(const leat_session *s, size_t token) {
    return runner_hidden(s->runner, token);
}

/* ---- the public functions of a session that only look or set ---- */

/* A recurrent state goes back as far as it must, and is brought forward by the next eval. */
static leat_status rewind_caches(leat_session *s, size_t length) {
    if (!s->state.n_floats) return kv_rewind(&s->kv, length) ? LEAT_OK : LEAT_E_STATE;
    state_rewind(&s->state, length);
    if (!kv_rewind(&s->kv, s->state.length)) { /* a window has moved on: all over again */
        state_rewind(&s->state, 0);
        kv_rewind(&s->kv, 0);
    }
    return LEAT_OK;
}

leat_status session_rewind(leat_session *s, size_t length) {
    leat_status st = length <= s->length ? LEAT_OK : LEAT_E_ARG;
    if (st || length == s->length) return st;
    if ((st = rewind_caches(s, length))) return st;
    s->length = length;
    s->n_logits = 0; /* they belong to a token that is gone */
    return LEAT_OK;
}

leat_status leat_session_rewind(leat_session *s, size_t length) {
    if (!s) return LEAT_E_ARG;
    leat_status st = session_take(s, NULL);
    if (st) return st;
    st = session_rewind(s, length);
    session_give(s);
    return st;
}

size_t leat_session_rewind_floor(const leat_session *s) {
    return s && !s->state.n_floats ? kv_rewind_floor(&s->kv, s->length) : 0;
}

const leat_token *leat_session_tokens(const leat_session *s, size_t *n) {
    if (n) *n = s ? s->length : 0;
    return s ? s->tokens : NULL;
}

size_t leat_session_length(const leat_session *s) {
    return s ? s->length : 0;
}
uint32_t leat_session_n_ctx(const leat_session *s) {
    return s ? (uint32_t)s->kv.n_ctx : 0;
}
uint32_t leat_session_threads(const leat_session *s) {
    return s ? runner_threads(s->runner, false) : 0;
}
uint32_t leat_session_threads_batch(const leat_session *s) {
    return s ? runner_threads(s->runner, true) : 0;
}
leat_model *leat_session_model(const leat_session *s) {
    return s ? s->model : NULL;
}
uint64_t leat_session_bytes(const leat_session *s) {
    return s ? s->kv.bytes + s->state.bytes + s->kv.n_ctx * sizeof *s->tokens + runner_bytes(s->runner) : 0;
}

void leat_session_get_memory(const leat_session *s, leat_session_memory *out) {
    if (!out) return;
    *out = (leat_session_memory){0};
    if (!s) return;
    const state_cache *c = &s->state;
    out->cache = s->kv.bytes + s->kv.n_ctx * sizeof *s->tokens;
    out->cache_used = kv_used(&s->kv, s->length) + s->length * sizeof *s->tokens;
    out->state = c->bytes;
    out->state_used = c->n_floats * sizeof(float) * (2 + c->n_copied);
    out->activations = runner_bytes(s->runner);
}

const float *leat_session_logits(const leat_session *s, size_t back) {
    if (!s || back >= s->n_logits) return NULL;
    return runner_logits(s->runner) + (s->n_logits - 1 - back) * s->model->hp.n_vocab;
}

void leat_session_cancel(leat_session *s) {
    if (s) atomic_store_explicit(&s->cancel, true, memory_order_relaxed);
}

uint32_t leat_threads_default(void) {
    return os_threads_default();
}
