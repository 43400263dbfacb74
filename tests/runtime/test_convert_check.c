/* What conversion must not pass over: folders whose file would not open, and settings that change the text
 * and are computed otherwise. Each is refused with the folder's own word for it and nothing is left behind,
 * or is told in one sentence; and what transformers has a default for may be missing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert_small.h"
#include "kernels/formats.h"
#include "loader/file.h"
#include "tests/harness/fixture.h"
#include "tests/loader/folder.h"

typedef struct scene {
    folder f;
    hf_tensor list[SMALL_MAX + 8];
    size_t n;
    model_file *file;
    leat_error e;
    char said[1024]; /* all warnings */
    int n_said;
} scene;

static const float zeros[SMALL_WIDTH * SMALL_WIDTH];

static bool scene_open(scene *s) {
    memset(s, 0, sizeof *s);
    s->n = small_add(s->list, 0, 8, true);
    return folder_make(&s->f) &&
           file_put(folder_file(&s->f, "vocab.json"), "{\"a\":0,\"b\":1,\"ab\":2}", 20) &&
           file_put(folder_file(&s->f, "merges.txt"), "a b\n", 4);
}

static void scene_close(scene *s) {
    file_close(s->file);
    folder_remove(&s->f);
}

static void add(scene *s, const char *name, uint64_t rows, uint64_t cols) {
    hf_tensor *t = &s->list[s->n++];
    *t = (hf_tensor){.type = "F32",
                     .n_dims = cols ? 2 : 1,
                     .dims = {rows, cols},
                     .data = zeros,
                     .bytes = 4 * rows * (cols ? cols : 1)};
    snprintf(t->name, sizeof t->name, "%s", name);
}

static void drop(scene *s, const char *name) {
    size_t i = 0;
    while (i < s->n && strcmp(s->list[i].name, name) != 0) i++;
    if (i < s->n) s->list[i] = s->list[--s->n];
}

static void keep_warning(void *user, const char *sentence) {
    scene *s = user;
    size_t n = strlen(s->said);
    s->n_said++;
    snprintf(s->said + n, sizeof s->said - n, "%s\n", sentence);
}

#define SIZES                                                                                                \
    "\"num_hidden_layers\":1,\"hidden_size\":96,\"num_attention_heads\":4,\"intermediate_size\":64,"         \
    "\"tie_word_embeddings\":true"
#define NORMS "\"rms_norm_eps\":1e-5,\"max_position_embeddings\":64"
#define LLAMA "\"architectures\":[\"LlamaForCausalLM\"]"

static leat_status convert(scene *s, const char *config) {
    leat_convert_params p;
    const char *out = folder_file(&s->f, "out.gguf");
    leat_convert_params_default(&p);
    p.warning = keep_warning;
    p.user = s;
    file_close(s->file);
    s->file = NULL;
    remove(out);
    *s->said = 0;
    s->n_said = 0;
    s->e = (leat_error){LEAT_OK, ""};
    file_put(folder_file(&s->f, "config.json"), config, strlen(config));
    hf_write_safetensors(folder_file(&s->f, "model.safetensors"), s->list, s->n);
    return leat_convert(s->f.path, out, &p, &s->e);
}

/* Conversion must end so, say `word`, and leave no file. */
static void refused(test *t, scene *s, const char *config, leat_status status, const char *word) {
    leat_status got = convert(s, config);
    if (got != status || !strstr(s->e.message, word))
        TEST_FAIL(t, "%d (\"%s\"), not %d with \"%s\"", got, s->e.message, status, word);
    CHECK_EQ(t, folder_count(&s->f), 4); /* config, weights, vocabulary, merges */
}

/* It must go well, with `said` in the only warning, or without any ("") */
static const gguf *converted(test *t, scene *s, const char *config, const char *said) {
    leat_model *m = NULL;
    const char *out = folder_file(&s->f, "out.gguf");
    if (convert(s, config) || leat_model_open(out, NULL, &m, &s->e) || file_open(out, &s->file, &s->e)) {
        TEST_FAIL(t, "%s", s->e.message);
        return NULL;
    }
    leat_model_close(m);
    if (s->n_said != (*said != 0) || !strstr(s->said, said))
        TEST_FAIL(t, "%d warnings: %s", s->n_said, s->said);
    return file_gguf(s->file);
}

