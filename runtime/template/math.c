/* Operators of templates: arithmetic as Python does it (with 64-bit integers, and an error where they do not
 * suffice), comparisons, membership. Called by eval.c, the filters and the tests. */
#include <math.h>
#include <string.h>

#include "impl.h"

bool value_number(value v, double *out) {
    if (v.type == V_FLOAT)
        *out = v.d;
    else if (v.type == V_INT || v.type == V_BOOL)
        *out = (double)v.i;
    else
        return false;
    return true;
}

bool value_int(value v, int64_t *out) {
    if (v.type != V_INT && v.type != V_BOOL) return false;
    *out = v.i;
    return true;
}

bool value_truth(const value *v) {
    switch ((value_type)v->type) {
    case V_UNDEFINED:
    case V_MISSING:
    case V_NONE: return false;
    case V_BOOL: return v->b;
    case V_INT: return v->i != 0;
    case V_FLOAT: return v->d != 0;
    case V_STRING: return v->s->n > 0;
    case V_LIST: return v->l->n > 0 || v->l->kind == GENERATOR;
    case V_DICT: return v->o->n > 0;
    default: return true;
    }
}

/* ---- equal, less ---- */

static bool equal(run *r, value a, value b, unsigned depth, bool *out);

static bool equal_lists(run *r, const list *a, const list *b, unsigned depth, bool *out) {
    *out = a == b || (a->kind == b->kind && a->n == b->n && a->kind != GENERATOR);
    for (size_t i = 0; a != b && *out && i < a->n; i++)
        if (!equal(r, a->v[i], b->v[i], depth + 1, out)) return false;
    return true;
}

static bool equal_dicts(run *r, const dict *a, const dict *b, unsigned depth, bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; a != b && *out && i < a->n; i++) {
        const value *other;
        if (!dict_get(r, b, a->e[i].key, &other)) return false;
        *out = other != NULL;
        if (other && !equal(r, a->e[i].v, *other, depth + 1, out)) return false;
    }
    return true;
}

static bool equal(run *r, value a, value b, unsigned depth, bool *out) {
    double x, y;
    if (depth > TEMPLATE_VALUE_DEPTH)
        return run_error(r, LEAT_E_LIMIT, "values are nested too deeply to be compared");
    if (!run_step(r, 1)) return false;
    if (value_number(a, &x) && value_number(b, &y)) {
        *out = a.type != V_FLOAT && b.type != V_FLOAT ? a.i == b.i : x == y;
        return true;
    }
    *out = false;
    if (a.type != b.type) return true;
    switch ((value_type)a.type) {
    case V_UNDEFINED:
    case V_MISSING:
    case V_NONE: *out = true; return true;
    case V_STRING: *out = a.s->n == b.s->n && !memcmp(a.s->p, b.s->p, a.s->n); return run_step(r, a.s->n);
    case V_LIST: return equal_lists(r, a.l, b.l, depth, out);
    case V_DICT: return equal_dicts(r, a.o, b.o, depth, out);
    default: *out = a.o == b.o; return true;
    }
}

bool value_equal(run *r, value a, value b, bool *out) {
    return equal(r, a, b, 0, out);
}

/* Uses an undefined value where one can't be: the message it carries. */
static bool undefined_error(run *r, value v) {
    const undefined *u = v.u;
    int n = u ? (int)(u->name.n < 100 ? u->name.n : 100) : 0;
    if (!u) return run_error(r, LEAT_E_TEMPLATE, "this is undefined");
    if (u->hint) return run_error(r, LEAT_E_TEMPLATE, "%s", u->hint);
    if (!u->owner) return run_error(r, LEAT_E_TEMPLATE, "'%.*s' is undefined", n, u->name.p);
    if (u->element)
        return run_error(r, LEAT_E_TEMPLATE, "%s object has no element %.*s", u->owner, n, u->name.p);
    return run_error(r, LEAT_E_TEMPLATE, "'%s object' has no attribute '%.*s'", u->owner, n, u->name.p);
}

