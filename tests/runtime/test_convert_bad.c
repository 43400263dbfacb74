/* Folders that conversion must refuse, each with its status and a sentence that names the place, leaving
 * nothing behind; and weights that are more than float32: FP8 with scales, MXFP4 blocks, halves, damaged
 * numbers, types of the output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert_small.h"
#include "kernels/kernels.h"
#include "loader/file.h"
#include "runtime/convert/weights.h"
#include "tests/harness/fixture.h"
#include "tests/harness/hf_folder.h"
#include "tests/loader/folder.h"

static const arch_spec llama = {.arch = "llama"};

static bool folder_of(test *t, folder *f, const arch_spec *s, unsigned parts) {
    random_model m = random_model_of(s, FORMAT_F32);
    leat_error e = {LEAT_OK, ""};
    if (!folder_make(f)) return false;
    const char *from = folder_file(f, "a.gguf");
    bool good = !random_model_write(&m, from, &e) && hf_write(from, s, f->path, parts);
    if (!good) TEST_FAIL(t, "no folder: %s", e.message);
    return good;
}

/* Conversion must end so, say `word`, and leave no file. */
static void refused(test *t, const folder *f, leat_status status, const char *word) {
    leat_error e = {LEAT_OK, ""};
    const char *out = folder_file(f, "out.gguf");
    int before = folder_count(f);
    leat_status got = leat_convert(f->path, out, NULL, &e);
    if (got != status || !strstr(e.message, word))
        TEST_FAIL(t, "%d (\"%s\"), not %d with \"%s\"", got, e.message, status, word);
    CHECK_EQ(t, folder_count(f), before);
}

static void put(const folder *f, const char *name, const char *text) {
    file_put(folder_file(f, name), text, strlen(text));
}

static void configurations(test *t) {
    static const struct {
        const char *text;
        leat_status status;
        const char *word;
    } cases[] = {
        {"{", LEAT_E_VALUE, "config.json"},
        {"{}", LEAT_E_ARCH, "architectures"},
        {"{\"architectures\":[]}", LEAT_E_ARCH, "architectures"},
        {"{\"architectures\":[\"T5Model\"]}", LEAT_E_ARCH, "T5Model can't be converted; can be: arcee, "},
        {"{\"architectures\":[\"LlamaForCausalLM\"]}", LEAT_E_HPARAM, "num_hidden_layers"},
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":-1}", LEAT_E_HPARAM,
         "num_hidden_layers"},
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":2,\"hidden_size\":\"x\"}",
         LEAT_E_HPARAM, "hidden_size"},
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{\"quant_method\":\"hqq\"}}",
         LEAT_E_UNSUPPORTED, "\"hqq\""},
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{\"quant_method\":\"gptq\","
         "\"checkpoint_format\":\"marlin\"}}",
         LEAT_E_UNSUPPORTED, "\"gptq, marlin\""},
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{\"quant_method\":\"awq\","
         "\"version\":\"gemv\"}}",
         LEAT_E_UNSUPPORTED, "\"awq, gemv\""},
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{\"quant_method\":"
         "\"compressed-tensors\",\"format\":\"marlin-24\"}}",
         LEAT_E_UNSUPPORTED, "marlin-24"},
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":2,\"hidden_size\":64,"
         "\"num_attention_heads\":7,\"head_dim\":16}",
         LEAT_E_TENSOR, "self_attn"},
    };
    folder f;
    REQUIRE(t, folder_of(t, &f, &llama, 1));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(&f, "config.json", cases[i].text);
        refused(t, &f, cases[i].status, cases[i].word);
    }
    unlink(folder_file(&f, "config.json"));
    refused(t, &f, LEAT_E_IO, "config.json");
    folder_remove(&f);
}

