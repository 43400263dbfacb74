/* JSON schemas to a tree: the JSON texts that the schema accepts (or some of them, where the specification
 * leaves open what nobody asks for: objects have the properties in the schema's order, and further ones only
 * if additionalProperties says so). allOf, $ref and what stands beside them are joined before anything is
 * built; anyOf and oneOf become alternatives. What can't be kept is refused, with its place. Called by
 * grammar.c; spelling of strings and numbers is in schema_text.c. */
#include "schema.h"

#include <string.h>

#include "loader/alloc.h"

uint32_t schema_fail(schema *s, leat_status status, const json_value *at, const char *what) {
    size_t line, column;
    text_position(s->text, s->n, at ? at->at : 0, &line, &column);
    return tree_fail(s->t, status, "schema, line %zu, column %zu: %s", line, column, what);
}

const json_value *view_get(const schema_view *v, const char *keyword, size_t *part) {
    for (; *part < v->n; ++*part) {
        const json_value *found = json_get(v->part[*part], keyword);
        if (found) return found;
    }
    return NULL;
}

const json_value *view_any(const schema_view *v, const char *keyword) {
    size_t part = 0;
    return view_get(v, keyword, &part);
}

/* ---- views ---- */

/* The value that "#/a/b~1c" names. */
static const json_value *resolve(schema *s, const json_value *ref) {
    if (ref->type != JSON_STRING || !ref->text.n || ref->text.p[0] != '#') {
        schema_fail(s, LEAT_E_UNSUPPORTED, ref,
                    "only references within the schema (\"#/...\") are supported");
        return NULL;
    }
    const json_value *at = s->root;
    for (size_t i = 1; i < ref->text.n && at;) {
        char name[256];
        size_t n = 0;
        if (ref->text.p[i] != '/') break;
        for (i++; i < ref->text.n && ref->text.p[i] != '/' && n + 1 < sizeof name; i++) {
            const char *p = ref->text.p + i;
            char c = *p;
            if (c == '~' && i + 1 < ref->text.n && (p[1] == '0' || p[1] == '1')) {
                c = p[1] == '0' ? '~' : '/';
                i++;
            } else if (c == '%' && i + 2 < ref->text.n) {
                static const char hex[] = "0123456789abcdef0123456789ABCDEF";
                const char *high = strchr(hex, p[1]), *low = strchr(hex, p[2]);
                if (p[1] && p[2] && high && low) {
                    c = (char)((high - hex) % 16 * 16 + (low - hex) % 16);
                    i += 2;
                }
            }
            name[n++] = c;
        }
        name[n] = 0;
        if (at->type == JSON_ARRAY) {
            size_t index = 0;
            for (size_t k = 0; k < n && index < 1000000; k++) index = index * 10 + (size_t)(name[k] - '0');
            for (at = at->first; at && index; index--) at = at->next;
        } else {
            at = json_get(at, name);
        }
    }
    if (!at || (ref->text.n > 1 && ref->text.p[1] != '/'))
        schema_fail(s, LEAT_E_ARG, ref, "this reference leads nowhere");
    return s->t->status ? NULL : at;
}

/* Is the schema nothing but a reference, and notes? */
static const json_value *pure_reference(const json_value *v) {
    static const char *const notes[] = {"$ref",        "title",    "description", "default",    "examples",
                                        "$comment",    "readOnly", "writeOnly",   "deprecated", "$defs",
                                        "definitions", "$schema",  "$id",         "nullable"};
    const json_value *ref = v->type == JSON_OBJECT ? json_get(v, "$ref") : NULL;
    for (const json_value *k = v->first; ref && k; k = k->next) {
        bool note = false;
        for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) note |= str_eq(k->key, notes[i]);
        if (!note) return NULL;
    }
    return ref;
}

void view_add(schema *s, schema_view *v, const json_value *part, unsigned depth) {
    if (s->t->status) return;
    if (part->type != JSON_OBJECT && part->type != JSON_BOOL) {
        schema_fail(s, LEAT_E_ARG, part, "a schema must be an object, true or false");
        return;
    }
    if (v->n == VIEW_PARTS_MAX || depth > VIEW_PARTS_MAX) {
        schema_fail(s, LEAT_E_LIMIT, part, "too many schemas have to hold at once, or one contains itself");
        return;
    }
    v->part[v->n++] = part;
    const json_value *ref = json_get(part, "$ref"), *all = json_get(part, "allOf");
    if (ref) {
        const json_value *target = resolve(s, ref);
        if (target) view_add(s, v, target, depth + 1);
    }
    if (all && all->type != JSON_ARRAY) schema_fail(s, LEAT_E_ARG, all, "allOf must be a list");
    for (const json_value *x = all ? all->first : NULL; x; x = x->next) view_add(s, v, x, depth + 1);
}

