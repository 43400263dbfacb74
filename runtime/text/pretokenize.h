/* Pre-tokenizers cut a text into the words that BPE then works on, one at a time. What the model's authors
 * wrote as a list of regular expressions, each cutting up what the one before it left, is here a list of
 * stages, each a hand-written scanner: no backtracking, no recursion, linear time. Used by bpe.c and
 * vocab_load.c. Bytes that are no UTF-8 count as U+FFFD, a symbol. */
#ifndef LEAT_RUNTIME_TEXT_PRETOKENIZE_H
#define LEAT_RUNTIME_TEXT_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "loader/gguf.h"

enum { PRETOKENIZER_STAGES_MAX = 6 };

/* What else a name says. */
enum {
    PRE_WHOLE_WORDS = 1,    /* a word that is a token is that token, whatever the merges say */
    PRE_ADDS_BOS = 2,       /* the default of tokenizer.ggml.add_bos_token */
    PRE_NO_BOS = 4,         /* there is no beginning-of-sequence token unless the file names one */
    PRE_CHARACTERS = 8,     /* BPE of characters with U+2581 for a space, not of bytes */
    PRE_WHOLE_NEWLINES = 16 /* a row of newlines that is a token is that token */
};

typedef struct pretokenizer {
    const char *name;
    const struct scan_stage *stages;
    unsigned n_stages, flags;
} pretokenizer;

/* NULL: not known. */
const pretokenizer *pretokenizer_find(str name);

/* Walks over the words of a text: start with pretokenize, then next until at == n. */
typedef struct pretokenization {
    const pretokenizer *pre;
    const char *p;
    size_t at, n;
    size_t ends[PRETOKENIZER_STAGES_MAX];       /* of the piece of each stage that `at` is in */
    const char *memos[PRETOKENIZER_STAGES_MAX]; /* see scan.h */
} pretokenization;

pretokenization pretokenize(const pretokenizer *pre, const char *p, size_t n);
/* The length of the next word, which begins at p + at; moves on. Only when at < n. */
size_t pretokenize_next(pretokenization *w);

/* What to name in a message: the best known name of each family. */
#define PRETOKENIZER_KINDS                                                                                   \
    "gpt-2, llama-bpe, qwen2, gpt-4o, tekken, deepseek-v3, starcoder, falcon, command-r and their relatives"

#endif
