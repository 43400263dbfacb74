/* toolcall.h: small parsers for the notations of tool calls. Arguments are copied as the model wrote them
 * where they are JSON; other notations are rewritten. Nesting is bounded. */
#include "toolcall.h"

#include <stdio.h>
#include <string.h>

#include "runtime/text/json.h"
#include "runtime/text/number.h"

enum { NESTING_MAX = 32, NAME_MAX_BYTES = 256 };

str str_from(str s, size_t at) {
    if (!s.p || at == 0) return s;
    return at >= s.n ? (str){s.p + s.n, 0} : (str){s.p + at, s.n - at};
}

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

str str_trim(str s) {
    while (s.n && is_blank(*s.p)) s = str_from(s, 1);
    while (s.n && is_blank(s.p[s.n - 1])) s.n--;
    return s;
}

size_t str_find(str s, const char *what) {
    size_t n = strlen(what);
    for (size_t i = 0; n && i + n <= s.n; i++)
        if (s.p[i] == *what && !memcmp(s.p + i, what, n)) return i;
    return SIZE_MAX;
}

static bool starts(str s, const char *what) {
    size_t n = strlen(what);
    return s.n >= n && !memcmp(s.p, what, n);
}

static str copy_str(arena *a, str s) {
    return (str){arena_copy(a, s.p, s.n), s.n};
}

/* Names of functions: letters, digits and a few signs. */
static bool good_name(str s) {
    if (s.n == 0 || s.n > NAME_MAX_BYTES) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((unsigned char)c < 0x80 && !((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-' && c != '.' && c != ':' && c != '/')
            return false;
    }
    return true;
}

static tool_call *new_call(arena *a, str name, str arguments) {
    tool_call *c = good_name(name) ? arena_alloc(a, sizeof *c) : NULL;
    if (!c) return NULL;
    c->name = copy_str(a, name);
    c->arguments = copy_str(a, arguments);
    return c->name.p && c->arguments.p ? c : NULL;
}

/* The calls `more` behind the list; false if there are none. */
static bool append(tool_call **list, tool_call *more) {
    while (*list) list = &(*list)->next;
    *list = more;
    return more != NULL;
}

/* ---- JSON ---- */

/* How many bytes the JSON value at the start of s takes, by its brackets and strings; 0 if it does not end.
 */
static size_t json_extent(str s) {
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) return 0;
            if (--depth == 0) return i + 1;
        }
    }
    return 0;
}

tool_call *tool_call_named(arena *a, str name, str arguments) {
    const json_value *v;
    arguments = str_trim(arguments);
    if (arguments.n == 0) arguments = (str){"{}", 2};
    if (json_parse(a, "call", arguments.p, arguments.n, &v, NULL) || v->type != JSON_OBJECT) return NULL;
    return new_call(a, str_trim(name), arguments);
}

static tool_call *call_from_object(arena *a, const json_value *v, str source) {
    static const char *const keys[] = {"arguments", "parameters", "args"};
    const json_value *name = json_get(v, "name"), *inner = json_get(v, "function"), *arguments = NULL;
    if (inner && inner->type == JSON_OBJECT)
        return v->parent && v->parent->parent ? NULL : call_from_object(a, inner, source);
    if (inner && inner->type == JSON_STRING && !name) name = inner;
    if (!name || name->type != JSON_STRING) return NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !arguments; i++) arguments = json_get(v, keys[i]);
    if (!arguments) return new_call(a, name->text, (str){"{}", 2});
    if (arguments->type == JSON_STRING) return tool_call_named(a, name->text, arguments->text);
    if (arguments->type != JSON_OBJECT) return NULL;
    return new_call(a, name->text, (str){source.p + arguments->at, arguments->end - arguments->at});
}

tool_call *tool_calls_json(arena *a, str s) {
    tool_call *list = NULL;
    for (s = str_trim(s); s.n;) {
        const json_value *v;
        str one = {s.p, json_extent(s)};
        if (!one.n || json_parse(a, "call", one.p, one.n, &v, NULL)) return NULL;
        if (v->type == JSON_ARRAY) {
            for (const json_value *c = v->first; c; c = c->next)
                if (!append(&list, call_from_object(a, c, one))) return NULL;
        } else if (!append(&list, call_from_object(a, v, one))) {
            return NULL;
        }
        s = str_from(s, one.n);
        while (s.n && (is_blank(*s.p) || *s.p == ';' || *s.p == ',')) s = str_from(s, 1);
    }
    return list;
}

/* ---- Python ---- */

typedef struct python {
    arena *a;
    str s;
    char *out; /* room for all that s can become: each byte at most 6 */
    size_t n;
} python;

static void put(python *p, const char *s, size_t n) {
    memcpy(p->out + p->n, s, n);
    p->n += n;
}

static void blanks(python *p) {
    while (p->s.n && is_blank(*p->s.p)) p->s = str_from(p->s, 1);
}

