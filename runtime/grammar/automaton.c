/* From the graph with empty edges to the automaton of automaton.h: each rule by itself becomes
 * deterministic (calls of rules being letters like others) unless that takes far more states than it had;
 * what can't lead to an end is cut away. check.c then looks for rules that run in circles. Called by
 * grammar.c. Linear, but for the subsets, which are bounded. */
#include "automaton.h"

#include <string.h>

#include "loader/alloc.h"

enum { SLOTS_MAX = 2 * GRAMMAR_STATES_MAX, ITEMS_MAX = 1 << 24 };

typedef struct vector {
    uint32_t *p;
    size_t n, room;
} vector;

typedef struct subset { /* of states of the graph, before its empty edges are followed */
    uint32_t first, n;
} subset;

typedef struct determinize {
    const nfa *f;
    automaton *a;
    subset *subsets; /* (a->n_states) */
    vector items;    /* what subsets are made of, each sorted */
    vector closure, targets;
    struct slot {
        uint32_t stamp, state;
    } * slots; /* a power of two, at least twice as many as a rule may have states */
    size_t n_slots;
    uint32_t stamp; /* of this attempt at this rule: older slots are free */
    uint32_t *mark; /* (f->n_states) mark_stamp: is in the closure */
    uint32_t mark_stamp;
    size_t states_room, subsets_room, bytes_room, calls_room, tokens_room;
    leat_status status;
    leat_error *e;
} determinize;

static bool grow(determinize *d, void **array, size_t used, size_t *room, size_t size, size_t most) {
    if (d->status) return false;
    if (used < *room) return true;
    if (used >= most) {
        d->status =
            error_set(d->e, LEAT_E_LIMIT,
                      "the grammar is too large: its automaton needs more than %zu edges or states", most);
        return false;
    }
    size_t wanted = *room ? 2 * *room : 256;
    void *grown = mem_resize(*array, *room, wanted, size);
    if (!grown) {
        d->status = error_set(d->e, LEAT_E_NOMEM, "out of memory for a grammar");
        return false;
    }
    *array = grown;
    *room = wanted;
    return true;
}

static void push(determinize *d, vector *v, uint32_t x) {
    void *p = v->p;
    if (!grow(d, &p, v->n, &v->room, sizeof *v->p, ITEMS_MAX)) return;
    v->p = p;
    v->p[v->n++] = x;
}

/* Sorts and leaves out doubles. */
static void tidy(vector *v) {
    for (size_t gap = v->n / 2; gap; gap /= 2)
        for (size_t i = gap; i < v->n; i++) {
            uint32_t x = v->p[i];
            size_t j = i;
            for (; j >= gap && v->p[j - gap] > x; j -= gap) v->p[j] = v->p[j - gap];
            v->p[j] = x;
        }
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        if (!n || v->p[n - 1] != v->p[i]) v->p[n++] = v->p[i];
    v->n = n;
}

/* The state of the subset d->targets, which it tidies. */
static uint32_t state_of_targets(determinize *d) {
    tidy(&d->targets);
    if (d->status) return 0;
    uint64_t hash = d->targets.n;
    for (size_t i = 0; i < d->targets.n; i++) hash = (hash ^ d->targets.p[i]) * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 32) & (d->n_slots - 1);
    for (; d->slots[at].stamp == d->stamp; at = (at + 1) & (d->n_slots - 1)) {
        const subset *s = &d->subsets[d->slots[at].state];
        if (s->n == d->targets.n && !memcmp(d->items.p + s->first, d->targets.p, s->n * sizeof *d->items.p))
            return d->slots[at].state;
    }
    automaton *a = d->a;
    void *states = a->states, *subsets = d->subsets;
    if (!grow(d, &subsets, a->n_states, &d->subsets_room, sizeof *d->subsets, GRAMMAR_STATES_MAX)) return 0;
    d->subsets = subsets;
    if (!grow(d, &states, a->n_states, &d->states_room, sizeof *a->states, GRAMMAR_STATES_MAX)) return 0;
    a->states = states;
    d->subsets[a->n_states] = (subset){(uint32_t)d->items.n, (uint32_t)d->targets.n};
    for (size_t i = 0; i < d->targets.n; i++) push(d, &d->items, d->targets.p[i]);
    d->slots[at].stamp = d->stamp;
    d->slots[at].state = (uint32_t)a->n_states;
    return (uint32_t)a->n_states++;
}

