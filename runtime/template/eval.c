/* Expressions of a template, evaluated by walking the tree: names, literals, attributes, calls, filters,
 * tests and operators. Every step down is counted (run.depth), so that the machine's stack is bounded. Called
 * by run.c, and calls it for macros. */
#include <string.h>

#include "impl.h"
#include "runtime/text/utf8.h"

/* ---- names ---- */

static bool eval_name(run *r, const name *n, value *out) {
    for (scope *s = r->top; s; s = s->parent)
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i].name == n) {
                *out = s->v[i].v;
                return true;
            }
    *out = r->globals[n->index];
    if (out->type != V_MISSING) return true;
    const builtin *g = find_global(n->text.p, n->text.n);
    if (g) {
        *out = (value){.type = V_GLOBAL, .g = g};
        return true;
    }
    if (r->js && n == r->t->null) {
        *out = v_none;
        return true;
    }
    return v_undefined_name(r, n->text, out);
}

/* ---- attributes and items ---- */

static bool undefined_use(run *r, value v) {
    value unused;
    return math_binary(r, '-', v, v, &unused); /* says what is undefined */
}

static bool loop_attribute(run *r, const loop *l, str a, value *out) {
    int64_t i = (int64_t)l->at, n = (int64_t)l->n;
    const struct {
        const char *name;
        value v;
    } parts[] = {{"index", v_int(i + 1)},
                 {"index0", v_int(i)},
                 {"revindex", v_int(n - i)},
                 {"revindex0", v_int(n - i - 1)},
                 {"first", v_bool(i == 0)},
                 {"last", v_bool(i + 1 == n)},
                 {"length", v_int(n)},
                 {"depth", v_int((int64_t)l->depth + 1)},
                 {"depth0", v_int((int64_t)l->depth)}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (str_eq(a, parts[k].name)) {
            *out = parts[k].v;
            return true;
        }
    if (str_eq(a, "previtem")) {
        if (i == 0) return v_undefined(r, "there is no previous item", out);
        *out = l->v[i - 1];
        return true;
    }
    if (str_eq(a, "nextitem")) {
        if (i + 1 >= n) return v_undefined(r, "there is no next item", out);
        *out = l->v[i + 1];
        return true;
    }
    out->type = V_MISSING;
    return true;
}

/* What Python's getattr finds; V_MISSING if nothing. */
static bool own_attribute(run *r, value object, str a, value *out) {
    const value *found;
    out->type = V_MISSING;
    if (object.type == V_LOOP) {
        if (!loop_attribute(r, object.loop, a, out)) return false;
        if (out->type != V_MISSING) return true;
    }
    if (object.type == V_NAMESPACE && (found = dict_get_str(object.o, a.p, a.n))) {
        *out = *found;
        return true;
    }
    if (object.type == V_MACRO && str_eq(a, "name"))
        return v_copy(r, object.m->def->name->text.p, object.m->def->name->text.n, false, out);
    if (object.type == V_CYCLER && str_eq(a, "current")) {
        *out = object.cycler->v[object.cycler->at];
        return true;
    }
    const builtin *fn = find_method(object, a.p, a.n);
    if (!fn) return true;
    method *m = run_alloc(r, 1, sizeof *m);
    if (!m) return false;
    *m = (method){object, fn};
    *out = (value){.type = V_METHOD, .f = m};
    return true;
}

/* What object[index] finds; V_MISSING if nothing. */
static bool own_item(run *r, value object, value index, value *out) {
    const value *found = NULL;
    int64_t i;
    out->type = V_MISSING;
    if (object.type == V_DICT) {
        if (!dict_get(r, object.o, index, &found)) return false;
        if (found) *out = *found;
        return true;
    }
    if (!value_int(index, &i)) return true;
    if (object.type == V_LIST &&
        (r->js || object.l->kind == LIST || object.l->kind == TUPLE || object.l->kind == RANGE)) {
        if (i < 0) i += (int64_t)object.l->n;
        if (i >= 0 && (uint64_t)i < object.l->n) *out = object.l->v[i];
    } else if (object.type == V_STRING) {
        if (!run_step(r, object.s->n)) return false;
        if (i < 0) i += (int64_t)text_length(object.s);
        if (i < 0) return true;
        size_t at = text_offset(object.s, (size_t)i);
        uint32_t cp;
        if (at < object.s->n)
            return v_slice(r, object.s, at, utf8_decode(object.s->p + at, object.s->n - at, &cp), out);
    }
    return true;
}

bool eval_attribute(run *r, value object, str a, value *out) {
    text s = {.p = a.p, .n = a.n};
    value key = {.type = V_STRING, .s = &s};
    if (object.type == V_UNDEFINED) return undefined_use(r, object);
    if (!own_attribute(r, object, a, out)) return false;
    if (out->type == V_MISSING && !own_item(r, object, key, out)) return false;
    return out->type != V_MISSING || v_undefined_in(r, object, key, out);
}

bool eval_item(run *r, value object, value index, value *out) {
    if (object.type == V_UNDEFINED) return undefined_use(r, object);
    if (!own_item(r, object, index, out)) return false;
    if (out->type == V_MISSING && index.type == V_STRING &&
        !own_attribute(r, object, (str){index.s->p, index.s->n}, out))
        return false;
    return out->type != V_MISSING || v_undefined_in(r, object, index, out);
}

/* ---- slices ---- */

/* Python's slice.indices: how many elements, from where, in which steps. */
static bool slice_range(run *r, int64_t n, const value *a, const value *b, const value *c, int64_t *start,
                        int64_t *step, size_t *count) {
    int64_t stop;
    *step = 1;
    if (c->type != V_NONE && !value_int(*c, step)) goto bad;
    if (*step == 0) return run_error(r, LEAT_E_TEMPLATE, "slice step cannot be zero");
    bool down = *step < 0;
    *start = down ? n - 1 : 0;
    stop = down ? -1 : n;
    for (int k = 0; k < 2; k++) {
        const value *v = k ? b : a;
        int64_t x, low = down ? -1 : 0, high = down ? n - 1 : n;
        if (v->type == V_NONE) continue;
        if (!value_int(*v, &x)) goto bad;
        if (x < 0) x = x < -n ? -1 : x + n;
        x = x < low ? low : x > high ? high : x;
        *(k ? &stop : start) = x;
    }
    uint64_t distance = down            ? (stop < *start ? (uint64_t)(*start - stop) : 0)
                        : *start < stop ? (uint64_t)(stop - *start)
                                        : 0;
    uint64_t width = down ? (uint64_t)0 - (uint64_t)*step : (uint64_t)*step;
    *count = distance ? (size_t)((distance - 1) / width + 1) : 0;
    return true;
bad:
    return run_error(r, LEAT_E_TEMPLATE, "slice indices must be integers or None");
}

static bool eval_slice(run *r, value object, const node *s, value *out) {
    value bound[3] = {v_none, v_none, v_none}, *items;
    const node *parts[3] = {s->a, s->b, s->c};
    int64_t start, step;
    size_t count, n;
    for (int i = 0; i < 3; i++)
        if (parts[i] && !eval_node(r, parts[i], &bound[i])) return false;
    if (object.type == V_UNDEFINED) return undefined_use(r, object);
    if (object.type == V_STRING) {
        const text *t = object.s;
        if (!run_step(r, t->n) ||
            !slice_range(r, (int64_t)text_length(t), &bound[0], &bound[1], &bound[2], &start, &step, &count))
            return false;
        if (step == 1 && count) {
            size_t from = text_offset(t, (size_t)start);
            text rest = {.p = t->p + from, .n = t->n - from};
            return v_slice(r, t, from, text_offset(&rest, count), out);
        }
        size_t mark = r->n_out;
        if (!value_iterate(r, object, &items, &n)) return false;
        for (size_t i = 0; i < count; i++)
            if (!put_text(r, items[start + (int64_t)i * step].s)) return false;
        return take_text(r, mark, out);
    }
    if (object.type != V_LIST || (!r->js && object.l->kind == GENERATOR))
        return run_error(r, LEAT_E_TEMPLATE, "'%s' object is not subscriptable", value_type_name(object));
    if (!slice_range(r, (int64_t)object.l->n, &bound[0], &bound[1], &bound[2], &start, &step, &count) ||
        !v_list(r, object.l->kind == TUPLE ? TUPLE : LIST, count, out))
        return false;
    for (size_t i = 0; i < count; i++) out->l->v[i] = object.l->v[start + (int64_t)i * step];
    return true;
}

/* ---- calls ---- */

bool builtin_call(run *r, const builtin *fn, value self, const call *c, value *out) {
    value arg[BUILTIN_ARGS_MAX];
    size_t n = 0;
    if (!run_step(r, 1)) return false;
    if (!fn->args) return fn->run(r, self, NULL, c, out);
    for (int i = 0; i < BUILTIN_ARGS_MAX; i++) arg[i] = v_missing;
    for (const char *w = fn->args; *w; n++) {
        size_t length = strcspn(w, " ");
        if (n < c->n) arg[n] = c->v[n];
        for (size_t k = 0; k < c->n_kw; k++) {
            if (c->kw[k].name->text.n != length || memcmp(c->kw[k].name->text.p, w, length) != 0) continue;
            if (n < c->n)
                return run_error(r, LEAT_E_TEMPLATE, "%s() got multiple values for argument '%.*s'", fn->name,
                                 (int)length, w);
            arg[n] = c->kw[k].v;
        }
        w += length + (w[length] == ' ');
    }
    if (c->n > n)
        return run_error(r, LEAT_E_TEMPLATE, "%s() takes at most %zu arguments, but %zu were given", fn->name,
                         n, c->n);
    for (size_t k = 0; k < c->n_kw; k++) {
        const name *given = c->kw[k].name;
        bool known = false;
        for (const char *w = fn->args; *w && !known;) {
            size_t length = strcspn(w, " ");
            known = given->text.n == length && !memcmp(given->text.p, w, length);
            w += length + (w[length] == ' ');
        }
        if (!known)
            return run_error(r, LEAT_E_TEMPLATE, "%s() got an unexpected keyword argument '%.*s'", fn->name,
                             (int)(given->text.n < 60 ? given->text.n : 60), given->text.p);
    }
    return fn->run(r, self, arg, c, out);
}

/* The arguments of a call, filter or test; `caller` is added as a keyword unless it is V_MISSING. */
static bool eval_arguments(run *r, const node *n, value caller, call *c) {
    value star = v_missing, stars = v_missing, *more = NULL;
    size_t n_more = 0, i = 0;
    *c = (call){0};
    for (const node *a = n->list; a; a = a->next) c->n++;
    for (const node *k = n->keywords; k; k = k->next) c->n_kw++;
    if (n->star && (!eval_node(r, n->star, &star) || !value_iterate(r, star, &more, &n_more))) return false;
    if (n->stars) {
        if (!eval_node(r, n->stars, &stars)) return false;
        if (stars.type != V_DICT)
            return run_error(r, LEAT_E_TEMPLATE, "argument after ** must be a mapping, not %s",
                             value_type_name(stars));
    }
    size_t n_stars = n->stars ? stars.o->n : 0, n_kw = c->n_kw + n_stars + (caller.type != V_MISSING);
    c->v = c->n + n_more ? run_alloc(r, c->n + n_more, sizeof *c->v) : NULL;
    c->kw = n_kw ? run_alloc(r, n_kw, sizeof *c->kw) : NULL;
    if ((c->n + n_more && !c->v) || (n_kw && !c->kw)) return false;
    for (const node *a = n->list; a; a = a->next)
        if (!eval_node(r, a, &c->v[i++])) return false;
    for (size_t k = 0; k < n_more; k++) c->v[i++] = more[k];
    c->n = i;
    i = 0;
    for (const node *k = n->keywords; k; k = k->next, i++) {
        c->kw[i].name = k->name;
        if (!eval_node(r, k->a, &c->kw[i].v)) return false;
    }
    for (size_t k = 0; k < n_stars; k++, i++) {
        name *fresh = run_alloc(r, 1, sizeof *fresh);
        value key = stars.o->e[k].key;
        if (!fresh) return false;
        if (key.type != V_STRING) return run_error(r, LEAT_E_TEMPLATE, "keywords must be strings");
        fresh->text = (str){key.s->p, key.s->n};
        c->kw[i].name = fresh;
        c->kw[i].v = stars.o->e[k].v;
    }
    if (caller.type != V_MISSING) {
        c->kw[i].name = r->t->caller;
        c->kw[i++].v = caller;
    }
    c->n_kw = i;
    return true;
}

bool eval_call(run *r, value callee, const call *c, value *out) {
    switch ((value_type)callee.type) {
    case V_GLOBAL: return builtin_call(r, callee.g, v_missing, c, out);
    case V_METHOD: return builtin_call(r, callee.f->fn, callee.f->self, c, out);
    case V_MACRO: return run_macro(r, callee.m, c, out);
    case V_LOOP: return run_loop_again(r, callee.loop, c, out);
    case V_UNDEFINED: return undefined_use(r, callee);
    case V_JOINER:
        *out = callee.cycler->separator;
        if (callee.cycler->used) return true;
        callee.cycler->used = true;
        return v_static(r, "", out);
    default: return run_error(r, LEAT_E_TEMPLATE, "'%s' object is not callable", value_type_name(callee));
    }
}

/* E_CALL, with the caller of a call block (S_CALL passes its own node). */
static bool call_node(run *r, const node *n, value caller, value *out) {
    value callee;
    call c;
    if (!eval_node(r, n->a, &callee) || !eval_arguments(r, n, caller, &c)) return false;
    r->at = n->at;
    return eval_call(r, callee, &c, out);
}

static bool filter_node(run *r, const node *n, value *out) {
    value self;
    call c;
    if (!n->fn)
        return run_error(r, LEAT_E_TEMPLATE, "there is no %s called %.60s",
                         n->kind == E_TEST ? "test" : "filter", n->name->text.p);
    if (!eval_node(r, n->a, &self) || !eval_arguments(r, n, v_missing, &c)) return false;
    r->at = n->at;
    return builtin_call(r, n->fn, self, &c, out);
}

/* ---- operators ---- */

static bool compare_node(run *r, const node *n, value *out) {
    value left, right;
    bool result = true;
    if (!eval_node(r, n->a, &left)) return false;
    for (const node *k = n->list; k && result; k = k->next) {
        if (!eval_node(r, k->a, &right)) return false;
        r->at = k->at;
        if (!value_compare(r, k->op, left, right, &result)) return false;
        left = right;
    }
    *out = v_bool(result);
    return true;
}

static bool sign_node(run *r, const node *n, value *out) {
    value v;
    int64_t i;
    if (!eval_node(r, n->a, &v)) return false;
    r->at = n->at;
    if (v.type == V_UNDEFINED) return undefined_use(r, v);
    if (v.type == V_FLOAT) {
        *out = n->kind == E_NEGATE ? v_float(-v.d) : v;
        return true;
    }
    if (!value_int(v, &i))
        return run_error(r, LEAT_E_TEMPLATE, "bad operand type for unary %c: '%s'",
                         n->kind == E_NEGATE ? '-' : '+', value_type_name(v));
    return math_binary(r, n->kind == E_NEGATE ? '-' : '+', v_int(0), v_int(i), out);
}

static bool list_node(run *r, const node *n, value *out) {
    size_t count = 0;
    for (const node *k = n->list; k; k = k->next) count++;
    if (!v_list(r, n->kind == E_TUPLE ? TUPLE : LIST, count, out)) return false;
    count = 0;
    for (const node *k = n->list; k; k = k->next)
        if (!eval_node(r, k, &out->l->v[count++])) return false;
    return true;
}

static bool dict_node(run *r, const node *n, value *out) {
    if (!v_dict(r, V_DICT, out)) return false;
    for (const node *k = n->list; k; k = k->next->next) {
        value key, v;
        if (!eval_node(r, k, &key) || !eval_node(r, k->next, &v) || !dict_set(r, out->o, key, v))
            return false;
    }
    return true;
}

static bool concat_node(run *r, const node *n, value *out) {
    size_t from = r->n_out;
    value first, v;
    const text *a, *b;
    if (!eval_node(r, n->list, &first)) return false;
    if (first.type == V_STRING && first.s->n >= 1024) { /* a long one grows in place */
        *out = first;
        for (const node *k = n->list->next; k; k = k->next) {
            a = out->s;
            if (!eval_node(r, k, &v) || !value_text(r, v, &b) || !text_concat(r, a, b, out)) return false;
        }
        return true;
    }
    if (!put_value(r, first)) return false;
    for (const node *k = n->list->next; k; k = k->next)
        if (!eval_node(r, k, &v) || !put_value(r, v)) return false;
    return take_text(r, from, out);
}

static bool item_node(run *r, const node *n, value *out) {
    value object, index;
    if (!eval_node(r, n->a, &object)) return false;
    if (n->b->kind == E_SLICE) {
        r->at = n->at;
        return eval_slice(r, object, n->b, out);
    }
    if (n->kind == E_ATTRIBUTE) {
        r->at = n->at;
        return eval_attribute(r, object, (str){n->b->v.s->p, n->b->v.s->n}, out);
    }
    if (!eval_node(r, n->b, &index)) return false;
    r->at = n->at;
    return eval_item(r, object, index, out);
}

static bool binary_node(run *r, const node *n, value *out) {
    value a, b;
    if (!eval_node(r, n->a, &a) || !eval_node(r, n->b, &b)) return false;
    r->at = n->at;
    return math_binary(r, n->op, a, b, out);
}

static bool logical_node(run *r, const node *n, value *out) {
    if (!eval_node(r, n->a, out)) return false;
    if (n->kind == E_NOT) {
        *out = v_bool(!value_truth(out));
        return true;
    }
    return value_truth(out) == (n->kind == E_OR) || eval_node(r, n->b, out);
}

static bool if_node(run *r, const node *n, value *out) {
    value test;
    if (!eval_node(r, n->b, &test)) return false;
    if (value_truth(&test)) return eval_node(r, n->a, out);
    if (n->c) return eval_node(r, n->c, out);
    return v_undefined(r, "the inline if-expression evaluated to false and no else section was defined", out);
}

bool eval_node(run *r, const node *n, value *out) {
    bool ok = true;
    if (!run_step(r, 0)) return false;
    if (r->depth >= TEMPLATE_DEPTH_MAX) {
        r->at = n->at;
        return run_error(r, LEAT_E_LIMIT, "nested too deeply");
    }
    r->depth++;
    r->at = n->at;
    switch ((node_kind)n->kind) {
    case E_CONST: *out = n->v; break;
    case E_NAME: ok = eval_name(r, n->name, out); break;
    case E_HERE: *out = r->here; break;
    case E_LIST:
    case E_TUPLE: ok = list_node(r, n, out); break;
    case E_DICT: ok = dict_node(r, n, out); break;
    case E_ATTRIBUTE:
    case E_ITEM: ok = item_node(r, n, out); break;
    case E_CALL: ok = call_node(r, n, v_missing, out); break;
    case E_FILTER:
    case E_TEST: ok = filter_node(r, n, out); break;
    case E_NEGATE:
    case E_PLUS: ok = sign_node(r, n, out); break;
    case E_NOT:
    case E_AND:
    case E_OR: ok = logical_node(r, n, out); break;
    case E_BINARY: ok = binary_node(r, n, out); break;
    case E_COMPARE: ok = compare_node(r, n, out); break;
    case E_CONCAT: ok = concat_node(r, n, out); break;
    case E_IF: ok = if_node(r, n, out); break;
    case S_CALL: { /* the call of a call block, with its body as caller */
        macro *m = run_alloc(r, 1, sizeof *m);
        ok = m != NULL;
        if (!ok) break;
        *m = (macro){n->d, r->top};
        ok = call_node(r, n->a, (value){.type = V_MACRO, .m = m}, out);
        break;
    }
    default: ok = run_error(r, LEAT_E_TEMPLATE, "this can't be evaluated"); break;
    }
    r->depth--;
    return ok;
}
