/* The worker threads of a session. A pool sleeps until pool_run opens a round; workers that are awake join
 * it, and the caller works along as worker 0. Nobody waits for a worker that has not joined, so a core that
 * is busy with something else costs its share of the work and no more. Whoever waits spins for a moment, then
 * sleeps: the core that it leaves may be the one that the thread it waits for needs, and an idle session uses
 * no CPU. */
#ifndef LEAT_RUNTIME_POOL_H
#define LEAT_RUNTIME_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/error.h"

typedef struct pool pool;
typedef void pool_fn(void *arg, uint32_t worker);

/* Starts n_threads - 1 threads. Gets along with fewer when the system refuses more: pool_size says how many
 * work. */
leat_status pool_open(uint32_t n_threads, pool **out, leat_error *e);
void pool_close(pool *p); /* NULL is fine */
/* False in a child that fork made: there are no threads there, and nothing but pool_close may be called. */
bool pool_here(const pool *p);
uint32_t pool_size(const pool *p);

/* Runs fn(arg, worker) on the caller and on those of the first n workers that join; returns when all who
 * joined are done. fn must be able to finish the work with any set of workers that includes worker 0. */
void pool_run(pool *p, uint32_t n, pool_fn *fn, void *arg);

/* A wait that should be short; starts as {0, 0}. pool_spin pauses the core for a turn; false when budget_ns
 * have gone by and it is time to sleep. */
typedef struct pool_wait {
    uint32_t turn;
    uint64_t since;
} pool_wait;
bool pool_spin(pool_wait *w, uint64_t budget_ns);

/* How long to spin in the present round before sleeping: a few times what being woken costs, or next to
 * nothing where there are more workers than processors and spinning keeps the others from their work. */
enum { POOL_SPIN_NS = 100000, POOL_CROWDED_NS = 2000 };
uint64_t pool_patience(const pool *p);

#endif
