/* Fuzz target: a grammar from a stranger and a walk through it. The first byte chooses the language (GBNF,
 * JSON schema, regular expression), the text goes up to a NUL, what follows chooses tokens. Checked: a
 * message with every error, masks that agree with steps, a way on from everywhere unless the text has ended
 * or a limit is met.
 *
 * Without a fuzzer (LEAT_LIBFUZZER undefined) the program replays the files and folders it is given. */
#include "tests/unit/grammar_vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) __builtin_trap();                                                                       \
    } while (0)

enum { TEXT_MAX = 4000, STEPS_MAX = 200 };

static void walk(leat_grammar *g, const vocab *v, const uint8_t *choices, size_t n) {
    grammar_matcher *m;
    leat_error e;
    leat_status status = grammar_matcher_open(g, &m, &e);
    MUST(status == LEAT_OK || status == LEAT_E_LIMIT);
    if (status) return;
    for (size_t i = 0; i < n && i < STEPS_MAX; i++) {
        const uint64_t *mask;
        uint32_t allowed[512], n_allowed = 0, forbidden = UINT32_MAX;
        status = grammar_matcher_mask(m, &mask, &e);
        MUST(status == LEAT_OK || (status == LEAT_E_LIMIT && strlen(e.message) > 10));
        if (status) break;
        for (uint32_t id = 0; id < vocab_size(v); id++)
            if (in_mask(mask, id))
                allowed[n_allowed++] = id;
            else
                forbidden = id;
        MUST(n_allowed > 0); /* this vocabulary has every byte */
        MUST(in_mask(mask, 2) == grammar_matcher_can_end(m));
        MUST(!grammar_matcher_must_end(m) || n_allowed == 1);
        if (forbidden != UINT32_MAX) MUST(grammar_matcher_accept(m, (int32_t)forbidden, &e) != LEAT_OK);
        uint32_t token = allowed[choices[i] % n_allowed];
        if (token == 2) break;
        status = grammar_matcher_accept(m, (int32_t)token, &e);
        MUST(status == LEAT_OK || status == LEAT_E_LIMIT);
        if (status) break;
    }
    grammar_matcher_close(m);
}

static tiny *x; /* the vocabulary, the same for all inputs */

static void close_vocabulary(void) {
    tiny_close(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!x) {
        grammar_vocab(x = tiny_new());
        atexit(close_vocabulary);
    }
    if (size < 1) return 0;
    const uint8_t *text = data + 1, *end = memchr(text, 0, size - 1);
    size_t n = end ? (size_t)(end - text) : size - 1;
    leat_grammar *g;
    leat_error e;
    if (n > TEXT_MAX) return 0;
    char *exact = malloc(n ? n : 1); /* exactly as long, so that a sanitizer sees a read beyond */
    MUST(exact);
    memcpy(exact, text, n);
    leat_status status = grammar_open(x->v, (grammar_language)(data[0] % 3), exact, n, &g, &e);
    free(exact);
    MUST(status == e.code && (status != LEAT_OK) == (strlen(e.message) > 0) && status != LEAT_E_NOMEM);
    if (status) return 0;
    walk(g, x->v, end ? end + 1 : data, end ? (size_t)(data + size - end - 1) : size);
    grammar_release(g);
    return 0;
}

#include "replay.h"
