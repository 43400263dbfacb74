/* A session: one timeline of tokens over a model, with its cache, its plan and its workers. Used by one
 * thread at a time, which is checked, not assumed. session.c evaluates, session_shift.c forgets tokens
 * from the middle, session_file.c keeps sessions in files. */
#ifndef LEAT_RUNTIME_SESSION_H
#define LEAT_RUNTIME_SESSION_H

#include "model.h"
#include "run.h"
#include "saved.h"
#include "state.h"

struct leat_session {
    leat_model *model;
    kernels kernels; /* the model's, but for how activations are kept */
    plan plan;
    rope_table rope[ROPE_SETS];
    kv_cache kv;
    state_cache state;
    runner *runner;
    size_t n_batch;
    bool even;       /* longer batches are divided evenly */
    size_t length;   /* tokens evaluated */
    int32_t *tokens; /* (n_ctx) reserved; the first `length` are set */
    size_t n_logits; /* rows of logits that the last pass left */
    size_t n_out;    /* tokens at the end of a batch whose logits are kept */
    bool embeds;     /* for embed.h */
    bool logits_all; /* also of batches that are not the last of an eval */
    atomic_bool busy, cancel;
};

/* embeds: for embeddings (embed.h), which the functions at the end are for; else for text. With an observer,
 * which must outlive the session, what goes into matrices is summed in it (observe.h), and n_batch is at
 * least 2; NULL: none. */
struct observer;
leat_status session_open(leat_model *m, const leat_session_params *params, bool embeds, struct observer *o,
                         leat_session **out, leat_error *e);
leat_status session_measure(const leat_model *m, const leat_session_params *params, leat_memory *out,
                            leat_error *e);
void session_close(leat_session *s);
leat_status session_eval(leat_session *s, const leat_token *tokens, size_t n, leat_progress_fn *progress,
                         void *user, leat_error *e);

/* Takes the session for the calling thread, LEAT_E_BUSY if another has it; and gives it back. */
leat_status session_take(leat_session *s, leat_error *e);
void session_give(leat_session *s);
/* Back to no tokens at all. Of a session that is taken. */
void session_forget(leat_session *s);

/* session_file.c: what leat_session_save and leat_session_load do, the session being taken inside. */
leat_status session_save(leat_session *s, const char *path, const void *user, size_t n_user, leat_error *e);
leat_status session_load(leat_session *s, const saved *file, leat_error *e);
/* A number for one of the session's sets of rotations (ROPE_SETS), as saved_head has it. */
double session_rope_sum(const leat_session *s, size_t set);

/* Back to `length` tokens, of a session that is taken; LEAT_E_STATE when a window has moved on. */
leat_status session_rewind(leat_session *s, size_t length);
/* session_shift.c: what leat_session_drop does. */
leat_status session_drop(leat_session *s, size_t from, size_t to, leat_error *e);

/* The type of the public enum whose format this is; -1: none. */
int session_kv_type(uint32_t format);

/* True for models of which a pass can't hold several texts. */
bool session_texts_alone(const leat_session *s);
/* One pass over whole texts that do not see each other, no more than n_batch tokens together; texts lie side
 * by side, positions has the place of each token in its text. */
leat_status session_encode(leat_session *s, const leat_token *tokens, const span *texts, size_t n_texts,
                           size_t longest, const uint32_t *positions, leat_error *e);
/* The next n <= n_batch tokens of one text, after session_forget. */
leat_status session_encode_part(leat_session *s, const leat_token *tokens, size_t n, leat_error *e);
/* (n_embd) of a token of the last pass, valid until the next. */
const float *session_hidden(const leat_session *s, size_t token);

#endif
