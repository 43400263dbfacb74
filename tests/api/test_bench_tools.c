/* The programs of tests/bench as their users call them: what they accept, what they refuse and how they say
 * so. What they measure is not looked at. */
#include "tests/harness/test.h"

#include "program.h"

/* A command line for sh in which $MAKE, $KERNELS and $COMPARE are the programs; see shell_run. */
static bool run(output *o, const char *command) {
    char line[4096];
    int n = snprintf(
        line, sizeof line,
        "MAKE='%s/make_model'; KERNELS='%s/bench_kernels'; COMPARE=\"$ROOT/tests/bench/compare\"; %s",
        LEAT_BENCHMARKS, LEAT_BENCHMARKS, command);
    return n > 0 && (size_t)n < sizeof line && shell_run(o, line);
}

/* Status 2, nothing on stdout, and a message with these words. */
static void refused(test *t, const char *command, const char *const words[3]) {
    output o;
    REQUIRE(t, run(&o, command));
    bool good = o.status == 2 && !o.out_size;
    for (size_t i = 0; i < 3 && words[i]; i++) good = good && has(o.err, words[i]);
    if (!good) TEST_FAIL(t, "%s: status %d, stdout \"%s\", stderr \"%s\"", command, o.status, o.out, o.err);
    program_free(&o);
}

