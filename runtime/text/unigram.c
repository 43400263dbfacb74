/* Unigram, as SentencePiece has it (T5): the text is normalized, and of all ways to write it as tokens the
 * one of the best total score is taken (Viterbi). Called by vocab.c with a stretch that holds no special
 * token.
 *
 * Most places of a text can't be inside a token, since no token has these two characters side by side: the
 * text is cut there, which changes nothing in the result and keeps the lattice short. Each place is left by
 * as many tokens as there are prefixes of the longest one at most, so the time is linear. Spaces are U+2581
 * in the tokens of such models; they were turned back into spaces at load, and so is a U+2581 in the text. */
#include "vocab_impl.h"

#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "utf8.h"

typedef struct stretch {
    size_t filled; /* bytes of t->m.text */
    bool in_word, prefixed, after_unknown;
} stretch;

/* The best token that ends at each offset: in m.token, where it begins in m.length, and its score with all
 * before. */
static leat_status search(tokenization *t, size_t n, leat_error *e) {
    const vocab *v = t->v;
    merger *m = &t->m;
    if (n + 1 > t->n_best) {
        size_t wanted = n + n / 2 + 256;
        double *best = mem_resize(t->best, t->n_best, wanted, sizeof *best);
        if (!best) return error_set(e, LEAT_E_NOMEM, "no memory to tokenize a word of %zu bytes", n);
        t->best = best;
        t->n_best = wanted;
    }
    for (size_t i = 1; i <= n; i++) t->best[i] = -HUGE_VAL;
    t->best[0] = 0;
    for (size_t i = 0, unit; i < n; i += unit) {
        uint32_t cp, node = TRIE_ROOT;
        unit = utf8_decode(m->text + i, n - i, &cp);
        bool alone = false;
        for (size_t k = i; k < n; k++) {
            node = trie_step(&v->words, node, (unsigned char)m->text[k]);
            m->work++;
            if (node == TRIE_NONE) break;
            uint32_t token = v->words.values[node];
            if (token == TRIE_NONE) continue;
            alone = alone || k + 1 - i == unit;
            double score =
                t->best[i] + (v->type[token] == TOKEN_USER_DEFINED ? 0.0 : (double)v->score[token]);
            if (!(score > t->best[k + 1])) continue;
            t->best[k + 1] = score;
            m->token[k + 1] = token;
            m->length[k + 1] = (uint32_t)i;
        }
        double score = t->best[i] + v->unknown_score;
        if (alone || !(score > t->best[i + unit])) continue;
        t->best[i + unit] = score;
        m->token[i + unit] = VOCAB_NONE;
        m->length[i + unit] = (uint32_t)i;
    }
    return LEAT_OK;
}

/* Unknown characters in a row are one unknown token, or their bytes. */
static leat_status emit_unknown(tokenization *t, stretch *x, size_t from, size_t to, leat_error *e) {
    const vocab *v = t->v;
    leat_status s = LEAT_OK;
    if (v->all_bytes) {
        for (; from < to && !s; from++) s = emit_byte(t, (unsigned char)t->m.text[from], e);
        return s;
    }
    if (v->unk < 0) return error_set(e, LEAT_E_VOCAB, "the text has a character that no token stands for");
    if (!x->after_unknown) emit(t, (uint32_t)v->unk);
    x->after_unknown = true;
    return LEAT_OK;
}

/* Emits what is in m.text, and empties it. */
static leat_status flush(tokenization *t, stretch *x, leat_error *e) {
    merger *m = &t->m;
    size_t n = x->filled;
    leat_status s = n ? search(t, n, e) : LEAT_OK;
    if (s) return s;
    for (size_t end = n; end > 0;) { /* turn the path around */
        size_t start = m->length[end];
        m->candidate[start] = (uint32_t)end;
        end = start;
    }
    for (size_t at = 0; at < n && !s; at = m->candidate[at]) {
        size_t end = m->candidate[at];
        if (m->token[end] == VOCAB_NONE) {
            s = emit_unknown(t, x, at, end, e);
            continue;
        }
        emit(t, m->token[end]);
        x->after_unknown = m->token[end] == (uint32_t)t->v->unk;
    }
    x->filled = 0;
    return s;
}

/* One normalized character, or byte that is none. */
static leat_status put(tokenization *t, stretch *x, const char *p, size_t n, leat_error *e) {
    merger *m = &t->m;
    leat_status s = LEAT_OK;
    if (x->filled > 0 && !vocab_joins(t->v, m->text[x->filled - 1], *p)) s = flush(t, x, e);
    if (!s) s = merger_reserve(m, x->filled + n + 1, e);
    if (s) return s;
    memcpy(m->text + x->filled, p, n);
    x->filled += n;
    m->work++;
    return LEAT_OK;
}

/* Normalized text: what becomes of its spaces. */
static leat_status put_text(tokenization *t, stretch *x, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    leat_status s = LEAT_OK;
    for (size_t i = 0, length; i < n && !s; i += length) {
        uint32_t cp;
        length = utf8_decode(p + i, n - i, &cp);
        if (cp == ' ') {
            x->in_word = false;
            if (!v->merge_spaces) s = put(t, x, " ", 1, e);
            continue;
        }
        if (!x->in_word && (v->merge_spaces || (v->space_prefix && !x->prefixed))) {
            s = put(t, x, " ", 1, e);
            x->prefixed = true;
        }
        x->in_word = true;
        if (!s) s = cp == 0x2581 ? put(t, x, " ", 1, e) : put(t, x, p + i, length, e);
    }
    return s;
}

leat_status unigram_encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    stretch x = {0};
    leat_status s = LEAT_OK;
    for (size_t i = 0; i < n && !s;) {
        size_t length = 0;
        const char *text = NULL;
        if (v->map.n_units) s = charsmap_match(&v->map, p + i, n - i, &length, &text, e);
        if (s) break;
        if (length > 0) {
            s = put_text(t, &x, text, strlen(text), e);
        } else {
            uint32_t cp;
            length = utf8_decode(p + i, n - i, &cp);
            if (cp >= UTF8_INCOMPLETE && !v->all_bytes) {
                length = 1;
                s = put_text(t, &x, "\xEF\xBF\xBD", 3, e);
            } else {
                s = put_text(t, &x, p + i, length, e);
            }
        }
        i += length;
    }
    return s ? s : flush(t, &x, e);
}
