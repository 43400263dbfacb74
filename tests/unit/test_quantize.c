/* runtime/quantize: whole files through leat_quantize (what is quantized, what is kept, what is refused), and
 * that threads don't change a byte; and blocks of Q8_0 as the fast encoder makes them: known answers, the
 * error bound, ggml's own output. Mixes, importance and options are in test_quantize_mix.c. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "loader/file.h"
#include "runtime/quantize/quantize.h"
#include "tests/loader/folder.h"
#include "tests/harness/test.h"
#include "tests/loader/gguf_build.h"

static uint64_t state;
static uint64_t random_u64(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
static float random_normal(void) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(random_u64() >> 11) * 0x1p-53;
    return (float)sum;
}

/* ---- blocks ---- */

static kernels table;
static bool have_table(void) {
    return table.isa || kernels_init(&table, NULL);
}

/* The best encoder; tests/kernels/test_encode.c compares them with each other. */
static size_t q8_0(const float *x, size_t n, void *blocks) {
    if (!have_table()) return SIZE_MAX;
    table.encode[FORMAT_Q8_0](x, blocks, n);
    return n;
}

static void known_blocks(test *t) {
    static const struct {
        float max, x; /* the block is max, x, 0, 0, ... */
        uint16_t d;
        int q_max, q_x;
    } rows[] = {
        {0, 0, 0x0000, 0, 0},
        {127, 1, 0x3c00, 127, 1},
        {-127, 64, 0x3c00, -127, 64},
        {127, 0.5f, 0x3c00, 127, 1}, /* half away from zero */
        {127, -0.5f, 0x3c00, 127, -1},
        {127, 1.5f, 0x3c00, 127, 2},
        {127, 2.5f, 0x3c00, 127, 3},
        {127, -126.5f, 0x3c00, 127, -127},
        {127, 0.49999997f, 0x3c00, 127, 0}, /* where adding 0.5 and truncating goes wrong */
        {127, -0.49999997f, 0x3c00, 127, 0},
        {63.5f, 1, 0x3800, 127, 2},
        {8319008, 65504, 0x7bff, 127, 1},  /* the largest finite scale */
        {1e-8f, 2.5e-9f, 0x0000, 127, 32}, /* a scale that rounds to zero */
        {1e-44f, 0, 0x0000, 0, 0},         /* and one whose inverse overflows */
        {-FLT_TRUE_MIN, FLT_TRUE_MIN, 0x0000, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float x[32] = {rows[i].max, rows[i].x};
        block_q8_0 b;
        memset(&b, 0x55, sizeof b);
        CHECK_EQ(t, q8_0(x, 32, &b), 32);
        if (b.d != rows[i].d || b.qs[0] != rows[i].q_max || b.qs[1] != rows[i].q_x)
            TEST_FAIL(t, "row %zu: d %04x q %d %d, not %04x %d %d", i, b.d, b.qs[0], b.qs[1], rows[i].d,
                      rows[i].q_max, rows[i].q_x);
        for (int j = 2; j < 32; j++) CHECK_EQ(t, b.qs[j], 0);
    }
}

/* |x - d16 * q| <= |x - d * q| + |q| * |d16 - d|: half a step, what the two roundings of x * (1 / d) add, and
 * the rounding of d to half precision (relative 2^-11, in the denormal range absolute 2^-25). */
static void error_is_bounded(test *t) {
    state = 3;
    for (int trial = 0; trial < 4000; trial++) {
        float x[32], max = 0;
        block_q8_0 b;
        double scale = ldexp(1, (int)(random_u64() % 60) - 40);
        for (int j = 0; j < 32; j++) {
            x[j] = (float)((double)random_normal() * scale);
            max = fmaxf(max, fabsf(x[j]));
        }
        REQUIRE(t, q8_0(x, 32, &b) == 32);
        double d = (double)max / 127, half = (double)f16_to_f32(b.d);
        for (int j = 0; j < 32; j++) {
            double error = fabs((double)x[j] - half * b.qs[j]);
            double bound = d * (0.5 + 127 * 0x1p-22) + abs(b.qs[j]) * fmax(d * 0x1p-11, 0x1p-25);
            if (!(error <= bound))
                TEST_FAIL(t, "error %g above %g (x %g, d %g)", error, bound, (double)x[j], d);
            CHECK(t, abs(b.qs[j]) <= 127);
            CHECK_EQ(t, b.qs[j],
                     (int)roundf(x[j] * (1.0f / (max / 127.0f)))); /* ggml's words for the same thing */
        }
    }
}

static void equals_ggml(test *t) {
    size_t n, m;
    float *source = (float *)(void *)file_get(LEAT_SOURCE_ROOT "/../shared/formats/source.f32", &n);
    uint8_t *want = file_get(LEAT_SOURCE_ROOT "/../shared/formats/q8_0.bin", &m);
    uint8_t *got = malloc(m + 1);
    if (!source || !want) {
        free(source);
        free(want);
        free(got);
        SKIP(t, "no golden data beside the project (../shared/formats)");
    }
    size_t values = n / sizeof *source;
    CHECK(t, values > 0 && format_row_bytes(FORMAT_Q8_0, values) == m);
    if (got && format_row_bytes(FORMAT_Q8_0, values) == m) {
        CHECK_EQ(t, q8_0(source, values, got), values);
        CHECK(t, memcmp(got, want, m) == 0);
    }
    free(source);
    free(want);
    free(got);
}

/* ---- files ---- */

enum { BIG_ROWS = 1100, BIG_COLS = 1024 }; /* more than a band of work, and not a multiple of one */

static float big[BIG_ROWS * BIG_COLS], small[96 * 64];

/* A model with a tensor for each rule. */
static bool write_source(const char *path) {
    static uint16_t halves[96 * 64];
    static block_q8_0 q8[4 * 2];
    state = 17;
    for (size_t i = 0; i < BIG_ROWS * BIG_COLS; i++)
        big[i] = (float)(int64_t)(random_u64() >> 40) * 1e-7f - 0.8f;
    for (size_t i = 0; i < 96 * 64; i++) {
        small[i] = random_normal();
        halves[i] = f16_from_f32(small[i]);
    }
    for (size_t i = 0; i < sizeof q8; i++) ((uint8_t *)q8)[i] = (uint8_t)(i * 5 % 120);
    build *b = build_open();
    build_str(b, "general.architecture", "llama");
    build_u32(b, "general.file_type", 0);
    build_alignment(b, 64);
    build_u8(b, "a.u8", 200);
    build_i64(b, "a.i64", -5);
    build_bool(b, "a.bool", true);
    build_f64(b, "a.f64", 0.1);
    build_str_array(b, "a.words", (const char *const[]){"one", "", "three"}, 3);
    build_array(b, "a.numbers", GGUF_I16, "\1\0\2\0\3\0", 3);
    build_array(b, "a.nothing", GGUF_F32, "", 0);
    build_str(b, "tokenizer.chat_template", "{{ messages }}");
    build_tensor(b, "token_embd.weight", FORMAT_F32, BIG_COLS, BIG_ROWS, big);
    build_tensor(b, "blk.0.attn_norm.weight", FORMAT_F32, 64, 0, small);
    build_tensor(b, "blk.0.attn_q.weight", FORMAT_F16, 64, 96, halves);
    build_tensor(b, "blk.0.attn_q.bias", FORMAT_F32, 96, 0, small);
    build_tensor(b, "blk.0.odd.weight", FORMAT_F32, 40, 96, small); /* rows are no whole blocks */
    build_tensor(b, "blk.0.attn_q_norm.weight", FORMAT_F32, 64, 2, small);
    build_tensor(b, "blk.0.ffn_gate_inp.weight", FORMAT_F32, 64, 4, small);
    build_tensor(b, "blk.0.done.weight", FORMAT_Q8_0, 64, 4, q8);
    build_tensor(b, "blk.0.ids.weight", FORMAT_I32, 32, 2, small);
    build_tensor_nd(b, "blk.0.ffn_up_exps.weight", FORMAT_F32, 3, (const uint64_t[]){64, 16, 6}, small);
    bool ok = build_save(b, path);
    build_close(b);
    return ok;
}

typedef struct seen {
    size_t calls, last, total, stop_at;
    bool in_order;
} seen;

/* Weights done only grow, up to all there are. */
static bool progress(void *user, size_t done, size_t total) {
    seen *s = user;
    s->in_order = (s->calls == 0 || s->in_order) && done > s->last && done <= total &&
                  (s->calls == 0 || total == s->total);
    s->calls++;
    s->last = done;
    s->total = total;
    return s->calls != s->stop_at;
}

static void check_metadata(test *t, const gguf *in, const gguf *out) {
    size_t o = 0;
    for (size_t i = 0; i < in->n_kv; i++) {
        const gguf_kv *a = &in->kv[i], *b = &out->kv[o];
        if (str_eq(a->key, "general.file_type")) continue;
        REQUIRE(t, o < out->n_kv);
        CHECK(t, a->key.n == b->key.n && memcmp(a->key.p, b->key.p, a->key.n) == 0);
        CHECK(t, a->type == b->type && a->elem_type == b->elem_type && a->count == b->count &&
                     a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0);
        o++;
    }
    REQUIRE(t, o + 2 == out->n_kv);
    CHECK(t, str_eq(out->kv[o].key, "general.quantization_version") && out->kv[o].type == GGUF_U32 &&
                 gguf_kv_u64(&out->kv[o], 0) == 2);
    CHECK(t, str_eq(out->kv[o + 1].key, "general.file_type") && out->kv[o + 1].type == GGUF_U32 &&
                 gguf_kv_u64(&out->kv[o + 1], 0) == 7);
}

static void check_tensors(test *t, const gguf *in, const gguf *out) {
    REQUIRE(t, have_table());
    REQUIRE(t, in->n_tensors == out->n_tensors);
    for (size_t i = 0; i < in->n_tensors; i++) {
        const gguf_tensor *a = &in->tensors[i], *b = &out->tensors[i];
        CHECK(t, a->name.n == b->name.n && memcmp(a->name.p, b->name.p, a->name.n) == 0);
        CHECK(t, a->n_dims == b->n_dims && memcmp(a->ne, b->ne, sizeof a->ne) == 0);
        CHECK_EQ(t, (size_t)(b->data - out->tensors[0].data) % out->alignment, 0);
        bool quantized = str_eq(a->name, "token_embd.weight") || str_eq(a->name, "blk.0.attn_q.weight") ||
                         str_eq(a->name, "blk.0.ffn_up_exps.weight");
        bool odd = str_eq(a->name, "blk.0.odd.weight"); /* rows are no whole blocks */
        CHECK_EQ(t, b->format, quantized ? FORMAT_Q8_0 : odd ? FORMAT_F16 : a->format);
        if (!quantized && !odd) {
            CHECK(t, a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0);
            continue;
        }
        size_t n = (size_t)a->ne[0] * a->n_rows;
        float *x = malloc(n * sizeof *x);
        uint8_t *want = malloc(b->bytes);
        REQUIRE(t, x && want);
        table.decode[a->format](a->data, x, n);
        table.quantize_rows[b->format](x, NULL, n, 1, want);
        CHECK(t, memcmp(want, b->data, b->bytes) == 0);
        free(x);
        free(want);
    }
}

static void whole_file(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    REQUIRE(t, folder_make(&f) && write_source(folder_file(&f, "in.gguf")));
    uint8_t *first = NULL;
    size_t first_n = 0;
    static const uint32_t threads[] = {1, 2, 5, 0};
    for (size_t i = 0; i < 4; i++) {
        seen s = {0};
        leat_quantize_params p;
        leat_quantize_params_default(&p);
        p.n_threads = threads[i];
        p.progress = progress;
        p.user = &s;
        leat_status status = leat_quantize(folder_file(&f, "in.gguf"), folder_file(&f, "out.gguf"), &p, &e);
        if (status) TEST_FAIL(t, "%s", e.message);
        CHECK(t, e.code == LEAT_OK && e.message[0] == 0);
        CHECK(t, s.in_order && s.calls >= 10 && s.last == s.total && s.total > BIG_ROWS * BIG_COLS);
        size_t n;
        uint8_t *bytes = file_get(folder_file(&f, "out.gguf"), &n);
        REQUIRE(t, bytes != NULL);
        if (first) {
            CHECK(t, n == first_n && memcmp(bytes, first, n) == 0);
            free(bytes);
        } else {
            first = bytes;
            first_n = n;
        }
    }
    model_file *in = NULL, *out = NULL;
    REQUIRE(t, file_open(folder_file(&f, "in.gguf"), &in, &e) == LEAT_OK);
    REQUIRE(t, file_open(folder_file(&f, "out.gguf"), &out, &e) == LEAT_OK);
    CHECK_EQ(t, file_gguf(out)->alignment, 64);
    CHECK_EQ(t, file_gguf(out)->version, 3);
    check_metadata(t, file_gguf(in), file_gguf(out));
    check_tensors(t, file_gguf(in), file_gguf(out));
    file_close(in);
    file_close(out);

    /* what is Q8_0 already is copied, so a second pass changes nothing; in place is fine too */
    size_t n;
    CHECK_EQ(t, leat_quantize(folder_file(&f, "out.gguf"), folder_file(&f, "again.gguf"), NULL, &e), LEAT_OK);
    uint8_t *again = file_get(folder_file(&f, "again.gguf"), &n);
    CHECK(t, again && n == first_n && memcmp(again, first, n) == 0);
    free(again);
    CHECK_EQ(t, leat_quantize(folder_file(&f, "in.gguf"), folder_file(&f, "in.gguf"), NULL, &e), LEAT_OK);
    again = file_get(folder_file(&f, "in.gguf"), &n);
    CHECK(t, again && n == first_n && memcmp(again, first, n) == 0);
    free(again);
    CHECK_EQ(t, folder_count(&f), 3); /* nothing left over */

    leat_quantize_params stopped;
    seen s = {.stop_at = 4};
    leat_quantize_params_default(&stopped);
    stopped.progress = progress;
    stopped.user = &s;
    CHECK_EQ(t, leat_quantize(folder_file(&f, "out.gguf"), folder_file(&f, "never.gguf"), &stopped, &e),
             LEAT_E_CANCELLED);
    CHECK(t, strstr(e.message, "stopped after") != NULL);
    CHECK_EQ(t, folder_count(&f), 3);
    free(first);
    folder_remove(&f);
}

static void joins_split_files(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    REQUIRE(t, folder_make(&f));
    for (int part = 0; part < 2; part++) {
        char name[64];
        snprintf(name, sizeof name, "m-%05d-of-00002.gguf", part + 1);
        build *b = build_open();
        if (part == 0) build_str(b, "general.architecture", "llama");
        build_u16(b, "split.no", (uint16_t)part);
        build_u16(b, "split.count", 2);
        build_i32(b, "split.tensors.count", 2);
        build_tensor(b, part ? "b.weight" : "a.weight", FORMAT_F32, 64, 3, small);
        REQUIRE(t, build_save(b, folder_file(&f, name)));
        build_close(b);
    }
    if (leat_quantize(folder_file(&f, "m-00001-of-00002.gguf"), folder_file(&f, "out.gguf"), NULL, &e))
        TEST_FAIL(t, "%s", e.message);
    model_file *out = NULL;
    REQUIRE(t, file_open(folder_file(&f, "out.gguf"), &out, &e) == LEAT_OK);
    CHECK_EQ(t, file_gguf(out)->n_tensors, 2);
    CHECK_EQ(t, file_gguf(out)->n_kv, 3); /* architecture and the two of quantizing */
    CHECK(t, gguf_find(file_gguf(out), "split.count") == NULL);
    CHECK(t, gguf_find_tensor(file_gguf(out), "b.weight") &&
                 gguf_find_tensor(file_gguf(out), "b.weight")->format == FORMAT_Q8_0);
    file_close(out);
    folder_remove(&f);
}

/* Quantizing a one-tensor file must fail as said, leave an older target alone and nothing else behind. */
static void expect_refusal(test *t, const char *name, uint32_t format, uint64_t rows, const void *data,
                           const char *type, leat_status want, const char *says) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_params p;
    REQUIRE(t, folder_make(&f));
    leat_quantize_params_default(&p);
    p.type = type;
    p.n_threads = 2;
    build *b = build_open();
    build_tensor(b, name, format, 64, rows, data);
    REQUIRE(t, build_save(b, folder_file(&f, "in.gguf")));
    build_close(b);
    REQUIRE(t, file_put(folder_file(&f, "out.gguf"), "old", 3));
    CHECK_EQ(t, leat_quantize(folder_file(&f, "in.gguf"), folder_file(&f, "out.gguf"), &p, &e), want);
    CHECK_EQ(t, e.code, want);
    if (!strstr(e.message, says)) TEST_FAIL(t, "\"%s\" does not say \"%s\"", e.message, says);
    size_t n;
    uint8_t *old = file_get(folder_file(&f, "out.gguf"), &n);
    CHECK(t, old && n == 3 && memcmp(old, "old", 3) == 0);
    free(old);
    CHECK_EQ(t, folder_count(&f), 2);
    CHECK_EQ(t, leat_quantize(folder_file(&f, "in.gguf"), folder_file(&f, "out.gguf"), &p, NULL), want);
    folder_remove(&f);
}

