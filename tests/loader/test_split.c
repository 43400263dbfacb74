/* Split sets: real files in a temporary folder, whole ones and every way in which parts may not fit together.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "folder.h"
#include "gguf_build.h"
#include "kernels/formats.h"
#include "loader/file.h"
#include "sys_rigged.h"
#include "tests/harness/test.h"

/* What a part claims; the tensors of part i are called "<i>.a" and "<i>.b". */
typedef struct claims {
    unsigned no, count, n_tensors;
    const char *extra_tensor; /* NULL for none */
    size_t cut;               /* bytes missing at the end */
} claims;

static const char *part_path(const folder *d, unsigned no, unsigned count) {
    char name[64];
    snprintf(name, sizeof name, "model-%05u-of-%05u.gguf", no + 1, count);
    return folder_file(d, name);
}

static bool save_part(const char *path, unsigned index, const claims *c) {
    build *b = build_open();
    float values[8];
    char name[8];
    for (int i = 0; i < 8; i++) values[i] = (float)(10 * index) + (float)i;
    build_u16(b, "split.no", (uint16_t)c->no);
    build_u16(b, "split.count", (uint16_t)c->count);
    build_i32(b, "split.tensors.count", (int32_t)c->n_tensors);
    build_u32(b, "only.in", index);
    if (index == 2) build_alignment(b, 256); /* each part is laid out by its own */
    snprintf(name, sizeof name, "%u.a", index);
    build_tensor(b, name, FORMAT_F32, 8, 0, values);
    snprintf(name, sizeof name, "%u.b", index);
    build_tensor(b, name, FORMAT_F32, 4, 2, values);
    if (c->extra_tensor) build_tensor(b, c->extra_tensor, FORMAT_F32, 4, 2, values);
    size_t n;
    const uint8_t *p = build_finish(b, &n);
    bool ok = file_put(path, p, n - c->cut);
    build_close(b);
    return ok;
}

/* Three good parts; then part `broken` (from 0) is written with `c` instead, if it isn't NULL. */
static bool save_set(const folder *d, unsigned broken, const claims *c) {
    bool ok = true;
    for (unsigned i = 0; i < 3; i++) {
        claims good = {i, 3, 6, NULL, 0};
        ok = ok && save_part(part_path(d, i, 3), i, c && i == broken ? c : &good);
    }
    return ok;
}

static void opens_a_set(test *t) {
    folder d;
    leat_error e;
    model_file *f;
    REQUIRE(t, folder_make(&d) && save_set(&d, 0, NULL));
    rig_reset();
    leat_status status = file_open(part_path(&d, 0, 3), &f, &e);
    if (status) TEST_FAIL(t, "%s", e.message);
    REQUIRE(t, !status);
    const gguf *g = file_gguf(f);
    CHECK_EQ(t, file_parts(f), 3);
    CHECK_EQ(t, g->n_tensors, 6);
    CHECK_EQ(t, rig.open_fds, 0);
    CHECK_EQ(t, rig.open_maps, 3);
    uint32_t only_in = 9;
    CHECK_EQ(t, meta_u32(g, "only.in", 0, 9, &only_in, NULL, &e), LEAT_OK);
    CHECK_EQ(t, only_in, 0);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < 3; i++) {
        size_t n;
        unsigned char *p = file_get(part_path(&d, i, 3), &n);
        free(p);
        bytes += n;
        char name[8];
        snprintf(name, sizeof name, "%u.b", i);
        const gguf_tensor *x = gguf_find_tensor(g, name);
        REQUIRE(t, x);
        CHECK_EQ(t, x->part, i);
        CHECK_EQ(t, x->n_rows, 2);
        float v;
        memcpy(&v, x->data + 20, 4);
        CHECK(t, v == (float)(10 * i + 5));
    }
    CHECK_EQ(t, file_bytes(f), bytes);
    file_close(f);
    CHECK_EQ(t, rig.open_maps, 0);
    folder_remove(&d);
}

/* Saves the set with one part changed, opens part `opened`, and expects the failure. */
static void refused(test *t, unsigned broken, const claims *c, unsigned opened, leat_status status,
                    const char *place, const char *what) {
    folder d;
    leat_error e = {0};
    model_file *f = NULL;
    REQUIRE(t, folder_make(&d) && save_set(&d, broken, c));
    rig_reset();
    leat_status got = file_open(part_path(&d, opened, 3), &f, &e);
    if (got != status || e.code != status) TEST_FAIL(t, "status %d, not %d: %s", got, status, e.message);
    if (!strstr(e.message, place) || !strstr(e.message, what))
        TEST_FAIL(t, "\"%s\" doesn't say \"%s\" and \"%s\"", e.message, place, what);
    CHECK(t, !f);
    CHECK_EQ(t, rig.open_fds, 0);
    CHECK_EQ(t, rig.open_maps, 0);
    folder_remove(&d);
}

