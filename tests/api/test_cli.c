/* The command line contract, run as a user runs it: exit statuses and messages of wrong usage, what goes to
 * which stream, pipes that close, disks that are full, terminals and Ctrl-C. Works with the default model
 * alone, so on every checkout. */
#include "tests/harness/fixture.h"

#include <stdlib.h>

#include "json_check.h"
#include "program.h"

/* One line on stderr, nothing on stdout. */
static void check_complaint(test *t, const char *arguments, int status, const char *word) {
    output o;
    REQUIRE(t, leat_run(&o, NULL, arguments));
    if (o.status != status || !has(o.err, word) || o.out_size)
        TEST_FAIL(t, "leat %s: status %d, stdout \"%s\", stderr \"%s\"", arguments, o.status, o.out, o.err);
    const char *end = strchr(o.err, '\n');
    if (!end || end[1]) TEST_FAIL(t, "leat %s: not one line: \"%s\"", arguments, o.err);
    program_free(&o);
}

static void wrong_usage(test *t) {
    static const struct {
        const char *arguments, *word;
    } cases[] = {
        {"", "leat run"},
        {"rnu", "did you mean run?"},
        {"frobnicate", "unknown command \"frobnicate\""},
        {"--frobnicate", "unknown option --frobnicate"},
        {"run --tmep 1", "did you mean --temp?"},
        {"run -y", "unknown option -y"},
        {"run -n", "-n needs a value"},
        {"run -n many", "-n needs a whole number, not \"many\""},
        {"run -n 1.5", "-n needs a whole number"},
        {"run -n 99999999999999999999", "-n needs a whole number"},
        {"run -n -3", "-n must be"},
        {"run -b 0", "-b must be 1 to 2048"},
        {"run -t 100000", "-t must be"},
        {"run -t 0", "-t must be"},
        {"run -tb many", "-tb needs a whole number or auto"},
        {"run -p x --isa nonsense", "--isa: this machine has no instruction set \"nonsense\"; it has c"},
        {"run --temp hot", "--temp needs a number"},
        {"run --temp nan", "--temp needs a number"},
        {"run --temp=-1", "--temp must be"},
        {"run --top-p 2", "--top-p must be 0 to 1"},
        {"run -ctk q8", "-ctk must be one of f32|f16|bf16|q8_0|q4_0|q5_0|iq4_nl"},
        {"run --stats=1", "--stats takes no value"},
        {"run --samplers 'top_k;tpo_p'", "\"tpo_p\" is no step"},
        {"run --sampler-seq kk", "top_k twice"},
        {"run --samplers dry --sampler-seq d", "both give the order"},
        {"run -l 5", "-l needs a token's id"},
        {"run -l x+1", "-l needs a token's id"},
        {"run --mirostat 3", "--mirostat must be 0 to 2"},
        {"run --grammar x --regex y", "--grammar and --regex"},
        {"run model.gguf", "a prompt is missing"},
        {"run --prompt-cache-ro", "needs --prompt-cache FILE"},
        {"run a.gguf b.gguf -p x", "unexpected \"b.gguf\""},
        {"run -p a -f b", "-p and -f"},
        {"info a b", "unexpected \"b\""},
        {"info --tensor x", "--tensor needs --out"},
        {"info --out x", "--out needs --tensor"},
        {"tokenize a b c", "unexpected \"c\""},
        {"tokenize --null", "--null needs -f"},
        {"detokenize -m x 1,y", "\"y\" is no token id"},
        {"logits", "--tokens is missing"},
        {"logits --tokens 1", "--out is missing"},
        {"logits --tokens 1,,2 --out /dev/null", "is no token id"},
        {"quantize a b", "IN OUT TYPE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_complaint(t, cases[i].arguments, 2, cases[i].word);
}

static void failures(test *t) {
    static const struct {
        const char *arguments, *word;
    } cases[] = {
        {"run /nonexistent/model.gguf -p x", "/nonexistent/model.gguf"},
        {"run /dev/null -p x", "/dev/null"},
        {"run / -p x", "/"},
        {"info /nonexistent/model.gguf", "/nonexistent/model.gguf"},
        {"run -p x -f /nonexistent", "-p and -f"},
        {"run -f /nonexistent/prompt", "/nonexistent/prompt"},
        {"tokenize -f /nonexistent/text", "/nonexistent/text"},
        {"detokenize 99999999", "99999999"},
        {"detokenize -m /nonexistent/m 1", "/nonexistent/m"},
        {"logits --tokens 99999999 --out /dev/null", "99999999"},
        {"logits --tokens 1 --out /nonexistent/x", "/nonexistent/x"},
        {"info --tensor output_norm.weigth --out /dev/null", "did you mean output_norm.weight?"},
        {"run -c 4 -p 'Once upon a time there was a small boat on a lake.' ", "raise -c"},
        {"quantize /nonexistent/in /tmp/leat-never-written q8_0", "/nonexistent/in"},
        {"run -p x --grammar 'root ::= \"a'", "line 1, column 10"},
        {"run -p x --grammar-file /nonexistent/g", "/nonexistent/g"},
        {"run -p x -j '{\"type\": 7}'", "line 1, column 10"},
        {"run -p x --regex 'a(b'", "line 1, column 2"},
        {"run -p x -l 999999+1", "999999"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_complaint(t, cases[i].arguments, has(cases[i].word, "-p and") ? 2 : 1, cases[i].word);
    output o;
    REQUIRE(t, leat_run_env(&o, "LEAT_ISA=nonsense", NULL, "run -p x"));
    CHECK_EQ(t, o.status, 1);
    CHECK(t, has(o.err, "nonsense") && has(o.err, "c"));
    program_free(&o);
}

static void help_and_version(test *t) {
    static const char *const commands[] = {"run",     "info",   "tokenize", "detokenize",
                                           "imatrix", "logits", "quantize"};
    output o;
    REQUIRE(t, leat_run(&o, NULL, "--version"));
    CHECK_EQ(t, o.status, 0);
    CHECK(t, !strncmp(o.out, "leat ", 5) && !o.err_size);
    program_free(&o);
    REQUIRE(t, leat_run(&o, NULL, "--help"));
    CHECK_EQ(t, o.status, 0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[64];
        output h;
        CHECK(t, has(o.out, commands[i]));
        snprintf(line, sizeof line, "%s --help", commands[i]);
        REQUIRE(t, leat_run(&h, NULL, line));
        CHECK_EQ(t, h.status, 0);
        CHECK(t, has(h.out, "Options:") && !h.err_size);
        program_free(&h);
    }
    program_free(&o);
}

static void stdout_is_the_text(test *t) {
    output a, b, c;
    REQUIRE(t, leat_run(&a, NULL, "run -p 'Once upon a time' -n 24 --temp 0"));
    REQUIRE(t, leat_run(&b, NULL, "run -p 'Once upon a time' -n 24 --temp 0 --stats"));
    REQUIRE(t, leat_run(&c, NULL, "run -p 'Once upon a time' -n 24 --temp 0.9 -s 7"));
    CHECK_EQ(t, a.status, 0);
    CHECK(t, a.out_size > 10 && !a.err_size);
    CHECK(t, a.out_size && a.out[a.out_size - 1] != '\n');
    CHECK_STR(t, b.out, a.out);
    CHECK(t, has(b.err, "tokens/s") && has(b.err, "seed") && has(b.err, "MiB"));
    CHECK(t, !c.err_size);
    output again;
    REQUIRE(t, leat_run(&again, NULL, "run -p 'Once upon a time' -n 24 --temp 0.9 --seed 7 -t 3"));
    CHECK_STR(t, again.out, c.out); /* same seed, same text, whatever the threads */
    program_free(&again);
    program_free(&a);
    program_free(&b);
    program_free(&c);
}

/* The output follows what --json-schema, --regex and --grammar say; the same seed gives the same text. */
static void constrained(test *t) {
    output a, b, c, d;
    size_t where;
    REQUIRE(
        t,
        leat_run(&a, NULL,
                 "run -p 'Once upon a time' -n 300 -s 4 --json-schema '{\"type\":\"object\",\"properties\":{"
                 "\"name\":{\"type\":\"string\",\"maxLength\":12},\"age\":{\"type\":\"integer\","
                 "\"maximum\":99}},\"required\":[\"name\",\"age\"]}'"));
    CHECK_EQ(t, a.status, 0);
    if (!json_valid(a.out, a.out_size, &where) || !has(a.out, "\"age\"") || a.err_size)
        TEST_FAIL(t, "not JSON: %s%s", a.out, a.err);
    REQUIRE(t, leat_run(&b, NULL, "run -p 'Once upon a time' -n 99 -s 4 --regex '(cat|dog) (ran|sat)\\.'"));
    CHECK(t, !b.status && b.out_size == 8);
    REQUIRE(t, leat_run(&c, NULL,
                        "run -p Once -n 99 --temp 0 --grammar 'root ::= \"yes\" | \"no\"' --ignore-eos"));
    CHECK(t, !c.status && (!strcmp(c.out, "yes") || !strcmp(c.out, "no")));
    REQUIRE(
        t, leat_run(&d, NULL, "run -p Once -n 4 -s 4 --n-probs 2 --samplers 'top_k;temperature' -l 300-inf"));
    CHECK(t, !d.status && has(d.err, "\"prob\": ") && has(d.err, "\"top\": ["));
    for (char *line = strtok(d.err, "\n"); line; line = strtok(NULL, "\n"))
        CHECK(t, json_valid(line, strlen(line), &where));
    program_free(&a);
    program_free(&b);
    program_free(&c);
    program_free(&d);
}

/* The prompt is the same however it comes. */
/* Keys and values apart, every type by its name; and the text of a model with a cache of 8 bits is a text. */
static void cache_types(test *t) {
    static const char *const types[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q5_0", "iq4_nl"};
    enum { N = sizeof types / sizeof *types };
    for (size_t i = 0; i < N; i++) {
        char arguments[128];
        output o;
        snprintf(arguments, sizeof arguments,
                 "run -p 'Once upon a time' -n 8 --temp 0 -ctk %s --cache-type-v %s", types[i],
                 types[(i + 3) % N]);
        REQUIRE(t, leat_run(&o, NULL, arguments));
        if (o.status || !o.out_size || o.err_size)
            TEST_FAIL(t, "%s: status %d, %s", arguments, o.status, o.err);
        program_free(&o);
    }
}

static void prompt_sources(test *t) {
    output o;
    REQUIRE(
        t, shell_run(
               &o,
               "printf 'One day\\n' >$DIR/p; \"$LEAT\" run -p 'One day\\n' -n 8 --temp 0 >$DIR/1;"
               "\"$LEAT\" run -f $DIR/p -n 8 --temp 0 >$DIR/2; \"$LEAT\" run - -n 8 --temp 0 <$DIR/p >$DIR/3;"
               "\"$LEAT\" run -p 'One \\x64ay\\x0A' -n 8 --temp 0 >$DIR/4;"
               "test -s $DIR/1 && cmp $DIR/1 $DIR/2 && cmp $DIR/1 $DIR/3 && cmp $DIR/1 $DIR/4 &&"
               "\"$LEAT\" tokenize -f $DIR/p && \"$LEAT\" tokenize 'One day'"));
    CHECK_EQ(t, o.status, 0);
    CHECK(t, !o.err_size);
    program_free(&o);
}

static void streams_that_fail(test *t) {
    output o;
    /* head takes ten bytes and goes; leat must end by itself, quietly and without a signal. */
    REQUIRE(
        t, shell_run(
               &o, "{ \"$LEAT\" run -p Once -n 100000 --ignore-eos; echo \"status $?\" >&2; } | head -c 10"));
    CHECK_EQ(t, o.out_size, 10);
    CHECK(t, has(o.err, "status 1\n") || has(o.err, "status 0\n"));
    CHECK(t, o.err && strlen(o.err) == strlen("status 1\n"));
    program_free(&o);
    REQUIRE(t, shell_run(&o, "\"$LEAT\" info >&-"));
    CHECK_EQ(t, o.status, 1);
    CHECK(t, has(o.err, "standard output"));
    program_free(&o);
#ifdef __linux__
    REQUIRE(t, shell_run(&o, "\"$LEAT\" info --json >/dev/full"));
    CHECK_EQ(t, o.status, 1);
    CHECK(t, has(o.err, "No space left"));
    program_free(&o);
    REQUIRE(t, shell_run(&o, "\"$LEAT\" run -p Once -n 9 >/dev/full"));
    CHECK_EQ(t, o.status, 1);
    CHECK(t, has(o.err, "No space left"));
    program_free(&o);
    REQUIRE(t,
            shell_run(&o, "\"$LEAT\" logits --tokens 1,2 --out /dev/full; test -c /dev/full && echo there"));
    CHECK(t, has(o.err, "No space left") && has(o.out, "there"));
    program_free(&o);
#endif
}

static void info_pages(test *t) {
    output o;
    size_t where = 0;
    REQUIRE(t, leat_run(&o, NULL, "info"));
    CHECK_EQ(t, o.status, 0);
    CHECK(t, has(o.out, "Storyteller") && has(o.out, "Q8_0") && has(o.out, "2048 tokens") &&
                 !has(o.out, "blk.0.attn_q.weight"));
    program_free(&o);
    REQUIRE(t, leat_run(&o, NULL, "info --tensors"));
    CHECK(t, has(o.out, "blk.0.attn_q.weight") && has(o.out, "256 x 256"));
    program_free(&o);
    REQUIRE(t, leat_run(&o, NULL, "info --json"));
    CHECK_EQ(t, o.status, 0);
    if (!json_valid(o.out, o.out_size, &where))
        TEST_FAIL(t, "info --json is wrong at byte %zu: %.40s", where, o.out + where);
    CHECK(t, has(o.out, "\"tokenizer.chat_template\": \"{{ bos_token }}") &&
                 has(o.out, "\"dims\": [256, 2048]"));
    program_free(&o);
    REQUIRE(
        t,
        shell_run(&o, "\"$LEAT\" info --tensor output_norm.weight --out $DIR/t && wc -c <$DIR/t && ls $DIR"));
    CHECK_EQ(t, o.status, 0);
    CHECK(t, has(o.out, "1024\n") && has(o.out, "t\n")); /* 256 float32, and no other file */
    program_free(&o);
}

/* A one-key file whose strings try to drive the terminal. */
static void hostile_metadata(test *t) {
    output o;
    size_t where = 0;
    REQUIRE(t,
            shell_run(
                &o,
                "printf 'GGUF\\003\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\001\\0\\0\\0\\0\\0\\0\\0"
                "\\014\\0\\0\\0\\0\\0\\0\\0general.name\\010\\0\\0\\0\\010\\0\\0\\0\\0\\0\\0\\0\\033["
                "31m\\007\\377A' >$DIR/m;"
                "head -c 4096 /dev/zero >>$DIR/m; \"$LEAT\" info $DIR/m; \"$LEAT\" info --json $DIR/m >&2"));
    CHECK_EQ(t, o.status, 0);
    CHECK(t, has(o.out, "\\u{1b}[31m") && !strchr(o.out, 033) && !strchr(o.out, 007));
    CHECK(t, has(o.err, "\\u001b[31m\\u0007\xEF\xBF\xBD") && json_valid(o.err, o.err_size, &where));
    program_free(&o);
}

static void tokens_and_back(test *t) {
    output o;
    size_t where = 0;
    REQUIRE(t, shell_run(&o, "\"$LEAT\" detokenize $(\"$LEAT\" tokenize 'The b\xC3\xA4r <|im_end|> 5')"));
    CHECK_STR(t, o.out, "The b\xC3\xA4r <|im_end|> 5");
    program_free(&o);
    REQUIRE(t, shell_run(&o, "\"$LEAT\" tokenize --special '<|im_start|><|im_end|>'; \"$LEAT\" tokenize "
                             "--special --bos '<|im_end|>';"
                             "\"$LEAT\" tokenize ''"));
    CHECK_STR(t, o.out, "3 4\n1 4\n\n");
    program_free(&o);
    REQUIRE(t, shell_run(
                   &o,
                   "printf 'one\\0\\0two words\\0three' >$DIR/n; \"$LEAT\" tokenize --null -f $DIR/n >$DIR/a;"
                   "for w in one '' 'two words' three; do \"$LEAT\" tokenize \"$w\"; done >$DIR/b; cmp "
                   "$DIR/a $DIR/b && wc -l <$DIR/a"));
    CHECK_EQ(t, o.status, 0);
    CHECK(t, has(o.out, "4"));
    program_free(&o);
    REQUIRE(t, leat_run(&o, NULL, "tokenize --json 'say \"hi\"\x01'"));
    CHECK(t, json_valid(o.out, o.out_size, &where) && has(o.out, "{\"ids\": ["));
    program_free(&o);
}

/* On a terminal: a last line end, Ctrl-C answered at once with status 130, and no escape sequence left
 * hanging. */
static void terminal_and_interrupt(test *t) {
    output o;
    double seconds = 0;
    if (!terminal_run(&o, NULL, "run -p Once -n 5 --temp 0", 0, NULL)) SKIP(t, "no pseudo terminals here");
    CHECK_EQ(t, o.status, 0);
    CHECK(t, o.out_size > 2 && o.out[o.out_size - 1] == '\n');
    program_free(&o);
    REQUIRE(t, terminal_run(&o, NULL, "run -p Once -c 30000 -n 29000 --ignore-eos", 0.7, &seconds));
    CHECK_EQ(t, o.status, 130);
    CHECK(t, o.out_size > 2 && o.out[o.out_size - 1] == '\n');
    CHECK(t, seconds < 5); /* generous: the machine may be busy; the library promises milliseconds */
    program_free(&o);
}

/* A prompt long enough that progress shows, cut off in the middle: the terminal is as it was. */
static void progress_is_erased(test *t) {
    char arguments[128], path[] = "/tmp/leat-long-XXXXXX";
    double seconds = 0;
    output o;
    int fd = mkstemp(path);
    REQUIRE(t, fd >= 0);
    FILE *f = fdopen(fd, "w");
    for (int i = 0; i < 6000; i++) fputs("The little boat went home. ", f);
    fclose(f);
    snprintf(arguments, sizeof arguments, "run -f %s -c 60000 -n 1 -t 1 -b 64", path);
    bool ran = terminal_run(&o, NULL, arguments, 1.5, &seconds);
    remove(path);
    if (!ran) SKIP(t, "no pseudo terminals here");
    const char *erased = NULL;
    for (const char *p = o.out; (p = strstr(p, "\033[K")); p++) erased = p;
    if (o.status == 0) SKIP(t, "this machine is too fast for the test");
    CHECK_EQ(t, o.status, 130);
    CHECK(t, has(o.out, "reading the prompt") && has(o.out, "/s") && erased && !has(erased, "reading"));
    CHECK(t, seconds < 5);
    program_free(&o);
}

/* A full context ends a text, unless it may forget. */
static void context_shift(test *t) {
    static const struct {
        const char *arguments, *word;
        bool full;
    } cases[] = {{"", "--context-shift", true},
                 {"--context-shift", " 150 tokens", false},
                 {"--context-shift --keep -1", " 150 tokens", false},
                 {"--context-shift --keep 63", " 150 tokens", false},
                 {"--context-shift --keep 64", "longer\n", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char arguments[200];
        output o;
        snprintf(arguments, sizeof arguments,
                 "run -p 'Once there was' -c 64 -n 150 --temp 0 --ignore-eos --stats %s", cases[i].arguments);
        REQUIRE(t, leat_run(&o, NULL, arguments));
        if (o.status || !has(o.err, cases[i].word) || has(o.err, "is full") != cases[i].full)
            TEST_FAIL(t, "%s: status %d, \"%s\"", arguments, o.status, o.err);
        program_free(&o);
    }
}

/* What was evaluated once is in the file, for the same prompt and for longer ones; the text is the same. */
static void prompt_cache(test *t) {
    static const struct {
        const char *arguments, *evaluated;
    } cases[] = {{"-p 'Once upon a time'", NULL}, /* fills it */
                 {"-p 'Once upon a time'", "prompt                0 tokens"},
                 {"-p 'Once upon a time' -c 300 -t 1", "prompt                0 tokens"},
                 {"-p 'Once'", NULL},
                 {"-p 'Once upon a time' --prompt-cache-all", NULL},
                 {"-p 'Once upon a time' --prompt-cache-ro", "prompt                1 tokens"}};
    temp_file f;
    char arguments[400], first[2000] = "";
    output o;
    REQUIRE(t, temp_make(&f, "kept"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(arguments, sizeof arguments, "run --temp 0 -n 20 --stats --prompt-cache %s %s", f.path,
                 cases[i].arguments);
        REQUIRE(t, leat_run(&o, NULL, arguments));
        if (i == 0) snprintf(first, sizeof first, "%s", o.out);
        if (o.status || (cases[i].evaluated && !has(o.err, cases[i].evaluated)))
            TEST_FAIL(t, "%s: status %d, \"%s\"", arguments, o.status, o.err);
        if (strcmp(cases[i].arguments, "-p 'Once'") != 0) CHECK_STR(t, o.out, first);
        program_free(&o);
    }
    snprintf(arguments, sizeof arguments, "run -p x -ctk q8_0 --prompt-cache %s", f.path);
    check_complaint(t, arguments, 1, "saved with keys as f16");
    snprintf(arguments, sizeof arguments, "run -p x --prompt-cache %s/../tests/meson.build",
             LEAT_SOURCE_ROOT "/tests");
    check_complaint(t, arguments, 1, "no saved session");
    temp_remove(&f);
}

#define TESTS(X)                                                                                             \
    X(wrong_usage)                                                                                           \
    X(failures)                                                                                              \
    X(help_and_version)                                                                                      \
    X(stdout_is_the_text)                                                                                    \
    X(cache_types)                                                                                           \
    X(constrained)                                                                                           \
    X(prompt_sources)                                                                                        \
    X(streams_that_fail)                                                                                     \
    X(context_shift)                                                                                         \
    X(prompt_cache)                                                                                          \
    X(info_pages) X(hostile_metadata) X(tokens_and_back) X(terminal_and_interrupt) X(progress_is_erased)
TEST_SUITE(TESTS)
