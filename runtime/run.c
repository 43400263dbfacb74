/* The walk. Every worker goes through the same list of stages. Before a stage it waits for the one before it
 * to be complete, by that stage's counter of finished tiles. Then it takes tiles: each worker owns a range of
 * adjacent tiles and takes from its front, so that it streams through memory; who has none left takes from
 * the back of another's range. Tiles write disjoint outputs, so who took what does not show in the result,
 * and how many workers there are may change from one piece of the list to the next: so the best number is
 * found (tune.h). */
#include "run.h"

#include <string.h>

#include "loader/alloc.h"
#include "os.h"
#include "tune.h"

/* A worker's tiles of a stage, [next, end), packed so that taking is one compare-and-swap. */
typedef struct range {
    _Alignas(64) _Atomic uint64_t next_end;
} range;

struct runner {
    run run;
    pool *pool;
    uint32_t n_workers; /* at most; run.n_workers are those of the present piece */
    tuner one, many;
    scratch *scratch; /* (n_workers) */
    size_t stages_max;
    range *ranges;       /* (stages_max, n_workers) */
    os_event *done;      /* (stages_max) finished tiles */
    size_t n_events;     /* of them that are initialized */
    uint32_t *tiles;     /* (stages_max) */
    const stage *stages; /* of the present pass */
    size_t n_stages;
    size_t first, end; /* stages of the present piece */
    const atomic_bool *cancel;
    atomic_bool abandoned;
    char *memory; /* everything that is sized by the plan */
    size_t bytes;
};

static uint64_t pack(uint32_t next, uint32_t end) {
    return (uint64_t)end << 32 | next;
}

/* One tile from a range, its first or its last; UINT32_MAX when it is empty. */
static uint32_t take(range *r, bool front) {
    uint64_t v = atomic_load_explicit(&r->next_end, memory_order_relaxed);
    for (;;) {
        uint32_t next = (uint32_t)v, end = (uint32_t)(v >> 32);
        if (next >= end) return UINT32_MAX;
        uint64_t less = front ? pack(next + 1, end) : pack(next, end - 1);
        if (atomic_compare_exchange_weak_explicit(&r->next_end, &v, less, memory_order_relaxed,
                                                  memory_order_relaxed))
            return front ? next : end - 1;
    }
}

static uint32_t take_any(runner *r, size_t stage_index, uint32_t me) {
    range *ranges = r->ranges + stage_index * r->n_workers;
    size_t n = r->run.n_workers;
    uint32_t tile = take(&ranges[me], true);
    for (size_t i = 1; tile == UINT32_MAX && i < n; i++) tile = take(&ranges[(me + i) % n], false);
    return tile;
}

static bool given_up(runner *r) {
    if (atomic_load_explicit(r->cancel, memory_order_relaxed))
        atomic_store_explicit(&r->abandoned, true, memory_order_relaxed);
    return atomic_load_explicit(&r->abandoned, memory_order_relaxed);
}

/* False when the pass was abandoned meanwhile. */
static bool wait_done(runner *r, size_t stage_index) {
    os_event *done = &r->done[stage_index];
    uint64_t patience = pool_patience(r->pool);
    for (pool_wait wait = {0, 0};;) {
        uint32_t n = atomic_load_explicit(&done->value, memory_order_acquire);
        if (n == r->tiles[stage_index]) return true;
        if (wait.turn % 64 == 63 && given_up(r)) return false;
        if (pool_spin(&wait, patience)) continue;
        if (given_up(r)) return false;
        os_event_wait(done, n);
    }
}

/* Sleepers wait for a stage to be complete, or for the pass to be over early. */
static void add_done(runner *r, size_t stage_index, uint32_t finished) {
    os_event *done = &r->done[stage_index];
    if (atomic_fetch_add(&done->value, finished) + finished == r->tiles[stage_index]) os_event_wake_all(done);
}

/* A stage that somebody leaves before its end is never complete. Whoever sleeps until it is must be told: the
 * count becomes one that no stage has. */
static void abandon(runner *r, size_t stage_index) {
    atomic_fetch_or(&r->done[stage_index].value, (uint32_t)1 << 31);
    os_event_wake_all(&r->done[stage_index]);
}

