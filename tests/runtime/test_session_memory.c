/* What sessions take of the machine: memory that grows with the tokens and not with the context, nothing of
 * it in large pieces, no processor while idle, and all of it given back, whatever a session was doing. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/formats.h"
#include "runtime/os.h"
#include "runtime/session.h"
#include "tests/harness/fixture.h"

enum { VOCAB = 300, LONG_CONTEXT = 131072 };

/* Bytes of a mapping that are in memory. */
static size_t resident(test *t, void *p, size_t bytes) {
    size_t page = os_page_size(), n = (bytes + page - 1) / page, count = 0;
    unsigned char *there = calloc(n, 1);
    if (!there || mincore(p, n * page, (void *)there)) TEST_FAIL(t, "mincore fails");
    for (size_t i = 0; there && i < n; i++) count += there[i] & 1;
    free(there);
    return count * page;
}

static size_t cache_resident(test *t, const leat_session *s) {
    return resident(t, s->kv.memory, s->kv.bytes);
}

static leat_model *long_model(test *t) {
    random_model m = random_model_small(FORMAT_F32);
    m.n_ctx = LONG_CONTEXT;
    m.n_embd = 64;
    m.n_ff = 96;
    return open_random(t, &m, NULL);
}

/* Of 268 MiB for the whole context, what the tokens need, and at most a page for each head of each layer. */
static void cache_grows_as_used(test *t) {
    leat_model *m = long_model(t);
    leat_session_params p;
    leat_session *s = NULL;
    leat_session_memory memory;
    leat_error e = {LEAT_OK, ""};
    static leat_token tokens[2000];
    fill_tokens(tokens, 2000, VOCAB, 1);
    leat_session_params_default(&p);
    p.n_ctx = LONG_CONTEXT;
    p.k_type = p.v_type = LEAT_KV_F32;
    p.n_threads = 2;
    if (leat_session_open(m, &p, &s, &e) == LEAT_E_NOMEM) SKIP(t, "%s", e.message);
    REQUIRE(t, s);
    size_t stripes = 2 * 2 * 2, page = os_page_size();
    leat_session_get_memory(s, &memory);
    CHECK(t, memory.cache > 200u << 20 && memory.cache_used == 0 && memory.activations > 0);
    CHECK(t, leat_session_bytes(s) == memory.cache + memory.state + memory.activations);
    CHECK_EQ(t, cache_resident(t, s), 0);
    static const size_t lengths[] = {1, 30, 500, 2000};
    for (size_t i = 0; i < 4; i++) {
        size_t have = leat_session_length(s);
        if (leat_session_eval(s, tokens + have, lengths[i] - have, &e)) TEST_FAIL(t, "%s", e.message);
        size_t used = 2 * 2 * 2 * 64 * 4 * lengths[i], there = cache_resident(t, s);
        leat_session_get_memory(s, &memory);
        CHECK_EQ(t, memory.cache_used, used + 4 * lengths[i]);
        if (there < used || there > used + 2 * stripes * page)
            TEST_FAIL(t, "with %zu tokens %zu bytes are resident, %zu are used", lengths[i], there, used);
    }
    leat_session_get_memory(NULL, &memory);
    CHECK_EQ(t, memory.cache, 0);
    leat_session_get_memory(s, NULL);
    leat_session_close(s);
    leat_model_close(m);
}

/* What a token reads, in models of two or more KV heads of 16 (latents: one row of 40) as 16-bit floats:
 * worked out from arch_spec.c. */
static void reads_of_a_token(test *t) {
    enum { ROW = 2 * 16 * 2 * 2 /* keys and values of two heads */, WINDOW = 9, LATENT = 40 * 2 };
    static const struct {
        const char *arch;
        uint64_t state, plain, windowed; /* bytes at any length; of a position in layers without and with */
    } cases[] = {
        {"llama", 0, 2 * ROW, 0},
        {"gemma3", 0, ROW, 6 * ROW}, /* of seven layers the sixth sees everything */
        {"gemma4", 0, 3 * ROW / 2,
         3 * ROW / 2}, /* two of six read the cache of two others; all rows are half */
        {"deepseek2", 0, 2 * LATENT, 0},
        {"qwen35", 2 * 4 * (2 * 8 * 16 + 4 * 16 * 16), ROW, 0}, /* convolution, four heads of (16, 16) */
        {"mamba2", 2 * 4 * (2 * (128 + 2 * 2 * 16) + 128 * 16), 0, 0},
    };
    static const size_t lengths[] = {0, 7, 8, 9, 100};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const arch_spec *spec = arch_specs;
        while (strcmp(spec->arch, cases[i].arch) != 0) spec++;
        random_model m = random_model_of(spec, FORMAT_F32);
        leat_model *model = open_random(t, &m, NULL);
        leat_session *s = open_session(t, model, 128, 16, 1);
        REQUIRE(t, s);
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            uint64_t seen = lengths[j] + 1, within = seen < WINDOW ? seen : WINDOW;
            uint64_t wanted = cases[i].state + cases[i].plain * seen + cases[i].windowed * within;
            if (leat_session_read_bytes(s, lengths[j]) != wanted)
                TEST_FAIL(t, "behind %zu tokens, one of %s reads %llu bytes, not %llu", lengths[j],
                          cases[i].arch, (unsigned long long)leat_session_read_bytes(s, lengths[j]),
                          (unsigned long long)wanted);
        }
        leat_session_close(s);
        leat_model_close(model);
    }
    CHECK_EQ(t, leat_session_read_bytes(NULL, 5), 0);
}

