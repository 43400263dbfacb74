/* The public functions of leat.h that concern the library, models, tokens and sessions: they validate what a
 * caller may get wrong and hand over. Files, sampling and quantizing have their own api_*.c. */
#include "leat.h"

#include <string.h>

#include "kernels/kernels.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/guard.h"
#include "embed.h"
#include "session.h"
#include "runtime/text/decode.h"

/* leat.h spells out for the public what errors.def lists: prove that they agree. */
#define X(NAME, number, text)                                                                                \
    _Static_assert(LEAT_E_##NAME == (number), "leat.h and errors.def differ at " #NAME);
#include "loader/errors.def"
#undef X
_Static_assert((int)LEAT_TOKENIZE_BOS == VOCAB_BOS && (int)LEAT_TOKENIZE_SPECIAL == VOCAB_SPECIAL &&
                   (int)LEAT_TOKENIZE_EOS == VOCAB_EOS,
               "flags of leat_tokenize are those of vocab_tokenize");

/* Clears the caller's error; every function that takes one starts with it. */
static void begin(leat_error *e) {
    if (e) *e = (leat_error){LEAT_OK, ""};
}

static leat_status null_argument(leat_error *e, const char *name) {
    return error_set(e, LEAT_E_ARG, "%s is NULL", name);
}

const char *leat_version(void) {
    return LEAT_VERSION;
}
const char *leat_status_text(int status) {
    return status_text(status);
}

leat_status leat_guard_install(leat_error *e) {
    begin(e);
    return guard_install(e);
}

const char *leat_isa(size_t i) {
    return kernels_isa(i);
}

const char *leat_type_isa(uint32_t type, const char *isa) {
    kernels best, lesser;
    if (type >= FORMAT_COUNT || kernels_traits(type).act == ACT_COUNT || !kernels_init(&best, isa))
        return NULL;
    for (size_t i = 0; kernels_isa(i) && kernels_init(&lesser, kernels_isa(i)); i++)
        if (lesser.matvec[type] == best.matvec[type]) return lesser.isa;
    return best.isa;
}

/* ---- models ---- */

void leat_model_params_default(leat_model_params *p) {
    if (p) *p = (leat_model_params){0};
}

leat_status leat_model_open(const char *path, const leat_model_params *params, leat_model **out,
                            leat_error *e) {
    begin(e);
    if (!out) return null_argument(e, "out");
    *out = NULL;
    if (!path) return null_argument(e, "path");
    return model_open(path, params && params->vocab_only, params ? params->isa : NULL, out, e);
}

void leat_model_close(leat_model *m) {
    model_release(m);
}

void leat_model_get_info(const leat_model *m, leat_model_info *out) {
    if (!out) return;
    *out = (leat_model_info){.architecture = "", .isa = ""};
    if (!m) return;
    *out = (leat_model_info){.architecture = m->arch_name,
                             .isa = m->kernels.isa,
                             .n_params = m->n_params,
                             .bytes = file_bytes(m->file),
                             .n_vocab = vocab_size(m->vocab),
                             .n_ctx_train = m->hp.n_ctx_train,
                             .n_embd = m->hp.n_embd,
                             .n_layer = m->hp.n_layer,
                             .n_head = m->hp.n_head,
                             .n_head_kv = m->hp.n_head_kv,
                             .has_weights = m->arch != NULL,
                             .makes_text = m->arch && !m->arch->embeds && !m->hp.both_ways,
                             .pooling = m->arch ? embedder_pooling_of(m) : LEAT_POOLING_MODEL};
}

uint64_t leat_model_multiply(const leat_model *m, uint32_t type_id, uint64_t rounds) {
    enum { MANY = 512 }; /* tokens of a prompt */
    if (!m || !rounds || kernels_traits(type_id).panel == PANEL_COUNT) return 0;
    return gemm_peak(&m->kernels, type_id, MANY)(rounds);
}

const char *leat_model_warning(const leat_model *m, size_t i) {
    return m ? vocab_warning(m->vocab, i) : NULL;
}

/* ---- tokens ---- */

leat_status leat_tokenize(const leat_model *m, const char *text, size_t n, unsigned flags, leat_token *tokens,
                          size_t capacity, size_t *count, leat_error *e) {
    begin(e);
    if (!m || !count || (!text && n) || (!tokens && capacity))
        return null_argument(e, !m ? "model" : !count ? "count" : !text && n ? "text" : "tokens");
    *count = 0;
    if (flags & ~7u) return error_set(e, LEAT_E_ARG, "unknown tokenize flags %#x", flags & ~7u);
    return vocab_tokenize(m->vocab, n ? text : "", n, flags, tokens, capacity, count, e);
}

size_t leat_tokenize_bound(const leat_model *m, size_t n) {
    return m ? vocab_bound(m->vocab, n) : 0;
}

leat_str leat_token_text(const leat_model *m, leat_token token, bool special) {
    if (!m || token < 0 || (uint32_t)token >= vocab_size(m->vocab)) return (leat_str){NULL, 0};
    str s = vocab_piece(m->vocab, token, special);
    return (leat_str){s.p, s.n};
}

leat_token leat_token_bos(const leat_model *m) {
    return m ? vocab_bos(m->vocab) : -1;
}
leat_token leat_token_eos(const leat_model *m) {
    return m ? vocab_eos(m->vocab) : -1;
}
bool leat_token_add_bos(const leat_model *m) {
    return m && vocab_add_bos(m->vocab);
}
bool leat_token_add_eos(const leat_model *m) {
    return m && vocab_add_eos(m->vocab);
}

bool leat_token_is_end(const leat_model *m, leat_token token) {
    return m && vocab_is_end(m->vocab, token);
}

struct leat_decoder {
    leat_model *model;
    text_decoder text;
    bool special;
};

leat_status leat_decoder_open(const leat_model *m, bool special, leat_decoder **out, leat_error *e) {
    begin(e);
    if (!out) return null_argument(e, "out");
    *out = NULL;
    if (!m) return null_argument(e, "model");
    leat_decoder *d = mem_alloc(1, sizeof *d);
    if (!d) return error_set(e, LEAT_E_NOMEM, "out of memory for a decoder");
    leat_status s =
        text_decoder_init(&d->text, vocab_longest_piece(m->vocab), vocab_space_prefix(m->vocab), e);
    if (s) {
        mem_free(d);
        return s;
    }
    d->special = special;
    d->model = model_hold(m);
    *out = d;
    return LEAT_OK;
}

void leat_decoder_close(leat_decoder *d) {
    if (!d) return;
    text_decoder_free(&d->text);
    model_release(d->model);
    mem_free(d);
}

leat_str leat_decoder_push(leat_decoder *d, leat_token token) {
    if (!d || token < 0 || (uint32_t)token >= vocab_size(d->model->vocab)) return (leat_str){"", 0};
    str s = text_decoder_push(&d->text, vocab_piece(d->model->vocab, token, d->special));
    return (leat_str){s.p, s.n};
}

leat_str leat_decoder_finish(leat_decoder *d) {
    if (!d) return (leat_str){"", 0};
    str s = text_decoder_finish(&d->text);
    return (leat_str){s.p, s.n};
}

/* ---- sessions ---- */

leat_status leat_session_open(leat_model *m, const leat_session_params *params, leat_session **out,
                              leat_error *e) {
    begin(e);
    if (!out) return null_argument(e, "out");
    *out = NULL;
    if (!m) return null_argument(e, "model");
    return session_open(m, params, false, NULL, out, e);
}

leat_status leat_session_measure(const leat_model *m, const leat_session_params *params, leat_memory *out,
                                 leat_error *e) {
    begin(e);
    if (out) *out = (leat_memory){0};
    if (!m || !out) return null_argument(e, !m ? "model" : "out");
    return session_measure(m, params, out, e);
}

void leat_session_close(leat_session *s) {
    session_close(s);
}

leat_status leat_session_eval_progress(leat_session *s, const leat_token *tokens, size_t n,
                                       leat_progress_fn *progress, void *user, leat_error *e) {
    begin(e);
    if (!s || (!tokens && n)) return null_argument(e, !s ? "session" : "tokens");
    return session_eval(s, tokens, n, progress, user, e);
}

leat_status leat_session_eval(leat_session *s, const leat_token *tokens, size_t n, leat_error *e) {
    return leat_session_eval_progress(s, tokens, n, NULL, NULL, e);
}
