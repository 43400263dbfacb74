/* How scan*.c look at characters. */
#ifndef LEAT_RUNTIME_TEXT_SCAN_CHAR_H
#define LEAT_RUNTIME_TEXT_SCAN_CHAR_H

#include "scan.h"
#include "unicode.h"
#include "utf8.h"

enum {
    LETTER = CLASS_BIT(LETTER),
    NUMBER = CLASS_BIT(NUMBER),
    SPACE = CLASS_BIT(SPACE),
    MARKS = CLASS_BIT(MARK_NONSPACING) | CLASS_BIT(MARK)
};

typedef struct scan_char {
    uint32_t cp;
    unsigned bit; /* of its class; 0: there is no character */
    size_t n;     /* bytes */
} scan_char;

static inline scan_char char_at(const char *p, size_t n, size_t i) {
    scan_char c = {0, 0, 0};
    if (i >= n) return c;
    c.n = utf8_decode(p + i, n - i, &c.cp);
    c.bit = 1u << unicode_class_of(c.cp);
    return c;
}

/* End of the run of characters of these classes that starts at i. */
static inline size_t class_run(const char *p, size_t n, size_t i, unsigned classes) {
    for (;;) {
        scan_char c = char_at(p, n, i);
        if (!(c.bit & classes)) return i;
        i += c.n;
    }
}

static inline bool is_newline(uint32_t c) {
    return c == '\r' || c == '\n';
}

static inline bool is_ascii_letter(uint32_t c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* '(s|t|re|ve|m|ll|d): the length of the match at p, or 0. */
size_t scan_contraction(const char *p, size_t n, bool any_case);
/* The word that begins with white space at p[0] and is nothing else. */
size_t scan_white_space(enum scan_spaces how, bool newlines, const char *p, size_t n, const char **memo);

#endif
