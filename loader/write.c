/* Writes a file so that its name never stands for half of it; see write.h. Small puts are gathered in a
 * buffer, large ones go straight through. Once something failed, the writer only remembers that, and what is
 * left to do is to give up. */
#include "write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "checked.h"
#include "oserror.h"
#include "sys.h"

enum {
    /* Written in whole buffers at multiples of their size: file systems that can then keep the file in huge
     * pages, whose mapping is up to 15 % faster to read than that of small ones. */
    BUFFER_BYTES = 1 << 21,
    /* One write is at most this: what a single call may write has limits on several systems, all above. */
    CHUNK_BYTES = 1 << 30,
    TEMP_SUFFIX_BYTES = sizeof ".tmp-18446744073709551615-9999",
    TEMP_TRIES = 1000,
    SHOWN = 120,
};

struct file_writer {
    int fd; /* -1 when closed */
    char *path, *temp;
    bool temp_exists, failed;
    size_t used;
    uint64_t offset;
    uint8_t *buffer;
};

static leat_status failed(file_writer *w, const char *what, int number, leat_error *e) {
    w->failed = true;
    return error_set(e, LEAT_E_IO, "%.*s: %s: %s (errno %d)", SHOWN, w->path, what, os_error_text(number),
                     number);
}

static void writer_free(file_writer *w) {
    if (w->fd >= 0) sys_close(w->fd);
    if (w->temp_exists) sys_unlink(w->temp);
    mem_free(w->path);
    mem_free(w->temp);
    mem_free(w->buffer);
    mem_free(w);
}

/* Renaming over something that is no file would replace it: as root, even a device. */
static leat_status check_target(file_writer *w, leat_error *e) {
    struct stat st;
    if (sys_stat(w->path, &st)) {
        if (errno == ENOENT) return LEAT_OK;
        return failed(w, "can't be written", errno, e);
    }
    if (S_ISREG(st.st_mode)) return LEAT_OK;
    return failed(w, "can't be written", S_ISDIR(st.st_mode) ? EISDIR : ENODEV, e);
}

static leat_status open_temp(file_writer *w, leat_error *e) {
    size_t size = strlen(w->path) + TEMP_SUFFIX_BYTES;
    int number = EEXIST;
    /* O_EXCL makes the name ours, whoever else (another thread, a dead process of the same number) uses the
     * pattern. */
    for (int i = 0; i < TEMP_TRIES; i++) {
        snprintf(w->temp, size, "%s.tmp-%ld-%d", w->path, (long)getpid(), i);
        do w->fd = sys_open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        while (w->fd < 0 && errno == EINTR);
        if (w->fd >= 0) {
            w->temp_exists = true;
            return LEAT_OK;
        }
        number = errno;
        if (number != EEXIST) break;
    }
    return failed(w, "no temporary file can be made beside it", number, e);
}

leat_status writer_open(const char *path, file_writer **out, leat_error *e) {
    leat_status status;
    size_t n = strlen(path), size;
    *out = NULL;
    file_writer *w = mem_alloc(1, sizeof *w);
    if (!w) return error_set(e, LEAT_E_NOMEM, "no memory to write a file");
    w->fd = -1;
    if (checked_add(n, TEMP_SUFFIX_BYTES, &size)) {
        w->path = mem_alloc(n + 1, 1);
        w->temp = mem_alloc(size, 1);
        w->buffer = mem_alloc(BUFFER_BYTES, 1);
    }
    if (!w->path || !w->temp || !w->buffer) {
        status = error_set(e, LEAT_E_NOMEM, "no memory to write a file");
        goto fail;
    }
    memcpy(w->path, path, n);
    status = check_target(w, e);
    if (!status) status = open_temp(w, e);
    if (status) goto fail;
    *out = w;
    return error_set(e, LEAT_OK, "%s", "");
fail:
    writer_free(w);
    return status;
}

/* All n bytes, however many the system takes at a time. */
static leat_status write_all(file_writer *w, const uint8_t *p, size_t n, leat_error *e) {
    while (n) {
        ssize_t done = sys_write(w->fd, p, n < CHUNK_BYTES ? n : CHUNK_BYTES);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return failed(w, "can't be written", done < 0 ? errno : ENOSPC, e);
        p += done;
        n -= (size_t)done;
    }
    return LEAT_OK;
}

static leat_status flush(file_writer *w, leat_error *e) {
    leat_status status = write_all(w, w->buffer, w->used, e);
    w->used = 0;
    return status;
}

static leat_status failed_before(const file_writer *w, leat_error *e) {
    return error_set(e, LEAT_E_STATE, "%.*s: an earlier write to it failed", SHOWN, w->path);
}

leat_status writer_put(file_writer *w, const void *bytes, size_t n, leat_error *e) {
    const uint8_t *p = bytes;
    if (w->failed) return failed_before(w, e);
    w->offset += n;
    while (n) {
        leat_status status = LEAT_OK;
        size_t step = BUFFER_BYTES - w->used;
        if (!w->used && n >= BUFFER_BYTES) { /* straight through */
            step = n / BUFFER_BYTES * BUFFER_BYTES;
            status = write_all(w, p, step, e);
        } else {
            if (step > n) step = n;
            memcpy(w->buffer + w->used, p, step);
            w->used += step;
            if (w->used == BUFFER_BYTES) status = flush(w, e);
        }
        if (status) return status;
        p += step;
        n -= step;
    }
    return LEAT_OK;
}

leat_status writer_align(file_writer *w, size_t align, leat_error *e) {
    static const uint8_t zeros[256];
    if (!align) return error_set(e, LEAT_E_ARG, "alignment is 0");
    size_t left = (size_t)((align - w->offset % align) % align);
    while (left) {
        size_t step = left < sizeof zeros ? left : sizeof zeros;
        leat_status status = writer_put(w, zeros, step, e);
        if (status) return status;
        left -= step;
    }
    return w->failed ? failed_before(w, e) : LEAT_OK;
}

uint64_t writer_offset(const file_writer *w) {
    return w->offset;
}

/* Makes the new name itself durable. By then the file stands under its name, whole, and there is no way back;
 * a system that can't do this (some file systems can't) leaves either the old or the new file after a power
 * cut, both whole. So its result doesn't matter. */
static void sync_folder(file_writer *w) {
    char *slash = strrchr(w->path, '/');
    const char *folder = ".";
    if (slash == w->path)
        folder = "/";
    else if (slash) {
        *slash = 0; /* the writer is about to be freed */
        folder = w->path;
    }
    int fd = sys_open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY, 0);
    if (fd < 0) return;
    sys_fsync(fd);
    sys_close(fd);
}

leat_status writer_commit(file_writer *w, leat_error *e) {
    leat_status status = w->failed ? failed_before(w, e) : flush(w, e);
    if (status) goto fail;
    int rc;
    do rc = sys_fsync(w->fd);
    while (rc && errno == EINTR);
    if (rc) {
        status = failed(w, "can't be brought to the disk", errno, e);
        goto fail;
    }
    rc = sys_close(w->fd);
    w->fd = -1; /* also after a failure: trying again could close another thread's file */
    if (rc && errno != EINTR) {
        status = failed(w, "can't be closed", errno, e);
        goto fail;
    }
    do rc = sys_rename(w->temp, w->path);
    while (rc && errno == EINTR);
    if (rc) {
        status = failed(w, "can't be replaced", errno, e);
        goto fail;
    }
    w->temp_exists = false;
    sync_folder(w);
    error_set(e, LEAT_OK, "%s", "");
fail:
    writer_free(w);
    return status;
}

void writer_abandon(file_writer *w) {
    if (w) writer_free(w);
}
