/* What Granite's architectures have in common. */
#ifndef LEAT_MODELS_GRANITE_H
#define LEAT_MODELS_GRANITE_H

#include "runtime/arch.h"

/* The factors of embeddings, scores, what blocks add, and logits (which may be absent unless `logits`);
 * whether there are rotations. After decoder_hparams. */
leat_status granite_factors(arch_loader *l, hparams *hp, bool logits);

#endif
