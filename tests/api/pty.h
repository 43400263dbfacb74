/* Runs `leat` at a terminal of its own, as a person would: types, waits for what appears, resizes the window.
 * Nothing sleeps: every wait is for text on the screen (vt.h), with a limit after which the test fails. */
#ifndef LEAT_TESTS_PTY_H
#define LEAT_TESTS_PTY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vt.h"

typedef struct pty {
    int fd;
    pid_t child;
    bool ended; /* the program closed the terminal */
    vt screen;
    size_t mark;     /* waits look at this line and those below */
    char folder[64]; /* its HOME, empty at first; kept until pty_clean */
} pty;

/* Starts the program with the words of `arguments` (as program.h's leat_run), or a command line for sh that
 * begins with $LEAT, in a window of this size. `keep`
 * is an earlier pty whose folder is used again, or NULL; variables are NAME=VALUE, NULL behind the last.
 * False if there are no terminals here. */
bool pty_start(pty *p, const pty *keep, size_t columns, size_t rows, const char *const *variables,
               const char *arguments);
/* Waits until the text appears in a line at or below the mark; then the mark is behind that line. */
bool pty_wait(pty *p, const char *text);
/* Waits until an empty prompt stands at or below the mark. */
bool pty_prompt(pty *p);
bool pty_sees(pty *p, const char *text);
void pty_type(pty *p, const char *bytes);
void pty_resize(pty *p, size_t columns, size_t rows);
/* Waits for the end; the screen stays. Exit status, -N for signal N, -1000 if it did not end and was killed.
 */
int pty_finish(pty *p);
void pty_clean(pty *p); /* always, at last */

#endif
