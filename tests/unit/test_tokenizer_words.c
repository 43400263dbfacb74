/* The pre-tokenizers' scanners: how texts are cut into words, against cases worked out by hand from the
 * regular expressions, and properties that hold for any bytes. */
#include "runtime/text/pretokenize.h"
#include "runtime/text/unicode.h"
#include "tests/harness/test.h"

#include <stdlib.h>

#define BAR "\x01" /* stands between words in `words` below, since texts hold every printable character */

static const pretokenizer *named(const char *name) {
    return pretokenizer_find((str){name, strlen(name)});
}

static void check(test *t, const char *name, const char *words) {
    char text[512], got[1024];
    size_t n = 0, at = 0, n_got = 0;
    for (const char *p = words; *p; p++)
        if (*p != *BAR) text[n++] = *p;
    pretokenization w = pretokenize(named(name), text, n);
    while (at < n) {
        size_t length = pretokenize_next(&w);
        if (length == 0 || length > n - at) {
            TEST_FAIL(t, "%s: a word of %zu bytes", name, length);
            return;
        }
        if (at > 0) got[n_got++] = *BAR;
        memcpy(got + n_got, text + at, length);
        n_got += length;
        at += length;
    }
    got[n_got] = 0;
    if (strcmp(got, words)) {
        for (size_t i = 0; i < n_got; i++) got[i] = got[i] == *BAR ? '|' : got[i];
        TEST_FAIL(t, "%s: cut as \"%s\"", name, got);
    }
}

