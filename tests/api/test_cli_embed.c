/* `leat embed` as a user runs it: where texts come from, what comes out in each format, and what is refused.
 * With the default model and a random encoder, so on every checkout. */
#include <stdlib.h>

#include "json_check.h"
#include "kernels/formats.h"
#include "program.h"
#include "tests/harness/fixture.h"

static size_t lines(const char *text) {
    size_t n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

static void formats_agree(test *t) {
    output text, array, raw, json;
    REQUIRE(t, leat_run(&text, NULL, "embed -p 'a cat' -p dog --pooling mean"));
    REQUIRE(t, leat_run(&array, NULL, "embed -p 'a cat' -p dog --pooling mean --format array -t 2"));
    REQUIRE(t, leat_run(&raw, NULL, "embed -p 'a cat' -p dog --pooling mean --format f32 -t 1"));
    REQUIRE(t, leat_run(&json, NULL, "embed -p 'a cat' -p dog --pooling none --format json"));
    CHECK_EQ(t, text.status, 0);
    CHECK_EQ(t, lines(text.out), 2);
    CHECK(t, raw.out_size > 0 && raw.out_size % 8 == 0);
    char *a = text.out, *b = array.out + 2; /* "[[" */
    double square = 0;
    size_t n = raw.out_size / sizeof(float);
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, raw.out + i * sizeof value, sizeof value);
        while (*b == ',' || *b == ' ' || *b == '[' || *b == ']') b++;
        CHECK(t, strtof(a, &a) == value && strtof(b, &b) == value);
        if (i < n / 2) square += (double)value * (double)value;
    }
    CHECK(t, square > 0.9999 && square < 1.0001);
    CHECK(t, json_valid(json.out, json.out_size, &n) && json_valid(array.out, array.out_size, &n));
    CHECK(t, has(json.out, "\"object\": \"list\"") && has(json.out, "\"index\": 1") && has(json.out, "[["));
    program_free(&text), program_free(&array), program_free(&raw), program_free(&json);
}

static void texts_come_from_lines(test *t) {
    static const struct {
        const char *command;
        size_t lines;
    } cases[] = {
        {"printf 'one\\ntwo\\r\\n\\nfour' | \"$LEAT\" embed", 4},
        {"printf 'one\\ntwo\\0three' | \"$LEAT\" embed -f - --null", 2},
        {"printf 'one\\n' > \"$DIR\"/x && \"$LEAT\" embed -f \"$DIR\"/x --no-normalize", 1},
        {"printf '' | \"$LEAT\" embed", 0},
        {"\"$LEAT\" embed -p ''", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        output o;
        REQUIRE(t, shell_run(&o, cases[i].command));
        if (o.status || lines(o.out) != cases[i].lines)
            TEST_FAIL(t, "%s: status %d, %zu lines, stderr \"%s\"", cases[i].command, o.status, lines(o.out),
                      o.err);
        program_free(&o);
    }
}

static void refusals(test *t) {
    static const struct {
        const char *arguments;
        int status;
        const char *word;
    } cases[] = {
        {"embed %s a --pooling rank", 1, "classifier"},
        {"embed %s a -c 129", 1, "trained for texts of up to 128"},
        {"embed %s aaaaaaaaaaaaaaaaaaaa -c 4", 1, "truncate"},
        {"embed %s aaaaaaaaaaaaaaaaaaaa -c 4 --truncate", 0, ""},
        {"embed %s aa bb cc --pooling cls", 0, ""},
        {"embed %s a --pooling sum", 2, "--pooling must be one of"},
        {"embed %s a --format xml", 2, "--format must be one of"},
        {"embed %s a --embd-normalize 1", 2, "--embd-normalize"},
        {"embed %s -p a -f b", 2, "-p and -f"},
        {"embed %s a --null", 2, "--null needs -f"},
        {"embed %s a -f b", 2, "unexpected \"a\""},
        {"run %s -p a", 1, "leat embed"},
        {"chat %s -p a --once", 1, "leat embed"},
        {"logits %s --tokens 1,2 --out /dev/null", 1, "leat embed"},
        {"tokenize %s a", 0, ""},
    };
    const arch_spec *spec = embed_specs;
    random_model m = random_model_of(spec, FORMAT_F32);
    temp_file f;
    leat_error e;
    REQUIRE(t, temp_make(&f, "m.gguf") && !random_model_write(&m, f.path, &e));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        output o;
        REQUIRE(t, leat_run(&o, f.path, cases[i].arguments));
        bool silent = cases[i].status ? !o.out_size : !o.err_size;
        if (o.status != cases[i].status || !has(o.err, cases[i].word) || !silent)
            TEST_FAIL(t, "leat %s: status %d, stdout %zu bytes, stderr \"%s\"", cases[i].arguments, o.status,
                      o.out_size, o.err);
        program_free(&o);
    }
    temp_remove(&f);
}

#define TESTS(X) X(formats_agree) X(texts_come_from_lines) X(refusals)
TEST_SUITE(TESTS)
