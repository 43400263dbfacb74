/* Tests are plain functions, listed once at the end of their file, and run by two mains: Criterion's (the
 * default) and a plain loop (-DTEST_PLAIN: under ThreadSanitizer and valgrind, where Criterion can't be
 * trusted; see tests/README.md).
 *
 *     static void adds(test *t) { CHECK_EQ(t, 1 + 1, 2); }
 *     #define TESTS(X) X(adds) X(subtracts)
 *     TEST_SUITE(TESTS)      (the suite is named by -DTEST_SUITE_NAME, see tests/meson.build)
 *
 * A failed CHECK is printed with its place and the test goes on; REQUIRE returns from the test. SKIP says why
 * a test can't run here (golden data that only some checkouts have). */
#ifndef LEAT_TESTS_TEST_H
#define LEAT_TESTS_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct test {
    int failures;
    bool skipped;
} test;

#define TEST_FAIL(t, ...)                                                                                    \
    do {                                                                                                     \
        if ((t)->failures++ < 20) {                                                                          \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                  \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
        }                                                                                                    \
    } while (0)
#define CHECK(t, cond)                                                                                       \
    do {                                                                                                     \
        if (!(cond)) TEST_FAIL(t, "failed: %s", #cond);                                                      \
    } while (0)
#define REQUIRE(t, cond)                                                                                     \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            TEST_FAIL(t, "failed: %s", #cond);                                                               \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)
#define CHECK_EQ(t, a, b)                                                                                    \
    do {                                                                                                     \
        long long check_a = (long long)(a), check_b = (long long)(b);                                        \
        if (check_a != check_b) TEST_FAIL(t, "%s is %lld, not %lld (%s)", #a, check_a, check_b, #b);         \
    } while (0)
#define CHECK_STR(t, a, b)                                                                                   \
    do {                                                                                                     \
        const char *check_a = (a), *check_b = (b);                                                           \
        if (!check_a || !check_b || strcmp(check_a, check_b))                                                \
            TEST_FAIL(t, "%s is \"%s\", not \"%s\"", #a, check_a, check_b);                                  \
    } while (0)
#define SKIP(t, ...)                                                                                         \
    do {                                                                                                     \
        fprintf(stderr, "skipped: ");                                                                        \
        fprintf(stderr, __VA_ARGS__);                                                                        \
        fputc('\n', stderr);                                                                                 \
        (t)->skipped = true;                                                                                 \
        return;                                                                                              \
    } while (0)

#define TEST_STRING_(x) #x
#define TEST_STRING(x)  TEST_STRING_(x)

#ifdef TEST_PLAIN
#    define TEST_ENTRY(name) {#    name, name},
#    define TEST_SUITE(LIST)                                                                                 \
        int main(void) {                                                                                     \
            static const struct {                                                                            \
                const char *name;                                                                            \
                void (*run)(test *);                                                                         \
            } list[] = {LIST(TEST_ENTRY)};                                                                   \
            int failed = 0, passed = 0, skipped = 0;                                                         \
            for (size_t i = 0; i < sizeof list / sizeof *list; i++) {                                        \
                test t = {0, false};                                                                         \
                list[i].run(&t);                                                                             \
                if (t.failures) fprintf(stderr, "FAIL " TEST_STRING(TEST_SUITE_NAME) ".%s\n", list[i].name); \
                failed += t.failures != 0;                                                                   \
                skipped += !t.failures && t.skipped;                                                         \
                passed += !t.failures && !t.skipped;                                                         \
            }                                                                                                \
            printf(TEST_STRING(TEST_SUITE_NAME) ": %d passed, %d failed, %d skipped\n", passed, failed,      \
                   skipped);                                                                                 \
            return failed != 0;                                                                              \
        }
#else
#    include <criterion/criterion.h>
#    define TEST_CRITERION_(suite, name) Test(suite, name)
#    define TEST_CRITERION(suite, name)  TEST_CRITERION_(suite, name)
#    define TEST_ENTRY(name)                                                                                 \
        TEST_CRITERION(TEST_SUITE_NAME, name) {                                                              \
            test t = {0, false};                                                                             \
            name(&t);                                                                                        \
            if (t.skipped && !t.failures) cr_skip_test("see the line above");                                \
            cr_assert(t.failures == 0, "%d checks failed", t.failures);                                      \
        }
#    define TEST_SUITE(LIST) LIST(TEST_ENTRY)
#endif

#endif
