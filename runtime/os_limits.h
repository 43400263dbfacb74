/* What the machine's own files say this process may use: pure functions of a file tree, so that tests can
 * hand them a made-up one. `root` is put before every path: "" for the real machine. Called by
 * os_threads_default and os_available_memory. Whatever the files hold, or if there are none, the answer is a
 * sane number. */
#ifndef LEAT_RUNTIME_OS_LIMITS_H
#define LEAT_RUNTIME_OS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum { OS_CPUS_MAX = 8192 }; /* Linux's own limit (NR_CPUS) */

typedef struct os_cpu_set {
    uint64_t bits[OS_CPUS_MAX / 64];
} os_cpu_set;

static inline bool os_cpu_in(const os_cpu_set *s, uint32_t cpu) {
    return s->bits[cpu / 64] >> (cpu % 64) & 1;
}

/* Adds the CPUs of a list such as "0-3,8,10-11" to *set; stops at the first thing that is not one. */
void os_parse_cpu_list(const char *text, os_cpu_set *set);

/* Number of cores that the allowed CPUs belong to; a CPU without topology files is a core of its own. */
uint32_t os_count_cores(const char *root, const os_cpu_set *allowed);

/* CPUs' worth of time that the control groups of this process grant, rounded up: the least along the path
 * from its group to the root, over versions 1 and 2. UINT32_MAX: no quota. */
uint32_t os_cgroup_cpus(const char *root);

/* Bytes this process can take before one of its control groups is at its limit, page cache counted as free.
 * UINT64_MAX: no limit. */
uint64_t os_cgroup_memory(const char *root);

/* MemAvailable of /proc/meminfo in bytes, or UINT64_MAX. */
uint64_t os_meminfo_available(const char *root);

#endif
