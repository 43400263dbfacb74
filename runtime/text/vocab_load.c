/* Builds a vocabulary from GGUF metadata: reads tokenizer.ggml.*, checks all of it, and decodes every token's
 * text into the bytes it stands for. Called once per model, through vocab_open. Whatever is wrong with a
 * file's vocabulary is LEAT_E_VOCAB with the key and the token in the message; what is right but unknown to
 * us is LEAT_E_UNSUPPORTED. */
#include "vocab_load.h"

#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "utf8.h"

#define KEY(name) "tokenizer.ggml." name

/* The metadata getters' own statuses, as what they mean here. The message already names the key. */
leat_status vocab_status(leat_status s, leat_error *e) {
    if (s == LEAT_OK || s == LEAT_E_NOMEM) return s;
    if (e) e->code = LEAT_E_VOCAB;
    return LEAT_E_VOCAB;
}

static const struct {
    const char *model;
    enum vocab_kind kind;
    const char *pre; /* NULL: tokenizer.ggml.pre says */
} kinds[] = {
    {"llama", VOCAB_SPM, NULL},           {"gpt2", VOCAB_BPE, NULL},
    {"gemma4", VOCAB_CHAR_BPE, "gemma4"}, {"whitespace", VOCAB_CHAR_BPE, "whitespace"},
    {"bert", VOCAB_WORDPIECE, NULL},      {"t5", VOCAB_UNIGRAM, NULL},
    {"rwkv", VOCAB_GREEDY, NULL},         {"plamo2", VOCAB_PLAMO2, NULL},
};

static leat_status load_kind(vocab *v, const gguf *g, leat_error *e) {
    str model;
    leat_status s = vocab_status(meta_str(g, KEY("model"), &model, NULL, e), e);
    if (s) return s;
    size_t i = 0, n = sizeof kinds / sizeof *kinds;
    while (i < n && !str_eq(model, kinds[i].model)) i++;
    if (i == n)
        return error_set(
            e, LEAT_E_UNSUPPORTED,
            "tokenizer.ggml.model '%.*s' is not supported; known are llama, gpt2, gemma4, whitespace, "
            "bert, t5, rwkv and plamo2",
            model.n < 64 ? (int)model.n : 64, model.p);
    v->kind = kinds[i].kind;
    if (!merges_by_rank(v)) return LEAT_OK;
    s = vocab_load_pre(v, g, kinds[i].pre, e);
    if (s) return s;
    if (v->pre->flags & PRE_CHARACTERS) v->kind = VOCAB_CHAR_BPE;
    v->escapes_spaces =
        (v->pre->flags & PRE_CHARACTERS) && !str_eq((str){v->pre->name, strlen(v->pre->name)}, "whitespace");
    return LEAT_OK;
}

/* An array with one element per token. */
static leat_status per_token(const vocab *v, const gguf *g, const char *key, gguf_type elem, bool required,
                             const gguf_kv **out, leat_error *e) {
    bool found;
    *out = NULL;
    leat_status s = vocab_status(meta_array(g, key, elem, UINT64_MAX, out, required ? NULL : &found, e), e);
    if (s || !*out) return s;
    if ((*out)->count != v->n)
        return error_set(e, LEAT_E_VOCAB, "%s has %llu elements, but there are %u tokens", key,
                         (unsigned long long)(*out)->count, (unsigned)v->n);
    return LEAT_OK;
}

static leat_status load_types(vocab *v, const gguf *g, leat_error *e) {
    const gguf_kv *types;
    leat_status s = per_token(v, g, KEY("token_type"), GGUF_I32, v->kind == VOCAB_SPM, &types, e);
    if (s) return s;
    v->type = mem_alloc(v->n, 1);
    if (!v->type) return error_set(e, LEAT_E_NOMEM, "no memory for %u tokens", (unsigned)v->n);
    for (uint32_t t = 0; t < v->n; t++) {
        int64_t type = types ? gguf_kv_i64(types, t) : TOKEN_NORMAL;
        if (type < 0 || type >= TOKEN_TYPE_COUNT)
            return error_set(e, LEAT_E_VOCAB,
                             "tokenizer.ggml.token_type of token %u is %lld; known are 0 to %d", (unsigned)t,
                             (long long)type, TOKEN_TYPE_COUNT - 1);
        v->type[t] = (uint8_t)type;
    }
    return LEAT_OK;
}

/* Scores decide the order of merging in SPM and the way through a lattice; elsewhere they mean nothing, but
 * must be numbers all the same. */