static void gpt2(test *t) {
    static const char *const cases[] = {
        "Hello" BAR " world" BAR "!",
        "I" BAR "'m" BAR " he" BAR "'ll" BAR " we" BAR "'re" BAR " it" BAR "'s" BAR " you" BAR "'d" BAR "'ve",
        "I" BAR "'" BAR "M" BAR "'" BAR "x",
        "'s" BAR "foo",
        "a" BAR "1234" BAR " 567" BAR "b",
        "  " BAR "\t" BAR "a",
        "a" BAR "  " BAR " b",
        "a" BAR "\n\n",
        "a" BAR "\n" BAR "\n" BAR "b",
        "a" BAR " \t" BAR " b",
        "!?" BAR " !?." BAR "a",
        " \xC3\xA9t\xC3\xA9" BAR " \xE2\x82\xAC" BAR "5",
        "\xE2\x80\x83" BAR "a",
        "\xFF\xC0!" BAR "a",
        "a" BAR "   ",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(t, "gpt-2", cases[i]);
}

static void digits_alone(test *t) {
    check(t, "starcoder", "a" BAR "1" BAR "2" BAR "3" BAR " b");
    check(t, "starcoder", "a" BAR " " BAR "1" BAR "2");
    check(t, "starcoder", "a" BAR "   " BAR "1");
    check(t, "starcoder", "a" BAR "  " BAR " b");
    check(t, "starcoder", "'" BAR "1");
    check(t, "starcoder", "x" BAR "\xC2\xBD" BAR "\xC2\xBD");
}

static void llama3(test *t) {
    check(t, "llama-bpe", "Hello" BAR " world" BAR "!\n\n" BAR "x");
    check(t, "llama-bpe", "I" BAR "'M" BAR " HE" BAR "'Ll" BAR "'s" BAR "\xC3\xA9");
    check(t, "llama-bpe", "it" BAR "'\xC5\xBF" BAR "t");
    check(t, "llama-bpe", "123" BAR "456" BAR "7" BAR " " BAR "89");
    check(t, "llama-bpe", "(abc" BAR "!!" BAR "a");
    check(t, "llama-bpe", "\tabc");
    check(t, "llama-bpe", "\n" BAR "abc");
    check(t, "llama-bpe", "a" BAR " \n \n" BAR "  " BAR " b");
    check(t, "llama-bpe", "a" BAR "\r\n" BAR "  ");
    check(t, "llama-bpe", "a" BAR " ?!\r\n" BAR " " BAR "1");
    check(t, "llama-bpe", "a" BAR "  " BAR " (" BAR "b");
    check(t, "llama-bpe", "\xF0\x9F\x99\x82\xF0\x9F\x99\x82" BAR " \xF0\x9F\x99\x82");
    check(t, "llama-bpe",
          "\xE2\x80\x83"
          "a" BAR "  " BAR "\xC2\xA0"
          "b");
}

static void qwen2(test *t) {
    check(t, "qwen2", "a" BAR "1" BAR "2" BAR "3" BAR " b" BAR " " BAR "4");
    check(t, "qwen2", "don" BAR "'T" BAR "\n" BAR "\tx");
}

/* Families with what sets them apart; the rest of the names are checked against llama.cpp, see
 * tests/README.md. */
static void others(test *t) {
    check(t, "default", "a" BAR "!?" BAR " b" BAR " " BAR "123" BAR "45");
    check(t, "falcon", "a" BAR "$" BAR "123" BAR "4" BAR " " BAR "+=`" BAR "b");
    check(t, "jais-2", "a" BAR "        " BAR "    " BAR " b");
    check(t, "minicpm5", "1" BAR " " BAR "234" BAR "5");
    check(t, "qwen35", "e\xCC\x81t\xCC\x81" BAR " !" BAR "1" BAR "2");
    check(t, "seed-coder", "a" BAR " !?" BAR "\n" BAR "b");
    check(t, "ufakzeka", "Ankara" BAR "'ya" BAR " I" BAR "'s");
    check(t, "laguna", "a" BAR " !" BAR "\n" BAR "b");
    check(t, "exaone-moe", "hello world" BAR "!" BAR " one two" BAR "  " BAR " x" BAR "!//");
    check(t, "tekken", "Hello" BAR "World" BAR " HTMLParser" BAR "'s" BAR "1" BAR "2" BAR "!//\n" BAR "x");
    check(t, "gpt-4o", "Hello" BAR "World's" BAR " ABC'LL" BAR "123" BAR "4" BAR "!/");
    check(t, "gpt-4o", "\xC3\x89" BAR "AB" BAR " \xC3\xA9" BAR "A");
    check(t, "tiny_aya", "12" BAR "345" BAR "678" BAR " caf\xC3\xA9" BAR " AbC's" BAR "!/");
    check(t, "youtu",
          "\xED\x95\x9C\xEA\xB5\xAD" BAR "\xE4\xB8\xAD" BAR "\xEF\xBC\x8C\xE3\x80\x82" BAR "abc" BAR "1" BAR
          "2");
    check(t, "kimi-k2", "\xE4\xB8\xAD\xE6\x96\x87" BAR "abc's" BAR " d" BAR "\xE4\xB8\xAD" BAR "123" BAR "4");
    check(t, "superbpe", "a b, c " BAR "12" BAR "345" BAR "678" BAR " d e");
    check(t, "deepseek-llm",
          "Hello" BAR " world" BAR "!" BAR "\n" BAR "\xE4\xB8\xAD\xE6\x96\x87" BAR "123" BAR "  ");
    check(t, "deepseek-coder", "ab" BAR " (" BAR "1" BAR "2" BAR "\n" BAR "\n" BAR "\xE4\xB8\xAD" BAR " c");
    check(t, "deepseek-v3", "a" BAR "_b" BAR " ~=\n" BAR "123" BAR "4" BAR "\xE4\xB8\xAD" BAR " x");
    check(t, "spark2_5", "a" BAR " !" BAR "\n" BAR "\n" BAR "b");
    check(t, "afmoe", "a" BAR " " BAR "12" BAR "345" BAR "\xE0\xB9\x80\xE0\xB9\x81" BAR "b");
    check(t, "bloom", "Hello" BAR "," BAR " world" BAR "!" BAR " 123-x");
    check(t, "viking", " a" BAR "1" BAR "2" BAR "b" BAR ".");
    check(t, "chameleon",
          "a" BAR "    " BAR "  " BAR " b" BAR "!" BAR "!" BAR "IMGIMGABZ" BAR "<" BAR "sentinel" BAR ":" BAR
          "1" BAR ">" BAR "\t" BAR "1");
    check(t, "gemma4", "a b, c 12" BAR "\n\n" BAR "d");
    check(t, "whitespace", "ab!" BAR " \t" BAR "c");
}

static void names(test *t) {
    CHECK(t, named("default") && named("llama3") && named("deepseek-r1-qwen") && named("refact"));
    CHECK(t, named("gpt-2")->stages == named("phi-2")->stages);
    CHECK(t, named("llama-bpe")->flags == (PRE_WHOLE_WORDS | PRE_ADDS_BOS) && !named("dbrx")->flags);
    CHECK(t, !named("") && !named("gpt-22") && !named("gpt-") && !named("GPT-2"));
}

static const char *const all_names[] = {
#define X(name, family, flags) name,
#include "runtime/text/pretokenizers.def"
#undef X
};

/* Any bytes, for every name: words cover the text, and none is empty. */
static void any_bytes(test *t) {
    static const char some[] = "a1 \n\r\t'sS!\xC3\xA9\xE2\x82\x81\xFF\xC5\xBF\xC2\xA0\xF0\x9F"
                               "\xE4\xB8\xAD"
                               "Z23 /";
    static char text[1 << 14];
    uint64_t state = 88172645463325252u;
    for (size_t k = 0; k < sizeof all_names / sizeof *all_names; k++) {
        for (size_t i = 0; i < sizeof text; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text[i] = some[(state >> 32) % (sizeof some - 1)];
        }
        pretokenization w = pretokenize(named(all_names[k]), text, sizeof text);
        for (size_t at = 0; at < sizeof text;) {
            size_t length = pretokenize_next(&w);
            if (length == 0 || length > sizeof text - at || w.at != at + length) {
                TEST_FAIL(t, "%s: a word of %zu bytes", all_names[k], length);
                break;
            }
            at += length;
        }
    }
}

/* Rows of one thing, for every name: were any of them looked at again and again, these would take minutes.
 */
static void long_rows(test *t) {
    static const char *const things[] = {"a",
                                         " ",
                                         "\n",
                                         "1",
                                         "!",
                                         "\xC3\x89",
                                         "\xCC\x81",
                                         "A",
                                         "e\xCC\x81",
                                         "\xE4\xB8\xAD",
                                         "\xE0\xA5\xA7",
                                         "\xFF",
                                         "'",
                                         "<sentinel:",
                                         "IMGIMG",
                                         "a ",
                                         "\xE2\x80\x83",
                                         "\x01"};
    enum { N = 1 << 16 };
    char *text = malloc(N);
    REQUIRE(t, text != NULL);
    for (size_t thing = 0; thing < sizeof things / sizeof *things; thing++) {
        size_t n = strlen(things[thing]), size = N / n * n;
        for (size_t i = 0; i < size; i++) text[i] = things[thing][i % n];
        for (size_t k = 0; k < sizeof all_names / sizeof *all_names; k++) {
            if (k > 0 && named(all_names[k])->stages == named(all_names[k - 1])->stages) continue;
            pretokenization w = pretokenize(named(all_names[k]), text, size);
            while (w.at < size) pretokenize_next(&w);
            CHECK_EQ(t, w.at, size);
        }
    }
    free(text);
}

static void characters(test *t) {
    uint32_t out[3];
    CHECK_EQ(t, unicode_lower('Q'), 'q');
    CHECK_EQ(t, unicode_lower(0x410), 0x430);
    CHECK_EQ(t, unicode_lower(0x1E00), 0x1E01);
    CHECK_EQ(t, unicode_lower(0x1E01), 0x1E01);
    CHECK_EQ(t, unicode_lower(0x4E2D), 0x4E2D);
    CHECK_EQ(t, unicode_without_accents(0xE9, out), 1);
    CHECK_EQ(t, out[0], 'e');
    CHECK_EQ(t, unicode_without_accents(0x301, out), 0);
    CHECK_EQ(t, unicode_without_accents(0x1EED, out), 1);
    CHECK_EQ(t, out[0], 'u');
    CHECK_EQ(t, unicode_without_accents(0xD55C, out), 3);
    CHECK(t, out[0] == 0x1112 && out[1] == 0x1161 && out[2] == 0x11AB);
    CHECK_EQ(t, unicode_class_of(0x3042), UNICODE_LETTER);
    CHECK_EQ(t, unicode_class_of(0x3000), UNICODE_SPACE);
    CHECK_EQ(t, unicode_class_of(0x200D), UNICODE_CONTROL);
    CHECK_EQ(t, unicode_class_of(0x1F642), UNICODE_SYMBOL);
    CHECK_EQ(t, unicode_class_of(0x93F), UNICODE_MARK);
    CHECK_EQ(t, unicode_class_of(0x110000), UNICODE_SYMBOL);
}

#define TESTS(X)                                                                                             \
    X(gpt2) X(digits_alone) X(llama3) X(qwen2) X(others) X(names) X(any_bytes) X(long_rows) X(characters)
TEST_SUITE(TESTS)
