/* Fuzz target for the parser: whatever the bytes, gguf_parse refuses them with a status and a sentence or
 * gives a description that is true to the last byte (walk checks and touches all of it), and leaks nothing.
 * Built with -DLEAT_LIBFUZZER and clang's -fsanitize=fuzzer it is a libFuzzer target; else a program that
 * replays the files and folders it is given, which is how the corpus is a regression test. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/gguf.h"
#include "tests/loader/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process the way a fuzzer notices. */
static void violated(const char *what) {
    fprintf(stderr, "fuzz_gguf: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf g;
    leat_error e = {LEAT_OK, ""};
    leat_status status = gguf_parse(data, size, &g, &e);
    if (e.code != status) violated("code and status differ");
    if (status == LEAT_OK) {
        if (!walk(&g, data, size)) violated("the description is not true");
        gguf_free(&g);
    } else {
        if (!e.message[0]) violated("refused without a word");
        if (g.kv || g.tensors || g.kv_index || g.tensor_index) violated("refused, but something is left");
        if (gguf_parse(data, size, &g, NULL) != status) violated("another status without an error to fill");
    }
    return 0;
}

#ifndef LEAT_LIBFUZZER
#    include <dirent.h>

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "fuzz_gguf: can't read %s\n", path);
        return -1;
    }
    uint8_t *data = NULL;
    size_t n = 0, got;
    uint8_t chunk[4096];
    while ((got = fread(chunk, 1, sizeof chunk, f)) > 0) {
        uint8_t *more = realloc(data, n + got);
        if (!more) break;
        data = more;
        memcpy(data + n, chunk, got);
        n += got;
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 1;
}

/* The number of inputs run, -1 when one can't be read. Folders are not followed into folders. */
static int replay(const char *path) {
    DIR *d = opendir(path);
    if (!d) return replay_file(path);
    int count = 0;
    for (struct dirent *entry; count >= 0 && (entry = readdir(d));) {
        if (entry->d_name[0] == '.') continue;
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        int n = replay_file(file);
        count = n < 0 ? -1 : count + n;
    }
    closedir(d);
    return count;
}

int main(int argc, char **argv) {
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0) return 1;
        total += n;
    }
    printf("fuzz_gguf: %d inputs, no finding\n", total);
    return total == 0;
}
#endif
