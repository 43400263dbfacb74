/* The public functions of importance matrices in leat.h: arguments are checked here, the work is in
 * quantize/imatrix*.c. Called by programs. */
#include "leat.h"
#include "loader/error.h"
#include "runtime/model.h"
#include "runtime/quantize/imatrix.h"

static leat_status done(leat_status status, leat_error *e) {
    return status ? status : error_set(e, LEAT_OK, "%s", "");
}

leat_status leat_imatrix_open(leat_imatrix **out, leat_error *e) {
    if (!out) return error_set(e, LEAT_E_ARG, "leat_imatrix_open: out is NULL");
    return done(imatrix_open(out, e), e);
}

void leat_imatrix_close(leat_imatrix *m) {
    imatrix_close(m);
}

leat_status leat_imatrix_merge(leat_imatrix *m, const char *path, leat_error *e) {
    if (!m || !path) return error_set(e, LEAT_E_ARG, "leat_imatrix_merge: %s is NULL", m ? "path" : "m");
    return done(imatrix_merge(m, path, e), e);
}

void leat_imatrix_params_default(leat_imatrix_params *p) {
    if (p) *p = (leat_imatrix_params){.n_ctx = 512};
}

leat_status leat_imatrix_collect(leat_imatrix *m, leat_model *model, const leat_token *tokens, size_t n,
                                 const leat_imatrix_params *params, leat_error *e) {
    leat_imatrix_params p;
    if (!m || !model || (!tokens && n))
        return error_set(e, LEAT_E_ARG, "leat_imatrix_collect: %s is NULL",
                         !m       ? "m"
                         : !model ? "model"
                                  : "tokens");
    if (!model->arch) return error_set(e, LEAT_E_STATE, "the model was opened for its vocabulary only");
    leat_imatrix_params_default(&p);
    return done(imatrix_collect(m, model, tokens, n, params ? params : &p, e), e);
}

leat_status leat_imatrix_save(const leat_imatrix *m, const char *path, leat_error *e) {
    if (!m || !path) return error_set(e, LEAT_E_ARG, "leat_imatrix_save: %s is NULL", m ? "path" : "m");
    return done(imatrix_save(m, path, e), e);
}

size_t leat_imatrix_count(const leat_imatrix *m) {
    return m ? m->n_entries : 0;
}

uint64_t leat_imatrix_chunks(const leat_imatrix *m) {
    return m ? m->n_chunks : 0;
}

leat_status leat_imatrix_get(const leat_imatrix *m, size_t i, leat_imatrix_entry *out) {
    if (!m || !out || i >= m->n_entries) return LEAT_E_ARG;
    imatrix_describe(m, i, out);
    return LEAT_OK;
}
