/* The tokenizer of RWKV: at each place the longest token that fits, which no later choice ever undoes. Called
 * by vocab.c with a stretch that holds no special token. A place costs at most the length of the longest
 * token. */
#include "vocab_impl.h"

leat_status greedy_encode(tokenization *t, const char *p, size_t n, leat_error *e) {
    const vocab *v = t->v;
    leat_status s = LEAT_OK;
    for (size_t i = 0; i < n && !s;) {
        uint32_t node = TRIE_ROOT, token = VOCAB_NONE;
        size_t end = i + 1;
        for (size_t k = i; k < n; k++) {
            node = trie_step(&v->words, node, (unsigned char)p[k]);
            t->m.work++;
            if (node == TRIE_NONE) break;
            if (v->words.values[node] == TRIE_NONE) continue;
            token = v->words.values[node];
            end = k + 1;
        }
        if (token != VOCAB_NONE)
            emit(t, token);
        else
            s = emit_byte(t, (unsigned char)p[i], e);
        i = end;
    }
    return s;
}
