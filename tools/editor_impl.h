/* What the two kinds of reading lines share: plain (editor.c) and with libedit (editor_libedit.c). Nobody
 * else includes this. */
#ifndef LEAT_TOOLS_EDITOR_IMPL_H
#define LEAT_TOOLS_EDITOR_IMPL_H

#include <termios.h>

#include "editor.h"
#include "history.h"

typedef struct line_editor line_editor; /* libedit's part */

struct editor {
    bool terminal, colours, paused, saved;
    editor_complete_fn *complete;
    void *user;
    past_lines past;
    line_editor *rich; /* NULL: lines are read plainly */
    struct termios usual;
    char input[4096]; /* (input_at .. input_end) read, but not taken yet */
    size_t input_at, input_end;
    bool at_end; /* of the input */
    char *line;  /* (n_line) with a NUL behind */
    size_t n_line, line_capacity;
};

typedef enum fill_result {
    FILL_SOME,
    FILL_END,
    FILL_INTERRUPT, /* Ctrl-C */
    FILL_SIGNAL,    /* SIGTERM */
    FILL_NOTICE     /* a signal that only changes how things look */
} fill_result;
/* Reads more behind what e->input has. Waits until there is something. */
fill_result editor_fill(editor *e);
/* Is there more to be read within so many milliseconds, beside what e->input has? */
bool editor_wait(const editor *e, int milliseconds);
/* Appends to the line. */
bool editor_put(editor *e, const char *text, size_t n);

/* editor_libedit.c; NULL where it can't work, as with a terminal that has no cursor. */
line_editor *rich_open(editor *e);
void rich_close(line_editor *r);
editor_result rich_read(line_editor *r, const char *prompt, bool *blank);
void rich_preset(line_editor *r, const char *text, size_t n);
void rich_remember(line_editor *r, const char *text);

#endif
