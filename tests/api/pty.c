/* Programs at a terminal; see pty.h. */
#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { LIMIT_SECONDS = 60, MAX_WORDS = 32, MAX_ENVIRONMENT = 512 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The variables in front of what is there already: the first of a name counts. */
static void make_environment(char **out, const char *const *variables, char home[128], char state[160]) {
    size_t n = 0;
    for (; variables && variables[n]; n++) out[n] = (char *)(uintptr_t)variables[n];
    out[n++] = home;
    out[n++] = state;
    out[n++] = (char *)(uintptr_t) "TERM=xterm-256color";
    out[n++] = (char *)(uintptr_t) "LEAT=" LEAT_PROGRAM;
    out[n++] = (char *)(uintptr_t) "LC_ALL=C.UTF-8";
    for (char **p = environ; *p && n < MAX_ENVIRONMENT - 1; p++) {
        size_t length = strcspn(*p, "="), i = 0;
        while (i < n && strncmp(out[i], *p, length + 1) != 0) i++;
        if (i == n && strncmp(*p, "NO_COLOR=", 9) != 0) out[n++] = *p;
    }
    out[n] = NULL;
}

static size_t split(char *line, char **words) {
    size_t n = 0;
    words[n++] = (char *)(uintptr_t)LEAT_PROGRAM;
    for (char *p = line; *p && n < MAX_WORDS - 1;) {
        while (*p == ' ') p++;
        if (!*p) break;
        char quote = *p == '\'' || *p == '"' ? *p : ' ';
        words[n++] = quote == ' ' ? p : ++p;
        while (*p && *p != quote) p++;
        if (*p) *p++ = 0;
    }
    words[n] = NULL;
    return n;
}

bool pty_start(pty *p, const pty *keep, size_t columns, size_t rows, const char *const *variables,
               const char *arguments) {
    char line[4096], home[128], state[160], *words[MAX_WORDS], *environment[MAX_ENVIRONMENT];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    char folder[sizeof p->folder] = "/tmp/leat-pty-XXXXXX";
    if (keep) memcpy(folder, keep->folder, sizeof folder);
    *p = (pty){.fd = -1};
    if (!keep && !mkdtemp(folder)) return false;
    memcpy(p->folder, folder, sizeof folder);
    snprintf(line, sizeof line, "%s", arguments);
    snprintf(home, sizeof home, "HOME=%s", folder);
    snprintf(state, sizeof state, "XDG_STATE_HOME=%s/state", folder);
    if (*line == '$') { /* for sh */
        char *shell[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c", line, NULL};
        memcpy(words, shell, sizeof shell);
    } else {
        split(line, words);
    }
    make_environment(environment, variables, home, state);
    p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->fd < 0 || grantpt(p->fd) || unlockpt(p->fd) || ioctl(p->fd, TIOCSWINSZ, &size)) return false;
    const char *name = ptsname(p->fd);
    if (!name || !vt_open(&p->screen, columns, rows)) return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    /* The first terminal that the leader of a new session opens becomes its own: Ctrl-C works. */
    posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    posix_spawn_file_actions_adddup2(&actions, 0, 2);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    bool started = !posix_spawn(&p->child, words[0], &actions, &attributes, words, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return started;
}

/* Takes what the program has written, waiting at most so long. */
static void pump(pty *p, int milliseconds) {
    char bytes[4096];
    struct pollfd poller = {p->fd, POLLIN, 0};
    if (p->ended || poll(&poller, 1, milliseconds) <= 0) return;
    ssize_t n = read(p->fd, bytes, sizeof bytes);
    if (n > 0) vt_put(&p->screen, bytes, (size_t)n);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) p->ended = true; /* EIO: closed */
}

bool pty_prompt(pty *p) {
    double start = now();
    char line[32 * VT_COLUMNS + 1];
    for (;;) {
        vt_line(&p->screen, p->screen.line, line);
        if (p->screen.column == 2 && !strcmp(line, ">") && p->screen.line >= p->mark) return true;
        if (p->ended || now() - start > LIMIT_SECONDS) {
            char *seen = vt_text(&p->screen, p->mark);
            fprintf(stderr, "waited for the prompt, but the screen has\n%s----\n", seen ? seen : "");
            free(seen);
            return false;
        }
        pump(p, 50);
    }
}

/* The line of the text, SIZE_MAX if it is not there. */
static size_t find(const pty *p, const char *text) {
    char line[32 * VT_COLUMNS + 1];
    for (size_t i = p->mark; i <= p->screen.last; i++) {
        vt_line(&p->screen, i, line);
        if (strstr(line, text)) return i;
    }
    return SIZE_MAX;
}

bool pty_wait(pty *p, const char *text) {
    double start = now();
    size_t line;
    while ((line = find(p, text)) == SIZE_MAX) {
        if (p->ended || now() - start > LIMIT_SECONDS) {
            char *seen = vt_text(&p->screen, p->mark);
            fprintf(stderr, "waited for \"%s\", but the screen has\n%s----\n", text, seen ? seen : "");
            free(seen);
            return false;
        }
        pump(p, 50);
    }
    p->mark = line + 1;
    return true;
}

bool pty_sees(pty *p, const char *text) {
    return find(p, text) != SIZE_MAX;
}

void pty_type(pty *p, const char *bytes) {
    for (size_t n = strlen(bytes); n && !p->ended;) {
        struct pollfd poller = {p->fd, POLLIN | POLLOUT, 0};
        if (poll(&poller, 1, LIMIT_SECONDS * 1000) <= 0) return;
        if (poller.revents & POLLIN) pump(p, 0);
        ssize_t some = poller.revents & POLLOUT ? write(p->fd, bytes, n) : 0;
        if (some < 0 && errno != EINTR && errno != EAGAIN) return;
        if (some > 0) {
            bytes += some;
            n -= (size_t)some;
        }
    }
}

void pty_resize(pty *p, size_t columns, size_t rows) {
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    ioctl(p->fd, TIOCSWINSZ, &size); /* the kernel tells the program by SIGWINCH */
    p->screen.columns = columns;
    p->screen.rows = rows;
    if (p->screen.column >= columns) p->screen.column = columns - 1;
    p->screen.top = p->screen.line + 1 > rows ? p->screen.line + 1 - rows : 0;
}

int pty_finish(pty *p) {
    double start = now();
    int status = -1000;
    for (bool done = false, killed = false; !done;) {
        int how;
        pump(p, p->ended ? 0 : 5);
        pid_t child = waitpid(p->child, &how, WNOHANG);
        if (child == p->child) {
            done = true;
            if (!killed) status = WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
        } else if (child < 0 && errno != EINTR) {
            break;
        } else if (now() - start > LIMIT_SECONDS && !killed) {
            kill(p->child, SIGKILL);
            killed = true;
        }
        if (p->ended && !done) nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    for (int i = 0; i < 1000 && !p->ended; i++) pump(p, 100); /* what it wrote last */
    close(p->fd);
    p->fd = -1;
    return status;
}

static void remove_file(const char *folder, const char *name) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    remove(path);
}

void pty_clean(pty *p) {
    static const char *const names[] = {
        "state/leat/history", "state/leat", "state", "file", "saved", "out", ""};
    if (p->fd >= 0) close(p->fd); /* a test that gave up: the program gets SIGHUP */
    vt_close(&p->screen);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) remove_file(p->folder, names[i]);
}
