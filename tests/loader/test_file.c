/* Opening files that are no models, models, and models in parts; with real files in a temporary folder and
 * the rigged file seam. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "gguf_build.h"
#include "kernels/formats.h"
#include "loader/file.h"
#include "sys_rigged.h"
#include "tests/harness/test.h"

/* Opening must fail with that status and a message that has both strings, and leave nothing open. */
static void refused(test *t, const char *path, leat_status status, const char *place, const char *what) {
    model_file *f = NULL;
    leat_error e = {0};
    leat_status got = file_open(path, &f, &e);
    if (got != status || e.code != status)
        TEST_FAIL(t, "%s: status %d, not %d: %s", path, got, status, e.message);
    if (!strstr(e.message, place) || !strstr(e.message, what))
        TEST_FAIL(t, "\"%s\" doesn't say \"%s\" and \"%s\"", e.message, place, what);
    CHECK(t, !f);
    CHECK_EQ(t, rig.open_fds, 0);
    CHECK_EQ(t, rig.open_maps, 0);
    CHECK_EQ(t, file_open(path, &f, NULL), status);
}

static build *small_model(void) {
    static const float values[4] = {1, 2, 3, 4};
    build *b = build_open();
    build_str(b, "general.architecture", "llama");
    build_tensor(b, "x", FORMAT_F32, 4, 0, values);
    return b;
}

static void opens_a_model(test *t) {
    folder d;
    leat_error e;
    model_file *f;
    REQUIRE(t, folder_make(&d));
    rig_reset();
    build *b = small_model();
    size_t n;
    build_finish(b, &n);
    const char *path = folder_file(&d, "m.gguf");
    REQUIRE(t, build_save(b, path));
    REQUIRE(t, file_open(path, &f, &e) == LEAT_OK);
    CHECK_EQ(t, e.code, LEAT_OK);
    CHECK_STR(t, e.message, "");
    CHECK_EQ(t, file_parts(f), 1);
    CHECK_EQ(t, file_bytes(f), n);
    CHECK(t, !file_lost(f));
    CHECK_EQ(t, rig.open_fds, 0); /* the mapping doesn't need it */
    CHECK_EQ(t, rig.open_maps, 1);
    const gguf_tensor *x = gguf_find_tensor(file_gguf(f), "x");
    REQUIRE(t, x);
    float v;
    memcpy(&v, x->data + 8, 4);
    CHECK(t, v == 3);
    /* The file's name may go; the mapping stays. */
    remove(path);
    memcpy(&v, x->data + 12, 4);
    CHECK(t, v == 4);
    file_close(f);
    CHECK_EQ(t, rig.open_maps, 0);
    file_close(NULL);
    build_close(b);
    folder_remove(&d);
}

static void opens_from_memory(test *t) {
    leat_error e;
    model_file *f;
    build *b = small_model();
    size_t n;
    const uint8_t *p = build_finish(b, &n);
    rig_reset();
    REQUIRE(t, file_from_memory(p, n, "embedded", &f, &e) == LEAT_OK);
    CHECK_EQ(t, rig.calls, 0);
    CHECK_EQ(t, file_bytes(f), n);
    CHECK_EQ(t, file_parts(f), 1);
    CHECK_EQ(t, file_gguf(f)->n_tensors, 1);
    CHECK(t, file_gguf(f)->tensors[0].data > p && file_gguf(f)->tensors[0].data < p + n);
    file_close(f);
    CHECK_EQ(t, file_from_memory(NULL, 0, "embedded", &f, &e), LEAT_E_TRUNCATED);
    CHECK(t, strstr(e.message, "embedded: "));
    build_close(b);
}

