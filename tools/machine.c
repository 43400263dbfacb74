/* The machine under a measurement; see machine.h. Reads /proc and /sys on Linux, sysctl on macOS; used by
 * bench.c only. The buffers it reads are its own: it never touches a model. */
#include "machine.h"

#include <ctype.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __APPLE__
#    include <sys/sysctl.h>
#endif

#include "term.h"

/* ---- what it is ---- */

#ifdef __APPLE__
static uint64_t sysctl_number(const char *name) {
    uint64_t v = 0;
    size_t size = sizeof v;
    return sysctlbyname(name, &v, &size, NULL, 0) ? 0 : v;
}
#endif

/* The text after "KEY...:" in the first line of a file that begins with KEY; false if there is none. */
static bool file_line(const char *path, const char *key, char *out, size_t n) {
    char line[512];
    bool found = false;
    FILE *f = fopen(path, "r");
    if (!f) return false;
    while (!found && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || !value) continue;
        value++;
        while (isspace((unsigned char)*value)) value++;
        snprintf(out, n, "%.*s", (int)strcspn(value, "\n"), value);
        found = true;
    }
    fclose(f);
    return found;
}

/* The number a file begins with; `unit` gets the letter behind it. False for "max" and for no such file. */
static bool file_number(const char *path, uint64_t *out, char *unit) {
    unsigned long long v = 0;
    char letter = 0;
    FILE *f = fopen(path, "r");
    if (!f) return false;
    int got = fscanf(f, "%llu%c", &v, &letter);
    fclose(f);
    *out = v;
    if (unit) *unit = letter;
    return got >= 1;
}

static uint64_t largest_cache(void) {
#ifdef __APPLE__
    uint64_t l3 = sysctl_number("hw.l3cachesize"), l2 = sysctl_number("hw.perflevel0.l2cachesize");
    return l3 > l2 ? l3 : l2 ? l2 : sysctl_number("hw.l2cachesize");
#else
    uint64_t largest = 0, size;
    for (int i = 0; i < 8; i++) {
        char path[96], unit = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (!file_number(path, &size, &unit)) continue;
        size *= unit == 'K' ? 1u << 10 : unit == 'M' ? 1u << 20 : 1u;
        if (size > largest) largest = size;
    }
    return largest;
#endif
}

void machine_read(machine *m) {
    struct utsname u;
    memset(m, 0, sizeof *m);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    m->processors = online > 0 ? (unsigned)online : 1;
    if (!uname(&u))
        snprintf(m->system, sizeof m->system, "%.40s %.60s %.20s", u.sysname, u.release, u.machine);
#ifdef __APPLE__
    size_t size = sizeof m->cpu;
    if (sysctlbyname("machdep.cpu.brand_string", m->cpu, &size, NULL, 0)) m->cpu[0] = 0;
    m->memory = sysctl_number("hw.memsize");
#else
    static const char *const keys[] = {"model name", "Model", "Hardware", "uarch", "cpu"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (file_line("/proc/cpuinfo", keys[i], m->cpu, sizeof m->cpu)) break;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) m->memory = (uint64_t)pages * (uint64_t)page;
#endif
    if (!m->cpu[0]) snprintf(m->cpu, sizeof m->cpu, "unknown CPU");
    m->cache = largest_cache();
}

size_t machine_read_bytes(const machine *m) {
    const uint64_t mib = 1 << 20;
    uint64_t bytes = 4 * m->cache, available = m->memory, limit, used;
    char text[64];
    if (bytes < 512 * mib) bytes = 512 * mib;
    if (bytes > 1024 * mib) bytes = 1024 * mib;
    if (file_line("/proc/meminfo", "MemAvailable", text, sizeof text))
        available = strtoull(text, NULL, 10) * 1024;
    if (file_number("/sys/fs/cgroup/memory.max", &limit, NULL) &&
        file_number("/sys/fs/cgroup/memory.current", &used, NULL) && limit >= used &&
        limit - used < available)
        available = limit - used;
    if (bytes > available / 4) bytes = available / 4 / mib * mib;
    return bytes < 64 * mib ? 0 : (size_t)bytes;
}

/* ---- how fast its memory is ---- */

enum { LINE_WORDS = 8, AHEAD_NEAR = 2048 / 8, AHEAD_FAR = 16384 / 8 }; /* in words of 8 bytes */

typedef struct team {
    uint64_t *words;
    size_t n_words; /* a part each */
    unsigned threads, passes;
    atomic_uint arrived;
    atomic_ullong sum; /* what was read goes here, so that reading can't be optimized away */
    double best;       /* seconds of the fastest pass; written by the first thread only */
} team;

typedef struct member {
    team *t;
    unsigned index;
    pthread_t thread;
} member;

/* Waits for all members; `round` counts the meetings from 1. */
static void meet(team *t, unsigned round) {
    atomic_fetch_add(&t->arrived, 1);
    while (atomic_load(&t->arrived) < round * t->threads) sched_yield();
}

static uint64_t read_words(const uint64_t *words, size_t n) {
    uint64_t sum[LINE_WORDS] = {0}, all = 0;
    for (size_t i = 0; i < n; i += LINE_WORDS) {
        __builtin_prefetch(words + i + AHEAD_NEAR, 0, 3); /* past the end it does nothing */
        __builtin_prefetch(words + i + AHEAD_FAR, 0, 2);
        for (size_t j = 0; j < LINE_WORDS; j++) sum[j] ^= words[i + j];
    }
    for (size_t j = 0; j < LINE_WORDS; j++) all ^= sum[j];
    return all;
}