/* The flags of the mapping that p lies in, as /proc has them: "rd wr mr ... nh". */
static bool flags_of(const void *p, char out[256]) {
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false, found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        unsigned long long from, to, at = (unsigned long long)(uintptr_t)p;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2) inside = at >= from && at < to;
        found = inside && !strncmp(line, "VmFlags:", 8);
    }
    if (f) fclose(f);
    if (found) snprintf(out, 256, "%.250s", line + 8);
    return found;
}

/* However long the context: one huge page for each head's keys and values would be far more than there is. */
static void cache_takes_small_pages(test *t) {
    kv_cache c;
    char flags[256];
    const kv_shape shapes[2] = {{.n_head = 2, .dim_k = 64, .dim_v = 64},
                                {.n_head = 2, .dim_k = 64, .dim_v = 64, .window = 100}};
    REQUIRE(t, !kv_open(&c, shapes, 2, 1 << 17, 512, FORMAT_F32, FORMAT_F32, NULL));
    bool known = flags_of(c.memory, flags) && strstr(flags, " nh");
    for (size_t length = 0; length + 512 <= 1 << 17; length += 512) kv_advance(&c, length, 512);
    bool still = known && flags_of(c.memory, flags) && strstr(flags, " nh");
    kv_close(&c);
    if (!known) SKIP(t, "no huge pages here, or no /proc/self/smaps with flags");
    CHECK(t, still);
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Many sessions on one model: each does its work, none of them does anything when there is none. */
static void many_idle_sessions_sleep(test *t) {
    enum { SESSIONS = 12 };
    random_model shape = random_model_small(FORMAT_Q8_0);
    leat_model *m = open_random(t, &shape, NULL);
    leat_session *s[SESSIONS];
    leat_token tokens[3] = {1, 2, 3};
    for (int i = 0; i < SESSIONS; i++) {
        s[i] = open_session(t, m, 64, 8, 4);
        REQUIRE(t, s[i]);
        if (i % 3) CHECK_EQ(t, leat_session_eval(s[i], tokens, 3, NULL), LEAT_OK);
    }
    nanosleep(&(struct timespec){0, 100000000}, NULL); /* workers fall asleep */
    double before = cpu_seconds();
    nanosleep(&(struct timespec){0, 200000000}, NULL);
    double used = cpu_seconds() - before;
    if (used > 0.02) TEST_FAIL(t, "%d idle sessions used %.3f s of CPU in 0.2 s", SESSIONS, used);
    for (int i = 0; i < SESSIONS; i++) {
        CHECK_EQ(t, leat_session_eval(s[i], tokens, 3, NULL), LEAT_OK);
        leat_session_close(s[i]);
    }
    leat_model_close(m);
}

static bool cancel(void *user, size_t done, size_t total) {
    (void)done, (void)total;
    leat_session_cancel(user);
    return true;
}

/* Closed in whatever state: never used, cancelled before, cancelled within, failed. */
static void closed_in_any_state(test *t) {
    random_model shape = random_model_small(FORMAT_Q8_0);
    leat_model *m = open_random(t, &shape, NULL);
    leat_token tokens[32];
    leat_error e;
    fill_tokens(tokens, 32, VOCAB, 1);
    for (int state = 0; state < 20; state++) {
        leat_session *s = open_session(t, m, 64, 8, 3);
        REQUIRE(t, s);
        if (state % 4 == 1 || state % 4 == 3) leat_session_cancel(s);
        if (state % 4 == 2) {
            CHECK_EQ(t, leat_session_eval_progress(s, tokens, 32, cancel, s, &e), LEAT_E_CANCELLED);
            CHECK_EQ(t, leat_session_length(s), 8);
        }
        if (state % 4 == 3) CHECK_EQ(t, leat_session_eval(s, tokens, 32, &e), LEAT_E_CANCELLED);
        leat_session_close(s);
    }
    leat_model_close(m);
}

#define TESTS(X)                                                                                             \
    X(reads_of_a_token)                                                                                      \
    X(cache_grows_as_used)                                                                                   \
    X(cache_takes_small_pages) X(many_idle_sessions_sleep) X(closed_in_any_state)
TEST_SUITE(TESTS)
