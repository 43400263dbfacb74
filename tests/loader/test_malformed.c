/* Every row of malformed.def: the exact status, a message that names the place, nothing left in the result;
 * and the same through file_from_memory, whose message must name the file too. */
#include <stdlib.h>

#include "loader/file.h"
#include "malformed.h"
#include "tests/harness/test.h"

static void refuses_every_row(test *t) {
    for (size_t i = 0; i < malformed_count; i++) {
        const malformed_case *row = &malformed_cases[i];
        size_t n;
        uint8_t *p = malformed_build(i, &n);
        REQUIRE(t, p);
        gguf g;
        leat_error e = {0};
        leat_status status = gguf_parse(p, n, &g, &e);
        if (status != row->status)
            TEST_FAIL(t, "%s: status %d (%s), not %d: %s", row->name, status, status_text(status),
                      row->status, e.message);
        if (e.code != status) TEST_FAIL(t, "%s: e.code is %d, not %d", row->name, e.code, status);
        if (!strstr(e.message, row->place))
            TEST_FAIL(t, "%s: \"%s\" doesn't say \"%s\"", row->name, e.message, row->place);
        if (g.n_kv || g.n_tensors || g.kv || g.tensors || gguf_find(&g, "k") || gguf_find_tensor(&g, "a"))
            TEST_FAIL(t, "%s: something is left in the result", row->name);
        gguf_free(&g);
        free(p);
    }
}

static void leaves_the_input_alone_and_needs_no_error(test *t) {
    for (size_t i = 0; i < malformed_count; i++) {
        size_t n;
        uint8_t *p = malformed_build(i, &n), *copy = malloc(n + 1);
        REQUIRE(t, p && copy);
        memcpy(copy, p, n);
        gguf g;
        CHECK(t, gguf_parse(p, n, &g, NULL) == malformed_cases[i].status);
        CHECK(t, n == 0 || !memcmp(copy, p, n));
        free(copy);
        free(p);
    }
}

static void file_messages_name_the_file(test *t) {
    for (size_t i = 0; i < malformed_count; i++) {
        size_t n;
        uint8_t *p = malformed_build(i, &n);
        REQUIRE(t, p);
        model_file *f = NULL;
        leat_error e;
        CHECK_EQ(t, file_from_memory(p, n, "broken.gguf", &f, &e), malformed_cases[i].status);
        CHECK(t, !f);
        if (strncmp(e.message, "broken.gguf: ", 13))
            TEST_FAIL(t, "%s: %s", malformed_cases[i].name, e.message);
        free(p);
    }
}

static void names_are_distinct_and_many(test *t) {
    CHECK(t, malformed_count >= 120);
    for (size_t i = 0; i < malformed_count; i++)
        for (size_t k = 0; k < i; k++) CHECK(t, strcmp(malformed_cases[i].name, malformed_cases[k].name));
}

#define TESTS(X)                                                                                             \
    X(refuses_every_row)                                                                                     \
    X(leaves_the_input_alone_and_needs_no_error)                                                             \
    X(file_messages_name_the_file)                                                                           \
    X(names_are_distinct_and_many)
TEST_SUITE(TESTS)
