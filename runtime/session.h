/* A session: one timeline of tokens over a model, with its cache, its plan and its workers. Used by one
 * thread at a time, which is checked, not assumed. */
#ifndef LEAT_RUNTIME_SESSION_H
#define LEAT_RUNTIME_SESSION_H

#include "model.h"
#include "stage.h"

/* embeds: for embeddings (embed.h), which the functions at the end are for; else for text. */
leat_status session_open(leat_model *m, const leat_session_params *params, bool embeds, leat_session **out,
                         leat_error *e);
leat_status session_measure(const leat_model *m, const leat_session_params *params, leat_memory *out,
                            leat_error *e);
void session_close(leat_session *s);
leat_status session_eval(leat_session *s, const leat_token *tokens, size_t n, leat_progress_fn *progress,
                         void *user, leat_error *e);

/* True for models of which a pass can't hold several texts. */
bool session_texts_alone(const leat_session *s);
/* One pass over whole texts that do not see each other, no more than n_batch tokens together; texts lie side
 * by side, positions has the place of each token in its text. */
leat_status session_encode(leat_session *s, const leat_token *tokens, const span *texts, size_t n_texts,
                           size_t longest, const uint32_t *positions, leat_error *e);
/* The next n <= n_batch tokens of one text, after session_forget. */
leat_status session_encode_part(leat_session *s, const leat_token *tokens, size_t n, leat_error *e);
void session_forget(leat_session *s);
/* (n_embd) of a token of the last pass, valid until the next. */
const float *session_hidden(const leat_session *s, size_t token);

#endif
