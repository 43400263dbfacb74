/* Filters that turn one value into another: defaults, numbers, JSON, attributes. Called through the table at
 * the end; arguments are bound by builtin_call. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/text/number.h"
#include "impl.h"

#define ARGS run *r, value self, const value *arg, const call *c, value *out

static bool given(value v) {
    return v.type != V_MISSING && v.type != V_NONE;
}

static bool default_filter(ARGS) {
    (void)c;
    *out = self;
    if (self.type != V_UNDEFINED && !(value_truth(&arg[1]) && !value_truth(&self))) return true;
    if (arg[0].type == V_MISSING) return v_static(r, "", out);
    *out = arg[0];
    return true;
}

/* A number as Python's int() and float() read it, without the white space around and underscores between
 * digits; what is left in out, NUL behind. */
static size_t clean_number(run *r, const text *s, char *out, size_t capacity) {
    value inner;
    size_t n = 0;
    if (!text_strip(r, s, NULL, true, true, &inner)) return 0;
    s = inner.s;
    for (size_t i = 0; i < s->n; i++) {
        bool between = s->p[i] == '_' && i > 0 && i + 1 < s->n && s->p[i - 1] != '_';
        if (between) continue;
        if (n + 1 >= capacity) return 0;
        if (n == 0 && s->p[i] == '+' && s->n > 1 && s->p[i + 1] != '-') continue;
        out[n++] = s->p[i];
    }
    out[n] = '\0';
    return n;
}

