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
static leat_status as_vocab(leat_status s, leat_error *e) {
    if (s == LEAT_OK || s == LEAT_E_NOMEM) return s;
    if (e) e->code = LEAT_E_VOCAB;
    return LEAT_E_VOCAB;
}

static int shown(str s) {
    return s.n < 64 ? (int)s.n : 64;
}

static leat_status load_kind(vocab *v, const gguf *g, leat_error *e) {
    str model, pre = {"default", 7};
    leat_status s = as_vocab(meta_str(g, KEY("model"), &model, NULL, e), e);
    if (s) return s;
    v->kind = str_eq(model, "gpt2") ? VOCAB_BPE : VOCAB_SPM;
    if (v->kind == VOCAB_SPM && !str_eq(model, "llama"))
        return error_set(e, LEAT_E_UNSUPPORTED,
                         "tokenizer.ggml.model '%.*s' is not supported; known are llama and gpt2",
                         shown(model), model.p);
    if (v->kind == VOCAB_SPM) return LEAT_OK;
    bool found;
    s = as_vocab(meta_str(g, KEY("pre"), &pre, &found, e), e);
    if (s) return s;
    v->pre = pretokenizer_find(pre);
    if (!v->pre)
        return error_set(e, LEAT_E_UNSUPPORTED,
                         "tokenizer.ggml.pre '%.*s' is not supported; known are " PRETOKENIZER_KINDS,
                         shown(pre), pre.p);
    return LEAT_OK;
}

/* An array with one element per token. */
static leat_status per_token(const vocab *v, const gguf *g, const char *key, gguf_type elem, bool required,
                             const gguf_kv **out, leat_error *e) {
    bool found;
    *out = NULL;
    leat_status s = as_vocab(meta_array(g, key, elem, UINT64_MAX, out, required ? NULL : &found, e), e);
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

/* Scores decide the order of merging in SPM; in BPE they mean nothing, but must be numbers all the same. */
static leat_status load_scores(vocab *v, const gguf *g, leat_error *e) {
    const gguf_kv *scores;
    leat_status s = per_token(v, g, KEY("scores"), GGUF_F32, v->kind == VOCAB_SPM, &scores, e);
    if (s || !scores) return s;
    v->priority = mem_alloc(v->n, sizeof *v->priority);
    if (!v->priority) return error_set(e, LEAT_E_NOMEM, "no memory for %u scores", (unsigned)v->n);
    for (uint32_t t = 0; t < v->n; t++) {
        float score = (float)gguf_kv_f64(scores, t);
        if (!isfinite(score))
            return error_set(e, LEAT_E_VOCAB, "tokenizer.ggml.scores of token %u is not a finite number",
                             (unsigned)t);
        uint32_t bits;
        score += 0.0f; /* -0 is 0 */
        memcpy(&bits, &score, sizeof bits);
        /* IEEE 754 bits in the order of the numbers, then turned around. Finite, so never UINT32_MAX. */
        v->priority[t] = ~(bits >> 31 ? ~bits : bits | UINT32_C(0x80000000));
    }
    return LEAT_OK;
}

/* GPT-2's alphabet, by which byte-level BPE spells bytes as printable characters: U+0021..U+007E,
 * U+00A1..U+00AC and U+00AE..U+00FF are the byte of that number; U+0100 and on are the other bytes,
 * ascending. */
static void byte_alphabet(int16_t byte_of[0x144]) {
    int other = 0x100;
    for (int i = 0; i < 0x144; i++) byte_of[i] = -1;
    for (int b = 0; b < 256; b++) {
        bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        byte_of[itself ? b : other++] = (int16_t)b;
    }
}

/* Text in that alphabet to bytes; false if a character is not of it. Never longer than the text. */
static bool decode_byte_level(const int16_t byte_of[0x144], str text, char *out, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t cp;
        i += utf8_decode(text.p + i, text.n - i, &cp);
        if (cp >= 0x144 || byte_of[cp] < 0) return false;
        out[(*n)++] = (char)byte_of[cp];
    }
    return true;
}

/* SentencePiece's text to bytes: U+2581 is a space. False if it holds spaces of its own: no input is ever
 * spelled so. */
