/* Well-formed files: what the parser says about them, limits reached exactly, and the real ones of the golden
 * data. */
#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include "gguf_build.h"
#include "kernels/formats.h"
#include "loader/file.h"
#include "tests/harness/test.h"

/* Parses what the builder has; a failure is printed. */
static bool parse(test *t, build *b, gguf *g) {
    size_t n;
    leat_error e;
    const uint8_t *p = build_finish(b, &n);
    if (!gguf_parse(p, n, g, &e)) return true;
    TEST_FAIL(t, "refused: %s", e.message);
    return false;
}

static void nothing_but_a_header(test *t) {
    for (uint32_t version = 2; version <= 3; version++) {
        build *b = build_open();
        gguf g;
        build_version(b, version);
        REQUIRE(t, parse(t, b, &g));
        CHECK_EQ(t, g.version, version);
        CHECK_EQ(t, g.n_kv + g.n_tensors, 0);
        CHECK_EQ(t, g.alignment, 32);
        CHECK_EQ(t, g.data_offset, 24); /* the end: there is no data section */
        CHECK(t, !gguf_find(&g, "x") && !gguf_find(&g, "") && !gguf_find_tensor(&g, "x"));
        gguf_free(&g);
        gguf_free(&g);
        CHECK(t, !gguf_find(&g, "x") && !gguf_find_tensor(&g, ""));
        build_close(b);
    }
}

static void vocabulary_only(test *t) {
    build *b = build_open();
    gguf g;
    build_str_array(b, "tokens", (const char *const[]){"a", "", "ccc"}, 3);
    REQUIRE(t, parse(t, b, &g));
    CHECK_EQ(t, g.n_kv, 1);
    CHECK_EQ(t, g.kv[0].count, 3);
    CHECK_EQ(t, g.kv[0].bytes, 3 * 8 + 4);
    size_t n;
    build_finish(b, &n);
    CHECK(t, g.data_offset <= n);
    gguf_free(&g);
    build_close(b);
}

static void tensors_of_one_to_four_dimensions(test *t) {
    build *b = build_open();
    gguf g;
    uint64_t ne[4] = {64, 3, 5, 2};
    float row[64];
    for (int i = 0; i < 64; i++) row[i] = (float)i;
    build_tensor_nd(b, "one", FORMAT_F32, 1, ne, row);
    build_tensor_nd(b, "two", FORMAT_Q8_0, 2, ne, NULL);
    build_tensor_nd(b, "three", FORMAT_F16, 3, ne, NULL);
    build_tensor_nd(b, "four", FORMAT_Q4_0, 4, ne, NULL);
    REQUIRE(t, parse(t, b, &g));
    static const size_t rows[] = {1, 3, 15, 30}, row_bytes[] = {256, 68, 128, 36};
    static const uint32_t formats[] = {FORMAT_F32, FORMAT_Q8_0, FORMAT_F16, FORMAT_Q4_0};
    REQUIRE(t, g.n_tensors == 4);
    CHECK_EQ(t, g.data_offset, build_data_offset(b));
    for (uint32_t i = 0; i < 4; i++) {
        const gguf_tensor *x = &g.tensors[i];
        CHECK_EQ(t, x->n_dims, i + 1);
        CHECK_EQ(t, x->format, formats[i]);
        CHECK_EQ(t, x->n_rows, rows[i]);
        CHECK_EQ(t, x->row_bytes, row_bytes[i]);
        CHECK_EQ(t, x->bytes, rows[i] * row_bytes[i]);
        CHECK_EQ(t, x->part, 0);
        for (uint32_t d = 0; d < 4; d++) CHECK_EQ(t, x->ne[d], d <= i ? ne[d] : 1);
    }
    CHECK(t, !memcmp(gguf_find_tensor(&g, "one")->data, row, sizeof row));
    CHECK(t, gguf_find_tensor(&g, "four") == &g.tensors[3]);
    CHECK(t, !gguf_find_tensor(&g, "fou") && !gguf_find_tensor(&g, "four "));
    gguf_free(&g);
    build_close(b);
}

