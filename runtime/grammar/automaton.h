/* What a grammar is compiled to: for each rule that is not written into its callers, a graph of states with
 * edges for bytes, for calls of rules, for whole tokens. Deterministic for each rule where that stays small.
 * Every state can reach the end of its rule, no rule calls itself before its first byte, so whoever follows
 * the edges neither gets stuck nor runs in circles. Built by nfa.c (tree to a graph with empty edges)
 * and automaton.c (the rest), read by match.c. */
#ifndef LEAT_RUNTIME_GRAMMAR_AUTOMATON_H
#define LEAT_RUNTIME_GRAMMAR_AUTOMATON_H

#include "tree.h"

enum { GRAMMAR_EDGES_MAX = 1 << 21 };

typedef struct byte_edge {
    uint8_t low, high;
    uint32_t target;
} byte_edge;

typedef struct call_edge {
    uint32_t rule, target; /* where to go on after it */
} call_edge;

typedef struct token_edge {
    uint32_t token, target;
    bool negated;
} token_edge;

typedef struct automaton_state {
    uint32_t bytes, calls, tokens; /* first edge of each kind */
    uint32_t n_bytes, n_calls, n_tokens;
    bool final;
} automaton_state;

typedef struct automaton {
    automaton_state *states;
    byte_edge *bytes;
    call_edge *calls;
    token_edge *tokens;
    uint32_t *start; /* (n_rules) of a rule's graph */
    size_t n_states, n_bytes, n_calls, n_tokens, n_rules;
    uint32_t root; /* rule */
} automaton;

/* `a` must be zeroed; automaton_free in any case. */
leat_status automaton_build(automaton *a, const grammar_tree *t, leat_error *e);
void automaton_free(automaton *a);

/* ---- check.c; tree_rule: (n_rules) which rule of the tree each is ---- */

/* Cuts away what leads to no end. LEAT_E_ARG if then nothing is left of the root. */
leat_status automaton_trim(automaton *a, const grammar_tree *t, const uint32_t *tree_rule, leat_error *e);
/* LEAT_E_ARG for a rule that calls itself before its first byte. */
leat_status automaton_check(const automaton *a, const grammar_tree *t, const uint32_t *tree_rule,
                            leat_error *e);

/* ---- nfa.c ---- */

typedef enum nfa_kind { NFA_EMPTY, NFA_BYTES, NFA_CALL, NFA_TOKEN, NFA_NOT_TOKEN } nfa_kind;

typedef struct nfa_edge {
    uint8_t kind, low, high; /* NFA_BYTES: low .. high */
    uint32_t value;          /* rule of the automaton, token */
    uint32_t target, next;   /* next edge of the same state, + 1; 0: last */
} nfa_edge;

/* All rules in one: rule i goes from state starts[i] to ends[i]. */
typedef struct nfa {
    uint32_t *first; /* (n_states) first edge + 1 */
    nfa_edge *edges;
    size_t n_states, n_edges, states_room, edges_room;
    uint32_t *starts, *ends; /* (n_rules) */
    uint32_t *tree_rule;     /* (n_rules) which rule of the tree it is */
    size_t n_rules;
    uint32_t root;
} nfa;

leat_status nfa_build(nfa *f, const grammar_tree *t, leat_error *e);
void nfa_free(nfa *f);

#endif
