/* Regular expressions in ECMAScript's syntax to a tree: literals, `.`, classes with \d \w \s and ranges,
 * groups, alternatives, * + ? {m,n} (also lazy: which texts match is the same), ^ and $ at the ends. What no
 * automaton of this kind can do is refused: look-around, back-references, word boundaries. Used for whole
 * texts (grammar.c) and for `pattern` in JSON schemas (schema.c), which says how characters become
 * nodes. */
#include <string.h>

#include "tree.h"
#include "runtime/text/json.h"
#include "runtime/text/utf8.h"

enum { RANGES_MAX = 512 };

typedef struct regex {
    grammar_tree *t;
    const char *text;
    size_t n, at;
    bool search;
    regex_class_fn *class_of;
    const char *what;
} regex;

static const grammar_range digits[] = {{'0', '9'}};
static const grammar_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const grammar_range spaces[] = {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                                       {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                       {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
static const grammar_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint32_t complain(regex *r, size_t at, leat_status status, const char *why) {
    size_t line, column;
    text_position(r->text, r->n, at, &line, &column);
    return tree_fail(r->t, status, "%s, line %zu, column %zu: %s", r->what, line, column, why);
}

static int peek(const regex *r) {
    return r->at < r->n ? (unsigned char)r->text[r->at] : -1;
}

static bool starts(const regex *r, const char *word) {
    size_t n = strlen(word);
    return r->n - r->at >= n && !memcmp(r->text + r->at, word, n);
}

static uint32_t plain_class(grammar_tree *t, const grammar_range *ranges, size_t n, bool negated) {
    return tree_class(t, ranges, n, negated);
}

static uint32_t hexadecimal(regex *r, size_t from, int least, int most) {
    uint32_t value = 0;
    int n = 0;
    for (; n < most; n++, r->at++) {
        int d = peek(r);
        if (d >= '0' && d <= '9')
            d -= '0';
        else if (d >= 0 && (d | 32) >= 'a' && (d | 32) <= 'f')
            d = (d | 32) - 'a' + 10;
        else
            break;
        value = value << 4 | (uint32_t)d;
    }
    return n < least ? complain(r, from, LEAT_E_ARG, "this escape has too few hexadecimal digits") : value;
}

/* The named set of an escape: *n ranges, 0: it is none. Upper case: all but these. */
static const grammar_range *named_set(int c, size_t *n, bool *negated) {
    *negated = c == 'D' || c == 'W' || c == 'S';
    int low = c | 32;
    *n = low == 'd' ? COUNT(digits) : low == 'w' ? COUNT(words) : low == 's' ? COUNT(spaces) : 0;
    return low == 'd' ? digits : low == 'w' ? words : spaces;
}

/* The character that an escape stands for; r->at is behind the backslash, which is at `from`. */
static uint32_t escape(regex *r, size_t from, bool in_class) {
    int c = peek(r);
    uint32_t cp;
    if (c < 0) return complain(r, from, LEAT_E_ARG, "an escape is cut off");
    r->at++;
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'f': return '\f';
    case 'v': return '\v';
    case '0':
        if (peek(r) < '0' || peek(r) > '9') return 0;
        break;
    case 'b':
        if (in_class) return '\b';
        break;
    case 'c':
        c = peek(r);
        if (c < 0 || (c | 32) < 'a' || (c | 32) > 'z')
            return complain(r, from, LEAT_E_ARG, "a letter must follow \\c");
        r->at++;
        return (uint32_t)c & 31;
    case 'x': return hexadecimal(r, from, 2, 2);
    case 'u':
        if (peek(r) == '{') {
            r->at++;
            cp = hexadecimal(r, from, 1, 6);
            if (peek(r) != '}')
                return complain(r, from, LEAT_E_ARG, "this escape has no end: \"}\" is missing");
            r->at++;
        } else {
            cp = hexadecimal(r, from, 4, 4);
            if (cp >= 0xD800 && cp < 0xDC00 && starts(r, "\\u")) {
                r->at += 2;
                uint32_t low = hexadecimal(r, from, 4, 4);
                cp = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00)
                                                   : UINT32_MAX;
            }
        }
        if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
            return complain(r, from, LEAT_E_ARG, "this escape is no character");
        return cp;
    default:
        if (c >= 0x80) {
            r->at--;
            r->at += utf8_decode(r->text + r->at, r->n - r->at, &cp);
            return cp < UTF8_INCOMPLETE ? cp : complain(r, from, LEAT_E_ARG, "this is no UTF-8");
        }
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) return (uint32_t)c;
    }
    return complain(r, from, LEAT_E_UNSUPPORTED,
                    "this escape is not supported (word boundaries, back-references, Unicode properties)");
}

