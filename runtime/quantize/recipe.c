/* recipe.h: reads the tables of recipes.def. Must never look at a tensor's data. */
#include "recipe.h"

#include <stdio.h>
#include <string.h>

#include "kernels/formats.h"

/* ---- mixes ---- */

enum {
#define M(NAME, file_type, BASE, OUTPUT, EMBEDDING) MIX_##NAME,
#include "recipes.def"
#undef M
    N_MIXES
};

static const mix mixes[] = {
#define M(NAME, file_type, BASE, OUTPUT, EMBEDDING)                                                          \
    {#NAME, file_type, FORMAT_##BASE, FORMAT_##OUTPUT, FORMAT_##EMBEDDING},
#include "recipes.def"
#undef M
};

const mix *mix_get(size_t i) {
    return i < N_MIXES ? &mixes[i] : NULL;
}

static char upper(char c) {
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool same_word(const char *a, const char *b) {
    while (*a && upper(*a) == upper(*b)) a++, b++;
    return upper(*a) == upper(*b);
}

const mix *mix_find(const char *name) {
    static const struct {
        const char *name, *means;
    } also[] = {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};
    for (size_t i = 0; i < sizeof also / sizeof *also; i++)
        if (same_word(name, also[i].name)) name = also[i].means;
    for (size_t i = 0; i < N_MIXES; i++) {
        char number[12];
        snprintf(number, sizeof number, "%u", (unsigned)mixes[i].file_type);
        if (same_word(name, mixes[i].name) || !strcmp(name, number)) return &mixes[i];
    }
    return NULL;
}

/* ---- tensors ---- */

static bool ends_with(str s, const char *end) {
    size_t n = strlen(end);
    return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

static bool contains(str s, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, part, n) == 0) return true;
    return false;
}

/* The layer of "blk.N....", or RECIPE_LAYERS. */
static uint32_t layer_of(str name) {
    uint32_t layer = 0;
    size_t i = 4;
    if (name.n < 6 || memcmp(name.p, "blk.", 4) != 0) return RECIPE_LAYERS;
    for (; i < name.n && name.p[i] >= '0' && name.p[i] <= '9' && layer < RECIPE_LAYERS; i++)
        layer = layer * 10 + (uint32_t)(name.p[i] - '0');
    return i > 4 && i < name.n && name.p[i] == '.' && layer < RECIPE_LAYERS ? layer : RECIPE_LAYERS;
}

bool recipe_is_output(const gguf_tensor *t) {
    return str_eq(t->name, "output.weight");
}

bool recipe_is_embedding(const gguf_tensor *t) {
    return str_eq(t->name, "token_embd.weight") || str_eq(t->name, "per_layer_token_embd.weight");
}

bool recipe_allows(const gguf_tensor *t) {
    /* Norms; routers, which are small and decide much; positions and token kinds; small matrices of
     * recurrent, multimodal and other special layers, as llama.cpp lists them. */
    static const char *const kept[] = {"_norm.weight",
                                       "ffn_gate_inp.weight",
                                       "ffn_gate_tid2eid.weight",
                                       "altup",
                                       "laurel",
                                       "per_layer_model_proj",
                                       "ssm_conv1d",
                                       "shortconv.conv.weight",
                                       "indexer.k_proj.weight",
                                       "indexer.q_proj.weight",
                                       "time_mix_first.weight",
                                       "time_mix_w0.weight",
                                       "time_mix_w1.weight",
                                       "time_mix_w2.weight",
                                       "time_mix_v0.weight",
                                       "time_mix_v1.weight",
                                       "time_mix_v2.weight",
                                       "time_mix_a0.weight",
                                       "time_mix_a1.weight",
                                       "time_mix_a2.weight",
                                       "time_mix_g1.weight",
                                       "time_mix_g2.weight",
                                       "time_mix_decay_w1.weight",
                                       "time_mix_decay_w2.weight",
                                       "time_mix_lerp_fused.weight",
                                       "attn_rel_b.weight",
                                       ".position_embd",
                                       "sam.pos_embd",
                                       "sam.neck.",
                                       "sam.net_",
                                       ".rel_pos",
                                       ".patch_embd",
                                       ".patch_merger",
                                       "a.rvq.codebook",
                                       "mm.a.code_embd"};
    if (t->n_rows < 2 || !ends_with(t->name, "weight")) return false;
    if (str_eq(t->name, "position_embd.weight") || str_eq(t->name, "token_types.weight")) return false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (contains(t->name, kept[i])) return false;
    return true;
}

enum tensor_class { ANY, ATTN_V, ATTN_K, ATTN_Q, ATTN_OUT, FFN_UP, FFN_DOWN, OTHER };

static enum tensor_class class_of(str name) {
    static const struct {
        const char *part;
        enum tensor_class is;
    } parts[] = {{"attn_qkv.weight", ATTN_V}, {"attn_kv_b.weight", ATTN_V}, {"attn_v.weight", ATTN_V},
                 {"attn_k.weight", ATTN_K},   {"attn_q.weight", ATTN_Q},    {"attn_output.weight", ATTN_OUT},
                 {"ffn_up", FFN_UP},          {"ffn_gate", FFN_UP},         {"ffn_down", FFN_DOWN}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (contains(name, parts[i].part)) return parts[i].is;
    return OTHER;
}

double recipe_harm(const gguf_tensor *t, uint32_t n_layer, bool has_output) {
    /* Mean divergence for a noise of the size of the product itself, as measured on a small llama of 4
     * layers; what a layer adds is the smaller a part of the whole the more of them there are. */
    double layers = 4.0 / (n_layer ? n_layer : 4);
    if (recipe_is_output(t) || (recipe_is_embedding(t) && !has_output)) return 1.8;
    if (recipe_is_embedding(t)) return 0.1;
    switch (class_of(t->name)) {
    case ATTN_V: return 0.04 * layers;
    case ATTN_K:
    case ATTN_Q: return 0.015 * layers;
    case ATTN_OUT: return 0.05 * layers;
    case FFN_DOWN: return 0.25 * layers;
    default: return 0.12 * layers;
    }
}

/* ---- models ---- */

/* The first number of `ARCHITECTURE.suffix`, which may be an array of one per layer; 0 where there is none.
 */
static uint32_t number_of(const gguf *g, str architecture, const char *suffix) {
    char key[128];
    snprintf(key, sizeof key, "%.*s.%s", (int)(architecture.n < 64 ? architecture.n : 64), architecture.p,
             suffix);
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv || !kv->count || kv->elem_type == GGUF_STRING || kv->elem_type == GGUF_ARRAY ||
        kv->elem_type == GGUF_F32 || kv->elem_type == GGUF_F64)
        return 0;
    uint64_t v = gguf_kv_u64(kv, 0);
    return v < UINT32_MAX ? (uint32_t)v : 0;
}

void model_facts_read(model_facts *f, const gguf *g, bool has_importance) {
    str architecture = {"", 0};
    bool found = false;
    memset(f, 0, sizeof *f);
    meta_str(g, "general.architecture", &architecture, &found, NULL);
    uint32_t heads = number_of(g, architecture, "attention.head_count");
    uint32_t heads_kv = number_of(g, architecture, "attention.head_count_kv");
    f->n_layer = number_of(g, architecture, "block_count");
    f->n_expert = number_of(g, architecture, "expert_count");
    f->n_group = heads_kv ? heads / heads_kv : 1;
    f->has_output = gguf_find_tensor(g, "output.weight") != NULL;
    f->has_importance = has_importance;
    f->is_70b = str_eq(architecture, "llama") && f->n_layer == 80 && heads != heads_kv;
    f->is_falcon = str_eq(architecture, "falcon");
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (class_of(g->tensors[i].name) != ATTN_V) continue;
        uint32_t layer = layer_of(g->tensors[i].name);
        f->n_attn_v++;
        if (layer < RECIPE_LAYERS && f->attn_v_before[layer + 1] < UINT16_MAX) f->attn_v_before[layer + 1]++;
    }
    for (size_t i = 0; i < RECIPE_LAYERS; i++) {
        uint32_t sum = (uint32_t)f->attn_v_before[i] + f->attn_v_before[i + 1];
        f->attn_v_before[i + 1] = (uint16_t)(sum < UINT16_MAX ? sum : UINT16_MAX);
    }
}

