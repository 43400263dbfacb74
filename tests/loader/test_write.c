/* The writer: what arrives, and that the target is never anything but the old file or the whole new one,
 * whichever call to the system fails. Links the rigged file seam. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "loader/write.h"
#include "sys_rigged.h"
#include "tests/harness/test.h"

static const char old_text[] = "the old file";

static uint8_t pattern(size_t i) {
    return (uint8_t)(i * 31 + (i >> 8));
}

/* Writes 700,000 bytes in pieces of all sizes, so that the buffer fills at odd places; true when committed.
 */
static leat_status write_pattern(const char *path, leat_error *e) {
    static uint8_t bytes[300000];
    enum { TOTAL = 700000 };
    file_writer *w;
    leat_status status = writer_open(path, &w, e);
    if (status) return status;
    for (size_t at = 0, step = 1; at < TOTAL; at += step, step = step % 7 == 0 ? 300000 : step * 3 + 1) {
        if (step > TOTAL - at) step = TOTAL - at;
        if (step > sizeof bytes) step = sizeof bytes;
        for (size_t i = 0; i < step; i++) bytes[i] = pattern(at + i);
        status = writer_put(w, bytes, step, e);
        if (status) {
            writer_abandon(w);
            return status;
        }
    }
    return writer_commit(w, e);
}

/* 1 when the file holds the pattern, 0 when it holds old_text, -1 when there is none, -2 otherwise. */
static int content(const char *path) {
    size_t n = 0;
    uint8_t *p = file_get(path, &n);
    if (!p) return -1;
    int result = -2;
    if (n == sizeof old_text && !memcmp(p, old_text, n)) result = 0;
    if (n == 700000) {
        result = 1;
        for (size_t i = 0; i < n && result == 1; i++)
            if (p[i] != pattern(i)) result = -2;
    }
    free(p);
    return result;
}

static void writes_all_of_it(test *t) {
    folder f;
    leat_error e;
    REQUIRE(t, folder_make(&f));
    rig_reset();
    const char *path = folder_file(&f, "out");
    CHECK_EQ(t, write_pattern(path, &e), LEAT_OK);
    CHECK_EQ(t, content(path), 1);
    CHECK_EQ(t, folder_count(&f), 1);
    CHECK_EQ(t, write_pattern(path, NULL), LEAT_OK); /* over itself */
    CHECK_EQ(t, content(path), 1);
    CHECK_EQ(t, folder_count(&f), 1);
    CHECK_EQ(t, rig.open_fds, 0);
    folder_remove(&f);
}

static void nothing_is_there_before_commit(test *t) {
    folder f;
    leat_error e;
    file_writer *w;
    REQUIRE(t, folder_make(&f));
    rig_reset();
    const char *path = folder_file(&f, "out");
    CHECK_EQ(t, writer_open(path, &w, &e), LEAT_OK);
    CHECK_EQ(t, writer_put(w, "abc", 3, &e), LEAT_OK);
    CHECK_EQ(t, content(path), -1);
    writer_abandon(w);
    CHECK_EQ(t, folder_count(&f), 0);
    CHECK_EQ(t, rig.open_fds, 0);
    writer_abandon(NULL);
    folder_remove(&f);
}

