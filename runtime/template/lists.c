/* Filters over sequences and dicts: counting, picking, sorting, grouping, mapping and selecting. Called
 * through the table at the end; arguments are bound by builtin_call. */
#include <string.h>

#include "impl.h"

#define ARGS run *r, value self, const value *arg, const call *c, value *out

static bool given(value v) {
    return v.type != V_MISSING && v.type != V_NONE;
}

bool list_take(run *r, value v, value **items, size_t *n) {
    return value_iterate(r, v, items, n);
}

static bool length(ARGS) {
    (void)arg, (void)c;
    if (self.type == V_STRING) {
        *out = v_int((int64_t)text_length(self.s));
        return run_step(r, self.s->n);
    }
    if (self.type == V_UNDEFINED)
        *out = v_int(0);
    else if (self.type == V_LIST && (r->js || self.l->kind != GENERATOR || !self.l->used))
        *out = v_int((int64_t)self.l->n);
    else if (self.type == V_DICT)
        *out = v_int((int64_t)self.o->n);
    else
        return run_error(r, LEAT_E_TEMPLATE, "object of type '%s' has no len()", value_type_name(self));
    return true;
}

static bool edge(run *r, value self, bool last, value *out) {
    value *v;
    size_t n;
    if (!value_iterate(r, self, &v, &n)) return false;
    if (n == 0)
        return v_undefined(
            r, last ? "No last item, sequence was empty." : "No first item, sequence was empty.", out);
    *out = v[last ? n - 1 : 0];
    return true;
}

static bool first(ARGS) {
    (void)arg, (void)c;
    return edge(r, self, false, out);
}
static bool last(ARGS) {
    (void)arg, (void)c;
    return edge(r, self, true, out);
}

static bool list_filter(ARGS) {
    value *v;
    size_t n;
    (void)arg, (void)c;
    if (!value_iterate(r, self, &v, &n) || !v_list(r, LIST, n, out)) return false;
    if (n) memcpy(out->l->v, v, n * sizeof *v);
    return true;
}

static bool reverse(ARGS) {
    value *v;
    size_t n, from = r->n_out;
    (void)arg, (void)c;
    if (!value_iterate(r, self, &v, &n)) return false;
    if (self.type == V_STRING) {
        for (size_t i = n; i-- > 0;)
            if (!put_text(r, v[i].s)) return false;
        return take_text(r, from, out);
    }
    if (!v_list(r, GENERATOR, n, out)) return false;
    for (size_t i = 0; i < n; i++) out->l->v[i] = v[n - 1 - i];
    return true;
}

/* ---- attributes of elements ---- */

/* element.a.b.0 for the attribute "a.b.0"; a number is an index. */
static bool get_path(run *r, value v, value path, value fallback, value *out) {
    if (path.type == V_INT) return eval_item(r, v, path, out);
    if (path.type != V_STRING) {
        *out = v;
        return true;
    }
    for (size_t i = 0; i <= path.s->n;) {
        const char *dot = memchr(path.s->p + i, '.', path.s->n - i);
        size_t n = dot ? (size_t)(dot - path.s->p) - i : path.s->n - i;
        value key;
        int64_t number = 0;
        bool digits = n > 0 && n < 10;
        for (size_t k = 0; k < n && digits; k++) {
            digits = path.s->p[i + k] >= '0' && path.s->p[i + k] <= '9';
            number = number * 10 + (path.s->p[i + k] - '0');
        }
        key = v_int(number);
        if (!digits && !v_slice(r, path.s, i, n, &key)) return false;
        if (!eval_item(r, v, key, &v)) return false;
        if (v.type == V_UNDEFINED && given(fallback)) v = fallback;
        i += n + 1;
    }
    *out = v;
    return true;
}

static bool fold_case(run *r, value v, bool case_sensitive, value *out) {
    *out = v;
    return case_sensitive || v.type != V_STRING || text_case(r, v.s, CASE_LOWER, out);
}

/* One key of an element, or a list of them for attributes separated by commas. */
static bool get_key(run *r, value v, value path, bool case_sensitive, value *out) {
    value names, part;
    text comma = {.p = ",", .n = 1};
    if (path.type != V_STRING || !memchr(path.s->p, ',', path.s->n))
        return get_path(r, v, path, v_missing, &part) && fold_case(r, part, case_sensitive, out);
    if (!text_split(r, path.s, &comma, -1, false, &names) || !v_list(r, LIST, names.l->n, out)) return false;
    for (size_t i = 0; i < names.l->n; i++)
        if (!get_path(r, v, names.l->v[i], v_missing, &part) ||
            !fold_case(r, part, case_sensitive, &out->l->v[i]))
            return false;
    return true;
}

