/* Values of a template: making them, dicts, strings on the stack of the output, and what a loop can walk
 * over. Everything is in the arena of the run and immutable once made, but for namespaces, loops, cyclers and
 * joiners. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "loader/alloc.h"
#include "impl.h"
#include "runtime/text/utf8.h"

const value v_none = {.type = V_NONE}, v_missing = {.type = V_MISSING};

value v_bool(bool b) {
    return (value){.type = V_BOOL, .b = b, .i = b};
}
value v_int(int64_t i) {
    return (value){.type = V_INT, .i = i};
}
value v_float(double d) {
    return (value){.type = V_FLOAT, .d = d};
}

static bool string_value(run *r, text s, value *out) {
    text *kept = run_alloc(r, 1, sizeof *kept);
    if (!kept) return false;
    *kept = s;
    *out = (value){.type = V_STRING, .s = kept};
    return true;
}

bool v_static(run *r, const char *s, value *out) {
    return string_value(r, (text){.p = s, .n = strlen(s)}, out);
}

bool v_copy(run *r, const char *p, size_t n, bool content, value *out) {
    char *copy = arena_copy(&r->a, p, n);
    if (!copy) return run_no_memory(r);
    return string_value(r, (text){.p = copy, .n = n, .content = content}, out);
}

bool v_slice(run *r, const text *s, size_t from, size_t n, value *out) {
    return string_value(
        r,
        (text){.p = s->p + from, .n = n, .marks = s->marks ? s->marks + from : NULL, .content = s->content},
        out);
}

bool v_undefined(run *r, const char *hint, value *out) {
    undefined *u = run_alloc(r, 1, sizeof *u);
    if (!u) return false;
    u->hint = hint;
    *out = (value){.type = V_UNDEFINED, .u = u};
    return true;
}

bool v_undefined_name(run *r, str s, value *out) {
    undefined *u = run_alloc(r, 1, sizeof *u);
    if (!u) return false;
    u->name = s;
    *out = (value){.type = V_UNDEFINED, .u = u};
    return true;
}

bool v_undefined_in(run *r, value object, value key, value *out) {
    undefined *u = run_alloc(r, 1, sizeof *u);
    if (!u) return false;
    u->owner = value_type_name(object);
    if (key.type == V_STRING) {
        u->name = (str){key.s->p, key.s->n};
    } else {
        char shown[32];
        int n = snprintf(shown, sizeof shown, "%lld", key.type == V_INT ? (long long)key.i : 0);
        u->element = true;
        u->name = (str){arena_copy(&r->a, shown, (size_t)n), (size_t)n};
        if (!u->name.p) return run_no_memory(r);
    }
    *out = (value){.type = V_UNDEFINED, .u = u};
    return true;
}

const char *value_type_name(value v) {
    static const char *const lists[] = {"list",      "tuple",       "generator", "range",
                                        "dict_keys", "dict_values", "dict_items"};
    switch ((value_type)v.type) {
    case V_UNDEFINED:
    case V_MISSING: return "Undefined";
    case V_NONE: return "NoneType";
    case V_BOOL: return "bool";
    case V_INT: return "int";
    case V_FLOAT: return "float";
    case V_STRING: return "str";
    case V_LIST: return lists[v.l->kind];
    case V_DICT: return "dict";
    case V_NAMESPACE: return "Namespace";
    case V_MACRO: return "Macro";
    case V_LOOP: return "LoopContext";
    case V_CYCLER: return "Cycler";
    case V_JOINER: return "Joiner";
    case V_METHOD:
    case V_GLOBAL: return "function";
    }
    return "object";
}

/* ---- lists and dicts ---- */

bool v_list(run *r, list_kind kind, size_t n, value *out) {
    list *l = run_alloc(r, 1, sizeof *l);
    value *v = l && run_step(r, n) ? run_alloc(r, n, sizeof *v) : NULL;
    if (!v) return false;
    l->kind = kind;
    l->v = v;
    l->n = n;
    *out = (value){.type = V_LIST, .l = l};
    return true;
}

