/* Fuzz target for whole Hugging Face folders (packed_folder.h). Whatever is in them, leat_convert refuses
 * them with a status and a sentence and leaves nothing behind, or makes a file that is GGUF. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "packed_folder.h"
#include "runtime/leat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void violated(const char *what) {
    fprintf(stderr, "fuzz_convert: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char folder[] = "/tmp/leat-fuzz-XXXXXX", out[64], magic[4] = "";
    leat_error e = {LEAT_OK, ""};
    leat_convert_params p;
    if (!mkdtemp(folder)) return 0;
    if (!folder_unpack(folder, data, size)) violated("no folder to write to");
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
    folder_clear(folder);
    if (rmdir(folder)) violated("something is left behind");
    return 0;
}

#include "replay.h"