static leat_status load_scores(vocab *v, const gguf *g, leat_error *e) {
    const gguf_kv *scores;
    bool needed = v->kind == VOCAB_SPM || v->kind == VOCAB_UNIGRAM || v->kind == VOCAB_PLAMO2;
    leat_status s = per_token(v, g, KEY("scores"), GGUF_F32, needed, &scores, e);
    if (s || !scores) return s;
    if (needed && v->kind != VOCAB_SPM) v->score = mem_alloc(v->n, sizeof *v->score);
    if (needed && v->kind != VOCAB_SPM && !v->score)
        return error_set(e, LEAT_E_NOMEM, "no memory for %u scores", (unsigned)v->n);
    v->priority = mem_alloc(v->n, sizeof *v->priority);
    if (!v->priority) return error_set(e, LEAT_E_NOMEM, "no memory for %u scores", (unsigned)v->n);
    for (uint32_t t = 0; t < v->n; t++) {
        float score = (float)gguf_kv_f64(scores, t);
        if (!isfinite(score))
            return error_set(e, LEAT_E_VOCAB, "tokenizer.ggml.scores of token %u is not a finite number",
                             (unsigned)t);
        uint32_t bits;
        if (v->score) v->score[t] = score;
        score += 0.0f; /* -0 is 0 */
        memcpy(&bits, &score, sizeof bits);
        /* IEEE 754 bits in the order of the numbers, then turned around. Finite, so never UINT32_MAX. */
        v->priority[t] = ~(bits >> 31 ? ~bits : bits | UINT32_C(0x80000000));
    }
    return LEAT_OK;
}

static leat_status load_pieces(vocab *v, const gguf_kv *tokens, leat_error *e) {
    uint64_t total = 0;
    size_t cursor = 0;
    for (uint32_t t = 0; t < v->n; t++) {
        str text = gguf_kv_next_str(tokens, &cursor);
        if (text.n > VOCAB_TEXT_MAX)
            return error_set(e, LEAT_E_VOCAB, "the text of token %u has %zu bytes; at most %d", (unsigned)t,
                             text.n, VOCAB_TEXT_MAX);
        total += text.n; /* 2^40 at most */
    }
    if (total > UINT32_MAX)
        return error_set(e, LEAT_E_VOCAB,
                         "the texts in tokenizer.ggml.tokens have %llu bytes; at most 2^32 - 1",
                         (unsigned long long)total);
    v->bytes = mem_alloc((size_t)total, 1);
    v->piece_at = mem_alloc((size_t)v->n + 1, sizeof *v->piece_at);
    v->hash = mem_alloc(v->n, sizeof *v->hash);
    if (!v->bytes || !v->piece_at || !v->hash)
        return error_set(e, LEAT_E_NOMEM, "no memory for the texts of %u tokens", (unsigned)v->n);
    int16_t byte_of[0x144];
    vocab_byte_alphabet(byte_of);
    cursor = 0;
    for (uint32_t t = 0; t < v->n; t++) {
        size_t n = 0;
        char *out = v->bytes + v->piece_at[t];
        leat_status s = vocab_decode_token(v, t, gguf_kv_next_str(tokens, &cursor), byte_of, out, &n, e);
        if (s) return s;
        v->piece_at[t + 1] = v->piece_at[t] + (uint32_t)n;
        v->hash[t] = text_hash(out, n);
        if (n > v->longest) v->longest = n;
        if (is_text(v, t) && n > v->longest_text) v->longest_text = n;
    }
    return LEAT_OK;
}

static leat_status index_texts(vocab *v, leat_error *e) {
    size_t n_texts = 0;
    for (uint32_t t = 0; t < v->n; t++) n_texts += is_text(v, t);
    leat_status s = index_open(&v->texts, n_texts, e);
    for (uint32_t t = 0; t < v->n && !s; t++) {
        if (!is_text(v, t)) continue;
        s = index_add_text(v, t, e);
        unsigned char first = (unsigned char)*piece_of(v, t).p;
        if (piece_of(v, t).n == 1 && v->single[first] == VOCAB_NONE) v->single[first] = t;
    }
    return s;
}

/* Is token t in the trie? */
static bool is_word(const vocab *v, uint32_t t) {
    bool user_defined =
        v->type[t] == TOKEN_USER_DEFINED && (v->kind == VOCAB_UNIGRAM || v->kind == VOCAB_PLAMO2);
    if (v->kind == VOCAB_GREEDY && v->type[t] == TOKEN_BYTE) return piece_of(v, t).n > 0;
    return is_text(v, t) || (user_defined && piece_of(v, t).n > 0);
}

/* User-defined tokens go first: where another has the same text, they count. */
static leat_status load_words(vocab *v, leat_error *e) {
    leat_status s = trie_open(&v->words, e);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t t = 0; t < v->n && !s; t++) {
            str piece = piece_of(v, t);
            if (!is_word(v, t) || (v->type[t] == TOKEN_USER_DEFINED) != (pass == 0)) continue;
            if (piece.n > VOCAB_SPECIAL_TEXT_MAX)
                return error_set(e, LEAT_E_VOCAB,
                                 "the text of token %u has %zu bytes; at most %d in this kind of vocabulary",
                                 (unsigned)t, piece.n, VOCAB_SPECIAL_TEXT_MAX);
            s = trie_add(&v->words, piece.p, piece.n, t, e);
        }
    double least = 0;
    for (uint32_t t = 0; t < v->n && v->score; t++)
        if (v->type[t] == TOKEN_NORMAL && v->score[t] < least) least = v->score[t];
    v->unknown_score = least - 10; /* SentencePiece's penalty */
    return s;
}

