/* Importance matrices: what is collected against a reference in double precision, on every architecture; the
 * same bits for any number of threads; written, read and merged; broken files; statistics against sums by
 * hand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/formats.h"
#include "reference.h"
#include "runtime/quantize/imatrix.h"
#include "tests/harness/fixture.h"
#include "tests/loader/gguf_build.h"

enum { N = 40, CHUNK = 20 };

static leat_imatrix *collect(test *t, leat_model *model, const leat_token *tokens, size_t n, uint32_t n_ctx,
                             uint32_t n_batch, uint32_t n_threads) {
    leat_imatrix *m = NULL;
    leat_imatrix_params p;
    leat_error e = {LEAT_OK, ""};
    leat_imatrix_params_default(&p);
    p.n_ctx = n_ctx;
    p.n_batch = n_batch;
    p.n_threads = n_threads;
    p.dataset = "some.txt";
    CHECK_EQ(t, leat_imatrix_open(&m, &e), LEAT_OK);
    if (leat_imatrix_collect(m, model, tokens, n, &p, &e)) TEST_FAIL(t, "%s", e.message);
    return m;
}

/* ---- what is collected ---- */

/* Largest error of a tensor's means, of each matrix relative to the length of its own. */
static double worst_mean(const imatrix_entry *x, const reference_input *want) {
    double worst = 0;
    for (size_t mat = 0; mat < x->n_count; mat++) {
        double error = 0, length = 0;
        if (x->n_count > 1 && (x->counts[mat] > 0) != (want->counts[mat] > 0)) return INFINITY;
        if (!(want->counts[mat] > 0)) continue;
        for (size_t c = 0; c < want->cols; c++) {
            double a = x->sums[mat * want->cols + c] / x->counts[mat],
                   b = want->sums[mat * want->cols + c] / want->counts[mat];
            error += (a - b) * (a - b), length += b * b;
        }
        worst = fmax(worst, sqrt(error / length));
    }
    return worst;
}

static void check_arch(test *t, const arch_spec *spec) {
    static reference_inputs want;
    random_model shape = random_model_of(spec, FORMAT_F32);
    temp_file file;
    leat_token tokens[N];
    leat_model *model = NULL;
    size_t n_vocab, n_checked = 0;
    leat_error e = {LEAT_OK, ""};
    if (!temp_make(&file, "m.gguf") || random_model_write(&shape, file.path, &e) ||
        leat_model_open(file.path, NULL, &model, &e)) {
        TEST_FAIL(t, "%s: %s", spec->arch, e.message);
        return;
    }
    fill_tokens(tokens, N, shape.n_vocab, 7);
    if (leat_token_add_bos(model)) tokens[0] = leat_token_bos(model);
    reference_watch(&want);
    free(reference_logits_of(file.path, spec, tokens, N, N, &n_vocab));
    reference_watch(NULL);
    leat_imatrix *m = collect(t, model, tokens, N, N, 16, 2);
    for (size_t i = 0; i < want.n; i++) {
        const reference_input *w = &want.of[i];
        const imatrix_entry *x = imatrix_find(m, w->name, strlen(w->name));
        double used = 0;
        for (size_t k = 0; k < w->n_mat; k++) used += w->counts[k];
        if (!(used > 0)) continue;              /* a norm, a bias, a table */
        if (strstr(w->name, "altup")) continue; /* never quantized */
        if (!x || x->n != w->n_mat * w->cols) {
            TEST_FAIL(t, "%s: nothing, or of another size, about %s", spec->arch, w->name);
            continue;
        }
        double error = worst_mean(x, w);
        n_checked++;
        /* gemma3n doubles rounding from layer to layer */
        if (!(error < (strcmp(spec->arch, "gemma3n") ? 2e-3 : 1e-2)))
            TEST_FAIL(t, "%s: %s is off by %g", spec->arch, w->name, error);
    }
    if (n_checked < 2 * leat_imatrix_count(m) / 3)
        TEST_FAIL(t, "%s: %zu of %zu were checked", spec->arch, n_checked, leat_imatrix_count(m));
    reference_inputs_free(&want);
    leat_imatrix_close(m);
    leat_model_close(model);
    temp_remove(&file);
}

