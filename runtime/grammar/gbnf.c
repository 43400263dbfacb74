/* GBNF, llama.cpp's notation for grammars, to a tree:
 *
 *     root  ::= "{" pair ("," pair)* "}"      # a comment
 *     pair  ::= [a-z_] [a-z0-9_]{0,30} ":" value
 *     value ::= [0-9]+ | "\"" [^"\\\x00-\x1F]* "\"" | <[42]> | <|name|> | !<|name|>
 *
 * Literals, character classes, `.`, groups, * + ? {m} {m,} {m,n}, references to rules, tokens by id and by
 * text (and `!`: any token but that). A rule ends with its line, unless a group is open or a `|` stands at
 * either side of the line's end. Called by grammar.c. */
#include <string.h>

#include "tree.h"
#include "runtime/text/json.h"
#include "runtime/text/utf8.h"
#include "runtime/text/utf8.h"

typedef struct gbnf {
    grammar_tree *t;
    const char *text;
    size_t n, at;
} gbnf;

/* What is wrong at byte `at`. */
static uint32_t complain(gbnf *g, size_t at, const char *what) {
    size_t line, column;
    size_t n = at < g->n ? g->n - at : 0, shown = 0;
    while (shown < n && shown < 16 && (unsigned char)g->text[at + shown] >= 32) shown++;
    text_position(g->text, g->n, at, &line, &column);
    if (!shown)
        return tree_fail(g->t, LEAT_E_ARG, "grammar, line %zu, column %zu: %s, at the end of the %s", line,
                         column, what, at < g->n ? "line" : "text");
    return tree_fail(g->t, LEAT_E_ARG, "grammar, line %zu, column %zu: %s, at \"%.*s\"", line, column, what,
                     (int)shown, g->text + at);
}

static int peek(const gbnf *g) {
    return g->at < g->n ? (unsigned char)g->text[g->at] : -1;
}

static bool starts(const gbnf *g, const char *word) {
    size_t n = strlen(word);
    return g->n - g->at >= n && !memcmp(g->text + g->at, word, n);
}

/* Blanks and comments; line ends only if they may stand here. */
static void skip_space(gbnf *g, bool lines) {
    for (int c; (c = peek(g)) >= 0;) {
        if (c == '#')
            while (peek(g) >= 0 && peek(g) != '\n' && peek(g) != '\r') g->at++;
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
            g->at++;
        else
            return;
    }
}

