/* Statements of a template, carried out by walking the tree: output, conditions, loops, assignments, macros.
 * A scope is a list of variables with a parent; the outermost are run.globals. break and continue travel
 * upwards as run.jump. Called by template.c; calls eval.c. */
#include <stdio.h>
#include <string.h>

#include "impl.h"

bool scope_set(run *r, scope *s, const name *n, value v) {
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].name == n) {
            s->v[i].v = v;
            return true;
        }
    if (!s->parent) { /* the outermost */
        r->globals[n->index] = v;
        return true;
    }
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 4;
        variable *grown = run_alloc(r, capacity, sizeof *grown);
        if (!grown) return false;
        if (s->n) memcpy(grown, s->v, s->n * sizeof *grown);
        s->v = grown;
        s->capacity = capacity;
    }
    s->v[s->n++] = (variable){n, v};
    return true;
}

static scope *push_scope(run *r, scope *parent) {
    scope *s = run_alloc(r, 1, sizeof *s);
    if (!s) return NULL;
    s->parent = parent;
    return r->top = s;
}

static const value *find_variable(run *r, const name *n) {
    for (const scope *s = r->top; s; s = s->parent)
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i].name == n) return &s->v[i].v;
    return r->globals[n->index].type == V_MISSING ? NULL : &r->globals[n->index];
}

bool run_assign(run *r, const node *target, value v) {
    value *items;
    size_t n, i = 0, wanted = 0;
    r->at = target->at;
    if (target->kind == E_NAME) return scope_set(r, r->top, target->name, v);
    if (target->kind == T_NAMESPACE) {
        const value *space = find_variable(r, target->name);
        value key;
        if (!space || space->type != V_NAMESPACE)
            return run_error(r, LEAT_E_TEMPLATE, "cannot assign attribute on non-namespace object");
        return v_copy(r, target->attribute->text.p, target->attribute->text.n, false, &key) &&
               dict_set(r, space->o, key, v);
    }
    if (v.type == V_NONE || v.type == V_BOOL || v.type == V_INT || v.type == V_FLOAT)
        return run_error(r, LEAT_E_TEMPLATE, "cannot unpack non-iterable %s object", value_type_name(v));
    if (!value_iterate(r, v, &items, &n)) return false;
    for (const node *k = target->list; k; k = k->next) wanted++;
    r->at = target->at;
    if (n > wanted) return run_error(r, LEAT_E_TEMPLATE, "too many values to unpack (expected %zu)", wanted);
    if (n < wanted)
        return run_error(r, LEAT_E_TEMPLATE, "not enough values to unpack (expected %zu, got %zu)", wanted,
                         n);
    for (const node *k = target->list; k; k = k->next)
        if (!run_assign(r, k, items[i++])) return false;
    return true;
}

/* Runs a body in a scope of its own. */
static bool run_scoped(run *r, const node *body) {
    scope *outer = r->top;
    bool ok = push_scope(r, outer) && run_body(r, body);
    r->top = outer;
    return ok;
}

/* What a body prints, as a string. */
static bool run_captured(run *r, const node *body, value *out) {
    size_t from = r->n_out;
    return run_scoped(r, body) && take_text(r, from, out);
}

/* ---- loops ---- */

/* The elements for which the condition of `for x in y if condition` holds. */
static bool select_items(run *r, const node *n, value **items, size_t *count) {
    scope *outer = r->top;
    value kept, test;
    size_t used = 0;
    if (!v_list(r, LIST, *count, &kept) || !push_scope(r, outer)) return false;
    for (size_t i = 0; i < *count; i++) {
        r->top->n = 0;
        if (!run_assign(r, n->b, (*items)[i]) || !eval_node(r, n->c, &test)) return false;
        if (value_truth(&test)) kept.l->v[used++] = (*items)[i];
    }
    r->top = outer;
    *items = kept.l->v;
    *count = used;
    return true;
}

