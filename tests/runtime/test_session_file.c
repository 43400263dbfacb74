/* Sessions in files: what was saved goes on to the same bits, whatever the architecture and the types of the
 * cache; what does not fit, is cut, or is damaged, is refused with a sentence; no file does harm. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/formats.h"
#include "runtime/hash.h"
#include "runtime/saved.h"
#include "tests/harness/fixture.h"

enum { N_VOCAB = 300, N_CTX = 256, N_LONG = 190 };

static const arch_spec *spec_named(const char *name, const char *variant) {
    const arch_spec *s = arch_specs;
    while (s->arch && (strcmp(s->arch, name) || (variant && (!s->variant || strcmp(s->variant, variant)))))
        s++;
    return s;
}

static leat_model *open_spec(test *t, const char *name) {
    random_model m = random_model_of(spec_named(name, NULL), FORMAT_F32);
    m.n_ctx = 4096;
    return open_random(t, &m, NULL);
}

static leat_session *open_types(test *t, leat_model *m, uint32_t n_ctx, leat_kv_type k, leat_kv_type v,
                                uint32_t n_threads) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = n_ctx;
    p.n_batch = 40;
    p.n_threads = n_threads;
    p.k_type = k;
    p.v_type = v;
    if (m && leat_session_open(m, &p, &s, &e)) TEST_FAIL(t, "%s", e.message);
    return s;
}

static leat_status load(leat_session *s, const char *path, leat_error *e) {
    leat_saved *file;
    leat_status st = leat_saved_open(path, &file, e);
    if (!st) st = leat_session_load(s, file, e);
    leat_saved_close(file);
    return st;
}

static void must(test *t, leat_status st, const leat_error *e) {
    if (st) TEST_FAIL(t, "%s", e->message);
}

/* Both evaluate the same tokens; their logits must be the same to the bit. */
static bool go_on(test *t, const char *what, leat_session *a, leat_session *b, const leat_token *tokens,
                  size_t n) {
    leat_error e = {LEAT_OK, ""};
    must(t, leat_session_eval(a, tokens, n, &e), &e);
    must(t, leat_session_eval(b, tokens, n, &e), &e);
    const float *x = leat_session_logits(a, 0), *y = leat_session_logits(b, 0);
    bool same = x && y && !memcmp(x, y, N_VOCAB * sizeof *x);
    if (!same) TEST_FAIL(t, "%s: after %zu tokens the logits differ", what, leat_session_length(a));
    return same;
}

static void compare(test *t, const char *what, leat_model *m, leat_kv_type k, leat_kv_type v) {
    leat_token tokens[N_LONG];
    leat_error e = {LEAT_OK, ""};
    temp_file f;
    fill_tokens(tokens, N_LONG, N_VOCAB, 11);
    REQUIRE(t, temp_make(&f, "session"));
    leat_session *s = open_types(t, m, N_CTX, k, v, 2), *other = open_types(t, m, N_CTX + 64, k, v, 1);
    REQUIRE(t, s && other);
    must(t, leat_session_eval(s, tokens, 100, &e), &e);
    for (size_t i = 100; i < 104; i++) must(t, leat_session_eval(s, tokens + i, 1, &e), &e);
    must(t, leat_session_save(s, f.path, NULL, 0, &e), &e);
    must(t, leat_session_eval(other, tokens + 50, 7, &e), &e);
    must(t, load(other, f.path, &e), &e);
    size_t n, n_other;
    const leat_token *held = leat_session_tokens(s, &n), *got = leat_session_tokens(other, &n_other);
    CHECK(t, n == 104 && n_other == 104 && !memcmp(held, got, n * sizeof *held));
    const float *x = leat_session_logits(s, 0), *y = leat_session_logits(other, 0);
    if (!x || !y || memcmp(x, y, N_VOCAB * sizeof *x)) TEST_FAIL(t, "%s: logits were not kept", what);
    bool fine = go_on(t, what, s, other, tokens + 104, 1) && go_on(t, what, s, other, tokens + 105, 60) &&
                go_on(t, what, s, other, tokens + 165, 1);
    /* back into what was saved */
    CHECK_EQ(t, leat_session_rewind(s, 99), leat_session_rewind(other, 99));
    if (fine && leat_session_length(s) == 99) go_on(t, what, s, other, tokens + 120, 30);
    leat_session_close(s);
    leat_session_close(other);
    temp_remove(&f);
}

