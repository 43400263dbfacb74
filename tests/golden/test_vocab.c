/* The tokenizers against ids made by the reference implementations: real vocabularies and texts, where this checkout has
 * them (../shared/vocab). Each text must give exactly the reference's ids, and the ids the text again. */
#include <stdint.h>
#include <stdlib.h>

#include "loader/gguf.h"
#include "runtime/text/decode.h"
#include "runtime/text/vocab.h"
#include "tests/harness/test.h"

#ifndef LEAT_SOURCE_ROOT
#error "the build says where the project is"
#endif
#define FOLDER LEAT_SOURCE_ROOT "/../shared/vocab/"

typedef struct golden {
    char *file, *texts, *ids;
    gguf g;
    vocab *v;
} golden;

/* With a NUL behind it; NULL if there is no such file. */
static char *read_whole(const char *name, const char *suffix, size_t *n) {
    char path[1024];
    snprintf(path, sizeof path, FOLDER "%s%s", name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *bytes = malloc((size_t)size + 1);
    *n = fread(bytes, 1, (size_t)size, f);
    bytes[*n] = 0;
    fclose(f);
    return bytes;
}

static bool golden_open(golden *x, const char *name, test *t) {
    size_t n_file = 0, n_texts = 0, n_ids = 0;
    leat_error e = {0};
    *x = (golden){0};
    x->file = read_whole(name, ".gguf", &n_file);
    x->texts = read_whole(name, ".inp", &n_texts);
    x->ids = read_whole(name, ".out", &n_ids);
    if (!x->file || !x->texts || !x->ids) return false;
    if (gguf_parse((const uint8_t *)x->file, n_file, &x->g, &e) || vocab_open(&x->g, &x->v, &e))
        TEST_FAIL(t, "%s: %s", name, e.message);
    return x->v != NULL;
}

static void golden_close(golden *x) {
    vocab_close(x->v);
    gguf_free(&x->g);
    free(x->file);
    free(x->texts);
    free(x->ids);
}

/* Decodes as a stream; true if that gives the text again. */
static bool decodes_to(const vocab *v, const int32_t *ids, size_t n_ids, const char *text, size_t n) {
    text_decoder d;
    size_t at = 0;
    bool same = text_decoder_init(&d, vocab_longest_piece(v), vocab_space_prefix(v), NULL) == LEAT_OK;
    for (size_t i = 0; i <= n_ids && same; i++) {
        str s = i < n_ids ? text_decoder_push(&d, vocab_piece(v, ids[i], false)) : text_decoder_finish(&d);
        same = s.n <= n - at && memcmp(s.p, text + at, s.n) == 0;
        at += s.n;
    }
    text_decoder_free(&d);
    return same && at == n;
}

/* One text: `line` holds the ids it must give, up to the newline. */
static void compare(test *t, const char *name, const vocab *v, const char *text, size_t n, const char *line) {
    int32_t ids[512];
    size_t count = 0;
    leat_error e = {0};
    leat_status s = vocab_tokenize(v, text, n, 0, ids, 512, &count, &e);
    if (s) {
        TEST_FAIL(t, "%s: \"%.*s\": %s", name, (int)n, text, e.message);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char *end;
        long wanted = strtol(line, &end, 10);
        if (end == line || memchr(line, '\n', (size_t)(end - line)) || wanted != ids[i]) {
            TEST_FAIL(t, "%s: \"%.*s\": token %zu is %d, not %ld", name, (int)n, text, i, ids[i], wanted);
            return;
        }
        line = end;
    }
    line += strspn(line, " ");
    if (*line != '\n' && *line != 0) TEST_FAIL(t, "%s: \"%.*s\": only %zu tokens", name, (int)n, text, count);
    if (!decodes_to(v, ids, count, text, n)) TEST_FAIL(t, "%s: \"%.*s\" does not decode again", name, (int)n, text);
}

static void check_vocab(test *t, const char *name) {
    static const char mark[] = "\n__ggml_vocab_test__\n";
    golden x;
    if (!golden_open(&x, name, t)) {
        bool missing = !x.file || !x.texts || !x.ids;
        golden_close(&x);
        if (missing) SKIP(t, "no golden data " FOLDER "%s.*", name);
        return;
    }
    const char *line = x.ids;
    int texts = 0;
    for (const char *text = x.texts, *end; (end = strstr(text, mark)); text = end + sizeof mark - 1, texts++) {
        compare(t, name, x.v, text, (size_t)(end - text), line);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    CHECK(t, texts > 40);
    CHECK(t, *line == 0);
    golden_close(&x);
}

static void llama_spm(test *t) { check_vocab(t, "llama-spm"); }
static void phi_3(test *t) { check_vocab(t, "phi-3"); }
static void llama_bpe(test *t) { check_vocab(t, "llama-bpe"); }
static void qwen2(test *t) { check_vocab(t, "qwen2"); }
static void gpt_2(test *t) { check_vocab(t, "gpt-2"); }
static void mpt(test *t) { check_vocab(t, "mpt"); }
static void starcoder(test *t) { check_vocab(t, "starcoder"); }
static void refact(test *t) { check_vocab(t, "refact"); }

#define TESTS(X) X(llama_spm) X(phi_3) X(llama_bpe) X(qwen2) X(gpt_2) X(mpt) X(starcoder) X(refact)
TEST_SUITE(TESTS)
