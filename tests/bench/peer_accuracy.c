/* What quantized files lose in Leat and in llama.cpp, on the same tokens: perplexity, divergence from the
 * original, and by how much the two differ in that, each with its standard error, so that it can be said
 * which differences mean something. Links to Leat; llama.cpp v0.5.0 is opened by path (peer_library.h).
 *
 *     peer_accuracy LIBRARIES BACKENDS ENGINES ORIGINAL TEXT WINDOWS MODEL...
 *
 * ENGINES, separated by commas: an instruction set of Leat's ("c", "avx2", ...), "f32" for Leat with float32
 * activations, "llama" for llama.cpp as it is by default and "llama-plain" without flash attention; with
 * ":1" behind it, tokens are evaluated one by one. Divergences are compared with the first that begins with
 * "llama". Windows are those of `leat perplexity`: 512 tokens, the second half counted. The original's logits
 * are those of the first engine. One thread, so that it disturbs nobody;
 * Ctrl-C ends it with the windows done so far.
 *
 * Prints a line for each model and engine, columns separated by tabs. Standard errors are over the means of
 * windows, since errors of tokens in one window go together. "to first" is the perplexity over that of the
 * first engine, in percent; "to llama.cpp" is the mean of the differences of divergences, token by token. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/leat.h"

#include "peer_library.h"

enum { WINDOW = 512, SCORED = WINDOW / 2 - 1, MAX_ENGINES = 8 };

static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

/* A model in an engine, and what was seen of it. Sums are over windows, of means over their tokens. */
typedef struct subject {
    leat_session *session; /* NULL: llama.cpp's context */
    void *context;
    size_t step;              /* tokens evaluated at once */
    double nll, kl, kl2;      /* divergence and its square */
    double more, more2;       /* the same of the difference to llama.cpp */
    double window_kl[SCORED]; /* of the window at hand */
    float logits[];           /* (SCORED, n_vocab) of it */
} subject;

typedef struct bench {
    char *engines[MAX_ENGINES];
    size_t n_engines, n_windows, n_vocab;
    size_t llama; /* which engine others are compared with; n_engines: none */
    leat_token *tokens;
} bench;

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

static int read_text(bench *b, const char *model_path, const char *text_path, size_t n_windows) {
    leat_model *model;
    leat_model_info info;
    leat_error e;
    size_t n = 0, count = 0;
    char *bytes = read_file(text_path, &n);
    if (!bytes) return fail(text_path, "can't be read");
    if (leat_model_open(model_path, NULL, &model, &e)) return fail(model_path, e.message);
    leat_model_get_info(model, &info);
    size_t room = leat_tokenize_bound(model, n);
    unsigned flags = leat_token_add_bos(model) ? LEAT_TOKENIZE_BOS : 0;
    b->tokens = malloc(room * sizeof *b->tokens);
    if (!b->tokens || leat_tokenize(model, bytes, n, flags, b->tokens, room, &count, &e))
        return fail(text_path, "can't be tokenized");
    b->n_vocab = info.n_vocab;
    b->n_windows = count / WINDOW < n_windows ? count / WINDOW : n_windows;
    if (b->n_windows < 2) return fail(text_path, "two windows at least");
    if (flags)
        for (size_t w = 0; w < b->n_windows; w++) b->tokens[w * WINDOW] = leat_token_bos(model);
    leat_model_close(model);
    free(bytes);
    return 0;
}

static bool is_scored(size_t token) {
    return token >= WINDOW / 2 && token < WINDOW - 1;
}

