/* Files are written whole or not at all: a temporary file beside the target, every write checked, fsync,
 * rename. The write seam. Used by whoever makes files: quantize, tensor export, conversion. */
#ifndef LEAT_LOADER_WRITE_H
#define LEAT_LOADER_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef struct file_writer file_writer;

/* Opens PATH.tmp-PID-N for writing. Nothing exists under `path` (or the old file stays) until writer_commit.
 */
leat_status writer_open(const char *path, file_writer **out, leat_error *e);
leat_status writer_put(file_writer *w, const void *bytes, size_t n, leat_error *e);
/* Zero bytes up to the next multiple of `align`. */
leat_status writer_align(file_writer *w, size_t align, leat_error *e);
uint64_t writer_offset(const file_writer *w);
/* Flushes, syncs, renames over the target, frees w. On failure the target is as it was and w is freed too. */
leat_status writer_commit(file_writer *w, leat_error *e);
/* Gives up: removes the temporary file and frees w. NULL is fine. */
void writer_abandon(file_writer *w);

#endif
