/* UTF-8, strictly: overlong forms, surrogates and values above U+10FFFF are as invalid as stray bytes. Used
 * by the pre-tokenizers, the tokenizers and the streaming decoder. Total on any bytes; never reads beyond n.
 */
#ifndef LEAT_RUNTIME_TEXT_UTF8_H
#define LEAT_RUNTIME_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_INVALID    UINT32_C(0xFFFFFFFF) /* these bytes are no character */
#define UTF8_INCOMPLETE UINT32_C(0xFFFFFFFE) /* the text ends inside what may still become a character */

/* Decodes the character at p (n > 0 bytes there) into *cp and returns how many bytes it takes. With
 * UTF8_INVALID that is the maximal subpart (Unicode 15.0, section 3.9): what one U+FFFD stands for. With
 * UTF8_INCOMPLETE it is n. */
size_t utf8_decode_slow(const char *p, size_t n, uint32_t *cp);

static inline size_t utf8_decode(const char *p, size_t n, uint32_t *cp) {
    if ((unsigned char)*p < 0x80) {
        *cp = (unsigned char)*p;
        return 1;
    }
    return utf8_decode_slow(p, n, cp);
}

/* Writes a code point that is not a surrogate and at most U+10FFFF; returns the length, 1..4. */
size_t utf8_encode(uint32_t cp, char out[4]);

bool utf8_valid(const char *p, size_t n);

#endif