static uint32_t one_character(regex *r, bool in_class) {
    uint32_t cp;
    size_t from = r->at;
    if (peek(r) == '\\') {
        r->at++;
        return escape(r, from, in_class);
    }
    r->at += utf8_decode(r->text + r->at, r->n - r->at, &cp);
    return cp < UTF8_INCOMPLETE ? cp : complain(r, from, LEAT_E_ARG, "this is no UTF-8");
}

/* Adds a named set to a list of ranges, turned round if it is negated. */
static bool add_set(grammar_range *ranges, size_t *n, const grammar_range *set, size_t n_set, bool negated) {
    uint32_t from = 0;
    if (*n + n_set + 1 > RANGES_MAX) return false;
    for (size_t i = 0; i < n_set; i++) {
        if (!negated) ranges[(*n)++] = set[i];
        if (negated && set[i].low > from) ranges[(*n)++] = (grammar_range){from, set[i].low - 1};
        from = set[i].high + 1;
    }
    if (negated) ranges[(*n)++] = (grammar_range){from, 0x10FFFF};
    return true;
}

static uint32_t class(regex *r) {
    grammar_range ranges[RANGES_MAX];
    size_t from = r->at++, n = 0, n_set;
    bool negated = peek(r) == '^', turned;
    r->at += negated;
    while (!r->t->status && peek(r) != ']') {
        size_t start = r->at;
        if (peek(r) < 0) return complain(r, from, LEAT_E_ARG, "this class of characters has no end");
        if (n + 1 >= RANGES_MAX) return complain(r, from, LEAT_E_LIMIT, "this class has too many ranges");
        if (peek(r) == '\\' && r->at + 1 < r->n) {
            const grammar_range *set = named_set(r->text[r->at + 1], &n_set, &turned);
            if (n_set) {
                r->at += 2;
                if (!add_set(ranges, &n, set, n_set, turned))
                    return complain(r, from, LEAT_E_LIMIT, "this class has too many ranges");
                continue;
            }
        }
        ranges[n].low = ranges[n].high = one_character(r, true);
        bool range = peek(r) == '-' && r->at + 1 < r->n && r->text[r->at + 1] != ']';
        if (range && r->text[r->at + 1] == '\\' && r->at + 2 < r->n) {
            named_set(r->text[r->at + 2], &n_set, &turned);
            range = !n_set; /* [a-\d]: the dash is itself */
        }
        if (range) {
            r->at++;
            ranges[n].high = one_character(r, true);
            if (ranges[n].high < ranges[n].low)
                return complain(r, start, LEAT_E_ARG, "this range ends before it begins");
        }
        n++;
    }
    r->at++;
    return r->t->status ? 0 : r->class_of(r->t, ranges, n, negated);
}

static uint32_t alternatives(regex *r, unsigned depth);

static uint32_t group(regex *r, unsigned depth) {
    size_t from = r->at++;
    if (starts(r, "?:")) {
        r->at += 2;
    } else if (starts(r, "?<") && !starts(r, "?<=") && !starts(r, "?<!")) {
        while (peek(r) >= 0 && peek(r) != '>') r->at++;
        r->at += peek(r) == '>';
    } else if (peek(r) == '?') {
        return complain(r, from, LEAT_E_UNSUPPORTED, "look-around and flags of groups are not supported");
    }
    uint32_t inside = alternatives(r, depth + 1);
    if (r->t->status) return 0;
    if (peek(r) != ')') return complain(r, from, LEAT_E_ARG, "this group has no end: \")\" is missing");
    r->at++;
    return inside;
}

static uint32_t atom(regex *r, unsigned depth) {
    int c = peek(r);
    if (c == '(') return group(r, depth);
    if (c == '[') return class(r);
    if (c == '.') {
        r->at++;
        return r->class_of(r->t, line_ends, COUNT(line_ends), true);
    }
    if (c == '*' || c == '+' || c == '?')
        return complain(r, r->at, LEAT_E_ARG, "nothing stands before this repetition");
    if (c == '^' || c == '$')
        return complain(r, r->at, LEAT_E_UNSUPPORTED,
                        "^ and $ are supported at the ends of the expression only");
    if (c == '\\' && r->at + 1 < r->n) {
        bool negated;
        size_t n;
        const grammar_range *set = named_set(r->text[r->at + 1], &n, &negated);
        if (n) {
            r->at += 2;
            return r->class_of(r->t, set, n, negated);
        }
    }
    uint32_t cp = one_character(r, false);
    grammar_range range = {cp, cp};
    return r->t->status ? 0 : r->class_of(r->t, &range, 1, false);
}

