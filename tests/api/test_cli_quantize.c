/* `leat imatrix` and `leat quantize` with types chosen by search, as users run them, on the default model and
 * a short text: what is written, shown, merged, applied again, and wrong usage. */
#include "tests/harness/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "program.h"

/* The model, and a text of some hundred tokens, for the commands below. */
#define SCENE                                                                                                \
    "cd $DIR; M=$ROOT/models/storyteller-q8_0.gguf; I=0; while [ $I -lt 12 ]; do echo \"Once upon a time "   \
    "there "                                                                                                 \
    "was a boat number $I. It liked the sea, and the sea liked it.\"; I=$((I+1)); done >text; "

static void run(test *t, output *o, const char *commands) {
    char line[2000];
    snprintf(line, sizeof line, "%s%s", SCENE, commands);
    REQUIRE(t, shell_run(o, line));
    if (o->status) TEST_FAIL(t, "%s: %s", commands, o->err);
}

static void imatrix_files(test *t) {
    output o;
    run(t, &o,
        "\"$LEAT\" imatrix $M -f text -o a.gguf -c 64 --chunks 3 -t 1 && "
        "\"$LEAT\" imatrix $M text --out b.gguf -c 64 --chunks 3 -t 3 --save-every 1 && cmp a.gguf b.gguf && "
        "\"$LEAT\" imatrix --in-file a.gguf --in-file b.gguf -o c.gguf && "
        "\"$LEAT\" imatrix --show c.gguf && \"$LEAT\" info c.gguf --tensors");
    CHECK(t, has(o.out, "29 tensors, 6 chunks") && has(o.out, "ffn_down") && has(o.out, "cos-sim"));
    CHECK(t, has(o.out, "imatrix.chunk_count") && has(o.out, "blk.3.ffn_down.weight.in_sum2"));
    program_free(&o);
    /* the rest of a text, added to what there is of its first part, is the whole */
    run(t, &o,
        "\"$LEAT\" imatrix $M text -o a.gguf -c 64 --chunks 1 && "
        "\"$LEAT\" imatrix $M text --in-file a.gguf -o b.gguf -c 64 --from-chunk 1 --chunks 1 --show");
    CHECK(t, has(o.out, "2 chunks"));
    program_free(&o);
}

static void types_by_search(test *t) {
    output o;
    run(t, &o,
        "Q=\"--allow-requantize --search-types q3_k,q4_k,q6_k\"; \"$LEAT\" quantize $M a.gguf --target-bpw 5 "
        "--calibration text --search-measured 1 --search-trials 1 --calibration-chunks 1 $Q && "
        "\"$LEAT\" imatrix $M text -o i.gguf --chunks 1 && "
        "\"$LEAT\" quantize $M b.gguf auto_is_no_type --target-bpw 5 $Q; test $? = 2 && "
        "\"$LEAT\" quantize $M b.gguf --target-size 1.7M --imatrix i.gguf $Q --quiet && "
        "\"$LEAT\" quantize $M c.gguf --recipe-from b.gguf --imatrix i.gguf --allow-requantize && "
        "cmp b.gguf c.gguf && test $(wc -c <b.gguf) -le 1700000 && "
        "printf '# types\\n\\nffn_down=q5_k\\nattn=q8_0\\r\\n' >types && "
        "\"$LEAT\" quantize $M d.gguf q4_k --tensor-type-file types --allow-requantize && "
        "\"$LEAT\" info d.gguf --tensors");
    CHECK(t, has(o.out, "KL (nats)") && has(o.out, "token_embd.weight") && has(o.out, "bits per weight"));
    CHECK(t, has(o.out, "Q5_K") && has(o.out, "Q8_0") && has(o.out, "Q4_K"));
    program_free(&o);
}

/* Whatever goes wrong: status 1 and a sentence; the file that was there before is as it was, and beside it
 * nothing new. */
#define AS_BEFORE "test \"$(cat out.gguf)\" = old && test $(ls | wc -l) = 3 && echo as before"