bool v_dict(run *r, value_type type, value *out) {
    dict *o = run_alloc(r, 1, sizeof *o);
    if (!o) return false;
    *out = (value){.type = (uint8_t)type, .o = o};
    return true;
}

static uint32_t hash_bytes(const char *p, size_t n) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h;
}

/* Equal keys have equal hashes: 1, 1.0 and True are one key. */
static bool hash_value(run *r, value v, unsigned depth, uint32_t *out) {
    double d;
    *out = 0;
    switch ((value_type)v.type) {
    case V_STRING: *out = hash_bytes(v.s->p, v.s->n); return true;
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
        value_number(v, &d);
        d += 0.0; /* -0.0 is 0.0 */
        *out = hash_bytes((const char *)&d, sizeof d);
        return true;
    case V_LIST:
        if (v.l->kind != TUPLE || depth > 8) break;
        *out = 7;
        for (size_t i = 0; i < v.l->n; i++) {
            uint32_t h;
            if (!hash_value(r, v.l->v[i], depth + 1, &h)) return false;
            *out = *out * 31 + h;
        }
        return true;
    case V_DICT: break;
    default: *out = v.type; return true;
    }
    return run_error(r, LEAT_E_TEMPLATE, "unhashable type: '%s'", value_type_name(v));
}

static bool same_key(run *r, value a, value b, bool *same) {
    if (a.type == V_STRING && b.type == V_STRING) {
        *same = a.s->n == b.s->n && !memcmp(a.s->p, b.s->p, a.s->n);
        return true;
    }
    return value_equal(r, a, b, same);
}

/* The index of the key, or SIZE_MAX. */
static bool dict_find(run *r, const dict *o, value key, uint32_t hash, size_t *out) {
    *out = SIZE_MAX;
    size_t at = o->slots ? hash & o->mask : 0;
    for (;; at = o->slots ? (at + 1) & o->mask : at + 1) {
        size_t i = o->slots ? o->slots[at] : at + 1 <= o->n ? at + 1 : 0;
        bool same;
        if (i == 0) return true;
        if (o->e[i - 1].hash != hash) continue;
        if (!same_key(r, o->e[i - 1].key, key, &same)) return false;
        if (same) {
            *out = i - 1;
            return true;
        }
        if (!run_step(r, 16)) return false; /* keys made to collide */
    }
}

static bool dict_grow(run *r, dict *o) {
    size_t capacity = o->capacity ? o->capacity * 2 : 4;
    struct dict_entry *e = run_alloc(r, capacity, sizeof *e);
    if (!e) return false;
    if (o->n) memcpy(e, o->e, o->n * sizeof *e);
    o->e = e;
    o->capacity = capacity;
    if (capacity < 16) return true;
    o->slots = run_alloc(r, capacity * 2, sizeof *o->slots);
    if (!o->slots) return false;
    o->mask = capacity * 2 - 1;
    for (size_t i = 0; i < o->n; i++) {
        size_t at = o->e[i].hash & o->mask;
        while (o->slots[at]) at = (at + 1) & o->mask;
        o->slots[at] = (uint32_t)i + 1;
    }
    return run_step(r, capacity);
}

bool dict_set(run *r, dict *o, value key, value v) {
    uint32_t hash;
    size_t i;
    if (!hash_value(r, key, 0, &hash) || !dict_find(r, o, key, hash, &i)) return false;
    if (i != SIZE_MAX) {
        o->e[i].v = v;
        return true;
    }
    if (o->n == o->capacity && !dict_grow(r, o)) return false;
    if (o->slots) {
        size_t at = hash & o->mask;
        while (o->slots[at]) at = (at + 1) & o->mask;
        o->slots[at] = (uint32_t)o->n + 1;
    }
    o->e[o->n++] = (struct dict_entry){key, v, hash};
    return true;
}

