/* Tests (`x is defined`), and the functions that are always there (range, namespace, raise_exception, ...);
 * and how builtins of all kinds are found by name. */
#include <string.h>

#include "impl.h"
#include "runtime/text/unicode.h"
#include "runtime/text/utf8.h"

#define ARGS run *r, value self, const value *arg, const call *c, value *out
#define TEST(name, condition)                                                                                \
    static bool name(ARGS) {                                                                                 \
        (void)r, (void)self, (void)arg, (void)c;                                                             \
        *out = v_bool(condition);                                                                            \
        return true;                                                                                         \
    }
#define COMPARISON(name, op)                                                                                 \
    static bool name(ARGS) {                                                                                 \
        bool result;                                                                                         \
        (void)c;                                                                                             \
        if (!value_compare(r, op, self, arg[0], &result)) return false;                                      \
        *out = v_bool(result);                                                                               \
        return true;                                                                                         \
    }

static bool is_type(value v, value_type type) {
    return v.type == type;
}

static bool is_callable(value v) {
    return v.type == V_MACRO || v.type == V_METHOD || v.type == V_GLOBAL || v.type == V_LOOP ||
           v.type == V_JOINER;
}

static bool is_sequence(value v) {
    return v.type == V_STRING || v.type == V_DICT || v.type == V_UNDEFINED || v.type == V_LOOP ||
           (v.type == V_LIST && (v.l->kind == LIST || v.l->kind == TUPLE || v.l->kind == RANGE));
}

static bool is_number(value v) {
    double d;
    return value_number(v, &d);
}

/* As str.isupper and str.islower: some letter has case, and none has the other. */
static bool all_case(run *r, value v, bool upper, bool *out) {
    const text *s;
    value changed;
    size_t letters = 0;
    if (!value_text(r, v, &s) || !text_case(r, s, upper ? CASE_UPPER : CASE_LOWER, &changed)) return false;
    *out = changed.s->n == s->n && !memcmp(changed.s->p, s->p, s->n);
    if (!text_case(r, s, CASE_SWAP, &changed)) return false;
    letters = changed.s->n != s->n || memcmp(changed.s->p, s->p, s->n) != 0;
    *out = *out && letters;
    return true;
}

TEST(test_defined, !is_type(self, V_UNDEFINED))
TEST(test_undefined, is_type(self, V_UNDEFINED))
TEST(test_none, is_type(self, V_NONE))
TEST(test_boolean, is_type(self, V_BOOL))
TEST(test_true, is_type(self, V_BOOL) && self.b)
TEST(test_false, is_type(self, V_BOOL) && !self.b)
TEST(test_integer, is_type(self, V_INT))
TEST(test_float, is_type(self, V_FLOAT))
TEST(test_number, is_number(self))
TEST(test_string, is_type(self, V_STRING))
TEST(test_mapping, is_type(self, V_DICT))
TEST(test_sequence, is_sequence(self))
TEST(test_iterable, is_sequence(self) || is_type(self, V_LIST))
TEST(test_callable, is_callable(self))
TEST(test_escaped, false)
TEST(test_filter, is_type(self, V_STRING) && find_filter(self.s->p, self.s->n))
TEST(test_test, is_type(self, V_STRING) && find_test(self.s->p, self.s->n))
COMPARISON(test_eq, T_EQ)
COMPARISON(test_ne, T_NE)
COMPARISON(test_lt, '<')
COMPARISON(test_le, T_LE)
COMPARISON(test_gt, '>')
COMPARISON(test_ge, T_GE)
COMPARISON(test_in, T_IN)

static bool test_sameas(ARGS) {
    bool same = false;
    (void)c;
    if (self.type == arg[0].type && !value_equal(r, self, arg[0], &same)) return false;
    if (self.type == V_LIST || self.type == V_DICT) same = self.type == arg[0].type && self.l == arg[0].l;
    *out = v_bool(same);
    return true;
}

