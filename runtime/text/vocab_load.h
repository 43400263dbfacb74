/* The two halves of loading a vocabulary, for vocab.c. Both fill tables of a zeroed vocab; on failure what
 * was allocated stays in it for vocab_close. */
#ifndef LEAT_RUNTIME_TEXT_VOCAB_LOAD_H
#define LEAT_RUNTIME_TEXT_VOCAB_LOAD_H

#include "vocab_impl.h"

/* Everything. */
leat_status vocab_load(vocab *v, const gguf *g, leat_error *e);
/* Its last step: which tokens begin, end and separate texts, and what is put around a text. In vocab_roles.c.
 */
leat_status vocab_load_roles(vocab *v, const gguf *g, leat_error *e);

#endif
