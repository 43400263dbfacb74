/* The operating system seam: threads, sleeping and waking, clocks, address space, entropy, the floating-point
 * environment. Everything in runtime that needs more than C11 comes through here, and every call that can
 * fail says so, so that tests/faults can link another os.c and fail each in turn. What this process may use
 * of the machine (cores, memory) is worked out in os_limits.c. Must never print, abort, keep global state or
 * read the environment. */
#ifndef LEAT_RUNTIME_OS_H
#define LEAT_RUNTIME_OS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- threads ---- */

typedef void os_thread_fn(void *arg);

/* Stays where it is from create to join: the new thread reads its function and argument from here. */
typedef struct os_thread {
    pthread_t id;
    os_thread_fn *fn;
    void *arg;
} os_thread;

/* Starts fn(arg) with at least stack_bytes of stack. The thread takes no asynchronous signals (they go to the
 * host's own threads), only those its own instructions raise, such as SIGBUS. False: not started, nothing to
 * join. */
bool os_thread_create(os_thread *t, os_thread_fn *fn, void *arg, size_t stack_bytes);
void os_thread_join(os_thread *t);

typedef struct os_mutex {
    pthread_mutex_t m;
} os_mutex;
typedef struct os_cond {
    pthread_cond_t c;
} os_cond;

bool os_mutex_init(os_mutex *m);
void os_mutex_destroy(os_mutex *m);
void os_mutex_lock(os_mutex *m);
void os_mutex_unlock(os_mutex *m);
bool os_cond_init(os_cond *c);
void os_cond_destroy(os_cond *c);
void os_cond_wait(os_cond *c, os_mutex *m); /* may wake for no reason */
void os_cond_wake_all(os_cond *c);

/* A 32-bit word that threads can sleep on until it changes. Who changes `value` does so with any atomic
 * operation of at least release order and calls os_event_wake_all afterwards, which costs no system call
 * while nobody sleeps. */
typedef struct os_event {
    _Atomic uint32_t value;
    _Atomic uint32_t sleepers; /* private to os.c */
#ifndef __linux__
    os_mutex mutex;
    os_cond cond;
#endif
} os_event;

bool os_event_init(os_event *e, uint32_t value);
void os_event_destroy(os_event *e);
/* Sleeps while value == seen; may also return for no reason, so callers loop. What was written before the
 * change that ends the sleep is visible afterwards to a caller that loads value with acquire order. */
void os_event_wait(os_event *e, uint32_t seen);
void os_event_wake_all(os_event *e);

/* Tells the core that this is a spin loop. */
static inline void os_cpu_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield" ::: "memory");
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* ---- time, entropy, address space ---- */

/* Nanoseconds of a clock that never goes back; its zero means nothing. */
uint64_t os_now_ns(void);

/* From the system's entropy. */
uint32_t os_random_u32(void);

size_t os_page_size(void);

/* Address space for `bytes`, page-aligned, reading as zeros; memory is taken only when a page is first
 * written, and page by page even where the system likes to give huge ones. NULL when the system refuses.
 * Release with the same size; NULL is fine. */
void *os_reserve(size_t bytes);
void os_release(void *p, size_t bytes);

/* Tells the process that set the mark from children that fork made of it, without asking the system. */
typedef struct os_mark {
    _Atomic uint32_t *page; /* set here, zero in a child; NULL: by number */
    long pid;
} os_mark;
bool os_mark_set(os_mark *m);        /* false: no memory */
bool os_mark_here(const os_mark *m); /* true in the process that set it */
void os_mark_clear(os_mark *m);

/* ---- what this process may use (os_limits.c) ---- */

/* Physical cores in the affinity mask (two hyperthreads of a core count once), no more than the cgroup CPU
 * quota rounded up; at least 1. */
uint32_t os_threads_default(void);

/* Threads that can run at the same time: processors in the affinity mask, hyperthreads counted each, no more
 * than the quota rounded up; at least os_threads_default(). */
uint32_t os_threads_most(void);

/* Bytes this process may still take: what the system has available and what its control groups leave.
 * UINT64_MAX where unknown. Page cache counts as available: the kernel gives it back. */
uint64_t os_available_memory(void);

/* ---- floating-point environment ---- */

typedef struct os_fp {
    uint64_t control;
} os_fp;

/* Both save the calling thread's control word in *old, then set round to nearest with every exception masked.
 * os_fp_flush_denormals also lets denormals be zero (inference: they cost a hundred cycles each and mean
 * nothing), os_fp_default keeps them (file formats: every bit counts). */
void os_fp_flush_denormals(os_fp *old);
void os_fp_default(os_fp *old);
void os_fp_restore(const os_fp *old);

#endif
