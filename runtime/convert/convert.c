/* See convert.h. Makes the description of a GGUF file that is nowhere yet, metadata in memory and tensors as
 * views of the folder's, and hands it to the quantizer, which writes files whole or not at all. */
#include "convert.h"

#include <stdio.h>
#include <string.h>

#include "conversion.h"
#include "folder.h"
#include "kernels/formats.h"
#include "loader/alloc.h"
#include "loader/parse.h"
#include "runtime/quantize/quantize.h"
#include "runtime/quantize/quantize_plan.h"

enum { DOCUMENTS_MAX = 64 << 20 }; /* config.json and what is computed */

/* In alphabetical order, each once: tables have some under more than one name. */
const char *convert_architecture(size_t i) {
    const char *last = "";
    for (;; i--) {
        const char *next = NULL;
        const convert_arch *a;
        for (size_t k = 0; (a = convert_arch_get(k)); k++)
            if (strcmp(a->arch, last) > 0 && (!next || strcmp(a->arch, next) < 0)) next = a->arch;
        if (!next || !i) return next;
        last = next;
    }
}

/* ---- the architecture ---- */

static void refuse(conversion *c, str name) {
    char list[200];
    size_t n = 0;
    const char *a;
    for (size_t i = 0; (a = convert_architecture(i)) && n + 24 < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", a);
    conversion_fail(c, LEAT_E_ARCH, "%.60s can't be converted; can be: %s%s", name.p, list, a ? ", ..." : "");
}

/* Names that stand for more than one architecture: Granite 4's with and without state spaces, Nomic's with
 * and without experts, Jina's under that of what it was made of. */
static const convert_arch *really(conversion *c, const convert_arch *a) {
    const json_value *kinds = cfg(c, "layer_types|layers_block_type");
    if (!strcmp(a->arch, "nomic-bert") && cfg_u32(c, "moe_every_n_layers", 0))
        return convert_arch_named("nomic-bert-moe");
    if (!strcmp(a->arch, "bert") && cfg(c, "lora_adaptations")) return convert_arch_named("jina-bert-v3");
    if (!kinds || kinds->type != JSON_ARRAY || strcmp(a->arch, "granitehybrid") != 0) return a;
    for (const json_value *v = kinds->first; v; v = v->next)
        if (v->type != JSON_STRING || !str_eq(v->text, "attention")) return a;
    const json_value *experts = cfg(c, "num_local_experts");
    bool some = experts && experts->type == JSON_INT && experts->integer > 0;
    str name = some ? (str){"GraniteMoeForCausalLM", 21} : (str){"GraniteForCausalLM", 18};
    return convert_arch_find(name);
}

static void find_architecture(conversion *c) {
    const json_value *list = json_get(c->config, "architectures");
    const json_value *name = list && list->type == JSON_ARRAY ? list->first : NULL;
    c->text = c->config;
    static const char *const inner[] = {"text_config", "llm_config", "language_config",
                                        "thinker_config.text_config"};
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        const json_value *text = json_path(c->config, inner[i]);
        if (text && text->type == JSON_OBJECT) c->text = text;
    }
    if (!name || name->type != JSON_STRING) {
        conversion_fail(c, LEAT_E_ARCH, "config.json has no \"architectures\"");
        return;
    }
    c->arch = convert_arch_find(name->text);
    /* a frame for models of several kinds says which one it holds */
    if (!c->arch && c->text != c->config) {
        const json_value *own = json_get(c->text, "architectures");
        if (own && own->type == JSON_ARRAY && own->first && own->first->type == JSON_STRING)
            c->arch = convert_arch_find(own->first->text);
    }
    /* Mistral Small 3 is a Llama in the frame of a multimodal model */
    if (c->arch && !strcmp(c->arch->arch, "mistral3") && cfg_is(c, "model_type", "mistral"))
        c->arch = convert_arch_find((str){"MistralForCausalLM", 18});
    if (!c->arch) {
        refuse(c, name->text);
        return;
    }
    c->arch = really(c, c->arch);
    c->rules = c->arch->dense_tensors && !cfg_u32(c, "num_local_experts|num_experts", 0)
                   ? c->arch->dense_tensors
                   : c->arch->tensors;
}

static bool is_one_of(const json_value *v, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (v->type == JSON_STRING && str_eq(v->text, list[i])) return true;
    return false;
}

