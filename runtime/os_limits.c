/* Cores and memory this process may use, read from sysfs, procfs and the control group tree (Linux) or sysctl
 * (macOS). Everything but the two functions at the end is a function of the file tree under `root`. Called
 * when a session opens, never per token. Must never fail: a file that is missing or makes no sense is as if
 * it were not there. */
#include "os_limits.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#    include <mach/mach.h>
#    include <sys/sysctl.h>
#endif
#ifdef __linux__
#    include <sched.h>
#endif

enum { PATH_SIZE = 2048, TEXT_SIZE = 8192 };

/* First TEXT_SIZE - 1 bytes of a small file, terminated; false if it can't be read. */
static bool read_text(const char *path, char text[TEXT_SIZE]) {
    int saved = errno, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t n = 0;
    bool ok = fd >= 0;
    while (ok && n < TEXT_SIZE - 1) {
        ssize_t got = read(fd, text + n, TEXT_SIZE - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) ok = false;
        if (got <= 0) break;
        n += (size_t)got;
    }
    if (fd >= 0) close(fd);
    text[n] = 0;
    errno = saved;
    return ok;
}

/* Decimal number at *p, which moves behind it; false if there is none or it exceeds 64 bits. */
static bool parse_u64(const char **p, uint64_t *out) {
    const char *s = *p;
    uint64_t v = 0;
    if (*s < '0' || *s > '9') return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *p = s;
    *out = v;
    return true;
}

void os_parse_cpu_list(const char *text, os_cpu_set *set) {
    for (const char *p = text;; p++) {
        uint64_t first, last;
        if (!parse_u64(&p, &first)) return;
        last = first;
        if (*p == '-') {
            p++;
            if (!parse_u64(&p, &last)) return;
        }
        for (uint64_t i = first; i <= last && i < OS_CPUS_MAX; i++)
            set->bits[i / 64] |= (uint64_t)1 << (i % 64);
        if (*p != ',') return;
    }
}

uint32_t os_count_cores(const char *root, const os_cpu_set *allowed) {
    char path[PATH_SIZE], text[TEXT_SIZE];
    uint32_t cores = 0;
    for (uint32_t cpu = 0; cpu < OS_CPUS_MAX; cpu++) {
        if (!os_cpu_in(allowed, cpu)) continue;
        os_cpu_set siblings = {{0}};
        int n = snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
                         root, (unsigned)cpu);
        if (n > 0 && (size_t)n < sizeof path && read_text(path, text)) os_parse_cpu_list(text, &siblings);
        /* the lowest allowed CPU of a core stands for it */
        bool first = true;
        for (uint32_t other = 0; other < cpu && first; other++)
            if (os_cpu_in(&siblings, other) && os_cpu_in(allowed, other)) first = false;
        cores += first;
    }
    return cores;
}

/* ---- control groups ---- */

/* The lines of /proc/self/cgroup are "id:controllers:path"; version 2 is the one with id 0 and no
 * controllers. A group's files lie under the mount point of its hierarchy. Inside a container the path may
 * name directories that only exist outside: the walk up skips what is not there and ends at the mount point,
 * which then is the container's own group. */
typedef void visit_fn(const char *dir, bool v2, void *user);

static void visit_up(const char *root, const char *mount, const char *group, size_t group_n, bool v2,
                     visit_fn *visit, void *user) {
    char dir[PATH_SIZE];
    for (;;) {
        while (group_n > 0 && group[group_n - 1] == '/') group_n--;
        int n = snprintf(dir, sizeof dir, "%s/sys/fs/cgroup%s%.*s", root, mount, (int)group_n, group);
        if (n > 0 && (size_t)n < sizeof dir) visit(dir, v2, user);
        if (group_n == 0) return;
        while (group_n > 0 && group[group_n - 1] != '/') group_n--;
    }
}

/* Is `name` in the comma-separated list? */
static bool list_has(const char *list, size_t n, const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; i + length <= n; i++)
        if ((i == 0 || list[i - 1] == ',') && memcmp(list + i, name, length) == 0 &&
            (i + length == n || list[i + length] == ','))
            return true;
    return false;
}

static void visit_groups(const char *root, const char *controller, visit_fn *visit, void *user) {
    char path[PATH_SIZE], text[TEXT_SIZE], mount[300];
    int path_n = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (path_n < 0 || (size_t)path_n >= sizeof path || !read_text(path, text)) return;
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        const char *end = line + n, *list = memchr(line, ':', n);
        const char *group = list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
        if (group && (size_t)(end - group) < PATH_SIZE) {
            size_t list_n = (size_t)(group - ++list), group_n = (size_t)(end - ++group);
            /* a group outside this process's cgroup namespace: only the mount point can be seen */
            for (size_t i = 0; i + 2 < group_n; i++)
                if (memcmp(group + i, "/..", 3) == 0) group_n = 0;
            if (list_n == 0) {
                visit_up(root, "", group, group_n, true, visit, user);
                visit_up(root, "/unified", group, group_n, true, visit, user);
            } else if (list_has(list, list_n, controller) && list_n < sizeof mount - 1) {
                snprintf(mount, sizeof mount, "/%.*s", (int)list_n, list);
                visit_up(root, mount, group, group_n, false, visit, user);
                snprintf(mount, sizeof mount, "/%s", controller);
                if (strlen(controller) != list_n) visit_up(root, mount, group, group_n, false, visit, user);
            }
        }
        line = *end ? end + 1 : end;
    }
}

static bool read_in(const char *dir, const char *name, char text[TEXT_SIZE]) {
    char path[PATH_SIZE + 64];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && read_text(path, text);
}

