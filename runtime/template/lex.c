/* From the source of a template to tokens, by the rules of Jinja's lexer with trim_blocks and lstrip_blocks:
 * the newline after a block or comment goes, and so does the white space between the start of a line and a
 * block or comment; a minus inside a tag takes all white space on its side, a plus keeps it. Called by
 * template.c. */
#include <string.h>

#include "runtime/text/number.h"
#include "impl.h"
#include "runtime/text/unicode.h"
#include "runtime/text/utf8.h"

typedef struct lexer {
    leat_template *t;
    const char *what, *p;
    size_t n, at;
    bool line_starting; /* the last thing cut off ended with a newline, or there was none */
    token *tokens;
    size_t count, capacity;
    leat_error *e;
} lexer;

static leat_status lex_error(lexer *s, size_t at, const char *message) {
    size_t line, column;
    text_position(s->p, s->n, at, &line, &column);
    return error_set(s->e, LEAT_E_TEMPLATE, "%s line %zu, column %zu: %s", s->what, line, column, message);
}

static leat_status emit(lexer *s, uint8_t type, size_t at, const char *p, size_t n) {
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 256;
        token *grown = arena_array(&s->t->a, capacity, sizeof *grown);
        if (!grown) return error_set(s->e, LEAT_E_NOMEM, "out of memory for a template");
        if (s->count) memcpy(grown, s->tokens, s->count * sizeof *grown);
        s->tokens = grown;
        s->capacity = capacity;
    }
    s->tokens[s->count++] = (token){type, (uint32_t)at, {p, n}};
    return LEAT_OK;
}

static size_t spaces(const lexer *s, size_t at) { /* how many bytes of white space */
    size_t i = at;
    while (i < s->n) {
        uint32_t cp;
        size_t length = utf8_decode(s->p + i, s->n - i, &cp);
        if (!text_is_space(cp)) break;
        i += length;
    }
    return i - at;
}

/* Where the white space at the end of p[from..to) begins. */
static size_t before_spaces(const char *p, size_t from, size_t to) {
    while (to > from) {
        size_t i = to - 1;
        uint32_t cp;
        while (i > from && ((unsigned char)p[i] & 0xC0) == 0x80) i--;
        utf8_decode(p + i, to - i, &cp);
        if (!text_is_space(cp)) break;
        to = i;
    }
    return to;
}

static bool looking_at(const lexer *s, size_t at, const char *what) {
    size_t n = strlen(what);
    return s->n - at >= n && !memcmp(s->p + at, what, n);
}

/* Text from s->at up to a tag at `end`; sign is the tag's, or 0. */
static leat_status data(lexer *s, size_t end, char sign, bool print) {
    size_t from = s->at, to = end;
    if (sign == '-') {
        to = before_spaces(s->p, from, end);
    } else if (sign != '+' && !print) {
        size_t line = end;
        while (line > from && s->p[line - 1] != '\n') line--;
        if ((line > from || s->line_starting) && before_spaces(s->p, line, end) == line) to = line;
    }
    return to > from ? emit(s, T_DATA, from, s->p + from, to - from) : LEAT_OK;
}

/* Moves past the end of a tag whose closing characters start at `at`: two, or three with a sign. */
static void close_tag(lexer *s, size_t at, bool trim) {
    char sign = s->p[at] == '-' || s->p[at] == '+' ? s->p[at] : '\0';
    s->at = at + (sign ? 3 : 2);
    if (sign == '-')
        s->at += spaces(s, s->at);
    else if (!sign && trim && s->at < s->n && s->p[s->at] == '\n')
        s->at++;
    s->line_starting = s->p[s->at - 1] == '\n';
}

/* Does a tag of the name `word` start at `at`, "{%" being there? *end is where its closing characters are. */
static bool bare_tag(const lexer *s, size_t at, const char *word, bool plus, size_t *end) {
    size_t i = at + 2;
    if (i < s->n && (s->p[i] == '-' || s->p[i] == '+')) i++;
    i += spaces(s, i);
    if (!looking_at(s, i, word)) return false;
    i += strlen(word);
    i += spaces(s, i);
    *end = i;
    return looking_at(s, i, "%}") || looking_at(s, i, "-%}") || (plus && looking_at(s, i, "+%}"));
}

static leat_status raw(lexer *s, size_t start, size_t begin_end) {
    close_tag(s, begin_end, false);
    for (size_t i = s->at; i + 1 < s->n; i++) {
        size_t end;
        if (s->p[i] != '{' || s->p[i + 1] != '%' || !bare_tag(s, i, "endraw", true, &end)) continue;
        leat_status status = data(s, i, s->p[i + 2], false);
        if (!status) close_tag(s, end, true);
        return status;
    }
    return lex_error(s, start, "this raw block has no {% endraw %}");
}

