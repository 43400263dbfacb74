/* Compiling a grammar, from text to automaton and trie, and holding it; see grammar.h. Called by
 * api_sample.c. */
#include "grammar.h"

#include "impl.h"
#include "loader/alloc.h"

leat_status grammar_open(const vocab *v, grammar_language language, const char *text, size_t n,
                         leat_grammar **out, leat_error *e) {
    grammar_tree t;
    leat_grammar *g = NULL;
    *out = NULL;
    if (n > GRAMMAR_TEXT_MAX)
        return error_set(e, LEAT_E_LIMIT, "a grammar of %zu bytes is too large; %d are the most", n,
                         GRAMMAR_TEXT_MAX);
    leat_status status = tree_open(&t, v, e);
    if (!status) {
        if (language == GRAMMAR_GBNF)
            gbnf_parse(&t, text, n);
        else if (language == GRAMMAR_REGEX)
            regex_parse(&t, text, n);
        else
            schema_parse(&t, text, n);
        status = t.status;
    }
    if (!status) {
        g = mem_alloc(1, sizeof *g);
        if (!g) {
            status = error_set(e, LEAT_E_NOMEM, "out of memory for a grammar");
            goto fail;
        }
        atomic_init(&g->holders, 1);
        status = automaton_build(&g->a, &t, e);
        if (!status) status = trie_build(&g->trie, v, e);
    }
fail:
    tree_close(&t);
    if (status)
        grammar_release(g);
    else
        *out = g;
    return status;
}

leat_grammar *grammar_hold(leat_grammar *g) {
    atomic_fetch_add_explicit(&g->holders, 1, memory_order_relaxed);
    return g;
}

void grammar_release(leat_grammar *g) {
    if (!g || atomic_fetch_sub_explicit(&g->holders, 1, memory_order_acq_rel) != 1) return;
    automaton_free(&g->a);
    trie_free(&g->trie);
    mem_free(g);
}

uint32_t grammar_n_vocab(const leat_grammar *g) {
    return g->trie.n_vocab;
}
