/* `leat bench` as users run it, on the default model with sizes so small that nothing it says about speed
 * means anything: the formats, the names of the tests, the lists, and wrong usage. */
#include "tests/harness/test.h"

#include <stdlib.h>

#include "kernels/formats.h"
#include "tests/harness/fixture.h"

#include "json_check.h"
#include "program.h"

/* How often a word is in the text. */
static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *p = text; p && (p = strstr(p, word)); p += strlen(word)) n++;
    return n;
}

/* The number behind the n-th (from 0) `"name": `; -1 if there is none. */
static double number(const char *json, const char *name, int n) {
    char key[64];
    const char *p = json;
    snprintf(key, sizeof key, "\"%s\": ", name);
    for (int i = 0; p && i <= n; i++)
        if ((p = strstr(p, key))) p += strlen(key);
    return p ? strtod(p, NULL) : -1;
}

static void json(test *t) {
    static const char *const fields[] = {
        "machine",  "cpu",          "system",     "cores",   "memory",
        "isa",      "results",      "model",      "test",    "threads",
        "n_params", "load_average", "model_size", "samples", "tokens_per_second",
        "stddev",   "best"};
    output o;
    size_t where = 0;
    REQUIRE(t, leat_run(&o, NULL, "bench -p 8 -n 4 -r 2 --read-mib 64 -o json"));
    CHECK_EQ(t, o.status, 0);
    if (!json_valid(o.out, o.out_size, &where))
        TEST_FAIL(t, "bench -o json is wrong at byte %zu: %.40s", where, o.out + where);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char key[64];
        snprintf(key, sizeof key, "\"%s\": ", fields[i]);
        if (!has(o.out, key)) TEST_FAIL(t, "no field %s", fields[i]);
    }
    CHECK(t, has(o.out, "\"test\": \"pp8\"") && has(o.out, "\"test\": \"tg4\""));
    CHECK_EQ(t, count(o.out, "\"test\": "), 2);
    CHECK_EQ(t, count(o.out, "\"percent_of_read_bandwidth\": "), 1); /* generation only */
    CHECK_EQ(t, count(o.out, "\"percent_of_multiply_peak\": "), 1);  /* prompts only */
    CHECK(t,
          number(o.out, "multiply_peak_gop_s", 0) > 0.1 && number(o.out, "percent_of_multiply_peak", 0) > 0);
    for (int i = 0; i < 2; i++) {
        double mean = number(o.out, "tokens_per_second", i), best = number(o.out, "best", i);
        CHECK(t, mean > 0 && best >= mean * 0.999999);
    }
    /* Two samples, the better of which is "best". */
    const char *samples = strstr(o.out, "\"samples\": [");
    REQUIRE(t, samples);
    char *end;
    double a = strtod(samples + strlen("\"samples\": ["), &end), b = strtod(end + 1, NULL);
    CHECK(t, *end == ',' && a > 0 && b > 0);
    CHECK(t, number(o.out, "best", 0) == (a > b ? a : b));
    program_free(&o);
}

/* The default model is tied: a token reads the whole file's weights, and 2 * 2 bytes of each of 4 layers'
 * keys and values for each position. The second test has 64 positions more. */
static void bytes_per_token(test *t) {
    output o;
    REQUIRE(t, leat_run(&o, NULL, "bench --read-mib 16 -p 0 -n 4 -d 0,64 -r 1 -o json"));
    REQUIRE(t, o.status == 0);
    double size = number(o.out, "model_size", 0), at_0 = number(o.out, "bytes_per_token", 0),
           at_64 = number(o.out, "bytes_per_token", 1);
    CHECK(t, at_0 > 0.9 * size && at_0 < 1.1 * size);
    CHECK(t, at_64 > at_0);
    program_free(&o);
    REQUIRE(t, leat_run(&o, NULL, "bench --read-mib 16 -p 0 -n 4 -d 0,64 -r 1 -ctk f32 -ctv f32 -o json"));
    REQUIRE(t, o.status == 0);
    double wide = number(o.out, "bytes_per_token", 1) - number(o.out, "bytes_per_token", 0);
    CHECK_EQ(t, (long long)(wide + 0.5), (long long)(2 * (at_64 - at_0) + 0.5));
    program_free(&o);
}