static bool parse_float(run *r, const text *s, double *out) {
    char clean[512];
    size_t n = clean_number(r, s, clean, sizeof clean - 2);
    bool integer;
    if (n == 0) return false;
    const char *word = clean + (clean[0] == '-');
    char lower[10] = "";
    for (size_t i = 0; i < 9 && word[i]; i++) lower[i] = (char)(word[i] | 32);
    if (!strcmp(lower, "inf") || !strcmp(lower, "infinity") || !strcmp(lower, "nan")) {
        *out = lower[0] == 'n' ? NAN : clean[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (*word == '.') { /* .5 */
        memmove(clean + (word - clean) + 1, word, strlen(word) + 1);
        clean[word - clean] = '0';
        n++;
    }
    if (clean[n - 1] == '.') n--; /* 5. */
    if (number_scan(clean, n, false, &integer) != n) return false;
    *out = number_double(clean, n);
    return true;
}

static bool parse_int(run *r, const text *s, int64_t base, int64_t *out) {
    char clean[80];
    size_t n = clean_number(r, s, clean, sizeof clean), i = clean[0] == '-';
    bool negative = i;
    uint64_t v = 0;
    if (n == 0) return false;
    char prefix = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : '\0';
    if (prefix && n > i + 2 && clean[i] == '0' && (clean[i + 1] | 32) == prefix) i += 2;
    if (i == n) return false;
    for (; i < n; i++) {
        char k = (char)(clean[i] | 32);
        unsigned d = clean[i] >= '0' && clean[i] <= '9' ? (unsigned)(clean[i] - '0')
                     : k >= 'a' && k <= 'z'             ? (unsigned)(k - 'a') + 10
                                                        : 99;
        if (d >= (unsigned)base || v > (INT64_MAX - d) / (uint64_t)base) return false;
        v = v * (uint64_t)base + d;
    }
    *out = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool undefined_use(run *r, value v) {
    value unused;
    return math_binary(r, '-', v, v, &unused);
}

static bool int_filter(ARGS) {
    int64_t i, base = 10;
    double d;
    (void)c;
    if (self.type == V_UNDEFINED) return undefined_use(r, self);
    *out = arg[0].type == V_MISSING ? v_int(0) : arg[0];
    if (arg[1].type != V_MISSING && (!value_int(arg[1], &base) || base < 2 || base > 36))
        return run_error(r, LEAT_E_TEMPLATE, "int() base must be >= 2 and <= 36");
    if (self.type == V_STRING && parse_int(r, self.s, base, &i)) {
        *out = v_int(i);
        return true;
    }
    if (value_int(self, &i)) {
        *out = v_int(i);
        return true;
    }
    if (self.type == V_FLOAT)
        d = self.d;
    else if (self.type != V_STRING || !parse_float(r, self.s, &d))
        return !r->status;
    if (d > -9.2e18 && d < 9.2e18) *out = v_int((int64_t)d);
    return true;
}

static bool float_filter(ARGS) {
    double d;
    (void)c;
    if (self.type == V_UNDEFINED) return undefined_use(r, self);
    if (value_number(self, &d) || (self.type == V_STRING && parse_float(r, self.s, &d)))
        *out = v_float(d);
    else
        *out = arg[0].type == V_MISSING ? v_float(0) : arg[0];
    return !r->status;
}

static bool abs_filter(ARGS) {
    (void)arg, (void)c;
    if (self.type == V_FLOAT) {
        *out = v_float(fabs(self.d));
        return true;
    }
    int64_t i;
    if (!value_int(self, &i))
        return self.type == V_UNDEFINED
                   ? undefined_use(r, self)
                   : run_error(r, LEAT_E_TEMPLATE, "bad operand type for abs(): '%s'", value_type_name(self));
    *out = v_int(i);
    return i >= 0 || math_binary(r, '-', v_int(0), v_int(i), out);
}

/* Rounded to `digits` after the point, from the exact binary value, halves to even: what snprintf does. */
static double round_digits(double d, int64_t digits) {
    char printed[400], clean[400];
    size_t n = 0;
    bool integer;
    if (!isfinite(d) || digits > 300) return d;
    if (digits < 0) {
        double scale = pow(10, (double)-digits);
        return nearbyint(d / scale) * scale;
    }
    snprintf(printed, sizeof printed, "%.*f", (int)digits, d);
    for (const char *p = printed; *p; p++) clean[n++] = (*p >= '0' && *p <= '9') || *p == '-' ? *p : '.';
    return number_scan(clean, n, false, &integer) == n ? number_double(clean, n) : d;
}

static bool round_filter(ARGS) {
    double d;
    int64_t digits = 0, i;
    (void)c;
    if (!value_number(self, &d))
        return self.type == V_UNDEFINED
                   ? undefined_use(r, self)
                   : run_error(r, LEAT_E_TEMPLATE, "round() needs a number, not %s", value_type_name(self));
    if (arg[0].type != V_MISSING && !value_int(arg[0], &digits))
        return run_error(r, LEAT_E_TEMPLATE, "round() needs a whole number of digits");
    if (digits < -300) digits = -300;
    bool up = arg[1].type == V_STRING && text_eq(arg[1].s, "ceil"),
         down = arg[1].type == V_STRING && text_eq(arg[1].s, "floor");
    if (up || down) {
        double scale = pow(10, (double)digits);
        *out = v_float((up ? ceil(d * scale) : floor(d * scale)) / scale);
        return true;
    }
    if (value_int(self, &i) && digits >= 0)
        *out = v_int(i);
    else if (value_int(self, &i))
        *out = v_int((int64_t)round_digits(d, digits));
    else
        *out = v_float(round_digits(d, digits));
    return true;
}

/* As Hugging Face's: json.dumps(x, ensure_ascii, indent, separators, sort_keys). */
static bool tojson(ARGS) {
    text item = {.p = ", ", .n = 2}, key = {.p = ": ", .n = 2};
    value indent = arg[1];
    size_t from = r->n_out;
    int64_t width;
    (void)c;
    if (given(indent) && value_int(indent, &width)) {
        indent = v_int(width < 0 ? 0 : width > 1000 ? 1000 : width);
    } else if (given(indent) && indent.type != V_STRING) {
        return run_error(r, LEAT_E_TEMPLATE, "tojson() needs a number or a string to indent by");
    }
    if (given(indent)) item.n = 1;
    if (given(arg[2])) {
        value *v;
        size_t n;
        if (!value_iterate(r, arg[2], &v, &n)) return false;
        if (n != 2 || v[0].type != V_STRING || v[1].type != V_STRING)
            return run_error(r, LEAT_E_TEMPLATE, "tojson() needs two strings as separators");
        item = *v[0].s;
        key = *v[1].s;
    }
    return put_json(r, self, given(indent) ? &indent : NULL, &item, &key, value_truth(&arg[0]),
                    value_truth(&arg[3]), 0) &&
           take_text(r, from, out);
}

static bool attr(ARGS) {
    (void)c;
    if (arg[0].type != V_STRING) return run_error(r, LEAT_E_TEMPLATE, "attr() needs a name");
    if (self.type == V_DICT) return v_undefined_in(r, self, arg[0], out); /* attributes, not items */
    return eval_attribute(r, self, (str){arg[0].s->p, arg[0].s->n}, out);
}

static bool pprint(ARGS) {
    size_t from = r->n_out;
    (void)arg, (void)c;
    return put_repr(r, self, 0) && take_text(r, from, out);
}

static bool filesizeformat(ARGS) {
    static const char *const units[2][9] = {
        {"Bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
        {"Bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    bool binary = value_truth(&arg[0]);
    double d, base = binary ? 1024 : 1000;
    size_t from = r->n_out, i = 0;
    (void)c;
    if (!value_number(self, &d)) return run_error(r, LEAT_E_TEMPLATE, "filesizeformat() needs a number");
    if (d < base)
        return put_format(r, d == 1 ? "1 Byte" : "%lld Bytes", (long long)d) && take_text(r, from, out);
    while (d >= base && i < 8) {
        d /= base;
        i++;
    }
    long long tenths = (long long)nearbyint(d * 10);
    return put_format(r, "%lld.%lld %s", tenths / 10, tenths % 10, units[binary][i]) &&
           take_text(r, from, out);
}

const builtin filters_value[] = {
    {"default", default_filter, "default_value boolean"},
    {"d", default_filter, "default_value boolean"},
    {"int", int_filter, "default base"},
    {"float", float_filter, "default"},
    {"abs", abs_filter, ""},
    {"round", round_filter, "precision method"},
    {"tojson", tojson, "ensure_ascii indent separators sort_keys"},
    {"attr", attr, "name"},
    {"pprint", pprint, ""},
    {"filesizeformat", filesizeformat, "binary"},
    {NULL, NULL, NULL},
};