static bool next_is(python *p, char c) {
    blanks(p);
    if (!p->s.n || *p->s.p != c) return false;
    p->s = str_from(p->s, 1);
    return true;
}

static bool word(python *p, const char *from, const char *to) {
    if (!starts(p->s, from)) return false;
    p->s = str_from(p->s, strlen(from));
    put(p, to, strlen(to));
    return true;
}

static bool python_string(python *p) {
    char quote = *p->s.p, *plain = arena_alloc(p->a, p->s.n);
    size_t i = 1, n = 0;
    if (!plain) return false;
    for (; i < p->s.n && p->s.p[i] != quote; i++) {
        char c = p->s.p[i];
        if (c == '\\' && i + 1 < p->s.n) {
            c = p->s.p[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        plain[n++] = c;
    }
    if (i >= p->s.n) return false;
    p->s = str_from(p->s, i + 1);
    size_t room = json_quote(plain, n, false, NULL, 0);
    p->n += json_quote(plain, n, false, p->out + p->n, room);
    return true;
}

static bool python_value(python *p, unsigned depth) {
    bool integer;
    blanks(p);
    if (!p->s.n || depth > NESTING_MAX) return false;
    char c = *p->s.p;
    if (c == '"' || c == '\'') return python_string(p);
    if (word(p, "True", "true") || word(p, "true", "true") || word(p, "False", "false") ||
        word(p, "false", "false") || word(p, "None", "null") || word(p, "null", "null"))
        return true;
    size_t digits = number_scan(p->s.p, p->s.n, true, &integer);
    if (digits) {
        put(p, p->s.p, digits);
        p->s = str_from(p->s, digits);
        return true;
    }
    if (c != '[' && c != '{' && c != '(') return false;
    char close = c == '[' ? ']' : c == '{' ? '}' : ')';
    p->s = str_from(p->s, 1);
    put(p, c == '{' ? "{" : "[", 1);
    for (bool first = true; !next_is(p, close); first = false) {
        if (!first) {
            if (!next_is(p, ',')) return false;
            if (next_is(p, close)) break;
            put(p, ",", 1);
        }
        if (c == '{') {
            blanks(p);
            if (!p->s.n || (*p->s.p != '"' && *p->s.p != '\'') || !python_string(p) || !next_is(p, ':'))
                return false;
            put(p, ":", 1);
        }
        if (!python_value(p, depth + 1)) return false;
    }
    put(p, c == '{' ? "}" : "]", 1);
    return true;
}

static size_t identifier(str s, bool dots) {
    size_t i = 0;
    while (i < s.n &&
           ((s.p[i] | 32) == '_' || s.p[i] == '_' || ((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'z') ||
            (i && s.p[i] >= '0' && s.p[i] <= '9') || (dots && i && (s.p[i] == '.' || s.p[i] == '-'))))
        i++;
    return i;
}

static tool_call *python_call(python *p) {
    blanks(p);
    str name = {p->s.p, identifier(p->s, true)};
    p->s = str_from(p->s, name.n);
    if (!name.n || !next_is(p, '(')) return NULL;
    p->n = 0;
    put(p, "{", 1);
    for (bool first = true; !next_is(p, ')'); first = false) {
        if (!first) {
            if (!next_is(p, ',')) return NULL;
            if (next_is(p, ')')) break;
            put(p, ",", 1);
        }
        blanks(p);
        str key = {p->s.p, identifier(p->s, false)};
        p->s = str_from(p->s, key.n);
        if (!key.n || !next_is(p, '=')) return NULL;
        p->n += json_quote(key.p, key.n, false, p->out + p->n, key.n + 2);
        put(p, ":", 1);
        if (!python_value(p, 0)) return NULL;
    }
    put(p, "}", 1);
    return new_call(p->a, name, (str){p->out, p->n});
}

tool_call *tool_calls_python(arena *a, str s) {
    tool_call *list = NULL;
    python p = {.a = a, .s = str_trim(s)};
    if (p.s.n > (size_t)1 << 20 || !(p.out = arena_alloc(a, 6 * p.s.n + 16))) return NULL;
    bool bracket = next_is(&p, '[');
    do {
        if (!append(&list, python_call(&p))) return NULL;
    } while (next_is(&p, ','));
    if (bracket && !next_is(&p, ']')) return NULL;
    blanks(&p);
    return p.s.n ? NULL : list;
}

/* ---- tags ---- */

/* Arguments that come as text: what reads as a JSON value other than a string is one, all else is a string.
 */
static bool put_argument(arena *a, python *p, str key, str value) {
    const json_value *v;
    str trimmed = str_trim(value);
    p->n += json_quote(key.p, key.n, false, p->out + p->n, 6 * key.n + 2);
    put(p, ":", 1);
    if (!json_parse(a, "argument", trimmed.p, trimmed.n, &v, NULL) && v->type != JSON_STRING) {
        put(p, trimmed.p, trimmed.n);
        return true;
    }
    if (value.n && *value.p == '\n') value = str_from(value, 1);
    if (value.n && value.p[value.n - 1] == '\n') value.n--;
    p->n += json_quote(value.p, value.n, false, p->out + p->n, 6 * value.n + 2);
    return true;
}

/* Up to `close`; moves *s behind it. */
static bool upto(str *s, const char *close, str *out) {
    size_t at = str_find(*s, close);
    if (at == SIZE_MAX) return false;
    *out = (str){s->p, at};
    *s = str_from(*s, at + strlen(close));
    return true;
}

static bool skip(str *s, const char *what) {
    if (!starts(*s, what)) return false;
    *s = str_from(*s, strlen(what));
    return true;
}

tool_call *tool_calls_tags(arena *a, str s) {
    python p = {.a = a};
    str name, key, value;
    bool first = true;
    s = str_trim(s);
    if (s.n > (size_t)1 << 20 || !(p.out = arena_alloc(a, 7 * s.n + 64))) return NULL;
    bool coder = skip(&s, "<function=");
    put(&p, "{", 1);
    if (coder) {
        if (!upto(&s, ">", &name)) return NULL;
    } else {
        size_t at = str_find(s, "<arg_key>");
        name = str_trim((str){s.p, at == SIZE_MAX ? s.n : at});
        s = str_from(s, at == SIZE_MAX ? s.n : at);
    }
    for (s = str_trim(s); skip(&s, coder ? "<parameter=" : "<arg_key>"); s = str_trim(s), first = false) {
        if (!upto(&s, coder ? ">" : "</arg_key>", &key)) return NULL;
        if (!coder) {
            s = str_trim(s);
            if (!skip(&s, "<arg_value>")) return NULL;
        }
        if (!upto(&s, coder ? "</parameter>" : "</arg_value>", &value)) return NULL;
        if (!first) put(&p, ",", 1);
        if (!put_argument(a, &p, str_trim(key), value)) return NULL;
    }
    put(&p, "}", 1);
    if (coder) skip(&s, "</function>");
    return str_trim(s).n ? NULL : new_call(a, str_trim(name), (str){p.out, p.n});
}

/* ---- Mistral, DeepSeek ---- */

tool_call *tool_calls_mistral(arena *a, str s) {
    tool_call *list = NULL;
    s = str_trim(s);
    if (starts(s, "[{") || starts(s, "{") || starts(s, "[\n") || starts(s, "[ "))
        return tool_calls_json(a, s);
    for (; s.n; s = str_trim(s)) {
        str name;
        size_t brace = str_find(s, "{"), marker = str_find(s, "[ARGS]");
        if (brace == SIZE_MAX) return NULL;
        size_t end = marker != SIZE_MAX && marker < brace ? marker : brace;
        name = (str){s.p, end};
        size_t call_id = str_find(name, "[CALL_ID]");
        if (call_id != SIZE_MAX) name.n = call_id;
        s = str_from(s, brace);
        size_t n = json_extent(s);
        if (!n || !append(&list, tool_call_named(a, name, (str){s.p, n}))) return NULL;
        s = str_trim(str_from(s, n));
        skip(&s, "[TOOL_CALLS]");
    }
    return list;
}

tool_call *tool_calls_deepseek(arena *a, str s) {
    static const char begin[] = u8"<\uFF5Ctool\u2581call\u2581begin\uFF5C>",
                      end[] = u8"<\uFF5Ctool\u2581call\u2581end\uFF5C>",
                      separator[] = u8"<\uFF5Ctool\u2581sep\uFF5C>";
    bool kimi = starts(str_trim(s), "<|tool_call_begin|>");
    tool_call *list = NULL;
    for (s = str_trim(s); s.n; s = str_trim(s)) {
        str one, name;
        if (!skip(&s, kimi ? "<|tool_call_begin|>" : begin) ||
            !upto(&s, kimi ? "<|tool_call_end|>" : end, &one) ||
            !upto(&one, kimi ? "<|tool_call_argument_begin|>" : separator, &name))
            return NULL;
        size_t fence = str_find(one, "```json");
        if (!kimi && fence != SIZE_MAX &&
            fence <= NAME_MAX_BYTES) { /* "function", then the name and a block of JSON */
            name = (str){one.p, fence};
            one = str_from(one, fence + 7);
            size_t close = one.n;
            while (close >= 3 && memcmp(one.p + close - 3, "```", 3) != 0) close--;
            if (close < 3) return NULL;
            one.n = close - 3;
        }
        name = str_trim(name);
        if (kimi) { /* functions.name:0 */
            skip(&name, "functions.");
            size_t colon = str_find(name, ":");
            if (colon != SIZE_MAX) name.n = colon;
        }
        if (!append(&list, tool_call_named(a, name, one))) return NULL;
    }
    return list;
}
