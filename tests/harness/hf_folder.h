/* Random models as Hugging Face folders: a GGUF file's tensors under the names and in the order that the
 * model's own authors have, with its numbers in config.json and its vocabulary as a SentencePiece model. Said
 * apart from runtime/convert, and the other way round, so that converting such a folder back shows whether
 * both say the same. */
#ifndef LEAT_TESTS_HF_FOLDER_H
#define LEAT_TESTS_HF_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch_spec.h"

/* Writes the folder's files to `dir`, weights in `parts` files; false, with a note on stderr, if a tensor has
 * no name in it. */
bool hf_write(const char *gguf_path, const arch_spec *spec, const char *dir, unsigned parts);

/* One tensor of a safetensors file. */
typedef struct hf_tensor {
    char name[160];
    const char *type; /* "F32" */
    uint32_t n_dims;
    uint64_t dims[5]; /* outermost first */
    const void *data;
    size_t bytes;
} hf_tensor;
bool hf_write_safetensors(const char *path, const hf_tensor *t, size_t n);

#endif
