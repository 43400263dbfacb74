/* Does the file that is planned open? Its description, names, shapes, types and metadata, goes through the
 * engine's own loader before a byte is written, so that nothing has to be known here of what architectures
 * need. What the loader says is in GGUF's words; where it can be told, what the folder calls it is added. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conversion.h"
#include "kernels/formats.h"
#include "loader/alloc.h"
#include "loader/parse.h"
#include "runtime/model.h"

enum { WORD_MAX = 160 };

/* ---- what the folder calls it ---- */

/* Is this what the rule's pattern makes for some layer? Leaves what follows the pattern in *rest. */
static bool made_by(const char *pattern, const char *name, uint32_t *layer, const char **rest) {
    *layer = 0;
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (*name++ != *pattern) return false;
            continue;
        }
        const char *start = name;
        for (; *name >= '0' && *name <= '9' && name - start < 6; name++)
            *layer = *layer * 10 + (uint32_t)(*name - '0');
        if (name == start) return false;
    }
    *rest = name;
    return true;
}

/* What stands before plain names in this folder: at a tensor of the same rule, or else of a layer, or else at
 * any. Returns its length. */
static size_t prefix_of(const conversion *c, const tensor_rule *rule, const char **prefix) {
    const source_tensor *found = NULL;
    bool of_layer = false;
    for (size_t i = 0; i < c->w.n; i++) {
        tensor_match m = {.src = &c->w.t[i]};
        if (!target_rule(c, &c->w.t[i], &m)) continue;
        bool layer = strchr(m.rule->from, '#') != NULL;
        if (m.rule == rule || !found || (layer && !of_layer)) found = &c->w.t[i];
        of_layer = of_layer || layer;
        if (m.rule == rule) break;
    }
    *prefix = found ? found->name.p : "";
    return found ? (size_t)(target_plain_name(found->name.p) - found->name.p) : 0;
}

static void name_by_rule(const conversion *c, const tensor_rule *rule, uint32_t layer, const char *suffix,
                         char out[WORD_MAX]) {
    const char *prefix;
    size_t n = prefix_of(c, rule, &prefix);
    bool whole = strchr(rule->from, '!') != NULL;
    n = (size_t)snprintf(out, WORD_MAX, "%.*s", (int)(n < 60 ? n : 60), prefix);
    for (const char *p = rule->from; *p && n < WORD_MAX - 24; p++) {
        if (*p == '#')
            n += (size_t)snprintf(out + n, 12, "%" PRIu32, layer);
        else if (*p == '@')
            out[n++] = '0';
        else if (*p != '!')
            out[n++] = *p;
    }
    snprintf(out + n, WORD_MAX - n, "%s", whole ? "" : suffix);
}

static bool name_of_tensor(const conversion *c, const char *word, char out[WORD_MAX]) {
    for (size_t i = 0; i < c->n_targets; i++) {
        const target *t = &c->targets[i];
        if (strcmp(t->name, word) != 0 || !t->n_parts || !t->parts[0].src) continue;
        snprintf(out, WORD_MAX, "%.150s", t->parts[0].src->name.p);
        return strcmp(out, word) != 0; /* what is computed is under no other name */
    }
    const tensor_rule *lists[] = {c->rules, common_tensors};
    for (size_t i = 0; i < 2; i++)
        for (const tensor_rule *r = lists[i]; r && r->from; r++)
            for (int second = 0; second < 2; second++) {
                const char *to = second ? r->to2 : r->to, *rest;
                uint32_t layer;
                if (!to || !*to || !made_by(to, word, &layer, &rest)) continue;
                if (*rest && strcmp(rest, ".weight") != 0 && strcmp(rest, ".bias") != 0) continue;
                name_by_rule(c, r, layer, rest, out);
                return true;
            }
    return false;
}

/* The first name that config.json may have for it. */
static bool name_of_key(const conversion *c, const char *word, char out[WORD_MAX]) {
    size_t n = strlen(c->arch->arch);
    if (strncmp(word, c->arch->arch, n) != 0 || word[n] != '.') return false;
    const char *names = hparams_origin(c, word + n);
    if (!names) return false;
    snprintf(out, WORD_MAX, "%.*s", (int)strcspn(names, "|"), names);
    return true;
}

static leat_status in_words_of_folder(const conversion *c, leat_status s, leat_error *e) {
    static const char tokens[] = "tokenizer.ggml.";
    char said[sizeof e->message], word[WORD_MAX], name[WORD_MAX];
    memcpy(said, e->message, sizeof said);
    for (const char *p = said; *p;) {
        size_t n = strcspn(p, " ,:;\"'[]()");
        if (n && n < sizeof word) {
            memcpy(word, p, n);
            word[n] = 0;
            if (strchr(word, '.') && name_of_tensor(c, word, name))
                return error_set(e, s, "the file would not open: %.130s (%.90s of the folder)", said, name);
            if (name_of_key(c, word, name))
                return error_set(e, s, "the file would not open: %.150s (%.60s of config.json)", said, name);
            if (!strncmp(word, tokens, sizeof tokens - 1))
                return error_set(e, s, "the file would not open: %.150s (made of the tokenizer's files)",
                                 said);
        }
        p += n + (p[n] != 0);
    }
    return error_set(e, s, "the file would not open: %.220s", said);
}

/* ---- the check ---- */

leat_status convert_check(const void *owner, const gguf *in, const uint32_t *formats, leat_error *e) {
    /* where data would be: not NULL, which stands for a tensor that is absent, and never read */
    static const uint8_t nothing[64] = {0};
    const conversion *c = owner;
    gguf g = *in;
    g.tensor_index = NULL; /* which is by where tensors are */
    g.tensor_index_size = 0;
    g.tensors = mem_alloc(in->n_tensors, sizeof *g.tensors);
    if (!g.tensors) return error_set(e, LEAT_E_NOMEM, "out of memory for %zu tensors", in->n_tensors);
    for (size_t i = 0; i < in->n_tensors; i++) {
        gguf_tensor *t = &g.tensors[i];
        *t = in->tensors[i];
        t->format = formats[i];
        t->row_bytes = format_row_bytes(formats[i], (size_t)t->ne[0]);
        t->bytes = t->row_bytes * t->n_rows;
        t->data = nothing;
    }
    leat_status s = tensors_index(&g, e);
    if (!s) s = model_check(&g, e);
    mem_free(g.tensor_index);
    mem_free(g.tensors);
    return s && s != LEAT_E_NOMEM ? in_words_of_folder(c, s, e) : s;
}
