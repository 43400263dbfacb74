/* Survival of a file that shrinks while it is mapped. Reading beyond the new end raises SIGBUS, which would
 * kill the process. guard_install (opt-in: tools call it, the library never does by itself) puts a handler in
 * place that, for addresses inside a registered mapping, puts a page of zeros there and marks the mapping as
 * lost; whoever computes checks file_lost afterwards and throws the result away. Other addresses go to the
 * handler that was there before. This is the one piece of process-wide state in Leat, because signal handlers
 * are. */
#ifndef LEAT_LOADER_GUARD_H
#define LEAT_LOADER_GUARD_H

#include <stdatomic.h>
#include <stddef.h>

#include "error.h"

leat_status guard_install(leat_error *e);

/* Called by file.c for each mapping; `lost` is set by the handler. Registering is cheap and never fails: with
 * the table full, a mapping is merely unguarded. */
void guard_add(const void *base, size_t bytes, atomic_bool *lost);
void guard_remove(const void *base);

#endif
