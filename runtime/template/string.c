/* What Python's str does, on UTF-8 and with the marks kept: lengths and offsets in code points, white space,
 * stripping, splitting, replacing, upper and lower case. Called by the filters and methods of templates. */
#include <string.h>

#include "impl.h"
#include "runtime/text/unicode.h"
#include "unicode_case.h"
#include "runtime/text/utf8.h"

size_t text_length(const text *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += ((unsigned char)s->p[i] & 0xC0) != 0x80;
    return n;
}

size_t text_offset(const text *s, size_t index) {
    size_t i = 0;
    for (; i < s->n; i++)
        if (((unsigned char)s->p[i] & 0xC0) != 0x80 && index-- == 0) break;
    return i;
}

bool text_is_space(uint32_t cp) { /* str.isspace */
    if (cp < 0x80) return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 31);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
           cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool text_eq(const text *s, const char *word) {
    return s->n == strlen(word) && !memcmp(s->p, word, s->n);
}

size_t text_find(const text *s, const text *what, size_t from) {
    if (what->n == 0) return from <= s->n ? from : SIZE_MAX;
    if (what->n > s->n) return SIZE_MAX;
    for (size_t i = from; i + what->n <= s->n; i++) {
        const char *hit = memchr(s->p + i, what->p[0], s->n - what->n + 1 - i);
        if (!hit) return SIZE_MAX;
        i = (size_t)(hit - s->p);
        if (!memcmp(hit, what->p, what->n)) return i;
    }
    return SIZE_MAX;
}

/* Is the character p[0..n) one of those in `chars`, or white space if that is NULL? */
static bool stripped(const char *p, size_t n, uint32_t cp, const text *chars) {
    if (!chars) return text_is_space(cp);
    for (size_t i = 0; i < chars->n;) {
        uint32_t c;
        size_t length = utf8_decode(chars->p + i, chars->n - i, &c);
        if (length == n && !memcmp(chars->p + i, p, n)) return true;
        i += length;
    }
    return false;
}

bool text_strip(run *r, const text *s, const text *chars, bool left, bool right, value *out) {
    size_t from = 0, to = s->n;
    uint32_t cp;
    if (!run_step(r, s->n + (chars ? chars->n : 0))) return false;
    while (left && from < to) {
        size_t length = utf8_decode(s->p + from, to - from, &cp);
        if (!stripped(s->p + from, length, cp, chars)) break;
        from += length;
    }
    while (right && to > from) {
        size_t i = to - 1;
        while (i > from && ((unsigned char)s->p[i] & 0xC0) == 0x80) i--;
        size_t length = utf8_decode(s->p + i, to - i, &cp);
        if (!stripped(s->p + i, length, cp, chars)) break;
        to = i;
    }
    return v_slice(r, s, from, to - from, out);
}

/* ---- splitting ---- */

typedef struct parts { /* found pieces: begin and end, in the order they were found */
    size_t (*at)[2];
    size_t n, capacity;
} parts;

static bool add_part(run *r, parts *k, size_t from, size_t to) {
    if (k->n == k->capacity) {
        size_t capacity = k->capacity ? k->capacity * 2 : 16;
        size_t(*at)[2] = run_alloc(r, capacity, sizeof *at);
        if (!at) return false;
        if (k->n) memcpy(at, k->at, k->n * sizeof *at);
        k->at = at;
        k->capacity = capacity;
    }
    k->at[k->n][0] = from;
    k->at[k->n++][1] = to;
    return true;
}

static size_t space_at(const text *s, size_t i) { /* its length, 0 if there is none */
    uint32_t cp;
    size_t n = utf8_decode(s->p + i, s->n - i, &cp);
    return text_is_space(cp) ? n : 0;
}

static bool split_words(run *r, const text *s, int64_t max, parts *k) {
    size_t i = 0;
    for (;;) {
        size_t n;
        while (i < s->n && (n = space_at(s, i))) i += n;
        if (i >= s->n) return true;
        size_t from = i;
        if (max >= 0 && k->n >= (size_t)max) i = s->n;
        while (i < s->n && !space_at(s, i)) i++;
        if (!add_part(r, k, from, i)) return false;
    }
}

static size_t space_before(const text *s, size_t i) {
    size_t from = i - 1;
    while (from > 0 && ((unsigned char)s->p[from] & 0xC0) == 0x80) from--;
    return space_at(s, from) ? i - from : 0;
}

static bool split_words_right(run *r, const text *s, int64_t max, parts *k) {
    size_t i = s->n;
    for (;;) {
        size_t n;
        while (i > 0 && (n = space_before(s, i))) i -= n;
        if (i == 0) return true;
        size_t to = i;
        if (max >= 0 && k->n >= (size_t)max) i = 0;
        while (i > 0 && !space_before(s, i)) i--;
        if (!add_part(r, k, i, to)) return false;
    }
}

static size_t find_last(const text *s, const text *what, size_t before) {
    for (size_t i = before; i >= what->n; i--)
        if (!memcmp(s->p + i - what->n, what->p, what->n)) return i - what->n;
    return SIZE_MAX;
}

