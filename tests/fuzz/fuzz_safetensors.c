/* Fuzz target for the headers of safetensors files: whatever the bytes, safetensors_parse refuses them with a
 * status and a sentence or lists tensors whose bytes are inside the input, as many as their shapes say, and
 * shared with no other. All of them are read. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/convert/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void violated(const char *what) {
    fprintf(stderr, "fuzz_safetensors: %s\n", what);
    abort();
}

static void walk(const weights *w, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < w->n; i++) {
        const source_tensor *t = &w->t[i];
        uint64_t n = 1;
        float x[64];
        for (uint32_t d = 0; d < t->n_dims; d++) n *= t->dims[d];
        if (n != t->n || n * weight_type_bytes(t->type) != t->bytes) violated("a size is not the shape's");
        if (t->data < data || t->bytes > size - (size_t)(t->data - data))
            violated("a tensor leaves the file");
        if (weights_find(w, t->name) != t) violated("a tensor is not found");
        for (uint64_t at = 0; at < n; at += 64) source_read(t, at, 1, n - at < 64 ? (size_t)(n - at) : 64, x);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weights w = {.t = NULL};
    leat_error e = {LEAT_OK, ""};
    arena_init(&w.names, 1 << 26);
    leat_status s = safetensors_parse(&w, "input", data, size, &e);
    if (!s) s = weights_index(&w, &e);
    if (e.code != s) violated("code and status differ");
    if (s && !e.message[0]) violated("refused without a word");
    if (!s) walk(&w, data, size);
    weights_close(&w);
    return 0;
}

#include "replay.h"
