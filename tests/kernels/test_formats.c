/* The format table, and decoding: against golden data where it is at hand (../shared/formats, beside the
 * project), and against blocks made by hand, whose values can be read off the comments in kernels/blocks.h.
 */
#include <math.h>
#include <stdlib.h>

#include "kernels/blocks.h"
#include "support.h"

/* ---- the table ---- */

static void ids_names_and_sizes(test *t) {
    static const struct {
        uint32_t id;
        const char *name;
        size_t elems, bytes;
    } rows[] = {
        {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
        {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
        {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
        {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
        {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
        {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
        {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
        {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
        {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
    };
    size_t live = 0;
    for (uint32_t id = 0; id < 100; id++) live += format_get(id) && format_get(id)->block_elems;
    CHECK_EQ(t, live, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const format_info *f = format_get(rows[i].id);
        REQUIRE(t, f);
        CHECK_STR(t, f->name, rows[i].name);
        CHECK_EQ(t, f->block_elems, rows[i].elems);
        CHECK_EQ(t, f->block_bytes, rows[i].bytes);
        CHECK_EQ(t, format_find(f->name), rows[i].id);
        CHECK_EQ(t, format_row_bytes(rows[i].id, 4 * rows[i].elems), 4 * rows[i].bytes);
    }
}

static void removed_types_have_only_a_name(test *t) {
    static const uint32_t removed[] = {4, 5, 31, 32, 33, 36, 37, 38};
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        const format_info *f = format_get(removed[i]);
        REQUIRE(t, f && f->name);
        CHECK_EQ(t, f->block_elems, 0);
        CHECK_EQ(t, format_find(f->name), -1);
        CHECK_EQ(t, format_row_bytes(removed[i], 256), 0);
    }
    CHECK_STR(t, format_get(4)->name, "Q4_2");
}

static void unknown_ids_and_names(test *t) {
    CHECK(t, format_get(FORMAT_COUNT) == NULL);
    CHECK(t, format_get(UINT32_MAX) == NULL);
    CHECK_EQ(t, format_row_bytes(UINT32_MAX, 256), 0);
    CHECK_EQ(t, format_find("q4_k"), FORMAT_Q4_K);
    CHECK_EQ(t, format_find("q4_K"), FORMAT_Q4_K);
    CHECK_EQ(t, format_find("bf16"), FORMAT_BF16);
    CHECK_EQ(t, format_find(""), -1);
    CHECK_EQ(t, format_find("q4"), -1);
    CHECK_EQ(t, format_find("q4_0x"), -1);
}

static void rows_are_whole_blocks(test *t) {
    CHECK_EQ(t, format_row_bytes(FORMAT_Q4_K, 0), 0);
    CHECK_EQ(t, format_row_bytes(FORMAT_Q4_K, 255), 0);
    CHECK_EQ(t, format_row_bytes(FORMAT_Q8_0, 33), 0);
    CHECK_EQ(t, format_row_bytes(FORMAT_F32, SIZE_MAX), 0); /* does not fit a size_t */
    CHECK(t, format_row_bytes(FORMAT_I8, SIZE_MAX) == SIZE_MAX);
}

/* ---- golden data ---- */

/* A whole file, or NULL. */
static unsigned char *read_golden(const char *name, const char *suffix, size_t *bytes) {
    char path[1024];
    snprintf(path, sizeof path, "%s/../shared/formats/%s%s", LEAT_SOURCE_ROOT, name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    enum { MAX = 1 << 20 };
    unsigned char *p = malloc(MAX);
    *bytes = p ? fread(p, 1, MAX, f) : 0;
    fclose(f);
    return p;
}

static void check_golden(test *t, const char *name, uint32_t format, const char *in, const char *out,
                         size_t *found) {
    size_t w_bytes = 0, y_bytes = 0;
    unsigned char *w = read_golden(name, in, &w_bytes), *expected = read_golden(name, out, &y_bytes);
    if (w && expected) {
        size_t n = y_bytes / 4;
        (*found)++;
        if (format_row_bytes(format, n) != w_bytes) TEST_FAIL(t, "%s%s has %zu bytes", name, in, w_bytes);
        for (size_t i = 0; kernels_isa(i) && format_row_bytes(format, n) == w_bytes; i++) {
            kernels k;
            float *y = malloc(y_bytes);
            if (!y || !kernels_init(&k, kernels_isa(i)) || !k.decode[format]) {
                free(y);
                break; /* a type whose size we know but that we don't compute with */
            }
            k.decode[format](w, y, n);
            for (size_t j = 0; j < n; j++) {
                float e;
                memcpy(&e, expected + 4 * j, sizeof e);
                if (!same_float(y[j], e))
                    TEST_FAIL(t, "%s%s on %s: [%zu] is %a, not %a", name, in, k.isa, j, (double)y[j],
                              (double)e);
            }
            free(y);
        }
    }
    free(w);
    free(expected);
}

/* Golden files are named q4_K, iq2_xs: small letters but for the K of k-quants. */
static void golden_name(const char *name, char *to, size_t size) {
    size_t n = strlen(name);
    for (size_t i = 0; i <= n && i < size; i++)
        to[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    if (n > 2 && n < size && strcmp(name + n - 2, "_K") == 0) to[n - 1] = 'K';
}

static void golden_blocks_decode_to_the_bit(test *t) {
    size_t found = 0;
    for (uint32_t id = 0; id < FORMAT_COUNT; id++) {
        const format_info *f = format_get(id);
        if (!f || !f->block_elems) continue;
        char name[32];
        golden_name(f->name, name, sizeof name);
        check_golden(t, name, id, ".bin", ".f32", &found);
        check_golden(t, name, id, ".rnd.bin", ".rnd.f32", &found);
    }
    if (!found) SKIP(t, "no golden data at %s/../shared/formats", LEAT_SOURCE_ROOT);
}

/* ---- blocks made by hand; halves: 1 is 0x3c00, 2 is 0x4000, 0.5 is 0x3800, -1 is 0xbc00 ---- */

static void check_values(test *t, uint32_t format, const void *block, const int *at, const float *value,
                         size_t n) {
    for (size_t i = 0; kernels_isa(i); i++) {
        kernels k;
        float y[256];
        REQUIRE(t, kernels_init(&k, kernels_isa(i)));
        k.decode[format](block, y, format_get(format)->block_elems);
        for (size_t j = 0; j < n; j++)
            if (y[at[j]] != value[j])
                TEST_FAIL(t, "%s on %s: [%d] is %g, not %g", format_get(format)->name, k.isa, at[j],
                          (double)y[at[j]], (double)value[j]);
    }
}
#define VALUES(t, format, block, at, ...)                                                                    \
    check_values(t, format, block, at, (const float[])__VA_ARGS__, sizeof(at) / sizeof *(at))

static void known_blocks_of_32(test *t) {
    static const int at[] = {0, 1, 15, 16, 17, 31};
    block_q4_0 q4_0 = {0x4000, {0xf0, 0x21, [15] = 0x8f}};
    VALUES(t, FORMAT_Q4_0, &q4_0, at, {-16, -14, 14, 14, -12, 0});
    block_q4_1 q4_1 = {0x4000, 0x3800, {0xf0, 0x21, [15] = 0x8f}};
    VALUES(t, FORMAT_Q4_1, &q4_1, at, {0.5f, 2.5f, 30.5f, 30.5f, 4.5f, 16.5f});
    block_q5_0 q5_0 = {0x4000, {0x02, 0x80, 0x01, 0x80}, {0xf0, 0x21, [15] = 0x8f}};
    VALUES(t, FORMAT_Q5_0, &q5_0, at, {-32, 2, 30, 30, -28, 16});
    block_q5_1 q5_1 = {0x4000, 0xbc00, {0x02, 0x80, 0x01, 0x80}, {0xf0, 0x21, [15] = 0x8f}};
    VALUES(t, FORMAT_Q5_1, &q5_1, at, {-1, 33, 61, 61, 3, 47});
    block_q8_0 q8_0 = {0x3800, {-128, 127, [15] = 3, 4, -5, [31] = 1}};
    VALUES(t, FORMAT_Q8_0, &q8_0, at, {-64, 63.5f, 1.5f, 2, -2.5f, 0.5f});
}

/* Sub-blocks 0 and 7 stand for both ways that a six-bit scale is stored. */
static void known_blocks_of_256(test *t) {
    static const int at[] = {0, 31, 32, 33, 64, 192, 223, 224, 255};
    /* sc[0] = 3, mn[0] = 1, sc[1] = 2, sc[7] = 0x35, mn[7] = 0x2a; all others 0 */
    static const uint8_t scales[12] = {3, 2, 0, 3 << 6, 1, 0, 0, 2 << 6, 0, 0, 0, 0xa5};
    block_q4_k q4_k = {0x4000, 0x3c00, {0}, {0x5f, [31] = 0x01, [96] = 0x20, [127] = 0xf0}};
    memcpy(q4_k.scales, scales, sizeof scales);
    VALUES(t, FORMAT_Q4_K, &q4_k, at, {89, 5, 20, 0, 0, 0, 0, 170, 1548});
    block_q5_k q5_k = {
        0x4000, 0x3c00, {0}, {0x81, [1] = 0x02, [31] = 0x01}, {0x5f, [31] = 0x01, [96] = 0x20, [127] = 0xf0}};
    memcpy(q5_k.scales, scales, sizeof scales);
    VALUES(t, FORMAT_Q5_K, &q5_k, at, {185, 101, 20, 64, 0, 0, 0, 1866, 1548});

    static const int at6[] = {0, 31, 32, 64, 96, 127, 128, 160, 192, 255};
    block_q6_k q6_k = {{0x1f, [31] = 0x02, [32] = 0x3e, [63] = 0x40, [64] = 0x01, [96] = 0x05},
                       {0xe4, [31] = 0xc0, [32] = 0x1b},
                       {1, -2, 3, 4, 5, 6, 7, -128, 9, 10, 11, 12, 13, 14, 15, 16},
                       0x4000};
    VALUES(t, FORMAT_Q6_K, &q6_k, at6, {-34, 120, -12, 10, 266, -5120, 306, 110, -416, -1024});
}

/* Codebook types: an index with its top bits set, the eighth sign from the parity of seven, both scales of a
 * pair, both deltas. */
static void known_codebook_blocks(test *t) {
    static const int at_xxs[] = {0, 4, 7, 8, 15, 24, 255}, at[] = {0, 1, 7, 8, 16};
    block_iq2_xxs xxs = {0x4000, {0, 0x0100, 1 | 3 << 7, 0xf000}};
    VALUES(t, FORMAT_IQ2_XXS, &xxs, at_xxs, {-62, 62, -62, -62, 62, 333.25f, 2});
    block_iq2_xs xs = {0x4000, {511 | 1 << 9}, {0x10}};
    VALUES(t, FORMAT_IQ2_XS, &xs, at, {-10.75f, 10.75f, -10.75f, 2, 6});
    block_iq2_s iq2_s = {0x4000, {0xff, [32] = 0x81}, {3}, {0xf0}};
    VALUES(t, FORMAT_IQ2_S, &iq2_s, at, {-10.75f, 10.75f, -10.75f, 2, 62});

    static const int at3[] = {0, 2, 3, 4, 6, 7, 32};
    block_iq3_xxs iq3_xxs = {0x4000, {0xff, [64] = 0x40, [67] = 0x10}};
    VALUES(t, FORMAT_IQ3_XXS, &iq3_xxs, at3, {6, 78, 93, 6, -6, -6, 2});
    block_iq3_s iq3_s = {0x4000, {0xff}, {1}, {0x09}, {0xf1}};
    VALUES(t, FORMAT_IQ3_S, &iq3_s, at3, {-6, 90, -90, 6, 6, 6, 62});

    static const int at1[] = {0, 7, 8, 16, 255};
    block_iq1_s iq1_s = {0x4800, {0xff}, {0x8000 | 7 << 12 | 7}};
    VALUES(t, FORMAT_IQ1_S, &iq1_s, at1, {105, 105, -135, -135, -7});
    block_iq1_m iq1_m = {{0xff}, {0x0f}, {3 << 3, 0, 0, 0, 0, 0x80, 0, 0x40}};
    VALUES(t, FORMAT_IQ1_M, &iq1_m, at1, {7, 7, -7, -49, -7});
}

/* Every entry of every codebook: FNV-1a over its values as signed bytes. The sums were taken over the
 * codebooks of the formats, from which kernels/iq_tables.c was made; this tells whether it is still that. */
static void codebooks_are_those_of_the_formats(test *t) {
    static const struct {
        uint32_t format;
        int entries, values, low_at, high_at; /* bytes of a block with the bits of index 0 */
        uint16_t d;                           /* that makes values integers */
        uint32_t sum;
    } books[] = {
        {FORMAT_IQ2_XXS, 256, 8, 2, 3, 0x4800, 0x3db4a16eu},
        {FORMAT_IQ2_XS, 512, 8, 2, 3, 0x4800, 0xebeb17ddu},
        {FORMAT_IQ2_S, 1024, 8, 2, 66, 0x4800, 0x82981110u},
        {FORMAT_IQ3_XXS, 256, 4, 2, 3, 0x4400, 0x49a45035u},
        {FORMAT_IQ3_S, 512, 4, 2, 66, 0x3c00, 0x71cc6c89u},
        {FORMAT_IQ1_S, 2048, 8, 2, 34, 0x4800, 0x2fe8cbceu},
    };
    kernels k;
    REQUIRE(t, kernels_init(&k, "c"));
    for (size_t i = 0; i < sizeof books / sizeof *books; i++) {
        uint32_t sum = 2166136261u;
        for (int entry = 0; entry < books[i].entries; entry++) {
            unsigned char block[256] = {0};
            float y[256];
            memcpy(block, &books[i].d, 2);
            block[books[i].low_at] = (unsigned char)entry;
            if (entry >> 8) block[books[i].high_at] = (unsigned char)(entry >> 8);
            k.decode[books[i].format](block, y, 256);
            for (int v = 0; v < books[i].values; v++) {
                if (books[i].format == FORMAT_IQ1_S) y[v] = (y[v] - 1) / 8; /* eighths, with a delta of one */
                sum = (sum ^ (uint8_t)(int8_t)y[v]) * 16777619u;
            }
        }
        if (sum != books[i].sum)
            TEST_FAIL(t, "codebook of %s: %#x, not %#x", format_get(books[i].format)->name, sum,
                      books[i].sum);
    }
}

static void known_plain_values(test *t) {
    const float f32[] = {1.5f, -2, 1e-40f};
    const uint16_t f16[] = {0x3c00, 0xc000, 0x0001}, bf16[] = {0x3f80, 0xc000, 0x0001};
    const double f64[] = {1.5, -0x1.0000010000001p0, 1e300};
    const int8_t i8[] = {0, -128, 127};
    const int16_t i16[] = {0, -32768, 32767};
    const int32_t i32[] = {3, -2147483647 - 1, 16777219}; /* the last lies between two floats */
    const int64_t i64[] = {5, INT64_MIN, 0x2000003};
    for (size_t i = 0; kernels_isa(i); i++) {
        kernels k;
        float y[3];
        REQUIRE(t, kernels_init(&k, kernels_isa(i)));
        k.decode[FORMAT_F32](f32, y, 3);
        CHECK(t, y[0] == 1.5f && y[1] == -2 && y[2] == 1e-40f);
        k.decode[FORMAT_F16](f16, y, 3);
        CHECK(t, y[0] == 1 && y[1] == -2 && y[2] == 0x1p-24f);
        k.decode[FORMAT_BF16](bf16, y, 3);
        CHECK(t, y[0] == 1 && y[1] == -2 && y[2] == 0x1p-133f);
        k.decode[FORMAT_F64](f64, y, 3);
        CHECK(t, y[0] == 1.5f && y[1] == -0x1.000002p0f && y[2] == INFINITY);
        k.decode[FORMAT_I8](i8, y, 3);
        CHECK(t, y[0] == 0 && y[1] == -128 && y[2] == 127);
        k.decode[FORMAT_I16](i16, y, 3);
        CHECK(t, y[0] == 0 && y[1] == -32768 && y[2] == 32767);
        k.decode[FORMAT_I32](i32, y, 3);
        CHECK(t, y[0] == 3 && y[1] == -0x1p31f && y[2] == 16777220);
        k.decode[FORMAT_I64](i64, y, 3);
        CHECK(t, y[0] == 5 && y[1] == -0x1p63f && y[2] == 0x2000004);
    }
}

#define TESTS(X)                                                                                             \
    X(ids_names_and_sizes)                                                                                   \
    X(removed_types_have_only_a_name)                                                                        \
    X(unknown_ids_and_names)                                                                                 \
    X(rows_are_whole_blocks)                                                                                 \
    X(golden_blocks_decode_to_the_bit)                                                                       \
    X(known_blocks_of_32)                                                                                    \
    X(known_blocks_of_256)                                                                                   \
    X(known_codebook_blocks)                                                                                 \
    X(codebooks_are_those_of_the_formats)                                                                    \
    X(known_plain_values)
TEST_SUITE(TESTS)
