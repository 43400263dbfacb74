/* What tells one model from another, whatever their files are called: a hash over all metadata, over the
 * name, type and shape of every tensor, and over three pieces of each tensor's data, at its beginning, middle
 * and end. Training and quantizing change every tensor all over, so pieces show it; a change of single values
 * elsewhere does not show. Reading all weights would take seconds where this takes milliseconds: 12 KiB for
 * each tensor. How a file is split into parts makes no difference. */
#include <string.h>

#include "hash.h"
#include "model.h"

enum { PIECE = 4096 };

static void add_bytes(hash64 *h, const void *p, size_t n) {
    hash64_add_u64(h, n);
    hash64_add(h, p, n);
}

static bool about_parts(str key) {
    return key.n > 6 && !memcmp(key.p, "split.", 6);
}

static void add_metadata(hash64 *h, const gguf *g) {
    for (size_t i = 0; i < g->n_kv; i++) {
        const gguf_kv *kv = &g->kv[i];
        if (about_parts(kv->key)) continue;
        add_bytes(h, kv->key.p, kv->key.n);
        hash64_add_u64(h, (uint64_t)kv->type << 32 | kv->elem_type);
        hash64_add_u64(h, kv->count);
        add_bytes(h, kv->data, kv->bytes);
    }
}

static void add_tensors(hash64 *h, const gguf *g) {
    for (size_t i = 0; i < g->n_tensors; i++) {
        const gguf_tensor *t = &g->tensors[i];
        add_bytes(h, t->name.p, t->name.n);
        hash64_add_u64(h, (uint64_t)t->format << 32 | t->n_dims);
        for (size_t k = 0; k < 4; k++) hash64_add_u64(h, t->ne[k]);
        if (t->bytes <= 3 * PIECE) {
            hash64_add(h, t->data, t->bytes);
            continue;
        }
        hash64_add(h, t->data, PIECE);
        hash64_add(h, t->data + t->bytes / 2, PIECE);
        hash64_add(h, t->data + t->bytes - PIECE, PIECE);
    }
}

uint64_t model_hash(const leat_model *m) {
    hash64 h;
    hash64_begin(&h);
    add_metadata(&h, file_gguf(m->file));
    add_tensors(&h, file_gguf(m->file));
    return hash64_value(&h);
}
