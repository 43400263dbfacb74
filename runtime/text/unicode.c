/* Looking things up in the tables of unicode.h. Called for characters beyond ASCII by wordpiece.c. */
#include "unicode.h"

uint32_t unicode_lower(uint32_t cp) {
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    size_t low = 0, high = unicode_n_lower; /* the first range that ends at or after cp */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (unicode_lower_ranges[middle].last < cp)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == unicode_n_lower) return cp;
    const unicode_lower_range *r = &unicode_lower_ranges[low];
    if (cp < r->first || (cp - r->first) % r->step) return cp;
    return (uint32_t)((int32_t)cp + r->difference);
}

/* Hangul syllables decompose by arithmetic (Unicode 15.0, section 3.12). */
static size_t hangul(uint32_t cp, uint32_t out[3]) {
    uint32_t index = cp - 0xAC00;
    out[0] = 0x1100 + index / 588;
    out[1] = 0x1161 + index % 588 / 28;
    out[2] = 0x11A7 + index % 28;
    return index % 28 ? 3 : 2;
}

size_t unicode_without_accents(uint32_t cp, uint32_t out[3]) {
    if (cp >= 0xAC00 && cp <= 0xD7A3) return hangul(cp, out);
    size_t low = 0, high = cp < 0x80 ? 0 : unicode_n_bases;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (unicode_bases[middle].cp < cp)
            low = middle + 1;
        else
            high = middle;
    }
    size_t n = 0;
    if (low < unicode_n_bases && unicode_bases[low].cp == cp) {
        for (; n < 3 && unicode_bases[low].base[n]; n++) out[n] = unicode_bases[low].base[n];
    } else if (unicode_class_of(cp) != UNICODE_MARK_NONSPACING) {
        out[n++] = cp;
    }
    return n;
}
