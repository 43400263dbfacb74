/* llama.cpp v0.5.0 as far as programs of this folder call it: layouts, functions, and getting hold of them.
 *
 * The libraries come without headers. What is declared here is the little that is called, in our words, for
 * the one version it was written for. Parameters are structs passed by value, so a wrong layout would be
 * silent nonsense: peer_open compares the defaults that the library itself fills in byte by byte with the
 * layout below (values, and how many bytes are written) before anything else, and refuses to go on if they
 * differ. x86-64 System V calls only: a struct this large is returned through a pointer in the first
 * argument's place, which is what makes that comparison possible. Links to nothing of Leat's. */
#ifndef LEAT_PEER_LIBRARY_H
#define LEAT_PEER_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__) || !defined(__linux__)
#    error "these are x86-64 Linux libraries"
#endif

typedef struct peer_model_params {
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
} peer_model_params;

typedef struct peer_context_params {
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
} peer_context_params;

typedef struct peer_batch {
    int32_t n;
    int32_t gap;
    int32_t *tokens;
    void *embeddings, *positions, *n_sequences, *sequences;
    int8_t *logits; /* of which tokens; NULL: of the last */
} peer_batch;

_Static_assert(sizeof(peer_model_params) == 80 && sizeof(peer_context_params) == 160 &&
                   sizeof(peer_batch) == 56,
               "layout of llama.cpp v0.5.0");

extern const peer_model_params peer_model_defaults;
extern const peer_context_params peer_context_defaults;

typedef struct peer_library {
    void *(*model_default_params)(void *out);
    void *(*context_default_params)(void *out);
    void (*log_set)(void (*callback)(int level, const char *text, void *user), void *user);
    void (*backend_init)(void);
    void (*load_backends)(const char *folder);
    void *(*load_model)(const char *path, peer_model_params params);
    void *(*open_context)(void *model, peer_context_params params);
    int32_t (*decode)(void *context, peer_batch b);
    void (*synchronize)(void *context);
    void *(*memory)(const void *context);
    bool (*memory_remove)(void *memory, int32_t sequence, int32_t from, int32_t to);
    const void *(*vocabulary)(const void *model);
    int32_t (*n_tokens)(const void *vocabulary);
    uint64_t (*model_size)(const void *model);
    void (*free_context)(void *context);
    void (*free_model)(void *model);
    const float *(*logits)(void *context, int32_t i);
} peer_library;

extern peer_library llama;

/* Opens the libraries in a folder, then the best backend for this machine in another. 0, or a sentence on
 * stderr and 1. */
int peer_open(const char *libraries, const char *backends);
/* Which backend that was: the name between "libggml-cpu-" and ".so". */
void peer_backend(char *out, size_t n);

#endif
