/* The SIGBUS guard of guard.h: a handler, the handler that was there before, and a table of mappings that the
 * handler can read at any moment. What runs in the handler may only use what is async-signal-safe: atomics,
 * mmap as the plain system call it is, sigaction, kill. Tools install it; file.c registers mappings whether
 * or not it is installed. */
#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "oserror.h"

_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2 && ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "a signal handler can't wait for a lock");

enum { SLOTS = 2048 }; /* two full split sets */

/* A slot is empty (base 0), and being changed while `version` is odd. Whoever faults has a mapping in use,
 * whose slot nobody changes; so the handler may skip every slot that it sees changing. */
typedef struct slot {
    atomic_uint version;
    atomic_uintptr_t base;
    atomic_size_t bytes;
    _Atomic(atomic_bool *) lost;
} slot;

static slot slots[SLOTS];

enum { ABSENT, INSTALLING, INSTALLED };
static atomic_int state = ABSENT;
static struct sigaction earlier; /* written before our handler can run, read by it */
static uintptr_t page_bytes;

/* Takes the slot for changing if its base is `expected`. */
static bool slot_claim(slot *s, uintptr_t expected) {
    unsigned version = atomic_load(&s->version);
    if (version & 1 || atomic_load(&s->base) != expected) return false;
    if (!atomic_compare_exchange_strong(&s->version, &version, version + 1)) return false;
    return true; /* the version is still the one the base was read under, so the base is too */
}

static void slot_release(slot *s) {
    atomic_fetch_add(&s->version, 1);
}

void guard_add(const void *base, size_t bytes, atomic_bool *lost) {
    for (size_t i = 0; i < SLOTS; i++) {
        if (!slot_claim(&slots[i], 0)) continue;
        atomic_store(&slots[i].base, (uintptr_t)base);
        atomic_store(&slots[i].bytes, bytes);
        atomic_store(&slots[i].lost, lost);
        slot_release(&slots[i]);
        return;
    }
}

void guard_remove(const void *base) {
    for (size_t i = 0; i < SLOTS; i++) {
        if (!slot_claim(&slots[i], (uintptr_t)base)) continue;
        atomic_store(&slots[i].base, 0);
        slot_release(&slots[i]);
        return;
    }
}

/* Puts zeros from the page of `address` to the end of its mapping, if it is a registered one. To the end,
 * because a file that shrank lacks all of that; one page at a time would be a signal for each, and could use
 * up the kernel's limit on the number of mappings. */
static bool cover(uintptr_t address) {
    for (size_t i = 0; i < SLOTS; i++) {
        slot *s = &slots[i];
        unsigned version = atomic_load(&s->version);
        uintptr_t base = atomic_load(&s->base);
        size_t bytes = atomic_load(&s->bytes);
        atomic_bool *lost = atomic_load(&s->lost);
        if (version & 1 || atomic_load(&s->version) != version) continue;
        if (!base || address < base || address - base >= bytes) continue;
        uintptr_t page = address & ~(page_bytes - 1);
        atomic_store(lost, true); /* before the zeros can be seen */
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
        return mmap((void *)page, base + bytes - page, PROT_READ, flags, -1, 0) != MAP_FAILED;
    }
    return false;
}

/* Does what would have been done without us. */
static void pass_on(int number, siginfo_t *info, void *context) {
    if (earlier.sa_flags & SA_SIGINFO) {
        earlier.sa_sigaction(number, info, context);
        return;
    }
    bool sent = info->si_code <= 0; /* by kill or sigqueue: nothing faulted */
    if (earlier.sa_handler == SIG_IGN && sent) return;
    if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
        earlier.sa_handler(number);
        return;
    }
    /* Returning repeats the access, and the default action then ends the process with the true address in the
     * dump. (A fault can't be ignored; the kernel treats that as the default, too.) */
    struct sigaction plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    sigaction(number, &plain, NULL);
    if (sent) kill(getpid(), number);
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int saved = errno;
    if (info->si_code <= 0 || !cover((uintptr_t)info->si_addr)) pass_on(number, info, context);
    errno = saved;
}

leat_status guard_install(leat_error *e) {
    int before = ABSENT;
    if (!atomic_compare_exchange_strong(&state, &before, INSTALLING)) {
        if (before == INSTALLED) return error_set(e, LEAT_OK, "%s", "");
        return error_set(e, LEAT_E_BUSY, "the guard is being installed by another thread");
    }
    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &earlier) || sigaction(SIGBUS, &ours, NULL)) {
        int number = errno;
        atomic_store(&state, ABSENT);
        return error_set(e, LEAT_E_IO, "the handler for SIGBUS can't be installed: %s (errno %d)",
                         os_error_text(number), number);
    }
    atomic_store(&state, INSTALLED);
    return error_set(e, LEAT_OK, "%s", "");
}
