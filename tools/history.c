/* The history file; see history.h. Line ends within an entry are written as \n, a backslash as \\. */
#include "history.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"

/* Makes the folders of a path that are missing. */
static void make_folders(char *path) {
    for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
}

static char *find_path(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char path[PATH_MAX];
    int n = -1;
    if (state && *state == '/')
        n = snprintf(path, sizeof path, "%s/leat/history", state);
    else if (home && *home == '/')
        n = snprintf(path, sizeof path, "%s/.local/state/leat/history", home);
    return n > 0 && n < (int)sizeof path ? strdup(path) : NULL;
}

static void drop_first(past_lines *h, size_t n) {
    for (size_t i = 0; i < n; i++) free(h->entries[i]);
    h->n_entries -= n;
    memmove(h->entries, h->entries + n, h->n_entries * sizeof *h->entries);
}

/* Takes over an entry in memory. */
static void keep(past_lines *h, char *entry) {
    if (!entry || !h->entries) {
        free(entry);
        return;
    }
    if (h->n_entries == 2 * HISTORY_ENTRIES) drop_first(h, HISTORY_ENTRIES);
    h->entries[h->n_entries++] = entry;
}

static char *decode(const char *line, size_t n) {
    char *out = malloc(n + 1);
    size_t used = 0;
    for (size_t i = 0; out && i < n; i++) {
        char c = line[i];
        if (c == '\\' && i + 1 < n) c = line[++i] == 'n' ? '\n' : line[i];
        if (c) out[used++] = c;
    }
    if (out) out[used] = 0;
    return out;
}

static void write_entry(FILE *f, const char *text) {
    for (const char *p = text; *p; p++) {
        if (*p == '\n' || *p == '\\')
            fprintf(f, "\\%c", *p == '\n' ? 'n' : '\\');
        else
            fputc(*p, f);
    }
    fputc('\n', f);
}

/* Writes the newest entries anew, when the file has grown to twice as many. */
static void shorten(past_lines *h) {
    size_t n = strlen(h->path);
    char *path = malloc(n + 5);
    if (!path) return;
    snprintf(path, n + 5, "%s.new", h->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f) {
        for (size_t i = 0; i < h->n_entries; i++) write_entry(f, h->entries[i]);
        bool written = !ferror(f);
        if (fclose(f) || !written || rename(path, h->path)) unlink(path);
    } else if (fd >= 0) {
        close(fd);
    }
    free(path);
}

void past_open(past_lines *h) {
    size_t capacity = 0, in_file = 0;
    char *line = NULL;
    ssize_t n;
    *h = (past_lines){find_path(), calloc(2 * HISTORY_ENTRIES, sizeof *h->entries), 0};
    if (!h->path) return;
    FILE *f = fopen(h->path, "re");
    if (!f) return;
    while ((n = getline(&line, &capacity, f)) > 0) {
        if (line[n - 1] == '\n') n--;
        in_file++;
        if (n <= 2 * HISTORY_ENTRY_MAX) keep(h, decode(line, (size_t)n));
    }
    free(line);
    fclose(f);
    if (h->n_entries > HISTORY_ENTRIES) drop_first(h, h->n_entries - HISTORY_ENTRIES);
    if (in_file >= 2 * HISTORY_ENTRIES) shorten(h);
}

void past_close(past_lines *h) {
    for (size_t i = 0; i < h->n_entries; i++) free(h->entries[i]);
    free(h->entries);
    free(h->path);
    *h = (past_lines){0};
}

void past_add(past_lines *h, const char *text, size_t n) {
    if (!n || n > HISTORY_ENTRY_MAX || memchr(text, 0, n)) return;
    char *entry = strndup(text, n);
    if (!entry) return;
    if (h->n_entries && !strcmp(h->entries[h->n_entries - 1], entry)) {
        free(entry);
        return;
    }
    if (h->path) {
        make_folders(h->path);
        int fd = open(h->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "a");
        if (f) {
            fchmod(fd, 0600);
            write_entry(f, entry);
            fclose(f);
        } else if (fd >= 0) {
            close(fd);
        }
    }
    keep(h, entry);
}
