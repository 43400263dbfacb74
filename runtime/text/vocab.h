/* The vocabulary of a model and its tokenizer: text to token ids and back. Built from GGUF metadata,
 * immutable, shared by threads. All of it is total: any bytes go in, any ids come out, time is linear in the
 * text (tokenizing holds a scratch that grows with the text). Used by api.c and model.c; knows nothing of
 * weights. */
#ifndef LEAT_RUNTIME_TEXT_VOCAB_H
#define LEAT_RUNTIME_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/gguf.h"

typedef struct vocab vocab;

/* Reads tokenizer.ggml.*; the views point into g's buffer, which must outlive the vocab. Message names key
 * and token. */
leat_status vocab_open(const gguf *g, vocab **out, leat_error *e);
void vocab_close(vocab *v); /* NULL is fine */

uint32_t vocab_size(const vocab *v);

enum { VOCAB_BOS = 1, VOCAB_SPECIAL = 2, VOCAB_EOS = 4 }; /* as LEAT_TOKENIZE_* */

/* As leat_tokenize. */
leat_status vocab_tokenize(const vocab *v, const char *text, size_t n, unsigned flags, int32_t *tokens,
                           size_t capacity, size_t *count, leat_error *e);
/* The same for a text of which marks[i] says whether byte i is content, that is, from a person: special
 * tokens are only where all of their bytes are not. Flags: VOCAB_BOS, VOCAB_EOS. */
leat_status vocab_tokenize_marked(const vocab *v, const char *text, const uint8_t *marks, size_t n,
                                  unsigned flags, int32_t *tokens, size_t capacity, size_t *count,
                                  leat_error *e);
size_t vocab_bound(const vocab *v, size_t n);

/* Bytes of a token; special (control, unknown) tokens only when asked. */
str vocab_piece(const vocab *v, int32_t token, bool special);
/* Bytes of the longest piece, for a text_decoder. */
size_t vocab_longest_piece(const vocab *v);

int32_t vocab_bos(const vocab *v); /* -1: none */
int32_t vocab_eos(const vocab *v);
bool vocab_add_bos(const vocab *v);
bool vocab_add_eos(const vocab *v);
bool vocab_is_end(const vocab *v, int32_t token);
/* Does tokenizing put a space before the text (SentencePiece's add_space_prefix), so that decoding drops it?
 */
bool vocab_space_prefix(const vocab *v);

/* The i-th thing that is odd about the file and was decided by a guess: a sentence; NULL past the last. */
const char *vocab_warning(const vocab *v, size_t i);

#endif
