/* Rounds are numbered by an event word: odd while a round is open. A worker joins by counting itself into
 * `inside` and then looking at the word again; the caller closes the round and then waits for `inside` to be
 * zero. Both sides use sequentially consistent order on the two words, so either the worker sees the round
 * closed or the caller sees the worker inside. */
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
    _Alignas(64) _Atomic uint32_t inside;
    _Atomic bool quit;
    pool_fn *fn;
    void *arg;
    uint32_t n; /* workers, the caller included */
    worker *workers;
    os_mark mark; /* of the process that has them */
};

enum {
    SPIN_PAUSES = 4096,   /* ~50 us: longer than a hand-off, shorter than a time slice */
    IDLE_TURNS = 20000,   /* turns between rounds before sleeping, some 200 us */
    STACK_BYTES = 1 << 20 /* kernels keep tiles of a few KiB on the stack */
};

void pool_spin(uint32_t turn) {
    if (turn < SPIN_PAUSES)
        os_cpu_pause();
    else
        sched_yield();
}

static void worker_main(void *arg) {
    worker *w = arg;
    pool *p = w->pool;
    uint32_t last = 0;
    os_fp old;
    os_fp_flush_denormals(&old);
    for (uint32_t turn = 0;;) {
        uint32_t now = atomic_load(&p->round.value);
        if (atomic_load_explicit(&p->quit, memory_order_acquire)) return;
        if (now % 2 == 0 || now == last) {
            if (turn++ < IDLE_TURNS)
                os_cpu_pause();
            else
                os_event_wait(&p->round, now);
            continue;
        }
        turn = 0;
        last = now;
        atomic_fetch_add(&p->inside, 1);
        if (atomic_load(&p->round.value) == now) p->fn(p->arg, w->index);
        atomic_fetch_sub(&p->inside, 1);
    }
}

leat_status pool_open(uint32_t n_threads, pool **out, leat_error *e) {
    *out = NULL;
    pool *p = mem_alloc(1, sizeof *p);
    if (!p) return error_set(e, LEAT_E_NOMEM, "out of memory for the worker threads");
    p->n = 1;
    p->workers = mem_alloc(n_threads, sizeof *p->workers);
    if (!p->workers || !os_mark_set(&p->mark) || !os_event_init(&p->round, 0)) {
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
        atomic_store_explicit(&p->quit, true, memory_order_release);
        atomic_fetch_add(&p->round.value, 2); /* stays even: nothing to join, but sleepers must look */
        os_event_wake_all(&p->round);
        for (uint32_t i = 1; i < p->n; i++) os_thread_join(&p->workers[i].thread);
        os_event_destroy(&p->round);
    }
    os_mark_clear(&p->mark);
    mem_free(p->workers);
    mem_free(p);
}

uint32_t pool_size(const pool *p) {
    return p->n;
}

void pool_run(pool *p, pool_fn *fn, void *arg) {
    os_fp old;
    os_fp_flush_denormals(&old);
    if (p->n > 1) {
        p->fn = fn;
        p->arg = arg;
        atomic_fetch_add(&p->round.value, 1);
        os_event_wake_all(&p->round);
    }
    fn(arg, 0);
    if (p->n > 1) {
        atomic_fetch_add(&p->round.value, 1);
        for (uint32_t turn = 0; atomic_load(&p->inside); turn++) pool_spin(turn);
    }
    os_fp_restore(&old);
}

bool pool_here(const pool *p) {
    return os_mark_here(&p->mark);
}
