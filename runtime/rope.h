/* Rotary positions: turns a model's rope parameters into one table of frequencies per session, and a position
 * into the (cos, sin) pairs that the rotation kernels take. The pairs of a token are computed once and shared
 * by all layers. */
#ifndef LEAT_RUNTIME_ROPE_H
#define LEAT_RUNTIME_ROPE_H

#include "arch.h"

/* Tables of a session: hparams.rope, and hparams.rope_swa, which may have no dimensions. */
enum { ROPE_SETS = 2 };

typedef struct rope {
    rope_layout layout;
    size_t n_dims;     /* 0: nothing is rotated */
    double *frequency; /* (n_dims / 2) radians per position; owned */
    double magnitude;  /* scales cos and sin */
} rope_table;

/* n_ctx is the session's: LongRoPE chooses its divisors by it. */
leat_status rope_init(rope_table *r, const rope_hparams *hp, size_t n_ctx, leat_error *e);
void rope_free(rope_table *r);

/* cs: (n_dims / 2, 2) pairs (cos, sin) for the token at `position`. */
void rope_pairs_at(const rope_table *r, size_t position, float *cs);
/* The same for moving what is rotated already down by so many positions. */
void rope_pairs_down(const rope_table *r, size_t by, float *cs);

#endif
