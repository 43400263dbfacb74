/* Reading lines with libedit; see editor.h. Input goes through our own reader, which understands UTF-8
 * whatever the locale, keeps signals apart from text, and takes what a terminal marks as pasted in one piece.
 */
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "editor.h"
#include "editor_impl.h"
#include "screen.h"
#include "term.h"
#include "width.h"

/* Keys that our reader makes up: nobody types them on purpose. */
enum { KEY_INSERT = 0x1E, KEY_STOP = 0x1D };
enum { PASTE_MAX = 1 << 24, SPLIT_KEY = 30 /* milliseconds between the parts of a key's sequence */ };
static const char paste_begins[] = "\033[200~", paste_ends[] = "\033[201~";

struct line_editor {
    editor *e;
    EditLine *el;
    History *past;
    char prompt[64];
    size_t n_prompt; /* cells of it */
    wchar_t *insert; /* text that KEY_INSERT inserts; NULL: a line end */
    editor_result stop;
    bool stopping, blank;
};

static line_editor *self(EditLine *el) {
    void *p = NULL;
    el_get(el, EL_CLIENTDATA, &p);
    return p;
}

static char *prompt_of(EditLine *el) {
    return self(el)->prompt;
}

/* ---- what our keys do ---- */

static unsigned char insert_text(EditLine *el, int key) {
    line_editor *r = self(el);
    (void)key;
    int failed = el_winsertstr(el, r->insert ? r->insert : L"\n");
    free(r->insert);
    r->insert = NULL;
    return failed ? CC_ERROR : CC_REFRESH;
}

/* Ctrl-C: shown behind the line, which then ends. */
static unsigned char show_stop(EditLine *el, int key) {
    const LineInfoW *line = el_wline(el);
    (void)key;
    if (!self(el)->stopping) return CC_ERROR;
    el_cursor(el, (int)(line->lastchar - line->cursor));
    el_winsertstr(el, L"^C");
    return CC_REFRESH;
}

static size_t common_length(const completions *c) {
    size_t n = strlen(c->words[0]);
    for (size_t i = 1; i < c->n; i++) {
        size_t k = 0;
        while (k < n && c->words[i][k] == c->words[0][k]) k++;
        n = k;
    }
    while (n && ((unsigned char)c->words[0][n] & 0xC0) == 0x80) n--; /* whole characters */
    return n;
}

static void list_words(const completions *c) {
    size_t widest = 0, columns = screen_columns(STDERR_FILENO);
    for (size_t i = 0; i < c->n; i++) {
        size_t cells = width_of_text(c->words[i], strlen(c->words[i]));
        if (cells > widest) widest = cells;
    }
    size_t per_line = columns / (widest + 2) ? columns / (widest + 2) : 1;
    fputc('\n', stderr);
    for (size_t i = 0; i < c->n; i++) {
        size_t cells = width_of_text(c->words[i], strlen(c->words[i]));
        bool last = (i + 1) % per_line == 0 || i + 1 == c->n;
        term_put_clean(stderr, c->words[i], strlen(c->words[i]), SIZE_MAX);
        fprintf(stderr, "%*s", last ? 0 : (int)(widest + 2 - cells), "");
        if (last) fputc('\n', stderr);
    }
}

static unsigned char complete_word(EditLine *el, int key) {
    const LineInfo *line = el_line(el);
    size_t n = (size_t)(line->cursor - line->buffer);
    editor *e = self(el)->e;
    completions c = {.from = n};
    unsigned char result = CC_ERROR;
    (void)key;
    char *typed = strndup(line->buffer, n);
    if (typed && e->complete) e->complete(e->user, typed, n, &c);
    if (c.n && c.from <= n) {
        size_t have = n - c.from, common = common_length(&c);
        char *more = common >= have ? strndup(c.words[0] + have, common - have) : NULL;
        bool whole = c.n == 1 && (!common || c.words[0][common - 1] != '/');
        if (more && *more && !el_insertstr(el, more)) result = CC_REFRESH;
        if (more && whole && !el_insertstr(el, " ")) result = CC_REFRESH;
        if (c.n > 1 && result == CC_ERROR) {
            list_words(&c);
            result = CC_REDISPLAY;
        }
        free(more);
    }
    for (size_t i = 0; i < c.n; i++) free(c.words[i]);
    free(c.words);
    free(typed);
    return result;
}

/* ---- input ---- */

static wchar_t *widen(const char *text, size_t n) {
    wchar_t *out = calloc(n + 1, sizeof *out);
    size_t used = 0;
    for (size_t i = 0; out && i < n;) {
        uint32_t code;
        i += utf8_next(text + i, n - i, &code);
        if (code == '\r') code = i < n && text[i] == '\n' ? 0 : '\n';
        if (code == '\n' || code == '\t' || (code >= 0x20 && code != 0x7F && (code < 0x80 || code >= 0xA0)))
            out[used++] = (wchar_t)code;
    }
    return out;
}

