/* Writing to people and pipes: what is a terminal, text that can't do harm there, progress that cleans up
 * behind itself, and output that survives signals and says when it failed. Used by every command. */
#ifndef LEAT_TOOLS_TERM_H
#define LEAT_TOOLS_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

bool term_is_tty(int fd);
/* Does TERM name a terminal that knows no escape sequences, or none? */
bool term_is_dumb(void);

/* Seconds of a clock that never goes back. */
double term_seconds(void);

/* Decodes one character of n > 0 bytes at p: returns how many bytes it takes; *code is U+FFFD where they are
 * no valid UTF-8. */
size_t utf8_next(const char *p, size_t n, uint32_t *code);

/* Writes at most max characters ("..." if cut) such that strangers' bytes can't drive a terminal: control
 * characters come out as \n, \t or \u{1b}, marks that reverse the reading direction likewise, bytes that are
 * no UTF-8 as U+FFFD. */
void term_put_clean(FILE *f, const char *text, size_t n, size_t max);

/* The same for text meant to be read on: line ends and tabs stay, other control characters are left out.
 * Returns the bytes written to out, which holds at least 3 * n. */
size_t term_strip_controls(const char *text, size_t n, char *out);

/* Prints "leat: MESSAGE" to stderr, whatever bytes the message holds, and returns EXIT_FAILED. */
#ifdef __GNUC__
__attribute__((format(printf, 1, 2)))
#endif
int fail(const char *format, ...);
/* The same, for what is no failure: "leat: warning: ...". */
#ifdef __GNUC__
__attribute__((format(printf, 1, 2)))
#endif
void warn(const char *format, ...);

/* All n bytes to fd; goes on after partial writes. False with errno set on failure; EINTR is such a failure
 * only when term_interrupted says that the user wants out. */
bool term_write(int fd, const char *bytes, size_t n);

/* Flushes stdout. What failed is said on stderr, but for a reader that went away (EPIPE): it knows. */
int term_finish_stdout(int status);
int term_stdout_failed(int error);

/* Progress on stderr: shown only on a terminal, only once it has lasted, gone when done. */
typedef struct progress {
    const char *what, *unit; /* "reading the prompt", "tokens" */
    double start, last;
    bool enabled, shown;
} progress;
void progress_start(progress *p, const char *what, const char *unit);
bool progress_update(void *p, size_t done, size_t total); /* a leat_progress_fn; stops on Ctrl-C */
void progress_end(progress *p);

/* SIGINT, SIGTERM and, unless it was ignored from the start, SIGHUP: the first is noted and calls on_signal
 * (async-signal-safe functions only), a second one that comes more than a second later ends the process the
 * usual way. */
void term_catch_signals(void (*on_signal)(void));
/* The signal noted, or 0. */
int term_interrupted(void);

/* For conversations, after term_catch_signals: SIGINT is noted and calls on_signal each time, and only a
 * fourth one that nobody took notice of ends the process. Changes of the window's size and going on after a
 * stop are noted too. */
void term_catch_repeatedly(void);
/* How often SIGINT came since the last call; term_interrupted is 0 again, unless it was SIGTERM or SIGHUP. */
int term_take_interrupts(void);
/* Has the window's size changed, has the process been stopped and gone on, since the last call? */
bool term_take_resized(void);
bool term_take_continued(void);

#endif
