/* The metadata that describes the model, from config.json: what all architectures share. What only some have
 * is in their tables (archs.c) and goes before, since the first entry of a key stays. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conversion.h"

enum { LAYERS_MAX = 1024, HEADS_MAX = 1 << 16, WIDTH_MAX = 1 << 24, ROPE_MAX = 1 << 14 };

static void by_table(conversion *c, const key_rule *rules) {
    for (const key_rule *r = rules; r && r->key && !c->status; r++) {
        char kind = r->kind;
        if (kind >= 'A' && kind <= 'Z') {
            kind = (char)(kind - 'A' + 'a');
            if (!cfg(c, r->from)) conversion_fail(c, LEAT_E_HPARAM, "config.json has no %.100s", r->from);
        }
        if (!cfg(c, r->from)) continue;
        if (kind == 'u') meta_put_u32(&c->meta, r->key, cfg_u32(c, r->from, 0));
        if (kind == 'f') meta_put_f32(&c->meta, r->key, (float)cfg_f64(c, r->from, 0));
        if (kind == 'b') meta_put_bool(&c->meta, r->key, cfg_bool(c, r->from, false));
    }
}

/* ---- positions ---- */

/* Of the rotation's parameters, under each of the names under which configurations keep them. */
static const json_value *rope(const conversion *c, const char *name) {
    static const char *const places[] = {"rope_parameters.full_attention.%s", "rope_parameters.%s",
                                         "rope_scaling.full_attention.%s", "rope_scaling.%s"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[160];
        snprintf(path, sizeof path, places[i], name);
        const json_value *v = cfg(c, path);
        if (v) return v;
    }
    return NULL;
}

static double rope_f64(conversion *c, const char *name, double fallback) {
    const json_value *v = rope(c, name);
    if (!v || c->status) return fallback;
    if ((v->type == JSON_INT || v->type == JSON_FLOAT) && isfinite(v->real)) return v->real;
    conversion_fail(c, LEAT_E_HPARAM, "config.json: %s of the rotation is not a number", name);
    return fallback;
}

static void rope_key(conversion *c, const char *key, const char *name) {
    if (rope(c, name)) meta_put_f32(&c->meta, key, (float)rope_f64(c, name, 0));
}

static const json_value *rope_type(const conversion *c) {
    const json_value *v = rope(c, "rope_type");
    return v ? v : rope(c, "type");
}

static bool rope_is(const conversion *c, const char *word) {
    const json_value *v = rope_type(c);
    return v && v->type == JSON_STRING && str_eq(v->text, word);
}

static double rope_base(conversion *c) {
    return rope_f64(c, "rope_theta",
                    cfg_f64(c, "global_rope_theta|rope_theta|rotary_emb_base|rotary_base",
                            config_default(c)->theta > 0 ? config_default(c)->theta : 10000.0));
}

/* Llama 3 divides slow rotations by `factor`, leaves fast ones alone, and goes from one to the other between
 * two wave lengths (Llama 3.1's model card and code). */
static void llama3_factors(conversion *c) {
    float factors[ROPE_MAX / 2];
    uint32_t dim = cfg_u32(c, "head_dim", c->head_dim);
    double factor = rope_f64(c, "factor", 8), low = rope_f64(c, "low_freq_factor", 1),
           high = rope_f64(c, "high_freq_factor", 4), base = rope_base(c),
           length = rope_f64(c, "original_max_position_embeddings",
                             cfg_f64(c, "original_max_position_embeddings", 8192));
    if (c->status || !dim) return;
    if (!(factor > 0) || !(low > 0) || !(high > low) || !(base > 0)) {
        conversion_fail(c, LEAT_E_HPARAM, "config.json: the factors of the rotation are out of range");
        return;
    }
    for (uint32_t i = 0; i < dim / 2; i++) {
        float frequency = (float)(1 / pow(base, 2.0 * i / dim));
        double wave = 2 * 3.14159265358979323846 / (double)frequency;
        double smooth = (length / wave - low) / (high - low);
        if (wave < length / high)
            factors[i] = 1;
        else if (wave > length / low)
            factors[i] = (float)factor;
        else
            factors[i] = (float)(1 / ((1 - smooth) / factor + smooth));
    }
    op_constant(c, "rope_freqs.weight", factors, dim / 2);
}