static void refuses_what_is_no_model(test *t) {
    folder d;
    REQUIRE(t, folder_make(&d));
    rig_reset();
    refused(t, folder_file(&d, "missing.gguf"), LEAT_E_IO, "/missing.gguf: ", "no such file");
    refused(t, folder_file(&d, "no/file.gguf"), LEAT_E_IO, "/no/file.gguf: ", "no such file");
    refused(t, d.path, LEAT_E_IO, d.path, "is a directory");
    refused(t, "", LEAT_E_IO, ": ", "no such file");
    REQUIRE(t, mkfifo(folder_file(&d, "fifo"), 0600) == 0);
    refused(t, folder_file(&d, "fifo"), LEAT_E_IO, "/fifo: ", "not a regular file"); /* and at once */
    refused(t, "/dev/null", LEAT_E_IO, "/dev/null: ", "not a regular file");
    REQUIRE(t, symlink("loop", folder_file(&d, "loop")) == 0);
    refused(t, folder_file(&d, "loop"), LEAT_E_IO, "/loop: ", "symbolic links");
    REQUIRE(t, file_put(folder_file(&d, "empty"), "", 0));
    refused(t, folder_file(&d, "empty"), LEAT_E_TRUNCATED, "/empty: ", "is empty");
    REQUIRE(t, file_put(folder_file(&d, "text"), "It was a dark and stormy night.", 31));
    refused(t, folder_file(&d, "text"), LEAT_E_MAGIC, "/text: ", "byte 0");
    REQUIRE(t, file_put(folder_file(&d, "short"), "GGUF\3\0\0\0", 8));
    refused(t, folder_file(&d, "short"), LEAT_E_TRUNCATED, "/short: ", "byte 8");
    /* Special files of the kernel say they are regular and empty. */
    if (access("/proc/self/status", R_OK) == 0)
        refused(t, "/proc/self/status", LEAT_E_TRUNCATED, "/proc/self/status: ", "is empty");
    folder_remove(&d);
}

static void long_paths_show_their_end(test *t) {
    char path[700];
    rig_reset();
    memset(path, 'd', sizeof path);
    for (size_t i = 0; i < sizeof path; i += 100) path[i] = '/';
    snprintf(path + 650, 50, "/the-model.gguf");
    refused(t, path, LEAT_E_IO, "...dd", "/the-model.gguf: ");
}

static void every_failing_call_is_reported(test *t) {
    folder d;
    leat_error e;
    model_file *f = NULL;
    REQUIRE(t, folder_make(&d));
    build *b = small_model();
    const char *path = folder_file(&d, "m.gguf");
    REQUIRE(t, build_save(b, path));
    build_close(b);
    for (int persistent = 0; persistent < 2; persistent++) {
        static const char *const texts[] = {"can't be opened", "can't be examined", "can't be mapped"};
        for (int n = 1; n <= 3; n++) {
            rig_reset();
            rig.fail_at = n;
            rig.persistent = persistent;
            CHECK_EQ(t, file_open(path, &f, &e), LEAT_E_IO);
            CHECK(t, !f && strstr(e.message, texts[n - 1]) && strstr(e.message, "/m.gguf: "));
            CHECK_EQ(t, rig.open_fds, 0);
            CHECK_EQ(t, rig.open_maps, 0);
        }
    }
    rig_reset();
    rig.fail_at = 4; /* close: the file was only read, so that is no failure */
    CHECK_EQ(t, file_open(path, &f, &e), LEAT_OK);
    file_close(f);
    rig_reset();
    rig.interrupt = 2;
    CHECK_EQ(t, file_open(path, &f, &e), LEAT_OK);
    file_close(f);
    rig_reset();
    folder_remove(&d);
}

/* No file can be that large, but a file system may say so. */
static void refuses_impossible_sizes(test *t) {
    folder d;
    REQUIRE(t, folder_make(&d));
    build *b = small_model();
    const char *path = folder_file(&d, "m.gguf");
    REQUIRE(t, build_save(b, path));
    build_close(b);
    rig_reset();
    rig.file_size = ((long long)1 << 62) + 1;
    refused(t, path, LEAT_E_SIZE, "/m.gguf: ", "4611686018427387905 bytes is too large");
    rig.file_size = INT64_MIN;
    refused(t, path, LEAT_E_TRUNCATED, "/m.gguf: ", "is empty");
    rig_reset();
    folder_remove(&d);
}

#define TESTS(X)                                                                                             \
    X(opens_a_model)                                                                                         \
    X(opens_from_memory)                                                                                     \
    X(refuses_what_is_no_model)                                                                              \
    X(long_paths_show_their_end)                                                                             \
    X(every_failing_call_is_reported) X(refuses_impossible_sizes)
TEST_SUITE(TESTS)
