/* The walk. Every worker goes through the same list of stages. Before a stage it waits for the one before it
 * to be complete, by that stage's counter of finished tiles. Then it takes tiles: each worker owns a range of
 * adjacent tiles and takes from its front, so that it streams through memory; who has none left takes from
 * the back of another's range. Tiles write disjoint outputs, so who took what does not show in the result. */
#include "run.h"

#include <string.h>

#include "loader/alloc.h"

/* A worker's tiles of a stage, [next, end), packed so that taking is one compare-and-swap. */
typedef struct range {
    _Alignas(64) _Atomic uint64_t next_end;
} range;

struct runner {
    run run;
    pool *pool;
    uint32_t n_workers;
    scratch *scratch; /* (n_workers) */
    size_t stages_max;
    range *ranges;          /* (stages_max, n_workers) */
    _Atomic uint32_t *done; /* (stages_max) finished tiles */
    uint32_t *tiles;        /* (stages_max) */
    const stage *stages;    /* of the present pass */
    size_t n_stages;
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
    uint32_t tile = take(&ranges[me], true);
    for (uint32_t i = 1; tile == UINT32_MAX && i < r->n_workers; i++)
        tile = take(&ranges[(me + i) % r->n_workers], false);
    return tile;
}

static bool given_up(runner *r) {
    if (atomic_load_explicit(r->cancel, memory_order_relaxed))
        atomic_store_explicit(&r->abandoned, true, memory_order_relaxed);
    return atomic_load_explicit(&r->abandoned, memory_order_relaxed);
}

/* False when the pass was abandoned meanwhile. */
static bool wait_done(runner *r, size_t stage_index) {
    for (uint32_t turn = 0;; turn++) {
        if (atomic_load_explicit(&r->done[stage_index], memory_order_acquire) == r->tiles[stage_index])
            return true;
        if (turn % 64 == 63 && given_up(r)) return false;
        pool_spin(turn);
    }
}

static void walk(void *arg, uint32_t me) {
    runner *r = arg;
    scratch *w = &r->scratch[me];
    size_t before = SIZE_MAX;
    w->prepared = NULL;
    for (size_t i = 0; i < r->n_stages; i++) {
        if (!r->tiles[i]) continue;
        if (before != SIZE_MAX && !wait_done(r, before)) return;
        uint32_t finished = 0, tile;
        while ((tile = take_any(r, i, me)) != UINT32_MAX) {
            if (given_up(r)) return;
            r->stages[i].tile(&r->stages[i], &r->run, w, tile);
            finished++;
        }
        if (finished) atomic_fetch_add_explicit(&r->done[i], finished, memory_order_release);
        before = i;
    }
    if (me == 0 && before != SIZE_MAX) wait_done(r, before);
}

