/* Following a text through an automaton: the set of stacks it can have led to, and the tokens each allows;
 * see grammar.h. A stack is a state and a chain of frames, the states to return to; frames are shared and
 * unique, so equal stacks are equal numbers. Called by sample.c, one matcher per text and thread. Allocates
 * when it meets a stack for the first time; time per token is then that of joining the sets kept. */
#include <string.h>

#include "impl.h"
#include "match.h"
#include "loader/alloc.h"

/* ---- frames ---- */

static leat_status no_memory(grammar_matcher *m) {
    return m->status ? m->status
                     : (m->status = error_set(m->e, LEAT_E_NOMEM, "out of memory for following a grammar"));
}

static uint32_t *bucket(grammar_matcher *m, uint32_t state, uint32_t parent) {
    uint64_t hash = ((uint64_t)state << 32 | parent) * UINT64_C(0x9E3779B97F4A7C15);
    return &m->buckets[hash >> (64 - FRAME_BUCKET_BITS)];
}

/* The frame (state, parent), made if it is new. */
static uint32_t frame_of(grammar_matcher *m, uint32_t state, uint32_t parent) {
    uint32_t *head = bucket(m, state, parent);
    for (uint32_t i = *head; i; i = m->frames[i].chain)
        if (m->frames[i].state == state && m->frames[i].parent == parent) return i;
    if (m->n_frames == m->frames_room) {
        size_t room = 2 * m->frames_room;
        frame *grown =
            m->n_frames < FRAMES_MAX ? mem_resize(m->frames, m->frames_room, room, sizeof *grown) : NULL;
        if (!grown) {
            no_memory(m);
            return 0;
        }
        m->frames = grown;
        m->frames_room = room;
    }
    m->frames[m->n_frames] = (frame){state, parent, *head, parent ? m->frames[parent].depth + 1 : 1};
    *head = (uint32_t)m->n_frames;
    return (uint32_t)m->n_frames++;
}

/* Forgets the frames made since there were n. */
static void frames_cut(grammar_matcher *m, size_t n) {
    while (m->n_frames > n) {
        const frame *f = &m->frames[--m->n_frames];
        *bucket(m, f->state, f->parent) = f->chain; /* the newest is the first in its chain */
    }
}

/* ---- one byte ---- */

static bool push_stack(grammar_matcher *m, stack_list *list, stack s) {
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        stack *grown = mem_resize(list->p, list->room, room, sizeof *grown);
        if (!grown) {
            no_memory(m);
            return false;
        }
        list->p = grown;
        list->room = room;
    }
    list->p[list->n++] = s;
    return true;
}

/* Has this step met the stack before? */
static bool seen_before(grammar_matcher *m, stack s) {
    uint64_t hash = ((uint64_t)s.state << 32 | s.parent) * UINT64_C(0xD6E8FEB86659FD93);
    size_t at = (size_t)(hash >> 40) % SEEN_SLOTS;
    for (; m->seen[at].stamp == m->stamp; at = (at + 1) % SEEN_SLOTS)
        if (m->seen[at].s.state == s.state && m->seen[at].s.parent == s.parent) return true;
    m->seen[at].stamp = m->stamp;
    m->seen[at].s = s;
    m->n_seen++;
    return false;
}

static void new_step(grammar_matcher *m) {
    m->n_seen = 0;
    if (++m->stamp) return;
    memset(m->seen, 0, SEEN_SLOTS * sizeof *m->seen);
    m->stamp = 1;
}

static bool has_edges(const automaton_state *s) {
    return s->n_bytes || s->n_calls || s->n_tokens;
}

/* Adds to `out` the stacks that `s` comes to before the next byte: through calls, and returns from them. Sets
 * m->complete if the text may end there. */
