/* Which tensors the GGUF file has: every tensor of the folder goes through the rules of its architecture and
 * then through the common ones. One that no rule knows is an error, since a model without it would be
 * another. Scales of eight-bit weights are bound to them here; packed.c does so for those of fewer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conversion.h"
#include "kernels/formats.h"
#include "loader/alloc.h"
#include "packed.h"

enum { PLAIN_MAX = 512 };

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with) {
    size_t n = strlen(text), m = strlen(with);
    return n >= m && !strcmp(text + n - m, with);
}

const char *target_plain_name(const char *name) {
    static const char *const prefixes[] = {"language_model.", "model.", "transformer.", "backbone.",
                                           "gpt_neox.",       "ernie.", "text_model.",  "decoder.",
                                           "thinker.",        "bert.",  "roberta.",     "distilbert."};
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
            if (starts(name, prefixes[i])) {
                name += strlen(prefixes[i]);
                again = true;
            }
    }
    return name;
}

/* Parts of a model that are not its language model, and buffers that say nothing. */
static bool is_left_out(const char *name) {
    static const char *const parts[] = {"visual.",
                                        "vision_",
                                        "vision_model",
                                        "audio_",
                                        "embed_audio",
                                        "embed_vision",
                                        "mm_projector",
                                        "image_newline",
                                        "multi_modal_projector",
                                        "rotary_emb.",
                                        ".masked_bias",
                                        "mtp_",
                                        "cls.predictions.",
                                        "vocab_trans",
                                        "vocab_layer_norm",
                                        "vocab_projector",
                                        "cls.seq_relationship",
                                        ".parametrizations.weight.0.lora_",
                                        "embeddings.position_ids"};
    static const char *const tails[] = {
        ".input_scale",  ".activation_scale", ".qscale_act", ".input_global_scale", ".weight_scale_inv",
        ".weight_scale", ".qscale_weight",    "_scales",     ".attn.bias",          ".attention.bias",
        ".k_scale",      ".v_scale",          ".SCB",        ".weight_format"};
    static const char *const heads[] = {"mtp.",    "vit.",       "vision",    "mlp1.",
                                        "talker.", "token2wav.", "code2wav.", "connector."};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (starts(name, heads[i])) return true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(name, parts[i])) return true;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (ends(name, tails[i])) return true;
    return false;
}

/* Reads digits into *out. */
static bool take_number(const char **p, uint32_t *out) {
    const char *start = *p;
    uint32_t v = 0;
    while (**p >= '0' && **p <= '9' && *p - start < 6) v = v * 10 + (uint32_t)(*(*p)++ - '0');
    *out = v;
    return *p > start && !(**p >= '0' && **p <= '9');
}

/* Does the name fit the rule? Fills the match's numbers and suffix. */
static bool fits(const char *name, const tensor_rule *rule, tensor_match *m) {
    const char *p = name;
    m->layer = m->expert = 0;
    for (const char *r = rule->from; *r; r++) {
        if (*r == '#' || *r == '@') {
            if (!take_number(&p, *r == '#' ? &m->layer : &m->expert)) return false;
        } else if (*r == '!' && !r[1]) {
            m->suffix = "";
            return !*p;
        } else if (*p++ != *r) {
            return false;
        }
    }
    bool gain = !strcmp(p, ".weight") || !strcmp(p, ".gamma"); /* old BERTs say gamma and beta */
    m->suffix = gain ? ".weight" : !strcmp(p, ".bias") || !strcmp(p, ".beta") ? ".bias" : NULL;
    return m->suffix != NULL;
}

static bool find_rule(const conversion *c, const char *name, tensor_match *m) {
    const tensor_rule *lists[] = {c->rules, common_tensors};
    for (size_t i = 0; i < 2; i++)
        for (const tensor_rule *r = lists[i]; r && r->from; r++)
            if (fits(name, r, m)) {
                m->rule = r;
                return true;
            }
    return false;
}

bool target_rule(const conversion *c, const source_tensor *t, tensor_match *m) {
    return find_rule(c, target_plain_name(t->name.p), m);
}

/* ---- scales of eight bits ---- */

