/* `leat perplexity`, `leat compare` and `leat imatrix` as users run them: what they say of options that make
 * no sense, and of base files that are damaged or of something else. */
#include "tests/harness/test.h"

#include "program.h"

static void numbers_of_chunks(test *t) {
    static const char *const commands[] = {"perplexity m.gguf -f text", "compare a.gguf b.gguf text",
                                           "perplexity m.gguf --kld base", "imatrix m.gguf text -o never"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char arguments[200];
        output o;
        snprintf(arguments, sizeof arguments, "%s --chunks 0", commands[i]);
        REQUIRE(t, leat_run(&o, NULL, arguments));
        if (o.status != 2 || !has(o.err, "--chunks must be 1 or more, or -1 for all, not 0") || o.out_size)
            TEST_FAIL(t, "%s: status %d: %s%s", arguments, o.status, o.out, o.err);
        program_free(&o);
    }
}

#define TESTS(X) X(numbers_of_chunks)
TEST_SUITE(TESTS)
