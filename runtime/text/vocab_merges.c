/* The merges of BPE, from their lines of text to pairs of tokens. Called by vocab_load.c when all tokens are
 * known. */
#include <string.h>

#include "loader/alloc.h"
#include "vocab_load.h"

static int shown(str s) {
    return s.n < 64 ? (int)s.n : 64;
}

/* A merge may name special tokens: it can never happen, since their text is cut out before or not merged at
 * all. */
static bool is_special_text(const vocab *v, const char *p, size_t n) {
    if (n == 0 || n > VOCAB_SPECIAL_TEXT_MAX) return false;
    uint32_t t = special_match(v, p, n, true);
    return t != VOCAB_NONE && piece_of(v, t).n == n;
}

static bool decode_side(const vocab *v, const int16_t byte_of[0x144], str text, char *out, size_t *n) {
    if (v->kind == VOCAB_BPE) return vocab_decode_byte_level(byte_of, text, out, n);
    if (v->escapes_spaces) return vocab_decode_spaces(text, out, n);
    memcpy(out, text.p, text.n);
    *n = text.n;
    return true;
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
    if (decode_side(v, byte_of, left, room, &n_left) &&
        decode_side(v, byte_of, right, room + n_left, &n_right)) {
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

leat_status vocab_load_merges(vocab *v, const gguf *g, leat_error *e) {
    const gguf_kv *merges;
    bool found = true, optional = str_eq((str){v->pre->name, strlen(v->pre->name)}, "kimi-k2");
    leat_status s = vocab_status(
        meta_array(g, "tokenizer.ggml.merges", GGUF_STRING, UINT64_MAX, &merges, optional ? &found : NULL, e),
        e);
    if (s || !found) return s ? s : index_open(&v->pairs, 0, e);
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
    vocab_byte_alphabet(byte_of);
    size_t cursor = 0;
    for (uint32_t rank = 0; rank < v->n_merges && !s; rank++)
        s = load_merge(v, rank, gguf_kv_next_str(merges, &cursor), byte_of, room, e);
done:
    mem_free(room);
    return s;
}
