/* The strict UTF-8 decoder against an independent definition, the encoder, the character classes, and the
 * streaming decoder of text for every way to cut a text into pieces. */
#include "runtime/text/decode.h"
#include "runtime/text/unicode.h"
#include "runtime/text/utf8.h"
#include "tests/harness/test.h"

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint32_t random_u32(void) { /* xorshift64* */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545F4914F6CDD1Du) >> 32);
}

/* A code point written the way RFC 3629 counts bits, also where that is not allowed. */
static size_t write_bits(uint32_t cp, size_t length, char *out) {
    static const unsigned lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length; i-- > 1; cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(lead[length] | cp);
    return length;
}

static void every_code_point(test *t) {
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char bytes[4];
        uint32_t back;
        if (cp >= 0xD800 && cp < 0xE000) continue;
        size_t n = utf8_encode(cp, bytes);
        if (n != 1u + (cp >= 0x80) + (cp >= 0x800) + (cp >= 0x10000) || utf8_decode(bytes, n, &back) != n ||
            back != cp || utf8_decode_slow(bytes, n, &back) != n || back != cp)
            TEST_FAIL(t, "U+%04X does not survive", (unsigned)cp);
        for (size_t cut = 1; cut < n; cut++)
            if (utf8_decode(bytes, cut, &back) != cut || back != UTF8_INCOMPLETE)
                TEST_FAIL(t, "U+%04X cut to %zu bytes is not incomplete", (unsigned)cp, cut);
    }
}

static void forbidden_forms(test *t) {
    char bytes[4];
    uint32_t cp;
    for (uint32_t c = 0; c < 0x80; c++) CHECK(t, !utf8_valid(bytes, write_bits(c, 2, bytes)));
    for (uint32_t c = 0; c < 0x800; c++) CHECK(t, !utf8_valid(bytes, write_bits(c, 3, bytes)));
    for (uint32_t c = 0; c < 0x10000; c++) CHECK(t, !utf8_valid(bytes, write_bits(c, 4, bytes)));
    for (uint32_t c = 0xD800; c < 0xE000; c++) CHECK(t, !utf8_valid(bytes, write_bits(c, 3, bytes)));
    for (uint32_t c = 0x110000; c < 0x200000; c++) CHECK(t, !utf8_valid(bytes, write_bits(c, 4, bytes)));
    for (int b = 0x80; b < 0x100; b++) {
        char one = (char)b;
        utf8_decode(&one, 1, &cp);
        CHECK_EQ(t, cp == UTF8_INCOMPLETE, b >= 0xC2 && b <= 0xF4);
    }
    CHECK(t, utf8_valid("", 0));
    CHECK(t, utf8_valid("a\xC3\xA9\xE2\x96\x81\xF0\x9F\x99\x82", 10));
    CHECK(t, !utf8_valid("a\xC3", 2));
}

/* Unicode 15.0, section 3.9: how many U+FFFD stand for these bytes, and how long each subpart is. */
static void maximal_subparts(test *t) {
    static const struct {
        const char *bytes;
        const char *lengths; /* of the units, as digits */
    } cases[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "111111111"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "111111111"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "111111111"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "21321"},
        {"\xF0\x9F\x99\x41", "31"},
        {"\xE2\x96", "2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t at = 0, n = strlen(cases[i].bytes), unit = 0;
        uint32_t cp;
        for (; at < n; unit++) {
            size_t length = utf8_decode(cases[i].bytes + at, n - at, &cp);
            CHECK_EQ(t, length, cases[i].lengths[unit] - '0');
            at += length;
        }
        CHECK_EQ(t, unit, strlen(cases[i].lengths));
    }
}