static bool decode_spm(str text, char *out, size_t *n) {
    bool plain = true;
    *n = 0;
    for (size_t i = 0; i < text.n;) {
        if (text.n - i >= 3 && memcmp(text.p + i, "\xE2\x96\x81", 3) == 0) {
            out[(*n)++] = ' ';
            i += 3;
            continue;
        }
        plain = plain && text.p[i] != ' ';
        out[(*n)++] = text.p[i++];
    }
    return plain;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte token is exactly <0xHH>. */
static leat_status decode_byte_token(vocab *v, uint32_t t, str text, char *out, size_t *n, leat_error *e) {
    int high = -1, low = -1;
    if (text.n == 6 && memcmp(text.p, "<0x", 3) == 0 && text.p[5] == '>') {
        high = hex_digit(text.p[3]);
        low = hex_digit(text.p[4]);
    }
    if (high < 0 || low < 0)
        return error_set(e, LEAT_E_VOCAB, "byte token %u is '%.*s', not of the form <0xHH>", (unsigned)t,
                         shown(text), text.p);
    unsigned byte = (unsigned)(high * 16 + low);
    if (v->byte_token[byte] != VOCAB_NONE)
        return error_set(e, LEAT_E_VOCAB, "tokens %u and %u are both byte <0x%02X>",
                         (unsigned)v->byte_token[byte], (unsigned)t, byte);
    v->byte_token[byte] = t;
    *out = (char)byte;
    *n = 1;
    return LEAT_OK;
}

/* The bytes of token t; a normal token that no input can spell becomes opaque. */
static leat_status decode_token(vocab *v, uint32_t t, str text, const int16_t byte_of[0x144], char *out,
                                size_t *n, leat_error *e) {
    if (v->type[t] == TOKEN_BYTE) return decode_byte_token(v, t, text, out, n, e);
    if (is_special(v, t)) {
        memcpy(out, text.p, text.n);
        *n = text.n;
        return LEAT_OK;
    }
    if (v->kind == VOCAB_SPM) {
        if (!decode_spm(text, out, n)) v->type[t] = TOKEN_OPAQUE;
        return LEAT_OK;
    }
    if (decode_byte_level(byte_of, text, out, n)) return LEAT_OK;
    memcpy(out, text.p, text.n);
    *n = text.n;
    v->type[t] = TOKEN_OPAQUE;
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
    byte_alphabet(byte_of);
    cursor = 0;
    for (uint32_t t = 0; t < v->n; t++) {
        size_t n = 0;
        char *out = v->bytes + v->piece_at[t];
        leat_status s = decode_token(v, t, gguf_kv_next_str(tokens, &cursor), byte_of, out, &n, e);
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

/* What merging in SPM needs: powers for the hash of a concatenation, and which bytes stand side by side in
 * tokens. */
static leat_status load_joins(vocab *v, leat_error *e) {
    v->power = mem_alloc(v->longest_text + 1, sizeof *v->power);
    v->joins = mem_alloc(65536 / 8, 1);
    if (!v->power || !v->joins) return error_set(e, LEAT_E_NOMEM, "no memory for the vocabulary's tables");
    v->power[0] = 1;
    for (size_t i = 1; i <= v->longest_text; i++) v->power[i] = v->power[i - 1] * TEXT_HASH_BASE;
    for (uint32_t t = 0; t < v->n; t++) {
        if (!is_text(v, t)) continue;
        str piece = piece_of(v, t);
        for (size_t i = 1; i < piece.n; i++) {
            unsigned bit = (unsigned)(unsigned char)piece.p[i - 1] << 8 | (unsigned char)piece.p[i];
            v->joins[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
    }
    return LEAT_OK;
}

/* A merge may name special tokens: it can never happen, since their text is cut out before or not merged at
 * all. */
static bool is_special_text(const vocab *v, const char *p, size_t n) {
    if (n == 0 || n > VOCAB_SPECIAL_TEXT_MAX) return false;
    uint32_t t = special_match(v, p, n, true);
    return t != VOCAB_NONE && piece_of(v, t).n == n;
}

/* One line of tokenizer.ggml.merges: left side, a space, right side. `room` holds two texts. */
static leat_status load_merge(vocab *v, uint32_t rank, str line, const int16_t byte_of[0x144], char *room,
                              leat_error *e) {
    const char *space = line.n > 1 ? memchr(line.p + 1, ' ', line.n - 1) : NULL;
    if (!space || space == line.p + line.n - 1)
        return error_set(e, LEAT_E_VOCAB, "merge %u '%.*s' is not two texts with a space between",
                         (unsigned)rank, shown(line), line.p);
    str left = {line.p, (size_t)(space - line.p)}, right = {space + 1, line.n - left.n - 1};
    if (left.n > VOCAB_TEXT_MAX || right.n > VOCAB_TEXT_MAX)
        return error_set(e, LEAT_E_VOCAB, "merge %u has %zu bytes; at most %d on each side", (unsigned)rank,
                         line.n, VOCAB_TEXT_MAX);
    vocab_merge *m = &v->merges[rank];
    *m = (vocab_merge){VOCAB_NONE, VOCAB_NONE, VOCAB_NONE};
    size_t n_left, n_right;
    if (decode_byte_level(byte_of, left, room, &n_left) &&
        decode_byte_level(byte_of, right, room + n_left, &n_right)) {
        m->left = index_find_text(v, room, n_left, text_hash(room, n_left));
        m->right = index_find_text(v, room + n_left, n_right, text_hash(room + n_left, n_right));
        m->token = index_find_text(v, room, n_left + n_right, text_hash(room, n_left + n_right));
    }
    if (m->left != VOCAB_NONE && m->right != VOCAB_NONE && m->token != VOCAB_NONE)
        return index_add_pair(v, rank, e);
    memcpy(room, left.p, left.n);
    memcpy(room + left.n, right.p, right.n);
    if ((m->left == VOCAB_NONE && is_special_text(v, left.p, left.n)) ||
        (m->right == VOCAB_NONE && is_special_text(v, right.p, right.n)) ||
        (m->token == VOCAB_NONE && is_special_text(v, room, left.n + right.n)))
        return LEAT_OK;
    return error_set(e, LEAT_E_VOCAB, "merge %u '%.*s' %s", (unsigned)rank, shown(line), line.p,
                     m->left == VOCAB_NONE    ? "has a left side that is no token"
                     : m->right == VOCAB_NONE ? "has a right side that is no token"
                                              : "makes a text that is no token");
}

static leat_status load_merges(vocab *v, const gguf *g, leat_error *e) {
    const gguf_kv *merges;
    leat_status s = as_vocab(meta_array(g, KEY("merges"), GGUF_STRING, UINT64_MAX, &merges, NULL, e), e);
    if (s) return s;
    if (merges->count > 4 * (uint64_t)v->n)
        return error_set(e, LEAT_E_VOCAB,
                         "tokenizer.ggml.merges has %llu elements for %u tokens; at most four times as many",
                         (unsigned long long)merges->count, (unsigned)v->n);
    char *room = mem_alloc(2, VOCAB_TEXT_MAX);
    v->n_merges = (uint32_t)merges->count;
    v->merges = mem_alloc(v->n_merges, sizeof *v->merges);
    if (!room || !v->merges) {
        s = error_set(e, LEAT_E_NOMEM, "no memory for %u merges", (unsigned)v->n_merges);
        goto done;
    }
    s = index_open(&v->pairs, v->n_merges, e);
    int16_t byte_of[0x144];
    byte_alphabet(byte_of);
    size_t cursor = 0;
    for (uint32_t rank = 0; rank < v->n_merges && !s; rank++)
        s = load_merge(v, rank, gguf_kv_next_str(merges, &cursor), byte_of, room, e);
done:
    mem_free(room);
    return s;
}

/* How bytes that are no part of a token come out. */
static void load_bytes(vocab *v) {
    v->tokens_per_byte = 1;
    if (v->kind == VOCAB_SPM) return;
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
    s = as_vocab(meta_array(g, KEY("tokens"), GGUF_STRING, VOCAB_TOKENS_MAX, &tokens, NULL, e), e);
    if (s) return s;
    if (tokens->count == 0) return error_set(e, LEAT_E_VOCAB, "tokenizer.ggml.tokens is empty");
    v->n = (uint32_t)tokens->count;
    s = load_types(v, g, e);
    if (!s) s = load_scores(v, g, e);
    if (!s) s = load_pieces(v, tokens, e);
    if (!s) s = index_texts(v, e);
    if (!s) s = special_load(v, e);
    if (!s) s = v->kind == VOCAB_SPM ? load_joins(v, e) : load_merges(v, g, e);
    if (!s) load_bytes(v);
    return s ? s : vocab_load_roles(v, g, e);
}
