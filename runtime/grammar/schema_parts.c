/* Arrays and objects as JSON schemas describe them, and JSON of any kind. Called by schema.c, which
 * joins the schemas that have to hold together and calls back for what is inside. */
#include "schema.h"

#include <string.h>

#include "loader/alloc.h"

/* ---- small pieces ---- */

static uint32_t in_rule(schema *s, uint32_t body) {
    uint32_t rule = tree_rule(s->t, "", 0, 0, 0);
    tree_define(s->t, rule, body);
    return tree_call(s->t, rule);
}

/* White space between tokens of JSON: none, a blank, or a line end and indentation. */
static uint32_t space(schema *s) {
    grammar_tree *t = s->t;
    if (!s->space) {
        const grammar_range blanks[] = {{' ', ' '}, {'\t', '\t'}};
        uint32_t ways = tree_list(t, NODE_ALT);
        tree_append(t, ways, 0);
        tree_append(t, ways, tree_text(t, " "));
        tree_append(t, ways,
                    tree_seq(t, 2,
                             (const uint32_t[]){tree_text(t, "\n"),
                                                tree_repeat(t, tree_class(t, blanks, 2, false), 0, 20)}));
        s->space = tree_rule(t, "", 0, 0, 0) + 1;
        tree_define(t, s->space - 1, ways);
    }
    return tree_call(t, s->space - 1);
}

static uint32_t spaced(schema *s, const char *text) {
    return tree_seq(s->t, 2, (const uint32_t[]){tree_text(s->t, text), space(s)});
}

static uint32_t any_string(schema *s) {
    grammar_tree *t = s->t;
    if (!s->any_string) {
        uint32_t quote = tree_text(t, "\"");
        s->any_string = tree_rule(t, "", 0, 0, 0) + 1;
        tree_define(t, s->any_string - 1,
                    tree_seq(t, 3,
                             (const uint32_t[]){
                                 quote, tree_repeat(t, schema_character(s), 0, GRAMMAR_FOREVER), quote}));
    }
    return tree_call(t, s->any_string - 1);
}

/* open (item ("," item)*)? close, with `min` to `max` items. */
static uint32_t enclosed(schema *s, const char *open, uint32_t item, uint32_t min, uint32_t max,
                         const char *close) {
    grammar_tree *t = s->t;
    uint32_t list = tree_list(t, NODE_SEQ);
    tree_append(t, list, spaced(s, open));
    if (max > 0) {
        uint32_t more = tree_seq(t, 2, (const uint32_t[]){spaced(s, ","), item});
        uint32_t rest = tree_repeat(t, more, min > 1 ? min - 1 : 0, max == GRAMMAR_FOREVER ? max : max - 1);
        uint32_t items = tree_seq(t, 3, (const uint32_t[]){item, rest, space(s)});
        tree_append(t, list, tree_repeat(t, items, min > 0, 1));
    }
    tree_append(t, list, tree_text(t, close));
    return list;
}

static uint32_t any_object(schema *s) {
    if (!s->any_object) {
        s->any_object = tree_rule(s->t, "", 0, 0, 0) + 1;
        uint32_t member = tree_seq(s->t, 3, (const uint32_t[]){any_string(s), spaced(s, ":"), schema_any(s)});
        tree_define(s->t, s->any_object - 1, enclosed(s, "{", in_rule(s, member), 0, GRAMMAR_FOREVER, "}"));
    }
    return tree_call(s->t, s->any_object - 1);
}

uint32_t schema_any(schema *s) {
    grammar_tree *t = s->t;
    if (!s->any) {
        static const char *const words[] = {"true", "false", "null"};
        const schema_view none = {.n = 0};
        s->any = tree_rule(t, "", 0, 0, 0) + 1;
        uint32_t ways = tree_list(t, NODE_ALT);
        tree_append(t, ways, any_object(s));
        s->any_array = tree_rule(t, "", 0, 0, 0) + 1;
        tree_define(t, s->any_array - 1, enclosed(s, "[", tree_call(t, s->any - 1), 0, GRAMMAR_FOREVER, "]"));
        tree_append(t, ways, tree_call(t, s->any_array - 1));
        tree_append(t, ways, any_string(s));
        tree_append(t, ways, schema_number(s, &none, false));
        for (int i = 0; i < 3; i++) tree_append(t, ways, tree_text(t, words[i]));
        tree_define(t, s->any - 1, ways);
    }
    return tree_call(t, s->any - 1);
}

/* ---- arrays ---- */

