/* Weights in fewer bits than types of safetensors have: GPTQ, AWQ, compressed-tensors, NVFP4 and MXFP4,
 * bitsandbytes. Each packed here bit by bit as its format says, converted, and compared value by value. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert_small.h"
#include "kernels/kernels.h"
#include "loader/file.h"
#include "tests/harness/fixture.h"
#include "tests/harness/hf_folder.h"
#include "tests/loader/folder.h"

enum { ROWS = 64, COLS = 96, GROUP = 32, GROUPS = COLS / GROUP, PARTS = 8, BYTES = 1 << 16 };

/* A folder with a packed matrix, and what its values are. */
typedef struct subject {
    uint64_t state;
    hf_tensor list[PARTS + 1];
    size_t n;
    uint8_t room[PARTS][BYTES];
    float want[ROWS * COLS];
    char config[400]; /* of quantization_config */
} subject;

static uint32_t next(subject *s, uint32_t below) { /* xorshift64, Marsaglia 2003 */
    s->state ^= s->state << 13;
    s->state ^= s->state >> 7;
    s->state ^= s->state << 17;
    return (uint32_t)((s->state >> 33) % below);
}

static void *add(subject *s, const char *tail, const char *type, uint64_t rows, uint64_t cols, size_t bytes) {
    hf_tensor *t = &s->list[s->n];
    *t = (hf_tensor){.type = type, .n_dims = cols ? 2 : 1, .dims = {rows, cols}, .bytes = bytes};
    snprintf(t->name, sizeof t->name, "model.layers.0.mlp.up_proj%s", tail);
    memset(s->room[s->n], 0, BYTES);
    t->data = s->room[s->n];
    return s->room[s->n++];
}

static hf_tensor *part(subject *s, const char *tail) {
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->list[i].name + strlen("model.layers.0.mlp.up_proj"), tail)) return &s->list[i];
    return NULL;
}

/* Bits of `code` from bit `at` on, in 32-bit words `step` apart. */
static void put_bits(uint32_t *words, size_t step, size_t at, unsigned bits, uint32_t code) {
    for (unsigned b = 0; b < bits; b++) words[(at + b) / 32 * step] |= (code >> b & 1) << (at + b) % 32;
}

static uint16_t half_of(float x) {
    return f16_from_f32(x);
}

/* ---- integers ---- */

static void gptq(subject *s, unsigned bits, bool second, bool ordered) {
    uint32_t *q = add(s, ".qweight", "I32", COLS * bits / 32, ROWS, COLS * bits / 32 * ROWS * 4),
             *z = add(s, ".qzeros", "I32", GROUPS, ROWS * bits / 32, GROUPS * ROWS * bits / 32 * 4);
    uint16_t *scales = add(s, ".scales", "F16", GROUPS, ROWS, GROUPS * ROWS * 2);
    uint32_t *order = ordered ? add(s, ".g_idx", "I32", COLS, 0, COLS * 4) : NULL;
    uint32_t zeros[GROUPS][ROWS];
    float factor[GROUPS][ROWS];
    snprintf(s->config, sizeof s->config,
             "\"quant_method\":\"gptq\",\"bits\":%u,\"group_size\":32,\"checkpoint_format\":\"%s\"", bits,
             second ? "gptq_v2" : "gptq");
    if (bits == 8) *s->config = 0; /* as old folders, which say so in a file of their own */
    for (size_t g = 0; g < GROUPS; g++)
        for (size_t r = 0; r < ROWS; r++) {
            zeros[g][r] = next(s, 1u << bits);
            factor[g][r] = (float)(1 + next(s, 255)) / 1024;
            scales[g * ROWS + r] = half_of(factor[g][r]);
            put_bits(z + g * ROWS * bits / 32, 1, r * bits, bits, zeros[g][r]);
        }
    for (size_t c = 0; c < COLS; c++) {
        size_t g = ordered ? next(s, GROUPS) : c / GROUP;
        if (ordered) order[c] = (uint32_t)g;
        for (size_t r = 0; r < ROWS; r++) {
            uint32_t code = next(s, 1u << bits);
            put_bits(q + r, ROWS, c * bits, bits, code);
            s->want[r * COLS + c] = ((float)code - (float)(zeros[g][r] + (second ? 0 : 1))) * factor[g][r];
        }
    }
}

