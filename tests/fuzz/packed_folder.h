/* A Hugging Face folder as the bytes of one input: a few files, each as its number in `folder_files`, its
 * length in three bytes, and its bytes. For fuzz_convert.c, whose corpus is so, and for tests that use that.
 * Everything is static: a program includes this once. */
#ifndef LEAT_TESTS_PACKED_FOLDER_H
#define LEAT_TESTS_PACKED_FOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static const char *const folder_files[] = {"config.json",
                                           "model.safetensors",
                                           "tokenizer.json",
                                           "tokenizer.model",
                                           "tokenizer_config.json",
                                           "tekken.json",
                                           "tiktoken.model",
                                           "sentencepiece.bpe.model",
                                           "vocab.json",
                                           "merges.txt",
                                           "vocab.txt",
                                           "modules.json",
                                           "added_tokens.json",
                                           "generation_config.json"};
enum { N_FOLDER_FILES = sizeof folder_files / sizeof *folder_files };

static bool folder_unpack(const char *folder, const uint8_t *data, size_t size) {
    while (size >= 4) {
        char path[512];
        size_t n = data[1] | (size_t)data[2] << 8 | (size_t)data[3] << 16;
        if (n > size - 4) n = size - 4;
        snprintf(path, sizeof path, "%s/%s", folder, folder_files[data[0] % N_FOLDER_FILES]);
        FILE *f = fopen(path, "wb");
        bool good = f && fwrite(data + 4, 1, n, f) == n;
        if (f && fclose(f)) good = false;
        if (!good) return false;
        data += 4 + n;
        size -= 4 + n;
    }
    return true;
}

static void folder_clear(const char *folder) {
    for (size_t i = 0; i < N_FOLDER_FILES; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, folder_files[i]);
        unlink(path);
    }
}

#endif
