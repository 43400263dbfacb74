/* The checked readers behind arch.h: the only way from metadata and tensors to an architecture. Ranges are
 * those of limits that real models stay far inside; every message names the key or tensor. */
#include "arch_loader.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"

enum { KEY_MAX = 160, NAME_MAX_BYTES = 128 };
enum {
    N_LAYER_MAX = ARCH_LAYERS_MAX,
    N_HEAD_MAX = 1024,
    N_EMBD_MAX = 1 << 20,
    N_FF_MAX = 1 << 22,
    N_CTX_MAX = INT32_MAX
};

static bool key_name(const arch_loader *l, const char *key, char out[KEY_MAX]) {
    int n = snprintf(out, KEY_MAX, "%s.%s", l->arch_name, key);
    return n > 0 && n < KEY_MAX;
}

/* Some models write a value per layer; we take such an array when all its values are equal. */
static leat_status u32_per_layer(arch_loader *l, const char *name, uint32_t min, uint32_t max,
                                 uint32_t *out) {
    const gguf_kv *kv = gguf_find(l->g, name);
    if (kv->elem_type != GGUF_U32 && kv->elem_type != GGUF_I32)
        return error_set(l->e, LEAT_E_TYPE, "%s is an array of something else than 32-bit integers", name);
    if (kv->count == 0) return error_set(l->e, LEAT_E_HPARAM, "%s is an empty array", name);
    int64_t first = kv->elem_type == GGUF_U32 ? (int64_t)gguf_kv_u64(kv, 0) : gguf_kv_i64(kv, 0);
    for (uint64_t i = 0; i < kv->count; i++) {
        int64_t v = kv->elem_type == GGUF_U32 ? (int64_t)gguf_kv_u64(kv, i) : gguf_kv_i64(kv, i);
        if (v < (int64_t)min || v > (int64_t)max)
            return error_set(l->e, LEAT_E_HPARAM, "%s[%llu] is %lld, not %u .. %u", name,
                             (unsigned long long)i, (long long)v, min, max);
        if (v != first)
            return error_set(l->e, LEAT_E_UNSUPPORTED,
                             "%s differs between layers (%lld and %lld), which %s does not do here", name,
                             (long long)first, (long long)v, l->arch_name);
    }
    *out = (uint32_t)first;
    return LEAT_OK;
}

/* A wrong value is a bad model parameter, whatever the getter calls it. */
static leat_status as_hparam(arch_loader *l, leat_status s) {
    if (s != LEAT_E_VALUE && s != LEAT_E_MISSING) return s;
    if (l->e) l->e->code = LEAT_E_HPARAM;
    return LEAT_E_HPARAM;
}

leat_status arch_u32(arch_loader *l, const char *key, uint32_t min, uint32_t max, const uint32_t *fallback,
                     uint32_t *out) {
    char name[KEY_MAX];
    bool found = false;
    if (!key_name(l, key, name)) return error_set(l->e, LEAT_E_HPARAM, "the key for %s is too long", key);
    const gguf_kv *kv = gguf_find(l->g, name);
    if (kv && kv->type == GGUF_ARRAY) return u32_per_layer(l, name, min, max, out);
    leat_status s = meta_u32(l->g, name, min, max, out, fallback ? &found : NULL, l->e);
    if (!s && fallback && !found) *out = *fallback;
    return as_hparam(l, s);
}

leat_status arch_u32_layer(arch_loader *l, const char *key, uint32_t layer, uint32_t min, uint32_t max,
                           uint32_t *out) {
    char name[KEY_MAX];
    const gguf_kv *kv = key_name(l, key, name) ? gguf_find(l->g, name) : NULL;
    if (!kv || kv->type != GGUF_ARRAY) return arch_u32(l, key, min, max, NULL, out);
    if (kv->elem_type != GGUF_U32 && kv->elem_type != GGUF_I32)
        return error_set(l->e, LEAT_E_TYPE, "%s is an array of something else than 32-bit integers", name);
    if (layer >= kv->count)
        return error_set(l->e, LEAT_E_HPARAM, "%s has %llu values, none for layer %u", name,
                         (unsigned long long)kv->count, layer);
    int64_t v = kv->elem_type == GGUF_U32 ? (int64_t)gguf_kv_u64(kv, layer) : gguf_kv_i64(kv, layer);
    if (v < (int64_t)min || v > (int64_t)max)
        return error_set(l->e, LEAT_E_HPARAM, "%s[%u] is %lld, not %u .. %u", name, layer, (long long)v, min,
                         max);
    *out = (uint32_t)v;
    return LEAT_OK;
}