bool dict_get(run *r, const dict *o, value key, const value **out) {
    uint32_t hash;
    size_t i;
    if (!hash_value(r, key, 0, &hash) || !dict_find(r, o, key, hash, &i)) return false;
    *out = i == SIZE_MAX ? NULL : &o->e[i].v;
    return true;
}

const value *dict_get_str(const dict *o, const char *p, size_t n) {
    text s = {.p = p, .n = n};
    value key = {.type = V_STRING, .s = &s};
    size_t i;
    run unused = {.steps_max = UINT64_MAX};
    return dict_find(&unused, o, key, hash_bytes(p, n), &i) && i != SIZE_MAX ? &o->e[i].v : NULL;
}

/* Recursion is bounded by JSON_DEPTH_MAX. */
bool v_from_json(run *r, const json_value *j, bool content, value *out) {
    value key, v;
    size_t i = 0;
    switch (j->type) {
    case JSON_NULL: *out = v_none; return true;
    case JSON_BOOL: *out = v_bool(j->boolean); return true;
    case JSON_INT: *out = v_int(j->integer); return true;
    case JSON_FLOAT: *out = v_float(j->real); return true;
    case JSON_STRING: return string_value(r, (text){.p = j->text.p, .n = j->text.n, .content = content}, out);
    case JSON_ARRAY:
        if (!v_list(r, LIST, j->count, out)) return false;
        for (const json_value *c = j->first; c; c = c->next)
            if (!v_from_json(r, c, content, &out->l->v[i++])) return false;
        return true;
    case JSON_OBJECT:
        if (!v_dict(r, V_DICT, out)) return false;
        for (const json_value *c = j->first; c; c = c->next)
            if (!string_value(r, (text){.p = c->key.p, .n = c->key.n, .content = content}, &key) ||
                !v_from_json(r, c, content, &v) || !dict_set(r, out->o, key, v))
                return false;
        return true;
    }
    return false;
}

/* ---- iterating ---- */

static bool characters(run *r, const text *s, value **items, size_t *n) {
    value all;
    if (!v_list(r, LIST, text_length(s), &all) || !run_step(r, 4 * s->n)) return false;
    size_t k = 0;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        size_t length = utf8_decode(s->p + i, s->n - i, &cp);
        if (!v_slice(r, s, i, length, &all.l->v[k++])) return false;
        i += length;
    }
    *items = all.l->v;
    *n = all.l->n;
    return true;
}

bool value_iterate(run *r, value v, value **items, size_t *n) {
    *items = NULL;
    *n = 0;
    switch ((value_type)v.type) {
    case V_UNDEFINED: return true;
    case V_STRING: return characters(r, v.s, items, n);
    case V_LIST:
        if (v.l->kind == GENERATOR && !r->js) {
            if (v.l->used) return true;
            v.l->used = true;
        }
        *items = v.l->v;
        *n = v.l->n;
        return run_step(r, v.l->n);
    case V_DICT: {
        value keys;
        if (!v_list(r, LIST, v.o->n, &keys)) return false;
        for (size_t i = 0; i < v.o->n; i++) keys.l->v[i] = v.o->e[i].key;
        *items = keys.l->v;
        *n = keys.l->n;
        return true;
    }
    default: return run_error(r, LEAT_E_TEMPLATE, "'%s' object is not iterable", value_type_name(v));
    }
}

/* ---- strings on the stack ---- */

static bool make_room(run *r, size_t n) {
    if (n <= r->out_capacity - r->n_out) return true;
    if (n > r->out_max - r->n_out) return run_error(r, LEAT_E_LIMIT, "the template makes too long a text");
    size_t capacity = r->out_capacity ? r->out_capacity * 2 : 4096;
    while (capacity < r->n_out + n) capacity *= 2;
    char *out = mem_resize(r->out, r->n_out, capacity, 1);
    if (out) r->out = out;
    uint8_t *marks = out ? mem_resize(r->marks, r->n_out, capacity, 1) : NULL;
    if (!marks) {
        r->a.over_limit = false;
        return run_no_memory(r);
    }
    r->marks = marks;
    r->out_capacity = capacity;
    return true;
}

