/* The getters: every type, ranges to the last value, what is missing, and the walk for display. */
#include <math.h>
#include <stdlib.h>

#include "gguf_build.h"
#include "tests/harness/test.h"

typedef struct fixture {
    build *b;
    gguf g;
    size_t n;
    uint8_t *p;
} fixture;

static bool open_fixture(fixture *f) {
    build *b = f->b = build_open();
    build_u8(b, "u8", 200);
    build_i8(b, "i8", -5);
    build_u16(b, "u16", 60000);
    build_i16(b, "i16", -300);
    build_u32(b, "u32", 4000000000u);
    build_i32(b, "i32", 77);
    build_u64(b, "u64", UINT64_MAX);
    build_i64(b, "i64", INT64_MIN);
    build_u64(b, "u64.small", 12);
    build_f32(b, "f32", 1.5f);
    build_f64(b, "f64", -2.25);
    build_f32(b, "nan", NAN);
    build_f32(b, "inf", INFINITY);
    build_bool(b, "yes", true);
    build_bool(b, "no", false);
    build_str(b, "str", "text");
    build_str(b, "str.empty", "");
    build_array(b, "ints", GGUF_I32, "\1\0\0\0\376\377\377\377\3\0\0\0", 3);
    build_array(b, "bools", GGUF_BOOL, "\0\1", 2);
    build_str_array(b, "strs", (const char *const[]){"one", "", "three"}, 3);
    f->p = build_finish(b, &f->n);
    return gguf_parse(f->p, f->n, &f->g, NULL) == LEAT_OK;
}

static void close_fixture(fixture *f) {
    gguf_free(&f->g);
    build_close(f->b);
}

static void u32(test *t) {
    static const struct {
        const char *key;
        uint32_t min, max;
        leat_status status;
        uint32_t value;
        const char *said;
    } rows[] = {
        {"u8", 0, 255, LEAT_OK, 200, ""},
        {"u8", 200, 200, LEAT_OK, 200, ""},
        {"u8", 201, 255, LEAT_E_VALUE, 0, "\"u8\" is 200, not 201 to 255"},
        {"u8", 0, 199, LEAT_E_VALUE, 0, "\"u8\" is 200, not 0 to 199"},
        {"u16", 0, UINT32_MAX, LEAT_OK, 60000, ""},
        {"u32", 0, UINT32_MAX, LEAT_OK, 4000000000u, ""},
        {"i32", 1, 77, LEAT_OK, 77, ""},
        {"u64.small", 0, 12, LEAT_OK, 12, ""},
        {"i8", 0, UINT32_MAX, LEAT_E_VALUE, 0, "\"i8\" is -5, not 0 to 4294967295"},
        {"i16", 0, UINT32_MAX, LEAT_E_VALUE, 0, "\"i16\" is -300"},
        {"i64", 0, UINT32_MAX, LEAT_E_VALUE, 0, "\"i64\" is -9223372036854775808"},
        {"u64", 0, UINT32_MAX, LEAT_E_VALUE, 0, "\"u64\" is 18446744073709551615"},
        {"f32", 0, UINT32_MAX, LEAT_E_TYPE, 0, "\"f32\" is of type f32, not an integer"},
        {"yes", 0, 1, LEAT_E_TYPE, 0, "\"yes\" is of type bool, not an integer"},
        {"str", 0, 1, LEAT_E_TYPE, 0, "\"str\" is of type string"},
        {"ints", 0, 1, LEAT_E_TYPE, 0, "\"ints\" is an array of i32, not an integer"},
        {"none", 0, 1, LEAT_E_MISSING, 0, "\"none\" is missing"},
    };
    fixture f;
    REQUIRE(t, open_fixture(&f));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        leat_error e = {LEAT_OK, ""};
        uint32_t v = 9999;
        bool found = true;
        CHECK_EQ(t, meta_u32(&f.g, rows[i].key, rows[i].min, rows[i].max, &v, NULL, &e), rows[i].status);
        CHECK_EQ(t, v, rows[i].status ? 9999 : rows[i].value);
        if (!strstr(e.message, rows[i].said)) TEST_FAIL(t, "%s: \"%s\"", rows[i].key, e.message);
        bool absent = rows[i].status == LEAT_E_MISSING;
        CHECK_EQ(t, meta_u32(&f.g, rows[i].key, rows[i].min, rows[i].max, &v, &found, &e),
                 absent ? 0 : rows[i].status);
        CHECK_EQ(t, found, !absent);
    }
    close_fixture(&f);
}

