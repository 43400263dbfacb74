/* The bytes of all tokens of a vocabulary as a tree that is stored in the order of a walk: a node is followed
 * by what begins with its bytes. Built once per grammar by trie.c, read by match.c;
 * immutable. */
#ifndef LEAT_RUNTIME_GRAMMAR_TRIE_H
#define LEAT_RUNTIME_GRAMMAR_TRIE_H

#include "runtime/text/vocab.h"

typedef struct trie_node {
    uint32_t skip;  /* the next node that doesn't begin with this one's bytes */
    uint32_t first; /* its own tokens: sorted[first .. first + n) */
    uint16_t n;     /* with UINT16_MAX: up to the first of the next node */
    uint16_t byte;
    uint32_t depth; /* bytes, from 1 on */
} trie_node;

/* Tokens that end a generation, and those without bytes of their own (special ones), are not in the nodes. */
typedef struct token_trie {
    trie_node *nodes; /* (n_nodes + 1): the last one ends the list of tokens */
    size_t n_nodes;
    uint32_t *sorted; /* (n_sorted) */
    size_t n_sorted;
    uint32_t n_vocab, longest; /* bytes of a token */
    char *bytes;               /* of all tokens, one after the other */
    uint32_t *piece_at;        /* (n_vocab + 1) */
    uint64_t *ends;            /* bits: tokens that end a generation */
    size_t words;              /* of a set of tokens as bits */
} token_trie;

leat_status trie_build(token_trie *t, const vocab *v,
                       leat_error *e); /* *t zeroed before; trie_free in any case */
void trie_free(token_trie *t);

static inline str trie_piece(const token_trie *t, uint32_t token) {
    return (str){t->bytes + t->piece_at[token], t->piece_at[token + 1] - t->piece_at[token]};
}
static inline bool trie_is_end(const token_trie *t, uint32_t token) {
    return t->ends[token / 64] >> token % 64 & 1;
}

#endif