static bool limit(regex *r, size_t *at, uint32_t *value) {
    uint64_t v = 0;
    size_t from = *at;
    for (; *at < r->n && r->text[*at] >= '0' && r->text[*at] <= '9'; ++*at)
        if (v <= GRAMMAR_REPEAT_MAX) v = v * 10 + (uint64_t)(r->text[*at] - '0');
    *value = v <= GRAMMAR_REPEAT_MAX ? (uint32_t)v : GRAMMAR_REPEAT_MAX + 1;
    return *at > from;
}

/* {m}, {m,}, {m,n} at r->at: true, and r->at is behind it. Anything else in braces is text. */
static bool braces(regex *r, uint32_t *min, uint32_t *max) {
    size_t at = r->at + 1;
    if (!limit(r, &at, min)) return false;
    *max = *min;
    if (at < r->n && r->text[at] == ',') {
        at++;
        if (!limit(r, &at, max)) *max = GRAMMAR_FOREVER;
    }
    if (at >= r->n || r->text[at] != '}') return false;
    if (*min > GRAMMAR_REPEAT_MAX || (*max > GRAMMAR_REPEAT_MAX && *max != GRAMMAR_FOREVER))
        complain(r, r->at, LEAT_E_LIMIT, "this number of repetitions is too large");
    else if (*max < *min)
        complain(r, r->at, LEAT_E_ARG, "this repetition has its limits the wrong way round");
    r->at = at + 1;
    return true;
}

static uint32_t repeated(regex *r, uint32_t node) {
    uint32_t min, max;
    int c = peek(r);
    if (c == '{' ? !braces(r, &min, &max) : c != '*' && c != '+' && c != '?') return node;
    if (c != '{') {
        min = c == '+';
        max = c == '?' ? 1 : GRAMMAR_FOREVER;
        r->at++;
    }
    if (peek(r) == '?') r->at++;
    c = peek(r);
    if (c == '*' || c == '+' || c == '?')
        return complain(r, r->at, LEAT_E_ARG, "nothing stands before this repetition");
    return tree_repeat(r->t, node, min, max);
}

static uint32_t sequence(regex *r, unsigned depth) {
    grammar_tree *t = r->t;
    uint32_t list = tree_list(t, NODE_SEQ), anything = 0;
    bool from_start = depth == 0 && peek(r) == '^', to_end = false;
    if (r->search && depth == 0) anything = tree_repeat(t, r->class_of(t, NULL, 0, true), 0, GRAMMAR_FOREVER);
    r->at += from_start;
    if (!from_start && anything) tree_append(t, list, anything);
    while (!t->status && peek(r) >= 0 && peek(r) != '|' && peek(r) != ')') {
        bool last = r->at + 1 == r->n || r->text[r->at + 1] == '|';
        if (depth == 0 && peek(r) == '$' && last) {
            r->at++;
            to_end = true;
            break;
        }
        uint32_t node = atom(r, depth);
        if (!t->status) tree_append(t, list, repeated(r, node));
    }
    if (!to_end && anything) tree_append(t, list, anything);
    return list;
}

static uint32_t alternatives(regex *r, unsigned depth) {
    if (depth > GRAMMAR_DEPTH_MAX) return complain(r, r->at, LEAT_E_LIMIT, "groups are nested too deep");
    uint32_t list = tree_list(r->t, NODE_ALT);
    for (;;) {
        tree_append(r->t, list, sequence(r, depth));
        if (r->t->status || peek(r) != '|') return list;
        r->at++;
    }
}

uint32_t regex_node(grammar_tree *t, const char *pattern, size_t n, bool search, regex_class_fn *class_of,
                    const char *what) {
    regex r = {t, pattern, n, 0, search, class_of, what};
    uint32_t node = alternatives(&r, 0);
    if (!t->status && r.at < n) return complain(&r, r.at, LEAT_E_ARG, "this \")\" closes no group");
    return node;
}

void regex_parse(grammar_tree *t, const char *pattern, size_t n) {
    t->root = tree_rule(t, "", 0, 0, 0);
    tree_define(t, t->root, regex_node(t, pattern, n, false, plain_class, "regular expression"));
}