/* Methods, and variants of methods, that packed.c and scales in targets.c do not know. */
static void refuse_quantized(conversion *c) {
    static const char *const methods[] = {
        "fp8",          "mxfp4",           "compressed-tensors", "fbgemm_fp8", "gptq",    "awq",
        "bitsandbytes", "finegrained_fp8", "auto-round",         "quark",      "modelopt"};
    static const char *const formats[] = {
        "float-quantized",      "int-quantized",        "naive-quantized", "pack-quantized",
        "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mixed-precision", "dense"};
    static const char *const checkpoints[] = {"gptq", "gptq_v2", ""};
    static const char *const versions[] = {"gemm", "GEMM"};
    const json_value *method = cfg(c, "quantization_config.quant_method"),
                     *format = cfg(c, "quantization_config.format"),
                     *checkpoint = cfg(c, "quantization_config.checkpoint_format"),
                     *version = cfg(c, "quantization_config.version"), *bad = NULL;
    if (!method || method->type != JSON_STRING) return;
    if (!is_one_of(method, methods, sizeof methods / sizeof *methods)) bad = method;
    if (str_eq(method->text, "compressed-tensors") && format &&
        !is_one_of(format, formats, sizeof formats / sizeof *formats))
        bad = format;
    if (str_eq(method->text, "gptq") && checkpoint && !is_one_of(checkpoint, checkpoints, 3))
        bad = checkpoint;
    if (str_eq(method->text, "awq") && version && !is_one_of(version, versions, 2)) bad = version;
    if (bad)
        conversion_fail(
            c, LEAT_E_UNSUPPORTED,
            "the weights are quantized as \"%.40s%s%.40s\", which can't be converted; convert the "
            "model that they were made from",
            method->text.p, bad == method ? "" : ", ",
            bad == method || bad->type != JSON_STRING ? "" : bad->text.p);
}

/* ---- names of the model ---- */

static void general(conversion *c) {
    meta_out *m = &c->meta;
    const char *folder = c->params->name ? c->params->name : c->folder;
    size_t n = strlen(folder) - (c->params->name ? 0 : folder_single(folder).n);
    while (!c->params->name && n > 1 && folder[n - 1] == '/') n--;
    size_t start = n;
    while (!c->params->name && start > 0 && folder[start - 1] != '/') start--;
    if (c->params->name) start = 0;
    str name = {folder + start, n - start};
    const json_value *path = json_get(c->config, "_name_or_path");
    bool dots = str_eq(name, ".") || str_eq(name, "..") || !name.n || str_eq(name, "/");
    if (dots && path && path->type == JSON_STRING && path->text.n) name = path->text;
    meta_put_text(m, "general.architecture", c->arch->arch);
    meta_put_text(m, "general.type", "model");
    meta_put_str(m, "general.name", name);
}

/* "1.2B", as names of models have it. */
static void size_label(conversion *c) {
    double total = 0;
    char text[32];
    for (size_t i = 0; i < c->n_targets; i++) total += (double)target_values(&c->targets[i]);
    double unit = total >= 1e12 ? 1e12 : total >= 1e9 ? 1e9 : total >= 1e6 ? 1e6 : 1e3;
    const char *letter = total >= 1e12 ? "T" : total >= 1e9 ? "B" : total >= 1e6 ? "M" : "K";
    double value = total / unit;
    snprintf(text, sizeof text, value < 10 ? "%.1f%s" : "%.0f%s", value, letter);
    meta_put_text(&c->meta, "general.size_label", text);
}

/* ---- as a source of weights ---- */

static void read_weights(const void *owner, size_t tensor, uint64_t start, size_t n, float *out) {
    const conversion *c = owner;
    target_read(&c->targets[tensor], start, n, out);
}

static void read_blocks(const void *owner, size_t tensor, uint64_t start, size_t n, uint8_t *out) {
    const conversion *c = owner;
    target_blocks(&c->targets[tensor], start, n, out);
}

static void drop(const void *owner) {
    weights_drop(&((const conversion *)owner)->w);
}

static bool lost(const void *owner) {
    return weights_lost(&((const conversion *)owner)->w);
}