static void refuses_later_parts(test *t) {
    refused(t, 0, NULL, 1, LEAT_E_SHARD,
            "-00002-of-00003.gguf: ", "open the first one: model-00001-of-00003.gguf");
    refused(t, 0, NULL, 2, LEAT_E_SHARD, "is part 3 of 3", "model-00001-of-00003.gguf");
}

static void refuses_parts_that_do_not_fit(test *t) {
    refused(t, 0, &(claims){0, 4, 6, NULL, 0}, 0, LEAT_E_SHARD,
            "-00001-of-00003.gguf: ", "-00001-of-00004.gguf");
    refused(t, 0, &(claims){0, 1025, 6, NULL, 0}, 0, LEAT_E_SHARD,
            "-00001-of-00003.gguf: ", "\"split.count\" is 1025");
    refused(t, 0, &(claims){0, 65535, 6, NULL, 0}, 0, LEAT_E_SHARD, "-00001-of-", "\"split.count\" is 65535");
    refused(t, 0, &(claims){3, 3, 6, NULL, 0}, 0, LEAT_E_SHARD, "-00001-of-", "\"split.no\" is 3");
    refused(t, 0, &(claims){1, 3, 6, NULL, 0}, 0, LEAT_E_SHARD, "-00001-of-",
            "does not end in \"-00002-of-00003.gguf\"");
    refused(t, 1, &(claims){2, 3, 6, NULL, 0}, 0, LEAT_E_SHARD,
            "-00002-of-00003.gguf: ", "says it is part 3 of 3");
    refused(t, 1, &(claims){0, 3, 6, NULL, 0}, 0, LEAT_E_SHARD,
            "-00002-of-00003.gguf: ", "says it is part 1 of 3");
    refused(t, 1, &(claims){1, 2, 6, NULL, 0}, 0, LEAT_E_SHARD, "-00002-of-00003.gguf: ", "part 2 of 2");
    refused(t, 1, &(claims){0, 0, 6, NULL, 0}, 0, LEAT_E_SHARD, "-00002-of-00003.gguf: ", "part 1 of 1");
    refused(t, 2, &(claims){2, 3, 7, NULL, 0}, 0, LEAT_E_SHARD, "-00003-of-00003.gguf: ", "with 7 tensors");
}

static void refuses_wrong_totals(test *t) {
    refused(t, 0, &(claims){0, 3, 1, NULL, 0}, 0, LEAT_E_SHARD, "-00001-of-00003.gguf: ", "has 2 tensors");
    refused(t, 0, &(claims){0, 3, 65537, NULL, 0}, 0, LEAT_E_SHARD, "-00001-of-",
            "\"split.tensors.count\" is 65537");
    refused(t, 0, &(claims){0, 3, UINT32_MAX, NULL, 0}, 0, LEAT_E_SHARD, "-00001-of-",
            "\"split.tensors.count\" is -1");
    refused(t, 2, &(claims){2, 3, 6, "2.c", 0}, 0, LEAT_E_SHARD,
            "-00003-of-00003.gguf: ", "split.tensors.count");
}

static void refuses_too_few_tensors(test *t) {
    folder d;
    leat_error e;
    model_file *f = NULL;
    REQUIRE(t, folder_make(&d));
    for (unsigned i = 0; i < 3; i++)
        REQUIRE(t, save_part(part_path(&d, i, 3), i, &(claims){i, 3, 9, NULL, 0}));
    CHECK_EQ(t, file_open(part_path(&d, 0, 3), &f, &e), LEAT_E_SHARD);
    CHECK(t, strstr(e.message, "have 6 tensors together") && strstr(e.message, "is 9"));
    folder_remove(&d);
}

static void refuses_a_tensor_in_two_parts(test *t) {
    folder d;
    leat_error e;
    model_file *f = NULL;
    REQUIRE(t, folder_make(&d));
    for (unsigned i = 0; i < 3; i++)
        REQUIRE(t, save_part(part_path(&d, i, 3), i, &(claims){i, 3, 7, i == 2 ? "0.b" : NULL, 0}));
    CHECK_EQ(t, file_open(part_path(&d, 0, 3), &f, &e), LEAT_E_DUPLICATE);
    CHECK(t, strstr(e.message, "\"0.b\" appears twice, as number 1 and 6"));
    CHECK(t, !f);
    folder_remove(&d);
}

static void refuses_broken_parts(test *t) {
    refused(t, 1, &(claims){1, 3, 6, NULL, 1}, 0, LEAT_E_OFFSET, "-00002-of-00003.gguf: ", "\"1.b\"");
    refused(t, 2, &(claims){2, 3, 6, NULL, 314}, 0, LEAT_E_TRUNCATED, "-00003-of-00003.gguf: ", "file ends");
}