static source_tensor *find_beside(const conversion *c, const source_tensor *t, const char *tail) {
    static const char weight[] = ".weight";
    char name[PLAIN_MAX + 64];
    size_t n = t->name.n;
    if (n > PLAIN_MAX) return NULL;
    if (n > 7 && !memcmp(t->name.p + n - 7, weight, 7) && *tail == '.') n -= 7;
    memcpy(name, t->name.p, n);
    snprintf(name + n, sizeof name - n, "%s", tail);
    return weights_find(&c->w, (str){name, n + strlen(tail)});
}

/* Blocks as config.json has them: one number for so many rows and columns. */
static void block_sizes(conversion *c, uint64_t *rows, uint64_t *cols) {
    const json_value *v = cfg(c, "quantization_config.weight_block_size|quantization_config.block_size");
    *rows = *cols = 128;
    if (v && v->type == JSON_ARRAY && v->count == 2 && v->first->type == JSON_INT &&
        v->last->type == JSON_INT && v->first->integer > 0 && v->last->integer > 0) {
        *rows = (uint64_t)v->first->integer;
        *cols = (uint64_t)v->last->integer;
    }
}

/* FP8, and integers as compressed-tensors and bitsandbytes have them. */
static void bind_scale(conversion *c, source_tensor *t) {
    static const char *const tails[] = {".weight_scale_inv", ".weight_scale", ".qscale_weight",
                                        "_scale_inv",        "_scale",        ".SCB"};
    const source_tensor *s = NULL;
    bool integers = t->type == WEIGHT_I8;
    size_t k = 0;
    if (t->type != WEIGHT_F8_E4M3 && t->type != WEIGHT_F8_E5M2 && !integers) return;
    for (; !s && k < sizeof tails / sizeof *tails; k++) s = find_beside(c, t, tails[k]);
    if (!s) return; /* plain numbers of eight bits */
    uint64_t cols = t->n_dims ? t->dims[t->n_dims - 1] : 1, rows = cols ? t->n / cols : 0;
    uint64_t block_rows, block_cols;
    block_sizes(c, &block_rows, &block_cols);
    bool whole = s->n == 1 || s->n == rows || (t->n_dims == 3 && s->n == t->dims[0]);
    bool groups = s->n_dims == 2 && s->dims[0] == rows && s->dims[1] && cols % s->dims[1] == 0;
    if (whole) /* one for all rows, for each, or for each matrix of a stack */
        block_rows = rows / s->n ? rows / s->n : 1, block_cols = cols ? cols : 1;
    else if (groups)
        block_rows = 1, block_cols = cols / s->dims[1];
    bool rounds =
        block_rows <= rows + block_rows && s->n == (rows / block_rows + (rows % block_rows != 0)) *
                                                       (cols / block_cols + (cols % block_cols != 0));
    bool zeros = integers && find_beside(c, t, ".weight_zero_point");
    if (zeros) {
        conversion_fail(c, LEAT_E_UNSUPPORTED, "tensor \"%.150s\" has zero points, which can't be converted",
                        t->name.p);
        return;
    }
    if (!weight_type_bytes(s->type) || !rounds || s == t || s->packed) {
        conversion_fail(c, LEAT_E_TENSOR, "the scales of tensor \"%.150s\" do not fit it", t->name.p);
        return;
    }
    t->scale = s;
    t->scale_factor =
        k == sizeof tails / sizeof *tails && integers ? 1.0f / 127 : 1; /* SCB: of the largest */
    t->block_rows = block_rows;
    t->block_cols = block_cols;
}

/* ---- all of them ---- */

/* Tensors of layers from num_hidden_layers on. */
typedef struct surplus {
    size_t n, n_other; /* other: under names that no layer of the architecture has */
    const source_tensor *first;
} surplus;

static bool is_surplus(const conversion *c, const char *name, bool found, const tensor_match *m) {
    uint32_t layer;
    if (found) return m->layer >= c->n_layer && strchr(m->rule->from, '#');
    if (!starts(name, "layers.")) return false;
    const char *p = name + 7;
    return take_number(&p, &layer) && layer >= c->n_layer;
}

/* Layers that draft tokens are behind the others, and the text is the same without them. They have tensors
 * that other layers lack, or the configuration counts them; a layer that is neither is one of the model's. */
