/* The last two steps of compiling a grammar: cutting away states from which no end can be reached (a rule
 * that only ever calls itself, a class without characters), and refusing rules that call themselves before
 * their first byte, which would be an endless climb for whoever follows the edges. Called by automaton_build.
 */
#include <string.h>

#include "automaton.h"
#include "loader/alloc.h"

static leat_status complain(const grammar_tree *t, uint32_t rule, const char *what, leat_error *e) {
    const grammar_rule *r = &t->rules[rule];
    if (!r->line) return error_set(e, LEAT_E_ARG, "the grammar %s", what);
    return error_set(e, LEAT_E_ARG, "grammar, line %zu, column %zu: the rule \"%.*s\" %s", r->line, r->column,
                     (int)(r->name_length < 60 ? r->name_length : 60), t->bytes + r->name, what);
}

/* ---- what reaches an end ---- */

typedef struct back_edge { /* from a state to one that has an edge to it */
    uint32_t source, next; /* next of the same target, + 1 */
    uint32_t rule;         /* + 1: the edge is a call of it; 0: any other */
} back_edge;

typedef struct reach {
    automaton *a;
    uint32_t *first; /* (n_states) back edge + 1 */
    back_edge *edges;
    size_t n_edges;
    uint32_t *waiting; /* (n_rules) back edges (+ 1) of calls whose target is good, for when the rule is */
    uint32_t *rule_of_start; /* (n_states) + 1; 0: no start */
    uint8_t *good;           /* (n_states) */
    uint32_t *queue;         /* (n_states) */
    size_t n_queue;
} reach;

static void add_back(reach *r, uint32_t source, uint32_t target, uint32_t rule) {
    r->edges[r->n_edges] = (back_edge){source, r->first[target], rule};
    r->first[target] = (uint32_t)++r->n_edges;
}

static void mark_good(reach *r, uint32_t state) {
    if (r->good[state]) return;
    r->good[state] = 1;
    r->queue[r->n_queue++] = state;
}

static bool rule_good(const reach *r, uint32_t rule) {
    return r->good[r->a->start[rule]];
}

static void find_good(reach *r) {
    automaton *a = r->a;
    for (uint32_t i = 0; i < a->n_states; i++) {
        const automaton_state *s = &a->states[i];
        if (s->final) mark_good(r, i);
        for (uint32_t k = 0; k < s->n_bytes; k++) add_back(r, i, a->bytes[s->bytes + k].target, 0);
        for (uint32_t k = 0; k < s->n_tokens; k++) add_back(r, i, a->tokens[s->tokens + k].target, 0);
        for (uint32_t k = 0; k < s->n_calls; k++)
            add_back(r, i, a->calls[s->calls + k].target, a->calls[s->calls + k].rule + 1);
    }
    for (size_t i = 0; i < r->n_queue; i++) {
        uint32_t state = r->queue[i], next;
        for (uint32_t x = r->first[state]; x; x = next) {
            back_edge *b = &r->edges[x - 1];
            next = b->next;
            if (!b->rule || rule_good(r, b->rule - 1)) {
                mark_good(r, b->source);
            } else { /* it leaves this list, which nobody reads again, for the rule's */
                b->next = r->waiting[b->rule - 1];
                r->waiting[b->rule - 1] = x;
            }
        }
        if (!r->rule_of_start[state]) continue;
        uint32_t *waiting = &r->waiting[r->rule_of_start[state] - 1];
        for (uint32_t x = *waiting; x; x = r->edges[x - 1].next) mark_good(r, r->edges[x - 1].source);
        *waiting = 0;
    }
}

static void cut(reach *r) {
    automaton *a = r->a;
    for (uint32_t i = 0; i < a->n_states; i++) {
        automaton_state *s = &a->states[i];
        uint32_t n = 0;
        for (uint32_t k = 0; k < s->n_bytes; k++)
            if (r->good[a->bytes[s->bytes + k].target]) a->bytes[s->bytes + n++] = a->bytes[s->bytes + k];
        s->n_bytes = n;
        n = 0;
        for (uint32_t k = 0; k < s->n_tokens; k++)
            if (r->good[a->tokens[s->tokens + k].target])
                a->tokens[s->tokens + n++] = a->tokens[s->tokens + k];
        s->n_tokens = n;
        n = 0;
        for (uint32_t k = 0; k < s->n_calls; k++) {
            call_edge c = a->calls[s->calls + k];
            if (r->good[c.target] && rule_good(r, c.rule)) a->calls[s->calls + n++] = c;
        }
        s->n_calls = n;
    }
}

leat_status automaton_trim(automaton *a, const grammar_tree *t, const uint32_t *tree_rule, leat_error *e) {
    reach r = {.a = a};
    leat_status status = LEAT_OK;
    r.first = mem_alloc(a->n_states, sizeof *r.first);
    r.edges = mem_alloc(a->n_bytes + a->n_calls + a->n_tokens, sizeof *r.edges);
    r.waiting = mem_alloc(a->n_rules, sizeof *r.waiting);
    r.rule_of_start = mem_alloc(a->n_states, sizeof *r.rule_of_start);
    r.good = mem_alloc(a->n_states, 1);
    r.queue = mem_alloc(a->n_states, sizeof *r.queue);
    if (!r.first || !r.edges || !r.waiting || !r.rule_of_start || !r.good || !r.queue) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for a grammar");
        goto fail;
    }
    for (uint32_t i = 0; i < a->n_rules; i++) r.rule_of_start[a->start[i]] = i + 1;
    find_good(&r);
    if (rule_good(&r, a->root))
        cut(&r);
    else
        status = complain(t, tree_rule[a->root], "describes no text at all: it has no end", e);
