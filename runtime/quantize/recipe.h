/* Which tensor becomes which type: the mixes of recipes.def, what is never quantized, and what a tensor
 * becomes when its rows are no whole blocks of the type wanted. Asked by quantize.c, tensor by tensor; looks
 * at names, shapes and metadata only. */
#ifndef LEAT_RUNTIME_QUANTIZE_RECIPE_H
#define LEAT_RUNTIME_QUANTIZE_RECIPE_H

#include <stdbool.h>

#include "loader/gguf.h"

typedef struct mix {
    const char *name;
    uint32_t file_type;               /* of general.file_type */
    uint32_t base, output, embedding; /* tensor types */
} mix;

/* The i-th mix, from the largest to the smallest; NULL past the end. */
const mix *mix_get(size_t i);
/* By name, any case; Q3_K, Q4_K and Q5_K are their _M; llama.cpp's numbers are names too. NULL: there is
 * none. */
const mix *mix_find(const char *name);

enum { RECIPE_LAYERS = 1024 };

/* What rules ask of a model. */
typedef struct model_facts {
    uint32_t n_layer, n_expert, n_group; /* n_group: query heads per key head */
    bool has_output, has_importance, is_70b, is_falcon;
    uint32_t n_attn_v;
    uint16_t attn_v_before[RECIPE_LAYERS + 1]; /* attention value tensors of lower layers */
} model_facts;

void model_facts_read(model_facts *f, const gguf *g, bool has_importance);

/* Whether a tensor is a matrix of weights that may be quantized: not norms, biases, routers, small special
 * ones. */
bool recipe_allows(const gguf_tensor *t);
bool recipe_is_output(const gguf_tensor *t);
bool recipe_is_embedding(const gguf_tensor *t);

/* How much an error in a tensor is thought to matter, for want of a measurement: divergence in nats for an
 * error as large as the tensor, weighted by importance. */
double recipe_harm(const gguf_tensor *t, uint32_t n_layer, bool has_output);

/* The type by the mix's rules. */
uint32_t recipe_format(const mix *m, const model_facts *f, const gguf_tensor *t);

/* `format`, or the nearest type whose blocks fit rows of n values. */
uint32_t recipe_fallback(uint32_t format, uint64_t n);

/* Whether the result would be worthless without importance, as llama.cpp judges it. */
bool recipe_needs_importance(const mix *m, const gguf_tensor *t, uint32_t format);

#endif
