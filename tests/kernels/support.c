/* See support.h. */
#include "support.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

rng rng_seed(uint64_t seed) {
    return (rng){seed * 0x9e3779b97f4a7c15u + 0x243f6a8885a308d3u};
}

uint64_t rng_bits(rng *r) {
    uint64_t x = r->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return x * 0x2545f4914f6cdd1du;
}

size_t rng_below(rng *r, size_t n) {
    return (size_t)(rng_bits(r) >> 33) % n;
}

float rng_float(rng *r) {
    return (float)((double)(rng_bits(r) >> 40) * 0x1p-23 - 1 + 0x1p-25);
}

void rng_fill(rng *r, void *p, size_t n) {
    for (size_t i = 0; i < n; i++) ((unsigned char *)p)[i] = (unsigned char)(rng_bits(r) >> 56);
}

fenced fenced_map(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    fenced f = {NULL, (bytes + page - 1) / page * page, 0};
    f.mapped = f.bytes + page;
    void *base = mmap(NULL, f.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect((char *)base + f.bytes, page, PROT_NONE) != 0) {
        perror("fenced_map");
        exit(1);
    }
    f.base = base;
    return f;
}

void fenced_unmap(fenced *f) {
    munmap(f->base, f->mapped);
}

void *fenced_end(const fenced *f, size_t n) {
    if (n > f->bytes) {
        fprintf(stderr, "fenced_end: %zu bytes of %zu\n", n, f->bytes);
        exit(1);
    }
    return f->base + f->bytes - n;
}

enum { GUARD = 128, GUARD_BYTE = 0xa5 };

output output_new(size_t n) {
    size_t all = GUARD + (n + GUARD + 63) / 64 * 64;
    output o = {aligned_alloc(64, all), NULL, n};
    if (!o.memory) {
        perror("output_new");
        exit(1);
    }
    memset(o.memory, GUARD_BYTE, all);
    o.p = o.memory + GUARD;
    return o;
}

bool output_intact(const output *o) {
    for (size_t i = 0; i < GUARD; i++)
        if (o->memory[i] != GUARD_BYTE || o->memory[GUARD + o->n + i] != GUARD_BYTE) return false;
    return true;
}

void output_free(output *o) {
    free(o->memory);
}

/* The signal handler may only look at plain memory, and a test program is one process: hence these two
 * globals. */
static char running[128];
static bool handler_set;

static void on_crash(int sig) {
    size_t n = strlen(running);
    if (write(2, running, n) != (ssize_t)n) n = 0;
    signal(sig, SIG_DFL); /* the instruction runs again and ends the program as it would have */
}

void now_testing(const char *isa, const char *kernel) {
    snprintf(running, sizeof running, "crashed in %s on %s\n", kernel, isa);
    if (handler_set) return;
    handler_set = true;
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    signal(SIGILL, on_crash);
}

size_t tables_of_this_machine(kernels tables[ISA_MAX]) {
    size_t n = 0;
    for (const char *isa; n < ISA_MAX && (isa = kernels_isa(n)); n++)
        if (!kernels_init(&tables[n], isa)) {
            fprintf(stderr, "kernels_init refuses %s, which kernels_isa lists\n", isa);
            exit(1);
        }
    return n;
}

/* IQ1_M keeps its scale in quarters: the top four bits of the four words at byte 48. */
static void put_iq1_m_scale(unsigned char *block, uint16_t h) {
    for (int i = 0; i < 4; i++) {
        unsigned char *top = block + 49 + 2 * i;
        *top = (unsigned char)((*top & 15) | (h >> 4 * i & 15) << 4);
    }
}

/* Offsets of the f16 scales in a block; the second is -1 where there is one only. Plain types have none. */
static void scale_offsets(uint32_t format, int at[2]) {
    at[0] = at[1] = -1;
    switch (format) {
    case FORMAT_Q4_1:
    case FORMAT_Q5_1:
    case FORMAT_Q4_K:
    case FORMAT_Q5_K: at[0] = 0, at[1] = 2; break;
    case FORMAT_Q6_K: at[0] = 208; break;
    case FORMAT_Q2_K: at[0] = 80, at[1] = 82; break;
    case FORMAT_Q3_K: at[0] = 108; break;
    case FORMAT_TQ1_0: at[0] = 52; break;
    case FORMAT_TQ2_0: at[0] = 64; break;
    case FORMAT_MXFP4: /* bytes of their own kind */
    case FORMAT_NVFP4: break;
    default:
        if (format_get(format)->block_elems > 1) at[0] = 0;
    }
}

