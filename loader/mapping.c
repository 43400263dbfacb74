/* See mapping.h. One descriptor, one fstat and one mapping: nothing is looked at twice. */
#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "guard.h"
#include "limits.h"
#include "oserror.h"
#include "sys.h"

static leat_status os_failed(const char *what, int number, leat_error *e) {
    return error_set(e, LEAT_E_IO, "%s: %s (errno %d)", what, os_error_text(number), number);
}

/* Size of an open file that can be mapped as a whole. */
static leat_status file_size(int fd, size_t *out, leat_error *e) {
    struct stat st;
    int rc;
    do rc = sys_fstat(fd, &st);
    while (rc && errno == EINTR);
    if (rc) return os_failed("can't be examined", errno, e);
    if (S_ISDIR(st.st_mode)) return error_set(e, LEAT_E_IO, "is a directory, not a file");
    if (!S_ISREG(st.st_mode)) return error_set(e, LEAT_E_IO, "is not a regular file");
    if (st.st_size <= 0) return error_set(e, LEAT_E_TRUNCATED, "the file is empty");
    uint64_t size = (uint64_t)st.st_size;
    if (size > LIMIT_FILE_BYTES || size > SIZE_MAX / 2)
        return error_set(e, LEAT_E_SIZE, "a file of %" PRIu64 " bytes is too large for this machine", size);
    *out = (size_t)size;
    return LEAT_OK;
}

/* O_NONBLOCK is for FIFOs, whose open would wait for a writer; regular files ignore it. */
leat_status mapping_open(const char *path, size_t ahead, mapping *m, leat_error *e) {
    leat_status status;
    int fd;
    memset(m, 0, sizeof *m);
    do fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return os_failed("can't be opened", errno, e);
    status = file_size(fd, &m->n, e);
    if (status) goto fail;
    m->base = sys_map(fd, m->n);
    if (!m->base) {
        status = os_failed("can't be mapped", errno, e);
        goto fail;
    }
    m->p = m->base;
    sys_will_need(m->base, m->n < ahead ? m->n : ahead);
fail:
    sys_close(fd); /* it was only read, so there is nothing a failure could lose */
    return status;
}

void mapping_guard(const mapping *m, atomic_bool *lost) {
    guard_add(m->base, m->n, lost);
}

void mapping_drop(const mapping *m) {
    if (m->base) sys_drop(m->base, m->n);
}

void mapping_close(mapping *m) {
    if (m->base) {
        guard_remove(m->base);
        sys_unmap(m->base, m->n);
    }
    memset(m, 0, sizeof *m);
}
