/* What was typed in earlier sessions: a file of one entry per line, bounded, readable by its owner only, and
 * appended to at once, so that sessions side by side lose nothing. Used by editor.c. A history that can't be
 * read or written is no reason to stop: it is then shorter. */
#ifndef LEAT_TOOLS_HISTORY_H
#define LEAT_TOOLS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HISTORY_ENTRIES = 1000,    /* that are kept */
    HISTORY_ENTRY_MAX = 16384, /* bytes; longer ones, pasted files say, are not worth it */
};

typedef struct past_lines {
    char *path;     /* NULL: nothing is kept across sessions */
    char **entries; /* (n_entries) oldest first */
    size_t n_entries;
} past_lines;

/* Reads $XDG_STATE_HOME/leat/history or ~/.local/state/leat/history. */
void past_open(past_lines *h);
void past_close(past_lines *h);
/* Adds an entry, unless it is empty or the last one again. */
void past_add(past_lines *h, const char *text, size_t n);

#endif
