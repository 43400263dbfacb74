/* Strings and numbers as JSON schemas describe them, spelled as in JSON: lengths, patterns and formats;
 * bounds, digit by digit. Called by schema.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "schema.h"
#include "loader/alloc.h"

uint32_t schema_quoted(schema *s, str text) {
    size_t n = json_quote(text.p, text.n, false, NULL, 0);
    char small[256], *quoted = n <= sizeof small ? small : mem_alloc(n, 1);
    if (!quoted) return tree_fail(s->t, LEAT_E_NOMEM, "out of memory for a schema");
    json_quote(text.p, text.n, false, quoted, n);
    uint32_t node = tree_bytes(s->t, quoted, n);
    if (quoted != small) mem_free(quoted);
    return node;
}

uint32_t schema_literal(schema *s, const json_value *value, unsigned depth) {
    grammar_tree *t = s->t;
    if (depth > JSON_DEPTH_MAX) return schema_fail(s, LEAT_E_LIMIT, value, "this value is nested too deep");
    switch (value->type) {
    case JSON_NULL: return tree_text(t, "null");
    case JSON_BOOL: return tree_text(t, value->boolean ? "true" : "false");
    case JSON_INT:
    case JSON_FLOAT: return tree_bytes(t, value->text.p, value->text.n);
    case JSON_STRING: return schema_quoted(s, value->text);
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    bool object = value->type == JSON_OBJECT;
    uint32_t list = tree_list(t, NODE_SEQ);
    tree_append(t, list, tree_text(t, object ? "{" : "["));
    for (const json_value *child = value->first; child && !t->status; child = child->next) {
        if (child != value->first) tree_append(t, list, tree_text(t, ", "));
        if (object) tree_append(t, list, schema_quoted(s, child->key));
        if (object) tree_append(t, list, tree_text(t, ": "));
        tree_append(t, list, schema_literal(s, child, depth + 1));
    }
    tree_append(t, list, tree_text(t, object ? "}" : "]"));
    return list;
}

/* ---- strings ---- */

static uint32_t character_class(grammar_tree *t, uint32_t low, uint32_t high) {
    grammar_range range = {low, high};
    return tree_class(t, &range, 1, false);
}

/* \uXXXX but for surrogates: a lone one would be no character. */
static uint32_t unicode_escape(grammar_tree *t) {
    const grammar_range hex[] = {{'0', '9'}, {'a', 'f'}, {'A', 'F'}}, low[] = {{'0', '7'}},
                        d[] = {{'d', 'd'}, {'D', 'D'}};
    const grammar_range not_d[] = {{'0', '9'}, {'a', 'c'}, {'e', 'f'}, {'A', 'C'}, {'E', 'F'}};
    uint32_t digit = tree_class(t, hex, 3, false), head = tree_list(t, NODE_ALT);
    tree_append(t, head, tree_seq(t, 2, (const uint32_t[]){tree_class(t, not_d, 5, false), digit}));
    tree_append(t, head,
                tree_seq(t, 2, (const uint32_t[]){tree_class(t, d, 2, false), tree_class(t, low, 1, false)}));
    return tree_seq(t, 4, (const uint32_t[]){tree_text(t, "\\u"), head, digit, digit});
}

uint32_t schema_character(schema *s) {
    grammar_tree *t = s->t;
    const grammar_range never[] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}, {0x7F, 0x7F}};
    const grammar_range escapes[] = {{'"', '"'}, {'\\', '\\'}, {'b', 'b'}, {'f', 'f'},
                                     {'n', 'n'}, {'r', 'r'},   {'t', 't'}};
    uint32_t list = tree_list(t, NODE_ALT);
    tree_append(t, list, tree_class(t, never, 4, true));
    tree_append(t, list,
                tree_seq(t, 2, (const uint32_t[]){tree_text(t, "\\"), tree_class(t, escapes, 7, false)}));
    tree_append(t, list, unicode_escape(t));
    return list;
}

