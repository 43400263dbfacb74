/* The tokenizer of PLaMo 2: of all ways to write the text as tokens the one of the best total score, searched
 * from the end of the text; a character that no token stands for is written as its bytes, at a price above
 * that of any token. Scores are counted in ten thousandths, as whole numbers. Called by vocab.c with a
 * stretch that holds no special token; cut, like unigram.c's, where no token can reach across. */
#include "vocab_impl.h"

#include <math.h>

#include "loader/alloc.h"
#include "utf8.h"

static const double bytes_cost = 1e7, never = 2e7; /* scores at or below -never are no token's */

/* m.token and m.length: of the best token at each place, m.token VOCAB_NONE for bytes. */
static leat_status search(tokenization *t, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    merger *m = &t->m;
    if (n + 1 > t->n_best) {
        double *best = mem_resize(t->best, t->n_best, n + n / 2 + 256, sizeof *best);
        if (!best) return error_set(e, LEAT_E_NOMEM, "no memory to tokenize a word of %zu bytes", n);
        t->best = best;
        t->n_best = n + n / 2 + 256;
    }
    t->best[n] = 0;
    for (size_t i = n; i > 0;) {
        uint32_t cp, node = TRIE_ROOT;
        for (i--; i > 0 && m->length[i] == 0; i--) {
        } /* where a character begins */
        size_t unit = utf8_decode(p + i, n - i, &cp);
        double cost = HUGE_VAL;
        for (size_t k = i; k < n; k++) {
            node = trie_step(&v->words, node, (unsigned char)p[k]);
            m->work++;
            if (node == TRIE_NONE) break;
            uint32_t token = v->words.values[node];
            if (token == TRIE_NONE) continue;
            double score = round((double)(v->score[token] * 1e4f));
            if (score <= -never || t->best[k + 1] - score > cost) continue;
            cost = t->best[k + 1] - score;
            m->token[i] = token;
            m->length[i] = (uint32_t)(k + 1 - i);
        }
        if (t->best[i + unit] + bytes_cost < cost) {
            cost = t->best[i + unit] + bytes_cost;
            m->token[i] = VOCAB_NONE;
            m->length[i] = (uint32_t)unit;
        }
        t->best[i] = cost;
    }
    return LEAT_OK;
}

static leat_status encode_part(tokenization *t, const char *p, size_t n, leat_error *e) {
    leat_status s = search(t, p, n, e);
    for (size_t i = 0; i < n && !s; i += t->m.length[i]) {
        if (t->m.token[i] != VOCAB_NONE) {
            emit(t, t->m.token[i]);
            continue;
        }
        for (size_t k = 0; k < t->m.length[i] && !s; k++) s = emit_byte(t, (unsigned char)p[i + k], e);
    }
    return s;
}

leat_status plamo2_encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    merger *m = &t->m;
    uint32_t cp;
    size_t i = 0;
    if (n > 0 && utf8_decode(p, n, &cp) == 3 && cp == 0xFEFF) i = 3; /* a byte order mark is no text */
    while (i < n) {
        const char *part = p + i;
        size_t filled = 0;
        while (i < n) {
            size_t unit = utf8_decode(p + i, n - i, &cp);
            if (filled > 0 && !vocab_joins(t->v, p[i - 1], p[i])) break;
            leat_status s = merger_reserve(m, filled + unit, e);
            if (s) return s;
            for (size_t k = 0; k < unit; k++) m->length[filled + k] = k == 0;
            filled += unit;
            i += unit;
        }
        leat_status s = encode_part(t, part, filled, e);
        if (s) return s;
    }
    return LEAT_OK;
}
