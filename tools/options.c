/* The option parser and its --help; see options.h. Nothing here may know of a particular command. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term.h"

enum { HELP_COLUMN = 28 };

int usage_error(const char *command, const char *format, ...) {
    va_list args;
    char text[512];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, command ? "leat %s: " : "leat: ", command);
    term_put_clean(stderr, text, strlen(text), SIZE_MAX);
    fprintf(stderr, command ? " (see leat %s --help)\n" : " (see leat --help)\n", command);
    return EXIT_USAGE;
}

bool parse_int(const char *text, int64_t min, int64_t max, int64_t *out) {
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits < '0' || *digits > '9') return false; /* strtoll would skip blanks */
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end || errno || v < min || v > max) return false;
    *out = v;
    return true;
}

/* Letters inserted, left out, changed or swapped with their neighbour between a word of at most 63 bytes and
 * n bytes of another: three rows of the usual table. */
static size_t edit_distance(const char *a, const char *b, size_t n) {
    size_t rows[3][64], length = strlen(a);
    if (length >= 64 || n >= 64) return SIZE_MAX;
    for (size_t i = 0; i <= length; i++) rows[0][i] = i;
    for (size_t j = 0; j < n; j++) {
        const size_t *above = rows[j % 3], *above_that = rows[(j + 2) % 3];
        size_t *row = rows[(j + 1) % 3];
        row[0] = j + 1;
        for (size_t i = 0; i < length; i++) {
            size_t cost = above[i] + (a[i] != b[j]);
            if (row[i] + 1 < cost) cost = row[i] + 1;
            if (above[i + 1] + 1 < cost) cost = above[i + 1] + 1;
            bool swapped = i && j && a[i] == b[j - 1] && a[i - 1] == b[j];
            if (swapped && above_that[i - 1] + 1 < cost) cost = above_that[i - 1] + 1;
            row[i + 1] = cost;
        }
    }
    return rows[n % 3][length];
}

bool nearer_word(const char *word, const char *candidate, size_t candidate_length, size_t *best) {
    size_t distance = edit_distance(word, candidate, candidate_length);
    if (distance == SIZE_MAX || distance > strlen(word) / 3 + 1 || distance >= candidate_length ||
        distance >= *best)
        return false;
    *best = distance;
    return true;
}

/* Steps over the words of a list separated by `separator`: *p moves past the word returned in *word, *length.
 */
static bool next_word(const char **p, char separator, const char **word, size_t *length) {
    while (**p == separator) (*p)++;
    if (!**p) return false;
    *word = *p;
    while (**p && **p != separator) (*p)++;
    *length = (size_t)(*p - *word);
    return true;
}

static bool list_has(const char *list, char separator, const char *text, size_t n) {
    const char *word;
    size_t length;
    while (next_word(&list, separator, &word, &length))
        if (length == n && !memcmp(word, text, n)) return true;
    return false;
}

static const option *find_option(const command_line *line, const char *name, size_t n) {
    for (size_t i = 0; i < line->n_options; i++)
        if (list_has(line->options[i].names, ' ', name, n)) return &line->options[i];
    return NULL;
}

static int unknown_option(const command_line *line, const char *name, size_t n) {
    char typed[64] = "";
    const char *suggestion = NULL;
    size_t suggestion_length = 0, best = SIZE_MAX;
    snprintf(typed, sizeof typed, "%.*s", (int)(n < 63 ? n : 63), name);
    for (size_t i = 0; i < line->n_options; i++) {
        const char *names = line->options[i].names, *word;
        size_t length;
        while (next_word(&names, ' ', &word, &length)) {
            if (!nearer_word(typed, word, length, &best)) continue;
            suggestion = word;
            suggestion_length = length;
        }
    }
    /* Between one-letter options every two are alike: only say what is likely meant for a word. */
    if (suggestion && n > 2)
        return usage_error(line->name, "unknown option %s; did you mean %.*s?", typed, (int)suggestion_length,
                           suggestion);
    return usage_error(line->name, "unknown option %s", typed);
}

const char *option_name(const option *o, size_t i, size_t *n) {
    const char *names = o->names, *word;
    while (next_word(&names, ' ', &word, n)) {
        while (*n && *word == '-') word++, --*n;
        if (!i--) return word;
    }
    return NULL;
}

const char *option_longest_name(const option *o, size_t *n) {
    const char *best = "", *word;
    size_t length;
    *n = 0;
    for (size_t i = 0; (word = option_name(o, i, &length)) != NULL; i++)
        if (length > *n) best = word, *n = length;
    return best;
}

const option *option_named(const option *options, size_t n_options, const char *name, size_t n) {
    while (n && *name == '-') name++, n--;
    for (size_t i = 0; i < n_options && n; i++) {
        const char *word;
        size_t length;
        for (size_t j = 0; (word = option_name(&options[i], j, &length)) != NULL; j++) {
            size_t k = 0;
            while (k < n && k < length && (name[k] == word[k] || (name[k] == '_' && word[k] == '-'))) k++;
            if (k == n && k == length) return &options[i];
        }
    }
    return NULL;
}

