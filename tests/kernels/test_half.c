/* Half precision and bfloat16 conversions: all 2^16 halves, and every float that lies near one or halfway
 * between two. */
#include <math.h>

#include "oracle.h"
#include "support.h"

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void halves_become_floats_exactly(test *t) {
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = f16_to_f32((uint16_t)h);
        if ((h & 0x7c00) != 0x7c00) {
            if (f != (float)oracle_half((uint16_t)h) || !signbit(f) != !(h & 0x8000))
                TEST_FAIL(t, "%04x gives %a", h, (double)f);
        } else if (!(h & 0x3ff)) {
            if (f != (h & 0x8000 ? -INFINITY : INFINITY)) TEST_FAIL(t, "%04x gives %a", h, (double)f);
        } else if (bits_of(f) != ((h & 0x8000) << 16 | 0x7fc00000 | (h & 0x3ff) << 13)) {
            TEST_FAIL(t, "NaN %04x gives %08x", h, bits_of(f));
        }
    }
}

static void halves_survive_a_round_trip(test *t) {
    for (uint32_t h = 0; h < 0x10000; h++) {
        bool nan = (h & 0x7c00) == 0x7c00 && (h & 0x3ff);
        uint32_t back = f16_from_f32(f16_to_f32((uint16_t)h)), expected = nan ? h | 0x200 : h;
        if (back != expected) TEST_FAIL(t, "%04x comes back as %04x", h, back);
    }
}

/* Between neighbours a < b: just below the middle goes to a, just above to b, the middle to the even one. The
 * last middle, 65520, goes to Inf. */
static void floats_round_to_nearest_even(test *t) {
    for (uint32_t h = 0; h < 0x7c00; h++) {
        float a = f16_to_f32((uint16_t)h), b = h + 1 < 0x7c00 ? f16_to_f32((uint16_t)(h + 1)) : 65536,
              middle = a + (b - a) / 2;
        for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
            float s = sign ? -1 : 1;
            CHECK_EQ(t, f16_from_f32(s * nextafterf(middle, 0)), h | sign);
            CHECK_EQ(t, f16_from_f32(s * middle), (h + (h & 1)) | sign);
            CHECK_EQ(t, f16_from_f32(s * nextafterf(middle, INFINITY)), (h + 1) | sign);
        }
    }
}

static void extremes(test *t) {
    CHECK_EQ(t, f16_from_f32(3e38f), 0x7c00);
    CHECK_EQ(t, f16_from_f32(-INFINITY), 0xfc00);
    CHECK_EQ(t, f16_from_f32(1e-40f), 0);
    CHECK_EQ(t, f16_from_f32(-1e-40f), 0x8000);
    CHECK_EQ(t, f16_from_f32(float_of(0x7f800001)), 0x7e00); /* a NaN stays one, whatever bits are cut off */
    CHECK_EQ(t, f16_from_f32(float_of(0xffffffff)), 0xffff);
}

static void bfloat16_is_the_high_half(test *t) {
    for (uint32_t h = 0; h < 0x10000; h++)
        if (bits_of(bf16_to_f32((uint16_t)h)) != h << 16)
            TEST_FAIL(t, "%04x gives %08x", h, bits_of(bf16_to_f32((uint16_t)h)));
}

#define TESTS(X)                                                                                             \
    X(halves_become_floats_exactly)                                                                          \
    X(halves_survive_a_round_trip)                                                                           \
    X(floats_round_to_nearest_even)                                                                          \
    X(extremes)                                                                                              \
    X(bfloat16_is_the_high_half)
TEST_SUITE(TESTS)