static void agrees_with_reference(test *t) {
    for (const arch_spec *spec = arch_specs; spec->arch; spec++) check_arch(t, spec);
}

static bool same(const leat_imatrix *a, const leat_imatrix *b) {
    if (a->n_entries != b->n_entries || a->n_chunks != b->n_chunks) return false;
    for (size_t i = 0; i < a->n_entries; i++) {
        const imatrix_entry *x = &a->entries[i], *y = &b->entries[i];
        if (strcmp(x->name, y->name) || x->n != y->n || x->n_count != y->n_count ||
            memcmp(x->sums, y->sums, x->n * sizeof *x->sums) ||
            memcmp(x->counts, y->counts, x->n_count * sizeof *x->counts))
            return false;
    }
    return true;
}

static leat_model *open_spec(test *t, const char *arch) {
    const arch_spec *spec = arch_specs;
    while (spec->arch && strcmp(spec->arch, arch)) spec++;
    random_model shape = random_model_of(spec, FORMAT_F32);
    return open_random(t, &shape, NULL);
}

static void threads_make_no_difference(test *t) {
    static const char *const archs[] = {"llama", "qwen3moe", "deepseek2"};
    leat_token tokens[101];
    fill_tokens(tokens, 101, 300, 3);
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        leat_model *model = open_spec(t, archs[i]);
        leat_imatrix *one = collect(t, model, tokens, 101, CHUNK, CHUNK, 1);
        CHECK_EQ(t, leat_imatrix_chunks(one), 5);
        for (uint32_t n = 2; n < 8; n += 3) {
            leat_imatrix *more = collect(t, model, tokens, 101, CHUNK, CHUNK, n);
            if (!same(one, more)) TEST_FAIL(t, "%s: %u threads give other sums", archs[i], n);
            leat_imatrix_close(more);
        }
        leat_imatrix_close(one);
        leat_model_close(model);
    }
}

/* ---- files ---- */

static void files_come_back(test *t) {
    temp_file file;
    leat_token tokens[N];
    leat_imatrix *back = NULL, *twice = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_model *model = open_spec(t, "qwen3moe");
    fill_tokens(tokens, N, 300, 5);
    leat_imatrix *m = collect(t, model, tokens, N, CHUNK, CHUNK, 2);
    CHECK(t, temp_make(&file, "i.gguf"));
    CHECK_EQ(t, leat_imatrix_save(m, file.path, &e), LEAT_OK);
    leat_imatrix_open(&back, &e), leat_imatrix_open(&twice, &e);
    for (int i = 0; i < 3; i++)
        if (leat_imatrix_merge(i ? twice : back, file.path, &e)) TEST_FAIL(t, "%s", e.message);
    CHECK_EQ(t, leat_imatrix_count(back), leat_imatrix_count(m));
    CHECK(t, leat_imatrix_chunks(back) == 2 && leat_imatrix_chunks(twice) == 4 && back->chunk_size == CHUNK);
    CHECK(t, back->n_datasets == 1 && twice->n_datasets == 2 && !strcmp(back->datasets[0], "some.txt"));
    for (size_t i = 0; i < back->n_entries; i++) {
        const imatrix_entry *x = &m->entries[i], *y = &back->entries[i], *z = &twice->entries[i];
        CHECK(t, !strcmp(x->name, y->name) && x->n == y->n && x->n_count == y->n_count);
        for (size_t k = 0; k < x->n; k++)
            if ((float)x->sums[k] != (float)y->sums[k] || z->sums[k] != 2 * y->sums[k])
                TEST_FAIL(t, "%s: sum %zu is %g, %g and %g", x->name, k, x->sums[k], y->sums[k], z->sums[k]);
        for (size_t k = 0; k < x->n_count; k++)
            CHECK(t, x->counts[k] == y->counts[k] && z->counts[k] == 2 * y->counts[k]);
    }
    /* a matrix for each expert, with a count that says how many tokens chose it */
    const imatrix_entry *up = imatrix_find(m, "blk.0.ffn_up_exps.weight", 24);
    double sum = 0;
    CHECK(t, up && up->n_count > 1);
    for (size_t k = 0; up && k < up->n_count; k++) sum += up->counts[k];
    const imatrix_entry *router = imatrix_find(m, "blk.0.ffn_gate_inp.weight", 25);
    CHECK(t, router && router->counts[0] == N && sum > N);
    leat_imatrix_close(m), leat_imatrix_close(back), leat_imatrix_close(twice);
    leat_model_close(model);
    temp_remove(&file);
}

