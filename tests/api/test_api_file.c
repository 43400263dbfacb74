/* The public view of files: every leat_file_*, leat_tensor_* function with honest and with hostile arguments,
 * on a file made of every metadata type and on one that spans two parts. */
#include <math.h>
#include <stdlib.h>

#include "kernels/blocks.h"
#include "kernels/formats.h"
#include "kernels/kernels.h"
#include "runtime/leat.h"
#include "tests/loader/folder.h"
#include "tests/harness/test.h"
#include "tests/loader/gguf_build.h"

static const char *const words[] = {"one", "", "drei", "\xf0\x9f\x90\x9f", "five"};
static const float row_of_floats[6] = {1, -2, 0.5f, INFINITY, 1e-42f, -0.0f};

static void fill(build *b) {
    build_str(b, "general.architecture", "nothing we run");
    build_u8(b, "t.u8", 255);
    build_i8(b, "t.i8", -128);
    build_u16(b, "t.u16", 65535);
    build_i16(b, "t.i16", -32768);
    build_u32(b, "t.u32", UINT32_MAX);
    build_i32(b, "t.i32", INT32_MIN);
    build_f32(b, "t.f32", 0.25f);
    build_bool(b, "t.bool", true);
    build_u64(b, "t.u64", UINT64_MAX);
    build_i64(b, "t.i64", INT64_MIN);
    build_f64(b, "t.f64", -1e300);
    build_str_array(b, "t.words", words, 5);
    build_array(b, "t.numbers", GGUF_I32, "\1\0\0\0\xff\xff\xff\xff\3\0\0\0", 3);
    build_array(b, "t.empty", GGUF_U64, "", 0);
    block_q8_0 q8[4];
    for (size_t i = 0; i < sizeof q8; i++) ((uint8_t *)q8)[i] = (uint8_t)(i % 100);
    build_tensor(b, "floats", FORMAT_F32, 3, 2, row_of_floats);
    build_tensor(b, "blocks", FORMAT_Q8_0, 64, 2, q8);
    build_tensor(b, "sums", FORMAT_Q8_1, 32, 0, NULL);
    build_tensor_nd(b, "deep", FORMAT_F16, 4, (const uint64_t[]){2, 3, 4, 5}, NULL);
}

static leat_file *open_example(test *t, const folder *f) {
    leat_file *file = NULL;
    leat_error e = {LEAT_E_ARG, "not cleared"};
    build *b = build_open();
    fill(b);
    if (!build_save(b, folder_file(f, "example.gguf"))) TEST_FAIL(t, "could not write the example");
    build_close(b);
    if (leat_file_open(folder_file(f, "example.gguf"), &file, &e)) TEST_FAIL(t, "%s", e.message);
    CHECK(t, e.code == LEAT_OK && e.message[0] == 0);
    return file;
}

static bool is(leat_str s, const char *want) {
    return s.size == strlen(want) && memcmp(s.data, want, s.size) == 0;
}

