/* Sessions as a program uses them: appending, rewinding, limits, cancelling, sharing a model between threads.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/formats.h"
#include "tests/harness/fixture.h"

enum { VOCAB = 300 };

static leat_model *small(test *t) {
    random_model m = random_model_small(FORMAT_Q4_0);
    return open_random(t, &m, NULL);
}

static void must(test *t, leat_session *s, const leat_token *tokens, size_t n) {
    leat_error e = {LEAT_OK, ""};
    if (leat_session_eval(s, tokens, n, &e)) TEST_FAIL(t, "%s", e.message);
}

static void rewind_is_exact(test *t) {
    leat_model *m = small(t);
    leat_token a[20], b[9], c[6];
    fill_tokens(a, 20, VOCAB, 1);
    fill_tokens(b, 9, VOCAB, 2);
    fill_tokens(c, 6, VOCAB, 3);
    leat_session *s = open_session(t, m, 64, 8, 2), *fresh = open_session(t, m, 64, 8, 2);
    REQUIRE(t, s && fresh);
    must(t, s, a, 20);
    must(t, s, b, 9);
    CHECK_EQ(t, leat_session_length(s), 29);
    CHECK_EQ(t, leat_session_rewind(s, 30), LEAT_E_ARG);
    CHECK(t, leat_session_logits(s, 0) != NULL);
    CHECK_EQ(t, leat_session_rewind(s, 20), LEAT_OK);
    CHECK_EQ(t, leat_session_length(s), 20);
    CHECK(t, leat_session_logits(s, 0) == NULL);
    must(t, s, c, 6);
    must(t, fresh, a, 20);
    must(t, fresh, c, 6);
    CHECK(t, !memcmp(leat_session_logits(s, 0), leat_session_logits(fresh, 0), VOCAB * sizeof(float)));
    leat_session_close(s);
    leat_session_close(fresh);
    leat_model_close(m);
}

static void context_is_a_limit(test *t) {
    leat_model *m = small(t);
    leat_session *s = open_session(t, m, 16, 8, 1);
    leat_token tokens[17];
    leat_error e;
    REQUIRE(t, s);
    fill_tokens(tokens, 17, VOCAB, 1);
    CHECK_EQ(t, leat_session_n_ctx(s), 16);
    CHECK_EQ(t, leat_session_eval(s, tokens, 17, &e), LEAT_E_CONTEXT);
    CHECK(t, strstr(e.message, "17 tokens") && strstr(e.message, "16"));
    CHECK_EQ(t, leat_session_length(s), 0);
    must(t, s, tokens, 15);
    must(t, s, tokens + 15, 1);
    CHECK_EQ(t, leat_session_eval(s, tokens, 1, &e), LEAT_E_CONTEXT);
    CHECK_EQ(t, leat_session_length(s), 16);
    CHECK(t, leat_session_logits(s, 0) != NULL);
    CHECK_EQ(t, leat_session_eval(s, tokens, 0, &e), LEAT_OK);
    leat_session_close(s);
    leat_model_close(m);
}

static void tokens_are_checked(test *t) {
    leat_model *m = small(t);
    leat_session *s = open_session(t, m, 16, 8, 1);
    leat_error e;
    static const leat_token bad[] = {-1, VOCAB, INT32_MAX, INT32_MIN};
    REQUIRE(t, s);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        leat_token tokens[3] = {1, 2, bad[i]};
        CHECK_EQ(t, leat_session_eval(s, tokens, 3, &e), LEAT_E_ARG);
        CHECK(t, strstr(e.message, "token 2"));
        CHECK_EQ(t, leat_session_length(s), 0);
    }
    leat_session_close(s);
    leat_model_close(m);
}

/* Blocks of 32 can't hold a head of 10; what has no blocks can. */
static void heads_are_whole_blocks(test *t) {
    random_model shape = random_model_small(FORMAT_F32);
    shape.head_dim = 10;
    leat_model *m = open_random(t, &shape, NULL);
    for (size_t type = 0; leat_kv_type_name(type); type++) {
        leat_session_params p;
        leat_session *s = NULL;
        leat_error e = {LEAT_OK, ""};
        leat_session_params_default(&p);
        p.n_ctx = 8;
        p.v_type = (leat_kv_type)type;
        leat_status st = leat_session_open(m, &p, &s, &e);
        CHECK_EQ(t, st, strchr(leat_kv_type_name(type), '_') ? LEAT_E_ARG : LEAT_OK);
        if (st) CHECK(t, strstr(e.message, leat_kv_type_name(type)) && strstr(e.message, "head size is 10"));
        leat_session_close(s);
    }
    leat_model_close(m);
}

