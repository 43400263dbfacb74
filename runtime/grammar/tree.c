/* Building the tree of tree.h. Bounded in size; all memory goes with tree_close. */
#include "tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "loader/alloc.h"
#include "runtime/text/utf8.h"

leat_status tree_open(grammar_tree *t, const vocab *v, leat_error *e) {
    *t = (grammar_tree){.vocab = v, .e = e};
    error_set(e, LEAT_OK, "%s", "");
    t->nodes = mem_alloc(64, sizeof *t->nodes);
    if (!t->nodes) return t->status = error_set(e, LEAT_E_NOMEM, "out of memory for a grammar");
    t->nodes_room = 64;
    t->n_nodes = 1; /* the empty text */
    return LEAT_OK;
}

void tree_close(grammar_tree *t) {
    mem_free(t->nodes);
    mem_free(t->cells);
    mem_free(t->ranges);
    mem_free(t->bytes);
    mem_free(t->rules);
}

uint32_t tree_fail(grammar_tree *t, leat_status status, const char *format, ...) {
    if (t->status) return 0;
    char text[256];
    va_list args;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0) text[0] = 0;
    va_end(args);
    t->status = error_set(t->e, status, "%s", text);
    return 0;
}

/* Room for `more` further elements; doubles, so that appending is linear as a whole. */
static bool reserve(grammar_tree *t, void **array, size_t used, size_t *room, size_t more, size_t size,
                    size_t most) {
    if (t->status) return false;
    if (more > most || used > most - more) {
        tree_fail(t, LEAT_E_LIMIT, "the grammar is too large: it has more than %zu elements", most);
        return false;
    }
    if (used + more <= *room) return true;
    size_t wanted = *room < 32 ? 64 : 2 * *room;
    if (wanted < used + more) wanted = used + more;
    void *grown = mem_resize(*array, *room, wanted, size);
    if (!grown) {
        tree_fail(t, LEAT_E_NOMEM, "out of memory for a grammar");
        return false;
    }
    *array = grown;
    *room = wanted;
    return true;
}

static uint32_t add_node(grammar_tree *t, grammar_node node) {
    void *nodes = t->nodes;
    if (!reserve(t, &nodes, t->n_nodes, &t->nodes_room, 1, sizeof *t->nodes, GRAMMAR_NODES_MAX)) return 0;
    t->nodes = nodes;
    t->nodes[t->n_nodes] = node;
    return (uint32_t)t->n_nodes++;
}

static uint32_t add_bytes(grammar_tree *t, const char *p, size_t n) {
    void *bytes = t->bytes;
    if (!reserve(t, &bytes, t->n_bytes, &t->bytes_room, n, 1, 2 * (size_t)GRAMMAR_TEXT_MAX)) return 0;
    t->bytes = bytes;
    if (n) memcpy(t->bytes + t->n_bytes, p, n);
    t->n_bytes += n;
    return (uint32_t)(t->n_bytes - n);
}

uint32_t tree_bytes(grammar_tree *t, const char *p, size_t n) {
    if (!n) return 0;
    uint32_t at = add_bytes(t, p, n);
    return add_node(t, (grammar_node){.kind = NODE_BYTES, .a = at, .b = (uint32_t)n});
}

uint32_t tree_text(grammar_tree *t, const char *text) {
    return tree_bytes(t, text, strlen(text));
}

static void sort_ranges(grammar_range *r, size_t n) {
    for (size_t gap = n / 2; gap; gap /= 2) /* Shell's sort: no recursion, and lists are short */
        for (size_t i = gap; i < n; i++) {
            grammar_range x = r[i];
            size_t j = i;
            for (; j >= gap && r[j - gap].low > x.low; j -= gap) r[j] = r[j - gap];
            r[j] = x;
        }
}

static void push_range(grammar_tree *t, uint32_t low, uint32_t high) {
    void *ranges = t->ranges;
    if (low > high ||
        !reserve(t, &ranges, t->n_ranges, &t->ranges_room, 1, sizeof *t->ranges, GRAMMAR_NODES_MAX))
        return;
    t->ranges = ranges;
    t->ranges[t->n_ranges++] = (grammar_range){low, high};
}

