/* How fast the kernels are, one line each, on one thread and every instruction set of this machine:
 *
 *     matvec  GB/s of weights streamed from memory, in tiles of the size that evaluation takes, for every
 * type of kernels.def gemm    GOP/s of gemm_panels with the weights of a pass in cache and 512 tokens, for
 * the same attend  for heads of 64 and 128 and every type that keys and values can be kept in: GB/s of these,
 *             streamed from memory by one token behind 4096 others, and GOP/s of a tile of a prompt's tokens
 *             behind a thousand, with their keys and values in cache
 *
 * Each is followed by what is its roof, so that the percentage compares two numbers taken a moment apart:
 * GB/s by a plain read of the same memory, GOP/s by nothing but the multiply-adds it is made of, in
 * registers. A program for people, not a test: it judges nothing.
 *
 *     bench_kernels [--isa NAME] [--type NAME] [--only matvec|gemm|attend] [--mb MEGABYTES]
 *                   [--ms MILLISECONDS] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/kernels/support.h"

enum { K = 4096, TOKENS = 512, GEMM_ROWS = 256, TILE_BYTES = 256 << 10 };

/* Query heads that share a KV head; keys that a token sees, alone and as one of a prompt, of which a tile has
 * as many tokens as a call may have rows. */
enum { HEADS = 4, KEYS_ONE = 4096, KEYS_MANY = 1024, TILE_TOKENS = ATTEND_ROWS_MAX / HEADS, DIM_MAX = 128 };

typedef struct options {
    const char *isa, *type, *only;
    size_t bytes;
    double seconds;
} options;

static const struct type {
    const char *name;
    uint32_t format;
} types[] =
    {
#define W(name, NAME, act, panel) {#name, FORMAT_##NAME},
#include "kernels/kernels.def"
#undef W
},
  cache_types[] = {
#define E(name, NAME) {#name, FORMAT_##NAME},
#include "kernels/kernels.def"
#undef E
};
enum { N_TYPES = sizeof types / sizeof *types, N_CACHE_TYPES = sizeof cache_types / sizeof *cache_types };