static void set_insert(line_editor *r, const char *text, size_t n) {
    free(r->insert);
    r->insert = widen(text, n);
}

/* A signal or the end came: libedit gets a key that ends the line. */
static void stop(line_editor *r, fill_result filled) {
    const LineInfoW *line = el_wline(r->el);
    r->blank = line->buffer == line->lastchar;
    r->stopping = true;
    r->stop = filled == FILL_INTERRUPT ? EDITOR_INTERRUPT
              : filled == FILL_SIGNAL  ? EDITOR_SIGNAL
                                       : EDITOR_END;
}

/* Rows of the window between the prompt's and the cursor's, after the terminal has broken the lines anew. */
static size_t rows_before_cursor(const line_editor *r, size_t columns) {
    const LineInfoW *line = el_wline(r->el);
    size_t rows = 0, column = r->n_prompt;
    for (const wchar_t *p = line->buffer; p < line->cursor; p++) {
        size_t cells = (size_t)width_of((uint32_t)*p);
        if (*p == '\t') cells = 8 - column % 8;
        if (*p == '\n' || column + cells > columns) {
            rows++;
            column = 0;
        }
        column += cells;
    }
    return rows + (column >= columns);
}

static void take_notice(line_editor *r) {
    if (term_take_continued()) { /* the shell has used the terminal in between */
        el_set(r->el, EL_PREP_TERM, 0);
        el_set(r->el, EL_PREP_TERM, 1);
        el_set(r->el, EL_REFRESH);
    }
    if (term_take_resized()) {
        size_t rows = rows_before_cursor(r, screen_columns(STDERR_FILENO));
        fputc('\r', stderr);
        if (rows) fprintf(stderr, "\033[%zuA", rows);
        fputs("\033[J", stderr);
        el_resize(r->el);
        el_set(r->el, EL_REFRESH); /* draws all of it, as if it stood nowhere yet */
    }
}

/* Makes sure of n bytes of input, if they come soon. */
static bool have(line_editor *r, size_t n) {
    editor *e = r->e;
    while (e->input_end - e->input_at < n)
        if (!editor_wait(e, SPLIT_KEY) || editor_fill(e) != FILL_SOME) return false;
    return true;
}

/* Everything up to the end of a paste, which may come in many parts. */
static void take_paste(line_editor *r) {
    editor *e = r->e;
    size_t used = 0, capacity = 0, n_end = sizeof paste_ends - 1;
    char *text = NULL;
    for (;;) {
        if (e->input_at == e->input_end) {
            fill_result filled = editor_fill(e);
            if (filled == FILL_NOTICE) continue;
            if (filled != FILL_SOME) break;
        }
        if (used == capacity) {
            capacity = capacity ? 2 * capacity : 4096;
            char *grown = realloc(text, capacity);
            if (!grown) break;
            text = grown;
        }
        text[used++] = e->input[e->input_at++];
        if (used >= n_end && !memcmp(text + used - n_end, paste_ends, n_end)) {
            used -= n_end;
            break;
        }
        if (used == PASTE_MAX) used = PASTE_MAX - n_end; /* more than any model reads */
    }
    while (used && (text[used - 1] == '\n' || text[used - 1] == '\r')) used--;
    set_insert(r, text ? text : "", used);
    free(text);
}

/* libedit's next character. */
static int take_character(EditLine *el, wchar_t *out) {
    line_editor *r = self(el);
    editor *e = r->e;
    uint32_t code;
    if (r->stopping) {
        *out = L'\n';
        return 1;
    }
    if (r->insert) {
        *out = KEY_INSERT;
        return 1;
    }
    while (e->input_at == e->input_end) {
        fill_result filled = editor_fill(e);
        if (filled == FILL_NOTICE) take_notice(r);
        if (filled == FILL_SOME || filled == FILL_NOTICE) continue;
        stop(r, filled);
        *out = filled == FILL_INTERRUPT ? KEY_STOP : L'\n';
        return 1;
    }
    const char *p = e->input + e->input_at;
    size_t n = sizeof paste_begins - 1, rest = e->input_end - e->input_at;
    if (*p == '\033' && !memcmp(p, paste_begins, rest < n ? rest : n) && have(r, n) &&
        !memcmp(e->input + e->input_at, paste_begins, n)) {
        e->input_at += n;
        take_paste(r);
        *out = KEY_INSERT;
        return 1;
    }
    unsigned char lead = (unsigned char)e->input[e->input_at];
    have(r, lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4);
    e->input_at += utf8_next(e->input + e->input_at, e->input_end - e->input_at, &code);
    *out = (wchar_t)code;
    return 1;
}

