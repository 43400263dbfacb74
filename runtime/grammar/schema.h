/* What schema.c (which schema means what) shares with schema_text.c (how strings and numbers
 * that a schema describes are spelled). Nobody else includes it. */
#ifndef LEAT_RUNTIME_GRAMMAR_SCHEMA_H
#define LEAT_RUNTIME_GRAMMAR_SCHEMA_H

#include "tree.h"
#include "runtime/text/json.h"

enum { VIEW_PARTS_MAX = 64 };

/* Several schemas that all have to hold: one, what it refers to, its allOf, and whatever was added. */
typedef struct schema_view {
    const json_value *part[VIEW_PARTS_MAX];
    uint8_t chosen[VIEW_PARTS_MAX]; /* bit 0: an alternative of its anyOf was added as a part; 1: of oneOf */
    size_t n;
} schema_view;

typedef struct schema {
    grammar_tree *t;
    const char *text;
    size_t n;
    const json_value *root;
    struct schema_rule {
        const json_value *schema;
        uint32_t rule;
    } * rules; /* of what is referred to; their bodies are made in this order */
    size_t n_rules, rules_room;
    /* of any JSON, made when first asked for; rule + 1 */
    uint32_t any, any_object, any_array, any_string, space;
} schema;

/* Fails at the place of a value; returns 0. */
uint32_t schema_fail(schema *s, leat_status status, const json_value *at, const char *what);

/* The keyword in whichever part has it, NULL: in none. `after`: the next one from behind that part. */
const json_value *view_get(const schema_view *v, const char *keyword, size_t *part);

const json_value *view_any(const schema_view *v, const char *keyword); /* the first there is */
/* Adds a schema, what it refers to, and its allOf. */
void view_add(schema *s, schema_view *v, const json_value *part, unsigned depth);
/* A node for the JSON of a schema; of all of a view. */
uint32_t schema_node(schema *s, const json_value *value, unsigned depth);
uint32_t schema_view_node(schema *s, const schema_view *v, unsigned depth);

/* ---- schema_parts.c ---- */

uint32_t schema_any(schema *s); /* any JSON */
uint32_t schema_array(schema *s, const schema_view *v, unsigned depth);
uint32_t schema_object(schema *s, const schema_view *v, unsigned depth);
const json_value *schema_member(const json_value *x, str name); /* the last with that name; x may be NULL */

/* ---- schema_text.c ---- */

uint32_t schema_quoted(schema *s, str text); /* as a JSON string, with its quotes */
uint32_t schema_literal(schema *s, const json_value *value, unsigned depth);
uint32_t schema_character(schema *s); /* one of a JSON string, in any spelling */
uint32_t schema_string(schema *s, const schema_view *v);
uint32_t schema_number(schema *s, const schema_view *v, bool integer);

#endif
