/* After fork a child has the model but not the threads of sessions: it is told so, at once, and can open
 * sessions of its own. */
#include <spawn.h>
#include <sys/wait.h>

#include "kernels/formats.h"
#include "tests/harness/fixture.h"

extern char **environ;

static void forked(test *t, const char *threads) {
    random_model m = random_model_small(FORMAT_Q8_0);
    temp_file f;
    leat_error e;
    pid_t pid;
    int status = 0;
    REQUIRE(t, temp_make(&f, "m.gguf"));
    REQUIRE(t, !random_model_write(&m, f.path, &e));
    char *argv[] = {(char[]){LEAT_FORK_CHILD}, f.path, (char[]){"  "}, NULL};
    snprintf(argv[2], 3, "%s", threads);
    CHECK_EQ(t, posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
    CHECK_EQ(t, waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        TEST_FAIL(t, "with %s threads: exit status %d, signal %d", threads, WEXITSTATUS(status),
                  WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    temp_remove(&f);
}

static void with_workers(test *t) {
    forked(t, "3");
}
static void alone(test *t) {
    forked(t, "1");
}

#define TESTS(X) X(with_workers) X(alone)
TEST_SUITE(TESTS)