static void factor_list(conversion *c, const char *from, const char *name, uint32_t dims) {
    float factors[ROPE_MAX / 2];
    size_t n = 0;
    const json_value *list = rope(c, from);
    if (!list || list->type != JSON_ARRAY || list->count != dims / 2) {
        conversion_fail(c, LEAT_E_HPARAM, "config.json: %s of the rotation is no list of %u numbers", from,
                        (unsigned)dims / 2);
        return;
    }
    for (const json_value *v = list->first; v; v = v->next) {
        if ((v->type != JSON_INT && v->type != JSON_FLOAT) || !(v->real > 0) || v->real > 1e6) {
            conversion_fail(c, LEAT_E_HPARAM, "config.json: %s of the rotation has a bad number", from);
            return;
        }
        factors[n++] = (float)v->real;
    }
    op_constant(c, name, factors, n);
}

/* LongRoPE: divisors for short and for long contexts, and a factor that keeps attention sharp. */
static void long_factors(conversion *c) {
    uint32_t dims = (uint32_t)(rope_f64(c, "partial_rotary_factor", cfg_f64(c, "partial_rotary_factor", 1)) *
                               c->head_dim);
    double most = cfg_f64(c, "max_position_embeddings", 0),
           first = rope_f64(c, "original_max_position_embeddings",
                            cfg_f64(c, "original_max_position_embeddings", most));
    double scale = first > 0 ? most / first : 1;
    if (!c->status && first > 1)
        meta_put_f32(&c->meta, ".rope.scaling.attn_factor",
                     scale > 1 ? (float)sqrt(1 + log(scale) / log(first)) : 1.0f);
    factor_list(c, "long_factor", "rope_factors_long.weight", dims);
    factor_list(c, "short_factor", "rope_factors_short.weight", dims);
}

/* What none of scaling()'s kinds is. "mrope" and "proportional" only say where pairs of dimensions lie, which
 * hparams_* and positions() take care of. */
static void refuse_scaling(conversion *c) {
    static const char *const plain[] = {"default", "none", "mrope", "proportional"};
    const json_value *v = rope_type(c);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!v || rope_is(c, plain[i])) return;
    bool fixed = meta_has(&c->meta, ".rope.scaling.type");
    bool lacks = !fixed && (rope_is(c, "linear") || rope_is(c, "yarn"));
    conversion_fail(c, LEAT_E_UNSUPPORTED, "config.json: positions are scaled as \"%.40s\"%s%s",
                    v->type == JSON_STRING ? v->text.p : "",
                    lacks ? " without a factor" : ", which is not supported",
                    fixed ? " for this architecture" : "");
}

