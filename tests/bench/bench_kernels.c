/* How fast the kernels are, one line each: matvec in GB/s of weights streamed from memory, in tiles of the
 * size that evaluation takes, and gemm_panels in GOP/s with the weights of a pass in cache and 512 tokens, on
 * one thread, for every type of kernels.def on every instruction set of this machine. Each is followed by
 * what is its roof, so that the percentage compares two numbers taken a moment apart: matvec by a plain read
 * of the same memory, gemm by nothing but the multiply-adds it is made of, in registers. A program for
 * people, not a test: it judges nothing.
 *
 *     bench_kernels [--isa NAME] [--type NAME] [--only matvec|gemm] [--mb MEGABYTES] [--ms MILLISECONDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/kernels/support.h"

enum { K = 4096, TOKENS = 512, GEMM_ROWS = 256, TILE_BYTES = 256 << 10 };

typedef struct options {
    const char *isa, *type, *only;
    size_t bytes;
    double seconds;
} options;

static const struct type {
    const char *name;
    uint32_t format;
} types[] = {
#define W(name, NAME, act, panel) {#name, FORMAT_##NAME},
#include "kernels/kernels.def"
#undef W
};

/* Everything a measurement reads and writes. */
typedef struct buffers {
    char *w, *act;
    float *y, *c;
    panel *p;
    size_t w_bytes;
} buffers;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    memset(p, 0, bytes);
    return p;
}

/* Weights: any codes, scales small and finite. What is in memory repeats after some rows, which takes less
 * time to make and is as new to the caches. */
static void fill(uint32_t format, char *w, size_t bytes) {
    size_t row_bytes = format_row_bytes(format, K), n = GEMM_ROWS * row_bytes;
    rng r = rng_seed(1);
    for (size_t i = 0; i < GEMM_ROWS; i++) fill_weights(&r, format, WEIGHTS_RANDOM, w + i * row_bytes, K);
    for (size_t at = n; at < bytes; at += n) memcpy(w + at, w, bytes - at < n ? bytes - at : n);
}

/* GB/s of reading `bytes` as so many streams side by side: whole words, which the compiler turns into plain
 * vector loads, and prefetches far enough ahead that the memory, not its latency, sets the pace. */
static double read_bandwidth(const char *p, size_t bytes, size_t streams, volatile uint64_t *sink) {
    const uint64_t *words = (const uint64_t *)(const void *)p;
    const size_t apart = bytes / 64 / streams * 8;
    uint64_t sum[8] = {0};
    double start = now();
    for (size_t i = 0; i < apart; i += 8)
        for (size_t s = 0; s < streams; s++) {
            const uint64_t *line = words + s * apart + i;
            __builtin_prefetch(line + 2048 / 8, 0, 3);
            __builtin_prefetch(line + 16384 / 8, 0, 2);
            for (size_t j = 0; j < 8; j++) sum[j] ^= line[j];
        }
    double seconds = now() - start;
    for (size_t j = 0; j < 8; j++) *sink ^= sum[j];
    return (double)(apart * 8 * streams) / seconds * 1e-9;
}

static void bench_matvec(const kernels *k, const struct type *type, const options *o, buffers *b) {
    volatile uint64_t sink = 0;
    size_t row_bytes = format_row_bytes(type->format, K), n_rows = b->w_bytes / row_bytes, passes = 0;
    size_t tile = TILE_BYTES / row_bytes;
    double best = 0, best_read = 0, end = now() + o->seconds;
    do {
        double start = now();
        for (size_t row = 0; row < n_rows; row += tile)
            k->matvec[type->format](b->w + row * row_bytes, row_bytes,
                                    n_rows - row < tile ? n_rows - row : tile, K, b->act, b->y + row);
        double rate = (double)(n_rows * row_bytes) / (now() - start) * 1e-9;
        double read = read_bandwidth(b->w, n_rows * row_bytes, passes % 2 ? 4 : 1, &sink);
        if (rate > best) best = rate;
        if (read > best_read) best_read = read;
        passes++;
    } while (now() < end);
    printf("matvec %-6s %-12s %8.2f GB/s  %5.1f %% of plain reading (%.2f GB/s), best of %zu\n", type->name,
           k->isa, best, 100 * best / best_read, best_read, passes);
}

/* GOP/s of nothing but the multiply-adds that the type's panels are multiplied with. */
static double multiply_peak(const kernels *k, uint32_t format) {
    enum { ROUNDS = 20000 };
    double start = now();
    uint64_t n = gemm_peak(k, format, TOKENS)(ROUNDS);
    return (double)n / (now() - start) * 1e-9;
}