static void put_bytes(determinize *d, unsigned low, unsigned high, uint32_t target) {
    automaton *a = d->a;
    void *p = a->bytes;
    if (!grow(d, &p, a->n_bytes, &d->bytes_room, sizeof *a->bytes, GRAMMAR_EDGES_MAX)) return;
    a->bytes = p;
    a->bytes[a->n_bytes++] = (byte_edge){(uint8_t)low, (uint8_t)high, target};
}

static void put_call(determinize *d, uint32_t rule, uint32_t target) {
    automaton *a = d->a;
    void *p = a->calls;
    if (!grow(d, &p, a->n_calls, &d->calls_room, sizeof *a->calls, GRAMMAR_EDGES_MAX)) return;
    a->calls = p;
    a->calls[a->n_calls++] = (call_edge){rule, target};
}

static void put_token(determinize *d, uint32_t token, bool negated, uint32_t target) {
    automaton *a = d->a;
    void *p = a->tokens;
    if (!grow(d, &p, a->n_tokens, &d->tokens_room, sizeof *a->tokens, GRAMMAR_EDGES_MAX)) return;
    a->tokens = p;
    a->tokens[a->n_tokens++] = (token_edge){token, target, negated};
}

/* d->closure: the subset and what empty edges lead to. */
static void close_subset(determinize *d, subset s) {
    const nfa *f = d->f;
    d->closure.n = 0;
    d->mark_stamp++;
    for (uint32_t i = 0; i < s.n; i++) {
        d->mark[d->items.p[s.first + i]] = d->mark_stamp;
        push(d, &d->closure, d->items.p[s.first + i]);
    }
    for (size_t i = 0; i < d->closure.n && !d->status; i++)
        for (uint32_t x = f->first[d->closure.p[i]]; x; x = f->edges[x - 1].next) {
            const nfa_edge *edge = &f->edges[x - 1];
            if (edge->kind != NFA_EMPTY || d->mark[edge->target] == d->mark_stamp) continue;
            d->mark[edge->target] = d->mark_stamp;
            push(d, &d->closure, edge->target);
        }
}

/* d->targets: where the edges of d->closure of a kind and value lead; of bytes: those that hold the byte. */
static void gather(determinize *d, nfa_kind kind, uint32_t value) {
    const nfa *f = d->f;
    d->targets.n = 0;
    for (size_t i = 0; i < d->closure.n; i++)
        for (uint32_t x = f->first[d->closure.p[i]]; x; x = f->edges[x - 1].next) {
            const nfa_edge *edge = &f->edges[x - 1];
            bool in = kind == NFA_BYTES ? edge->low <= value && value <= edge->high : edge->value == value;
            if (edge->kind == kind && in) push(d, &d->targets, edge->target);
        }
}

static void merged_bytes(determinize *d, const bool cut[257]) {
    size_t first = d->a->n_bytes;
    for (unsigned low = 0; low < 256 && !d->status;) {
        unsigned high = low;
        while (high < 255 && !cut[high + 1]) high++;
        gather(d, NFA_BYTES, low);
        if (d->targets.n) {
            uint32_t target = state_of_targets(d);
            automaton *a = d->a;
            if (a->n_bytes > first && a->bytes[a->n_bytes - 1].target == target &&
                a->bytes[a->n_bytes - 1].high + 1u == low)
                a->bytes[a->n_bytes - 1].high = (uint8_t)high;
            else
                put_bytes(d, low, high, target);
        }
        low = high + 1;
    }
}

static bool has_call(const automaton *a, size_t first, uint32_t rule) {
    for (size_t i = first; i < a->n_calls; i++)
        if (a->calls[i].rule == rule) return true;
    return false;
}
static bool has_token(const automaton *a, size_t first, uint32_t token, bool negated) {
    for (size_t i = first; i < a->n_tokens; i++)
        if (a->tokens[i].token == token && a->tokens[i].negated == negated) return true;
    return false;
}