static double number(const gguf *g, const char *key) {
    const gguf_kv *kv = g ? gguf_find(g, key) : NULL;
    return !kv ? -1 : kv->elem_type == GGUF_F32 ? gguf_kv_f64(kv, 0) : (double)gguf_kv_u64(kv, 0);
}

/* ---- what would not open ---- */

static void tensors(test *t) {
    static const char *const needed[] = {"model.norm.weight",
                                         "model.layers.0.input_layernorm.weight",
                                         "model.layers.0.post_attention_layernorm.weight",
                                         "model.layers.0.self_attn.q_proj.weight",
                                         "model.layers.0.self_attn.k_proj.weight",
                                         "model.layers.0.self_attn.v_proj.weight",
                                         "model.layers.0.self_attn.o_proj.weight",
                                         "model.layers.0.mlp.up_proj.weight",
                                         "model.layers.0.mlp.down_proj.weight"};
    static const char config[] = "{" LLAMA "," SIZES "," NORMS "}";
    scene s;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        REQUIRE(t, scene_open(&s));
        drop(&s, needed[i]);
        refused(t, &s, config, LEAT_E_TENSOR, needed[i]);
        scene_close(&s);
    }
    REQUIRE(t, scene_open(&s));
    CHECK(t, converted(t, &s, config, ""));
    add(&s, "model.layers.0.self_attn.q_norm.weight", 24, 0);
    refused(t, &s, config, LEAT_E_TENSOR, "model.layers.0.self_attn.q_norm.weight of the folder");
    scene_close(&s);
    REQUIRE(t, scene_open(&s));
    refused(t, &s, "{" LLAMA ",\"num_key_value_heads\":2," SIZES "," NORMS "}", LEAT_E_TENSOR,
            "(model.layers.0.self_attn.k_proj.weight of the folder)");
    refused(t, &s,
            "{" LLAMA ",\"num_hidden_layers\":2,\"hidden_size\":96,\"num_attention_heads\":4,"
            "\"intermediate_size\":64," NORMS "}",
            LEAT_E_TENSOR, "(model.layers.1.input_layernorm.weight of the folder)");
    scene_close(&s);
    /* other prefixes */
    REQUIRE(t, scene_open(&s));
    drop(&s, "model.layers.0.mlp.up_proj.weight");
    for (size_t i = 0; i < s.n; i++) {
        char name[160];
        snprintf(name, sizeof name, "language_model.%.100s", s.list[i].name);
        memcpy(s.list[i].name, name, sizeof name);
    }
    refused(t, &s, config, LEAT_E_TENSOR, "(language_model.model.layers.0.mlp.up_proj.weight of");
    scene_close(&s);
}

static void keys(test *t) {
    static const struct {
        const char *config, *word;
    } cases[] = {
        {"{" LLAMA "," NORMS ",\"num_hidden_layers\":1,\"hidden_size\":96,\"num_attention_heads\":4}",
         "(intermediate_size of config.json)"},
        {"{" LLAMA "," NORMS ",\"num_hidden_layers\":1,\"hidden_size\":96,\"intermediate_size\":64}",
         "num_attention_heads"},
        /* no default is known */
        {"{\"architectures\":[\"XverseForCausalLM\"]," SIZES ",\"max_position_embeddings\":64}",
         "(rms_norm_eps of config.json)"},
        {"{\"architectures\":[\"XverseForCausalLM\"]," SIZES ",\"rms_norm_eps\":1e-5}",
         "(max_position_embeddings of config.json)"},
        {"{\"model_type\":\"xverse\"," LLAMA "," SIZES ",\"rms_norm_eps\":1e-5}",
         "(max_position_embeddings of config.json)"},
        {"{" LLAMA ",\"vocab_size\":-5," SIZES "," NORMS "}", "vocab_size"},
        {"{" LLAMA ",\"vocab_size\":\"8\"," SIZES "," NORMS "}", "vocab_size"},
    };
    scene s;
    REQUIRE(t, scene_open(&s));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(t, &s, cases[i].config, LEAT_E_HPARAM, cases[i].word);
    CHECK(t, file_put(folder_file(&s.f, "merges.txt"), "\n", 1));
    refused(t, &s, "{" LLAMA "," SIZES "," NORMS "}", LEAT_E_VOCAB, "merges");
    CHECK(t, file_put(folder_file(&s.f, "merges.txt"), "a q\n", 4));
    refused(t, &s, "{" LLAMA "," SIZES "," NORMS "}", LEAT_E_VOCAB, "'a q'");
    scene_close(&s);
}

