/* See tokens.h. What numbers no file gives a token become padding, so that there are as many tokens as the
 * model has embeddings. */
#include "tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "folder.h"
#include "kernels/formats.h"

enum { TREE_MAX = 800 << 20 }; /* of all documents: tokenizer.json of the largest models takes some 300 MB */

void vocabulary_set(vocabulary *v, uint64_t id, str text, uint32_t kind, float score) {
    if (id >= v->n) {
        static const char said[] =
            "token %" PRIu64 " (\"%.*s\") is beyond the model's %u embeddings and left out";
        v->n_beyond++;
        conversion_warn(v->c, said, id, (int)(text.n < 60 ? text.n : 60), text.p, (unsigned)v->n);
        return;
    }
    v->tokens[id] = (token){text, kind, score};
}

int64_t vocabulary_find(const vocabulary *v, str text) {
    for (uint32_t i = 0; i < v->n && text.p; i++)
        if (v->tokens[i].kind && v->tokens[i].text.n == text.n &&
            !memcmp(v->tokens[i].text.p, text.p, text.n))
            return i;
    return -1;
}

static bool between(str s, const char *start, const char *end) {
    size_t n = strlen(start), m = strlen(end);
    return s.n >= n + m && !memcmp(s.p, start, n) && !memcmp(s.p + s.n - m, end, m);
}

bool looks_special(str s) {
    return between(s, "<|", "|>") || between(s, u8"<\uFF5C", u8"\uFF5C>") || between(s, "<unused", ">") ||
           str_eq(s, "<pad>") || str_eq(s, "<mask>") || str_eq(s, "<2mass>") || str_eq(s, "[@BOS@]");
}

/* Text of a user-defined token as the tokenizer sees it: spaces, where vocabularies mark them. */
static str unmarked(vocabulary *v, str text) {
    char *out = arena_alloc(&v->a, text.n + 1);
    size_t n = 0;
    if (!out) {
        conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
        return text;
    }
    for (size_t i = 0; i < text.n;) {
        bool mark = text.n - i >= 3 && !memcmp(text.p + i, u8"\u2581", 3);
        out[n++] = mark ? ' ' : text.p[i];
        i += mark ? 3 : 1;
    }
    return (str){out, n};
}

/* Gemma 4's marks of calls and of thinking: control tokens, of which readers of answers want to see the text.
 */
static bool stays_visible(const vocabulary *v, str text) {
    static const char *const marks[] = {"<|channel>",   "<channel|>",       "<|tool_call>",
                                        "<tool_call|>", "<|tool_response>", "<tool_response|>",
                                        "<|\"|>"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks && !strcmp(v->c->arch->arch, "gemma4"); i++)
        if (str_eq(text, marks[i])) return true;
    return false;
}

/* A token that was added beside the vocabulary. */
static void add(vocabulary *v, uint64_t id, const json_value *text, bool special) {
    if (!text || text->type != JSON_STRING || !text->text.n) return;
    bool unknown = id < v->n && v->tokens[id].kind == KIND_UNKNOWN;
    uint32_t kind = unknown                                ? KIND_UNKNOWN
                    : stays_visible(v, text->text)         ? KIND_USER_DEFINED
                    : special || looks_special(text->text) ? KIND_CONTROL
                                                           : KIND_USER_DEFINED;
    bool mark = kind == KIND_USER_DEFINED && v->spaces_marked;
    vocabulary_set(v, id, mark ? unmarked(v, text->text) : text->text, kind, v->scores ? -1000.0f : 0.0f);
}

static bool is_true(const json_value *v) {
    return v && v->type == JSON_BOOL && v->boolean;
}