/* All edges of a state. Merged: one for each letter. Else one for each of the graph. */
static void fill_state(determinize *d, uint32_t state, uint32_t end, bool merged) {
    const nfa *f = d->f;
    automaton *a = d->a;
    size_t bytes = a->n_bytes, calls = a->n_calls, tokens = a->n_tokens;
    bool cut[257] = {false}, any = false;
    close_subset(d, d->subsets[state]);
    a->states[state].final = d->mark[end] == d->mark_stamp;
    for (size_t i = 0; i < d->closure.n && !d->status; i++)
        for (uint32_t x = f->first[d->closure.p[i]]; x && !d->status; x = f->edges[x - 1].next) {
            nfa_edge edge = f->edges[x - 1];
            if (edge.kind == NFA_EMPTY) continue;
            if (merged && edge.kind == NFA_BYTES) {
                cut[edge.low] = cut[edge.high + 1] = any = true;
                continue;
            }
            bool negated = edge.kind == NFA_NOT_TOKEN;
            if (merged && (edge.kind == NFA_CALL ? has_call(a, calls, edge.value)
                                                 : has_token(a, tokens, edge.value, negated)))
                continue;
            if (merged) {
                gather(d, (nfa_kind)edge.kind, edge.value);
            } else {
                d->targets.n = 0;
                push(d, &d->targets, edge.target);
            }
            uint32_t target = state_of_targets(d);
            if (edge.kind == NFA_BYTES)
                put_bytes(d, edge.low, edge.high, target);
            else if (edge.kind == NFA_CALL)
                put_call(d, edge.value, target);
            else
                put_token(d, edge.value, negated, target);
        }
    if (any) merged_bytes(d, cut);
    if (d->status) return;
    automaton_state *s = &a->states[state];
    s->bytes = (uint32_t)bytes;
    s->calls = (uint32_t)calls;
    s->tokens = (uint32_t)tokens;
    s->n_bytes = (uint32_t)(a->n_bytes - bytes);
    s->n_calls = (uint32_t)(a->n_calls - calls);
    s->n_tokens = (uint32_t)(a->n_tokens - tokens);
}

/* False: it would take more than `most` states, and what was made of it must go again. */
static bool build_rule(determinize *d, size_t rule, bool merged, size_t most) {
    automaton *a = d->a;
    size_t base = a->n_states;
    d->stamp++;
    d->items.n = d->targets.n = 0; /* subsets of other rules are of no use any more */
    push(d, &d->targets, d->f->starts[rule]);
    a->start[rule] = state_of_targets(d);
    for (size_t i = base; i < a->n_states && !d->status; i++) {
        if (a->n_states - base > most || d->items.n > ITEMS_MAX / 2) return false;
        fill_state(d, (uint32_t)i, d->f->ends[rule], merged);
    }
    return true;
}

static leat_status determinize_all(automaton *a, const nfa *f, leat_error *e) {
    determinize d = {.f = f, .a = a, .e = e};
    for (d.n_slots = 8192; d.n_slots < 10 * f->n_states && d.n_slots < SLOTS_MAX;) d.n_slots *= 2;
    d.slots = mem_alloc(d.n_slots, sizeof *d.slots);
    d.mark = mem_alloc(f->n_states, sizeof *d.mark);
    if (!d.slots || !d.mark) d.status = error_set(e, LEAT_E_NOMEM, "out of memory for a grammar");
    for (size_t rule = 0; rule < f->n_rules && !d.status; rule++) {
        automaton before = *a;
        /* rules have their states one after the other */
        size_t n = (rule + 1 < f->n_rules ? f->starts[rule + 1] : f->n_states) - f->starts[rule];
        if (build_rule(&d, rule, true, 4 * n + 2000)) continue;
        a->n_states = before.n_states;
        a->n_bytes = before.n_bytes;
        a->n_calls = before.n_calls;
        a->n_tokens = before.n_tokens;
        build_rule(&d, rule, false, GRAMMAR_STATES_MAX);
    }
    mem_free(d.subsets);
    mem_free(d.items.p);
    mem_free(d.closure.p);
    mem_free(d.targets.p);
    mem_free(d.slots);
    mem_free(d.mark);
    return d.status;
}

leat_status automaton_build(automaton *a, const grammar_tree *t, leat_error *e) {
    nfa f = {0};
    leat_status status = nfa_build(&f, t, e);
    if (!status) {
        a->n_rules = f.n_rules;
        a->root = f.root;
        a->start = mem_alloc(f.n_rules, sizeof *a->start);
        status =
            a->start ? determinize_all(a, &f, e) : error_set(e, LEAT_E_NOMEM, "out of memory for a grammar");
    }
    if (!status) status = automaton_trim(a, t, f.tree_rule, e);
    if (!status) status = automaton_check(a, t, f.tree_rule, e);
    nfa_free(&f);
    return status;
}

void automaton_free(automaton *a) {
    mem_free(a->states);
    mem_free(a->bytes);
    mem_free(a->calls);
    mem_free(a->tokens);
    mem_free(a->start);
}