static void every_architecture_goes_on(test *t) {
    for (const arch_spec *spec = arch_specs; spec->arch; spec++) {
        if (spec->narrow) continue;
        random_model m = random_model_of(spec, FORMAT_F32);
        char what[100];
        m.n_ctx = 4096;
        snprintf(what, sizeof what, "%s %s", spec->arch, spec->variant ? spec->variant : "");
        leat_model *model = open_random(t, &m, NULL);
        compare(t, what, model, LEAT_KV_F32, LEAT_KV_F16);
        leat_model_close(model);
    }
}

static void every_type_goes_on(test *t) {
    random_model shape = random_model_small(FORMAT_Q4_0);
    leat_model *m = open_random(t, &shape, NULL);
    for (size_t type = 0; leat_kv_type_name(type); type++)
        compare(t, leat_kv_type_name(type), m, (leat_kv_type)type, LEAT_KV_Q8_0);
    leat_model_close(m);
}

/* Windows that slid before, and a file for a context in which they do not, or that leaves less of them. */
static void windows_fit_other_contexts(test *t) {
    enum { LONG = 900, BATCH = 32 };
    random_model shape = random_model_of(spec_named("gemma2", NULL), FORMAT_F32);
    leat_token *tokens = malloc((LONG + 40) * sizeof *tokens);
    leat_error e = {LEAT_OK, ""};
    temp_file f;
    REQUIRE(t, tokens && temp_make(&f, "session"));
    shape.n_ctx = 4096;
    leat_model *m = open_random(t, &shape, NULL);
    fill_tokens(tokens, LONG + 40, N_VOCAB, 4);
    static const uint32_t sizes[][2] = {{4096, 1024}, {1024, 4096}, {1024, 1024}};
    for (size_t i = 0; i < 3; i++) {
        leat_session *s = open_session(t, m, sizes[i][0], BATCH, 1),
                     *other = open_session(t, m, sizes[i][1], i == 2 ? 8 : BATCH, 1);
        must(t, leat_session_eval(s, tokens, LONG, &e), &e);
        must(t, leat_session_save(s, f.path, "x", 1, &e), &e);
        must(t, load(other, f.path, &e), &e);
        go_on(t, "a window", s, other, tokens + LONG, 1);
        go_on(t, "a window", s, other, tokens + LONG + 1, 8);
        leat_session_close(s);
        leat_session_close(other);
    }
    free(tokens);
    temp_remove(&f);
    leat_model_close(m);
}

static void refused(test *t, leat_session *s, const char *path, leat_status want, const char *says) {
    leat_error e = {LEAT_OK, ""};
    leat_status st = load(s, path, &e);
    if (st != want || e.code != st || !strstr(e.message, says))
        TEST_FAIL(t, "status %d \"%s\", not %d with \"%s\"", st, e.message, want, says);
    CHECK_EQ(t, leat_session_length(s), 3);
}