static void refusals(test *t) {
    float x[64 * 5];
    uint8_t zeros[1024] = {0};
    for (int i = 0; i < 64 * 5; i++) x[i] = (float)i;
    x[64 * 3 + 7] = x[64 * 4] = NAN;
    expect_refusal(t, "blk.7.w.weight", FORMAT_F32, 5, x, "q8_0", LEAT_E_NUMERIC,
                   "\"blk.7.w.weight\": row 3, column 7");
    x[64 * 3 + 7] = -INFINITY;
    expect_refusal(t, "blk.7.w.weight", FORMAT_F32, 5, x, "Q8_0", LEAT_E_NUMERIC, "row 3, column 7");
    x[64 * 3 + 7] = 1e7f;
    expect_refusal(t, "blk.7.w.weight", FORMAT_F32, 5, x, "q8_0", LEAT_E_NUMERIC, "row 3, column 7");
    expect_refusal(t, "blk.7.attn_norm.weight", FORMAT_F32, 5, x, "q8_0", LEAT_E_NUMERIC,
                   "row 4, column 0"); /* kept, but NaN */
    expect_refusal(t, "w.weight", FORMAT_Q4_0, 5, zeros, "q8_0", LEAT_E_UNSUPPORTED,
                   "\"w.weight\" is Q4_0 already");
    expect_refusal(t, "w.weight", FORMAT_MXFP4, 5, zeros, "q8_0", LEAT_E_UNSUPPORTED, "MXFP4");
    expect_refusal(t, "w.weight", FORMAT_F32, 2, zeros, "q9", LEAT_E_ARG, "\"q9\"");
    expect_refusal(t, "w.weight", FORMAT_F32, 2, zeros, "", LEAT_E_ARG, "Q8_0");
}