static void aligns_and_counts(test *t) {
    folder f;
    leat_error e;
    file_writer *w;
    REQUIRE(t, folder_make(&f));
    rig_reset();
    const char *path = folder_file(&f, "out");
    REQUIRE(t, writer_open(path, &w, &e) == LEAT_OK);
    CHECK_EQ(t, writer_align(w, 4096, &e), LEAT_OK);
    CHECK_EQ(t, writer_offset(w), 0);
    CHECK_EQ(t, writer_put(w, "abc", 3, &e), LEAT_OK);
    CHECK_EQ(t, writer_offset(w), 3);
    CHECK_EQ(t, writer_align(w, 1, &e), LEAT_OK);
    CHECK_EQ(t, writer_offset(w), 3);
    CHECK_EQ(t, writer_align(w, 1000, &e), LEAT_OK);
    CHECK_EQ(t, writer_offset(w), 1000);
    CHECK_EQ(t, writer_align(w, 1000, &e), LEAT_OK);
    CHECK_EQ(t, writer_put(w, "x", 1, &e), LEAT_OK);
    CHECK_EQ(t, writer_put(w, NULL, 0, &e), LEAT_OK);
    CHECK_EQ(t, writer_align(w, 0, &e), LEAT_E_ARG);
    CHECK_EQ(t, writer_commit(w, &e), LEAT_OK);
    size_t n = 0;
    uint8_t *p = file_get(path, &n);
    REQUIRE(t, p);
    CHECK_EQ(t, n, 1001);
    CHECK(t, !memcmp(p, "abc", 3) && p[1000] == 'x');
    for (size_t i = 3; i < 1000 && i < n; i++) CHECK_EQ(t, p[i], 0);
    free(p);
    folder_remove(&f);
}

static void survives_interruptions_and_short_writes(test *t) {
    folder f;
    leat_error e;
    REQUIRE(t, folder_make(&f));
    rig_reset();
    rig.interrupt = 3;
    rig.short_write = 1013;
    const char *path = folder_file(&f, "out");
    CHECK_EQ(t, write_pattern(path, &e), LEAT_OK);
    CHECK_EQ(t, content(path), 1);
    CHECK_EQ(t, rig.open_fds, 0);
    rig_reset();
    folder_remove(&f);
}

/* Fails each call in turn, once or from there on, with and without an old file. Whatever the status is, it
 * must tell the truth about the target; no temporary file and no descriptor may be left. */
static void every_failure_leaves_old_or_new(test *t) {
    folder f;
    REQUIRE(t, folder_make(&f));
    const char *path = folder_file(&f, "out");
    int failed = 0, calls = 0;
    for (int mode = 0; mode < 4; mode++) {
        bool persistent = mode & 1, had_old = mode & 2;
        for (int n = 1;; n++) {
            leat_error e = {0};
            remove(path);
            if (had_old) REQUIRE(t, file_put(path, old_text, sizeof old_text));
            rig_reset();
            rig.fail_at = n;
            rig.persistent = persistent;
            rig.error = ENOSPC;
            rig.short_write = 200000;
            leat_status status = write_pattern(path, &e);
            int failures = rig.failures, open_fds = rig.open_fds;
            calls = rig.calls;
            rig_reset();
            CHECK_EQ(t, open_fds, 0);
            CHECK_EQ(t, content(path), status == LEAT_OK ? 1 : had_old ? 0 : -1);
            CHECK_EQ(t, folder_count(&f), status == LEAT_OK || had_old ? 1 : 0);
            if (status) {
                CHECK_EQ(t, status, LEAT_E_IO);
                CHECK(t, strstr(e.message, "/out: ") && strstr(e.message, "no space"));
                failed++;
            }
            if (!failures) {
                CHECK_EQ(t, status, LEAT_OK);
                break;
            }
        }
    }
    /* stat, open, some writes, fsync, close and rename fail the commit; the folder's open, fsync and close
     * don't. */
    CHECK(t, failed >= 4 * 8);
    CHECK(t, calls >= 11);
    folder_remove(&f);
}

