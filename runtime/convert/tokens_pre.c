/* Which pre-tokenizer a tokenizer.json means, by what is in it: the regular expressions that text is split
 * by, and the ready-made splitters. Names are those of tokenizer.ggml.pre (runtime/text/pretokenizers.def).
 */
#include <string.h>

#include "tokens.h"

enum { PATTERNS_MAX = 8 };

typedef struct splitters {
    str patterns[PATTERNS_MAX];
    size_t n;
    bool digits, byte_regex, punctuation, more; /* more: something that none of our pre-tokenizers has */
} splitters;

static bool type_is(const json_value *v, const char *word) {
    const json_value *type = json_get(v, "type");
    return type && type->type == JSON_STRING && str_eq(type->text, word);
}

static bool is_false(const json_value *v) {
    return v && v->type == JSON_BOOL && !v->boolean;
}

static void read_one(splitters *s, const json_value *v) {
    if (type_is(v, "Split")) {
        const json_value *regex = json_path(v, "pattern.Regex|pattern.String");
        if (!regex || regex->type != JSON_STRING || s->n == PATTERNS_MAX)
            s->more = true;
        else
            s->patterns[s->n++] = regex->text;
    } else if (type_is(v, "Digits")) {
        s->digits = true;
    } else if (type_is(v, "ByteLevel")) {
        s->byte_regex = !is_false(json_get(v, "use_regex"));
    } else if (type_is(v, "Punctuation")) {
        s->punctuation = true;
    } else {
        s->more = true;
    }
}

static bool holds(const splitters *s, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k + n <= s->patterns[i].n; k++)
            if (!memcmp(s->patterns[i].p + k, part, n)) return true;
    return false;
}

/* The first line all of whose parts are in the patterns, and none of whose `not` is. */
static const struct {
    const char *parts[3], *not, *pre;
} known[] = {
    {{"\\p{Han}", "\\p{Lu}"}, NULL, "kimi-k2"},
    {{"\\p{Lu}", "\\p{N}{1,3}", "'s|'t"}, NULL, "gpt-4o"},
    {{"\\p{Lu}", "\\p{N}|"}, "'s|'t", "tekken"},
    {{"\\p{Lu}", "\\p{N}| "}, "'s|'t", "tekken"},
    {{"[\\p{P}\\p{S}]", "\\p{N}{1,3}", "[\\p{L}\\p{M}]+"}, NULL, "deepseek-v3"},
    {{"A-Za-z\xC2\xB5"}, NULL, "deepseek-llm"},
    {{"\\s?\\p{L}+", "\\s?\\p{P}+"}, NULL, "deepseek-coder"},
    {{"[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|", "'s|'t"}, NULL, "qwen35"},
    {{"\\p{L}{1}|\\p{N}{1}"}, NULL, "seed-coder"},
    {{"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|", "\\s+(?!\\S)|\\s+", "[^\\s\\p{L}\\p{N}]+[\\r\\n]*"},
     NULL,
     "llama3"},
    {{"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|", "\\s+(?!\\S)|\\s+", "[^\\s\\p{L}\\p{N}]+[\\r\\n]*"},
     NULL,
     "qwen2"},
    {{"[^(\\s|[.,!?", "\\p{N}"}, NULL, "viking"},
    {{"[^(\\s|[.,!?"}, NULL, "bloom"},
    {{"ll|ve|re", " ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"}, NULL, "gpt-2"},
    {{"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"}, NULL, "gpt-2"},
};

static const char *by_patterns(const splitters *s) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool all = !known[i].not || !holds(s, known[i].not );
        for (size_t k = 0; k < 3 && known[i].parts[k]; k++) all = all && holds(s, known[i].parts[k]);
        if (all) return known[i].pre;
    }
    return NULL;
}

/* Names that say more than how words are cut: models that share Llama 3's expressions differ in whether whole
 * words go before merges, and in their beginning of a text. */
static const char *llama3(const vocabulary *v) {
    const json_value *whole = json_path(v->tokenizer, "model.ignore_merges");
    const char *arch = v->c->arch->arch;
    if (whole && whole->type == JSON_BOOL && whole->boolean) return "llama-bpe";
    if (!strcmp(arch, "glm4") || !strcmp(arch, "glm4moe")) return "glm4";
    if (!strcmp(arch, "chatglm")) return "chatglm-bpe";
    return "dbrx";
}

const char *tokens_pre(const vocabulary *v) {
    splitters s = {.n = 0};
    const json_value *pre = json_get(v->tokenizer, "pre_tokenizer"), *parts = json_get(pre, "pretokenizers");
    if (!v->tokenizer) return "gpt-2"; /* vocab.json and merges.txt, which are GPT-2's */
    if (parts && parts->type == JSON_ARRAY)
        for (const json_value *p = parts->first; p; p = p->next) read_one(&s, p);
    else if (pre)
        read_one(&s, pre);
    if (s.more) return NULL;
    if (s.punctuation) return s.byte_regex ? "falcon" : NULL;
    if (s.n) {
        const char *name = by_patterns(&s);
        if (name && !strcmp(name, "llama3")) return llama3(v);
        return name;
    }
    if (!s.byte_regex) return NULL;
    return s.digits ? "starcoder" : "gpt-2";
}
