/* What quantizing did to models: size, perplexity, divergence from the original and how often both would say
 * the same next token, for any number of files, by one program and on one text. llama.cpp's windows: N
 * tokens, of which the second half is scored, BOS first where the model wants one. Links to Leat.
 *
 *     quality ORIGINAL TEXT WINDOWS FIRST MODEL...
 *
 * WINDOWS of 512 tokens from the FIRST on. Prints a line for each model, columns separated by tabs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/leat.h"

enum { WINDOW = 512 };

static int fail(const char *what, const char *why) {
    fprintf(stderr, "quality: %s: %s\n", what, why);
    return 1;
}

static char *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) return NULL;
    *n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*n + 1);
    if (text && fread(text, 1, *n, f) != *n) text = NULL;
    fclose(f);
    return text;
}

typedef struct text {
    leat_token *tokens;
    size_t n_windows, n_vocab;
    float *base; /* (n_windows, WINDOW / 2, n_vocab) logits of the original */
} text;

typedef struct result {
    double nll, kl, n;
    size_t same;
} result;

static int run(const text *t, leat_model *model, bool keep, result *r, leat_error *e) {
    leat_session *s;
    leat_session_params p;
    leat_session_params_default(&p);
    p.n_ctx = p.n_batch = WINDOW;
    p.logits_all = true;
    if (leat_session_open(model, &p, &s, e)) return fail("session", e->message);
    for (size_t w = 0; w < t->n_windows; w++) {
        leat_token tokens[WINDOW];
        memcpy(tokens, t->tokens + w * WINDOW, sizeof tokens);
        if (leat_token_add_bos(model)) tokens[0] = leat_token_bos(model);
        leat_session_rewind(s, 0);
        if (leat_session_eval(s, tokens, WINDOW, e)) return fail("eval", e->message);
        for (size_t i = WINDOW / 2; i + 1 < WINDOW; i++) {
            const float *got = leat_session_logits(s, WINDOW - 1 - i);
            float *base = t->base + (w * (WINDOW / 2) + i - WINDOW / 2) * t->n_vocab;
            if (keep) memcpy(base, got, t->n_vocab * sizeof *got);
            leat_difference d;
            if (leat_logits_compare(base, false, got, t->n_vocab, tokens[i + 1], &d, e))
                return fail("compare", e->message);
            r->nll -= d.log_prob;
            r->kl += d.kl;
            r->same += d.same_top;
            r->n++;
        }
    }
    leat_session_close(s);
    return 0;
}

static int measure(const text *t, const char *path, bool keep) {
    leat_model *model;
    leat_model_info info;
    leat_error e;
    result r = {0};
    if (leat_model_open(path, NULL, &model, &e)) return fail(path, e.message);
    leat_model_get_info(model, &info);
    if (info.n_vocab != t->n_vocab) return fail(path, "another vocabulary");
    if (run(t, model, keep, &r, &e)) return 1;
    leat_model_close(model);
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    printf("%s\t%llu\t%.3f\t%.4f\t%.6f\t%.3f\n", name, (unsigned long long)info.bytes,
           8 * (double)info.bytes / (double)info.n_params, exp(r.nll / r.n), r.kl / r.n,
           100 * (double)r.same / r.n);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv) {
    leat_model *model;
    leat_model_info info;
    leat_error e;
    text t = {.n_windows = argc > 3 ? (size_t)atoi(argv[3]) : 0};
    size_t n = 0, count = 0, first = argc > 4 ? (size_t)atoi(argv[4]) : 0;
    if (argc < 5) return 2;
    char *bytes = read_file(argv[2], &n);
    if (!bytes) return fail(argv[2], "can't be read");
    if (leat_model_open(argv[1], NULL, &model, &e)) return fail(argv[1], e.message);
    leat_model_get_info(model, &info);
    size_t room = leat_tokenize_bound(model, n);
    t.tokens = malloc(room * sizeof *t.tokens);
    t.n_vocab = info.n_vocab;
    unsigned flags = leat_token_add_bos(model) ? LEAT_TOKENIZE_BOS : 0;
    if (!t.tokens || leat_tokenize(model, bytes, n, flags, t.tokens, room, &count, &e))
        return fail("tokens", e.message);
    if (count / WINDOW <= first) return fail(argv[2], "is too short");
    if (t.n_windows > count / WINDOW - first) t.n_windows = count / WINDOW - first;
    t.tokens += first * WINDOW;
    leat_model_close(model);
    t.base = malloc(t.n_windows * (WINDOW / 2) * t.n_vocab * sizeof *t.base);
    if (!t.base) return fail("logits", "no memory");
    printf("file\tbytes\tbits\tperplexity\tKL\tsame top\n");
    if (measure(&t, argv[1], true)) return 1;
    for (int i = 5; i < argc; i++)
        if (measure(&t, argv[i], false)) return 1;
    return 0;
}