static void metadata(test *t) {
    folder f;
    REQUIRE(t, folder_make(&f));
    leat_file *file = open_example(t, &f);
    REQUIRE(t, file != NULL);
    static const struct {
        const char *key;
        leat_meta_type type, elem_type;
        uint64_t count, u64;
        int64_t i64;
        double f64;
    } rows[] = {{"t.u8", LEAT_META_U8, LEAT_META_U8, 1, 255, 0, 0},
                {"t.i8", LEAT_META_I8, LEAT_META_I8, 1, 0, -128, 0},
                {"t.u16", LEAT_META_U16, LEAT_META_U16, 1, 65535, 0, 0},
                {"t.i16", LEAT_META_I16, LEAT_META_I16, 1, 0, -32768, 0},
                {"t.u32", LEAT_META_U32, LEAT_META_U32, 1, UINT32_MAX, 0, 0},
                {"t.i32", LEAT_META_I32, LEAT_META_I32, 1, 0, INT32_MIN, 0},
                {"t.f32", LEAT_META_F32, LEAT_META_F32, 1, 0, 0, 0.25},
                {"t.bool", LEAT_META_BOOL, LEAT_META_BOOL, 1, 1, 0, 0},
                {"t.u64", LEAT_META_U64, LEAT_META_U64, 1, UINT64_MAX, 0, 0},
                {"t.i64", LEAT_META_I64, LEAT_META_I64, 1, 0, INT64_MIN, 0},
                {"t.f64", LEAT_META_F64, LEAT_META_F64, 1, 0, 0, -1e300},
                {"t.words", LEAT_META_ARRAY, LEAT_META_STRING, 5, 0, 0, 0},
                {"t.numbers", LEAT_META_ARRAY, LEAT_META_I32, 3, 0, 1, 0},
                {"t.empty", LEAT_META_ARRAY, LEAT_META_U64, 0, 0, 0, 0}};
    size_t n = sizeof rows / sizeof *rows;
    CHECK_EQ(t, leat_file_meta_count(file), n + 1);
    for (size_t i = 0; i < n; i++) {
        leat_meta m;
        leat_value v;
        size_t index = SIZE_MAX;
        REQUIRE(t, leat_file_meta(file, i + 1, &m) == LEAT_OK);
        CHECK(t, is(m.key, rows[i].key) && m.type == rows[i].type && m.elem_type == rows[i].elem_type);
        CHECK_EQ(t, m.count, rows[i].count);
        CHECK_EQ(t, leat_file_meta_find(file, rows[i].key, &index), LEAT_OK);
        CHECK_EQ(t, index, i + 1);
        CHECK_EQ(t, leat_file_meta_value(file, i + 1, 0, NULL, &v), m.count ? LEAT_OK : LEAT_E_ARG);
        if (m.count && m.elem_type != LEAT_META_STRING) {
            CHECK(t, v.u64 == rows[i].u64 && v.i64 == rows[i].i64 && fabs(v.f64 - rows[i].f64) <= 0);
            CHECK(t, v.str.data == NULL && v.str.size == 0);
        }
        CHECK_EQ(t, leat_file_meta_value(file, i + 1, m.count, NULL, &v), LEAT_E_ARG);
        CHECK_EQ(t, leat_file_meta_value(file, i + 1, UINT64_MAX, NULL, &v), LEAT_E_ARG);
    }
    leat_value v;
    CHECK_EQ(t, leat_file_meta_value(file, 0, 0, NULL, &v), LEAT_OK);
    CHECK(t, is(v.str, "nothing we run"));
    CHECK_EQ(t, leat_file_meta_value(file, 13, 1, NULL, &v), LEAT_OK);
    CHECK_EQ(t, v.i64, -1);
    leat_file_close(file);
    folder_remove(&f);
}

static void string_arrays(test *t) {
    folder f;
    REQUIRE(t, folder_make(&f));
    leat_file *file = open_example(t, &f);
    REQUIRE(t, file != NULL);
    size_t index = 0, cursor = 0;
    leat_value v;
    REQUIRE(t, leat_file_meta_find(file, "t.words", &index) == LEAT_OK);
    for (uint64_t i = 0; i < 5; i++) { /* in order, with a cursor */
        CHECK_EQ(t, leat_file_meta_value(file, index, i, &cursor, &v), LEAT_OK);
        CHECK(t, is(v.str, words[i]));
    }
    for (uint64_t i = 5; i-- > 0;) { /* any order, without, or with one that starts here */
        CHECK_EQ(t, leat_file_meta_value(file, index, i, NULL, &v), LEAT_OK);
        CHECK(t, is(v.str, words[i]));
        cursor = 0;
        CHECK_EQ(t, leat_file_meta_value(file, index, i, &cursor, &v), LEAT_OK);
        CHECK(t, is(v.str, words[i]));
        if (i == 3) {
            CHECK_EQ(t, leat_file_meta_value(file, index, 4, &cursor, &v), LEAT_OK);
            CHECK(t, is(v.str, "five"));
        }
    }
    /* a cursor that never came from us: a refusal or some bytes of the array, never beyond it */
    for (size_t odd = 0; odd < 100; odd++) {
        cursor = odd < 98 ? odd : odd == 98 ? SIZE_MAX : SIZE_MAX / 2;
        if (leat_file_meta_value(file, index, 0, &cursor, &v) != LEAT_OK) continue;
        unsigned sum =
            0; /* reads every byte: a sanitizer or the end of the mapping says if one is not ours */
        for (size_t i = 0; i < v.str.size; i++) sum += (unsigned char)v.str.data[i];
        CHECK(t, sum <= 255 * v.str.size && v.str.size < leat_file_size(file));
    }
    leat_file_close(file);
    folder_remove(&f);
}

