/* Statements of a template, from tokens to a tree: text, {{ }}, and the tags of Jinja with its loop controls
 * and Hugging Face's {% generation %}. What needs other files (include, import, extends) is refused.
 * Recursion is bounded by the nesting of blocks. Called by template.c. */
#include <string.h>

#include "impl.h"

/* Statements up to a tag that is one of the words in `ends` (separated by blanks, NULL: the end of the
 * source). Leaves p->at on that word. */
static bool body(parse *p, const char *ends, node **out);

static bool is_end(const parse *p, const char *ends) {
    for (const char *w = ends; w && *w;) {
        size_t n = strcspn(w, " ");
        if (p->at->type == T_NAME && p->at->text.n == n && !memcmp(p->at->text.p, w, n)) return true;
        w += n + (w[n] == ' ');
    }
    return false;
}

/* %} body {% end: afterwards p->at is on the word that ended it. */
static bool block(parse *p, const char *ends, node **out) {
    if (p->at->type == ':') p->at++;
    return parse_expect(p, T_BLOCK_END, "%}") && body(p, ends, out);
}

/* The same when only one word can end it, which is skipped. */
static bool whole_block(parse *p, const char *end, node **out) {
    if (!block(p, end, out)) return false;
    p->at++;
    return true;
}

/* ---- targets ---- */

static node *target(parse *p, const char *stop, bool with_namespace) {
    node *items = NULL, **tail = &items, *n;
    bool tuple = false;
    uint32_t at = p->at->at;
    for (;;) {
        uint8_t type = p->at->type;
        if (items && (type == '=' || type == T_BLOCK_END || type == ')' || (stop && parse_is_name(p, stop))))
            break;
        if (type == '(') {
            if (++p->depth > 3 * TEMPLATE_NESTING_MAX) return parse_error(p, at, "nested too deeply");
            p->at++;
            n = target(p, NULL, false);
            if (!n || !parse_expect(p, ')', "a closing parenthesis")) return NULL;
            p->depth--;
        } else if (!(n = parse_primary(p, with_namespace))) {
            return NULL;
        }
        if (n->kind != E_NAME && n->kind != T_NAMESPACE && n->kind != E_TUPLE)
            return parse_error(p, at, "this can't be assigned to");
        *tail = n;
        tail = &n->next;
        if (p->at->type != ',') break;
        p->at++;
        tuple = true;
    }
    if (!tuple) return items;
    if (!(n = parse_node(p, E_TUPLE, at))) return NULL;
    n->list = items;
    return n;
}

/* ---- tags ---- */

static node *parse_for(parse *p, node *n) {
    unsigned macros = p->macros;
    if (!(n->b = target(p, "in", false))) return NULL;
    if (!parse_skip_name(p, "in")) return parse_error(p, p->at->at, "\"in\" is expected here");
    if (!(n->a = parse_tuple(p, false, "recursive", false))) return NULL;
    if (parse_skip_name(p, "if") && !(n->c = parse_expression(p, true))) return NULL;
    n->flag = parse_skip_name(p, "recursive");
    if (!block(p, "endfor else", &n->list)) return NULL;
    n->closure = p->macros != macros;
    if (parse_skip_name(p, "endfor")) return n;
    p->at++;
    return whole_block(p, "endfor", &n->d) ? n : NULL;
}

static node *parse_if(parse *p, node *n) {
    node *whole = n;
    for (;;) {
        if (!(n->a = parse_tuple(p, false, NULL, false)) || !block(p, "elif else endif", &n->list))
            return NULL;
        uint32_t at = p->at->at;
        if (parse_skip_name(p, "endif")) return whole;
        if (parse_skip_name(p, "else")) return whole_block(p, "endif", &n->d) ? whole : NULL;
        p->at++;
        if (!(n->d = parse_node(p, S_IF, at))) return NULL;
        n = n->d;
        n->flag = true; /* an elif, not an if inside else */
    }
}

