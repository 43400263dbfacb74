/* A small terminal in memory: takes what a program writes, with the escape sequences that line editors use,
 * and keeps what a person would see, lines that scrolled away included. For the tests of `leat chat` and for
 * pictures of it. */
#ifndef LEAT_TESTS_VT_H
#define LEAT_TESTS_VT_H

#include <stdbool.h>
#include <stddef.h>

enum { VT_COLUMNS = 200, VT_LINES = 4000, VT_BOLD = 1, VT_DIM = 2 };

typedef struct vt_cell {
    char text[32]; /* a character with its marks; "" in the second cell of a wide one and where nothing is */
    unsigned char style, width;
} vt_cell;

typedef struct vt {
    size_t columns, rows;
    size_t top;          /* line that is the first of the window; earlier ones have scrolled away */
    size_t line, column; /* of the cursor */
    size_t last;         /* line that was used last */
    bool wrap_next;      /* a character was put in the last column */
    unsigned char style;
    bool marks_pastes; /* the program wants to know what is pasted */
    size_t saved_line, saved_column;
    char sequence[64]; /* (n_sequence) an escape sequence, or a character, that is not whole yet */
    size_t n_sequence;
    bool overflow;    /* more lines than there is room for */
    size_t n_escapes; /* sequences seen, those of colours apart */
    size_t n_colours;
    vt_cell (*cells)[VT_COLUMNS]; /* (VT_LINES) */
} vt;

bool vt_open(vt *v, size_t columns, size_t rows);
void vt_close(vt *v);
void vt_put(vt *v, const char *bytes, size_t n);
/* Text of a line without the blanks at its end; out holds 32 * VT_COLUMNS + 1 bytes. */
void vt_line(const vt *v, size_t line, char *out);
/* Lines from..last, each ended by \n; the caller frees it. */
char *vt_text(const vt *v, size_t from);

#endif