static void *member_run(void *argument) {
    member *me = argument;
    team *t = me->t;
    uint64_t *words = t->words + me->index * t->n_words, sum = 0;
    unsigned round = 0;
    memset(words, (int)me->index + 1, t->n_words * sizeof *words);
    for (unsigned pass = 0; pass <= t->passes; pass++) {
        meet(t, ++round);
        double start = term_seconds();
        sum ^= read_words(words, t->n_words);
        meet(t, ++round);
        double seconds = term_seconds() - start;
        if (me->index == 0 && pass && (t->best <= 0 || seconds < t->best)) t->best = seconds;
    }
    atomic_fetch_add(&t->sum, sum);
    return NULL;
}

double machine_read_speed(size_t bytes, unsigned threads, unsigned passes) {
    if (!bytes || !threads) return 0;
    team t = {.threads = threads, .passes = passes};
    member *members = calloc(threads, sizeof *members);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    unsigned started = 1;
    if (p == MAP_FAILED || !members) {
        free(members);
        if (p != MAP_FAILED) munmap(p, bytes);
        return 0;
    }
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE);
#endif
    t.words = p;
    t.n_words = bytes / threads / (LINE_WORDS * sizeof *t.words) * LINE_WORDS;
    atomic_init(&t.arrived, 0);
    atomic_init(&t.sum, 0);
    for (unsigned i = 0; i < threads; i++) members[i] = (member){.t = &t, .index = i};
    for (; started < threads; started++)
        if (pthread_create(&members[started].thread, NULL, member_run, &members[started])) break;
    if (started == threads)
        member_run(&members[0]);
    else /* the meetings of those who are there go on without the others */
        for (unsigned i = started; i < threads; i++) atomic_fetch_add(&t.arrived, 2 * (passes + 1));
    if (started < threads) atomic_fetch_add(&t.arrived, 2 * (passes + 1));
    for (unsigned i = 1; i < started; i++) pthread_join(members[i].thread, NULL);
    double speed = t.best > 0 ? (double)(t.n_words * sizeof *t.words * threads) / t.best : 0;
    munmap(p, bytes);
    free(members);
    return speed;
}

/* ---- how fast its multipliers are ---- */

typedef struct labourer {
    machine_work *work;
    void *argument;
    double best; /* operations per second */
    pthread_t thread;
} labourer;

static void *labourer_run(void *argument) {
    enum { PERIODS = 5, ROUNDS = 4096 };
    static const double period = 0.03;
    labourer *me = argument;
    for (int i = 0; i < PERIODS; i++) {
        double start = term_seconds(), seconds, n = 0;
        do n += (double)me->work(me->argument, ROUNDS);
        while ((seconds = term_seconds() - start) < period);
        if (n / seconds > me->best) me->best = n / seconds;
    }
    return NULL;
}

double machine_work_speed(machine_work *work, void *argument, unsigned threads) {
    labourer *all = calloc(threads ? threads : 1, sizeof *all);
    unsigned started = 1;
    double sum = 0;
    if (!all) return 0;
    for (unsigned i = 0; i < threads; i++) all[i] = (labourer){.work = work, .argument = argument};
    while (started < threads && !pthread_create(&all[started].thread, NULL, labourer_run, &all[started]))
        started++;
    if (started == threads) labourer_run(&all[0]);
    for (unsigned i = 1; i < started; i++) pthread_join(all[i].thread, NULL);
    for (unsigned i = 0; i < threads && started == threads; i++) sum += all[i].best;
    free(all);
    return sum;
}

/* ---- who else is using it ---- */

/* Processor seconds that all processes used since the start, and what a host took; false where the system
 * does not tell. */
static bool processor_seconds(double *used, double *stolen) {
    unsigned long long user, nice, system, idle, wait, irq, softirq, steal;
    long tick = sysconf(_SC_CLK_TCK);
    FILE *f = fopen("/proc/stat", "r");
    if (!f) return false;
    int got = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait,
                     &irq, &softirq, &steal);
    fclose(f);
    if (got != 8 || tick <= 0) return false;
    *stolen = (double)steal / (double)tick;
    *used = (double)(user + nice + system + irq + softirq) / (double)tick + *stolen;
    return true;
}

static double seconds_of(struct timeval t) {
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

void busy_now(busy *b) {
    struct rusage r;
    memset(b, 0, sizeof *b);
    b->seconds = term_seconds();
    if (!getrusage(RUSAGE_SELF, &r)) {
        b->own = seconds_of(r.ru_utime) + seconds_of(r.ru_stime);
        b->switches = r.ru_nivcsw;
    }
    if (!processor_seconds(&b->others, &b->stolen))
        b->others = b->stolen = -1;
    else
        b->others -= b->own;
}

void busy_since(const busy *start, busy *elapsed) {
    busy now;
    busy_now(&now);
    bool known = start->stolen >= 0 && now.stolen >= 0;
    *elapsed = (busy){.seconds = now.seconds - start->seconds,
                      .own = now.own - start->own,
                      .others = known ? now.others - start->others : -1,
                      .stolen = known ? now.stolen - start->stolen : -1,
                      .switches = now.switches - start->switches};
    if (known && elapsed->others < 0) elapsed->others = 0; /* the two clocks tick differently */
}
