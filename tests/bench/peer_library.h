/* llama.cpp v0.5.0 as shared libraries, as far as programs here call it: peer_llama.c,
 * peer_files.c, peer_accuracy.c.
 * Everything is static: a program includes this once.
 *
 * The libraries come without headers. What is declared here is the little that is called, in our words, for
 * the one version it was written for. Parameters are structs passed by value, so a wrong layout would be
 * silent nonsense: before anything else the defaults that the library itself fills in are compared byte by
 * byte with the layout below (values, and how many bytes are written), and programs refuse to run if they
 * differ. x86-64 System V calls only: a struct this large is returned through a pointer in the first
 * argument's place, which is what makes that comparison possible. */
#ifndef LEAT_TESTS_PEER_LIBRARY_H
#define LEAT_TESTS_PEER_LIBRARY_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__x86_64__) || !defined(__linux__)
#    error "this drives x86-64 Linux libraries"
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

typedef struct imatrix_entry {
    const char *name; /* NULL ends a list */
    const float *data;
    size_t n;
} imatrix_entry;

typedef struct quantize_params {
    int32_t n_threads, type, output_type, embedding_type; /* the last two: 43 leaves them to the mix */
    uint8_t allow_requantize, quantize_output, only_copy, pure, keep_split, dry_run;
    uint8_t tail[2];
    const imatrix_entry *imatrix;
    const void *overrides, *tensor_types, *prune;
    int32_t chosen[2]; /* by the library */
} quantize_params;

typedef struct batch {
    int32_t n;
    int32_t gap;
    int32_t *tokens;
    void *embeddings, *positions, *n_sequences, *sequences, *logits;
} batch;

_Static_assert(sizeof(model_params) == 80 && sizeof(context_params) == 160 && sizeof(batch) == 56 &&
                   sizeof(quantize_params) == 64,
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

static const quantize_params quantize_defaults = {
    .type = 7, .output_type = 43, .embedding_type = 43, .quantize_output = 1, .chosen = {0, 2}};

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
    const float *(*logits)(void *context, int32_t i);
    const float *(*embeddings)(void *context, int32_t sequence);
    int32_t (*width)(const void *model);
    void *(*quantize_default_params)(void *out);
    uint32_t (*quantize)(const char *in, const char *out, const quantize_params *params);
    void (*free_context)(void *context);
    void (*free_model)(void *model);
} llama;

/* ---- getting hold of it ---- */

static int fail(const char *what, const char *detail) {
    fprintf(stderr, "peer: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
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
        {"llama_get_logits_ith", &llama.logits},
        {"llama_get_embeddings_seq", &llama.embeddings},
        {"llama_model_n_embd_out", &llama.width},
        {"llama_model_quantize_default_params", &llama.quantize_default_params},
        {"llama_model_quantize", &llama.quantize},
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
    memset(padding, 0, sizeof padding);
    memset(padding + offsetof(quantize_params, tail), 1, 2);
    if (!same_layout(llama.quantize_default_params, &quantize_defaults, sizeof quantize_defaults, padding))
        return fail("llama_model_quantize_params is not laid out as in v0.5.0; refusing to guess", NULL);
    return 0;
}

/* llama.cpp reports every step it takes; here only errors are of interest. */
static void log_errors(int level, const char *text, void *user) {
    (void)user;
    if (level == 4) fputs(text, stderr);
}

/* Opens the libraries in a folder, then the best backend for this machine in another. 0, or a sentence on
 * stderr and 1. */
static int open_libraries(const char *folder, const char *backends) {
    if (load_library(folder) || check_layout()) return 1;
    llama.log_set(log_errors, NULL);
    llama.backend_init();
    llama.load_backends(backends);
    return 0;
}

/* Which backend that was: the name between "libggml-cpu-" and ".so" of what is mapped into this process. */
static inline void find_backend(char *out, size_t n) {
    char line[4096];
    FILE *f = fopen("/proc/self/maps", "r");
    snprintf(out, n, "none");
    while (f && fgets(line, sizeof line, f)) {
        const char *name = strrchr(line, '/') ? strstr(strrchr(line, '/'), "libggml-cpu-") : NULL;
        if (name) snprintf(out, n, "%.*s", (int)strcspn(name + 12, ".\n"), name + 12);
    }
    if (f) fclose(f);
}

#endif