/* The rule of a schema that is referred to; its body is made later, so that circles end. */
static uint32_t rule_of(schema *s, const json_value *target) {
    for (size_t i = 0; i < s->n_rules; i++)
        if (s->rules[i].schema == target) return s->rules[i].rule;
    if (s->n_rules == s->rules_room) {
        size_t room = s->rules_room ? 2 * s->rules_room : 16;
        struct schema_rule *grown = mem_resize(s->rules, s->rules_room, room, sizeof *grown);
        if (!grown) return tree_fail(s->t, LEAT_E_NOMEM, "out of memory for a schema");
        s->rules = grown;
        s->rules_room = room;
    }
    uint32_t rule = tree_rule(s->t, "", 0, 0, 0);
    s->rules[s->n_rules++] = (struct schema_rule){target, rule};
    return rule;
}

uint32_t schema_node(schema *s, const json_value *value, unsigned depth) {
    const json_value *ref = pure_reference(value);
    if (s->t->status) return 0;
    if (ref) {
        const json_value *target = resolve(s, ref);
        return target ? tree_call(s->t, rule_of(s, target)) : 0;
    }
    schema_view v = {.n = 0};
    view_add(s, &v, value, 0);
    return schema_view_node(s, &v, depth + 1);
}

/* ---- any schema ---- */

enum {
    T_NULL = 1,
    T_BOOLEAN = 2,
    T_INTEGER = 4,
    T_NUMBER = 8,
    T_STRING = 16,
    T_ARRAY = 32,
    T_OBJECT = 64,
    T_ALL = 127
};

static unsigned type_named(schema *s, const json_value *x) {
    static const char *const names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
    for (unsigned i = 0; i < 7 && x->type == JSON_STRING; i++)
        if (str_eq(x->text, names[i])) return i == 3 ? T_NUMBER | T_INTEGER : 1u << i;
    return schema_fail(s, LEAT_E_ARG, x,
                       "a type must be null, boolean, integer, number, string, array or object");
}

/* The types that all parts allow; what no part says follows from the keywords that are there. */
static unsigned types_of(schema *s, const schema_view *v) {
    static const struct {
        const char *keyword;
        unsigned type;
    } hints[] = {{"properties", T_OBJECT},
                 {"required", T_OBJECT},
                 {"additionalProperties", T_OBJECT},
                 {"items", T_ARRAY},
                 {"prefixItems", T_ARRAY},
                 {"minItems", T_ARRAY},
                 {"maxItems", T_ARRAY},
                 {"pattern", T_STRING},
                 {"minLength", T_STRING},
                 {"maxLength", T_STRING},
                 {"format", T_STRING},
                 {"minimum", T_NUMBER | T_INTEGER},
                 {"maximum", T_NUMBER | T_INTEGER},
                 {"exclusiveMinimum", T_NUMBER | T_INTEGER},
                 {"exclusiveMaximum", T_NUMBER | T_INTEGER}};
    unsigned types = T_ALL, hinted = 0;
    bool said = false, nullable = false;
    for (size_t i = 0; i < v->n && !s->t->status; i++) {
        const json_value *x = json_get(v->part[i], "type"), *null = json_get(v->part[i], "nullable");
        nullable |= null && null->type == JSON_BOOL && null->boolean; /* OpenAPI's */
        if (!x) continue;
        unsigned here = 0;
        if (x->type == JSON_ARRAY)
            for (const json_value *k = x->first; k && !s->t->status; k = k->next) here |= type_named(s, k);
        else
            here = type_named(s, x);
        types &= here;
        said = true;
    }
    for (size_t i = 0; !said && i < sizeof hints / sizeof *hints; i++)
        if (view_any(v, hints[i].keyword)) hinted |= hints[i].type;
    return (said ? types : hinted ? hinted : T_ALL) | (nullable ? T_NULL : 0);
}

