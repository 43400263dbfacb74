/* `leat perplexity` and `leat compare` against what their definitions say, worked out here in double
 * precision from `leat logits`; tasks against a whole evaluation of every answer; files that are broken.
 * Works with small random models of its own. */
#include <math.h>
#include <stdlib.h>

#include "kernels/formats.h"

#include "json_check.h"
#include "program.h"
#include "tests/harness/fixture.h"

enum { N_VOCAB = 300, TOKENS_MAX = 600, ARGUMENTS = 8192 };

typedef struct subject {
    temp_file model; /* F32 */
    char quantized[128], text[128], file[128], list[128];
    leat_token tokens[TOKENS_MAX]; /* of the text, with BOS */
    size_t n_tokens;
} subject;

static bool write_file(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    bool good = f && fwrite(bytes, 1, n, f) == n;
    if (f && fclose(f)) good = false;
    return good;
}

/* n words of letters; the same for the same state. */
static size_t words(char *out, size_t n, uint32_t *state) {
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (i) out[used++] = ' ';
        for (size_t k = 0; k < 2 + i % 5; k++) {
            *state = *state * 1664525u + 1013904223u;
            out[used++] = (char)('a' + (*state >> 24) % 26);
        }
    }
    out[used] = 0;
    return used;
}

static leat_model *open_model(test *t, const char *path) {
    leat_model *m = NULL;
    leat_error e;
    if (leat_model_open(path, NULL, &m, &e)) TEST_FAIL(t, "%s", e.message);
    return m;
}

static bool subject_open(test *t, subject *s) {
    random_model shape = random_model_small(FORMAT_F32);
    char text[2048];
    uint32_t state = 1;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_params q;
    shape.n_vocab = N_VOCAB;
    size_t n = words(text, 60, &state);
    memcpy(text + n, "\n", 2); /* the last line end does not count */
    if (!temp_make(&s->model, "m.gguf") || random_model_write(&shape, s->model.path, &e)) {
        TEST_FAIL(t, "no model: %s", e.message);
        return false;
    }
    snprintf(s->quantized, sizeof s->quantized, "%s/q.gguf", s->model.dir);
    snprintf(s->text, sizeof s->text, "%s/text", s->model.dir);
    snprintf(s->file, sizeof s->file, "%s/file", s->model.dir);
    snprintf(s->list, sizeof s->list, "%s/list", s->model.dir);
    leat_quantize_params_default(&q);
    q.type = "q4_0";
    leat_model *m = open_model(t, s->model.path);
    if (!m || leat_quantize(s->model.path, s->quantized, &q, &e) || !write_file(s->text, text, n + 1) ||
        leat_tokenize(m, text, n, LEAT_TOKENIZE_BOS, s->tokens, TOKENS_MAX, &s->n_tokens, &e))
        TEST_FAIL(t, "%s", e.message);
    leat_model_close(m);
    return s->n_tokens > 128;
}

static void subject_close(const subject *s) {
    remove(s->quantized);
    remove(s->text);
    remove(s->file);
    remove(s->list);
    temp_remove(&s->model);
}

/* A member of JSON; NaN if it is not there. */
static double number_of(const char *json, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\": ", name);
    const char *p = strstr(json, key);
    return p ? strtod(p + strlen(key), NULL) : NAN;
}

static bool near(double a, double b, double relative) {
    return fabs(a - b) <= relative * fabs(b);
}

#define CHECK_NEAR(t, json, name, want, relative)                                                            \
    do {                                                                                                     \
        double check_got = number_of(json, name), check_want = (want);                                       \
        if (!near(check_got, check_want, relative))                                                          \
            TEST_FAIL(t, "%s is %.10g, not %.10g", name, check_got, check_want);                             \
    } while (0)

/* Runs it and wants valid JSON; o is to be freed. */
static bool run_json(test *t, output *o, const char *arguments) {
    size_t where;
    if (!leat_run(o, NULL, arguments)) return false;
    if (o->status || !json_valid(o->out, o->out_size, &where)) {
        TEST_FAIL(t, "leat %s: status %d, \"%s\", \"%s\"", arguments, o->status, o->out, o->err);
        program_free(o);
        return false;
    }
    return true;
}

