/* A small llama's folder without a vocabulary, which tests of vocabularies write theirs into, convert, and
 * look at. Everything is static: a suite includes this once. */
#ifndef LEAT_TESTS_CONVERT_SUBJECT_H
#define LEAT_TESTS_CONVERT_SUBJECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/formats.h"
#include "loader/file.h"
#include "tests/harness/fixture.h"
#include "tests/harness/hf_folder.h"
#include "tests/loader/folder.h"

enum { N_VOCAB = 300 };

typedef struct subject {
    folder f;
    model_file *file;
    leat_error e;
    char warned[512];
} subject;

/* A folder of a small llama without a vocabulary. */
static bool subject_open(test *t, subject *s) {
    random_model m = random_model_of(&(arch_spec){.arch = "llama"}, FORMAT_F32);
    memset(s, 0, sizeof *s);
    if (!folder_make(&s->f)) return false;
    const char *from = folder_file(&s->f, "a.gguf");
    bool good =
        !random_model_write(&m, from, &s->e) && hf_write(from, &(arch_spec){.arch = "llama"}, s->f.path, 1);
    unlink(folder_file(&s->f, "tokenizer.model"));
    if (!good) TEST_FAIL(t, "no folder: %s", s->e.message);
    return good;
}

static void subject_close(subject *s) {
    file_close(s->file);
    folder_remove(&s->f);
}

static void put(subject *s, const char *name, const char *text) {
    file_put(folder_file(&s->f, name), text, strlen(text));
}

static void keep_warning(void *user, const char *sentence) {
    subject *s = user;
    snprintf(s->warned, sizeof s->warned, "%s", sentence);
}

static const gguf *convert(test *t, subject *s) {
    leat_convert_params p;
    const char *out = folder_file(&s->f, "b.gguf");
    leat_convert_params_default(&p);
    p.warning = keep_warning;
    p.user = s;
    file_close(s->file);
    s->file = NULL;
    *s->warned = 0;
    if (leat_convert(s->f.path, out, &p, &s->e) || file_open(out, &s->file, &s->e)) {
        TEST_FAIL(t, "%s", s->e.message);
        return NULL;
    }
    return file_gguf(s->file);
}

static str text_at(const gguf *g, const char *key, uint64_t i) {
    const gguf_kv *kv = gguf_find(g, key);
    size_t cursor = 0;
    str s = {"", 0};
    if (!kv || kv->elem_type != GGUF_STRING || i >= kv->count) return s;
    for (uint64_t k = 0; k <= i; k++) s = gguf_kv_next_str(kv, &cursor);
    return s;
}

static long long number_at(const gguf *g, const char *key, uint64_t i) {
    const gguf_kv *kv = gguf_find(g, key);
    return kv && i < kv->count
               ? kv->elem_type == GGUF_I32 ? gguf_kv_i64(kv, i) : (long long)gguf_kv_u64(kv, i)
               : -1;
}

#define CHECK_TEXT(t, g, key, i, expected)                                                                   \
    do {                                                                                                     \
        str got_ = text_at(g, key, i);                                                                       \
        if (!str_eq(got_, expected))                                                                         \
            TEST_FAIL(t, "%s[%d] is \"%.*s\", not \"%s\"", key, (int)(i), (int)got_.n, got_.p, expected);    \
    } while (0)

#endif
