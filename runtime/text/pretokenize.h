/* Pre-tokenizers cut a text into the words that byte-level BPE then works on, one at a time. Each is a
 * hand-written scanner for what the model's authors wrote as a regular expression: no backtracking, no
 * recursion, linear time. Bytes that are no UTF-8 count as characters that are neither letter, number nor
 * space. */
#ifndef LEAT_RUNTIME_TEXT_PRETOKENIZE_H
#define LEAT_RUNTIME_TEXT_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "loader/gguf.h"

typedef struct pretokenizer {
    const char *name;
    size_t (*scan)(const char *p, size_t n); /* length of the word at p, 1..n; n > 0 */
    bool whole_words;
    bool adds_bos;
} pretokenizer;

/* NULL: not known. */
const pretokenizer *pretokenizer_find(str name);

/* What to name in a message: the first name of each scanner. */
#define PRETOKENIZER_KINDS "gpt-2, starcoder, llama-bpe, qwen2 and their relatives"

#endif
