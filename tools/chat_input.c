/* Messages from lines: several of them after a backslash at a line's end, between """ and """, or when they
 * arrive at once; see chat.h. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"

typedef struct message {
    char *text; /* (n) with a NUL behind */
    size_t n, capacity;
    size_t n_lines;
    bool block; /* between """ and """ */
} message;

static bool put(message *m, const char *text, size_t n) {
    if (m->capacity - m->n <= n) {
        size_t capacity = m->capacity ? m->capacity : 256;
        while (capacity - m->n <= n) capacity *= 2;
        char *grown = realloc(m->text, capacity);
        if (!grown) return false;
        m->text = grown;
        m->capacity = capacity;
    }
    memcpy(m->text + m->n, text, n);
    m->n += n;
    m->text[m->n] = 0;
    return true;
}

/* Takes a line; *more: the message can't end here. */
static bool take_line(message *m, const char *line, size_t n, bool *more) {
    static const char marks[] = "\"\"\"";
    bool opens = false, pasted = memchr(line, '\n', n) != NULL;
    if (!m->block && !m->n_lines && n >= 3 && !memcmp(line, marks, 3)) {
        opens = m->block = true;
        line += 3;
        n -= 3;
    }
    bool closes = m->block && n >= 3 && !memcmp(line + n - 3, marks, 3);
    if (closes) {
        m->block = false;
        n -= 3;
    }
    bool goes_on = !m->block && !closes && !pasted && n && line[n - 1] == '\\';
    if (goes_on) n--;
    *more = m->block || goes_on;
    /* The marks have lines of their own or stand in the first and last line of the text. */
    if ((opens || closes) && !n) return true;
    bool ok = (!m->n_lines || put(m, "\n", 1)) && put(m, line, n);
    m->n_lines++;
    return ok;
}

static int no_memory(void) {
    return fail("no memory for a message");
}

/* At Ctrl-C: first says how to leave, then leaves. */
static void take_interrupt(talk *t, bool blank, bool *warned) {
    term_take_interrupts();
    if (t->edit_at != SIZE_MAX) talk_note(t, "nothing was changed");
    t->edit_at = SIZE_MAX;
    if (!blank) return;
    if (*warned)
        t->leaving = true;
    else
        talk_note(t, "Ctrl-C again leaves, as Ctrl-D and /exit do");
    *warned = true;
}

/* Lines that come at once belong together, unless the next is a command: then somebody's script types. */
static bool comes_at_once(talk *t) {
    const char *next;
    size_t n;
    if (!editor_has_more(t->editor, &next, &n)) return false;
    const char *end = memchr(next, '\n', n);
    return !talk_is_command(next, end ? (size_t)(end - next) : n);
}

int talk_read(talk *t, char **text, size_t *n) {
    message m = {0};
    bool more = true, warned = t->last_stopped;
    *text = NULL;
    *n = 0;
    t->last_stopped = false;
    while (more) {
        const char *line;
        size_t length;
        bool blank = true;
        editor_result result =
            editor_read(t->editor, m.n_lines || m.block ? ". " : "> ", &line, &length, &blank);
        if (result == EDITOR_INTERRUPT) {
            blank = blank && !m.n_lines && !m.block;
            m.n = m.n_lines = 0;
            m.block = false;
            take_interrupt(t, blank, &warned);
            if (!t->leaving) continue;
            free(m.text);
            return 128 + SIGINT;
        }
        if (result == EDITOR_NO_MEMORY) {
            free(m.text);
            return no_memory();
        }
        if (result == EDITOR_SIGNAL) {
            free(m.text);
            return 128 + term_interrupted();
        }
        if (result == EDITOR_END) {
            if (m.n_lines) break; /* what there is of the message */
            free(m.text);
            return EXIT_DONE;
        }
        warned = false;
        bool first = !m.n_lines && !m.block, command = first && talk_is_command(line, length);
        if (command) more = false;
        if (!(command ? put(&m, line, length) : take_line(&m, line, length, &more))) {
            free(m.text);
            return no_memory();
        }
        if (!more && !command && m.n) more = comes_at_once(t);
    }
    if (!m.text && !put(&m, "", 0)) return no_memory();
    editor_remember(t->editor, m.text, m.n);
    *text = m.text;
    *n = m.n;
    return EXIT_DONE;
}