/* The keys by which elements are sorted or told apart. */
static bool make_keys(run *r, const value *v, size_t n, value path, bool case_sensitive, value **out) {
    value *keys = run_alloc(r, n, sizeof *keys);
    if (!keys) return false;
    for (size_t i = 0; i < n; i++)
        if (!get_key(r, v[i], path, case_sensitive, &keys[i])) return false;
    *out = keys;
    return true;
}

static bool key_less(run *r, value a, value b, bool *less) {
    if (a.type != V_STRING && a.type != V_INT) { /* equal ones are never asked which is less */
        if (!value_equal(r, a, b, less)) return false;
        if (*less) {
            *less = false;
            return true;
        }
    }
    return value_less(r, a, b, less);
}

/* A stable merge sort of indices by their keys, bottom up. */
static bool sort_order(run *r, const value *keys, size_t n, bool down, size_t **out) {
    size_t *a = run_alloc(r, n, sizeof *a), *b = run_alloc(r, n, sizeof *b);
    if (!a || !b) return false;
    for (size_t i = 0; i < n; i++) a[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            size_t i = from, middle = from + width < n ? from + width : n, k = middle;
            size_t end = middle + width < n ? middle + width : n;
            for (size_t to = from; to < end; to++) {
                bool second = i >= middle;
                if (!second && k < end &&
                    !(down ? key_less(r, keys[a[i]], keys[a[k]], &second)
                           : key_less(r, keys[a[k]], keys[a[i]], &second)))
                    return false;
                b[to] = second && k < end ? a[k++] : a[i++];
            }
        }
        size_t *t = a;
        a = b;
        b = t;
    }
    *out = a;
    return true;
}

static bool sorted(run *r, const value *v, size_t n, value path, bool case_sensitive, bool down, value *out) {
    value *keys;
    size_t *order;
    if (!make_keys(r, v, n, path, case_sensitive, &keys) || !sort_order(r, keys, n, down, &order) ||
        !v_list(r, LIST, n, out))
        return false;
    for (size_t i = 0; i < n; i++) out->l->v[i] = v[order[i]];
    return true;
}

static bool sort(ARGS) {
    value *v;
    size_t n;
    (void)c;
    return value_iterate(r, self, &v, &n) &&
           sorted(r, v, n, arg[2], value_truth(&arg[1]), value_truth(&arg[0]), out);
}

static bool items_of(run *r, value self, list_kind kind, value *out) {
    if (self.type == V_UNDEFINED) return v_list(r, kind, 0, out);
    if (self.type != V_DICT) return run_error(r, LEAT_E_TEMPLATE, "Can only get item pairs from a mapping.");
    if (!v_list(r, kind, self.o->n, out)) return false;
    for (size_t i = 0; i < self.o->n; i++) {
        value *pair = &out->l->v[i];
        if (!v_list(r, TUPLE, 2, pair)) return false;
        pair->l->v[0] = self.o->e[i].key;
        pair->l->v[1] = self.o->e[i].v;
    }
    return true;
}

static bool items(ARGS) {
    (void)arg, (void)c;
    return items_of(r, self, GENERATOR, out);
}

static bool dictsort(ARGS) {
    value pairs;
    bool by_value = arg[1].type == V_STRING && text_eq(arg[1].s, "value");
    (void)c;
    return items_of(r, self, LIST, &pairs) && sorted(r, pairs.l->v, pairs.l->n, v_int(by_value),
                                                     value_truth(&arg[0]), value_truth(&arg[2]), out);
}

static bool unique(ARGS) {
    value *v, *keys, seen;
    size_t n, used = 0;
    (void)c;
    if (!value_iterate(r, self, &v, &n) || !make_keys(r, v, n, arg[1], value_truth(&arg[0]), &keys) ||
        !v_dict(r, V_DICT, &seen) || !v_list(r, GENERATOR, n, out))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t before = seen.o->n;
        if (!dict_set(r, seen.o, keys[i], v_none)) return false;
        if (seen.o->n > before) out->l->v[used++] = v[i];
    }
    out->l->n = used;
    return true;
}

