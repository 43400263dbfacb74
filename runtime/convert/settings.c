/* Settings of config.json that change the text and that no key of GGUF holds: an architecture computes them
 * one way, and a folder that asks for another is refused. See hparams.c for those that have keys. */
#include <string.h>

#include "conversion.h"

/* ---- activations ---- */

/* Of feed-forwards, under all names that configurations have; one that computes it otherwise, by erf and not
 * by its approximation, differs less than weights of eight bits do. */
static const char *const kinds[][12] = {{"silu", "swish", "swiglu"},
                                        {"gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_tanh",
                                         "gelu_python", "gelu_python_tanh", "gelu_accurate", "geglu",
                                         "gelu_approx"},
                                        {"relu2", "relu_squared", "relu_sqr", "squared_relu"}};
enum { SILU, GELU, RELU2, KINDS };

/* What an architecture of models/ computes; what is not here has SiLU. */
static int kind_of_arch(const char *arch) {
    static const char *const gelu[] = {
        "bert",         "codeshell",   "falcon",         "gemma",     "gemma-embedding", "gemma2",
        "gemma3",       "gemma3n",     "gemma4",         "gpt2",      "gptneox",         "phi2",
        "jina-bert-v3", "modern-bert", "nomic-bert-moe", "starcoder", "starcoder2"};
    for (size_t i = 0; i < sizeof gelu / sizeof *gelu; i++)
        if (!strcmp(arch, gelu[i])) return GELU;
    return !strcmp(arch, "arcee") || !strcmp(arch, "nemotron") ? RELU2 : SILU;
}

static int kind_of_word(str word) {
    for (int k = 0; k < KINDS; k++)
        for (size_t i = 0; i < sizeof kinds[k] / sizeof *kinds[k] && kinds[k][i]; i++)
            if (str_eq(word, kinds[k][i])) return k;
    return KINDS;
}

static void check_activation(conversion *c) {
    static const char *const names[] = {"hidden_activation", "hidden_act", "activation_function",
                                        "activation"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_value *v = cfg(c, names[i]);
        if (!v || v->type != JSON_STRING) continue;
        int computed = kind_of_arch(c->arch->arch);
        if (kind_of_word(v->text) == computed) return; /* later names are older, and not looked at there */
        conversion_fail(c, LEAT_E_UNSUPPORTED,
                        "config.json: %s is \"%.40s\", which is not supported: %s is computed with \"%s\"",
                        names[i], v->text.p, c->arch->arch, kinds[computed][0]);
        return;
    }
}

/* A window that the architecture here has not; texts that fit it are the same. */
static void tell_window(conversion *c) {
    const json_value *v = cfg(c, "sliding_window"), *used = cfg(c, "use_sliding_window");
    bool off = used && used->type == JSON_BOOL && !used->boolean;
    if (!v || v->type != JSON_INT || v->integer <= 0 || off) return;
    if (meta_has(&c->meta, ".attention.sliding_window")) return;
    if (v->integer >= cfg_u32(c, "max_position_embeddings", UINT32_MAX)) return;
    conversion_warn(c,
                    "attention to the last %lld tokens only (sliding_window) is left out: longer texts come "
                    "out otherwise",
                    (long long)v->integer);
}

void settings_check(conversion *c) {
    const json_value *size = cfg(c, "vocab_size");
    check_activation(c);
    if (!c->status) tell_window(c);
    if (!c->status && size && (size->type != JSON_INT || size->integer <= 0 || size->integer > INT32_MAX))
        conversion_fail(c, LEAT_E_HPARAM, "config.json: vocab_size is not a number of tokens");
}
