/* The rigged seams of rigged.h: each real source file is included under other names, so the doubles add
 * nothing but the counting and the failing. */
#include "rigged.h"

#include <errno.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
rig rig_alloc, rig_thread, rig_file;
size_t rig_live;

void rig_arm(rig *r, size_t fail_at, bool persistent) {
    pthread_mutex_lock(&lock);
    *r = (rig){.fail_at = fail_at, .persistent = persistent};
    pthread_mutex_unlock(&lock);
}

bool rig_fails(rig *r) {
    pthread_mutex_lock(&lock);
    r->calls++;
    bool fails = r->fail_at && (r->persistent ? r->calls >= r->fail_at : r->calls == r->fail_at);
    r->failed += fails;
    pthread_mutex_unlock(&lock);
    return fails;
}

/* ---- memory ---- */

#define mem_alloc  real_mem_alloc
#define mem_resize real_mem_resize
#define mem_free   real_mem_free
#include "loader/alloc.c"
#undef mem_alloc
#undef mem_resize
#undef mem_free

static void live(int change) {
    pthread_mutex_lock(&lock);
    rig_live += (size_t)change;
    pthread_mutex_unlock(&lock);
}

void *mem_alloc(size_t count, size_t size) {
    void *p = rig_fails(&rig_alloc) ? NULL : real_mem_alloc(count, size);
    if (p) live(1);
    return p;
}

void *mem_resize(void *p, size_t old_count, size_t new_count, size_t size) {
    void *q = rig_fails(&rig_alloc) ? NULL : real_mem_resize(p, old_count, new_count, size);
    if (q && !p) live(1);
    return q;
}

void mem_free(void *p) {
    if (p) live(-1);
    real_mem_free(p);
}

/* ---- files ---- */

#define sys_open   real_sys_open
#define sys_stat   real_sys_stat
#define sys_fstat  real_sys_fstat
#define sys_write  real_sys_write
#define sys_fsync  real_sys_fsync
#define sys_close  real_sys_close
#define sys_rename real_sys_rename
#define sys_map    real_sys_map
#include "loader/sys.c"
#undef sys_open
#undef sys_stat
#undef sys_fstat
#undef sys_write
#undef sys_fsync
#undef sys_close
#undef sys_rename
#undef sys_map

static bool io_fails(void) {
    if (!rig_fails(&rig_file)) return false;
    errno = EIO;
    return true;
}

int sys_open(const char *path, int flags, unsigned mode) {
    return io_fails() ? -1 : real_sys_open(path, flags, mode);
}
int sys_stat(const char *path, struct stat *out) {
    return io_fails() ? -1 : real_sys_stat(path, out);
}
int sys_fstat(int fd, struct stat *out) {
    return io_fails() ? -1 : real_sys_fstat(fd, out);
}
ssize_t sys_write(int fd, const void *bytes, size_t n) {
    return io_fails() ? -1 : real_sys_write(fd, bytes, n);
}
int sys_fsync(int fd) {
    return io_fails() ? -1 : real_sys_fsync(fd);
}
int sys_rename(const char *from, const char *to) {
    return io_fails() ? -1 : real_sys_rename(from, to);
}
void *sys_map(int fd, size_t n) {
    return io_fails() ? NULL : real_sys_map(fd, n);
}
/* A close that reports an error has closed all the same. */
int sys_close(int fd) {
    int result = real_sys_close(fd);
    return io_fails() ? -1 : result;
}

/* ---- threads and address space ---- */

#define os_thread_create real_os_thread_create
#define os_mutex_init    real_os_mutex_init
#define os_cond_init     real_os_cond_init
#define os_event_init    real_os_event_init
#define os_reserve       real_os_reserve
#include "runtime/os.c"
#undef os_thread_create
#undef os_mutex_init
#undef os_cond_init
#undef os_event_init
#undef os_reserve

bool os_thread_create(os_thread *t, os_thread_fn *fn, void *arg, size_t stack_bytes) {
    return !rig_fails(&rig_thread) && real_os_thread_create(t, fn, arg, stack_bytes);
}
bool os_mutex_init(os_mutex *m) {
    return !rig_fails(&rig_thread) && real_os_mutex_init(m);
}
bool os_cond_init(os_cond *c) {
    return !rig_fails(&rig_thread) && real_os_cond_init(c);
}
bool os_event_init(os_event *e, uint32_t value) {
    return !rig_fails(&rig_thread) && real_os_event_init(e, value);
}
void *os_reserve(size_t bytes) {
    return rig_fails(&rig_thread) ? NULL : real_os_reserve(bytes);
}