static void f32(test *t) {
    fixture f;
    leat_error e;
    float v = 7;
    bool found;
    REQUIRE(t, open_fixture(&f));
    CHECK_EQ(t, meta_f32(&f.g, "f32", 1.5f, 1.5f, &v, NULL, &e), LEAT_OK);
    CHECK(t, v == 1.5f);
    CHECK_EQ(t, meta_f32(&f.g, "f64", -3, 0, &v, &found, &e), LEAT_OK);
    CHECK(t, v == -2.25f && found);
    CHECK_EQ(t, meta_f32(&f.g, "none", 0, 1, &v, &found, &e), LEAT_OK);
    CHECK(t, v == -2.25f && !found);
    CHECK_EQ(t, meta_f32(&f.g, "none", 0, 1, &v, NULL, &e), LEAT_E_MISSING);
    CHECK_EQ(t, meta_f32(&f.g, "f32", 1.6f, 2, &v, NULL, &e), LEAT_E_VALUE);
    CHECK(t, strstr(e.message, "\"f32\" is 1.5"));
    CHECK_EQ(t, meta_f32(&f.g, "f32", 0, 1.4f, &v, NULL, &e), LEAT_E_VALUE);
    CHECK_EQ(t, meta_f32(&f.g, "nan", -INFINITY, INFINITY, &v, NULL, &e), LEAT_E_VALUE);
    CHECK_EQ(t, meta_f32(&f.g, "inf", 0, 1e30f, &v, NULL, &e), LEAT_E_VALUE);
    CHECK_EQ(t, meta_f32(&f.g, "i32", 0, 100, &v, NULL, &e), LEAT_E_TYPE);
    CHECK_EQ(t, meta_f32(&f.g, "ints", 0, 100, &v, NULL, &e), LEAT_E_TYPE);
    CHECK(t, v == -2.25f);
    close_fixture(&f);
}

static void bool_and_str(test *t) {
    fixture f;
    leat_error e;
    bool v = false, found;
    str s = {"kept", 4};
    REQUIRE(t, open_fixture(&f));
    CHECK_EQ(t, meta_bool(&f.g, "yes", &v, NULL, &e), LEAT_OK);
    CHECK(t, v);
    CHECK_EQ(t, meta_bool(&f.g, "no", &v, &found, &e), LEAT_OK);
    CHECK(t, !v && found);
    CHECK_EQ(t, meta_bool(&f.g, "u8", &v, NULL, &e), LEAT_E_TYPE);
    CHECK_EQ(t, meta_bool(&f.g, "bools", &v, NULL, &e), LEAT_E_TYPE);
    CHECK_EQ(t, meta_bool(&f.g, "none", &v, &found, &e), LEAT_OK);
    CHECK(t, !found);
    CHECK_EQ(t, meta_str(&f.g, "none", &s, &found, &e), LEAT_OK);
    CHECK(t, !found && str_eq(s, "kept"));
    CHECK_EQ(t, meta_str(&f.g, "none", &s, NULL, &e), LEAT_E_MISSING);
    CHECK_EQ(t, meta_str(&f.g, "i8", &s, NULL, &e), LEAT_E_TYPE);
    CHECK_EQ(t, meta_str(&f.g, "strs", &s, NULL, &e), LEAT_E_TYPE);
    CHECK_EQ(t, meta_str(&f.g, "str", &s, NULL, &e), LEAT_OK);
    CHECK(t, str_eq(s, "text") && !str_eq(s, "tex") && !str_eq(s, "texts") && !str_eq(s, ""));
    CHECK_EQ(t, meta_str(&f.g, "str.empty", &s, NULL, &e), LEAT_OK);
    CHECK(t, str_eq(s, ""));
    close_fixture(&f);
}

