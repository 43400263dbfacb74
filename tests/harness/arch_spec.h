/* What each architecture is, said a second time and apart from models/: from public descriptions, so that
 * random models can be written and a reference can run them without any code of the engine. A line for each
 * architecture of archs.def, and more for variants that real models have. */
#ifndef LEAT_TESTS_ARCH_SPEC_H
#define LEAT_TESTS_ARCH_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum spec_heads {
    HEADS_PLAIN,
    HEADS_SHARED, /* each head of q and k is normed, one gain for all heads */
    HEADS_EACH,   /* ... with a gain for each head */
    HEADS_ROW,    /* all heads are normed as one row */
} spec_heads;

typedef struct spec_key {
    const char *name; /* without the architecture's name; NULL ends a list */
    char kind;        /* 'f' float32, 'u' uint32, 'b' bool, 's' string */
    float f;          /* also of 'u' and 'b' */
    const char *s;
} spec_key;

enum { SPEC_KEYS_MAX = 6 };
typedef struct arch_spec {
    const char *arch, *variant; /* variant NULL: the common form */
    bool narrow;                /* a tiny width, where there must be many layers */
    uint32_t n_layer;           /* 0: two */
    /* norms */
    bool layer_norm, norm_bias; /* LayerNorm in place of RMS norm */
    bool no_pre_norm, post_norm, no_ffn_norm;
    const char *ffn_norm; /* NULL: ffn_norm */
    spec_heads heads;
    bool heads_rotated; /* normed behind the rotation */
    /* projections */
    bool fused_qkv, fused_gate, plain_ffn, gelu;
    bool bias_qkv, bias_out, bias_ffn, bias_output;
    bool tied, parallel;
    /* positions */
    bool positions, halves;
    uint32_t rope_dims;        /* 0: whole heads */
    uint32_t unrotated_period; /* of so many layers the last is not rotated */
    bool rotate_windowed_only;
    double rope_factor, local_base, local_factor; /* 0: none; windowed layers on their own base and factor */
    bool long_factors;                            /* LongRoPE's divisors: short ones 1.5, long ones 3 */
    uint32_t window, period;                      /* all but the last of `period` layers are windowed */
    uint32_t temperature_length;
    double temperature_scale;
    /* factors, 0: none */
    bool embed_root; /* embeddings times sqrt(width) */
    double embed_scale, residual_scale, logit_scale, attention_scale, attention_cap, logit_cap;
    bool scale_by_width; /* scores over sqrt(width / heads) */
    spec_key keys[SPEC_KEYS_MAX];
} arch_spec;

/* In alphabetical order, variants behind the common form; the last has no name. */
extern const arch_spec arch_specs[];

static inline bool spec_windowed(const arch_spec *s, uint32_t layer) {
    return s->window && layer % s->period != s->period - 1;
}

#endif
