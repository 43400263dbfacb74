/* Logits of every golden model (../shared/arch) whose architecture archs.def has, on every ISA, in batches of
 * 1, 7 and 35, against those of an independent implementation in float32. Finds its cases by listing the
 * folder. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>

#include "tests/harness/fixture.h"

enum { TOKENS_MAX = 64 };

static float *read_floats(const char *path, size_t n) {
    FILE *f = fopen(path, "rb");
    float *p = malloc(n * sizeof *p);
    if (f && p && fread(p, sizeof *p, n, f) != n) {
        free(p);
        p = NULL;
    }
    if (f) fclose(f);
    return p;
}

static size_t read_prompt(leat_token *tokens) {
    char path[512];
    size_t n = 0;
    FILE *f = golden_path("arch/prompt-ids.txt", path) ? fopen(path, "r") : NULL;
    while (f && n < TOKENS_MAX && fscanf(f, "%d%*[, \n]", &tokens[n]) == 1) n++;
    if (f) fclose(f);
    return n;
}

static double worst(test *t, leat_model *m, const leat_token *tokens, size_t n, uint32_t batch,
                    const float *want, size_t n_vocab) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    double max = 0.0;
    leat_session_params_default(&p);
    p.n_batch = batch;
    p.n_threads = 2;
    p.k_type = p.v_type = LEAT_KV_F32;
    p.logits_all = true;
    if (leat_session_open(m, &p, &s, &e)) TEST_FAIL(t, "%s", e.message);
    for (size_t done = 0; s && done < n;) {
        size_t step = n - done < batch ? n - done : batch;
        if (leat_session_eval(s, tokens + done, step, &e)) {
            TEST_FAIL(t, "%s", e.message);
            break;
        }
        for (size_t i = 0; i < step; i++) {
            const float *got = leat_session_logits(s, step - 1 - i);
            for (size_t v = 0; v < n_vocab; v++) {
                double d = fabs((double)got[v] - want[(done + i) * n_vocab + v]);
                if (!(d <= max)) max = d;
            }
        }
        done += step;
    }
    leat_session_close(s);
    return s ? max : INFINITY;
}

/* The independent implementation's own noise is about 1e-5, but where it looks GELU up in half precision. */
static double bound_of(const char *architecture) {
    static const char *const gelu[] = {"gemma", "gpt2", "gptneox", "phi2", "starcoder2"};
    for (size_t i = 0; i < sizeof gelu / sizeof *gelu; i++)
        if (!strncmp(architecture, gelu[i], strlen(gelu[i]))) return 8e-3;
    return 5e-4;
}

static void check_model(test *t, const char *name, const leat_token *tokens, size_t n, size_t *checked) {
    static const uint32_t batches[] = {1, 7, 35};
    char path[512], file[128];
    leat_error e = {LEAT_OK, ""};
    for (size_t isa = 0; leat_isa(isa); isa++) {
        leat_model *m = NULL;
        leat_model_params mp;
        leat_model_info info;
        leat_model_params_default(&mp);
        mp.isa = leat_isa(isa);
        snprintf(file, sizeof file, "arch/%s.gguf", name);
        leat_status st = leat_model_open(golden_path(file, path), &mp, &m, &e);
        if (st == LEAT_E_ARCH || st == LEAT_E_UNSUPPORTED) return;
        if (st) {
            TEST_FAIL(t, "%s: %s", name, e.message);
            return;
        }
        leat_model_get_info(m, &info);
        snprintf(file, sizeof file, "arch/%s.logits.f32", name);
        float *want = golden_path(file, path) ? read_floats(path, n * info.n_vocab) : NULL;
        if (!want) TEST_FAIL(t, "%s: no logits", name);
        for (size_t b = 0; want && b < sizeof batches / sizeof *batches; b++) {
            double max = worst(t, m, tokens, n, batches[b], want, info.n_vocab);
            if (!(max < bound_of(info.architecture)))
                TEST_FAIL(t, "%s on %s in batches of %u: max difference %g", name, info.isa, batches[b], max);
            ++*checked;
        }
        free(want);
        leat_model_close(m);
    }
}

static void golden_logits(test *t) {
    leat_token tokens[TOKENS_MAX];
    char path[512];
    size_t n = read_prompt(tokens), checked = 0;
    if (!golden_path("arch", path)) SKIP(t, "no golden models beside this checkout");
    REQUIRE(t, n == 35);
    DIR *dir = opendir(path);
    REQUIRE(t, dir);
    for (struct dirent *d; (d = readdir(dir));) {
        size_t length = strlen(d->d_name);
        char name[64];
        if (length < 6 || length > sizeof name || strcmp(d->d_name + length - 5, ".gguf")) continue;
        snprintf(name, sizeof name, "%.*s", (int)length - 5, d->d_name);
        check_model(t, name, tokens, n, &checked);
    }
    closedir(dir);
    CHECK(t, checked > 0);
}

#define TESTS(X) X(golden_logits)
TEST_SUITE(TESTS)
