/* A folder of a test's own, under the system's for temporary files. */
#ifndef LEAT_TESTS_FOLDER_H
#define LEAT_TESTS_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct folder {
    char path[200];
} folder;

bool folder_make(folder *f);
/* Removes it with all files in it. */
void folder_remove(const folder *f);
/* How many files are in it. */
int folder_count(const folder *f);
/* "PATH/name" in one of four turning buffers. */
const char *folder_file(const folder *f, const char *name);

bool file_put(const char *path, const void *bytes, size_t n);
/* The whole file, to be freed with free(); NULL when there is none. */
unsigned char *file_get(const char *path, size_t *n);

#endif
