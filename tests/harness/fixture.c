/* Temporary files, random models and sessions for tests; see fixture.h. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

bool temp_make(temp_file *f, const char *name) {
    const char *base = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/leat-test-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    if (!mkdtemp(f->dir)) return false;
    snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
    return true;
}

void temp_remove(const temp_file *f) {
    unlink(f->path);
    rmdir(f->dir);
}

leat_model *open_random(test *t, const random_model *m, const char *isa) {
    temp_file f;
    leat_error e = {LEAT_OK, ""};
    leat_model *model = NULL;
    leat_model_params p;
    if (!temp_make(&f, "random.gguf")) {
        TEST_FAIL(t, "no temporary folder");
        return NULL;
    }
    leat_model_params_default(&p);
    p.isa = isa;
    if (random_model_write(m, f.path, &e) || leat_model_open(f.path, &p, &model, &e))
        TEST_FAIL(t, "%s", e.message);
    temp_remove(&f);
    return model;
}

leat_session *open_session(test *t, leat_model *m, uint32_t n_ctx, uint32_t n_batch, uint32_t n_threads) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = n_ctx;
    p.n_batch = n_batch;
    p.n_threads = n_threads;
    if (m && leat_session_open(m, &p, &s, &e)) TEST_FAIL(t, "%s", e.message);
    return s;
}

void fill_tokens(leat_token *tokens, size_t n, uint32_t n_vocab, uint32_t seed) {
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        tokens[i] = (leat_token)((x >> 8) % n_vocab);
    }
}

double relative_error(const float *a, const float *b, size_t n) {
    double d = 0.0, s = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) return INFINITY;
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
    }
    return sqrt(d / (s > 0.0 ? s : 1.0));
}

const char *golden_path(const char *name, char out[512]) {
    snprintf(out, 512, "%s/../shared/%s", LEAT_SOURCE_ROOT, name);
    return access(out, R_OK) ? NULL : out;
}