leat_status runner_pass(runner *r, const int32_t *tokens, size_t n_tokens, size_t pos, size_t n_out,
                        const atomic_bool *cancel, leat_error *e) {
    const plan *p = r->run.plan;
    r->run.tokens = tokens;
    r->run.n_tokens = n_tokens;
    r->run.pos = pos;
    r->run.n_out = n_out;
    bool one = n_tokens == 1 && !p->observed;
    r->stages = one ? p->one : p->many;
    r->n_stages = one ? p->n_one : p->n_many;
    r->cancel = cancel;
    atomic_store_explicit(&r->abandoned, false, memory_order_relaxed);
    for (size_t i = 0; i < r->n_stages; i++) {
        uint64_t n = r->stages[i].tiles(&r->stages[i], &r->run);
        r->tiles[i] = (uint32_t)n;
        atomic_store_explicit(&r->done[i], 0, memory_order_relaxed);
        for (uint32_t w = 0; w < r->n_workers; w++)
            atomic_store_explicit(
                &r->ranges[i * r->n_workers + w].next_end,
                pack((uint32_t)(n * w / r->n_workers), (uint32_t)(n * (w + 1) / r->n_workers)),
                memory_order_relaxed);
    }
    for (uint32_t w = 0; w < r->n_workers; w++) r->scratch[w].non_finite = false;
    pool_run(r->pool, walk, r);
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

const float *runner_logits(const runner *r) {
    return r->run.logits;
}
uint32_t runner_threads(const runner *r) {
    return r->n_workers;
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

/* What experts need of a pass of many tokens, and of a worker. */
static void lay_out_moe_pass(moe_pass *m, const moe_limits *l, arena *a, size_t n_batch) {
    m->expert = carve(a, n_batch, l->n_used * sizeof *m->expert);
    m->weight = carve(a, n_batch, l->n_used * sizeof *m->weight);
    m->share = carve(a, n_batch, sizeof *m->share);
    m->first = carve(a, l->n_expert + (size_t)2, sizeof *m->first);
    m->token = carve(a, n_batch, l->n_used * sizeof *m->token);
    m->entry_weight = carve(a, n_batch, l->n_used * sizeof *m->entry_weight);
    for (int kind = 0; kind < ACT_COUNT; kind++) {
        if (l->act_cols[kind])
            m->act[kind] = carve(a, n_batch, l->n_used * act_row_bytes((act_kind)kind, l->act_cols[kind]));
        if (l->shared_cols[kind])
            m->shared[kind] = carve(a, n_batch, act_row_bytes((act_kind)kind, l->shared_cols[kind]));
    }
}

static void lay_out_moe_scratch(moe_scratch *m, const moe_limits *l, arena *a) {
    m->sum = carve(a, TILE_ROWS_MAX, sizeof *m->sum);
    for (int kind = 0; kind < ACT_COUNT; kind++) {
        if (l->act_cols[kind])
            m->act[kind] = carve(a, l->n_used, act_row_bytes((act_kind)kind, l->act_cols[kind]));
    }
}

static void lay_out(runner *r, const plan *p, arena *a, size_t n_batch, size_t n_out_max) {
    r->run.buf = carve(a, p->n_bufs, sizeof *r->run.buf);
    for (size_t i = 0; i < p->n_bufs; i++) {
        float *buf = carve(a, n_batch, buf_stride(p->buf_width[i]) * sizeof(float));
        if (r->run.buf) r->run.buf[i] = buf;
    }
    for (int kind = 0; kind < ACT_COUNT; kind++)
        if (p->max_act_cols[kind] && n_batch > 1)
            r->run.act[kind] = carve(a, n_batch, act_row_bytes((act_kind)kind, p->max_act_cols[kind]));
    if (p->moe.n_expert && n_batch > 1) lay_out_moe_pass(&r->run.moe, &p->moe, a, n_batch);
    r->run.cs[PLAN_ROPE] = carve(a, n_batch, p->hp->rope.n_dims * sizeof(float));
    r->run.cs[PLAN_ROPE_SWA] = carve(a, n_batch, p->hp->rope_swa.n_dims * sizeof(float));
    r->run.temperature = carve(a, n_batch, sizeof(float));
    r->run.logits = carve(a, n_out_max, p->hp->n_vocab * sizeof(float));
    r->stages_max = p->n_one > p->n_many ? p->n_one : p->n_many;
    r->ranges = carve(a, r->stages_max, r->n_workers * sizeof *r->ranges);
    r->done = carve(a, r->stages_max, sizeof *r->done);
    r->tiles = carve(a, r->stages_max, sizeof *r->tiles);
    r->scratch = carve(a, r->n_workers, sizeof *r->scratch);
    size_t pass = n_batch < PASS_TOKENS ? n_batch : PASS_TOKENS;
    for (uint32_t i = 0; i < r->n_workers; i++) {
        scratch s = {.row = carve(a, p->max_width, sizeof(float)),
                     .tile = carve(a, TILE_ROWS_MAX, sizeof(float)),
                     .panel = carve(a, 1, sizeof(panel)),
                     .c = carve(a, pass, GEMM_PANELS * PANEL_ROWS_MAX * sizeof(float)),
                     .c2 = carve(a, pass, GEMM_PANELS * PANEL_ROWS_MAX * sizeof(float)),
                     .attend = carve(a, 1, ATTEND_SCRATCH)};
        for (int kind = 0; kind < ACT_COUNT; kind++)
            if (p->gather_cols[kind] && n_batch > 1)
                s.gathered[kind] = carve(a, pass, act_row_bytes((act_kind)kind, p->gather_cols[kind]));
        for (int kind = 0; kind < ACT_COUNT; kind++)
            if (p->max_act_cols[kind])
                s.act[kind] = carve(a, 1, act_row_bytes((act_kind)kind, p->max_act_cols[kind]));
        if (p->moe.n_expert) lay_out_moe_scratch(&s.moe, &p->moe, a);
        if (r->scratch) r->scratch[i] = s;
    }
}

size_t runner_size(const plan *p, size_t n_batch, size_t n_out_max, uint32_t n_threads) {
    runner r = {.n_workers = n_threads};
    arena a = {0};
    lay_out(&r, p, &a, n_batch, n_out_max);
    return a.overflow ? SIZE_MAX : a.used;
}

leat_status runner_open(const plan *p, const kernels *k, const rope_table *rope, const kv_cache *kv,
                        size_t n_batch, size_t n_out_max, uint32_t n_threads, runner **out, leat_error *e) {
    *out = NULL;
    runner *r = mem_alloc(1, sizeof *r);
    if (!r) return error_set(e, LEAT_E_NOMEM, "out of memory for a session");
    r->run = (run){.plan = p, .k = k, .rope = rope, .kv = kv};
    leat_status s = pool_open(n_threads, &r->pool, e);
    if (s) goto fail;
    r->n_workers = pool_size(r->pool);
    r->run.n_workers = r->n_workers;
    r->bytes = runner_size(p, n_batch, n_out_max, r->n_workers);
    r->memory = r->bytes == SIZE_MAX ? NULL : mem_alloc(r->bytes, 1);
    if (!r->memory) {
        s = error_set(e, LEAT_E_NOMEM, "out of memory for the activations of batches of %zu tokens (%zu MiB)",
                      n_batch, r->bytes >> 20);
        goto fail;
    }
    arena a = {.base = r->memory};
    lay_out(r, p, &a, n_batch, n_out_max);
    *out = r;
    return LEAT_OK;
fail:
    runner_close(r);
    return s;
}

void runner_close(runner *r) {
    if (!r) return;
    pool_close(r->pool);
    mem_free(r->memory);
    mem_free(r);
}