/* Logits (n, N_VOCAB) of tokens by `leat logits`; the caller frees. Activations are float32 here and in what
 * is compared with it, so that nothing depends on how many logits are computed at once. */
static float *logits_of(test *t, const subject *s, const char *model, const leat_token *tokens, size_t n,
                        unsigned batch) {
    char arguments[ARGUMENTS];
    output o;
    size_t size = 0;
    int used = snprintf(arguments, sizeof arguments,
                        "logits %s --out %s -t 1 --activations f32 -b %u --tokens ", model, s->list, batch);
    for (size_t i = 0; i < n; i++)
        used += snprintf(arguments + used, sizeof arguments - (size_t)used, i ? ",%d" : "%d", tokens[i]);
    if (!leat_run(&o, NULL, arguments)) return NULL;
    if (o.status) TEST_FAIL(t, "%s", o.err);
    program_free(&o);
    float *logits = (float *)(void *)read_whole(s->list, &size);
    if (!logits || size != n * N_VOCAB * sizeof *logits) TEST_FAIL(t, "no logits");
    return logits;
}

static double log_prob(const float *logits, size_t token) {
    double sum = 0, max = -INFINITY;
    for (size_t i = 0; i < N_VOCAB; i++) max = fmax(max, (double)logits[i]);
    for (size_t i = 0; i < N_VOCAB; i++) sum += exp((double)logits[i] - max);
    return (double)logits[token] - max - log(sum);
}

/* A window with BOS in its first place. */
static float *window_logits(test *t, const subject *s, const char *model, size_t start, size_t n,
                            unsigned batch) {
    leat_token window[TOKENS_MAX];
    memcpy(window, s->tokens + start, n * sizeof *window);
    window[0] = s->tokens[0];
    return logits_of(t, s, model, window, n, batch);
}

static void as_defined(test *t) {
    static const struct {
        size_t n_ctx, stride;
        unsigned batch;
    } cases[] = {{32, 0, 512}, {33, 0, 10}, {32, 16, 512}, {40, 7, 9}, {4, 0, 512}};
    subject s = {.n_tokens = 0};
    if (subject_open(t, &s))
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            size_t stride = cases[i].stride, length = cases[i].n_ctx + stride / 2;
            size_t step = stride ? stride : cases[i].n_ctx;
            size_t first = stride ? length - stride - 1 : cases[i].n_ctx / 2;
            size_t n_windows = stride ? (s.n_tokens - length + stride - 1) / stride : s.n_tokens / step;
            double sum = 0, squares = 0, n = 0;
            char arguments[ARGUMENTS];
            output o;
            if (n_windows > 4) n_windows = 4;
            snprintf(arguments, sizeof arguments,
                     "perplexity %s -f %s -c %zu --stride %zu -b %u -t 1 --chunks %zu --json", s.model.path,
                     s.text, cases[i].n_ctx, stride, cases[i].batch, n_windows);
            for (size_t w = 0; w < n_windows; w++) {
                float *logits = window_logits(t, &s, s.model.path, w * step, length, cases[i].batch);
                for (size_t at = first; logits && at + 1 < length; at++, n++) {
                    double v = -log_prob(logits + at * N_VOCAB, (size_t)s.tokens[w * step + at + 1]);
                    sum += v;
                    squares += v * v;
                }
                free(logits);
            }
            double mean = sum / n, error = sqrt((squares / n - mean * mean) / (n - 1));
            if (!run_json(t, &o, arguments)) continue;
            CHECK_NEAR(t, o.out, "perplexity", exp(mean), 1e-6);
            CHECK_NEAR(t, o.out, "perplexity_error", exp(mean) * error, 1e-4);
            CHECK_NEAR(t, o.out, "n_tokens", n, 0);
            CHECK_NEAR(t, o.out, "n_windows", (double)n_windows, 0);
            program_free(&o);
        }
    subject_close(&s);
}