/* In the order in which later ones know better. */
static void added_tokens(vocabulary *v) {
    const json_value *decoder = json_get(v->config, "added_tokens_decoder");
    const json_value *list = json_get(v->tokenizer, "added_tokens");
    for (const json_value *t = v->added ? v->added->first : NULL; t; t = t->next)
        if (t->type == JSON_INT && t->integer >= 0) {
            json_value text = {.type = JSON_STRING, .text = t->key};
            add(v, (uint64_t)t->integer, &text, false);
        }
    for (const json_value *t = decoder ? decoder->first : NULL; t; t = t->next) {
        uint64_t id = 0;
        bool digits = t->key.n > 0 && t->key.n < 10;
        for (size_t i = 0; i < t->key.n && digits; i++) {
            digits = t->key.p[i] >= '0' && t->key.p[i] <= '9';
            id = id * 10 + (uint64_t)(t->key.p[i] - '0');
        }
        if (digits) add(v, id, json_get(t, "content"), is_true(json_get(t, "special")));
    }
    for (const json_value *t = list && list->type == JSON_ARRAY ? list->first : NULL; t; t = t->next) {
        const json_value *id = json_get(t, "id");
        if (id && id->type == JSON_INT && id->integer >= 0)
            add(v, (uint64_t)id->integer, json_get(t, "content"), is_true(json_get(t, "special")));
    }
}

static void pad(vocabulary *v) {
    for (uint32_t i = 0; i < v->n && !v->c->status; i++) {
        char text[24];
        if (v->tokens[i].kind) continue;
        int n = snprintf(text, sizeof text, "[PAD%" PRIu32 "]", i);
        char *copy = arena_copy(&v->a, text, (size_t)n);
        if (!copy) conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
        v->tokens[i] = (token){{copy, (size_t)n}, KIND_UNUSED, v->scores ? -10000.0f : 0.0f};
    }
}

/* ---- writing ---- */

static void put(vocabulary *v) {
    meta_out *m = &v->c->meta;
    meta_put_text(m, "tokenizer.ggml.model", v->model);
    if (v->pre) meta_put_text(m, "tokenizer.ggml.pre", v->pre);
    meta_put_array(m, "tokenizer.ggml.tokens", GGUF_STRING, v->n);
    for (uint32_t i = 0; i < v->n; i++) meta_elem_str(m, v->tokens[i].text);
    if (v->scores) {
        meta_put_array(m, "tokenizer.ggml.scores", GGUF_F32, v->n);
        for (uint32_t i = 0; i < v->n; i++) meta_elem_f32(m, v->tokens[i].score);
    }
    meta_put_array(m, "tokenizer.ggml.token_type", GGUF_I32, v->n);
    for (uint32_t i = 0; i < v->n; i++) meta_elem_32(m, v->tokens[i].kind);
    if (v->n_merges) {
        meta_put_array(m, "tokenizer.ggml.merges", GGUF_STRING, v->n_merges);
        for (size_t i = 0; i < v->n_merges; i++) meta_elem_str(m, v->merges[i]);
    }
    if (v->charsmap.n) {
        meta_put_array(m, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, v->charsmap.n);
        for (size_t i = 0; i < v->charsmap.n; i++) meta_elem_u8(m, (uint8_t)v->charsmap.p[i]);
    }
    if (v->add_space >= 0) meta_put_bool(m, "tokenizer.ggml.add_space_prefix", v->add_space);
    if (v->merge_spaces >= 0) meta_put_bool(m, "tokenizer.ggml.remove_extra_whitespaces", v->merge_spaces);
    if (v->lowercase >= 0) meta_put_bool(m, "tokenizer.ggml.normalizer.lowercase", v->lowercase);
    meta_put_u32(m, ".vocab_size", v->n);
}

/* ---- which files ---- */

static bool is_byte_level(const vocabulary *v) {
    const json_value *model = json_get(v->tokenizer, "model"), *fallback = json_get(model, "byte_fallback");
    const json_value *type = json_get(model, "type");
    bool bpe = model && (!type || (type->type == JSON_STRING && str_eq(type->text, "BPE")));
    return bpe && !is_true(fallback);
}

/* The file that knows the vocabulary, of those that folders have. */
typedef struct vocabulary_file {
    const char *name;
    str text;                 /* of a SentencePiece model, or of tiktoken's lines */
    const json_value *tekken; /* or this */
} vocabulary_file;

