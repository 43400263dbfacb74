/* Runs a model through llama.cpp and prints what `leat bench` would, as one line of JSON, so that both can be
 * compared: the same tests (a prompt of P tokens into an empty context; G tokens one by one), the same
 * warm-up, one process. Used by tests/bench/compare; links to nothing of Leat's.
 *
 *     peer_llama LIBRARIES BACKENDS MODEL [-p P] [-n G] [-d DEPTH] [-t THREADS] [-r REPETITIONS] [--first]
 *
 * LIBRARIES is a folder with libllama.v0.5.0.so, BACKENDS one with the libggml-cpu-*.so to choose from.
 * --first evaluates a prompt of 8 tokens once and ends: for the time and memory of a whole process. */
#include <time.h>

#include "peer_library.h"

/* ---- measuring ---- */

enum { MAX_REPETITIONS = 1000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Evaluates n tokens behind the first `depth`, at most `step` in one call. Seconds, or a negative number. */
static double evaluate(void *context, int32_t *tokens, int32_t depth, int32_t n, int32_t step) {
    if (!llama.memory_remove(llama.memory(context), -1, depth, -1)) return -1;
    double start = now();
    for (int32_t done = 0; done < n; done += step) {
        batch b = {.n = n - done < step ? n - done : step, .tokens = tokens + done};
        if (llama.decode(context, b)) return -1;
        if (step == 1) llama.synchronize(context); /* a sampler would wait here */
    }
    llama.synchronize(context);
    return now() - start;
}

typedef struct options {
    const char *libraries, *backends, *model;
    int prompt, generate, depth, threads, repetitions;
    bool first;
} options;

/* One test in JSON: the warm-up, then the repetitions. */
static int run_test(void *context, int32_t *tokens, const options *o, bool generate, const char *separator) {
    int32_t n = generate ? o->generate : o->prompt, step = generate ? 1 : 2048;
    double sum = 0, best = 0, seconds;
    if (evaluate(context, tokens, o->depth, generate ? 1 : n, step) < 0)
        return fail("llama_decode failed", NULL);
    printf("%s{\"test\": \"%s%d", separator, generate ? "tg" : "pp", n);
    if (o->depth) printf(" @ d%d", o->depth);
    printf("\", \"samples\": [");
    for (int i = 0; i < o->repetitions; i++) {
        if ((seconds = evaluate(context, tokens, o->depth, n, step)) < 0)
            return fail("llama_decode failed", NULL);
        sum += n / seconds;
        if (n / seconds > best) best = n / seconds;
        printf("%s%.9g", i ? ", " : "", n / seconds);
    }
    printf("], \"tokens_per_second\": %.9g, \"best\": %.9g}", sum / o->repetitions, best);
    return 0;
}

static int run(const options *o) {
    double start = now();
    char backend[64];
    model_params mp = model_defaults;
    context_params cp = context_defaults;
    int most = o->prompt > o->generate ? o->prompt : o->generate;
    int32_t status = 0, n_tokens = o->depth + (most > 8 ? most : 8);
    if (open_libraries(o->libraries, o->backends)) return 1;
    find_backend(backend, sizeof backend);
    void *model = llama.load_model(o->model, mp);
    if (!model) return fail("llama.cpp can't load the model", o->model);
    cp.n_ctx = (uint32_t)n_tokens;
    cp.n_threads = cp.n_threads_batch = o->threads;
    void *context = llama.open_context(model, cp);
    if (!context) return fail("llama_init_from_model failed", NULL);
    double load = now() - start;
    int32_t *tokens = malloc((size_t)n_tokens * sizeof *tokens);
    if (!tokens) return fail("no memory", NULL);
    uint32_t n_vocab = (uint32_t)llama.n_tokens(llama.vocabulary(model));
    uint64_t state = 88172645463325252u;
    for (int32_t i = 0; i < n_tokens; i++) { /* xorshift64, Marsaglia 2003 */
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        tokens[i] = (int32_t)((state >> 33) % n_vocab);
    }
    if (o->first) {
        if (evaluate(context, tokens, 0, 8, 8) < 0) status = fail("llama_decode failed", NULL);
    } else {
        printf("{\"engine\": \"llama.cpp v0.5.0\", \"backend\": \"%s\", \"threads\": %d, \"load_seconds\": "
               "%.6f, "
               "\"model_size\": %llu, \"results\": [",
               backend, o->threads, load, (unsigned long long)llama.model_size(model));
        if (o->depth && evaluate(context, tokens + most, 0, o->depth, 2048) < 0)
            status = fail("llama_decode failed", NULL);
        if (!status && o->prompt) status = run_test(context, tokens, o, false, "");
        if (!status && o->generate) status = run_test(context, tokens, o, true, o->prompt ? ", " : "");
        printf("]}\n");
    }
    free(tokens);
    llama.free_context(context);
    llama.free_model(model);
    return status;
}

int main(int argc, char **argv) {
    options o = {.prompt = 512, .generate = 128, .threads = 1, .repetitions = 3};
    const struct {
        const char *name;
        int *value, min;
    } numbers[] = {{"-p", &o.prompt, 0},
                   {"-n", &o.generate, 0},
                   {"-d", &o.depth, 0},
                   {"-t", &o.threads, 1},
                   {"-r", &o.repetitions, 1}};
    int bad = argc < 4;
    for (int i = 4; i < argc && !bad; i++) {
        if (!strcmp(argv[i], "--first")) {
            o.first = true;
            continue;
        }
        bad = 1;
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers && i + 1 < argc; k++)
            if (!strcmp(argv[i], numbers[k].name)) {
                *numbers[k].value = atoi(argv[++i]);
                bad = *numbers[k].value < numbers[k].min || *numbers[k].value > 1 << 20;
                break;
            }
    }
    if (bad) {
        fprintf(stderr,
                "usage: peer_llama LIBRARIES BACKENDS MODEL [-p P] [-n G] [-d DEPTH] [-t THREADS] [-r "
                "REPETITIONS] [--first]\n");
        return 2;
    }
    o.libraries = argv[1];
    o.backends = argv[2];
    o.model = argv[3];
    return run(&o);
}