static leat_status comment(lexer *s, size_t start, char sign) {
    for (size_t i = start + 2 + (sign != '\0'); i + 1 < s->n; i++) {
        if (s->p[i] != '#' || s->p[i + 1] != '}') continue;
        bool signed_end = i > start + 2 + (sign != '\0') && (s->p[i - 1] == '-' || s->p[i - 1] == '+');
        close_tag(s, i - signed_end, true);
        return LEAT_OK;
    }
    return lex_error(s, start, "this comment has no #}");
}

/* ---- inside a tag ---- */

static int hex_value(const char *p, size_t n, uint32_t *out) {
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i], low = (char)(c | 32);
        if (c >= '0' && c <= '9')
            *out = *out << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            *out = *out << 4 | (uint32_t)(low - 'a' + 10);
        else
            return 0;
    }
    return 1;
}

/* A Python escape at p (after the backslash), n bytes there: what it stands for to `out`; returns how many
 * bytes it takes, 0 if it is none. */
static size_t escape(const char *p, size_t n, char *out, size_t *length) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *simple = *p ? strchr(from, *p) : NULL;
    uint32_t cp, low;
    *length = 0;
    if (*p == '\n') return 1;
    if (simple) {
        *out = to[simple - from];
        *length = 1;
        return 1;
    }
    if (*p >= '0' && *p <= '7') {
        size_t i = 0;
        for (cp = 0; i < 3 && i < n && p[i] >= '0' && p[i] <= '7'; i++) cp = cp * 8 + (uint32_t)(p[i] - '0');
        *length = utf8_encode(cp, out);
        return i;
    }
    size_t digits = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    if (!digits || n < 1 + digits || !hex_value(p + 1, digits, &cp)) return 0;
    size_t used = 1 + digits;
    if (cp >= 0xD800 && cp < 0xDC00 && n >= used + 6 && p[used] == '\\' && p[used + 1] == 'u' &&
        hex_value(p + used + 2, 4, &low) && low >= 0xDC00 && low < 0xE000) {
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        used += 6;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) cp = 0xFFFD;
    *length = utf8_encode(cp, out);
    return used;
}

static leat_status string(lexer *s) {
    size_t start = s->at, end = start + 1, used = 0;
    char quote = s->p[start];
    while (end < s->n && s->p[end] != quote) end += s->p[end] == '\\' ? 2 : 1;
    if (end >= s->n) return lex_error(s, start, "this string does not end");
    char *out = arena_alloc(&s->t->a, end - start);
    if (!out) return error_set(s->e, LEAT_E_NOMEM, "out of memory for a template");
    for (size_t i = start + 1; i < end;) {
        size_t length = 1, taken = 0;
        if (s->p[i] == '\\') taken = escape(s->p + i + 1, end - i - 1, out + used, &length);
        if (taken) {
            used += length;
            i += 1 + taken;
        } else {
            out[used++] = s->p[i++];
        }
    }
    s->at = end + 1;
    return emit(s, T_STRING, start, out, used);
}

