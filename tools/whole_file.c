/* See whole_file.h. */
#include "whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "term.h"

int whole_file_open(whole_file *w, const char *path) {
    struct stat s;
    int fd;
    w->error = 0;
    w->temporary[0] = 0;
    /* Through a link, the file it names is replaced, not the link. */
    if (!realpath(path, w->path) && (size_t)snprintf(w->path, PATH_MAX, "%s", path) >= PATH_MAX)
        return fail("%s: %s", path, strerror(ENAMETOOLONG));
    if (stat(w->path, &s) == 0 && !S_ISREG(s.st_mode)) {
        fd = open(w->path, O_WRONLY | O_CLOEXEC);
    } else {
        snprintf(w->temporary, sizeof w->temporary, "%s.tmp-%ld", w->path, (long)getpid());
        fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    w->f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (w->f) return EXIT_DONE;
    int error = errno;
    if (fd >= 0) {
        close(fd);
        if (w->temporary[0]) unlink(w->temporary);
    }
    return fail("%s: %s", path, strerror(error));
}

void whole_file_write(whole_file *w, const void *bytes, size_t n) {
    if (!w->error && fwrite(bytes, 1, n, w->f) != n) w->error = errno ? errno : EIO;
}

int whole_file_close(whole_file *w, int status) {
    bool direct = !w->temporary[0];
    errno = 0;
    bool good = !w->error && fflush(w->f) == 0 && (direct || fsync(fileno(w->f)) == 0);
    int error = w->error ? w->error : errno;
    if (fclose(w->f) && good) {
        good = false;
        error = errno;
    }
    if (good && !status && !direct && rename(w->temporary, w->path)) {
        good = false;
        error = errno;
    }
    if (!direct && (!good || status)) unlink(w->temporary);
    if (status || good) return status;
    return fail("%s: %s", w->path, strerror(error ? error : EIO));
}
