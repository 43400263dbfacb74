/* What Leat makes of a model file; see info.h. Everything that is in the metadata is shown for files that
 * can't run too. */
#include "info.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "input.h"
#include "term.h"

enum { CONTEXT_SHOWN = 4096, TEMPLATE_MARKS = 1 << 20 };

/* ---- who made it ---- */

static const struct {
    const char *label, *key;
} origin[] = {
    {"author", "general.author"},
    {"organization", "general.organization"},
    {"version", "general.version"},
    {"fine-tune", "general.finetune"},
    {"base model", "general.base_model.0.name"},
    {"made of", "general.base_model.0.repo_url"},
    {"license", "general.license"},
    {"license text", "general.license.link"},
    {"source", "general.source.url"},
    {"repository", "general.repo_url"},
    {"web page", "general.url"},
    {"quantized by", "general.quantized_by"},
    {"description", "general.description"},
};

static void print_string(leat_str s) {
    term_put_clean(stdout, s.data, s.size, 3 * SHOWN_STRING);
    putchar('\n');
}

void info_print_origin(const leat_file *file) {
    leat_str text;
    for (size_t i = 0; i < sizeof origin / sizeof *origin; i++)
        if (info_string(file, origin[i].key, &text) && text.size) {
            info_label(origin[i].label);
            print_string(text);
        }
}

/* ---- tokens ---- */

static const struct {
    const char *name, *key;
} special[] = {
    {"BOS", "bos"},
    {"EOS", "eos"},
    {"EOT", "eot"},
    {"EOM", "eom"},
    {"UNK", "unknown"},
    {"SEP", "seperator"},
    {"PAD", "padding"},
    {"CLS", "cls"},
    {"MASK", "mask"},
    {"FIM prefix", "fim_pre"},
    {"FIM suffix", "fim_suf"},
    {"FIM middle", "fim_mid"},
};

/* The i-th special token's id and text, if the file names one that it has. */
static bool special_token(const leat_file *file, size_t i, uint64_t *id, leat_str *text) {
    char key[64];
    size_t index, tokens;
    leat_value value;
    leat_meta meta;
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", special[i].key);
    if (leat_file_meta_find(file, key, &index) || leat_file_meta(file, index, &meta) ||
        (meta.type != LEAT_META_U32 && meta.type != LEAT_META_U64 && meta.type != LEAT_META_I32) ||
        leat_file_meta_value(file, index, 0, NULL, &value))
        return false;
    *id = meta.type == LEAT_META_I32 ? (value.i64 < 0 ? UINT64_MAX : (uint64_t)value.i64) : value.u64;
    if (leat_file_meta_find(file, "tokenizer.ggml.tokens", &tokens) || leat_file_meta(file, tokens, &meta) ||
        meta.elem_type != LEAT_META_STRING || *id >= meta.count ||
        leat_file_meta_value(file, tokens, *id, NULL, &value))
        return false;
    *text = value.str;
    return true;
}

/* ---- the chat template ---- */

static bool contains(leat_str s, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= s.size && i < TEMPLATE_MARKS; i++) {
        const char *at = memchr(s.data + i, word[0], s.size - n + 1 - i);
        if (!at) return false;
        i = (size_t)(at - s.data);
        if (!memcmp(at, word, n)) return true;
    }
    return false;
}