/* A character of a pattern, as it stands in a JSON string. */
static uint32_t quoted_class(grammar_tree *t, const grammar_range *ranges, size_t n, bool negated) {
    uint32_t whole = tree_class(t, ranges, n, negated), list = tree_list(t, NODE_ALT);
    if (t->status) return 0;
    uint32_t first = t->nodes[whole].a, count = t->nodes[whole].b;
    for (uint32_t i = 0; i < count && !t->status; i++) {
        grammar_range r = t->ranges[first + i];
        while (r.low <= r.high && !t->status) {
            uint32_t high = r.high;
            if (r.low < 0x20 || r.low == '"' || r.low == '\\') {
                static const char short_forms[] = "\bb\ff\nn\rr\tt\"\"\\\\";
                const char *form = r.low ? strchr(short_forms, (int)r.low) : NULL;
                char text[8];
                if (form)
                    snprintf(text, sizeof text, "\\%c", form[1]);
                else
                    snprintf(text, sizeof text, "\\u%04x", (unsigned)r.low);
                tree_append(t, list, tree_text(t, text));
                high = r.low;
            } else {
                if (r.low < '"' && high >= '"') high = '"' - 1;
                if (r.low < '\\' && high >= '\\') high = '\\' - 1;
                tree_append(t, list, character_class(t, r.low, high));
            }
            r.low = high + 1;
        }
    }
    return list;
}

/* Formats whose texts an automaton can make; others are notes, as the specification has it. February has 28
 * days here, so that every date is one. */
