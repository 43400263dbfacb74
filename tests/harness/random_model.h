/* Models with random weights of any shape and type, written to a file: small ones for tests of the engine,
 * real shapes for benchmarks. The text they produce is noise; their logits are finite and depend on every
 * weight. Deterministic for a seed. The vocabulary is SentencePiece-style (three special tokens, 256 byte
 * tokens, made-up pieces), so other runtimes load them too. */
#ifndef LEAT_TESTS_RANDOM_MODEL_H
#define LEAT_TESTS_RANDOM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "arch_spec.h"
#include "loader/error.h"

typedef struct random_model {
    const char *arch; /* "llama" or another architecture with the same tensors */
    uint32_t n_vocab, n_ctx, n_embd, n_layer, n_ff, n_head, n_head_kv, head_dim;
    uint32_t format;        /* of the matrices */
    uint32_t value_format;  /* of attn_v and ffn_down, which mixed quantizations keep finer */
    uint32_t output_format; /* of the output matrix, or of the embedding when tied */
    uint32_t embed_format;
    bool tied;   /* no output matrix of its own */
    bool biased; /* biases on q, k, v and the attention's output */
    uint64_t seed;
    const arch_spec *spec; /* NULL: a llama */
} random_model;

/* A small model whose sizes suit every type: 256 wide, 2 layers, 4 heads sharing 2, 300 tokens, 128
 * positions. */
random_model random_model_small(uint32_t format);

/* A model of another architecture, as small as the type allows; those with many layers take float types only.
 */
random_model random_model_of(const arch_spec *spec, uint32_t format);

leat_status random_model_write(const random_model *m, const char *path, leat_error *e);

#endif