leat_status arch_f32(arch_loader *l, const char *key, float min, float max, const float *fallback,
                     float *out) {
    char name[KEY_MAX];
    bool found = false;
    if (!key_name(l, key, name)) return error_set(l->e, LEAT_E_HPARAM, "the key for %s is too long", key);
    leat_status s = meta_f32(l->g, name, min, max, out, fallback ? &found : NULL, l->e);
    if (!s && fallback && !found) *out = *fallback;
    return as_hparam(l, s);
}

bool arch_has_key(arch_loader *l, const char *key) {
    char name[KEY_MAX];
    return key_name(l, key, name) && gguf_find(l->g, name);
}

bool arch_has_array(arch_loader *l, const char *key) {
    char name[KEY_MAX];
    const gguf_kv *kv = key_name(l, key, name) ? gguf_find(l->g, name) : NULL;
    return kv && kv->type == GGUF_ARRAY;
}

leat_status arch_bool(arch_loader *l, const char *key, const bool *fallback, bool *out) {
    char name[KEY_MAX];
    bool found = false;
    if (!key_name(l, key, name)) return error_set(l->e, LEAT_E_HPARAM, "the key for %s is too long", key);
    leat_status s = meta_bool(l->g, name, out, fallback ? &found : NULL, l->e);
    if (!s && fallback && !found) *out = *fallback;
    return as_hparam(l, s);
}

leat_status arch_error(arch_loader *l, leat_status code, const char *sentence) {
    return error_set(l->e, code, "%s: %s", l->arch_name, sentence);
}

leat_status arch_refuse(arch_loader *l, const char *key, const char *what) {
    uint32_t zero = 0, value = 0;
    leat_status s = arch_u32(l, key, 0, UINT32_MAX, &zero, &value);
    if (!s && value)
        s = error_set(l->e, LEAT_E_UNSUPPORTED, "%s.%s is %u: %s is not supported for this architecture",
                      l->arch_name, key, value, what);
    return s;
}

/* head_count_kv with 0 for layers that are recurrent, and one number for all others. */
static leat_status read_hybrid_heads(arch_loader *l, hparams *hp) {
    char name[KEY_MAX];
    const gguf_kv *kv = key_name(l, "attention.head_count_kv", name) ? gguf_find(l->g, name) : NULL;
    if (!kv || kv->type != GGUF_ARRAY)
        return arch_u32(l, "attention.head_count_kv", 1, N_HEAD_MAX, &hp->n_head, &hp->n_head_kv);
    bool is_signed = kv->elem_type == GGUF_I32;
    if (kv->elem_type != GGUF_U32 && !is_signed)
        return error_set(l->e, LEAT_E_TYPE, "%s is an array of something else than 32-bit integers", name);
    if (kv->count < hp->n_layer)
        return error_set(l->e, LEAT_E_HPARAM, "%s has %llu values for %u layers", name,
                         (unsigned long long)kv->count, hp->n_layer);
    hp->n_head_kv = 0;
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        int64_t v = is_signed ? gguf_kv_i64(kv, i) : (int64_t)gguf_kv_u64(kv, i);
        if (v < 0 || v > N_HEAD_MAX || (v && hp->n_head_kv && v != hp->n_head_kv))
            return error_set(l->e, LEAT_E_HPARAM, "%s[%u] is %lld, neither 0 nor the number of other layers",
                             name, i, (long long)v);
        if (v)
            hp->n_head_kv = (uint32_t)v;
        else
            hparams_set_recurrent(hp, i);
    }
    if (!hp->n_head_kv) hp->n_head_kv = hp->n_head; /* no layer has any */
    return LEAT_OK;
}