static void bench_gemm(const kernels *k, const struct type *type, const options *o, buffers *b) {
    size_t row_bytes = format_row_bytes(type->format, K), passes = 0;
    weight_traits traits = kernels_traits(type->format);
    act_kind act = gemm_act(k, type->format, TOKENS);
    size_t stride = act_row_bytes(act, K), rows = k->pass_panels * k->panel_rows[traits.panel];
    double best = 0, best_peak = 0, end = now() + o->seconds;
    do {
        size_t row = passes * rows % GEMM_ROWS;
        double start = now();
        gemm_panels(k, type->format, act, b->w + row * row_bytes, row_bytes, rows, K, b->act, stride, TOKENS,
                    b->p, b->c);
        double rate = 2.0 * K * TOKENS * (double)rows / (now() - start) * 1e-9;
        double peak = multiply_peak(k, type->format);
        if (rate > best) best = rate;
        if (peak > best_peak) best_peak = peak;
        passes++;
    } while (now() < end);
    printf("gemm   %-6s %-12s %8.2f GOP/s %5.1f %% of the multipliers (%.0f GOP/s), %d tokens, best of %zu\n",
           type->name, k->isa, best, 100 * best / best_peak, best_peak, TOKENS, passes);
}

/* TOKENS activation rows of a kind. */
static void fill_activations(const kernels *k, act_kind kind, char *act) {
    size_t stride = act_row_bytes(kind, K);
    float x[K];
    for (size_t i = 0; i < K; i++) x[i] = (float)((i * 37 + 11) % 64) / 32 - 1;
    for (size_t t = 0; t < TOKENS; t++) {
        if (kind == ACT_F32)
            memcpy(act + t * stride, x, sizeof x);
        else if (kind == ACT_Q8_32)
            k->quantize_q8_32(x, K, act + t * stride);
        else if (kind == ACT_BF16)
            k->encode[FORMAT_BF16](x, act + t * stride, K);
        else
            k->quantize_q8_256(x, K, act + t * stride);
    }
}

static int usage(void) {
    fprintf(stderr, "usage: bench_kernels [--isa NAME] [--type NAME] [--only matvec|gemm] [--mb MEGABYTES] "
                    "[--ms MILLISECONDS]\n");
    return 2;
}

int main(int argc, char **argv) {
    options o = {NULL, NULL, NULL, (size_t)256 << 20, 0.5};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) return usage();
        if (!strcmp(argv[i], "--isa"))
            o.isa = argv[i + 1];
        else if (!strcmp(argv[i], "--type"))
            o.type = argv[i + 1];
        else if (!strcmp(argv[i], "--only"))
            o.only = argv[i + 1];
        else if (!strcmp(argv[i], "--mb"))
            o.bytes = (size_t)strtoul(argv[i + 1], NULL, 10) << 20;
        else if (!strcmp(argv[i], "--ms"))
            o.seconds = strtod(argv[i + 1], NULL) * 1e-3;
        else
            return usage();
    }
    size_t least = (size_t)GEMM_ROWS * 2 * K * sizeof(float); /* the widest type, with a panel to spare */
    if (o.bytes < least) o.bytes = least;
    buffers b = {.w_bytes = o.bytes};
    b.w = allocate(b.w_bytes);
    b.act = allocate(TOKENS * act_row_bytes(ACT_F32, K));
    b.y = allocate(b.w_bytes / 128); /* four bytes per row; rows of 4096 values have 576 bytes at least */
    b.c = allocate(sizeof(float) * TOKENS * GEMM_ROWS);
    b.p = allocate(sizeof *b.p);
    for (size_t i = 0; kernels_isa(i); i++) {
        kernels k;
        if (!kernels_init(&k, kernels_isa(i)) || (o.isa && strcmp(o.isa, k.isa) != 0)) continue;
        for (size_t s = 0; s < sizeof types / sizeof *types; s++) {
            if (o.type && strcmp(o.type, types[s].name) != 0) continue;
            fill(types[s].format, b.w, b.w_bytes);
            fill_activations(&k, kernels_traits(types[s].format).act, b.act);
            if (!o.only || !strcmp(o.only, "matvec")) bench_matvec(&k, &types[s], &o, &b);
            fill_activations(&k, gemm_act(&k, types[s].format, TOKENS), b.act);
            if (!o.only || !strcmp(o.only, "gemm")) bench_gemm(&k, &types[s], &o, &b);
        }
    }
    free(b.w);
    free(b.act);
    free(b.y);
    free(b.c);
    free(b.p);
    return 0;
}
