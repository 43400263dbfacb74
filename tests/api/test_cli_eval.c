/* `leat perplexity`, `leat compare` and `leat imatrix` as users run them: what they say of options that make
 * no sense, of base files that are damaged or of something else, and of how they computed. */
#include <math.h>
#include <stdlib.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "program.h"
#include "runtime/leat.h"
#include "tests/harness/test.h"
#include "tests/loader/folder.h"

#define MODEL LEAT_SOURCE_ROOT "/models/storyteller-q8_0.gguf"
#define TEXT  LEAT_SOURCE_ROOT "/README.md"

/* Runs `leat` with both paths in place of %s and wants this status, and the word in what it says. */
static void wants(test *t, int status, const char *word, const char *format, const char *a, const char *b) {
    char arguments[1000];
    output o;
    snprintf(arguments, sizeof arguments, format, a, b);
    REQUIRE(t, leat_run(&o, NULL, arguments));
    if (o.status != status || !(has(o.out, word) || has(o.err, word)))
        TEST_FAIL(t, "leat %s: status %d, \"%s\", \"%s\"; wanted \"%s\"", arguments, o.status, o.out, o.err,
                  word);
    program_free(&o);
}

static void numbers_of_chunks(test *t) {
    static const char *const commands[] = {
        "perplexity m.gguf -f text --chunks 0", "compare a.gguf b.gguf text --chunks 0",
        "perplexity m.gguf --kld base --chunks 0", "imatrix m.gguf text -o never --chunks 0"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        wants(t, 2, "--chunks must be 1 or more, or -1 for all, not 0", commands[i], "", "");
    wants(t, 2, "tasks are counted by --hellaswag-tasks",
          "perplexity m.gguf -f tasks --hellaswag --chunks 5%s%s", "", "");
}

/* ---- base files ---- */

enum { VOCABULARY = 2048, WINDOW = 64, ROW_BYTES = 8 + 2 * VOCABULARY, ROWS = WINDOW / 2 - 1 };
#define KLD "perplexity " MODEL " --kld %s -t 1"

/* One window of the text by the model; the bytes are to be freed. */
static unsigned char *make_base(test *t, const char *path, size_t *n) {
    wants(t, 0, "", "perplexity " MODEL " -f " TEXT " -c 64 --chunks 1 -t 1 --kld-base %s", path, "");
    unsigned char *bytes = file_get(path, n);
    if (bytes && *n == 20 + 4 * WINDOW + ROWS * (ROW_BYTES + 4) + 8 + 16) return bytes;
    TEST_FAIL(t, "the base file has %zu bytes", bytes ? *n : 0);
    free(bytes);
    return NULL;
}

static void damaged_rows(test *t) {
    enum { FIRST = 20 + 4 * WINDOW, THIRD = FIRST + 2 * ROW_BYTES, TARGETS = FIRST + ROWS * ROW_BYTES + 8 };
    static const struct {
        size_t at;
        float value;
        const char *word;
    } cases[] = {
        {FIRST, 1e30f, "is damaged: the probabilities of row 0 add up to inf, not 1"},
        {FIRST, 0, "is damaged: the probabilities of row 0 add up to "},
        {FIRST, 1e-6f, "is damaged: the probabilities of row 0 add up to "},
        {THIRD, 1e-3f, "is damaged: the probabilities of row 2 add up to "},
        {THIRD + 4, -1, "is damaged: the probabilities of row 2 add up to "},
        {THIRD + 4, -1e30f, "is damaged: the probabilities of row 2 add up to 0, not 1"},
        {TARGETS + 4, -1e20f, "is damaged: row 1 gives the next token the log probability "},
        {TARGETS + 4, 0, "is damaged: row 1 gives the next token the log probability "},
    };
    folder f;
    size_t n;
    REQUIRE(t, folder_make(&f));
    const char *path = folder_file(&f, "base");
    unsigned char *good = make_base(t, path, &n);
    for (size_t i = 0; good && i < sizeof cases / sizeof *cases; i++) {
        unsigned char before[4];
        memcpy(before, good + cases[i].at, 4);
        memcpy(good + cases[i].at, &cases[i].value, 4);
        CHECK(t, file_put(path, good, n));
        wants(t, 1, cases[i].word, KLD, path, "");
        memcpy(good + cases[i].at, before, 4);
    }
    free(good);
    folder_remove(&f);
}

/* What comes behind the rows may be missing, as in llama.cpp's files and older ones of ours, but not in part;
 * and there may be more than is known here. */
static void ends_of_files(test *t) {
    static const struct {
        size_t cut;
        int status;
        const char *word;
    } cases[] = {
        {0, 0, "KL"},  {1, 1, "ends too early"},  {12, 1, "ends too early"},
        {16, 0, "KL"}, {17, 1, "ends too early"}, {16 + 8 + 4 * ROWS, 0, "KL"},
    };
    folder f;
    size_t n;
    REQUIRE(t, folder_make(&f));
    const char *path = folder_file(&f, "base");
    unsigned char *good = make_base(t, path, &n);
    for (size_t i = 0; good && i < sizeof cases / sizeof *cases; i++) {
        CHECK(t, file_put(path, good, n - cases[i].cut));
        wants(t, cases[i].status, cases[i].word, KLD, path, "");
    }
    if (good) memcpy(good + n - 16, "_more___", 8);
    CHECK(t, good && file_put(path, good, n));
    wants(t, 0, "KL", KLD, path, "");
    free(good);
    folder_remove(&f);
}

static void other_windows(test *t) {
    folder f;
    size_t n;
    REQUIRE(t, folder_make(&f));
    const char *path = folder_file(&f, "base");
    free(make_base(t, path, &n));
    wants(t, 2, "-c 32: the windows of ", KLD " -c 32", path, "");
    wants(t, 0, "KL", KLD " -c 64", path, "");
    wants(t, 0, "KL", KLD " -f " TEXT, path, "");
    wants(t, 1, "another text", KLD " -f " MODEL, path, "");
    folder_remove(&f);
}

/* A copy of the model in which a word is another one wherever it occurs: in its vocabulary. */
static bool copy_renamed(const char *path, const char *word, const char *other) {
    size_t n, length = strlen(word), found = 0;
    unsigned char *bytes = file_get(MODEL, &n);
    for (size_t i = 0; bytes && i + length <= n; i++)
        if (!memcmp(bytes + i, word, length)) {
            memcpy(bytes + i, other, length);
            found++;
        }
    bool good = found && file_put(path, bytes, n);
    free(bytes);
    return good;
}

static void other_vocabularies(test *t) {
    folder f;
    size_t n;
    REQUIRE(t, folder_make(&f));
    const char *base = folder_file(&f, "base"), *model = folder_file(&f, "other.gguf");
    free(make_base(t, base, &n));
    REQUIRE(t, copy_renamed(model, "dragon", "wyvern"));
    wants(t, 1, "not comparable: other tokens, though as many", "perplexity %s --kld %s", model, base);
    wants(t, 0, "not comparable: other tokens", "compare " MODEL " %s%s", model, "");
    wants(t, 0, "not comparable: other tokens", "compare " MODEL " %s " TEXT " -c 64 --chunks 1%s", model,
          "");
    /* what a special token is called is no matter */
    REQUIRE(t, copy_renamed(model, "im_start", "im_begin"));
    wants(t, 0, "KL", "perplexity %s --kld %s", model, base);
    wants(t, 0, "same top token", "compare " MODEL " %s%s", model, "");
    folder_remove(&f);
}

/* ---- how it was computed ---- */

static void activations_are_told(test *t) {
    folder f;
    REQUIRE(t, folder_make(&f));
    const char *floats = folder_file(&f, "f32.gguf");
    for (size_t i = 0; leat_isa(i); i++)
        for (size_t n = GEMM_TILES_MIN - 1; n <= GEMM_TILES_MIN; n++) {
            kernels k;
            char arguments[500];
            REQUIRE(t, kernels_init(&k, leat_isa(i)));
            bool tiles = gemm_act(&k, FORMAT_Q8_0, n) == ACT_BF16;
            snprintf(arguments, sizeof arguments,
                     "perplexity " MODEL " -f " TEXT " -c 96 --chunks 1 --json --isa %s -b %zu", leat_isa(i),
                     n);
            wants(t, 0, tiles ? "\"activations\": \"bf16\"" : "\"activations\": \"int8\"", arguments, "", "");
        }
    wants(t, 0, "\"activations\": \"f32\"",
          "perplexity " MODEL " -f " TEXT " -c 96 --chunks 1 --json --activations f32%s%s", "", "");
    wants(t, 0, "", "quantize " MODEL " %s f32 --allow-requantize%s", floats, "");
    wants(t, 0, "\"activations\": \"f32\"", "perplexity %s -f " TEXT " -c 96 --chunks 1 --json%s", floats,
          "");
    wants(t, 0, "\"activations\": \"int8\"", "compare %s " MODEL " " TEXT " -c 96 --chunks 1 --json -b 8%s",
          floats, "");
    folder_remove(&f);
}

#define TESTS(X)                                                                                             \
    X(numbers_of_chunks)                                                                                     \
    X(damaged_rows) X(ends_of_files) X(other_windows) X(other_vocabularies) X(activations_are_told)
TEST_SUITE(TESTS)
