/* Byte-level BPE: a pre-tokenizer cuts the text into words, each byte of a word is a symbol, and neighbours
 * merge by the rank of their pair in the list of merges. Called by vocab.c with a stretch that holds no
 * special token. Words never see each other. */
#include "vocab_impl.h"

static leat_status encode_word(tokenization *t, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    if (v->pre->whole_words && n <= v->longest_text) {
        uint32_t token = index_find_text(v, p, n, text_hash(p, n));
        t->m.work++;
        if (token != VOCAB_NONE) {
            emit(t, token);
            return LEAT_OK;
        }
    }
    leat_status s = merger_reserve(&t->m, n, e);
    if (s) return s;
    for (size_t i = 0; i < n; i++) merger_symbol(&t->m, i, 1, v->single[(unsigned char)p[i]]);
    s = merger_run(v, &t->m, p, n, e);
    for (size_t at = 0; at < n && !s; at += t->m.length[at]) {
        if (t->m.token[at] != VOCAB_NONE)
            emit(t, t->m.token[at]);
        else
            s = emit_byte(t, (unsigned char)p[at], e);
    }
    return s;
}

leat_status bpe_encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    leat_status s = LEAT_OK;
    for (size_t i = 0; i < n && !s;) {
        size_t length = t->v->pre->scan(p + i, n - i);
        t->m.work += length;
        s = encode_word(t, p + i, length, e);
        i += length;
    }
    return s;
}
