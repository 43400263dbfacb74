/* Rounds are numbered by an event word: odd while a round is open. A worker joins by counting itself into
 * `inside` and then looking at the word again; the caller closes the round and then waits for `inside` to be
 * zero. Both sides use sequentially consistent order on the two words, so either the worker sees the round
 * closed or the caller sees the worker inside. A round is for the first `active` workers; the others sleep
 * until `grown` tells of a larger one, so that they neither spin nor are woken for nothing. */
#include "pool.h"

#include <sched.h>

#include "loader/alloc.h"
#include "os.h"

typedef struct worker {
    os_thread thread;
    pool *pool;
    uint32_t index;
} worker;

struct pool {
    os_event round;
    _Alignas(64) os_event inside; /* workers in the round */
    _Alignas(64) os_event grown;  /* times that `active` was raised */
    _Atomic uint32_t active;      /* changes between rounds only */
    _Atomic bool quit;
    pool_fn *fn;
    void *arg;
    uint32_t n;    /* workers, the caller included */
    uint32_t cpus; /* that they can have to themselves */
    worker *workers;
    os_mark mark; /* of the process that has them */
};

enum {
    IDLE_NS = 500000,     /* between rounds: the next token usually comes within that */
    CLOCK_TURNS = 16,     /* pauses per look at the clock: 0.2 to 0.8 us */
    YIELD_TURNS = 128,    /* pauses until others on this core are let through: 2 to 7 us */
    STACK_BYTES = 1 << 20 /* kernels keep tiles of a few KiB on the stack */
};

bool pool_spin(pool_wait *w, uint64_t budget_ns) {
    os_cpu_pause();
    if (++w->turn % CLOCK_TURNS) return true;
    if (w->turn >= YIELD_TURNS) sched_yield();
    uint64_t now = os_now_ns();
    if (w->turn == CLOCK_TURNS) w->since = now;
    return now - w->since < budget_ns;
}

uint64_t pool_patience(const pool *p) {
    return atomic_load_explicit(&p->active, memory_order_relaxed) > p->cpus ? POOL_CROWDED_NS : POOL_SPIN_NS;
}

/* Sleeps while the worker has no part in the rounds. */
static void stand_by(pool *p, uint32_t index) {
    for (;;) {
        uint32_t seen = atomic_load(&p->grown.value);
        if (index < atomic_load(&p->active) || atomic_load(&p->quit)) return;
        os_event_wait(&p->grown, seen);
    }
}

static void worker_main(void *arg) {
    worker *w = arg;
    pool *p = w->pool;
    uint32_t last = 0;
    os_fp old;
    os_fp_flush_denormals(&old);
    for (pool_wait wait = {0, 0};;) {
        uint32_t now = atomic_load(&p->round.value);
        if (atomic_load(&p->quit)) return;
        if (w->index >= atomic_load(&p->active)) {
            stand_by(p, w->index);
            wait.turn = 0;
            continue;
        }
        if (now % 2 == 0 || now == last) {
            if (!pool_spin(&wait, pool_patience(p) == POOL_SPIN_NS ? IDLE_NS : POOL_CROWDED_NS))
                os_event_wait(&p->round, now);
            continue;
        }
        wait.turn = 0;
        last = now;
        atomic_fetch_add(&p->inside.value, 1);
        if (atomic_load(&p->round.value) == now && w->index < atomic_load(&p->active))
            p->fn(p->arg, w->index);
        if (atomic_fetch_sub(&p->inside.value, 1) == 1) os_event_wake_all(&p->inside);
    }
}

static bool open_events(pool *p) {
    os_event *const events[] = {&p->round, &p->inside, &p->grown};
    size_t n = 0;
    while (n < sizeof events / sizeof *events && os_event_init(events[n], 0)) n++;
    if (n == sizeof events / sizeof *events) return true;
    while (n) os_event_destroy(events[--n]);
    return false;
}

leat_status pool_open(uint32_t n_threads, pool **out, leat_error *e) {
    *out = NULL;
    pool *p = mem_alloc(1, sizeof *p);
    if (!p) return error_set(e, LEAT_E_NOMEM, "out of memory for the worker threads");
    p->n = 1;
    p->cpus = os_threads_most();
    p->workers = mem_alloc(n_threads, sizeof *p->workers);
    if (!p->workers || !os_mark_set(&p->mark) || !open_events(p)) {
        os_mark_clear(&p->mark);
        mem_free(p->workers);
        mem_free(p);
        return error_set(e, LEAT_E_NOMEM, "out of memory for %u worker threads", n_threads);
    }
    while (p->n < n_threads) {
        worker *w = &p->workers[p->n];
        w->pool = p;
        w->index = p->n;
        if (!os_thread_create(&w->thread, worker_main, w, STACK_BYTES)) break;
        p->n++;
    }
    *out = p;
    return LEAT_OK;
}

void pool_close(pool *p) {
    if (!p) return;
    if (pool_here(p)) {
        atomic_store(&p->quit, true);
        atomic_fetch_add(&p->round.value, 2); /* stays even: nothing to join, but sleepers must look */
        os_event_wake_all(&p->round);
        atomic_fetch_add(&p->grown.value, 1);
        os_event_wake_all(&p->grown);
        for (uint32_t i = 1; i < p->n; i++) os_thread_join(&p->workers[i].thread);
        os_event_destroy(&p->round);
        os_event_destroy(&p->inside);
        os_event_destroy(&p->grown);
    }
    os_mark_clear(&p->mark);
    mem_free(p->workers);
    mem_free(p);
}

uint32_t pool_size(const pool *p) {
    return p->n;
}

/* The number of workers of the coming rounds. */
static void set_active(pool *p, uint32_t n) {
    uint32_t before = atomic_load_explicit(&p->active, memory_order_relaxed);
    if (n == before) return;
    atomic_store(&p->active, n);
    if (n < before) return;
    atomic_fetch_add(&p->grown.value, 1);
    os_event_wake_all(&p->grown);
}

void pool_run(pool *p, uint32_t n, pool_fn *fn, void *arg) {
    os_fp old;
    os_fp_flush_denormals(&old);
    if (n > p->n) n = p->n;
    set_active(p, n);
    if (n > 1) {
        p->fn = fn;
        p->arg = arg;
        atomic_fetch_add(&p->round.value, 1);
        os_event_wake_all(&p->round);
    }
    fn(arg, 0);
    if (n > 1) {
        atomic_fetch_add(&p->round.value, 1);
        uint32_t inside;
        for (pool_wait wait = {0, 0}; (inside = atomic_load(&p->inside.value));)
            if (!pool_spin(&wait, pool_patience(p))) os_event_wait(&p->inside, inside);
    }
    os_fp_restore(&old);
}

bool pool_here(const pool *p) {
    return os_mark_here(&p->mark);
}
