/* Names of split files: PREFIX-00001-of-0000N.gguf. Private to the loader. */
#ifndef LEAT_LOADER_SPLIT_H
#define LEAT_LOADER_SPLIT_H

#include "gguf.h"

/* What a part says about the set it belongs to. count is 1 for a file that is no part of a set. */
typedef struct split_info {
    uint32_t no; /* from 0 */
    uint32_t count;
    uint32_t n_tensors; /* of all parts together; only when count > 1 */
} split_info;

leat_status split_read(const gguf *g, split_info *out, leat_error *e);

/* The path of part `no` (from 0) of `count`, given the path of part `own`; the caller frees it with mem_free.
 * LEAT_E_SHARD when that path doesn't end in -0000X-of-0000N.gguf with X and N as they should be. */
leat_status split_path(const char *path, uint32_t own, uint32_t no, uint32_t count, char **out,
                       leat_error *e);

#endif
