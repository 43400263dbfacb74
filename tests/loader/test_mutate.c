/* A small file with everything in it, cut at every byte, changed at every byte to every value, and with every
 * integer at every boundary: either it is refused with a status and a sentence, or everything it then says is
 * true. */
#include <stdlib.h>

#include "gguf_build.h"
#include "kernels/formats.h"
#include "tests/harness/test.h"
#include "walk.h"

/* All types, arrays of several, three tensors. */
static build *fixture(uint32_t version) {
    build *b = build_open();
    build_version(b, version);
    build_str(b, "general.architecture", "llama");
    build_u8(b, "u8", 1);
    build_i16(b, "i16", -2);
    build_u32(b, "u32", 3);
    build_f32(b, "f32", 0.5f);
    build_f64(b, "f64", 1e300);
    build_bool(b, "b", true);
    build_i64(b, "i64", -1);
    build_alignment(b, 64);
    build_array(b, "u16s", GGUF_U16, "\1\0\2\0", 2);
    build_array(b, "bools", GGUF_BOOL, "\1\0\1", 3);
    build_str_array(b, "strings", (const char *const[]){"a", "", "bcd"}, 3);
    build_tensor(b, "token_embd.weight", FORMAT_F32, 8, 3, NULL);
    build_tensor(b, "q", FORMAT_Q4_0, 32, 2, NULL);
    build_tensor(b, "norm", FORMAT_F16, 5, 0, NULL);
    return b;
}

/* Parses from a block of exactly n bytes and judges the result; the status. */
static leat_status judge(test *t, const uint8_t *p, size_t n, const char *what, size_t where,
                         unsigned long long value) {
    gguf g;
    leat_error e = {0};
    leat_status status = gguf_parse(p, n, &g, &e);
    if (e.code != status)
        TEST_FAIL(t, "%s %zu = %llu: code %d, status %d", what, where, value, e.code, status);
    if (status) {
        if (status < 0 || status > LEAT_E_LIMIT || !e.message[0] || g.kv || g.tensors)
            TEST_FAIL(t, "%s %zu = %llu: status %d \"%s\"", what, where, value, status, e.message);
    } else {
        if (!walk(&g, p, n)) TEST_FAIL(t, "%s %zu = %llu: accepted, but not true", what, where, value);
        gguf_free(&g);
    }
    return status;
}

static void cut_at_every_byte(test *t) {
    for (uint32_t version = 2; version <= 3; version++) {
        build *b = fixture(version);
        size_t n;
        const uint8_t *p = build_finish(b, &n);
        CHECK_EQ(t, judge(t, p, n, "whole", n, 0), LEAT_OK);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *part = malloc(cut ? cut : 1);
            REQUIRE(t, part);
            memcpy(part, p, cut);
            leat_status status = judge(t, part, cut, "cut at", cut, 0);
            bool fits = status == LEAT_E_TRUNCATED || status == LEAT_E_COUNT || status == LEAT_E_SIZE ||
                        status == LEAT_E_OFFSET;
            if (!fits) TEST_FAIL(t, "cut at %zu: status %d", cut, status);
            if (cut < 24) CHECK_EQ(t, status, LEAT_E_TRUNCATED);
            if (cut >= build_data_offset(b)) CHECK_EQ(t, status, LEAT_E_OFFSET);
            free(part);
        }
        build_close(b);
    }
}

static void every_byte_with_every_value(test *t) {
    build *b = fixture(3);
    size_t n, accepted = 0;
    uint8_t *p = build_finish(b, &n);
    for (size_t at = 0; at < build_data_offset(b); at++) {
        uint8_t was = p[at];
        for (unsigned v = 0; v < 256; v++) {
            p[at] = (uint8_t)v;
            accepted += judge(t, p, n, "byte", at, v) == LEAT_OK;
        }
        p[at] = was;
    }
    CHECK(t, accepted > 1000); /* letters in names, numbers in values */
    build_close(b);
}

