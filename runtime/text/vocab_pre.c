/* Which pre-tokenizer a vocabulary wants: what tokenizer.ggml.pre says or, where that is missing or unknown,
 * the best guess by architecture and size, with a warning that it is one. Called by vocab_load.c. */
#include <stdio.h>
#include <string.h>

#include "vocab_load.h"

/* By general.architecture, for vocabularies of least..most tokens (most 0: any); the first that fits. The
 * sizes are those of well-known models: Llama is the architecture of many others' vocabularies, too. */
static const struct {
    const char *arch;
    uint32_t least, most;
    const char *pre;
} guesses[] = {
    {"llama", 131072, 131200, "tekken"},
    {"llama", 128000, 128300, "llama-bpe"},
    {"llama", 102400, 102400, "deepseek-llm"},
    {"llama", 100008, 100008, "gpt-2"},
    {"llama", 49152, 49160, "smollm"},
    {"llama", 32256, 32300, "deepseek-coder"},
    {"llama4", 0, 0, "llama4"},
    {"mistral3", 0, 0, "tekken"},
    {"qwen2", 0, 0, "qwen2"},
    {"qwen2moe", 0, 0, "qwen2"},
    {"qwen2vl", 0, 0, "qwen2"},
    {"qwen3", 0, 0, "qwen2"},
    {"qwen3moe", 0, 0, "qwen2"},
    {"qwen3next", 0, 0, "qwen2"},
    {"qwen35", 0, 0, "qwen35"},
    {"qwen35moe", 0, 0, "qwen35"},
    {"falcon", 0, 0, "falcon"},
    {"falcon-h1", 0, 0, "falcon-h1"},
    {"gpt2", 0, 0, "gpt-2"},
    {"gptneox", 0, 0, "gpt-2"},
    {"mpt", 0, 0, "mpt"},
    {"olmo", 0, 0, "olmo"},
    {"olmo2", 0, 0, "dbrx"},
    {"olmoe", 0, 0, "olmo"},
    {"dbrx", 0, 0, "dbrx"},
    {"phi2", 0, 0, "phi-2"},
    {"phi3", 0, 0, "dbrx"},
    {"bloom", 0, 0, "bloom"},
    {"starcoder", 0, 0, "starcoder"},
    {"starcoder2", 0, 0, "starcoder"},
    {"refact", 0, 0, "refact"},
    {"granite", 0, 0, "refact"},
    {"granitemoe", 0, 0, "refact"},
    {"granitehybrid", 0, 0, "dbrx"},
    {"codeshell", 0, 0, "codeshell"},
    {"command-r", 0, 0, "command-r"},
    {"cohere2", 0, 0, "command-r"},
    {"stablelm", 100000, 0, "stablelm2"},
    {"deepseek2", 160000, 0, "kimi-k2"},
    {"deepseek2", 120000, 0, "deepseek-v3"},
    {"deepseek2", 0, 0, "deepseek-llm"},
    {"deepseek", 0, 0, "deepseek-llm"},
    {"chatglm", 0, 0, "chatglm-bpe"},
    {"glm4", 0, 0, "glm4"},
    {"glm4moe", 0, 0, "glm4"},
    {"exaone", 0, 0, "exaone"},
    {"exaone4", 0, 0, "exaone4"},
    {"smollm3", 0, 0, "smaug-bpe"},
    {"gpt-oss", 0, 0, "gpt-4o"},
    {"lfm2", 0, 0, "lfm2"},
    {"hunyuan-moe", 0, 0, "hunyuan"},
    {"hunyuan-dense", 0, 0, "hunyuan-dense"},
    {"seed_oss", 0, 0, "seed-coder"},
    {"minimax-m2", 0, 0, "minimax-m2"},
    {"bailingmoe", 0, 0, "bailingmoe"},
    {"jais", 0, 0, "jais"},
    {"gemma4", 0, 0, "gemma4"},
    {"grok", 0, 0, "grok-2"},
    {"bert", 0, 0, "roberta-bpe"},
    {"modern-bert", 0, 0, "modern-bert"},
    {"nemotron_h", 0, 0, "tekken"},
};

/* Vocabularies of that size are nearly all of cl100k's kind, smaller ones of GPT-2's. */
enum { LARGE = 100000 };

static const char *guess(str arch, uint64_t tokens) {
    for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++)
        if (str_eq(arch, guesses[i].arch) && tokens >= guesses[i].least &&
            (guesses[i].most == 0 || tokens <= guesses[i].most))
            return guesses[i].pre;
    return tokens >= LARGE ? "dbrx" : "gpt-2";
}

leat_status vocab_load_pre(vocab *v, const gguf *g, const char *name, leat_error *e) {
    bool found = false;
    str pre = {0}, arch = {"", 0};
    if (!name) {
        leat_status s = vocab_status(meta_str(g, "tokenizer.ggml.pre", &pre, &found, e), e);
        if (s) return s;
        if (found && pre.n > 0) v->pre = pretokenizer_find(pre);
    } else {
        v->pre = pretokenizer_find((str){name, strlen(name)});
    }
    if (v->pre) return LEAT_OK;
    const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens"), *kv = gguf_find(g, "general.architecture");
    if (kv && kv->type == GGUF_STRING) {
        size_t cursor = 0;
        arch = gguf_kv_next_str(kv, &cursor);
    }
    name = guess(arch, tokens ? tokens->count : 0);
    v->pre = pretokenizer_find((str){name, strlen(name)});
    if (!v->pre) return error_set(e, LEAT_E_VOCAB, "there is no pre-tokenizer '%s'", name);
    char what[64] = "missing";
    if (found && pre.n > 0)
        snprintf(what, sizeof what, "unknown ('%.*s')", pre.n < 40 ? (int)pre.n : 40, pre.p);
    snprintf(v->warnings[v->n_warnings++], sizeof v->warnings[0],
             "tokenizer.ggml.pre is %s: words are cut as by '%s', which is a guess; if it is wrong, the "
             "model reads "
             "numbers, code and many languages differently than it learned to and answers worse",
             what, name);
    return LEAT_OK;
}