static void tensors(test *t) {
    folder f;
    REQUIRE(t, folder_make(&f));
    leat_file *file = open_example(t, &f);
    REQUIRE(t, file != NULL);
    CHECK_EQ(t, leat_file_version(file), 3);
    CHECK_EQ(t, leat_file_parts(file), 1);
    size_t n;
    uint8_t *bytes = file_get(folder_file(&f, "example.gguf"), &n);
    free(bytes);
    CHECK_EQ(t, leat_file_size(file), n);
    static const struct {
        const char *name, *type;
        uint32_t n_dims;
        uint64_t dims[4], n_elements, bytes;
        bool decodable;
    } rows[] = {{"floats", "F32", 2, {3, 2, 1, 1}, 6, 24, true},
                {"blocks", "Q8_0", 2, {64, 2, 1, 1}, 128, 136, true},
                {"sums", "Q8_1", 1, {32, 1, 1, 1}, 32, 36, false},
                {"deep", "F16", 4, {2, 3, 4, 5}, 120, 240, true}};
    CHECK_EQ(t, leat_file_tensor_count(file), 4);
    for (size_t i = 0; i < 4; i++) {
        leat_tensor_info info;
        size_t index = 9;
        REQUIRE(t, leat_file_tensor(file, i, &info) == LEAT_OK);
        CHECK(t, is(info.name, rows[i].name));
        CHECK_STR(t, info.type, rows[i].type);
        CHECK(t, info.n_dims == rows[i].n_dims && memcmp(info.dims, rows[i].dims, sizeof info.dims) == 0);
        CHECK(t, info.n_elements == rows[i].n_elements && info.bytes == rows[i].bytes);
        CHECK_EQ(t, info.decodable, rows[i].decodable);
        CHECK_EQ(t, leat_file_tensor_find(file, rows[i].name, &index), LEAT_OK);
        CHECK_EQ(t, index, i);
    }
    float out[64];
    for (uint64_t row = 0; row < 2; row++) {
        CHECK_EQ(t, leat_tensor_decode(file, 0, row, out, NULL), LEAT_OK);
        CHECK(t, memcmp(out, row_of_floats + 3 * row, 12) == 0);
    }
    CHECK_EQ(t, leat_tensor_decode(file, 3, 59, out, NULL), LEAT_OK);
    leat_file_close(file);
    folder_remove(&f);
}

/* What an export writes is what decoding row by row gives, for every tensor that can be decoded. */
static void exports(test *t) {
    folder f;
    leat_error e;
    REQUIRE(t, folder_make(&f));
    leat_file *file = open_example(t, &f);
    REQUIRE(t, file != NULL);
    for (size_t i = 0; i < leat_file_tensor_count(file); i++) {
        leat_tensor_info info;
        REQUIRE(t, leat_file_tensor(file, i, &info) == LEAT_OK);
        leat_status status = leat_tensor_export(file, i, folder_file(&f, "out.f32"), &e);
        CHECK_EQ(t, status, info.decodable ? LEAT_OK : LEAT_E_UNSUPPORTED);
        if (status) {
            CHECK(t, strstr(e.message, "\"sums\" is of type Q8_1"));
            continue;
        }
        size_t n;
        uint8_t *bytes = file_get(folder_file(&f, "out.f32"), &n);
        REQUIRE(t, bytes != NULL);
        CHECK_EQ(t, n, info.n_elements * 4);
        float row[64];
        for (uint64_t r = 0; r < info.n_elements / info.dims[0]; r++) {
            CHECK_EQ(t, leat_tensor_decode(file, i, r, row, &e), LEAT_OK);
            CHECK(t, memcmp(row, bytes + r * info.dims[0] * 4, info.dims[0] * 4) == 0);
        }
        free(bytes);
    }
    CHECK_EQ(t, folder_count(&f), 2);
    leat_file_close(file);
    folder_remove(&f);
}

