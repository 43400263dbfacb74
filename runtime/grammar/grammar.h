/* Text that has to follow rules: a grammar compiled with a vocabulary into a byte-level pushdown automaton
 * (leat_grammar, immutable), and the state of one text that is being made by it (grammar_matcher, one thread
 * at a time). Used by api_sample.c and sample.c.
 *
 *     GBNF, JSON schema, regular expression --> syntax tree (tree.h) --> automaton
 * (automaton.h) vocabulary --> trie of the tokens' bytes;  both --> which tokens may come next
 * (match.c)
 *
 * The matcher keeps the set of all stacks that the text so far can have led to. Which tokens one stack allows
 * is worked out by walking the trie once, and kept under the part of the stack that the walk looked at, so
 * the depth of what lies below makes no difference. Everything is bounded: the size of a grammar, the number
 * of stacks, their depth, the memory for what is kept. */
#ifndef LEAT_RUNTIME_GRAMMAR_GRAMMAR_H
#define LEAT_RUNTIME_GRAMMAR_GRAMMAR_H

#include "runtime/leat.h"
#include "runtime/text/vocab.h"

typedef enum grammar_language { GRAMMAR_GBNF, GRAMMAR_SCHEMA, GRAMMAR_REGEX } grammar_language;

/* Keeps neither v nor the text. LEAT_E_ARG with line and column for what is wrong,
 * LEAT_E_UNSUPPORTED for what can't be kept, LEAT_E_LIMIT for what is too large. */
leat_status grammar_open(const vocab *v, grammar_language language, const char *text, size_t n,
                         leat_grammar **out, leat_error *e);
/* One more holder; thread-safe. */
leat_grammar *grammar_hold(leat_grammar *g);
void grammar_release(leat_grammar *g); /* NULL is fine */
uint32_t grammar_n_vocab(const leat_grammar *g);

typedef struct grammar_matcher grammar_matcher;

/* Holds the grammar. */
leat_status grammar_matcher_open(leat_grammar *g, grammar_matcher **out, leat_error *e);
void grammar_matcher_close(grammar_matcher *m); /* NULL is fine */
void grammar_matcher_reset(grammar_matcher *m);
/* Which tokens may come next: bit t % 64 of word t / 64; bits from n_vocab on are 0. Valid until the next
 * call.
 */
leat_status grammar_matcher_mask(grammar_matcher *m, const uint64_t **mask, leat_error *e);
/* LEAT_E_STATE if the token may not come here; LEAT_E_LIMIT if the text became too ambiguous or too deep.
 * Then the matcher is as before. A token that ends a generation changes nothing. */
leat_status grammar_matcher_accept(grammar_matcher *m, int32_t token, leat_error *e);
bool grammar_matcher_can_end(const grammar_matcher *m);
bool grammar_matcher_must_end(grammar_matcher *m);

#endif
