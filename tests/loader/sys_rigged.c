/* See sys_rigged.h. */
#include "sys_rigged.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/sys.h"

sys_rig rig;

void rig_reset(void) {
    rig = (sys_rig){0};
}

static bool interrupted(void) {
    if (rig.interruptions_left < rig.interrupt) {
        rig.interruptions_left++;
        errno = EINTR;
        return true;
    }
    rig.interruptions_left = 0;
    return false;
}

static bool fails(void) {
    rig.calls++;
    if (!rig.fail_at || rig.calls < rig.fail_at || (rig.calls > rig.fail_at && !rig.persistent)) return false;
    rig.failures++;
    errno = rig.error ? rig.error : EIO;
    return true;
}

int sys_open(const char *path, int flags, unsigned mode) {
    if (interrupted() || fails()) return -1;
    int fd = open(path, flags, (mode_t)mode);
    if (fd >= 0) rig.open_fds++;
    return fd;
}

int sys_stat(const char *path, struct stat *out) {
    return fails() ? -1 : stat(path, out);
}

int sys_fstat(int fd, struct stat *out) {
    if (interrupted() || fails()) return -1;
    int rc = fstat(fd, out);
    if (rc == 0 && rig.file_size) out->st_size = (off_t)rig.file_size;
    return rc;
}

ssize_t sys_write(int fd, const void *bytes, size_t n) {
    if (interrupted() || fails()) return -1;
    if (rig.short_write && n > rig.short_write) n = rig.short_write;
    return write(fd, bytes, n);
}

int sys_fsync(int fd) {
    return interrupted() || fails() ? -1 : fsync(fd);
}

/* A close that fails has closed, as on Linux. */
int sys_close(int fd) {
    bool failed = fails();
    int rc = close(fd);
    rig.open_fds--;
    if (failed) errno = rig.error ? rig.error : EIO;
    return failed ? -1 : rc;
}

int sys_rename(const char *from, const char *to) {
    return interrupted() || fails() ? -1 : rename(from, to);
}

int sys_unlink(const char *path) {
    rig.calls++;
    return unlink(path);
}

void *sys_map(int fd, size_t n) {
    if (fails()) return NULL;
    void *base = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return NULL;
    rig.open_maps++;
    return base;
}

void sys_unmap(void *base, size_t n) {
    rig.open_maps--;
    munmap(base, n);
}

void sys_will_need(void *base, size_t n) {
    (void)base;
    (void)n;
}

void sys_drop(void *base, size_t n) {
    (void)base;
    (void)n;
}