static void failed_export_leaves_the_old_file(test *t) {
    folder f;
    leat_error e;
    REQUIRE(t, folder_make(&f));
    leat_file *file = open_example(t, &f);
    REQUIRE(t, file != NULL && file_put(folder_file(&f, "out.f32"), "old", 3));
    CHECK_EQ(t, leat_tensor_export(file, 2, folder_file(&f, "out.f32"), &e), LEAT_E_UNSUPPORTED);
    size_t n;
    uint8_t *old = file_get(folder_file(&f, "out.f32"), &n);
    CHECK(t, old && n == 3 && memcmp(old, "old", 3) == 0);
    free(old);
    CHECK_EQ(t, leat_tensor_export(file, 0, folder_file(&f, "no/such/folder"), &e), LEAT_E_IO);
    CHECK(t, e.message[0] != 0);
    CHECK_EQ(t, leat_tensor_export(file, 0, "", &e), LEAT_E_IO);
    CHECK_EQ(t, leat_tensor_export(file, 0, f.path, &e), LEAT_E_IO); /* a folder */
    CHECK_EQ(t, folder_count(&f), 2);
    leat_file_close(file);
    folder_remove(&f);
}

static void hostile_arguments(test *t) {
    folder f;
    leat_error e;
    REQUIRE(t, folder_make(&f));
    leat_file *file = open_example(t, &f), *none = (leat_file *)&e;
    REQUIRE(t, file != NULL);
    CHECK_EQ(t, leat_file_open(NULL, &none, &e), LEAT_E_ARG);
    CHECK(t, none == NULL && e.code == LEAT_E_ARG && strstr(e.message, "path"));
    CHECK_EQ(t, leat_file_open("x", NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_open(NULL, NULL, NULL), LEAT_E_ARG);
    none = (leat_file *)&e;
    CHECK_EQ(t, leat_file_open(folder_file(&f, "absent"), &none, &e), LEAT_E_IO);
    CHECK(t, none == NULL && strstr(e.message, "absent"));
    CHECK_EQ(t, leat_file_open("", &none, &e), LEAT_E_IO);
    CHECK_EQ(t, leat_file_open(f.path, &none, NULL), LEAT_E_IO);
    leat_file_close(NULL);

    CHECK_EQ(t, leat_file_version(NULL), 0);
    CHECK_EQ(t, leat_file_size(NULL), 0);
    CHECK_EQ(t, leat_file_parts(NULL), 0);
    CHECK_EQ(t, leat_file_meta_count(NULL), 0);
    CHECK_EQ(t, leat_file_tensor_count(NULL), 0);

    leat_meta m;
    leat_value v;
    leat_tensor_info info;
    size_t index = 77, cursor = 0;
    float row[64];
    CHECK_EQ(t, leat_file_meta(NULL, 0, &m), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_meta(file, 0, NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_meta_find(NULL, "a", &index), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_meta_find(file, NULL, &index), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_meta_find(file, "t.u8", NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_meta_find(file, "t.u9", &index), LEAT_E_MISSING);
    CHECK_EQ(t, leat_file_meta_find(file, "", &index), LEAT_E_MISSING);
    CHECK_EQ(t, leat_file_meta_value(NULL, 0, 0, &cursor, &v), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_meta_value(file, 0, 0, &cursor, NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_tensor(NULL, 0, &info), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_tensor(file, 0, NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_tensor_find(NULL, "floats", &index), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_tensor_find(file, NULL, &index), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_tensor_find(file, "floats", NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_file_tensor_find(file, "float", &index), LEAT_E_MISSING);
    CHECK_EQ(t, index, 77);
    CHECK_EQ(t, leat_tensor_decode(NULL, 0, 0, row, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_tensor_decode(file, 0, 0, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_tensor_decode(file, 0, 2, row, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "row 2") && strstr(e.message, "\"floats\""));
    CHECK_EQ(t, leat_tensor_decode(file, 0, UINT64_MAX, row, NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_tensor_decode(file, 2, 0, row, &e), LEAT_E_UNSUPPORTED);
    CHECK_EQ(t, leat_tensor_export(NULL, 0, "x", &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_tensor_export(file, 0, NULL, &e), LEAT_E_ARG);
    static const size_t beyond[] = {SIZE_MAX, SIZE_MAX / 2, 15, 4};
    for (size_t i = 0; i < 4; i++) {
        if (beyond[i] != 4) {
            CHECK_EQ(t, leat_file_meta(file, beyond[i], &m), LEAT_E_ARG);
            CHECK_EQ(t, leat_file_meta_value(file, beyond[i], 0, NULL, &v), LEAT_E_ARG);
        }
        CHECK_EQ(t, leat_file_tensor(file, beyond[i], &info), LEAT_E_ARG);
        CHECK_EQ(t, leat_tensor_decode(file, beyond[i], 0, row, &e), LEAT_E_ARG);
        CHECK_EQ(t, leat_tensor_export(file, beyond[i], folder_file(&f, "x"), &e), LEAT_E_ARG);
    }
    CHECK_EQ(t, folder_count(&f), 1);
    leat_file_close(file);
    folder_remove(&f);
}

static void architectures(test *t) {
    size_t n = 0;
    bool llama = false;
    for (; leat_architecture(n) && n < 1000; n++) llama |= strcmp(leat_architecture(n), "llama") == 0;
    CHECK(t, llama && n >= 2 && n < 1000);
    CHECK(t, leat_architecture(n) == NULL && leat_architecture(SIZE_MAX) == NULL);
}

static void split_set(test *t) {
    folder f;
    leat_error e;
    leat_file *file = NULL;
    REQUIRE(t, folder_make(&f));
    for (int part = 0; part < 2; part++) {
        char name[64];
        snprintf(name, sizeof name, "m-%05d-of-00002.gguf", part + 1);
        build *b = build_open();
        if (part == 0) build_str(b, "general.architecture", "llama");
        build_u16(b, "split.no", (uint16_t)part);
        build_u16(b, "split.count", 2);
        build_i32(b, "split.tensors.count", 2);
        build_tensor(b, part ? "second" : "first", FORMAT_F32, 3, 2, row_of_floats);
        REQUIRE(t, build_save(b, folder_file(&f, name)));
        build_close(b);
    }
    if (leat_file_open(folder_file(&f, "m-00001-of-00002.gguf"), &file, &e)) TEST_FAIL(t, "%s", e.message);
    REQUIRE(t, file != NULL);
    CHECK_EQ(t, leat_file_parts(file), 2);
    CHECK_EQ(t, leat_file_tensor_count(file), 2);
    size_t index, n1, n2;
    float row[3];
    REQUIRE(t, leat_file_tensor_find(file, "second", &index) == LEAT_OK);
    CHECK_EQ(t, leat_tensor_decode(file, index, 1, row, &e), LEAT_OK);
    CHECK(t, memcmp(row, row_of_floats + 3, sizeof row) == 0);
    free(file_get(folder_file(&f, "m-00001-of-00002.gguf"), &n1));
    free(file_get(folder_file(&f, "m-00002-of-00002.gguf"), &n2));
    CHECK_EQ(t, leat_file_size(file), n1 + n2);
    leat_file_close(file);
    folder_remove(&f);
}

/* clang-format off */
#define TESTS(X) \
    X(metadata) X(string_arrays) X(tensors) X(exports) X(failed_export_leaves_the_old_file) \
    X(hostile_arguments) X(architectures) X(split_set)
/* clang-format on */
TEST_SUITE(TESTS)
