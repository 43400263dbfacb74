/* Inside of the writer of random models: what random_model.c lends to random_mix.c, which writes the layers
 * that are more than a plain decoder's. */
#ifndef LEAT_TESTS_MAKER_H
#define LEAT_TESTS_MAKER_H

#include "loader/gguf.h"
#include "loader/write.h"
#include "random_model.h"

typedef struct maker {
    const random_model *m;
    file_writer *w;
    uint64_t state;
    uint64_t n_tensors, n_keys;
    uint64_t depth;      /* matrices in the next tensor; 0: one */
    uint64_t offset;     /* of the next tensor's data */
    bool counting, data; /* three walks over the tensors: count, describe, fill */
    leat_status status;
    leat_error *e;
} maker;

void maker_put_u32(maker *k, uint32_t v);
void maker_put_u64(maker *k, uint64_t v);
/* Starts a key of the architecture (or a whole one with general. or tokenizer.); its value follows. */
void maker_key(maker *k, const char *name, uint32_t type);
void maker_key_u32(maker *k, const char *name, uint32_t v);
void maker_key_f32(maker *k, const char *name, float v);
/* A tensor of k->depth matrices (which goes back to 0); of values around a constant if that is not 0 or if it
 * has one row. `name` may have one %u. */
void maker_tensor(maker *k, const char *name, uint32_t layer, uint32_t format, uint64_t rows, uint64_t cols,
                  float constant);
void maker_vector(maker *k, const char *name, uint32_t layer, uint64_t n, float around);
void maker_norm(maker *k, const char *name, uint32_t layer, uint64_t n);

/* random_mix.c: a layer's part in place of plain attention, or of the feed-forward network, and the keys of
 * both. */
void mix_attention(maker *k, uint32_t layer);
void mix_inputs(maker *k);
void mix_altup(maker *k, uint32_t layer);  /* of gemma3n */
void mix_beside(maker *k, uint32_t layer); /* experts of gemma4 */
void mix_experts(maker *k, uint32_t layer);
void mix_keys(maker *k);

#endif
