/* WordPiece, as BERT has it: the text is cleaned and cut into words at white space, punctuation and Han
 * characters; a word becomes the longest tokens from left to right, or the unknown token as a whole when that
 * does not work out. Called by vocab.c with a stretch that holds no special token. What a word loses on the
 * way (case, accents, control characters) does not come back; a word is at most WORD_MAX characters, so the
 * time is linear. */
#include "vocab_impl.h"

#include <string.h>

#include "unicode.h"
#include "utf8.h"

enum { WORD_MAX = 100 }; /* longer ones are unknown, as the reference has it */

typedef struct word {
    char bytes[4 * WORD_MAX + 1]; /* behind a space, which stands for the start of a word */
    size_t n, characters;
} word;

static leat_status emit_word(tokenization *t, word *w, leat_error *e) {
    const vocab *v = t->v;
    size_t before = t->count;
    bool known = w->characters <= WORD_MAX;
    for (size_t i = 0; known && i < w->n;) {
        uint32_t node = TRIE_ROOT, token = VOCAB_NONE;
        size_t end = i;
        for (size_t k = i; k < w->n && node != TRIE_NONE; k++) {
            node = trie_step(&v->words, node, (unsigned char)w->bytes[k]);
            t->m.work++;
            if (node == TRIE_NONE || v->words.values[node] == TRIE_NONE) continue;
            token = v->words.values[node];
            end = k + 1;
        }
        known = token != VOCAB_NONE;
        if (known) emit(t, token);
        i = end;
    }
    bool empty = w->characters == 0;
    w->n = 1;
    w->characters = 0;
    if (known || empty) return LEAT_OK;
    t->count = before;
    if (v->unk < 0)
        return error_set(e, LEAT_E_VOCAB,
                         "the text has a word that is unknown, but there is no unknown token");
    emit(t, (uint32_t)v->unk);
    return LEAT_OK;
}

/* Characters that are words of their own: the reference's list, with the start of its sixth block. */
static bool is_han(uint32_t cp) {
    static const uint32_t blocks[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                         {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                         {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    for (size_t i = 0; cp >= 0x3400 && i < sizeof blocks / sizeof *blocks; i++)
        if (cp >= blocks[i][0] && cp <= blocks[i][1]) return true;
    return false;
}

static leat_status add_character(tokenization *t, word *w, uint32_t cp, bool alone, leat_error *e) {
    if (t->v->lowercase) cp = unicode_lower(cp);
    enum unicode_class kind = unicode_class_of(cp);
    alone = alone || kind == UNICODE_PUNCTUATION || (kind == UNICODE_SYMBOL && cp < 0x80);
    leat_status s = alone ? emit_word(t, w, e) : LEAT_OK;
    if (s) return s;
    if (++w->characters <= WORD_MAX) w->n += utf8_encode(cp, w->bytes + w->n);
    return alone ? emit_word(t, w, e) : LEAT_OK;
}

leat_status wordpiece_encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    word w = {.bytes = " ", .n = 1};
    leat_status s = LEAT_OK;
    for (size_t i = 0; i < n && !s;) {
        uint32_t cp, parts[3];
        i += utf8_decode(p + i, n - i, &cp);
        if (cp >= UTF8_INCOMPLETE || cp == 0 || cp == 0xFFFD) continue;
        enum unicode_class kind = unicode_class_of(cp);
        if (kind == UNICODE_SPACE) {
            s = emit_word(t, &w, e);
            continue;
        }
        if (kind == UNICODE_CONTROL) continue;
        bool alone = is_han(cp);
        size_t n_parts = 1;
        parts[0] = cp;
        if (t->v->strip_accents && cp >= 0x80) n_parts = unicode_without_accents(cp, parts);
        for (size_t k = 0; k < n_parts && !s; k++) s = add_character(t, &w, parts[k], alone, e);
    }
    return s ? s : emit_word(t, &w, e);
}