static void scaling(conversion *c) {
    meta_out *m = &c->meta;
    bool factor = rope(c, "factor") != NULL;
    if (meta_has(m, ".rope.scaling.type")) { /* of an architecture that scales in one way or in none */
        if (!rope_is(c, "dynamic")) refuse_scaling(c);
    } else if (rope_is(c, "linear") && factor) {
        meta_put_text(m, ".rope.scaling.type", "linear");
        rope_key(c, ".rope.scaling.factor", "factor");
    } else if (rope_is(c, "yarn") && factor) {
        meta_put_text(m, ".rope.scaling.type", "yarn");
        rope_key(c, ".rope.scaling.factor", "factor");
        meta_put_u32(m, ".rope.scaling.original_context_length",
                     (uint32_t)fmin(
                         rope_f64(c, "original_max_position_embeddings",
                                  cfg_f64(c, "original_max_position_embeddings|max_position_embeddings", 0)),
                         2147483647.0));
        rope_key(c, ".rope.scaling.yarn_ext_factor", "extrapolation_factor");
        rope_key(c, ".rope.scaling.yarn_attn_factor", "attention_factor");
        rope_key(c, ".rope.scaling.yarn_attn_factor", "attn_factor");
        rope_key(c, ".rope.scaling.yarn_beta_fast", "beta_fast");
        rope_key(c, ".rope.scaling.yarn_beta_slow", "beta_slow");
    } else if (rope_is(c, "longrope") || rope_is(c, "su")) {
        meta_put_text(m, ".rope.scaling.type", "longrope");
        long_factors(c);
    } else if (rope_is(c, "llama3")) {
        llama3_factors(c);
    } else if (!rope_is(c, "dynamic")) {
        refuse_scaling(c);
    } else if (!meta_has(m, ".rope.freq_base")) {
        conversion_warn(c,
                        "positions are scaled as \"dynamic\", which is left out: long texts come out worse");
    }
}

static void positions(conversion *c) {
    const json_value *sections = rope(c, "mrope_section");
    if (sections && sections->type == JSON_ARRAY && sections->count <= 4 &&
        !meta_has(&c->meta, ".rope.dimension_sections")) {
        size_t n = 0;
        meta_put_array(&c->meta, ".rope.dimension_sections", GGUF_I32, 4);
        for (const json_value *v = sections->first; v; v = v->next, n++)
            meta_elem_32(&c->meta, v->type == JSON_INT ? (uint32_t)v->integer : 0);
        for (; n < 4; n++) meta_elem_32(&c->meta, 0);
    }
    scaling(c);
    if (rope(c, "rope_theta") || cfg(c, "global_rope_theta|rope_theta|rotary_emb_base|rotary_base") ||
        config_default(c)->theta > 0)
        meta_put_f32(&c->meta, ".rope.freq_base", (float)rope_base(c));
    const char *local = "rope_parameters.sliding_attention.rope_theta|local_rope_theta|swa_rope_theta|"
                        "rope_local_base_freq";
    if (cfg(c, local)) meta_put_f32(&c->meta, ".rope.freq_base_swa", (float)cfg_f64(c, local, 0));
}

/* ---- experts, windows, sizes ---- */

static const key_rule expert_keys[] = {
    {".expert_count", 'u', "num_local_experts|num_experts|n_routed_experts|moe_num_experts"},
    {".expert_used_count", 'u', "num_experts_per_tok|num_experts_per_token|top_k_experts|moe_topk|moe_k"},
    {".expert_group_count", 'u', "n_group"},
    {".expert_group_used_count", 'u', "topk_group"},
    {NULL, 0, NULL}};

static void experts(conversion *c) {
    const char *gate = "score_function|scoring_func|score_func|moe_router_activation";
    if (!cfg_u32(c, expert_keys[0].from, 0)) return;
    by_table(c, expert_keys);
    if (cfg_is(c, gate, "sigmoid")) meta_put_u32(&c->meta, ".expert_gating_func", 2);
    if (cfg_is(c, gate, "softmax")) meta_put_u32(&c->meta, ".expert_gating_func", 1);
}

/* Sizes that operations need, too. Limits are far beyond real models; they keep products small. */
static uint32_t size_of(conversion *c, const char *names, uint32_t most, uint32_t fallback) {
    uint32_t v = cfg(c, names) || fallback ? cfg_u32(c, names, fallback) : cfg_need_u32(c, names);
    if (!c->status && (!v || v > most))
        conversion_fail(c, LEAT_E_HPARAM, "config.json: %.80s is %u, not 1 .. %u", names, (unsigned)v,
                        (unsigned)most);
    return v;
}

