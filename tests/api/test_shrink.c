/* A model file that is cut short while the program uses it: whenever that happens, loading or generating, the
 * program ends with status 1 and a sentence, never with a signal. */
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/formats.h"
#include "tests/api/program.h"
#include "tests/harness/fixture.h"

extern char **environ;

static void sleep_ms(double ms) {
    nanosleep(&(struct timespec){(time_t)(ms / 1e3), (long)(ms * 1e6) % 1000000000L}, NULL);
}

/* Runs `leat run` on the model and truncates the file after `ms`; the exit status as waitpid gives it. */
static int run_and_cut(test *t, const char *model, const char *errors, double ms, off_t size) {
    const char *argv[] = {LEAT_PROGRAM,   "run", model, "-p", "w300 w299", "-n", "-1",
                          "--ignore-eos", "-c",  "0",   "-t", "2",         NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (posix_spawn(&child, LEAT_PROGRAM, &actions, NULL, (char **)(uintptr_t)argv, environ)) {
        TEST_FAIL(t, "could not start %s", LEAT_PROGRAM);
        return 0;
    }
    posix_spawn_file_actions_destroy(&actions);
    sleep_ms(ms);
    if (truncate(model, size)) TEST_FAIL(t, "could not truncate %s", model);
    waitpid(child, &status, 0);
    return status;
}

static void file_shrinks_while_in_use(test *t) {
    random_model m = random_model_small(FORMAT_Q8_0);
    temp_file f;
    char errors[128];
    m.n_layer = 12;
    m.n_ctx = 65536; /* far more tokens than are generated before the cut */
    REQUIRE(t, temp_make(&f, "m.gguf"));
    snprintf(errors, sizeof errors, "%s/errors", f.dir);
    for (int i = 0; i < 20; i++) {
        REQUIRE(t, !random_model_write(&m, f.path, NULL));
        int status = run_and_cut(t, f.path, errors, i * 3.0 + 0.3, i % 4 * 200000);
        size_t n = 0;
        char *said = read_whole(errors, &n);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || !said || strncmp(said, "leat: ", 6))
            TEST_FAIL(t, "cut after %g ms: wait status %#x, \"%s\"", i * 3.0 + 0.3, (unsigned)status,
                      said ? said : "");
        free(said);
    }
    unlink(errors);
    temp_remove(&f);
}

#define TESTS(X) X(file_shrinks_while_in_use)
TEST_SUITE(TESTS)