static leat_status read_documents(vocabulary *v) {
    conversion *c = v->c;
    const char *folder = c->folder;
    leat_status s = folder_json(folder, "tokenizer.json", false, &v->a, &v->tokenizer, c->e);
    if (!s) s = folder_json(folder, "tokenizer_config.json", false, &v->a, &v->config, c->e);
    if (!s) s = folder_json(folder, "special_tokens_map.json", false, &v->a, &v->special_map, c->e);
    if (!s) s = folder_json(folder, "added_tokens.json", false, &v->a, &v->added, c->e);
    if (!s) s = folder_json(folder, "generation_config.json", false, &v->a, &v->generation, c->e);
    return s;
}

static leat_status find_file(vocabulary *v, vocabulary_file *f) {
    /* the first knows the scores that tokenizer.json has lost; with byte-level BPE it is another kind */
    static const char *const models[] = {"tokenizer.model", "sentencepiece.bpe.model"}, *const lists[] = {
                                                                                            "tiktoken.model",
                                                                                            "hy.tiktoken",
                                                                                            "qwen.tiktoken"};
    conversion *c = v->c;
    leat_status s = LEAT_OK;
    *f = (vocabulary_file){.name = NULL};
    for (size_t i = 0; !s && !f->text.p && i < 2 && !is_byte_level(v); i++)
        s = folder_text(c->folder, f->name = models[i], false, &v->a, &f->text, c->e);
    if (!s && !f->text.p && !v->tokenizer)
        s = folder_json(c->folder, "tekken.json", false, &v->a, &f->tekken, c->e);
    for (size_t i = 0; !s && !f->text.p && !f->tekken && !v->tokenizer && i < 3; i++)
        s = folder_text(c->folder, f->name = lists[i], false, &v->a, &f->text, c->e);
    return s;
}

static void read_vocabulary(vocabulary *v, const vocabulary_file *f) {
    if (f->tekken)
        tokens_from_tekken(v, f->tekken);
    else if (f->text.p && tokens_are_ranks(f->text))
        tokens_from_ranks(v, f->name, f->text);
    else if (f->text.p)
        tokens_from_spm(v, f->text);
    else if (v->tokenizer)
        tokens_from_json(v);
    else
        tokens_from_files(v);
    if (f->text.p && !strcmp(f->name, "sentencepiece.bpe.model")) tokens_renumber(v);
}

/* As many tokens as the embedding has rows. */
static uint32_t embedding_rows(const conversion *c) {
    for (size_t i = 0; i < c->n_targets; i++)
        if (!strcmp(c->targets[i].name, "token_embd.weight") && c->targets[i].ne[1] < INT32_MAX)
            return (uint32_t)c->targets[i].ne[1];
    return 0;
}

void vocab_make(conversion *c) {
    vocabulary v = {.c = c,
                    .n = embedding_rows(c),
                    .add_bos = -1,
                    .add_eos = -1,
                    .add_space = -1,
                    .merge_spaces = -1,
                    .lowercase = -1};
    vocabulary_file file;
    if (c->status) return;
    if (!v.n) {
        conversion_fail(c, LEAT_E_TENSOR, "the folder has no token embedding");
        return;
    }
    c->n_vocab = v.n;
    arena_init(&v.a, TREE_MAX);
    c->status = read_documents(&v);
    if (!c->status) c->status = find_file(&v, &file);
    v.tokens = c->status ? NULL : arena_array(&v.a, v.n, sizeof *v.tokens);
    if (!c->status && !v.tokens)
        conversion_fail(c, LEAT_E_NOMEM, "out of memory for %u tokens", (unsigned)v.n);
    if (!c->status) read_vocabulary(&v, &file);
    if (!c->status) added_tokens(&v);
    if (!c->status) pad(&v);
    if (!c->status) put(&v);
    if (!c->status) tokens_roles(&v);
    arena_free(&v.a);
}