static bool extreme(run *r, value self, const value *arg, bool most, value *out) {
    value *v, *keys;
    size_t n, best = 0;
    if (!value_iterate(r, self, &v, &n) || !make_keys(r, v, n, arg[1], value_truth(&arg[0]), &keys))
        return false;
    if (n == 0) return v_undefined(r, "No aggregated item, sequence was empty.", out);
    for (size_t i = 1; i < n; i++) {
        bool better;
        if (!(most ? value_less(r, keys[best], keys[i], &better)
                   : value_less(r, keys[i], keys[best], &better)))
            return false;
        if (better) best = i;
    }
    *out = v[best];
    return true;
}

static bool min_filter(ARGS) {
    (void)c;
    return extreme(r, self, arg, false, out);
}
static bool max_filter(ARGS) {
    (void)c;
    return extreme(r, self, arg, true, out);
}

static bool sum(ARGS) {
    value *v;
    size_t n;
    (void)c;
    if (!value_iterate(r, self, &v, &n)) return false;
    *out = arg[1].type == V_MISSING ? v_int(0) : arg[1];
    for (size_t i = 0; i < n; i++) {
        value x;
        if (!get_path(r, v[i], arg[0], v_missing, &x) || !math_binary(r, '+', *out, x, out)) return false;
    }
    return true;
}

static bool join(ARGS) {
    value *v, separator = arg[0];
    size_t n, from = r->n_out;
    (void)c;
    if (!value_iterate(r, self, &v, &n)) return false;
    for (size_t i = 0; i < n; i++) {
        value x;
        if (i && separator.type != V_MISSING && !put_value(r, separator)) return false;
        if (!get_path(r, v[i], arg[1], v_missing, &x) || !put_value(r, x)) return false;
    }
    return take_text(r, from, out);
}

/* ---- cutting into rows ---- */

static bool batch(ARGS) {
    value *v;
    size_t n;
    int64_t width;
    (void)c;
    if (!value_iterate(r, self, &v, &n)) return false;
    if (!value_int(arg[0], &width) || width < 1 || width > TEMPLATE_RANGE_MAX)
        return run_error(r, LEAT_E_TEMPLATE, "batch() needs a positive number");
    size_t w = (size_t)width, rows = (n + w - 1) / w;
    if (!v_list(r, GENERATOR, rows, out)) return false;
    for (size_t i = 0; i < rows; i++) {
        size_t left = n - i * w < w ? n - i * w : w;
        if (!v_list(r, LIST, given(arg[1]) ? w : left, &out->l->v[i])) return false;
        for (size_t k = 0; k < out->l->v[i].l->n; k++)
            out->l->v[i].l->v[k] = k < left ? v[i * w + k] : arg[1];
    }
    return true;
}

static bool slice(ARGS) {
    value *v;
    size_t n, at = 0;
    int64_t count;
    (void)c;
    if (!value_iterate(r, self, &v, &n)) return false;
    if (!value_int(arg[0], &count) || count < 1 || count > TEMPLATE_RANGE_MAX)
        return run_error(r, LEAT_E_TEMPLATE, "slice() needs a positive number");
    size_t rows = (size_t)count, extra = n % rows;
    if (!v_list(r, GENERATOR, rows, out)) return false;
    for (size_t i = 0; i < rows; i++) {
        size_t mine = n / rows + (i < extra), fill = given(arg[1]) && i >= extra;
        if (!v_list(r, LIST, mine + fill, &out->l->v[i])) return false;
        for (size_t k = 0; k < mine; k++) out->l->v[i].l->v[k] = v[at++];
        if (fill) out->l->v[i].l->v[mine] = arg[1];
    }
    return true;
}

static bool groupby(ARGS) {
    value *v, *keys, row;
    size_t n, *order, groups = 0;
    (void)c;
    if (!value_iterate(r, self, &v, &n)) return false;
    keys = run_alloc(r, n, sizeof *keys);
    if (!keys) return false;
    for (size_t i = 0; i < n; i++)
        if (!get_path(r, v[i], arg[0], arg[1], &keys[i]) ||
            !fold_case(r, keys[i], value_truth(&arg[2]), &keys[i]))
            return false;
    if (!sort_order(r, keys, n, false, &order) || !v_list(r, LIST, n, out)) return false;
    for (size_t i = 0; i < n;) {
        size_t end = i;
        bool same = true;
        while (end < n && same) {
            if (!value_equal(r, keys[order[i]], keys[order[end]], &same)) return false;
            end += same;
        }
        value *pair = &out->l->v[groups++];
        if (!v_list(r, TUPLE, 2, pair) || !v_list(r, LIST, end - i, &row) ||
            !get_path(r, v[order[i]], arg[0], arg[1], &pair->l->v[0]))
            return false;
        pair->l->v[1] = row;
        for (size_t k = i; k < end; k++) row.l->v[k - i] = v[order[k]];
        i = end;
    }
    out->l->n = groups;
    return true;
}

