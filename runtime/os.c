/* The operating system seam of os.h over POSIX threads and mmap, with Linux's futex where there is one.
 * Called by the pool, sessions, the sampler and the quantizer. Must never print, abort or keep global state.
 */
#include "os.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#    include <linux/futex.h>
#    include <sys/random.h>
#    include <sys/syscall.h>
#else
#    include <stdlib.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#    include <xmmintrin.h>
#elif !defined(__aarch64__)
#    include <fenv.h>
#endif

/* ---- threads ---- */

static void *thread_main(void *arg) {
    os_thread *t = arg;
    t->fn(t->arg);
    return NULL;
}

static size_t stack_size(size_t wanted) {
    size_t page = os_page_size(), least = (size_t)PTHREAD_STACK_MIN;
    if (wanted > SIZE_MAX / 2) wanted = SIZE_MAX / 2; /* the system will refuse it, but nothing wraps here */
    /* glibc takes thread-local storage out of the stack, hence the sum */
    return (wanted + least + page - 1) / page * page;
}

bool os_thread_create(os_thread *t, os_thread_fn *fn, void *arg, size_t stack_bytes) {
    pthread_attr_t attr;
    if (pthread_attr_init(&attr)) return false;
    t->fn = fn;
    t->arg = arg;

    bool started = false;
    sigset_t blocked, before;
    sigfillset(&blocked);
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&blocked, own[i]);

    if (pthread_attr_setstacksize(&attr, stack_size(stack_bytes)) == 0 &&
        pthread_sigmask(SIG_SETMASK, &blocked, &before) == 0) {
        started = pthread_create(&t->id, &attr, thread_main, t) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    return started;
}

void os_thread_join(os_thread *t) {
    pthread_join(t->id, NULL);
}

bool os_mutex_init(os_mutex *m) {
    return pthread_mutex_init(&m->m, NULL) == 0;
}
void os_mutex_destroy(os_mutex *m) {
    pthread_mutex_destroy(&m->m);
}
void os_mutex_lock(os_mutex *m) {
    pthread_mutex_lock(&m->m);
}
void os_mutex_unlock(os_mutex *m) {
    pthread_mutex_unlock(&m->m);
}
bool os_cond_init(os_cond *c) {
    return pthread_cond_init(&c->c, NULL) == 0;
}
void os_cond_destroy(os_cond *c) {
    pthread_cond_destroy(&c->c);
}
void os_cond_wait(os_cond *c, os_mutex *m) {
    pthread_cond_wait(&c->c, &m->m);
}
void os_cond_wake_all(os_cond *c) {
    pthread_cond_broadcast(&c->c);
}

/* No wake-up is lost: the sleeper raises `sleepers` and then reads `value`; the waker has changed `value` and
 * then reads `sleepers` with a read-modify-write. Both operations on `sleepers` are in one order: either the
 * waker sees the sleeper and wakes it, or the sleeper's increment comes after, synchronizes with the waker
 * and sees the new value. */
#ifdef __linux__

bool os_event_init(os_event *e, uint32_t value) {
    atomic_init(&e->value, value);
    atomic_init(&e->sleepers, 0);
    return true;
}

void os_event_destroy(os_event *e) {
    (void)e;
}

