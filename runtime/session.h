/* A session: one timeline of tokens over a model, with its cache, its plan and its workers. Used by one
 * thread at a time, which is checked, not assumed. */
#ifndef LEAT_RUNTIME_SESSION_H
#define LEAT_RUNTIME_SESSION_H

#include "model.h"

leat_status session_open(leat_model *m, const leat_session_params *params, leat_session **out, leat_error *e);
/* The same, summing in `o` what goes into matrices (observe.h); it must outlive the session. n_batch is at
 * least 2. NULL: as session_open. */
struct observer;
leat_status session_open_observed(leat_model *m, const leat_session_params *params, struct observer *o,
                                  leat_session **out, leat_error *e);
void session_close(leat_session *s);
leat_status session_eval(leat_session *s, const leat_token *tokens, size_t n, leat_progress_fn *progress,
                         void *user, leat_error *e);

#endif