/* What a session says it holds follows its cache: values of 2 layers, 2 heads and 64 dimensions. */
static void bytes_follow_the_cache(test *t) {
    static const size_t bits[] = {
        [LEAT_KV_F16] = 160, [LEAT_KV_F32] = 320, [LEAT_KV_BF16] = 160, [LEAT_KV_Q8_0] = 85,
        [LEAT_KV_Q4_0] = 45, [LEAT_KV_Q5_0] = 55, [LEAT_KV_IQ4_NL] = 45}; /* tenths */
    leat_model *m = small(t);
    uint64_t base = 0;
    for (size_t type = 0; leat_kv_type_name(type); type++) {
        leat_session_params p;
        leat_session *s = NULL;
        leat_session_params_default(&p);
        p.n_ctx = 128;
        p.n_threads = 1;
        p.k_type = LEAT_KV_Q5_0;
        p.v_type = (leat_kv_type)type;
        REQUIRE(t, !leat_session_open(m, &p, &s, NULL));
        uint64_t values = 2 * 2 * 64 * 128 * bits[type] / 80;
        if (!type) base = leat_session_bytes(s) - values;
        CHECK_EQ(t, leat_session_bytes(s), base + values);
        leat_session_close(s);
    }
    leat_model_close(m);
}

static void parameters_are_checked(test *t) {
    leat_model *m = small(t);
    leat_session *s = NULL;
    leat_error e;
    leat_session_params p;
    leat_session_params_default(&p);
    p.n_batch = 2049;
    CHECK_EQ(t, leat_session_open(m, &p, &s, &e), LEAT_E_ARG);
    CHECK(t, !s && strstr(e.message, "n_batch"));
    p.n_batch = 0;
    p.n_threads = 100000;
    CHECK_EQ(t, leat_session_open(m, &p, &s, &e), LEAT_E_ARG);
    CHECK(t, !s && strstr(e.message, "n_threads"));
    p.n_threads = 1;
    CHECK(t, leat_kv_type_name(6) && !leat_kv_type_name(7));
    p.k_type = (leat_kv_type)7;
    CHECK_EQ(t, leat_session_open(m, &p, &s, &e), LEAT_E_ARG);
    CHECK(t, !s && strstr(e.message, "keys"));
    p.k_type = LEAT_KV_F16;
    p.v_type = (leat_kv_type)-1;
    CHECK_EQ(t, leat_session_open(m, &p, &s, &e), LEAT_E_ARG);
    CHECK(t, !s && strstr(e.message, "values"));
    p.v_type = LEAT_KV_F16;
    p.k_type = LEAT_KV_F32;
    p.n_ctx = UINT32_MAX; /* 4 G tokens x 4 KiB: refused with what would fit */
    CHECK_EQ(t, leat_session_open(m, &p, &s, &e), LEAT_E_NOMEM);
    const char *fit = strstr(e.message, "a context of ");
    fit = fit ? strstr(fit + 1, "a context of ") : NULL;
    CHECK(t, !s && fit && strstr(e.message, "would fit"));
    double most = fit ? strtod(fit + strlen("a context of "), NULL) : 0;
    if (most * 1.5 < UINT32_MAX) { /* what is free changes a little from one moment to the next */
        p.n_ctx = (uint32_t)(most * 1.5);
        CHECK_EQ(t, leat_session_open(m, &p, &s, &e), LEAT_E_NOMEM);
        p.n_ctx = (uint32_t)(most * 0.9);
        CHECK_EQ(t, leat_session_open(m, &p, &s, &e), LEAT_OK);
        leat_session_close(s);
    }
    leat_model_close(m);
}

static bool cancel_at(void *user, size_t done, size_t total) {
    leat_session **s = user;
    if (done < total) leat_session_cancel(*s);
    return true;
}

static bool stop_after_two(void *user, size_t done, size_t total) {
    (void)user, (void)total;
    return done < 16;
}

