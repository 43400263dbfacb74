/* The syntax tree that GBNF grammars, JSON schemas and regular expressions become before they are compiled:
 * rules whose bodies are nodes. Nodes are named by index and may be shared. The first error sticks: after it
 * every function returns 0 (which is the empty text) and does nothing, so builders need not look after each
 * call. Written by gbnf.c, schema*.c and regex.c, read by nfa.c. */
#ifndef LEAT_RUNTIME_GRAMMAR_TREE_H
#define LEAT_RUNTIME_GRAMMAR_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/error.h"
#include "runtime/text/vocab.h"

enum {
    GRAMMAR_NODES_MAX = 1 << 20,
    GRAMMAR_RULES_MAX = 4096,
    GRAMMAR_TEXT_MAX = 16 << 20, /* bytes of a grammar */
    GRAMMAR_DEPTH_MAX = 120,     /* of groups in groups, of schemas in schemas */
    GRAMMAR_REPEAT_MAX = 100000, /* {m,n}; what it unfolds to counts against GRAMMAR_STATES_MAX */
    GRAMMAR_STATES_MAX = 1 << 18
};
#define GRAMMAR_FOREVER UINT32_MAX

typedef enum grammar_kind {
    NODE_EMPTY,
    NODE_BYTES,    /* bytes[a .. a + b) */
    NODE_CLASS,    /* one character out of ranges[a .. a + b); an empty class matches nothing */
    NODE_SEQ,      /* cells from a on, in order */
    NODE_ALT,      /* one of the cells from a on */
    NODE_REPEAT,   /* node a, b to c times (GRAMMAR_FOREVER: any number) */
    NODE_CALL,     /* rule a */
    NODE_TOKEN,    /* token a as a whole */
    NODE_NOT_TOKEN /* any other token */
} grammar_kind;

typedef struct grammar_node {
    grammar_kind kind;
    uint32_t a, b, c; /* SEQ, ALT: first and last cell, by index + 1; 0: none */
} grammar_node;

typedef struct grammar_cell {
    uint32_t node, next; /* index + 1; 0: last */
} grammar_cell;

typedef struct grammar_range {
    uint32_t low, high; /* code points, inclusive */
} grammar_range;

typedef struct grammar_rule {
    uint32_t body;
    size_t line, column;        /* of its name; 0: made up, has no place */
    uint32_t name, name_length; /* in bytes */
    bool defined;
} grammar_rule;

typedef struct grammar_tree {
    grammar_node *nodes;
    grammar_cell *cells;
    grammar_range *ranges;
    char *bytes;
    grammar_rule *rules;
    size_t n_nodes, n_cells, n_ranges, n_bytes, n_rules;
    size_t nodes_room, cells_room, ranges_room, bytes_room, rules_room;
    uint32_t root;      /* rule */
    const vocab *vocab; /* for names of tokens */
    leat_status status;
    leat_error *e;
} grammar_tree;

leat_status tree_open(grammar_tree *t, const vocab *v, leat_error *e);
void tree_close(grammar_tree *t);

/* Sets the error if there is none yet; returns 0. */
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
uint32_t
tree_fail(grammar_tree *t, leat_status status, const char *format, ...);

uint32_t tree_bytes(grammar_tree *t, const char *p, size_t n);
uint32_t tree_text(grammar_tree *t, const char *text); /* NUL-terminated */
/* Sorted and joined here, surrogates left out; `negated`: all characters but these. */
uint32_t tree_class(grammar_tree *t, const grammar_range *ranges, size_t n, bool negated);
uint32_t tree_list(grammar_tree *t, grammar_kind kind); /* an empty SEQ (the empty text) or ALT (nothing) */
void tree_append(grammar_tree *t, uint32_t list, uint32_t node);
uint32_t tree_seq(grammar_tree *t, size_t n, const uint32_t *nodes);
uint32_t tree_repeat(grammar_tree *t, uint32_t node, uint32_t min, uint32_t max);
uint32_t tree_call(grammar_tree *t, uint32_t rule);
uint32_t tree_token(grammar_tree *t, uint32_t token, bool negated);

/* A new rule, or with a name (n > 0) the one that has it, defined or not yet. Returns its index. */
uint32_t tree_rule(grammar_tree *t, const char *name, size_t n, size_t line, size_t column);
void tree_define(grammar_tree *t, uint32_t rule, uint32_t body);

/* ---- the languages: fill an open tree, set its root ---- */

void gbnf_parse(grammar_tree *t, const char *text, size_t n);
void regex_parse(grammar_tree *t, const char *pattern, size_t n);
void schema_parse(grammar_tree *t, const char *json, size_t n);

/* How regex_node makes a node of the characters it means: as they are, or as they stand in JSON strings. */
typedef uint32_t regex_class_fn(grammar_tree *t, const grammar_range *ranges, size_t n, bool negated);
/* A pattern as a node; search: it may match anywhere in the text, unless ^ and $ hold it. what: names it in
 * messages. */
uint32_t regex_node(grammar_tree *t, const char *pattern, size_t n, bool search, regex_class_fn *class_of,
                    const char *what);

#endif
