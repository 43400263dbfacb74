/* A JSON recognizer: a loop over the text with a stack of what is open. Strict where writers go wrong:
 * control characters and bad UTF-8 in strings, commas too many, numbers as C prints them (nan, inf, 01, 1.).
 */
#include "json_check.h"

#include <stdint.h>
#include <string.h>

typedef struct reader {
    const unsigned char *p;
    size_t n, at;
} reader;

static int peek(const reader *r) {
    return r->at < r->n ? r->p[r->at] : -1;
}

static void blanks(reader *r) {
    while (r->at < r->n && strchr(" \t\r\n", r->p[r->at]) && r->p[r->at]) r->at++;
}

/* Bytes of the UTF-8 character at the cursor, 0 if it is none. */
static size_t character(const reader *r) {
    const unsigned char *s = r->p + r->at;
    size_t left = r->n - r->at;
    size_t length = s[0] < 0x80   ? 1
                    : s[0] < 0xC2 ? 0
                    : s[0] < 0xE0 ? 2
                    : s[0] < 0xF0 ? 3
                    : s[0] < 0xF5 ? 4
                                  : 0;
    if (!length || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
        (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return length;
}

static bool string(reader *r) {
    r->at++;
    for (;;) {
        int c = peek(r);
        if (c == '"') {
            r->at++;
            return true;
        }
        if (c < 0x20) return false;
        if (c == '\\') {
            r->at++;
            c = peek(r);
            if (c == 'u') {
                for (int i = 1; i <= 4; i++)
                    if (r->at + (size_t)i >= r->n ||
                        !strchr("0123456789abcdefABCDEF", r->p[r->at + (size_t)i]))
                        return false;
                r->at += 4;
            } else if (c <= 0 || !strchr("\"\\/bfnrt", c)) {
                return false;
            }
            r->at++;
            continue;
        }
        size_t length = character(r);
        if (!length) return false;
        r->at += length;
    }
}

static size_t digits(reader *r) {
    size_t start = r->at;
    while (peek(r) >= '0' && peek(r) <= '9') r->at++;
    return r->at - start;
}

static bool number(reader *r) {
    if (peek(r) == '-') r->at++;
    bool zero = peek(r) == '0';
    size_t whole = digits(r);
    if (!whole || (zero && whole > 1)) return false;
    if (peek(r) == '.' && (r->at++, !digits(r))) return false;
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++;
        if (peek(r) == '+' || peek(r) == '-') r->at++;
        if (!digits(r)) return false;
    }
    return true;
}

static bool word(reader *r, const char *w) {
    size_t n = strlen(w);
    if (r->n - r->at < n || memcmp(r->p + r->at, w, n) != 0) return false;
    r->at += n;
    return true;
}

static bool scalar(reader *r) {
    switch (peek(r)) {
    case '"': return string(r);
    case 't': return word(r, "true");
    case 'f': return word(r, "false");
    case 'n': return word(r, "null");
    default: return number(r);
    }
}

bool json_valid(const char *text, size_t n, size_t *where) {
    reader r = {(const unsigned char *)text, n, 0};
    char open[64]; /* what closes the containers we are in */
    size_t depth = 0;
    bool good = true, value_done = false, after_comma = false;
    while (good) {
        blanks(&r);
        if (value_done && !depth) break;
        int c = peek(&r);
        if (depth && (c == open[depth - 1]) && !after_comma) {
            r.at++;
            depth--;
            value_done = true;
            continue;
        }
        if (value_done) {
            good = c == ',';
            r.at += good;
            value_done = false;
            after_comma = true;
            continue;
        }
        if (depth && open[depth - 1] == '}') {
            good = c == '"' && string(&r);
            blanks(&r);
            good = good && peek(&r) == ':';
            r.at += good;
            blanks(&r);
            c = peek(&r);
        }
        after_comma = false;
        if (good && (c == '{' || c == '[')) {
            good = depth < sizeof open;
            if (good) open[depth++] = c == '{' ? '}' : ']';
            r.at++;
        } else {
            good = good && scalar(&r);
            value_done = true;
        }
    }
    if (where) *where = r.at;
    return good && r.at == n;
}