static void files(test *t) {
    folder f;
    size_t n;
    REQUIRE(t, folder_of(t, &f, &llama, 3));
    const char *part = folder_file(&f, "model-00002-of-00003.safetensors");
    unsigned char *bytes = file_get(part, &n);
    REQUIRE(t, bytes && n > 100);
    CHECK(t, file_put(part, bytes, n - 4)); /* cut short */
    refused(t, &f, LEAT_E_OFFSET, "model-00002-of-00003.safetensors");
    CHECK(t, file_put(part, bytes, 7));
    refused(t, &f, LEAT_E_TRUNCATED, "model-00002");
    CHECK(t, file_put(part, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7Fxxx", 11));
    refused(t, &f, LEAT_E_MAGIC, "model-00002");
    unlink(part);
    refused(t, &f, LEAT_E_IO, "model-00002");
    CHECK(t, file_put(part, bytes, n));
    free(bytes);
    put(&f, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"../x.safetensors\"}}");
    refused(t, &f, LEAT_E_VALUE, "\"a\"");
    put(&f, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"model-00001-of-00003.safetensors\"}}");
    refused(t, &f, LEAT_E_TENSOR, "\"a\"");
    put(&f, "model.safetensors.index.json", "[]");
    refused(t, &f, LEAT_E_VALUE, "weight_map");
    unlink(folder_file(&f, "model.safetensors.index.json"));
    refused(t, &f, LEAT_E_IO, "model.safetensors");
    put(&f, "pytorch_model.bin", "PK");
    refused(t, &f, LEAT_E_UNSUPPORTED, "pickled");
    folder_remove(&f);
}

static void headers(test *t) {
    static const struct {
        const char *header;
        leat_status status;
    } cases[] = {
        {"{}", LEAT_OK},
        {"[]", LEAT_E_VALUE},
        {"{\"a\":1}", LEAT_E_TYPE},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", LEAT_E_TYPE},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", LEAT_E_DIMS},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", LEAT_E_DIMS},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", LEAT_E_DIMS},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1099511627776,1099511627776],\"data_offsets\":[0,4]}}",
         LEAT_E_DIMS},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", LEAT_E_OFFSET},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", LEAT_E_OFFSET},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", LEAT_E_OFFSET},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9],\"data_offsets\":[0,36]}}", LEAT_E_OFFSET},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", LEAT_E_SIZE},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", LEAT_E_NAME},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         LEAT_E_OVERLAP},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]}}",
         LEAT_E_DUPLICATE},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2,0,3],\"data_offsets\":[8,8]},"
         "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}",
         LEAT_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t file[600] = {0};
        size_t n = strlen(cases[i].header);
        weights w = {.t = NULL};
        leat_error e = {LEAT_OK, ""};
        file[0] = (uint8_t)n;
        file[1] = (uint8_t)(n >> 8);
        memcpy(file + 8, cases[i].header, n);
        arena_init(&w.names, 1 << 20);
        leat_status s = safetensors_parse(&w, "x", file, 8 + n + 16, &e);
        if (!s) s = weights_index(&w, &e);
        if (s != cases[i].status) TEST_FAIL(t, "%s: %d (%s)", cases[i].header, s, e.message);
        weights_close(&w);
    }
}

/* Both names can be told from others', however long they are. */
static void overlapping(test *t) {
    static const struct {
        const char *a, *b, *said_a, *said_b;
    } cases[] = {
        {"model.embed_tokens.weight", "model.norm.weight", "\"model.embed_tokens.weight\"",
         "\"model.norm.weight\""},
        {"language_model.model.layers.11.block_sparse_moe.experts.120.under.a.wrapper.of.some.kind.w1.weight",
         "language_model.model.layers.11.block_sparse_moe.experts.121.under.a.wrapper.of.some.kind.w2.weight",
         "\"language_model.model.layers.11.", "kind.w2.weight\""}};
    for (size_t i = 0; i < 2; i++) {
        uint8_t file[800] = {0};
        weights w = {.t = NULL};
        leat_error e = {LEAT_OK, ""};
        int n = snprintf((char *)file + 8, sizeof file - 40,
                         "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                         "\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
                         cases[i].a, cases[i].b);
        file[0] = (uint8_t)n;
        file[1] = (uint8_t)(n >> 8);
        arena_init(&w.names, 1 << 20);
        CHECK_EQ(t, safetensors_parse(&w, "model-00001-of-00163.safetensors", file, 8 + (size_t)n + 16, &e),
                 LEAT_E_OVERLAP);
        if (!strstr(e.message, cases[i].said_a) || !strstr(e.message, cases[i].said_b) ||
            !strstr(e.message, "share bytes"))
            TEST_FAIL(t, "%s", e.message);
        weights_close(&w);
    }
}

