/* Fuzz target: a saved session from a stranger. The first byte chooses a model (full attention, windows,
 * recurrent layers, latents) and whether size, model, rotations and checksum are put right first, so that
 * what lies behind these checks is reached; the rest is the file. Checked: a status and a sentence or a
 * session that holds what its file says, goes on, goes back, and can be saved again to the same bytes of
 * tokens. A session that refused a file is as it was.
 *
 * Without a fuzzer (LEAT_LIBFUZZER undefined) the program replays the files and folders it is given. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/formats.h"
#include "runtime/hash.h"
#include "runtime/session.h"
#include "tests/harness/fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) __builtin_trap();                                                                       \
    } while (0)

enum { MODELS = 4, CONTEXT = 64, BYTES_MAX = 1 << 18 };

/* Opened once: the fuzzer's process ends with them. */
static leat_session *sessions[MODELS];
static uint64_t hashes[MODELS];
static double ropes[MODELS][ROPE_SETS];

static void close_sessions(void) {
    for (size_t i = 0; i < MODELS; i++) leat_session_close(sessions[i]);
}

static void open_sessions(void) {
    static const char *const archs[MODELS] = {"llama", "gemma2", "qwen3next", "deepseek2"};
    test t = {0, false};
    for (size_t i = 0; i < MODELS; i++) {
        const arch_spec *spec = arch_specs;
        while (strcmp(spec->arch, archs[i]) != 0) spec++;
        random_model m = random_model_of(spec, FORMAT_F32);
        leat_model *model = open_random(&t, &m, NULL);
        leat_session *s = sessions[i] = open_session(&t, model, CONTEXT, 8, 1);
        MUST(s);
        hashes[i] = leat_model_hash(model);
        for (size_t r = 0; r < ROPE_SETS; r++) ropes[i][r] = session_rope_sum(s, r);
        leat_model_close(model);
    }
    atexit(close_sessions);
}

static void put_right(uint8_t *p, size_t n, size_t model) {
    uint64_t bytes = n;
    hash64 h;
    if (n < SAVED_HEADER + SAVED_SUM) return;
    memcpy(p + 16, &bytes, 8);
    memcpy(p + 24, &hashes[model], 8);
    memcpy(p + 32, ropes[model], 16);
    hash64_begin(&h);
    hash64_add(&h, p, n - SAVED_SUM);
    uint64_t sum = hash64_value(&h);
    memcpy(p + n - SAVED_SUM, &sum, sizeof sum);
}

/* Goes on, and back again. */
static void use(leat_session *s) {
    leat_error e;
    leat_token next[3] = {1, 2, 3};
    size_t length = leat_session_length(s);
    for (size_t n = 1; n <= 3; n += 2) {
        leat_status st = leat_session_eval(s, next, n, &e);
        size_t now = leat_session_length(s);
        MUST(st == LEAT_OK || st == LEAT_E_CONTEXT || st == LEAT_E_NUMERIC);
        MUST(now <= CONTEXT && now == length + (st ? 0 : n));
        length = now;
    }
    leat_status st = leat_session_drop(s, length / 3, length / 2, &e);
    MUST(st == LEAT_OK || st == LEAT_E_UNSUPPORTED || st == LEAT_E_STATE);
    st = leat_session_rewind(s, leat_session_length(s) / 2);
    MUST(st == LEAT_OK || st == LEAT_E_STATE);
    st = leat_session_eval(s, next, 1, &e);
    MUST(st == LEAT_OK || st == LEAT_E_CONTEXT || st == LEAT_E_NUMERIC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static saved file; /* what was in it before must not matter */
    leat_error e = {LEAT_OK, ""};
    if (!sessions[0]) open_sessions();
    if (size < 1 || size > BYTES_MAX) return 0;
    size_t n = size - 1, model = data[0] % MODELS, before;
    leat_session *s = sessions[model];
    uint8_t *exact = malloc(n ? n : 1); /* exactly as long, so that a sanitizer sees a read beyond */
    MUST(exact);
    memcpy(exact, data + 1, n);
    if (data[0] & 0x80) put_right(exact, n, model);
    leat_status st = saved_parse(exact, n, &file, &e);
    MUST(st == e.code && (st != LEAT_OK) == (strlen(e.message) > 0));
    if (!st) {
        before = leat_session_length(s);
        st = leat_session_load(s, (const leat_saved *)(const void *)&file, &e);
        MUST(st == e.code && (st != LEAT_OK) == (strlen(e.message) > 0));
        MUST(leat_session_length(s) == (st ? before : file.head.length));
        if (!st) use(s);
    }
    free(exact);
    return 0;
}

#include "replay.h"
