/* The public functions of leat.h that make embeddings: they validate what a caller may get wrong and hand
 * over to embed.c. */
#include "embed.h"

#include <string.h>

#include "loader/alloc.h"

static void begin(leat_error *e) {
    if (e) *e = (leat_error){LEAT_OK, ""};
}

static leat_status null_argument(leat_error *e, const char *name) {
    return error_set(e, LEAT_E_ARG, "%s is NULL", name);
}

leat_status leat_embedder_open(leat_model *m, const leat_embed_params *params, leat_embedder **out,
                               leat_error *e) {
    begin(e);
    if (!out) return null_argument(e, "out");
    *out = NULL;
    if (!m) return null_argument(e, "model");
    return embedder_open(m, params, out, e);
}

void leat_embedder_close(leat_embedder *em) {
    embedder_close(em);
}

leat_status leat_embed(leat_embedder *em, const leat_token *tokens, const size_t *lengths, size_t n_texts,
                       float *out, leat_progress_fn *progress, void *user, leat_error *e) {
    begin(e);
    if (!em) return null_argument(e, "embedder");
    if (n_texts && (!tokens || !lengths || !out))
        return null_argument(e, !tokens ? "tokens" : !lengths ? "lengths" : "out");
    return embedder_run(em, tokens, lengths, n_texts, out, progress, user, e);
}

leat_status leat_embed_texts(leat_embedder *em, const leat_str *texts, size_t n_texts, float *out,
                             leat_error *e) {
    begin(e);
    if (!em) return null_argument(e, "embedder");
    if (n_texts && (!texts || !out)) return null_argument(e, !texts ? "texts" : "out");
    if (leat_embedder_pooling(em) == LEAT_POOLING_NONE)
        return error_set(e, LEAT_E_ARG,
                         "without pooling the number of vectors is that of tokens: use leat_embed");
    const leat_model *m = leat_embedder_model(em);
    const unsigned flags =
        (leat_token_add_bos(m) ? LEAT_TOKENIZE_BOS : 0) | (leat_token_add_eos(m) ? LEAT_TOKENIZE_EOS : 0);
    size_t *lengths = n_texts ? mem_alloc(n_texts, sizeof *lengths) : NULL, bound = 0, n = 0;
    leat_token *tokens = NULL;
    leat_status s = LEAT_OK;
    for (size_t i = 0; !s && i < n_texts; i++)
        if (__builtin_add_overflow(bound, leat_tokenize_bound(m, texts[i].size), &bound)) s = LEAT_E_NOMEM;
    if (!s && n_texts) tokens = mem_alloc(bound ? bound : 1, sizeof *tokens);
    if (s || (n_texts && (!lengths || !tokens)))
        s = error_set(e, LEAT_E_NOMEM, "out of memory for the tokens of %zu texts", n_texts);
    for (size_t i = 0; !s && i < n_texts; i++) {
        s = leat_tokenize(m, texts[i].data, texts[i].size, flags, tokens + n, bound - n, &lengths[i], e);
        n += lengths[i];
    }
    if (!s && n_texts) s = embedder_run(em, tokens, lengths, n_texts, out, NULL, NULL, e);
    mem_free(lengths);
    mem_free(tokens);
    return s;
}
