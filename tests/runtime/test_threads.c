/* The number of workers: what the tuner makes of machines of many kinds, that a session with any numbers of
 * threads for prompts and for single tokens computes the same bits, and that it can be cancelled while more
 * threads than there are cores wait for each other. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "kernels/formats.h"
#include "runtime/tune.h"
#include "tests/harness/fixture.h"

/* ---- the tuner, on machines that are made up ---- */

/* Nanoseconds that a piece takes with n workers. */
typedef double machine_fn(uint32_t n);

static double four_are_enough(uint32_t n) { /* memory is slower than that */
    return 1e6 / (n < 4 ? n : 4) + 1e3 * n;
}
static double scales(uint32_t n) {
    return 1e6 / n;
}
static double threads_of_a_core_hinder(uint32_t n) {
    return 1e6 / (n <= 16 ? n : 13);
}
static double threads_of_a_core_help(uint32_t n) {
    return 1e6 / (n <= 16 ? n : 16 + (n - 16) * 0.2);
}
static double waiting_costs(uint32_t n) { /* a tiny model: one worker is best */
    return 1e5 / n + 8e4 * (n - 1);
}
static double one_core_is_taken(uint32_t n) { /* the machine has 16 */
    return n < 16 ? 1e6 / n : 1.5e6 / n;
}

/* Passes of 16 layers, both ends of which are not told of. What they took altogether. */
static double spend(tuner *t, machine_fn *machine, int passes) {
    double sum = 0;
    for (int pass = 0; pass < passes; pass++) {
        bool trying = tuner_pass(t, 1);
        for (int layer = 0; layer < 17; layer++) {
            uint32_t n = tuner_next(t);
            double ns = machine(n), noise = 1 + 0.02 * ((pass * 7 + layer * 5) % 11 - 5) / 5;
            sum += ns;
            if (trying && layer > 0 && layer < 16) tuner_took(t, (uint64_t)(ns * noise));
        }
        if (!trying) tuner_took(t, (uint64_t)(17 * machine(tuner_best(t))));
    }
    return sum;
}

static double best_of(machine_fn *machine, uint32_t most) {
    double best = machine(1);
    for (uint32_t n = 2; n <= most; n++)
        if (machine(n) < best) best = machine(n);
    return best;
}

/* Where 16 cores have two threads each: within 5 % of the best number there is, trials included. */
static void any_machine_is_found_out(test *t) {
    static const struct {
        const char *name;
        machine_fn *machine;
    } machines[] = {{"four are enough", four_are_enough},
                    {"scales", scales},
                    {"threads of a core hinder", threads_of_a_core_hinder},
                    {"threads of a core help", threads_of_a_core_help},
                    {"waiting costs", waiting_costs},
                    {"one core is taken", one_core_is_taken}};
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        tuner tune;
        tuner_start(&tune, 1, 16, 32);
        spend(&tune, machines[i].machine, 20);
        double took = spend(&tune, machines[i].machine, 500),
               best = 17 * 500 * best_of(machines[i].machine, 32);
        if (took > 1.06 * best)
            TEST_FAIL(t, "%s: %u workers, %.1f %% slower than the best number", machines[i].name,
                      tuner_best(&tune), 100 * took / best - 100);
    }
}

static double two_cores(uint32_t n) {
    return n == 2 ? 5e5 : 1e6;
}
static double two_cores_of_which_one_is_taken(uint32_t n) {
    return n == 2 ? 1.6e6 : 1e6;
}

static void trials_cost_little(test *t) {
    tuner tune;
    tuner_start(&tune, 1, 2, 2);
    double took = spend(&tune, two_cores, 100);
    CHECK_EQ(t, tuner_best(&tune), 2);
    CHECK(t, took < 1.03 * 100 * 17 * two_cores(2));
}

static void a_change_is_noticed(test *t) {
    tuner tune;
    tuner_start(&tune, 1, 2, 2);
    spend(&tune, two_cores, 100);
    CHECK_EQ(t, tuner_best(&tune), 2);
    spend(&tune, two_cores_of_which_one_is_taken, 500);
    CHECK_EQ(t, tuner_best(&tune), 1);
    spend(&tune, two_cores, 500);
    CHECK_EQ(t, tuner_best(&tune), 2);
}

static void a_fixed_number_stays(test *t) {
    for (uint32_t n = 1; n < 1025; n *= 4) {
        tuner tune;
        tuner_start(&tune, n, n, n);
        CHECK(t, !tuner_pass(&tune, 1));
        CHECK_EQ(t, tuner_next(&tune), n);
        spend(&tune, waiting_costs, 10);
        CHECK_EQ(t, tuner_best(&tune), n);
    }
    tuner tune; /* more candidates than there is room for */
    tuner_start(&tune, 1, 1024, 2048);
    CHECK_EQ(t, tune.n, TUNE_CANDIDATES);
    CHECK_EQ(t, tuner_best(&tune), 1024);
    CHECK_EQ(t, tune.candidate[TUNE_CANDIDATES - 1], 2048);
}

