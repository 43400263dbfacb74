/* See peer_library.h: the defaults it expects, loading, and the comparison of layouts. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "peer_library.h"

peer_library llama;

const peer_model_params peer_model_defaults = {
    .n_gpu_layers = -1, .split_mode = 1, .load_mode = -1, .lazy_mode = 1, .repack = 1};
const peer_context_params peer_context_defaults = {.n_ctx = 512,
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

static int fail(const char *what, const char *detail) {
    fprintf(stderr, "llama.cpp: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
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
        {"llama_get_logits_ith", &llama.logits},
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
    uint8_t padding[sizeof(peer_context_params)] = {0};
    memset(padding + offsetof(peer_model_params, gap), 1, sizeof(int32_t));
    memset(padding + offsetof(peer_model_params, tail), 1, 2);
    if (!same_layout(llama.model_default_params, &peer_model_defaults, sizeof peer_model_defaults, padding))
        return fail("llama_model_params is not laid out as in v0.5.0; refusing to guess", NULL);
    memset(padding, 0, sizeof padding);
    memset(padding + offsetof(peer_context_params, tail), 1, 2);
    if (!same_layout(llama.context_default_params, &peer_context_defaults, sizeof peer_context_defaults,
                     padding))
        return fail("llama_context_params is not laid out as in v0.5.0; refusing to guess", NULL);
    return 0;
}

/* By what is mapped into this process. */
void peer_backend(char *out, size_t n) {
    char line[4096];
    FILE *f = fopen("/proc/self/maps", "r");
    snprintf(out, n, "none");
    while (f && fgets(line, sizeof line, f)) {
        const char *name = strrchr(line, '/') ? strstr(strrchr(line, '/'), "libggml-cpu-") : NULL;
        if (name) snprintf(out, n, "%.*s", (int)strcspn(name + 12, ".\n"), name + 12);
    }
    if (f) fclose(f);
}

/* llama.cpp reports every step it takes; here only errors are of interest. */
static void log_errors(int level, const char *text, void *user) {
    (void)user;
    if (level == 4) fputs(text, stderr);
}

int peer_open(const char *libraries, const char *backends) {
    if (load_library(libraries) || check_layout()) return 1;
    llama.log_set(log_errors, NULL);
    llama.backend_init();
    llama.load_backends(backends);
    return 0;
}
