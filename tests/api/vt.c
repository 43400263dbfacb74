/* A terminal in memory; see vt.h. */
#include "vt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/term.h"
#include "tools/width.h"

enum { ESC = 27 };

bool vt_open(vt *v, size_t columns, size_t rows) {
    *v = (vt){.columns = columns, .rows = rows};
    v->cells = calloc(VT_LINES, sizeof *v->cells);
    return v->cells != NULL;
}

void vt_close(vt *v) {
    free(v->cells);
    *v = (vt){0};
}

static void erase(vt *v, size_t line, size_t from, size_t to) {
    for (size_t i = from; i < to && i < VT_COLUMNS; i++) v->cells[line][i] = (vt_cell){0};
}

static void line_feed(vt *v) {
    if (v->line + 1 >= VT_LINES) {
        v->overflow = true;
        return;
    }
    v->line++;
    if (v->line > v->last) v->last = v->line;
    if (v->line >= v->top + v->rows) v->top = v->line - v->rows + 1;
}

static void put_character(vt *v, const char *p, size_t n, uint32_t code) {
    size_t width = (size_t)width_of(code);
    vt_cell *before = v->column ? &v->cells[v->line][v->column - (v->wrap_next ? 0 : 1)] : NULL;
    if (width == 0) { /* drawn into the character before */
        while (before && !before->width && before > v->cells[v->line]) before--;
        if (before && strlen(before->text) + n < sizeof before->text) strncat(before->text, p, n);
        return;
    }
    if (v->wrap_next || v->column + width > v->columns) {
        v->column = 0;
        v->wrap_next = false;
        line_feed(v);
    }
    vt_cell *cell = &v->cells[v->line][v->column];
    *cell = (vt_cell){.style = v->style, .width = (unsigned char)width};
    memcpy(cell->text, p, n);
    if (width == 2) cell[1] = (vt_cell){.style = v->style};
    v->column += width;
    if (v->column >= v->columns) {
        v->column = v->columns - 1;
        v->wrap_next = true;
    }
}

static void control(vt *v, char c) {
    if (c == '\n') {
        v->wrap_next = false;
        line_feed(v);
    }
    if (c == '\r') {
        v->column = 0;
        v->wrap_next = false;
    }
    if (c == '\b') {
        if (v->column && !v->wrap_next) v->column--;
        v->wrap_next = false;
    }
    if (c == '\t') {
        v->column = (v->column / 8 + 1) * 8;
        if (v->column >= v->columns) v->column = v->columns - 1;
    }
}

static void move_cells(vt *v, size_t n, bool insert) {
    vt_cell *cells = v->cells[v->line];
    size_t rest = v->columns - v->column;
    if (n > rest) n = rest;
    if (insert) {
        memmove(cells + v->column + n, cells + v->column, (rest - n) * sizeof *cells);
        erase(v, v->line, v->column, v->column + n);
    } else {
        memmove(cells + v->column, cells + v->column + n, (rest - n) * sizeof *cells);
        erase(v, v->line, v->columns - n, v->columns);
    }
}

static void set_style(vt *v, const char *parameters) {
    v->n_colours++;
    for (const char *p = parameters;; p++) {
        char *end;
        long n = strtol(p, &end, 10);
        if (n == 0 || n == 22) v->style = 0;
        if (n == 1) v->style |= VT_BOLD;
        if (n == 2) v->style |= VT_DIM;
        if (*end != ';') return;
        p = end;
    }
}