bool put_bytes(run *r, const char *p, size_t n, bool content) {
    if (!make_room(r, n) || !run_step(r, n)) return false;
    if (n == 0) return true;
    memcpy(r->out + r->n_out, p, n);
    memset(r->marks + r->n_out, content, n);
    r->n_out += n;
    return true;
}

bool put_range(run *r, const text *s, size_t from, size_t n) {
    if (!put_bytes(r, s->p + from, n, s->content)) return false;
    if (s->marks && n) memcpy(r->marks + r->n_out - n, s->marks + from, n);
    return true;
}

bool put_text(run *r, const text *s) {
    return put_range(r, s, 0, s->n);
}

bool put_code_point(run *r, uint32_t cp, bool content) {
    char bytes[4];
    return put_bytes(r, bytes, utf8_encode(cp, bytes), content);
}

bool put_format(run *r, const char *format, ...) {
    char made[400];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(made, sizeof made, format, args);
    va_end(args);
    return put_bytes(r, made, n < 0 ? 0 : (size_t)n < sizeof made ? (size_t)n : sizeof made - 1, false);
}

/* Uniform strings, the usual ones, need no marks. */
static bool keep_marks(run *r, const uint8_t *marks, size_t n, text *s) {
    s->content = n > 0 && marks[0];
    if (n == 0 || !memchr(marks, !marks[0], n)) return true;
    uint8_t *kept = run_alloc(r, n, 1);
    if (!kept) return false;
    memcpy(kept, marks, n);
    s->marks = kept;
    return true;
}

bool take_text(run *r, size_t from, value *out) {
    text s = {.n = r->n_out - from};
    if (s.n == 0) return v_static(r, "", out);
    char *copy = arena_alloc(&r->a, s.n + 1);
    if (!copy) return run_no_memory(r);
    if (s.n) memcpy(copy, r->out + from, s.n);
    s.p = copy;
    r->n_out = from;
    return keep_marks(r, r->marks + from, s.n, &s) && string_value(r, s, out);
}

/* Room behind a string, so that a text made longer again and again is not copied each time: whoever's string
 * ends where the room is used up to may go on there, all others have it for good. */
struct text_buffer {
    char *p;
    uint8_t *marks;
    size_t used, capacity;
};

static void copy_to(struct text_buffer *b, const text *s) {
    if (s->n) {
        memcpy(b->p + b->used, s->p, s->n);
        if (s->marks)
            memcpy(b->marks + b->used, s->marks, s->n);
        else
            memset(b->marks + b->used, s->content, s->n);
    }
    b->used += s->n;
}

bool text_concat(run *r, const text *a, const text *b, value *out) {
    enum { SHORT = 1024 };
    struct text_buffer *room = a->buffer;
    if (a->n + b->n > r->out_max) return run_error(r, LEAT_E_LIMIT, "the template makes too long a text");
    if (a->n + b->n < SHORT) {
        size_t from = r->n_out;
        return put_text(r, a) && put_text(r, b) && take_text(r, from, out);
    }
    if (!room || a->p != room->p || a->n != room->used || b->n > room->capacity - room->used) {
        if (!(room = run_alloc(r, 1, sizeof *room)) || !run_step(r, a->n)) return false;
        room->capacity = 2 * (a->n + b->n);
        if (!(room->p = run_alloc(r, room->capacity, 1)) || !(room->marks = run_alloc(r, room->capacity, 1)))
            return false;
        copy_to(room, a);
    }
    copy_to(room, b);
    return run_step(r, b->n) &&
           string_value(r, (text){.p = room->p, .n = room->used, .marks = room->marks, .buffer = room}, out);
}