/* Says what is wrong with a value. */
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
static bool
refuse(char *message, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, size, format, args);
    va_end(args);
    return false;
}

static bool store_int(const option *o, const char *name, const char *text, char *message, size_t size) {
    int64_t v;
    if (!parse_int(text, INT64_MIN, INT64_MAX, &v))
        return refuse(message, size, "%s needs a whole number%s, not \"%s\"", name,
                      o->kind == OPTION_AUTO ? " or auto" : "", text);
    if ((double)v < o->min || (double)v > o->max)
        return refuse(message, size, "%s must be %.0f to %.0f, not %s", name, o->min, o->max, text);
    *(int64_t *)o->value = v;
    return true;
}

bool option_set(const option *o, const char *name, const char *text, char *message, size_t size) {
    switch (o->kind) {
    case OPTION_FLAG:
    case OPTION_FLAG_OFF: {
        bool off = !strcmp(text, "off");
        if (!off && strcmp(text, "on") != 0)
            return refuse(message, size, "%s must be on or off, not \"%s\"", name, text);
        *(bool *)o->value = (o->kind == OPTION_FLAG) != off;
        return true;
    }
    case OPTION_TEXT: *(const char **)o->value = text; return true;
    case OPTION_LIST: {
        text_list *list = o->value;
        if (list->n == TEXT_LIST_MAX)
            return refuse(message, size, "%s may be given %d times at most", name, TEXT_LIST_MAX);
        list->items[list->n++] = text;
        return true;
    }
    case OPTION_AUTO:
        if (!strcmp(text, "auto")) {
            *(int64_t *)o->value = -1;
            return true;
        }
        return store_int(o, name, text, message, size);
    case OPTION_INT: return store_int(o, name, text, message, size);
    case OPTION_REAL: {
        char *end;
        float v = strtof(text, &end);
        bool starts_right = *text == '-' || *text == '+' || *text == '.' || (*text >= '0' && *text <= '9');
        if (end == text || *end || !isfinite(v) || !starts_right)
            return refuse(message, size, "%s needs a number, not \"%s\"", name, text);
        if (v < o->min || v > o->max)
            return refuse(message, size, "%s must be %g to %g, not %s", name, o->min, o->max, text);
        *(float *)o->value = v;
        return true;
    }
    case OPTION_CHOICE:
        if (!list_has(o->choices, '|', text, strlen(text)))
            return refuse(message, size, "%s must be one of %s, not \"%s\"", name, o->choices, text);
        *(const char **)o->value = text;
        return true;
    }
    return true;
}

/* Stores a value; name is the option as typed, n bytes of it. */
static int set_option(const command_line *line, const option *o, const char *name, int n, const char *text) {
    char typed[64], message[512];
    snprintf(typed, sizeof typed, "%.*s", n, name);
    if (option_set(o, typed, text, message, sizeof message)) return EXIT_DONE;
    return usage_error(line->name, "%s", message);
}

static void print_help(const command_line *line) {
    printf("leat %s %s\n\n%s\n\nOptions:\n", line->name, line->usage, line->about);
    for (size_t i = 0; i <= line->n_options; i++) {
        static const option help = {"-h --help", NULL, "this text", OPTION_FLAG, NULL, 0, 0, NULL};
        const option *o = i < line->n_options ? &line->options[i] : &help;
        const char *names = o->names, *word;
        size_t length;
        int column = printf(" ");
        for (int k = 0; next_word(&names, ' ', &word, &length); k++)
            column += printf("%s%.*s", k ? ", " : " ", (int)length, word);
        if (o->arg) column += printf(" %s", o->arg);
        if (column + 2 > HELP_COLUMN) column = (putchar('\n'), 0);
        printf("%*s%s\n", HELP_COLUMN - column, "", o->help);
    }
}

bool options_parse(command_line *line, int argc, char **argv, int *status) {
    bool only_positionals = false;
    *status = EXIT_DONE;
    line->n_positionals = 0;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (only_positionals || a[0] != '-' || !a[1]) {
            line->positionals[line->n_positionals++] = a;
            continue;
        }
        if (!strcmp(a, "--")) {
            only_positionals = true;
            continue;
        }
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            print_help(line);
            return false;
        }
        const char *equals = a[1] == '-' ? strchr(a, '=') : NULL;
        size_t n = equals ? (size_t)(equals - a) : strlen(a);
        const option *o = find_option(line, a, n);
        bool flag = o && (o->kind == OPTION_FLAG || o->kind == OPTION_FLAG_OFF);
        if (!o)
            *status = unknown_option(line, a, n);
        else if (flag && equals)
            *status = usage_error(line->name, "%.*s takes no value", (int)n, a);
        else if (!flag && !equals && i + 1 == argc)
            *status = usage_error(line->name, "%s needs a value: %s %s", a, a, o->arg);
        else
            *status = set_option(line, o, a, (int)n, flag ? "on" : equals ? equals + 1 : argv[++i]);
        if (*status) return false;
    }
    return true;
}
