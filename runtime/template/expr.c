/* Expressions of a template, from tokens to a tree, with Jinja's grammar and precedences: if, or, and, not,
 * comparisons, + -, ~, * / // %, **, unary, postfix, filters and tests. Recursion is bounded by parse.depth.
 * Called by parse.c. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/text/number.h"
#include "impl.h"

node *parse_error(parse *p, uint32_t at, const char *format, ...) {
    char message[200];
    size_t line, column;
    va_list args;
    if (p->status) return NULL; /* the first one counts */
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    text_position(p->t->source, p->t->n, at, &line, &column);
    p->status =
        error_set(p->e, LEAT_E_TEMPLATE, "%s line %zu, column %zu: %s", p->what, line, column, message);
    return NULL;
}

node *parse_node(parse *p, node_kind kind, uint32_t at) {
    node *n = arena_alloc(&p->t->a, sizeof *n);
    if (!n) {
        if (!p->status) p->status = error_set(p->e, LEAT_E_NOMEM, "out of memory for a template");
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->at = at;
    return n;
}

const name *parse_intern(parse *p, str s) {
    const name *found = template_intern(p->t, s.p, s.n);
    if (!found && !p->status) p->status = error_set(p->e, LEAT_E_NOMEM, "out of memory for a template");
    return found;
}

bool parse_is_name(const parse *p, const char *word) {
    return p->at->type == T_NAME && str_eq(p->at->text, word);
}

bool parse_skip_name(parse *p, const char *word) {
    if (!parse_is_name(p, word)) return false;
    p->at++;
    return true;
}

/* How a message calls the current token. */
static const char *describe(const parse *p, char out[48]) {
    const token *t = p->at;
    switch (t->type) {
    case T_EOF: return "the end of the template";
    case T_DATA: return "text";
    case T_PRINT_END: return "}}";
    case T_BLOCK_END: return "%}";
    default: snprintf(out, 48, "%.*s", (int)(t->text.n < 40 ? t->text.n : 40), t->text.p); return out;
    }
}

static node *unexpected(parse *p, const char *wanted) {
    char shown[48];
    return parse_error(p, p->at->at, "%s is expected, not %s", wanted, describe(p, shown));
}

bool parse_expect(parse *p, uint8_t type, const char *what) {
    if (p->at->type != type) {
        unexpected(p, what);
        return false;
    }
    p->at++;
    return true;
}

static bool deeper(parse *p) {
    if (p->depth < 3 * TEMPLATE_NESTING_MAX) {
        p->depth++;
        return true;
    }
    parse_error(p, p->at->at, "nested too deeply");
    return false;
}

/* Appends to a list; the tail is a pointer to the last `next`. */
static void append(node ***tail, node *n) {
    **tail = n;
    *tail = &n->next;
}

/* ---- literals ---- */

static bool based_int(str s, int64_t *out) {
    unsigned base = (s.p[1] | 32) == 'x' ? 16 : (s.p[1] | 32) == 'o' ? 8 : 2;
    uint64_t v = 0;
    size_t digits = 0;
    for (size_t i = 2; i < s.n; i++) {
        char c = (char)(s.p[i] | 32);
        if (s.p[i] == '_') continue;
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                            : 99;
        if (d >= base || v > ((uint64_t)INT64_MAX - d) / base) return false;
        v = v * base + d;
        digits++;
    }
    *out = (int64_t)v;
    return digits > 0;
}

static node *number_node(parse *p) {
    const token *t = p->at++;
    node *n = parse_node(p, E_CONST, t->at);
    int64_t i;
    if (!n) return NULL;
    if (t->type == T_FLOAT) {
        n->v = v_float(number_double(t->text.p, t->text.n));
        return n;
    }
    bool based = t->text.n > 1 && (t->text.p[1] | 32) >= 'a';
    if (!(based ? based_int(t->text, &i) : number_int(t->text.p, t->text.n, &i)))
        return parse_error(p, t->at, "this is no number of 64 bits");
    n->v = v_int(i);
    return n;
}

static node *string_node(parse *p) {
    node *n = parse_node(p, E_CONST, p->at->at);
    const token *last = p->at;
    size_t length = 0;
    for (; last->type == T_STRING; last++) length += last->text.n;
    char *joined = arena_alloc(&p->t->a, length);
    text *s = arena_alloc(&p->t->a, sizeof *s);
    if (!n || !joined || !s) return parse_node(p, E_CONST, 0); /* fails again, with the message */
    for (length = 0; p->at < last; p->at++) {
        memcpy(joined + length, p->at->text.p, p->at->text.n);
        length += p->at->text.n;
    }
    s->p = joined;
    s->n = length;
    n->v.type = V_STRING;
    n->v.s = s;
    return n;
}

/* [ ... ] or { ... } */
static node *collection(parse *p) {
    bool is_dict = p->at->type == '{';
    uint8_t close = is_dict ? '}' : ']';
    node *n = parse_node(p, is_dict ? E_DICT : E_LIST, p->at->at), **tail;
    if (!n) return NULL;
    tail = &n->list;
    p->at++;
    while (p->at->type != close) {
        if (n->list && !parse_expect(p, ',', is_dict ? "a comma or }" : "a comma or ]")) return NULL;
        if (p->at->type == close) break;
        for (int i = 0; i <= is_dict; i++) {
            if (i && !parse_expect(p, ':', "a colon")) return NULL;
            node *item = parse_expression(p, true);
            if (!item) return NULL;
            append(&tail, item);
        }
    }
    p->at++;
    return n;
}

node *parse_primary(parse *p, bool with_namespace) {
    const token *t = p->at;
    node *n;
    char shown[48];
    switch (t->type) {
    case T_NAME: break;
    case T_STRING: return string_node(p);
    case T_INT:
    case T_FLOAT: return number_node(p);
    case '(':
        p->at++;
        n = parse_tuple(p, true, NULL, true);
        return n && parse_expect(p, ')', "a closing parenthesis") ? n : NULL;
    case '[':
    case '{': return collection(p);
    default: return parse_error(p, t->at, "an expression is expected, not %s", describe(p, shown));
    }
    p->at++;
    if (with_namespace && p->at->type == '.') {
        n = parse_node(p, T_NAMESPACE, t->at);
        p->at++;
        if (!n || p->at->type != T_NAME) return n ? unexpected(p, "a name") : NULL;
        n->name = parse_intern(p, t->text);
        n->attribute = parse_intern(p, p->at->text);
        p->at++;
        return n->name && n->attribute ? n : NULL;
    }
    bool yes = str_eq(t->text, "true") || str_eq(t->text, "True");
    bool no = str_eq(t->text, "false") || str_eq(t->text, "False");
    bool none = str_eq(t->text, "none") || str_eq(t->text, "None");
    n = parse_node(p, yes || no || none ? E_CONST : E_NAME, t->at);
    if (!n) return NULL;
    n->v = none ? v_none : v_bool(yes);
    if (n->kind == E_NAME && !(n->name = parse_intern(p, t->text))) return NULL;
    return n;
}

/* ---- calls, attributes, filters, tests ---- */

/* ( ... ) of a call, into n->list, keywords, star, stars. */
static bool arguments(parse *p, node *n) {
    node **tail = &n->list, **keyword = &n->keywords;
    bool first = true;
    for (p->at++; p->at->type != ')'; first = false) {
        if (!first && !parse_expect(p, ',', "a comma or )")) return false;
        if (p->at->type == ')') break;
        const token *t = p->at;
        if (t->type == '*' || t->type == T_POW) {
            node **slot = t->type == '*' ? &n->star : &n->stars;
            p->at++;
            if (*slot || n->stars)
                return parse_error(p, t->at, "these arguments are in the wrong order"), false;
            if (!(*slot = parse_expression(p, true))) return false;
        } else if (t->type == T_NAME && t[1].type == '=') {
            node *k = parse_node(p, E_NAME, t->at);
            p->at += 2;
            if (!k || !(k->name = parse_intern(p, t->text)) || !(k->a = parse_expression(p, true)))
                return false;
            append(&keyword, k);
        } else {
            node *given = parse_expression(p, true);
            if (!given) return false;
            if (n->keywords || n->star || n->stars)
                return parse_error(p, t->at, "these arguments are in the wrong order"), false;
            append(&tail, given);
        }
    }
    p->at++;
    return true;
}

static node *call_of(parse *p, node *callee) {
    node *n = parse_node(p, E_CALL, p->at->at);
    if (!n) return NULL;
    n->a = callee;
    return arguments(p, n) ? n : NULL;
}

static node *constant_string(parse *p, const token *t) {
    node *n = parse_node(p, E_CONST, t->at);
    text *s = arena_alloc(&p->t->a, sizeof *s);
    if (!n || !s) return parse_node(p, E_CONST, 0);
    s->p = t->text.p;
    s->n = t->text.n;
    n->v.type = V_STRING;
    n->v.s = s;
    return n;
}

static node *subscript(parse *p, node *object) {
    node *n = parse_node(p, E_ITEM, p->at->at);
    if (!n) return NULL;
    n->a = object;
    if (p->at->type == '.') {
        p->at++;
        if (p->at->type == T_INT) return (n->b = number_node(p)) ? n : NULL;
        if (p->at->type != T_NAME) return unexpected(p, "a name or a number");
        n->kind = E_ATTRIBUTE;
        n->b = constant_string(p, p->at);
        p->at++;
        return n->b ? n : NULL;
    }
    p->at++;
    if (p->at->type == ']') return unexpected(p, "an index");
    node *from = NULL, *slice;
    uint32_t at = p->at->at;
    if (p->at->type != ':') {
        if (!(from = parse_expression(p, true))) return NULL;
        if (p->at->type == ']') {
            p->at++;
            n->b = from;
            return n;
        }
    }
    if (!(slice = parse_node(p, E_SLICE, at)) || !parse_expect(p, ':', "a colon or ]")) return NULL;
    slice->a = from;
    if (p->at->type != ':' && p->at->type != ']' && !(slice->b = parse_expression(p, true))) return NULL;
    if (p->at->type == ':') {
        p->at++;
        if (p->at->type != ']' && !(slice->c = parse_expression(p, true))) return NULL;
    }
    n->b = slice;
    return parse_expect(p, ']', "]") ? n : NULL;
}

static node *postfix(parse *p, node *n) {
    while (n && (p->at->type == '.' || p->at->type == '[' || p->at->type == '('))
        n = p->at->type == '(' ? call_of(p, n) : subscript(p, n);
    return n;
}

/* The name of a filter or test. One that doesn't exist is an error only where it is used: templates ask for
 * filters of other programs in branches that are never taken. */
static bool builtin_name(parse *p, node *n, const builtin *(*find)(const char *, size_t)) {
    const token *t = p->at;
    if (!parse_expect(p, T_NAME, "a name") || !(n->name = parse_intern(p, t->text))) return false;
    n->fn = find(t->text.p, t->text.n);
    return true;
}

node *parse_filters(parse *p, node *over, bool inline_start) {
    while (over && (p->at->type == '|' || inline_start)) {
        node *n = parse_node(p, E_FILTER, p->at->at);
        if (!inline_start) p->at++;
        inline_start = false;
        if (!n || !builtin_name(p, n, find_filter)) return NULL;
        n->a = over;
        if (p->at->type == '(' && !arguments(p, n)) return NULL;
        over = n;
    }
    return over;
}

static node *test(parse *p, node *over) {
    node *n = parse_node(p, E_TEST, p->at->at), *not = NULL;
    p->at++; /* is */
    if (!n) return NULL;
    if (parse_is_name(p, "not")) {
        if (!(not = parse_node(p, E_NOT, p->at->at))) return NULL;
        p->at++;
    }
    if (!builtin_name(p, n, find_test)) return NULL;
    n->a = over;
    uint8_t type = p->at->type;
    if (type == '(') {
        if (!arguments(p, n)) return NULL;
    } else if ((type == T_NAME && !parse_is_name(p, "else") && !parse_is_name(p, "or") &&
                !parse_is_name(p, "and") && !parse_is_name(p, "if") && !parse_is_name(p, "is") &&
                !parse_is_name(p, "recursive")) ||
               type == T_STRING || type == T_INT || type == T_FLOAT || type == '[' || type == '{') {
        node *arg = postfix(p, parse_primary(p, false));
        if (!arg) return NULL;
        n->list = arg;
    }
    if (not ) not ->a = n;
    return not ? not : n;
}

/* ---- operators ---- */

static node *unary(parse *p, bool with_filter) {
    const token *t = p->at;
    node *n;
    if (!deeper(p)) return NULL;
    if (t->type == '-' || t->type == '+') {
        n = parse_node(p, t->type == '-' ? E_NEGATE : E_PLUS, t->at);
        p->at++;
        if (n && !(n->a = unary(p, false))) n = NULL;
    } else {
        n = parse_primary(p, false);
    }
    n = postfix(p, n);
    while (n && with_filter) {
        if (p->at->type == '|')
            n = parse_filters(p, n, false);
        else if (parse_is_name(p, "is"))
            n = test(p, n);
        else if (p->at->type == '(')
            n = call_of(p, n);
        else
            break;
    }
    p->depth--;
    return n;
}

static node *binary_node(parse *p, const token *op, node *left, node *right) {
    node *n = left && right ? parse_node(p, E_BINARY, op->at) : NULL;
    if (!n) return NULL;
    n->op = op->type;
    n->a = left;
    n->b = right;
    return n;
}

static node *power(parse *p) {
    node *n = unary(p, true);
    while (n && p->at->type == T_POW) {
        const token *op = p->at++;
        n = binary_node(p, op, n, unary(p, true));
    }
    return n;
}

static node *product(parse *p) {
    node *n = power(p);
    while (n &&
           (p->at->type == '*' || p->at->type == '/' || p->at->type == T_FLOORDIV || p->at->type == '%')) {
        const token *op = p->at++;
        n = binary_node(p, op, n, power(p));
    }
    return n;
}

static node *concat(parse *p) {
    node *first = product(p), **tail;
    if (!first || p->at->type != '~') return first;
    node *n = parse_node(p, E_CONCAT, p->at->at);
    if (!n) return NULL;
    tail = &n->list;
    append(&tail, first);
    while (p->at->type == '~') {
        p->at++;
        node *more = product(p);
        if (!more) return NULL;
        append(&tail, more);
    }
    return n;
}

static node *sum(parse *p) {
    node *n = concat(p);
    while (n && (p->at->type == '+' || p->at->type == '-')) {
        const token *op = p->at++;
        n = binary_node(p, op, n, concat(p));
    }
    return n;
}

static uint8_t comparison(parse *p) {
    uint8_t type = p->at->type;
    if (type == T_EQ || type == T_NE || type == '<' || type == '>' || type == T_LE || type == T_GE) {
        p->at++;
        return type;
    }
    if (parse_skip_name(p, "in")) return T_IN;
    if (parse_is_name(p, "not") && p->at[1].type == T_NAME && str_eq(p->at[1].text, "in")) {
        p->at += 2;
        return T_NOT_IN;
    }
    return 0;
}

static node *compare(parse *p) {
    node *first = sum(p), *n = NULL, **tail = NULL;
    while (first) {
        uint32_t at = p->at->at;
        uint8_t op = comparison(p);
        if (!op) break;
        if (!n) {
            if (!(n = parse_node(p, E_COMPARE, at))) return NULL;
            n->a = first;
            tail = &n->list;
        }
        node *operand = parse_node(p, E_COMPARE, at);
        if (!operand || !(operand->a = sum(p))) return NULL;
        operand->op = op;
        append(&tail, operand);
    }
    return n ? n : first;
}

static node *negation(parse *p) {
    if (!parse_is_name(p, "not")) return compare(p);
    node *n = deeper(p) ? parse_node(p, E_NOT, p->at->at) : NULL;
    if (!n) return NULL;
    p->at++;
    n->a = negation(p);
    p->depth--;
    return n->a ? n : NULL;
}

static node *logical(parse *p, bool or) {
    node *left = or ? logical(p, false) : negation(p);
    while (left && parse_is_name(p, or ? "or" : "and")) {
        node *n = parse_node(p, or ? E_OR : E_AND, p->at->at);
        p->at++;
        if (!n || !(n->b = or ? logical(p, false) : negation(p))) return NULL;
        n->a = left;
        left = n;
    }
    return left;
}

node *parse_expression(parse *p, bool with_if) {
    if (!deeper(p)) return NULL;
    node *result = logical(p, true);
    while (with_if && result && parse_is_name(p, "if")) {
        node *n = parse_node(p, E_IF, p->at->at);
        p->at++;
        if (!n || !(n->b = logical(p, true))) return NULL;
        n->a = result;
        if (parse_skip_name(p, "else") && !(n->c = parse_expression(p, true))) return NULL;
        result = n;
    }
    p->depth--;
    return result;
}

node *parse_tuple(parse *p, bool with_if, const char *stop, bool parentheses) {
    node *items = NULL, **tail = &items, *n;
    uint32_t at = p->at->at;
    bool tuple = false;
    for (;;) {
        uint8_t type = p->at->type;
        if (type == T_PRINT_END || type == T_BLOCK_END || type == ')' || (stop && parse_is_name(p, stop)))
            break;
        if (!(n = parse_expression(p, with_if))) return NULL;
        append(&tail, n);
        if (p->at->type != ',') break;
        p->at++;
        tuple = true;
    }
    if (!tuple && items) return items;
    if (!tuple && !parentheses) return unexpected(p, "an expression");
    if (!(n = parse_node(p, E_TUPLE, at))) return NULL;
    n->list = items;
    return n;
}
