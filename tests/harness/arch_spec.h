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
    char kind;        /* 'f' float32, 'u' uint32, 'b' bool, 's' string, 'a' an array of f times true */
    float f;          /* also of 'u' and 'b' */
    const char *s;
} spec_key;

/* What takes the place of attention in most layers. */
typedef enum spec_mixer { MIXER_NONE, MIXER_CONV, MIXER_MAMBA, MIXER_DELTA } spec_mixer;

typedef struct spec_experts {
    uint32_t n, used, groups, groups_used;
    uint32_t dense; /* leading layers without */
    char gating;    /* 'x' softmax, 's' sigmoid, 'c' softmax over the chosen ones */
    bool norm, select_bias, bias, shared, shared_router;
    bool plain;      /* without a gate */
    uint32_t period; /* only the second of so many layers has experts; 0: all behind the dense ones */
    bool oai;        /* the clamped gate of gpt-oss */
    double scale;
} spec_experts;

enum { SPEC_KEYS_MAX = 9 };
typedef struct arch_spec {
    const char *arch, *variant; /* variant NULL: the common form */
    bool narrow;                /* a tiny width, where there must be many layers */
    uint32_t n_layer;           /* 0: two */
    /* norms */
    bool layer_norm, norm_bias; /* LayerNorm in place of RMS norm */
    bool no_pre_norm, post_norm, no_ffn_norm;
    const char *ffn_norm;  /* NULL: ffn_norm */
    const char *attn_norm; /* NULL: attn_norm; or attn_norm_2 */
    spec_heads heads;
    bool heads_rotated; /* normed behind the rotation */
    /* projections */
    bool fused_qkv, fused_gate, plain_ffn, gelu, relu_sqr;
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
    spec_experts experts;
    bool sinks;
    bool gemma4; /* heads of half the size in windowed layers, one KV head in the others, which lack v; the
                    last two layers share caches; inputs of each layer, and a scale */
    uint32_t sections[4]; /* of rotations, which for text are all the same; none: no key */
    bool altup; /* gemma3n's streams, narrow products and inputs of each layer; layers from the 21st on share
                   caches, the first 10 cut their gates */
    bool latent, absorbed; /* DeepSeek's attention; with k_b and v_b */
    spec_mixer mixer;
    uint32_t attention_period; /* with a mixer: the last of so many layers is attention; 0: none is */
    bool gated;                /* queries have a gate behind each head */
    bool pairs; /* delta rule: neighbouring value heads share a key head, beta and alpha are one tensor */
    const char *output_norm; /* NULL: output_norm */
    bool scale_by_width;     /* scores over sqrt(width / heads) */
    /* of embeddings */
    bool both_ways;    /* no causal mask; a window reaches half to each side */
    bool embed_norm;   /* a norm behind the embeddings, token_embd_norm */
    bool behind;       /* norms of the sums behind both blocks: attn_output_norm, layer_output_norm */
    uint32_t kinds;    /* kinds of text with vectors of their own, of which the first is added */
    bool own_keys;     /* as many heads for keys as for queries */
    bool no_first;     /* the first layer has no norm before attention */
    bool window_first; /* of a period of windows the first layer sees everything, not the last */
    bool no_output;    /* no matrix for logits; no_last_norm: nor a norm behind the layers */
    bool no_last_norm;
    bool dense_head;  /* two projections behind the pooled vector, of twice the width and back */
    uint32_t classes; /* of a classifier; 0: none */
    spec_key keys[SPEC_KEYS_MAX];
} arch_spec;

/* In alphabetical order, variants behind the common form; the last has no name. */
extern const arch_spec arch_specs[];
/* The same for models that make embeddings (embed_spec.c). */
extern const arch_spec embed_specs[];

static inline bool spec_windowed(const arch_spec *s, uint32_t layer) {
    return s->window && layer % s->period != (s->window_first ? 0 : s->period - 1);
}

static inline bool spec_mixes(const arch_spec *s, uint32_t layer) {
    return s->mixer && (!s->attention_period || (layer + 1) % s->attention_period);
}
static inline bool spec_expert_layer(const arch_spec *s, uint32_t layer) {
    return s->experts.n && layer >= s->experts.dense &&
           (!s->experts.period || layer % s->experts.period == 1);
}

/* Sizes that follow from a model's, where the architecture asks for more of them than random_model.h has. */
enum { MIX_TAPS = 3, MAMBA_HEADS = 4, MAMBA_GROUPS = 2, MAMBA_STATE = 16, DELTA_KEYS = 2, DELTA_VALUES = 4 };
enum { LATENT_RANK = 32, LATENT_ROPE = 8 };
enum { INPUT_WIDTH = 32, SHARED_LAYERS = 2 }; /* of gemma4 */
enum { ALTUP = 4, ALTUP_RANK = 64, ALTUP_INPUT = 256, ALTUP_CACHED = 20, ALTUP_SPARSE = 10 };

#endif