static node *parse_set(parse *p, node *n) {
    if (!(n->b = target(p, NULL, true))) return NULL;
    if (p->at->type == '=') {
        p->at++;
        return (n->a = parse_tuple(p, true, NULL, false)) ? n : NULL;
    }
    n->kind = S_SET_BLOCK;
    node *here = parse_node(p, E_HERE, n->at);
    if (!here || !(n->a = parse_filters(p, here, false))) return NULL;
    return whole_block(p, "endset", &n->list) ? n : NULL;
}

/* ( name, name = default, ... ) */
static bool signature(parse *p, node *def) {
    node **tail = &def->a;
    bool defaults = false;
    if (!parse_expect(p, '(', "an opening parenthesis")) return false;
    while (p->at->type != ')') {
        if (def->a && !parse_expect(p, ',', "a comma or )")) return false;
        if (p->at->type == ')') break;
        const token *t = p->at;
        node *parameter = parse_node(p, E_NAME, t->at);
        if (!parameter || !parse_expect(p, T_NAME, "a name") || !(parameter->name = parse_intern(p, t->text)))
            return false;
        if (p->at->type == '=') {
            p->at++;
            defaults = true;
            if (!(parameter->a = parse_expression(p, true))) return false;
        } else if (defaults) {
            parse_error(p, t->at, "a parameter without a default follows one with a default");
            return false;
        }
        if (parameter->name == p->t->caller) def->flag = true;
        *tail = parameter;
        tail = &parameter->next;
    }
    p->at++;
    return true;
}

static node *parse_macro(parse *p, node *n) {
    p->macros++;
    const token *t = p->at;
    if (!parse_expect(p, T_NAME, "a name") || !(n->name = parse_intern(p, t->text))) return NULL;
    return signature(p, n) && whole_block(p, "endmacro", &n->list) ? n : NULL;
}

static node *parse_call_block(parse *p, node *n) {
    p->macros++;
    if (!(n->d = parse_node(p, S_MACRO, n->at))) return NULL;
    n->d->name = p->t->caller;
    if (p->at->type == '(' && !signature(p, n->d)) return NULL;
    uint32_t at = p->at->at;
    if (!(n->a = parse_expression(p, true))) return NULL;
    if (n->a->kind != E_CALL) return parse_error(p, at, "a call is expected here");
    return whole_block(p, "endcall", &n->d->list) ? n : NULL;
}

static node *parse_with(parse *p, node *n) {
    node **targets = &n->b, **values = &n->a;
    while (p->at->type != T_BLOCK_END) {
        if (n->b && !parse_expect(p, ',', "a comma")) return NULL;
        node *where = target(p, NULL, false), *given;
        if (!where || !parse_expect(p, '=', "=") || !(given = parse_expression(p, true))) return NULL;
        *targets = where;
        targets = &where->next;
        *values = given;
        values = &given->next;
    }
    return whole_block(p, "endwith", &n->list) ? n : NULL;
}

static node *parse_print(parse *p, node *n) {
    node **tail = &n->a;
    while (p->at->type != T_BLOCK_END) {
        if (n->a && !parse_expect(p, ',', "a comma")) return NULL;
        node *given = parse_expression(p, true);
        if (!given) return NULL;
        *tail = given;
        tail = &given->next;
    }
    return n;
}

static node *parse_filter_block(parse *p, node *n) {
    node *here = parse_node(p, E_HERE, n->at);
    if (!here || !(n->a = parse_filters(p, here, true))) return NULL;
    return whole_block(p, "endfilter", &n->list) ? n : NULL;
}

static node *parse_generation(parse *p, node *n) {
    return whole_block(p, "endgeneration", &n->list) ? n : NULL;
}

static node *parse_autoescape(parse *p, node *n) {
    return parse_expression(p, true) && whole_block(p, "endautoescape", &n->list) ? n : NULL;
}

