/* Split sets as llama.cpp's gguf-split writes them: each part has split.no, split.count and
 * split.tensors.count, and all lie in one folder under one name with a number. file.c opens and joins them.
 * Nothing here may take a path from a file: names of other parts come from the name of the part that was
 * opened. */
#include "split.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "checked.h"
#include "limits.h"

enum { SUFFIX_BYTES = sizeof "-00001-of-00002.gguf" - 1 };

leat_status split_read(const gguf *g, split_info *out, leat_error *e) {
    bool found;
    *out = (split_info){0, 1, 0};
    leat_status status = meta_u32(g, "split.count", 0, LIMIT_PARTS, &out->count, &found, e);
    if (status) goto fail;
    if (out->count <= 1) { /* 0 is what gguf-split leaves in a file that it merged from parts */
        out->count = 1;
        return LEAT_OK;
    }
    status = meta_u32(g, "split.no", 0, out->count - 1, &out->no, NULL, e);
    if (status) goto fail;
    status = meta_u32(g, "split.tensors.count", 0, LIMIT_TENSORS, &out->n_tensors, NULL, e);
    if (status) goto fail;
    return LEAT_OK;
fail:
    if (e) e->code = LEAT_E_SHARD; /* the sentence of the getter says it all */
    return LEAT_E_SHARD;
}

leat_status split_path(const char *path, uint32_t own, uint32_t no, uint32_t count, char **out,
                       leat_error *e) {
    char expected[32];
    size_t n = strlen(path), size;
    snprintf(expected, sizeof expected, "-%05u-of-%05u.gguf", (unsigned)own + 1, (unsigned)count);
    if (n < SUFFIX_BYTES || strcmp(path + n - SUFFIX_BYTES, expected))
        return error_set(
            e, LEAT_E_SHARD,
            "is part %u of %u, but its name does not end in \"%s\", so the other parts can't be found",
            (unsigned)own + 1, (unsigned)count, expected);
    char *name = checked_add(n, 1, &size) ? mem_alloc(size, 1) : NULL;
    if (!name) return error_set(e, LEAT_E_NOMEM, "no memory for a path of %zu bytes", n);
    snprintf(name, size, "%.*s-%05u-of-%05u.gguf", (int)(n - SUFFIX_BYTES), path, (unsigned)no + 1,
             (unsigned)count);
    *out = name;
    return LEAT_OK;
}