static unsigned type_of(const json_value *x) {
    switch (x->type) {
    case JSON_NULL: return T_NULL;
    case JSON_BOOL: return T_BOOLEAN;
    case JSON_INT: return T_INTEGER;
    case JSON_FLOAT: return T_NUMBER;
    case JSON_STRING: return T_STRING;
    case JSON_ARRAY: return T_ARRAY;
    case JSON_OBJECT: return T_OBJECT;
    }
    return 0;
}

static bool equal(const json_value *a, const json_value *b) {
    bool numbers =
        (a->type == JSON_INT || a->type == JSON_FLOAT) && (b->type == JSON_INT || b->type == JSON_FLOAT);
    if (numbers) return a->real >= b->real && a->real <= b->real;
    if (a->type != b->type || a->count != b->count) return false;
    if (a->type == JSON_BOOL) return a->boolean == b->boolean;
    if (a->type == JSON_STRING) return a->text.n == b->text.n && !memcmp(a->text.p, b->text.p, a->text.n);
    const json_value *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next) { /* depth is that of the text: bounded by the parser */
        const json_value *other = a->type == JSON_OBJECT ? schema_member(b, x->key) : y;
        if (!other || !equal(x, other)) return false;
    }
    return true;
}

static bool allowed_by(const json_value *list, bool one, const json_value *x) {
    if (one) return equal(list, x);
    for (const json_value *k = list->first; k; k = k->next)
        if (equal(k, x)) return true;
    return false;
}

