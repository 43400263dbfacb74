/* Makes a picture of a conversation: runs `leat` at a terminal, types what a script says, and draws what the
 * screen then shows as SVG.
 *
 *     screenshot OUT.svg COLUMNS SCRIPT [ARGUMENTS OF LEAT...]
 *
 * A line of the script: `type TEXT` (and Enter), `keys TEXT` (without), `wait TEXT`, `prompt`, `stop`
 * (Ctrl-C). The picture in the README:
 *
 *     screenshot tools/chat.svg 80 tests/bench/screenshot.txt chat -s 36 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/api/pty.h"

enum { CELL = 8, LINE = 18, MARGIN = 14, BAR = 30, FONT = 13 };

static void put_escaped(FILE *f, const char *text) {
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", f);
        else if (*text == '&')
            fputs("&amp;", f);
        else
            fputc(*text, f);
    }
}

static const char *text_of(const vt_cell *cell) {
    return *cell->text ? cell->text : " ";
}

/* Cells of one style side by side; a wide one stands alone, so that everything stays in its column. */
static void draw_line(FILE *f, const vt_cell *cells, size_t columns, size_t y) {
    for (size_t i = 0; i < columns;) {
        size_t from = i, width = 0;
        if (!strcmp(text_of(&cells[i]), " ")) {
            i++;
            continue;
        }
        bool wide = cells[i].width == 2;
        do {
            width += wide ? 2 : 1;
            i += wide ? 2 : 1;
        } while (!wide && i < columns && cells[i].width != 2 && cells[i].style == cells[from].style &&
                 !(strcmp(text_of(&cells[i]), " ") == 0 && i + 1 < columns &&
                   !strcmp(text_of(&cells[i + 1]), " ")));
        const char *class = cells[from].style & VT_DIM    ? " class=\"d\""
                            : cells[from].style & VT_BOLD ? " class=\"b\""
                                                          : "";
        fprintf(f, "<text%s x=\"%zu\" y=\"%zu\" textLength=\"%zu\">", class, MARGIN + from * CELL, y,
                width * CELL);
        for (size_t k = from; k < i && k < columns; k++)
            if (*cells[k].text || cells[k].width != 0 || !wide) put_escaped(f, text_of(&cells[k]));
        fputs("</text>\n", f);
    }
}

static bool draw(const vt *v, const char *path, size_t columns) {
    FILE *f = fopen(path, "w");
    if (!f) return false;
    size_t lines = v->last + 1, width = columns * CELL + 2 * MARGIN, height = BAR + lines * LINE + MARGIN;
    fprintf(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %zu\" width=\"%zu\" height=\"%zu\">\n"
        "<style>text{font:%dpx ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        "fill:#d8dee9;white-space:pre}.d{fill:#7b8794}.b{font-weight:bold;fill:#88c0d0}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" rx=\"9\" fill=\"#20252e\"/>\n"
        "<circle cx=\"18\" cy=\"15\" r=\"5\" fill=\"#bf616a\"/><circle cx=\"36\" cy=\"15\" r=\"5\" "
        "fill=\"#ebcb8b\"/>"
        "<circle cx=\"54\" cy=\"15\" r=\"5\" fill=\"#a3be8c\"/>\n",
        width, height, width, height, FONT);
    for (size_t i = 0; i < lines; i++) draw_line(f, v->cells[i], columns, BAR + (i + 1) * LINE - 5);
    fputs("</svg>\n", f);
    return !fclose(f);
}

static bool play(pty *p, FILE *script) {
    char line[1024];
    while (fgets(line, sizeof line, script)) {
        line[strcspn(line, "\n")] = 0;
        char *rest = strchr(line, ' ');
        if (rest) *rest++ = 0;
        bool ok = true;
        if (!strcmp(line, "type") || !strcmp(line, "keys")) pty_type(p, rest ? rest : "");
        if (!strcmp(line, "type")) pty_type(p, "\r");
        if (!strcmp(line, "stop")) pty_type(p, "\003");
        if (!strcmp(line, "wait")) ok = pty_wait(p, rest ? rest : "");
        if (!strcmp(line, "prompt")) ok = pty_prompt(p);
        if (!ok) return false;
    }
    return true;
}

int main(int argc, char **argv) {
    char arguments[2048] = "";
    pty p;
    if (argc < 4) {
        fprintf(stderr, "screenshot OUT.svg COLUMNS SCRIPT [ARGUMENTS OF LEAT...]\n");
        return 2;
    }
    size_t columns = (size_t)strtoul(argv[2], NULL, 10), used = 0;
    FILE *script = fopen(argv[3], "r");
    if (!script || columns < 20 || columns > VT_COLUMNS) return 2;
    for (int i = 4; i < argc && used < sizeof arguments; i++)
        used += (size_t)snprintf(arguments + used, sizeof arguments - used, "'%s' ", argv[i]);
    if (!pty_start(&p, NULL, columns, 60, NULL, arguments)) return 1;
    bool ok = play(&p, script) && draw(&p.screen, argv[1], columns);
    pty_type(&p, "\004");
    pty_finish(&p);
    pty_clean(&p);
    fclose(script);
    return !ok;
}
