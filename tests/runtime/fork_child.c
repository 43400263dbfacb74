/* The subject of test_fork.c, a program of its own because test runners don't fork well. Usage: fork_child
 * MODEL THREADS; the exit status says what happened, 0 when all was as it should be. An alarm ends it if
 * anything hangs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/leat.h"

static const leat_token tokens[8] = {1, 5, 9, 13, 17, 21, 25, 29};

static leat_session *open_session(leat_model *m, uint32_t n_threads) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_session_params_default(&p);
    p.n_ctx = 64;
    p.n_batch = 4;
    p.n_threads = n_threads;
    return leat_session_open(m, &p, &s, NULL) ? NULL : s;
}

static int child(leat_model *m, leat_session *inherited, leat_sampler *sampler, uint32_t n_threads,
                 const float *want, size_t n_vocab) {
    leat_error e;
    leat_token next;
    if (leat_session_eval(inherited, tokens, 8, &e) != LEAT_E_FORK || !strstr(e.message, "forked")) return 30;
    if (leat_session_rewind(inherited, 1) != LEAT_E_FORK) return 31;
    if (leat_session_drop(inherited, 1, 2, &e) != LEAT_E_FORK) return 32;
    if (leat_session_save(inherited, "/nonexistent", NULL, 0, &e) != LEAT_E_FORK) return 33;
    if (leat_session_length(inherited) != 8 || !leat_session_logits(inherited, 0)) return 34;
    if (leat_sampler_next(sampler, inherited, &next, &e)) return 35; /* only looks at logits */
    leat_session_cancel(inherited);
    leat_session_close(inherited);
    /* the model itself is whole */
    leat_session *own = open_session(m, n_threads);
    if (!own || leat_session_eval(own, tokens, 8, &e)) return 36;
    if (memcmp(leat_session_logits(own, 0), want, n_vocab * sizeof *want) != 0) return 37;
    leat_session_close(own);
    leat_sampler_close(sampler);
    leat_model_close(m);
    return 0;
}

int main(int argc, char **argv) {
    leat_model *m;
    leat_error e;
    leat_sampler *sampler;
    leat_model_info info;
    int status = 0;
    if (argc != 3) return 10;
    uint32_t n_threads = (uint32_t)atoi(argv[2]);
    alarm(60);
    if (leat_model_open(argv[1], NULL, &m, &e)) return 20;
    leat_model_get_info(m, &info);
    leat_session *s = open_session(m, n_threads), *idle = open_session(m, n_threads);
    if (!s || !idle || leat_sampler_open(m, NULL, &sampler, &e) || leat_session_eval(s, tokens, 8, &e))
        return 21;
    float *want = malloc(info.n_vocab * sizeof *want);
    if (!want) return 22;
    memcpy(want, leat_session_logits(s, 0), info.n_vocab * sizeof *want);
    pid_t pid = fork();
    if (pid == 0) {
        leat_session_close(idle);
        status = child(m, s, sampler, n_threads, want, info.n_vocab);
        _exit(status); /* a leak checker would look for the threads that are not here */
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return 23;
    if (!WIFEXITED(status)) return 24;
    if (WEXITSTATUS(status)) return WEXITSTATUS(status);
    /* here nothing has changed */
    if (leat_session_eval(s, tokens, 3, &e) || leat_session_eval(idle, tokens, 8, &e)) return 25;
    if (memcmp(leat_session_logits(idle, 0), want, info.n_vocab * sizeof *want) != 0) return 26;
    free(want);
    leat_sampler_close(sampler);
    leat_session_close(s);
    leat_session_close(idle);
    leat_model_close(m);
    return 0;
}
