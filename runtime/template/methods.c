/* Methods of values: Python's of strings, dicts and lists that change nothing, and those of loops and
 * cyclers. Found by find_method, called through builtin_call. */
#include <string.h>

#include "impl.h"
#include "runtime/text/unicode.h"
#include "runtime/text/utf8.h"

#define ARGS run *r, value self, const value *arg, const call *c, value *out

static bool given(value v) {
    return v.type != V_MISSING && v.type != V_NONE;
}

static bool need_text(run *r, value v, const text **out) {
    static const text empty = {.p = ""};
    *out = &empty;
    if (v.type != V_STRING)
        return run_error(r, LEAT_E_TEMPLATE, "a string is expected, not %s", value_type_name(v));
    *out = v.s;
    return true;
}

static bool need_int(run *r, value v, int64_t otherwise, int64_t *out) {
    *out = otherwise;
    if (v.type == V_MISSING || value_int(v, out)) return true;
    return run_error(r, LEAT_E_TEMPLATE, "a whole number is expected, not %s", value_type_name(v));
}

#define CASE(name, how)                                                                                      \
    static bool name(ARGS) {                                                                                 \
        (void)arg, (void)c;                                                                                  \
        return text_case(r, self.s, how, out);                                                               \
    }
#define STRIP(name, left, right)                                                                             \
    static bool name(ARGS) {                                                                                 \
        const text *chars = NULL;                                                                            \
        (void)c;                                                                                             \
        if (given(arg[0]) && !need_text(r, arg[0], &chars)) return false;                                    \
        return text_strip(r, self.s, chars, left, right, out);                                               \
    }
CASE(upper, CASE_UPPER)
CASE(lower, CASE_LOWER)
CASE(title, CASE_TITLE)
CASE(capitalize, CASE_CAPITALIZE)
CASE(swapcase, CASE_SWAP)
STRIP(strip, true, true)
STRIP(lstrip, true, false)
STRIP(rstrip, false, true)

static bool split_on(run *r, value self, const value *arg, bool right, value *out) {
    const text *separator = NULL;
    int64_t max;
    if (given(arg[0]) && !need_text(r, arg[0], &separator)) return false;
    return need_int(r, arg[1], -1, &max) && text_split(r, self.s, separator, max, right, out);
}

static bool split(ARGS) {
    (void)c;
    return split_on(r, self, arg, false, out);
}
static bool rsplit(ARGS) {
    (void)c;
    return split_on(r, self, arg, true, out);
}

static bool splitlines(ARGS) {
    const text *s = self.s;
    bool keep = value_truth(&arg[0]);
    size_t start = 0, n = 0;
    (void)c;
    for (int pass = 0; pass < 2; pass++) { /* counts, then cuts */
        if (pass && !v_list(r, LIST, n, out)) return false;
        start = n = 0;
        for (size_t i = 0; i < s->n;) {
            uint32_t cp;
            size_t length = utf8_decode(s->p + i, s->n - i, &cp);
            bool end = (cp >= '\n' && cp <= '\r') || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 ||
                       cp == 0x2028 || cp == 0x2029;
            if (cp == '\r' && i + 1 < s->n && s->p[i + 1] == '\n') length = 2;
            i += length;
            if (!end && i < s->n) continue;
            size_t stop = end && !keep ? i - length : i;
            if (pass && !v_slice(r, s, start, stop - start, &out->l->v[n])) return false;
            n++;
            start = i;
        }
    }
    return true;
}

static bool replace(ARGS) {
    const text *old, *new;
    int64_t count;
    (void)c;
    return need_text(r, arg[0], &old) && need_text(r, arg[1], &new) && need_int(r, arg[2], -1, &count) &&
           text_replace(r, self.s, old, new, count, out);
}

/* Any of a tuple of prefixes, or one. */
static bool has_affix(run *r, value self, value affix, bool end, value *out) {
    value one[1] = {affix}, *v = one;
    size_t n = 1;
    if (affix.type == V_LIST && affix.l->kind == TUPLE) {
        v = affix.l->v;
        n = affix.l->n;
    }
    *out = v_bool(false);
    for (size_t i = 0; i < n; i++) {
        const text *s = self.s, *a;
        if (!need_text(r, v[i], &a)) return false;
        if (a->n <= s->n && !memcmp(s->p + (end ? s->n - a->n : 0), a->p, a->n)) *out = v_bool(true);
    }
    return true;
}

