/* The SIGBUS guard, in child processes started by posix_spawn (see guard_child.c; its path comes from the
 * build as LEAT_GUARD_CHILD). */
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "gguf_build.h"
#include "kernels/formats.h"
#include "tests/harness/test.h"

extern char **environ;

/* Runs the child on fresh files; its wait status, or -1. AddressSanitizer must leave SIGBUS to us. */
static int run(const char *mode) {
    enum { VALUES = 1 << 16 };
    folder d;
    int status = -1;
    pid_t pid;
    if (!folder_make(&d)) return -1;
    unsigned char *ones = malloc(VALUES);
    build *b = build_open();
    if (!ones) goto done;
    memset(ones, 1, VALUES);
    build_tensor(b, "x", FORMAT_I8, VALUES, 0, ones);
    const char *path = folder_file(&d, "m.gguf");
    if (!build_save(b, path) || !file_put(folder_file(&d, "m.gguf.other"), ones, VALUES)) goto done;
    setenv("ASAN_OPTIONS", "handle_sigbus=0", 1);
    setenv("TSAN_OPTIONS", "handle_sigbus=0", 1);
    setenv("UBSAN_OPTIONS", "handle_sigbus=0", 1);
    char *args[] = {(char *)(size_t)LEAT_GUARD_CHILD, (char *)(size_t)mode, (char *)(size_t)path, NULL};
    if (posix_spawn(&pid, LEAT_GUARD_CHILD, NULL, NULL, args, environ)) goto done;
    if (waitpid(pid, &status, 0) != pid) status = -1;
done:
    build_close(b);
    free(ones);
    folder_remove(&d);
    return status;
}

static void ends_well(test *t, const char *mode) {
    int status = run(mode);
    if (status == -1)
        TEST_FAIL(t, "%s: can't be run", mode);
    else if (WIFSIGNALED(status))
        TEST_FAIL(t, "%s: ended by signal %d", mode, WTERMSIG(status));
    else if (WEXITSTATUS(status))
        TEST_FAIL(t, "%s: exit status %d", mode, WEXITSTATUS(status));
}

static void ends_by_sigbus(test *t, const char *mode) {
    int status = run(mode);
    if (status == -1 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS)
        TEST_FAIL(t, "%s: wait status %d, not SIGBUS", mode, status);
}

static void a_shrinking_model_is_survived(test *t) {
    ends_well(t, "lost");
}
static void only_the_mapping_that_shrank_is_lost(test *t) {
    ends_well(t, "two");
}
static void installing_twice_is_installing_once(test *t) {
    ends_well(t, "twice");
}

static void other_faults_go_where_they_went_before(test *t) {
    ends_by_sigbus(t, "default");
    ends_by_sigbus(t, "removed");
    ends_well(t, "chain");
    ends_well(t, "chain-info");
}

static void sent_signals_are_not_faults(test *t) {
    ends_by_sigbus(t, "sent");
    ends_well(t, "ignored");
}

#define TESTS(X)                                                                                             \
    X(a_shrinking_model_is_survived)                                                                         \
    X(only_the_mapping_that_shrank_is_lost)                                                                  \
    X(installing_twice_is_installing_once)                                                                   \
    X(other_faults_go_where_they_went_before)                                                                \
    X(sent_signals_are_not_faults)
TEST_SUITE(TESTS)