leat_status arch_read_sizes(arch_loader *l, hparams *hp) {
    leat_status s = arch_u32(l, "context_length", 1, N_CTX_MAX, NULL, &hp->n_ctx_train);
    if (!s) s = arch_u32(l, "embedding_length", 1, N_EMBD_MAX, NULL, &hp->n_embd);
    if (!s) s = arch_u32(l, "block_count", 1, N_LAYER_MAX, NULL, &hp->n_layer);
    if (!s) s = arch_u32(l, "feed_forward_length", 1, N_FF_MAX, NULL, &hp->n_ff);
    if (!s) s = arch_u32(l, "attention.head_count", 1, N_HEAD_MAX, NULL, &hp->n_head);
    if (!s)
        s = hp->hybrid ? read_hybrid_heads(l, hp)
                       : arch_u32(l, "attention.head_count_kv", 1, N_HEAD_MAX, &hp->n_head, &hp->n_head_kv);
    if (s) return s;
    if (hp->n_head % hp->n_head_kv || hp->n_head / hp->n_head_kv > ATTEND_ROWS_MAX)
        return error_set(l->e, LEAT_E_HPARAM,
                         "%s.attention.head_count %u can't be shared by head_count_kv %u", l->arch_name,
                         hp->n_head, hp->n_head_kv);
    uint32_t even = hp->n_embd / hp->n_head;
    bool divides = hp->n_embd % hp->n_head == 0 && even <= ATTEND_HEAD_DIM_MAX;
    s = arch_u32(l, "attention.key_length", 1, ATTEND_HEAD_DIM_MAX, divides ? &even : NULL, &hp->head_dim_k);
    if (!s)
        s = arch_u32(l, "attention.value_length", 1, ATTEND_HEAD_DIM_MAX, divides ? &even : NULL,
                     &hp->head_dim_v);
    if (s == LEAT_E_HPARAM && !divides)
        return error_set(l->e, LEAT_E_HPARAM,
                         "%s.embedding_length %u does not divide into head_count %u heads of at most %u, and "
                         "attention.key_length and value_length do not say otherwise",
                         l->arch_name, hp->n_embd, hp->n_head, (unsigned)ATTEND_HEAD_DIM_MAX);
    return s;
}

leat_status arch_read_common(arch_loader *l, hparams *hp) {
    leat_status s = arch_read_sizes(l, hp);
    if (!s) s = arch_f32(l, "attention.layer_norm_rms_epsilon", FLT_MIN, 1.0f, NULL, &hp->norm_eps);
    return s;
}

static void set_windowed(hparams *hp, uint32_t layer) {
    hp->windowed[layer / 64] |= (uint64_t)1 << layer % 64;
}

void hparams_set_windows(hparams *hp, uint32_t window, uint32_t period) {
    hp->window = window;
    memset(hp->windowed, 0, sizeof hp->windowed);
    for (uint32_t i = 0; i < hp->n_layer; i++)
        if (!period || i % period < period - 1) set_windowed(hp, i);
}

/* A value for each layer: not 0 where it is windowed. */
static leat_status windows_per_layer(arch_loader *l, hparams *hp, const gguf_kv *kv, const char *name) {
    bool is_signed = kv->elem_type == GGUF_I32;
    if (kv->elem_type != GGUF_BOOL && kv->elem_type != GGUF_U32 && !is_signed)
        return error_set(l->e, LEAT_E_TYPE, "%s is an array of something else than truth values", name);
    if (kv->count < hp->n_layer)
        return error_set(l->e, LEAT_E_HPARAM, "%s has %llu values for %u layers", name,
                         (unsigned long long)kv->count, hp->n_layer);
    memset(hp->windowed, 0, sizeof hp->windowed);
    for (uint32_t i = 0; i < hp->n_layer; i++)
        if (is_signed ? gguf_kv_i64(kv, i) != 0 : gguf_kv_u64(kv, i) != 0) set_windowed(hp, i);
    return LEAT_OK;
}

leat_status arch_shared_cache(arch_loader *l, const hparams *hp, uint32_t i, uint32_t *out) {
    *out = i;
    if (i < hp->n_layer_cached) return LEAT_OK;
    uint32_t back = hparams_windowed(hp, i) ? 2 : 1;
    if (hp->n_layer_cached < 2 || hparams_windowed(hp, hp->n_layer_cached - back) != hparams_windowed(hp, i))
        return arch_error(l, LEAT_E_HPARAM, "attention.shared_kv_layers leaves no layer to share with");
    *out = hp->n_layer_cached - back;
    return LEAT_OK;
}

leat_status arch_read_windows(arch_loader *l, hparams *hp, uint32_t window, uint32_t period) {
    char name[KEY_MAX];
    leat_status s =
        arch_u32(l, "attention.sliding_window", 0, N_CTX_MAX, window ? &window : NULL, &hp->window);
    if (s) return s;
    const gguf_kv *kv = key_name(l, "attention.sliding_window_pattern", name) ? gguf_find(l->g, name) : NULL;
    if (kv && kv->type == GGUF_ARRAY) return windows_per_layer(l, hp, kv, name);
    s = arch_u32(l, "attention.sliding_window_pattern", 0, N_LAYER_MAX, &period, &period);
    if (!s) hparams_set_windows(hp, hp->window, period);
    return s;
}

