/* What a tokenizer.json does to texts before it cuts them into tokens, and the kind of vocabulary that is
 * written for it does not: refused where letters become others, told where it is rare. How vocabularies on
 * bytes cut words is tokens_pre.c's. See tokens.h. */
#include <string.h>

#include "tokens.h"

enum { DEPTH_MAX = 8 }; /* sequences of sequences; real ones are two deep */

static bool text_is(const json_value *v, const char *word) {
    return v && v->type == JSON_STRING && str_eq(v->text, word);
}

static bool type_is_one_of(const json_value *v, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (text_is(json_get(v, "type"), list[i])) return true;
    return false;
}

#define TYPE_IS(v, ...)                                                                                      \
    type_is_one_of(v, (const char *const[]){__VA_ARGS__},                                                    \
                   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Calls `each` on the parts of a node that is a sequence, or on the node. */
static void walk(vocabulary *v, const json_value *node, const char *list, int depth,
                 void each(vocabulary *v, const json_value *part)) {
    const json_value *parts = json_get(node, list);
    if (!node || node->type != JSON_OBJECT || depth == DEPTH_MAX) return;
    if (!parts || parts->type != JSON_ARRAY) {
        each(v, node);
        return;
    }
    for (const json_value *p = parts->first; p && !v->c->status; p = p->next)
        walk(v, p, list, depth + 1, each);
}

static const char *type_of(const json_value *v) {
    const json_value *type = json_get(v, "type");
    return type && type->type == JSON_STRING ? type->text.p : "";
}

/* ---- normalizers ---- */

/* A space by U+2581; runs of spaces are dropped where the vocabulary says so (tokens_json.c). */
static bool is_for_spaces(const vocabulary *v, const json_value *replace) {
    if (text_is(json_path(replace, "pattern.String"), " "))
        return text_is(json_get(replace, "content"), u8"\u2581");
    return v->merge_spaces > 0 && text_is(json_path(replace, "pattern.Regex"), " {2,}");
}

static bool is_followed(const vocabulary *v, const json_value *n) {
    bool words = !strcmp(v->model, "bert"), pieces = !strcmp(v->model, "t5");
    const json_value *strip = json_get(n, "strip_accents");
    if (words && TYPE_IS(n, "BertNormalizer")) /* accents go where capitals do, unless it says otherwise */
        return !strip || strip->type != JSON_BOOL || strip->boolean == (v->lowercase != 0);
    if (words) return v->lowercase != 0 && TYPE_IS(n, "NFD", "Lowercase", "StripAccents");
    if (pieces && TYPE_IS(n, "Precompiled", "Strip")) return true;
    if (!v->spaces_marked) return false;
    if (TYPE_IS(n, "Prepend")) return text_is(json_get(n, "prepend"), u8"\u2581");
    return TYPE_IS(n, "Replace") && is_for_spaces(v, n);
}

/* Forms of the same letters, and what is at the ends of a text: models give up little without it. Others, of
 * which lower case is the most usual, make other words of all texts. */
static void normalizer(vocabulary *v, const json_value *n) {
    bool bytes = !strcmp(v->model, "gpt2");
    bool rare = TYPE_IS(n, "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Strip", "Replace") ||
                (bytes ? TYPE_IS(n, "ByteLevel") : TYPE_IS(n, "Precompiled", "BertNormalizer"));
    if (is_followed(v, n)) return;
    if (rare)
        conversion_warn(v->c,
                        "tokenizer.json changes texts first (%.40s), which is left out: some may be cut into "
                        "other tokens",
                        type_of(n));
    else
        conversion_fail(v->c, LEAT_E_UNSUPPORTED,
                        "tokenizer.json: the normalizer \"%.40s\" is not supported with this vocabulary (%s)",
                        type_of(n), v->model);
}

/* ---- pre-tokenizers ---- */

static void splitter(vocabulary *v, const json_value *p) {
    bool words = !strcmp(v->model, "bert");
    if (words ? TYPE_IS(p, "BertPreTokenizer") : TYPE_IS(p, "Metaspace")) return;
    if (!strcmp(v->model, "t5") && TYPE_IS(p, "WhitespaceSplit")) return;
    /* at spaces, of which none is left where they are marked */
    if (v->spaces_marked && TYPE_IS(p, "Split") && text_is(json_path(p, "pattern.String"), " ")) return;
    conversion_warn(
        v->c,
        "the way tokenizer.json cuts words (%.40s) is not followed: some texts are cut into other "
        "tokens",
        type_of(p));
}

void tokens_follow(vocabulary *v) {
    if (v->c->status) return;
    walk(v, json_get(v->tokenizer, "normalizer"), "normalizers", 0, normalizer);
    if (strcmp(v->model, "gpt2") != 0)
        walk(v, json_get(v->tokenizer, "pre_tokenizer"), "pretokenizers", 0, splitter);
}