static bool whole_number(schema *s, const schema_view *v, const char *keyword, bool largest, uint32_t *out) {
    for (size_t part = 0, found = 0; part < v->n; part++) {
        const json_value *x = view_get(v, keyword, &part);
        if (!x) break;
        if (x->type != JSON_INT || x->integer < 0 || x->integer > GRAMMAR_REPEAT_MAX)
            return schema_fail(s, LEAT_E_ARG, x, "this must be a whole number from 0 to 100000"), false;
        uint32_t value = (uint32_t)x->integer;
        if (!found++ || (largest ? value > *out : value < *out)) *out = value;
    }
    return true;
}

/* The one part that says what items are: several would have to be joined item by item. */
static const json_value *only_one(schema *s, const schema_view *v, const char *keyword) {
    size_t part = 0;
    const json_value *x = view_get(v, keyword, &part), *other;
    part++;
    if (x && (other = view_get(v, keyword, &part)))
        schema_fail(s, LEAT_E_UNSUPPORTED, other,
                    "this keyword in two schemas that both have to hold is not supported");
    return x;
}

uint32_t schema_array(schema *s, const schema_view *v, unsigned depth) {
    grammar_tree *t = s->t;
    uint32_t min = 0, max = GRAMMAR_FOREVER;
    const json_value *items = only_one(s, v, "items"), *prefix = only_one(s, v, "prefixItems");
    if (!prefix && items && items->type == JSON_ARRAY) { /* until draft 2019 */
        prefix = items;
        items = only_one(s, v, "additionalItems");
    }
    if (!whole_number(s, v, "minItems", true, &min) || !whole_number(s, v, "maxItems", false, &max) ||
        t->status)
        return 0;
    if (max < min) return schema_fail(s, LEAT_E_ARG, v->part[0], "minItems is more than maxItems");
    bool none = items && items->type == JSON_BOOL && !items->boolean;
    if (!prefix || !prefix->first) {
        if (none) return min ? tree_list(t, NODE_ALT) : enclosed(s, "[", 0, 0, 0, "]");
        uint32_t item = max == 0 ? 0 : items ? in_rule(s, schema_node(s, items, depth)) : schema_any(s);
        return enclosed(s, "[", item, min, max, "]");
    }
    if (prefix->type != JSON_ARRAY) return schema_fail(s, LEAT_E_ARG, prefix, "prefixItems must be a list");
    uint32_t list = tree_list(t, NODE_SEQ), n = 0;
    tree_append(t, list, spaced(s, "["));
    for (const json_value *x = prefix->first; x && n < max && !t->status; x = x->next, n++) {
        if (n) tree_append(t, list, spaced(s, ","));
        tree_append(t, list, schema_node(s, x, depth));
    }
    if (n < max && !none && (items || min > n)) {
        uint32_t item = items ? in_rule(s, schema_node(s, items, depth)) : schema_any(s);
        uint32_t more = tree_seq(t, 2, (const uint32_t[]){spaced(s, ","), item});
        tree_append(t, list,
                    tree_repeat(t, more, min > n ? min - n : 0, max == GRAMMAR_FOREVER ? max : max - n));
    } else if (min > n) {
        return schema_fail(s, LEAT_E_ARG, v->part[0], "minItems is more than there may be");
    }
    tree_append(t, list, space(s));
    tree_append(t, list, tree_text(t, "]"));
    return list;
}

/* ---- objects ---- */

enum { PROPERTIES_MAX = 1024, NAME_DEPTH_MAX = 32 };

typedef struct property {
    str name;
    bool required;
    uint32_t member; /* node: name, colon, value */
} property;

typedef struct object {
    property *list;
    size_t n;
} object;

static property *find_property(object *o, str name) {
    for (size_t i = 0; i < o->n; i++)
        if (o->list[i].name.n == name.n && !memcmp(o->list[i].name.p, name.p, name.n)) return &o->list[i];
    return NULL;
}

static void add_property(schema *s, object *o, const json_value *at, str name, bool required) {
    property *p = find_property(o, name);
    if (!p && o->n == PROPERTIES_MAX) schema_fail(s, LEAT_E_LIMIT, at, "this object has too many properties");
    if (s->t->status) return;
    if (!p) {
        p = &o->list[o->n++];
        *p = (property){.name = name};
    }
    p->required |= required;
}

const json_value *schema_member(const json_value *x, str name) {
    const json_value *found = NULL;
    for (x = x ? x->first : NULL; x; x = x->next)
        if (x->key.n == name.n && !memcmp(x->key.p, name.p, name.n)) found = x;
    return found;
}

/* All of some schemas; `all` has not been looked into. One alone may be a reference, which then becomes a
 * call. */
