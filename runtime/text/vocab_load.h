/* The parts of loading a vocabulary, for vocab.c. All fill tables of a zeroed vocab; on failure what was
 * allocated stays in it for vocab_close. */
#ifndef LEAT_RUNTIME_TEXT_VOCAB_LOAD_H
#define LEAT_RUNTIME_TEXT_VOCAB_LOAD_H

#include "vocab_impl.h"

/* Everything. */
leat_status vocab_load(vocab *v, const gguf *g, leat_error *e);
/* A metadata getter's status, as what it means here. */
leat_status vocab_status(leat_status s, leat_error *e);

/* vocab_pre.c: the pre-tokenizer, by `name` or, if that is NULL, by tokenizer.ggml.pre or a guess with a
 * warning. */
leat_status vocab_load_pre(vocab *v, const gguf *g, const char *name, leat_error *e);

/* vocab_pieces.c. What comes out is never longer than the text. */
void vocab_byte_alphabet(int16_t byte_of[0x144]);
bool vocab_decode_byte_level(const int16_t byte_of[0x144], str text, char *out, size_t *n);
bool vocab_decode_spaces(str text, char *out, size_t *n);
leat_status vocab_decode_token(vocab *v, uint32_t t, str text, const int16_t byte_of[0x144], char *out,
                               size_t *n, leat_error *e);

/* vocab_merges.c */
leat_status vocab_load_merges(vocab *v, const gguf *g, leat_error *e);

/* vocab_roles.c: the last step, which tokens begin, end and separate texts, and what is put around a text. */
leat_status vocab_load_roles(vocab *v, const gguf *g, leat_error *e);
/* Is this the text of a token that ends a turn or has another role, in any model? */
bool vocab_is_control_text(str text);

#endif