/* ---- tensors ---- */

static hf_tensor tensor(const char *name, const char *type, uint64_t rows, uint64_t cols, const void *data,
                        size_t bytes) {
    hf_tensor x = {.type = type, .n_dims = cols ? 2 : 1, .dims = {rows, cols}, .data = data, .bytes = bytes};
    snprintf(x.name, sizeof x.name, "%s", name);
    return x;
}

static void strange_tensors(test *t) {
    static const float zeros[4096];
    folder f;
    REQUIRE(t, folder_of(t, &f, &llama, 1));
    hf_tensor one = tensor("model.layers.0.self_attn.mystery.weight", "F32", 4, 4, zeros, 64);
    REQUIRE(t, hf_write_safetensors(folder_file(&f, "model.safetensors"), &one, 1));
    refused(t, &f, LEAT_E_TENSOR, "mystery");
    one = tensor("model.layers.0.mlp.up_proj.qweight", "I32", 4, 4, zeros, 64);
    REQUIRE(t, hf_write_safetensors(folder_file(&f, "model.safetensors"), &one, 1));
    refused(t, &f, LEAT_E_TENSOR, "qweight");
    one = tensor("model.layers.0.mlp.up_proj.weight", "I8", 8, 8, zeros, 64);
    REQUIRE(t, hf_write_safetensors(folder_file(&f, "model.safetensors"), &one, 1));
    refused(t, &f, LEAT_E_UNSUPPORTED, "I8");
    one = tensor("model.norm.weight", "F32", 16, 0, zeros, 64);
    REQUIRE(t, hf_write_safetensors(folder_file(&f, "model.safetensors"), &one, 1));
    refused(t, &f, LEAT_E_TENSOR, "embedding");
    folder_remove(&f);
    /* one expert of a layer is missing */
    static const arch_spec experts = {.arch = "llama", .experts = {4, 2, .gating = 'x', .norm = true}};
    REQUIRE(t, folder_of(t, &f, &experts, 1));
    one = tensor("model.layers.0.block_sparse_moe.experts.2.w1.weight", "F32", 4, 4, zeros, 64);
    REQUIRE(t, hf_write_safetensors(folder_file(&f, "model.safetensors"), &one, 1));
    refused(t, &f, LEAT_E_TENSOR,
            "number 0 of 4 is missing (there is \"model.layers.0.block_sparse_moe.experts.2.w1");
    folder_remove(&f);
}

static void not_finite(test *t) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    folder f;
    size_t n;
    REQUIRE(t, folder_of(t, &f, &llama, 1));
    unsigned char *bytes = file_get(folder_file(&f, "model.safetensors"), &n);
    REQUIRE(t, bytes);
    for (size_t i = 0; i < 3; i++) { /* the last tensor is the output matrix, (300, 64) */
        memcpy(bytes + n - 4 * (64 + 3 - i), &bad[i], 4);
        CHECK(t, file_put(folder_file(&f, "model.safetensors"), bytes, n));
        refused(t, &f, LEAT_E_NUMERIC, "output.weight");
    }
    free(bytes);
    folder_remove(&f);
}

/* The tensor as float32, to be freed. */
static float *decoded(test *t, const char *path, const char *name, uint32_t *format, size_t *n) {
    model_file *file = NULL;
    leat_error e;
    kernels k;
    float *out = NULL;
    if (file_open(path, &file, &e) || !kernels_init(&k, "c")) {
        TEST_FAIL(t, "%s", e.message);
        return NULL;
    }
    const gguf_tensor *x = gguf_find_tensor(file_gguf(file), name);
    if (x) {
        *n = (size_t)(x->ne[0] * x->n_rows);
        *format = x->format;
        out = malloc(*n * 4);
        if (out) k.decode[x->format](x->data, out, *n);
    }
    file_close(file);
    return out;
}