/* ---- map, select ---- */

static const value *named(const call *c, const char *word) {
    for (size_t i = 0; i < c->n_kw; i++)
        if (str_eq(c->kw[i].name->text, word)) return &c->kw[i].v;
    return NULL;
}

/* The filter or test that an argument names; its own arguments follow. */
static const builtin *named_builtin(run *r, const call *c, size_t at, bool test) {
    const builtin *fn = NULL;
    if (at >= c->n || c->v[at].type != V_STRING) {
        run_error(r, LEAT_E_TEMPLATE, "the name of a %s is expected", test ? "test" : "filter");
        return NULL;
    }
    const text *s = c->v[at].s;
    fn = test ? find_test(s->p, s->n) : find_filter(s->p, s->n);
    if (!fn)
        run_error(r, LEAT_E_TEMPLATE, "there is no %s called %.*s", test ? "test" : "filter",
                  (int)(s->n < 60 ? s->n : 60), s->p);
    return fn;
}

static bool map(ARGS) {
    value *v;
    size_t n;
    const value *attribute = named(c, "attribute"), *fallback = named(c, "default");
    const builtin *fn = NULL;
    call rest = {0};
    (void)arg;
    if (!attribute || c->n) {
        if (!(fn = named_builtin(r, c, 0, false))) return false;
        rest = (call){c->v + 1, c->n - 1, c->kw, c->n_kw, fn->name};
    }
    if (!value_iterate(r, self, &v, &n) || !v_list(r, GENERATOR, n, out)) return false;
    for (size_t i = 0; i < n; i++) {
        value *to = &out->l->v[i];
        if (!(fn ? builtin_call(r, fn, v[i], &rest, to)
                 : get_path(r, v[i], *attribute, fallback ? *fallback : v_missing, to)))
            return false;
    }
    return true;
}

static bool select_or_reject(run *r, value self, const call *c, bool attribute, bool keep, value *out) {
    value *v;
    size_t n, used = 0, skip = attribute;
    const builtin *fn = NULL;
    call rest = {0};
    if (attribute && c->n == 0) return run_error(r, LEAT_E_TEMPLATE, "the name of an attribute is expected");
    if (c->n > skip) {
        if (!(fn = named_builtin(r, c, skip, true))) return false;
        rest = (call){c->v + skip + 1, c->n - skip - 1, c->kw, c->n_kw, fn->name};
    }
    if (!value_iterate(r, self, &v, &n) || !v_list(r, GENERATOR, n, out)) return false;
    for (size_t i = 0; i < n; i++) {
        value x = v[i], yes;
        if (attribute && !get_path(r, v[i], c->v[0], v_missing, &x)) return false;
        yes = x;
        if (fn && !builtin_call(r, fn, x, &rest, &yes)) return false;
        if (value_truth(&yes) == keep) out->l->v[used++] = v[i];
    }
    out->l->n = used;
    return true;
}

static bool select_filter(ARGS) {
    (void)arg;
    return select_or_reject(r, self, c, false, true, out);
}
static bool reject(ARGS) {
    (void)arg;
    return select_or_reject(r, self, c, false, false, out);
}
static bool selectattr(ARGS) {
    (void)arg;
    return select_or_reject(r, self, c, true, true, out);
}
static bool rejectattr(ARGS) {
    (void)arg;
    return select_or_reject(r, self, c, true, false, out);
}

const builtin filters_list[] = {
    {"length", length, ""},
    {"count", length, ""},
    {"first", first, ""},
    {"last", last, ""},
    {"list", list_filter, ""},
    {"reverse", reverse, ""},
    {"sort", sort, "reverse case_sensitive attribute"},
    {"dictsort", dictsort, "case_sensitive by reverse"},
    {"items", items, ""},
    {"unique", unique, "case_sensitive attribute"},
    {"min", min_filter, "case_sensitive attribute"},
    {"max", max_filter, "case_sensitive attribute"},
    {"sum", sum, "attribute start"},
    {"join", join, "d attribute"},
    {"batch", batch, "linecount fill_with"},
    {"slice", slice, "slices fill_with"},
    {"groupby", groupby, "attribute default case_sensitive"},
    {"map", map, NULL},
    {"select", select_filter, NULL},
    {"reject", reject, NULL},
    {"selectattr", selectattr, NULL},
    {"rejectattr", rejectattr, NULL},
    {NULL, NULL, NULL},
};
