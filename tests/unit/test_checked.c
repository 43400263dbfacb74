/* Checked arithmetic and the bounded cursor, at the edges. */
#include "loader/checked.h"
#include "loader/cursor.h"
#include "tests/harness/test.h"

static void add(test *t) {
    size_t v = 5;
    CHECK(t, checked_add(0, 0, &v) && v == 0);
    CHECK(t, checked_add(SIZE_MAX, 0, &v) && v == SIZE_MAX);
    CHECK(t, checked_add(SIZE_MAX - 1, 1, &v) && v == SIZE_MAX);
    CHECK(t, !checked_add(SIZE_MAX, 1, &v) && !checked_add(1, SIZE_MAX, &v) &&
                 !checked_add(SIZE_MAX, SIZE_MAX, &v));
    CHECK(t, v == SIZE_MAX); /* left alone */
}

static void mul(test *t) {
    size_t v = 5;
    uint64_t w = 5;
    CHECK(t, checked_mul(0, SIZE_MAX, &v) && v == 0);
    CHECK(t, checked_mul(SIZE_MAX, 0, &v) && v == 0);
    CHECK(t, checked_mul(SIZE_MAX, 1, &v) && v == SIZE_MAX);
    CHECK(t, checked_mul(SIZE_MAX / 3, 3, &v) && v == SIZE_MAX);
    CHECK(t, !checked_mul(SIZE_MAX / 3 + 1, 3, &v) && !checked_mul(SIZE_MAX / 2 + 1, 2, &v) && v == SIZE_MAX);
    CHECK(t, checked_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 31, &w) && w == UINT64_C(1) << 63);
    CHECK(t, !checked_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &w));
    CHECK(t, !checked_mul_u64((UINT64_C(1) << 33) + 1, UINT64_C(1) << 31, &w)); /* wraps to something small */
    CHECK(t, checked_mul_u64(0, UINT64_MAX, &w) && w == 0);
}

/* All small products and sums against wider arithmetic, shifted to the top of the range. */
static void near_the_top(test *t) {
    for (unsigned a = 0; a < 300; a++) {
        for (unsigned b = 0; b < 300; b++) {
            size_t v = 12345;
            CHECK_EQ(t, checked_add(SIZE_MAX - a, b, &v), b <= a);
            CHECK_EQ(t, v == SIZE_MAX - a + b, b <= a);
        }
    }
}

static void align_up(test *t) {
    size_t v = 5;
    CHECK(t, checked_align_up(0, 32, &v) && v == 0);
    CHECK(t, checked_align_up(1, 32, &v) && v == 32);
    CHECK(t, checked_align_up(32, 32, &v) && v == 32);
    CHECK(t, checked_align_up(33, 32, &v) && v == 64);
    CHECK(t, checked_align_up(7, 1, &v) && v == 7);
    CHECK(t, checked_align_up(SIZE_MAX - 31, 32, &v) && v == SIZE_MAX - 31);
    CHECK(t, !checked_align_up(SIZE_MAX - 30, 32, &v) && !checked_align_up(SIZE_MAX - 3, 4096, &v));
    CHECK(t, !checked_align_up(SIZE_MAX, 2, &v));
    CHECK(t, !checked_align_up(8, 0, &v) && !checked_align_up(8, 3, &v) && !checked_align_up(8, 48, &v));
    CHECK(t, v == SIZE_MAX - 31);
}

static void size(test *t) {
    size_t v;
    CHECK(t, checked_size(0, &v) && v == 0);
    CHECK(t, checked_size(SIZE_MAX, &v) && v == SIZE_MAX);
}

static void cursor_stays_inside(test *t) {
    static const uint8_t bytes[13] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    cursor c = {bytes, sizeof bytes, 0};
    uint32_t u;
    uint64_t w = 3;
    const uint8_t *p = NULL;
    CHECK(t, cursor_u32(&c, &u) && u == 0x04030201);
    CHECK(t, cursor_u64(&c, &w) && w == UINT64_C(0x0c0b0a0908070605));
    CHECK_EQ(t, cursor_left(&c), 1);
    CHECK(t, !cursor_u32(&c, &u) && !cursor_u64(&c, &w) && !cursor_take(&c, 2, &p));
    CHECK(t, !cursor_take(&c, UINT64_MAX, &p) && !cursor_take(&c, UINT64_MAX - 11, &p));
    CHECK(t, !p && c.pos == 12 && u == 0x04030201); /* a failed read moves and changes nothing */
    CHECK(t, cursor_take(&c, 0, &p) && p == bytes + 12);
    CHECK(t, cursor_take(&c, 1, &p) && p == bytes + 12 && cursor_left(&c) == 0);
    CHECK(t, cursor_take(&c, 0, &p) && !cursor_take(&c, 1, &p));
}

#define TESTS(X) X(add) X(mul) X(near_the_top) X(align_up) X(size) X(cursor_stays_inside)
TEST_SUITE(TESTS)