static void defaults(test *t) {
    scene s;
    const gguf *g;
    REQUIRE(t, scene_open(&s));
    g = converted(t, &s, "{" LLAMA "," SIZES "}", "");
    CHECK(t, number(g, "llama.context_length") == 2048);
    CHECK(t, fabs(number(g, "llama.attention.layer_norm_rms_epsilon") - 1e-6) < 1e-12);
    CHECK(t, number(g, "llama.attention.head_count_kv") == 4);
    /* by the kind of model, whatever stands for the architecture; what is said goes before */
    g = converted(
        t, &s,
        "{\"model_type\":\"mixtral\",\"num_key_value_heads\":4,\"max_position_embeddings\":77," LLAMA
        "," SIZES "}",
        "");
    CHECK(t, number(g, "llama.context_length") == 77);
    CHECK(t, fabs(number(g, "llama.attention.layer_norm_rms_epsilon") - 1e-5) < 1e-11);
    CHECK(t, number(g, "llama.rope.freq_base") == 1e6);
    g = converted(
        t, &s,
        "{\"model_type\":\"mixtral\",\"num_key_value_heads\":4,\"rope_theta\":5000," LLAMA "," SIZES "}", "");
    CHECK(t, number(g, "llama.rope.freq_base") == 5000);
    /* whose default of 8 is not what this folder has */
    refused(t, &s, "{\"model_type\":\"mistral\"," LLAMA "," SIZES "}", LEAT_E_HPARAM, "head_count");
    scene_close(&s);
}

/* ---- settings ---- */

static void positions(test *t) {
#define ROPE(text) "{" LLAMA ",\"rope_scaling\":" text "," SIZES "," NORMS "}"
    scene s;
    REQUIRE(t, scene_open(&s));
    refused(t, &s, ROPE("{\"rope_type\":\"weird\",\"factor\":2}"), LEAT_E_UNSUPPORTED, "\"weird\"");
    refused(t, &s, ROPE("{\"type\":\"ntk\",\"factor\":2}"), LEAT_E_UNSUPPORTED, "\"ntk\"");
    refused(t, &s, ROPE("{\"rope_type\":\"yarn\"}"), LEAT_E_UNSUPPORTED, "\"yarn\" without a factor");
    refused(t, &s, ROPE("{\"rope_type\":7}"), LEAT_E_UNSUPPORTED, "scaled");
    refused(t, &s,
            "{\"architectures\":[\"DeepseekForCausalLM\"],\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"
            "," SIZES "," NORMS "}",
            LEAT_E_UNSUPPORTED, "\"linear\", which is not supported for this");
    CHECK(t, converted(t, &s, ROPE("{\"rope_type\":\"default\"}"), ""));
    CHECK(t, converted(t, &s, ROPE("null"), ""));
    CHECK(t, converted(t, &s, ROPE("{\"rope_type\":\"linear\",\"factor\":2}"), ""));
    CHECK(t, converted(t, &s, ROPE("{\"rope_type\":\"dynamic\",\"factor\":2}"), "\"dynamic\""));
    CHECK(t, converted(t, &s, "{" LLAMA ",\"sliding_window\":16," SIZES "," NORMS "}", "the last 16 tokens"));
    CHECK(t, converted(t, &s, "{" LLAMA ",\"sliding_window\":64," SIZES "," NORMS "}", ""));
    CHECK(t, converted(t, &s,
                       "{" LLAMA ",\"sliding_window\":16,\"use_sliding_window\":false," SIZES "," NORMS "}",
                       ""));
    scene_close(&s);
}