static void arrays(test *t) {
    fixture f;
    leat_error e;
    bool found;
    const gguf_kv *kv = NULL;
    REQUIRE(t, open_fixture(&f));
    CHECK_EQ(t, meta_array(&f.g, "ints", GGUF_I32, 3, &kv, NULL, &e), LEAT_OK);
    CHECK(t, kv && kv->count == 3);
    CHECK_EQ(t, meta_array(&f.g, "ints", GGUF_I32, 2, &kv, NULL, &e), LEAT_E_COUNT);
    CHECK(t, strstr(e.message, "\"ints\" has 3 elements"));
    CHECK_EQ(t, meta_array(&f.g, "ints", GGUF_U32, 3, &kv, NULL, &e), LEAT_E_TYPE);
    CHECK(t, strstr(e.message, "an array of i32, not of u32"));
    CHECK_EQ(t, meta_array(&f.g, "i32", GGUF_I32, 3, &kv, NULL, &e), LEAT_E_TYPE);
    CHECK(t, strstr(e.message, "of type i32, not an array of i32"));
    CHECK_EQ(t, meta_array(&f.g, "none", GGUF_I32, 3, &kv, &found, &e), LEAT_OK);
    CHECK(t, !found);
    CHECK_EQ(t, meta_array(&f.g, "none", GGUF_I32, 3, &kv, NULL, &e), LEAT_E_MISSING);
    CHECK_EQ(t, gguf_kv_i64(kv, 0), 1);
    CHECK_EQ(t, gguf_kv_i64(kv, 1), -2);
    CHECK_EQ(t, gguf_kv_i64(kv, 2), 3);
    CHECK_EQ(t, gguf_kv_i64(kv, 3), 0); /* outside */
    CHECK_EQ(t, gguf_kv_i64(kv, UINT64_MAX), 0);
    CHECK(t, gguf_kv_f64(kv, 1) == -2.0);
    close_fixture(&f);
}

static void values_for_display(test *t) {
    fixture f;
    REQUIRE(t, open_fixture(&f));
    const gguf *g = &f.g;
    CHECK_EQ(t, gguf_kv_u64(gguf_find(g, "u8"), 0), 200);
    CHECK_EQ(t, gguf_kv_i64(gguf_find(g, "i8"), 0), -5);
    CHECK_EQ(t, gguf_kv_i64(gguf_find(g, "i16"), 0), -300);
    CHECK_EQ(t, gguf_kv_u64(gguf_find(g, "u32"), 0), 4000000000u);
    CHECK(t, gguf_kv_u64(gguf_find(g, "u64"), 0) == UINT64_MAX);
    CHECK(t, gguf_kv_f64(gguf_find(g, "u64"), 0) == 18446744073709551615.0);
    CHECK(t, gguf_kv_i64(gguf_find(g, "i64"), 0) == INT64_MIN);
    CHECK(t, gguf_kv_f64(gguf_find(g, "f32"), 0) == 1.5 && gguf_kv_f64(gguf_find(g, "f64"), 0) == -2.25);
    CHECK_EQ(t, gguf_kv_u64(gguf_find(g, "f32"), 0), 0);
    CHECK_EQ(t, gguf_kv_u64(gguf_find(g, "yes"), 0), 1);
    CHECK_EQ(t, gguf_kv_u64(gguf_find(g, "bools"), 0), 0);
    CHECK_EQ(t, gguf_kv_u64(gguf_find(g, "bools"), 1), 1);
    CHECK_EQ(t, gguf_kv_u64(gguf_find(g, "str"), 0), 0);
    close_fixture(&f);
}

static void strings_in_order(test *t) {
    fixture f;
    REQUIRE(t, open_fixture(&f));
    const gguf_kv *kv = gguf_find(&f.g, "strs");
    size_t at = 0;
    CHECK(t, str_eq(gguf_kv_next_str(kv, &at), "one"));
    CHECK(t, str_eq(gguf_kv_next_str(kv, &at), ""));
    CHECK(t, str_eq(gguf_kv_next_str(kv, &at), "three"));
    CHECK_EQ(t, at, kv->bytes);
    CHECK(t, str_eq(gguf_kv_next_str(kv, &at), "")); /* and again: stays at the end */
    CHECK_EQ(t, at, kv->bytes);
    at = SIZE_MAX;
    CHECK(t, str_eq(gguf_kv_next_str(kv, &at), ""));
    at = 0;
    CHECK(t, str_eq(gguf_kv_next_str(gguf_find(&f.g, "u8"), &at), ""));
    /* Someone writes to the file after it was checked: no more than wrong text may come of it. */
    memset(f.p + (kv->data - f.p), 0xff, 8);
    at = 0;
    CHECK(t, str_eq(gguf_kv_next_str(kv, &at), ""));
    CHECK_EQ(t, at, kv->bytes);
    close_fixture(&f);
}

#define TESTS(X) X(u32) X(f32) X(bool_and_str) X(arrays) X(values_for_display) X(strings_in_order)
TEST_SUITE(TESTS)
