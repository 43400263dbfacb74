/* What the program computes, against golden data from other implementations: greedy text, logits and token
 * ids, for every instruction set of this machine and several thread counts and batch sizes. Only where
 * ../shared is. */
#include "tests/harness/fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>

#include "json_check.h"
#include "program.h"

static void greedy_text(test *t) {
    static const int threads[] = {1, 2, 5};
    char model[512], golden[512];
    if (!golden_path("models/stories260K-f32.gguf", model) ||
        !golden_path("models/stories260K.greedy.txt", golden))
        SKIP(t, "no golden data (../shared/models)");
    char *expected = read_whole(golden, NULL);
    REQUIRE(t, expected);
    expected[strlen(expected) - 1] = 0; /* the file's own line end */
    for (size_t i = 0; leat_isa(i); i++) {
        for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
            char arguments[128], variable[64], text[2048];
            output o;
            snprintf(variable, sizeof variable, "LEAT_ISA=%s", leat_isa(i));
            snprintf(arguments, sizeof arguments, "run %%s -p 'Once upon a time' -n 252 --temp 0 -t %d",
                     threads[k]);
            REQUIRE(t, leat_run_env(&o, variable, model, arguments));
            snprintf(text, sizeof text, "Once upon a time%s", o.out);
            if (o.status || strcmp(text, expected) != 0)
                TEST_FAIL(t, "%s, %d threads: status %d, \"%s\" %s", leat_isa(i), threads[k], o.status, text,
                          o.err);
            program_free(&o);
        }
    }
    free(expected);
}

/* A published folder, converted and run: the text it is known to write goes on where the model ends it. */
static void converted_text(test *t) {
    static const char end[] = "<|end_story|>";
    char source[512], golden[512], arguments[700];
    output o;
    temp_file file;
    if (!golden_path("models/TinyStories-656K", source) ||
        !golden_path("models/TinyStories-656K.greedy.txt", golden))
        SKIP(t, "no golden data (../shared/models)");
    char *expected = read_whole(golden, NULL);
    REQUIRE(t, expected && strstr(expected, end) && temp_make(&file, "m.gguf"));
    expected[strlen(expected) - 1] = 0;
    snprintf(arguments, sizeof arguments, "convert %%s %s", file.path);
    REQUIRE(t, leat_run(&o, source, arguments));
    CHECK_EQ(t, o.status, 0);
    program_free(&o);
    REQUIRE(t, leat_run(&o, file.path, "run %s -p '' --temp 0 -n 300 --special --past-end"));
    if (o.status || strncmp(o.out, expected, strlen(expected)) != 0)
        TEST_FAIL(t, "status %d, \"%s\" %s", o.status, o.out, o.err);
    program_free(&o);
    REQUIRE(t, leat_run(&o, file.path, "run %s -p '' --temp 0 -n 300"));
    strstr(expected, end)[strlen(end)] = 0; /* spelled in letters first, and then the token */
    if (o.status || strcmp(o.out, expected) != 0)
        TEST_FAIL(t, "status %d, \"%s\" %s", o.status, o.out, o.err);
    program_free(&o);
    REQUIRE(t, leat_run(&o, file.path, "run %s -p '' --temp 0 -n 300 --ignore-eos"));
    if (o.status || strlen(o.out) <= strlen(expected) || strncmp(o.out, expected, strlen(expected)) != 0)
        TEST_FAIL(t, "status %d, \"%s\" %s", o.status, o.out, o.err);
    program_free(&o);
    temp_remove(&file);
    free(expected);
}

static float greatest_difference(const float *a, const float *b, size_t n) {
    float greatest = 0;
    for (size_t i = 0; i < n; i++) {
        float d = fabsf(a[i] - b[i]);
        if (!(d <= greatest)) greatest = d; /* also when d is NaN */
    }
    return greatest;
}

static void logits(test *t) {
    static const char *const models[] = {"llama", "llama-rope3", "llama-linear", "llama-yarn", "internlm2"};
    static const int batches[] = {1, 7, 35};
    char ids_path[512], path[512];
    if (!golden_path("arch/prompt-ids.txt", ids_path)) SKIP(t, "no golden data (../shared/arch)");
    char *ids = read_whole(ids_path, NULL);
    REQUIRE(t, ids);
    ids[strcspn(ids, "\n")] = 0;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char name[64];
        size_t size = 0;
        snprintf(name, sizeof name, "arch/%s.logits.f32", models[m]);
        REQUIRE(t, golden_path(name, path));
        char *expected = read_whole(path, &size);
        REQUIRE(t, expected);
        snprintf(name, sizeof name, "arch/%s.gguf", models[m]);
        REQUIRE(t, golden_path(name, path));
        for (size_t i = 0; leat_isa(i); i++) {
            for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
                char arguments[512], out[] = "/tmp/leat-logits-XXXXXX";
                size_t got_size = 0;
                output o;
                if (!mkdtemp(out)) SKIP(t, "no temporary folder");
                char file[64];
                snprintf(file, sizeof file, "%s/logits", out);
                snprintf(arguments, sizeof arguments,
                         "logits %%s --tokens %s --out %s -b %d -ctk f32 -ctv f32 --isa %s", ids, file,
                         batches[k], leat_isa(i));
                REQUIRE(t, leat_run(&o, path, arguments));
                char *got = read_whole(file, &got_size);
                float d = got && got_size == size
                              ? greatest_difference((const float *)(const void *)got,
                                                    (const float *)(const void *)expected, size / 4)
                              : INFINITY;
                if (o.status || !(d < 5e-4f))
                    TEST_FAIL(t, "%s, %s, -b %d: status %d, %zu bytes, difference %g %s", models[m],
                              leat_isa(i), batches[k], o.status, got_size, (double)d, o.err);
                remove(file);
                remove(out);
                free(got);
                program_free(&o);
            }
        }
        free(expected);
    }
    free(ids);
}

