/* Conversion of Hugging Face folders: every architecture there and back (tests/harness/hf_folder.h), types,
 * what is refused, and the folder of golden data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "loader/file.h"
#include "tests/harness/fixture.h"
#include "tests/harness/hf_folder.h"
#include "tests/loader/folder.h"

static bool can_convert(const char *arch) {
    const char *name;
    for (size_t i = 0; (name = leat_convert_architecture(i)); i++)
        if (!strcmp(name, arch)) return true;
    return false;
}

/* Keys that folders have no place for, or whose value in models differs from what random ones have. */
static bool is_lost(str key) {
    static const char *const list[] = {
        "tokenizer.ggml.",
        "general.name",
        "deepseek2.expert_shared_feed_forward_length", /* follows from the others */
        "granitemoe.expert_shared_count",
        "granitehybrid.expert_shared_count",
        "granitehybrid.context_length", /* without positions there is no end */
        "mamba2.context_length",
        "mamba2.attention.key_length", /* there is no attention */
        "mamba2.attention.value_length",
        "mamba2.rope.",
        "bert.rope.", /* positions are learned */
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (key.n >= strlen(list[i]) && !memcmp(key.p, list[i], strlen(list[i]))) return true;
    return false;
}

static bool ends_with(str s, const char *end) {
    return s.n >= strlen(end) && !memcmp(s.p + s.n - strlen(end), end, strlen(end));
}

/* Is the value what models have without the key: whole heads rotated, heads that divide the width? */
static bool is_default(const gguf *g, const gguf_kv *kv) {
    uint64_t dim = 0, heads = 0, width = 0, ff = 0;
    for (size_t i = 0; i < g->n_kv; i++) {
        if (ends_with(g->kv[i].key, ".attention.key_length")) dim = gguf_kv_u64(&g->kv[i], 0);
        if (ends_with(g->kv[i].key, ".attention.head_count")) heads = gguf_kv_u64(&g->kv[i], 0);
        if (ends_with(g->kv[i].key, "feed_forward_length")) ff = gguf_kv_u64(&g->kv[i], 0);
        if (ends_with(g->kv[i].key, ".embedding_length")) width = gguf_kv_u64(&g->kv[i], 0);
    }
    if (ends_with(kv->key, ".expert_feed_forward_length")) return gguf_kv_u64(kv, 0) == ff;
    if (ends_with(kv->key, ".rope.dimension_count")) return gguf_kv_u64(kv, 0) == dim;
    if (ends_with(kv->key, ".attention.key_length") || ends_with(kv->key, ".attention.value_length"))
        return heads && gguf_kv_u64(kv, 0) * heads == width;
    return false;
}

static bool same_numbers(const gguf_kv *a, const gguf_kv *b) {
    if (b->count != a->count) return a->count == 1 || b->count == 1;
    for (uint64_t i = 0; i < a->count; i++) {
        double x = a->elem_type == GGUF_F32 ? gguf_kv_f64(a, i) : (double)gguf_kv_u64(a, i);
        double y = b->elem_type == GGUF_F32 ? gguf_kv_f64(b, i) : (double)gguf_kv_u64(b, i);
        if (fabs(x - y) > 1e-6 * fabs(x)) return false;
    }
    return true;
}

static void compare_keys(test *t, const char *what, const gguf *a, const gguf *b) {
    for (size_t i = 0; i < a->n_kv; i++) {
        const gguf_kv *x = &a->kv[i];
        char key[160];
        snprintf(key, sizeof key, "%.*s", (int)x->key.n, x->key.p);
        if (is_lost(x->key) || x->elem_type == GGUF_STRING) continue;
        const gguf_kv *y = gguf_find(b, key);
        if (!y && is_default(a, x)) continue;
        if (!y || !same_numbers(x, y)) TEST_FAIL(t, "%s: %s is %s", what, key, y ? "another" : "missing");
    }
}

/* float32 tensors: the same bytes, but where logarithms were taken. */
static void compare_tensors(test *t, const char *what, const gguf *a, const gguf *b) {
    /* Gemma 4's folders imply divisors, which are 1 here */
    bool divisors = !gguf_find_tensor(a, "rope_freqs.weight") && gguf_find_tensor(b, "rope_freqs.weight");
    if (a->n_tensors + divisors != b->n_tensors)
        TEST_FAIL(t, "%s: %zu tensors became %zu", what, a->n_tensors, b->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const gguf_tensor *x = &a->tensors[i];
        char name[160];
        snprintf(name, sizeof name, "%.*s", (int)x->name.n, x->name.p);
        const gguf_tensor *y = gguf_find_tensor(b, name);
        bool shape = y && !memcmp(x->ne, y->ne, sizeof x->ne) && y->format == FORMAT_F32;
        if (!shape) {
            TEST_FAIL(t, "%s: %s is %s", what, name, y ? "of another shape or type" : "missing");
            continue;
        }
        const float *p = (const float *)(const void *)x->data, *q = (const float *)(const void *)y->data;
        bool is_log = strstr(name, "ssm_a") != NULL;
        size_t n = x->bytes / 4, k = 0;
        while (k < n && (is_log ? fabsf(p[k] - q[k]) <= 1e-6f * fabsf(p[k]) : p[k] == q[k])) k++;
        if (k < n)
            TEST_FAIL(t, "%s: %s differs at %zu: %g, not %g", what, name, k, (double)q[k], (double)p[k]);
    }
}

/* Logits or, where `embeds`, the vector of a text as the model itself pools it. To be freed; NULL: failed. */
static float *results_of(const char *path, bool embeds, size_t *width, leat_error *e) {
    static const leat_token tokens[] = {1, 30, 277, 5, 280, 130, 261, 290, 44, 45, 299, 150};
    const size_t n = sizeof tokens / sizeof *tokens;
    leat_model *m = NULL;
    leat_session *s = NULL;
    leat_embedder *em = NULL;
    leat_session_params p;
    leat_embed_params q;
    leat_model_info info;
    float *out = NULL;
    leat_session_params_default(&p);
    leat_embed_params_default(&q);
    p.n_ctx = q.n_ctx = 32;
    p.n_threads = q.n_threads = 1;
    if (leat_model_open(path, NULL, &m, e)) return NULL;
    leat_model_get_info(m, &info);
    *width = info.n_vocab;
    if (embeds && !leat_embedder_open(m, &q, &em, e)) {
        *width = leat_embedder_dims(em);
        out = calloc(*width, sizeof *out);
        if (out && leat_embed(em, tokens, &n, 1, out, NULL, NULL, e)) free(out), out = NULL;
    } else if (!embeds && !leat_session_open(m, &p, &s, e) && !leat_session_eval(s, tokens, n, e)) {
        out = calloc(*width, sizeof *out);
        if (out) memcpy(out, leat_session_logits(s, 0), *width * sizeof *out);
    }
    leat_embedder_close(em);
    leat_session_close(s);
    leat_model_close(m);
    return out;
}

/* Both files run, to the same result. */
static void compare_results(test *t, const char *what, const char *from, const char *to, bool embeds) {
    size_t n = 0, m = 0;
    leat_error e = {LEAT_OK, ""};
    float *a = results_of(from, embeds, &n, &e), *b = results_of(to, embeds, &m, &e);
    double error = a && b && n == m ? relative_error(b, a, n) : INFINITY;
    if (!(error < 1e-6))
        TEST_FAIL(t, "%s: results differ by %g (%zu and %zu values) %s", what, error, n, m, e.message);
    free(a);
    free(b);
}

static void there_and_back(test *t, const arch_spec *specs, bool embeds, size_t least) {
    size_t n = 0;
    for (const arch_spec *s = specs; s->arch; s++) {
        char what[80];
        folder f;
        leat_error e = {LEAT_OK, ""};
        model_file *a = NULL, *b = NULL;
        random_model m = random_model_of(s, FORMAT_F32);
        /* real ones have as many heads for keys as for queries */
        if (!strcmp(s->arch, "gpt2") || !strcmp(s->arch, "gptneox")) m.n_head_kv = m.n_head;
        if (!strcmp(s->arch, "starcoder")) m.n_head_kv = 1;
        snprintf(what, sizeof what, "%s %s", s->arch, s->variant ? s->variant : "");
        /* keys and values not split into k_b and v_b are of old files: no conversion makes them */
        if (!can_convert(s->arch) || (s->latent && !s->absorbed)) continue;
        REQUIRE(t, folder_make(&f));
        const char *from = folder_file(&f, "a.gguf"), *to = folder_file(&f, "b.gguf");
        if (random_model_write(&m, from, &e) || !hf_write(from, s, f.path, n % 3 + 1))
            TEST_FAIL(t, "%s: no folder %s", what, e.message);
        else if (leat_convert(f.path, to, NULL, &e))
            TEST_FAIL(t, "%s: %s", what, e.message);
        else if (file_open(from, &a, &e) || file_open(to, &b, &e))
            TEST_FAIL(t, "%s: %s", what, e.message);
        else {
            compare_keys(t, what, file_gguf(a), file_gguf(b));
            compare_tensors(t, what, file_gguf(a), file_gguf(b));
            /* folders of LongRoPE imply a factor on attention that the random model has not */
            if (!s->long_factors) compare_results(t, what, from, to, embeds);
            n++;
        }
        file_close(a);
        file_close(b);
        folder_remove(&f);
    }
    CHECK(t, n >= least);
}

static void texts(test *t) {
    there_and_back(t, arch_specs, false, 70);
}

static void vectors(test *t) {
    there_and_back(t, embed_specs, true, 15);
}

/* The file made of the folder of a spec's model, with `to` in the place of `from` in its config.json. */
static model_file *converted_with(test *t, const char *arch, const char *variant, const char *from,
                                  const char *to, folder *f) {
    const arch_spec *s = arch_specs;
    leat_error e = {LEAT_OK, ""};
    model_file *file = NULL;
    char text[8192];
    size_t n = 0;
    while (s->arch && (strcmp(s->arch, arch) != 0 || s->variant != variant)) s++;
    random_model m = random_model_of(s, FORMAT_F32);
    const char *a = folder_file(f, "a.gguf"), *config = folder_file(f, "config.json");
    bool good = s->arch && !random_model_write(&m, a, &e) && hf_write(a, s, f->path, 1);
    unsigned char *old = good ? file_get(config, &n) : NULL;
    char *at = old && n < sizeof text - 200 ? (memcpy(text, old, n), text[n] = 0, strstr(text, from)) : NULL;
    free(old);
    if (at) {
        memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
        memcpy(at, to, strlen(to));
        good = file_put(config, text, strlen(text));
    }
    if (!good || !at || leat_convert(f->path, folder_file(f, "b.gguf"), NULL, &e) ||
        file_open(folder_file(f, "b.gguf"), &file, &e))
        TEST_FAIL(t, "%s: %s", arch, e.message);
    return file;
}

static const float *values_of(const model_file *file, const char *name, uint64_t cols, uint64_t rows) {
    const gguf_tensor *x = file ? gguf_find_tensor(file_gguf(file), name) : NULL;
    return x && x->format == FORMAT_F32 && x->ne[0] == cols && x->n_rows == rows
               ? (const float *)(const void *)x->data
               : NULL;
}

/* What numbers of config.json alone imply. */
static void implied(test *t) {
    folder f;
    REQUIRE(t, folder_make(&f));
    /* Baichuan 2, known by its vocabulary: rows of the output have length 1 */
    model_file *file =
        converted_with(t, "baichuan", NULL, "\"torch_dtype\"", "\"vocab_size\":125696,\"x\"", &f);
    const float *x = values_of(file, "output.weight", 64, 300);
    CHECK(t, x);
    for (size_t r = 0; x && r < 300; r++) {
        double sum = 0;
        for (size_t c = 0; c < 64; c++) sum += (double)x[r * 64 + c] * (double)x[r * 64 + c];
        CHECK(t, fabs(sum - 1) < 1e-5);
    }
    file_close(file);
    folder_remove(&f);
    REQUIRE(t, folder_make(&f));
    /* Gemma 3n: places of images in the vocabulary have no rows in the folder */
    file = converted_with(t, "gemma3n", NULL, "\"torch_dtype\"", "\"vocab_size\":310,\"x\"", &f);
    x = values_of(file, "token_embd.weight", 64, 310);
    CHECK(t, x && x[64 * 299] != 0);
    for (size_t i = 64 * 300; x && i < 64 * 310; i++) CHECK(t, x[i] == 0);
    x = values_of(file, "per_layer_token_embd.weight", 25 * ALTUP_INPUT, 310);
    CHECK(t, x && x[300 * 25 * ALTUP_INPUT - 1] != 0 && x[300 * 25 * ALTUP_INPUT] == 0);
    file_close(file);
    folder_remove(&f);
    REQUIRE(t, folder_make(&f));
    /* Gemma 4: only the first quarter of the pairs of a long head is rotated */
    file = converted_with(t, "gemma4", NULL, "\"partial_rotary_factor\":1,\"rope_theta\"",
                          "\"partial_rotary_factor\":0.25,\"rope_theta\"", &f);
    x = values_of(file, "rope_freqs.weight", 8, 1);
    CHECK(t, x);
    for (size_t i = 0; x && i < 8; i++) CHECK(t, x[i] == (i < 2 ? 1.0f : 1e30f));
    file_close(file);
    folder_remove(&f);
}

/* What runs can be converted. */
static void all_architectures(test *t) {
    const char *name;
    for (size_t i = 0; (name = leat_architecture(i)); i++)
        if (!can_convert(name)) TEST_FAIL(t, "%s can't be converted", name);
}

#define TESTS(X) X(texts) X(vectors) X(implied) X(all_architectures)
TEST_SUITE(TESTS)