static void walk(void *arg, uint32_t me) {
    runner *r = arg;
    scratch *w = &r->scratch[me];
    size_t before = SIZE_MAX;
    w->prepared = NULL;
    for (size_t i = r->first; i < r->end; i++) {
        if (!r->tiles[i]) continue;
        if (before != SIZE_MAX && !wait_done(r, before)) return;
        uint32_t finished = 0, tile;
        while ((tile = take_any(r, i, me)) != UINT32_MAX) {
            if (given_up(r)) {
                abandon(r, i);
                return;
            }
            r->stages[i].tile(&r->stages[i], &r->run, w, tile);
            finished++;
        }
        if (finished) add_done(r, i, finished);
        before = i;
    }
    if (me == 0 && before != SIZE_MAX) wait_done(r, before);
}
/* A piece of a pass ends before a stage where a layer turns from feeding forward to mixing tokens: pieces are
 * alike where layers are. */
static bool begins_piece(const stage *s) {
    static stage_tile_fn *const first[] = {attention_one_tile, append_tile, latent_prepare_tile, conv_tile};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (s->tile == first[i]) return true;
    return false;
}

/* Stages first .. end with n workers; how long they took. */
static uint64_t run_piece(runner *r, size_t first, size_t end, uint32_t n) {
    uint64_t start = os_now_ns();
    r->run.n_workers = n;
    r->first = first;
    r->end = end;
    for (size_t i = first; i < end; i++) {
        uint64_t tiles = r->stages[i].tiles(&r->stages[i], &r->run);
        r->tiles[i] = (uint32_t)tiles;
        atomic_store_explicit(&r->done[i].value, 0, memory_order_relaxed);
        for (uint32_t w = 0; w < n; w++)
            atomic_store_explicit(&r->ranges[i * r->n_workers + w].next_end,
                                  pack((uint32_t)(tiles * w / n), (uint32_t)(tiles * (w + 1) / n)),
                                  memory_order_relaxed);
    }
    pool_run(r->pool, n, walk, r);
    return os_now_ns() - start;
}

static void run_pieces(runner *r, tuner *t) {
    bool trying = tuner_pass(t, r->run.n_tokens);
    for (size_t first = 0, end; first < r->n_stages && !atomic_load(&r->abandoned); first = end) {
        end = trying ? first + 1 : r->n_stages;
        while (end < r->n_stages && !begins_piece(&r->stages[end])) end++;
        uint64_t ns = run_piece(r, first, end, tuner_next(t));
        if (!trying || (first > 0 && end < r->n_stages)) /* the ends hold more than a layer */
            tuner_took(t, ns);
    }
}

leat_status runner_pass(runner *r, const int32_t *tokens, size_t n_tokens, size_t pos, size_t n_out,
                        const atomic_bool *cancel, leat_error *e) {
    const plan *p = r->run.plan;
    r->run.tokens = tokens;
    r->run.n_tokens = n_tokens;
    r->run.pos = pos;
    r->run.n_out = n_out;
    /* what a text becomes is not to depend on those beside it: embeddings have one way only; so have
     * observers */
    bool one = n_tokens == 1 && !p->embeds && !p->observed;
    r->stages = one ? p->one : p->many;
    r->n_stages = one ? p->n_one : p->n_many;
    r->cancel = cancel;
    atomic_store_explicit(&r->abandoned, false, memory_order_relaxed);
    for (uint32_t w = 0; w < r->n_workers; w++) r->scratch[w].non_finite = false;
    run_pieces(r, one ? &r->one : &r->many);
    if (atomic_load(&r->abandoned)) return error_set(e, LEAT_E_CANCELLED, "evaluation was cancelled");
    for (uint32_t w = 0; w < r->n_workers; w++)
        if (r->scratch[w].non_finite)
            return error_set(e, LEAT_E_NUMERIC,
                             "the logits at position %zu are not finite numbers: the weights are damaged",
                             pos + n_tokens - 1);
    return LEAT_OK;
}

void runner_set_state(runner *r, const float *state, float *next) {
    r->run.state = state;
    r->run.next = next;
}

void runner_set_spans(runner *r, const span *spans, size_t n, size_t longest, const uint32_t *positions) {
    r->run.spans = spans;
    r->run.n_spans = n;
    r->run.longest = longest;
    r->run.positions = positions;
}

const float *runner_hidden(const runner *r, size_t token) {
    return buf_row(&r->run, r->run.plan->hidden, token);
}
const float *runner_logits(const runner *r) {
    return r->run.logits;
}
uint32_t runner_threads(const runner *r, bool many) {
    return tuner_best(many ? &r->many : &r->one);
}
size_t runner_bytes(const runner *r) {
    return r->bytes;
}

