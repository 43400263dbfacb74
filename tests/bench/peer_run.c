/* Runs a program to its end and prints what it cost as a whole: wall-clock seconds, the most memory in bytes
 * that was resident, mapped files included, and how many processors other programs (and the host of a virtual
 * machine) used meanwhile, as "SECONDS BYTES PROCESSORS" on stdout. What the program prints goes to FILE; its
 * failure is this program's. For tests/bench/compare, which measures both engines from outside this way.
 *
 *     peer_run FILE PROGRAM [ARGUMENT...] */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Processor seconds used by all programs since the system's start; 0 where /proc does not tell. */
static double processor_seconds(void) {
    double user, nice, system, idle, wait, irq, softirq, steal;
    FILE *f = fopen("/proc/stat", "r");
    if (!f) return 0;
    int got = fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system, &idle, &wait, &irq,
                     &softirq, &steal);
    fclose(f);
    return got == 8 ? (user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK) : 0;
}

static double seconds_of(struct timeval t) {
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

int main(int argc, char **argv) {
    posix_spawn_file_actions_t actions;
    struct rusage usage;
    pid_t child;
    int status;
    if (argc < 3 || posix_spawn_file_actions_init(&actions)) return 2;
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0666);
    double start = now(), before = processor_seconds();
    int error = posix_spawnp(&child, argv[2], &actions, NULL, argv + 2, environ);
    if (error) {
        fprintf(stderr, "peer_run: %s: %s\n", argv[2], strerror(error));
        return 1;
    }
    if (wait4(child, &status, 0, &usage) != child) return 1;
    double seconds = now() - start, own = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    double others = (processor_seconds() - before - own) / seconds;
    posix_spawn_file_actions_destroy(&actions);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) return 1;
    printf("%.4f %lld %.3f\n", seconds, (long long)usage.ru_maxrss * 1024, others > 0 ? others : 0);
    return 0;
}