static bool divisible(run *r, value v, value by, int64_t rest, value *out) {
    bool same;
    return math_binary(r, '%', v, by, out) && value_equal(r, *out, v_int(rest), &same) &&
           (*out = v_bool(same), true);
}

static bool test_odd(ARGS) {
    (void)arg, (void)c;
    return divisible(r, self, v_int(2), 1, out);
}
static bool test_even(ARGS) {
    (void)arg, (void)c;
    return divisible(r, self, v_int(2), 0, out);
}
static bool test_divisibleby(ARGS) {
    (void)c;
    return divisible(r, self, arg[0], 0, out);
}

static bool test_upper(ARGS) {
    bool yes;
    (void)arg, (void)c;
    if (!all_case(r, self, true, &yes)) return false;
    *out = v_bool(yes);
    return true;
}

static bool test_lower(ARGS) {
    bool yes;
    (void)arg, (void)c;
    if (!all_case(r, self, false, &yes)) return false;
    *out = v_bool(yes);
    return true;
}

const builtin template_tests[] = {
    {"defined", test_defined, ""},
    {"undefined", test_undefined, ""},
    {"none", test_none, ""},
    {"boolean", test_boolean, ""},
    {"true", test_true, ""},
    {"false", test_false, ""},
    {"integer", test_integer, ""},
    {"float", test_float, ""},
    {"number", test_number, ""},
    {"string", test_string, ""},
    {"mapping", test_mapping, ""},
    {"sequence", test_sequence, ""},
    {"iterable", test_iterable, ""},
    {"callable", test_callable, ""},
    {"sameas", test_sameas, "other"},
    {"odd", test_odd, ""},
    {"even", test_even, ""},
    {"divisibleby", test_divisibleby, "num"},
    {"upper", test_upper, ""},
    {"lower", test_lower, ""},
    {"in", test_in, "seq"},
    {"escaped", test_escaped, ""},
    {"filter", test_filter, ""},
    {"test", test_test, ""},
    {"eq", test_eq, "b"},
    {"==", test_eq, "b"},
    {"equalto", test_eq, "b"},
    {"ne", test_ne, "b"},
    {"!=", test_ne, "b"},
    {"lt", test_lt, "b"},
    {"<", test_lt, "b"},
    {"lessthan", test_lt, "b"},
    {"le", test_le, "b"},
    {"<=", test_le, "b"},
    {"gt", test_gt, "b"},
    {">", test_gt, "b"},
    {"greaterthan", test_gt, "b"},
    {"ge", test_ge, "b"},
    {">=", test_ge, "b"},
    {NULL, NULL, NULL},
};

/* ---- functions ---- */