/* 5 x 6 values of FP8 in blocks of 2 x 4: each times its block's scale. */
static void eight_bits(test *t) {
    static const uint8_t codes[2][4] = {{0x38, 0xB8, 0x01, 0x7E}, {0x3C, 0xBC, 0x01, 0x7B}};
    static const float values[2][4] = {{1, -1, 0x1p-9f, 448}, {1, -1, 0x1p-16f, 57344}};
    static const char *const types[] = {"F8_E4M3", "F8_E5M2"};
    static const arch_spec spec = {.arch = "llama"};
    for (int kind = 0; kind < 2; kind++) {
        folder f;
        leat_error e;
        uint8_t data[64 * 96];
        float scales[32 * 24], *got;
        uint32_t format = 0;
        size_t n = 0;
        for (size_t i = 0; i < sizeof data; i++) data[i] = codes[kind][i % 4];
        for (size_t i = 0; i < 32 * 24; i++) scales[i] = (float)(i + 1);
        REQUIRE(t, folder_of(t, &f, &spec, 1));
        put(&f, "config.json",
            "{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":1,\"hidden_size\":96,"
            "\"num_attention_heads\":4,\"intermediate_size\":64,\"tie_word_embeddings\":true,"
            "\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[2,4]}}");
        hf_tensor list[2 + SMALL_MAX] = {
            tensor("model.embed_tokens.weight", types[kind], 64, 96, data, sizeof data),
            tensor("model.embed_tokens.weight_scale_inv", "F32", 32, 24, scales, sizeof scales)};
        size_t count = small_add(list, 2, 0, true);
        REQUIRE(t, hf_write_safetensors(folder_file(&f, "model.safetensors"), list, count));
        const char *out = folder_file(&f, "out.gguf");
        leat_convert_params p;
        leat_convert_params_default(&p);
        p.type = "f32";
        if (leat_convert(f.path, out, &p, &e)) TEST_FAIL(t, "%s", e.message);
        got = decoded(t, out, "token_embd.weight", &format, &n);
        CHECK_EQ(t, n, 64 * 96);
        for (size_t i = 0; got && i < n; i++) {
            float want = values[kind][i % 4] * scales[i / 96 / 2 * 24 + i % 96 / 4];
            if (got[i] != want) {
                TEST_FAIL(t, "%s: value %zu is %g, not %g", types[kind], i, (double)got[i], (double)want);
                break;
            }
        }
        free(got);
        folder_remove(&f);
    }
}