static void what_does_not_fit_is_refused(test *t) {
    leat_token tokens[60];
    leat_error e = {LEAT_OK, ""};
    temp_file f;
    fill_tokens(tokens, 60, N_VOCAB, 2);
    REQUIRE(t, temp_make(&f, "session"));
    random_model shape = random_model_small(FORMAT_F32);
    leat_model *m = open_random(t, &shape, NULL);
    shape.seed++;
    leat_model *sister = open_random(t, &shape, NULL), *far = open_spec(t, "gemma2");
    CHECK(t, leat_model_hash(m) && leat_model_hash(m) != leat_model_hash(sister));
    leat_session *s = open_types(t, m, 64, LEAT_KV_F16, LEAT_KV_F16, 1);
    must(t, leat_session_eval(s, tokens, 60, &e), &e);
    must(t, leat_session_save(s, f.path, "hello", 5, &e), &e);
    leat_session_close(s);
    const struct {
        leat_model *m;
        uint32_t n_ctx;
        leat_kv_type k, v;
        leat_status want;
        const char *says;
    } cases[] = {{sister, 64, LEAT_KV_F16, LEAT_KV_F16, LEAT_E_STATE, "another file of the model"},
                 {far, 64, LEAT_KV_F16, LEAT_KV_F16, LEAT_E_STATE, "another"},
                 {m, 64, LEAT_KV_BF16, LEAT_KV_F16, LEAT_E_STATE, "keys as f16"},
                 {m, 64, LEAT_KV_F16, LEAT_KV_Q4_0, LEAT_E_STATE, "q4_0"},
                 {m, 59, LEAT_KV_F16, LEAT_KV_F16, LEAT_E_CONTEXT, "60 tokens"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s = open_types(t, cases[i].m, cases[i].n_ctx, cases[i].k, cases[i].v, 1);
        must(t, leat_session_eval(s, tokens, 3, &e), &e);
        refused(t, s, f.path, cases[i].want, cases[i].says);
        CHECK(t, leat_session_logits(s, 0));
        leat_session_close(s);
    }
    s = open_types(t, m, 60, LEAT_KV_F16, LEAT_KV_F16, 1);
    must(t, load(s, f.path, &e), &e);
    CHECK_EQ(t, leat_session_length(s), 60);
    leat_session_close(s);
    leat_model_close(m);
    leat_model_close(sister);
    leat_model_close(far);
    temp_remove(&f);
}

/* LongRoPE turns positions by the context's size: what was turned one way is no use the other. */
static void other_rotations_are_refused(test *t) {
    const arch_spec *spec = arch_specs;
    leat_token tokens[20];
    leat_error e = {LEAT_OK, ""};
    temp_file f;
    while (spec->arch && !spec->long_factors) spec++;
    REQUIRE(t, spec->arch && temp_make(&f, "session"));
    random_model shape = random_model_of(spec, FORMAT_F32);
    shape.n_ctx = 4096;
    leat_model *m = open_random(t, &shape, NULL);
    fill_tokens(tokens, 20, N_VOCAB, 2);
    leat_session *small = open_session(t, m, 24, 16, 1), *large = open_session(t, m, 4096, 16, 1);
    must(t, leat_session_eval(small, tokens, 20, &e), &e);
    must(t, leat_session_save(small, f.path, NULL, 0, &e), &e);
    must(t, leat_session_eval(large, tokens, 3, &e), &e);
    refused(t, large, f.path, LEAT_E_STATE, "context of another size");
    leat_session_close(small);
    leat_session_close(large);
    leat_model_close(m);
    temp_remove(&f);
}

static void info_and_user_bytes(test *t) {
    leat_token tokens[10];
    leat_error e = {LEAT_OK, ""};
    leat_saved *file;
    leat_saved_info info;
    temp_file f;
    char lots[3000];
    for (size_t i = 0; i < sizeof lots; i++) lots[i] = (char)(i * 7);
    fill_tokens(tokens, 10, N_VOCAB, 2);
    REQUIRE(t, temp_make(&f, "session"));
    leat_model *m = open_spec(t, "llama");
    leat_session *s = open_types(t, m, 64, LEAT_KV_F32, LEAT_KV_BF16, 1);
    must(t, leat_session_save(s, f.path, NULL, 0, &e), &e); /* an empty one */
    must(t, load(s, f.path, &e), &e);
    CHECK(t, leat_session_length(s) == 0 && !leat_session_logits(s, 0));
    must(t, leat_session_eval(s, tokens, 10, &e), &e);
    must(t, leat_session_save(s, f.path, lots, sizeof lots, &e), &e); /* over the old one */
    must(t, leat_saved_open(f.path, &file, &e), &e);
    leat_saved_get_info(file, &info);
    CHECK_EQ(t, info.length, 10);
    CHECK(t, info.model == leat_model_hash(m) && info.model_name.size > 0 && info.bytes > 3000);
    CHECK_STR(t, info.k_type, "f32");
    CHECK_STR(t, info.v_type, "bf16");
    CHECK(t, info.user.size == sizeof lots && !memcmp(info.user.data, lots, sizeof lots));
    leat_saved_close(file);
    leat_session_rewind(s, 4); /* the logits are gone, and are not made up */
    must(t, leat_session_save(s, f.path, NULL, 0, &e), &e);
    must(t, load(s, f.path, &e), &e);
    CHECK(t, leat_session_length(s) == 4 && !leat_session_logits(s, 0));

    CHECK_EQ(t, leat_session_save(s, "/nonexistent/folder/x", NULL, 0, &e), LEAT_E_IO);
    CHECK_EQ(t, leat_session_save(s, f.dir, NULL, 0, &e), LEAT_E_IO);
    CHECK_EQ(t, leat_saved_open("/nonexistent/x", &file, &e), LEAT_E_IO);
    CHECK(t, !file && strstr(e.message, "/nonexistent/x"));
    CHECK_EQ(t, leat_session_save(NULL, "x", NULL, 0, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_save(s, NULL, NULL, 0, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_save(s, "x", NULL, 1, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_saved_open(NULL, &file, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_load(s, NULL, &e), LEAT_E_ARG);
    leat_saved_get_info(NULL, &info);
    CHECK(t, !info.length && !*info.k_type);
    leat_saved_close(NULL);
    CHECK_EQ(t, leat_model_hash(NULL), 0);
    leat_session_close(s);
    leat_model_close(m);
    temp_remove(&f);
}

/* ---- damage ---- */

typedef struct image {
    uint8_t *p;
    size_t n;
    leat_model *model;
    leat_session *session; /* to load it into */
} image;

/* A small saved session as bytes. */
static bool image_open(test *t, image *im, const char *arch, size_t n_tokens) {
    leat_token tokens[64];
    leat_error e = {LEAT_OK, ""};
    temp_file f;
    FILE *file = NULL;
    fill_tokens(tokens, n_tokens, N_VOCAB, 6);
    *im = (image){.model = open_spec(t, arch)};
    leat_session *s = open_session(t, im->model, 64, 16, 1);
    im->session = open_session(t, im->model, 64, 16, 1);
    bool ok = s && im->session && temp_make(&f, "session") && !leat_session_eval(s, tokens, n_tokens, &e) &&
              !leat_session_save(s, f.path, "user", 4, &e) && (file = fopen(f.path, "rb"));
    if (ok) {
        im->p = malloc(1 << 20);
        im->n = im->p ? fread(im->p, 1, 1 << 20, file) : 0;
        fclose(file);
        temp_remove(&f);
    }
    leat_session_close(s);
    if (!im->n) TEST_FAIL(t, "no image: %s", e.message);
    return im->n > 0;
}

static void image_close(image *im) {
    free(im->p);
    leat_session_close(im->session);
    leat_model_close(im->model);
}

/* What the public functions do with such bytes, at a place where a read beyond them shows; the status. */
static leat_status judge(test *t, image *im, const uint8_t *p, size_t n, const char *what, size_t where) {
    uint8_t *exact = malloc(n ? n : 1);
    static saved f;
    leat_error e = {LEAT_OK, ""};
    memcpy(exact, p, n);
    leat_status st = saved_parse(exact, n, &f, &e);
    bool parsed = !st;
    if (parsed) st = leat_session_load(im->session, (leat_saved *)(void *)&f, &e);
    if (st != e.code || (st && !*e.message) || (st && (st < 0 || st > 40)))
        TEST_FAIL(t, "%s %zu: status %d, \"%s\"", what, where, st, e.message);
    if (!st) { /* it goes on, or says that its numbers are none */
        leat_token one = 1;
        leat_status next =
            leat_session_length(im->session) < 64 ? leat_session_eval(im->session, &one, 1, &e) : LEAT_OK;
        if (next && next != LEAT_E_NUMERIC) TEST_FAIL(t, "%s %zu: %s", what, where, e.message);
    }
    free(exact);
    return st;
}

static void sign(uint8_t *p, size_t n) {
    hash64 h;
    hash64_begin(&h);
    hash64_add(&h, p, n - SAVED_SUM);
    uint64_t sum = hash64_value(&h);
    memcpy(p + n - SAVED_SUM, &sum, sizeof sum);
}

static void cut_at_every_byte(test *t) {
    image im;
    if (!image_open(t, &im, "llama", 3)) return;
    CHECK_EQ(t, judge(t, &im, im.p, im.n, "whole", im.n), LEAT_OK);
    for (size_t cut = 0; cut < im.n; cut += cut < 1000 ? 1 : 97) {
        leat_status st = judge(t, &im, im.p, cut, "cut at", cut);
        if (st != LEAT_E_TRUNCATED) TEST_FAIL(t, "cut at %zu: status %d", cut, st);
    }
    image_close(&im);
}

static void damage_shows(test *t) {
    image im;
    if (!image_open(t, &im, "llama", 3)) return;
    for (size_t at = 0; at < im.n; at += at < 600 ? 1 : 31) {
        im.p[at] ^= (uint8_t)(1 << at % 8);
        if (!judge(t, &im, im.p, im.n, "bit at", at)) TEST_FAIL(t, "a flipped bit at %zu does not show", at);
        im.p[at] ^= (uint8_t)(1 << at % 8);
    }
    image_close(&im);
}

/* With a checksum that is right, nothing but the checks stands between the numbers and the memory. */
static void lies_with_a_right_sum(test *t) {
    static const char *const archs[] = {"llama", "gemma2", "qwen3next", "deepseek2"};
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      4,
                                      5,
                                      63,
                                      64,
                                      65,
                                      255,
                                      256,
                                      UINT64_C(1) << 31,
                                      UINT32_MAX,
                                      UINT64_C(1) << 32,
                                      UINT64_C(1) << 61,
                                      UINT64_C(1) << 62,
                                      UINT64_C(1) << 63,
                                      UINT64_MAX - 7,
                                      UINT64_MAX};
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        image im;
        size_t accepted = 0;
        if (!image_open(t, &im, archs[a], 5)) return;
        size_t front = SAVED_HEADER + 3 * SAVED_LAYER + 5 * 4;
        uint8_t *copy = malloc(im.n);
        REQUIRE(t, copy);
        for (size_t at = 8; at + 8 < front; at += 4)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++)
                for (size_t width = 4; width <= 8; width += 4) {
                    memcpy(copy, im.p, im.n);
                    memcpy(copy + at, &values[v], width);
                    sign(copy, im.n);
                    accepted += !judge(t, &im, copy, im.n, archs[a], at);
                }
        CHECK(t, accepted > 20); /* the zeros that nobody reads, tokens */
        free(copy);
        image_close(&im);
    }
}

static void hash_is_xxh64(test *t) {
    static const struct {
        const char *text;
        uint64_t value;
    } known[] = {{"", UINT64_C(0xEF46DB3751D8E999)},
                 {"a", UINT64_C(0xD24EC4F1A98C6E5B)},
                 {"abc", UINT64_C(0x44BC2CF5AD770999)},
                 {"Nobody inspects the spammish repetition", UINT64_C(0xFBCEA83C8A378BF1)}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        hash64 h;
        size_t n = strlen(known[i].text);
        for (size_t step = 1; step <= n + 1; step++) {
            hash64_begin(&h);
            for (size_t at = 0; at < n; at += step)
                hash64_add(&h, known[i].text + at, n - at < step ? n - at : step);
            if (hash64_value(&h) != known[i].value)
                TEST_FAIL(t, "\"%s\" in pieces of %zu: %llx", known[i].text, step,
                          (unsigned long long)hash64_value(&h));
        }
    }
}

#define TESTS(X)                                                                                             \
    X(every_architecture_goes_on)                                                                            \
    X(every_type_goes_on)                                                                                    \
    X(windows_fit_other_contexts)                                                                            \
    X(what_does_not_fit_is_refused)                                                                          \
    X(other_rotations_are_refused)                                                                           \
    X(info_and_user_bytes) X(cut_at_every_byte) X(damage_shows) X(lies_with_a_right_sum) X(hash_is_xxh64)
TEST_SUITE(TESTS)