static void settle(grammar_matcher *m, stack s, stack_list *out) {
    const automaton *a = &m->g->a;
    m->work.n = 0;
    if (!push_stack(m, &m->work, s)) return;
    while (m->work.n && !m->status) {
        s = m->work.p[--m->work.n];
        if (seen_before(m, s)) continue;
        if (m->n_seen > STACKS_MAX) {
            m->status = error_set(m->e, LEAT_E_LIMIT,
                                  "the grammar is too ambiguous: the text has more than %d readings here",
                                  STACKS_MAX);
            return;
        }
        const automaton_state *st = &a->states[s.state];
        if (st->n_bytes || st->n_tokens) push_stack(m, out, s);
        if (st->final) {
            if (s.parent < m->old_frames) { /* what lies below the stack that the walk began with */
                uint32_t depth = s.parent ? m->frames[s.parent].depth : 0;
                if (m->lowest > depth) m->lowest = depth;
            }
            if (s.parent)
                push_stack(m, &m->work, (stack){m->frames[s.parent].state, m->frames[s.parent].parent});
            else
                m->complete = true;
        }
        for (uint32_t i = 0; i < st->n_calls && !m->status; i++) {
            const call_edge *c = &a->calls[st->calls + i];
            const automaton_state *back = &a->states[c->target];
            /* nothing is left to do after the call: its end is this rule's end */
            uint32_t parent = back->final && !has_edges(back) ? s.parent : frame_of(m, c->target, s.parent);
            push_stack(m, &m->work, (stack){a->start[c->rule], parent});
        }
    }
}

/* Adds where `byte` leads from the stacks from[0..n). */
static void step_byte(grammar_matcher *m, const stack_list *list, size_t from, size_t n, unsigned byte,
                      stack_list *out) {
    const automaton *a = &m->g->a;
    for (size_t i = from; i < from + n && !m->status; i++) {
        stack s = list->p[i]; /* a copy: `out` may be the same list, and move */
        const automaton_state *st = &a->states[s.state];
        for (uint32_t k = 0; k < st->n_bytes; k++) {
            const byte_edge *x = &a->bytes[st->bytes + k];
            if (x->low <= byte && byte <= x->high) settle(m, (stack){x->target, s.parent}, out);
        }
    }
}

/* ---- which tokens one stack allows ---- */

static leat_status walk_trie(grammar_matcher *m, stack s, uint64_t *bits) {
    const token_trie *t = &m->g->trie;
    level *levels = m->levels;
    bool complete = m->complete;
    m->walk.n = 0;
    m->old_frames = m->n_frames;
    m->lowest = s.parent ? m->frames[s.parent].depth + 1 : 1;
    push_stack(m, &m->walk, s); /* what fails is noticed by the loop */
    levels[0] = (level){0, 1, m->n_frames};
    for (size_t i = 0; i < t->n_nodes && !m->status;) {
        const trie_node *node = &t->nodes[i];
        const level *above = &levels[node->depth - 1];
        m->walk.n = above->end;
        frames_cut(m, above->n_frames);
        m->complete = false;
        new_step(m);
        step_byte(m, &m->walk, above->begin, above->end - above->begin, node->byte, &m->walk);
        if (m->walk.n == above->end && !m->complete) {
            i = node->skip;
            continue;
        }
        levels[node->depth] = (level){above->end, m->walk.n, m->n_frames};
        size_t end = node->n < UINT16_MAX ? node->first + (size_t)node->n : t->nodes[i + 1].first;
        for (size_t k = node->first; k < end; k++)
            bits[t->sorted[k] / 64] |= UINT64_C(1) << t->sorted[k] % 64;
        i++;
    }
    frames_cut(m, m->old_frames);
    m->old_frames = 0;
    m->complete = complete;
    return m->status;
}

/* Which tokens a stack allows by its bytes: kept, or worked out. */
static const token_set *tokens_of(grammar_matcher *m, stack s) {
    uint32_t at = 0, depth = s.parent ? m->frames[s.parent].depth : 0;
    uint32_t symbol = s.state, parent = s.parent;
    for (;;) { /* down the stack, as far as its kind of walk looked */
        at = cache_find(m, at, symbol);
        if (!at) break;
        if (m->cache[at].set) return m->cache[at].set;
        symbol = parent ? m->frames[parent].state : CACHE_BOTTOM;
        if (parent) parent = m->frames[parent].parent;
    }
    memset(m->scratch, 0, m->g->trie.words * sizeof *m->scratch);
    if (walk_trie(m, s, m->scratch)) return NULL;
    /* lowest: depth of the deepest frame that was returned from; 0: the bottom was reached; depth + 1: none
     */
    at = cache_add(m, 0, s.state);
    parent = s.parent;
    for (uint32_t left = depth; at && left + 1 > m->lowest; left--) {
        at = cache_add(m, at, parent ? m->frames[parent].state : CACHE_BOTTOM);
        if (!parent) break;
        parent = m->frames[parent].parent;
    }
    return at ? cache_keep(m, at) : NULL;
}

