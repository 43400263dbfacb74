/* The simple scanners: runs of characters of a set, short fixed shapes, digits in groups of three, trailing
 * white space. Stages of pretokenize.c. */
#include <string.h>

#include "scan_char.h"

/* The group of the character in the stage's set; 0: not in it. Beyond ASCII, white space is in no range: it
 * was replaced before the expressions were matched. */
static int group_of(const scan_stage *s, scan_char c) {
    bool in = c.bit & s->classes;
    if (s->ascii_symbols && c.cp < 0x80 && (c.bit & CLASS_BIT(SYMBOL))) in = !(s->no_backtick && c.cp == '`');
    if (in || s->n_ranges == 0 || c.bit == 0) return in;
    if (c.cp < s->ranges[0].first || ((c.bit & SPACE) && c.cp >= 0x80)) return 0;
    size_t low = 0, high = s->n_ranges; /* the first range that ends at or after it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->ranges[middle].last < c.cp)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n_ranges && s->ranges[low].first <= c.cp ? s->ranges[low].group : 0;
}

static int group_at(const scan_stage *s, scan_char c) {
    return s->others ? c.bit && !group_of(s, c) : group_of(s, c);
}

/* Does a match begin at i? Its group, and where its run begins. */
static int begins(const scan_stage *s, const char *p, size_t n, size_t i, scan_char c, size_t *run) {
    *run = i;
    int group = group_at(s, c);
    if (s->lead == LEAD_NONE || (s->lead == LEAD_SPACE ? c.cp != ' ' : !(c.bit & SPACE))) return group;
    scan_char next = char_at(p, n, i + c.n);
    int after = next.bit ? group_at(s, next) : 0;
    if (!after) return group;
    *run = i + c.n;
    return after;
}

size_t scan_runs(const scan_stage *s, const char *p, size_t n, const char **memo) {
    (void)memo;
    size_t run, i = 0;
    scan_char c = char_at(p, n, 0);
    int group = begins(s, p, n, 0, c, &run);
    if (group == 0) {
        while (group == 0 && i < n) {
            i += c.n;
            c = char_at(p, n, i);
            group = c.bit ? begins(s, p, n, i, c, &run) : 0;
        }
        return i;
    }
    i = run;
    for (size_t count = 0; s->limit == 0 || count < s->limit; count++) {
        c = char_at(p, n, i);
        if (!c.bit || group_at(s, c) != group) break;
        i += c.n;
    }
    return i;
}

size_t scan_matches(const scan_stage *s, const char *p, size_t n, const char **memo) {
    (void)memo;
    size_t length = s->match(p, n);
    if (length) return length;
    size_t i = 1; /* matches are ASCII: no need to step by characters */
    while (i < n && !s->match(p + i, n - i)) i++;
    return i;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* [0-9][0-9][0-9] */
size_t match_three_digits(const char *p, size_t n) {
    return n >= 3 && is_digit(p[0]) && is_digit(p[1]) && is_digit(p[2]) ? 3 : 0;
}

/* <sentinel:[0-9]+> */
size_t match_sentinel(const char *p, size_t n) {
    static const char head[] = "<sentinel:";
    size_t i = sizeof head - 1;
    if (n <= i || memcmp(p, head, i) != 0) return 0;
    while (i < n && is_digit(p[i])) i++;
    return i > sizeof head - 1 && i < n && p[i] == '>' ? i + 1 : 0;
}

/* (IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z */
size_t match_image(const char *p, size_t n) {
    size_t i = 6;
    if (n < i || memcmp(p, "IMGIMG", i) != 0) return 0;
    while (i < n && i < 10 && p[i] >= 'A' && p[i] <= 'I') i++;
    return i > 6 && i < n && p[i] == 'Z' ? i + 1 : 0;
}

/* ([\t\n]|    |  ) */
size_t match_indent(const char *p, size_t n) {
    if (*p == '\t' || *p == '\n') return 1;
    if (n >= 4 && memcmp(p, "    ", 4) == 0) return 4;
    return n >= 2 && memcmp(p, "  ", 2) == 0 ? 2 : 0;
}

static bool in_thousands(const scan_stage *s, scan_char c) {
    return s->ascii_digits ? c.cp >= '0' && c.cp <= '9' && c.bit : c.bit & NUMBER;
}

/* End of the run of digits at i; *count of them. */
static size_t digits_end(const scan_stage *s, const char *p, size_t n, size_t i, size_t *count) {
    scan_char c = char_at(p, n, i);
    for (*count = 0; in_thousands(s, c); ++*count) {
        i += c.n;
        c = char_at(p, n, i);
    }
    return i;
}

static size_t skip_characters(const char *p, size_t n, size_t i, size_t count) {
    while (count-- > 0) i += char_at(p, n, i).n;
    return i;
}

/* Digits in groups of three counted from the right; the first group, or only one of less than three, stays
 * with the text before it. The memo is the end of a run whose first group was cut off: the rest is threes. */
size_t scan_thousands(const scan_stage *s, const char *p, size_t n, const char **memo) {
    if (*memo && *memo > p) return skip_characters(p, n, 0, 3);
    size_t i = 0;
    while (i < n) {
        scan_char c = char_at(p, n, i);
        if (!in_thousands(s, c)) {
            i += c.n;
            continue;
        }
        size_t count, end = digits_end(s, p, n, i, &count), first = count % 3;
        if (first == 0 && s->joined_threes) first = 3;
        if (first == 0 && i > 0) return i;
        *memo = p + end;
        return skip_characters(p, n, i, first ? first : 3);
    }
    return i;
}

/* \s+$ */
size_t scan_trailing_space(const scan_stage *s, const char *p, size_t n, const char **memo) {
    (void)s;
    (void)memo;
    size_t end = n;
    while (end > 0) {
        size_t i = end - 1;
        while (i > 0 && end - i < 4 && ((unsigned char)p[i] & 0xC0) == 0x80) i--;
        scan_char c = char_at(p, end, i);
        if (!(c.bit & SPACE) || i + c.n != end) break;
        end = i;
    }
    return end == 0 ? n : end;
}