static void awq(subject *s) {
    static const size_t columns[8] = {0, 2, 4, 6, 1, 3, 5, 7}; /* of the nibbles of a word */
    uint32_t *q = add(s, ".qweight", "I32", COLS, ROWS / 8, COLS * ROWS / 2),
             *z = add(s, ".qzeros", "I32", GROUPS, ROWS / 8, GROUPS * ROWS / 2);
    uint16_t *scales = add(s, ".scales", "F16", GROUPS, ROWS, GROUPS * ROWS * 2);
    snprintf(s->config, sizeof s->config,
             "\"quant_method\":\"awq\",\"bits\":4,\"group_size\":32,\"version\":\"gemm\"");
    for (size_t g = 0; g < GROUPS; g++)
        for (size_t w = 0; w < ROWS / 8; w++)
            for (size_t i = 0; i < 8; i++) {
                size_t r = 8 * w + columns[i];
                uint32_t zero = next(s, 16);
                float factor = (float)(1 + next(s, 255)) / 1024;
                z[g * ROWS / 8 + w] |= zero << 4 * i;
                scales[g * ROWS + r] = half_of(factor);
                for (size_t c = g * GROUP; c < (g + 1) * GROUP; c++) {
                    uint32_t code = next(s, 16);
                    q[c * ROWS / 8 + w] |= code << 4 * i;
                    s->want[r * COLS + c] = ((float)code - (float)zero) * factor;
                }
            }
}

static void compressed(subject *s, unsigned bits, bool zeros) {
    size_t per = 32 / bits;
    uint32_t *q = add(s, ".weight_packed", "I32", ROWS, COLS / per, ROWS * COLS / per * 4);
    uint16_t *scales = add(s, ".weight_scale", "BF16", ROWS, GROUPS, ROWS * GROUPS * 2);
    int64_t *shape = add(s, ".weight_shape", "I64", 2, 0, 16);
    uint32_t *z =
        zeros ? add(s, ".weight_zero_point", "I32", ROWS / per, GROUPS, ROWS / per * GROUPS * 4) : NULL;
    snprintf(s->config, sizeof s->config,
             "\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\"");
    shape[0] = ROWS, shape[1] = COLS;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t g = 0; g < GROUPS; g++) {
            float factor = (float)(1 + next(s, 127)) / 1024;
            uint32_t word, zero = zeros ? next(s, 1u << bits) : 1u << (bits - 1);
            memcpy(&word, &factor, 4);
            scales[r * GROUPS + g] = (uint16_t)(word >> 16);
            if (z) put_bits(z + g, GROUPS, r * bits, bits, zero);
            for (size_t c = g * GROUP; c < (g + 1) * GROUP; c++) {
                uint32_t code = next(s, 1u << bits);
                put_bits(q + r * COLS / per, 1, c * bits, bits, code);
                s->want[r * COLS + c] = ((float)code - (float)zero) * factor;
            }
        }
}

/* Whole bytes with a scale for each row, as two programs have them. */
static void bytes(subject *s, bool bnb) {
    int8_t *q = add(s, ".weight", "I8", ROWS, COLS, ROWS * COLS);
    float *scales = add(s, bnb ? ".SCB" : ".weight_scale", "F32", ROWS, bnb ? 0 : 1, ROWS * 4);
    if (bnb) add(s, ".weight_format", "U8", 1, 0, 1);
    snprintf(s->config, sizeof s->config, "\"quant_method\":\"%s\"",
             bnb ? "bitsandbytes" : "compressed-tensors");
    for (size_t r = 0; r < ROWS; r++) {
        scales[r] = (float)(1 + next(s, 999)) / 512;
        for (size_t c = 0; c < COLS; c++) {
            q[r * COLS + c] = (int8_t)((int)next(s, 255) - 127);
            s->want[r * COLS + c] = (float)q[r * COLS + c] * (bnb ? scales[r] * (1.0f / 127) : scales[r]);
        }
    }
}