static void add_set(uint64_t *bits, const token_set *set, size_t words) {
    if (set->bits)
        for (size_t i = 0; i < words; i++) bits[i] |= set->bits[i];
    else
        for (size_t i = 0; i < set->n; i++) bits[set->list[i] / 64] |= UINT64_C(1) << set->list[i] % 64;
}

static void add_token_edges(grammar_matcher *m, const automaton_state *st) {
    const token_trie *t = &m->g->trie;
    for (uint32_t i = 0; i < st->n_tokens; i++) {
        const token_edge *x = &m->g->a.tokens[st->tokens + i];
        uint64_t bit = UINT64_C(1) << x->token % 64;
        if (!x->negated) {
            m->mask[x->token / 64] |= bit;
            continue;
        }
        bool had = m->mask[x->token / 64] & bit;
        for (size_t k = 0; k < t->words; k++) m->mask[k] |= ~t->ends[k];
        if (t->n_vocab % 64) m->mask[t->words - 1] &= (UINT64_C(1) << t->n_vocab % 64) - 1;
        if (!had) m->mask[x->token / 64] &= ~bit;
    }
}

leat_status grammar_matcher_mask(grammar_matcher *m, const uint64_t **mask, leat_error *e) {
    const token_trie *t = &m->g->trie;
    m->e = e;
    m->status = LEAT_OK;
    if (!m->mask_valid) {
        cache_limit(m);
        memset(m->mask, 0, t->words * sizeof *m->mask);
        for (size_t i = 0; i < m->now.n; i++) {
            stack s = m->now.p[i];
            const automaton_state *st = &m->g->a.states[s.state];
            if (st->n_bytes) {
                const token_set *set = tokens_of(m, s);
                if (!set) return no_memory(m);
                add_set(m->mask, set, t->words);
            }
        }
        for (size_t i = 0; i < m->now.n; i++) add_token_edges(m, &m->g->a.states[m->now.p[i].state]);
        for (size_t k = 0; m->can_end && k < t->words; k++) m->mask[k] |= t->ends[k];
        m->mask_valid = true;
    }
    *mask = m->mask;
    return LEAT_OK;
}

/* ---- going on by a token ---- */

/* Renumbers the frames that stacks still use, so that a long text needs no more memory than a deep one. */
static void collect_frames(grammar_matcher *m) {
    uint32_t *to = mem_alloc(m->n_frames, sizeof *to);
    if (!to) return; /* then later */
    for (size_t i = 0; i < m->now.n; i++)
        for (uint32_t f = m->now.p[i].parent; f && !to[f]; f = m->frames[f].parent) to[f] = 1;
    size_t n = 1;
    memset(m->buckets, 0, sizeof(uint32_t) << FRAME_BUCKET_BITS);
    for (size_t i = 1; i < m->n_frames; i++) { /* parents come before what they are parents of */
        if (!to[i]) continue;
        frame f = m->frames[i];
        f.parent = to[f.parent];
        uint32_t *head = bucket(m, f.state, f.parent);
        f.chain = *head;
        *head = to[i] = (uint32_t)n;
        m->frames[n++] = f;
    }
    for (size_t i = 0; i < m->now.n; i++) m->now.p[i].parent = to[m->now.p[i].parent];
    m->n_frames = n;
    m->collect_at = 2 * n + 4096;
    mem_free(to);
}

static void take_token(grammar_matcher *m, uint32_t token) {
    const automaton *a = &m->g->a;
    str piece = trie_piece(&m->g->trie, token);
    stack_list *from = &m->now, *to = &m->next;
    m->complete = false;
    for (size_t i = 0; i < piece.n && !m->status; i++) {
        to->n = 0;
        m->complete = false;
        new_step(m);
        step_byte(m, from, 0, from->n, (unsigned char)piece.p[i], to);
        from = to;
        to = to == &m->next ? &m->other : &m->next;
    }
    if (!piece.n) m->next.n = 0;
    if (from == &m->other) { /* the result goes into next */
        stack_list swap = m->next;
        m->next = m->other;
        m->other = swap;
    }
    if (!piece.n) new_step(m); /* else what the last byte led to is still marked, so nothing gets in twice */
    for (size_t i = 0; i < m->now.n && !m->status; i++) {
        const automaton_state *st = &a->states[m->now.p[i].state];
        for (uint32_t k = 0; k < st->n_tokens; k++) {
            const token_edge *x = &a->tokens[st->tokens + k];
            if ((x->token == token) != x->negated)
                settle(m, (stack){x->target, m->now.p[i].parent}, &m->next);
        }
    }
    for (size_t i = 0; i < m->next.n && !m->status; i++)
        if (m->next.p[i].parent && m->frames[m->next.p[i].parent].depth > DEPTH_MAX)
            m->status = error_set(m->e, LEAT_E_LIMIT,
                                  "the text is nested more than %d rules deep in the grammar", DEPTH_MAX);
}

