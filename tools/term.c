/* Terminal and stream handling of the program; see term.h. The one file with process-wide state: signal
 * handlers need it. */
#include "term.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "options.h"

#define SECOND_SIGNAL_AFTER 1.0 /* s */

static volatile sig_atomic_t interrupted, interrupts, resized, continued;
static void (*signal_action)(void);

bool term_is_tty(int fd) {
    return isatty(fd) == 1;
}

bool term_is_dumb(void) {
    const char *kind = getenv("TERM");
    return !kind || !*kind || !strcmp(kind, "dumb");
}

double term_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

size_t utf8_next(const char *p, size_t n, uint32_t *code) {
    const unsigned char *s = (const unsigned char *)p;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000}; /* below it the form is overlong */
    size_t length = s[0] < 0x80                   ? 1
                    : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
                    : (s[0] & 0xF0) == 0xE0       ? 3
                    : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                                  : 0;
    *code = 0xFFFD;
    if (length == 1) *code = s[0];
    if (length < 2 || length > n) return 1;
    uint32_t c = s[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) return 1;
        c = c << 6 | (s[i] & 0x3Fu);
    }
    if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 1;
    *code = c;
    return length;
}

/* C0, DEL, C1, and the characters that override the direction of the text after them. */
static bool is_control(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

void term_put_clean(FILE *f, const char *text, size_t n, size_t max) {
    for (size_t i = 0, shown = 0; i < n; shown++) {
        uint32_t c;
        if (shown == max) {
            fputs("...", f);
            return;
        }
        size_t length = utf8_next(text + i, n - i, &c);
        if (c == '\n')
            fputs("\\n", f);
        else if (c == '\t')
            fputs("\\t", f);
        else if (is_control(c))
            fprintf(f, "\\u{%x}", (unsigned)c);
        else if (c == 0xFFFD)
            fputs("\xEF\xBF\xBD", f);
        else
            fwrite(text + i, 1, length, f);
        i += length;
    }
}

size_t term_strip_controls(const char *text, size_t n, char *out) {
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t length = utf8_next(text + i, n - i, &c);
        if (c == 0xFFFD) {
            memcpy(out + used, "\xEF\xBF\xBD", 3);
            used += 3;
        } else if (c == '\n' || c == '\t' || !is_control(c)) {
            memcpy(out + used, text + i, length);
            used += length;
        }
        i += length;
    }
    return used;
}

int fail(const char *format, ...) {
    va_list args;
    char text[8192]; /* a path of PATH_MAX and a sentence */
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs("leat: ", stderr);
    term_put_clean(stderr, text, strlen(text), SIZE_MAX);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

void warn(const char *format, ...) {
    va_list args;
    char text[1024];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs("leat: warning: ", stderr);
    term_put_clean(stderr, text, strlen(text), SIZE_MAX);
    fputc('\n', stderr);
}

bool term_write(int fd, const char *bytes, size_t n) {
    while (n) {
        ssize_t w = write(fd, bytes, n);
        if (w < 0 && errno == EINTR && !interrupted) continue;
        if (w < 0) return false;
        bytes += w;
        n -= (size_t)w;
    }
    return true;
}

int term_stdout_failed(int error) {
    if (error == EPIPE) return EXIT_FAILED;
    return fail("standard output: %s", strerror(error));
}

int term_finish_stdout(int status) {
    errno = 0;
    bool failed_before = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed_before) return status;
    return term_stdout_failed(errno ? errno : EIO);
}

void progress_start(progress *p, const char *what, const char *unit) {
    double now = term_seconds();
    *p = (progress){what, unit, now, now, term_is_tty(STDERR_FILENO) && !term_is_dumb(), false};
}

bool progress_update(void *user, size_t done, size_t total) {
    progress *p = user;
    double now = term_seconds();
    /* Nobody wants a flicker for what is over at once, or more updates than the eye can follow. */
    if (!p->enabled || now - p->start < 0.5 || (p->shown && now - p->last < 0.1) || !total)
        return !interrupted;
    p->last = now;
    p->shown = true;
    double rate = (double)done / (now - p->start);
    fprintf(stderr, "\r\033[K%s: %zu of %zu %s (%.0f %%), %.1f/s", p->what, done, total, p->unit,
            100.0 * (double)done / (double)total, rate);
    double left = rate > 0 ? (double)(total - done) / rate : 0;
    if (left >= 100)
        fprintf(stderr, ", %.0f min left", left / 60);
    else if (left >= 1)
        fprintf(stderr, ", %.0f s left", left);
    fflush(stderr);
    return !interrupted;
}

void progress_end(progress *p) {
    if (p->shown) fputs("\r\033[K", stderr);
    p->shown = false;
}

/* One wish to stop can come as two signals: timeout(1) sends its signal to the program and then to the whole
 * group, and fingers press twice. The second would end the process before it has cleared up. */
static void on_signal_caught(int number) {
    static double first; /* all that come here are blocked in here */
    int number_before = errno;
    if (!interrupted) {
        interrupted = number;
        first = term_seconds();
        if (signal_action) signal_action();
    } else if (term_seconds() - first > SECOND_SIGNAL_AFTER) {
        signal(number, SIG_DFL);
        raise(number); /* takes effect on return */
    }
    errno = number_before;
}

void term_catch_signals(void (*on_signal)(void)) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    signal_action = on_signal;
    action.sa_handler = on_signal_caught; /* no SA_RESTART: a blocked write must return */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&action.sa_mask, numbers[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        /* nohup(1) starts programs that are to outlive their terminal with SIGHUP ignored */
        bool kept = numbers[i] == SIGHUP && !sigaction(SIGHUP, NULL, &before) && before.sa_handler == SIG_IGN;
        if (!kept) sigaction(numbers[i], &action, NULL);
    }
}

static void on_repeated_signal(int number) {
    if (number == SIGWINCH) resized = 1;
    if (number == SIGCONT) continued = 1;
    if (number != SIGINT) return;
    interrupts++;
    if (interrupts > 3) signal(SIGINT, SIG_DFL); /* whatever hangs: the next one ends it */
    if (!interrupted) interrupted = SIGINT;      /* what ends a conversation stays */
    if (signal_action) signal_action();
}

void term_catch_repeatedly(void) {
    static const int numbers[] = {SIGINT, SIGWINCH, SIGCONT};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_repeated_signal;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        action.sa_flags = numbers[i] == SIGINT ? 0 : (int)SA_RESTART;
        sigaction(numbers[i], &action, NULL);
    }
}

int term_take_interrupts(void) {
    int n = interrupts;
    interrupts = 0;
    if (interrupted == SIGINT) interrupted = 0;
    return n;
}

bool term_take_resized(void) {
    bool was = resized != 0;
    resized = 0;
    return was;
}

bool term_take_continued(void) {
    bool was = continued != 0;
    continued = 0;
    return was;
}

int term_interrupted(void) {
    return interrupted;
}
