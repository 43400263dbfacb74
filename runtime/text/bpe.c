/* BPE by rank: a pre-tokenizer cuts the text into words, and in a word neighbours merge by the rank of their
 * pair in the list of merges. Words never see each other. Symbols are bytes or, in the vocabularies that
 * Gemma 4 began, characters. Called by vocab.c with a stretch that holds no special token. */
#include <string.h>

#include "unicode.h"
#include "utf8.h"
#include "vocab_impl.h"

static uint32_t whole_word(tokenization *t, const char *p, size_t n) {
    if (n > t->v->longest_text) return VOCAB_NONE;
    t->m.work++;
    return index_find_text(t->v, p, n, text_hash(p, n));
}

/* Merges the symbols of text[0..n), and emits tokens or bytes. */
static leat_status emit_merged(tokenization *t, const char *text, size_t n, leat_error *e) {
    leat_status s = merger_run(t->v, &t->m, text, n, e);
    for (size_t at = 0; at < n && !s; at += t->m.length[at]) {
        if (t->m.token[at] != VOCAB_NONE) {
            emit(t, t->m.token[at]);
            continue;
        }
        for (size_t i = 0; i < t->m.length[at] && !s; i++) s = emit_byte(t, (unsigned char)text[at + i], e);
    }
    return s;
}

static leat_status encode_word(tokenization *t, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    if (n == 1 && v->single[(unsigned char)*p] != VOCAB_NONE) {
        emit(t, v->single[(unsigned char)*p]);
        return LEAT_OK;
    }
    if (v->pre->flags & PRE_WHOLE_WORDS) {
        uint32_t token = whole_word(t, p, n);
        if (token != VOCAB_NONE) {
            emit(t, token);
            return LEAT_OK;
        }
    }
    leat_status s = merger_reserve(&t->m, n, e);
    if (s) return s;
    for (size_t i = 0; i < n; i++) merger_symbol(&t->m, i, 1, v->single[(unsigned char)p[i]]);
    return emit_merged(t, p, n, e);
}

leat_status bpe_encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    leat_status s = LEAT_OK;
    for (pretokenization w = pretokenize(t->v->pre, p, n); w.at < n && !s;) {
        const char *word = p + w.at;
        size_t length = pretokenize_next(&w);
        t->m.work += length;
        s = encode_word(t, word, length, e);
    }
    return s;
}

/* A character of the text as it is merged. */
static size_t normalized(const vocab *v, uint32_t cp, const char *p, size_t n, char out[4]) {
    if (v->escapes_spaces && cp == 0x2581) {
        *out = ' ';
        return 1;
    }
    if (v->lowercase && cp < UTF8_INCOMPLETE) return utf8_encode(unicode_lower(cp), out);
    memcpy(out, p, n);
    return n;
}

/* A word of characters: cut, like spm.c's, where no token has the two characters side by side. */
static leat_status encode_characters(tokenization *t, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    merger *m = &t->m;
    leat_status s = LEAT_OK;
    for (size_t i = 0; i < n && !s;) {
        size_t filled = 0;
        while (i < n) {
            char unit[4];
            uint32_t cp;
            size_t taken = utf8_decode(p + i, n - i, &cp), length = normalized(v, cp, p + i, taken, unit);
            if (filled > 0 && !vocab_joins(v, m->text[filled - 1], *unit)) break;
            s = merger_reserve(m, filled + length, e);
            if (s) return s;
            memcpy(m->text + filled, unit, length);
            uint32_t token = length == 1 ? v->single[(unsigned char)*unit]
                                         : index_find_text(v, unit, length, text_hash(unit, length));
            merger_symbol(m, filled, length, token);
            m->work++;
            filled += length;
            i += taken;
        }
        s = emit_merged(t, m->text, filled, e);
    }
    return s;
}

leat_status char_bpe_encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    leat_status s = LEAT_OK;
    for (pretokenization w = pretokenize(v->pre, p, n); w.at < n && !s;) {
        const char *word = p + w.at;
        uint32_t cp, token = VOCAB_NONE;
        size_t length = pretokenize_next(&w);
        utf8_decode(word, length, &cp);
        if (!v->escapes_spaces && unicode_class_of(cp) == UNICODE_SPACE)
            continue; /* "whitespace": cuts, no more */
        if ((v->pre->flags & PRE_WHOLE_NEWLINES) && *word == '\n') token = whole_word(t, word, length);
        if (token != VOCAB_NONE)
            emit(t, token);
        else
            s = encode_characters(t, word, length, e);
    }
    return s;
}
