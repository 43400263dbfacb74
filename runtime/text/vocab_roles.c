/* The roles of tokens: which begins a text, which end one, and what the tokenizer puts around a text by
 * default. The last step of vocab_load.c. Where a file says nothing, the defaults are those of llama.cpp,
 * which most files were made for; but a default id counts only if that token is a special one, since an
 * ordinary word must not end a text by accident. */
#include "vocab_load.h"

#include <string.h>

#include "loader/alloc.h"

static const struct {
    const char *key;
    bool ends; /* a text, besides EOS */
} ids[] = {
    {"tokenizer.ggml.eot_token_id", true},        {"tokenizer.ggml.eom_token_id", true},
    {"tokenizer.ggml.fim_pad_token_id", true},    {"tokenizer.ggml.fim_rep_token_id", true},
    {"tokenizer.ggml.fim_sep_token_id", true},    {"tokenizer.ggml.fim_pre_token_id", false},
    {"tokenizer.ggml.fim_suf_token_id", false},   {"tokenizer.ggml.fim_mid_token_id", false},
    {"tokenizer.ggml.prefix_token_id", false},    {"tokenizer.ggml.suffix_token_id", false},
    {"tokenizer.ggml.middle_token_id", false},    {"tokenizer.ggml.padding_token_id", false},
    {"tokenizer.ggml.cls_token_id", false},       {"tokenizer.ggml.mask_token_id", false},
    {"tokenizer.ggml.seperator_token_id", false}, /* sic: the specification's spelling */
};

/* Texts of tokens that end a turn or a text in the models they come from, whatever the file declares; and of
 * those that have another role in a prompt. */
static const char *const end_texts[] = {
    "<|im_end|>",    "<|eot_id|>",
    "<|eom_id|>",    "<|end|>",
    "<|return|>",    "<|call|>",
    "<|calls|>",     "<|flush|>",
    "<|endoftext|>", "<|end_of_text|>",
    "<end_of_turn>", "<end_of_utterance>",
    "<turn|>",       "<|tool_response>",
    "<eos>",         "</s>",
    "<EOT>",         "_<EOT>",
    "[EOT]",         "[EOS]",
    "[e~[",          u8"<\uFF5Cend\u2581of\u2581sentence\uFF5C>", /* DeepSeek */
};
/* Padding, repository and file separator of fill-in-the-middle: each ends a text if the file names no token
 * for it. */
