/* The public sampler functions of leat.h: arguments are checked here, the work is in sample.c. Called by
 * programs. The sampler holds no reference to its model: it only keeps the size of the vocabulary, and
 * refuses a session whose vocabulary has another. */
#include "leat.h"
#include "loader/error.h"
#include "sample.h"

void leat_sampler_params_default(leat_sampler_params *p) {
    if (p) *p = sampler_defaults;
}

leat_status leat_sampler_open(const leat_model *model, const leat_sampler_params *params, leat_sampler **out,
                              leat_error *e) {
    if (out) *out = NULL;
    if (!model || !out)
        return error_set(e, LEAT_E_ARG, "leat_sampler_open: %s is NULL", model ? "out" : "model");
    leat_model_info info = {0};
    leat_model_get_info(model, &info);
    leat_status status = sampler_open(info.n_vocab, params, out, e);
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
    leat_status status = sampler_pick(sampler, logits, leat_session_n_ctx(session), out, e);
    if (status) return status;
    sampler_accept(sampler, *out);
    return error_set(e, LEAT_OK, "%s", "");
}