/* ---- floats ---- */

static float e4m3(uint8_t v) {
    int exponent = v >> 3 & 15, mantissa = v & 7;
    return exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
}

/* modelopt multiplies by one more scale, compressed-tensors divides; with powers of two there is none. */
static void fp4(subject *s, char form) {
    static const float values[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -.5f, -1, -1.5f, -2, -3, -4, -6};
    size_t group = form == 'x' ? 32 : 16, groups = COLS / group;
    uint8_t *q = add(s, form == 'm' ? ".weight" : ".weight_packed", "U8", ROWS, COLS / 2, ROWS * COLS / 2),
            *scales = add(s, ".weight_scale", form == 'x' ? "U8" : "F8_E4M3", ROWS, groups, ROWS * groups);
    float all = 1;
    if (form != 'x') {
        float *x = add(s, form == 'm' ? ".weight_scale_2" : ".weight_global_scale", "F32", 1, 0, 4);
        *x = 0.25f;
        all = form == 'm' ? 0.25f : 4;
        add(s, form == 'm' ? ".input_scale" : ".input_global_scale", "F32", 1, 0, 4);
    }
    snprintf(s->config, sizeof s->config, "\"quant_method\":\"%s\"",
             form == 'm' ? "modelopt" : "compressed-tensors");
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++) {
            size_t at = r * COLS + c, block = r * groups + c / group;
            uint32_t code = next(s, 16);
            if (c % group == 0) scales[block] = (uint8_t)(form == 'x' ? 120 + next(s, 12) : next(s, 0x7F));
            q[at / 2] |= (uint8_t)(code << at % 2 * 4);
            s->want[at] =
                values[code] * (form == 'x' ? ldexpf(1, scales[block] - 127) : e4m3(scales[block]) * all);
        }
}