static void every_live_format_and_no_other(test *t) {
    int live = 0;
    for (uint32_t id = 0; id < FORMAT_COUNT + 3; id++) {
        const format_info *info = format_get(id);
        uint64_t ne[1] = {512};
        build *b = build_open();
        gguf g;
        leat_error e;
        size_t n;
        if (info && info->block_elems) {
            build_tensor_nd(b, "x", id, 1, ne, NULL);
            if (parse(t, b, &g)) {
                CHECK_EQ(t, g.tensors[0].bytes, 512 / info->block_elems * info->block_bytes);
                gguf_free(&g);
                live++;
            }
        } else {
            build_tensor_raw(b, "x", 1, 1, ne, id, 0, 4096);
            const uint8_t *p = build_finish(b, &n);
            CHECK_EQ(t, gguf_parse(p, n, &g, &e), LEAT_E_TYPE);
            CHECK(t, strstr(e.message, info && info->name ? info->name : "unknown"));
        }
        build_close(b);
    }
    CHECK(t, live >= 31);
}

static void alignments(test *t) {
    for (uint32_t alignment = 8; alignment <= 65536; alignment *= 2) {
        build *b = build_open();
        gguf g;
        uint64_t one = UINT64_C(0x0102030405060708);
        build_alignment(b, alignment);
        build_tensor(b, "x", FORMAT_I64, 1, 0, &one);
        build_tensor(b, "y", FORMAT_I64, 1, 0, &one);
        build_u8(b, "behind", 1);
        REQUIRE(t, parse(t, b, &g));
        CHECK_EQ(t, g.alignment, alignment);
        CHECK_EQ(t, g.data_offset % alignment, 0);
        CHECK_EQ(t, g.tensors[1].data - g.tensors[0].data, alignment);
        CHECK(t, !memcmp(g.tensors[1].data, &one, 8));
        gguf_free(&g);
        build_close(b);
    }
}

static void trailing_data_and_gaps_are_allowed(test *t) {
    build *b = build_open();
    gguf g;
    uint64_t ne[1] = {4};
    build_tensor_raw(b, "high", 4, 1, ne, FORMAT_F32, 4096, 0);
    build_tensor_raw(b, "low", 3, 1, ne, FORMAT_F32, 1024, 5000);
    REQUIRE(t, parse(t, b, &g));
    CHECK_EQ(t, g.tensors[0].data - g.tensors[1].data, 3072);
    gguf_free(&g);
    build_close(b);
}

/* Tensors in the order of their data, in the reverse, and in none: all the same to us. */
static void any_order_of_data(test *t) {
    enum { COUNT = 500 };
    for (unsigned step = 1; step < COUNT; step += 166) {
        build *b = build_open();
        gguf g;
        for (unsigned i = 0; i < COUNT; i++) {
            char name[16];
            uint64_t ne[1] = {8}, place = (i * step + COUNT - 1) % COUNT * 32;
            if (step == 499) place = (COUNT - 1 - i) * 32;
            snprintf(name, sizeof name, "t%u", i);
            build_tensor_raw(b, name, strlen(name), 1, ne, FORMAT_F32, place, 32);
        }
        if (parse(t, b, &g)) {
            CHECK_EQ(t, g.n_tensors, COUNT);
            gguf_free(&g);
        }
        build_close(b);
    }
}

static void limits_are_reached(test *t) {
    build *b = build_open();
    gguf g;
    char name[127], *key = malloc(65535), *value = malloc(16 << 20);
    REQUIRE(t, key && value);
    memset(name, 'n', sizeof name);
    memset(key, 'k', 65535);
    memset(value, 0xff, 16 << 20); /* no UTF-8: kept as it is */
    build_key(b, key, 65535, GGUF_U8);
    build_raw(b, "\7", 1);
    build_str_n(b, "value", value, 16 << 20);
    build_str(b, "empty", "");
    build_array(b, "empty.array", GGUF_F64, NULL, 0);
    build_array(b, "empty.strings", GGUF_STRING, NULL, 0);
    build_key(b, " !\"~", 4, GGUF_U8);
    build_raw(b, "\7", 1);
    uint64_t ne[1] = {1};
    build_tensor_raw(b, name, sizeof name, 1, ne, FORMAT_I8, 0, 1);
    REQUIRE(t, parse(t, b, &g));
    CHECK_EQ(t, g.kv[0].key.n, 65535);
    CHECK_EQ(t, g.kv[1].bytes, 8 + (16 << 20));
    CHECK_EQ(t, g.kv[3].count, 0);
    CHECK_EQ(t, g.kv[4].bytes, 0);
    CHECK(t, gguf_find(&g, " !\"~") == &g.kv[5]);
    CHECK_EQ(t, g.tensors[0].name.n, 127);
    gguf_free(&g);
    build_close(b);
    free(key);
    free(value);
}