void os_event_wait(os_event *e, uint32_t seen) {
    atomic_fetch_add(&e->sleepers, 1);
    /* the kernel compares once more under its lock; EINTR and EAGAIN are wake-ups for no reason */
    if (atomic_load(&e->value) == seen) {
        int saved = errno;
        syscall(SYS_futex, &e->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        errno = saved;
    }
    atomic_fetch_sub(&e->sleepers, 1);
}

void os_event_wake_all(os_event *e) {
    if (atomic_fetch_add(&e->sleepers, 0) == 0) return;
    int saved = errno;
    syscall(SYS_futex, &e->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

#else

bool os_event_init(os_event *e, uint32_t value) {
    atomic_init(&e->value, value);
    atomic_init(&e->sleepers, 0);
    if (!os_mutex_init(&e->mutex)) return false;
    if (os_cond_init(&e->cond)) return true;
    os_mutex_destroy(&e->mutex);
    return false;
}

void os_event_destroy(os_event *e) {
    os_cond_destroy(&e->cond);
    os_mutex_destroy(&e->mutex);
}

void os_event_wait(os_event *e, uint32_t seen) {
    os_mutex_lock(&e->mutex);
    atomic_fetch_add(&e->sleepers, 1);
    if (atomic_load(&e->value) == seen) os_cond_wait(&e->cond, &e->mutex);
    atomic_fetch_sub(&e->sleepers, 1);
    os_mutex_unlock(&e->mutex);
}

void os_event_wake_all(os_event *e) {
    if (atomic_fetch_add(&e->sleepers, 0) == 0) return;
    os_mutex_lock(&e->mutex);
    os_cond_wake_all(&e->cond);
    os_mutex_unlock(&e->mutex);
}

#endif

/* ---- time, entropy, address space ---- */

uint64_t os_now_ns(void) {
    struct timespec t = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t os_random_u32(void) {
#ifdef __linux__
    uint32_t r;
    ssize_t n;
    int saved = errno;
    do n = getrandom(&r, sizeof r, 0);
    while (n < 0 && errno == EINTR);
    errno = saved;
    if (n == (ssize_t)sizeof r) return r;
    /* A kernel or sandbox without getrandom: seeds must differ from run to run, they need not be secret. */
    uint64_t mix = os_now_ns() ^ (uint64_t)(uintptr_t)&r ^ (uint64_t)getpid() << 40;
    return (uint32_t)((mix ^ mix >> 29) * 0xbf58476d1ce4e5b9u >> 32);
#else
    return arc4random();
#endif
}

size_t os_page_size(void) {
    long n = sysconf(_SC_PAGESIZE);
    return n > 0 ? (size_t)n : 4096;
}

void *os_reserve(size_t bytes) {
#ifndef MAP_NORESERVE
#    define MAP_NORESERVE 0
#endif
    if (bytes == 0) bytes = 1;
    int saved = errno;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
#ifdef MADV_NOHUGEPAGE
    if (p != MAP_FAILED) madvise(p, bytes, MADV_NOHUGEPAGE);
#endif
    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

void os_release(void *p, size_t bytes) {
    if (p) munmap(p, bytes ? bytes : 1);
}

bool os_mark_set(os_mark *m) {
    *m = (os_mark){.pid = (long)getpid()};
#ifdef MADV_WIPEONFORK
    int saved = errno;
    size_t n = os_page_size();
    void *page = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool mapped = page != MAP_FAILED;
    if (mapped && madvise(page, n, MADV_WIPEONFORK)) { /* before Linux 4.14 */
        munmap(page, n);
        page = NULL;
    }
    errno = saved;
    if (!mapped) return false;
    m->page = page;
    if (page) atomic_store(m->page, 1);
#endif
    return true;
}

bool os_mark_here(const os_mark *m) {
    return m->page ? atomic_load_explicit(m->page, memory_order_relaxed) != 0 : m->pid == (long)getpid();
}

void os_mark_clear(os_mark *m) {
    if (m->page) munmap(m->page, os_page_size());
    *m = (os_mark){0};
}

/* ---- floating-point environment ---- */

#if defined(__x86_64__) || defined(__i386__)

/* MXCSR (Intel SDM volume 1, 10.2.3): 0x1f80 is the reset value: nearest, all exceptions masked, no flags
 * raised. */
enum { MXCSR_DEFAULT = 0x1f80, MXCSR_DAZ = 0x40, MXCSR_FTZ = 0x8000 };

static void fp_set(os_fp *old, bool flush) {
    old->control = _mm_getcsr();
    _mm_setcsr(MXCSR_DEFAULT | (flush ? MXCSR_DAZ | MXCSR_FTZ : 0));
}
void os_fp_restore(const os_fp *old) {
    _mm_setcsr((unsigned)old->control);
}

#elif defined(__aarch64__)

/* FPCR (Arm ARM, C5.2): bit 24 flushes denormals to zero; all other bits 0 are nearest and no traps. */
static void fp_set(os_fp *old, bool flush) {
    uint64_t now = flush ? (uint64_t)1 << 24 : 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old->control));
    __asm__ volatile("msr fpcr, %0" ::"r"(now) : "memory");
}
void os_fp_restore(const os_fp *old) {
    __asm__ volatile("msr fpcr, %0" ::"r"(old->control) : "memory");
}

#else

static void fp_set(os_fp *old, bool flush) {
    (void)flush; /* C11 has no word for it */
    int mode = fegetround();
    old->control = mode < 0 ? FE_TONEAREST : (uint64_t)mode;
    fesetround(FE_TONEAREST);
}
void os_fp_restore(const os_fp *old) {
    fesetround((int)old->control);
}

#endif

void os_fp_flush_denormals(os_fp *old) {
    fp_set(old, true);
}
void os_fp_default(os_fp *old) {
    fp_set(old, false);
}