/* The part of a string that start and end (code points) leave. */
static bool clip(run *r, value self, const value *bound, value *out, size_t *offset) {
    int64_t n = (int64_t)text_length(self.s), from, to;
    if (!need_int(r, bound[0].type == V_NONE ? v_missing : bound[0], 0, &from) ||
        !need_int(r, bound[1].type == V_NONE ? v_missing : bound[1], n, &to))
        return false;
    if (from < 0) from = from < -n ? 0 : from + n;
    if (to < 0) to = to < -n ? 0 : to + n;
    if (to > n) to = n;
    if (from > to) from = to;
    size_t a = text_offset(self.s, (size_t)from), b = text_offset(self.s, (size_t)to);
    *offset = a;
    return v_slice(r, self.s, a, b - a, out);
}

static bool startswith(ARGS) {
    value part;
    size_t offset;
    (void)c;
    return clip(r, self, arg + 1, &part, &offset) && has_affix(r, part, arg[0], false, out);
}
static bool endswith(ARGS) {
    value part;
    size_t offset;
    (void)c;
    return clip(r, self, arg + 1, &part, &offset) && has_affix(r, part, arg[0], true, out);
}

static bool find_text(run *r, value self, const value *arg, bool last, value *out) {
    const text *what;
    value part;
    size_t offset, hit = SIZE_MAX;
    if (!need_text(r, arg[0], &what) || !clip(r, self, arg + 1, &part, &offset) || !run_step(r, self.s->n))
        return false;
    for (size_t at = text_find(part.s, what, 0); at != SIZE_MAX; at = text_find(part.s, what, at + 1)) {
        hit = at;
        if (!last) break;
    }
    text before = {.p = self.s->p, .n = offset + hit};
    *out = v_int(hit == SIZE_MAX ? -1 : (int64_t)text_length(&before));
    return true;
}

static bool find(ARGS) {
    (void)c;
    return find_text(r, self, arg, false, out);
}
static bool rfind(ARGS) {
    (void)c;
    return find_text(r, self, arg, true, out);
}
static bool text_index(ARGS) {
    (void)c;
    return find_text(r, self, arg, false, out) &&
           (out->i >= 0 || run_error(r, LEAT_E_TEMPLATE, "substring not found"));
}
static bool text_rindex(ARGS) {
    (void)c;
    return find_text(r, self, arg, true, out) &&
           (out->i >= 0 || run_error(r, LEAT_E_TEMPLATE, "substring not found"));
}

static bool text_count(ARGS) {
    const text *what;
    value part;
    size_t offset;
    int64_t n = 0;
    (void)c;
    if (!need_text(r, arg[0], &what) || !clip(r, self, arg + 1, &part, &offset) || !run_step(r, self.s->n))
        return false;
    if (what->n == 0) {
        *out = v_int((int64_t)text_length(part.s) + 1);
        return true;
    }
    for (size_t at = text_find(part.s, what, 0); at != SIZE_MAX; at = text_find(part.s, what, at + what->n))
        n++;
    *out = v_int(n);
    return true;
}

static bool join(ARGS) {
    value *v;
    size_t n, from = r->n_out;
    (void)c;
    if (!value_iterate(r, arg[0], &v, &n)) return false;
    for (size_t i = 0; i < n; i++) {
        if (v[i].type != V_STRING)
            return run_error(r, LEAT_E_TEMPLATE, "sequence item %zu: expected str instance, %s found", i,
                             value_type_name(v[i]));
        if ((i && !put_text(r, self.s)) || !put_text(r, v[i].s)) return false;
    }
    return take_text(r, from, out);
}

static bool remove_affix(run *r, value self, value affix, bool end, value *out) {
    value yes;
    const text *s = self.s, *a;
    if (!need_text(r, affix, &a) || !has_affix(r, self, affix, end, &yes)) return false;
    return v_slice(r, s, yes.b && !end ? a->n : 0, s->n - (yes.b ? a->n : 0), out);
}

