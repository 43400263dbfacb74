/* The file seam: every call to the operating system that the loader makes for a file, bare. Results and errno
 * are the system's; loops over EINTR and short writes are the callers' business, because that is what tests
 * rig (they link another sys.c that fails or interrupts a chosen call). */
#ifndef LEAT_LOADER_SYS_H
#define LEAT_LOADER_SYS_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

int sys_open(const char *path, int flags, unsigned mode);
int sys_stat(const char *path, struct stat *out);
int sys_fstat(int fd, struct stat *out);
ssize_t sys_write(int fd, const void *bytes, size_t n);
int sys_fsync(int fd);
int sys_close(int fd);
int sys_rename(const char *from, const char *to);
int sys_unlink(const char *path);

/* The first n bytes of a file, read-only and shared with all who map it; NULL on failure. */
void *sys_map(int fd, size_t n);
void sys_unmap(void *base, size_t n);
/* Asks for [base, base + n) to be read ahead. Advice: failure means nothing. */
void sys_will_need(void *base, size_t n);
/* Lets go of the memory under [base, base + n), which comes back when it is read. Advice as well. */
void sys_drop(void *base, size_t n);

#endif