/* A file as llama.cpp writes it, with what we don't write: sums of the inputs themselves. */
static void save_made(test *t, const char *path, const float *sums, size_t n, const float *counts,
                      size_t n_count) {
    build *b = build_open();
    build_str(b, "general.type", "imatrix");
    build_str_array(b, "imatrix.datasets", (const char *const[]){"a.txt", "b.txt"}, 2);
    build_u32(b, "imatrix.chunk_count", 7);
    build_u32(b, "imatrix.chunk_size", 64);
    build_tensor(b, "blk.0.x.weight.in_sum2", FORMAT_F32, n / n_count, n_count, sums);
    build_tensor(b, "blk.0.x.weight.counts", FORMAT_F32, 1, n_count, counts);
    build_tensor(b, "blk.0.x.weight.in_sum", FORMAT_F32, n / n_count, n_count, sums);
    CHECK(t, build_save(b, path));
    build_close(b);
}

static void others_files_are_read(test *t) {
    static const float sums[8] = {8, 6, 4, 2, 1, 1, 0, 0}, counts[2] = {2, 0}, one[1] = {4};
    temp_file file;
    leat_imatrix *m = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_imatrix_entry x;
    leat_imatrix_open(&m, &e);
    CHECK(t, temp_make(&file, "i.gguf"));
    save_made(t, file.path, sums, 8, one, 1);
    CHECK_EQ(t, leat_imatrix_merge(m, file.path, &e), LEAT_OK);
    CHECK_EQ(t, leat_imatrix_get(m, 0, &x), LEAT_OK);
    CHECK(t, x.n_values == 8 && x.n_experts == 1 && x.count == 4 && x.sum == 5.5 && x.max == 2);
    CHECK(t, leat_imatrix_chunks(m) == 7 && m->n_datasets == 2 && leat_imatrix_count(m) == 1);
    /* one count meets one for each expert */
    save_made(t, file.path, sums, 8, counts, 2);
    CHECK_EQ(t, leat_imatrix_merge(m, file.path, &e), LEAT_OK);
    CHECK(t, m->entries[0].n_count == 2 && m->entries[0].counts[0] == 6 && m->entries[0].counts[1] == 4);
    /* of another model: refused, and nothing has changed */
    save_made(t, file.path, sums, 6, counts, 2);
    CHECK_EQ(t, leat_imatrix_merge(m, file.path, &e), LEAT_E_TENSOR);
    CHECK(t,
          strstr(e.message, "blk.0.x.weight") != NULL && m->entries[0].counts[0] == 6 && m->n_chunks == 14);
    static const float bad[8] = {8, NAN, 4, 2, 1, 1, 0, 0};
    save_made(t, file.path, bad, 8, counts, 2);
    CHECK_EQ(t, leat_imatrix_merge(m, file.path, &e), LEAT_E_NUMERIC);
    CHECK_EQ(t, leat_imatrix_get(m, 1, &x), LEAT_E_ARG);
    leat_imatrix_close(m);
    temp_remove(&file);
}