static bool removeprefix(ARGS) {
    (void)c;
    return remove_affix(r, self, arg[0], false, out);
}
static bool removesuffix(ARGS) {
    (void)c;
    return remove_affix(r, self, arg[0], true, out);
}

static bool part_at(run *r, value self, value separator, bool last, value *out) {
    const text *s = self.s, *a;
    size_t hit = SIZE_MAX;
    if (!need_text(r, separator, &a) || !run_step(r, s->n)) return false;
    if (a->n == 0) return run_error(r, LEAT_E_TEMPLATE, "empty separator");
    for (size_t at = text_find(s, a, 0); at != SIZE_MAX; at = text_find(s, a, at + 1)) {
        hit = at;
        if (!last) break;
    }
    if (!v_list(r, TUPLE, 3, out)) return false;
    value *v = out->l->v;
    if (hit == SIZE_MAX)
        return v_slice(r, s, 0, last ? 0 : s->n, &v[0]) && v_slice(r, s, 0, 0, &v[1]) &&
               v_slice(r, s, 0, last ? s->n : 0, &v[2]);
    return v_slice(r, s, 0, hit, &v[0]) && v_slice(r, s, hit, a->n, &v[1]) &&
           v_slice(r, s, hit + a->n, s->n - hit - a->n, &v[2]);
}

static bool partition(ARGS) {
    (void)c;
    return part_at(r, self, arg[0], false, out);
}
static bool rpartition(ARGS) {
    (void)c;
    return part_at(r, self, arg[0], true, out);
}

/* ljust, rjust, center, zfill: `fill` left and right of the text. */
static bool pad(run *r, value self, const value *arg, int side, value *out) {
    text space = {.p = side == 'z' ? "0" : " ", .n = 1};
    const text *fill = &space, *s = self.s;
    int64_t width, n = (int64_t)text_length(s), left, skip = 0;
    size_t from = r->n_out;
    if (!need_int(r, arg[0], 0, &width)) return false;
    if (side != 'z' && arg[1].type != V_MISSING && (!need_text(r, arg[1], &fill) || text_length(fill) != 1))
        return run_error(r, LEAT_E_TEMPLATE, "the fill character must be exactly one character long");
    int64_t total = width > n ? width - n : 0;
    left = side == 'l' ? 0 : side == 'c' ? total / 2 + (total & width & 1) : total;
    if (side == 'z' && s->n && (*s->p == '-' || *s->p == '+')) skip = 1;
    if (!put_range(r, s, 0, (size_t)skip)) return false;
    for (int64_t i = 0; i < left; i++)
        if (!put_text(r, fill)) return false;
    if (!put_range(r, s, (size_t)skip, s->n - (size_t)skip)) return false;
    for (int64_t i = left; i < total; i++)
        if (!put_text(r, fill)) return false;
    return take_text(r, from, out);
}

static bool ljust(ARGS) {
    (void)c;
    return pad(r, self, arg, 'l', out);
}
static bool rjust(ARGS) {
    (void)c;
    return pad(r, self, arg, 'r', out);
}
static bool center(ARGS) {
    (void)c;
    return pad(r, self, arg, 'c', out);
}
static bool zfill(ARGS) {
    (void)c;
    return pad(r, self, arg, 'z', out);
}

static bool format(ARGS) {
    (void)arg;
    return format_braces(r, self.s, c, out);
}

/* Is there a character, and has each of them one of the properties? */
enum { IS_LETTER = 1, IS_NUMBER = 2, IS_SPACE = 4, IS_ASCII = 8, IS_UNDERSCORE = 16 };
static bool all_are(const text *s, unsigned what) {
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        i += utf8_decode(s->p + i, s->n - i, &cp);
        enum unicode_class k = unicode_class_of(cp);
        unsigned is = (k == UNICODE_LETTER ? IS_LETTER : 0u) | (k == UNICODE_NUMBER ? IS_NUMBER : 0u) |
                      (text_is_space(cp) ? IS_SPACE : 0u) | (cp < 0x80 ? IS_ASCII : 0u) |
                      (cp == '_' ? IS_UNDERSCORE : 0u);
        if (!(is & what)) return false;
    }
    return s->n > 0 || what == IS_ASCII;
}