/* ---- setting up ---- */

/* libedit shows characters by the locale: any with UTF-8 will do. */
static bool use_utf8(void) {
    static const char *const names[] = {"", "C.UTF-8", "en_US.UTF-8", "UTF-8"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_CTYPE, names[i]) && !strcmp(nl_langinfo(CODESET), "UTF-8")) return true;
    setlocale(LC_CTYPE, "C");
    return false;
}

static void bind_keys(EditLine *el) {
    static const char *const keys[][2] = {
        {"^^", "leat-insert"},         {"\033\n", "leat-insert"},          {"^]", "leat-stop"},
        {"^I", "leat-complete"},       {"\033[3~", "ed-delete-next-char"}, {"\033[1~", "ed-move-to-beg"},
        {"\033[4~", "ed-move-to-end"}, {"\033[7~", "ed-move-to-beg"},      {"\033[8~", "ed-move-to-end"},
        {"\033[H", "ed-move-to-beg"},  {"\033[F", "ed-move-to-end"},       {"\033OH", "ed-move-to-beg"},
        {"\033OF", "ed-move-to-end"},  {"\033[1;5D", "ed-prev-word"},      {"\033[1;5C", "em-next-word"},
        {"\033b", "ed-prev-word"},     {"\033f", "em-next-word"},          {"^W", "ed-delete-prev-word"},
        {"^R", "em-inc-search-prev"},
    };
    /* Wide, because of these libedit keeps the pointers; of narrow ones it makes copies that it never frees.
     */
    el_wset(el, EL_ADDFN, L"leat-insert", L"insert what was pasted, or a line end", insert_text);
    el_wset(el, EL_ADDFN, L"leat-stop", L"drop the line", show_stop);
    el_wset(el, EL_ADDFN, L"leat-complete", L"complete a name", complete_word);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
}

line_editor *rich_open(editor *e) {
    HistEvent event;
    line_editor *r = use_utf8() ? calloc(1, sizeof *r) : NULL;
    if (!r) return NULL;
    r->e = e;
    r->el = el_init("leat", stdin, stderr, stderr);
    r->past = history_init();
    if (!r->el || !r->past) {
        rich_close(r);
        return NULL;
    }
    history(r->past, &event, H_SETSIZE, 2 * HISTORY_ENTRIES);
    el_set(r->el, EL_CLIENTDATA, r);
    el_set(r->el, EL_EDITOR, "emacs");
    el_set(r->el, EL_SIGNAL, 0);
    el_set(r->el, EL_PROMPT_ESC, prompt_of, '\1');
    el_set(r->el, EL_HIST, history, r->past);
    el_set(r->el, EL_GETCFN, take_character);
    bind_keys(r->el);
    return r;
}

void rich_close(line_editor *r) {
    if (!r) return;
    if (r->el) el_end(r->el);
    if (r->past) history_end(r->past);
    free(r->insert);
    free(r);
}

void rich_preset(line_editor *r, const char *text, size_t n) {
    set_insert(r, text, n);
}

void rich_remember(line_editor *r, const char *text) {
    HistEvent event;
    history(r->past, &event, H_ENTER, text);
}

editor_result rich_read(line_editor *r, const char *prompt, bool *blank) {
    editor *e = r->e;
    int n = 0;
    size_t mark = strlen(prompt) - 1; /* all but the blank at the end is bold */
    if (e->colours)
        snprintf(r->prompt, sizeof r->prompt, "\1\033[1m\1%.*s\1\033[0m\1%s", (int)mark, prompt,
                 prompt + mark);
    else
        snprintf(r->prompt, sizeof r->prompt, "%s", prompt);
    r->n_prompt = width_of_text(prompt, mark + 1);
    r->stopping = false;
    e->paused = false;
    el_set(r->el, EL_PREP_TERM, 1); /* before the prompt says that one may type */
    term_take_continued();
    if (term_take_resized()) el_resize(r->el);
    fputs("\033[?2004h", stderr); /* pastes are to be marked */
    const char *line = el_gets(r->el, &n);
    fputs("\033[?2004l", stderr);
    *blank = r->blank;
    if (r->stopping) return r->stop;
    if (!line || n <= 0) {
        fputc('\n', stderr);
        return EDITOR_END;
    }
    size_t length = (size_t)n;
    if (line[length - 1] == '\n') length--;
    return editor_put(e, line, length) ? EDITOR_LINE : EDITOR_NO_MEMORY;
}