/* ---- one model against another ---- */

enum { CTX = 32, FIRST = CTX / 2, COUNTED = CTX - 1 - FIRST, WINDOWS_MAX = 20 };

typedef struct apart { /* one counted place */
    double kl, dp, surprise, base;
    bool same;
} apart;

static size_t top_of(const float *x) {
    size_t best = 0;
    for (size_t i = 1; i < N_VOCAB; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static apart apart_of(const float *p, const float *q, size_t token) {
    apart a = {.surprise = -log_prob(q, token), .base = -log_prob(p, token), .same = top_of(p) == top_of(q)};
    double p_sum = (double)p[0] - log_prob(p, 0), q_sum = (double)q[0] - log_prob(q, 0);
    for (size_t i = 0; i < N_VOCAB; i++)
        a.kl += exp((double)p[i] - p_sum) * ((double)p[i] - p_sum - ((double)q[i] - q_sum));
    a.dp = exp(-a.surprise) - exp(-a.base);
    return a;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What --json has to say of the places. Base files round: their numbers are only so exact. */
static void check_divergence(test *t, const char *json, const apart *places, size_t n, double relative) {
    double kls[WINDOWS_MAX * COUNTED], kl = 0, dp2 = 0, p = 0, same = 0, ratio = 0, ratio2 = 0;
    for (size_t i = 0; i < n; i++) {
        kl += kls[i] = places[i].kl;
        dp2 += places[i].dp * places[i].dp;
        p += places[i].base;
        same += places[i].same;
        ratio += places[i].surprise - places[i].base;
        ratio2 += pow(places[i].surprise - places[i].base, 2);
    }
    double m = (double)n, error = sqrt((ratio2 / m - ratio / m * (ratio / m)) / (m - 1));
    qsort(kls, n, sizeof *kls, by_size);
    CHECK_NEAR(t, json, "kl_mean", kl / m, relative);
    CHECK_NEAR(t, json, "kl_max", kls[n - 1], relative);
    CHECK_NEAR(t, json, "kl_median", n % 2 ? kls[n / 2] : (kls[n / 2] + kls[n / 2 - 1]) / 2, relative);
    CHECK_NEAR(t, json, "dp_rms", sqrt(dp2 / m), 10 * relative);
    CHECK_NEAR(t, json, "base_perplexity", exp(p / m), 1e-5);
    CHECK_NEAR(t, json, "perplexity_ratio", exp(ratio / m), 1e-5);
    CHECK_NEAR(t, json, "log_perplexity_ratio_error", error, 1e-3);
    CHECK_NEAR(t, json, "same_top", same / m, 1e-9);
    double at = 0.9 * (m - 1);
    size_t below = (size_t)at;
    CHECK_NEAR(t, json, "kl_p90", kls[below] + (at - (double)below) * (kls[below + 1] - kls[below]),
               relative);
}

/* The file as its format is described in tools/kld.h. */
static void check_base_file(test *t, const subject *s, size_t n_windows, float *const *logits) {
    size_t size, words_of_row = 4 + N_VOCAB;
    char *bytes = read_whole(s->file, &size);
    int32_t sizes[3];
    size_t n_rows = n_windows * COUNTED, rows_at = 20 + n_windows * CTX * 4;
    REQUIRE(t, bytes && size == rows_at + n_rows * words_of_row * 2 + 8 + n_rows * 4 + 16);
    memcpy(sizes, bytes + 8, sizeof sizes);
    CHECK(t, !memcmp(bytes, "_logits_", 8));
    CHECK_EQ(t, sizes[0], CTX);
    CHECK_EQ(t, sizes[1], N_VOCAB);
    CHECK_EQ(t, sizes[2], n_windows);
    CHECK(t, !memcmp(bytes + 20, s->tokens, n_windows * CTX * 4));
    CHECK(t, !memcmp(bytes + size - 16, "_vocab__", 8));
    size -= 16; /* the vocabulary */
    CHECK(t, !memcmp(bytes + size - n_rows * 4 - 8, "_target_", 8));
    for (size_t row = 0; row < n_rows; row++) {
        const float *l = logits[row / COUNTED] + (FIRST + row % COUNTED) * N_VOCAB;
        const char *at = bytes + rows_at + row * words_of_row * 2;
        size_t next = (size_t)s->tokens[row / COUNTED * CTX + FIRST + row % COUNTED + 1];
        float head[2], target;
        memcpy(head, at, sizeof head);
        memcpy(&target, bytes + size - (n_rows - row) * 4, sizeof target);
        CHECK(t, fabs((double)target - log_prob(l, next)) < 1e-5);
        for (size_t i = 0; i < N_VOCAB; i++) {
            uint16_t code;
            memcpy(&code, at + 8 + 2 * i, sizeof code);
            double error = (double)head[0] * code + (double)head[1] - log_prob(l, i);
            if (!(fabs(error) <= 0.51 * (double)head[0] + 1e-5))
                TEST_FAIL(t, "row %zu, token %zu is off by %g", row, i, error);
        }
    }
    /* without what only we write */
    CHECK(t, write_file(s->file, bytes, size - n_rows * 4 - 8));
    free(bytes);
}

static void one_against_another(test *t) {
    static apart places[WINDOWS_MAX * COUNTED];
    subject s = {.n_tokens = 0};
    float *logits[WINDOWS_MAX] = {NULL};
    size_t n = 0, n_windows = 0;
    char arguments[ARGUMENTS];
    output o;
    if (subject_open(t, &s)) n_windows = s.n_tokens / CTX;
    if (n_windows > 4) n_windows = 4;
    for (size_t w = 0; w < n_windows; w++) {
        logits[w] = window_logits(t, &s, s.model.path, w * CTX, CTX, 512);
        float *other = window_logits(t, &s, s.quantized, w * CTX, CTX, 512);
        for (size_t at = FIRST; logits[w] && other && at + 1 < CTX; at++)
            places[n++] =
                apart_of(logits[w] + at * N_VOCAB, other + at * N_VOCAB, (size_t)s.tokens[w * CTX + at + 1]);
        free(other);
    }
    snprintf(arguments, sizeof arguments,
             "perplexity %s %s -c 32 -t 1 --activations f32 --chunks %zu --json --kld-base %s", s.model.path,
             s.text, n_windows, s.file);
    if (n && run_json(t, &o, arguments)) {
        program_free(&o);
        snprintf(arguments, sizeof arguments, "perplexity %s --kld %s -t 1 --activations f32 --json",
                 s.quantized, s.file);
        if (run_json(t, &o, arguments)) {
            check_divergence(t, o.out, places, n, 2e-3);
            program_free(&o);
        }
        check_base_file(t, &s, n_windows, logits);
        snprintf(arguments, sizeof arguments,
                 "perplexity %s -f %s --kld-base %s --kld -t 1 --activations f32 --json", s.quantized, s.text,
                 s.file);
        if (run_json(t, &o, arguments)) {
            check_divergence(t, o.out, places, n, 2e-3);
            program_free(&o);
        }
    }
    snprintf(arguments, sizeof arguments, "compare %s %s %s -c 32 -t 1 --activations f32 --chunks %zu --json",
             s.model.path, s.quantized, s.text, n_windows);
    if (n && run_json(t, &o, arguments)) {
        double sum = 0;
        check_divergence(t, o.out, places, n, 1e-3);
        for (size_t i = 0; i < n; i++) sum += places[i].base;
        CHECK_NEAR(t, o.out, "perplexity", exp(sum / (double)n), 1e-5); /* the first is A's */
        CHECK(t, number_of(o.out, "generation_tokens_per_second") > 0);
        CHECK(t, number_of(o.out, "bits_per_weight") == 32);
        program_free(&o);
    }
    for (size_t w = 0; w < n_windows; w++) free(logits[w]);
    subject_close(&s);
}

/* Activations in float32 bring a quantized model nearer to the original; without a text A writes one. */
static void activations(test *t) {
    subject s = {.n_tokens = 0};
    leat_quantize_params q;
    leat_error e;
    double kl[2] = {0, 0};
    leat_quantize_params_default(&q);
    REQUIRE(t, subject_open(t, &s));
    CHECK_EQ(t, leat_quantize(s.model.path, s.quantized, &q, &e), LEAT_OK); /* Q8_0 */
    for (int i = 0; i < 2; i++) {
        char arguments[ARGUMENTS];
        output o;
        snprintf(arguments, sizeof arguments, "compare %s %s -t 1 --json --activations %s", s.model.path,
                 s.quantized, i ? "f32" : "int8");
        if (!run_json(t, &o, arguments)) continue;
        kl[i] = number_of(o.out, "kl_mean");
        CHECK(t, !has(o.out, "\"perplexity\""));
        program_free(&o);
    }
    CHECK(t, kl[1] > 0 && kl[1] < kl[0]);
    subject_close(&s);
}

/* ---- tasks ---- */

enum { N_TASKS = 16, ANSWERS = 5 };

typedef struct task {
    char question[128], rest[64], answers[ANSWERS][96];
    size_t n_answers, right;
} task;

/* The mean log probability of a text's tokens from..to, all evaluated at once. */
static double score_text(test *t, leat_model *m, const char *text, size_t from, bool but_last) {
    leat_token tokens[TOKENS_MAX];
    leat_session_params p;
    leat_session *session = NULL;
    leat_error e = {LEAT_OK, ""};
    size_t n;
    double sum = 0, count = 0;
    leat_session_params_default(&p);
    p.logits_all = true;
    p.n_threads = 1;
    p.n_ctx = 128;
    if (leat_tokenize(m, text, strlen(text), LEAT_TOKENIZE_BOS, tokens, TOKENS_MAX, &n, &e) ||
        leat_session_open(m, &p, &session, &e) || leat_session_eval(session, tokens, n, &e))
        TEST_FAIL(t, "%s", e.message);
    else
        for (size_t i = from; i < n - (but_last && n - from > 1); i++, count++)
            sum += log_prob(leat_session_logits(session, n - i), (size_t)tokens[i]);
    leat_session_close(session);
    return sum / count;
}

static size_t tokens_of(leat_model *m, const char *text, leat_token *tokens) {
    size_t n = 0;
    leat_tokenize(m, text, strlen(text), LEAT_TOKENIZE_BOS, tokens, TOKENS_MAX, &n, NULL);
    return n;
}

/* The answer that the model finds likeliest. */
static size_t best_answer(test *t, leat_model *m, const task *x, bool gap) {
    char texts[ANSWERS][512], begun[512];
    leat_token tokens[ANSWERS][TOKENS_MAX], other[TOKENS_MAX];
    size_t n[ANSWERS], prefix = 0, best = 0;
    double most = -INFINITY;
    bool same = true, long_enough = gap;
    for (size_t i = 0; i < x->n_answers; i++) {
        snprintf(texts[i], sizeof texts[i], "%s%s%s%s", x->question, gap ? "" : " ", x->answers[i], x->rest);
        n[i] = tokens_of(m, texts[i], tokens[i]);
    }
    for (; same; prefix += same)
        for (size_t i = 0; i < x->n_answers; i++)
            same &= prefix + 1 < n[i] && tokens[i][prefix] == tokens[0][prefix];
    for (size_t i = 0; i < x->n_answers; i++) long_enough &= n[i] - prefix > 3;
    for (size_t i = 0; i < x->n_answers; i++) {
        snprintf(begun, sizeof begun, "%s%s", x->question, x->answers[i]);
        size_t from = long_enough ? tokens_of(m, begun, other) : prefix;
        double score = score_text(t, m, texts[i], from, gap);
        if (score > most) {
            most = score;
            best = i;
        }
    }
    return best;
}

static size_t put_u32(char *out, uint32_t v) {
    for (int i = 0; i < 4; i++) out[i] = (char)(v >> 8 * i);
    return 4;
}

static size_t put_text(char *out, const char *text) {
    size_t n = strlen(text);
    put_u32(out, (uint32_t)n);
    memcpy(out + 4, text, n);
    return 4 + n;
}

static size_t put_answers(char *out, const task *x, size_t n) {
    size_t used = put_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) used += put_text(out + used, x->answers[i]);
    for (size_t i = 0; i < n; i++) used += put_u32(out + used, i == x->right);
    return used;
}

static size_t put_task(char *out, const char *kind, const task *x, size_t i) {
    if (!strcmp(kind, "hellaswag"))
        return (size_t)sprintf(out, "%s\n%zu\n%s\n%s\n%s\n%s\n", x->question, x->right, x->answers[0],
                               x->answers[1], x->answers[2], x->answers[3]);
    if (!strcmp(kind, "winogrande"))
        return (size_t)sprintf(out, i % 2 ? "%zu,\"%s_%s\",%s,%s,%zu\n" : "%zu,%s_%s,%s,%s,%zu\n", i,
                               x->question, x->rest, x->answers[0], x->answers[1], x->right + 1);
    size_t used = put_text(out, x->question);
    used += put_answers(out + used, x, x->n_answers);
    return used + put_answers(out + used, x, 0);
}

static void make_task(task *x, const char *kind, size_t i, uint32_t *state) {
    bool gap = !strcmp(kind, "winogrande");
    memset(x, 0, sizeof *x);
    x->n_answers = gap ? 2 : !strcmp(kind, "hellaswag") ? 4 : 1 + i % ANSWERS;
    x->right = i % x->n_answers;
    size_t n = words(x->question, 1 + i % 4, state);
    if (gap) {
        strcpy(x->question + n, i % 2 ? ", " : " ");
        x->rest[0] = ' ';
        n = i % 3 ? words(x->rest + 1, i % 4, state) + 1 : 0;
        memcpy(x->rest + n, ".", 2);
    }
    for (size_t k = 0; k < x->n_answers; k++) words(x->answers[k], 1 + (i + k) % 3, state);
}

static void tasks(test *t) {
    static const char *const kinds[] = {"hellaswag", "winogrande", "multiple-choice"};
    static char data[65536];
    subject s = {.n_tokens = 0};
    leat_model *m = subject_open(t, &s) ? open_model(t, s.model.path) : NULL;
    for (size_t k = 0; m && k < sizeof kinds / sizeof *kinds; k++) {
        size_t used = 0, right = 0, answers = 0;
        uint32_t state = 5;
        char arguments[ARGUMENTS];
        output o;
        if (k == 2) used = put_u32(data, N_TASKS) + (memset(data + 4, 0, 4 * N_TASKS), 4 * N_TASKS);
        for (size_t i = 0; i < N_TASKS; i++) {
            task x;
            make_task(&x, kinds[k], i, &state);
            used += put_task(data + used, kinds[k], &x, i);
            right += best_answer(t, m, &x, k == 1) == x.right;
            answers += x.n_answers;
        }
        CHECK(t, write_file(s.file, data, used));
        snprintf(arguments, sizeof arguments, "perplexity %s -f %s --%s -b 7 -t 1 --json", s.model.path,
                 s.file, kinds[k]);
        if (!run_json(t, &o, arguments)) continue;
        double p = (double)right / N_TASKS;
        CHECK_NEAR(t, o.out, "n_right", (double)right, 0);
        CHECK_NEAR(t, o.out, "accuracy", p, 1e-9);
        CHECK_NEAR(t, o.out, "accuracy_error", sqrt(p * (1 - p) / (N_TASKS - 1)), 1e-9);
        CHECK_NEAR(t, o.out, "chance", (double)N_TASKS / (double)answers, 1e-9);
        program_free(&o);
        snprintf(arguments, sizeof arguments, "perplexity %s -f %s --%s --%s-tasks 5 -t 1 --json",
                 s.model.path, s.file, kinds[k], kinds[k]);
        if (!run_json(t, &o, arguments)) continue;
        CHECK_NEAR(t, o.out, "n_tasks", 5, 0);
        CHECK_NEAR(t, o.out, "n_in_file", N_TASKS, 0);
        program_free(&o);
    }
    leat_model_close(m);
    subject_close(&s);
}

/* ---- what is broken ---- */

static void check_refused(test *t, const char *arguments, int status, const char *word) {
    output o;
    REQUIRE(t, leat_run(&o, NULL, arguments));
    if (o.status != status || !has(o.err, word) || o.out_size)
        TEST_FAIL(t, "leat %s: status %d, \"%s\", \"%s\"; wanted \"%s\"", arguments, o.status, o.out, o.err,
                  word);
    program_free(&o);
}

static void broken_tasks(test *t) {
#define MC "\1\0\0\0\0\0\0\0"
    static const struct {
        const char *kind, *data;
        size_t n; /* 0: its string length */
        const char *word;
    } cases[] = {
        {"hellaswag", "a\n0\nb\nc\nd\ne\nf\n1\n", 0, "line 7: a task begins here"},
        {"hellaswag", "a\n0\nb\nc\nd\ne\nf\n4\nb\nc\nd\ne\n", 0, "line 8: \"4\""},
        {"hellaswag", "a\nx1\nb\nc\nd\ne\n", 0, "line 2: \"x1\""},
        {"hellaswag", "", 0, "has no tasks"},
        {"winogrande", "0,a _ b,c,d,1\n1,a b,c,d,1\n", 0, "line 2: the sentence has no _"},
        {"winogrande", "0,a _ b,c,d,3\n", 0, "line 1: the answer is \"3\""},
        {"winogrande", "0,a _ b,c,d\n", 0, "line 1: 4 fields"},
        {"winogrande", "0,\"a _ b,c,d,1\n", 0, "line 1: 2 fields"},
        {"winogrande", "\n\n", 0, "has no tasks"},
        {"multiple-choice", "", 0, "no file of multiple choice"},
        {"multiple-choice", "\0\0\0\0", 4, "no file of multiple choice"},
        {"multiple-choice", "\377\377\377\377\0\0\0\0", 8, "no file of multiple choice"},
        {"multiple-choice", MC "\1\0\0", 11, "task 1, byte 8: the file ends"},
        {"multiple-choice", MC "\377\377\377\377q", 13, "task 1"},
        {"multiple-choice", MC "\1\0\0\0q\377\0\0\0", 17, "255 answers"},
        {"multiple-choice", MC "\1\0\0\0q\0\0\0\0", 17, "task 1: it has no answers"},
        {"multiple-choice", MC "\0\0\0\0\1\0\0\0\1\0\0\0a\1\0\0\0\0\0\0\0", 29, "no question"},
        {"multiple-choice", MC "\1\0\0\0q\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 29, "answer 1 is empty"},
        {"multiple-choice", MC "\1\0\0\0q\1\0\0\0\1\0\0\0a\1\0\0\0", 26, "the file ends"},
    };
#undef MC
    subject s = {.n_tokens = 0};
    if (subject_open(t, &s))
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char arguments[ARGUMENTS];
            CHECK(t, write_file(s.file, cases[i].data, cases[i].n ? cases[i].n : strlen(cases[i].data)));
            snprintf(arguments, sizeof arguments, "perplexity %s -f %s --%s -t 1", s.model.path, s.file,
                     cases[i].kind);
            check_refused(t, arguments, 1, cases[i].word);
        }
    subject_close(&s);
}

static void broken_base_files(test *t) {
    static const struct {
        size_t cut; /* bytes that are left; 0: all */
        size_t at;  /* where value goes; 0: nowhere */
        uint32_t value;
        const char *word;
    } cases[] = {
        {4, 0, 0, "does not begin with _logits_"},
        {0, 4, 0x41414141, "does not begin with _logits_"},
        {10, 0, 0, "ends too early"},
        {19, 0, 0, "ends too early"},
        {0, 8, 1, "windows of 1 tokens"},
        {0, 8, 0xFFFFFFFF, "windows of 4294967295"},
        {0, 8, 1 << 24, "should hold"},
        {0, 12, 299, "vocabulary of 299"},
        {0, 12, 0x91041234, "vocabulary of 2432963124 tokens"},
        {0, 16, 0, "holds 0 windows"},
        {0, 16, 0x80000000, "holds 2147483648 windows"},
        {0, 16, 0x7FFFFFFF, "should hold"},
        {2000, 0, 0, "should hold"},
        {0, 24, 300, "token 1 is 300"},
        {0, 24, 0x80000000, "token 1 is -2147483648"},
        {0, 20 + 2 * CTX * 4, 0x7F800000, "has the scale inf"},
        {0, 20 + 2 * CTX * 4 + 4, 0x7FC00000, "the offset"},
    };
    subject s = {.n_tokens = 0};
    char arguments[ARGUMENTS];
    size_t size = 0;
    output o;
    REQUIRE(t, subject_open(t, &s));
    snprintf(arguments, sizeof arguments, "perplexity %s %s -c 32 -t 1 --chunks 2 --json --kld-base %s",
             s.model.path, s.text, s.file);
    REQUIRE(t, run_json(t, &o, arguments));
    program_free(&o);
    char *good = read_whole(s.file, &size);
    for (size_t i = 0; good && i < sizeof cases / sizeof *cases; i++) {
        char *bad = malloc(size);
        memcpy(bad, good, size);
        if (cases[i].at) put_u32(bad + cases[i].at, cases[i].value);
        CHECK(t, write_file(s.file, bad, cases[i].cut ? cases[i].cut : size));
        free(bad);
        snprintf(arguments, sizeof arguments, "perplexity %s --kld %s -t 1", s.model.path, s.file);
        check_refused(t, arguments, 1, cases[i].word);
    }
    if (good) CHECK(t, write_file(s.file, good, size));
    CHECK(t, write_file(s.list, "another text", 12));
    snprintf(arguments, sizeof arguments, "perplexity %s --kld %s -f %s", s.model.path, s.file, s.list);
    check_refused(t, arguments, 1, "another text");
    free(good);
    subject_close(&s);
}

static void usage(test *t) {
    static const struct {
        const char *arguments;
        int status;
        const char *word;
    } cases[] = {
        {"perplexity", 2, "a text is missing"},
        {"perplexity m.gguf", 2, "a text is missing"},
        {"perplexity m.gguf a b", 2, "unexpected \"b\""},
        {"perplexity m.gguf --kld", 2, "--kld FILE"},
        {"perplexity m.gguf a --stride 600", 2, "--stride must be"},
        {"perplexity m.gguf a --stride 6 --kld-base b", 2, "--stride"},
        {"perplexity m.gguf a --hellaswag --winogrande", 2, "one kind"},
        {"perplexity m.gguf a --hellaswag --kld b", 2, "--kld-base"},
        {"perplexity m.gguf a --activations f16", 2, "int8|f32"},
        {"perplexity m.gguf a -c 3", 2, "-c must be"},
        {"perplexity /nonexistent.gguf a", 1, "/nonexistent.gguf"},
        {"perplexity --kld /nonexistent.kld", 1, "/nonexistent.kld"},
        {"perplexity -f /nonexistent.txt", 1, "/nonexistent.txt"},
        {"perplexity -f /dev/null", 1, "less than one window"},
        {"perplexity -f /dev/null --kld=/dev/null", 1, "does not begin with"},
        {"perplexity -f /nonexistent.txt --winogrande", 1, "/nonexistent.txt"},
        {"compare a", 2, "two models"},
        {"compare a b c d", 2, "two models"},
        {"compare a b c -f d", 2, "two models"},
        {"compare /nonexistent.gguf /nonexistent.gguf", 1, "/nonexistent.gguf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(t, cases[i].arguments, cases[i].status, cases[i].word);
}

#define TESTS(X)                                                                                             \
    X(as_defined) X(one_against_another) X(activations) X(tasks) X(broken_tasks) X(broken_base_files) X(usage)
TEST_SUITE(TESTS)