static void progress_can_stop(test *t) {
    leat_model *m = small(t);
    leat_token tokens[60];
    leat_error e;
    fill_tokens(tokens, 60, VOCAB, 1);
    leat_session *s = open_session(t, m, 64, 8, 2);
    REQUIRE(t, s);
    CHECK_EQ(t, leat_session_eval_progress(s, tokens, 60, stop_after_two, NULL, &e), LEAT_E_CANCELLED);
    CHECK(t, strstr(e.message, "16 of 60"));
    CHECK_EQ(t, leat_session_length(s), 16);
    must(t, s, tokens + 16, 44);
    leat_session_close(s);
    leat_model_close(m);
}

static void cancel_leaves_a_session_whole(test *t) {
    leat_model *m = small(t);
    leat_token tokens[60];
    leat_error e;
    fill_tokens(tokens, 60, VOCAB, 1);
    leat_session *s = open_session(t, m, 64, 8, 2), *fresh = open_session(t, m, 64, 8, 2);
    REQUIRE(t, s && fresh);
    leat_session_cancel(s);
    CHECK_EQ(t, leat_session_eval(s, tokens, 60, &e), LEAT_E_CANCELLED);
    CHECK_EQ(t, leat_session_length(s), 0);
    CHECK_EQ(t, leat_session_eval_progress(s, tokens, 60, cancel_at, &s, &e), LEAT_E_CANCELLED);
    CHECK_EQ(t, leat_session_length(s), 8);
    must(t, s, tokens + 8, 52);
    must(t, fresh, tokens, 60);
    CHECK(t, !memcmp(leat_session_logits(s, 0), leat_session_logits(fresh, 0), VOCAB * sizeof(float)));
    leat_session_close(s);
    leat_session_close(fresh);
    leat_model_close(m);
}

typedef struct canceller {
    leat_session *s;
    atomic_bool stop;
} canceller;

static void *cancel_often(void *arg) {
    canceller *c = arg;
    while (!atomic_load(&c->stop)) {
        nanosleep(&(struct timespec){0, 300000}, NULL);
        leat_session_cancel(c->s);
    }
    return NULL;
}

/* Cancelled at a hundred moments from another thread, the session still ends up where an undisturbed one
 * does. */
static void cancel_from_another_thread(test *t) {
    leat_model *m = small(t);
    leat_token tokens[60];
    fill_tokens(tokens, 60, VOCAB, 4);
    leat_session *s = open_session(t, m, 64, 4, 3), *fresh = open_session(t, m, 64, 4, 3);
    REQUIRE(t, s && fresh);
    canceller c = {.s = s};
    pthread_t thread;
    int cancelled = 0;
    REQUIRE(t, !pthread_create(&thread, NULL, cancel_often, &c));
    for (int round = 0; round < 100 && cancelled < 40; round++) {
        leat_session_rewind(s, 0);
        while (leat_session_length(s) < 60) {
            size_t have = leat_session_length(s);
            leat_status st = leat_session_eval(s, tokens + have, 60 - have, NULL);
            if (st != LEAT_OK && st != LEAT_E_CANCELLED) {
                TEST_FAIL(t, "status %d", st);
                break;
            }
            cancelled += st == LEAT_E_CANCELLED;
        }
    }
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
    must(t, fresh, tokens, 60);
    /* batches were cut elsewhere than in the undisturbed session */
    if (leat_session_logits(s, 0))
        CHECK(t, relative_error(leat_session_logits(s, 0), leat_session_logits(fresh, 0), VOCAB) < 0.03);
    CHECK(t, cancelled > 0);
    leat_session_close(s);
    leat_session_close(fresh);
    leat_model_close(m);
}

static bool use_again(void *user, size_t done, size_t total) {
    leat_session **s = user;
    leat_token one = 1;
    (void)done, (void)total;
    if (leat_session_eval(*s, &one, 1, NULL) != LEAT_E_BUSY || leat_session_rewind(*s, 0) != LEAT_E_BUSY)
        *s = NULL;
    return true;
}

static void one_owner_at_a_time(test *t) {
    leat_model *m = small(t);
    leat_session *s = open_session(t, m, 64, 8, 1), *seen = s;
    leat_token tokens[20];
    REQUIRE(t, s);
    fill_tokens(tokens, 20, VOCAB, 1);
    CHECK_EQ(t, leat_session_eval_progress(s, tokens, 20, use_again, &seen, NULL), LEAT_OK);
    CHECK(t, seen == s);
    leat_session_close(s);
    leat_model_close(m);
}