bool text_split(run *r, const text *s, const text *separator, int64_t max, bool from_right, value *out) {
    parts k = {0};
    size_t at = from_right ? s->n : 0, hit;
    if (!run_step(r, s->n)) return false;
    if (!separator) {
        if (!(from_right ? split_words_right(r, s, max, &k) : split_words(r, s, max, &k))) return false;
    } else {
        if (separator->n == 0) return run_error(r, LEAT_E_TEMPLATE, "empty separator");
        while (max < 0 || k.n < (size_t)max) {
            hit = from_right ? find_last(s, separator, at) : text_find(s, separator, at);
            if (hit == SIZE_MAX) break;
            if (!(from_right ? add_part(r, &k, hit + separator->n, at) : add_part(r, &k, at, hit)))
                return false;
            at = from_right ? hit : hit + separator->n;
        }
        if (!(from_right ? add_part(r, &k, 0, at) : add_part(r, &k, at, s->n))) return false;
    }
    if (!v_list(r, LIST, k.n, out)) return false;
    for (size_t i = 0; i < k.n; i++) {
        size_t *p = k.at[from_right ? k.n - 1 - i : i];
        if (!v_slice(r, s, p[0], p[1] - p[0], &out->l->v[i])) return false;
    }
    return true;
}

bool text_replace(run *r, const text *s, const text *from, const text *to, int64_t count, value *out) {
    size_t start = r->n_out, at = 0;
    int64_t done = 0;
    if (!run_step(r, s->n)) return false;
    while (from->n > 0 && (count < 0 || done < count)) {
        size_t hit = text_find(s, from, at);
        if (hit == SIZE_MAX) break;
        if (!put_range(r, s, at, hit - at) || !put_text(r, to)) return false;
        at = hit + from->n;
        done++;
    }
    while (from->n == 0 && (count < 0 || done < count)) { /* between all characters */
        uint32_t cp;
        if (!put_text(r, to)) return false;
        done++;
        if (at >= s->n) break;
        size_t length = utf8_decode(s->p + at, s->n - at, &cp);
        if (!put_range(r, s, at, length)) return false;
        at += length;
    }
    return put_range(r, s, at, s->n - at) && take_text(r, start, out);
}

/* ---- upper and lower case ---- */

static uint32_t upper(uint32_t cp) {
    const case_run *runs = unicode_upper;
    size_t low = 0, high = unicode_upper_count;
    while (low < high) { /* the last run that starts at or before cp */
        size_t middle = low + (high - low) / 2;
        if (runs[middle].first <= cp)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return cp;
    const case_run *x = &runs[low - 1];
    return cp <= x->last && (cp - x->first) % x->step == 0 ? (uint32_t)((int64_t)cp + x->delta) : cp;
}

static bool has_case(uint32_t cp) {
    if (cp < 0x80) return (cp | 32) >= 'a' && (cp | 32) <= 'z';
    return upper(cp) != cp || unicode_lower(cp) != cp;
}

static bool put_upper(run *r, uint32_t cp, bool title, bool content) {
    for (size_t i = 0; cp >= 0x80 && i < unicode_upper_several_count; i++) {
        const case_several *x = &unicode_upper_several[i];
        if (x->cp != cp) continue;
        for (int k = 0; k < 3 && x->to[k]; k++)
            if (!put_code_point(r, title && k ? unicode_lower(x->to[k]) : x->to[k], content)) return false;
        return true;
    }
    if (title && cp >= 0x1C4 && cp <= 0x1CC)
        return put_code_point(r, cp < 0x1C7 ? 0x1C5 : cp < 0x1CA ? 0x1C8 : 0x1CB, content);
    if (title && cp >= 0x1F1 && cp <= 0x1F3) return put_code_point(r, 0x1F2, content);
    return put_code_point(r, upper(cp), content);
}

static bool put_lower(run *r, uint32_t cp, bool after, bool before, bool content) {
    if (cp == 0x3A3) return put_code_point(r, after && !before ? 0x3C2 : 0x3C3, content); /* final sigma */
    if (cp == 0x130) return put_code_point(r, 'i', content) && put_code_point(r, 0x307, content);
    return put_code_point(r, unicode_lower(cp), content);
}

bool text_case(run *r, const text *s, case_change how, value *out) {
    size_t start = r->n_out;
    bool after = false; /* a letter came just before */
    for (size_t i = 0; i < s->n;) {
        uint32_t cp, next = 0;
        size_t length = utf8_decode(s->p + i, s->n - i, &cp);
        bool content = s->marks ? s->marks[i] : s->content, cased = has_case(cp), upper;
        bool is_upper = unicode_lower(cp) != cp;
        if (i + length < s->n) utf8_decode(s->p + i + length, s->n - i - length, &next);
        switch (how) {
        case CASE_UPPER: upper = true; break;
        case CASE_LOWER: upper = false; break;
        case CASE_TITLE: upper = !after; break;
        case CASE_CAPITALIZE: upper = i == 0; break;
        default: upper = !is_upper; break;
        }
        if (!(upper ? put_upper(r, cp, how == CASE_TITLE || how == CASE_CAPITALIZE, content)
                    : put_lower(r, cp, after, has_case(next), content)))
            return false;
        after = cased;
        i += length;
    }
    return take_text(r, start, out);
}
