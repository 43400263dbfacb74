/* Quantizers side by side: for every type we can quantize to, the error and the speed of ours and of ggml's,
 * without and with importance, each decoded by its own library, in the same run and alternating. Links to
 * Leat; ggml's library (libggml-base.so of llama.cpp v0.5.0) is opened by path.
 *
 *     peer_quantize LIBRARY SOURCE.f32 IMPORTANCE.f32 [ISA [TYPE]]
 *
 * SOURCE has rows as long as IMPORTANCE. Errors are root mean squares; with importance, weighted by it. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static float *read_floats(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) return NULL;
    *n = (size_t)ftell(f) / sizeof(float);
    rewind(f);
    float *x = malloc(*n * sizeof *x);
    if (x && fread(x, sizeof *x, *n, f) != *n) x = NULL;
    fclose(f);
    return x;
}

static size_t (*ggml_quantize)(int type, const float *x, void *out, int64_t start, int64_t rows, int64_t cols,
                               const float *importance);
static void (*ggml_init)(int type);

typedef struct subject {
    const float *x, *importance;
    size_t rows, cols;
    uint32_t format;
} subject;

static double error_of(const subject *s, const float *y, const float *importance) {
    double sum = 0, weights = 0;
    for (size_t i = 0; i < s->rows * s->cols; i++) {
        double d = (double)s->x[i] - (double)y[i], w = importance ? (double)importance[i % s->cols] : 1;
        sum += w * d * d;
        weights += w;
    }
    return sqrt(sum / weights);
}

static void ours(const subject *s, const kernels *k, const float *importance, uint8_t *out) {
    k->quantize_rows[s->format](s->x, importance, s->cols, s->rows, out);
}

static void compare(const subject *s, const kernels *k, void *library, const float *importance) {
    static float y[1 << 20];
    static uint8_t blocks[4 << 20];
    size_t n = s->rows * s->cols;
    double best[2] = {1e9, 1e9}, error[2] = {NAN, NAN}, start = now();
    char name[64];
    snprintf(name, sizeof name, "dequantize_row_%s", format_get(s->format)->name);
    for (char *c = name; *c; c++)
        if (*c != 'K' && *c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
    void (*decode)(const void *, float *, int64_t);
    *(void **)&decode = dlsym(library, name);
    bool theirs = decode && (importance || (s->format != FORMAT_IQ2_XXS && s->format != FORMAT_IQ2_XS &&
                                            s->format != FORMAT_IQ1_S));
    if (theirs) ggml_init((int)s->format);
    for (int i = 0; i < 200 && (i < 5 || now() - start < 0.7); i++) {
        double t = now();
        ours(s, k, importance, blocks);
        t = now() - t;
        if (t < best[0]) best[0] = t;
        if (!i && (decode || k->decode[s->format])) {
            if (decode)
                decode(blocks, y, (int64_t)n);
            else
                k->decode[s->format](blocks, y, n);
            error[0] = error_of(s, y, importance);
        }
        if (!theirs) continue;
        t = now();
        ggml_quantize((int)s->format, s->x, blocks, 0, (int64_t)s->rows, (int64_t)s->cols, importance);
        t = now() - t;
        if (t < best[1]) best[1] = t;
        if (!i) {
            decode(blocks, y, (int64_t)n);
            error[1] = error_of(s, y, importance);
        }
    }
    printf(" | %10.6g %10.6g %6.3f %c | %7.2f %7.2f %5.2fx %c", error[0], error[1], error[0] / error[1],
           error[0] > error[1] ? '!' : ' ', (double)n / best[0] * 1e-6,
           theirs ? (double)n / best[1] * 1e-6 : 0, theirs ? best[1] / best[0] : 0,
           theirs && best[0] > best[1] ? '!' : ' ');
}

int main(int argc, char **argv) {
    static const uint32_t formats[] = {
#define Z(name, NAME, largest) FORMAT_##NAME,
#include "kernels/kernels.def"
#undef Z
    };
    size_t n = 0, cols = 0;
    kernels k;
    if (argc < 4) return 2;
    void *library = dlopen(argv[1], RTLD_NOW);
    float *x = read_floats(argv[2], &n), *importance = read_floats(argv[3], &cols);
    if (!library || !x || !importance || !cols || !kernels_init(&k, argc > 4 && *argv[4] ? argv[4] : NULL))
        return 1;
    *(void **)&ggml_quantize = dlsym(library, "ggml_quantize_chunk");
    *(void **)&ggml_init = dlsym(library, "ggml_quantize_init");
    if (!ggml_quantize || !ggml_init) return 1;
    printf("%-8s | error, no importance: ours, ggml | million values/s | the same with importance (%s)\n",
           "type", k.isa);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (argc > 5 && format_find(argv[5]) != (int)formats[i]) continue;
        subject s = {x, importance, n / cols, cols, formats[i]};
        printf("%-8s", format_get(formats[i])->name);
        compare(&s, &k, library, NULL);
        compare(&s, &k, library, importance);
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