static bool less(run *r, value a, value b, unsigned depth, bool *out) {
    double x, y;
    if (a.type == V_UNDEFINED) return undefined_error(r, a);
    if (b.type == V_UNDEFINED) return undefined_error(r, b);
    if (depth > TEMPLATE_VALUE_DEPTH)
        return run_error(r, LEAT_E_LIMIT, "values are nested too deeply to be compared");
    if (!run_step(r, 1)) return false;
    if (value_number(a, &x) && value_number(b, &y)) {
        *out = a.type != V_FLOAT && b.type != V_FLOAT ? a.i < b.i : x < y;
        return true;
    }
    if (a.type == V_STRING && b.type == V_STRING) { /* the order of bytes in UTF-8 is that of code points */
        size_t n = a.s->n < b.s->n ? a.s->n : b.s->n;
        int order = memcmp(a.s->p, b.s->p, n);
        *out = order ? order < 0 : a.s->n < b.s->n;
        return run_step(r, n);
    }
    if (a.type == V_LIST && b.type == V_LIST && a.l->kind == b.l->kind &&
        (a.l->kind == LIST || a.l->kind == TUPLE)) {
        size_t n = a.l->n < b.l->n ? a.l->n : b.l->n;
        for (size_t i = 0; i < n; i++) {
            bool same;
            if (!value_equal(r, a.l->v[i], b.l->v[i], &same)) return false;
            if (!same) return less(r, a.l->v[i], b.l->v[i], depth + 1, out);
        }
        *out = a.l->n < b.l->n;
        return true;
    }
    return run_error(r, LEAT_E_TEMPLATE, "'<' not supported between instances of '%s' and '%s'",
                     value_type_name(a), value_type_name(b));
}

bool value_less(run *r, value a, value b, bool *out) {
    return less(r, a, b, 0, out);
}

/* ---- membership ---- */

static bool contains(run *r, value needle, value heap, bool *out) {
    const value *found;
    *out = false;
    switch ((value_type)heap.type) {
    case V_UNDEFINED: return true;
    case V_STRING:
        if (needle.type != V_STRING) {
            if (r->js) return true;
            return run_error(r, LEAT_E_TEMPLATE, "'in <string>' requires string as left operand, not %s",
                             value_type_name(needle));
        }
        *out = text_find(heap.s, needle.s, 0) != SIZE_MAX;
        return run_step(r, heap.s->n);
    case V_DICT:
        if (!dict_get(r, heap.o, needle, &found)) return false;
        *out = found != NULL;
        return true;
    case V_LIST:
        for (size_t i = 0; i < heap.l->n && !*out; i++) {
            if (r->js && (heap.l->v[i].type == V_BOOL) != (needle.type == V_BOOL)) continue;
            if (!value_equal(r, needle, heap.l->v[i], out)) return false;
        }
        return true;
    default:
        return run_error(r, LEAT_E_TEMPLATE, "argument of type '%s' is not iterable", value_type_name(heap));
    }
}

bool value_compare(run *r, int op, value a, value b, bool *out) {
    double x, y;
    bool ok = true;
    switch (op) {
    case T_EQ: return value_equal(r, a, b, out);
    case T_NE:
        ok = value_equal(r, a, b, out);
        *out = !*out;
        return ok;
    case T_IN: return contains(r, a, b, out);
    case T_NOT_IN:
        ok = contains(r, a, b, out);
        *out = !*out;
        return ok;
    case '<': return value_less(r, a, b, out);
    case '>': return value_less(r, b, a, out);
    default: /* <= and >= */
        if (op == T_GE) {
            value t = a;
            a = b;
            b = t;
        }
        if (value_number(a, &x) && value_number(b, &y) && (isnan(x) || isnan(y))) {
            *out = false;
            return true;
        }
        ok = value_less(r, b, a, out);
        *out = !*out;
        return ok;
    }
}

/* ---- arithmetic ---- */

static const char *symbol(int op, char shown[3]) {
    shown[0] = op == T_FLOORDIV ? '/' : op == T_POW ? '*' : (char)op;
    shown[1] = op == T_FLOORDIV ? '/' : op == T_POW ? '*' : '\0';
    shown[2] = '\0';
    return shown;
}

static bool operand_error(run *r, int op, value a, value b) {
    char shown[3];
    if (a.type == V_UNDEFINED) return undefined_error(r, a);
    if (b.type == V_UNDEFINED) return undefined_error(r, b);
    if (op == '+' && a.type == V_STRING)
        return run_error(r, LEAT_E_TEMPLATE, "can only concatenate str (not \"%s\") to str",
                         value_type_name(b));
    return run_error(r, LEAT_E_TEMPLATE, "unsupported operand type(s) for %s: '%s' and '%s'",
                     symbol(op, shown), value_type_name(a), value_type_name(b));
}

static bool too_large(run *r) {
    return run_error(r, LEAT_E_TEMPLATE, "a whole number needs more than 64 bits");
}

static bool int_power(run *r, int64_t base, int64_t exponent, value *out) {
    int64_t result = 1;
    if (exponent < 0) {
        if (base == 0) return run_error(r, LEAT_E_TEMPLATE, "0.0 cannot be raised to a negative power");
        *out = v_float(pow((double)base, (double)exponent));
        return true;
    }
    while (exponent) {
        if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) return too_large(r);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base)) return too_large(r);
    }
    *out = v_int(result);
    return true;
}