/* The type that loses nothing of most weights. */
static const char *own_type(const conversion *c) {
    double f32 = 0, f16 = 0, bf16 = 0;
    for (size_t i = 0; i < c->w.n; i++) {
        const source_tensor *t = &c->w.t[i];
        double n = (double)t->n;
        if (t->n_dims < 2) continue;
        if (t->type == WEIGHT_F32 || t->type == WEIGHT_F64) f32 += n;
        if (t->type == WEIGHT_F16) f16 += n;
        if (t->type == WEIGHT_BF16 || t->type == WEIGHT_F8_E4M3 || t->type == WEIGHT_F8_E5M2) bf16 += n;
    }
    return f32 > f16 && f32 > bf16 ? "F32" : f16 > bf16 ? "F16" : "BF16";
}

/* The description of the file, with tensors that have no data. */
static leat_status describe(conversion *c, gguf *g, leat_error *e) {
    const uint8_t *p;
    size_t n;
    leat_status s = meta_finish(&c->meta, &p, &n);
    if (!s) s = gguf_parse(p, n, g, e);
    if (s) return s;
    mem_free(g->tensors);
    mem_free(g->tensor_index);
    g->tensor_index = NULL;
    g->tensor_index_size = 0;
    g->tensors = mem_alloc(c->n_targets, sizeof *g->tensors);
    if (!g->tensors) {
        g->n_tensors = 0;
        return error_set(e, LEAT_E_NOMEM, "out of memory for %zu tensors", c->n_targets);
    }
    g->n_tensors = c->n_targets;
    for (size_t i = 0; i < c->n_targets; i++) {
        const target *t = &c->targets[i];
        gguf_tensor *out = &g->tensors[i];
        *out = (gguf_tensor){.name = {t->name, strlen(t->name)}, .format = t->format, .n_dims = t->n_dims};
        memcpy(out->ne, t->ne, sizeof out->ne);
        out->row_bytes = format_row_bytes(t->format, (size_t)t->ne[0]);
        out->n_rows = (size_t)(t->ne[1] * t->ne[2] * t->ne[3]);
        out->bytes = out->row_bytes * out->n_rows;
    }
    return tensors_index(g, e);
}

static leat_status write_file(conversion *c, const char *out_path, leat_error *e) {
    const weight_source source = {c, read_weights, read_blocks, drop, lost, convert_check};
    const leat_convert_params *p = c->params;
    leat_quantize_params q = {.type = p->type ? p->type : own_type(c),
                              .n_threads = p->n_threads,
                              .progress = p->progress,
                              .user = p->user,
                              .imatrix = p->imatrix,
                              .tensor_types = p->tensor_types,
                              .n_tensor_types = p->n_tensor_types,
                              .output_tensor_type = p->output_tensor_type,
                              .token_embedding_type = p->token_embedding_type,
                              .pure = p->pure,
                              .summary = p->summary};
    gguf g = {0};
    leat_status s = describe(c, &g, e);
    if (!s) s = quantize_source(&g, &source, out_path, &q, e);
    gguf_free(&g);
    return s;
}

static void make(conversion *c) {
    meta_open(&c->meta, c->arch->arch, c->e);
    general(c);
    hparams_make(c);
    if (!c->status) c->status = weights_open(&c->w, c->folder, c->e);
    modules_make(c);
    if (!c->status) targets_make(c);
    if (!c->status) size_label(c);
    if (!c->status) vocab_make(c);
    if (!c->status) c->status = c->meta.status;
}

leat_status convert_folder(const char *folder, const char *out_path, const leat_convert_params *params,
                           leat_error *e) {
    leat_error own;
    if (!e) e = &own;
    conversion *c = mem_alloc(1, sizeof *c);
    if (!c) return error_set(e, LEAT_E_NOMEM, "out of memory for converting");
    c->folder = folder;
    c->params = params;
    c->e = e;
    arena_init(&c->a, DOCUMENTS_MAX);
    c->status = folder_json(folder, "config.json", true, &c->a, &c->config, e);
    if (!c->status) find_architecture(c);
    if (!c->status) refuse_quantized(c);
    if (!c->status) make(c);
    leat_status s = c->status;
    if (!s) s = write_file(c, out_path, e);
    for (size_t i = 0; i < c->n_targets; i++) target_free(&c->targets[i]);
    mem_free(c->targets);
    meta_close(&c->meta);
    weights_close(&c->w);
    arena_free(&c->a);
    mem_free(c);
    return s;
}
