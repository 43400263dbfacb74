/* Filters over text: case, white space, replacing, indenting, escaping. Whatever is not a string is printed
 * first, as Jinja does. Called through the table at the end; arguments are bound by builtin_call. */
#include <string.h>

#include "impl.h"
#include "runtime/text/unicode.h"
#include "runtime/text/utf8.h"

#define ARGS run *r, value self, const value *arg, const call *c, value *out

static bool given(value v) {
    return v.type != V_MISSING && v.type != V_NONE;
}

static bool change_case(run *r, value self, case_change how, value *out) {
    const text *s;
    return value_text(r, self, &s) && text_case(r, s, how, out);
}

static bool upper(ARGS) {
    (void)arg, (void)c;
    return change_case(r, self, CASE_UPPER, out);
}
static bool lower(ARGS) {
    (void)arg, (void)c;
    return change_case(r, self, CASE_LOWER, out);
}
static bool capitalize(ARGS) {
    (void)arg, (void)c;
    return change_case(r, self, CASE_CAPITALIZE, out);
}

/* Jinja's title: words begin after white space, - ( { [ and <, not after every character that is no letter.
 */
static bool title(ARGS) {
    const text *s;
    size_t from = r->n_out, start = 0;
    (void)arg, (void)c;
    if (!value_text(r, self, &s)) return false;
    for (size_t i = 0; i <= s->n;) {
        uint32_t cp = ' ';
        size_t length = i < s->n ? utf8_decode(s->p + i, s->n - i, &cp) : 1;
        if (text_is_space(cp) || (cp < 0x80 && cp && strchr("-({[<", (int)cp))) {
            text word = {.p = s->p + start, .n = i - start};
            size_t letter = text_offset(&word, 1);
            value one, rest;
            if (!v_slice(r, s, start, letter, &one) || !text_case(r, one.s, CASE_UPPER, &one) ||
                !v_slice(r, s, start + letter, word.n - letter, &rest) ||
                !text_case(r, rest.s, CASE_LOWER, &rest) || !put_text(r, one.s) || !put_text(r, rest.s) ||
                (i < s->n && !put_range(r, s, i, length)))
                return false;
            start = i + length;
        }
        i += length;
    }
    return take_text(r, from, out);
}

static bool trim(ARGS) {
    const text *s, *chars = NULL;
    (void)c;
    if (given(arg[0]) && !value_text(r, arg[0], &chars)) return false;
    return value_text(r, self, &s) && text_strip(r, s, chars, true, true, out);
}

static bool replace(ARGS) {
    const text *s, *old, *new;
    int64_t count = -1;
    (void)c;
    if (arg[1].type == V_MISSING)
        return run_error(r, LEAT_E_TEMPLATE, "replace() needs what to replace and by what");
    if (given(arg[2]) && !value_int(arg[2], &count))
        return run_error(r, LEAT_E_TEMPLATE, "replace() needs a whole number");
    return value_text(r, self, &s) && value_text(r, arg[0], &old) && value_text(r, arg[1], &new) &&
           text_replace(r, s, old, new, count, out);
}

static bool string(ARGS) {
    const text *s;
    (void)arg, (void)c;
    if (!value_text(r, self, &s)) return false;
    *out = (value){.type = V_STRING, .s = s};
    return true;
}

/* How many bytes the end of a line takes at p, 0 if none is there; as str.splitlines. */
static size_t line_end(const text *s, size_t i) {
    uint32_t cp;
    size_t n = utf8_decode(s->p + i, s->n - i, &cp);
    if (cp == '\r') return i + 1 < s->n && s->p[i + 1] == '\n' ? 2 : 1;
    return (cp >= '\n' && cp <= '\f') || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
                   cp == 0x2029
               ? n
               : 0;
}

static bool indent(ARGS) {
    const text *s, *pad;
    value spaces;
    int64_t width = 4;
    size_t from = r->n_out, start = 0, lines = 0;
    bool first = value_truth(&arg[1]), blank = value_truth(&arg[2]);
    (void)c;
    if (!value_text(r, self, &s)) return false;
    if (arg[0].type == V_STRING) {
        pad = arg[0].s;
    } else {
        if (arg[0].type != V_MISSING && !value_int(arg[0], &width))
            return run_error(r, LEAT_E_TEMPLATE, "indent() needs a number or a string");
        if (!v_static(r, " ", &spaces) || !math_binary(r, '*', spaces, v_int(width), &spaces)) return false;
        pad = spaces.s;
    }
    if (first && !put_text(r, pad)) return false;
    for (size_t i = 0; i <= s->n;) { /* a line ends at the end of the text too, even if it is empty */
        size_t end = i < s->n ? line_end(s, i) : 1;
        if (!end) {
            uint32_t cp;
            i += utf8_decode(s->p + i, s->n - i, &cp);
            continue;
        }
        if (lines && (!put_bytes(r, "\n", 1, false) || ((i > start || blank) && !put_text(r, pad))))
            return false;
        if (!put_range(r, s, start, i - start)) return false;
        lines++;
        i += end;
        start = i;
    }
    return take_text(r, from, out);
}

