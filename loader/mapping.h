/* One file, mapped as a whole and read-only: opened, measured once, mapped, closed again before anybody looks
 * at its bytes, so that nobody can swap it in between. For file.c and for conversion, which read models of
 * two kinds. Messages don't name the path: who asked does. */
#ifndef LEAT_LOADER_MAPPING_H
#define LEAT_LOADER_MAPPING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef struct mapping {
    const uint8_t *p;
    size_t n;
    void *base; /* NULL: nothing is mapped, and p (if anything) is memory of the caller's */
} mapping;

/* Maps a regular file that is not empty and asks for its first `ahead` bytes to be read ahead. */
leat_status mapping_open(const char *path, size_t ahead, mapping *out, leat_error *e);
/* From now on *lost is set when a page of it turns out to be missing (guard.h). */
void mapping_guard(const mapping *m, atomic_bool *lost);
/* Gives back the memory that pages read so far take; they come again when they are read again. */
void mapping_drop(const mapping *m);
void mapping_close(mapping *m); /* an empty one is fine */

#endif