/* Everything a measurement reads and writes. */
typedef struct buffers {
    char *w, *act;
    float *y, *c;
    panel *p;
    float *q, *out; /* (ATTEND_ROWS_MAX, DIM_MAX) */
    void *scratch;  /* ATTEND_SCRATCH */
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

/* What is in memory repeats after some rows, which takes less time to make and is as new to the caches. */
static void repeat(char *w, size_t n, size_t bytes) {
    for (size_t at = n; at < bytes; at += n) memcpy(w + at, w, bytes - at < n ? bytes - at : n);
}

/* Weights: any codes, scales small and finite. */
static void fill(uint32_t format, char *w, size_t bytes) {
    size_t row_bytes = format_row_bytes(format, K), n = GEMM_ROWS * row_bytes;
    rng r = rng_seed(1);
    for (size_t i = 0; i < GEMM_ROWS; i++) fill_weights(&r, format, WEIGHTS_RANDOM, w + i * row_bytes, K);
    repeat(w, n, bytes);
}

/* Keys and values between -1 and 1. */
static void fill_cache(const kernels *k, uint32_t format, char *w, size_t bytes) {
    size_t row_bytes = format_row_bytes(format, K), n = GEMM_ROWS * row_bytes;
    float x[K];
    rng r = rng_seed(2);
    for (size_t i = 0; i < GEMM_ROWS; i++) {
        for (size_t j = 0; j < K; j++) x[j] = rng_float(&r);
        k->encode[format](x, w + i * row_bytes, K);
    }
    repeat(w, n, bytes);
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

/* GOP/s of nothing but multiply-adds. */
static double multiply_peak(peak_fn *peak) {
    enum { ROUNDS = 20000 };
    double start = now();
    uint64_t n = peak(ROUNDS);
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
        double peak = multiply_peak(gemm_peak(k, type->format, TOKENS));
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

/* ---- attention ---- */

/* Attention of one KV head of `dim` values whose keys lie at k and values at v. */
static attend_args attention(uint32_t format, size_t dim, const char *k, const char *v, const buffers *b) {
    return (attend_args){.q = b->q,
                         .out = b->out,
                         .k = k,
                         .v = v,
                         .q_stride = HEADS * dim,
                         .out_stride = HEADS * dim,
                         .k_stride = format_row_bytes(format, dim),
                         .v_stride = format_row_bytes(format, dim),
                         .n_tokens = 1,
                         .n_heads = HEADS,
                         .n_keys = KEYS_ONE,
                         .head_dim_k = dim,
                         .head_dim_v = dim,
                         .k_format = format,
                         .v_format = format,
                         .scale = 1 / sqrtf((float)dim),
                         .coarse = true,
                         .scratch = b->scratch};
}

/* One token: as many heads as fill the memory, each with keys, then values. */
static void bench_attend_one(const kernels *k, const struct type *type, size_t dim, const options *o,
                             buffers *b) {
    volatile uint64_t sink = 0;
    size_t half = KEYS_ONE * format_row_bytes(type->format, dim), n = b->w_bytes / (2 * half), passes = 0;
    double best = 0, best_read = 0, end = now() + o->seconds;
    do {
        double start = now();
        for (size_t i = 0; i < n; i++) {
            const char *keys = b->w + i * 2 * half;
            attend_args a = attention(type->format, dim, keys, keys + half, b);
            k->attend(&a);
        }
        double rate = (double)(n * 2 * half) / (now() - start) * 1e-9;
        double read = read_bandwidth(b->w, n * 2 * half, passes % 2 ? 4 : 1, &sink);
        if (rate > best) best = rate;
        if (read > best_read) best_read = read;
        passes++;
    } while (now() < end);
    printf(
        "attend %-6s %-12s %8.2f GB/s  %5.1f %% of plain reading (%.2f GB/s), heads of %zu, one token, best "
        "of %zu\n",
        type->name, k->isa, best, 100 * best / best_read, best_read, dim, passes);
}

/* The multiply-adds of many tokens' attention are those of floats, but of tiles of bfloat16 where the set has
 * these and the cache is not kept as floats. */
static peak_fn *attend_peak(const kernels *k, uint32_t format) {
    return k->tiles_peak && format != FORMAT_F32 ? k->tiles_peak : k->peak[PANEL_F32];
}

/* A tile of a prompt's tokens, the last of which sees KEYS_MANY. */
static void bench_attend_many(const kernels *k, const struct type *type, size_t dim, const options *o,
                              buffers *b) {
    size_t half = KEYS_MANY * format_row_bytes(type->format, dim), passes = 0;
    attend_args a = attention(type->format, dim, b->w, b->w + half, b);
    double seen = 0, best = 0, best_peak = 0, end = now() + o->seconds;
    a.n_tokens = TILE_TOKENS;
    a.n_keys = KEYS_MANY - TILE_TOKENS + 1;
    for (size_t t = 0; t < TILE_TOKENS; t++) seen += (double)(a.n_keys + t);
    do {
        double start = now();
        k->attend(&a);
        /* each value of a key and of a value is multiplied and added once for each head that sees it */
        double rate = 2.0 * 2 * (double)dim * HEADS * seen / (now() - start) * 1e-9;
        double peak = multiply_peak(attend_peak(k, type->format));
        if (rate > best) best = rate;
        if (peak > best_peak) best_peak = peak;
        passes++;
    } while (now() < end);
    printf("attend %-6s %-12s %8.2f GOP/s %5.1f %% of the multipliers (%.0f GOP/s), heads of %zu, %d tokens, "
           "best of %zu\n",
           type->name, k->isa, best, 100 * best / best_peak, best_peak, dim, TILE_TOKENS, passes);
}

/* ---- the program ---- */

static bool wants(const char *asked, const char *name) {
    return !asked || !strcmp(asked, name);
}

static void run_isa(const kernels *k, const options *o, buffers *b) {
    for (size_t s = 0; s < N_TYPES && (wants(o->only, "matvec") || wants(o->only, "gemm")); s++) {
        if (!wants(o->type, types[s].name)) continue;
        fill(types[s].format, b->w, b->w_bytes);
        fill_activations(k, kernels_traits(types[s].format).act, b->act);
        if (wants(o->only, "matvec")) bench_matvec(k, &types[s], o, b);
        fill_activations(k, gemm_act(k, types[s].format, TOKENS), b->act);
        if (wants(o->only, "gemm")) bench_gemm(k, &types[s], o, b);
    }
    for (size_t s = 0; s < N_CACHE_TYPES && wants(o->only, "attend"); s++) {
        if (!wants(o->type, cache_types[s].name)) continue;
        fill_cache(k, cache_types[s].format, b->w, b->w_bytes);
        for (size_t dim = DIM_MAX / 2; dim <= DIM_MAX; dim *= 2) {
            bench_attend_one(k, &cache_types[s], dim, o, b);
            bench_attend_many(k, &cache_types[s], dim, o, b);
        }
    }
}

static bool is_type(const struct type *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return true;
    return false;
}

static int wrong(const char *option, const char *value, const char *allowed) {
    fprintf(stderr, "bench_kernels: %s must be %s, not \"%s\"\n", option, allowed, value);
    return 2;
}

/* 0: all options are good; 2: said what is not. */
static int check(const options *o) {
    kernels k;
    char names[256] = "one of";
    if (o->only && strcmp(o->only, "matvec") != 0 && strcmp(o->only, "gemm") != 0 &&
        strcmp(o->only, "attend") != 0)
        return wrong("--only", o->only, "matvec, gemm or attend");
    for (size_t i = 0; kernels_isa(i); i++) {
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, " %s", kernels_isa(i));
    }
    if (o->isa && !kernels_init(&k, o->isa)) return wrong("--isa", o->isa, names);
    bool attend_only = o->only && !strcmp(o->only, "attend"), other = o->only && !attend_only;
    bool weights = !attend_only && (!o->type || is_type(types, N_TYPES, o->type));
    bool cache = !other && (!o->type || is_type(cache_types, N_CACHE_TYPES, o->type));
    if (weights || cache) return 0;
    snprintf(names, sizeof names, "one of");
    const struct type *list = attend_only ? cache_types : types;
    for (size_t i = 0; i < (attend_only ? N_CACHE_TYPES : N_TYPES); i++) {
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, " %s", list[i].name);
    }
    return wrong("--type", o->type, names);
}

static int usage(void) {
    fprintf(stderr, "usage: bench_kernels [--isa NAME] [--type NAME] [--only matvec|gemm|attend] "
                    "[--mb MEGABYTES] [--ms MILLISECONDS]\n");
    return 2;
}

/* A number above 0 and up to `most`; 0: it is none. */
static double positive(const char *text, double most) {
    char *end;
    double v = strtod(text, &end);
    return *text && !*end && v > 0 && v <= most ? v : 0;
}

static int parse(int argc, char **argv, options *o) {
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1]; /* argv ends with NULL */
        double number;
        if (!value) return usage();
        if (!strcmp(name, "--isa")) {
            o->isa = value;
        } else if (!strcmp(name, "--type")) {
            o->type = value;
        } else if (!strcmp(name, "--only")) {
            o->only = value;
        } else if (!strcmp(name, "--mb")) {
            if (!(number = positive(value, 1 << 20))) return wrong(name, value, "above 0, to 1048576");
            o->bytes = (size_t)(number * (1 << 20));
        } else if (!strcmp(name, "--ms")) {
            if (!(number = positive(value, 1e6))) return wrong(name, value, "above 0, to 1000000");
            o->seconds = number * 1e-3;
        } else {
            return usage();
        }
    }
    return check(o);
}

