/* Files that commands write: each replaces what has its name only once it is complete, or not at all. */
#ifndef LEAT_TOOLS_WHOLE_FILE_H
#define LEAT_TOOLS_WHOLE_FILE_H

#include <stdio.h>

#include "input.h"

/* A file that replaces `path` only once it is complete. A target that is no regular file (/dev/null, a pipe)
 * is written directly. */
typedef struct whole_file {
    FILE *f;
    int error;                                     /* errno of the first write that failed */
    char path[PATH_MAX], temporary[PATH_MAX + 32]; /* temporary is "" when written directly */
} whole_file;

int whole_file_open(whole_file *w, const char *path);
/* Writes n bytes; the first failure is remembered, and told by whole_file_close. */
void whole_file_write(whole_file *w, const void *bytes, size_t n);
/* Closes the file; it takes its name if all went well until now (status) and here. */
int whole_file_close(whole_file *w, int status);

#endif
