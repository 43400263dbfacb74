/* Starting programs and catching what they write; see program.h. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { MAX_WORDS = 32, LIMIT_SECONDS = 120, MAX_ENVIRONMENT = 512 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

char *read_whole(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    long size;
    if (!f) return NULL;
    if (!fseek(f, 0, SEEK_END) && (size = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET) &&
        (data = malloc((size_t)size + 1))) {
        size_t got = fread(data, 1, (size_t)size, f);
        data[got] = 0;
        if (n) *n = got;
    }
    fclose(f);
    return data;
}

bool has(const char *text, const char *word) {
    return text && strstr(text, word);
}

void program_free(output *o) {
    free(o->out);
    free(o->err);
    memset(o, 0, sizeof *o);
}

/* Waits for a child, at most LIMIT_SECONDS; then it is killed, which its status tells. */
static int wait_for(pid_t child) {
    double start = now();
    int status;
    for (;;) {
        pid_t done = waitpid(child, &status, WNOHANG);
        if (done == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        if (done < 0 && errno != EINTR) return -1000;
        if (now() - start > LIMIT_SECONDS) kill(child, SIGKILL);
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
}

/* Runs words[0] with both streams going to files. */
static bool run_words(output *o, char **words, char **environment) {
    char out[] = "/tmp/leat-out-XXXXXX", err[] = "/tmp/leat-err-XXXXXX";
    posix_spawn_file_actions_t actions;
    pid_t child;
    memset(o, 0, sizeof *o);
    int out_fd = mkstemp(out), err_fd = mkstemp(err);
    if (out_fd < 0 || err_fd < 0 || posix_spawn_file_actions_init(&actions)) return false;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
    posix_spawn_file_actions_addclose(&actions, out_fd);
    posix_spawn_file_actions_addclose(&actions, err_fd);
    bool started = !posix_spawn(&child, words[0], &actions, NULL, words, environment);
    if (started) {
        o->status = wait_for(child);
        o->out = read_whole(out, &o->out_size);
        o->err = read_whole(err, &o->err_size);
    }
    posix_spawn_file_actions_destroy(&actions);
    close(out_fd);
    close(err_fd);
    unlink(out);
    unlink(err);
    return started && o->out && o->err;
}

/* Splits `line` in place into words[1..]; words[0] is the program. */
static void split(char *line, char **words) {
    size_t n = 0;
    words[n++] = LEAT_PROGRAM;
    for (char *p = line; *p && n < MAX_WORDS - 1;) {
        while (*p == ' ') p++;
        if (!*p) break;
        char quote = *p == '\'' || *p == '"' ? *p : ' ';
        words[n++] = quote == ' ' ? p : ++p;
        while (*p && *p != quote) p++;
        if (*p) *p++ = 0;
    }
    words[n] = NULL;
}

/* `arguments` with every %s replaced by path. */
static bool substitute(char *line, size_t n, const char *path, const char *arguments) {
    size_t used = 0;
    for (const char *p = arguments; *p; p++) {
        bool here = p[0] == '%' && p[1] == 's' && path;
        int length = snprintf(line + used, n - used, "%.*s", here ? (int)strlen(path) : 1, here ? path : p);
        if ((used += (size_t)length) >= n) return false;
        p += here;
    }
    line[used] = 0;
    return true;
}

bool leat_run_env(output *o, const char *variable, const char *path, const char *arguments) {
    char line[4096], *words[MAX_WORDS], *environment[MAX_ENVIRONMENT + 2];
    size_t n = 0;
    memset(o, 0, sizeof *o);
    if (!substitute(line, sizeof line, path, arguments)) return false;
    split(line, words);
    /* A LEAT_ISA from outside would decide what these tests test. */
    for (char **e = environ; *e && n < MAX_ENVIRONMENT; e++)
        if (strncmp(*e, "LEAT_ISA=", 9) != 0) environment[n++] = *e;
    char copy[256];
    if (variable) {
        snprintf(copy, sizeof copy, "%s", variable);
        environment[n++] = copy;
    }
    environment[n] = NULL;
    return run_words(o, words, environment);
}

bool leat_run(output *o, const char *path, const char *arguments) {
    return leat_run_env(o, NULL, path, arguments);
}

bool shell_run(output *o, const char *command) {
    char line[8192], dir[] = "/tmp/leat-dir-XXXXXX";
    if (!mkdtemp(dir)) return false;
    snprintf(line, sizeof line, "unset LEAT_ISA; LEAT='%s'; ROOT='%s'; SHARED='%s/../shared'; DIR='%s'; %s",
             LEAT_PROGRAM, LEAT_SOURCE_ROOT, LEAT_SOURCE_ROOT, dir, command);
    char *words[] = {"/bin/sh", "-c", line, NULL};
    bool good = run_words(o, words, environ);
    output gone;
    char *rm[] = {"/bin/rm", "-rf", dir, NULL};
    run_words(&gone, rm, environ);
    program_free(&gone);
    return good;
}

bool terminal_run(output *o, const char *path, const char *arguments, double signal_after, double *seconds) {
    char line[4096], *words[MAX_WORDS];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    size_t capacity = 1 << 20;
    pid_t child;
    memset(o, 0, sizeof *o);
    if (!substitute(line, sizeof line, path, arguments)) return false;
    split(line, words);
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) || unlockpt(terminal)) return false;
    const char *name = ptsname(terminal);
    if (!name || posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attributes)) return false;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, name, O_RDWR | O_NOCTTY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addclose(&actions, terminal);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    double start = now(), signalled = 0;
    bool started = !posix_spawn(&child, words[0], &actions, &attributes, words, environ);
    o->out = malloc(capacity);
    while (started && o->out && now() - start < LIMIT_SECONDS) {
        struct pollfd p = {terminal, POLLIN, 0};
        poll(&p, 1, 20);
        if (signal_after > 0 && !signalled && now() - start > signal_after) {
            signalled = now();
            kill(-child, SIGINT);
        }
        if (!p.revents) continue;
        ssize_t n = read(terminal, o->out + o->out_size, capacity - o->out_size - 1);
        if (n <= 0) break; /* EIO: the other end is closed */
        o->out_size += (size_t)n;
        if (o->out_size == capacity - 1) o->out_size = 0; /* more than any test looks at */
    }
    if (started) o->status = wait_for(child);
    if (seconds) *seconds = now() - (signalled ? signalled : start);
    if (o->out) o->out[o->out_size] = 0;
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(terminal);
    return started && o->out;
}