static bool int_math(run *r, int op, int64_t a, int64_t b, value *out) {
    int64_t v = 0;
    bool wraps = false;
    switch (op) {
    case '+': wraps = __builtin_add_overflow(a, b, &v); break;
    case '-': wraps = __builtin_sub_overflow(a, b, &v); break;
    case '*': wraps = __builtin_mul_overflow(a, b, &v); break;
    case T_POW: return int_power(r, a, b, out);
    default:
        if (b == 0) return run_error(r, LEAT_E_TEMPLATE, "division by zero");
        if (op == '/') {
            *out = v_float((double)a / (double)b);
            return true;
        }
        if (b == -1) { /* INT64_MIN / -1 does not fit */
            wraps = op != '%' && __builtin_sub_overflow((int64_t)0, a, &v);
            break;
        }
        v = op == '%' ? a % b : a / b; /* towards zero; Python rounds down */
        if (a % b != 0 && (a < 0) != (b < 0)) v = op == '%' ? v + b : v - 1;
    }
    if (wraps) return too_large(r);
    *out = v_int(v);
    return true;
}

static bool float_math(run *r, int op, double a, double b, value *out) {
    if (b == 0 && (op == '/' || op == T_FLOORDIV || op == '%'))
        return run_error(r, LEAT_E_TEMPLATE, "division by zero");
    double rest = op == '%' || op == T_FLOORDIV ? fmod(a, b) : 0;
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    switch (op) {
    case '+': *out = v_float(a + b); break;
    case '-': *out = v_float(a - b); break;
    case '*': *out = v_float(a * b); break;
    case '/': *out = v_float(a / b); break;
    case '%': *out = v_float(rest); break;
    case T_FLOORDIV: *out = v_float(floor((a - rest) / b + 0.5)); break;
    default: *out = v_float(pow(a, b)); break;
    }
    return true;
}

static bool repeat(run *r, value v, int64_t times, value *out) {
    size_t from = r->n_out;
    if (times < 0) times = 0;
    if (v.type == V_STRING) {
        if (v.s->n == 0) times = 0;
        if (times > 0 && (uint64_t)times > r->out_max / v.s->n)
            return run_error(r, LEAT_E_LIMIT, "the template makes too long a text");
        for (int64_t i = 0; i < times; i++)
            if (!put_text(r, v.s)) return false;
        return take_text(r, from, out);
    }
    if (v.l->n == 0) times = 0;
    if (times > 0 && (uint64_t)times > (uint64_t)10 * TEMPLATE_RANGE_MAX / v.l->n)
        return run_error(r, LEAT_E_LIMIT, "the template makes too long a list");
    if (!v_list(r, v.l->kind, (size_t)times * v.l->n, out)) return false;
    for (size_t i = 0; i < out->l->n; i++) out->l->v[i] = v.l->v[i % v.l->n];
    return true;
}

static bool is_sequence(value v) {
    return v.type == V_LIST && (v.l->kind == LIST || v.l->kind == TUPLE);
}

static bool join_lists(run *r, const list *a, const list *b, value *out) {
    if (!v_list(r, a->kind, a->n + b->n, out)) return false;
    if (a->n) memcpy(out->l->v, a->v, a->n * sizeof *a->v);
    if (b->n) memcpy(out->l->v + a->n, b->v, b->n * sizeof *b->v);
    return true;
}

bool math_binary(run *r, int op, value a, value b, value *out) {
    int64_t i, k;
    double x, y;
    if (value_int(a, &i) && value_int(b, &k)) return int_math(r, op, i, k, out);
    if (value_number(a, &x) && value_number(b, &y)) return float_math(r, op, x, y, out);
    if (op == '+') {
        if (a.type == V_STRING && b.type == V_STRING) return text_concat(r, a.s, b.s, out);
        if (is_sequence(a) && is_sequence(b) && a.l->kind == b.l->kind) return join_lists(r, a.l, b.l, out);
        if (r->js && (a.type == V_STRING || b.type == V_STRING) && a.type != V_UNDEFINED &&
            b.type != V_UNDEFINED) {
            const text *s, *t;
            return value_text(r, a, &s) && value_text(r, b, &t) && text_concat(r, s, t, out);
        }
    } else if (op == '*') {
        if ((a.type == V_STRING || is_sequence(a)) && value_int(b, &k)) return repeat(r, a, k, out);
        if ((b.type == V_STRING || is_sequence(b)) && value_int(a, &k)) return repeat(r, b, k, out);
    } else if (op == '%' && a.type == V_STRING) {
        return format_percent(r, a.s, b, NULL, out);
    }
    return operand_error(r, op, a, b);
}