/* ---- rules ---- */

enum needs {
    SHARED = 1, /* few key heads or several experts: values are a small part of the file */
    GROUPED = 2,
    EXPERTS_8 = 4,
    IMPORTANCE = 8,
    NO_IMPORTANCE = 16,
    FIRST_8TH = 32,
    FIRST_16TH = 64,
    MIDDLE = 128,
    MORE_BITS = 256, /* the first and last eighth, and every third layer between */
    FIRST_2 = 512,
    FIRST_4 = 1024,
    LLAMA_70B = 2048,
    STACKED = 4096
};

/* What holds for a tensor. */
static unsigned holding(const model_facts *f, const gguf_tensor *t, enum tensor_class is) {
    uint32_t layer = layer_of(t->name), n = f->n_layer;
    unsigned holds = f->has_importance ? IMPORTANCE : NO_IMPORTANCE;
    if (is == ATTN_V) { /* counted, as not every layer need have attention */
        layer = layer < RECIPE_LAYERS ? f->attn_v_before[layer] : layer;
        n = f->n_attn_v;
    }
    if (f->n_group >= 4 || f->n_expert >= 4) holds |= SHARED;
    if (f->n_group >= 4) holds |= GROUPED;
    if (f->n_expert == 8) holds |= EXPERTS_8;
    if (layer < n / 8) holds |= FIRST_8TH;
    if (layer < n / 16) holds |= FIRST_16TH;
    if (layer >= n / 8 && layer < 7 * (uint64_t)n / 8) holds |= MIDDLE;
    if (layer < n / 8 || layer >= 7 * (uint64_t)n / 8 || (layer - n / 8) % 3 == 2) holds |= MORE_BITS;
    if (layer < 2) holds |= FIRST_2;
    if (layer < 4) holds |= FIRST_4;
    if (f->is_70b) holds |= LLAMA_70B;
    if (t->ne[2] > 1) holds |= STACKED;
    return holds;
}

