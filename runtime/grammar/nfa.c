/* From the tree of a grammar to a graph over bytes with empty edges (Thompson's construction). Small rules
 * that don't contain themselves are written into their callers, which keeps stacks flat; characters become
 * byte sequences. Called by automaton_build. Recursion goes no deeper than nodes and inlined rules are
 * nested, which is bounded. */
#include <string.h>

#include "automaton.h"
#include "loader/alloc.h"
#include "runtime/text/utf8.h"

enum { INLINE_SIZE = 200, WALK_DEPTH = 600, WALK_STEPS = 1 << 24 };

typedef struct build {
    nfa *f;
    const grammar_tree *t;
    uint64_t
        *size;     /* (tree rules) about how many states it takes, what it calls included; 0: not known yet */
    uint8_t *open; /* (tree rules) being measured now */
    uint8_t *kept; /* (tree rules) is called, not inlined, because it contains itself */
    uint32_t *index; /* (tree rules) its rule in f, + 1 */
    uint32_t *queue; /* (tree rules) those with a rule in f; their bodies are built in this order */
    size_t steps;
    leat_status status;
    leat_error *e;
} build;

static void stop(build *b, leat_status status, const char *why) {
    if (!b->status) b->status = error_set(b->e, status, "%s", why);
}

/* Bounds the work on trees whose shared nodes unfold to very many. */
static bool may_go_on(build *b, unsigned depth) {
    if (depth > WALK_DEPTH) stop(b, LEAT_E_LIMIT, "the grammar is nested too deep");
    if (++b->steps > WALK_STEPS) stop(b, LEAT_E_LIMIT, "the grammar is too large");
    return !b->status;
}

/* ---- which rules are inlined ---- */

static uint64_t measure_rule(build *b, uint32_t rule, unsigned depth);

static uint64_t measure(build *b, uint32_t node, unsigned depth) {
    if (!may_go_on(b, depth)) return 0;
    const grammar_node *n = &b->t->nodes[node];
    uint64_t size = 1;
    switch (n->kind) {
    case NODE_BYTES: size = n->b; break;
    case NODE_CLASS: size = 1 + 2 * (uint64_t)n->b; break;
    case NODE_SEQ:
    case NODE_ALT:
        for (uint32_t c = n->a; c; c = b->t->cells[c - 1].next)
            size += measure(b, b->t->cells[c - 1].node, depth + 1);
        break;
    case NODE_REPEAT: {
        uint64_t times = n->c == GRAMMAR_FOREVER ? (uint64_t)n->b + 1 : n->c;
        size = times * measure(b, n->a, depth + 1);
        break;
    }
    case NODE_CALL: {
        uint64_t inside = measure_rule(b, n->a, depth + 1);
        size = b->kept[n->a] || inside > INLINE_SIZE ? 1 : inside;
        break;
    }
    default: break;
    }
    return size < (UINT64_C(1) << 40) ? size : UINT64_C(1) << 40;
}

/* A rule met while it is measured contains itself: it is kept apart, which cuts every circle. */
static uint64_t measure_rule(build *b, uint32_t rule, unsigned depth) {
    if (b->open[rule]) {
        b->kept[rule] = 1;
        return 1;
    }
    if (b->size[rule]) return b->size[rule];
    b->open[rule] = 1;
    uint64_t size = measure(b, b->t->rules[rule].body, depth);
    b->open[rule] = 0;
    return b->size[rule] = size ? size : 1;
}

/* ---- the graph ---- */

static uint32_t new_state(build *b) {
    nfa *f = b->f;
    if (b->status) return 0;
    if (f->n_states == f->states_room) {
        size_t room = f->states_room ? 2 * f->states_room : 256;
        bool full = f->n_states >= GRAMMAR_STATES_MAX;
        uint32_t *grown = full ? NULL : mem_resize(f->first, f->states_room, room, sizeof *f->first);
        if (!grown) {
            stop(b, full ? LEAT_E_LIMIT : LEAT_E_NOMEM,
                 full ? "the grammar is too large: its repetitions unfold to too many states"
                      : "out of memory for a grammar");
            return 0;
        }
        f->first = grown;
        f->states_room = room;
    }
    return (uint32_t)f->n_states++;
}

