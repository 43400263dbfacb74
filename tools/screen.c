/* Wrapping text on a terminal; see screen.h. */
#include "screen.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "term.h"
#include "width.h"

enum { FEWEST_COLUMNS = 8, TAB = 8 };

size_t screen_columns(int fd) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) || !size.ws_col) return 80;
    return size.ws_col;
}

bool screen_has_colours(int fd) {
    const char *no_color = getenv("NO_COLOR");
    return term_is_tty(fd) && !(no_color && *no_color) && !term_is_dumb();
}

void screen_init(screen *s, int fd) {
    *s = (screen){.fd = fd, .colours = screen_has_colours(fd), .empty = true};
}

void screen_free(screen *s) {
    free(s->word);
    s->word = NULL;
    s->capacity = s->n_word = 0;
}

static bool put_raw(screen *s, const char *text, size_t n) {
    if (s->error || !n) return !s->error;
    if (!term_write(s->fd, text, n)) s->error = errno ? errno : EIO;
    return !s->error;
}

static bool put_blanks(screen *s, size_t n) {
    static const char blanks[] = "                ";
    for (size_t some; n; n -= some) {
        some = n < sizeof blanks - 1 ? n : sizeof blanks - 1;
        if (!put_raw(s, blanks, some)) return false;
    }
    return true;
}

static void begin_line(screen *s) {
    s->column = s->indent = s->blanks = 0;
    s->tab = s->begun = s->fixed = s->long_word = false;
    if (s->columns) s->columns = screen_columns(s->fd); /* the window may have another size now */
}

void screen_start(screen *s) {
    s->columns = term_is_tty(s->fd) ? screen_columns(s->fd) : 0;
    s->n_word = s->line_ends = 0;
    s->code = s->dim = false;
    s->empty = true;
    begin_line(s);
}

static bool put_line_ends(screen *s) {
    for (; s->line_ends; s->line_ends--)
        if (!put_raw(s, "\n", 1)) return false;
    return true;
}

static bool is_list_mark(const char *p, size_t n) {
    size_t digits = 0;
    if (n == 1) return *p == '-' || *p == '*' || *p == '+';
    while (digits < n && p[digits] >= '0' && p[digits] <= '9') digits++;
    return digits && digits + 1 == n && (p[digits] == '.' || p[digits] == ')');
}

/* The first word of a line tells what kind of line it is. */
static void look_at_first_word(screen *s) {
    bool fence = s->n_word >= 3 && (!memcmp(s->word, "```", 3) || !memcmp(s->word, "~~~", 3));
    bool mark = is_list_mark(s->word, s->n_word);
    if (fence) s->code = !s->code;
    s->fixed = fence || s->code || *s->word == '|' || ((s->blanks >= 4 || s->tab) && !mark);
    s->indent = s->blanks + (mark ? s->n_word + 1 : 0);
    s->begun = true;
}

/* Shows the blanks before the word and the word, on a new line if they do not fit. The last column stays
 * free: there terminals differ. */
static bool put_word(screen *s) {
    if (!s->n_word) return !s->error;
    size_t cells = width_of_text(s->word, s->n_word);
    if (!put_line_ends(s)) return false;
    if (!s->begun) look_at_first_word(s);
    size_t limit = s->columns > FEWEST_COLUMNS ? s->columns - 1 : FEWEST_COLUMNS;
    bool wrap =
        s->columns && !s->fixed && !s->long_word && s->column && s->column + s->blanks + cells > limit;
    if (wrap) {
        if (s->indent > limit / 2) s->indent = 0;
        if (!put_raw(s, "\n", 1) || !put_blanks(s, s->indent)) return false;
        s->columns = screen_columns(s->fd);
        s->column = s->indent;
    } else {
        if (!(s->tab ? put_raw(s, "\t", 1) : put_blanks(s, s->blanks))) return false;
        s->column += s->blanks;
    }
    put_raw(s, s->word, s->n_word);
    s->column += cells;
    s->blanks = s->n_word = 0;
    s->tab = s->empty = false;
    return !s->error;
}

