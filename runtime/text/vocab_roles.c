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

/* Texts of special tokens that end a turn or a text in the models they come from, whatever the file declares.
 */
static const char *const end_texts[] = {
    "<|im_end|>",    "<|eot_id|>",
    "<|eom_id|>",    "<|end|>",
    "<|return|>",    "<|call|>",
    "<|endoftext|>", "<|end_of_text|>",
    "<end_of_turn>", "<end_of_utterance>",
    "</s>",          "<EOT>",
    "_<EOT>",        "[EOT]",
    "[EOS]",         u8"<\uFF5Cend\u2581of\u2581sentence\uFF5C>", /* DeepSeek */
};

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

static void mark_end_texts(vocab *v) {
    for (size_t i = 0; i < sizeof end_texts / sizeof *end_texts; i++) {
        uint32_t t = special_named(v, end_texts[i]);
        if (t != VOCAB_NONE) v->is_end[t] = 1;
    }
    /* The harmony format of gpt-oss ends messages, not turns, with <|end|>. */
    uint32_t end = special_named(v, "<|end|>");
    if (end != VOCAB_NONE && special_named(v, "<|return|>") != VOCAB_NONE &&
        special_named(v, "<|call|>") != VOCAB_NONE)
        v->is_end[end] = 0;
}

static int32_t default_id(const vocab *v, uint32_t id) {
    return id < v->n && is_special(v, id) ? (int32_t)id : -1;
}

leat_status vocab_load_roles(vocab *v, const gguf *g, leat_error *e) {
    bool spm = v->kind == VOCAB_SPM;
    v->bos = default_id(v, spm ? 1 : 11);
    v->eos = default_id(v, spm ? 2 : 11);
    v->unk = spm ? default_id(v, 0) : -1;
    v->add_bos = spm || v->pre->adds_bos;
    v->space_prefix = spm;
    v->is_end = mem_alloc(v->n, 1);
    if (!v->is_end) return error_set(e, LEAT_E_NOMEM, "no memory for %u tokens", (unsigned)v->n);
    leat_status s = load_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos, e);
    if (!s) s = load_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos, e);
    if (!s) s = load_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unk, e);
    for (size_t i = 0; i < sizeof ids / sizeof *ids && !s; i++) {
        int32_t id = -1;
        s = load_id(v, g, ids[i].key, &id, e);
        if (!s && id >= 0 && ids[i].ends) v->is_end[id] = 1;
    }
    if (!s) s = load_flag(g, "tokenizer.ggml.add_bos_token", &v->add_bos, e);
    bool add_eos = false; /* checked; whether a text ends is the caller's to say */
    if (!s) s = load_flag(g, "tokenizer.ggml.add_eos_token", &add_eos, e);
    if (!s) s = load_flag(g, "tokenizer.ggml.add_space_prefix", &v->space_prefix, e);
    if (s) return s;
    v->add_bos = v->add_bos && v->bos >= 0;
    v->space_prefix = v->space_prefix && spm; /* byte-level BPE never puts one */
    mark_end_texts(v);
    if (v->eos >= 0) v->is_end[v->eos] = 1;
    return LEAT_OK;
}
