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

/* Levenshtein distance between a word of at most 63 bytes and n bytes of another, in one row of the usual
 * table. */
static size_t edit_distance(const char *a, const char *b, size_t n) {
    size_t row[64], length = strlen(a);
    if (length >= 64 || n >= 64) return SIZE_MAX;
    for (size_t i = 0; i <= length; i++) row[i] = i;
    for (size_t j = 0; j < n; j++) {
        size_t diagonal = row[0];
        row[0] = j + 1;
        for (size_t i = 0; i < length; i++) {
            size_t cost = diagonal + (a[i] != b[j]);
            diagonal = row[i + 1];
            if (row[i] + 1 < cost) cost = row[i] + 1;
            if (row[i + 1] + 1 < cost) cost = row[i + 1] + 1;
            row[i + 1] = cost;
        }
    }
    return row[length];
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

/* Stores a value; name is the option as typed. */
static int set_option(const command_line *line, const option *o, const char *name, int n, const char *text) {
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)o->value = true; break;
    case OPTION_FLAG_OFF: *(bool *)o->value = false; break;
    case OPTION_TEXT: *(const char **)o->value = text; break;
    case OPTION_LIST: {
        text_list *list = o->value;
        if (list->n == TEXT_LIST_MAX)
            return usage_error(line->name, "%.*s may be given %d times at most", n, name, TEXT_LIST_MAX);
        list->items[list->n++] = text;
        break;
    }
    case OPTION_AUTO:
        if (!strcmp(text, "auto")) {
            *(int64_t *)o->value = -1;
            break;
        }
        /* fall through */
    case OPTION_INT:
        if (!parse_int(text, INT64_MIN, INT64_MAX, (int64_t *)o->value))
            return usage_error(line->name, "%.*s needs a whole number, not \"%s\"", n, name, text);
        if ((double)*(int64_t *)o->value < o->min || (double)*(int64_t *)o->value > o->max)
            return usage_error(line->name, "%.*s must be %.0f to %.0f, not %s", n, name, o->min, o->max,
                               text);
        break;
    case OPTION_REAL: {
        char *end;
        float v = strtof(text, &end);
        bool starts_right = *text == '-' || *text == '+' || *text == '.' || (*text >= '0' && *text <= '9');
        if (end == text || *end || !isfinite(v) || !starts_right)
            return usage_error(line->name, "%.*s needs a number, not \"%s\"", n, name, text);
        if (v < o->min || v > o->max)
            return usage_error(line->name, "%.*s must be %g to %g, not %s", n, name, o->min, o->max, text);
        *(float *)o->value = v;
        break;
    }
    case OPTION_CHOICE:
        if (!list_has(o->choices, '|', text, strlen(text)))
            return usage_error(line->name, "%.*s must be one of %s, not \"%s\"", n, name, o->choices, text);
        *(const char **)o->value = text;
        break;
    }
    return EXIT_DONE;
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
            *status = set_option(line, o, a, (int)n, flag ? NULL : equals ? equals + 1 : argv[++i]);
        if (*status) return false;
    }
    return true;
}
