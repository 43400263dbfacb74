/* What tokens are for: which begin and end texts, what is put around a text, chat templates, and what the
 * authors recommend for sampling. See tokens.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "folder.h"
#include "tokens.h"

enum { ENDS_MAX = 16 };

/* A token that files write as its text, or as an object with it. */
static str text_of(const json_value *v) {
    const json_value *content = v && v->type == JSON_OBJECT ? json_get(v, "content") : v;
    return content && content->type == JSON_STRING ? content->text : (str){NULL, 0};
}

/* One number, or the first of a list. */
static int64_t id_of(const json_value *v, uint32_t n) {
    if (v && v->type == JSON_ARRAY) v = v->first;
    return v && v->type == JSON_INT && v->integer >= 0 && v->integer < n ? v->integer : -1;
}

static int64_t role(const vocabulary *v, const char *name) {
    static const char *const pieces[][2] = {
        {"unk", "[UNK]"}, {"sep", "[SEP]"}, {"pad", "[PAD]"}, {"cls", "[CLS]"}, {"mask", "[MASK]"}};
    char key[40];
    const json_value *maps[] = {v->config, v->special_map};
    snprintf(key, sizeof key, "%s_token", name);
    for (size_t i = 0; i < 2; i++) {
        str text = text_of(json_get(maps[i], key));
        int64_t id = text.n ? vocabulary_find(v, text) : -1;
        if (id >= 0) return id;
    }
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces && !strcmp(v->model, "bert"); i++)
        if (!strcmp(pieces[i][0], name)) return vocabulary_find(v, (str){pieces[i][1], strlen(pieces[i][1])});
    snprintf(key, sizeof key, "%s_token_id", name);
    const json_value *documents[] = {v->c->text, v->c->config, v->generation};
    for (size_t i = 0; i < 3; i++) {
        int64_t id = id_of(json_get(documents[i], key), v->n);
        if (id >= 0) return id;
    }
    return -1;
}

/* Ids of a beginning or an end that no token has are those of another vocabulary. -1 is none. */
static void warn_of_ids(const vocabulary *v) {
    static const char *const keys[] = {"bos_token_id", "eos_token_id"};
    const struct {
        const char *file;
        const json_value *document;
    } places[] = {{"config.json", v->c->text}, {"generation_config.json", v->generation}};
    for (size_t i = 0; i < 4; i++) {
        const json_value *x = json_get(places[i / 2].document, keys[i % 2]);
        bool list = x && x->type == JSON_ARRAY;
        for (const json_value *id = list ? x->first : x; id; id = list ? id->next : NULL)
            if (id->type == JSON_INT && (id->integer < -1 || id->integer >= v->n))
                conversion_warn(v->c, "%s: %s is %" PRId64 ", but there are %u tokens: it is left out",
                                places[i / 2].file, keys[i % 2], (int64_t)id->integer, (unsigned)v->n);
    }
}

/* Ends that only generation_config.json knows: of a turn, and of a message. */
static void more_ends(vocabulary *v, int64_t eos) {
    const json_value *list = json_get(v->generation, "eos_token_id");
    int64_t ends[ENDS_MAX];
    size_t n = 0;
    if (!list || list->type != JSON_ARRAY) list = cfg(v->c, "eos_token_id");
    if (!list || list->type != JSON_ARRAY) return;
    for (const json_value *t = list->first; t && n < ENDS_MAX; t = t->next) {
        int64_t id = id_of(t, v->n);
        if (id >= 0 && id != eos && t->type == JSON_INT) ends[n++] = id;
    }
    for (size_t i = 0; i < n; i++) {
        meta_out *m = &v->c->meta;
        bool message = str_eq(v->tokens[ends[i]].text, "<|eom_id|>");
        if (message || meta_has(m, "tokenizer.ggml.eot_token_id"))
            meta_put_u32(m, "tokenizer.ggml.eom_token_id", (uint32_t)ends[i]);
        else
            meta_put_u32(m, "tokenizer.ggml.eot_token_id", (uint32_t)ends[i]);
    }
}