/* 65,536 keys and tensors: all found, and in time. */
static void many_names(test *t) {
    enum { COUNT = 65536 };
    build *b = build_open();
    gguf g;
    char name[32];
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t ne[1] = {1};
        snprintf(name, sizeof name, "blk.%u.weight", i);
        build_u8(b, name, (uint8_t)i);
        build_tensor_raw(b, name, strlen(name), 1, ne, FORMAT_I8, (uint64_t)i * 32, 32);
    }
    size_t n;
    leat_error e;
    const uint8_t *p = build_finish(b, &n);
    clock_t start = clock();
    leat_status status = gguf_parse(p, n, &g, &e);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (status) TEST_FAIL(t, "%s", e.message);
    CHECK(t, seconds < 2); /* takes some hundredths; a table that degenerates takes a minute */
    for (unsigned i = 0; i < COUNT && !status; i++) {
        snprintf(name, sizeof name, "blk.%u.weight", i);
        const gguf_kv *kv = gguf_find(&g, name);
        if (kv != &g.kv[i] || gguf_find_tensor(&g, name) != &g.tensors[i])
            TEST_FAIL(t, "%s is not found", name);
        name[strlen(name) - 1] = 'x';
        if (gguf_find(&g, name)) TEST_FAIL(t, "%s is found", name);
    }
    if (!status) gguf_free(&g);
    build_close(b);
}

/* Everything a file says lies inside it. */
static void check_views(test *t, const gguf *g, const char *path) {
    for (size_t i = 0; i < g->n_kv; i++) {
        const gguf_kv *kv = &g->kv[i];
        size_t at = 0;
        if (kv->elem_type == GGUF_STRING) {
            for (uint64_t k = 0; k < kv->count; k++) gguf_kv_next_str(kv, &at);
            if (at != kv->bytes) TEST_FAIL(t, "%s: strings end at %zu of %zu", path, at, kv->bytes);
        }
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)kv->key.n, kv->key.p);
        if (gguf_find(g, key) != kv) TEST_FAIL(t, "%s: %s is not found", path, key);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        const gguf_tensor *x = &g->tensors[i];
        if (x->bytes != x->row_bytes * x->n_rows) TEST_FAIL(t, "%s: tensor %zu", path, i);
    }
}

static void real_files(test *t) {
    static const char *const folders[] = {"arch", "vocab", "models"};
    int opened = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char dir[300], path[700];
        snprintf(dir, sizeof dir, "%s/../shared/%s", LEAT_SOURCE_ROOT, folders[i]);
        DIR *d = opendir(dir);
        if (!d) continue;
        for (struct dirent *entry; (entry = readdir(d));) {
            size_t n = strlen(entry->d_name);
            if (n < 5 || strcmp(entry->d_name + n - 5, ".gguf")) continue;
            snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
            model_file *f;
            leat_error e;
            if (file_open(path, &f, &e)) {
                TEST_FAIL(t, "%s", e.message);
                continue;
            }
            opened++;
            check_views(t, file_gguf(f), path);
            CHECK(t, gguf_find(file_gguf(f), "general.architecture"));
            file_close(f);
        }
        closedir(d);
    }
    if (!opened) SKIP(t, "no golden data beside the project");
    CHECK(t, opened >= 40);
}

#define TESTS(X)                                                                                             \
    X(nothing_but_a_header)                                                                                  \
    X(vocabulary_only)                                                                                       \
    X(tensors_of_one_to_four_dimensions)                                                                     \
    X(every_live_format_and_no_other)                                                                        \
    X(alignments)                                                                                            \
    X(trailing_data_and_gaps_are_allowed)                                                                    \
    X(any_order_of_data)                                                                                     \
    X(limits_are_reached)                                                                                    \
    X(many_names)                                                                                            \
    X(real_files)
TEST_SUITE(TESTS)