/* Powers for the hash of a concatenation in SPM, and which bytes stand side by side in tokens. */
static leat_status load_joins(vocab *v, leat_error *e) {
    v->power = mem_alloc(v->longest_text + 1, sizeof *v->power);
    v->joins = mem_alloc(65536 / 8, 1);
    if (!v->power || !v->joins) return error_set(e, LEAT_E_NOMEM, "no memory for the vocabulary's tables");
    v->power[0] = 1;
    for (size_t i = 1; i <= v->longest_text; i++) v->power[i] = v->power[i - 1] * TEXT_HASH_BASE;
    for (uint32_t t = 0; t < v->n; t++) {
        if (has_trie(v) ? !is_word(v, t) : !is_text(v, t)) continue;
        str piece = piece_of(v, t);
        for (size_t i = 1; i < piece.n; i++) {
            unsigned bit = (unsigned)(unsigned char)piece.p[i - 1] << 8 | (unsigned char)piece.p[i];
            v->joins[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
    }
    return LEAT_OK;
}

static leat_status load_charsmap(vocab *v, const gguf *g, leat_error *e) {
    const gguf_kv *kv = gguf_find(g, KEY("precompiled_charsmap"));
    if (v->kind != VOCAB_UNIGRAM || !kv || (kv->type == GGUF_ARRAY && kv->count == 0)) return LEAT_OK;
    if (kv->type != GGUF_ARRAY || (kv->elem_type != GGUF_U8 && kv->elem_type != GGUF_I8))
        return error_set(e, LEAT_E_VOCAB, KEY("precompiled_charsmap") " is not an array of bytes");
    return charsmap_open(&v->map, kv->data, kv->bytes, e);
}

/* How bytes that are no part of a token come out. */
static void load_bytes(vocab *v) {
    /* Hangul syllables come apart into three; a space may go before a word. */
    v->tokens_per_byte = v->kind == VOCAB_UNIGRAM     ? 3 + (uint32_t)v->map.longest
                         : v->kind == VOCAB_WORDPIECE ? 2
                                                      : 1;
    v->all_bytes = true;
    for (int b = 0; b < 256; b++) v->all_bytes = v->all_bytes && v->byte_token[b] != VOCAB_NONE;
    if (v->kind != VOCAB_BPE) return;
    uint32_t whole = index_find_text(v, "\xEF\xBF\xBD", 3, text_hash("\xEF\xBF\xBD", 3));
    const uint32_t parts[3] = {v->single[0xEF], v->single[0xBF], v->single[0xBD]};
    if (whole != VOCAB_NONE)
        v->replacement[0] = whole;
    else if (parts[0] != VOCAB_NONE && parts[1] != VOCAB_NONE && parts[2] != VOCAB_NONE)
        memcpy(v->replacement, parts, sizeof parts);
    bool missing = false;
    for (int b = 0; b < 256; b++)
        missing = missing || (v->single[b] == VOCAB_NONE && v->byte_token[b] == VOCAB_NONE);
    if (missing && v->replacement[1] != VOCAB_NONE) v->tokens_per_byte = 3;
}

leat_status vocab_load(vocab *v, const gguf *g, leat_error *e) {
    memset(v->single, 0xFF, sizeof v->single);
    memset(v->byte_token, 0xFF, sizeof v->byte_token);
    memset(v->replacement, 0xFF, sizeof v->replacement);
    leat_status s = load_kind(v, g, e);
    if (s) return s;
    const gguf_kv *tokens;
    s = vocab_status(meta_array(g, KEY("tokens"), GGUF_STRING, VOCAB_TOKENS_MAX, &tokens, NULL, e), e);
    if (s) return s;
    if (tokens->count == 0) return error_set(e, LEAT_E_VOCAB, "tokenizer.ggml.tokens is empty");
    v->n = (uint32_t)tokens->count;
    s = load_types(v, g, e);
    if (!s) s = load_scores(v, g, e);
    if (!s) s = load_pieces(v, tokens, e);
    if (!s) s = has_trie(v) ? load_words(v, e) : index_texts(v, e);
    if (!s) s = special_load(v, e);
    if (!s && v->kind != VOCAB_BPE) s = load_joins(v, e);
    if (!s && merges_by_rank(v)) s = vocab_load_merges(v, g, e);
    if (!s) s = load_charsmap(v, g, e);
    if (!s) load_bytes(v);
    return s ? s : vocab_load_roles(v, g, e);
}
