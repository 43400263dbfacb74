/* The worker threads of a session. A pool sleeps until pool_run opens a round; workers that are awake join
 * it, and the caller works along as worker 0. Nobody waits for a worker that has not joined, so a core that
 * is busy with something else costs its share of the work and no more. Between rounds workers spin for a
 * moment (the next token usually comes at once), then sleep: an idle session uses no CPU. */
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

/* Runs fn(arg, worker) on the caller and on the workers that join; returns when all who joined are done. fn
 * must be able to finish the work with any set of workers that includes worker 0. */
void pool_run(pool *p, pool_fn *fn, void *arg);

/* One turn of a wait that should be short: pauses the core, and after a while lets other threads run, which
 * matters when there are more threads than cores. `turn` counts from 0. */
void pool_spin(uint32_t turn);

#endif
