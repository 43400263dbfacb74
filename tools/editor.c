/* Reading lines plainly, and what both ways of reading share; see editor.h. The terminal's own line editing
 * is there: backspace, also over UTF-8. */
#include "editor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "editor_impl.h"
#include "term.h"

enum { AT_ONCE = 20 }; /* milliseconds within which the lines of a paste follow each other */

#ifndef LEAT_WITH_LIBEDIT
line_editor *rich_open(editor *e) {
    (void)e;
    return NULL;
}
void rich_close(line_editor *r) {
    (void)r;
}
editor_result rich_read(line_editor *r, const char *prompt, bool *blank) {
    (void)r, (void)prompt, (void)blank;
    return EDITOR_END;
}
void rich_preset(line_editor *r, const char *text, size_t n) {
    (void)r, (void)text, (void)n;
}
void rich_remember(line_editor *r, const char *text) {
    (void)r, (void)text;
}
#endif

void completions_add(completions *c, const char *word, size_t n) {
    if (c->n == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 32;
        char **grown = realloc(c->words, capacity * sizeof *grown);
        if (!grown) return;
        c->words = grown;
        c->capacity = capacity;
    }
    char *copy = strndup(word, n);
    if (copy) c->words[c->n++] = copy;
}

editor *editor_open(bool terminal, bool colours, editor_complete_fn *complete, void *user) {
    editor *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->terminal = terminal;
    e->colours = colours;
    e->complete = complete;
    e->user = user;
    if (!terminal) return e;
    e->saved = !tcgetattr(STDIN_FILENO, &e->usual);
#ifdef IUTF8
    if (e->saved && !(e->usual.c_iflag & IUTF8)) { /* backspace then takes back whole characters */
        e->usual.c_iflag |= IUTF8;
        tcsetattr(STDIN_FILENO, TCSADRAIN, &e->usual);
    }
#endif
    if (term_is_dumb()) return e;
    e->rich = rich_open(e);
    if (e->rich) past_open(&e->past);
    for (size_t i = 0; i < e->past.n_entries; i++) rich_remember(e->rich, e->past.entries[i]);
    return e;
}

void editor_close(editor *e) {
    if (!e) return;
    editor_resume(e);
    rich_close(e->rich);
    past_close(&e->past);
    free(e->line);
    free(e);
}

bool editor_wait(const editor *e, int milliseconds) {
    struct pollfd p = {STDIN_FILENO, POLLIN, 0};
    return !e->at_end && poll(&p, 1, milliseconds) == 1;
}

/* Waits for input or a signal. Signals are let in only while waiting, so that none slips in between the look
 * at what came and the wait. */
static bool wait_for_input(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT};
    sigset_t ours, before;
    fd_set readable;
    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&ours, numbers[i]);
    sigprocmask(SIG_BLOCK, &ours, &before);
    FD_ZERO(&readable);
    FD_SET(STDIN_FILENO, &readable);
    bool ready = !term_interrupted() && pselect(STDIN_FILENO + 1, &readable, NULL, NULL, NULL, &before) == 1;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ready;
}

fill_result editor_fill(editor *e) {
    if (e->at_end) return FILL_END;
    if (!wait_for_input()) {
        int number = term_interrupted();
        return number == SIGINT ? FILL_INTERRUPT : number ? FILL_SIGNAL : FILL_NOTICE;
    }
    if (e->input_at) {
        memmove(e->input, e->input + e->input_at, e->input_end - e->input_at);
        e->input_end -= e->input_at;
        e->input_at = 0;
    }
    ssize_t n = read(STDIN_FILENO, e->input + e->input_end, sizeof e->input - e->input_end);
    if (n > 0) {
        e->input_end += (size_t)n;
        return FILL_SOME;
    }
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return FILL_NOTICE;
    e->at_end = !e->terminal || n < 0; /* at a terminal, Ctrl-D is no end for good */
    return FILL_END;
}