static int open_leat(subject *s, const char *path, const char *engine) {
    leat_model *model;
    leat_model_params m;
    leat_session_params p;
    leat_error e;
    bool f32 = !strcmp(engine, "f32");
    leat_model_params_default(&m);
    leat_session_params_default(&p);
    m.isa = f32 ? NULL : engine;
    p.n_ctx = WINDOW;
    p.n_batch = (uint32_t)s->step;
    p.n_threads = p.n_threads_batch = 1;
    p.logits_all = true;
    if (s->step > SCORED) p.n_logits = SCORED + 1;
    if (f32) p.activations = LEAT_ACTIVATIONS_F32;
    if (leat_model_open(path, &m, &model, &e) || leat_session_open(model, &p, &s->session, &e))
        return fail(path, e.message);
    leat_model_close(model);
    return 0;
}

static int open_llama(subject *s, const char *path, bool plain) {
    void *model = llama.load_model(path, model_defaults);
    context_params p = context_defaults;
    p.n_ctx = p.n_outputs_max = p.n_outputs_max_per_seq = WINDOW;
    p.n_threads = p.n_threads_batch = 1;
    if (plain) p.flash_attention = 0;
    if (!model || !(s->context = llama.open_context(model, p))) return fail(path, "llama.cpp can't open it");
    return 0;
}

static subject *open_subject(const bench *b, const char *path, const char *engine) {
    subject *s = calloc(1, sizeof *s + SCORED * b->n_vocab * sizeof(float));
    char name[64];
    size_t n = strcspn(engine, ":");
    if (!s || n >= sizeof name) return NULL;
    snprintf(name, sizeof name, "%.*s", (int)n, engine);
    s->step = engine[n] ? 1 : WINDOW;
    bool plain = !strcmp(name, "llama-plain");
    int status = plain || !strcmp(name, "llama") ? open_llama(s, path, plain) : open_leat(s, path, name);
    return status ? NULL : s;
}

typedef struct call {
    leat_session *session;
    const leat_token *tokens;
    size_t n;
    leat_status status;
    leat_error e;
} call;

static void *eval_in_thread(void *user) {
    call *c = user;
    c->status = leat_session_eval(c->session, c->tokens, c->n, &c->e);
    return NULL;
}

/* In a thread that llama.cpp does not use: it configures the AMX tiles of a thread once and takes it that
 * nobody else's code gives them back. */
static int eval_leat(leat_session *session, const leat_token *tokens, size_t n) {
    call c = {.session = session, .tokens = tokens, .n = n};
    pthread_t thread;
    if (pthread_create(&thread, NULL, eval_in_thread, &c) || pthread_join(thread, NULL))
        return fail("eval", "no thread");
    return c.status ? fail("eval", c.e.message) : 0;
}

/* The logits behind tokens WINDOW / 2 .. WINDOW - 2 of a window. */
static int evaluate(const bench *b, subject *s, leat_token *tokens) {
    if (s->session)
        leat_session_rewind(s->session, 0);
    else if (!llama.memory_remove(llama.memory(s->context), -1, 0, -1))
        return fail("llama.cpp", "no rewind");
    for (size_t done = 0; done < WINDOW; done += s->step) {
        int8_t wanted[WINDOW];
        for (size_t i = 0; i < s->step; i++) wanted[i] = is_scored(done + i);
        batch input = {.n = (int32_t)s->step, .tokens = tokens + done, .logits = wanted};
        if (s->session && eval_leat(s->session, tokens + done, s->step)) return 1;
        if (s->context && llama.decode(s->context, input)) return fail("llama.cpp", "can't evaluate");
        for (size_t i = 0; i < s->step; i++) {
            if (!wanted[i]) continue;
            const float *from = s->session ? leat_session_logits(s->session, s->step - 1 - i)
                                           : llama.logits(s->context, (int32_t)i);
            if (!from) return fail("logits", "there are none");
            memcpy(s->logits + (done + i - WINDOW / 2) * b->n_vocab, from, b->n_vocab * sizeof *from);
        }
    }
    return 0;
}

