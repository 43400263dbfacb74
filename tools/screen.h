/* Text on a terminal, as it comes: words are wrapped at the window's edge, but neither words that are longer
 * than a line nor lines of code are cut, and what is not meant to be read as text (control characters) is
 * left out. A word is shown when it is whole, so nothing on the screen has to be taken back. Used by
 * chat_answer.c. */
#ifndef LEAT_TOOLS_SCREEN_H
#define LEAT_TOOLS_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct screen {
    int fd;
    bool colours;
    size_t columns;   /* of the window; 0: no wrapping */
    size_t column;    /* cells used in the line on the screen */
    size_t indent;    /* of what a wrapped line goes on with */
    size_t blanks;    /* that stand between what is shown and the word */
    bool tab;         /* one of them is a tab */
    bool begun;       /* something of this line was seen */
    bool code, fixed; /* between fences; a line that keeps its form (code, a row of a table) */
    bool long_word;   /* the word was too long and is being passed on */
    bool empty, dim;  /* nothing shown yet; dimmed text follows */
    size_t line_ends; /* held back: an answer ends without empty lines */
    uint32_t last;    /* character before */
    char *word;       /* (n_word) that is not whole yet */
    size_t n_word, capacity;
    int error; /* errno of the first write that failed; nothing is written after it */
} screen;

void screen_init(screen *s, int fd);
void screen_free(screen *s);
/* Columns of a terminal now, 80 if it does not say. */
size_t screen_columns(int fd);
/* May colours be used there: a terminal that knows them, and NO_COLOR is not set? */
bool screen_has_colours(int fd);

/* Before a text: begins in column 0. */
void screen_start(screen *s);
/* Shows n bytes of UTF-8, whole characters. False when writing failed. */
bool screen_put(screen *s, const char *text, size_t n);
/* What follows is a part of its own, dimmed or not, an empty line between them. */
bool screen_part(screen *s, bool dim);
/* The text is over: the rest of it, and a line end if anything was shown. */
bool screen_finish(screen *s);

#endif
