/* How values look: str() and repr() as Python writes them, or as huggingface.js does, and JSON as json.dumps
 * writes it. All of it goes on top of the output of the run. Recursion is bounded by TEMPLATE_VALUE_DEPTH. */
#include <math.h>
#include <string.h>

#include "runtime/text/number.h"
#include "impl.h"
#include "unicode_case.h"
#include "runtime/text/utf8.h"

static bool put_word(run *r, const char *s) {
    return put_bytes(r, s, strlen(s), false);
}

static bool put_float(run *r, double d) {
    char digits[NUMBER_BYTES];
    return put_bytes(r, digits, number_repr(d, digits), false);
}

static bool hidden(uint32_t cp) {
    size_t low = 0, high = unicode_hidden_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (unicode_hidden[middle].last < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return low < unicode_hidden_count && unicode_hidden[low].first <= cp;
}

static bool content_at(const text *s, size_t i) {
    return s->marks ? s->marks[i] : s->content;
}

static bool put_escape(run *r, bool content, const char *format, unsigned v) {
    size_t from = r->n_out;
    if (!put_format(r, format, v)) return false;
    memset(r->marks + from, content, r->n_out - from);
    return true;
}

/* repr() of a string. */
static bool put_quoted(run *r, const text *s) {
    bool single = memchr(s->p, '\'', s->n) != NULL, both = single && memchr(s->p, '"', s->n);
    char quote = single && !both ? '"' : '\'';
    if (!put_bytes(r, &quote, 1, false)) return false;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        size_t length = utf8_decode(s->p + i, s->n - i, &cp);
        bool content = content_at(s, i), ok;
        if (cp == '\\' || cp == (unsigned char)quote)
            ok = put_bytes(r, "\\", 1, content) && put_range(r, s, i, 1);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            ok = put_bytes(r, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t", 2, content);
        else if (!hidden(cp))
            ok = put_range(r, s, i, length);
        else
            ok = put_escape(r, content, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
        if (!ok) return false;
        i += length;
    }
    return put_bytes(r, &quote, 1, false);
}

/* The string in JSON's quotes. */
static bool put_json_string(run *r, const text *s, bool ascii) {
    if (!put_bytes(r, "\"", 1, false)) return false;
    for (size_t i = 0; i < s->n;) {
        size_t length = 1, plain = i;
        uint32_t cp;
        /* a stretch without anything to escape */
        while (plain < s->n && (unsigned char)s->p[plain] >= 0x20 && s->p[plain] != '"' &&
               s->p[plain] != '\\' && !(ascii && (unsigned char)s->p[plain] >= 0x80))
            plain++;
        if (plain > i) {
            if (!put_range(r, s, i, plain - i)) return false;
            i = plain;
            continue;
        }
        length = utf8_decode(s->p + i, s->n - i, &cp);
        char quoted[16];
        size_t n = json_quote(s->p + i, length, ascii, quoted, sizeof quoted);
        if (!put_bytes(r, quoted + 1, n - 2, content_at(s, i))) return false;
        i += length;
    }
    return put_bytes(r, "\"", 1, false);
}

static bool put_items(run *r, const list *l, const char *open, const char *close, unsigned depth) {
    if (!put_word(r, open)) return false;
    for (size_t i = 0; i < l->n; i++)
        if ((i && !put_word(r, ", ")) || !put_repr(r, l->v[i], depth + 1)) return false;
    if (l->kind == TUPLE && l->n == 1 && !r->js && !put_word(r, ",")) return false;
    return put_word(r, close);
}

static bool put_list(run *r, const list *l, unsigned depth) {
    if (r->js) return put_items(r, l, "[", "]", depth);
    switch (l->kind) {
    case LIST: return put_items(r, l, "[", "]", depth);
    case TUPLE: return put_items(r, l, "(", ")", depth);
    case DICT_KEYS: return put_items(r, l, "dict_keys([", "])", depth);
    case DICT_VALUES: return put_items(r, l, "dict_values([", "])", depth);
    case DICT_ITEMS: return put_items(r, l, "dict_items([", "])", depth);
    case GENERATOR: return put_word(r, "<generator object>");
    case RANGE:
        return put_format(r, l->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                          (long long)l->start, (long long)l->stop, (long long)l->step);
    }
    return false;
}

static bool put_dict(run *r, const dict *o, unsigned depth) {
    if (!put_word(r, "{")) return false;
    for (size_t i = 0; i < o->n; i++)
        if ((i && !put_word(r, ", ")) || !put_repr(r, o->e[i].key, depth + 1) || !put_word(r, ": ") ||
            !put_repr(r, o->e[i].v, depth + 1))
            return false;
    return put_word(r, "}");
}

bool put_repr(run *r, value v, unsigned depth) {
    if (depth > TEMPLATE_VALUE_DEPTH)
        return run_error(r, LEAT_E_LIMIT, "a value is nested too deeply to be printed");
    if (!run_step(r, 1)) return false;
    switch ((value_type)v.type) {
    case V_UNDEFINED:
    case V_MISSING: return put_word(r, r->js ? "undefined" : "Undefined");
    case V_NONE: return put_word(r, r->js ? "null" : "None");
    case V_BOOL: return put_word(r, r->js ? (v.b ? "true" : "false") : v.b ? "True" : "False");
    case V_INT: return put_format(r, "%lld", (long long)v.i);
    case V_FLOAT: return put_float(r, v.d);
    case V_STRING: return r->js ? put_json_string(r, v.s, false) : put_quoted(r, v.s);
    case V_LIST: return put_list(r, v.l, depth);
    case V_DICT: return put_dict(r, v.o, depth);
    case V_NAMESPACE: return put_word(r, "<Namespace ") && put_dict(r, v.o, depth) && put_word(r, ">");
    case V_MACRO: return put_format(r, "<Macro '%.100s'>", v.m->def->name->text.p);
    case V_LOOP: return put_format(r, "<LoopContext %zu/%zu>", v.loop->at + 1, v.loop->n);
    default: return put_format(r, "<%s object>", value_type_name(v));
    }
}

bool put_value(run *r, value v) {
    if (v.type == V_STRING) return put_text(r, v.s);
    if (v.type == V_UNDEFINED || v.type == V_MISSING || (r->js && v.type == V_NONE)) return true;
    return put_repr(r, v, 0);
}

bool value_text(run *r, value v, const text **out) {
    size_t from = r->n_out;
    value s;
    if (v.type == V_STRING) {
        *out = v.s;
        return true;
    }
    if (!put_value(r, v) || !take_text(r, from, &s)) return false;
    *out = s.s;
    return true;
}

/* ---- json.dumps ---- */

typedef struct json_style {
    const value *indent;
    const text *item, *key;
    bool ascii, sort;
} json_style;

static bool put_any_json(run *r, value v, const json_style *style, unsigned depth);

static bool json_newline(run *r, const json_style *style, unsigned depth) {
    if (!style->indent) return true;
    if (!put_word(r, "\n")) return false;
    for (unsigned i = 0; i < depth; i++) {
        if (style->indent->type == V_STRING) {
            if (!put_text(r, style->indent->s)) return false;
            continue;
        }
        for (int64_t k = 0; k < style->indent->i; k++)
            if (!put_word(r, " ")) return false;
    }
    return true;
}

/* Keys become strings: True is "true", 1 is "1". */
static bool json_key(run *r, value key, const json_style *style) {
    switch ((value_type)key.type) {
    case V_STRING: return put_json_string(r, key.s, style->ascii);
    case V_NONE:
    case V_BOOL:
    case V_INT:
    case V_FLOAT: return put_word(r, "\"") && put_any_json(r, key, style, 0) && put_word(r, "\"");
    default:
        return run_error(r, LEAT_E_TEMPLATE, "keys must be str, int, float, bool or None, not %s",
                         value_type_name(key));
    }
}

/* The order of the members, by key if it is asked for (insertion sort of few, else as they are found
 * smallest). */
static bool key_order(run *r, const dict *o, bool sort, size_t **out) {
    size_t *order = run_alloc(r, o->n, sizeof *order);
    if (!order) return false;
    for (size_t i = 0; i < o->n; i++) {
        size_t at = i;
        order[i] = i;
        for (; sort && at > 0; at--) {
            bool less;
            if (!run_step(r, 16) || !value_less(r, o->e[i].key, o->e[order[at - 1]].key, &less)) return false;
            if (!less) break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    *out = order;
    return true;
}

static bool json_object(run *r, const dict *o, const json_style *style, unsigned depth) {
    size_t *order;
    if (o->n == 0) return put_word(r, "{}");
    if (!key_order(r, o, style->sort, &order) || !put_word(r, "{")) return false;
    for (size_t i = 0; i < o->n; i++) {
        const struct dict_entry *e = &o->e[order[i]];
        if ((i && !put_text(r, style->item)) || !json_newline(r, style, depth + 1) ||
            !json_key(r, e->key, style) || !put_text(r, style->key) ||
            !put_any_json(r, e->v, style, depth + 1))
            return false;
    }
    return json_newline(r, style, depth) && put_word(r, "}");
}

static bool json_array(run *r, const list *l, const json_style *style, unsigned depth) {
    if (!r->js && l->kind != LIST && l->kind != TUPLE)
        return run_error(r, LEAT_E_TEMPLATE, "Object of type %s is not JSON serializable",
                         value_type_name((value){.type = V_LIST, .l = (list *)(uintptr_t)l}));
    if (l->n == 0) return put_word(r, "[]");
    if (!put_word(r, "[")) return false;
    for (size_t i = 0; i < l->n; i++)
        if ((i && !put_text(r, style->item)) || !json_newline(r, style, depth + 1) ||
            !put_any_json(r, l->v[i], style, depth + 1))
            return false;
    return json_newline(r, style, depth) && put_word(r, "]");
}

static bool put_any_json(run *r, value v, const json_style *style, unsigned depth) {
    if (depth > TEMPLATE_VALUE_DEPTH)
        return run_error(r, LEAT_E_LIMIT, "a value is nested too deeply to be printed");
    if (!run_step(r, 1)) return false;
    switch ((value_type)v.type) {
    case V_NONE: return put_word(r, "null");
    case V_BOOL: return put_word(r, v.b ? "true" : "false");
    case V_INT: return put_format(r, "%lld", (long long)v.i);
    case V_FLOAT:
        if (isnan(v.d)) return put_word(r, "NaN");
        if (isinf(v.d)) return put_word(r, v.d < 0 ? "-Infinity" : "Infinity");
        return put_float(r, v.d);
    case V_STRING: return put_json_string(r, v.s, style->ascii);
    case V_LIST: return json_array(r, v.l, style, depth);
    case V_DICT: return json_object(r, v.o, style, depth);
    case V_UNDEFINED:
        if (r->js) return put_word(r, "null");
        break;
    default: break;
    }
    return run_error(r, LEAT_E_TEMPLATE, "Object of type %s is not JSON serializable", value_type_name(v));
}

bool put_json(run *r, value v, const value *indent, const text *item, const text *key, bool ascii, bool sort,
              unsigned depth) {
    json_style style = {indent, item, key, ascii, sort};
    return put_any_json(r, v, &style, depth);
}
