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

typedef struct member {
    struct team *team;
    unsigned index;
    double start, end; /* of its part of a pass */
    pthread_t thread;
} member;

/* Threads that do the same at the same time, pass after pass. With more of them than processors, one may
 * begin when another has ended: a pass takes from the first beginning to the last end. */
typedef struct team {
    double (*part)(struct team *t, unsigned index, bool first); /* a member's work of a pass; how much */
    member *members;
    double *amounts; /* of the pass, by member */
    unsigned threads, passes;
    atomic_uint arrived;
    double best; /* amount per second of the fastest pass; the first is not counted */

    uint64_t *words; /* reading: a part of n_words each */
    size_t n_words;
    atomic_ullong sum; /* what was read goes here, so that reading can't be optimized away */
    machine_work *work;
    void *argument;
} team;

/* Waits for all members; `round` counts the meetings from 1. */
static void meet(team *t, unsigned round) {
    atomic_fetch_add(&t->arrived, 1);
    while (atomic_load(&t->arrived) < round * t->threads) sched_yield();
}

/* By one member, while the others wait for it to begin the next pass. */
static void note_pass(team *t) {
    double start = t->members[0].start, end = t->members[0].end, amount = 0;
    for (unsigned i = 0; i < t->threads; i++) {
        if (t->members[i].start < start) start = t->members[i].start;
        if (t->members[i].end > end) end = t->members[i].end;
        amount += t->amounts[i];
    }
    if (end > start && amount / (end - start) > t->best) t->best = amount / (end - start);
}

static void *member_run(void *argument) {
    member *me = argument;
    team *t = me->team;
    unsigned round = 0;
    for (unsigned pass = 0; pass <= t->passes; pass++) {
        meet(t, ++round);
        me->start = term_seconds();
        t->amounts[me->index] = t->part(t, me->index, !pass);
        me->end = term_seconds();
        meet(t, ++round);
        if (!me->index && pass) note_pass(t);
    }
    return NULL;
}

/* Runs it; the best amount per second, 0 on failure. */
static double team_run(team *t) {
    unsigned started = 1;
    t->members = calloc(t->threads, sizeof *t->members);
    t->amounts = calloc(t->threads, sizeof *t->amounts);
    if (!t->members || !t->amounts) goto out;
    atomic_init(&t->arrived, 0);
    for (unsigned i = 0; i < t->threads; i++) t->members[i] = (member){.team = t, .index = i};
    while (started < t->threads &&
           !pthread_create(&t->members[started].thread, NULL, member_run, &t->members[started]))
        started++;
    if (started == t->threads)
        member_run(&t->members[0]);
    else /* the meetings of those who are there go on without the others */
        atomic_fetch_add(&t->arrived, 2 * (t->passes + 1) * (t->threads - started + 1));
    for (unsigned i = 1; i < started; i++) pthread_join(t->members[i].thread, NULL);
    if (started < t->threads) t->best = 0;
out:
    free(t->members);
    free(t->amounts);
    return t->best;
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

static double read_part(team *t, unsigned index, bool first) {
    uint64_t *words = t->words + index * t->n_words;
    if (first)
        memset(words, (int)index + 1, t->n_words * sizeof *words); /* by the thread that will read it */
    atomic_fetch_xor(&t->sum, read_words(words, t->n_words));
    return (double)(t->n_words * sizeof *words);
}

double machine_read_speed(size_t bytes, unsigned threads, unsigned passes) {
    if (!bytes || !threads) return 0;
    team t = {.part = read_part, .threads = threads, .passes = passes};
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (p == MAP_FAILED) return 0;
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE);
#endif
    t.words = p;
    t.n_words = bytes / threads / (LINE_WORDS * sizeof *t.words) * LINE_WORDS;
    atomic_init(&t.sum, 0);
    double speed = team_run(&t);
    munmap(p, bytes);
    return speed;
}

/* ---- how fast its multipliers are ---- */

static double work_part(team *t, unsigned index, bool first) {
    enum { ROUNDS = 4096 };
    const double period = first ? 0.001 : 0.03, start = term_seconds();
    double n = 0;
    (void)index;
    do n += (double)t->work(t->argument, ROUNDS);
    while (term_seconds() - start < period);
    return n;
}

double machine_work_speed(machine_work *work, void *argument, unsigned threads) {
    team t = {.part = work_part, .threads = threads, .passes = 5, .work = work, .argument = argument};
    return threads ? team_run(&t) : 0;
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