leat_status arch_read_ssm(arch_loader *l, hparams *hp) {
    ssm_hparams *m = &hp->ssm;
    leat_status s = arch_u32(l, "ssm.conv_kernel", 2, 64, NULL, &m->taps);
    if (!s) s = arch_u32(l, "ssm.inner_size", 1, N_FF_MAX, NULL, &m->inner);
    if (!s) s = arch_u32(l, "ssm.state_size", 1, 1 << 16, NULL, &m->state);
    if (!s) s = arch_u32(l, "ssm.time_step_rank", 1, 1 << 16, NULL, &m->n_head);
    if (!s) s = arch_u32(l, "ssm.group_count", 1, 1 << 16, NULL, &m->n_group);
    if (!s && (m->inner % m->n_head || m->n_head % m->n_group || m->inner % m->n_group))
        s = error_set(l->e, LEAT_E_HPARAM,
                      "%s.ssm.inner_size %u, time_step_rank %u and group_count %u do not divide",
                      l->arch_name, m->inner, m->n_head, m->n_group);
    return s;
}

leat_status arch_read_recurrent(arch_loader *l, hparams *hp, uint32_t period) {
    char name[KEY_MAX];
    const gguf_kv *kv = key_name(l, "attention.recurrent_layers", name) ? gguf_find(l->g, name) : NULL;
    if (kv && kv->type == GGUF_ARRAY) {
        bool is_signed = kv->elem_type == GGUF_I32;
        if (kv->elem_type != GGUF_BOOL && kv->elem_type != GGUF_U32 && !is_signed)
            return error_set(l->e, LEAT_E_TYPE, "%s is an array of something else than truth values", name);
        if (kv->count < hp->n_layer)
            return error_set(l->e, LEAT_E_HPARAM, "%s has %llu values for %u layers", name,
                             (unsigned long long)kv->count, hp->n_layer);
        for (uint32_t i = 0; i < hp->n_layer; i++)
            if (is_signed ? gguf_kv_i64(kv, i) != 0 : gguf_kv_u64(kv, i) != 0) hparams_set_recurrent(hp, i);
        return LEAT_OK;
    }
    leat_status s = arch_u32(l, "full_attention_interval", 1, N_LAYER_MAX, &period, &period);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++)
        if ((i + 1) % period) hparams_set_recurrent(hp, i);
    return s;
}

/* The four sizes of rope.dimension_sections, in pairs of dimensions. */
static leat_status read_sections(arch_loader *l, char name[KEY_MAX], int64_t size[4]) {
    const gguf_kv *kv = key_name(l, "rope.dimension_sections", name) ? gguf_find(l->g, name) : NULL;
    if (!kv || kv->type != GGUF_ARRAY || (kv->elem_type != GGUF_I32 && kv->elem_type != GGUF_U32) ||
        kv->count < 3 || kv->count > 4)
        return error_set(l->e, LEAT_E_HPARAM, "%s.rope.dimension_sections is not an array of 4 integers",
                         l->arch_name);
    for (uint64_t i = 0; i < 4; i++) {
        size[i] = i < kv->count
                      ? (kv->elem_type == GGUF_I32 ? gguf_kv_i64(kv, i) : (int64_t)gguf_kv_u64(kv, i))
                      : 0;
        if (size[i] < 0 || size[i] > N_EMBD_MAX)
            return error_set(l->e, LEAT_E_HPARAM, "%s[%llu] is %lld", name, (unsigned long long)i,
                             (long long)size[i]);
    }
    return LEAT_OK;
}

/* A dimension of the fourth section has no position in a text. */
static leat_status fourth_section(arch_loader *l, const char *name, int64_t dimension) {
    return error_set(l->e, LEAT_E_UNSUPPORTED,
                     "%s leaves dimension %lld to a fourth section, which is not supported", name,
                     (long long)dimension);
}

leat_status arch_read_sections(arch_loader *l, const hparams *hp) {
    char name[KEY_MAX];
    int64_t size[4];
    leat_status s = read_sections(l, name, size);
    if (s) return s;
    int64_t sum = size[0] + size[1] + size[2] + size[3];
    for (int64_t i = 0; i < hp->rope.n_dims / 2; i++) {
        int64_t at = sum ? i % sum : 0;
        if (at >= 3 * size[at % 3]) return fourth_section(l, name, i);
    }
    return LEAT_OK;
}