/* `leat bench` on a small random model of an architecture, with those arguments. */
static bool bench_random(test *t, output *o, const char *arch, const char *arguments) {
    const arch_spec *spec = arch_specs;
    while (strcmp(spec->arch, arch) != 0) spec++;
    random_model m = random_model_of(spec, FORMAT_F32);
    leat_error e = {LEAT_OK, ""};
    temp_file f;
    if (!temp_make(&f, "m.gguf")) return false;
    if (random_model_write(&m, f.path, &e)) TEST_FAIL(t, "%s", e.message);
    bool ran = leat_run(o, f.path, arguments);
    temp_remove(&f);
    if (ran && o->status) TEST_FAIL(t, "bench of a random %s: status %d, %s", arch, o->status, o->err);
    return ran;
}

/* What the layers read more behind 200 tokens than behind none. */
static void bytes_at_depth(test *t, const char *arch, double wanted) {
    output o;
    REQUIRE(t, bench_random(t, &o, arch, "bench %s --read-mib 0 -p 0 -n 1 -d 0,200 -r 1 -t 1 -o json"));
    double more = number(o.out, "bytes_per_token", 1) - number(o.out, "bytes_per_token", 0);
    if (more != wanted) TEST_FAIL(t, "a token of %s reads %.0f bytes more, not %.0f", arch, more, wanted);
    program_free(&o);
}

/* Keys and values of two heads of 16 as 16-bit floats are 128 bytes. gemma3: six of seven layers have a
 * window of 9. qwen35: one of three layers is attention. deepseek2: two layers keep one row of 40 values
 * each. */
static void bytes_follow_the_layers(test *t) {
    bytes_at_depth(t, "llama", 2 * 128 * 200);
    bytes_at_depth(t, "gemma3", 128 * (200 + 6 * 8));
    bytes_at_depth(t, "qwen35", 128 * 200);
    bytes_at_depth(t, "deepseek2", 2 * 80 * 200);
    /* of the inputs of 25 layers a token takes one of 300 rows; the embedding is the output matrix too */
    output o;
    REQUIRE(t, bench_random(t, &o, "gemma3n", "bench %s --read-mib 0 -p 0 -n 1 -r 1 -t 1 -o json"));
    double table = 25 * 256 * 4.0, read = number(o.out, "bytes_per_token", 0);
    CHECK(t, read > 0 && read < number(o.out, "model_size", 0) - 290 * table);
    program_free(&o);
}

static void lists(test *t) {
    output o;
    REQUIRE(t, leat_run(&o, NULL, "bench --read-mib 16 -p 8,16 -n 2 -d 0,5 -t 1,2 -b 8,32 -r 1 -o csv"));
    CHECK_EQ(t, o.status, 0);
    CHECK_EQ(t, count(o.out, "\n"), 1 + 3 * 2 * 2 * 2);
    CHECK_EQ(t, count(o.out, ",pp16 @ d5,"), 4);
    CHECK_EQ(t, count(o.out, ",tg2,"), 4);
    /* As many fields in each line as in the first. */
    int fields = -1;
    for (const char *line = o.out; *line;) {
        size_t n = strcspn(line, "\n");
        int commas = 0;
        bool quoted = false;
        for (size_t i = 0; i < n; i++) {
            if (line[i] == '"') quoted = !quoted;
            if (line[i] == ',' && !quoted) commas++;
        }
        CHECK(t, fields < 0 || commas == fields);
        fields = commas;
        line += n + (line[n] == '\n');
    }
    program_free(&o);
}

static void tables(test *t) {
    output o;
    REQUIRE(t, leat_run(&o, NULL, "bench --read-mib 16 -p 4 -n 2 -r 1 -o md"));
    CHECK_EQ(t, o.status, 0);
    CHECK_EQ(t, count(o.out, "\n| "), 3); /* titles and two results */
    CHECK_EQ(t, count(o.out, "\n|---"), 1);
    CHECK(t, has(o.out, "| pp4 ") && has(o.out, "| tg2 ") && has(o.out, "tokens/s") && has(o.out, " %"));
    program_free(&o);
    REQUIRE(t, leat_run(&o, NULL, "bench --read-mib 16 -p 4 -n 0 -r 1"));
    CHECK_EQ(t, o.status, 0);
    CHECK(t, has(o.out, "storyteller") && has(o.out, "pp4") && !has(o.out, "tg") && !has(o.out, "|"));
    program_free(&o);
}