/* The scales of FP4 types, so that they are what the ways promise for halves. */
static void fill_byte_scales(rng *r, uint32_t format, int way, unsigned char *block) {
    static const unsigned char exponent[WEIGHTS_WAYS] = {110, 0, 128, 128, 0, 143},
                               range[WEIGHTS_WAYS] = {20, 1, 1, 1, 4, 1};
    if (format == FORMAT_MXFP4) block[0] = (unsigned char)(exponent[way] + rng_below(r, range[way]));
    if (format == FORMAT_NVFP4)
        for (int g = 0; g < 4; g++)
            if (way == WEIGHTS_TINY) block[g] = (unsigned char)(rng_below(r, 16));
}

static void fill_scales(rng *r, uint32_t format, int way, unsigned char *w, size_t n) {
    const format_info *f = format_get(format);
    int at[2];
    scale_offsets(format, at);
    for (size_t block = 0; block < n / f->block_elems; block++, w += f->block_bytes) {
        fill_byte_scales(r, format, way, w);
        for (int i = 0; i < 2 && at[i] >= 0; i++) {
            float d = rng_float(r) * 0.1f;
            if (way == WEIGHTS_ONES) d = 1;
            if (way == WEIGHTS_LOW) d = -1;
            if (way == WEIGHTS_TINY) d = ldexpf((float)(1 + rng_below(r, 4)), -24);
            if (way == WEIGHTS_HUGE) d = rng_below(r, 2) ? 65504.0f : -65504.0f;
            uint16_t h = f16_from_f32(d);
            if (format == FORMAT_IQ1_M)
                put_iq1_m_scale(w, h);
            else
                memcpy(w + at[i], &h, sizeof h);
        }
    }
}

static void fill_plain(rng *r, uint32_t format, int way, char *w, size_t n) {
    static const float size[WEIGHTS_WAYS] = {1, 0, 1, -1, 0x1p-24f, 65504};
    for (size_t i = 0; i < n; i++) {
        float v = size[way] * (way == WEIGHTS_ONES || way == WEIGHTS_LOW ? 1 : rng_float(r));
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        uint16_t half = format == FORMAT_F16 ? f16_from_f32(v) : (uint16_t)(bits >> 16);
        double wide = v;
        if (format == FORMAT_F64)
            memcpy(w + 8 * i, &wide, 8);
        else if (format == FORMAT_F32)
            memcpy(w + 4 * i, &v, 4);
        else
            memcpy(w + 2 * i, &half, 2);
    }
}

void fill_weights(rng *r, uint32_t format, int way, void *w, size_t n) {
    const format_info *f = format_get(format);
    size_t bytes = format_row_bytes(format, n);
    if (f->block_elems == 1) {
        fill_plain(r, format, way, w, n);
        return;
    }
    if (way == WEIGHTS_ZERO)
        memset(w, 0, bytes);
    else if (way == WEIGHTS_ONES)
        memset(w, 0xff, bytes);
    else if (way == WEIGHTS_LOW)
        memset(w, format == FORMAT_Q8_0 || format == FORMAT_Q6_K ? 0x80 : 0, bytes);
    else
        rng_fill(r, w, bytes);
    if (way != WEIGHTS_ZERO) fill_scales(r, format, way, w, n);
}

void fill_vector(rng *r, int way, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float v = rng_float(r);
        switch (way) {
        case VECTOR_ZERO: v = 0; break;
        case VECTOR_MAX: v = 1; break; /* all codes 127 */
        case VECTOR_MIN: v = -1; break;
        case VECTOR_OUTLIER: v *= i == n / 3 ? 1e4f : 1; break;
        case VECTOR_TINY: v *= 1e-34f; break;
        case VECTOR_HUGE: v *= 1e20f; break;
        case VECTOR_MIXED: v *= ldexpf(1, (int)(i / 32 % 40) - 20); break;
        default: break;
        }
        x[i] = v;
    }
}

void make_activations(const kernels *c, act_kind kind, const float *x, size_t k, void *row) {
    memset(row, 0xff, act_row_bytes(kind, k));
    if (kind == ACT_F32)
        memcpy(row, x, k * sizeof *x);
    else if (kind == ACT_Q8_32)
        c->quantize_q8_32(x, k, row);
    else if (kind == ACT_BF16)
        c->encode[FORMAT_BF16](x, row, k);
    else
        c->quantize_q8_256(x, k, row);
}

const void *fenced_activations(const kernels *c, act_kind kind, const float *x, size_t k,
                               const fenced *area) {
    void *row = fenced_end(area, act_row_bytes(kind, k));
    make_activations(c, kind, x, k, row);
    return row;
}

bool same_float(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

double rounding_bound(size_t n, double magnitude) {
    double nu = (double)n * 0x1p-24;
    return nu / (1 - nu) * magnitude;
}
