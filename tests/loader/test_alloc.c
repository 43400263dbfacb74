/* The real memory seam: zeros, alignment, products that overflow, resizing both ways. */
#include <stdint.h>

#include "loader/alloc.h"
#include "tests/harness/test.h"

static bool all(const uint8_t *p, size_t n, uint8_t v) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != v) return false;
    return true;
}

static void zeroed_and_aligned(test *t) {
    for (size_t n = 1; n < 100000; n = n * 3 / 2 + 1) {
        uint8_t *p = mem_alloc(n, 1);
        REQUIRE(t, p);
        CHECK_EQ(t, (uintptr_t)p % 64, 0);
        CHECK(t, all(p, n, 0));
        memset(p, 0xa5, n); /* so that a reused block would show */
        mem_free(p);
    }
    mem_free(NULL);
}

static void nothing_is_something(test *t) {
    void *a = mem_alloc(0, 8), *b = mem_alloc(8, 0), *c = mem_alloc(0, 0);
    CHECK(t, a && b && c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

static void products_do_not_wrap(test *t) {
    CHECK(t, !mem_alloc(SIZE_MAX, 2));
    CHECK(t, !mem_alloc(2, SIZE_MAX));
    CHECK(t, !mem_alloc((size_t)1 << 33, (size_t)1 << 31));
    CHECK(t, !mem_alloc(((size_t)1 << 32) + 1, (size_t)1 << 32));
    CHECK(t, !mem_alloc(SIZE_MAX, 1)); /* the sum with the alignment */
    CHECK(t, !mem_alloc(SIZE_MAX - 63, 1));
}

static void resizes(test *t) {
    uint8_t *p = mem_alloc(10, 4);
    REQUIRE(t, p);
    memset(p, 7, 40);
    uint8_t *q = mem_resize(p, 10, 1000, 4);
    REQUIRE(t, q);
    CHECK_EQ(t, (uintptr_t)q % 64, 0);
    CHECK(t, all(q, 40, 7) && all(q + 40, 3960, 0));
    memset(q, 8, 4000);
    CHECK(t, !mem_resize(q, 1000, SIZE_MAX / 2, 4)); /* and q is still there */
    CHECK(t, all(q, 4000, 8));
    p = mem_resize(q, 1000, 3, 4);
    REQUIRE(t, p);
    CHECK(t, all(p, 12, 8));
    q = mem_resize(p, 3, 0, 4);
    CHECK(t, q);
    mem_free(q);
    q = mem_resize(NULL, 0, 5, 1);
    REQUIRE(t, q);
    CHECK(t, all(q, 5, 0));
    mem_free(q);
}

#define TESTS(X) X(zeroed_and_aligned) X(nothing_is_something) X(products_do_not_wrap) X(resizes)
TEST_SUITE(TESTS)