static void refuses_what_is_no_file(test *t) {
    folder f;
    leat_error e;
    file_writer *w = NULL;
    REQUIRE(t, folder_make(&f));
    rig_reset();
    CHECK_EQ(t, writer_open(f.path, &w, &e), LEAT_E_IO);
    CHECK(t, !w && strstr(e.message, "is a directory"));
    CHECK_EQ(t, writer_open("/dev/null", &w, &e), LEAT_E_IO);
    CHECK(t, !w && strstr(e.message, "/dev/null"));
    struct stat st;
    CHECK(t, stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    const char *fifo = folder_file(&f, "fifo");
    REQUIRE(t, mkfifo(fifo, 0600) == 0);
    CHECK_EQ(t, writer_open(fifo, &w, &e), LEAT_E_IO);
    CHECK_EQ(t, writer_open(folder_file(&f, "missing/out"), &w, &e), LEAT_E_IO);
    CHECK(t, strstr(e.message, "no such file"));
    CHECK_EQ(t, writer_open("", &w, &e) == LEAT_OK ? writer_commit(w, &e) : LEAT_E_IO, LEAT_E_IO);
    CHECK_EQ(t, rig.open_fds, 0);
    folder_remove(&f);
}

static void a_failed_writer_stays_failed(test *t) {
    folder f;
    leat_error e;
    file_writer *w;
    REQUIRE(t, folder_make(&f));
    static const uint8_t large[1 << 22]; /* more than the writer gathers */
    rig_reset();
    REQUIRE(t, writer_open(folder_file(&f, "out"), &w, &e) == LEAT_OK);
    rig.fail_at = rig.calls + 1;
    CHECK_EQ(t, writer_put(w, large, sizeof large, &e), LEAT_E_IO);
    CHECK_EQ(t, writer_put(w, "x", 1, &e), LEAT_E_STATE);
    CHECK_EQ(t, writer_align(w, 64, &e), LEAT_E_STATE);
    CHECK_EQ(t, writer_commit(w, &e), LEAT_E_STATE); /* frees it */
    CHECK_EQ(t, folder_count(&f), 0);
    CHECK_EQ(t, rig.open_fds, 0);
    folder_remove(&f);
}

/* Two writers of one path, and a leftover with the name the next would take. */
static void temporary_names_are_not_shared(test *t) {
    folder f;
    leat_error e;
    file_writer *a, *b;
    char leftover[64];
    REQUIRE(t, folder_make(&f));
    rig_reset();
    snprintf(leftover, sizeof leftover, "out.tmp-%ld-0", (long)getpid());
    REQUIRE(t, file_put(folder_file(&f, leftover), "x", 1));
    const char *path = folder_file(&f, "out");
    REQUIRE(t, writer_open(path, &a, &e) == LEAT_OK);
    REQUIRE(t, writer_open(path, &b, &e) == LEAT_OK);
    CHECK_EQ(t, writer_put(a, "aa", 2, &e), LEAT_OK);
    CHECK_EQ(t, writer_put(b, "b", 1, &e), LEAT_OK);
    CHECK_EQ(t, writer_commit(b, &e), LEAT_OK);
    CHECK_EQ(t, writer_commit(a, &e), LEAT_OK);
    size_t n = 0;
    uint8_t *p = file_get(path, &n);
    CHECK(t, p && n == 2);
    free(p);
    CHECK_EQ(t, folder_count(&f), 2);
    folder_remove(&f);
}

/* A name without a folder is relative to the working directory; its folder is "." to sync. */
static void writes_beside_the_program(test *t) {
    folder f;
    leat_error e;
    file_writer *w;
    REQUIRE(t, folder_make(&f));
    rig_reset();
    int here = open(".", O_RDONLY | O_CLOEXEC);
    REQUIRE(t, here >= 0 && chdir(f.path) == 0);
    REQUIRE(t, writer_open("plain", &w, &e) == LEAT_OK);
    CHECK_EQ(t, writer_commit(w, &e), LEAT_OK);
    CHECK_EQ(t, folder_count(&f), 1);
    CHECK(t, fchdir(here) == 0);
    close(here);
    folder_remove(&f);
}

#define TESTS(X)                                                                                             \
    X(writes_all_of_it)                                                                                      \
    X(nothing_is_there_before_commit)                                                                        \
    X(aligns_and_counts)                                                                                     \
    X(survives_interruptions_and_short_writes)                                                               \
    X(every_failure_leaves_old_or_new)                                                                       \
    X(refuses_what_is_no_file)                                                                               \
    X(a_failed_writer_stays_failed)                                                                          \
    X(temporary_names_are_not_shared)                                                                        \
    X(writes_beside_the_program)
TEST_SUITE(TESTS)
