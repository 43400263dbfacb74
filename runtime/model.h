/* A model: the mapped file, its vocabulary, its hyper-parameters and bound weights, and the kernels chosen
 * for this machine. Immutable once open, shared by sessions in any threads, released when its last holder
 * lets go. */
#ifndef LEAT_RUNTIME_MODEL_H
#define LEAT_RUNTIME_MODEL_H

#include <stdatomic.h>

#include "arch.h"
#include "embed_head.h"
#include "kernels/kernels.h"
#include "leat.h"
#include "loader/file.h"
#include "runtime/text/vocab.h"

struct leat_model {
    atomic_uint holders;
    model_file *file;
    vocab *vocab;
    kernels kernels;
    const arch *arch; /* NULL when opened for its vocabulary only */
    char arch_name[65];
    hparams hp;
    embed_head head;        /* absent in most */
    void *weights, *layers; /* the architecture's own structs */
    uint64_t n_params;
    struct leat_model *base; /* whose file and vocabulary these are; NULL: its own */
};

leat_status model_open(const char *path, bool vocab_only, const char *isa, leat_model **out, leat_error *e);
/* The same model with other tensors: `g` is the file's description with the formats and data of some tensors
 * changed, and must outlive the variant. Shares the file, the vocabulary and what they cost to open. */
leat_status model_variant(leat_model *base, const gguf *g, leat_model **out, leat_error *e);
/* Would a file of this description open? Values are not looked at: tensors must have data that is not NULL,
 * and need have nothing behind it. */
leat_status model_check(const gguf *g, leat_error *e);
/* One more holder; the handle it returns is released with model_release. Const as seen by a holder: only the
 * count changes. */
leat_model *model_hold(const leat_model *m);
void model_release(leat_model *m);
/* Tells models apart (model_hash.c says what it covers); reads up to 12 KiB of each tensor. */
uint64_t model_hash(const leat_model *m);

#endif