static bool truncate(ARGS) {
    const text *s, *end;
    value dots, kept, parts;
    int64_t length = 255, leeway = 5;
    size_t from = r->n_out;
    (void)c;
    if (!value_text(r, self, &s) || !v_static(r, "...", &dots) ||
        !value_text(r, given(arg[2]) ? arg[2] : dots, &end))
        return false;
    if ((arg[0].type != V_MISSING && !value_int(arg[0], &length)) ||
        (given(arg[3]) && !value_int(arg[3], &leeway)) || length < (int64_t)text_length(end) || leeway < 0)
        return run_error(r, LEAT_E_TEMPLATE, "truncate() needs a length of at least that of its end");
    if ((int64_t)text_length(s) <= length || (int64_t)text_length(s) - length <= leeway) {
        *out = (value){.type = V_STRING, .s = s};
        return true;
    }
    if (!v_slice(r, s, 0, text_offset(s, (size_t)length - text_length(end)), &kept)) return false;
    if (!value_truth(&arg[1])) {
        text space = {.p = " ", .n = 1};
        if (!text_split(r, kept.s, &space, 1, true, &parts)) return false;
        kept = parts.l->v[0];
    }
    return put_text(r, kept.s) && put_text(r, end) && take_text(r, from, out);
}

static bool wordcount(ARGS) {
    const text *s;
    int64_t n = 0;
    bool inside = false;
    (void)arg, (void)c;
    if (!value_text(r, self, &s) || !run_step(r, s->n)) return false;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        i += utf8_decode(s->p + i, s->n - i, &cp);
        enum unicode_class k = unicode_class_of(cp);
        bool word = k == UNICODE_LETTER || k == UNICODE_NUMBER || cp == '_';
        n += word && !inside;
        inside = word;
    }
    *out = v_int(n);
    return true;
}

static bool center(ARGS) {
    const text *s;
    int64_t width = 80;
    size_t from = r->n_out;
    (void)c;
    if (!value_text(r, self, &s)) return false;
    if (arg[0].type != V_MISSING && !value_int(arg[0], &width))
        return run_error(r, LEAT_E_TEMPLATE, "center() needs a whole number");
    int64_t n = (int64_t)text_length(s), pad = width > n ? width - n : 0, left = pad / 2 + (pad & width & 1);
    for (int64_t i = 0; i < left; i++)
        if (!put_bytes(r, " ", 1, false)) return false;
    if (!put_text(r, s)) return false;
    for (int64_t i = left; i < pad; i++)
        if (!put_bytes(r, " ", 1, false)) return false;
    return take_text(r, from, out);
}

static bool escape(ARGS) {
    const text *s;
    size_t from = r->n_out;
    (void)arg, (void)c;
    if (!value_text(r, self, &s)) return false;
    for (size_t i = 0; i < s->n; i++) {
        const char *entity = s->p[i] == '&'    ? "&amp;"
                             : s->p[i] == '<'  ? "&lt;"
                             : s->p[i] == '>'  ? "&gt;"
                             : s->p[i] == '"'  ? "&#34;"
                             : s->p[i] == '\'' ? "&#39;"
                                               : NULL;
        bool content = s->marks ? s->marks[i] : s->content;
        if (!(entity ? put_bytes(r, entity, strlen(entity), content) : put_range(r, s, i, 1))) return false;
    }
    return take_text(r, from, out);
}

static bool striptags(ARGS) {
    const text *s;
    size_t from = r->n_out;
    bool space = false;
    (void)arg, (void)c;
    if (!value_text(r, self, &s)) return false;
    for (size_t i = 0; i < s->n;) {
        const char *close = s->p[i] == '<' ? memchr(s->p + i, '>', s->n - i) : NULL;
        uint32_t cp;
        if (close) {
            i = (size_t)(close - s->p) + 1;
            continue;
        }
        size_t n = utf8_decode(s->p + i, s->n - i, &cp);
        if (text_is_space(cp)) {
            space = true;
        } else {
            if (space && r->n_out > from && !put_bytes(r, " ", 1, false)) return false;
            space = false;
            if (!put_range(r, s, i, n)) return false;
        }
        i += n;
    }
    return take_text(r, from, out);
}

static bool urlencode(ARGS) {
    static const char hex[] = "0123456789ABCDEF";
    const text *s;
    size_t from = r->n_out;
    (void)arg, (void)c;
    if (!value_text(r, self, &s)) return false;
    for (size_t i = 0; i < s->n; i++) {
        unsigned char b = (unsigned char)s->p[i];
        char code[3] = {'%', hex[b >> 4], hex[b & 15]};
        bool plain =
            (b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z') || (b && strchr("_.-~/", b));
        if (!(plain ? put_range(r, s, i, 1) : put_bytes(r, code, 3, s->marks ? s->marks[i] : s->content)))
            return false;
    }
    return take_text(r, from, out);
}

static bool format(ARGS) {
    const text *s;
    value args;
    (void)arg;
    if (!value_text(r, self, &s)) return false;
    if (c->n && c->n_kw)
        return run_error(r, LEAT_E_TEMPLATE,
                         "can't handle positional and keyword arguments at the same time");
    if (!v_list(r, TUPLE, c->n, &args)) return false;
    if (c->n) memcpy(args.l->v, c->v, c->n * sizeof *c->v);
    return format_percent(r, s, args, c->n_kw ? c : NULL, out);
}

const builtin filters_text[] = {
    {"upper", upper, ""},
    {"lower", lower, ""},
    {"capitalize", capitalize, ""},
    {"title", title, ""},
    {"trim", trim, "chars"},
    {"replace", replace, "old new count"},
    {"string", string, ""},
    {"safe", string, ""},
    {"indent", indent, "width first blank"},
    {"truncate", truncate, "length killwords end leeway"},
    {"wordcount", wordcount, ""},
    {"center", center, "width"},
    {"escape", escape, ""},
    {"e", escape, ""},
    {"forceescape", escape, ""},
    {"striptags", striptags, ""},
    {"urlencode", urlencode, ""},
    {"format", format, NULL},
    {NULL, NULL, NULL},
};
