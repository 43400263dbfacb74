/* What a config.json does not say and the program that reads it there has a default for, by the kind of
 * model: from the configuration classes of Hugging Face's transformers. Only what does not follow from the
 * weights; what is not here and missing is refused. */
#include <string.h>

#include "conversion.h"

static const struct {
    const char *model_type, *name; /* name: where there is no model_type */
    config_defaults values;
} known[] = {
    {"llama", "LlamaForCausalLM", {.context = 2048, .eps = 1e-6}},
    {"mistral", "MistralForCausalLM", {.context = 131072, .heads_kv = 8, .eps = 1e-6}},
    {"mixtral", "MixtralForCausalLM", {.context = 131072, .heads_kv = 8, .eps = 1e-5, .theta = 1e6}},
    {"qwen2", "Qwen2ForCausalLM", {.context = 32768, .eps = 1e-6}},
    {"qwen3", "Qwen3ForCausalLM", {.context = 32768, .head_dim = 128, .eps = 1e-6}},
    {"gemma", "GemmaForCausalLM", {.context = 8192, .heads_kv = 16, .head_dim = 256, .eps = 1e-6}},
    {"gemma2", "Gemma2ForCausalLM", {.context = 8192, .heads_kv = 4, .head_dim = 256, .eps = 1e-6}},
    {"smollm3", "SmolLM3ForCausalLM", {.context = 32768, .heads_kv = 4, .eps = 1e-6, .theta = 2e6}},
};

const config_defaults *config_default(const conversion *c) {
    static const config_defaults none = {.context = 0};
    const json_value *type = json_get(c->text, "model_type");
    const json_value *list = json_get(c->config, "architectures");
    const json_value *name = list && list->type == JSON_ARRAY ? list->first : NULL;
    bool typed = type && type->type == JSON_STRING;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (typed ? str_eq(type->text, known[i].model_type)
                  : name && name->type == JSON_STRING && str_eq(name->text, known[i].name))
            return &known[i].values;
    return &none;
}