/* The key, the value and what would be allowed are in the message, and no file is left. */
static void make_model_refuses(test *t) {
    static const struct {
        const char *arguments, *words[3];
    } cases[] = {
        {"tiny q4_0 n_layer=abc", {"n_layer", "\"abc\"", "1 to 1024"}},
        {"tiny q4_0 n_layer=0", {"n_layer", "\"0\"", "1 to 1024"}},
        {"tiny q4_0 n_layer=", {"n_layer", "\"\"", "1 to 1024"}},
        {"tiny q4_0 n_layer=+4", {"n_layer", "\"+4\"", "1 to 1024"}},
        {"tiny q4_0 n_head=0", {"n_head", "\"0\"", "1 to 1024"}},
        {"tiny q4_0 n_vocab=0", {"n_vocab", "\"0\"", "259 to"}},
        {"tiny q4_0 n_vocab=1", {"n_vocab", "\"1\"", "259 to"}},
        {"tiny q4_0 n_embd=99999999999", {"n_embd", "\"99999999999\"", "1 to"}},
        {"tiny q4_0 n_embd=99999999999999999999999", {"n_embd", "99999\"", "1 to"}},
        {"tiny q4_0 head_dim=-5", {"head_dim", "\"-5\"", "2 to 576"}},
        {"tiny q4_0 head_dim=33", {"head_dim", "33", "multiple of 2"}},
        {"tiny q4_0 arch=deepseek2 head_dim=8", {"head_dim", "not 8", "from 10 to 576"}},
        {"tiny q4_0 n_head=3 n_head_kv=2", {"n_head_kv", "be 2", "divide n_head, which is 3"}},
        {"tiny q4_0 n_head_kv=16", {"n_head_kv", "be 16", "divide n_head, which is 8"}},
        {"moe q4_0 n_used=40", {"n_used", "not 40", "1 to n_expert, which is 32"}},
        {"tiny q4_0 n_expert=8", {"n_expert", "olmoe", "not \"llama\""}},
        {"tiny q4_0 n_used=2", {"n_used", "olmoe", "not \"llama\""}},
        {"tiny q4_0 arch=deepseek2 n_expert=6", {"n_expert", "not 6", "multiple of 4"}},
        {"tiny q4_0 tied=yes", {"tied", "\"yes\"", "0 or 1"}},
        {"tiny q4_0 biased=2", {"biased", "\"2\"", "0 or 1"}},
        {"tiny q4_0 tied=0 arch=gemma", {"tied=0", "gemma", "always"}},
        {"tiny q4_0 n_head=4 arch=mamba2", {"n_head=4", "mamba2", "no attention"}},
        {"tiny q4_0 seed=", {"seed", "\"\"", "0 to 2^64 - 1"}},
        {"tiny q4_0 seed=18446744073709551616", {"seed", "551616", "0 to 2^64 - 1"}},
        {"tiny q4_0 value_type=q9", {"value_type", "\"q9\"", "q4_0"}},
        {"tiny q4_0 embed_type=i8", {"embed_type", "\"i8\"", "q4_0"}},
        {"tiny q4_0 arch=nope", {"arch", "\"nope\"", "llama"}},
        {"tiny q4_0 depth=3", {"no key \"depth\"", "n_layer", NULL}},
        {"tiny q4_0 n_layer", {"\"n_layer\"", "key=value", NULL}},
        {"tony q4_0", {"SHAPE", "\"tony\"", "135m"}},
        {"tiny q9", {"TYPE", "\"q9\"", "q4_k_m"}},
        {"tiny", {"usage", "--help", NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[256];
        snprintf(command, sizeof command, "\"$MAKE\" $DIR/m.gguf %s; s=$?; ls $DIR; exit $s",
                 cases[i].arguments);
        refused(t, command, cases[i].words);
    }
}

/* Types whose blocks do not divide 576 columns become what `leat quantize` makes of them. */
static void make_model_falls_back(test *t) {
    static const char *const cases[][2] = {
        {"iq2_xxs", "IQ4_NL"}, {"IQ2_XS", "IQ4_NL"}, {"iq2_s", "IQ4_NL"}, {"iq3_xxs", "IQ4_NL"},
        {"iq3_s", "IQ4_NL"},   {"iq1_s", "IQ4_NL"},  {"iq1_m", "IQ4_NL"}, {"iq4_xs", "IQ4_NL"},
        {"q2_k", "Q4_0"},      {"q3_k", "Q4_0"},     {"TQ1_0", "Q4_0"},   {"tq2_0", "Q4_0"},
        {"q4_k", "Q5_0"},      {"q5_k", "Q5_1"},     {"Q6_K", "Q8_0"},    {"q4_0", "Q4_0"},
        {"Q4_K_M", "Q5_0"},    {"q5_k_m", "Q5_1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[512];
        output o;
        snprintf(
            command, sizeof command,
            "\"$MAKE\" $DIR/m.gguf 135m %s n_layer=1 n_vocab=300 && \"$LEAT\" info $DIR/m.gguf --tensors",
            cases[i][0]);
        REQUIRE(t, run(&o, command));
        const char *line = strstr(o.out, "blk.0.attn_q.weight"), *end = line ? strchr(line, '\n') : NULL;
        const char *type = line ? strstr(line, cases[i][1]) : NULL;
        if (o.status || !type || type > end)
            TEST_FAIL(t, "make_model 135m %s: status %d, no %s in \"%.80s\", stderr \"%s\"", cases[i][0],
                      o.status, cases[i][1], line ? line : "", o.err);
        program_free(&o);
    }
}

/* Rows that no block divides, keys before the architecture that they are for, and every architecture. */
static void make_model_makes(test *t) {
    output o;
    REQUIRE(t, run(&o, "\"$MAKE\" $DIR/m.gguf tiny q4_0 n_embd=300 n_ff=100 head_dim=10 && "
                       "\"$LEAT\" run $DIR/m.gguf -p ab -n 2 --temp 0"));
    CHECK_EQ(t, o.status, 0);
    program_free(&o);
    REQUIRE(t, run(&o, "\"$MAKE\" $DIR/m.gguf tiny q8_0 n_expert=12 n_used=5 arch=olmoe && "
                       "\"$LEAT\" info $DIR/m.gguf | grep -c 'expert_count.* 12$\\|expert_used_count.* 5$'"));
    CHECK_STR(t, o.out, "2\n");
    program_free(&o);
    REQUIRE(t, run(&o, "for a in $(\"$MAKE\" --help | sed -n 's/^Architectures://p'); do "
                       "\"$MAKE\" $DIR/m.gguf tiny q4_k arch=$a || echo \"$a\"; done"));
    if (o.status || o.out_size || o.err_size) TEST_FAIL(t, "%s%s", o.out, o.err);
    program_free(&o);
}

static void help(test *t) {
    static const char *const words[] = {"tiny",    "135m", "q4_0",       "iq2_xxs",   "q4_k_m",
                                        "n_vocab", "tied", "value_type", "deepseek2", "259 to"};
    output o;
    REQUIRE(t, run(&o, "\"$MAKE\" --help"));
    CHECK(t, o.status == 0 && !o.err_size);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!has(o.out, words[i])) TEST_FAIL(t, "make_model --help does not say %s", words[i]);
    program_free(&o);
}

/* Bad arguments are noticed before anything is made: the folder that everything goes to stays away. */
static void compare_refuses(test *t) {
    static const struct {
        const char *arguments, *words[3];
    } cases[] = {
        {"--isa avx3", {"--isa", "\"avx3\"", "avx512vnni or amx"}},
        {"--shapes 135m,2b", {"--shapes", "\"2b\"", "135m"}},
        {"--shapes 135m,", {"--shapes", "\"\"", "135m"}},
        {"--shapes '135m 1b'", {"--shapes", "\"135m 1b\"", NULL}},
        {"--types q4_0,q9", {"--types", "\"q9\"", "q4_k_m"}},
        {"--threads 0", {"--threads", "\"0\"", "1 to 1024"}},
        {"--runs 0", {"--runs", "\"0\"", "1 to 1000"}},
        {"--reps 99999999999999999999", {"--reps", "99999\"", "1 to 1000"}},
        {"-p 0", {"-p", "\"0\"", "1 to"}},
        {"-d x", {"-d", "\"x\"", "0 to"}},
        {"--peer $DIR", {"--peer", "/tmp/", "libllama"}},
        {"--out /dev/null", {"--out", "\"/dev/null\"", "folder"}},
        {"--bogus", {"--bogus", "--help", NULL}},
        {"--isa", {"--isa", "value", NULL}},
    };
    output o;
    REQUIRE(t, run(&o, "command -v bash"));
    bool there = !o.status;
    program_free(&o);
    if (!there) SKIP(t, "bash is missing");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[256];
        snprintf(command, sizeof command,
                 "XDG_CACHE_HOME=$DIR/cache bash \"$COMPARE\" %s; s=$?; ls $DIR; exit $s",
                 cases[i].arguments);
        refused(t, command, cases[i].words);
    }
    REQUIRE(t, run(&o, "XDG_CACHE_HOME=$DIR/cache bash \"$COMPARE\" --help; ls $DIR"));
    CHECK(t, o.status == 0 && has(o.out, "--shapes LIST") && !o.err_size);
    program_free(&o);
}

/* A line for each kind of kernel, with a speed and a part of its roof that can be. */
static void kernels_have_roofs(test *t) {
    static const char *const kinds[] = {"attend f16", "attend q8_0", "matvec f16", "gemm   q8_0"};
    static const char *const wrong[][3] = {{"--only attention", "--only", "matvec, gemm or attend"},
                                           {"--isa avx3", "--isa", "\"avx3\""},
                                           {"--type q9", "--type", "q4_k"},
                                           {"--only attend --type q4_k", "--type", "q8_0"},
                                           {"--ms x", "--ms", "\"x\""},
                                           {"--mb 0", "--mb", "\"0\""}};
    output o;
    REQUIRE(t, run(&o, "for t in f16 q8_0; do \"$KERNELS\" --isa c --type $t --mb 1 --ms 1; done"));
    CHECK_EQ(t, o.status, 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *line = strstr(o.out, kinds[i]);
        double speed = 0, part = 0;
        if (!line || sscanf(line, "%*s %*s %*s %lf %*s %lf", &speed, &part) != 2 || speed <= 0 || part <= 0)
            TEST_FAIL(t, "no speed or no roof for %s in \"%s\"", kinds[i], o.out);
    }
    CHECK(t, has(o.out, "heads of 64, one token") && has(o.out, "heads of 128, 64 tokens"));
    program_free(&o);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char command[128];
        snprintf(command, sizeof command, "\"$KERNELS\" %s", wrong[i][0]);
        refused(t, command, (const char *const[3]){wrong[i][1], wrong[i][2], NULL});
    }
}

#define TESTS(X)                                                                                             \
    X(make_model_refuses)                                                                                    \
    X(make_model_falls_back) X(make_model_makes) X(help) X(compare_refuses) X(kernels_have_roofs)
TEST_SUITE(TESTS)