typedef struct user {
    leat_model *model;
    float logits[VOCAB];
    leat_status status;
    uint32_t threads;
} user;

static void *use_model(void *arg) {
    user *u = arg;
    leat_session_params p;
    leat_session *s = NULL;
    leat_token tokens[24];
    fill_tokens(tokens, 24, VOCAB, 9);
    leat_session_params_default(&p);
    p.n_ctx = 64;
    p.n_threads = u->threads;
    u->status = leat_session_open(u->model, &p, &s, NULL);
    if (!u->status) u->status = leat_session_eval(s, tokens, 20, NULL);
    for (int i = 20; !u->status && i < 24; i++) u->status = leat_session_eval(s, tokens + i, 1, NULL);
    if (!u->status) memcpy(u->logits, leat_session_logits(s, 0), sizeof u->logits);
    leat_session_close(s);
    return NULL;
}

/* The model's handle is closed while sessions of it still run. */
static void sessions_share_a_model(test *t) {
    enum { USERS = 6 };
    leat_model *m = small(t);
    user users[USERS];
    pthread_t threads[USERS];
    REQUIRE(t, m);
    leat_session *keeper = open_session(t, m, 16, 8, 1);
    for (int i = 0; i < USERS; i++) {
        users[i] = (user){.model = m, .threads = 1 + (uint32_t)i % 3};
        REQUIRE(t, !pthread_create(&threads[i], NULL, use_model, &users[i]));
    }
    for (int i = 0; i < USERS; i++) pthread_join(threads[i], NULL);
    leat_model_close(m);
    for (int i = 0; i < USERS; i++) {
        CHECK_EQ(t, users[i].status, LEAT_OK);
        CHECK(t, !memcmp(users[i].logits, users[0].logits, sizeof users[0].logits));
    }
    leat_token one = 1;
    must(t, keeper, &one, 1);
    CHECK(t, leat_session_model(keeper) == m);
    leat_session_close(keeper);
}

static void idle_sessions_sleep(test *t) {
    leat_model *m = small(t);
    leat_session *s = open_session(t, m, 16, 8, 4);
    leat_token one = 1;
    struct timespec before, after;
    REQUIRE(t, s);
    must(t, s, &one, 1);
    nanosleep(&(struct timespec){0, 50000000}, NULL); /* workers fall asleep */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&(struct timespec){0, 200000000}, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double used = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
    if (used > 0.02) TEST_FAIL(t, "an idle session used %.3f s of CPU in 0.2 s", used);
    must(t, s, &one, 1);
    leat_session_close(s);
    leat_model_close(m);
}

static void null_is_refused(test *t) {
    leat_error e;
    leat_session *s;
    leat_model *m;
    leat_token one = 1;
    CHECK_EQ(t, leat_model_open(NULL, NULL, &m, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_model_open("x", NULL, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_open(NULL, NULL, &s, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_eval(NULL, &one, 1, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_rewind(NULL, 0), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_length(NULL), 0);
    CHECK(t, leat_session_logits(NULL, 0) == NULL);
    CHECK_EQ(t, leat_tokenize(NULL, "x", 1, 0, &one, 1, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_token_bos(NULL), -1);
    CHECK(t, !leat_token_add_eos(NULL) && !leat_model_warning(NULL, 0));
    CHECK(t, leat_token_text(NULL, 0, true).data == NULL);
    leat_session_cancel(NULL);
    leat_session_close(NULL);
    leat_model_close(NULL);
}

#define TESTS(X)                                                                                             \
    X(rewind_is_exact)                                                                                       \
    X(context_is_a_limit)                                                                                    \
    X(tokens_are_checked)                                                                                    \
    X(parameters_are_checked)                                                                                \
    X(heads_are_whole_blocks)                                                                                \
    X(bytes_follow_the_cache)                                                                                \
    X(progress_can_stop)                                                                                     \
    X(cancel_leaves_a_session_whole)                                                                         \
    X(cancel_from_another_thread)                                                                            \
    X(one_owner_at_a_time) X(sessions_share_a_model) X(idle_sessions_sleep) X(null_is_refused)
TEST_SUITE(TESTS)
