/* The pre-tokenizers' scanners: how texts are cut into words, against cases worked out by hand from the
 * regular expressions, and properties that hold for any bytes. */
#include "runtime/text/pretokenize.h"
#include "tests/harness/test.h"

#define BAR "\x01" /* stands between words in `words` below, since texts hold every printable character */

static const pretokenizer *named(const char *name) {
    return pretokenizer_find((str){name, strlen(name)});
}

static void check(test *t, const char *name, const char *words) {
    char text[512], got[1024];
    size_t n = 0, at = 0, n_got = 0;
    for (const char *p = words; *p; p++)
        if (*p != *BAR) text[n++] = *p;
    while (at < n) {
        size_t length = named(name)->scan(text + at, n - at);
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

static void names(test *t) {
    CHECK(t, named("default") && named("llama3") && named("deepseek-r1-qwen") && named("refact"));
    CHECK(t, named("gpt-2")->scan == named("default")->scan);
    CHECK(t, named("llama-bpe")->whole_words && named("llama-bpe")->adds_bos && !named("dbrx")->whole_words);
    CHECK(t, !named("") && !named("gpt-22") && !named("gpt-") && !named("GPT-2"));
}

/* Any bytes: words cover the text, and none is empty. Long runs of one class stay linear: 1 MB takes no time.
 */
static void any_bytes(test *t) {
    static const char *const scanners[] = {"gpt-2", "starcoder", "llama-bpe", "qwen2"};
    static const char some[] = "a1 \n\r\t'sS!\xC3\xA9\xE2\x82\x81\xFF\xC5\xBF\xC2\xA0\xF0\x9F";
    static char text[1 << 16];
    uint64_t state = 88172645463325252u;
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < sizeof text; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text[i] = some[(state >> 32) % (sizeof some - 1)];
        }
        for (size_t at = 0; at < sizeof text;) {
            size_t length = named(scanners[k])->scan(text + at, sizeof text - at);
            if (length == 0 || length > sizeof text - at) {
                TEST_FAIL(t, "%s: a word of %zu bytes", scanners[k], length);
                break;
            }
            at += length;
        }
    }
}

#define TESTS(X) X(gpt2) X(digits_alone) X(llama3) X(qwen2) X(names) X(any_bytes)
TEST_SUITE(TESTS)