#define IS(name, what)                                                                                       \
    static bool name(ARGS) {                                                                                 \
        (void)arg, (void)c;                                                                                  \
        *out = v_bool(all_are(self.s, what));                                                                \
        return run_step(r, self.s->n);                                                                       \
    }
IS(isalpha_, IS_LETTER)
IS(isdigit_, IS_NUMBER)
IS(isalnum_, IS_LETTER | IS_NUMBER)
IS(isspace_, IS_SPACE)
IS(isascii_, IS_ASCII)

static bool isidentifier(ARGS) {
    (void)arg, (void)c;
    *out = v_bool(all_are(self.s, IS_LETTER | IS_NUMBER | IS_UNDERSCORE) &&
                  !(*self.s->p >= '0' && *self.s->p <= '9'));
    return run_step(r, self.s->n);
}

static bool isupper_(ARGS) {
    (void)arg;
    return builtin_call(r, find_test("upper", 5), self, c, out);
}
static bool islower_(ARGS) {
    (void)arg;
    return builtin_call(r, find_test("lower", 5), self, c, out);
}

static const builtin text_methods[] = {
    {"upper", upper, ""},
    {"lower", lower, ""},
    {"casefold", lower, ""},
    {"title", title, ""},
    {"capitalize", capitalize, ""},
    {"swapcase", swapcase, ""},
    {"strip", strip, "chars"},
    {"lstrip", lstrip, "chars"},
    {"rstrip", rstrip, "chars"},
    {"split", split, "sep maxsplit"},
    {"rsplit", rsplit, "sep maxsplit"},
    {"splitlines", splitlines, "keepends"},
    {"replace", replace, "old new count"},
    {"startswith", startswith, "prefix start end"},
    {"endswith", endswith, "suffix start end"},
    {"find", find, "sub start end"},
    {"rfind", rfind, "sub start end"},
    {"index", text_index, "sub start end"},
    {"rindex", text_rindex, "sub start end"},
    {"count", text_count, "sub start end"},
    {"join", join, "iterable"},
    {"removeprefix", removeprefix, "prefix"},
    {"removesuffix", removesuffix, "suffix"},
    {"partition", partition, "sep"},
    {"rpartition", rpartition, "sep"},
    {"ljust", ljust, "width fillchar"},
    {"rjust", rjust, "width fillchar"},
    {"center", center, "width fillchar"},
    {"zfill", zfill, "width"},
    {"format", format, NULL},
    {"isalpha", isalpha_, ""},
    {"isdigit", isdigit_, ""},
    {"isnumeric", isdigit_, ""},
    {"isdecimal", isdigit_, ""},
    {"isalnum", isalnum_, ""},
    {"isspace", isspace_, ""},
    {"isascii", isascii_, ""},
    {"isidentifier", isidentifier, ""},
    {"isupper", isupper_, ""},
    {"islower", islower_, ""},
    {NULL, NULL, NULL},
};

/* ---- dicts and lists ---- */

static bool get(ARGS) {
    const value *found;
    (void)c;
    if (arg[0].type == V_MISSING)
        return run_error(r, LEAT_E_TEMPLATE, "get expected at least 1 argument, got 0");
    if (!dict_get(r, self.o, arg[0], &found)) return false;
    *out = found ? *found : arg[1].type == V_MISSING ? v_none : arg[1];
    return true;
}

static bool view(run *r, value self, list_kind kind, value *out) {
    if (!v_list(r, kind, self.o->n, out)) return false;
    for (size_t i = 0; i < self.o->n; i++) {
        const struct dict_entry *e = &self.o->e[i];
        value *v = &out->l->v[i];
        if (kind != DICT_ITEMS) {
            *v = kind == DICT_KEYS ? e->key : e->v;
            continue;
        }
        if (!v_list(r, TUPLE, 2, v)) return false;
        v->l->v[0] = e->key;
        v->l->v[1] = e->v;
    }
    return true;
}

