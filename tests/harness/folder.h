/* A private temporary folder and whole files in it, for tests that make several. Plain C library underneath,
 * so nothing here counts as the library's own reading or writing. */
#ifndef LEAT_TESTS_FOLDER_H
#define LEAT_TESTS_FOLDER_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct folder {
    char path[64];
} folder;

static inline bool folder_make(folder *f) {
    const char *base = getenv("TMPDIR");
    snprintf(f->path, sizeof f->path, "%s/leat-test-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    return mkdtemp(f->path) != NULL;
}

/* "FOLDER/name" in one of four rotating buffers. */
static inline const char *folder_path(const folder *f, const char *name) {
    static char paths[4][512];
    static unsigned turn;
    char *p = paths[turn++ % 4];
    snprintf(p, 512, "%s/%s", f->path, name);
    return p;
}

/* How many files are in it. */
static inline size_t folder_count(const folder *f) {
    size_t n = 0;
    DIR *d = opendir(f->path);
    for (struct dirent *entry; d && (entry = readdir(d));) n += entry->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static inline void folder_remove(const folder *f) {
    DIR *d = opendir(f->path);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) unlink(folder_path(f, entry->d_name));
    if (d) closedir(d);
    rmdir(f->path);
}

/* The whole file in memory from malloc, or NULL. */
static inline uint8_t *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    uint8_t *p = NULL;
    long size = -1;
    if (f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
        p = malloc((size_t)size + 1);
        if (p && fread(p, 1, (size_t)size, f) != (size_t)size) {
            free(p);
            p = NULL;
        }
    }
    if (f) fclose(f);
    *n = p ? (size_t)size : 0;
    return p;
}

static inline bool spill(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f && fclose(f)) ok = false;
    return ok;
}

#endif
