/* Runs a model through llama.cpp and prints what `leat bench` would, as one line of JSON, so that both can be
 * compared: the same tests (a prompt of P tokens into an empty context; G tokens one by one), the same
 * warm-up, one process. Used by tests/bench/compare; links to nothing of Leat's.
 *
 *     peer_llama LIBRARIES BACKENDS MODEL [-p P] [-n G] [-d DEPTH] [-t THREADS] [-r REPETITIONS] [--first]
 *
 * LIBRARIES is a folder with libllama.v0.5.0.so, BACKENDS one with the libggml-cpu-*.so to choose from.
 * --first evaluates a prompt of 8 tokens once and ends: for the time and memory of a whole process.
 *
 * The libraries come without headers. What is declared here is the little that is called, in our words, for
 * the one version it was written for. Parameters are structs passed by value, so a wrong layout would be
 * silent nonsense: before anything else the defaults that the library itself fills in are compared byte by
 * byte with the layout below (values, and how many bytes are written), and this program refuses to run if
 * they differ. x86-64 System V calls only: a struct this large is returned through a pointer in the first
 * argument's place, which is what makes that comparison possible. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if !defined(__x86_64__) || !defined(__linux__)
#    error "peer_llama drives x86-64 Linux libraries"
#endif

/* ---- llama.cpp v0.5.0, as far as it is needed ---- */

typedef struct model_params {
    void *devices, *buffer_overrides;
    int32_t n_gpu_layers; /* -1: all */
    int32_t split_mode;   /* 1: by layer */
    int32_t load_mode;    /* -1: chosen by the library */
    int32_t lazy_mode;    /* 1: chosen by the library */
    int32_t main_gpu;
    int32_t gap;
    void *tensor_split, *progress, *progress_user, *overrides;
    uint8_t vocab_only, check_tensors, repack, no_host, no_alloc, load_mtp;
    uint8_t tail[2];
} model_params;

typedef struct context_params {
    uint32_t n_ctx, n_batch, n_ubatch, n_seq_max;
    uint32_t n_rs_seq, n_outputs_max, n_outputs_max_per_seq;
    int32_t n_threads, n_threads_batch;
    int32_t context_type, rope_scaling, pooling, attention, flash_attention;
    float rope_base, rope_scale, yarn_ext, yarn_attn, yarn_fast, yarn_slow;
    uint32_t yarn_ctx;
    float defrag;
    void *eval_callback, *eval_user;
    int32_t type_k, type_v; /* 1: f16 */
    void *abort_callback, *abort_user;
    uint8_t embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified;
    uint8_t tail[2];
    void *samplers;
    size_t n_samplers;
    void *other;
} context_params;

typedef struct batch {
    int32_t n;
    int32_t gap;
    int32_t *tokens;
    void *embeddings, *positions, *n_sequences, *sequences, *logits;
} batch;

_Static_assert(sizeof(model_params) == 80 && sizeof(context_params) == 160 && sizeof(batch) == 56,
               "layout of llama.cpp v0.5.0");

static const model_params model_defaults = {
    .n_gpu_layers = -1, .split_mode = 1, .load_mode = -1, .lazy_mode = 1, .repack = 1};
static const context_params context_defaults = {.n_ctx = 512,
                                                .n_batch = 2048,
                                                .n_ubatch = 512,
                                                .n_seq_max = 1,
                                                .n_outputs_max_per_seq = 1,
                                                .n_threads = 4,
                                                .n_threads_batch = 4,
                                                .rope_scaling = -1,
                                                .pooling = -1,
                                                .attention = -1,
                                                .flash_attention = -1,
                                                .yarn_ext = -1,
                                                .yarn_attn = -1,
                                                .yarn_fast = -1,
                                                .yarn_slow = -1,
                                                .defrag = -1,
                                                .type_k = 1,
                                                .type_v = 1,
                                                .offload_kqv = 1,
                                                .no_perf = 1,
                                                .op_offload = 1,
                                                .swa_full = 1};

static struct library {
    void *(*model_default_params)(void *out);
    void *(*context_default_params)(void *out);
    void (*log_set)(void (*callback)(int level, const char *text, void *user), void *user);
    void (*backend_init)(void);
    void (*load_backends)(const char *folder);
    void *(*load_model)(const char *path, model_params params);
    void *(*open_context)(void *model, context_params params);
    int32_t (*decode)(void *context, batch b);
    void (*synchronize)(void *context);
    void *(*memory)(const void *context);
    bool (*memory_remove)(void *memory, int32_t sequence, int32_t from, int32_t to);
    const void *(*vocabulary)(const void *model);
    int32_t (*n_tokens)(const void *vocabulary);
    uint64_t (*model_size)(const void *model);
    void (*free_context)(void *context);
    void (*free_model)(void *model);
} llama;

