/* What the sampler remembers of the past, and the step that makes recent tokens less likely: repeat,
 * frequency and presence penalties. Counts are kept up to date as tokens come, so a step costs no more than
 * the window has tokens. Called by sample.c. */
#include "loader/alloc.h"
#include "loader/error.h"
#include "impl.h"

bool penalties_on(const leat_sampler_params *p) {
    return p->repeat_last_n != 0 &&
           (p->repeat_penalty < 1 || p->repeat_penalty > 1 || p->frequency_penalty < 0 ||
            p->frequency_penalty > 0 || p->presence_penalty < 0 || p->presence_penalty > 0);
}

bool dry_on(const leat_sampler_params *p) {
    return p->dry_last_n != 0 && p->dry_base >= 1 && (p->dry_multiplier < 0 || p->dry_multiplier > 0);
}

static size_t wanted(int32_t last_n, bool on, uint32_t n_ctx) {
    size_t n = !on ? 0 : last_n < 0 ? n_ctx : (size_t)last_n;
    return n < SAMPLE_HISTORY_MAX ? n : SAMPLE_HISTORY_MAX;
}

static leat_status reserve(leat_sampler *s, size_t capacity, leat_error *e) {
    int32_t *history = mem_alloc(capacity, sizeof *history);
    uint32_t *repeat = NULL, *touched = NULL;
    if (!history) goto fail;
    if (dry_on(&s->params)) {
        repeat = mem_alloc(capacity, sizeof *repeat);
        touched = mem_alloc(capacity, sizeof *touched);
        if (!repeat || !touched) goto fail;
    }
    size_t kept = s->history ? history_size(s) : 0;
    for (size_t i = 0; i < kept; i++) history[(s->n_accepted - 1 - i) % capacity] = history_back(s, i);
    mem_free(s->history);
    mem_free(s->dry.repeat);
    mem_free(s->dry.touched);
    s->history = history;
    s->dry.repeat = repeat;
    s->dry.touched = touched;
    s->history_capacity = capacity;
    return LEAT_OK;
fail:
    mem_free(history);
    mem_free(repeat);
    mem_free(touched);
    return error_set(e, LEAT_E_NOMEM, "out of memory for remembering %zu tokens", capacity);
}

static size_t capacity_for(const leat_sampler_params *p, uint32_t n_ctx) {
    size_t a = wanted(p->repeat_last_n, penalties_on(p), n_ctx), b = wanted(p->dry_last_n, dry_on(p), n_ctx);
    return a > b ? a : b;
}

leat_status history_open(leat_sampler *s, uint32_t n_ctx, leat_error *e) {
    const leat_sampler_params *p = &s->params;
    size_t capacity = capacity_for(p, n_ctx ? n_ctx : 4096);
    if (!capacity) return LEAT_OK;
    leat_status status = reserve(s, capacity, e);
    if (status || !penalties_on(p)) return status;
    s->last_use = mem_alloc(s->n_vocab, sizeof *s->last_use);
    s->occurrences = mem_alloc(s->n_vocab, sizeof *s->occurrences);
    if (!s->last_use || !s->occurrences)
        return error_set(e, LEAT_E_NOMEM, "out of memory for the penalties of %u tokens",
                         (unsigned)s->n_vocab);
    s->window = wanted(p->repeat_last_n, true, n_ctx ? n_ctx : 4096);
    return LEAT_OK;
}

leat_status history_context(leat_sampler *s, uint32_t n_ctx, leat_error *e) {
    const leat_sampler_params *p = &s->params;
    size_t capacity = capacity_for(p, n_ctx);
    if (capacity > s->history_capacity) {
        leat_status status = reserve(s, capacity, e);
        if (status) return status;
    }
    size_t window = wanted(p->repeat_last_n, penalties_on(p), n_ctx);
    if (!s->occurrences || window == s->window) return LEAT_OK;
    memset(s->occurrences, 0, s->n_vocab * sizeof *s->occurrences);
    s->window = window;
    for (size_t i = 0; i < window && i < history_size(s); i++) s->occurrences[history_back(s, i)]++;
    return LEAT_OK;
}

void history_close(leat_sampler *s) {
    mem_free(s->history);
    mem_free(s->last_use);
    mem_free(s->occurrences);
}

void history_reset(leat_sampler *s) {
    s->n_accepted = 0;
    if (s->last_use) memset(s->last_use, 0, s->n_vocab * sizeof *s->last_use);
    if (s->occurrences) memset(s->occurrences, 0, s->n_vocab * sizeof *s->occurrences);
}

void history_add(leat_sampler *s, int32_t token) {
    if (!s->history) return;
    if (s->occurrences && s->window) {
        if (s->n_accepted >= s->window) s->occurrences[history_back(s, s->window - 1)]--;
        s->occurrences[token]++;
        s->last_use[token] = s->n_accepted + 1;
    }
    s->history[s->n_accepted % s->history_capacity] = token;
    s->n_accepted++;
}

static float penalized(const leat_sampler_params *p, float logit, uint32_t count) {
    double x = (double)logit, repeat = (double)p->repeat_penalty;
    x = x > 0 ? x / repeat : x * repeat;
    x -= (double)count * (double)p->frequency_penalty + (double)p->presence_penalty;
    return sample_clamp(x);
}

void step_penalties(leat_sampler *s, sampler_set *set) {
    if (!s->occurrences) return;
    if (!set->dense) {
        for (size_t i = 0; i < set->n; i++) {
            uint32_t count = s->occurrences[set->c[i].id];
            if (count) set->c[i].logit = penalized(&s->params, set->c[i].logit, count);
        }
        set->sorted = false;
        return;
    }
    size_t n = history_size(s) < s->window ? history_size(s) : s->window;
    float *l = s->logits;
    for (size_t i = 0; i < n; i++) {
        int32_t token = history_back(s, i);
        if (s->last_use[token] != s->n_accepted - i) continue; /* seen already, at its last use */
        if (l[token] > -INFINITY) l[token] = penalized(&s->params, l[token], s->occurrences[token]);
    }
}