/* ESC [ parameters final */
static void do_sequence(vt *v, const char *parameters, char final) {
    size_t n = (size_t)strtoul(parameters, NULL, 10), one = n ? n : 1;
    const char *second = strchr(parameters, ';');
    size_t m = second ? (size_t)strtoul(second + 1, NULL, 10) : 0;
    if (final == 'm') {
        set_style(v, parameters);
        return;
    }
    v->n_escapes++;
    if (strchr("ABCDGHdf", final)) v->wrap_next = false;
    switch (final) {
    case 'A': v->line -= one > v->line - v->top ? v->line - v->top : one; break;
    case 'B': v->line += one > v->top + v->rows - 1 - v->line ? v->top + v->rows - 1 - v->line : one; break;
    case 'C': v->column += one > v->columns - 1 - v->column ? v->columns - 1 - v->column : one; break;
    case 'D': v->column -= one > v->column ? v->column : one; break;
    case 'G': v->column = one > v->columns ? v->columns - 1 : one - 1; break;
    case 'd': v->line = v->top + (one > v->rows ? v->rows : one) - 1; break;
    case 'H':
    case 'f':
        v->line = v->top + (one > v->rows ? v->rows : one) - 1;
        v->column = m == 0 ? 0 : m > v->columns ? v->columns - 1 : m - 1;
        break;
    case 'J':
        if (n == 2) {
            for (size_t i = v->top; i < v->top + v->rows && i < VT_LINES; i++) erase(v, i, 0, VT_COLUMNS);
        } else {
            erase(v, v->line, v->column, VT_COLUMNS);
            for (size_t i = v->line + 1; i < v->top + v->rows && i < VT_LINES; i++)
                erase(v, i, 0, VT_COLUMNS);
        }
        break;
    case 'K': erase(v, v->line, n ? 0 : v->column, n == 1 ? v->column + 1 : VT_COLUMNS); break;
    case '@': move_cells(v, one, true); break;
    case 'P': move_cells(v, one, false); break;
    case 'X': erase(v, v->line, v->column, v->column + one); break;
    case 'h':
    case 'l':
        if (!strcmp(parameters, "?2004")) v->marks_pastes = final == 'h';
        break;
    default: break;
    }
    if (v->line > v->last) v->last = v->line;
}

/* Is the sequence whole? Then it is done. */
static bool try_sequence(vt *v) {
    char *s = v->sequence;
    size_t n = v->n_sequence;
    s[n] = 0;
    if (n == 1) return false;
    if (s[1] == '[') {
        char final = s[n - 1];
        if (n == 2 || final < 0x40 || final > 0x7E) return n == sizeof v->sequence - 1;
        s[n - 1] = 0;
        do_sequence(v, s + 2, final);
        return true;
    }
    if (s[1] == ']') return s[n - 1] == '\a' || n == sizeof v->sequence - 1;
    if (strchr("()", s[1]) && n == 2) return false;
    v->n_escapes++;
    if (s[1] == '7') v->saved_line = v->line, v->saved_column = v->column;
    if (s[1] == '8') v->line = v->saved_line, v->column = v->saved_column;
    return true;
}

void vt_put(vt *v, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        if (v->n_sequence || c == ESC || (unsigned char)c >= 0x80) {
            v->sequence[v->n_sequence++] = c;
            if (v->sequence[0] == ESC) {
                if (try_sequence(v)) v->n_sequence = 0;
                continue;
            }
            unsigned char lead = (unsigned char)v->sequence[0];
            if (v->n_sequence < (lead < 0xE0 ? 2u : lead < 0xF0 ? 3u : 4u)) continue;
            uint32_t code;
            size_t length = utf8_next(v->sequence, v->n_sequence, &code);
            put_character(v, v->sequence, length, code);
            v->n_sequence = 0;
        } else if ((unsigned char)c < 0x20 || c == 0x7F) {
            control(v, c);
        } else {
            put_character(v, &c, 1, (uint32_t)c);
        }
    }
}

void vt_line(const vt *v, size_t line, char *out) {
    size_t used = 0, end = 0;
    for (size_t i = 0; i < VT_COLUMNS; i++) {
        const vt_cell *cell = &v->cells[line][i];
        size_t n = strlen(cell->text);
        bool second = !n && i && v->cells[line][i - 1].width == 2;
        if (second) continue;
        memcpy(out + used, n ? cell->text : " ", n ? n : 1);
        used += n ? n : 1;
        if (n && strcmp(cell->text, " ") != 0) end = used;
    }
    out[end] = 0;
}

char *vt_text(const vt *v, size_t from) {
    size_t used = 0, most = 32 * VT_COLUMNS + 2;
    char *text = malloc((v->last + 1 - from) * most + 1);
    for (size_t i = from; text && i <= v->last; i++) {
        vt_line(v, i, text + used);
        used += strlen(text + used);
        text[used++] = '\n';
    }
    if (text) text[used] = 0;
    return text;
}
