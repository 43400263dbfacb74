/* Embeddings: texts to vectors. A session whose plan ends with the last hidden state instead of logits takes
 * as many whole texts in a pass as fit, side by side and blind to each other; what comes out of it is pooled,
 * led through the model's head if it has one, and normalised. Called by api_embed.c. */
#ifndef LEAT_RUNTIME_EMBED_H
#define LEAT_RUNTIME_EMBED_H

#include "model.h"

leat_status embedder_open(leat_model *m, const leat_embed_params *params, leat_embedder **out, leat_error *e);
/* How the model pools if nothing else is asked for. */
leat_pooling embedder_pooling_of(const leat_model *m);
void embedder_close(leat_embedder *em);
leat_status embedder_run(leat_embedder *em, const leat_token *tokens, const size_t *lengths, size_t n_texts,
                         float *out, leat_progress_fn *progress, void *user, leat_error *e);

#endif
