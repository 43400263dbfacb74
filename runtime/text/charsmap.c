/* SentencePiece's compiled normalization (tokenizer.ggml.precompiled_charsmap): a double-array trie in 32-bit
 * units from byte strings to offsets of their replacements, NUL-terminated strings. The file is a stranger's:
 * every index is checked where it is used, and CHARSMAP_DEPTH_MAX bounds the walk, whatever the units say.
 * Used by unigram.c. */
#include "charsmap.h"

#include <string.h>

enum { CHARSMAP_DEPTH_MAX = 64 }; /* bytes; real ones are about twenty deep */

leat_status charsmap_open(charsmap *m, const uint8_t *p, size_t n, leat_error *e) {
    if (n < 4) return error_set(e, LEAT_E_VOCAB, "tokenizer.ggml.precompiled_charsmap has only %zu bytes", n);
    size_t bytes = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (bytes >= n - 4 || bytes < 4 || bytes % 4)
        return error_set(
            e, LEAT_E_VOCAB,
            "tokenizer.ggml.precompiled_charsmap has %zu bytes, but says that %zu of them are its trie", n,
            bytes);
    *m = (charsmap){
        .units = p + 4, .n_units = bytes / 4, .texts = (const char *)p + 4 + bytes, .n_texts = n - 4 - bytes};
    if (m->texts[m->n_texts - 1] != 0)
        return error_set(e, LEAT_E_VOCAB,
                         "tokenizer.ggml.precompiled_charsmap does not end with a zero byte");
    for (const char *at = m->texts, *end = at + m->n_texts; at < end;) {
        size_t length = strlen(at);
        if (length > m->longest) m->longest = length;
        at += length + 1;
    }
    if (m->longest > CHARSMAP_TEXT_MAX)
        return error_set(e, LEAT_E_VOCAB,
                         "tokenizer.ggml.precompiled_charsmap has a replacement of %zu bytes; at most %d",
                         m->longest, CHARSMAP_TEXT_MAX);
    return LEAT_OK;
}

static bool unit_at(const charsmap *m, size_t i, uint32_t *unit) {
    if (i >= m->n_units) return false;
    const uint8_t *p = m->units + 4 * i;
    *unit = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return true;
}

/* How far a unit's children are from it, by exclusive or. */
static uint32_t base_of(uint32_t unit) {
    return unit >> 10 << ((unit >> 9 & 1) * 8);
}

leat_status charsmap_match(const charsmap *m, const char *p, size_t n, size_t *length, const char **text,
                           leat_error *e) {
    uint32_t unit, value = 0;
    *length = 0;
    if (!unit_at(m, 0, &unit)) goto damaged;
    size_t at = base_of(unit);
    if (n > CHARSMAP_DEPTH_MAX) n = CHARSMAP_DEPTH_MAX;
    for (size_t i = 0; i < n && p[i]; i++) {
        at ^= (unsigned char)p[i];
        if (!unit_at(m, at, &unit)) goto damaged;
        if ((unit & UINT32_C(0x800000FF)) != (unsigned char)p[i]) break; /* not its child */
        bool leaf = unit >> 8 & 1;
        at ^= base_of(unit);
        if (!leaf) continue;
        if (!unit_at(m, at, &value)) goto damaged;
        *length = i + 1;
    }
    value &= UINT32_C(0x7FFFFFFF);
    if (*length == 0) return LEAT_OK;
    if (value >= m->n_texts) goto damaged;
    *text = m->texts + value;
    return LEAT_OK;
damaged:
    return error_set(e, LEAT_E_VOCAB, "tokenizer.ggml.precompiled_charsmap points out of itself");
}
