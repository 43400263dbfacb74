/* `leat imatrix` and `leat quantize` with types chosen by search, as users run them, on the default model and
 * a short text: what is written, shown, merged, applied again, and wrong usage. */
#include "tests/harness/test.h"

#include <stdlib.h>

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
        "\"$LEAT\" quantize $M b.gguf auto_is_no_type --target-bpw 5 $Q; test $? = 1 && "
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

static void wrong_usage(test *t) {
    static const struct {
        const char *arguments, *word;
        int status;
    } rows[] = {
        {"imatrix", "needs a text", 2},
        {"imatrix model.gguf -f text", "-o FILE is missing", 2},
        {"imatrix a b c -o x", "unexpected", 2},
        {"imatrix /nonexistent -f /dev/null -o /tmp/leat-never-written", "/nonexistent", 1},
        {"imatrix --show /nonexistent", "/nonexistent", 1},
        {"imatrix --in-file %s -o /tmp/leat-never-written", "no importance matrix", 1},
        {"quantize a b --target-size 8Q", "not a size", 2},
        {"quantize a b --target-size 0", "not a size", 2},
        {"quantize a b --target-size 8M --target-bpw 4", "exclude each other", 2},
        {"quantize a b --target-bpw 99", "--target-bpw", 2},
        {"quantize %s /tmp/leat-never-written --target-bpw 1.1 --allow-requantize", "are left for them", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        output o;
        REQUIRE(t, leat_run(&o, LEAT_SOURCE_ROOT "/models/storyteller-q8_0.gguf", rows[i].arguments));
        if (o.status != rows[i].status || !has(o.err, rows[i].word))
            TEST_FAIL(t, "%s: status %d: %s", rows[i].arguments, o.status, o.err);
        program_free(&o);
    }
}

#define TESTS(X)                                                                                             \
    X(imatrix_files)                                                                                         \
    X(types_by_search)                                                                                       \
    X(wrong_usage)
TEST_SUITE(TESTS)
