/* The public functions of leat.h about samplers and grammars: arguments are checked here, the work is in
 * sample/sample.c and grammar/grammar.c. Called by programs. The sampler holds no reference to its model: it
 * only keeps the size of the vocabulary, and refuses a session whose vocabulary has another. */
#include <math.h>
#include <string.h>

#include "leat.h"
#include "loader/error.h"
#include "model.h"
#include "runtime/sample/sample.h"
#include "runtime/sample/impl.h"
#include "runtime/grammar/grammar.h"

void leat_sampler_params_default(leat_sampler_params *p) {
    if (p) *p = sampler_defaults;
}

/* ---- what a file recommends ---- */

/* A number of any type there within bounds; else *out stays. */
static bool recommended(const gguf *g, const char *key, double min, double max, double *out) {
    const gguf_kv *kv = gguf_find(g, key);
    double v;
    if (!kv || kv->type == GGUF_ARRAY || kv->type == GGUF_STRING || kv->type == GGUF_BOOL) return false;
    switch (kv->type) {
    case GGUF_F32:
    case GGUF_F64: v = gguf_kv_f64(kv, 0); break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: v = (double)gguf_kv_i64(kv, 0); break;
    default: v = (double)gguf_kv_u64(kv, 0); break;
    }
    if (!(v >= min && v <= max)) return false;
    *out = v;
    return true;
}

static void recommended_real(const gguf *g, const char *key, double min, double max, float *out) {
    double v;
    if (recommended(g, key, min, max, &v)) *out = (float)v;
}

static void recommended_int(const gguf *g, const char *key, double min, double max, int32_t *out) {
    double v;
    if (recommended(g, key, min, max, &v)) *out = (int32_t)v;
}

/* Steps by name, separated by ';', or by letter; what is unknown or there twice is passed over. */
static void recommended_order(const gguf *g, leat_sampler_params *p) {
    const gguf_kv *kv = gguf_find(g, "general.sampling.sequence");
    if (!kv || kv->type != GGUF_STRING) return;
    size_t cursor = 0, used = 0;
    str text = gguf_kv_next_str(kv, &cursor);
    uint8_t order[sizeof p->order] = {0};
    for (size_t i = 0; i < text.n;) {
        size_t n = 0;
        while (i + n < text.n && text.p[i + n] != ';') n++;
        leat_sampler_step step = sampler_step_of_name(text.p + i, n);
        if (step != LEAT_STEP_END && !memchr(order, step, used)) order[used++] = (uint8_t)step;
        i += n + 1;
    }
    bool is_letters = !used && !memchr(text.p, ';', text.n);
    for (size_t i = 0; is_letters && i < text.n; i++) {
        leat_sampler_step step = sampler_step_of_letter(text.p[i]);
        if (step != LEAT_STEP_END && !memchr(order, step, used)) order[used++] = (uint8_t)step;
    }
    if (used) memcpy(p->order, order, sizeof order);
}

void leat_sampler_params_model(const leat_model *m, leat_sampler_params *p) {
    if (!p) return;
    *p = sampler_defaults;
    if (!m) return;
    const gguf *g = file_gguf(m->file);
    const double most = 3.4e38, whole = 2147483647.0;
    recommended_order(g, p);
    recommended_int(g, "general.sampling.top_k", -whole, whole, &p->top_k);
    recommended_real(g, "general.sampling.top_p", 0, most, &p->top_p);
    recommended_real(g, "general.sampling.min_p", -most, 1, &p->min_p);
    recommended_real(g, "general.sampling.xtc_probability", -most, most, &p->xtc_probability);
    recommended_real(g, "general.sampling.xtc_threshold", -most, most, &p->xtc_threshold);
    recommended_real(g, "general.sampling.temp", -most, most, &p->temp);
    recommended_int(g, "general.sampling.penalty_last_n", -1, whole, &p->repeat_last_n);
    recommended_real(g, "general.sampling.penalty_repeat", 1e-30, most, &p->repeat_penalty);
    recommended_int(g, "general.sampling.mirostat", 0, 2, &p->mirostat);
    recommended_real(g, "general.sampling.mirostat_tau", -most, most, &p->mirostat_tau);
    recommended_real(g, "general.sampling.mirostat_eta", -most, most, &p->mirostat_eta);
}

/* ---- samplers ---- */

