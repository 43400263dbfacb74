/* SentencePiece-style BPE: among all pairs of neighbours whose joint text is a token, the one of best score
 * merges first. Called by vocab.c with a stretch that holds no special token. There are no words in this
 * scheme, but most places of a text can never be merged across, since no token has these two characters side
 * by side: the text is cut there, which changes nothing in the result (merges on the two sides don't see each
 * other) and keeps the stretches short.
 *
 * U+2581 stands for a space in SentencePiece's tokens. They were turned back into spaces at load; a U+2581 in
 * the text itself is taken for a space, too, as the reference does. */
#include "vocab_impl.h"

#include <string.h>

#include "utf8.h"

/* Tokens of the merged symbols, or of their bytes. */
static leat_status emit_symbols(tokenization *t, const char *text, size_t n, leat_error *e) {
    leat_status s = LEAT_OK;
    for (size_t at = 0; at < n; at += t->m.length[at]) {
        if (t->m.token[at] != VOCAB_NONE) {
            emit(t, t->m.token[at]);
            continue;
        }
        for (size_t i = 0; i < t->m.length[at]; i++) {
            s = emit_byte(t, (unsigned char)text[at + i], e);
            if (s) return s;
        }
    }
    return s;
}

leat_status spm_encode(tokenization *t, const char *p, size_t n, bool space_first, leat_error *e) {
    const vocab *v = t->v;
    merger *m = &t->m;
    size_t i = 0;
    while (space_first || i < n) {
        size_t filled = 0;
        while (space_first || i < n) {
            const char *unit = " ";
            size_t length = 1, taken = 0;
            if (!space_first) {
                uint32_t cp;
                taken = length = utf8_decode(p + i, n - i, &cp);
                unit = cp == 0x2581 ? " " : p + i;
                if (cp == 0x2581) length = 1;
            }
            if (filled > 0 && !vocab_joins(v, m->text[filled - 1], *unit)) break;
            leat_status s = merger_reserve(m, filled + length, e);
            if (s) return s;
            memcpy(m->text + filled, unit, length);
            uint32_t token = length == 1 ? v->single[(unsigned char)*unit]
                                         : index_find_text(v, unit, length, text_hash(unit, length));
            merger_symbol(m, filled, length, token);
            m->work++;
            filled += length;
            i += taken;
            space_first = false;
        }
        leat_status s = merger_run(v, m, m->text, filled, e);
        if (!s) s = emit_symbols(t, m->text, filled, e);
        if (s) return s;
    }
    return LEAT_OK;
}