/* ---- what is put around a text ---- */

/* The last processor that has a `name` ("single", "pair"), as a list of what stands around texts. */
static const json_value *template_of(const json_value *processor, const char *name) {
    const json_value *parts = json_get(processor, "processors"), *found = json_get(processor, name);
    for (const json_value *p = parts && parts->type == JSON_ARRAY ? parts->first : NULL; p && !found;
         p = p->next)
        found = json_get(p, name);
    return found && found->type == JSON_ARRAY ? found : NULL;
}

/* BERT's and RoBERTa's own processors put a token at both ends of every text. */
static bool at_both_ends(const json_value *processor) {
    const json_value *parts = json_get(processor, "processors");
    const json_value *p = parts && parts->type == JSON_ARRAY ? parts->first : processor;
    for (; p; p = p == processor ? NULL : p->next) {
        const json_value *type = json_get(p, "type");
        if (type && type->type == JSON_STRING &&
            (str_eq(type->text, "RobertaProcessing") || str_eq(type->text, "BertProcessing")))
            return true;
    }
    return false;
}

/* How many special tokens a template has before, between and after texts; the last of those after. */
typedef struct borders {
    size_t before, between, after;
    str last;
} borders;

static borders read_borders(const json_value *list) {
    borders b = {0, 0, 0, {NULL, 0}};
    bool text_seen = false;
    for (const json_value *p = list ? list->first : NULL; p; p = p->next) {
        const json_value *id = json_path(p, "SpecialToken.id");
        if (json_get(p, "Sequence")) {
            if (text_seen) b.between += b.after; /* of the text before */
            b.after = 0;
            text_seen = true;
        } else if (id && !text_seen) {
            b.before++;
        } else if (id) {
            b.after++;
            if (id->type == JSON_STRING) b.last = id->text;
        }
    }
    return b;
}

static void flag(vocabulary *v, const char *key, const char *name, bool known, bool value) {
    const json_value *said = json_get(v->config, name);
    if (said && said->type == JSON_BOOL)
        meta_put_bool(&v->c->meta, key, said->boolean);
    else if (known)
        meta_put_bool(&v->c->meta, key, value);
}

/* The end that a template puts behind texts; -1: the usual one, or none. */
static int64_t other_end(const vocabulary *v, int64_t eos) {
    const json_value *single = template_of(json_get(v->tokenizer, "post_processor"), "single");
    borders b = read_borders(single);
    int64_t id = b.after && b.last.p ? vocabulary_find(v, b.last) : -1;
    return id != eos ? id : -1;
}

static void around(vocabulary *v) {
    const json_value *processor = json_get(v->tokenizer, "post_processor");
    const json_value *single = template_of(processor, "single"), *pair = template_of(processor, "pair");
    bool both = at_both_ends(processor), known = single || both;
    borders one = read_borders(single), two = read_borders(pair);
    flag(v, "tokenizer.ggml.add_bos_token", "add_bos_token",
         known || v->add_bos >= 0 || !strcmp(v->model, "gpt2"), both || one.before || v->add_bos > 0);
    flag(v, "tokenizer.ggml.add_eos_token", "add_eos_token", known || v->add_eos >= 0,
         both || one.after || v->add_eos > 0);
    /* between two texts, beside the end of the first */
    if (both || (pair && two.between))
        flag(v, "tokenizer.ggml.add_sep_token", "add_sep_token", true,
             both ? true : two.between > (one.after > 0));
}

/* ---- templates ---- */

static bool is_word(str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-'))
            return false;
    }
    return s.n > 0 && s.n < 64;
}

