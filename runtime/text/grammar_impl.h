/* A compiled grammar, for grammar.c and grammar_match.c. */
#ifndef LEAT_RUNTIME_TEXT_GRAMMAR_IMPL_H
#define LEAT_RUNTIME_TEXT_GRAMMAR_IMPL_H

#include <stdatomic.h>

#include "grammar.h"
#include "grammar_automaton.h"
#include "grammar_trie.h"

struct leat_grammar {
    atomic_uint holders;
    automaton a;
    token_trie trie;
};

#endif