static bool word_at(const lexer *s, size_t at, size_t *length) {
    uint32_t cp;
    if (at >= s->n) return false;
    *length = utf8_decode(s->p + at, s->n - at, &cp);
    if (cp < 0x80)
        return (cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || cp == '_';
    enum unicode_class c = unicode_class_of(cp);
    return c == UNICODE_LETTER || c == UNICODE_NUMBER;
}

/* Digits with single underscores between them. */
static size_t digits(const lexer *s, size_t at) {
    size_t i = at;
    while (i < s->n &&
           ((s->p[i] >= '0' && s->p[i] <= '9') || (s->p[i] == '_' && i > at && s->p[i - 1] != '_' &&
                                                   i + 1 < s->n && s->p[i + 1] >= '0' && s->p[i + 1] <= '9')))
        i++;
    return i - at;
}

static leat_status number(lexer *s) {
    size_t start = s->at, i = start, used = 0;
    uint8_t type = T_INT;
    if (s->p[i] == '0' && i + 1 < s->n &&
        ((s->p[i + 1] | 32) == 'x' || (s->p[i + 1] | 32) == 'b' || (s->p[i + 1] | 32) == 'o')) {
        size_t length;
        i += 2;
        while (word_at(s, i, &length) && length == 1) i++;
        s->at = i;
        return emit(s, T_INT, start, s->p + start, i - start);
    }
    i += digits(s, i);
    bool after_dot = start > 0 && s->p[start - 1] == '.'; /* x.0.1 is no fraction */
    if (!after_dot && i + 1 < s->n && s->p[i] == '.' && digits(s, i + 1)) {
        i += 1 + digits(s, i + 1);
        type = T_FLOAT;
    }
    if (!after_dot && i + 1 < s->n && (s->p[i] | 32) == 'e') {
        size_t sign = s->p[i + 1] == '+' || s->p[i + 1] == '-', n = digits(s, i + 1 + sign);
        if (n) {
            i += 1 + sign + n;
            type = T_FLOAT;
        }
    }
    char *out = arena_alloc(&s->t->a, i - start);
    if (!out) return error_set(s->e, LEAT_E_NOMEM, "out of memory for a template");
    for (size_t k = start; k < i; k++)
        if (s->p[k] != '_') out[used++] = s->p[k];
    s->at = i;
    return emit(s, type, start, out, used);
}

static leat_status operator_token(lexer *s) {
    static const struct {
        char text[3];
        uint8_t type;
    } two[] = {{"==", T_EQ}, {"!=", T_NE}, {"<=", T_LE}, {">=", T_GE}, {"//", T_FLOORDIV}, {"**", T_POW}};
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (looking_at(s, s->at, two[i].text)) {
            s->at += 2;
            return emit(s, two[i].type, s->at - 2, s->p + s->at - 2, 2);
        }
    if (!s->p[s->at] || !strchr("+-/*%~[](){}><=.:|,;", s->p[s->at]))
        return lex_error(s, s->at, "this character has no meaning here");
    s->at++;
    return emit(s, (uint8_t)s->p[s->at - 1], s->at - 1, s->p + s->at - 1, 1);
}

/* The inside of {{ }} or {% %} that starts at `start`, up to and with its end. */
static leat_status tag(lexer *s, size_t start, bool print) {
    const char *end = print ? "}}" : "%}";
    char open[TEMPLATE_NESTING_MAX];
    size_t depth = 0;
    leat_status status = emit(s, print ? T_PRINT_BEGIN : T_BLOCK_BEGIN, start, s->p + start, 2);
    while (!status) {
        size_t length;
        s->at += spaces(s, s->at);
        if (s->at >= s->n) return lex_error(s, start, print ? "this has no }}" : "this has no %}");
        char c = s->p[s->at];
        bool sign = c == '-' || (c == '+' && !print);
        if (depth == 0 && looking_at(s, s->at + sign, end)) {
            status = emit(s, print ? T_PRINT_END : T_BLOCK_END, s->at, s->p + s->at, 2);
            close_tag(s, s->at, !print);
            return status;
        }
        if (c == '"' || c == '\'') {
            status = string(s);
        } else if (c >= '0' && c <= '9') {
            status = number(s);
        } else if (word_at(s, s->at, &length)) {
            size_t from = s->at;
            while (word_at(s, s->at, &length)) s->at += length;
            status = emit(s, T_NAME, from, s->p + from, s->at - from);
        } else {
            if (c == '(' || c == '[' || c == '{') {
                if (depth == TEMPLATE_NESTING_MAX) return lex_error(s, s->at, "nested too deeply");
                open[depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
            } else if (c == ')' || c == ']' || c == '}') {
                if (depth == 0 || open[depth - 1] != c)
                    return lex_error(s, s->at, "this bracket closes nothing");
                depth--;
            }
            status = operator_token(s);
        }
    }
    return status;
}

leat_status template_lex(leat_template *t, const char *what, token **out, size_t *count, leat_error *e) {
    lexer s = {.t = t, .what = what, .p = t->source, .n = t->n, .line_starting = true, .e = e};
    leat_status status = LEAT_OK;
    while (s.at < s.n && !status) {
        size_t i = s.at, end;
        while (i + 1 < s.n &&
               (s.p[i] != '{' || (s.p[i + 1] != '{' && s.p[i + 1] != '%' && s.p[i + 1] != '#')))
            i++;
        if (i + 1 >= s.n) { /* no more tags */
            status = emit(&s, T_DATA, s.at, s.p + s.at, s.n - s.at);
            break;
        }
        char kind = s.p[i + 1],
             sign = i + 2 < s.n && (s.p[i + 2] == '-' || s.p[i + 2] == '+') ? s.p[i + 2] : '\0';
        if ((status = data(&s, i, sign, kind == '{'))) break;
        s.at = i + 2 + (sign != '\0');
        if (kind == '#')
            status = comment(&s, i, sign);
        else if (kind == '%' && bare_tag(&s, i, "raw", false, &end))
            status = raw(&s, i, end);
        else
            status = tag(&s, i, kind == '{');
    }
    if (!status) status = emit(&s, T_EOF, s.n, "", 0);
    *out = s.tokens;
    *count = s.count;
    return status;
}