enum { FORMAT_BASE = FORMAT_COUNT };
static const struct rule {
    const char *mixes; /* names with blanks between, or "*" */
    enum tensor_class of;
    unsigned needs;
    uint32_t format;
} rules[] = {
#define R(mixes, class, needs, TYPE) {mixes, class, needs, FORMAT_##TYPE},
#include "recipes.def"
#undef R
};

static bool lists(const char *words, const char *word) {
    size_t n = strlen(word);
    if (*words == '*') return true;
    for (const char *p = words; (p = strstr(p, word)); p++)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

static bool is_plain(uint32_t format) {
    return format_get(format)->block_elems == 1;
}

uint32_t recipe_format(const mix *m, const model_facts *f, const gguf_tensor *t) {
    enum tensor_class is = class_of(t->name);
    if (is_plain(m->base)) return m->base;
    if (recipe_is_output(t) || (recipe_is_embedding(t) && !f->has_output))
        return f->is_falcon || t->ne[0] % format_get(m->base)->block_elems ? (uint32_t)FORMAT_Q8_0
                                                                           : m->output;
    if (recipe_is_embedding(t)) return m->embedding;
    unsigned holds = holding(f, t, is);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if ((rules[i].of == ANY || rules[i].of == is) && (rules[i].needs & ~holds) == 0 &&
            lists(rules[i].mixes, m->name))
            return rules[i].format == FORMAT_BASE ? m->base : rules[i].format;
    return m->base;
}

uint32_t recipe_fallback(uint32_t format, uint64_t n) {
    while (n % format_get(format)->block_elems) switch (format) {
        case FORMAT_IQ1_S:
        case FORMAT_IQ1_M:
        case FORMAT_IQ2_XXS:
        case FORMAT_IQ2_XS:
        case FORMAT_IQ2_S:
        case FORMAT_IQ3_XXS:
        case FORMAT_IQ3_S:
        case FORMAT_IQ4_XS: format = FORMAT_IQ4_NL; break;
        case FORMAT_Q1_0:
        case FORMAT_Q2_0:
        case FORMAT_Q2_K:
        case FORMAT_Q3_K:
        case FORMAT_TQ1_0:
        case FORMAT_TQ2_0:
        case FORMAT_NVFP4: format = FORMAT_Q4_0; break;
        case FORMAT_Q4_K: format = FORMAT_Q5_0; break;
        case FORMAT_Q5_K: format = FORMAT_Q5_1; break;
        case FORMAT_Q6_K: format = FORMAT_Q8_0; break;
        default: format = FORMAT_F16; break;
        }
    return format;
}

bool recipe_needs_importance(const mix *m, const gguf_tensor *t, uint32_t format) {
    if (recipe_is_output(t) || recipe_is_embedding(t)) return false;
    switch (format) {
    case FORMAT_IQ1_S:
    case FORMAT_IQ1_M:
    case FORMAT_IQ2_XXS:
    case FORMAT_IQ2_XS:
    case FORMAT_IQ2_S:
    case FORMAT_IQ3_XXS: return true;
    case FORMAT_Q2_K: return m && !strcmp(m->name, "Q2_K_S");
    default: return false;
    }
}