static void hostile_arguments(test *t) {
    folder f;
    leat_error e;
    leat_quantize_params p;
    REQUIRE(t, folder_make(&f));
    leat_quantize_params_default(NULL);
    leat_quantize_params_default(&p);
    CHECK(t, strcmp(p.type, "q8_0") == 0 && p.n_threads == 0 && !p.progress);
    CHECK_EQ(t, leat_quantize(NULL, "x", &p, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_quantize("x", NULL, &p, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_quantize(NULL, NULL, NULL, NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_quantize(folder_file(&f, "absent"), folder_file(&f, "out"), NULL, &e), LEAT_E_IO);
    CHECK(t, strstr(e.message, "absent") != NULL);
    build *b = build_open();
    build_tensor(b, "w.weight", FORMAT_F32, 32, 2, NULL);
    REQUIRE(t, build_save(b, folder_file(&f, "in")));
    build_close(b);
    CHECK_EQ(t, leat_quantize(folder_file(&f, "in"), folder_file(&f, "no/such/folder"), NULL, &e), LEAT_E_IO);
    p.n_threads = UINT32_MAX;
    p.type = NULL;
    CHECK_EQ(t, leat_quantize(folder_file(&f, "in"), folder_file(&f, "out"), &p, &e), LEAT_OK);
    folder_remove(&f);
}

/* clang-format off */
#define TESTS(X) \
    X(known_blocks) X(error_is_bounded) X(equals_ggml) X(whole_file) \
    X(joins_split_files) X(refusals) X(hostile_arguments)
/* clang-format on */
TEST_SUITE(TESTS)
