/* The scanners behind pretokenizers.def. Above each stands the regular expression it follows; alternatives
 * are tried in its order, and `\s+(?!\S)` means: white space, but leave its last character to the word that
 * comes next. */
#include "pretokenize.h"

#include <stdint.h>

#include "unicode.h"
#include "utf8.h"

/* Class of the character at p[i] (i < n), and its length. */
static enum unicode_class class_at(const char *p, size_t n, size_t i, size_t *length) {
    uint32_t cp;
    *length = utf8_decode(p + i, n - i, &cp);
    return unicode_class_of(cp);
}

static bool is_class(const char *p, size_t n, size_t i, enum unicode_class wanted) {
    size_t length;
    return i < n && class_at(p, n, i, &length) == wanted;
}

static bool is_newline(char c) {
    return c == '\r' || c == '\n';
}

/* End of the run of `wanted` characters that starts at i, at most `limit` of them. */
static size_t run_end(const char *p, size_t n, size_t i, enum unicode_class wanted, size_t limit) {
    size_t length;
    for (; limit > 0 && i < n && class_at(p, n, i, &length) == wanted; limit--) i += length;
    return i;
}

/* '(s|t|re|ve|m|ll|d): the length of the match at p, or 0. Case-insensitive matching folds by Unicode's
 * rules, which make U+017F, the long s, an s: the one character beyond ASCII that folds to one of these
 * letters. */
static size_t contraction(const char *p, size_t n, bool any_case) {
    if (n < 2 || p[0] != '\'') return 0;
    char fold = any_case ? 0x20 : 0, a = (char)(p[1] | fold), b = (char)(n > 2 ? p[2] | fold : 0);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return any_case && n > 2 && (unsigned char)p[1] == 0xC5 && (unsigned char)p[2] == 0xBF ? 3 : 0;
}

/* The word that begins with white space at p[0] and is nothing else: up to the last newline in it if
 * `newlines` keep together (\s*[\r\n]+), else all but the last character, or all of it at the end of what the
 * pattern sees, which is the end of the text or, when `numbers` were cut out before, a number. */
static size_t white_space(const char *p, size_t n, bool newlines, bool numbers) {
    size_t end = 0, last = 0, after_newline = 0, length;
    while (end < n && class_at(p, n, end, &length) == UNICODE_SPACE) {
        last = end;
        end += length;
        if (is_newline(p[last])) after_newline = end;
    }
    if (newlines && after_newline) return after_newline;
    if (end == n || last == 0 || (numbers && is_class(p, n, end, UNICODE_NUMBER))) return end;
    return last;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * With `digits`, every \p{N} is cut out as a word of its own before that. */
static size_t scan_gpt2_family(const char *p, size_t n, bool digits) {
    size_t start = contraction(p, n, false), length;
    if (start) return start;
    enum unicode_class kind = class_at(p, n, 0, &length);
    if (*p == ' ' && n > 1) {
        enum unicode_class next = class_at(p, n, 1, &length);
        if (next != UNICODE_SPACE && !(digits && next == UNICODE_NUMBER)) {
            kind = next;
            start = 1;
        }
    }
    if (kind == UNICODE_SPACE) return white_space(p, n, false, digits);
    return run_end(p, n, start, kind, digits && kind == UNICODE_NUMBER ? 1 : SIZE_MAX);
}

static size_t scan_gpt2(const char *p, size_t n) {
    return scan_gpt2_family(p, n, false);
}

static size_t scan_gpt2_digits(const char *p, size_t n) {
    return scan_gpt2_family(p, n, true);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
 * \s+(?!\S)|\s+ */
static size_t scan_llama3_family(const char *p, size_t n, size_t digits) {
    size_t end = contraction(p, n, true), first;
    if (end) return end;
    enum unicode_class kind = class_at(p, n, 0, &first);
    if (kind == UNICODE_LETTER) return run_end(p, n, 0, UNICODE_LETTER, SIZE_MAX);
    if (kind == UNICODE_NUMBER) return run_end(p, n, 0, UNICODE_NUMBER, digits);
    if (!is_newline(*p) && is_class(p, n, first, UNICODE_LETTER))
        return run_end(p, n, first, UNICODE_LETTER, SIZE_MAX);
    if (kind == UNICODE_OTHER || (*p == ' ' && is_class(p, n, 1, UNICODE_OTHER))) {
        end = run_end(p, n, kind == UNICODE_OTHER ? 0 : 1, UNICODE_OTHER, SIZE_MAX);
        while (end < n && is_newline(p[end])) end++;
        return end;
    }
    return white_space(p, n, true, false);
}

static size_t scan_llama3(const char *p, size_t n) {
    return scan_llama3_family(p, n, 3);
}

static size_t scan_qwen2(const char *p, size_t n) {
    return scan_llama3_family(p, n, 1);
}

static const pretokenizer list[] = {
#define X(name, scanner, whole_words, adds_bos) {name, scan_##scanner, whole_words, adds_bos},
#include "pretokenizers.def"
#undef X
};

const pretokenizer *pretokenizer_find(str name) {
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (str_eq(name, list[i].name)) return &list[i];
    return NULL;
}