/* ---- memory: one block, handed out in pieces. With base == NULL the same walk only measures. ---- */

typedef struct arena {
    char *base;
    size_t used;
    bool overflow;
} arena;

static void *carve(arena *a, size_t count, size_t size) {
    size_t bytes, end;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 128 ||
        __builtin_add_overflow(a->used, (bytes + 63) / 64 * 64, &end)) {
        a->overflow = true;
        return NULL;
    }
    char *p = a->base ? a->base + a->used : NULL;
    a->used = end;
    return p;
}

/* The widest row in a form, given by the types' own forms; 0: never needed. With tiles every quantized matrix
 * may be multiplied with the one form that they take. */
static size_t widest(const kernels *k, const size_t cols[ACT_COUNT], int kind, size_t n_batch) {
    if (kind != ACT_BF16) return cols[kind];
    if (!gemm_has_tiles(k, n_batch)) return 0;
    return cols[ACT_Q8_32] > cols[ACT_Q8_256] ? cols[ACT_Q8_32] : cols[ACT_Q8_256];
}

/* Rows of activations in each form. */
static void carve_rows(arena *a, const kernels *k, const size_t cols[ACT_COUNT], size_t n_batch,
                       size_t n_rows, char *rows[ACT_COUNT]) {
    for (int kind = 0; kind < ACT_COUNT; kind++) {
        size_t width = widest(k, cols, kind, n_batch);
        if (width) rows[kind] = carve(a, n_rows, act_row_bytes((act_kind)kind, width));
    }
}

/* What experts need of a pass of many tokens, and of a worker. */
static void lay_out_moe_pass(moe_pass *m, const moe_limits *l, arena *a, const kernels *k, size_t n_batch) {
    m->expert = carve(a, n_batch, l->n_used * sizeof *m->expert);
    m->weight = carve(a, n_batch, l->n_used * sizeof *m->weight);
    m->share = carve(a, n_batch, sizeof *m->share);
    m->first = carve(a, l->n_expert + (size_t)2, sizeof *m->first);
    m->token = carve(a, n_batch, l->n_used * sizeof *m->token);
    m->entry_weight = carve(a, n_batch, l->n_used * sizeof *m->entry_weight);
    carve_rows(a, k, l->act_cols, n_batch, n_batch * l->n_used, m->act);
    carve_rows(a, k, l->shared_cols, n_batch, n_batch, m->shared);
}

static void lay_out_moe_scratch(moe_scratch *m, const moe_limits *l, arena *a, const kernels *k) {
    m->sum = carve(a, TILE_ROWS_MAX, sizeof *m->sum);
    carve_rows(a, k, l->act_cols, 1, l->n_used, m->act);
}

static void lay_out(runner *r, const plan *p, arena *a, size_t n_batch, size_t n_out_max) {
    const kernels *k = r->run.k;
    r->run.buf = carve(a, p->n_bufs, sizeof *r->run.buf);
    for (size_t i = 0; i < p->n_bufs; i++) {
        float *buf = carve(a, n_batch, buf_stride(p->buf_width[i]) * sizeof(float));
        if (r->run.buf) r->run.buf[i] = buf;
    }
    bool many = n_batch > 1 || p->embeds;
    if (many) carve_rows(a, k, p->max_act_cols, n_batch, n_batch, r->run.act);
    if (p->moe.n_expert && many) lay_out_moe_pass(&r->run.moe, &p->moe, a, k, n_batch);
    r->run.cs[PLAN_ROPE] = carve(a, n_batch, p->hp->rope.n_dims * sizeof(float));
    r->run.cs[PLAN_ROPE_SWA] = carve(a, n_batch, p->hp->rope_swa.n_dims * sizeof(float));
    r->run.temperature = carve(a, n_batch, sizeof(float));
    r->run.logits = carve(a, n_out_max, p->hp->n_vocab * sizeof(float));
    r->stages_max = p->n_one > p->n_many ? p->n_one : p->n_many;
    r->ranges = carve(a, r->stages_max, r->n_workers * sizeof *r->ranges);
    r->done = carve(a, r->stages_max, sizeof *r->done);
    r->tiles = carve(a, r->stages_max, sizeof *r->tiles);
    r->scratch = carve(a, r->n_workers, sizeof *r->scratch);
    size_t pass = n_batch < k->pass_tokens ? n_batch : k->pass_tokens;
    for (uint32_t i = 0; i < r->n_workers; i++) {
        scratch s = {.row = carve(a, p->max_width, sizeof(float)),
                     .tile = carve(a, TILE_ROWS_MAX, sizeof(float)),
                     .panel = carve(a, 1, sizeof(panel)),
                     .c = carve(a, pass, k->pass_panels * PANEL_ROWS_MAX * sizeof(float)),
                     .c2 = carve(a, pass, k->pass_panels * PANEL_ROWS_MAX * sizeof(float)),
                     .attend = carve(a, 1, ATTEND_SCRATCH)};
        if (p->hp->both_ways) {
            s.rows_q = carve(a, ATTEND_ROWS_MAX, p->hp->head_dim_k * sizeof(float));
            s.rows_out = carve(a, ATTEND_ROWS_MAX, p->hp->head_dim_v * sizeof(float));
        }
        if (many) carve_rows(a, k, p->gather_cols, n_batch, pass, s.gathered);
        carve_rows(a, k, p->max_act_cols, 1, 1, s.act);
        if (p->moe.n_expert) lay_out_moe_scratch(&s.moe, &p->moe, a, k);
        if (r->scratch) r->scratch[i] = s;
    }
}