fail:
    mem_free(r.first);
    mem_free(r.edges);
    mem_free(r.waiting);
    mem_free(r.rule_of_start);
    mem_free(r.good);
    mem_free(r.queue);
    return status;
}

/* ---- left recursion ---- */

typedef struct climb {
    const automaton *a;
    uint8_t *nullable; /* (n_rules) may be the empty text */
    uint32_t *seen;    /* (n_states) stamp of the walk that met it */
    uint32_t stamp;
    uint32_t *queue; /* (n_states) */
    size_t n_queue;
} climb;

/* c->queue: the states of a rule that can be reached without a byte. True if one of them is final. */
static bool walk_empty(climb *c, uint32_t rule) {
    const automaton *a = c->a;
    bool final = false;
    c->stamp++;
    c->n_queue = 0;
    c->queue[c->n_queue++] = a->start[rule];
    c->seen[a->start[rule]] = c->stamp;
    for (size_t i = 0; i < c->n_queue; i++) {
        const automaton_state *s = &a->states[c->queue[i]];
        final |= s->final;
        for (uint32_t k = 0; k < s->n_calls; k++) {
            call_edge x = a->calls[s->calls + k];
            if (!c->nullable[x.rule] || c->seen[x.target] == c->stamp) continue;
            c->seen[x.target] = c->stamp;
            c->queue[c->n_queue++] = x.target;
        }
    }
    return final;
}

/* Depth first along calls that may come before the first byte; a rule met while it is open climbs for ever.
 * The calls of each open rule are listed on `calls`, a stack. */
static leat_status find_circle(climb *c, uint32_t *calls, size_t room, const grammar_tree *t,
                               const uint32_t *tree_rule, leat_error *e) {
    enum { NEW, OPEN, DONE };
    const automaton *a = c->a;
    uint8_t *state = mem_alloc(a->n_rules, 1);
    uint32_t *open = mem_alloc(a->n_rules + 1, sizeof *open); /* and what it was opened from, at the bottom */
    uint32_t *from = mem_alloc(a->n_rules + 1, sizeof *from);
    leat_status status = LEAT_OK;
    if (!state || !open || !from) status = error_set(e, LEAT_E_NOMEM, "out of memory for a grammar");
    for (uint32_t root = 0; root < a->n_rules && !status; root++) {
        size_t depth = 0, n = 0;
        if (state[root] != NEW) continue;
        calls[n++] = root;
        open[depth] = UINT32_MAX;
        from[depth++] = 0;
        while (depth && !status) {
            if (n == from[depth - 1]) { /* nothing is left of the rule that is open */
                depth--;
                if (open[depth] != UINT32_MAX) state[open[depth]] = DONE;
                continue;
            }
            uint32_t rule = calls[--n];
            if (state[rule] == OPEN)
                status = complain(t, tree_rule[rule],
                                  "calls itself before its first character (left recursion)", e);
            if (state[rule] != NEW || status) continue;
            state[rule] = OPEN;
            open[depth] = rule; /* depth <= n_rules: each rule is open at most once */
            from[depth++] = (uint32_t)n;
            walk_empty(c, rule);
            c->stamp++; /* now marks rules, by their starts: each is listed once */
            size_t n_states = c->n_queue;
            for (size_t i = 0; i < n_states; i++) {
                const automaton_state *s = &a->states[c->queue[i]];
                for (uint32_t k = 0; k < s->n_calls && n < room; k++) {
                    uint32_t called = a->calls[s->calls + k].rule;
                    if (state[called] == DONE || c->seen[a->start[called]] == c->stamp) continue;
                    c->seen[a->start[called]] = c->stamp;
                    calls[n++] = called;
                }
            }
        }
    }
    mem_free(state);
    mem_free(open);
    mem_free(from);
    return status;
}

leat_status automaton_check(const automaton *a, const grammar_tree *t, const uint32_t *tree_rule,
                            leat_error *e) {
    climb c = {.a = a};
    size_t room = a->n_calls + a->n_rules + 1;
    uint32_t *calls = mem_alloc(room, sizeof *calls);
    leat_status status = LEAT_OK;
    c.nullable = mem_alloc(a->n_rules, 1);
    c.seen = mem_alloc(a->n_states, sizeof *c.seen);
    c.queue = mem_alloc(a->n_states, sizeof *c.queue);
    if (!calls || !c.nullable || !c.seen || !c.queue) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for a grammar");
        goto fail;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < a->n_rules; i++)
            if (!c.nullable[i] && walk_empty(&c, i)) c.nullable[i] = changed = true;
    }
    status = find_circle(&c, calls, room, t, tree_rule, e);
fail:
    mem_free(calls);
    mem_free(c.nullable);
    mem_free(c.seen);
    mem_free(c.queue);
    return status;
}