static void edge(build *b, uint32_t from, nfa_edge x) {
    nfa *f = b->f;
    if (b->status) return;
    if (f->n_edges == f->edges_room) {
        size_t room = f->edges_room ? 2 * f->edges_room : 256;
        nfa_edge *grown = f->n_edges < GRAMMAR_EDGES_MAX
                              ? mem_resize(f->edges, f->edges_room, room, sizeof *f->edges)
                              : NULL;
        if (!grown) {
            stop(b, f->n_edges < GRAMMAR_EDGES_MAX ? LEAT_E_NOMEM : LEAT_E_LIMIT,
                 f->n_edges < GRAMMAR_EDGES_MAX ? "out of memory for a grammar" : "the grammar is too large");
            return;
        }
        f->edges = grown;
        f->edges_room = room;
    }
    x.next = f->first[from];
    f->edges[f->n_edges++] = x;
    f->first[from] = (uint32_t)f->n_edges;
}

static void empty_edge(build *b, uint32_t from, uint32_t to) {
    edge(b, from, (nfa_edge){.kind = NFA_EMPTY, .target = to});
}

static void byte_range(build *b, uint32_t from, unsigned low, unsigned high, uint32_t to) {
    edge(b, from, (nfa_edge){.kind = NFA_BYTES, .low = (uint8_t)low, .high = (uint8_t)high, .target = to});
}

/* Paths for the characters low..high, all of the same length in UTF-8: split where the bytes but the last
 * don't cover all of their range. */
static void utf8_paths(build *b, uint32_t from, uint32_t to, uint32_t low, uint32_t high) {
    uint32_t pending[16][2];
    unsigned n = 0;
    pending[n][0] = low;
    pending[n++][1] = high;
    while (n && !b->status) {
        low = pending[--n][0];
        high = pending[n][1];
        bool split = false;
        char first[4], last[4];
        size_t length = utf8_encode(low, first);
        utf8_encode(high, last);
        for (size_t i = 1; i < length && !split; i++) {
            uint32_t mask = (UINT32_C(1) << 6 * i) - 1;
            if ((low & ~mask) == (high & ~mask)) continue;
            if (low & mask) {
                pending[n][0] = (low | mask) + 1;
                pending[n++][1] = high;
                pending[n][0] = low;
                pending[n++][1] = low | mask;
                split = true;
            } else if ((high & mask) != mask) {
                pending[n][0] = high & ~mask;
                pending[n++][1] = high;
                pending[n][0] = low;
                pending[n++][1] = (high & ~mask) - 1;
                split = true;
            }
        }
        if (split) continue;
        uint32_t at = from;
        for (size_t i = 0; i < length; i++) {
            uint32_t next = i + 1 == length ? to : new_state(b);
            byte_range(b, at, (unsigned char)first[i], (unsigned char)last[i], next);
            at = next;
        }
    }
}

