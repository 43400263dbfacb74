/* Statuses, messages and what errno is called. */
#include <errno.h>
#include <stdlib.h>

#include "loader/error.h"
#include "loader/oserror.h"
#include "tests/harness/test.h"

static void formats_and_returns(test *t) {
    leat_error e;
    CHECK_EQ(t, error_set(&e, LEAT_E_DIMS, "tensor %d \"%s\"", 3, "x"), LEAT_E_DIMS);
    CHECK_EQ(t, e.code, LEAT_E_DIMS);
    CHECK_STR(t, e.message, "tensor 3 \"x\"");
    CHECK_EQ(t, error_set(NULL, LEAT_E_IO, "%s", "nobody listens"), LEAT_E_IO);
    CHECK_EQ(t, error_set(&e, LEAT_OK, "%s", "said in vain"), LEAT_OK);
    CHECK_STR(t, e.message, "");
}

/* An error may be built from its own earlier message. */
static void arguments_may_be_the_message(test *t) {
    leat_error e;
    error_set(&e, LEAT_E_IO, "inner");
    error_set(&e, LEAT_E_IO, "outer: %s", e.message);
    CHECK_STR(t, e.message, "outer: inner");
}

static void cuts_between_characters(test *t) {
    leat_error e;
    char text[600];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    error_set(&e, LEAT_E_IO, "%s", text);
    CHECK_EQ(t, strlen(e.message), 255);
    error_set(&e, LEAT_E_IO, "%.255s", text);
    CHECK_EQ(t, strlen(e.message), 255);
    /* A character of 2, 3 or 4 bytes at every place around the end: whole or not there. */
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x99\x82"};
    for (size_t c = 0; c < 3; c++) {
        for (int before = 245; before <= 258; before++) {
            error_set(&e, LEAT_E_IO, "%.*s%s%s", before, text, characters[c], text);
            size_t width = strlen(characters[c]), at = (size_t)before;
            const char *found = strstr(e.message, characters[c]);
            if (at + width <= 255)
                CHECK(t, found == e.message + at);
            else
                CHECK(t, !found && strlen(e.message) == (at < 255 ? at : 255));
            CHECK(t, strlen(e.message) <= 255 && !strchr(e.message, '?'));
        }
    }
}

static void nothing_from_a_file_reaches_the_terminal(test *t) {
    leat_error e;
    error_set(&e, LEAT_E_IO, "%s", "a\nb\033[2Jc\x7f\td");
    CHECK_STR(t, e.message, "a?b?[2Jc??d");
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82"}, /* well-formed */
        {"\xff\xfe", "??"},
        {"\x80x", "?x"},
        {"\xc3x", "?x"},
        {"\xc0\xaf", "??"},           /* overlong */
        {"\xe0\x80\xaf", "???"},      /* overlong */
        {"\xf0\x80\x80\xaf", "????"}, /* overlong */
        {"\xed\xa0\x80", "???"},      /* surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", "????"},
        {"\xc2\x9b[2J", "?[2J"}, /* the C1 control CSI */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xe2\x82", "??"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        error_set(&e, LEAT_E_IO, "%s", rows[i].in);
        CHECK_STR(t, e.message, rows[i].out);
    }
}

static void every_status_has_a_text(test *t) {
    CHECK_STR(t, status_text(LEAT_OK), "ok");
    int n = 0;
#define X(NAME, number, text)                                                                                \
    CHECK_STR(t, status_text(number), text);                                                                 \
    CHECK_EQ(t, LEAT_E_##NAME, number);                                                                      \
    n++;
#include "loader/errors.def"
#undef X
    CHECK_EQ(t, n, 34);
    CHECK_STR(t, status_text(-1), "unknown status");
    CHECK_STR(t, status_text(1000), "unknown status");
}

static void errno_has_a_text(test *t) {
    CHECK_STR(t, os_error_text(ENOENT), "no such file");
    CHECK_STR(t, os_error_text(ENOSPC), "no space left on the device");
    for (int i = -1; i < 200; i++) CHECK(t, os_error_text(i) && *os_error_text(i));
}

#define TESTS(X)                                                                                             \
    X(formats_and_returns)                                                                                   \
    X(arguments_may_be_the_message)                                                                          \
    X(cuts_between_characters)                                                                               \
    X(nothing_from_a_file_reaches_the_terminal)                                                              \
    X(every_status_has_a_text)                                                                               \
    X(errno_has_a_text)
TEST_SUITE(TESTS)
