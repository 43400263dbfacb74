/* The state of match.c, shared with cache.c, which keeps what walks found out. Nobody else
 * includes it. */
#ifndef LEAT_RUNTIME_GRAMMAR_MATCH_H
#define LEAT_RUNTIME_GRAMMAR_MATCH_H

#include "impl.h"

enum {
    STACKS_MAX = 10000,   /* readings of a text at one place */
    SEEN_SLOTS = 1 << 15, /* more than three times that */
    DEPTH_MAX = 10000,    /* rules within rules */
    FRAMES_MAX = 1 << 26,
    FRAME_BUCKET_BITS = 12,
    CACHE_BYTES_MAX = 128 << 20 /* kept sets; beyond it all are dropped and collected anew */
};
#define CACHE_BOTTOM UINT32_MAX /* stands for the end of a stack */

typedef struct frame {
    uint32_t state, parent; /* to return to; frame below, 0: none */
    uint32_t chain;         /* next of the same bucket */
    uint32_t depth;         /* frames from here to the bottom, this one counted */
} frame;

typedef struct stack {
    uint32_t state, parent; /* parent: topmost frame; 0: none */
} stack;

typedef struct stack_list {
    stack *p;
    size_t n, room;
} stack_list;

typedef struct level { /* of a walk down the trie: its stacks, and how many frames there were */
    size_t begin, end, n_frames;
} level;

typedef struct token_set { /* as bits, or as a list where that is smaller */
    uint64_t *bits;
    uint32_t *list;
    size_t n;
} token_set;

/* A tree of the tops of stacks. A node with a set says: this much of a stack decides it. */
typedef struct cache_node {
    uint32_t parent, symbol; /* state, or CACHE_BOTTOM */
    token_set *set;
} cache_node;

struct grammar_matcher {
    leat_grammar *g;
    frame *frames;
    size_t n_frames, frames_room, collect_at;
    uint32_t *buckets;
    struct seen_slot {
        uint32_t stamp;
        stack s;
    } * seen;
    uint32_t stamp;
    size_t n_seen;

    stack_list now;         /* where the text is: stacks that wait for a byte or a token */
    stack_list next, other; /* where it will be */
    stack_list work, walk;
    bool can_end;

    /* of the step or walk in progress */
    bool complete;     /* a stack came to its end */
    size_t old_frames; /* of a walk: frames below this number were there before it */
    uint32_t
        lowest; /* depth of the deepest of those that was returned from; 0: the end of the stack was seen */
    level *levels;      /* (longest token + 1) */
    leat_status status; /* first error */
    leat_error *e;

    uint64_t *mask, *scratch; /* (words) */
    bool mask_valid;

    cache_node *cache; /* node 0 is the root */
    size_t n_cache, cache_room, cache_bytes;
    uint32_t *cache_slots; /* (cache_slots_n) node + 1... 0: free */
    size_t cache_slots_n;
};

bool cache_open(grammar_matcher *m);
void cache_close(grammar_matcher *m);
/* The child of a node, 0 if there is none. */
uint32_t cache_find(const grammar_matcher *m, uint32_t parent, uint32_t symbol);
/* The same, made if it isn't there; 0 without memory. */
uint32_t cache_add(grammar_matcher *m, uint32_t parent, uint32_t symbol);
/* Keeps m->scratch as the set of a node; NULL without memory. */
const token_set *cache_keep(grammar_matcher *m, uint32_t node);
/* Drops everything if it has grown too large; before a mask is put together. */
void cache_limit(grammar_matcher *m);

#endif