leat_status grammar_matcher_accept(grammar_matcher *m, int32_t token, leat_error *e) {
    const token_trie *t = &m->g->trie;
    m->e = e;
    m->status = LEAT_OK;
    if (token < 0 || (uint32_t)token >= t->n_vocab)
        return error_set(e, LEAT_E_ARG, "token %d is not in the grammar's vocabulary", (int)token);
    if (trie_is_end(t, (uint32_t)token))
        return m->can_end ? LEAT_OK : error_set(e, LEAT_E_STATE, "the grammar can't end here");
    take_token(m, (uint32_t)token);
    if (m->status) return m->status;
    if (!m->next.n && !m->complete)
        return error_set(e, LEAT_E_STATE, "token %d can't come here by the grammar", (int)token);
    stack_list swap = m->now;
    m->now = m->next;
    m->next = swap;
    m->can_end = m->complete;
    m->mask_valid = false;
    if (m->n_frames > m->collect_at) collect_frames(m);
    return LEAT_OK;
}

bool grammar_matcher_can_end(const grammar_matcher *m) {
    return m->can_end;
}

bool grammar_matcher_must_end(grammar_matcher *m) {
    return m->can_end && !m->now.n;
}

/* ---- opening ---- */

void grammar_matcher_reset(grammar_matcher *m) {
    m->e = NULL;
    m->status = LEAT_OK;
    frames_cut(m, 1);
    m->now.n = 0;
    m->complete = m->mask_valid = false;
    new_step(m);
    settle(m, (stack){m->g->a.start[m->g->a.root], 0}, &m->now);
    m->can_end = m->complete;
}

leat_status grammar_matcher_open(leat_grammar *g, grammar_matcher **out, leat_error *e) {
    *out = NULL;
    grammar_matcher *m = mem_alloc(1, sizeof *m);
    if (!m) return error_set(e, LEAT_E_NOMEM, "out of memory for following a grammar");
    m->g = grammar_hold(g);
    m->frames_room = 256;
    m->n_frames = 1; /* 0 is the bottom */
    m->collect_at = 4096;
    m->frames = mem_alloc(m->frames_room, sizeof *m->frames);
    m->buckets = mem_alloc((size_t)1 << FRAME_BUCKET_BITS, sizeof *m->buckets);
    m->seen = mem_alloc(SEEN_SLOTS, sizeof *m->seen);
    m->mask = mem_alloc(g->trie.words, sizeof *m->mask);
    m->scratch = mem_alloc(g->trie.words, sizeof *m->scratch);
    m->levels = mem_alloc((size_t)g->trie.longest + 1, sizeof *m->levels);
    leat_status status = LEAT_E_NOMEM;
    if (m->frames && m->buckets && m->seen && m->mask && m->scratch && m->levels && cache_open(m)) {
        grammar_matcher_reset(m);
        status = m->status;
    }
    if (status) {
        grammar_matcher_close(m);
        return error_set(e, status,
                         status == LEAT_E_NOMEM ? "out of memory for following a grammar"
                                                : "the grammar is too ambiguous at its very beginning");
    }
    *out = m;
    return LEAT_OK;
}

void grammar_matcher_close(grammar_matcher *m) {
    if (!m) return;
    cache_close(m);
    mem_free(m->frames);
    mem_free(m->buckets);
    mem_free(m->seen);
    mem_free(m->mask);
    mem_free(m->scratch);
    mem_free(m->levels);
    mem_free(m->now.p);
    mem_free(m->next.p);
    mem_free(m->other.p);
    mem_free(m->walk.p);
    mem_free(m->work.p);
    grammar_release(m->g);
    mem_free(m);
}
