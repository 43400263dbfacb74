/* runtime/os: threads and events, the clock and address space, the floating-point environment, and what a
 * made-up machine's files say this process may use. */
#include <fenv.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/os.h"
#include "runtime/os_limits.h"
#include "tests/harness/test.h"

/* ---- a made-up file tree ---- */

typedef struct tree {
    char root[64];
} tree;

static bool tree_make(tree *t) {
    snprintf(t->root, sizeof t->root, "/tmp/leat-os-XXXXXX");
    return mkdtemp(t->root) != NULL;
}

static void tree_put(test *t, const tree *f, const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", f->root, path);
    for (char *p = full + strlen(f->root) + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(full, 0700);
            *p = '/';
        }
    FILE *out = fopen(full, "w");
    REQUIRE(t, out != NULL);
    fputs(text, out);
    fclose(out);
}

static void tree_remove(const tree *f) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->root);
    if (system(command) != 0) fprintf(stderr, "could not remove %s\n", f->root);
}

static os_cpu_set cpus(const char *list) {
    os_cpu_set s = {{0}};
    os_parse_cpu_list(list, &s);
    return s;
}

static unsigned count(const os_cpu_set *s) {
    unsigned n = 0;
    for (uint32_t i = 0; i < OS_CPUS_MAX; i++) n += os_cpu_in(s, i);
    return n;
}

