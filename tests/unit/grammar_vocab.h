/* For tests of grammars: a vocabulary with all bytes, common pieces of JSON and text, special tokens; texts
 * fed to a grammar in pieces. Included by one file of tests at a time. */
#ifndef LEAT_TESTS_GRAMMAR_VOCAB_H
#define LEAT_TESTS_GRAMMAR_VOCAB_H

#include "runtime/grammar/grammar.h"
#include "test_tokenizer.h"

static uint64_t grammar_random = 1;

static inline uint32_t random_below(uint32_t n) {
    return tiny_random(&grammar_random) % n;
}

/* Bytes are tokens 3 to 258. */
static inline vocab *grammar_vocab(tiny *x) {
    static const char *const pieces[] = {"{\"",      "\":",
                                         "\",\"",    "\"}",
                                         "}}",       "}}}",
                                         "]]",       "[[",
                                         "[{",       "},{",
                                         "{}",       "[]",
                                         "\":\"",    "true",
                                         "fal",      "false",
                                         "null",     "ab",
                                         "abc",      "bc",
                                         "12",       "123",
                                         "0.5",      "-1",
                                         "1e",       "\\u",
                                         "\\n",      "\\\"",
                                         "hello",    " wor",
                                         "world",    "name",
                                         "value",    "\xC3\xA9",
                                         "\xA9",     "\xE2\x82",
                                         "\xAC\xE2", "\xF0\x9F\x98\x80",
                                         "\n\n",     "  ",
                                         ", ",       ": ",
                                         "((",       "))",
                                         ")+(",      "aa",
                                         "aaaa",     "aaaaaaaa",
                                         "}]}",      "2025-",
                                         "-01-",     "T12",
                                         ":00",      "Z\"",
                                         "0000",     "-0000-",
                                         "\"a\"",    "\"b\"",
                                         "e4",       "Nf3",
                                         "O-O"};
    leat_error e;
    tiny_spm(x);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        tiny_add(x, pieces[i], -(float)i, TOKEN_NORMAL);
    tiny_add(x, "<think>", 0, TOKEN_CONTROL);
    tiny_add(x, "</think>", 0, TOKEN_CONTROL);
    tiny_add(x, "<tool>", 0, TOKEN_USER_DEFINED);
    if (tiny_open(x, &e)) {
        fprintf(stderr, "%s\n", e.message);
        exit(99);
    }
    return x->v;
}

static inline bool in_mask(const uint64_t *mask, uint32_t token) {
    return mask[token / 64] >> token % 64 & 1;
}

/* Feeds n bytes in tokens chosen at random among those that fit. False when one is not allowed. `seed` 0:
 * byte by byte. */
static inline bool feed(test *t, grammar_matcher *m, const vocab *v, const char *p, size_t n, uint64_t seed) {
    leat_error e;
    uint64_t state = seed * 77 + 1;
    for (size_t at = 0; at < n;) {
        uint32_t fits[64], n_fits = 0;
        fits[n_fits++] = 3 + (unsigned char)p[at];
        for (uint32_t id = 259; seed && id < vocab_size(v) && n_fits < 64; id++) {
            str piece = vocab_piece(v, (int32_t)id, false);
            if (piece.n && piece.n <= n - at && !memcmp(piece.p, p + at, piece.n)) fits[n_fits++] = id;
        }
        uint32_t token = fits[tiny_random(&state) % n_fits];
        const uint64_t *mask;
        if (grammar_matcher_mask(m, &mask, &e)) {
            TEST_FAIL(t, "mask: %s", e.message);
            return false;
        }
        leat_status status = grammar_matcher_accept(m, (int32_t)token, &e);
        if (in_mask(mask, token) != (status == LEAT_OK))
            TEST_FAIL(t, "token %u at %zu of %.*s: the mask says %d, the step %d", (unsigned)token, at,
                      (int)n, p, in_mask(mask, token), status);
        if (status) return false;
        at += vocab_piece(v, (int32_t)token, false).n;
    }
    return true;
}

/* Is the whole text one that the grammar describes? Asked byte by byte and in two random cuttings. */
static inline bool accepts(test *t, leat_grammar *g, const vocab *v, const char *text, size_t n) {
    grammar_matcher *m = NULL;
    leat_error e;
    bool first = false;
    if (grammar_matcher_open(g, &m, &e)) {
        TEST_FAIL(t, "%s", e.message);
        return false;
    }
    for (uint64_t seed = 0; seed < 3; seed++) {
        grammar_matcher_reset(m);
        bool in = feed(t, m, v, text, n, seed) && grammar_matcher_can_end(m);
        if (seed && in != first) TEST_FAIL(t, "%.*s: accepted depends on how it is cut", (int)n, text);
        first = in;
    }
    grammar_matcher_close(m);
    return first;
}

/* Makes a text by random tokens out of the masks, until the grammar can end (and a coin says so) or `most`
 * tokens are there; then on with what closes, if `close`. Returns its length; *whole: it ended. */
static inline size_t generate(test *t, leat_grammar *g, const vocab *v, unsigned most, char *out, size_t room,
                              bool *whole) {
    grammar_matcher *m = NULL;
    leat_error e;
    size_t n = 0;
    *whole = false;
    if (grammar_matcher_open(g, &m, &e)) {
        TEST_FAIL(t, "%s", e.message);
        return 0;
    }
    for (unsigned step = 0; step < most; step++) {
        const uint64_t *mask;
        uint32_t allowed[512], n_allowed = 0;
        if (grammar_matcher_mask(m, &mask, &e)) {
            TEST_FAIL(t, "mask: %s", e.message);
            break;
        }
        for (uint32_t id = 0; id < vocab_size(v); id++)
            if (in_mask(mask, id)) allowed[n_allowed++] = id;
        if (!n_allowed) {
            TEST_FAIL(t, "stuck after %.*s", (int)n, out);
            break;
        }
        if (in_mask(mask, 2) != grammar_matcher_can_end(m))
            TEST_FAIL(t, "the end is allowed at the wrong place");
        /* Ends are preferred, and so are tokens that close something, or texts would be endless. */
        uint32_t token = allowed[random_below(n_allowed)];
        if (in_mask(mask, 2) && (step > most / 3 || random_below(4) == 0)) token = 2;
        for (const char *c = "\"}],"; step > most / 4 && token != 2 && *c && random_below(3); c++)
            if (in_mask(mask, 3 + (unsigned char)*c)) {
                token = 3 + (unsigned char)*c;
                break;
            }
        if (token == 2) {
            *whole = true;
            break;
        }
        str piece = vocab_piece(v, (int32_t)token, false);
        if (n + piece.n > room) break;
        if (grammar_matcher_accept(m, (int32_t)token, &e))
            TEST_FAIL(t, "after %.*s: %s", (int)n, out, e.message);
        memcpy(out + n, piece.p, piece.n);
        n += piece.n;
    }
    grammar_matcher_close(m);
    return n;
}

#endif
