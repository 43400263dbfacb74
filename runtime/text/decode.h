/* Streaming text out of tokens: takes the bytes of one token after the other and gives back text that is
 * always whole, valid UTF-8. Bytes that may still become a character are held back; bytes that can't come out
 * as U+FFFD, one for each maximal subpart (as Unicode recommends and web browsers do). All memory is taken at
 * init. Used by api.c, one decoder per stream and thread. */
#ifndef LEAT_RUNTIME_TEXT_DECODE_H
#define LEAT_RUNTIME_TEXT_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "loader/gguf.h"

typedef struct text_decoder {
    char *text; /* what the last call returned */
    size_t longest;
    char held[3]; /* an incomplete character */
    size_t n_held;
    bool drop_space, at_start;
} text_decoder;

/* Takes pieces of at most `longest` bytes (vocab_longest_piece). With drop_space (vocab_space_prefix), one
 * space at the very start of the text is dropped. */
leat_status text_decoder_init(text_decoder *d, size_t longest, bool drop_space, leat_error *e);
void text_decoder_free(text_decoder *d); /* a zeroed one is fine */

/* The text that is complete with this piece, valid until the next call; may be empty, never NULL. */
str text_decoder_push(text_decoder *d, str piece);
/* What is still held back, as U+FFFD; then the decoder is as after init. */
str text_decoder_finish(text_decoder *d);

#endif
