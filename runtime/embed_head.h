/* What some embedding models have behind the pooled vector: projections to another width (EmbeddingGemma), or
 * a classifier whose output is a score of relevance (rerankers). The same few tensors for every
 * architecture. */
#ifndef LEAT_RUNTIME_EMBED_HEAD_H
#define LEAT_RUNTIME_EMBED_HEAD_H

#include "arch.h"
#include "kernels/kernels.h"

typedef struct embed_head {
    weight project[2];                       /* absent: none; the second follows the first */
    weight hidden, hidden_bias, hidden_norm; /* of the classifier: a layer of its own; may be absent */
    weight classes, classes_bias;            /* its output; absent: there is no classifier */
} embed_head;

/* Binds what the file has; called for every model. */
leat_status embed_head_bind(arch_loader *l, const hparams *hp, embed_head *h);
/* Width of what comes out of either, for a vector of n_embd. */
size_t embed_head_width(const embed_head *h, size_t n_embd);
/* The widest row in between: what `scratch` below holds twice. */
size_t embed_head_scratch(const embed_head *h, size_t n_embd);
/* out (embed_head_width) = the projections of x (n_embd). */
void embed_head_project(const embed_head *h, const kernels *k, const float *x, size_t n_embd, float *scratch,
                        float *out);
/* out (rows of classes) = scores of x (n_embd); gelu: the hidden layer's activation in place of tanh; shares:
 * scores are shares of 1. */
void embed_head_classify(const embed_head *h, const kernels *k, const float *x, size_t n_embd, bool gelu,
                         bool shares, float eps, float *scratch, float *out);

#endif
