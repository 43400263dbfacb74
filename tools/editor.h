/* Lines that a person types, with editing and history where the terminal and the build allow it, plainly
 * where not; and whole messages put together from them. Used by chat_input.c. Everything it shows goes to
 * standard error. */
#ifndef LEAT_TOOLS_EDITOR_H
#define LEAT_TOOLS_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

typedef enum editor_result {
    EDITOR_LINE,
    EDITOR_END,       /* of the input */
    EDITOR_INTERRUPT, /* Ctrl-C; what was typed is gone */
    EDITOR_SIGNAL,    /* another signal wants the program to end */
    EDITOR_NO_MEMORY
} editor_result;

/* What may stand at a place: names for the Tab key. */
typedef struct completions {
    size_t from;  /* where in the line the word to complete begins */
    char **words; /* (n) whole words */
    size_t n, capacity;
} completions;
/* Fills in what the word may become that ends at line[n]. */
typedef void editor_complete_fn(void *user, const char *line, size_t n, completions *out);
void completions_add(completions *c, const char *word, size_t n);

typedef struct editor editor;

/* NULL when there is no memory. With `terminal`, standard input and standard error are one. */
editor *editor_open(bool terminal, bool colours, editor_complete_fn *complete, void *user);
void editor_close(editor *e);

/* Reads a line, without its end, after a prompt. *line belongs to the editor and holds until the next call,
 * with a NUL behind its *n bytes. What was pasted at once, where the terminal marks it, is one line, with
 * line ends in it. *blank: was nothing typed before Ctrl-C? */
editor_result editor_read(editor *e, const char *prompt, const char **line, size_t *n, bool *blank);
/* Did more arrive at once with the last line, as when lines are pasted? *next, n bytes: the beginning of it.
 */
bool editor_has_more(editor *e, const char **next, size_t *n);
/* The next line read begins with this text. False where that can't be done. */
bool editor_preset(editor *e, const char *text, size_t n);
/* A message for the history. */
void editor_remember(editor *e, const char *text, size_t n);

/* While the program is busy: what is typed is kept for the next line and not shown in between. */
void editor_pause(editor *e);
void editor_resume(editor *e);

#endif