/* The .inp files hold texts separated by a line; tokenize wants them ended by NUL. */
static void vocabularies(test *t) {
    static const char *const names[] = {"llama-spm", "llama-bpe", "qwen2", "bert-bge", "falcon"};
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char path[512], name[64];
    for (size_t v = 0; v < sizeof names / sizeof *names; v++) {
        size_t n = 0;
        snprintf(name, sizeof name, "vocab/%s.inp", names[v]);
        if (!golden_path(name, path)) SKIP(t, "no golden data (../shared/vocab)");
        char *texts = read_whole(path, &n);
        snprintf(name, sizeof name, "vocab/%s.out", names[v]);
        REQUIRE(t, golden_path(name, path));
        char *expected = read_whole(path, NULL);
        REQUIRE(t, texts && expected);
        char null_path[] = "/tmp/leat-texts-XXXXXX", arguments[128];
        int fd = mkstemp(null_path);
        REQUIRE(t, fd >= 0);
        FILE *f = fdopen(fd, "wb");
        for (char *p = texts, *end; *p; p = end ? end + sizeof separator - 1 : strchr(p, 0)) {
            end = strstr(p, separator);
            fwrite(p, 1, end ? (size_t)(end - p) : strlen(p), f);
            fputc(0, f);
        }
        fclose(f);
        snprintf(name, sizeof name, "vocab/%s.gguf", names[v]);
        REQUIRE(t, golden_path(name, path));
        snprintf(arguments, sizeof arguments, "tokenize %%s --null -f %s", null_path);
        output o;
        REQUIRE(t, leat_run(&o, path, arguments));
        remove(null_path);
        CHECK_EQ(t, o.status, 0);
        /* Line by line, blanks around the ids aside. */
        const char *a = o.out, *b = expected;
        for (int line = 1; *a || *b; line++) {
            char want[4096], got[4096];
            size_t na = strcspn(a, "\n"), nb = strcspn(b, "\n");
            snprintf(got, sizeof got, "%.*s", (int)na, a);
            const char *from = b + (*b == ' ');
            snprintf(want, sizeof want, "%.*s", (int)(nb - (*b == ' ')), from);
            if (strcmp(want, got) != 0)
                TEST_FAIL(t, "%s, text %d: \"%s\", not \"%s\"", names[v], line, got, want);
            a += na + (a[na] != 0);
            b += nb + (b[nb] != 0);
        }
        program_free(&o);
        free(texts);
        free(expected);
    }
}

/* What was guessed is said on stderr; the ids are there all the same. */
static void warning(test *t) {
    char path[512];
    output o;
    if (!golden_path("vocab/gpt-neox.gguf", path)) SKIP(t, "no golden data (../shared/vocab)");
    REQUIRE(t, leat_run(&o, path, "tokenize %s Hello"));
    CHECK_EQ(t, o.status, 0);
    CHECK_STR(t, o.out, "12092\n");
    CHECK(t, strstr(o.err, "leat: warning: tokenizer.ggml.pre is missing") == o.err);
    program_free(&o);
}

/* The pages of every golden model say what a person asks, and are JSON where asked for. */
static void info_of_all(test *t) {
    static const char *const folders[] = {"arch", "vocab", "models"};
    size_t seen = 0;
    for (size_t i = 0; i < 3; i++) {
        char folder[512], path[1024];
        DIR *dir = golden_path(folders[i], folder) ? opendir(folder) : NULL;
        if (!dir) SKIP(t, "no golden data (../shared)");
        for (struct dirent *entry; (entry = readdir(dir));) {
            output text, json;
            size_t where = 0;
            if (!strstr(entry->d_name, ".gguf")) continue;
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            REQUIRE(t, leat_run(&text, path, "info %s"));
            REQUIRE(t, leat_run(&json, path, "info %s --json -c 256 -ctk f32"));
            if (text.status || json.status || !json_valid(json.out, json.out_size, &where))
                TEST_FAIL(t, "%s: status %d and %d, JSON wrong at byte %zu", path, text.status, json.status,
                          where);
            bool weights = has(text.out, "Weights");
            if (!has(text.out, "special tokens") || !has(text.out, "vocabulary") ||
                has(text.out, "\n  can't run") ||
                (weights && (!has(text.out, "memory ") || !has(text.out, "kernels: ") ||
                             !has(text.out, "makes           text") || !has(json.out, "\"total\": "))))
                TEST_FAIL(t, "%s: %s", path, text.out);
            program_free(&text), program_free(&json);
            seen++;
        }
        closedir(dir);
    }
    CHECK(t, seen > 40);
}

#define TESTS(X) X(greedy_text) X(converted_text) X(logits) X(vocabularies) X(warning) X(info_of_all)
TEST_SUITE(TESTS)