static void cpu_lists(test *t) {
    static const struct {
        const char *text;
        unsigned n;
    } cases[] = {{"0", 1},
                 {"0-3\n", 4},
                 {"0-3,8,10-11", 7},
                 {"", 0},
                 {"\n", 0},
                 {"x", 0},
                 {"3-1", 0},
                 {"5-", 0},
                 {"1,", 1},
                 {"0-99999999999999999999999", 0},
                 {"0-18446744073709551615", OS_CPUS_MAX},
                 {"18446744073709551615", 0},
                 {"8191,8192", 1},
                 {"0,0,0", 1},
                 {"-1", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        os_cpu_set s = cpus(cases[i].text);
        CHECK_EQ(t, count(&s), cases[i].n);
    }
    os_cpu_set s = cpus("2,64-65");
    CHECK(t, os_cpu_in(&s, 2) && os_cpu_in(&s, 64) && os_cpu_in(&s, 65) && !os_cpu_in(&s, 63) &&
                 !os_cpu_in(&s, 0));
}

static void cores(test *t) {
    tree f;
    REQUIRE(t, tree_make(&f));
    /* four cores of two hyperthreads: cpu N and N + 4, one written as a range */
    for (int i = 0; i < 8; i++) {
        char path[128], text[32];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        snprintf(text, sizeof text, "%d,%d\n", i % 4, i % 4 + 4);
        tree_put(t, &f, path, text);
    }
    static const struct {
        const char *mask;
        unsigned cores;
    } cases[] = {{"0-7", 4}, {"0-3", 4},     {"4-7", 4}, {"0,4", 1},
                 {"4", 1},   {"0,1,4,6", 3}, {"", 0},    {"0-9", 6} /* 8 and 9 have no files: a core each */};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        os_cpu_set mask = cpus(cases[i].mask);
        CHECK_EQ(t, os_count_cores(f.root, &mask), cases[i].cores);
    }
    tree_put(t, &f, "/sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "garbage\n");
    tree_put(t, &f, "/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "");
    os_cpu_set mask = cpus("0-3");
    CHECK_EQ(t, os_count_cores(f.root, &mask), 4);
    CHECK_EQ(t, os_count_cores("/nonexistent", &mask), 4);
    tree_remove(&f);
}

static void quota_v2(test *t) {
    tree f;
    REQUIRE(t, tree_make(&f));
    CHECK(t, os_cgroup_cpus(f.root) == UINT32_MAX);
    tree_put(t, &f, "/proc/self/cgroup", "0::/user.slice/app/inner\n");
    CHECK(t, os_cgroup_cpus(f.root) == UINT32_MAX);
    tree_put(t, &f, "/sys/fs/cgroup/user.slice/app/inner/cpu.max", "max 100000\n");
    CHECK(t, os_cgroup_cpus(f.root) == UINT32_MAX);
    tree_put(t, &f, "/sys/fs/cgroup/user.slice/app/cpu.max", "350000 100000\n");
    CHECK_EQ(t, os_cgroup_cpus(f.root), 4); /* 3.5 rounded up */
    tree_put(t, &f, "/sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
    CHECK_EQ(t, os_cgroup_cpus(f.root), 2); /* the least along the path */
    tree_put(t, &f, "/sys/fs/cgroup/user.slice/app/inner/cpu.max", "1000 100000\n");
    CHECK_EQ(t, os_cgroup_cpus(f.root), 1);
    static const char *const odd[] = {
        "", "\n", "5", "5 ", "5 0", "0 5", "x y", "99999999999999999999 1", "1 99999999999999999999"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        tree_put(t, &f, "/sys/fs/cgroup/user.slice/app/inner/cpu.max", odd[i]);
        CHECK_EQ(t, os_cgroup_cpus(f.root), 2);
    }
    /* a container: the named directories exist only outside, the mount point is the group itself */
    tree_put(t, &f, "/proc/self/cgroup", "0::/system.slice/docker-abc.scope\n");
    tree_put(t, &f, "/sys/fs/cgroup/cpu.max", "600000 100000\n");
    CHECK_EQ(t, os_cgroup_cpus(f.root), 6);
    /* a path out of the namespace must not be followed */
    tree_put(t, &f, "/proc/self/cgroup", "0::/../../user.slice\n");
    CHECK_EQ(t, os_cgroup_cpus(f.root), 6);
    /* "no limit" as large as it gets */
    tree_put(t, &f, "/proc/self/cgroup", "0::/");
    tree_put(t, &f, "/sys/fs/cgroup/cpu.max", "18446744073709551615 1\n");
    CHECK(t, os_cgroup_cpus(f.root) == UINT32_MAX);
    tree_remove(&f);
}

static void quota_v1(test *t) {
    tree f;
    REQUIRE(t, tree_make(&f));
    tree_put(t, &f, "/proc/self/cgroup",
             "4:memory:/m\n3:cpu,cpuacct:/docker/abc\n2:cpuset:/c\n1:name=systemd:/s\n0::/u\n");
    CHECK(t, os_cgroup_cpus(f.root) == UINT32_MAX);
    tree_put(t, &f, "/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
    tree_put(t, &f, "/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
    CHECK(t, os_cgroup_cpus(f.root) == UINT32_MAX);
    tree_put(t, &f, "/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "250000\n");
    tree_put(t, &f, "/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(t, os_cgroup_cpus(f.root), 3);
    tree_put(t, &f, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n"); /* the other spelling of the mount */
    tree_put(t, &f, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(t, os_cgroup_cpus(f.root), 2);
    tree_put(t, &f, "/sys/fs/cgroup/unified/u/cpu.max", "1 1\n"); /* the hybrid layout */
    CHECK_EQ(t, os_cgroup_cpus(f.root), 1);
    static const char *const odd[] = {
        "", ":", "::", "a:b", "3:cpu", "3:cpux:/docker\n", "3:xcpu,y:/docker", "\n\n\n"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        tree_put(t, &f, "/proc/self/cgroup", odd[i]);
        CHECK(t, os_cgroup_cpus(f.root) == UINT32_MAX);
    }
    tree_remove(&f);
}

static void memory_limits(test *t) {
    tree f;
    REQUIRE(t, tree_make(&f));
    CHECK(t, os_meminfo_available(f.root) == UINT64_MAX && os_cgroup_memory(f.root) == UINT64_MAX);
    tree_put(t, &f, "/proc/meminfo",
             "MemTotal:       4000 kB\nMemFree:  1000 kB\nMemAvailable:    3000 kB\nBuffers: 1 kB\n");
    CHECK_EQ(t, os_meminfo_available(f.root), 3000 * 1024);
    tree_put(t, &f, "/proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 99999999999999999999 kB\n");
    CHECK(t, os_meminfo_available(f.root) == UINT64_MAX);

    tree_put(t, &f, "/proc/self/cgroup", "0::/a/b\n");
    tree_put(t, &f, "/sys/fs/cgroup/a/b/memory.max", "max\n");
    tree_put(t, &f, "/sys/fs/cgroup/a/b/memory.current", "700\n");
    CHECK(t, os_cgroup_memory(f.root) == UINT64_MAX);
    tree_put(t, &f, "/sys/fs/cgroup/a/memory.max", "1000\n");
    CHECK(t, os_cgroup_memory(f.root) == UINT64_MAX); /* usage unknown */
    tree_put(t, &f, "/sys/fs/cgroup/a/memory.current", "900\n");
    CHECK_EQ(t, os_cgroup_memory(f.root), 100);
    tree_put(t, &f, "/sys/fs/cgroup/a/memory.stat",
             "anon 300\nfile 600\ninactive_file 250\nactive_file 150\n");
    CHECK_EQ(t, os_cgroup_memory(f.root), 500);
    tree_put(t, &f, "/sys/fs/cgroup/a/memory.current", "2000\n");
    tree_put(t, &f, "/sys/fs/cgroup/a/memory.stat", "");
    CHECK_EQ(t, os_cgroup_memory(f.root), 0);

    tree_put(t, &f, "/proc/self/cgroup", "4:memory:/x\n");
    tree_put(t, &f, "/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
    tree_put(t, &f, "/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "5\n");
    CHECK(t, os_cgroup_memory(f.root) == UINT64_MAX);
    tree_put(t, &f, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n");
    tree_put(t, &f, "/sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n");
    tree_put(t, &f, "/sys/fs/cgroup/memory/memory.stat",
             "inactive_file 9\ntotal_inactive_file 1000\ntotal_active_file 0\n");
    CHECK_EQ(t, os_cgroup_memory(f.root), 1096);
    tree_remove(&f);
}

static void this_machine(test *t) {
    uint32_t n = os_threads_default();
    CHECK(t, n >= 1 && n <= OS_CPUS_MAX);
    CHECK(t, os_available_memory() > 0);
    size_t page = os_page_size();
    CHECK(t, page >= 4096 && (page & (page - 1)) == 0);
    uint64_t a = os_now_ns(), b = os_now_ns();
    CHECK(t, a > 0 && b >= a);
    uint32_t r[4] = {os_random_u32(), os_random_u32(), os_random_u32(), os_random_u32()};
    CHECK(t, r[0] != r[1] || r[1] != r[2] || r[2] != r[3]);
}

static void address_space(test *t) {
    size_t n = (size_t)1 << 32; /* more than is ever touched */
    unsigned char *p = os_reserve(n);
    if (!p) SKIP(t, "no 4 GiB of address space");
    CHECK_EQ(t, p[0] | p[n - 1] | p[n / 2], 0);
    p[n - 1] = 1;
    os_release(p, n);
    CHECK(t, os_reserve(SIZE_MAX / 2) == NULL);
    CHECK(t, os_reserve(SIZE_MAX) == NULL);
    p = os_reserve(0);
    CHECK(t, p != NULL);
    os_release(p, 0);
    os_release(NULL, 123);
}

/* ---- threads ---- */

typedef struct ping {
    os_event event;
    _Atomic uint32_t seen;
    uint32_t plain; /* written before the event changes, read after: a race if the order were not kept */
    os_mutex mutex;
    os_cond cond;
    uint32_t guarded;
} ping;

enum { ROUNDS = 2000 };

static void ping_thread(void *arg) {
    ping *p = arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t v;
        while ((v = atomic_load(&p->event.value)) == i) os_event_wait(&p->event, i);
        if (p->plain != v) return;
        atomic_store(&p->seen, i + 1);
        os_mutex_lock(&p->mutex);
        p->guarded++;
        os_cond_wake_all(&p->cond);
        os_mutex_unlock(&p->mutex);
    }
}

static void events(test *t) {
    ping p = {.plain = 0};
    os_thread thread;
    REQUIRE(t, os_event_init(&p.event, 0) && os_mutex_init(&p.mutex) && os_cond_init(&p.cond));
    REQUIRE(t, os_thread_create(&thread, ping_thread, &p, 65536));
    for (uint32_t i = 0; i < ROUNDS; i++) {
        p.plain = i + 1;
        atomic_store(&p.event.value, i + 1);
        os_event_wake_all(&p.event);
        os_mutex_lock(&p.mutex);
        while (p.guarded <= i) os_cond_wait(&p.cond, &p.mutex);
        os_mutex_unlock(&p.mutex);
    }
    os_thread_join(&thread);
    CHECK_EQ(t, p.guarded, ROUNDS);
    CHECK_EQ(t, atomic_load(&p.seen), ROUNDS);
    os_event_wait(&p.event, 12345); /* another value: returns at once */
    os_event_destroy(&p.event);
    os_cond_destroy(&p.cond);
    os_mutex_destroy(&p.mutex);
}

static void gate_thread(void *arg) {
    ping *p = arg;
    while (atomic_load(&p->event.value) == 0) os_event_wait(&p->event, 0);
    atomic_fetch_add(&p->seen, 1);
}

static void wakes_all(test *t) {
    ping p = {.plain = 0};
    os_thread threads[8];
    REQUIRE(t, os_event_init(&p.event, 0));
    for (int i = 0; i < 8; i++) REQUIRE(t, os_thread_create(&threads[i], gate_thread, &p, 0));
    usleep(2000);
    atomic_store(&p.event.value, 1);
    os_event_wake_all(&p.event);
    for (int i = 0; i < 8; i++) os_thread_join(&threads[i]);
    CHECK_EQ(t, atomic_load(&p.seen), 8);
    CHECK_EQ(t, atomic_load(&p.event.sleepers), 0);
    os_event_destroy(&p.event);
}

static void signal_thread(void *arg) {
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    int *out = arg;
    out[0] = sigismember(&now, SIGINT);
    out[1] = sigismember(&now, SIGBUS);
}

static void signals_stay_with_the_host(test *t) {
    int blocked[2] = {-1, -1};
    sigset_t before, after;
    os_thread thread;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    REQUIRE(t, os_thread_create(&thread, signal_thread, blocked, 0));
    os_thread_join(&thread);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK_EQ(t, blocked[0], 1);
    CHECK_EQ(t, blocked[1], 0);
    CHECK_EQ(t, sigismember(&after, SIGINT), sigismember(&before, SIGINT));
    CHECK(t, !os_thread_create(&thread, signal_thread, blocked, SIZE_MAX));
    CHECK(t, !os_thread_create(&thread, signal_thread, blocked, (size_t)1 << 60));
}

/* ---- floating point ---- */

static float twice(volatile float *x) {
    return *x + *x;
}

static void fp_environment(test *t) {
    volatile float tiny = 1e-40f, one = 1.0f, eps = 1e-9f;
    int mode = fegetround();
    os_fp outer, inner;
    fesetround(FE_UPWARD);
    CHECK(t, one + eps > 1.0f);
    os_fp_default(&outer);
    CHECK(t, one + eps <= 1.0f && one - eps >= 1.0f);
    CHECK(t, twice(&tiny) != 0.0f);
    os_fp_flush_denormals(&inner);
    CHECK(t, one + eps <= 1.0f);
#if defined(__x86_64__) || defined(__aarch64__)
    CHECK(t, twice(&tiny) <= 0.0f);
#endif
    os_fp_restore(&inner);
    CHECK(t, twice(&tiny) != 0.0f);
    os_fp_restore(&outer);
    CHECK(t, one + eps > 1.0f);
    CHECK_EQ(t, fegetround(), FE_UPWARD);
    fesetround(mode);
}

/* clang-format off */
#define TESTS(X) \
    X(cpu_lists) X(cores) X(quota_v2) X(quota_v1) X(memory_limits) X(this_machine) X(address_space) \
    X(events) X(wakes_all) X(signals_stay_with_the_host) X(fp_environment)
/* clang-format on */
TEST_SUITE(TESTS)