static bool keep(screen *s, const char *p, size_t n) {
    if (s->capacity - s->n_word < n) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        char *grown = realloc(s->word, capacity);
        if (!grown) {
            s->error = ENOMEM;
            return false;
        }
        s->word = grown;
        s->capacity = capacity;
    }
    memcpy(s->word + s->n_word, p, n);
    s->n_word += n;
    return true;
}

/* Chinese and Japanese have no blanks: lines may end before and after what is two cells wide, but not before
 * what closes, and not within an emoji of several parts. */
static bool may_end_before(const screen *s, uint32_t code) {
    enum { JOINER = 0x200D, FIRST_TONE = 0x1F3FB, LAST_TONE = 0x1F3FF };
    static const uint32_t closing[] = {0x3001, 0x3002, 0xFF0C, 0xFF0E, 0xFF01, 0xFF1F, 0xFF1A,
                                       0xFF1B, 0xFF09, 0x300D, 0x300F, 0x3011, 0x30FC};
    if (width_of(code) != 2 && (width_of(s->last) != 2 || width_of(code) == 0)) return false;
    if (s->last == JOINER || (code >= FIRST_TONE && code <= LAST_TONE)) return false;
    for (size_t i = 0; i < sizeof closing / sizeof *closing; i++)
        if (closing[i] == code) return false;
    return true;
}

static bool put_character(screen *s, const char *p, size_t n, uint32_t code) {
    if (code == '\n') {
        if (!put_word(s)) return false;
        if (!s->empty) s->line_ends++; /* answers begin with a word */
        begin_line(s);
        return true;
    }
    if (code == ' ' || code == '\t') {
        if (!put_word(s)) return false;
        s->long_word = false;
        if (s->empty) return true;
        s->tab = s->tab || code == '\t';
        s->blanks += code == '\t' ? TAB - (s->column + s->blanks) % TAB : 1;
        return true;
    }
    if (s->n_word && may_end_before(s, code) && !put_word(s)) return false;
    s->last = code;
    if (!keep(s, p, n)) return false;
    if (s->code && s->begun) return put_word(s);
    size_t most = s->columns > FEWEST_COLUMNS ? s->columns - 1 : FEWEST_COLUMNS;
    if (s->n_word > most && s->columns && width_of_text(s->word, s->n_word) >= most) {
        if (!put_word(s)) return false;
        s->long_word = true; /* the rest of it goes behind, wherever the terminal breaks it */
    }
    return s->long_word ? put_word(s) : true;
}

bool screen_put(screen *s, const char *text, size_t n) {
    char clean[64 * 3];
    for (size_t at = 0; at < n && !s->error;) {
        uint32_t code;
        size_t some = 0, used;
        while (at + some < n) { /* as many whole characters as fit */
            size_t length = utf8_next(text + at + some, n - at - some, &code);
            if (some + length > 64) break;
            some += length;
        }
        used = term_strip_controls(text + at, some, clean);
        at += some;
        for (size_t i = 0; i < used && !s->error;) {
            size_t length = utf8_next(clean + i, used - i, &code);
            put_character(s, clean + i, length, code);
            i += length;
        }
    }
    return !s->error;
}

bool screen_part(screen *s, bool dim) {
    if (s->dim == dim) return !s->error;
    put_word(s);
    if (s->dim) {
        if (s->colours) put_raw(s, "\033[0m", 4);
        s->line_ends = 0;
        if (!s->empty) put_raw(s, "\n\n", 2);
    } else {
        if (!s->empty) put_raw(s, "\n\n", 2);
        if (s->colours)
            put_raw(s, "\033[2m", 4);
        else
            put_raw(s, "(thinking) ", 11);
    }
    s->line_ends = 0;
    s->code = false;
    s->dim = dim;
    s->empty = true;
    begin_line(s);
    if (dim && !s->colours) s->column = 11;
    return !s->error;
}

bool screen_finish(screen *s) {
    put_word(s);
    if (s->dim && s->colours) put_raw(s, "\033[0m", 4);
    if (!s->empty) put_raw(s, "\n", 1);
    s->line_ends = 0;
    s->dim = false;
    s->empty = true;
    begin_line(s);
    return !s->error;
}