static void every_integer_at_its_boundaries(test *t) {
    static const uint64_t base[] = {0,
                                    1,
                                    UINT64_C(1) << 7,
                                    UINT64_C(1) << 8,
                                    UINT64_C(1) << 15,
                                    UINT64_C(1) << 16,
                                    UINT64_C(1) << 24,
                                    UINT64_C(1) << 31,
                                    UINT64_C(1) << 32,
                                    UINT64_C(1) << 40,
                                    UINT64_C(1) << 48,
                                    UINT64_C(1) << 61,
                                    UINT64_C(1) << 62,
                                    UINT64_C(1) << 63};
    build *b = fixture(3);
    size_t n, n_fields;
    uint8_t *p = build_finish(b, &n);
    const build_field *fields = build_fields(b, &n_fields);
    CHECK(t, n_fields > 40);
    for (size_t i = 0; i < n_fields; i++) {
        uint8_t was[8];
        memcpy(was, p + fields[i].offset, fields[i].width);
        for (size_t k = 0; k < sizeof base / sizeof *base; k++) {
            for (int d = -32; d <= 32; d++) {
                uint64_t v = base[k] + (uint64_t)d;
                for (unsigned s = 0; s < fields[i].width; s++)
                    p[fields[i].offset + s] = (uint8_t)(v >> (8 * s));
                judge(t, p, n, fields[i].what, fields[i].offset, v);
            }
        }
        memcpy(p + fields[i].offset, was, fields[i].width);
    }
    CHECK_EQ(t, judge(t, p, n, "restored", 0, 0), LEAT_OK);
    build_close(b);
}

/* Two integers at once: what one check lets pass because of another. */
static void pairs_of_integers(test *t) {
    static const uint64_t values[] = {
        0,         1, 2, 33, 64, UINT64_C(1) << 31, UINT64_C(1) << 40, UINT64_C(1) << 63, UINT64_MAX - 31,
        UINT64_MAX};
    enum { VALUES = sizeof values / sizeof *values };
    build *b = fixture(3);
    size_t n, n_fields;
    uint8_t *p = build_finish(b, &n);
    uint8_t *copy = malloc(n);
    REQUIRE(t, copy);
    const build_field *fields = build_fields(b, &n_fields);
    for (size_t i = 4; i < n_fields; i++) {
        for (size_t j = i + 1; j < n_fields && j < i + 8; j++) {
            for (size_t k = 0; k < VALUES * VALUES; k++) {
                memcpy(copy, p, n);
                for (unsigned s = 0; s < fields[i].width; s++)
                    copy[fields[i].offset + s] = (uint8_t)(values[k / VALUES] >> (8 * s));
                for (unsigned s = 0; s < fields[j].width; s++)
                    copy[fields[j].offset + s] = (uint8_t)(values[k % VALUES] >> (8 * s));
                judge(t, copy, n, fields[i].what, fields[j].offset, k);
            }
        }
    }
    free(copy);
    build_close(b);
}

/* Blind noise over the header, from a fixed seed. */
static void random_changes(test *t) {
    build *b = fixture(2);
    size_t n;
    const uint8_t *p = build_finish(b, &n);
    uint8_t *copy = malloc(n);
    REQUIRE(t, copy);
    uint64_t x = UINT64_C(88172645463325252);
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, p, n);
        for (int k = 0; k < 1 + round % 4; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            copy[4 + (x >> 8) % (build_data_offset(b) - 4)] = (uint8_t)x;
        }
        judge(t, copy, n, "round", (size_t)round, 0);
    }
    free(copy);
    build_close(b);
}

#define TESTS(X)                                                                                             \
    X(cut_at_every_byte)                                                                                     \
    X(every_byte_with_every_value)                                                                           \
    X(every_integer_at_its_boundaries)                                                                       \
    X(pairs_of_integers)                                                                                     \
    X(random_changes)
TEST_SUITE(TESTS)