static node *parse_named_block(parse *p, node *n) {
    const token *t = p->at;
    if (!parse_expect(p, T_NAME, "a name")) return NULL;
    while (parse_skip_name(p, "scoped") || parse_skip_name(p, "required")) {
    }
    if (!whole_block(p, "endblock", &n->list)) return NULL;
    if (p->at->type == T_NAME && p->at->text.n == t->text.n && !memcmp(p->at->text.p, t->text.p, t->text.n))
        p->at++;
    return n;
}

static node *parse_nothing(parse *p, node *n) {
    (void)p;
    return n;
}

static const struct {
    const char *word;
    node_kind kind;
    node *(*parse)(parse *p, node *n);
} tags[] = {
    {"for", S_FOR, parse_for},
    {"if", S_IF, parse_if},
    {"set", S_SET, parse_set},
    {"macro", S_MACRO, parse_macro},
    {"call", S_CALL, parse_call_block},
    {"with", S_WITH, parse_with},
    {"filter", S_FILTER, parse_filter_block},
    {"print", S_PRINT, parse_print},
    {"break", S_BREAK, parse_nothing},
    {"continue", S_CONTINUE, parse_nothing},
    {"generation", S_SCOPE, parse_generation},
    {"autoescape", S_SCOPE, parse_autoescape},
    {"block", S_SCOPE, parse_named_block},
};

/* The tag whose name is the current token. */
static node *statement(parse *p) {
    const token *t = p->at;
    int shown = (int)(t->text.n < 60 ? t->text.n : 60);
    if (t->type != T_NAME) return parse_error(p, t->at, "the name of a tag is expected here");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (!str_eq(t->text, tags[i].word)) continue;
        node *n = parse_node(p, tags[i].kind, t->at);
        if (!n) return NULL;
        p->at++;
        return tags[i].parse(p, n);
    }
    if (str_eq(t->text, "include") || str_eq(t->text, "import") || str_eq(t->text, "from") ||
        str_eq(t->text, "extends"))
        return parse_error(p, t->at, "%.*s needs another template, and there is only this one", shown,
                           t->text.p);
    return parse_error(p, t->at, "there is no tag called %.*s here", shown, t->text.p);
}

static bool body(parse *p, const char *ends, node **out) {
    node **tail = out;
    if (p->depth > 3 * TEMPLATE_NESTING_MAX - 3) return parse_error(p, p->at->at, "nested too deeply"), false;
    p->depth += 3; /* blocks count more than brackets */
    for (;;) {
        const token *t = p->at;
        node *n = NULL;
        if (t->type == T_EOF) {
            if (!ends) break;
            return parse_error(p, t->at, "the template ends where one of these tags is missing: %s", ends),
                   false;
        }
        p->at++;
        if (t->type == T_DATA) {
            if (!(n = parse_node(p, S_TEXT, t->at))) return false;
            text *s = arena_alloc(&p->t->a, sizeof *s);
            if (!s) return parse_node(p, S_TEXT, 0), false;
            s->p = t->text.p;
            s->n = t->text.n;
            n->v.s = s;
        } else if (t->type == T_PRINT_BEGIN) {
            if (!(n = parse_node(p, S_PRINT, t->at)) || !(n->a = parse_tuple(p, true, NULL, false)) ||
                !parse_expect(p, T_PRINT_END, "}}"))
                return false;
        } else {
            if (is_end(p, ends)) break;
            if (!(n = statement(p)) || !parse_expect(p, T_BLOCK_END, "%}")) return false;
        }
        *tail = n;
        tail = &n->next;
    }
    p->depth -= 3;
    return true;
}

leat_status template_parse(leat_template *t, const char *what, const token *tokens, leat_error *e) {
    parse p = {.t = t, .what = what, .at = tokens, .e = e};
    if (body(&p, NULL, &t->body)) return LEAT_OK;
    return p.status ? p.status : error_set(e, LEAT_E_NOMEM, "out of memory for a template");
}