static uint32_t build_all(schema *s, const schema_view *all, unsigned depth) {
    schema_view v = {.n = 0};
    if (!all->n) return schema_any(s);
    if (all->n == 1) return schema_node(s, all->part[0], depth);
    for (size_t i = 0; i < all->n; i++) view_add(s, &v, all->part[i], 0);
    return schema_view_node(s, &v, depth + 1);
}

/* What all parts say of a property. False: one of them rules it out. */
static bool property_view(schema *s, const schema_view *v, str name, schema_view *out) {
    out->n = 0;
    for (size_t i = 0; i < v->n && !s->t->status; i++) {
        const json_value *x = schema_member(json_get(v->part[i], "properties"), name);
        if (!x) x = json_get(v->part[i], "additionalProperties");
        if (!x) continue;
        if (x->type == JSON_BOOL && !x->boolean) return false;
        out->part[out->n++] = x;
    }
    return true;
}

/* Names of further members: without escapes, so that none of the names in the list can be spelled. `at`:
 * bytes that are equal in the names from `from` to `to`, which are sorted. */
static uint32_t other_names(schema *s, const property **sorted, size_t from, size_t to, size_t at) {
    grammar_tree *t = s->t;
    grammar_range used[4 + 128 + 1] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}, {0x7F, 0x7F}};
    size_t n_used = 4;
    uint32_t ways = tree_list(t, NODE_ALT);
    if (at > NAME_DEPTH_MAX) return ways; /* what begins like this name for so long is left out */
    bool is_name = from < to && sorted[from]->name.n == at;
    if (!is_name) tree_append(t, ways, 0); /* the name may end here */
    for (size_t i = from + is_name; i < to && !t->status;) {
        unsigned char c = (unsigned char)sorted[i]->name.p[at];
        size_t end = i;
        while (end < to && (unsigned char)sorted[end]->name.p[at] == c) end++;
        if (c >=
            0x80) { /* sorted: so are all that follow. Not to cut characters, nothing beyond ASCII goes on */
            used[n_used++] = (grammar_range){0x80, 0x10FFFF};
            break;
        }
        used[n_used++] = (grammar_range){c, c};
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            tree_append(t, ways,
                        tree_seq(t, 2,
                                 (const uint32_t[]){tree_bytes(t, (const char *)&c, 1),
                                                    other_names(s, sorted, i, end, at + 1)}));
        i = end;
    }
    uint32_t plain = tree_class(t, used, 4, true);
    tree_append(t, ways,
                tree_seq(t, 2,
                         (const uint32_t[]){tree_class(t, used, n_used, true),
                                            tree_repeat(t, plain, 0, GRAMMAR_FOREVER)}));
    return ways;
}

/* A further member, 0 if there may be none. */
static uint32_t other_member(schema *s, const schema_view *v, const object *o, unsigned depth) {
    grammar_tree *t = s->t;
    schema_view value = {.n = 0};
    bool asked = !view_any(v, "properties");
    for (size_t i = 0; i < v->n; i++) {
        const json_value *x = json_get(v->part[i], "additionalProperties");
        if (!x) continue;
        if (x->type == JSON_BOOL && !x->boolean) return 0;
        value.part[value.n++] = x;
        asked = true;
    }
    if (!asked || t->status) return 0;
    uint32_t what = build_all(s, &value, depth), quote = tree_text(t, "\"");
    if (!o->n) return in_rule(s, tree_seq(t, 3, (const uint32_t[]){any_string(s), spaced(s, ":"), what}));
    const property **sorted = mem_alloc(o->n, sizeof *sorted);
    if (!sorted) return tree_fail(t, LEAT_E_NOMEM, "out of memory for a schema");
    for (size_t i = 0; i < o->n; i++) {
        size_t j = i;
        for (; j > 0; j--) {
            str a = sorted[j - 1]->name, b = o->list[i].name;
            int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
            if (c < 0 || (c == 0 && a.n < b.n)) break;
            sorted[j] = sorted[j - 1];
        }
        sorted[j] = &o->list[i];
    }
    uint32_t name = tree_seq(t, 3, (const uint32_t[]){quote, other_names(s, sorted, 0, o->n, 0), quote});
    mem_free(sorted);
    return in_rule(s, tree_seq(t, 3, (const uint32_t[]){name, spaced(s, ":"), what}));
}

/* The members from list[i] on, each with a comma before it. */
static uint32_t further_members(schema *s, const object *o, size_t i, uint32_t other) {
    grammar_tree *t = s->t;
    uint32_t list = tree_list(t, NODE_SEQ);
    for (; i < o->n; i++) {
        uint32_t member = tree_seq(t, 2, (const uint32_t[]){spaced(s, ","), o->list[i].member});
        tree_append(t, list, o->list[i].required ? member : tree_repeat(t, member, 0, 1));
    }
    if (other)
        tree_append(
            t, list,
            tree_repeat(t, tree_seq(t, 2, (const uint32_t[]){spaced(s, ","), other}), 0, GRAMMAR_FOREVER));
    return list;
}