/* Leaves out the surrogates, which are no characters. */
static void push_characters(grammar_tree *t, uint32_t low, uint32_t high) {
    if (high > 0x10FFFF) high = 0x10FFFF;
    push_range(t, low, high < 0xD7FF ? high : 0xD7FF);
    push_range(t, low > 0xE000 ? low : 0xE000, high);
}

uint32_t tree_class(grammar_tree *t, const grammar_range *ranges, size_t n, bool negated) {
    grammar_range *sorted = mem_alloc(n, sizeof *sorted);
    if (!sorted) return tree_fail(t, LEAT_E_NOMEM, "out of memory for a grammar");
    if (n) memcpy(sorted, ranges, n * sizeof *sorted);
    sort_ranges(sorted, n);
    size_t first = t->n_ranges;
    uint32_t from = 0; /* first character not yet spoken of */
    for (size_t i = 0; i < n;) {
        uint32_t low = sorted[i].low, high = sorted[i].high;
        for (i++; i < n && sorted[i].low <= (high == UINT32_MAX ? high : high + 1); i++)
            if (sorted[i].high > high) high = sorted[i].high;
        if (negated && low > from) push_characters(t, from, low - 1);
        if (!negated) push_characters(t, low, high);
        from = high < 0x10FFFF ? high + 1 : 0x110000;
    }
    if (negated && from <= 0x10FFFF) push_characters(t, from, 0x10FFFF);
    mem_free(sorted);
    return add_node(
        t, (grammar_node){.kind = NODE_CLASS, .a = (uint32_t)first, .b = (uint32_t)(t->n_ranges - first)});
}

uint32_t tree_list(grammar_tree *t, grammar_kind kind) {
    return add_node(t, (grammar_node){.kind = kind});
}

void tree_append(grammar_tree *t, uint32_t list, uint32_t node) {
    void *cells = t->cells;
    if (!reserve(t, &cells, t->n_cells, &t->cells_room, 1, sizeof *t->cells, GRAMMAR_NODES_MAX)) return;
    t->cells = cells;
    t->cells[t->n_cells++] = (grammar_cell){.node = node};
    grammar_node *l = &t->nodes[list];
    if (l->b)
        t->cells[l->b - 1].next = (uint32_t)t->n_cells;
    else
        l->a = (uint32_t)t->n_cells;
    l->b = (uint32_t)t->n_cells;
}

uint32_t tree_seq(grammar_tree *t, size_t n, const uint32_t *nodes) {
    uint32_t list = tree_list(t, NODE_SEQ);
    for (size_t i = 0; i < n; i++) tree_append(t, list, nodes[i]);
    return list;
}

uint32_t tree_repeat(grammar_tree *t, uint32_t node, uint32_t min, uint32_t max) {
    if (max == 0) return 0;
    if (min == 1 && max == 1) return node;
    return add_node(t, (grammar_node){.kind = NODE_REPEAT, .a = node, .b = min, .c = max});
}

uint32_t tree_call(grammar_tree *t, uint32_t rule) {
    return add_node(t, (grammar_node){.kind = NODE_CALL, .a = rule});
}

uint32_t tree_token(grammar_tree *t, uint32_t token, bool negated) {
    return add_node(t, (grammar_node){.kind = negated ? NODE_NOT_TOKEN : NODE_TOKEN, .a = token});
}

uint32_t tree_rule(grammar_tree *t, const char *name, size_t n, size_t line, size_t column) {
    for (size_t i = 0; n && i < t->n_rules; i++)
        if (t->rules[i].name_length == n && !memcmp(t->bytes + t->rules[i].name, name, n)) return (uint32_t)i;
    void *rules = t->rules;
    if (!reserve(t, &rules, t->n_rules, &t->rules_room, 1, sizeof *t->rules, GRAMMAR_RULES_MAX)) return 0;
    t->rules = rules;
    uint32_t at = add_bytes(t, name, n);
    t->rules[t->n_rules] =
        (grammar_rule){.line = line, .column = column, .name = at, .name_length = (uint32_t)n};
    return (uint32_t)t->n_rules++;
}

void tree_define(grammar_tree *t, uint32_t rule, uint32_t body) {
    if (t->status) return;
    t->rules[rule].body = body;
    t->rules[rule].defined = true;
}