static bool is_word(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t word_length(const gbnf *g) {
    size_t n = 0;
    while (g->at + n < g->n && is_word((unsigned char)g->text[g->at + n])) n++;
    return n;
}

static uint32_t number(gbnf *g, uint32_t most) {
    uint64_t value = 0;
    size_t from = g->at;
    if (peek(g) < '0' || peek(g) > '9') return complain(g, g->at, "a number must stand here");
    for (; peek(g) >= '0' && peek(g) <= '9'; g->at++) {
        value = value * 10 + (uint64_t)(peek(g) - '0');
        if (value > most) return complain(g, from, "this number is too large");
    }
    return (uint32_t)value;
}

/* One character, by itself or as an escape. */
static uint32_t character(gbnf *g) {
    uint32_t cp = 0;
    size_t from = g->at;
    if (peek(g) != '\\') {
        size_t n = utf8_decode(g->text + g->at, g->n - g->at, &cp);
        if (cp >= UTF8_INCOMPLETE) return complain(g, g->at, "this is no UTF-8");
        g->at += n;
        return cp;
    }
    g->at++;
    int c = peek(g), digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c < 0) return complain(g, from, "an escape is cut off");
    g->at++;
    for (int i = 0; i < digits; i++, g->at++) {
        int d = peek(g);
        if (d >= '0' && d <= '9')
            d -= '0';
        else if ((d | 32) >= 'a' && (d | 32) <= 'f')
            d = (d | 32) - 'a' + 10;
        else
            return complain(g, from, "this escape has too few hexadecimal digits");
        cp = cp << 4 | (uint32_t)d;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        return complain(g, from, "this escape is no character");
    if (digits) return cp;
    switch (c) {
    case 't': return '\t';
    case 'r': return '\r';
    case 'n': return '\n';
    case '\\':
    case '"':
    case '[':
    case ']':
    case '^':
    case '-': return (uint32_t)c;
    default: return complain(g, from, "there is no such escape");
    }
}

static uint32_t literal(gbnf *g) {
    size_t from = g->at++;
    uint32_t list = 0;
    char text[256];
    size_t n = 0;
    while (!g->t->status && peek(g) != '"') {
        if (peek(g) < 0 || peek(g) == '\n') return complain(g, from, "this literal has no end");
        n += utf8_encode(character(g), text + n);
        if (n + 4 < sizeof text) continue;
        if (!list) list = tree_list(g->t, NODE_SEQ);
        tree_append(g->t, list, tree_bytes(g->t, text, n));
        n = 0;
    }
    g->at++;
    uint32_t rest = tree_bytes(g->t, text, n);
    if (!list) return rest;
    tree_append(g->t, list, rest);
    return list;
}

static uint32_t class(gbnf *g) {
    enum { MOST = 512 };
    grammar_range ranges[MOST];
    size_t from = g->at++, n = 0;
    bool negated = peek(g) == '^';
    g->at += negated;
    while (!g->t->status && peek(g) != ']') {
        size_t start = g->at;
        if (peek(g) < 0 || peek(g) == '\n') return complain(g, from, "this class of characters has no end");
        if (n == MOST) return complain(g, from, "this class has too many ranges");
        ranges[n].low = ranges[n].high = character(g);
        if (peek(g) == '-' && g->at + 1 < g->n && g->text[g->at + 1] != ']') {
            g->at++;
            ranges[n].high = character(g);
            if (ranges[n].high < ranges[n].low) return complain(g, start, "this range ends before it begins");
        }
        n++;
    }
    g->at++;
    return g->t->status ? 0 : tree_class(g->t, ranges, n, negated);
}

/* <[123]> or <text>, which must be one token. */
static uint32_t token(gbnf *g, bool negated) {
    size_t from = g->at;
    const vocab *v = g->t->vocab;
    if (starts(g, "<[")) {
        g->at += 2;
        uint32_t id = number(g, INT32_MAX);
        if (g->t->status) return 0;
        if (!starts(g, "]>")) return complain(g, g->at, "\"]>\" must stand here");
        g->at += 2;
        if (id >= vocab_size(v)) return complain(g, from, "the model has no such token");
        return tree_token(g->t, id, negated);
    }
    while (peek(g) >= 0 && peek(g) != '>' && peek(g) != '\n') g->at++;
    if (peek(g) != '>') return complain(g, from, "this token has no end: \">\" is missing");
    g->at++;
    for (uint32_t id = 0; id < vocab_size(v); id++) {
        str text = vocab_piece(v, (int32_t)id, true);
        if (text.n == g->at - from && !memcmp(text.p, g->text + from, text.n))
            return tree_token(g->t, id, negated);
    }
    return complain(g, from, "the model has no token of this text");
}

static uint32_t alternatives(gbnf *g, bool nested, unsigned depth);

/* What a * + ? {} may follow; 0 and *found false: none is here. */
static uint32_t element(gbnf *g, bool *found, unsigned depth) {
    int c = peek(g);
    *found = true;
    if (c == '"') return literal(g);
    if (c == '[') return class(g);
    if (c == '<') return token(g, false);
    if (c == '.') {
        g->at++;
        return tree_class(g->t, NULL, 0, true);
    }
    if (c == '!') {
        g->at++;
        return peek(g) == '<' ? token(g, true) : complain(g, g->at, "a token must follow the \"!\"");
    }
    if (c == '(') {
        size_t from = g->at++;
        skip_space(g, true);
        uint32_t inside = alternatives(g, true, depth + 1);
        if (g->t->status) return 0;
        if (peek(g) != ')')
            return complain(g, peek(g) < 0 ? from : g->at, "this group has no end: \")\" is missing");
        g->at++;
        return inside;
    }
    size_t n = word_length(g);
    if (n) {
        size_t line, column;
        text_position(g->text, g->n, g->at, &line, &column);
        uint32_t rule = tree_rule(g->t, g->text + g->at, n, line, column);
        g->at += n;
        return tree_call(g->t, rule);
    }
    *found = false;
    return 0;
}

/* How often: true if there is such a sign here. */
static bool repetition(gbnf *g, uint32_t *min, uint32_t *max) {
    int c = peek(g);
    *min = c == '+';
    *max = c == '?' ? 1 : GRAMMAR_FOREVER;
    if (c == '*' || c == '+' || c == '?') {
        g->at++;
        return true;
    }
    if (c != '{') return false;
    size_t from = g->at++;
    skip_space(g, false);
    *min = *max = number(g, GRAMMAR_REPEAT_MAX);
    skip_space(g, false);
    if (peek(g) == ',') {
        g->at++;
        skip_space(g, false);
        *max = peek(g) == '}' ? GRAMMAR_FOREVER : number(g, GRAMMAR_REPEAT_MAX);
        skip_space(g, false);
    }
    if (g->t->status) return false;
    if (peek(g) != '}') complain(g, g->at, "\"}\" must stand here");
    if (*max < *min) complain(g, from, "this repetition has its limits the wrong way round");
    g->at++;
    return true;
}

static uint32_t sequence(gbnf *g, bool nested, unsigned depth) {
    uint32_t list = tree_list(g->t, NODE_SEQ), min, max;
    for (bool found; !g->t->status;) {
        size_t from = g->at;
        uint32_t node = element(g, &found, depth);
        if (!found) {
            if (repetition(g, &min, &max)) return complain(g, from, "nothing stands before this repetition");
            break;
        }
        skip_space(g, nested);
        while (!g->t->status && repetition(g, &min, &max)) {
            node = tree_repeat(g->t, node, min, max);
            skip_space(g, nested);
        }
        tree_append(g->t, list, node);
    }
    return list;
}

static uint32_t alternatives(gbnf *g, bool nested, unsigned depth) {
    if (depth > GRAMMAR_DEPTH_MAX) return complain(g, g->at, "groups are nested too deep");
    uint32_t list = tree_list(g->t, NODE_ALT);
    while (!g->t->status) {
        tree_append(g->t, list, sequence(g, nested, depth));
        size_t end = g->at;
        skip_space(g, true); /* the next line may begin with the "|" */
        if (peek(g) != '|') {
            if (!nested) g->at = end;
            break;
        }
        g->at++;
        skip_space(g, true);
    }
    return list;
}

static void rule(gbnf *g) {
    size_t from = g->at, n = word_length(g);
    size_t line, column;
    if (!n) {
        complain(g, g->at, "the name of a rule must stand here");
        return;
    }
    text_position(g->text, g->n, g->at, &line, &column);
    uint32_t index = tree_rule(g->t, g->text + g->at, n, line, column);
    g->at += n;
    skip_space(g, false);
    if (!g->t->status && !starts(g, "::=")) complain(g, g->at, "\"::=\" must stand here");
    if (g->t->status) return;
    if (g->t->rules[index].defined) {
        complain(g, from, "this rule is there already");
        return;
    }
    g->t->rules[index].line = line;
    g->t->rules[index].column = column;
    g->at += 3;
    skip_space(g, true);
    uint32_t body = alternatives(g, false, 0);
    if (!g->t->status && peek(g) >= 0 && peek(g) != '\n' && peek(g) != '\r')
        complain(g, g->at, "a rule can't go on like this");
    tree_define(g->t, index, body);
}

void gbnf_parse(grammar_tree *t, const char *text, size_t n) {
    gbnf g = {t, text, n, 0};
    if (n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) g.at = 3;
    for (skip_space(&g, true); !t->status && g.at < n; skip_space(&g, true)) rule(&g);
    if (t->status) return;
    bool found = false;
    for (size_t i = 0; i < t->n_rules; i++) {
        const grammar_rule *r = &t->rules[i];
        if (!r->defined)
            tree_fail(t, LEAT_E_ARG, "grammar, line %zu, column %zu: there is no rule \"%.*s\"", r->line,
                      r->column, (int)(r->name_length < 60 ? r->name_length : 60), t->bytes + r->name);
        if (r->name_length == 4 && !memcmp(t->bytes + r->name, "root", 4)) {
            t->root = (uint32_t)i;
            found = true;
        }
    }
    if (!found)
        tree_fail(t, LEAT_E_ARG, "grammar, line 1, column 1: there is no rule \"root\" to begin with");
}