static bool read_u64_in(const char *dir, const char *name, uint64_t *out) {
    char text[TEXT_SIZE];
    const char *p = text;
    return read_in(dir, name, text) && parse_u64(&p, out); /* "max" and "-1" are no numbers: no limit */
}

static void visit_cpu(const char *dir, bool v2, void *user) {
    uint32_t *least = user;
    uint64_t quota = 0, period = 0;
    if (v2) {
        char text[TEXT_SIZE];
        const char *p = text;
        if (!read_in(dir, "cpu.max", text) || !parse_u64(&p, &quota) || *p++ != ' ' ||
            !parse_u64(&p, &period))
            return;
    } else if (!read_u64_in(dir, "cpu.cfs_quota_us", &quota) ||
               !read_u64_in(dir, "cpu.cfs_period_us", &period)) {
        return;
    }
    if (quota == 0 || period == 0) return;
    uint64_t cpus = quota / period + (quota % period != 0);
    if (cpus < *least) *least = (uint32_t)cpus;
}

uint32_t os_cgroup_cpus(const char *root) {
    uint32_t least = UINT32_MAX;
    visit_groups(root, "cpu", visit_cpu, &least);
    return least;
}

/* Value of "key N" at the start of a line, or 0. */
static uint64_t stat_value(const char *text, const char *key) {
    size_t n = strlen(key);
    uint64_t v = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, key, n) == 0 && line[n] == ' ') {
            const char *p = line + n + 1;
            return parse_u64(&p, &v) ? v : 0;
        }
    return 0;
}

static void visit_memory(const char *dir, bool v2, void *user) {
    uint64_t *least = user, limit = 0, used = 0;
    char text[TEXT_SIZE];
    if (!read_u64_in(dir, v2 ? "memory.max" : "memory.limit_in_bytes", &limit) ||
        !read_u64_in(dir, v2 ? "memory.current" : "memory.usage_in_bytes", &used))
        return;
    if (read_in(dir, "memory.stat", text)) {
        uint64_t a = stat_value(text, v2 ? "inactive_file" : "total_inactive_file");
        uint64_t b = stat_value(text, v2 ? "active_file" : "total_active_file");
        used = used > a ? used - a : 0;
        used = used > b ? used - b : 0;
    }
    /* version 1 says "no limit" with a number near 2^63, which is then what comes out */
    uint64_t left = limit > used ? limit - used : 0;
    if (limit < (uint64_t)1 << 62 && left < *least) *least = left;
}

uint64_t os_cgroup_memory(const char *root) {
    uint64_t least = UINT64_MAX;
    visit_groups(root, "memory", visit_memory, &least);
    return least;
}

uint64_t os_meminfo_available(const char *root) {
    char path[PATH_SIZE], text[TEXT_SIZE];
    int n = snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (n < 0 || (size_t)n >= sizeof path || !read_text(path, text)) return UINT64_MAX;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, "MemAvailable:", 13) == 0) {
            const char *p = line + 13 + strspn(line + 13, " ");
            uint64_t kib;
            return parse_u64(&p, &kib) && kib < UINT64_MAX / 1024 ? kib * 1024 : UINT64_MAX;
        }
    return UINT64_MAX;
}

/* ---- this machine ---- */

#ifndef __APPLE__
/* Of the affinity mask: cores, or every thread of them. 0 where the system does not tell. */
static uint32_t allowed_processors(bool cores_only) {
    uint32_t n = 0;
#    ifdef __linux__
    os_cpu_set allowed = {{0}};
    cpu_set_t mask[OS_CPUS_MAX / CPU_SETSIZE];
    if (sched_getaffinity(0, sizeof mask, mask) != 0) return 0;
    for (uint32_t i = 0; i < OS_CPUS_MAX; i++)
        if (CPU_ISSET_S(i, sizeof mask, mask)) {
            allowed.bits[i / 64] |= (uint64_t)1 << (i % 64);
            n++;
        }
    if (cores_only) n = os_count_cores("", &allowed);
#    else
    (void)cores_only;
#    endif
    return n;
}

static uint32_t usable_threads(bool cores_only) {
    uint32_t n = allowed_processors(cores_only), quota = os_cgroup_cpus("");
    long online = n ? 0 : sysconf(_SC_NPROCESSORS_ONLN);
    if (online > 0) n = (uint32_t)online;
    if (quota < n) n = quota;
    return n ? n : 1;
}
#endif

uint32_t os_threads_default(void) {
#ifdef __APPLE__
    /* performance cores only, where there are two kinds: the slow ones would hold the others up */
    static const char *const names[] = {"hw.perflevel0.physicalcpu", "hw.physicalcpu"};
    for (size_t i = 0; i < 2; i++) {
        int cpus = 0;
        size_t size = sizeof cpus;
        if (sysctlbyname(names[i], &cpus, &size, NULL, 0) == 0 && cpus > 0) return (uint32_t)cpus;
    }
    return 1;
#else
    return usable_threads(true);
#endif
}

uint32_t os_threads_most(void) {
#ifdef __APPLE__
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : os_threads_default();
#else
    return usable_threads(false);
#endif
}

uint64_t os_available_memory(void) {
#ifdef __APPLE__
    vm_statistics64_data_t vm;
    mach_msg_type_number_t n = HOST_VM_INFO64_COUNT;
    if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&vm, &n) != KERN_SUCCESS)
        return UINT64_MAX;
    return ((uint64_t)vm.free_count + vm.inactive_count + vm.purgeable_count) * os_page_size();
#else
    uint64_t system = os_meminfo_available(""), groups = os_cgroup_memory("");
    return system < groups ? system : groups;
#endif
}
