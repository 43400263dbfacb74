/* vocab.h: opening, asking and tokenizing. The text is cut at special tokens here; what lies between goes to
 * the tokenizer of its kind. Called by api.c and model.c; a vocab never changes, so any number of threads may
 * use one.
 */
#include "vocab.h"

#include <string.h>

#include "loader/alloc.h"
#include "vocab_load.h"

leat_status vocab_open(const gguf *g, vocab **out, leat_error *e) {
    *out = NULL;
    vocab *v = mem_alloc(1, sizeof *v);
    if (!v) return error_set(e, LEAT_E_NOMEM, "no memory for a vocabulary");
    leat_status s = vocab_load(v, g, e);
    if (s) {
        vocab_close(v);
        return s;
    }
    *out = v;
    return LEAT_OK;
}

void vocab_close(vocab *v) {
    if (!v) return;
    mem_free(v->bytes);
    mem_free(v->piece_at);
    mem_free(v->type);
    mem_free(v->texts.slots);
    mem_free(v->hash);
    mem_free(v->power);
    mem_free(v->priority);
    mem_free(v->joins);
    mem_free(v->merges);
    mem_free(v->pairs.slots);
    mem_free(v->special);
    trie_close(&v->words);
    mem_free(v->score);
    mem_free(v->strip);
    mem_free(v->is_end);
    mem_free(v);
}

uint32_t vocab_size(const vocab *v) {
    return v->n;
}

int32_t vocab_bos(const vocab *v) {
    return v->bos;
}

int32_t vocab_eos(const vocab *v) {
    return v->eos;
}

bool vocab_add_bos(const vocab *v) {
    return v->add_bos;
}

bool vocab_add_eos(const vocab *v) {
    return v->add_eos;
}

const char *vocab_warning(const vocab *v, size_t i) {
    return i < v->n_warnings ? v->warnings[i] : NULL;
}

bool vocab_space_prefix(const vocab *v) {
    return v->space_prefix;
}

size_t vocab_longest_piece(const vocab *v) {
    return v->longest;
}

bool vocab_is_end(const vocab *v, int32_t token) {
    return token >= 0 && (uint32_t)token < v->n && v->is_end[token];
}

str vocab_piece(const vocab *v, int32_t token, bool special) {
    if (token < 0 || (uint32_t)token >= v->n) return (str){NULL, 0};
    if (!special && (v->type[token] == TOKEN_CONTROL || v->type[token] == TOKEN_UNKNOWN)) return (str){"", 0};
    return piece_of(v, (uint32_t)token);
}

size_t vocab_bound(const vocab *v, size_t n) {
    /* A space may come before the text and after every special token, which is at least one byte; and BOS,
     * EOS. */
    size_t per_byte = v->tokens_per_byte + v->space_prefix;
    return n > (SIZE_MAX - 3) / per_byte ? SIZE_MAX : n * per_byte + 3;
}

leat_status emit_byte(tokenization *t, unsigned char byte, leat_error *e) {
    const vocab *v = t->v;
    if (v->byte_token[byte] != VOCAB_NONE) {
        emit(t, v->byte_token[byte]);
        return LEAT_OK;
    }
    if (v->replacement[0] != VOCAB_NONE) {
        for (int i = 0; i < 3 && v->replacement[i] != VOCAB_NONE; i++) emit(t, v->replacement[i]);
        return LEAT_OK;
    }
    if (v->unk >= 0 && (!merges_by_rank(v) || v->type[v->unk] == TOKEN_UNKNOWN)) {
        emit(t, (uint32_t)v->unk);
        return LEAT_OK;
    }
    return error_set(e, LEAT_E_VOCAB, "the text has a byte 0x%02X, for which this vocabulary has no token",
                     byte);
}

/* A stretch without special tokens: it is at the start of the text or follows one, and there SentencePiece
 * puts a space. */