/* Jinja's else of a loop runs when no iteration reached its end. */
static bool run_for(run *r, const node *n, value iterable, size_t depth) {
    scope *outer = r->top;
    loop *l = run_alloc(r, 1, sizeof *l);
    bool finished = false;
    if (!l) return false;
    *l = (loop){.def = n, .scope = outer, .depth = depth, .changed = v_missing};
    if (!value_iterate(r, iterable, &l->v, &l->n)) return false;
    if (n->c && !select_items(r, n, &l->v, &l->n)) return false;
    value self = {.type = V_LOOP, .loop = l};
    scope *s = NULL;
    for (l->at = 0; l->at < l->n; l->at++) {
        if (!s || n->closure) s = push_scope(r, outer);
        if (!s) return false;
        s->n = 0;
        r->top = s;
        if (n->closure) { /* macros of this iteration may look at its loop later */
            loop *own = run_alloc(r, 1, sizeof *own);
            if (!own) return false;
            *own = *l;
            self.loop = own;
        }
        if (!scope_set(r, s, r->t->loop, self) || !run_assign(r, n->b, l->v[l->at]) || !run_body(r, n->list))
            return false;
        if (n->closure) l->changed = self.loop->changed;
        int jump = r->jump;
        r->jump = 0;
        if (jump == S_BREAK) break;
        if (jump != S_CONTINUE) finished = true;
    }
    r->top = outer;
    return finished || !n->d || run_scoped(r, n->d);
}

bool run_loop_again(run *r, const loop *l, const call *c, value *out) {
    scope *outer = r->top;
    size_t from = r->n_out;
    int jump = r->jump;
    if (!l->def->flag)
        return run_error(r, LEAT_E_TEMPLATE,
                         "The loop must have the 'recursive' marker to be called recursively.");
    if (c->n != 1 || c->n_kw) return run_error(r, LEAT_E_TEMPLATE, "loop() takes one argument");
    if (r->calls >= TEMPLATE_CALLS_MAX) return run_error(r, LEAT_E_LIMIT, "loops call themselves too deeply");
    r->calls++;
    r->top = l->scope;
    bool ok = run_for(r, l->def, c->v[0], l->depth + 1) && take_text(r, from, out);
    r->top = outer;
    r->jump = jump;
    r->calls--;
    return ok;
}

/* ---- macros ---- */

/* Does the body mention this name anywhere? Decides whether a macro takes any argument, as in Jinja. */
static bool mentions(const node *n, const name *what, unsigned depth) {
    if (depth > TEMPLATE_DEPTH_MAX) return true; /* evaluating it fails anyway */
    for (; n; n = n->next) {
        if (n->kind == E_NAME && n->name == what) return true;
        if (n->kind == S_MACRO) continue;
        const node *parts[] = {n->a, n->b, n->c, n->d, n->list, n->keywords, n->star, n->stars};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (parts[i] && mentions(parts[i], what, depth + 1)) return true;
    }
    return false;
}

static const value *keyword(const call *c, const name *n, bool *used) {
    for (size_t i = 0; i < c->n_kw; i++)
        if (c->kw[i].name->text.n == n->text.n && !memcmp(c->kw[i].name->text.p, n->text.p, n->text.n)) {
            used[i] = true;
            return &c->kw[i].v;
        }
    return NULL;
}

/* The arguments as variables of the macro's scope; defaults see those before them. */
static bool bind_parameters(run *r, const macro *m, const call *c, bool *used) {
    size_t i = 0;
    for (const node *p = m->def->a; p; p = p->next, i++) {
        const value *given = i < c->n ? &c->v[i] : keyword(c, p->name, used);
        value v;
        if (given) {
            v = *given;
        } else if (p->a) {
            if (!eval_node(r, p->a, &v)) return false;
        } else {
            char hint[100];
            snprintf(hint, sizeof hint, "parameter '%.60s' was not provided", p->name->text.p);
            const char *kept = arena_copy(&r->a, hint, strlen(hint));
            if (!kept) return run_no_memory(r);
            if (!v_undefined(r, kept, &v)) return false;
        }
        if (!scope_set(r, r->top, p->name, v)) return false;
    }
    if (!m->def->flag) {
        const value *caller = keyword(c, r->t->caller, used);
        value none;
        if (!caller && !v_undefined(r, "No caller defined", &none)) return false;
        if (m->def->name != r->t->caller && !scope_set(r, r->top, r->t->caller, caller ? *caller : none))
            return false;
    }
    if (c->n > i) {
        value rest;
        if (!mentions(m->def->list, r->t->varargs, 0))
            return run_error(r, LEAT_E_TEMPLATE, "macro '%.60s' takes not more than %zu argument(s)",
                             m->def->name->text.p, i);
        if (!v_list(r, TUPLE, c->n - i, &rest) || !scope_set(r, r->top, r->t->varargs, rest)) return false;
        memcpy(rest.l->v, c->v + i, (c->n - i) * sizeof *c->v);
    } else if (mentions(m->def->list, r->t->varargs, 0)) {
        value rest;
        if (!v_list(r, TUPLE, 0, &rest) || !scope_set(r, r->top, r->t->varargs, rest)) return false;
    }
    return true;
}