/* ---- getting hold of it ---- */

static int fail(const char *what, const char *detail) {
    fprintf(stderr, "peer_llama: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    return 1;
}

static void *open_library(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

static int load_library(const char *folder) {
    static const char *const files[] = {"libggml-base.so", "libggml.v0.5.0.so", "libllama.v0.5.0.so"};
    const struct {
        const char *name;
        void *where;
    } symbols[] = {
        {"llama_model_default_params", &llama.model_default_params},
        {"llama_context_default_params", &llama.context_default_params},
        {"llama_log_set", &llama.log_set},
        {"llama_backend_init", &llama.backend_init},
        {"ggml_backend_load_all_from_path", &llama.load_backends},
        {"llama_model_load_from_file", &llama.load_model},
        {"llama_init_from_model", &llama.open_context},
        {"llama_decode", &llama.decode},
        {"llama_synchronize", &llama.synchronize},
        {"llama_get_memory", &llama.memory},
        {"llama_memory_seq_rm", &llama.memory_remove},
        {"llama_model_get_vocab", &llama.vocabulary},
        {"llama_vocab_n_tokens", &llama.n_tokens},
        {"llama_model_size", &llama.model_size},
        {"llama_free", &llama.free_context},
        {"llama_model_free", &llama.free_model},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!open_library(folder, files[i])) return fail("no llama.cpp v0.5.0 there", dlerror());
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(RTLD_DEFAULT, symbols[i].name);
        if (!symbol) return fail("llama.cpp lacks a function", symbols[i].name);
        memcpy(symbols[i].where, &symbol, sizeof symbol); /* a function pointer from an object pointer */
    }
    return 0;
}

/* Does the function fill exactly these bytes in? It runs twice, over memory of ones and of zeros: a byte that
 * it does not write (padding) differs between the two. Every byte of a member has to be written and right,
 * and none behind the struct. */
static bool same_layout(void *(*defaults)(void *), const void *expected, size_t size,
                        const uint8_t *padding) {
    uint8_t ones[1024], zeros[1024];
    memset(ones, 0xFF, sizeof ones);
    memset(zeros, 0, sizeof zeros);
    defaults(ones);
    defaults(zeros);
    for (size_t i = 0; i < sizeof ones; i++) {
        bool written = ones[i] == zeros[i];
        if (i >= size ? written : padding[i] ? false : !written || ones[i] != ((const uint8_t *)expected)[i])
            return false;
    }
    return true;
}

static int check_layout(void) {
    uint8_t padding[sizeof(context_params)] = {0};
    memset(padding + offsetof(model_params, gap), 1, sizeof(int32_t));
    memset(padding + offsetof(model_params, tail), 1, 2);
    if (!same_layout(llama.model_default_params, &model_defaults, sizeof model_defaults, padding))
        return fail("llama_model_params is not laid out as in v0.5.0; refusing to guess", NULL);
    memset(padding, 0, sizeof padding);
    memset(padding + offsetof(context_params, tail), 1, 2);
    if (!same_layout(llama.context_default_params, &context_defaults, sizeof context_defaults, padding))
        return fail("llama_context_params is not laid out as in v0.5.0; refusing to guess", NULL);
    return 0;
}

/* Which backend it chose: the name between "libggml-cpu-" and ".so" of what is mapped into this process. */
static void find_backend(char *out, size_t n) {
    char line[4096];
    FILE *f = fopen("/proc/self/maps", "r");
    snprintf(out, n, "none");
    while (f && fgets(line, sizeof line, f)) {
        const char *name = strrchr(line, '/') ? strstr(strrchr(line, '/'), "libggml-cpu-") : NULL;
        if (name) snprintf(out, n, "%.*s", (int)strcspn(name + 12, ".\n"), name + 12);
    }
    if (f) fclose(f);
}

/* ---- measuring ---- */

enum { MAX_REPETITIONS = 1000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* llama.cpp reports every step it takes; here only errors are of interest. */
static void log_errors(int level, const char *text, void *user) {
    (void)user;
    if (level == 4) fputs(text, stderr);
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
    llama.log_set(log_errors, NULL);
    llama.backend_init();
    llama.load_backends(o->backends);
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
    int status = load_library(o.libraries);
    if (!status) status = check_layout();
    if (!status) status = run(&o);
    return status;
}
