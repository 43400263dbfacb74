/* The public functions of leat.h for chat templates: arguments are checked here, the work is in
 * template/template.c. The only place that reads a clock for them. */
#include "leat.h"

#include <string.h>
#include <time.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/file.h"
#include "model.h"
#include "runtime/template/template.h"

_Static_assert((int)LEAT_TEMPLATE_AUTO == TEMPLATE_AUTO && (int)LEAT_TEMPLATE_PYTHON == TEMPLATE_PYTHON &&
                   (int)LEAT_TEMPLATE_JAVASCRIPT == TEMPLATE_JAVASCRIPT,
               "the public dialects are those of template.h");

enum { CONTEXT_MEMORY_MAX = 1 << 30 };

struct leat_rendering {
    template_result result;
};

static void begin(leat_error *e) {
    if (e) *e = (leat_error){LEAT_OK, ""};
}

leat_status leat_template_open(const char *source, size_t n, leat_template **out, leat_error *e) {
    begin(e);
    if (out) *out = NULL;
    if (!out || (!source && n)) return error_set(e, LEAT_E_ARG, "%s is NULL", out ? "source" : "out");
    return template_compile(n ? source : "", n, "template", out, e);
}

/* Special tokens as variables: tokenizer.ggml.X_token_id is X_token. */
static leat_status add_special_tokens(leat_template *t, const leat_model *m, leat_error *e) {
    static const struct {
        const char *key, *name;
    } list[] = {
        {"tokenizer.ggml.bos_token_id", "bos_token"},     {"tokenizer.ggml.eos_token_id", "eos_token"},
        {"tokenizer.ggml.unknown_token_id", "unk_token"}, {"tokenizer.ggml.seperator_token_id", "sep_token"},
        {"tokenizer.ggml.padding_token_id", "pad_token"}, {"tokenizer.ggml.cls_token_id", "cls_token"},
        {"tokenizer.ggml.mask_token_id", "mask_token"}};
    const gguf *g = file_gguf(m->file);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        uint32_t id = 0;
        bool found = false;
        leat_status status;
        if (meta_u32(g, list[i].key, 0, vocab_size(m->vocab) - 1, &id, &found, NULL)) found = false;
        int32_t token = i == 0   ? vocab_bos(m->vocab)
                        : i == 1 ? vocab_eos(m->vocab)
                        : found  ? (int32_t)id
                                 : -1;
        str piece = token < 0 ? (str){"", 0} : vocab_piece(m->vocab, token, true);
        if ((token >= 0 || i < 2) && (status = template_default(t, list[i].name, piece, e))) return status;
    }
    return LEAT_OK;
}

leat_status leat_template_open_model(const leat_model *m, const char *name, leat_template **out,
                                     leat_error *e) {
    char key[128] = "tokenizer.chat_template";
    str source;
    bool found;
    begin(e);
    if (out) *out = NULL;
    if (!out || !m) return error_set(e, LEAT_E_ARG, "%s is NULL", out ? "model" : "out");
    if (name) {
        if (strlen(name) > 64)
            return error_set(e, LEAT_E_ARG, "the name of a template has at most 64 characters");
        strcat(key, ".");
        strcat(key, name);
    }
    leat_status status = meta_str(file_gguf(m->file), key, &source, &found, e);
    if (status) return status;
    if (!found) return error_set(e, LEAT_E_MISSING, "the model has no chat template (%s)", key);
    if ((status = template_compile(source.p, source.n, "template", out, e))) return status;
    if ((status = add_special_tokens(*out, m, e))) {
        template_free(*out);
        *out = NULL;
    }
    return status;
}

void leat_template_close(leat_template *t) {
    template_free(t);
}

void leat_template_params_default(leat_template_params *p) {
    if (p) *p = (leat_template_params){0};
}

static leat_status check_time(const leat_template_params *p, leat_template_time *now, leat_error *e) {
    if (p && p->year) {
        *now = (leat_template_time){p->year, p->month, p->day, p->hour, p->minute, p->second};
        if (p->year < 1 || p->year > 9999 || p->month < 1 || p->month > 12 || p->day < 1 || p->day > 31 ||
            p->hour < 0 || p->hour > 23 || p->minute < 0 || p->minute > 59 || p->second < 0 || p->second > 60)
            return error_set(e, LEAT_E_ARG, "the time in the params is none");
        return LEAT_OK;
    }
    time_t seconds = time(NULL);
    struct tm t;
    if (!gmtime_r(&seconds, &t)) return LEAT_OK;
    *now = (leat_template_time){t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec};
    return LEAT_OK;
}

leat_status leat_template_render(const leat_template *t, const char *context, size_t n,
                                 const leat_template_params *params, leat_rendering **out, leat_error *e) {
    leat_template_time now = {0};
    const json_value *root;
    leat_rendering *r = NULL;
    arena a;
    begin(e);
    if (out) *out = NULL;
    if (!t || !out || !context)
        return error_set(e, LEAT_E_ARG, "%s is NULL", !t ? "template" : out ? "context" : "out");
    if (params && (unsigned)params->dialect > LEAT_TEMPLATE_JAVASCRIPT)
        return error_set(e, LEAT_E_ARG, "unknown dialect %d", (int)params->dialect);
    leat_status status = check_time(params, &now, e);
    if (status) return status;
    arena_init(&a, CONTEXT_MEMORY_MAX);
    if ((status = json_parse(&a, "context", context, n, &root, e))) goto done;
    if (!(r = mem_alloc(1, sizeof *r))) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for a rendering");
        goto done;
    }
    status = template_render(t, root, params ? (template_dialect)params->dialect : TEMPLATE_AUTO, &now,
                             &r->result, e);
    if (status) {
        mem_free(r);
        goto done;
    }
    *out = r;
done:
    arena_free(&a);
    return status;
}

void leat_rendering_close(leat_rendering *r) {
    if (!r) return;
    template_result_free(&r->result);
    mem_free(r);
}

leat_str leat_rendering_text(const leat_rendering *r) {
    return r ? (leat_str){r->result.text, r->result.n} : (leat_str){"", 0};
}

size_t leat_rendering_segments(const leat_rendering *r) {
    return r ? r->result.n_segments : 0;
}

leat_segment leat_rendering_segment(const leat_rendering *r, size_t i) {
    if (i >= leat_rendering_segments(r)) return (leat_segment){{"", 0}, true};
    const template_segment *s = &r->result.segments[i];
    return (leat_segment){{r->result.text + s->at, s->n}, s->content};
}

leat_status leat_rendering_tokenize(const leat_rendering *r, const leat_model *m, leat_token *tokens,
                                    size_t capacity, size_t *count, leat_error *e) {
    begin(e);
    if (!r || !m || !count || (!tokens && capacity))
        return error_set(e, LEAT_E_ARG, "%s is NULL",
                         !r       ? "rendering"
                         : !m     ? "model"
                         : !count ? "count"
                                  : "tokens");
    return vocab_tokenize_marked(m->vocab, r->result.text, r->result.marks, r->result.n,
                                 vocab_add_bos(m->vocab) ? VOCAB_BOS : 0, tokens, capacity, count, e);
}