/* The family of a template, by the marks that set its messages apart. */
static const char *template_family(leat_str s) {
    static const struct {
        const char *mark, *family;
    } list[] = {
        {"<|im_start|>", "ChatML"},
        {"<|start_header_id|>", "Llama 3"},
        {"<|header_start|>", "Llama 4"},
        {"<|channel|>", "Harmony (gpt-oss)"},
        {"<start_of_turn>", "Gemma"},
        {"<|turn>", "Gemma 4"},
        {"[INST]", "Mistral"},
        {"<\xEF\xBD\x9CUser\xEF\xBD\x9C>", "DeepSeek"},
        {"[gMASK]", "GLM"},
        {"<|START_OF_TURN_TOKEN|>", "Command R"},
        {"<|start_of_role|>", "Granite"},
        {"<|user|>", "Phi or Zephyr"},
        {"[|user|]", "EXAONE"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (contains(s, list[i].mark)) return list[i].family;
    return "of its own kind";
}

static bool template_thinks(leat_str s) {
    return contains(s, "think>") || contains(s, "reasoning") || contains(s, "thinking") ||
           contains(s, "<|channel|>");
}

static void print_template(const leat_file *file) {
    leat_str source;
    leat_template *t = NULL;
    leat_error error;
    info_label("template");
    if (!info_string(file, "tokenizer.chat_template", &source) || !source.size) {
        printf("none: a base model, which goes on with a text\n");
        return;
    }
    printf("%s", template_family(source));
    if (template_thinks(source)) printf(", with thinking");
    if (contains(source, "tools")) printf(", with tools");
    if (leat_template_open(source.data, source.size, &t, &error)) {
        printf("; it can't be used: ");
        term_put_clean(stdout, error.message, strlen(error.message), SIZE_MAX);
    }
    putchar('\n');
    leat_template_close(t);
}

/* ---- sampling ---- */

static bool has_sampling(const leat_file *file) {
    for (size_t i = 0; i < leat_file_meta_count(file); i++) {
        leat_meta meta;
        static const char prefix[] = "general.sampling.";
        if (!leat_file_meta(file, i, &meta) && meta.key.size >= sizeof prefix &&
            !memcmp(meta.key.data, prefix, sizeof prefix - 1))
            return true;
    }
    return false;
}

void info_print_text(const leat_file *file) {
    uint64_t id;
    leat_str text;
    bool any = false;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (!special_token(file, i, &id, &text)) continue;
        if (!any) info_label("special tokens");
        printf("%s%s %" PRIu64 " ", any ? ", " : "", special[i].name, id);
        term_put_clean(stdout, text.data, text.size, SHOWN_STRING);
        any = true;
    }
    if (any) putchar('\n');
    if (info_string(file, "tokenizer.ggml.model", &text)) print_template(file);
}

/* ---- how it runs ---- */

static void measure(info_model *m, uint32_t n_ctx, const info_wish *wish) {
    leat_session_params p;
    leat_session_params_default(&p);
    p.n_ctx = n_ctx;
    p.n_batch = (uint32_t)wish->batch;
    p.n_threads = thread_count(wish->threads);
    p.k_type = cache_type(wish->cache_k);
    p.v_type = cache_type(wish->cache_v);
    if (!leat_session_measure(m->model, &p, &m->memory[m->n_memory], &m->memory_error)) m->n_memory++;
}

void info_model_open(info_model *m, const leat_file *file, const char *path, const info_wish *wish) {
    leat_model_params p;
    *m = (info_model){0};
    leat_model_params_default(&p);
    p.isa = wish->isa;
    if (!leat_file_tensor_count(file)) p.vocab_only = true; /* a vocabulary without weights is not broken */
    if (leat_model_open(path, &p, &m->model, &m->error)) return;
    leat_model_get_info(m->model, &m->info);
    if (!m->info.has_weights) return;
    uint32_t trained = m->info.n_ctx_train;
    if (wish->context)
        measure(m, (uint32_t)wish->context, wish);
    else {
        if (trained > CONTEXT_SHOWN) measure(m, CONTEXT_SHOWN, wish);
        measure(m, trained, wish);
    }
}

void info_model_close(info_model *m) {
    leat_model_close(m->model);
}

static void print_memory(const leat_memory *y) {
    uint64_t total = y->weights + y->cache + y->state + y->buffers;
    info_label("memory");
    info_print_bytes(total);
    printf(" at %u tokens: weights ", (unsigned)y->n_ctx);
    info_print_bytes(y->weights);
    printf(", cache ");
    info_print_bytes(y->cache);
    if (y->state) {
        printf(", state ");
        info_print_bytes(y->state);
    }
    printf(", buffers ");
    info_print_bytes(y->buffers);
    if (total > y->available) {
        printf("; more than the ");
        info_print_bytes(y->available);
        printf(" there are");
    }
    putchar('\n');
}

static void print_sampling(const leat_model *model) {
    leat_sampler_params p;
    leat_sampler_params_default(&p);
    leat_sampler_params_model(model, &p);
    info_label("sampling");
    printf("temperature %g, top_k %d, top_p %g, min_p %g", (double)p.temp, (int)p.top_k, (double)p.top_p,
           (double)p.min_p);
    if (p.repeat_penalty != 1.0f) printf(", repeat_penalty %g", (double)p.repeat_penalty);
    printf(", as the model's file recommends\n");
}

void info_print_model(const info_model *m, const leat_file *file) {
    if (!m->model) {
        info_label("can't run");
        term_put_clean(stdout, m->error.message, strlen(m->error.message), SIZE_MAX);
        putchar('\n');
        return;
    }
    if (m->info.has_weights) {
        info_label("makes");
        printf(m->info.makes_text ? "text (leat run, leat chat)" : "embeddings (leat embed)");
        printf(m->info.makes_text ? "; embeddings by pooling: %s\n" : ", pooling: %s\n",
               leat_pooling_name(m->info.pooling));
        if (m->info.makes_text && has_sampling(file)) print_sampling(m->model);
        for (size_t i = 0; i < m->n_memory; i++) print_memory(&m->memory[i]);
        if (m->memory_error.code) {
            info_label("memory");
            term_put_clean(stdout, m->memory_error.message, strlen(m->memory_error.message), SIZE_MAX);
            putchar('\n');
        }
    }
    for (size_t i = 0; leat_model_warning(m->model, i); i++) {
        const char *warning = leat_model_warning(m->model, i);
        info_label("warning");
        term_put_clean(stdout, warning, strlen(warning), SIZE_MAX);
        putchar('\n');
    }
}

/* ---- as JSON ---- */

static void json_tokens(json *j, const leat_file *file) {
    json_name(j, "special_tokens");
    json_object(j);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        uint64_t id;
        leat_str text;
        if (!special_token(file, i, &id, &text)) continue;
        json_name(j, special[i].key);
        json_object(j);
        json_name(j, "id");
        json_u64(j, id);
        json_name(j, "text");
        json_string(j, text.data, text.size);
        json_object_end(j);
    }
    json_object_end(j);
}