/* The keywords that no parameter took. */
static bool bind_keywords(run *r, const macro *m, const call *c, const bool *used) {
    value rest, key;
    bool wanted = mentions(m->def->list, r->t->kwargs, 0);
    if (!v_dict(r, V_DICT, &rest)) return false;
    for (size_t i = 0; i < c->n_kw; i++) {
        if (used[i]) continue;
        str s = c->kw[i].name->text;
        if (!wanted)
            return run_error(r, LEAT_E_TEMPLATE, "macro '%.60s' takes no keyword argument '%.*s'",
                             m->def->name->text.p, (int)(s.n < 60 ? s.n : 60), s.p);
        if (!v_copy(r, s.p, s.n, false, &key) || !dict_set(r, rest.o, key, c->kw[i].v)) return false;
    }
    return !wanted || scope_set(r, r->top, r->t->kwargs, rest);
}

bool run_macro(run *r, const macro *m, const call *c, value *out) {
    scope *outer = r->top;
    size_t from = r->n_out;
    value here = r->here;
    bool *used = run_alloc(r, c->n_kw, sizeof *used);
    if (!used) return false;
    if (r->calls >= TEMPLATE_CALLS_MAX)
        return run_error(r, LEAT_E_LIMIT, "macros call one another too deeply");
    r->calls++;
    bool ok = push_scope(r, m->scope) && bind_parameters(r, m, c, used) && bind_keywords(r, m, c, used) &&
              run_body(r, m->def->list);
    if (ok && r->jump) ok = run_error(r, LEAT_E_TEMPLATE, "break or continue outside of a loop");
    r->calls--;
    r->top = outer;
    r->here = here;
    return ok && take_text(r, from, out);
}

/* ---- statements ---- */

static bool run_if(run *r, const node *n) {
    for (;;) {
        value test;
        if (!eval_node(r, n->a, &test)) return false;
        if (value_truth(&test)) return run_body(r, n->list);
        if (!n->d) return true;
        if (n->d->kind != S_IF || !n->d->flag) return run_body(r, n->d);
        n = n->d;
    }
}

/* The filters of a block set or filter block over what its body prints. */
static bool run_filtered(run *r, const node *n, value *out) {
    value outer = r->here;
    if (!run_captured(r, n->list, &r->here)) return false;
    bool ok = eval_node(r, n->a, out);
    r->here = outer;
    return ok;
}

static bool run_with(run *r, const node *n) {
    scope *outer = r->top, *inner = push_scope(r, outer);
    const node *target = n->b;
    bool ok = inner != NULL;
    for (const node *e = n->a; ok && e; e = e->next, target = target->next) {
        value v;
        r->top = outer; /* the values don't see one another */
        ok = eval_node(r, e, &v);
        r->top = inner;
        ok = ok && run_assign(r, target, v);
    }
    ok = ok && run_body(r, n->list);
    r->top = outer;
    return ok;
}

static bool run_statement(run *r, const node *n) {
    value v;
    macro *m;
    switch ((node_kind)n->kind) {
    case S_TEXT: return put_text(r, n->v.s);
    case S_PRINT:
        for (const node *e = n->a; e; e = e->next)
            if (!eval_node(r, e, &v) || !put_value(r, v)) return false;
        return true;
    case S_IF: return run_if(r, n);
    case S_FOR: return eval_node(r, n->a, &v) && run_for(r, n, v, 0);
    case S_SET: return eval_node(r, n->a, &v) && run_assign(r, n->b, v);
    case S_SET_BLOCK: return run_filtered(r, n, &v) && run_assign(r, n->b, v);
    case S_FILTER: return run_filtered(r, n, &v) && put_value(r, v);
    case S_MACRO:
        if (!(m = run_alloc(r, 1, sizeof *m))) return false;
        *m = (macro){n, r->top};
        return scope_set(r, r->top, n->name, (value){.type = V_MACRO, .m = m});
    case S_CALL: return eval_node(r, n, &v) && put_value(r, v);
    case S_WITH: return run_with(r, n);
    case S_SCOPE: return run_scoped(r, n->list);
    case S_BREAK:
    case S_CONTINUE: r->jump = n->kind; return true;
    default: return run_error(r, LEAT_E_TEMPLATE, "this can't be carried out");
    }
}

bool run_body(run *r, const node *body) {
    if (r->depth >= TEMPLATE_DEPTH_MAX) return run_error(r, LEAT_E_LIMIT, "nested too deeply");
    r->depth++;
    for (const node *n = body; n; n = n->next) {
        r->at = n->at;
        if (!run_step(r, 0) || !run_statement(r, n)) return false;
        if (r->jump) break;
    }
    r->depth--;
    return true;
}