/* Two models in one run, one of them twice; then one that is missing: what was measured until then is shown.
 */
static void several_models(test *t) {
    output o;
    REQUIRE(t, shell_run(&o, "M=$ROOT/models/storyteller-q8_0.gguf; \"$LEAT\" bench --read-mib 0 $M $M -p 4 "
                             "-n 0 -r 1 -o csv"));
    CHECK_EQ(t, o.status, 0);
    CHECK_EQ(t, count(o.out, ",pp4,"), 2);
    program_free(&o);
    REQUIRE(t, shell_run(&o, "M=$ROOT/models/storyteller-q8_0.gguf; \"$LEAT\" bench --read-mib 0 $M "
                             "$DIR/none -p 4 -n 0 -r 1 -o csv"));
    CHECK_EQ(t, o.status, 1);
    CHECK_EQ(t, count(o.out, ",pp4,"), 1);
    CHECK(t, has(o.err, "/none"));
    program_free(&o);
}

static void isa(test *t) {
    output o;
    REQUIRE(t, leat_run(&o, NULL, "bench --read-mib 16 --isa c -p 4 -n 0 -r 1 -o json"));
    CHECK(t, has(o.out, "\"isa\": \"c\""));
    program_free(&o);
    REQUIRE(t, leat_run_env(&o, "LEAT_ISA=c", NULL, "bench --read-mib 16 -p 4 -n 0 -r 1 -o json"));
    CHECK(t, has(o.out, "\"isa\": \"c\""));
    program_free(&o);
}

static void wrong_usage(test *t) {
    static const struct {
        const char *arguments, *word;
        int status;
    } cases[] = {
        {"bench -p 8,x", "-p needs whole numbers", 2},
        {"bench -p 8,", "-p needs whole numbers", 2},
        {"bench -p ''", "-p needs whole numbers", 2},
        {"bench -n -1", "-n must be 0 to", 2},
        {"bench -t 0", "-t must be 1 to 1024", 2},
        {"bench -t 2,automatic", "-t needs whole numbers", 2},
        {"bench -b 0,8", "-b must be 1 to 2048", 2},
        {"bench --read-mib -2", "--read-mib must be", 2},
        {"bench -r 0", "-r must be 1 to", 2},
        {"bench -p 0 -n 0", "nothing to measure", 2},
        {"bench -o xml", "-o must be one of table|md|csv|json", 2},
        {"bench -ctk q3", "-ctk must be one of", 2},
        {"bench --promt 3", "unknown option --promt", 2},
        {"bench --isa nonsense -p 1", "--isa: this machine has no instruction set \"nonsense\"; it has c", 2},
        {"bench /nonexistent/m -p 1", "/nonexistent/m", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        output o;
        REQUIRE(t, leat_run(&o, NULL, cases[i].arguments));
        if (o.status != cases[i].status || !has(o.err, cases[i].word) || o.out_size)
            TEST_FAIL(t, "leat %s: status %d, stdout \"%s\", stderr \"%s\"", cases[i].arguments, o.status,
                      o.out, o.err);
        program_free(&o);
    }
    output o;
    REQUIRE(t, leat_run(&o, NULL, "bench --help"));
    CHECK(t, o.status == 0 && has(o.out, "Options:") && has(o.out, "of roof") && !o.err_size);
    program_free(&o);
}

/* Ctrl-C in the middle: status 130, soon, with what was measured before. */
static void interrupted(test *t) {
    output o;
    double seconds;
    REQUIRE(t, terminal_run(&o, NULL, "bench --read-mib 16 -p 4 -n 100000 -r 1 -t 1", 3, &seconds));
    CHECK_EQ(t, o.status, 130);
    CHECK(t, seconds < 3);
    CHECK(t, has(o.out, "pp4") && !has(o.out, "tg100000 "));
    program_free(&o);
}

#define TESTS(X)                                                                                             \
    X(json)                                                                                                  \
    X(bytes_per_token)                                                                                       \
    X(bytes_follow_the_layers)                                                                               \
    X(lists)                                                                                                 \
    X(tables)                                                                                                \
    X(several_models)                                                                                        \
    X(isa)                                                                                                   \
    X(wrong_usage)                                                                                           \
    X(interrupted)
TEST_SUITE(TESTS)