static void classes(test *t) {
    static const struct {
        uint32_t cp;
        enum unicode_class kind;
    } cases[] = {
        {'a', UNICODE_LETTER},
        {'Z', UNICODE_LETTER},
        {'0', UNICODE_NUMBER},
        {' ', UNICODE_SPACE},
        {'\n', UNICODE_SPACE},
        {0x85, UNICODE_SPACE},
        {0xA0, UNICODE_SPACE},
        {0x3000, UNICODE_SPACE},
        {0x200B, UNICODE_CONTROL},
        {'_', UNICODE_PUNCTUATION},
        {0xBD, UNICODE_NUMBER},
        {0x2160, UNICODE_NUMBER},
        {0x0669, UNICODE_NUMBER},
        {0x4E00, UNICODE_LETTER},
        {0x9FFF, UNICODE_LETTER},
        {0xAC00, UNICODE_LETTER},
        {0x0301, UNICODE_MARK_NONSPACING},
        {0xE000, UNICODE_CONTROL},
        {0x1F642, UNICODE_SYMBOL},
        {0x31350, UNICODE_LETTER},
        {0x323AF, UNICODE_LETTER},
        {0x323B0, UNICODE_OTHER},
        {0x10FFFF, UNICODE_OTHER},
        {UTF8_INVALID, UNICODE_SYMBOL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (unicode_class_of(cases[i].cp) != cases[i].kind) TEST_FAIL(t, "U+%04X", (unsigned)cases[i].cp);
    size_t counts[UNICODE_CONTROL + 1] = {0};
    for (uint32_t cp = 0; cp < 0x110000; cp++) counts[unicode_class_of(cp)]++;
    CHECK_EQ(t, counts[UNICODE_LETTER], 136104); /* what Unicode 15.0 says */
    CHECK_EQ(t, counts[UNICODE_NUMBER], 1831);
    CHECK_EQ(t, counts[UNICODE_SPACE], 25);
    CHECK_EQ(t, counts[UNICODE_PUNCTUATION], 842);
    CHECK_EQ(t, counts[UNICODE_SYMBOL], 7770);
    CHECK_EQ(t, counts[UNICODE_MARK_NONSPACING], 1985);
    CHECK_EQ(t, counts[UNICODE_MARK], 465);
    CHECK_EQ(t, counts[UNICODE_CONTROL], 139745);
    CHECK_EQ(t, counts[UNICODE_OTHER], 825345);
}

/* All of `in` through a decoder, in pieces of at most `piece` bytes (0: random ones); returns the length of
 * out. */
static size_t stream(test *t, bool drop_space, const char *in, size_t n, size_t piece, char *out) {
    text_decoder d;
    size_t written = 0;
    if (text_decoder_init(&d, 8, drop_space, NULL)) {
        TEST_FAIL(t, "no decoder");
        return 0;
    }
    for (size_t at = 0; at < n;) {
        size_t length = piece ? piece : random_u32() % 9;
        if (length > n - at) length = n - at;
        str s = text_decoder_push(&d, (str){in + at, length});
        CHECK(t, utf8_valid(s.p, s.n));
        memcpy(out + written, s.p, s.n);
        written += s.n;
        at += length;
    }
    str s = text_decoder_finish(&d);
    memcpy(out + written, s.p, s.n);
    written += s.n;
    CHECK_EQ(t, text_decoder_finish(&d).n, 0);
    text_decoder_free(&d);
    return written;
}

static void streams_any_cut(test *t) {
    static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x99\x82z";
    char out[64];
    for (size_t piece = 0; piece <= 8; piece++) {
        CHECK_EQ(t, stream(t, false, text, sizeof text - 1, piece, out), sizeof text - 1);
        CHECK(t, memcmp(out, text, sizeof text - 1) == 0);
    }
}

/* Pieces must not change what comes out, and it must be what decoding the whole at once gives. */
static void streams_random_bytes(test *t) {
    static const unsigned char mostly[] = {0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F,
                                           0x99, 0x80, 0xED, 0xA0, 0xF4, 'a'};
    for (int round = 0; round < 3000; round++) {
        char in[40], out[130], want[130];
        size_t n = random_u32() % 40, n_want = 0;
        for (size_t i = 0; i < n; i++)
            in[i] = (char)(random_u32() % 4 ? mostly[random_u32() % sizeof mostly] : random_u32() & 0xFF);
        for (size_t i = 0; i < n;) {
            uint32_t cp;
            size_t length = utf8_decode(in + i, n - i, &cp);
            if (cp >= UTF8_INCOMPLETE) cp = 0xFFFD;
            n_want += utf8_encode(cp, want + n_want);
            i += length;
        }
        for (size_t piece = 0; piece < 5; piece++) {
            size_t n_out = stream(t, false, in, n, piece, out);
            CHECK(t, n_out == n_want && memcmp(out, want, n_want) == 0);
        }
    }
}

static void drops_one_space_at_the_start(test *t) {
    char out[16];
    CHECK(t, stream(t, true, "  a b", 5, 1, out) == 4 && memcmp(out, " a b", 4) == 0);
    CHECK(t, stream(t, true, "a b", 3, 8, out) == 3);
    CHECK(t, stream(t, false, " a", 2, 1, out) == 2);
    text_decoder d;
    REQUIRE(t, text_decoder_init(&d, 4, true, NULL) == LEAT_OK);
    CHECK_EQ(t, text_decoder_push(&d, (str){"", 0}).n,
             0); /* a special token's empty piece is not the start */
    CHECK_EQ(t, text_decoder_push(&d, (str){NULL, 0}).n, 0);
    CHECK_EQ(t, text_decoder_push(&d, (str){" x", 2}).n, 1);
    CHECK_EQ(t, text_decoder_push(&d, (str){" x", 2}).n, 2);
    text_decoder_finish(&d);
    CHECK_EQ(t, text_decoder_push(&d, (str){" x", 2}).n, 1);
    CHECK_EQ(t, text_decoder_push(&d, (str){"123456", 6}).n, 4); /* never beyond what it was made for */
    text_decoder_free(&d);
    text_decoder_free(&d);
}

static void refuses_what_can_not_be_allocated(test *t) {
    text_decoder d;
    leat_error e;
    CHECK_EQ(t, text_decoder_init(&d, SIZE_MAX, false, &e), LEAT_E_NOMEM);
    CHECK_EQ(t, text_decoder_init(&d, SIZE_MAX / 2, false, &e), LEAT_E_NOMEM);
    text_decoder_free(&d);
}

#define TESTS(X)                                                                                             \
    X(every_code_point)                                                                                      \
    X(forbidden_forms)                                                                                       \
    X(maximal_subparts)                                                                                      \
    X(classes)                                                                                               \
    X(streams_any_cut)                                                                                       \
    X(streams_random_bytes)                                                                                  \
    X(drops_one_space_at_the_start)                                                                          \
    X(refuses_what_can_not_be_allocated)
TEST_SUITE(TESTS)
