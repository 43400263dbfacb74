/* Commands that write files, ended early: by a limit on the size of files, by a terminal that goes away, by
 * Ctrl-C. Signals are sent when the program is known to be ready for them, not after a while. */
#include "tests/harness/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "program.h"

/* The model, a text that takes long, and a file that was there before. started COMMAND...: the program in
 * the background, as $P. caught: waits until it has taken SIGINT over. It is asked which program it is first:
 * a moment before, it is still the shell. */
#define SCENE                                                                                                \
    "cd $DIR; M=$ROOT/models/storyteller-q8_0.gguf; printf old >out; "                                       \
    "head -c 4000 $ROOT/README.md >line; I=0; while [ $I -lt 200 ]; do cat line; I=$((I+1)); done >text; "   \
    "started() { \"$LEAT\" \"$@\" & P=$!; }; "                                                               \
    "ready() { [ /proc/$P/exe -ef \"$LEAT\" ] && grep -q '^SigCgt:.*[2367abef]$' /proc/$P/status; }; "       \
    "caught() { until ready; do kill -0 $P || return; done; }; "                                             \
    "appears() { until [ -e \"$(echo $1)\" ]; do kill -0 $P || return; done; }; "

static void run(test *t, output *o, const char *commands) {
    char line[2500];
    snprintf(line, sizeof line, "%s%s", SCENE, commands);
    REQUIRE(t, shell_run(o, line));
}

#define HAS(t, o, text, word)                                                                                \
    do {                                                                                                     \
        if (!has(text, word)) TEST_FAIL(t, "\"%s\" is not in: %s%s", word, (o)->out, (o)->err);              \
    } while (0)

/* The folder holds what the scene put there, and out is what it was. */
#define AS_BEFORE "test \"$(cat out)\" = old && test $(ls | wc -l) = 3 && echo as before; "

static void files_that_may_not_grow(test *t) {
    static const char *const commands[] = {
        "perplexity $M -f text -c 64 --chunks 1 --kld-base out",
        "imatrix $M -f text -c 64 --chunks 1 -o out",
        "quantize $M out q4_0 --allow-requantize",
        "logits $M --tokens 1,2,3,4,5,6,7,8 --out out",
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[600];
        output o;
        snprintf(line, sizeof line, "(ulimit -f 16; \"$LEAT\" %s); echo status $?; " AS_BEFORE, commands[i]);
        run(t, &o, line);
        HAS(t, &o, o.out, "status 1\nas before");
        HAS(t, &o, o.err, "ile too large");
        program_free(&o);
    }
}

/* SIGHUP is what a program gets when its terminal goes. */
static void hangups_leave_nothing(test *t) {
    static const char *const commands[] = {
        "started perplexity $M -f text -t 1 --kld-base out; appears 'out.tmp-*'; ",
        "started imatrix $M -f text -t 1 -o out; caught; ",
        "started quantize $M out --target-bpw 4 --calibration line --search-trials 100000 --search-measured "
        "9 "
        "--allow-requantize -t 1; caught; ",
    };
    if (access("/proc/self/exe", R_OK)) SKIP(t, "this machine has no /proc");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[900];
        output o;
        snprintf(line, sizeof line, "%skill -HUP $P; wait $P; echo status $?; " AS_BEFORE, commands[i]);
        run(t, &o, line);
        HAS(t, &o, o.out, "status 129\nas before");
        program_free(&o);
    }
}

/* Under nohup it does nothing: the signal that ends the program is the next one. */
static void hangups_may_be_ignored(test *t) {
    output o;
    if (access("/proc/self/exe", R_OK)) SKIP(t, "this machine has no /proc");
    run(t, &o,
        "trap '' HUP; started perplexity $M -f text -t 1 --kld-base out; appears 'out.tmp-*'; "
        "kill -HUP $P; kill -INT $P; wait $P; echo status $?; " AS_BEFORE);
    HAS(t, &o, o.out, "status 130\nas before");
    program_free(&o);
}

static void interrupted_importance(test *t) {
    output o;
    if (access("/proc/self/exe", R_OK)) SKIP(t, "this machine has no /proc");
    run(t, &o,
        "started imatrix $M -f text -t 1 -c 64 -o out; caught; kill -INT $P; wait $P; "
        "echo status $?; " AS_BEFORE
        "started imatrix $M -f text -t 1 -c 64 -o new; caught; kill -TERM $P; wait $P; "
        "echo status $?; " AS_BEFORE);
    HAS(t, &o, o.out, "status 130\nas before\nstatus 143\nas before");
    HAS(t, &o, o.err, "leat: interrupted after ");
    HAS(t, &o, o.err, " chunks; out is as it was");
    HAS(t, &o, o.err, " chunks; new is not written");
    program_free(&o);
    run(t, &o,
        "started imatrix $M -f text -t 1 -c 64 -o new --save-every 1; appears new; kill -INT $P; wait $P; "
        "echo status $?; \"$LEAT\" imatrix --show new");
    HAS(t, &o, o.out, "status 130");
    const char *told = strstr(o.err, "; new holds "), *shown = strstr(o.out, "tensors, ");
    if (told && shown) {
        long chunks = strtol(told + strlen("; new holds "), NULL, 10);
        CHECK(t, chunks > 0 && chunks == strtol(shown + strlen("tensors, "), NULL, 10));
    } else {
        TEST_FAIL(t, "%s%s", o.out, o.err);
    }
    program_free(&o);
    REQUIRE(t, leat_run(&o, NULL, "imatrix --help"));
    HAS(t, &o, o.out, "interrupted, it is as it was, unless --save-every");
    program_free(&o);
}

#define TESTS(X)                                                                                             \
    X(files_that_may_not_grow)                                                                               \
    X(hangups_leave_nothing) X(hangups_may_be_ignored) X(interrupted_importance)
TEST_SUITE(TESTS)