/* Values listed by const or enum: those of the first part that all the others list too. */
static uint32_t build_listed(schema *s, const schema_view *v, unsigned types) {
    static const char *const more[] = {"pattern",          "minLength", "maxLength",
                                       "minimum",          "maximum",   "exclusiveMinimum",
                                       "exclusiveMaximum", "minItems",  "maxItems"};
    uint32_t ways = tree_list(s->t, NODE_ALT);
    const json_value *first = NULL;
    bool one = false;
    for (size_t i = 0; i < v->n; i++) {
        const json_value *x = json_get(v->part[i], "const"), *list = json_get(v->part[i], "enum");
        if (list && list->type != JSON_ARRAY) return schema_fail(s, LEAT_E_ARG, list, "enum must be a list");
        if (!first && (x || list)) {
            one = x != NULL;
            first = x ? x : list;
        }
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (view_any(v, more[i]))
            return schema_fail(s, LEAT_E_UNSUPPORTED, view_any(v, more[i]),
                               "this keyword together with const or enum is not supported");
    for (const json_value *x = one ? first : first->first; x && !s->t->status; x = one ? NULL : x->next) {
        bool in = (type_of(x) & types) != 0;
        if (x->type == JSON_FLOAT && !(types & T_NUMBER)) in = false;
        for (size_t i = 0; i < v->n && in; i++) {
            const json_value *c = json_get(v->part[i], "const"), *list = json_get(v->part[i], "enum");
            in = (!c || allowed_by(c, true, x)) && (!list || allowed_by(list, false, x));
        }
        if (in) tree_append(s->t, ways, schema_literal(s, x, 0));
    }
    return ways;
}

/* What would have to be checked and can't be. */
static void refuse_unsupported(schema *s, const schema_view *v) {
    static const char *const keywords[] = {"not",
                                           "if",
                                           "patternProperties",
                                           "propertyNames",
                                           "contains",
                                           "uniqueItems",
                                           "multipleOf",
                                           "maxProperties",
                                           "dependentRequired",
                                           "dependentSchemas",
                                           "unevaluatedItems",
                                           "dependencies",
                                           "unevaluatedProperties",
                                           "$dynamicRef",
                                           "$recursiveRef"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        const json_value *x = view_any(v, keywords[i]);
        if (!x || (x->type == JSON_BOOL && !x->boolean && (keywords[i][0] == 'u'))) continue;
        if (x->type == JSON_OBJECT && !x->first && keywords[i][0] != 'n' && keywords[i][0] != 'i') continue;
        if (!strcmp(keywords[i], "multipleOf") && x->real >= 1 && x->real <= 1 &&
            !(types_of(s, v) & T_NUMBER))
            continue;
        char text[100] = "the keyword \"";
        strncat(text, keywords[i], 40);
        strncat(text, "\" can't be kept and is not supported", 50);
        schema_fail(s, LEAT_E_UNSUPPORTED, x, text);
        return;
    }
}

/* One way for each alternative of the first anyOf or oneOf not yet chosen from: it joins the other parts. */
static bool build_choice(schema *s, const schema_view *v, unsigned depth, uint32_t *out) {
    for (size_t i = 0; i < v->n; i++)
        for (unsigned k = 0; k < 2; k++) {
            const json_value *list = json_get(v->part[i], k ? "oneOf" : "anyOf");
            if (!list || v->chosen[i] >> k & 1) continue;
            *out = tree_list(s->t, NODE_ALT);
            if (list->type != JSON_ARRAY || !list->first) {
                schema_fail(s, LEAT_E_ARG, list, "anyOf and oneOf must be lists with something in them");
                return true;
            }
            bool alone = v->n == 1 && v->part[0]->count == 1; /* nothing beside it: a reference stays one */
            for (const json_value *x = list->first; x && !s->t->status; x = x->next) {
                schema_view with = *v;
                with.chosen[i] |= (uint8_t)(1u << k);
                for (size_t j = with.n; j < VIEW_PARTS_MAX; j++) with.chosen[j] = 0;
                if (!alone) view_add(s, &with, x, 0);
                tree_append(s->t, *out,
                            alone ? schema_node(s, x, depth) : schema_view_node(s, &with, depth + 1));
            }
            return true;
        }
    return false;
}

uint32_t schema_view_node(schema *s, const schema_view *v, unsigned depth) {
    grammar_tree *t = s->t;
    uint32_t ways;
    if (t->status) return 0;
    if (depth > GRAMMAR_DEPTH_MAX / 2)
        return schema_fail(s, LEAT_E_LIMIT, v->n ? v->part[0] : NULL, "schemas are nested too deep here");
    for (size_t i = 0; i < v->n; i++)
        if (v->part[i]->type == JSON_BOOL && !v->part[i]->boolean) return tree_list(t, NODE_ALT);
    refuse_unsupported(s, v);
    if (t->status || build_choice(s, v, depth, &ways)) return t->status ? 0 : ways;
    unsigned types = types_of(s, v);
    if (view_any(v, "const") || view_any(v, "enum")) return build_listed(s, v, types);
    static const char *const inside[] = {"properties", "required",         "additionalProperties",
                                         "items",      "prefixItems",      "minItems",
                                         "maxItems",   "pattern",          "minLength",
                                         "maxLength",  "format",           "minimum",
                                         "maximum",    "exclusiveMinimum", "exclusiveMaximum"};
    bool anything = types == T_ALL;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) anything &= !view_any(v, inside[i]);
    if (anything) return schema_any(s);
    ways = tree_list(t, NODE_ALT);
    if (types & T_NULL) tree_append(t, ways, tree_text(t, "null"));
    if (types & T_BOOLEAN) tree_append(t, ways, tree_text(t, "true"));
    if (types & T_BOOLEAN) tree_append(t, ways, tree_text(t, "false"));
    if (types & (T_NUMBER | T_INTEGER)) tree_append(t, ways, schema_number(s, v, !(types & T_NUMBER)));
    if (types & T_STRING) tree_append(t, ways, schema_string(s, v));
    if (types & T_ARRAY) tree_append(t, ways, schema_array(s, v, depth));
    if (types & T_OBJECT) tree_append(t, ways, schema_object(s, v, depth));
    return ways;
}

void schema_parse(grammar_tree *t, const char *json, size_t n) {
    enum { ARENA_MAX = 256 << 20 };
    arena memory;
    schema s = {.t = t, .text = json, .n = n};
    arena_init(&memory, ARENA_MAX);
    leat_status status = json_parse(&memory, "schema", json, n, &s.root, t->e);
    if (status) {
        if (!t->status) t->status = status;
    } else {
        t->root = rule_of(&s, s.root);
        for (size_t i = 0; i < s.n_rules && !t->status; i++) {
            schema_view v = {.n = 0};
            view_add(&s, &v, s.rules[i].schema, 0);
            uint32_t rule = s.rules[i].rule;
            tree_define(t, rule, schema_view_node(&s, &v, 0));
        }
    }
    mem_free(s.rules);
    arena_free(&memory);
}