static void bits_and_bytes(subject *s, bool nested) {
    enum { BLOCK = 64, BLOCKS = ROWS * COLS / BLOCK, INNER = 16 };
    uint8_t *q = add(s, ".weight", "U8", ROWS * COLS / 2, 1, ROWS * COLS / 2);
    void *absmax = add(s, ".weight.absmax", nested ? "U8" : "F32", BLOCKS, 0, nested ? BLOCKS : BLOCKS * 4);
    float *map = add(s, ".weight.quant_map", "F32", 16, 0, 64);
    float *inner =
        nested ? add(s, ".weight.nested_absmax", "F32", BLOCKS / INNER, 0, BLOCKS / INNER * 4) : NULL;
    float *inner_map = nested ? add(s, ".weight.nested_quant_map", "F32", 256, 0, 1024) : NULL;
    char *state = add(s, ".weight.quant_state.bitsandbytes__nf4", "U8", 1, 0, 1);
    snprintf(state, BYTES,
             "{\"quant_type\":\"nf4\",\"blocksize\":%d,\"dtype\":\"bfloat16\",\"shape\":[%d,%d]%s}", BLOCK,
             ROWS, COLS, nested ? ",\"nested_blocksize\":16,\"nested_offset\":0.125" : "");
    part(s, ".weight.quant_state.bitsandbytes__nf4")->dims[0] = strlen(state);
    part(s, ".weight.quant_state.bitsandbytes__nf4")->bytes = strlen(state);
    snprintf(s->config, sizeof s->config, "\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true");
    for (size_t i = 0; i < 16; i++) map[i] = (float)((int)i - 8) / 8 + 0.01f;
    for (size_t i = 0; nested && i < 256; i++) inner_map[i] = (float)i / 256;
    for (size_t i = 0; nested && i < BLOCKS / INNER; i++) inner[i] = (float)(1 + i);
    for (size_t at = 0; at < ROWS * COLS; at++) {
        size_t block = at / BLOCK;
        uint32_t code = next(s, 16);
        if (at % BLOCK == 0 && nested) ((uint8_t *)absmax)[block] = (uint8_t)next(s, 256);
        if (at % BLOCK == 0 && !nested) ((float *)absmax)[block] = (float)(1 + next(s, 99)) / 64;
        float scale = nested ? inner_map[((uint8_t *)absmax)[block]] * inner[block / INNER] + 0.125f
                             : ((float *)absmax)[block];
        q[at / 2] |= (uint8_t)(code << (at % 2 ? 0 : 4));
        s->want[at] = map[code] * scale;
    }
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    int kind, bits;
    bool a, b;
} cases[] = {{"GPTQ 4", 'g', 4, false, false},
             {"GPTQ 4, ordered", 'g', 4, false, true},
             {"GPTQ 4, second", 'g', 4, true, true},
             {"GPTQ 2", 'g', 2, false, false},
             {"GPTQ 3", 'g', 3, false, false},
             {"GPTQ 8", 'g', 8, false, false},
             {"AWQ", 'a', 4, false, false},
             {"compressed 4", 'c', 4, false, false},
             {"compressed 4, zeros", 'c', 4, true, false},
             {"compressed 8", 'c', 8, false, false},
             {"int8", 'i', 8, false, false},
             {"int8 of bitsandbytes", 'i', 8, true, false},
             {"NVFP4 of modelopt", 'm', 4, false, false},
             {"NVFP4", 'n', 4, false, false},
             {"MXFP4", 'x', 4, false, false},
             {"NF4", 'b', 4, false, false},
             {"NF4, nested", 'b', 4, true, false}};

static void pack(subject *s, size_t i) {
    memset(s, 0, sizeof *s);
    s->state = 88172645463325252u + i;
    switch (cases[i].kind) {
    case 'g': gptq(s, (unsigned)cases[i].bits, cases[i].a, cases[i].b); break;
    case 'a': awq(s); break;
    case 'c': compressed(s, (unsigned)cases[i].bits, cases[i].a); break;
    case 'i': bytes(s, cases[i].a); break;
    case 'b': bits_and_bytes(s, cases[i].a); break;
    default: fp4(s, (char)cases[i].kind);
    }
}

static leat_status convert(const subject *s, folder *f, leat_error *e) {
    hf_tensor list[PARTS + SMALL_MAX];
    leat_convert_params p;
    char text[800];
    memcpy(list, s->list, sizeof list);
    snprintf(text, sizeof text,
             "{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":1,\"hidden_size\":%d,"
             "\"num_attention_heads\":4,\"intermediate_size\":%d,\"rms_norm_eps\":1e-5,\"tie_word_"
             "embeddings\":true,"
             "\"quantization_config\":{%s}}",
             COLS, ROWS, s->config);
    file_put(folder_file(f, "config.json"), text, strlen(text));
    file_put(folder_file(f, "vocab.json"), "{\"a\":0,\"b\":1,\"ab\":2}", 20);
    file_put(folder_file(f, "merges.txt"), "a b\n", 4);
    hf_write_safetensors(folder_file(f, "model.safetensors"), list, small_add(list, s->n, 8, true));
    leat_convert_params_default(&p);
    p.type = "f32";
    return leat_convert(f->path, folder_file(f, "out.gguf"), &p, e);
}