static int compare(const bench *b, const subject *base, subject *s, const leat_token *tokens) {
    double nll = 0, kl = 0;
    leat_error e;
    for (size_t i = 0; i < SCORED; i++) {
        leat_difference d;
        size_t at = i * b->n_vocab;
        if (leat_logits_compare(base->logits + at, false, s->logits + at, b->n_vocab,
                                tokens[WINDOW / 2 + i + 1], &d, &e))
            return fail("compare", e.message);
        nll -= d.log_prob / SCORED;
        kl += d.kl / SCORED;
        s->window_kl[i] = d.kl;
    }
    s->nll += nll;
    s->kl += kl;
    s->kl2 += kl * kl;
    return 0;
}

static void add_difference(subject *s, const subject *other) {
    double more = 0;
    for (size_t i = 0; i < SCORED; i++) more += (s->window_kl[i] - other->window_kl[i]) / SCORED;
    s->more += more;
    s->more2 += more * more;
}

static int measure(bench *b, subject *base, subject **subjects, size_t n_models) {
    for (size_t w = 0; w < b->n_windows; w++) {
        leat_token *tokens = b->tokens + w * WINDOW;
        if (evaluate(b, base, tokens)) return 1;
        for (size_t m = 0; m < n_models; m++) {
            subject **s = subjects + m * b->n_engines;
            for (size_t i = 0; i < b->n_engines; i++)
                if (evaluate(b, s[i], tokens) || compare(b, base, s[i], tokens)) return 1;
            for (size_t i = 0; i < b->n_engines && b->llama < b->n_engines; i++)
                add_difference(s[i], s[b->llama]);
        }
        if (interrupted && w) b->n_windows = w + 1;
    }
    return 0;
}

static double standard_error(double sum, double squares, double n) {
    double variance = (squares - sum * sum / n) / (n - 1);
    return variance > 0 ? sqrt(variance / n) : 0;
}

static void print(const bench *b, const char *path, subject **subjects) {
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    double n = (double)b->n_windows;
    for (size_t i = 0; i < b->n_engines; i++) {
        const subject *s = subjects[i];
        printf("%s\t%s\t%.4f\t%+.4f\t%.4e\t%.1e\t%+.2e\t%.1e\n", name, b->engines[i], exp(s->nll / n),
               100 * expm1((s->nll - subjects[0]->nll) / n), s->kl / n, standard_error(s->kl, s->kl2, n),
               s->more / n, standard_error(s->more, s->more2, n));
    }
}

int main(int argc, char **argv) {
    bench b = {.llama = MAX_ENGINES};
    char backend[64];
    if (argc < 8 || atoi(argv[6]) < 2) return 2;
    for (char *name = strtok(argv[3], ","); name && b.n_engines < MAX_ENGINES; name = strtok(NULL, ",")) {
        if (b.llama == MAX_ENGINES && !strncmp(name, "llama", 5)) b.llama = b.n_engines;
        b.engines[b.n_engines++] = name;
    }
    if (!b.n_engines || open_libraries(argv[1], argv[2])) return 1;
    if (read_text(&b, argv[4], argv[5], (size_t)atoi(argv[6]))) return 1;
    size_t n_models = (size_t)argc - 7;
    subject *base = open_subject(&b, argv[4], b.engines[0]);
    subject **subjects = calloc(n_models * b.n_engines, sizeof *subjects);
    if (!base || !subjects) return 1;
    for (size_t i = 0; i < n_models * b.n_engines; i++)
        if (!(subjects[i] = open_subject(&b, argv[7 + i / b.n_engines], b.engines[i % b.n_engines])))
            return 1;
    signal(SIGINT, interrupt);
    if (measure(&b, base, subjects, n_models)) return 1;
    find_backend(backend, sizeof backend);
    printf("# %zu windows of %d tokens, %d of each counted; llama.cpp's library: %s\n", b.n_windows, WINDOW,
           SCORED, backend);
    printf("file\tengine\tperplexity\tto first, %%\tKL\t+-\tto llama.cpp\t+-\n");
    for (size_t m = 0; m < n_models; m++) print(&b, argv[7 + m], subjects + m * b.n_engines);
    return 0;
}