static void refuses_missing_parts_and_failing_calls(test *t) {
    folder d;
    leat_error e;
    model_file *f = NULL;
    REQUIRE(t, folder_make(&d) && save_set(&d, 0, NULL));
    /* Calls: open, fstat, map, close for each part. */
    for (int n = 1; n <= 11; n++) {
        if (n % 4 == 0) continue;
        rig_reset();
        rig.fail_at = n;
        CHECK_EQ(t, file_open(part_path(&d, 0, 3), &f, &e), n < 4 ? LEAT_E_IO : LEAT_E_SHARD);
        CHECK(t, !f);
        CHECK_EQ(t, rig.open_fds, 0);
        CHECK_EQ(t, rig.open_maps, 0);
    }
    rig_reset();
    remove(part_path(&d, 2, 3));
    CHECK_EQ(t, file_open(part_path(&d, 0, 3), &f, &e), LEAT_E_SHARD);
    CHECK(t, strstr(e.message, "model-00003-of-00003.gguf: part 3 of 3 can't be opened: no such file"));
    folder_remove(&d);
}

/* One file with the keys of a set of one, or of a set that was merged, is a file like any other under any
 * name. */
static void sets_of_one_are_plain_files(test *t) {
    folder d;
    leat_error e;
    model_file *f;
    REQUIRE(t, folder_make(&d));
    for (unsigned count = 0; count < 2; count++) {
        const char *path = folder_file(&d, "merged.gguf");
        REQUIRE(t, save_part(path, 0, &(claims){0, count, 2, NULL, 0}));
        CHECK_EQ(t, file_open(path, &f, &e), LEAT_OK);
        if (f) CHECK_EQ(t, file_parts(f), 1);
        file_close(f);
    }
    folder_remove(&d);
}

/* A name shorter than the suffix it should have. */
static void short_names(test *t) {
    folder d;
    leat_error e;
    model_file *f;
    REQUIRE(t, folder_make(&d));
    rig_reset();
    int here = open(".", O_RDONLY | O_CLOEXEC);
    REQUIRE(t, here >= 0 && save_part(folder_file(&d, "m"), 0, &(claims){0, 3, 6, NULL, 0}));
    REQUIRE(t, chdir(d.path) == 0);
    CHECK_EQ(t, file_open("m", &f, &e), LEAT_E_SHARD);
    CHECK(t, strstr(e.message, "m: is part 1 of 3, but its name does not end in \"-00001-of-00003.gguf\""));
    CHECK(t, fchdir(here) == 0);
    close(here);
    folder_remove(&d);
}

static void wrong_types_and_memory(test *t) {
    leat_error e;
    model_file *f;
    size_t n;
    build *b = build_open();
    build_str(b, "split.count", "2");
    const uint8_t *p = build_finish(b, &n);
    CHECK_EQ(t, file_from_memory(p, n, "m", &f, &e), LEAT_E_SHARD);
    CHECK(t, strstr(e.message, "\"split.count\" is of type string"));
    build_close(b);
    b = build_open();
    build_u16(b, "split.count", 2);
    p = build_finish(b, &n);
    CHECK_EQ(t, file_from_memory(p, n, "m", &f, &e), LEAT_E_SHARD);
    CHECK(t, strstr(e.message, "\"split.no\" is missing"));
    build_u16(b, "split.no", 0);
    p = build_finish(b, &n);
    CHECK_EQ(t, file_from_memory(p, n, "m", &f, &e), LEAT_E_SHARD);
    CHECK(t, strstr(e.message, "\"split.tensors.count\" is missing"));
    build_i32(b, "split.tensors.count", 2);
    p = build_finish(b, &n);
    CHECK_EQ(t, file_from_memory(p, n, "m", &f, &e), LEAT_E_SHARD);
    CHECK(t, strstr(e.message, "m: is part 1 of 2, which can only be opened as files"));
    build_close(b);
}

#define TESTS(X)                                                                                             \
    X(opens_a_set)                                                                                           \
    X(refuses_later_parts)                                                                                   \
    X(refuses_parts_that_do_not_fit)                                                                         \
    X(refuses_wrong_totals)                                                                                  \
    X(refuses_too_few_tensors)                                                                               \
    X(refuses_a_tensor_in_two_parts)                                                                         \
    X(refuses_broken_parts)                                                                                  \
    X(refuses_missing_parts_and_failing_calls)                                                               \
    X(sets_of_one_are_plain_files)                                                                           \
    X(short_names) X(wrong_types_and_memory)
TEST_SUITE(TESTS)