/* gpt-oss: blocks pass as they are, with gate and up apart. */
static void blocks_pass(test *t) {
    static const float fp4[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    enum { E = 2, R = 64, B = 3 }; /* rows of gate and up; each half is one block of `down` */
    uint8_t blocks[E * R * B * 16], scales[E * R * B];
    static const uint8_t down[E * 96 * 16];
    static const float zeros[E * 96];
    folder f;
    leat_error e;
    static const arch_spec spec = {.arch = "llama"};
    REQUIRE(t, folder_of(t, &f, &spec, 1));
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (uint8_t)(i * 37 + 11);
    for (size_t i = 0; i < sizeof scales; i++) scales[i] = (uint8_t)(120 + i % 10);
    put(&f, "config.json",
        "{\"architectures\":[\"GptOssForCausalLM\"],\"num_hidden_layers\":1,\"hidden_size\":96,"
        "\"num_attention_heads\":4,\"intermediate_size\":32,\"max_position_embeddings\":64,"
        "\"rms_norm_eps\":1e-5,\"num_local_experts\":2,\"num_experts_per_tok\":1,"
        "\"sliding_window\":8,\"quantization_config\":{\"quant_method\":\"mxfp4\"}}");
    hf_tensor list[6 + SMALL_MAX] = {
        {"model.layers.0.mlp.experts.gate_up_proj_blocks", "U8", 4, {E, R, B, 16}, blocks, sizeof blocks},
        {"model.layers.0.mlp.experts.gate_up_proj_scales", "U8", 3, {E, R, B}, scales, sizeof scales},
        {"model.layers.0.mlp.experts.down_proj_blocks", "U8", 4, {E, 96, 1, 16}, down, sizeof down},
        {"model.layers.0.mlp.experts.down_proj_scales", "U8", 3, {E, 96, 1}, down, E * 96},
        {"model.layers.0.mlp.router.weight", "F32", 2, {E, 96}, zeros, sizeof zeros},
        {"model.layers.0.self_attn.sinks", "F32", 1, {4}, zeros, 16}};
    size_t count = small_add(list, 6, 300, false);
    REQUIRE(t, hf_write_safetensors(folder_file(&f, "model.safetensors"), list, count));
    const char *out = folder_file(&f, "out.gguf");
    if (leat_convert(f.path, out, NULL, &e)) TEST_FAIL(t, "%s", e.message);
    for (int up = 0; up < 2; up++) {
        uint32_t format = 0;
        size_t n = 0, bad = 0;
        float *got =
            decoded(t, out, up ? "blk.0.ffn_up_exps.weight" : "blk.0.ffn_gate_exps.weight", &format, &n);
        CHECK_EQ(t, format, FORMAT_MXFP4);
        CHECK_EQ(t, n, E * R / 2 * B * 32);
        for (size_t i = 0; got && i < n; i++) {
            size_t b = i / 32 % B, r = i / 32 / B % (R / 2), x = i / 32 / B / (R / 2), k = i % 32;
            size_t block = (x * R + 2 * r + (size_t)up) * B + b;
            uint8_t pair = blocks[block * 16 + k / 2];
            bad += got[i] != fp4[k % 2 ? pair >> 4 : pair & 15] * exp2f((float)scales[block] - 127);
        }
        CHECK_EQ(t, bad, 0);
        free(got);
    }
    folder_remove(&f);
}

/* Straight to any type, and to the same bytes as by way of float32, for any number of threads. */
static void types(test *t) {
    static const char *const names[] = {"f16", "bf16", "q8_0", "q4_0", "iq4_nl"};
    folder f;
    leat_error e;
    REQUIRE(t, folder_of(t, &f, &llama, 2));
    char plain[256];
    snprintf(plain, sizeof plain, "%s", folder_file(&f, "f32.gguf"));
    REQUIRE(t, !leat_convert(f.path, plain, NULL, &e));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char direct[256], again[256];
        leat_convert_params p;
        leat_quantize_params q;
        size_t n = 0, m = 0;
        snprintf(direct, sizeof direct, "%s", folder_file(&f, "direct.gguf"));
        snprintf(again, sizeof again, "%s", folder_file(&f, "again.gguf"));
        leat_convert_params_default(&p);
        leat_quantize_params_default(&q);
        p.type = q.type = names[i];
        p.n_threads = (uint32_t)i + 1;
        if (leat_convert(f.path, direct, &p, &e) || leat_quantize(plain, again, &q, &e))
            TEST_FAIL(t, "%s", e.message);
        unsigned char *a = file_get(direct, &n), *b = file_get(again, &m);
        if (!a || !b || n != m || memcmp(a, b, n))
            TEST_FAIL(t, "%s differs: %zu and %zu bytes", names[i], n, m);
        free(a);
        free(b);
    }
    leat_convert_params p;
    leat_convert_params_default(&p);
    p.type = "q99";
    CHECK_EQ(t, leat_convert(f.path, plain, &p, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_convert(NULL, plain, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_convert(f.path, NULL, NULL, NULL), LEAT_E_ARG);
    folder_remove(&f);
}

static bool stop(void *user, size_t done, size_t total) {
    (void)done;
    (void)total;
    return --*(int *)user > 0;
}

static void stopped(test *t) {
    folder f;
    leat_error e;
    REQUIRE(t, folder_of(t, &f, &llama, 1));
    int before = folder_count(&f);
    for (int calls = 1; calls < 20; calls += 6) {
        int left = calls;
        leat_convert_params p;
        leat_convert_params_default(&p);
        p.progress = stop;
        p.user = &left;
        CHECK_EQ(t, leat_convert(f.path, folder_file(&f, "out.gguf"), &p, &e), LEAT_E_CANCELLED);
        CHECK_EQ(t, folder_count(&f), before);
    }
    folder_remove(&f);
}

#define TESTS(X)                                                                                             \
    X(configurations)                                                                                        \
    X(files)                                                                                                 \
    X(headers)                                                                                               \
    X(overlapping) X(strange_tensors) X(not_finite) X(eight_bits) X(blocks_pass) X(types) X(stopped)
TEST_SUITE(TESTS)