static void json_template(json *j, const leat_file *file) {
    leat_str source;
    leat_template *t = NULL;
    leat_error error;
    json_name(j, "chat_template");
    if (!info_string(file, "tokenizer.chat_template", &source) || !source.size) {
        json_null(j);
        return;
    }
    bool usable = !leat_template_open(source.data, source.size, &t, &error);
    leat_template_close(t);
    json_object(j);
    json_name(j, "family");
    json_text(j, template_family(source));
    json_name(j, "thinking");
    json_bool(j, template_thinks(source));
    json_name(j, "tools");
    json_bool(j, contains(source, "tools"));
    json_name(j, "error");
    json_text(j, usable ? NULL : error.message);
    json_object_end(j);
}

static void json_memory(json *j, const info_model *m) {
    json_name(j, "memory");
    json_array(j);
    for (size_t i = 0; i < m->n_memory; i++) {
        const leat_memory *y = &m->memory[i];
        const struct {
            const char *name;
            uint64_t value;
        } list[] = {{"context", y->n_ctx},   {"weights", y->weights},
                    {"cache", y->cache},     {"state", y->state},
                    {"buffers", y->buffers}, {"total", y->weights + y->cache + y->state + y->buffers}};
        json_object(j);
        for (size_t k = 0; k < sizeof list / sizeof *list; k++) {
            json_name(j, list[k].name);
            json_u64(j, list[k].value);
        }
        json_object_end(j);
    }
    json_array_end(j);
}

void info_json_model(json *j, const leat_file *file, const info_model *m) {
    json_tokens(j, file);
    json_template(j, file);
    json_name(j, "error");
    json_text(j, m->model ? NULL : m->error.message);
    json_name(j, "makes_text");
    json_bool(j, m->model && m->info.makes_text);
    json_name(j, "pooling");
    json_text(j, m->model && m->info.has_weights ? leat_pooling_name(m->info.pooling) : NULL);
    json_name(j, "isa");
    json_text(j, m->model ? m->info.isa : NULL);
    json_memory(j, m);
    json_name(j, "memory_error");
    json_text(j, m->memory_error.code ? m->memory_error.message : NULL);
    json_name(j, "warnings");
    json_array(j);
    for (size_t i = 0; m->model && leat_model_warning(m->model, i); i++)
        json_text(j, leat_model_warning(m->model, i));
    json_array_end(j);
}
