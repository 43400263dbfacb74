/* Every format we compute with, from a file to float32 through the public functions, equals what ggml decodes
 * it to, bit for bit but for NaN payloads: quantized rows and blocks of random bytes. */
#include <stdlib.h>
#include <unistd.h>

#include "kernels/formats.h"
#include "runtime/leat.h"
#include "tests/loader/folder.h"
#include "tests/harness/test.h"
#include "tests/loader/gguf_build.h"

enum { ROWS = 6, COLS = 1024 };
#define GOLDEN LEAT_SOURCE_ROOT "/../shared/formats/"

static bool same(uint32_t a, uint32_t b) {
    bool a_nan = (a & 0x7fffffff) > 0x7f800000, b_nan = (b & 0x7fffffff) > 0x7f800000;
    return a == b || (a_nan && b_nan);
}

/* Puts `blocks` into a GGUF file, exports the tensor and compares. */
static void compare(test *t, const char *what, uint32_t format, const uint8_t *blocks, const float *want) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_file *file = NULL;
    REQUIRE(t, folder_make(&f));
    build *b = build_open();
    build_tensor(b, "t", format, COLS, ROWS, blocks);
    REQUIRE(t, build_save(b, folder_file(&f, "in.gguf")));
    build_close(b);
    if (leat_file_open(folder_file(&f, "in.gguf"), &file, &e) ||
        leat_tensor_export(file, 0, folder_file(&f, "out.f32"), &e))
        TEST_FAIL(t, "%s: %s", what, e.message);
    leat_file_close(file);
    size_t n, wrong = 0, first = 0;
    uint32_t *got = (uint32_t *)(void *)file_get(folder_file(&f, "out.f32"), &n);
    if (got && n == ROWS * COLS * sizeof *got) {
        for (size_t i = ROWS * COLS; i-- > 0;) {
            uint32_t bits;
            memcpy(&bits, &want[i], 4);
            if (!same(got[i], bits)) {
                wrong++;
                first = i;
            }
        }
        if (wrong) TEST_FAIL(t, "%s: %zu values differ, the first is %zu", what, wrong, first);
    } else {
        TEST_FAIL(t, "%s: %zu bytes were exported", what, n);
    }
    free(got);
    folder_remove(&f);
}

static void exports_equal_ggml(test *t) {
    /* names of the golden files; float32 has none, its source is its own decoding */
    static const struct {
        const char *name;
        uint32_t format;
    } rows[] = {{"f16", FORMAT_F16},     {"bf16", FORMAT_BF16},       {"q8_0", FORMAT_Q8_0},
                {"q4_0", FORMAT_Q4_0},   {"q4_1", FORMAT_Q4_1},       {"q5_0", FORMAT_Q5_0},
                {"q5_1", FORMAT_Q5_1},   {"q4_K", FORMAT_Q4_K},       {"q5_K", FORMAT_Q5_K},
                {"q6_K", FORMAT_Q6_K},   {"iq4_nl", FORMAT_IQ4_NL},   {"q2_K", FORMAT_Q2_K},
                {"q3_K", FORMAT_Q3_K},   {"iq4_xs", FORMAT_IQ4_XS},   {"mxfp4", FORMAT_MXFP4},
                {"nvfp4", FORMAT_NVFP4}, {"q1_0", FORMAT_Q1_0},       {"q2_0", FORMAT_Q2_0},
                {"tq1_0", FORMAT_TQ1_0}, {"tq2_0", FORMAT_TQ2_0},     {"iq1_s", FORMAT_IQ1_S},
                {"iq1_m", FORMAT_IQ1_M}, {"iq2_xxs", FORMAT_IQ2_XXS}, {"iq2_xs", FORMAT_IQ2_XS},
                {"iq2_s", FORMAT_IQ2_S}, {"iq3_xxs", FORMAT_IQ3_XXS}, {"iq3_s", FORMAT_IQ3_S}};
    size_t compared = 0;
    if (access(GOLDEN "source.f32", R_OK)) SKIP(t, "no golden data beside the project (../shared/formats)");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int random = 0; random < 2; random++) {
            char path[1024], what[32];
            size_t n = 0, m = 0;
            snprintf(what, sizeof what, "%s%s", rows[i].name, random ? ".rnd" : "");
            snprintf(path, sizeof path, GOLDEN "%s.bin", what);
            uint8_t *blocks = file_get(path, &n);
            snprintf(path, sizeof path, GOLDEN "%s.f32", what);
            float *want = (float *)(void *)file_get(path, &m);
            if (blocks && want && n == ROWS * format_row_bytes(rows[i].format, COLS) &&
                m == ROWS * COLS * sizeof *want) {
                compare(t, what, rows[i].format, blocks, want);
                compared++;
            } else if (!random || blocks) { /* the plain floats have no random blocks */
                TEST_FAIL(t, "%s: golden files are missing or of another size", what);
            }
            free(blocks);
            free(want);
        }
    CHECK(t, compared >= 36);
    size_t n;
    uint8_t *source = file_get(GOLDEN "source.f32", &n);
    REQUIRE(t, source && n == ROWS * COLS * sizeof(float));
    compare(t, "f32", FORMAT_F32, source, (const float *)(const void *)source);
    free(source);
}

#define TESTS(X) X(exports_equal_ggml)
TEST_SUITE(TESTS)
