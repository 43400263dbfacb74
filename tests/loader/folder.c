/* See folder.h. */
#include "folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool folder_make(folder *f) {
    const char *base = getenv("TMPDIR");
    snprintf(f->path, sizeof f->path, "%s/leat-test-XXXXXX", base && strlen(base) < 100 ? base : "/tmp");
    if (mkdtemp(f->path)) return true;
    fprintf(stderr, "can't make %s\n", f->path);
    return false;
}

const char *folder_file(const folder *f, const char *name) {
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", f->path, name);
    return path;
}

static int each(const folder *f, bool remove_them) {
    int n = 0;
    DIR *d = opendir(f->path);
    if (!d) return -1;
    for (struct dirent *entry; (entry = readdir(d));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        n++;
        if (!remove_them || !remove(folder_file(f, entry->d_name))) continue;
        folder inner; /* one that is not empty */
        if ((size_t)snprintf(inner.path, sizeof inner.path, "%.60s/%.60s", f->path, entry->d_name) <
            sizeof inner.path)
            folder_remove(&inner);
    }
    closedir(d);
    return n;
}

int folder_count(const folder *f) {
    return each(f, false);
}

void folder_remove(const folder *f) {
    each(f, true);
    rmdir(f->path);
}

bool file_put(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f && fclose(f)) ok = false;
    return ok;
}

unsigned char *file_get(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    unsigned char *p = NULL;
    if (!fseek(f, 0, SEEK_END)) {
        long size = ftell(f);
        p = size >= 0 ? malloc((size_t)size + 1) : NULL;
        rewind(f);
        *n = p ? fread(p, 1, (size_t)size, f) : 0;
    }
    fclose(f);
    return p;
}
