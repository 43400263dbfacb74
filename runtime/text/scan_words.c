/* The scanners that see words: the expressions of GPT-2, of cl100k (Llama 3, Qwen) and o200k (GPT-4o) with
 * their relatives, and of DeepSeek V3. Stages of pretokenize.c. Alternatives are tried in the order of the
 * expression that stands above each; `\s+(?!\S)` means: white space, but leave its last character to the word
 * that comes next. */
#include "scan_char.h"

/* Case-insensitive matching folds by Unicode's rules, which make U+017F, the long s, an s: the one character
 * beyond ASCII that folds to one of these letters. */
size_t scan_contraction(const char *p, size_t n, bool any_case) {
    if (n < 2 || p[0] != '\'') return 0;
    char fold = any_case ? 0x20 : 0, a = (char)(p[1] | fold), b = (char)(n > 2 ? p[2] | fold : 0);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return any_case && n > 2 && (unsigned char)p[1] == 0xC5 && (unsigned char)p[2] == 0xBF ? 3 : 0;
}

/* \s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}; `count` characters follow, then `end` or
 * not. */
static size_t cascade(size_t count, bool end) {
    for (size_t size = 512; size >= 4; size /= 2)
        if (count > size || (count == size && end)) return size;
    return count > 2 || (count == 2 && end) ? 2 : 1;
}

/* Up to the last newline in it if `newlines` keep together (\s*[\r\n]+), else all but the last character, or
 * all of it at the end of the piece. The memo is the end of a row that holds no newline. */
