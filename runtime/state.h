/* The recurrent state of a session: what layers that are no attention remember of the tokens so far, a fixed
 * number of floats for the whole model. A pass reads one copy and writes another; only a pass that ended well
 * is committed, so a cancelled one leaves nothing half done.
 *
 * Such a state can't be taken back token by token. So that a chat can still go back to any place, the session
 * keeps its tokens, and here are some copies of the state: at the ends of prompts, and now and then in long
 * stretches. Going back means the last copy before the place, and the tokens from there on once more: the
 * session runs them before the next tokens it is given. */
#ifndef LEAT_RUNTIME_STATE_H
#define LEAT_RUNTIME_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/error.h"

enum { STATE_COPIES_MAX = 16 };

typedef struct state_cache {
    size_t n_floats; /* 0: the model has no recurrent layers, and nothing here does anything */
    size_t n_copies;
    float *side[2], *copy[STATE_COPIES_MAX]; /* (n_floats) each */
    size_t copied[STATE_COPIES_MAX];         /* tokens that each copy has seen, ascending */
    size_t n_copied;
    unsigned now;  /* the side that is valid */
    size_t length; /* tokens that it has seen */
    char *memory;
    size_t bytes;
} state_cache;

/* Bytes that state_open reserves; 0 if there is no state, SIZE_MAX if the sum does not fit. */
size_t state_bytes(size_t n_floats);
leat_status state_open(state_cache *c, size_t n_floats, leat_error *e);
void state_close(state_cache *c);

/* The pass over n tokens went well: what it wrote is the state now. */
void state_commit(state_cache *c, size_t n);
/* Keeps a copy of the state as it is. */
void state_keep(state_cache *c);
/* True when it is long since a copy was kept. */
bool state_due(const state_cache *c);
/* Back to the last copy of at most `length` tokens, or to the empty state; c->length says where that is. */
void state_rewind(state_cache *c, size_t length);

#endif