static bool range(ARGS) {
    int64_t start = 0, stop, step = 1;
    uint64_t n = 0;
    (void)self, (void)c;
    if (!value_int(arg[0], &stop) || (arg[1].type != V_MISSING && !value_int(arg[1], &stop)) ||
        (arg[2].type != V_MISSING && !value_int(arg[2], &step)))
        return run_error(r, LEAT_E_TEMPLATE, "range() needs whole numbers");
    if (arg[1].type != V_MISSING) value_int(arg[0], &start);
    if (step == 0) return run_error(r, LEAT_E_TEMPLATE, "range() arg 3 must not be zero");
    if (step > 0 && start < stop) n = ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
    if (step < 0 && start > stop) n = ((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1;
    if (n > TEMPLATE_RANGE_MAX)
        return run_error(r, LEAT_E_LIMIT, "a range of more than %d numbers is not allowed",
                         TEMPLATE_RANGE_MAX);
    if (!v_list(r, RANGE, (size_t)n, out)) return false;
    out->l->start = start;
    out->l->stop = stop;
    out->l->step = step;
    for (uint64_t i = 0; i < n; i++) out->l->v[i] = v_int((int64_t)((uint64_t)start + i * (uint64_t)step));
    return true;
}

/* Members from a dict or pairs, then from keywords. */
static bool fill_dict(run *r, const call *c, dict *o) {
    value *items, key;
    size_t n;
    if (c->n > 1) return run_error(r, LEAT_E_TEMPLATE, "at most one positional argument is expected");
    if (c->n == 1 && c->v[0].type == V_DICT) {
        for (size_t i = 0; i < c->v[0].o->n; i++)
            if (!dict_set(r, o, c->v[0].o->e[i].key, c->v[0].o->e[i].v)) return false;
    } else if (c->n == 1) {
        if (!value_iterate(r, c->v[0], &items, &n)) return false;
        for (size_t i = 0; i < n; i++) {
            if (items[i].type != V_LIST || items[i].l->n != 2)
                return run_error(r, LEAT_E_TEMPLATE, "a pair is expected for each member of a dict");
            if (!dict_set(r, o, items[i].l->v[0], items[i].l->v[1])) return false;
        }
    }
    for (size_t i = 0; i < c->n_kw; i++) {
        str s = c->kw[i].name->text;
        if (!v_copy(r, s.p, s.n, false, &key) || !dict_set(r, o, key, c->kw[i].v)) return false;
    }
    return true;
}

static bool dict_function(ARGS) {
    (void)self, (void)arg;
    return v_dict(r, V_DICT, out) && fill_dict(r, c, out->o);
}

static bool namespace_function(ARGS) {
    (void)self, (void)arg;
    return v_dict(r, V_NAMESPACE, out) && fill_dict(r, c, out->o);
}

static bool cycler_function(ARGS) {
    (void)self, (void)arg;
    if (c->n == 0) return run_error(r, LEAT_E_TEMPLATE, "at least one item has to be provided");
    cycler *k = run_alloc(r, 1, sizeof *k);
    if (!k) return false;
    k->v = c->v;
    k->n = c->n;
    *out = (value){.type = V_CYCLER, .cycler = k};
    return true;
}

static bool joiner(ARGS) {
    cycler *k = run_alloc(r, 1, sizeof *k);
    (void)self, (void)c;
    if (!k) return false;
    k->separator = arg[0];
    if (arg[0].type == V_MISSING && !v_static(r, ", ", &k->separator)) return false;
    *out = (value){.type = V_JOINER, .cycler = k};
    return true;
}

static bool raise_exception(ARGS) {
    const text *s;
    (void)self, (void)c, (void)out;
    if (!value_text(r, arg[0], &s)) return false;
    return run_error(r, LEAT_E_TEMPLATE, "%.*s", (int)(s->n < 200 ? s->n : 200), s->p);
}

static bool strftime_now(ARGS) {
    size_t from = r->n_out;
    (void)self, (void)c;
    if (arg[0].type != V_STRING) return run_error(r, LEAT_E_TEMPLATE, "strftime_now() needs a format");
    if (r->now.year == 0)
        return run_error(r, LEAT_E_TEMPLATE, "strftime_now() is asked, but the time was not given");
    return put_time(r, arg[0].s, &r->now) && take_text(r, from, out);
}

const builtin template_globals[] = {
    {"range", range, "start stop step"},
    {"dict", dict_function, NULL},
    {"namespace", namespace_function, NULL},
    {"cycler", cycler_function, NULL},
    {"joiner", joiner, "sep"},
    {"raise_exception", raise_exception, "message"},
    {"strftime_now", strftime_now, "format"},
    {NULL, NULL, NULL},
};

/* ---- finding ---- */

const builtin *builtin_in(const builtin *all, const char *p, size_t n) {
    for (; all->name; all++)
        if (all->name[0] == (n ? *p : '\0') && strlen(all->name) == n && !memcmp(all->name, p, n)) return all;
    return NULL;
}

const builtin *find_filter(const char *p, size_t n) {
    const builtin *fn = builtin_in(filters_value, p, n);
    if (!fn) fn = builtin_in(filters_text, p, n);
    return fn ? fn : builtin_in(filters_list, p, n);
}

const builtin *find_test(const char *p, size_t n) {
    return builtin_in(template_tests, p, n);
}

const builtin *find_global(const char *p, size_t n) {
    return builtin_in(template_globals, p, n);
}