size_t scan_white_space(enum scan_spaces how, bool newlines, const char *p, size_t n, const char **memo) {
    size_t end = 0, last = 0, after_newline = 0, count = 0;
    bool known = *memo && *memo > p;
    for (scan_char c = char_at(p, n, 0); c.bit & SPACE; c = char_at(p, n, end)) {
        last = end;
        end += c.n;
        count++;
        if (is_newline(c.cp)) after_newline = end;
        if (known && count > 512) break;
    }
    if (newlines && after_newline) return after_newline;
    if (how == SPACES_CASCADE) {
        if (!known) *memo = p + end;
        size_t wanted = cascade(count, end == n), i = 0;
        while (wanted-- > 0) i += char_at(p, n, i).n;
        return i;
    }
    return end == n || last == 0 ? end : last;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
size_t scan_gpt2(const scan_stage *s, const char *p, size_t n, const char **memo) {
    (void)s;
    size_t start = scan_contraction(p, n, false);
    if (start) return start;
    scan_char c = char_at(p, n, 0);
    if (c.cp == ' ' && n > 1) {
        scan_char next = char_at(p, n, 1);
        if (!(next.bit & SPACE)) {
            c = next;
            start = 1;
        }
    }
    if (c.bit & SPACE) return scan_white_space(SPACES_BUT_LAST, false, p, n, memo);
    unsigned classes = c.bit & (LETTER | NUMBER) ? c.bit : ~(unsigned)(LETTER | NUMBER | SPACE);
    return class_run(p, n, start + c.n, classes);
}

/* The Han characters that Kimi's tokenizer sets apart. */
static bool is_han(uint32_t cp) {
    static const uint32_t blocks[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                         {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2EBEF},
                                         {0x2F800, 0x2FA1F}};
    for (size_t i = 0; cp >= 0x3400 && i < sizeof blocks / sizeof *blocks; i++)
        if (cp >= blocks[i][0] && cp <= blocks[i][1]) return true;
    return false;
}

/* ((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+, then ((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*: capitals
 * and small letters, where letters beyond ASCII are both. The first form gives up letters at its end until a
 * small one follows; the second is what is left then: capitals only. 0: no match. */
static size_t cased(const scan_stage *s, const char *p, size_t n, size_t i, bool first_form) {
    size_t end = i, after_both = 0;
    scan_char c = char_at(p, n, end);
    while ((c.bit & s->classes) && !(c.cp >= 'a' && c.cp <= 'z')) {
        end += c.n;
        if (c.cp >= 0x80) after_both = end;
        c = char_at(p, n, end);
    }
    size_t small = end;
    while ((c.bit & s->classes) && !(c.cp >= 'A' && c.cp <= 'Z')) {
        end += c.n;
        c = char_at(p, n, end);
    }
    if (!first_form) return small > i ? end : 0;
    return end > small ? end : after_both;
}

/* \p{L}\p{M}*(?: \p{L}\p{M}*)*, repeated: single spaces between letters are part of the word. */
static size_t spaced(const char *p, size_t n, size_t i) {
    for (;;) {
        i = class_run(p, n, i, LETTER | MARKS);
        if (i >= n || p[i] != ' ') return i;
        scan_char c = char_at(p, n, i + 1);
        if (!(c.bit & LETTER)) return i;
        i += 1 + c.n;
    }
}

/* The end of the letters that begin at i, or 0. */
static size_t letters(const scan_stage *s, const char *p, size_t n, size_t i, bool first_form) {
    scan_char c = char_at(p, n, i);
    switch (s->letters) {
    case LETTERS_CASES: return cased(s, p, n, i, first_form);
    case LETTERS_SPACED: return c.bit & LETTER ? spaced(p, n, i) : 0;
    case LETTERS_NO_HAN:
        if (!(c.bit & LETTER) || is_han(c.cp)) return 0;
        do {
            i += c.n;
            c = char_at(p, n, i);
        } while ((c.bit & LETTER) && !is_han(c.cp));
        return i;
    default: return c.bit & s->classes ? class_run(p, n, i + c.n, s->classes) : 0;
    }
}

/* [^\r\n\p{L}\p{N}]? and letters, at p. */
static size_t letter_word(const scan_stage *s, const char *p, size_t n, scan_char first) {
    bool prefix = !(first.bit & (LETTER | NUMBER)) && !is_newline(first.cp);
    for (int form = 0; form < (s->letters == LETTERS_CASES ? 2 : 1); form++) {
        size_t end = prefix ? letters(s, p, n, first.n, form == 0) : 0;
        if (!end) end = letters(s, p, n, 0, form == 0);
        if (end) return end;
    }
    return 0;
}

static size_t tail_end(enum scan_tail tail, const char *p, size_t n, size_t i) {
    if (tail == TAIL_ONE_NEWLINE_SLASH)
        return i < n && (is_newline((unsigned char)p[i]) || p[i] == '/') ? i + 1 : i;
    while (tail != TAIL_NONE && i < n &&
           (is_newline((unsigned char)p[i]) || (tail == TAIL_NEWLINES_SLASHES && p[i] == '/')))
        i++;
    return i;
}

/* The end of ` ?` and symbols of these classes and their tail, at p; 0: no match. */
static size_t symbols(const scan_stage *s, const char *p, size_t n, scan_char first, unsigned classes) {
    size_t start = 0;
    if (first.cp == ' ') {
        scan_char next = char_at(p, n, 1);
        if (!(next.bit & classes)) return 0;
        start = 1;
    } else if (!(first.bit & classes)) {
        return 0;
    }
    return tail_end(s->tail, p, n, class_run(p, n, start, classes));
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ and its relatives: `classes` are the letters (with or
 * without \p{M}), `limit` the digits of a word; contractions may follow a word instead; the tail and white
 * space vary. */
size_t scan_words(const scan_stage *s, const char *p, size_t n, const char **memo) {
    size_t end = s->contractions == CONTRACTIONS_FIRST ? scan_contraction(p, n, true) : 0;
    if (end) return end;
    scan_char c = char_at(p, n, 0);
    if (s->letters == LETTERS_NO_HAN && is_han(c.cp)) {
        for (; c.bit && is_han(c.cp); c = char_at(p, n, end)) end += c.n;
        return end;
    }
    end = letter_word(s, p, n, c);
    if (end) {
        if (s->contractions == CONTRACTIONS_AFTER) end += scan_contraction(p + end, n - end, true);
        return end;
    }
    if (c.bit & NUMBER) {
        for (size_t count = 0; (c.bit & NUMBER) && (s->limit == 0 || count < s->limit); count++) {
            end += c.n;
            c = char_at(p, n, end);
        }
        return end;
    }
    bool marks = s->letters == LETTERS_RUN && s->contractions == CONTRACTIONS_FIRST && (s->classes & MARKS);
    end = symbols(s, p, n, c, ~(unsigned)(LETTER | NUMBER | SPACE | (marks ? MARKS : 0)));
    if (end) return end;
    if (c.bit & SPACE) return scan_white_space(s->spaces, true, p, n, memo);
    return c.n;
}

static unsigned symbol_bit(scan_char c) {
    return c.bit & (CLASS_BIT(SYMBOL) | CLASS_BIT(PUNCTUATION));
}

static bool is_ascii_punctuation(scan_char c) {
    return c.cp < 0x80 && symbol_bit(c);
}

/* The match at p, 0: none. [!"#...~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|
 * ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+| \s+(?!\S)|\s+; or with [\r\n] for the part of newlines. */
static size_t punctuated(const scan_stage *s, const char *p, size_t n, const char **memo) {
    scan_char c = char_at(p, n, 0), next = char_at(p, n, c.n);
    if (is_ascii_punctuation(c) && next.bit && is_ascii_letter(next.cp)) {
        size_t end = c.n;
        while (end < n && is_ascii_letter((unsigned char)p[end])) end++;
        return end;
    }
    if (!(c.bit & LETTER) && !is_newline(c.cp) && !symbol_bit(c) && (next.bit & (LETTER | MARKS)))
        return class_run(p, n, c.n, LETTER | MARKS);
    if (c.bit & (LETTER | MARKS)) return class_run(p, n, 0, LETTER | MARKS);
    scan_char first = c.cp == ' ' ? next : c;
    if (symbol_bit(first)) {
        size_t end = c.cp == ' ';
        for (; symbol_bit(first); first = char_at(p, n, end)) end += first.n;
        return tail_end(s->tail, p, n, end);
    }
    if (!(c.bit & SPACE)) return 0;
    if (s->spaces == SPACES_NEWLINES_ALONE && is_newline(c.cp)) return 1;
    return scan_white_space(SPACES_BUT_LAST, s->spaces != SPACES_NEWLINES_ALONE, p, n, memo);
}

size_t scan_punctuated(const scan_stage *s, const char *p, size_t n, const char **memo) {
    size_t end = punctuated(s, p, n, memo);
    if (end) return end;
    for (end = char_at(p, n, 0).n; end < n && !punctuated(s, p + end, n - end, memo);)
        end += char_at(p, n, end).n;
    return end;
}