static const char *format_pattern(str name) {
#define DATE                                                                                                 \
    "[1-9]\\d{3}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|"  \
    "2[0-8]))"
#define TIME "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
#define BYTE "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
    static const struct {
        const char *name, *pattern;
    } formats[] = {
        {"date", "^" DATE "$"},
        {"time", "^" TIME "$"},
        {"date-time", "^" DATE "T" TIME "$"},
        {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
        {"ipv4", "^" BYTE "\\." BYTE "\\." BYTE "\\." BYTE "$"},
        {"email", "^[A-Za-z0-9]+([._+-][A-Za-z0-9]+)*@[A-Za-z0-9]+(-[A-Za-z0-9]+)*(\\.[A-Za-z]{2,20})+$"}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (str_eq(name, formats[i].name)) return formats[i].pattern;
    return NULL;
}

/* A length from whichever parts have the keyword: the largest (or least) of them. */
static bool length_of(schema *s, const schema_view *v, const char *keyword, bool largest, uint32_t *out) {
    bool found = false;
    for (size_t i = 0; i < v->n; i++) {
        const json_value *x = json_get(v->part[i], keyword);
        if (!x) continue;
        if ((x->type != JSON_INT && x->type != JSON_FLOAT) || !(x->real >= 0) || x->real != floor(x->real)) {
            schema_fail(s, LEAT_E_ARG, x, "this must be a whole number of at least 0");
            return false;
        }
        uint32_t value = x->real > GRAMMAR_REPEAT_MAX ? GRAMMAR_FOREVER : (uint32_t)x->real;
        if (!found || (largest ? value > *out : value < *out)) *out = value;
        found = true;
    }
    return found;
}

uint32_t schema_string(schema *s, const schema_view *v) {
    grammar_tree *t = s->t;
    size_t part = 0;
    uint32_t min = 0, max = GRAMMAR_FOREVER;
    bool least = length_of(s, v, "minLength", true, &min), most = length_of(s, v, "maxLength", false, &max);
    if (t->status) return 0;
    const json_value *pattern = view_get(v, "pattern", &part), *format = NULL;
    const char *expression = NULL;
    if (pattern) {
        part++;
        if (pattern->type != JSON_STRING)
            return schema_fail(s, LEAT_E_ARG, pattern, "a pattern must be a string");
        if (view_get(v, "pattern", &part))
            return schema_fail(s, LEAT_E_UNSUPPORTED, pattern, "two patterns at once are not supported");
    }
    part = 0;
    if ((format = view_get(v, "format", &part)) && format->type == JSON_STRING)
        expression = format_pattern(format->text);
    if (pattern && expression)
        return schema_fail(s, LEAT_E_UNSUPPORTED, pattern,
                           "a pattern together with a format is not supported");
    if ((pattern || expression) && ((least && min > 0) || most))
        return schema_fail(
            s, LEAT_E_UNSUPPORTED, pattern ? pattern : format,
            "a pattern or format together with a length is not supported: put the length into the "
            "pattern");
    uint32_t inside;
    if (pattern || expression) {
        char what[80];
        size_t line, column;
        text_position(s->text, s->n, pattern ? pattern->at : format->at, &line, &column);
        snprintf(what, sizeof what, "schema, line %zu, column %zu: in the pattern", line, column);
        inside = regex_node(t, pattern ? pattern->text.p : expression,
                            pattern ? pattern->text.n : strlen(expression), true, quoted_class, what);
    } else {
        if (min == GRAMMAR_FOREVER || max < min || (max > GRAMMAR_REPEAT_MAX && max != GRAMMAR_FOREVER))
            return schema_fail(s, max < min ? LEAT_E_ARG : LEAT_E_LIMIT, v->part[0],
                               "these lengths of a string can't be kept");
        inside = tree_repeat(t, schema_character(s), min, max);
    }
    uint32_t quote = tree_text(t, "\"");
    return tree_seq(t, 3, (const uint32_t[]){quote, inside, quote});
}

/* ---- numbers ---- */

/* Digits of the same length, from low to high (both of n digits; zeros may lead). */
static uint32_t digits_between(grammar_tree *t, const char *low, const char *high, size_t n) {
    uint32_t list = tree_list(t, NODE_SEQ);
    size_t same = 0;
    while (same < n && low[same] == high[same]) same++;
    tree_append(t, list, tree_bytes(t, low, same));
    if (same == n) return list;
    /* the first digit that differs: its least value with what is then at least the rest of low, its largest
     * with what is at most the rest of high, and those between with anything */
    size_t rest = n - same - 1;
    char nines[24], zeros[24];
    memset(nines, '9', sizeof nines);
    memset(zeros, '0', sizeof zeros);
    uint32_t ways = tree_list(t, NODE_ALT),
             any = tree_repeat(t, character_class(t, '0', '9'), (uint32_t)rest, (uint32_t)rest);
    bool from_zero = !memcmp(low + same + 1, zeros, rest), to_nine = !memcmp(high + same + 1, nines, rest);
    int first = low[same], last = high[same];
    if (!from_zero) {
        tree_append(t, ways,
                    tree_seq(t, 2,
                             (const uint32_t[]){tree_bytes(t, low + same, 1),
                                                digits_between(t, low + same + 1, nines, rest)}));
        first++;
    }
    if (!to_nine) {
        tree_append(t, ways,
                    tree_seq(t, 2,
                             (const uint32_t[]){tree_bytes(t, high + same, 1),
                                                digits_between(t, zeros, high + same + 1, rest)}));
        last--;
    }
    if (first <= last)
        tree_append(
            t, ways,
            tree_seq(t, 2, (const uint32_t[]){character_class(t, (uint32_t)first, (uint32_t)last), any}));
    tree_append(t, list, ways);
    return list;
}

/* Whole numbers from low to high, 0 <= low; nothing if high < low. Without leading zeros. */
static uint32_t naturals(grammar_tree *t, int64_t low, int64_t high) {
    uint32_t ways = tree_list(t, NODE_ALT);
    for (int64_t from = low, ten = 10; from <= high && !t->status;) {
        while (ten <= from && ten <= INT64_MAX / 10) ten *= 10;
        int64_t to = high < ten || ten <= from ? high : ten - 1; /* as long as `from` */
        char a[24], b[24];
        size_t n = (size_t)snprintf(a, sizeof a, "%lld", (long long)from);
        snprintf(b, sizeof b, "%lld", (long long)to);
        tree_append(t, ways, digits_between(t, a, b, n));
        if (to == INT64_MAX) break;
        from = to + 1;
    }
    return ways;
}

typedef struct bounds {
    double low, high; /* -Inf, Inf: none */
    bool low_open, high_open;
} bounds;

static void tighten(bounds *b, double x, bool is_low, bool open) {
    if (is_low && (x > b->low || (x >= b->low && open))) {
        b->low_open = open;
        b->low = x;
    }
    if (!is_low && (x < b->high || (x <= b->high && open))) {
        b->high_open = open;
        b->high = x;
    }
}

static bool read_bounds(schema *s, const schema_view *v, bounds *b) {
    static const char *const keywords[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
    *b = (bounds){-INFINITY, INFINITY, false, false};
    for (size_t i = 0; i < v->n; i++)
        for (int k = 0; k < 4; k++) {
            const json_value *x = json_get(v->part[i], keywords[k]);
            if (!x) continue;
            bool is_low = k % 2 == 0;
            const json_value *open = json_get(v->part[i], keywords[is_low ? 2 : 3]);
            if (k >= 2 && x->type == JSON_BOOL) continue; /* draft 4: says what the other keyword means */
            if (x->type != JSON_INT && x->type != JSON_FLOAT)
                return schema_fail(s, LEAT_E_ARG, x, "a bound must be a number"), false;
            tighten(b, x->real, is_low, k >= 2 || (open && open->type == JSON_BOOL && open->boolean));
        }
    return true;
}

/* Whole numbers low..high, negative ones too. */
static void add_integers(schema *s, uint32_t ways, int64_t low, int64_t high) {
    grammar_tree *t = s->t;
    if (low < 0 && low <= high) {
        int64_t to = high < 0 ? -high : 1;
        uint32_t below = naturals(t, to, -low);
        tree_append(t, ways, tree_seq(t, 2, (const uint32_t[]){tree_text(t, "-"), below}));
    }
    if (high >= 0) tree_append(t, ways, naturals(t, low > 0 ? low : 0, high));
}

uint32_t schema_number(schema *s, const schema_view *v, bool integer) {
    enum { DECIMALS = 3 };
    const double most = 9999999999999999.0; /* 16 digits: what a double holds */
    grammar_tree *t = s->t;
    bounds b;
    if (!read_bounds(s, v, &b)) return 0;
    const grammar_range digit[] = {{'0', '9'}};
    uint32_t digits = tree_class(t, digit, 1, false), ways = tree_list(t, NODE_ALT);
    uint32_t fraction = tree_seq(t, 2, (const uint32_t[]){tree_text(t, "."), tree_repeat(t, digits, 1, 16)});
    if (isinf(b.low) && isinf(b.high)) {
        uint32_t whole = tree_seq(
            t, 2, (const uint32_t[]){tree_repeat(t, tree_text(t, "-"), 0, 1), naturals(t, 0, (int64_t)most)});
        if (integer) return whole;
        const grammar_range signs[] = {{'+', '+'}, {'-', '-'}}, e[] = {{'e', 'e'}, {'E', 'E'}};
        uint32_t power = tree_seq(t, 3,
                                  (const uint32_t[]){tree_class(t, e, 2, false),
                                                     tree_repeat(t, tree_class(t, signs, 2, false), 0, 1),
                                                     tree_repeat(t, digits, 1, 2)});
        return tree_seq(
            t, 3, (const uint32_t[]){whole, tree_repeat(t, fraction, 0, 1), tree_repeat(t, power, 0, 1)});
    }
    double low = b.low_open ? floor(b.low) + 1 : ceil(b.low),
           high = b.high_open ? ceil(b.high) - 1 : floor(b.high);
    if (low > 9e17 || high < -9e17)
        return schema_fail(s, LEAT_E_UNSUPPORTED, v->part[0], "bounds beyond 18 digits are not supported");
    low = low < -most ? (high < -most ? -9e17 : -most) : low;
    high = high > most ? (low > most ? 9e17 : most) : high;
    if (low <= high) add_integers(s, ways, (int64_t)low, (int64_t)high);
    if (integer) return ways;
    /* With a fraction: n.f lies between n and n + 1, -n.f between -(n + 1) and -n. */
    double up = floor(b.high < most ? b.high : most) - 1, from = low > 0 ? low : 0;
    if (from <= up)
        tree_append(t, ways,
                    tree_seq(t, 2, (const uint32_t[]){naturals(t, (int64_t)from, (int64_t)up), fraction}));
    double down = floor(-b.low < most ? -b.low : most) - 1, to = 0;
    if (b.high < 0 || (b.high <= 0 && b.high_open)) to = b.high_open ? floor(-b.high) + 1 : ceil(-b.high);
    if (to <= down)
        tree_append(t, ways,
                    tree_seq(t, 3,
                             (const uint32_t[]){tree_text(t, "-"), naturals(t, (int64_t)to, (int64_t)down),
                                                fraction}));
    if (b.low >= 0 && floor(b.low) >= floor(b.high)) { /* no whole number between: some decimals */
        double unit = floor(b.low), a = ceil((b.low - unit) * 1000), z = floor((b.high - unit) * 1000);
        char first[8], last[8];
        a += b.low_open && a <= (b.low - unit) * 1000;
        z -= b.high_open && z >= (b.high - unit) * 1000;
        if (a <= z && z <= 999 && unit <= most) {
            snprintf(first, sizeof first, "%03d", (int)a);
            snprintf(last, sizeof last, "%03d", (int)z);
            tree_append(
                t, ways,
                tree_seq(t, 3,
                         (const uint32_t[]){naturals(t, (int64_t)unit, (int64_t)unit), tree_text(t, "."),
                                            digits_between(t, first, last, DECIMALS)}));
        }
    }
    return ways;
}
