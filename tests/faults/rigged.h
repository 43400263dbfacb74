/* Doubles of the seams to the system (loader/alloc.c, loader/sys.c, runtime/os.c): the real code, with each
 * call that can fail counted and made to fail on demand. Linked in place of the real ones, never beside them.
 */
#ifndef LEAT_TESTS_RIGGED_H
#define LEAT_TESTS_RIGGED_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rig {
    size_t calls;    /* since rig_arm */
    size_t fail_at;  /* the call that fails, from 1; 0: none */
    bool persistent; /* ... and all after it */
    size_t failed;   /* how many calls failed */
} rig;

extern rig rig_alloc;  /* mem_alloc, mem_resize */
extern rig rig_thread; /* threads, events, mutexes, address space */
extern rig rig_file;   /* opening, mapping, writing, renaming, ... */

extern size_t rig_live; /* allocations not yet freed */

void rig_arm(rig *r, size_t fail_at, bool persistent);

/* Counts a call; true when it has to fail. Thread-safe. */
bool rig_fails(rig *r);

#endif