leat_status arch_read_sections_apart(arch_loader *l, const hparams *hp) {
    char name[KEY_MAX];
    int64_t size[4];
    leat_status s = read_sections(l, name, size);
    if (s) return s;
    int64_t three = size[0] + size[1] + size[2], sum = three + size[3];
    for (int64_t i = 0; i < hp->rope.n_dims / 2; i++)
        if (sum && i % sum >= three) return fourth_section(l, name, i);
    return LEAT_OK;
}

static leat_status rope_scaling_read(arch_loader *l, rope_scaling *out) {
    static const char *const names[] = {"none", "linear", "yarn", "longrope"};
    char key[KEY_MAX];
    str text = {0};
    bool found = false;
    if (!key_name(l, "rope.scaling.type", key))
        return arch_error(l, LEAT_E_HPARAM, "the key for rope.scaling.type is too long");
    leat_status s = meta_str(l->g, key, &text, &found, l->e);
    *out = ROPE_SCALING_LINEAR; /* with a factor of 1, none */
    if (s || !found) return s;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(text, names[i])) {
            *out = (rope_scaling)i;
            return LEAT_OK;
        }
    return error_set(l->e, LEAT_E_HPARAM, "%s is \"%.*s\", not none, linear, yarn or longrope", key,
                     (int)(text.n < 40 ? text.n : 40), text.p);
}

leat_status arch_read_rope(arch_loader *l, hparams *hp, rope_layout layout) {
    rope_hparams *r = &hp->rope;
    const float zero = 0.0f, one = 1.0f, base = 10000.0f, fast = 32.0f, slow = 1.0f;
    float linear = 1.0f;
    *r = (rope_hparams){.layout = layout};
    leat_status s = arch_u32(l, "rope.dimension_count", 2, hp->head_dim_k, &hp->head_dim_k, &r->n_dims);
    if (!s && r->n_dims % 2)
        s = error_set(l->e, LEAT_E_HPARAM, "%s.rope.dimension_count %u is odd", l->arch_name, r->n_dims);
    if (!s) s = arch_f32(l, "rope.freq_base", FLT_MIN, 1e12f, &base, &r->freq_base);
    if (!s) s = rope_scaling_read(l, &r->scaling);
    if (!s) s = arch_f32(l, "rope.scale_linear", 1e-6f, 1e6f, &one, &linear); /* the key of older files */
    if (!s) s = arch_f32(l, "rope.scaling.factor", 0.0f, 1e6f, &linear, &r->factor);
    if (!s)
        s = arch_u32(l, "rope.scaling.original_context_length", 1, N_CTX_MAX, &hp->n_ctx_train, &r->orig_ctx);
    if (!s) s = arch_f32(l, "rope.scaling.attn_factor", 1e-6f, 1e6f, &one, &r->attn_factor);
    if (!s) s = arch_f32(l, "rope.scaling.yarn_ext_factor", 0.0f, 1e6f, &one, &r->ext_factor);
    if (!s) s = arch_f32(l, "rope.scaling.yarn_log_multiplier", 0.0f, 1e6f, &zero, &r->log_mul);
    if (!s) s = arch_f32(l, "rope.scaling.yarn_beta_fast", 1e-6f, 1e6f, &fast, &r->beta_fast);
    if (!s) s = arch_f32(l, "rope.scaling.yarn_beta_slow", 1e-6f, 1e6f, &slow, &r->beta_slow);
    if (s) return s;
    if (r->factor <= 0.0f || r->scaling == ROPE_SCALING_NONE) r->factor = 1.0f;
    s = arch_bind(l, &r->freqs, "rope_freqs.weight", 0, 1, r->n_dims / 2, BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &r->freqs_long, "rope_factors_long.weight", 0, 1, r->n_dims / 2, BIND_OPTIONAL);
    if (!s)
        s = arch_bind(l, &r->freqs_short, "rope_factors_short.weight", 0, 1, r->n_dims / 2, BIND_OPTIONAL);
    if (!s && !r->freqs_long.data != !r->freqs_short.data)
        s = error_set(l->e, LEAT_E_TENSOR,
                      "tensor rope_factors_%s.weight is there but its partner is missing",
                      r->freqs_long.data ? "long" : "short");
    return s;
}