static leat_status encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    if (n == 0) return LEAT_OK;
    switch (t->v->kind) {
    case VOCAB_SPM: return spm_encode(t, p, n, t->v->space_prefix, e);
    case VOCAB_BPE: return bpe_encode(t, p, n, e);
    case VOCAB_CHAR_BPE: return char_bpe_encode(t, p, n, e);
    case VOCAB_WORDPIECE: return wordpiece_encode(t, p, n, e);
    case VOCAB_UNIGRAM: return unigram_encode(t, p, n, e);
    case VOCAB_GREEDY: return greedy_encode(t, p, n, e);
    case VOCAB_PLAMO2: return plamo2_encode(t, p, n, e);
    }
    return LEAT_OK;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* May special tokens start at byte i, and how far may they reach? */
static bool special_allowed(const tokenization *t, size_t i, size_t n, bool all, size_t *reach) {
    *reach = n - i;
    if (!t->marks) return all;
    if (t->marks[i]) return false;
    size_t length = 0;
    while (length < VOCAB_SPECIAL_TEXT_MAX && i + length < n && !t->marks[i + length]) length++;
    *reach = length;
    return true;
}

leat_status tokenization_run(tokenization *t, const char *text, size_t n, unsigned flags, leat_error *e) {
    const vocab *v = t->v;
    bool all = flags & VOCAB_SPECIAL, bos = (flags & VOCAB_BOS) && v->bos >= 0;
    size_t start = 0; /* of the stretch that i is in */
    leat_status s = LEAT_OK;
    if (bos) emit(t, (uint32_t)v->bos);
    for (size_t i = 0; i < n && !s;) {
        uint32_t token = VOCAB_NONE;
        if (v->special_starts[all || t->marks][(unsigned char)text[i]]) {
            size_t reach;
            bool allowed = special_allowed(t, i, n, all, &reach);
            token = special_match(v, text + i, reach, allowed);
        }
        if (token == VOCAB_NONE) {
            i++;
            continue;
        }
        unsigned strip = v->strip ? v->strip[token] : 0;
        size_t end = i;
        while ((strip & STRIP_LEFT) && end > start && is_space(text[end - 1])) end--;
        s = encode(t, text + start, end - start, e);
        bool again = bos && i == 0 && token == (uint32_t)v->bos;
        if (!s && !again) emit(t, token);
        i += piece_of(v, token).n;
        while ((strip & STRIP_RIGHT) && i < n && is_space(text[i])) i++;
        start = i;
    }
    if (!s) s = encode(t, text + start, n - start, e);
    if (!s && (flags & VOCAB_EOS) && v->eos >= 0) emit(t, (uint32_t)v->eos);
    return s;
}

void tokenization_close(tokenization *t) {
    merger_free(&t->m);
    mem_free(t->best);
}

static leat_status tokenize(const vocab *v, const char *text, const uint8_t *marks, size_t n, unsigned flags,
                            int32_t *tokens, size_t capacity, size_t *count, leat_error *e) {
    *count = 0;
    if (n > SIZE_MAX / 8) return error_set(e, LEAT_E_LIMIT, "a text of %zu bytes is too long to tokenize", n);
    if ((!text && n > 0) || (!tokens && capacity > 0))
        return error_set(e, LEAT_E_ARG, "the %s is NULL", !text && n > 0 ? "text" : "array of tokens");
    if (!text) text = "";
    tokenization t = {.v = v, .tokens = tokens, .capacity = capacity, .marks = marks};
    leat_status s = tokenization_run(&t, text, n, flags, e);
    tokenization_close(&t);
    if (s) return s;
    *count = t.count;
    if (t.count > capacity)
        return error_set(e, LEAT_E_LIMIT, "the text has %zu tokens, but there is room for %zu", t.count,
                         capacity);
    return LEAT_OK;
}

leat_status vocab_tokenize(const vocab *v, const char *text, size_t n, unsigned flags, int32_t *tokens,
                           size_t capacity, size_t *count, leat_error *e) {
    return tokenize(v, text, NULL, n, flags, tokens, capacity, count, e);
}

leat_status vocab_tokenize_marked(const vocab *v, const char *text, const uint8_t *marks, size_t n,
                                  unsigned flags, int32_t *tokens, size_t capacity, size_t *count,
                                  leat_error *e) {
    flags &= VOCAB_BOS | VOCAB_EOS;
    return tokenize(v, text, n ? marks : NULL, n, flags, tokens, capacity, count, e);
}