/* ---- sessions ---- */

static const random_model shape = {.arch = "llama",
                                   .format = FORMAT_Q4_0,
                                   .embed_format = FORMAT_Q4_0,
                                   .value_format = FORMAT_Q4_0,
                                   .output_format = FORMAT_Q4_0,
                                   .n_vocab = 512,
                                   .n_ctx = 512,
                                   .n_embd = 128,
                                   .n_layer = 12,
                                   .n_ff = 256,
                                   .n_head = 4,
                                   .n_head_kv = 2,
                                   .head_dim = 32,
                                   .seed = 3};

static leat_session *open_threads(test *t, leat_model *m, uint32_t one, uint32_t many) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = 400;
    p.n_batch = 64;
    p.n_threads = one;
    p.n_threads_batch = many;
    if (m && leat_session_open(m, &p, &s, &e)) TEST_FAIL(t, "%s", e.message);
    return s;
}

/* A prompt of two batches, then tokens one by one: often enough for a tuner to try what it can. */
static void any_numbers_give_the_same_bits(test *t) {
    static const uint32_t numbers[][2] = {{1, 1},
                                          {0, 0},
                                          {1, 3},
                                          {3, 1},
                                          {4, 0},
                                          {0, 2},
                                          {7, 7},
                                          {3, LEAT_THREADS_AUTO},
                                          {LEAT_THREADS_AUTO, 0}};
    enum { PROMPT = 100, N = 250 };
    leat_token tokens[N];
    float want[512];
    leat_error e;
    leat_model *m = open_random(t, &shape, NULL);
    fill_tokens(tokens, N, shape.n_vocab, 1);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        leat_session *s = open_threads(t, m, numbers[i][0], numbers[i][1]);
        REQUIRE(t, s);
        leat_status st = leat_session_eval(s, tokens, PROMPT, &e);
        for (size_t k = PROMPT; k < N && !st; k++) st = leat_session_eval(s, tokens + k, 1, &e);
        CHECK_EQ(t, st, LEAT_OK);
        const float *got = leat_session_logits(s, 0);
        if (i == 0)
            memcpy(want, got, sizeof want);
        else if (memcmp(want, got, sizeof want))
            TEST_FAIL(t, "%u and %u threads give other logits than one", numbers[i][0], numbers[i][1]);
        uint32_t one = numbers[i][0], many = numbers[i][1] ? numbers[i][1] : one;
        if (one && one != LEAT_THREADS_AUTO) CHECK_EQ(t, leat_session_threads(s), one);
        if (many && many != LEAT_THREADS_AUTO) CHECK_EQ(t, leat_session_threads_batch(s), many);
        CHECK(t, leat_session_threads(s) > 0 && leat_session_threads_batch(s) > 0);
        leat_session_close(s);
    }
    leat_model_close(m);
}

static void *cancel_soon(void *s) {
    usleep(2000);
    leat_session_cancel(s);
    return NULL;
}

/* Workers that sleep until a stage is complete must hear that it never will be. */
static void a_crowd_can_be_cancelled(test *t) {
    leat_token tokens[400];
    leat_error e;
    leat_model *m = open_random(t, &shape, "c");
    leat_session *s = open_threads(t, m, 12, 12);
    int cancelled = 0;
    fill_tokens(tokens, 400, shape.n_vocab, 2);
    REQUIRE(t, s);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        REQUIRE(t, !pthread_create(&thread, NULL, cancel_soon, s));
        leat_status st = leat_session_eval(s, tokens, 400, &e);
        pthread_join(thread, NULL);
        cancelled += st == LEAT_E_CANCELLED;
        CHECK(t, st == LEAT_OK || st == LEAT_E_CANCELLED);
        CHECK_EQ(t, leat_session_rewind(s, 0), LEAT_OK);
        if (st == LEAT_OK && leat_session_eval(s, tokens, 2, &e) == LEAT_OK) /* it came too late: use it up */
            CHECK_EQ(t, leat_session_rewind(s, 0), LEAT_OK);
    }
    CHECK(t, cancelled > 0);
    leat_session_close(s);
    leat_model_close(m);
}

#define TESTS(X)                                                                                             \
    X(any_machine_is_found_out)                                                                              \
    X(trials_cost_little)                                                                                    \
    X(a_change_is_noticed)                                                                                   \
    X(a_fixed_number_stays) X(any_numbers_give_the_same_bits) X(a_crowd_can_be_cancelled)
TEST_SUITE(TESTS)
