/* See sys.h: one call each, no policy. */
#include "sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int sys_open(const char *path, int flags, unsigned mode) {
    return open(path, flags, (mode_t)mode);
}
int sys_stat(const char *path, struct stat *out) {
    return stat(path, out);
}
int sys_fstat(int fd, struct stat *out) {
    return fstat(fd, out);
}
ssize_t sys_write(int fd, const void *bytes, size_t n) {
    return write(fd, bytes, n);
}
int sys_fsync(int fd) {
    return fsync(fd);
}
int sys_close(int fd) {
    return close(fd);
}
int sys_rename(const char *from, const char *to) {
    return rename(from, to);
}
int sys_unlink(const char *path) {
    return unlink(path);
}

void *sys_map(int fd, size_t n) {
    void *base = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    /* What comes from the disk from now on may come in huge pages, where the file system has them. */
    madvise(base, n, MADV_HUGEPAGE);
#endif
    return base;
}

void sys_unmap(void *base, size_t n) {
    munmap(base, n);
}
void sys_will_need(void *base, size_t n) {
    posix_madvise(base, n, POSIX_MADV_WILLNEED);
}
void sys_drop(void *base, size_t n) {
    madvise(base, n, MADV_DONTNEED); /* of a shared mapping: the file's pages stay cached, but are not ours */
}
