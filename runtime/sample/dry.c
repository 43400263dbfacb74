/* The step `dry` (Don't Repeat Yourself): a token that would go on with a sequence that the text has had
 * before is made less likely, the more the longer the sequence is. Sequences don't reach across breakers
 * (line ends, quotes, ...). Which tokens hold a breaker, or start one that the next tokens finish, is worked
 * out once, by dry_open. A step is linear in the window. Called by sample.c. */
#include <stdlib.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "impl.h"

enum { WHOLE = 1, HEAD = 2 };

static bool contains(str text, const char *p, size_t n) {
    for (size_t i = 0; i + n <= text.n; i++)
        if (!memcmp(text.p + i, p, n)) return true;
    return false;
}

static int by_token(const void *a, const void *b) {
    const dry_head *x = a, *y = b;
    if (x->token != y->token) return x->token < y->token ? -1 : 1;
    return (x->tail > y->tail) - (x->tail < y->tail);
}

/* The tokens of what is left of a breaker after its first `from` bytes; its index in tails. */
static leat_status add_tail(leat_sampler *s, const vocab *v, const char *p, size_t n, uint32_t *index,
                            leat_error *e) {
    dry_state *d = &s->dry;
    int32_t tokens[DRY_BREAKER_BYTES * 4 + 4];
    size_t count = 0;
    leat_status status = vocab_tokenize(v, p, n, 0, tokens, sizeof tokens / sizeof *tokens, &count, e);
    if (status) return status;
    if (count > DRY_TAIL_TOKENS) count = DRY_TAIL_TOKENS;
    *index = (uint32_t)d->n_tails;
    memcpy(d->tails[d->n_tails], tokens, count * sizeof *tokens);
    d->tail_length[d->n_tails++] = (uint8_t)count;
    return LEAT_OK;
}

/* Marks the tokens that hold the breaker; with `heads`, writes those whose end is a beginning of it. Returns
 * how many the latter are. */
static size_t scan_breaker(leat_sampler *s, const vocab *v, const char *p, size_t n, dry_head *heads,
                           const uint32_t *tails) {
    size_t found = 0;
    for (uint32_t t = 0; t < s->n_vocab; t++) {
        str text = vocab_piece(v, (int32_t)t, true);
        if (contains(text, p, n)) {
            s->dry.kind[t] |= WHOLE;
            continue;
        }
        for (size_t k = 1; k < n && k <= text.n; k++) {
            if (memcmp(text.p + text.n - k, p, k)) continue;
            if (heads) heads[found] = (dry_head){t, tails[k]};
            s->dry.kind[t] |= HEAD;
            found++;
        }
    }
    return found;
}

static leat_status add_breaker(leat_sampler *s, const vocab *v, const char *p, size_t n, leat_error *e) {
    dry_state *d = &s->dry;
    uint32_t tails[DRY_BREAKER_BYTES] = {0};
    leat_status status = LEAT_OK;
    for (size_t k = 1; k < n && !status; k++) status = add_tail(s, v, p + k, n - k, &tails[k], e);
    if (status) return status;
    size_t found = scan_breaker(s, v, p, n, NULL, tails);
    if (!found) return LEAT_OK;
    dry_head *heads = mem_resize(d->heads, d->n_heads, d->n_heads + found, sizeof *heads);
    if (!heads) return error_set(e, LEAT_E_NOMEM, "out of memory for sequence breakers");
    d->heads = heads;
    d->n_heads += scan_breaker(s, v, p, n, heads + d->n_heads, tails);
    return LEAT_OK;
}

leat_status dry_open(leat_sampler *s, const vocab *v, const leat_sampler_params *p, leat_error *e) {
    dry_state *d = &s->dry;
    if (!dry_on(p)) return LEAT_OK;
    d->kind = mem_alloc(s->n_vocab, sizeof *d->kind);
    d->longest = mem_alloc(s->n_vocab, sizeof *d->longest);
    d->tails = mem_alloc(p->n_dry_breakers * DRY_BREAKER_BYTES, sizeof *d->tails);
    d->tail_length = mem_alloc(p->n_dry_breakers * DRY_BREAKER_BYTES, sizeof *d->tail_length);
    if (!d->kind || !d->longest || !d->tails || !d->tail_length)
        return error_set(e, LEAT_E_NOMEM, "out of memory for the dry sampler of %u tokens",
                         (unsigned)s->n_vocab);
    for (size_t i = 0; i < p->n_dry_breakers && v; i++) {
        size_t n = strlen(p->dry_breakers[i]);
        leat_status status =
            add_breaker(s, v, p->dry_breakers[i], n < DRY_BREAKER_BYTES ? n : DRY_BREAKER_BYTES, e);
        if (status) return status;
    }
    if (d->n_heads) qsort(d->heads, d->n_heads, sizeof *d->heads, by_token);
    return LEAT_OK;
}