static const struct {
    const char *key;
    const char *texts[5];
} fim_ends[] = {
    {"tokenizer.ggml.fim_pad_token_id", {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
    {"tokenizer.ggml.fim_rep_token_id",
     {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
    {"tokenizer.ggml.fim_sep_token_id", {"<|file_sep|>"}},
};
static const char *const fim_texts[] = {
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<PRE>",
    u8"\u2581<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<SUF>",
    u8"\u2581<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<MID>",
    u8"\u2581<MID>",
    "<|code_middle|>",
    "<|middle|>",
    u8"<\uFF5Cfim\u2581begin\uFF5C>",
    u8"<\uFF5Cfim\u2581hole\uFF5C>",
    u8"<\uFF5Cfim\u2581end\uFF5C>",
};
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* Asked of every token of a vocabulary with every text: nearly all differ in the first byte. */
static bool spells(str text, const char *known) {
    return text.p[0] == known[0] && str_eq(text, known);
}

bool vocab_is_control_text(str text) {
    if (text.n < 4) return false;
    for (size_t i = 0; i < COUNT(end_texts); i++)
        if (spells(text, end_texts[i])) return true;
    for (size_t i = 0; i < COUNT(fim_texts); i++)
        if (spells(text, fim_texts[i])) return true;
    for (size_t i = 0; i < COUNT(fim_ends); i++)
        for (size_t k = 0; k < COUNT(fim_ends[i].texts) && fim_ends[i].texts[k]; k++)
            if (spells(text, fim_ends[i].texts[k])) return true;
    return false;
}

/* *out is left alone when the key is absent. */
static leat_status load_id(const vocab *v, const gguf *g, const char *key, int32_t *out, leat_error *e) {
    uint32_t id = 0;
    bool found = false;
    leat_status s = meta_u32(g, key, 0, UINT32_MAX, &id, &found, e);
    if (s) {
        if (e) e->code = LEAT_E_VOCAB;
        return LEAT_E_VOCAB;
    }
    if (!found) return LEAT_OK;
    if (id >= v->n)
        return error_set(e, LEAT_E_VOCAB, "%s is %u, but there are only %u tokens", key, (unsigned)id,
                         (unsigned)v->n);
    *out = (int32_t)id;
    return LEAT_OK;
}

static leat_status load_flag(const gguf *g, const char *key, bool *out, leat_error *e) {
    bool found;
    leat_status s = meta_bool(g, key, out, &found, e);
    if (s && e) e->code = LEAT_E_VOCAB;
    return s ? LEAT_E_VOCAB : LEAT_OK;
}

/* The special token with this text, or VOCAB_NONE. */
static uint32_t special_named(const vocab *v, const char *text) {
    size_t n = strlen(text);
    uint32_t t = special_match(v, text, n, true);
    return t != VOCAB_NONE && piece_of(v, t).n == n && v->type[t] != TOKEN_UNKNOWN ? t : VOCAB_NONE;
}

static bool has(const vocab *v, const char *text) {
    return special_named(v, text) != VOCAB_NONE;
}

static void mark_end_texts(vocab *v, const gguf *g) {
    for (size_t i = 0; i < COUNT(end_texts); i++) {
        uint32_t t = special_named(v, end_texts[i]);
        if (t != VOCAB_NONE) v->is_end[t] = 1;
    }
    for (size_t i = 0; i < COUNT(fim_ends); i++) {
        if (gguf_find(g, fim_ends[i].key)) continue;
        for (size_t k = 0; k < COUNT(fim_ends[i].texts) && fim_ends[i].texts[k]; k++) {
            uint32_t t = special_named(v, fim_ends[i].texts[k]);
            if (t != VOCAB_NONE) v->is_end[t] = 1;
            if (t != VOCAB_NONE) break;
        }
    }
    /* The formats of gpt-oss and Solar end messages, not turns, with <|end|>; Gemma 4 has an </s> that is
     * text. */
    uint32_t end = special_named(v, "<|end|>"), s = special_named(v, "</s>");
    bool messages = (has(v, "<|return|>") && (has(v, "<|call|>") || has(v, "<|calls|>"))) ||
                    (has(v, "<|flush|>") && (has(v, "<|call|>") || has(v, "<|calls|>")));
    if (end != VOCAB_NONE && messages) v->is_end[end] = 0;
    if (s != VOCAB_NONE && has(v, "<|tool_response>")) v->is_end[s] = 0;
}

/* ---- white space around special tokens ---- */

/* Does the text, its ASCII letters made small, hold this? */
static bool holds(str text, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++) {
        size_t k = 0;
        while (k < n &&
               (text.p[i + k] >= 'A' && text.p[i + k] <= 'Z' ? text.p[i + k] + 32 : text.p[i + k]) == part[k])
            k++;
        if (k == n) return true;
    }
    return false;
}

static str text_of(const gguf *g, const char *key) {
    const gguf_kv *kv = gguf_find(g, key);
    size_t cursor = 0;
    return kv && kv->type == GGUF_STRING ? gguf_kv_next_str(kv, &cursor) : (str){"", 0};
}

static bool holds_one(str text, const char *const *parts) {
    while (*parts && !holds(text, *parts)) parts++;
    return *parts;
}

/* GGUF has no place for the lstrip and rstrip of added tokens, so they follow from the names of those who
 * have them. */
static leat_status load_strips(vocab *v, const gguf *g, leat_error *e) {
    static const char *const jina[] = {"jina-v2-de", "jina-v2-es", "jina-v2-code", NULL};
    static const char *const masked[] = {"nomic-bert-moe", "jina-bert-v3", NULL};
    static const char *const phi3[] = {"phi-3", "phi3", NULL};
    str name = text_of(g, "general.name");
    bool mask = holds_one(text_of(g, "tokenizer.ggml.pre"), jina) ||
                holds_one(text_of(g, "general.architecture"), masked);
    bool phi = !mask && holds_one(name, phi3), modern = !mask && !phi && holds(name, "modern-bert");
    if (!mask && !phi && !modern) return LEAT_OK;
    v->strip = mem_alloc(v->n, 1);
    if (!v->strip) return error_set(e, LEAT_E_NOMEM, "no memory for %u tokens", (unsigned)v->n);
    uint32_t t = special_named(v, mask ? "<mask>" : "[MASK]");
    if (!phi && t != VOCAB_NONE) v->strip[t] = STRIP_LEFT;
    for (uint32_t i = 0; phi && i < v->n_special; i++) {
        str text = piece_of(v, v->special[i]);
        bool none = str_eq(text, "<unk>") || str_eq(text, "<s>") || str_eq(text, "<|endoftext|>");
        v->strip[v->special[i]] = none ? 0 : STRIP_RIGHT;
    }
    return LEAT_OK;
}

/* ---- defaults ---- */

static int32_t default_id(const vocab *v, uint32_t id) {
    return id < v->n && is_special(v, id) ? (int32_t)id : -1;
}

static void set_defaults(vocab *v) {
    static const struct {
        int bos, eos, unk; /* -1: none */
        bool add_bos, add_eos, space_prefix;
    } defaults[] = {
        [VOCAB_SPM] = {1, 2, 0, true, false, true},
        [VOCAB_BPE] = {11, 11, -1, false, false, false},
        [VOCAB_CHAR_BPE] = {-1, -1, -1, false, false, false},
        [VOCAB_WORDPIECE] = {101, -1, 100, true, true, false},
        [VOCAB_UNIGRAM] = {-1, 1, 2, false, true, false},
        [VOCAB_GREEDY] = {-1, -1, -1, false, false, false},
        [VOCAB_PLAMO2] = {1, 2, 0, false, false, false},
    };
    unsigned pre = v->pre ? v->pre->flags : 0;
    v->bos = pre & PRE_NO_BOS ? -1 : default_id(v, (uint32_t)defaults[v->kind].bos);
    v->eos = default_id(v, (uint32_t)defaults[v->kind].eos);
    v->unk = default_id(v, (uint32_t)defaults[v->kind].unk);
    v->add_bos = defaults[v->kind].add_bos || (pre & PRE_ADDS_BOS);
    v->add_eos = defaults[v->kind].add_eos;
    v->space_prefix = defaults[v->kind].space_prefix;
    v->lowercase = v->kind == VOCAB_WORDPIECE;
}

/* BERT begins a text with [CLS] and ends it with [SEP]; that they are BOS and EOS need not be said. */
static leat_status load_bert_ids(vocab *v, const gguf *g, leat_error *e) {
    int32_t cls = -1, sep = default_id(v, 102);
    leat_status s = load_id(v, g, "tokenizer.ggml.cls_token_id", &cls, e);
    if (!s) s = load_id(v, g, "tokenizer.ggml.seperator_token_id", &sep, e);
    if (cls >= 0 && !gguf_find(g, "tokenizer.ggml.bos_token_id")) v->bos = cls;
    if (v->eos < 0) v->eos = sep;
    return s;
}

leat_status vocab_load_roles(vocab *v, const gguf *g, leat_error *e) {
    set_defaults(v);
    v->is_end = mem_alloc(v->n, 1);
    if (!v->is_end) return error_set(e, LEAT_E_NOMEM, "no memory for %u tokens", (unsigned)v->n);
    leat_status s = load_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos, e);
    if (!s) s = load_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos, e);
    if (!s) s = load_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unk, e);
    for (size_t i = 0; i < COUNT(ids) && !s; i++) {
        int32_t id = -1;
        s = load_id(v, g, ids[i].key, &id, e);
        if (!s && id >= 0 && ids[i].ends) v->is_end[id] = 1;
    }
    if (!s && v->kind == VOCAB_WORDPIECE) s = load_bert_ids(v, g, e);
    bool add_sep = false;
    if (!s) s = load_flag(g, "tokenizer.ggml.add_bos_token", &v->add_bos, e);
    if (!s) s = load_flag(g, "tokenizer.ggml.add_eos_token", &v->add_eos, e);
    if (!s)
        s = load_flag(g, "tokenizer.ggml.add_sep_token", &add_sep, e); /* of pairs of texts; checked only */
    if (!s) s = load_flag(g, "tokenizer.ggml.add_space_prefix", &v->space_prefix, e);
    if (!s) s = load_flag(g, "tokenizer.ggml.remove_extra_whitespaces", &v->merge_spaces, e);
    if (!s) s = load_flag(g, "tokenizer.ggml.normalizer.lowercase", &v->lowercase, e);
    v->strip_accents = v->lowercase;
    if (!s) s = load_flag(g, "tokenizer.ggml.normalizer.strip_accents", &v->strip_accents, e);
    if (s) return s;
    bool whitespace = v->kind == VOCAB_CHAR_BPE && !v->escapes_spaces;
    v->lowercase = v->lowercase && (v->kind == VOCAB_WORDPIECE || whitespace);
    v->add_bos =
        (v->add_bos || (v->pre && v->pre->flags & PRE_WHOLE_NEWLINES)) && v->bos >= 0; /* Gemma 4 needs it */
    v->add_eos = v->add_eos && v->eos >= 0;
    /* byte-level BPE and the others never put one */
    v->space_prefix = v->space_prefix && (v->kind == VOCAB_SPM || v->kind == VOCAB_UNIGRAM);
    mark_end_texts(v, g);
    if (v->eos >= 0 && v->kind != VOCAB_WORDPIECE) v->is_end[v->eos] = 1;
    return load_strips(v, g, e);
}