static void failures_leave_nothing(test *t) {
    static const struct {
        const char *commands, *word;
    } rows[] = {{"ulimit -f 300; \"$LEAT\" quantize $M out.gguf q4_0 --allow-requantize", "can't be written"},
                {"ulimit -f 300; \"$LEAT\" quantize $M out.gguf --target-bpw 4 --allow-requantize",
                 "can't be written"},
                {"head -c 200000 $M >in; \"$LEAT\" quantize in out.gguf q4_0 --allow-requantize", "in"},
                {"head -c 20 $M >in; \"$LEAT\" quantize in out.gguf q4_0", "in"},
                {": >in; \"$LEAT\" quantize in out.gguf q4_0", "in"},
                {"cp text in; \"$LEAT\" quantize in out.gguf q4_0", "in"},
                {"\"$LEAT\" quantize . out.gguf q4_0", "."},
                {"\"$LEAT\" quantize absent out.gguf q4_0", "absent"},
                {"\"$LEAT\" imatrix $M text -o i.gguf --chunks 1 -c 64 -t 1; head -c 9000 i.gguf >in; "
                 "\"$LEAT\" quantize $M out.gguf q4_0 --imatrix in --allow-requantize",
                 "in"},
                {"\"$LEAT\" quantize $M out.gguf q4_0", "quantizing twice"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[1000];
        output o;
        snprintf(line, sizeof line,
                 "printf old >out.gguf; : >i.gguf; (%s); test $? = 1 && rm -f in && " AS_BEFORE,
                 rows[i].commands);
        run(t, &o, line);
        if (!has(o.out, "as before") || !has(o.err, "leat: ") || !has(o.err, rows[i].word))
            TEST_FAIL(t, "%s: %s%s", rows[i].commands, o.out, o.err);
        program_free(&o);
    }
}

/* Stopped, in the search or while writing, at once or just before the end: nothing, or all of it, also when
 * the signal comes twice (timeout sends it to the program and to its group). Killed: the old file is there,
 * and the next run does what was to be done. */
static void interruptions_leave_nothing(test *t) {
    output o;
    run(t, &o,
        "printf old >out.gguf; : >c.gguf; for S in INT TERM; do timeout -s $S --preserve-status 0.4 "
        "\"$LEAT\" "
        "quantize $M out.gguf --target-bpw 4 --calibration text --search-trials 100000 --search-measured 9 "
        "--allow-requantize -t 1; echo status $?; " AS_BEFORE "; done");
    CHECK(t, has(o.out, "status 130\nas before\nstatus 143\nas before"));
    program_free(&o);
    run(t, &o,
        "\"$LEAT\" quantize $M c.gguf iq3_s -t 1 --allow-requantize; for W in 0.01 0.03 0.06 0.1 0.2; do "
        "printf old >out.gguf; timeout -s INT --preserve-status $W \"$LEAT\" quantize $M out.gguf iq3_s -t 1 "
        "--allow-requantize; S=$?; if test $S = 0; then cmp c.gguf out.gguf && echo right; "
        "elif test $S = 130; then " AS_BEFORE "; fi; done");
    CHECK(t, strlen(o.out) >= 5 * strlen("right\n"));
    program_free(&o);
    run(t, &o,
        "printf old >out.gguf; : >c.gguf; timeout -s KILL 0.1 \"$LEAT\" quantize $M out.gguf iq2_s -t 1 "
        "--allow-requantize; rm -f out.gguf.tmp-*; test $(wc -c <out.gguf) -gt 3 || " AS_BEFORE
        "; \"$LEAT\" quantize $M out.gguf q4_0 --allow-requantize && \"$LEAT\" run out.gguf -p Once -n 2");
    program_free(&o);
}

#define NEVER "/tmp/leat-never-written"

static void wrong_usage(test *t) {
    static const struct {
        const char *arguments, *word;
        int status;
    } rows[] = {
        {"imatrix", "needs a text", 2},
        {"imatrix model.gguf -f text", "-o FILE is missing", 2},
        {"imatrix a b c -o x", "unexpected", 2},
        {"imatrix /nonexistent -f /dev/null -o " NEVER, "/nonexistent", 1},
        {"imatrix --show /nonexistent", "/nonexistent", 1},
        {"imatrix --in-file %s -o " NEVER, "no importance matrix", 1},
        {"quantize a b --target-size 8Q", "not a size", 2},
        {"quantize a b --target-size 0", "not a size", 2},
        {"quantize a b --target-size 8M --target-bpw 4", "exclude each other", 2},
        {"quantize a b --target-bpw 99", "--target-bpw", 2},
        {"quantize %s " NEVER " FOO", "\"FOO\" is no type to quantize to", 2},
        {"quantize %s " NEVER " q4_0 --tensor-type ffn_down=FOO", "ffn_down=FOO: \"FOO\" is no tensor type",
         2},
        {"quantize %s " NEVER " q4_0 --tensor-type ffn_down", "not PATTERN=TYPE", 2},
        {"quantize %s " NEVER " q4_0 --tensor-type (=q8_0", "a ( has no )", 2},
        {"quantize %s " NEVER " q4_0 --tensor-type nothing=q8_0", "\"nothing=q8_0\": the model has no tensor",
         2},
        {"quantize %s " NEVER " q4_0 --output-tensor-type q4_k_m", "output.weight: \"q4_k_m\" is no", 2},
        {"quantize %s " NEVER " q4_0 --token-embedding-type x", "token_embd.weight: \"x\" is no", 2},
        {"quantize %s " NEVER " --target-bpw 5 --search-types Q4_0,FOO,Q8_0", "search types: \"FOO\" is no",
         2},
        {"quantize %s " NEVER " --target-bpw 5 --search-types ,", "names none", 2},
        {"quantize %s " NEVER " --target-bpw 5 --calibration /dev/null", "/dev/null: a text of", 1},
        {"quantize /nonexistent " NEVER " q4_0", "/nonexistent", 1},
        {"imatrix m.gguf text -o " NEVER " --chunks 0", "--chunks must be 1 or more, or -1 for all, not 0",
         2},
        {"imatrix m.gguf text -o " NEVER " --chunk -2", "--chunk must be -1 to", 2},
        {"quantize %s " NEVER " --target-bpw 1.1 --allow-requantize", "are left for them", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        output o;
        REQUIRE(t, leat_run(&o, LEAT_SOURCE_ROOT "/models/storyteller-q8_0.gguf", rows[i].arguments));
        if (o.status != rows[i].status || !has(o.err, rows[i].word))
            TEST_FAIL(t, "%s: status %d: %s", rows[i].arguments, o.status, o.err);
        program_free(&o);
    }
    CHECK(t, access(NEVER, F_OK) != 0);
}

#define TESTS(X)                                                                                             \
    X(imatrix_files)                                                                                         \
    X(types_by_search) X(failures_leave_nothing) X(interruptions_leave_nothing) X(wrong_usage)
TEST_SUITE(TESTS)
