/* Fuzz target for whole Hugging Face folders: an input is a few files, each as its number in `names` below,
 * its length in three bytes, and its bytes. Whatever they are, leat_convert refuses them with a status and a
 * sentence and leaves nothing behind, or makes a file that is GGUF. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"config.json",
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
enum { N_NAMES = sizeof names / sizeof *names };

static void violated(const char *what) {
    fprintf(stderr, "fuzz_convert: %s\n", what);
    abort();
}

static void write_files(const char *folder, const uint8_t *data, size_t size) {
    while (size >= 4) {
        char path[256];
        size_t n = data[1] | (size_t)data[2] << 8 | (size_t)data[3] << 16;
        if (n > size - 4) n = size - 4;
        snprintf(path, sizeof path, "%s/%s", folder, names[data[0] % N_NAMES]);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(data + 4, 1, n, f) != n || fclose(f)) violated("no folder to write to");
        data += 4 + n;
        size -= 4 + n;
    }
}

static void remove_all(const char *folder) {
    for (size_t i = 0; i < N_NAMES; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char folder[] = "/tmp/leat-fuzz-XXXXXX", out[64], magic[4] = "";
    leat_error e = {LEAT_OK, ""};
    leat_convert_params p;
    if (!mkdtemp(folder)) return 0;
    write_files(folder, data, size);
    snprintf(out, sizeof out, "%s/out.gguf", folder);
    leat_convert_params_default(&p);
    p.n_threads = 1;
    p.type = "f16";
    leat_status s = leat_convert(folder, out, &p, &e);
    if (s && (e.code != s || !e.message[0])) violated("refused without a word");
    FILE *f = fopen(out, "rb");
    if (!f != (s != LEAT_OK)) violated("a file where there is none to be, or none");
    if (f && (fread(magic, 1, 4, f) != 4 || memcmp(magic, "GGUF", 4) != 0)) violated("another file");
    if (f) fclose(f);
    unlink(out);
    remove_all(folder);
    if (rmdir(folder)) violated("something is left behind");
    return 0;
}

#include "replay.h"