static bool keys(ARGS) {
    (void)arg, (void)c;
    return view(r, self, DICT_KEYS, out);
}
static bool values(ARGS) {
    (void)arg, (void)c;
    return view(r, self, DICT_VALUES, out);
}
static bool dict_items(ARGS) {
    (void)arg, (void)c;
    return view(r, self, DICT_ITEMS, out);
}

static bool copy(ARGS) { /* nothing ever changes */
    (void)r, (void)arg, (void)c;
    *out = self;
    return true;
}

static bool list_count(ARGS) {
    int64_t n = 0;
    (void)c;
    for (size_t i = 0; i < self.l->n; i++) {
        bool same;
        if (!value_equal(r, self.l->v[i], arg[0], &same)) return false;
        n += same;
    }
    *out = v_int(n);
    return true;
}

static bool list_index(ARGS) {
    (void)c;
    for (size_t i = 0; i < self.l->n; i++) {
        bool same;
        if (!value_equal(r, self.l->v[i], arg[0], &same)) return false;
        if (!same) continue;
        *out = v_int((int64_t)i);
        return true;
    }
    return run_error(r, LEAT_E_TEMPLATE, "the value is not in the list");
}

static bool forbidden(ARGS) {
    (void)self, (void)arg, (void)c, (void)out;
    return run_error(r, LEAT_E_TEMPLATE, "lists and dicts can't be changed in a template; make a new one");
}

static const builtin dict_methods[] = {
    {"get", get, "key default"}, {"keys", keys, ""},
    {"values", values, ""},      {"items", dict_items, ""},
    {"copy", copy, ""},          {"update", forbidden, NULL},
    {"pop", forbidden, NULL},    {"setdefault", forbidden, NULL},
    {"clear", forbidden, NULL},  {"popitem", forbidden, NULL},
    {NULL, NULL, NULL},
};
static const builtin list_methods[] = {
    {"count", list_count, "value"}, {"index", list_index, "value"}, {"copy", copy, ""},
    {"append", forbidden, NULL},    {"extend", forbidden, NULL},    {"insert", forbidden, NULL},
    {"pop", forbidden, NULL},       {"remove", forbidden, NULL},    {"sort", forbidden, NULL},
    {"reverse", forbidden, NULL},   {"clear", forbidden, NULL},     {NULL, NULL, NULL},
};

/* ---- loops and cyclers ---- */

static bool loop_cycle(ARGS) {
    (void)arg;
    if (c->n == 0) return run_error(r, LEAT_E_TEMPLATE, "no items for cycling given");
    *out = c->v[self.loop->at % c->n];
    return true;
}

static bool loop_changed(ARGS) {
    value now;
    bool same = false;
    (void)arg;
    if (!v_list(r, TUPLE, c->n, &now)) return false;
    if (c->n) memcpy(now.l->v, c->v, c->n * sizeof *c->v);
    if (self.loop->changed.type != V_MISSING && !value_equal(r, self.loop->changed, now, &same)) return false;
    self.loop->changed = now;
    *out = v_bool(!same);
    return true;
}

static bool cycler_next(ARGS) {
    cycler *k = self.cycler;
    (void)r, (void)arg, (void)c;
    *out = k->v[k->at];
    k->at = (k->at + 1) % k->n;
    return true;
}

static bool cycler_reset(ARGS) {
    (void)r, (void)arg, (void)c;
    self.cycler->at = 0;
    *out = v_none;
    return true;
}

static const builtin loop_methods[] = {
    {"cycle", loop_cycle, NULL}, {"changed", loop_changed, NULL}, {NULL, NULL, NULL}};
static const builtin cycler_methods[] = {
    {"next", cycler_next, ""}, {"reset", cycler_reset, ""}, {NULL, NULL, NULL}};

const builtin *find_method(value self, const char *p, size_t n) {
    switch ((value_type)self.type) {
    case V_STRING: return builtin_in(text_methods, p, n);
    case V_DICT: return builtin_in(dict_methods, p, n);
    case V_LIST:
        return self.l->kind == LIST || self.l->kind == TUPLE || self.l->kind == RANGE
                   ? builtin_in(list_methods, p, n)
                   : NULL;
    case V_LOOP: return builtin_in(loop_methods, p, n);
    case V_CYCLER: return builtin_in(cycler_methods, p, n);
    default: return NULL;
    }
}