void dry_close(leat_sampler *s) {
    mem_free(s->dry.kind);
    mem_free(s->dry.heads);
    mem_free(s->dry.tails);
    mem_free(s->dry.tail_length);
    mem_free(s->dry.repeat);
    mem_free(s->dry.longest);
    mem_free(s->dry.touched);
}

/* Length of the longest tail that follows the i-th last token and makes a breaker whole; -1: none. */
static int breaker_at(const leat_sampler *s, size_t i) {
    const dry_state *d = &s->dry;
    uint32_t token = (uint32_t)history_back(s, i);
    int longest = d->kind[token] & WHOLE ? 0 : -1;
    if (!(d->kind[token] & HEAD)) return longest;
    size_t low = 0, high = d->n_heads;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (d->heads[mid].token < token)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < d->n_heads && d->heads[low].token == token; low++) {
        const int32_t *tail = d->tails[d->heads[low].tail];
        size_t n = d->tail_length[d->heads[low].tail], k = 0;
        if (n > i || (int)n <= longest) continue;
        while (k < n && history_back(s, i - k - 1) == tail[k]) k++;
        if (k == n) longest = (int)n;
    }
    return longest;
}

/* repeat[k]: how many of the last tokens, at most `limit`, also stand k tokens earlier. (The Z-algorithm, on
 * the text read backwards.) */
static void find_repeats(leat_sampler *s, size_t n, uint32_t limit) {
    uint32_t *repeat = s->dry.repeat;
    size_t left = 0, right = 0; /* the stretch [left, right) is known to equal the beginning */
    repeat[0] = 0;
    for (size_t k = 1; k < n; k++) {
        size_t z = 0;
        if (k < right) {
            /* what is cut to the limit says no less than the limit, and more is not asked for */
            z = repeat[k - left];
            if (z >= right - k) z = right - k;
        }
        if (k + z >= right && z < limit)
            while (z < limit && k + z < n && history_back(s, z) == history_back(s, k + z)) z++;
        if (k + z > right) {
            left = k;
            right = k + z;
        }
        repeat[k] = (uint32_t)z;
    }
}

void step_dry(leat_sampler *s, sampler_set *set, uint32_t n_ctx) {
    const leat_sampler_params *p = &s->params;
    dry_state *d = &s->dry;
    if (!d->longest) return;
    size_t n = p->dry_last_n < 0 ? n_ctx : (size_t)p->dry_last_n;
    uint32_t allowed = (uint32_t)(p->dry_allowed_length > 0 ? p->dry_allowed_length : 0);
    if (n > history_size(s)) n = history_size(s);
    if (n <= allowed) return;
    size_t limit = n;
    for (size_t i = 0; i < n; i++) {
        int tail = breaker_at(s, i);
        if (tail < 0) continue;
        limit = i - (size_t)tail;
        break;
    }
    if (limit < allowed) return;

    find_repeats(s, n, (uint32_t)limit);
    size_t n_touched = 0;
    for (size_t k = 1; k < n; k++) {
        uint32_t token = (uint32_t)history_back(s, k - 1), length = d->repeat[k];
        if (length < allowed || d->kind[token] & WHOLE) continue;
        if (!d->longest[token]) d->touched[n_touched++] = token;
        if (d->longest[token] <= length) d->longest[token] = length + 1; /* so that 0 is none */
    }
    double most = p->dry_base > 1.000001f ? floor(88.7228391 / log((double)p->dry_base)) : 0;
    double multiplier = (double)p->dry_multiplier, base = (double)p->dry_base;
    for (size_t i = 0; !set->dense && i < set->n; i++) {
        uint32_t length = d->longest[set->c[i].id];
        if (!length) continue;
        double over = (double)(length - 1 - allowed);
        set->c[i].logit = sample_clamp((double)set->c[i].logit -
                                       multiplier * pow(base, most > 0 && over > most ? most : over));
        set->sorted = false;
    }
    for (size_t i = 0; i < n_touched; i++) {
        uint32_t token = d->touched[i];
        double over = (double)(d->longest[token] - 1 - allowed);
        if (set->dense && s->logits[token] > -INFINITY)
            s->logits[token] = sample_clamp((double)s->logits[token] -
                                            multiplier * pow(base, most > 0 && over > most ? most : over));
        d->longest[token] = 0;
    }
}