size_t runner_size(const plan *p, const kernels *k, size_t n_batch, size_t n_out_max, uint32_t n_threads) {
    runner r = {.run = {.k = k}, .n_workers = n_threads};
    arena a = {0};
    lay_out(&r, p, &a, n_batch, n_out_max);
    return a.overflow ? SIZE_MAX : a.used;
}

uint32_t run_threads_most(run_threads t) {
    uint32_t automatic = t.one && t.many ? 0 : os_threads_most();
    uint32_t one = t.one ? t.one : automatic, many = t.many ? t.many : automatic;
    return one > many ? one : many;
}

/* A fixed number, or 0: what is best of all that the machine and `limit` allow. */
static void start_tuner(tuner *t, uint32_t fixed, bool many, uint32_t limit) {
    uint32_t cores = os_threads_default(), most = os_threads_most();
    if (fixed) cores = most = fixed;
    if (most > limit) most = limit;
    if (cores > limit) cores = limit;
    /* Many tokens are a race against the multipliers, which the cores do not share: far fewer of them are
     * not worth trying, and a piece may take a tenth of a second. */
    uint32_t least = fixed ? fixed : many ? cores - cores / 4 : 1;
    tuner_start(t, least < cores ? least : cores, cores, most);
}

leat_status runner_open(const plan *p, const kernels *k, const rope_table *rope, const kv_cache *kv,
                        size_t n_batch, size_t n_out_max, run_threads threads, runner **out, leat_error *e) {
    *out = NULL;
    runner *r = mem_alloc(1, sizeof *r);
    if (!r) return error_set(e, LEAT_E_NOMEM, "out of memory for a session");
    r->run = (run){.plan = p, .n_batch = n_batch, .k = k, .rope = rope, .kv = kv};
    leat_status s = pool_open(run_threads_most(threads), &r->pool, e);
    if (s) goto fail;
    r->n_workers = pool_size(r->pool);
    start_tuner(&r->one, threads.one, false, r->n_workers);
    start_tuner(&r->many, threads.many, true, r->n_workers);
    r->bytes = runner_size(p, k, n_batch, n_out_max, r->n_workers);
    r->memory = r->bytes == SIZE_MAX ? NULL : mem_alloc(r->bytes, 1);
    if (!r->memory) {
        s = error_set(e, LEAT_E_NOMEM, "out of memory for the activations of batches of %zu tokens (%zu MiB)",
                      n_batch, r->bytes >> 20);
        goto fail;
    }
    arena a = {.base = r->memory};
    lay_out(r, p, &a, n_batch, n_out_max);
    while (r->n_events < r->stages_max && os_event_init(&r->done[r->n_events], 0)) r->n_events++;
    if (r->n_events < r->stages_max) {
        s = error_set(e, LEAT_E_NOMEM, "out of memory for a session");
        goto fail;
    }
    *out = r;
    return LEAT_OK;
fail:
    runner_close(r);
    return s;
}

void runner_close(runner *r) {
    if (!r) return;
    pool_close(r->pool);
    while (r->n_events) os_event_destroy(&r->done[--r->n_events]);
    mem_free(r->memory);
    mem_free(r);
}

bool runner_here(const runner *r) {
    return pool_here(r->pool);
}

void runner_put_logits(runner *r, const void *row) {
    memcpy(r->run.logits, row, r->run.plan->hp->n_vocab * sizeof(float));
}
