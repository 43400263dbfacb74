/* A mix as llama.cpp's quantizer would have made it: a file quantized by Leat, copied with the data of every
 * quantized tensor made anew from the original by ggml's quantizer, with the same importance. So that two
 * files differ in nothing but who quantized. Links to Leat; ggml's library (libggml-base.so of llama.cpp
 * v0.5.0) is opened by path.
 *
 *     peer_mix LIBRARY ORIGINAL.gguf OURS.gguf IMATRIX.gguf|- OUT.gguf */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "loader/alloc.h"
#include "loader/file.h"
#include "runtime/quantize/importance.h"

static size_t (*ggml_quantize)(int type, const float *x, void *out, int64_t start, int64_t rows, int64_t cols,
                               const float *importance);

static int fail(const char *what, const char *why) {
    fprintf(stderr, "peer_mix: %s: %s\n", what, why);
    return 1;
}

/* One tensor's data, in its place in `bytes`; 0 on failure. */
static int quantize(const kernels *k, const gguf_tensor *from, const gguf_tensor *to, const float *importance,
                    uint8_t *out) {
    size_t cols = (size_t)from->ne[0], rows = from->n_rows;
    float *x = malloc(rows * cols * sizeof *x);
    if (!x || !k->decode[from->format]) return 0;
    for (size_t r = 0; r < rows; r++)
        k->decode[from->format](from->data + r * from->row_bytes, x + r * cols, cols);
    for (size_t m = 0; m < from->ne[2] * from->ne[3]; m++) {
        size_t first = m * (size_t)from->ne[1];
        ggml_quantize((int)to->format, x + first * cols, out + first * to->row_bytes, 0, (int64_t)from->ne[1],
                      (int64_t)cols, importance ? importance + m % from->ne[2] * cols : NULL);
    }
    free(x);
    return 1;
}

int main(int argc, char **argv) {
    kernels k;
    leat_error e;
    model_file *original, *ours;
    importance_file *imatrix = NULL;
    if (argc != 6 || !kernels_init(&k, NULL)) return 2;
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) return fail(argv[1], dlerror());
    *(void **)&ggml_quantize = dlsym(library, "ggml_quantize_chunk");
    if (!ggml_quantize) return fail(argv[1], "no ggml_quantize_chunk");
    if (file_open(argv[2], &original, &e)) return fail(argv[2], e.message);
    if (file_open(argv[3], &ours, &e)) return fail(argv[3], e.message);
    if (strcmp(argv[4], "-") && importance_open(argv[4], &imatrix, &e)) return fail(argv[4], e.message);
    FILE *in = fopen(argv[3], "rb"), *out = fopen(argv[5], "wb");
    size_t n = (size_t)file_bytes(ours);
    uint8_t *bytes = malloc(n);
    if (!in || !out || !bytes || fread(bytes, 1, n, in) != n) return fail(argv[5], "can't be copied");
    const gguf *g = file_gguf(ours);
    const uint8_t *start = NULL; /* of the mapping: the first tensor lies data_offset behind it */
    for (size_t i = 0; i < g->n_tensors; i++)
        if (!start || g->tensors[i].data < start) start = g->tensors[i].data;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const gguf_tensor *to = &g->tensors[i];
        float *importance = NULL;
        char name[128] = "";
        memcpy(name, to->name.p, to->name.n < 127 ? to->name.n : 127);
        const gguf_tensor *from = gguf_find_tensor(file_gguf(original), name);
        if (!from) return fail(name, "is not in the original");
        if (from->format == to->format) continue;
        if (imatrix && importance_of(imatrix, from, &importance, &e)) return fail(name, e.message);
        if (!quantize(&k, from, to, importance, bytes + g->data_offset + (size_t)(to->data - start)))
            return fail(name, "can't be quantized");
        mem_free(importance);
    }
    if (fwrite(bytes, 1, n, out) != n || fclose(out)) return fail(argv[5], "can't be written");
    return 0;
}