/* A template, or a list of templates with names. */
static void put_templates(vocabulary *v, const json_value *t) {
    meta_out *m = &v->c->meta;
    size_t n = 0;
    if (t && t->type == JSON_STRING) meta_put_str(m, "tokenizer.chat_template", t->text);
    if (!t || t->type != JSON_ARRAY) return;
    for (const json_value *x = t->first; x; x = x->next) {
        const json_value *name = json_get(x, "name"), *text = json_get(x, "template");
        char key[100];
        if (!name || !text || name->type != JSON_STRING || text->type != JSON_STRING || !is_word(name->text))
            continue;
        if (str_eq(name->text, "default")) {
            meta_put_str(m, "tokenizer.chat_template", text->text);
            continue;
        }
        snprintf(key, sizeof key, "tokenizer.chat_template.%s", name->text.p);
        n += !meta_has(m, key);
        meta_put_str(m, key, text->text);
    }
    if (!n) return;
    meta_put_array(m, "tokenizer.chat_templates", GGUF_STRING, n);
    for (const json_value *x = t->first; x && n; x = x->next) {
        const json_value *name = json_get(x, "name"), *text = json_get(x, "template");
        if (!name || !text || name->type != JSON_STRING || text->type != JSON_STRING ||
            !is_word(name->text) || str_eq(name->text, "default"))
            continue;
        meta_elem_str(m, name->text);
        n--;
    }
    for (; n; n--) meta_elem_str(m, (str){"", 0}); /* where two had the same name */
}

static void templates(vocabulary *v) {
    conversion *c = v->c;
    str text;
    const json_value *document = NULL;
    c->status = folder_text(c->folder, "chat_template.jinja", false, &v->a, &text, c->e);
    if (!c->status && text.p) meta_put_str(&c->meta, "tokenizer.chat_template", text);
    if (!c->status) c->status = folder_json(c->folder, "chat_template.json", false, &v->a, &document, c->e);
    if (!c->status) put_templates(v, json_get(document, "chat_template"));
    if (!c->status && !meta_has(&c->meta, "tokenizer.chat_template"))
        put_templates(v, json_get(v->config, "chat_template"));
}

/* ---- sampling ---- */

static void sampling(vocabulary *v) {
    static const struct {
        const char *from, *key;
        bool whole;
    } rules[] = {{"top_k", "general.sampling.top_k", true},
                 {"top_p", "general.sampling.top_p", false},
                 {"min_p", "general.sampling.min_p", false},
                 {"temperature", "general.sampling.temp", false},
                 {"repetition_penalty", "general.sampling.penalty_repeat", false}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const json_value *x = json_get(v->generation, rules[i].from);
        if (!x || (x->type != JSON_INT && x->type != JSON_FLOAT) || !isfinite(x->real)) continue;
        if (!rules[i].whole)
            meta_put_f32(&v->c->meta, rules[i].key, (float)x->real);
        else if (x->real >= 0 && x->real < INT32_MAX)
            meta_put_i32(&v->c->meta, rules[i].key, (int32_t)x->real);
    }
}

void tokens_roles(vocabulary *v) {
    static const char *const roles[][2] = {
        {"bos", "tokenizer.ggml.bos_token_id"},     {"eos", "tokenizer.ggml.eos_token_id"},
        {"unk", "tokenizer.ggml.unknown_token_id"}, {"sep", "tokenizer.ggml.seperator_token_id"}, /* sic */
        {"pad", "tokenizer.ggml.padding_token_id"}, {"cls", "tokenizer.ggml.cls_token_id"},
        {"mask", "tokenizer.ggml.mask_token_id"}};
    int64_t eos = -1;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        int64_t id = role(v, roles[i][0]);
        if (id < 0 && i < 2) id = role(v, i ? "sep" : "cls"); /* encoders call them so */
        if (i == 1) {
            int64_t other = other_end(v, id);
            eos = id;
            /* what is put behind texts is their end, and what ends an answer another one */
            if (other >= 0 && id >= 0) meta_put_u32(&v->c->meta, "tokenizer.ggml.eot_token_id", (uint32_t)id);
            if (other >= 0) id = eos = other;
        }
        if (id >= 0) meta_put_u32(&v->c->meta, roles[i][1], (uint32_t)id);
    }
    warn_of_ids(v);
    more_ends(v, eos);
    around(v);
    templates(v);
    sampling(v);
}