int main(int argc, char **argv) {
    options o = {NULL, NULL, NULL, (size_t)256 << 20, 0.5};
    int status = parse(argc, argv, &o);
    if (status) return status;
    size_t least = (size_t)GEMM_ROWS * 2 * K * sizeof(float); /* the widest type, with a panel to spare */
    if (o.bytes < least) o.bytes = least;
    buffers b = {.w_bytes = o.bytes};
    b.w = allocate(b.w_bytes);
    b.act = allocate(TOKENS * act_row_bytes(ACT_F32, K));
    b.y = allocate(b.w_bytes / 128); /* four bytes per row; rows of 4096 values have 576 bytes at least */
    b.c = allocate(sizeof(float) * TOKENS * GEMM_ROWS);
    b.p = allocate(sizeof *b.p);
    b.q = allocate(sizeof(float) * ATTEND_ROWS_MAX * DIM_MAX);
    b.out = allocate(sizeof(float) * ATTEND_ROWS_MAX * DIM_MAX);
    b.scratch = allocate(ATTEND_SCRATCH);
    rng r = rng_seed(3);
    for (size_t i = 0; i < ATTEND_ROWS_MAX * DIM_MAX; i++) b.q[i] = rng_float(&r);
    for (size_t i = 0; kernels_isa(i); i++) {
        kernels k;
        if (kernels_init(&k, kernels_isa(i)) && wants(o.isa, k.isa)) run_isa(&k, &o, &b);
    }
    void *all[] = {b.w, b.act, b.y, b.c, b.p, b.q, b.out, b.scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    return 0;
}
