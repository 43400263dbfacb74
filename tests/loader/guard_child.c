/* The victim of test_guard.c: maps a file, has it cut under its feet, and touches what is gone. A program of
 * its own, because the way it may end (by a signal) would take a test runner with it. Usage: guard_child MODE
 * FILE; the exit status says what happened, 0 when all was as it should be.
 *
 *     lost       a model file, opened by file_open, shrinks: reading goes on with zeros and file_lost says so
 *     two        two registered mappings, one shrinks: only its flag is set, the other's bytes are whole
 *     default    an unregistered mapping shrinks: the process ends by SIGBUS as it would without the guard
 *     removed    the same for a mapping that was registered once
 *     chain      an earlier handler gets what is not ours
 *     chain-info the same for one with SA_SIGINFO
 *     sent       a SIGBUS sent by kill, nothing faulted: ends by SIGBUS
 *     ignored    the same when it was ignored before: nothing happens
 *     twice      installing again changes nothing */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/file.h"
#include "loader/guard.h"

static sigjmp_buf back;
static volatile sig_atomic_t handled;

static void earlier(int number) {
    handled = number;
    siglongjmp(back, 1);
}

static void earlier_info(int number, siginfo_t *info, void *context) {
    (void)context;
    handled = info->si_addr ? number : 0;
    siglongjmp(back, 1);
}

/* Sums all bytes, so that each page is touched. */
static uint64_t sum(const volatile uint8_t *p, size_t n) {
    uint64_t s = 0;
    for (size_t i = 0; i < n; i++) s += p[i];
    return s;
}

static const uint8_t *map(const char *path, size_t n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static int lost(const char *path) {
    model_file *f;
    if (guard_install(NULL) || file_open(path, &f, NULL)) return 20;
    const gguf_tensor *x = &file_gguf(f)->tensors[0];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!sum(x->data, x->bytes) || file_lost(f)) return 21;
    size_t kept = (size_t)file_bytes(f) / 2 / page * page;
    if (truncate(path, (off_t)kept)) return 22;
    /* Backwards, so that the guard has to cover several times. */
    for (size_t i = x->bytes; i >= page; i -= page) sum(x->data + i - page, page);
    if (!file_lost(f)) return 23;
    if (x->data[x->bytes - 1] != 0) return 24;
    if (!x->data[0]) return 25; /* what is still in the file is still there */
    file_close(f);
    return 0;
}

static int two(const char *path, size_t n) {
    atomic_bool lost_a = false, lost_b = false;
    char other[512];
    snprintf(other, sizeof other, "%s.other", path);
    const uint8_t *a = map(path, n), *b = map(other, n);
    if (!a || !b || guard_install(NULL)) return 30;
    guard_add(a, n, &lost_a);
    guard_add(b, n, &lost_b);
    if (truncate(path, 1)) return 31;
    uint64_t before = sum(b, n);
    if (sum(a, n) != a[0] || !atomic_load(&lost_a)) return 32;
    if (atomic_load(&lost_b) || sum(b, n) != before || !before) return 33;
    guard_remove(a);
    guard_remove(b);
    munmap((void *)(uintptr_t)a, n);
    munmap((void *)(uintptr_t)b, n);
    /* The table has room again, more often than it has slots. */
    for (int i = 0; i < 100000; i++) {
        guard_add((const void *)(uintptr_t)(4096 + i % 7 * 4096), 1, &lost_a);
        guard_remove((const void *)(uintptr_t)(4096 + i % 7 * 4096));
    }
    return 0;
}

static int unguarded(const char *path, size_t n, bool registered_once) {
    atomic_bool flag = false;
    const uint8_t *p = map(path, n);
    if (!p || guard_install(NULL)) return 40;
    if (registered_once) {
        guard_add(p, n, &flag);
        guard_remove(p);
    }
    if (truncate(path, 0)) return 41;
    sum(p, n);
    return 42; /* not reached: SIGBUS */
}

static int chain(const char *path, size_t n, bool with_info) {
    atomic_bool flag = false;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    if (with_info) {
        action.sa_flags = SA_SIGINFO;
        action.sa_sigaction = earlier_info;
    } else {
        action.sa_handler = earlier;
    }
    char other[512];
    snprintf(other, sizeof other, "%s.other", path);
    const uint8_t *p = map(path, n), *ours = map(other, n);
    if (!p || !ours || sigaction(SIGBUS, &action, NULL) || guard_install(NULL)) return 50;
    guard_add(ours, n, &flag);
    if (truncate(path, 0)) return 51;
    if (!sigsetjmp(back, 1)) {
        sum(p, n);
        return 52;
    }
    if (handled != SIGBUS || atomic_load(&flag)) return 53;
    return 0;
}

static int sent(bool ignored) {
    if (ignored) signal(SIGBUS, SIG_IGN);
    if (guard_install(NULL)) return 60;
    kill(getpid(), SIGBUS);
    return ignored ? 0 : 61;
}

int main(int argc, char **argv) {
    if (argc != 3) return 10;
    const char *mode = argv[1], *path = argv[2];
    enum { BYTES = 1 << 16 };
    if (!strcmp(mode, "lost")) return lost(path);
    if (!strcmp(mode, "two")) return two(path, BYTES);
    if (!strcmp(mode, "default")) return unguarded(path, BYTES, false);
    if (!strcmp(mode, "removed")) return unguarded(path, BYTES, true);
    if (!strcmp(mode, "chain")) return chain(path, BYTES, false);
    if (!strcmp(mode, "chain-info")) return chain(path, BYTES, true);
    if (!strcmp(mode, "sent")) return sent(false);
    if (!strcmp(mode, "ignored")) return sent(true);
    if (!strcmp(mode, "twice")) return guard_install(NULL) || guard_install(NULL) ? 70 : lost(path);
    return 11;
}