static void class_paths(build *b, const grammar_node *n, uint32_t from, uint32_t to) {
    static const uint32_t last_of_length[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
    for (uint32_t i = 0; i < n->b; i++) {
        grammar_range r = b->t->ranges[n->a + i];
        for (int k = 0; k < 4 && r.low <= r.high; k++) {
            if (r.low > last_of_length[k]) continue;
            uint32_t high = r.high < last_of_length[k] ? r.high : last_of_length[k];
            utf8_paths(b, from, to, r.low, high);
            r.low = high + 1;
        }
    }
}

static uint32_t rule_index(build *b, uint32_t rule) {
    if (!b->index[rule]) {
        b->queue[b->f->n_rules] = rule;
        b->index[rule] = (uint32_t)++b->f->n_rules;
    }
    return b->index[rule] - 1;
}

static void paths(build *b, uint32_t node, uint32_t from, uint32_t to, unsigned depth);

/* No edge leads back to `from` or away from `to`, so fragments can share both. */
static void repeat_paths(build *b, const grammar_node *n, uint32_t from, uint32_t to, unsigned depth) {
    uint32_t at = new_state(b);
    empty_edge(b, from, at);
    for (uint32_t i = 0; i < n->b && !b->status; i++) {
        uint32_t next = new_state(b);
        paths(b, n->a, at, next, depth);
        at = next;
    }
    if (n->c == GRAMMAR_FOREVER) {
        uint32_t loop = new_state(b), back = new_state(b);
        empty_edge(b, at, loop);
        paths(b, n->a, loop, back, depth);
        empty_edge(b, back, loop);
        empty_edge(b, loop, to);
        return;
    }
    for (uint32_t i = n->b; i < n->c && !b->status; i++) {
        uint32_t next = new_state(b);
        empty_edge(b, at, to);
        paths(b, n->a, at, next, depth);
        at = next;
    }
    empty_edge(b, at, to);
}

static void paths(build *b, uint32_t node, uint32_t from, uint32_t to, unsigned depth) {
    if (!may_go_on(b, depth)) return;
    const grammar_node *n = &b->t->nodes[node];
    switch (n->kind) {
    case NODE_EMPTY: empty_edge(b, from, to); break;
    case NODE_BYTES:
        for (uint32_t i = 0; i < n->b && !b->status; i++) {
            uint32_t next = i + 1 == n->b ? to : new_state(b);
            byte_range(b, from, (unsigned char)b->t->bytes[n->a + i], (unsigned char)b->t->bytes[n->a + i],
                       next);
            from = next;
        }
        break;
    case NODE_CLASS: class_paths(b, n, from, to); break;
    case NODE_SEQ:
        if (!n->a) empty_edge(b, from, to);
        for (uint32_t c = n->a; c && !b->status; c = b->t->cells[c - 1].next) {
            uint32_t next = b->t->cells[c - 1].next ? new_state(b) : to;
            paths(b, b->t->cells[c - 1].node, from, next, depth + 1);
            from = next;
        }
        break;
    case NODE_ALT:
        for (uint32_t c = n->a; c && !b->status; c = b->t->cells[c - 1].next)
            paths(b, b->t->cells[c - 1].node, from, to, depth + 1);
        break;
    case NODE_REPEAT: repeat_paths(b, n, from, to, depth + 1); break;
    case NODE_CALL:
        if (b->kept[n->a] || b->size[n->a] > INLINE_SIZE)
            edge(b, from, (nfa_edge){.kind = NFA_CALL, .value = rule_index(b, n->a), .target = to});
        else
            paths(b, b->t->rules[n->a].body, from, to, depth + 1);
        break;
    case NODE_TOKEN:
    case NODE_NOT_TOKEN:
        edge(b, from,
             (nfa_edge){
                 .kind = n->kind == NODE_TOKEN ? NFA_TOKEN : NFA_NOT_TOKEN, .value = n->a, .target = to});
        break;
    }
}

leat_status nfa_build(nfa *f, const grammar_tree *t, leat_error *e) {
    build b = {.f = f, .t = t, .e = e};
    b.size = mem_alloc(t->n_rules, sizeof *b.size);
    b.open = mem_alloc(t->n_rules, 1);
    b.kept = mem_alloc(t->n_rules, 1);
    b.index = mem_alloc(t->n_rules, sizeof *b.index);
    b.queue = mem_alloc(t->n_rules, sizeof *b.queue);
    f->starts = mem_alloc(t->n_rules, sizeof *f->starts);
    f->ends = mem_alloc(t->n_rules, sizeof *f->ends);
    f->tree_rule = mem_alloc(t->n_rules, sizeof *f->tree_rule);
    if (!b.size || !b.open || !b.kept || !b.index || !b.queue || !f->starts || !f->ends || !f->tree_rule) {
        stop(&b, LEAT_E_NOMEM, "out of memory for a grammar");
        goto fail;
    }
    measure_rule(&b, t->root, 0);
    f->root = rule_index(&b, t->root);
    for (size_t i = 0; i < f->n_rules && !b.status; i++) {
        f->tree_rule[i] = b.queue[i];
        f->starts[i] = new_state(&b);
        f->ends[i] = new_state(&b);
        paths(&b, t->rules[b.queue[i]].body, f->starts[i], f->ends[i], 0);
    }
fail:
    mem_free(b.size);
    mem_free(b.open);
    mem_free(b.kept);
    mem_free(b.index);
    mem_free(b.queue);
    return b.status;
}

void nfa_free(nfa *f) {
    mem_free(f->first);
    mem_free(f->edges);
    mem_free(f->starts);
    mem_free(f->ends);
    mem_free(f->tree_rule);
}
