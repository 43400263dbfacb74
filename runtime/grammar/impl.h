/* A compiled grammar, for grammar.c and match.c. */
#ifndef LEAT_RUNTIME_GRAMMAR_IMPL_H
#define LEAT_RUNTIME_GRAMMAR_IMPL_H

#include <stdatomic.h>

#include "grammar.h"
#include "automaton.h"
#include "trie.h"

struct leat_grammar {
    atomic_uint holders;
    automaton a;
    token_trie trie;
};

#endif
