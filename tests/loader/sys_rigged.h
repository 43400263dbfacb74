/* The file seam with a rig: does what loader/sys.c does, but fails, interrupts or shortens chosen calls, and
 * counts what is open. Link sys_rigged.c in place of loader/sys.c (it defines every function of sys.h). With
 * the rig at rest (rig_reset) it only counts. Not for several threads. */
#ifndef LEAT_TESTS_SYS_RIGGED_H
#define LEAT_TESTS_SYS_RIGGED_H

#include <stdbool.h>
#include <stddef.h>

typedef struct sys_rig {
    int fail_at;     /* the call to fail, from 1; 0 for none */
    bool persistent; /* all calls from that one on (but unlink, so that one can see whether it is called) */
    int error;       /* errno of the failure; 0 means EIO */
    int interrupt;   /* every call that may be interrupted first fails this often with EINTR */
    size_t short_write;  /* at most so many bytes per write; 0 for no limit */
    long long file_size; /* what fstat says instead of the truth; 0 for the truth */

    int calls;     /* since rig_reset, without interruptions */
    int failures;  /* of those, failed by the rig */
    int open_fds;  /* opened and not closed */
    int open_maps; /* mapped and not unmapped */
    int interruptions_left;
} sys_rig;

extern sys_rig rig;

void rig_reset(void);

#endif