static void read_sizes(conversion *c) {
    c->n_layer = size_of(c, "num_hidden_layers|n_layers|n_layer|num_layers", LAYERS_MAX, 0);
    c->n_embd = size_of(c, "hidden_size|n_embd|dim|d_model", WIDTH_MAX, 0);
    bool heads = cfg(c, "num_attention_heads|n_head|n_heads") != NULL;
    if (heads) c->n_head = size_of(c, "num_attention_heads|n_head|n_heads", HEADS_MAX, 0);
    const config_defaults *d = config_default(c);
    if (heads)
        c->n_head_kv = cfg_u32(c, "num_key_value_heads|n_kv_heads", d->heads_kv ? d->heads_kv : c->n_head);
    if (heads && c->n_head && !c->status) {
        uint32_t shared = c->n_embd / c->n_head ? c->n_embd / c->n_head : 1;
        c->head_dim = size_of(c, "head_dim", ROPE_MAX, d->head_dim ? d->head_dim : shared);
    }
    if (!c->status && c->n_head_kv > HEADS_MAX)
        conversion_fail(c, LEAT_E_HPARAM, "config.json: num_key_value_heads is %u", (unsigned)c->n_head_kv);
}

static const key_rule common[] = {
    {".context_length", 'u',
     "max_position_embeddings|n_ctx|n_positions|max_length|max_sequence_length|model_max_length|seq_length"},
    {".embedding_length", 'u', "hidden_size|n_embd|dim|d_model"},
    {".feed_forward_length", 'u', "intermediate_size|n_inner|hidden_dim|ffn_hidden_size"},
    {".attention.head_count", 'u', "num_attention_heads|n_head|n_heads"},
    {".attention.head_count_kv", 'u', "num_key_value_heads|n_kv_heads"},
    {".attention.layer_norm_rms_epsilon", 'f', "rms_norm_eps|norm_eps"},
    {".attention.layer_norm_epsilon", 'f', "layer_norm_eps|layer_norm_epsilon|norm_epsilon"},
    {NULL, 0, NULL}};
static const key_rule head_sizes[] = {{".attention.key_length", 'u', "head_dim"},
                                      {".attention.value_length", 'u', "head_dim"},
                                      {NULL, 0, NULL}};

const char *hparams_origin(const conversion *c, const char *key) {
    const key_rule *const lists[] = {c->arch->keys, expert_keys, common, head_sizes};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const key_rule *r = lists[i]; r && r->key; r++)
            if (!strcmp(r->key, key)) return r->from;
    return !strcmp(key, ".block_count") ? "num_hidden_layers" : NULL;
}

/* The first entry of a key stays, so these only fill gaps. */
static void put_defaults(conversion *c) {
    const config_defaults *d = config_default(c);
    if (d->context) meta_put_u32(&c->meta, ".context_length", d->context);
    if (d->eps > 0) meta_put_f32(&c->meta, ".attention.layer_norm_rms_epsilon", (float)d->eps);
    if (!d->head_dim || !c->n_head) return;
    meta_put_u32(&c->meta, ".attention.key_length", d->head_dim);
    meta_put_u32(&c->meta, ".attention.value_length", d->head_dim);
}

void hparams_make(conversion *c) {
    read_sizes(c);
    if (c->status) return;
    if (c->arch->hparams) c->arch->hparams(c);
    if (!c->n_head && strcmp(c->arch->arch, "mamba2") != 0) /* which has no attention */
        conversion_fail(c, LEAT_E_HPARAM, "config.json has no num_attention_heads");
    by_table(c, c->arch->keys);
    if (c->arch->both_ways || !cfg_bool(c, "is_causal", true))
        meta_put_bool(&c->meta, ".attention.causal", false);
    meta_put_u32(&c->meta, ".block_count", c->n_layer);
    by_table(c, common);
    if (c->n_head) {
        meta_put_u32(&c->meta, ".attention.head_count_kv", c->n_head_kv);
        by_table(c, head_sizes);
    }
    put_defaults(c);
    c->tied = cfg_bool(c, "tie_word_embeddings", false);
    experts(c);
    if (c->n_head) positions(c);
    settings_check(c);
}