static void report_surplus(conversion *c, const surplus *s) {
    static const char drafts[] = "num_nextn_predict_layers|num_mtp_modules|num_mtp_layers|mtp_num_layers|"
                                 "mtp_num_hidden_layers|mtp_transformer_layers";
    if (!s->n || c->status) return;
    if (!s->n_other && !cfg_u32(c, drafts, 0)) {
        conversion_fail(c, LEAT_E_HPARAM,
                        "config.json: num_hidden_layers is %u, but there is a tensor \"%.120s\"",
                        (unsigned)c->n_layer, s->first->name.p);
        return;
    }
    conversion_warn(c,
                    "%zu tensors of layers beyond the %u that config.json counts are left out: \"%.120s\"%s",
                    s->n, (unsigned)c->n_layer, s->first->name.p, s->n > 1 ? " and others" : "");
}

static void make(conversion *c, source_tensor *t, surplus *s) {
    const char *name = target_plain_name(t->name.p);
    tensor_match m = {.src = t};
    bool drafts = starts(name, "mtp.") || strstr(name, "mtp_");
    if (t->hidden || (is_left_out(name) && !drafts)) return;
    bool found = find_rule(c, name, &m);
    if (drafts || is_surplus(c, name, found, &m)) {
        if (!s->n++) s->first = t;
        s->n_other += drafts || !found;
        return;
    }
    if (!found) {
        conversion_fail(c, LEAT_E_TENSOR, "tensor \"%.120s\" is none that %s models have", t->name.p,
                        c->arch->arch);
        return;
    }
    bool blocks = m.rule->op == OP_MXFP4 || m.rule->op == OP_MXFP4_TURNS;
    bool numbers =
        weight_is_float(t->type) || t->type == WEIGHT_F8_E4M3 || t->type == WEIGHT_F8_E5M2 || t->scale;
    if (t->packed && m.rule->op == OP_TRANSPOSE) {
        conversion_fail(c, LEAT_E_UNSUPPORTED, "tensor \"%.120s\" is packed and transposed", t->name.p);
        return;
    }
    if (m.rule->op != OP_SKIP && !blocks && !numbers) {
        conversion_fail(c, LEAT_E_UNSUPPORTED,
                        "tensor \"%.120s\" is of type %s and not of numbers with fractions", t->name.p,
                        weight_type_name(t->type));
        return;
    }
    op_apply(c, &m);
}

/* Layer by layer, so that a model is read from its start to its end: what comes first, layers, the rest. */
static uint64_t order_of(const target *t, uint64_t index) {
    uint64_t layer = UINT32_MAX;
    if (starts(t->name, "token_embd") || starts(t->name, "position_embd")) layer = 0;
    if (starts(t->name, "blk.")) layer = 1 + strtoul(t->name + 4, NULL, 10);
    return layer << 32 | index;
}

static int by_order(const void *a, const void *b) {
    const target *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static target *find_target(const conversion *c, const char *name) {
    for (size_t i = 0; i < c->n_targets; i++)
        if (!strcmp(c->targets[i].name, name)) return &c->targets[i];
    return NULL;
}

/* Where output and embedding are one matrix, folders have it under either name, or under both; GGUF has the
 * embedding. */
static void tie(conversion *c) {
    target *output = find_target(c, "output.weight"), *embedding = find_target(c, "token_embd.weight");
    if (!output || !(c->tied || c->arch->no_output)) return;
    if (!embedding) {
        strcpy(output->name, "token_embd.weight");
        return;
    }
    target_free(output);
    *output = c->targets[--c->n_targets];
}

void targets_make(conversion *c) {
    packed_bind(c);
    for (size_t i = 0; i < c->w.n && !c->status; i++) bind_scale(c, &c->w.t[i]);
    surplus beyond = {.n = 0};
    for (size_t i = 0; i < c->w.n && !c->status; i++) make(c, &c->w.t[i], &beyond);
    report_surplus(c, &beyond);
    if (!c->status) tie(c);
    op_check(c);
    if (!c->status && !c->n_targets) conversion_fail(c, LEAT_E_TENSOR, "the folder has no tensors");
    for (size_t i = 0; i < c->n_targets; i++) c->targets[i].order = order_of(&c->targets[i], i);
    if (c->n_targets) qsort(c->targets, c->n_targets, sizeof *c->targets, by_order);
}
