/* The JSON parser: what RFC 8259 allows and forbids, with the place of each error; numbers and strings both
 * ways; documents cut anywhere; and nesting that would end a recursive parser. */
#include "loader/alloc.h"
#include "runtime/text/json.h"
#include "runtime/text/number.h"
#include "tests/harness/test.h"

#include <math.h>
#include <stdlib.h>

static leat_status parse(arena *a, const char *text, const json_value **v, leat_error *e) {
    arena_init(a, 1 << 24);
    return json_parse(a, "text", text, strlen(text), v, e);
}

static void values(test *t) {
    arena a;
    leat_error e;
    const json_value *v;
    REQUIRE(t, parse(&a,
                     " { \"a\" : [ 1, -2.5e3 , true,false , null, \"x\\u00e9\\ud83e\\udd17\\n\\/\" ] , "
                     "\"b\":{}, \"a\":7 }\n",
                     &v, &e) == LEAT_OK);
    CHECK_EQ(t, v->type, JSON_OBJECT);
    CHECK_EQ(t, v->count, 3);
    CHECK_EQ(t, json_get(v, "a")->integer, 7);
    CHECK_EQ(t, json_get(v, "b")->count, 0);
    CHECK(t, !json_get(v, "c") && !json_get(json_get(v, "a"), "a") && !json_get(NULL, "a"));
    const json_value *i = v->first->first;
    CHECK_EQ(t, v->first->count, 6);
    CHECK(t, i->type == JSON_INT && i->integer == 1 && i->real == 1.0 && i->parent == v->first);
    i = i->next;
    CHECK(t, i->type == JSON_FLOAT && i->real == -2500.0 && str_eq(i->text, "-2.5e3"));
    i = i->next;
    CHECK(t, i->type == JSON_BOOL && i->boolean && i->next->type == JSON_BOOL && !i->next->boolean);
    i = i->next->next;
    CHECK_EQ(t, i->type, JSON_NULL);
    CHECK(t, str_eq(i->next->text, "x\xC3\xA9\xF0\x9F\xA4\x97\n/"));
    arena_free(&a);
}

static void refusals(test *t) {
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"", "line 1, column 1"},
        {" \n ", "line 2, column 2"},
        {"[1,\n 2,]", "line 2, column 4"},
        {"[1 2]", "line 1, column 4"},
        {"{\"a\" 1}", "line 1, column 6"},
        {"{a:1}", "line 1, column 2"},
        {"{\"a\":1,}", "line 1, column 8"},
        {"[", "line 1, column 2"},
        {"[1", "line 1, column 1"},
        {"[1}", "line 1, column 3"},
        {"01", "line 1, column 1"},
        {"1.", "line 1, column 1"},
        {".5", "line 1, column 1"},
        {"+1", "line 1, column 1"},
        {"1e", "line 1, column 1"},
        {"-", "line 1, column 1"},
        {"NaN", "line 1, column 1"},
        {"tru", "line 1, column 1"},
        {"truee", "line 1, column 5"},
        {"1 2", "line 1, column 3"},
        {"\"abc", "line 1, column 1"},
        {"\"a\\\"", "line 1, column 1"},
        {"\"\xC3\xA9\tx\"", "line 1, column 3"},
        {"\"\\x\"", "line 1, column 2"},
        {"\"\\u12g4\"", "line 1, column 2"},
        {"\"\\ud800\"", "line 1, column 2"},
        {"\"\\udc00\"", "line 1, column 2"},
        {"\"\\ud800\\u0041\"", "line 1, column 2"},
        {"\"\xC0\xAF\"", "line 1, column 2"},
        {"\"\xED\xA0\x80\"", "line 1, column 2"},
        {"1e999", "line 1, column 1"},
        {"\xEF\xBB\xBF{}", "line 1, column 1"},
        {"'a'", "line 1, column 1"},
        {"[1,,2]", "line 1, column 4"},
        {"]", "line 1, column 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        arena a;
        leat_error e = {0};
        const json_value *v;
        leat_status status = parse(&a, cases[i].text, &v, &e);
        if (status != LEAT_E_VALUE || v || !strstr(e.message, cases[i].where))
            TEST_FAIL(t, "\"%s\": status %d, \"%s\" where %s is expected", cases[i].text, status, e.message,
                      cases[i].where);
        arena_free(&a);
    }
}

static void nesting(test *t) {
    static char text[400001];
    arena a;
    leat_error e;
    const json_value *v;
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        CHECK_EQ(t, parse(&a, text, &v, &e), depth == JSON_DEPTH_MAX ? LEAT_OK : LEAT_E_LIMIT);
        arena_free(&a);
    }
    memset(text, '[', sizeof text - 1);
    CHECK_EQ(t, parse(&a, text, &v, &e), LEAT_E_LIMIT);
    arena_free(&a);
}

