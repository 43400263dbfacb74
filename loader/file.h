/* A model file on disk, mapped: opens the path, follows a split set (-00001-of-0000N), parses every part and
 * joins their tensors into one list. Pages are shared, read-only, between processes. The file seam: all
 * reading of models goes through here. */
#ifndef LEAT_LOADER_FILE_H
#define LEAT_LOADER_FILE_H

#include "gguf.h"

typedef struct model_file model_file;

/* Maps and checks; *out is owned by the caller. The message names the path. */
leat_status file_open(const char *path, model_file **out, leat_error *e);
/* The same for `n` bytes in memory that stay valid (an embedded model, a fuzzer's input): no splits. `name`
 * is for messages. */
leat_status file_from_memory(const void *bytes, size_t n, const char *name, model_file **out, leat_error *e);
void file_close(model_file *f); /* NULL is fine */

/* Metadata of the first part and the tensors of all parts. */
const gguf *file_gguf(const model_file *f);
/* Sum of the sizes of all parts. */
uint64_t file_bytes(const model_file *f);
size_t file_parts(const model_file *f);

/* True once a page of the mapping turned out to be missing (the file shrank, or the disk failed) while the
 * guard of guard.h was installed: what was computed since is worthless. */
bool file_lost(const model_file *f);

#endif
