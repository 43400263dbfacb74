/* The tokenizers against ids made by the reference implementations: real vocabularies and texts, where this
 * checkout has them (../shared/vocab). Each text must give exactly the reference's ids and, where the
 * tokenizer loses nothing, the ids the text again. The cases are the files that are there: NAME.inp and
 * NAME.out with NAME.gguf. */
#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>

#include "loader/gguf.h"
#include "runtime/text/decode.h"
#include "runtime/text/utf8.h"
#include "runtime/text/vocab_impl.h"
#include "tests/harness/test.h"

#ifndef LEAT_SOURCE_ROOT
#    error "the build says where the project is"
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

/* The vocabulary of NAME: its own, or one with the same tokens. */
static char *read_vocab(const char *name, size_t *n) {
    char *bytes = read_whole(name, ".gguf", n);
    return bytes || strcmp(name, "deepseek-r1-qwen") != 0 ? bytes : read_whole("qwen2", ".gguf", n);
}

static bool golden_open(golden *x, const char *name, test *t) {
    size_t n_file = 0, n_texts = 0, n_ids = 0;
    leat_error e = {0};
    *x = (golden){0};
    x->file = read_vocab(name, &n_file);
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
    if (v->kind == VOCAB_WORDPIECE || v->kind == VOCAB_UNIGRAM) return true; /* they normalize */
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
    static int32_t ids[1 << 16];
    size_t count = 0;
    leat_error e = {0};
    leat_status s = vocab_tokenize(v, text, n, 0, ids, 1 << 16, &count, &e);
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
    if (!decodes_to(v, ids, count, text, n))
        TEST_FAIL(t, "%s: \"%.*s\" does not decode again", name, (int)n, text);
}

static void check_vocab(test *t, const char *name, const golden *x) {
    static const char mark[] = "\n__ggml_vocab_test__\n";
    const char *line = x->ids;
    int texts = 0;
    for (const char *text = x->texts, *end; (end = strstr(text, mark));
         text = end + sizeof mark - 1, texts++) {
        compare(t, name, x->v, text, (size_t)(end - text), line);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    CHECK(t, texts > 0);
    CHECK(t, *line == 0);
}

/* Does every byte have a token, so that nothing is lost? */
static bool lossless(const vocab *v) {
    if (v->kind != VOCAB_SPM && v->kind != VOCAB_BPE) return false;
    for (int b = 0; b < 256; b++)
        if (v->single[b] == VOCAB_NONE && v->byte_token[b] == VOCAB_NONE) return false;
    return true;
}

/* Any bytes come back, whole UTF-8 or not; but SPM takes U+2581 for a space, so it is left out. */
static void check_random(test *t, const char *name, const vocab *v) {
    uint64_t state = 0x853C49E6748FEA9Bu;
    if (lossless(v))
        for (int round = 0; round < 300; round++) {
            char text[96], want[300];
            int32_t ids[300];
            size_t n = 0, count = 0;
            while (n < 80) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                uint32_t r = (uint32_t)(state >> 32), cp = r >> 8;
                static const uint32_t ranges[8] = {0x80,   0x80,   0x100,   0x600,
                                                   0x3000, 0xD800, 0x20000, 0x110000};
                cp %= ranges[r & 7];
                if ((cp >= 0xD800 && cp < 0xE000) || cp == 0x2581) continue;
                if (round % 4 == 3)
                    text[n++] = (char)r;
                else
                    n += utf8_encode(cp, text + n);
                if ((r >> 4 & 15) == 0) break;
            }
            CHECK_EQ(t, vocab_tokenize(v, text, n, 0, ids, 300, &count, NULL), LEAT_OK);
            size_t at = 0;
            for (size_t i = 0; i < count; i++) {
                str piece = vocab_piece(v, ids[i], false);
                memcpy(want + at, piece.p, piece.n);
                at += piece.n;
            }
            size_t skip = vocab_space_prefix(v) && n > 0;
            if (at != n + skip || memcmp(want + skip, text, n) != 0)
                TEST_FAIL(t, "%s: round %d does not come back", name, round);
        }
}

/* Work, counted in look-ups, comparisons and queue operations, stays under a constant per byte for texts that
 * are one endless word (the constant: see merge.c and test_tokenizer.c). */
static void check_work(test *t, const char *name, const vocab *v) {
    static const char *const texts[] = {"a", " ", "\n", "\xF0\x9F\x99\x82", "\xC3\xA9", "the", "0", "=-", ""};
    const size_t n = 1 << 14;
    char *text = malloc(n);
    uint32_t state = 1;
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        for (size_t i = 0; i < n; i++) {
            state = state * 1103515245u + 12345u;
            text[i] = texts[k][0] ? texts[k][i % strlen(texts[k])] : (char)('a' + (state >> 16) % 26);
        }
        tokenization run = {.v = v};
        CHECK_EQ(t, tokenization_run(&run, text, n, 0, NULL), LEAT_OK);
        if (run.m.work > 40 * n)
            TEST_FAIL(t, "%s: text %zu took %llu steps", name, k, (unsigned long long)run.m.work);
        CHECK(t, run.count <= vocab_bound(v, n));
        tokenization_close(&run);
    }
    free(text);
}

static void check_all(test *t, const char *name) {
    golden x;
    if (golden_open(&x, name, t)) {
        check_vocab(t, name, &x);
        check_random(t, name, x.v);
        check_work(t, name, x.v);
    }
    golden_close(&x);
}

/* What has all three files, in no order. */
static void all(test *t) {
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;
    int found = 0;
    while (folder && (entry = readdir(folder)) != NULL) {
        char name[256];
        size_t n = strlen(entry->d_name);
        if (n < 5 || n >= sizeof name || strcmp(entry->d_name + n - 4, ".inp") != 0) continue;
        memcpy(name, entry->d_name, n - 4);
        name[n - 4] = 0;
        char *vocabulary = read_vocab(name, &n);
        if (!vocabulary) continue; /* ids of a vocabulary that isn't here */
        free(vocabulary);
        check_all(t, name);
        found++;
    }
    if (folder) closedir(folder);
    if (!found) SKIP(t, "no golden data in " FOLDER);
}

/* Vocabularies without texts at least open, with a warning where they don't say how they cut words. */
static void warnings(test *t) {
    size_t n;
    char *file = read_whole("gpt-neox", ".gguf", &n);
    if (!file) SKIP(t, "no golden data in " FOLDER);
    gguf g = {0};
    vocab *v = NULL;
    leat_error e = {0};
    CHECK(t, gguf_parse((const uint8_t *)file, n, &g, &e) == LEAT_OK && vocab_open(&g, &v, &e) == LEAT_OK);
    const char *warning = v ? vocab_warning(v, 0) : NULL;
    CHECK(t, warning && strstr(warning, "tokenizer.ggml.pre is missing") && strstr(warning, "'gpt-2'"));
    CHECK(t, !v || !vocab_warning(v, 1));
    vocab_close(v);
    gguf_free(&g);
    free(file);
}

#define TESTS(X) X(all) X(warnings)
TEST_SUITE(TESTS)