/* Every architecture converts with its own activation (test_convert.c), and with no other. */
static void activations(test *t) {
    static const char *const wrong[] = {"\"quick_gelu\"", "\"silu\"", "\"gelu\"", "\"relu2\""};
    const arch_spec *const lists[] = {arch_specs, embed_specs};
    size_t n = 0;
    for (size_t i = 0; i < 2; i++)
        for (const arch_spec *a = lists[i]; a->arch; a++) {
            int own = a->gelu ? 2 : a->relu_sqr ? 3 : 1;
            random_model m = random_model_of(a, FORMAT_F32);
            leat_error e = {LEAT_OK, ""};
            folder f;
            if (a->variant || (a->latent && !a->absorbed)) continue;
            if (!strcmp(a->arch, "starcoder")) m.n_head_kv = 1;
            REQUIRE(t, folder_make(&f));
            const char *from = folder_file(&f, "a.gguf"), *config = folder_file(&f, "config.json");
            bool good = !random_model_write(&m, from, &e) && hf_write(from, a, f.path, 1);
            size_t length = 0;
            char text[8192], own_text[8192] = "", *old = own_text;
            unsigned char *bytes = good ? file_get(config, &length) : NULL;
            if (bytes && length < sizeof own_text) memcpy(own_text, bytes, length);
            free(bytes);
            char *at = NULL;
            for (const char *names[] = {"hidden_act", "activation"}, **p = names; p < names + 2 && !at; p++)
                at = strstr(old, *p);
            char *colon = at ? strchr(at, ':') : NULL, *end = colon ? strpbrk(colon, ",}") : NULL;
            for (int k = 0; end && k < 4; k++) {
                if (k == own) continue;
                size_t w = (size_t)snprintf(text, sizeof text, "%.*s%s%.*s", (int)(colon + 1 - old), old,
                                            wrong[k], (int)(old + length - end), end);
                file_put(config, text, w);
                leat_status got = leat_convert(f.path, folder_file(&f, "out.gguf"), NULL, &e);
                if (got != LEAT_E_UNSUPPORTED || !strstr(e.message, wrong[k]))
                    TEST_FAIL(t, "%s with %s: %d (%s)", a->arch, wrong[k], got, e.message);
                n++;
            }
            if (!end) TEST_FAIL(t, "%s: no activation in the folder: %s", a->arch, e.message);
            folder_remove(&f);
        }
    CHECK(t, n >= 3 * 60);
}

static void synonyms(test *t) {
    scene s;
    REQUIRE(t, scene_open(&s));
    CHECK(t, converted(t, &s, "{" LLAMA ",\"hidden_act\":\"swish\"," SIZES "," NORMS "}", ""));
    CHECK(t, converted(t, &s, "{" LLAMA ",\"hidden_act\":null," SIZES "," NORMS "}", ""));
    refused(t, &s, "{" LLAMA ",\"hidden_act\":\"gelu_new\"," SIZES "," NORMS "}", LEAT_E_UNSUPPORTED,
            "hidden_act is \"gelu_new\"");
    scene_close(&s);
}

/* ---- layers beyond the last ---- */

static void surplus(test *t) {
    static const char plain[] = "{" LLAMA "," SIZES "," NORMS "}";
    scene s;
    REQUIRE(t, scene_open(&s));
    add(&s, "model.layers.1.mlp.up_proj.weight", 4, 4);
    refused(t, &s, plain, LEAT_E_HPARAM, "\"model.layers.1.mlp.up_proj.weight\"");
    /* counted as drafting, or known by a name of its own */
    CHECK(t, converted(t, &s, "{" LLAMA ",\"num_nextn_predict_layers\":1," SIZES "," NORMS "}", "1 tensors"));
    add(&s, "model.layers.1.eh_proj.weight", 4, 4);
    CHECK(t, converted(t, &s, plain, "2 tensors of layers beyond the 1"));
    add(&s, "mtp.layers.0.norm.weight", 4, 0);
    const gguf *g = converted(t, &s, plain, "3 tensors of layers beyond the 1");
    CHECK(t, g && !gguf_find_tensor(g, "blk.1.ffn_up.weight"));
    scene_close(&s);
}

static void ends(test *t) {
    scene s;
    REQUIRE(t, scene_open(&s));
    CHECK(t, converted(t, &s, "{" LLAMA ",\"bos_token_id\":99999," SIZES "," NORMS "}",
                       "config.json: bos_token_id is 99999, but there are 8 tokens"));
    CHECK(t, converted(t, &s, "{" LLAMA ",\"eos_token_id\":[2,8]," SIZES "," NORMS "}", "eos_token_id is 8"));
    CHECK(t,
          converted(t, &s, "{" LLAMA ",\"eos_token_id\":[2,7],\"bos_token_id\":-1," SIZES "," NORMS "}", ""));
    scene_close(&s);
}

#define TESTS(X) X(tensors) X(keys) X(defaults) X(positions) X(activations) X(synonyms) X(surplus) X(ends)
TEST_SUITE(TESTS)