static void values(test *t) {
    subject *s = malloc(sizeof *s);
    for (size_t i = 0; s && i < sizeof cases / sizeof *cases; i++) {
        folder f;
        leat_error e = {LEAT_OK, ""};
        model_file *file = NULL;
        REQUIRE(t, folder_make(&f));
        pack(s, i);
        if (convert(s, &f, &e) || file_open(folder_file(&f, "out.gguf"), &file, &e)) {
            TEST_FAIL(t, "%s: %s", cases[i].name, e.message);
        } else {
            const gguf_tensor *x = gguf_find_tensor(file_gguf(file), "blk.0.ffn_up.weight");
            const float *got = x ? (const float *)(const void *)x->data : NULL;
            size_t k = 0;
            if (!x || x->ne[0] != COLS || x->ne[1] != ROWS || x->format != FORMAT_F32)
                TEST_FAIL(t, "%s: another shape", cases[i].name);
            while (got && k < ROWS * COLS && got[k] == s->want[k]) k++;
            if (got && k < ROWS * COLS)
                TEST_FAIL(t, "%s: value %zu is %g, not %g", cases[i].name, k, (double)got[k],
                          (double)s->want[k]);
        }
        file_close(file);
        folder_remove(&f);
    }
    free(s);
}

/* One of the parts is missing, of another type, or of another shape: a sentence that names the matrix, and no
 * file. */
static void misfits(test *t) {
    subject *s = malloc(sizeof *s);
    for (size_t i = 0; s && i < sizeof cases / sizeof *cases; i++)
        for (int how = 0; how < 3; how++) {
            pack(s, i);
            for (size_t k = 0; k < s->n; k++) {
                folder f;
                leat_error e = {LEAT_OK, ""};
                const char *tail = s->list[k].name + strlen("model.layers.0.mlp.up_proj");
                if (strstr(tail, "input_") || strstr(tail, "format")) continue; /* nobody looks at these */
                REQUIRE(t, folder_make(&f));
                hf_tensor kept = s->list[k];
                if (how == 0)
                    snprintf(s->list[k].name, sizeof kept.name, "model.layers.0.up.bias"); /* gone */
                if (how == 1) s->list[k].type = s->list[k].bytes % 8 ? "BOOL" : "U64";
                if (how == 1) s->list[k].dims[0] = s->list[k].bytes / (s->list[k].bytes % 8 ? 1 : 8);
                if (how == 1) s->list[k].n_dims = 1;
                if (how == 2) s->list[k].bytes = s->list[k].bytes / s->list[k].dims[0];
                if (how == 2) s->list[k].dims[0] = 1;
                leat_status status = convert(s, &f, &e);
                s->list[k] = kept;
                /* some can be done without, or have one row already; nothing may crash or be left behind */
                bool one = how == 2 && kept.dims[0] == 1;
                bool needless = strstr(kept.name, "zero") || strstr(kept.name, "g_idx") ||
                                strstr(kept.name, "qzeros") || strstr(kept.name, "global") ||
                                strstr(kept.name, "scale_2");
                if (!status && !one && !(how == 0 && needless) && cases[i].kind != 'i')
                    TEST_FAIL(t, "%s: converted with %s %s", cases[i].name, kept.name,
                              how == 0   ? "gone"
                              : how == 1 ? "of another type"
                                         : "cut to a row");
                CHECK_EQ(t, folder_count(&f), status ? 4 : 5);
                folder_remove(&f);
            }
        }
    free(s);
}

/* Groups that no scale is for are those of the last: every index stays inside. */
static void wild_order(test *t) {
    subject *s = malloc(sizeof *s);
    folder f;
    leat_error e;
    REQUIRE(t, s && folder_make(&f));
    pack(s, 1);
    uint32_t *order = (uint32_t *)(uintptr_t)part(s, ".g_idx")->data;
    for (size_t i = 0; i < COLS; i++) order[i] = i % 2 ? UINT32_MAX : 1u << 30;
    CHECK_EQ(t, convert(s, &f, &e), LEAT_OK);
    folder_remove(&f);
    free(s);
}

#define TESTS(X) X(values) X(misfits) X(wild_order)
TEST_SUITE(TESTS)