static leat_status shape_error(arch_loader *l, const gguf_tensor *t, size_t rows, size_t cols) {
    char found[100], wanted[48];
    size_t n = 0;
    for (uint32_t i = 0; i < t->n_dims; i++)
        n += (size_t)snprintf(found + n, sizeof found - n, "%s%llu", i ? ", " : "",
                              (unsigned long long)t->ne[i]);
    if (rows == 1)
        snprintf(wanted, sizeof wanted, "%zu", cols);
    else
        snprintf(wanted, sizeof wanted, "%zu, %zu", cols, rows);
    return error_set(l->e, LEAT_E_TENSOR, "tensor %.*s has shape [%s], not [%s]", (int)t->name.n, t->name.p,
                     found, wanted);
}

weight weight_part(const weight *w, size_t first, size_t n) {
    weight part = *w;
    if (!w->data) return part;
    if (w->n_rows == 1) {
        part.data = (const float *)w->data + first;
        part.n_cols = n;
    } else {
        part.data = (const char *)w->data + first * w->row_bytes;
        part.n_rows = n;
    }
    return part;
}

static const gguf_tensor *find(const arch_loader *l, const char *name, uint32_t layer,
                               char full[NAME_MAX_BYTES]) {
    const char *hole = strstr(name, "%u");
    if (hole)
        snprintf(full, NAME_MAX_BYTES, "%.*s%u%s", (int)(hole - name), name, layer, hole + 2);
    else
        snprintf(full, NAME_MAX_BYTES, "%s", name);
    return gguf_find_tensor(l->g, full);
}

void arch_skip_layer(arch_loader *l, uint32_t layer) {
    char prefix[32];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "blk.%u.", layer);
    for (size_t i = 0; i < l->g->n_tensors; i++) {
        str name = l->g->tensors[i].name;
        if (name.n > n && !memcmp(name.p, prefix, n)) l->used[i] = 1;
    }
}

bool arch_has(arch_loader *l, const char *name, uint32_t layer) {
    char full[NAME_MAX_BYTES];
    return find(l, name, layer, full);
}

leat_status arch_bind(arch_loader *l, weight *out, const char *name, uint32_t layer, size_t rows, size_t cols,
                      unsigned flags) {
    char full[NAME_MAX_BYTES];
    *out = (weight){0};
    const gguf_tensor *t = find(l, name, layer, full);
    if (!t) {
        if (flags & BIND_OPTIONAL) return LEAT_OK;
        return error_set(l->e, LEAT_E_TENSOR, "tensor %s is missing", full);
    }
    bool vector = rows == 1, plain = vector || flags & BIND_F32;
    /* values that are no matrix to multiply with may have dimensions of 1 more than they need */
    bool too_many = flags & BIND_F32 ? t->n_rows != rows : t->n_dims > (vector ? 1u : 2u);
    if (too_many || t->ne[0] != cols || t->ne[1] != rows) return shape_error(l, t, rows, cols);
    if (plain ? t->format != FORMAT_F32 : kernels_traits(t->format).act == ACT_COUNT)
        return error_set(l->e, plain ? LEAT_E_TENSOR : LEAT_E_UNSUPPORTED, "tensor %s has type %s, %s", full,
                         format_get(t->format)->name,
                         plain ? "not F32"
                         : format_get(t->format)->block_elems == 1
                             ? "a type of plain integers, which weights don't have"
                             : "which weights can't be computed with");
    *out = (weight){
        .data = t->data, .format = t->format, .row_bytes = t->row_bytes, .n_rows = rows, .n_cols = cols};
    l->used[t - l->g->tensors] = 1;
    return LEAT_OK;
}

leat_status arch_bind_rows(arch_loader *l, weight *out, const char *name, size_t max, size_t cols) {
    const gguf_tensor *t = gguf_find_tensor(l->g, name);
    *out = (weight){0};
    if (!t) return LEAT_OK;
    if (t->ne[0] != cols || t->n_rows > max)
        return error_set(l->e, LEAT_E_TENSOR, "tensor %s has %llu rows of %llu values, not up to %zu of %zu",
                         name, (unsigned long long)t->n_rows, (unsigned long long)t->ne[0], max, cols);
    if (kernels_traits(t->format).act == ACT_COUNT)
        return error_set(l->e, LEAT_E_UNSUPPORTED,
                         "tensor %s has type %s, which weights can't be computed with", name,
                         format_get(t->format)->name);
    *out = (weight){.data = t->data,
                    .format = t->format,
                    .row_bytes = t->row_bytes,
                    .n_rows = (size_t)t->n_rows,
                    .n_cols = cols};
    l->used[t - l->g->tensors] = 1;
    return LEAT_OK;
}
