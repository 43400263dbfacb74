/* json.h: one pass over the text. The values of an array or object are linked, and each knows its parent, so
 * that nesting needs neither recursion nor a stack. */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "utf8.h"

typedef struct parser {
    arena *a;
    const char *name, *p;
    size_t n, at;
    leat_error *e;
} parser;

void text_position(const char *p, size_t n, size_t at, size_t *line, size_t *column) {
    *line = *column = 1;
    for (size_t i = 0; i < at && i < n; i++) {
        if (p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)p[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

static leat_status bad_code(parser *s, size_t at, leat_status code, const char *what) {
    size_t line, column;
    text_position(s->p, s->n, at, &line, &column);
    return error_set(s->e, code, "%s line %zu, column %zu: %s", s->name, line, column, what);
}

static leat_status bad(parser *s, size_t at, const char *what) {
    return bad_code(s, at, LEAT_E_VALUE, what);
}

static leat_status no_memory(parser *s) {
    if (s->a->over_limit) return bad_code(s, s->at, LEAT_E_LIMIT, "the document is too large");
    return error_set(s->e, LEAT_E_NOMEM, "out of memory for %s", s->name);
}

static void skip_space(parser *s) {
    while (s->at < s->n &&
           (s->p[s->at] == ' ' || s->p[s->at] == '\n' || s->p[s->at] == '\t' || s->p[s->at] == '\r'))
        s->at++;
}

/* ---- strings ---- */

static bool hex4(const char *p, size_t n, uint32_t *out) {
    uint32_t v = 0;
    if (n < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v << 4 | (uint32_t)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* The escape whose backslash is at s->at, as bytes at `out`; moves past it. */
static leat_status unescape(parser *s, char out[4], size_t *length) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t start = s->at;
    uint32_t cp, low;
    const char *found = s->n - start > 1 && s->p[start + 1] ? strchr(from, s->p[start + 1]) : NULL;
    if (found) {
        *out = to[found - from];
        *length = 1;
        s->at += 2;
        return LEAT_OK;
    }
    if (s->n - start < 2 || s->p[start + 1] != 'u') return bad(s, start, "unknown escape in a string");
    if (!hex4(s->p + start + 2, s->n - start - 2, &cp))
        return bad(s, start, "\\u needs four hexadecimal digits");
    s->at += 6;
    if (cp >= 0xD800 && cp < 0xE000) {
        if (cp >= 0xDC00 || s->n - s->at < 6 || s->p[s->at] != '\\' || s->p[s->at + 1] != 'u' ||
            !hex4(s->p + s->at + 2, 4, &low) || low < 0xDC00 || low > 0xDFFF)
            return bad(s, start, "half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        s->at += 6;
    }
    *length = utf8_encode(cp, out);
    return LEAT_OK;
}

/* The string whose opening quote is at s->at. */
static leat_status string(parser *s, str *out) {
    size_t start = s->at + 1, end = start, used = 0;
    while (end < s->n && s->p[end] != '"') end += s->p[end] == '\\' ? 2 : 1;
    if (end >= s->n) return bad(s, s->at, "this string does not end");
    char *text = arena_alloc(s->a, end - start + 1); /* escapes are longer than what they stand for */
    if (!text) return no_memory(s);
    for (s->at = start; s->at < end;) {
        unsigned char c = (unsigned char)s->p[s->at];
        size_t length = 1;
        uint32_t cp;
        if (c == '\\') {
            leat_status status = unescape(s, text + used, &length);
            if (status) return status;
            used += length;
            continue;
        }
        if (c < 0x20) return bad(s, s->at, "a control character in a string must be escaped");
        length = utf8_decode(s->p + s->at, end - s->at, &cp);
        if (cp >= UTF8_INCOMPLETE) return bad(s, s->at, "bytes that are no UTF-8");
        memcpy(text + used, s->p + s->at, length);
        used += length;
        s->at += length;
    }
    s->at = end + 1;
    *out = (str){text, used};
    return LEAT_OK;
}

/* ---- values ---- */

static bool word(parser *s, const char *text) {
    size_t n = strlen(text);
    if (s->n - s->at < n || memcmp(s->p + s->at, text, n) != 0) return false;
    s->at += n;
    return true;
}

static leat_status number(parser *s, json_value *v) {
    bool integer;
    size_t n = number_scan(s->p + s->at, s->n - s->at, true, &integer);
    if (!n) return bad(s, s->at, "this is no number of JSON");
    v->text = (str){arena_copy(s->a, s->p + s->at, n), n};
    if (!v->text.p) return no_memory(s);
    v->type = integer && number_int(v->text.p, n, &v->integer) ? JSON_INT : JSON_FLOAT;
    v->real = number_double(v->text.p, n);
    if (isinf(v->real)) return bad(s, s->at, "this number is out of range");
    s->at += n;
    return LEAT_OK;
}

/* A value that starts at s->at; of an array or object only its bracket. */
static leat_status begin_value(parser *s, json_value *v) {
    if (s->at >= s->n) return bad(s, s->at, "the text ends where a value is expected");
    v->at = s->at;
    char c = s->p[s->at];
    if (c == '"') {
        v->type = JSON_STRING;
        return string(s, &v->text);
    }
    if (c == '-' || (c >= '0' && c <= '9')) return number(s, v);
    if (c == '[' || c == '{') {
        v->type = c == '[' ? JSON_ARRAY : JSON_OBJECT;
        s->at++;
        return LEAT_OK;
    }
    if (word(s, "true")) {
        v->type = JSON_BOOL;
        v->boolean = true;
        return LEAT_OK;
    }
    if (word(s, "false")) {
        v->type = JSON_BOOL;
        return LEAT_OK;
    }
    if (word(s, "null")) {
        v->type = JSON_NULL;
        return LEAT_OK;
    }
    return bad(s, s->at, "a value is expected here");
}

/* The name before a member's value, and its colon. */
static leat_status member_name(parser *s, json_value *v) {
    if (s->at >= s->n || s->p[s->at] != '"') return bad(s, s->at, "a name in quotes is expected here");
    leat_status status = string(s, &v->key);
    if (status) return status;
    skip_space(s);
    if (s->at >= s->n || s->p[s->at] != ':') return bad(s, s->at, "a colon is expected here");
    s->at++;
    skip_space(s);
    return LEAT_OK;
}

/* A new child of `parent`, which may be NULL. */
static leat_status add_value(parser *s, json_value *parent, json_value **out) {
    leat_status status = LEAT_OK;
    json_value *v = arena_alloc(s->a, sizeof *v);
    if (!v) return no_memory(s);
    if (parent && parent->type == JSON_OBJECT && (status = member_name(s, v))) return status;
    if ((status = begin_value(s, v))) return status;
    v->end = s->at; /* of an array or object, until it is closed */
    v->parent = parent;
    if (parent) {
        if (parent->last)
            parent->last->next = v;
        else
            parent->first = v;
        parent->last = v;
        parent->count++;
    }
    *out = v;
    return LEAT_OK;
}

static bool is_open(const json_value *v) {
    return v->type == JSON_ARRAY || v->type == JSON_OBJECT;
}

/* Closes what ends at s->at, as many as there are. *v becomes the value that goes on with a comma, NULL at
 * the end of the document; *first whether the next thing is its first child. */
static leat_status after_value(parser *s, json_value **v, size_t *depth, bool fresh) {
    json_value *open = fresh && is_open(*v) ? *v : (*v)->parent;
    bool empty = fresh && is_open(*v);
    for (; open; open = open->parent) {
        skip_space(s);
        char c = s->at < s->n ? s->p[s->at] : '\0', close = open->type == JSON_ARRAY ? ']' : '}';
        if (c != close) {
            *v = open;
            if (empty) return LEAT_OK;
            if (s->at >= s->n) return bad(s, open->at, "what is opened here is not closed");
            if (c != ',')
                return bad(s, s->at,
                           open->type == JSON_ARRAY ? "a comma or ] is expected here"
                                                    : "a comma or } is expected here");
            s->at++;
            skip_space(s);
            return LEAT_OK;
        }
        s->at++;
        open->end = s->at;
        --*depth;
        empty = false;
    }
    *v = NULL;
    return LEAT_OK;
}

leat_status json_parse(arena *a, const char *name, const char *p, size_t n, const json_value **out,
                       leat_error *e) {
    parser s = {.a = a, .name = name, .p = p, .n = n, .e = e};
    json_value *root = NULL, *v = NULL;
    size_t depth = 0;
    *out = NULL;
    skip_space(&s);
    do {
        leat_status status = add_value(&s, v, &v);
        if (status) return status;
        if (!root) root = v;
        if (is_open(v) && ++depth > JSON_DEPTH_MAX)
            return bad_code(&s, v->at, LEAT_E_LIMIT, "nested too deeply");
        if ((status = after_value(&s, &v, &depth, true))) return status;
        skip_space(&s);
    } while (v);
    skip_space(&s);
    if (s.at < s.n) return bad(&s, s.at, "the document has ended, but the text goes on");
    *out = root;
    return LEAT_OK;
}

const json_value *json_get(const json_value *v, const char *key) {
    const json_value *found = NULL;
    if (!v || v->type != JSON_OBJECT) return NULL;
    for (const json_value *m = v->first; m; m = m->next)
        if (str_eq(m->key, key)) found = m;
    return found;
}

/* ---- writing ---- */

typedef struct sink {
    char *out;
    size_t n, capacity;
} sink;

static void put(sink *k, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++, k->n++)
        if (k->n < k->capacity) k->out[k->n] = p[i];
}

static void put_u(sink *k, uint32_t unit) {
    char text[8];
    put(k, text, (size_t)snprintf(text, sizeof text, "\\u%04x", (unsigned)(unit & 0xFFFF)));
}

size_t json_quote(const char *p, size_t n, bool ascii, char *out, size_t capacity) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    sink k = {out, 0, capacity};
    put(&k, "\"", 1);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = utf8_decode(p + i, n - i, &cp);
        const char *short_form = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
        if (cp >= UTF8_INCOMPLETE)
            ascii ? put_u(&k, 0xFFFD) : put(&k, "\xEF\xBF\xBD", 3);
        else if (short_form)
            put(&k, (char[]){'\\', to[short_form - from]}, 2);
        else if (cp < 0x20)
            put_u(&k, cp);
        else if (cp < 0x80 || !ascii)
            put(&k, p + i, length);
        else if (cp < 0x10000)
            put_u(&k, cp);
        else {
            put_u(&k, 0xD800 + ((cp - 0x10000) >> 10));
            put_u(&k, 0xDC00 + ((cp - 0x10000) & 0x3FF));
        }
        i += length;
    }
    put(&k, "\"", 1);
    return k.n;
}