static uint32_t members(schema *s, const object *o, uint32_t other) {
    grammar_tree *t = s->t;
    size_t first = 0;
    while (first < o->n && !o->list[first].required) first++;
    if (first < o->n) { /* those before the first required one have their commas behind them */
        uint32_t list = tree_list(t, NODE_SEQ);
        for (size_t i = 0; i < first; i++)
            tree_append(
                t, list,
                tree_repeat(t, tree_seq(t, 2, (const uint32_t[]){o->list[i].member, spaced(s, ",")}), 0, 1));
        tree_append(t, list, o->list[first].member);
        tree_append(t, list, further_members(s, o, first + 1, other));
        tree_append(t, list, space(s));
        return list;
    }
    /* Any of them may be the first: one way for each, which go on with rules that they share. */
    uint32_t ways = tree_list(t, NODE_ALT), rest = in_rule(s, further_members(s, o, o->n, other));
    tree_append(t, ways, 0);
    if (other) tree_append(t, ways, tree_seq(t, 3, (const uint32_t[]){other, rest, space(s)}));
    for (size_t i = o->n; i-- > 0;) {
        tree_append(t, ways, tree_seq(t, 3, (const uint32_t[]){o->list[i].member, rest, space(s)}));
        uint32_t here = tree_seq(t, 2, (const uint32_t[]){spaced(s, ","), o->list[i].member});
        rest = in_rule(s, tree_seq(t, 2, (const uint32_t[]){tree_repeat(t, here, 0, 1), rest}));
    }
    return ways;
}

uint32_t schema_object(schema *s, const schema_view *v, unsigned depth) {
    grammar_tree *t = s->t;
    object o = {0};
    uint32_t node = 0, min = 0, n_required = 0;
    o.list = mem_alloc(PROPERTIES_MAX, sizeof *o.list);
    if (!o.list) return tree_fail(t, LEAT_E_NOMEM, "out of memory for a schema");
    for (size_t i = 0; i < v->n; i++) {
        const json_value *named = json_get(v->part[i], "properties"),
                         *required = json_get(v->part[i], "required");
        if (named && named->type != JSON_OBJECT)
            schema_fail(s, LEAT_E_ARG, named, "properties must be an object");
        if (required && required->type == JSON_BOOL) required = NULL; /* draft 3, on a property */
        if (required && required->type != JSON_ARRAY)
            schema_fail(s, LEAT_E_ARG, required, "required must be a list");
        if (t->status) goto done;
        for (const json_value *x = named ? named->first : NULL; x; x = x->next)
            add_property(s, &o, x, x->key, false);
    }
    for (size_t i = 0; i < v->n && !t->status; i++) {
        const json_value *required = json_get(v->part[i], "required");
        if (!required || required->type != JSON_ARRAY) continue;
        for (const json_value *x = required->first; x; x = x->next) {
            if (x->type != JSON_STRING)
                schema_fail(s, LEAT_E_ARG, x, "a required property must be named by a string");
            add_property(s, &o, x, x->text, true);
        }
    }
    if (!view_any(v, "properties") && !o.n && !view_any(v, "additionalProperties")) {
        node = any_object(s);
    } else {
        uint32_t other = other_member(s, v, &o, depth);
        size_t kept = 0;
        for (size_t i = 0; i < o.n && !t->status; i++) {
            schema_view value;
            property p = o.list[i];
            n_required += p.required;
            if (!property_view(s, v, p.name, &value)) {
                if (!p.required) continue;
                node = tree_list(t, NODE_ALT); /* required and ruled out: no object will do */
                goto done;
            }
            uint32_t what = build_all(s, &value, depth);
            p.member = in_rule(
                s, tree_seq(t, 3, (const uint32_t[]){schema_quoted(s, p.name), spaced(s, ":"), what}));
            o.list[kept++] = p;
        }
        o.n = kept;
        node = tree_seq(t, 3, (const uint32_t[]){spaced(s, "{"), members(s, &o, other), tree_text(t, "}")});
    }
    whole_number(s, v, "minProperties", true, &min);
    if (min > n_required)
        schema_fail(s, LEAT_E_UNSUPPORTED, view_any(v, "minProperties"),
                    "minProperties beyond the required ones is not supported");
done:
    mem_free(o.list);
    return node;
}