bool editor_put(editor *e, const char *text, size_t n) {
    if (e->line_capacity - e->n_line <= n) {
        size_t capacity = e->line_capacity ? e->line_capacity : 256;
        while (capacity - e->n_line <= n) capacity *= 2;
        char *grown = realloc(e->line, capacity);
        if (!grown) return false;
        e->line = grown;
        e->line_capacity = capacity;
    }
    memcpy(e->line + e->n_line, text, n);
    e->n_line += n;
    e->line[e->n_line] = 0;
    return true;
}

static editor_result read_plainly(editor *e, const char *prompt, bool *blank) {
    if (e->terminal) fputs(prompt, stderr);
    for (;;) {
        char *from = e->input + e->input_at;
        size_t n = e->input_end - e->input_at;
        char *end = n ? memchr(from, '\n', n) : NULL;
        if (end) n = (size_t)(end - from);
        if (!editor_put(e, from, n)) return EDITOR_NO_MEMORY;
        e->input_at += n + (end ? 1 : 0);
        if (end) break;
        fill_result filled = editor_fill(e);
        if (filled == FILL_INTERRUPT) {
            *blank = !e->n_line; /* the kernel has dropped what it held; this is what Ctrl-D pushed */
            fputc('\n', stderr);
            return EDITOR_INTERRUPT;
        }
        if (filled == FILL_SIGNAL) return EDITOR_SIGNAL;
        if (filled != FILL_END) continue;
        if (e->terminal) fputc('\n', stderr);
        return e->n_line ? EDITOR_LINE : EDITOR_END;
    }
    if (e->n_line && e->line[e->n_line - 1] == '\r') e->line[--e->n_line] = 0;
    return EDITOR_LINE;
}

editor_result editor_read(editor *e, const char *prompt, const char **line, size_t *n, bool *blank) {
    bool was_blank = true;
    e->n_line = 0;
    *line = NULL;
    *n = 0;
    if (!e->rich) editor_resume(e);
    if (!editor_put(e, "", 0)) return EDITOR_NO_MEMORY;
    editor_result result =
        e->rich ? rich_read(e->rich, prompt, &was_blank) : read_plainly(e, prompt, &was_blank);
    if (e->rich) editor_pause(e); /* never does the terminal itself show what is typed */
    if (blank) *blank = was_blank;
    if (result == EDITOR_INTERRUPT) e->input_at = e->input_end = 0;
    if (result == EDITOR_LINE) {
        *line = e->line;
        *n = e->n_line;
    }
    return result;
}

bool editor_has_more(editor *e, const char **next, size_t *n) {
    if (!e->terminal) return false;
    if (e->input_at == e->input_end && (!editor_wait(e, AT_ONCE) || editor_fill(e) != FILL_SOME))
        return false;
    *next = e->input + e->input_at;
    *n = e->input_end - e->input_at;
    return true;
}

bool editor_preset(editor *e, const char *text, size_t n) {
    if (!e->rich) return false;
    rich_preset(e->rich, text, n);
    return true;
}

void editor_remember(editor *e, const char *text, size_t n) {
    if (!e->rich) return;
    size_t before = e->past.n_entries;
    past_add(&e->past, text, n);
    if (e->past.n_entries != before) rich_remember(e->rich, e->past.entries[e->past.n_entries - 1]);
}

void editor_pause(editor *e) {
    if (!e->saved || e->paused) return;
    struct termios busy = e->usual;
    busy.c_lflag &= ~(tcflag_t)ECHO;
    if (e->rich) { /* it wants every key, the others what the terminal makes of them */
        busy.c_lflag &= ~(tcflag_t)ICANON;
        busy.c_cc[VMIN] = 1;
        busy.c_cc[VTIME] = 0;
    }
    e->paused = !tcsetattr(STDIN_FILENO, TCSADRAIN, &busy);
}

void editor_resume(editor *e) {
    if (e->paused) tcsetattr(STDIN_FILENO, TCSADRAIN, &e->usual);
    e->paused = false;
}