/* Every text that a document starts with is refused, but for those that are documents themselves. */
static void cut(test *t) {
    static const char whole[] = "{\"k\":[1.5e-3,{\"\\u00e9\\\"\":null},true,\"\xE2\x82\xAC\"],\"z\":-0}";
    for (size_t n = 0; n < sizeof whole; n++) {
        arena a;
        leat_error e;
        const json_value *v;
        char *copy = mem_alloc(n, 1); /* of exactly this size, so that a sanitizer sees a byte too far */
        memcpy(copy, whole, n);
        arena_init(&a, 1 << 20);
        CHECK_EQ(t, json_parse(&a, "text", copy, n, &v, &e), n == sizeof whole - 1 ? LEAT_OK : LEAT_E_VALUE);
        arena_free(&a);
        mem_free(copy);
    }
}

static void arena_limit(test *t) {
    arena a;
    leat_error e;
    const json_value *v;
    arena_init(&a, 8192);
    static char text[20000];
    memset(text, ' ', sizeof text);
    memcpy(text, "[", 1);
    for (int i = 0; i < 1000; i++) memcpy(text + 1 + 2 * i, i ? ",1" : " 1", 2);
    text[sizeof text - 1] = ']';
    CHECK_EQ(t, json_parse(&a, "text", text, sizeof text, &v, &e), LEAT_E_LIMIT);
    arena_free(&a);
}

static void numbers(test *t) {
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0, "0.0"},
                 {-0.0, "-0.0"},
                 {1, "1.0"},
                 {0.1, "0.1"},
                 {1.5, "1.5"},
                 {1e15, "1000000000000000.0"},
                 {1e16, "1e+16"},
                 {123456789012345680.0, "1.2345678901234568e+17"},
                 {0.0001, "0.0001"},
                 {0.00001, "1e-05"},
                 {-2.5e-7, "-2.5e-07"},
                 {5e-324, "5e-324"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {100, "100.0"},
                 {123.456, "123.456"},
                 {1.0 / 3, "0.3333333333333333"},
                 {2e22, "2e+22"},
                 {0.3, "0.3"}};
    char text[NUMBER_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        number_repr(cases[i].v, text);
        CHECK_STR(t, text, cases[i].text);
    }
    number_repr(INFINITY, text);
    CHECK_STR(t, text, "inf");
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia 2003 */
        double v;
        memcpy(&v, &state, sizeof v);
        if (!isfinite(v)) continue;
        size_t n = number_repr(v, text);
        if (number_double(text, n) != v) TEST_FAIL(t, "%s does not read back as %.17g", text, v);
    }
    /* half way between two doubles, and a digit more far behind */
    char longer[900] = "9007199254740993.";
    memset(longer + 17, '0', 850);
    CHECK(t, number_double(longer, 867) == 9007199254740992.0);
    longer[866] = '1';
    CHECK(t, number_double(longer, 867) == 9007199254740994.0);
    CHECK(t, number_double("0.000000000000000000000000000000000000000000000012345e47", 56) == 1.2345);
    int64_t v;
    CHECK(t, number_int("-9223372036854775808", 20, &v) && v == INT64_MIN);
    CHECK(t, number_int("9223372036854775807", 19, &v) && v == INT64_MAX);
    CHECK(t, !number_int("9223372036854775808", 19, &v) && !number_int("-9223372036854775809", 20, &v));
}

static void quoting(test *t) {
    char out[100];
    static const char in[] = "a\"\\\n\x01\x7F\xC3\xA9\xF0\x9F\xA4\x97\xFF/";
    size_t n = json_quote(in, sizeof in - 1, false, out, sizeof out);
    out[n] = '\0';
    CHECK_STR(t, out, "\"a\\\"\\\\\\n\\u0001\x7F\xC3\xA9\xF0\x9F\xA4\x97\xEF\xBF\xBD/\"");
    CHECK_EQ(t, json_quote(in, sizeof in - 1, false, NULL, 0), n);
    n = json_quote(in, sizeof in - 1, true, out, sizeof out);
    out[n] = '\0';
    CHECK_STR(t, out, "\"a\\\"\\\\\\n\\u0001\x7F\\u00e9\\ud83e\\udd17\\ufffd/\"");
}

#define TESTS(X) X(values) X(refusals) X(nesting) X(cut) X(arena_limit) X(numbers) X(quoting)
TEST_SUITE(TESTS)