leat_status leat_sampler_open(const leat_model *model, const leat_sampler_params *params, leat_sampler **out,
                              leat_error *e) {
    if (out) *out = NULL;
    if (!model || !out)
        return error_set(e, LEAT_E_ARG, "leat_sampler_open: %s is NULL", model ? "out" : "model");
    leat_status status =
        sampler_open(vocab_size(model->vocab), model->vocab, model->hp.n_ctx_train, params, out, e);
    return status ? status : error_set(e, LEAT_OK, "%s", "");
}

void leat_sampler_close(leat_sampler *sampler) {
    sampler_close(sampler);
}

uint32_t leat_sampler_seed(const leat_sampler *sampler) {
    return sampler ? sampler_seed(sampler) : 0;
}

void leat_sampler_accept(leat_sampler *sampler, leat_token token) {
    if (sampler) sampler_accept(sampler, token);
}

void leat_sampler_reset(leat_sampler *sampler) {
    if (sampler) sampler_reset(sampler);
}

leat_status leat_sampler_next(leat_sampler *sampler, const leat_session *session, leat_token *out,
                              leat_error *e) {
    if (!sampler || !session || !out)
        return error_set(e, LEAT_E_ARG, "leat_sampler_next: %s is NULL",
                         !sampler  ? "sampler"
                         : session ? "out"
                                   : "session");
    leat_model_info info = {0};
    leat_model_get_info(leat_session_model(session), &info);
    if (info.n_vocab != sampler_n_vocab(sampler))
        return error_set(e, LEAT_E_ARG, "the sampler was opened for %u tokens, the session's model has %u",
                         (unsigned)sampler_n_vocab(sampler), (unsigned)info.n_vocab);
    const float *logits = leat_session_logits(session, 0);
    if (!logits) return error_set(e, LEAT_E_STATE, "the session has no logits: nothing was evaluated yet");
    int32_t token;
    leat_status status = sampler_pick(sampler, logits, leat_session_n_ctx(session), &token, e);
    if (!status) status = sampler_grammar_accept(sampler, token, e);
    if (status) return status;
    sampler_accept(sampler, token);
    *out = token;
    return error_set(e, LEAT_OK, "%s", "");
}

/* ---- grammars ---- */

static leat_status open_grammar(const leat_model *model, grammar_language language, const char *text,
                                size_t n, leat_grammar **out, leat_error *e) {
    if (out) *out = NULL;
    if (!model || !out || (!text && n))
        return error_set(e, LEAT_E_ARG, "leat_grammar_open: %s is NULL",
                         !model ? "model"
                         : out  ? "text"
                                : "out");
    leat_status status = grammar_open(model->vocab, language, n ? text : "", n, out, e);
    return status ? status : error_set(e, LEAT_OK, "%s", "");
}

leat_status leat_grammar_open(const leat_model *model, const char *text, size_t n, leat_grammar **out,
                              leat_error *e) {
    return open_grammar(model, GRAMMAR_GBNF, text, n, out, e);
}

leat_status leat_grammar_open_schema(const leat_model *model, const char *json, size_t n, leat_grammar **out,
                                     leat_error *e) {
    return open_grammar(model, GRAMMAR_SCHEMA, json, n, out, e);
}

leat_status leat_grammar_open_regex(const leat_model *model, const char *pattern, size_t n,
                                    leat_grammar **out, leat_error *e) {
    return open_grammar(model, GRAMMAR_REGEX, pattern, n, out, e);
}

void leat_grammar_close(leat_grammar *grammar) {
    grammar_release(grammar);
}

leat_status leat_sampler_set_grammar(leat_sampler *sampler, leat_grammar *grammar, leat_error *e) {
    if (!sampler) return error_set(e, LEAT_E_ARG, "leat_sampler_set_grammar: sampler is NULL");
    grammar_matcher *matcher = NULL;
    if (grammar) {
        if (grammar_n_vocab(grammar) != sampler_n_vocab(sampler))
            return error_set(e, LEAT_E_ARG, "the grammar was compiled for %u tokens, the sampler has %u",
                             (unsigned)grammar_n_vocab(grammar), (unsigned)sampler_n_vocab(sampler));
        leat_status status = grammar_matcher_open(grammar, &matcher, e);
        if (status) return status;
    }
    grammar_matcher_close(sampler->matcher);
    sampler->matcher = matcher;
    return error_set(e, LEAT_OK, "%s", "");
}

bool leat_sampler_can_end(const leat_sampler *sampler) {
    return !sampler || !sampler->matcher || grammar_matcher_can_end(sampler->matcher);
}

bool leat_sampler_must_end(const leat_sampler *sampler) {
    return sampler && sampler->matcher && grammar_matcher_must_end(sampler->matcher);
}