static void statistics_are_right(test *t) {
    leat_imatrix *m = NULL;
    imatrix_entry *x = NULL, *y = NULL;
    leat_imatrix_entry s;
    leat_error e = {LEAT_OK, ""};
    leat_imatrix_open(&m, &e);
    imatrix_get(m, (str){"blk.10.x.weight", 15}, 4, 1, &x, &e);
    memcpy(x->sums, (double[]){2, 2, 4, 8}, 4 * sizeof(double));
    x->counts[0] = 2; /* means 1 1 2 4 */
    imatrix_get(m, (str){"blk.9.x.weight", 14}, 4, 1, &y, &e);
    memcpy(y->sums, (double[]){0, 0, 0, 3}, 4 * sizeof(double));
    y->counts[0] = 1;
    CHECK_EQ(t, leat_imatrix_get(m, 0, &s), LEAT_OK);
    CHECK(t, s.layer == 10 && s.sum == 8 && s.min == 1 && s.max == 4 && s.mean == 2 && s.active == 1);
    CHECK(t, fabs(s.deviation - sqrt(1.5)) < 1e-12 && s.zd_score == 0.25);
    CHECK(t, fabs(s.entropy - (2 * 0.125 * 3 + 0.25 * 2 + 0.5)) < 1e-12);
    CHECK(t, fabs(s.cosine - 4 / sqrt(22)) < 1e-12);
    CHECK_EQ(t, leat_imatrix_get(m, 1, &s), LEAT_OK);
    CHECK(t, s.layer == 9 && isnan(s.cosine) && s.active == 0.25 && s.entropy == 0);
    leat_imatrix_close(m);
}

static bool stop_after_two(void *user, size_t done, size_t total) {
    (void)user, (void)total;
    return done < 2;
}

static void stops_between_chunks(test *t) {
    leat_token tokens[100];
    leat_imatrix *m = NULL;
    leat_imatrix_params p;
    leat_error e = {LEAT_OK, ""};
    leat_model *model = open_spec(t, "llama");
    fill_tokens(tokens, 100, 300, 3);
    leat_imatrix_params_default(&p);
    p.n_ctx = CHUNK;
    p.progress = stop_after_two;
    leat_imatrix_open(&m, &e);
    CHECK_EQ(t, leat_imatrix_save(m, "/nowhere/at/all", &e), LEAT_E_STATE);
    CHECK_EQ(t, leat_imatrix_collect(m, model, tokens, 100, &p, &e), LEAT_E_CANCELLED);
    leat_imatrix *first = collect(t, model, tokens, 2 * CHUNK, CHUNK, CHUNK, 1);
    CHECK(t, same(m, first)); /* whole chunks, and all of them */
    p.progress = NULL;
    p.first_chunk = 5;
    CHECK_EQ(t, leat_imatrix_collect(m, model, tokens, 100, &p, &e), LEAT_E_ARG);
    p.first_chunk = SIZE_MAX;
    CHECK_EQ(t, leat_imatrix_collect(m, model, tokens, 100, &p, &e), LEAT_E_ARG);
    p.first_chunk = 0;
    p.max_chunks = 1;
    CHECK_EQ(t, leat_imatrix_collect(m, model, tokens, 100, &p, &e), LEAT_OK);
    CHECK(t, m->n_chunks == 3 && m->entries[0].counts[0] == 3 * CHUNK);
    /* less than a chunk is used as it is; a token out of range is the session's error */
    CHECK_EQ(t, leat_imatrix_collect(m, model, tokens, 7, &p, &e), LEAT_OK);
    CHECK(t, m->entries[0].counts[0] == 3 * CHUNK + 7);
    tokens[3] = 1 << 20;
    CHECK_EQ(t, leat_imatrix_collect(m, model, tokens, 100, &p, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_imatrix_collect(NULL, model, tokens, 100, &p, &e), LEAT_E_ARG);
    leat_imatrix_close(m), leat_imatrix_close(first);
    leat_model_close(model);
}

#define TESTS(X)                                                                                             \
    X(agrees_with_reference)                                                                                 \
    X(threads_make_no_difference)                                                                            \
    X(files_come_back)                                                                                       \
    X(others_files_are_read)                                                                                 \
    X(statistics_are_right)                                                                                  \
    X(stops_between_chunks)
TEST_SUITE(TESTS)
