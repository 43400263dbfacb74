/* A conversation: messages kept as JSON, rendered with a chat template, tokenized with special tokens only
 * where the template wrote them, and answered. Called by api_chat.c. Works on sessions and samplers through
 * leat.h alone. */
#ifndef LEAT_RUNTIME_CHAT_CHAT_H
#define LEAT_RUNTIME_CHAT_CHAT_H

#include "runtime/leat.h"
#include "reply.h"
#include "runtime/template/template.h"

typedef struct chat_text { /* bytes that grow, a NUL behind */
    char *p;
    size_t n, capacity;
} chat_text;

/* Appends; false when there is no memory. */
bool chat_put(chat_text *t, const char *p, size_t n);
bool chat_puts(chat_text *t, const char *s);
bool chat_put_quoted(chat_text *t, const char *p, size_t n); /* as a JSON string */

typedef struct chat_message {
    chat_text json;
    bool system, user; /* by its role; developer counts as system */
} chat_message;

struct leat_chat {
    leat_session *session;
    leat_sampler *sampler;
    leat_template *own;          /* the model's template, if it is ours to close */
    const leat_template *source; /* the one in use, NULL: none */
    reply_style style;
    leat_template_time now;
    bool context_shift;
    char *tools, *variables; /* JSON, or NULL */
    char **stop;
    size_t n_stop;
    chat_message *messages;
    size_t n_messages, messages_capacity;
    size_t n_dropped; /* messages at the front that are left out, a system prompt not counted */
};

/* prompt.c: the messages as tokens, in an array of the caller's to free with mem_free; `thinking` says
 * whether the reply begins in a reasoning section. */
leat_status chat_prompt(const leat_chat *c, leat_token **tokens, size_t *n, bool *thinking, leat_error *e);
/* Leaves the oldest turn out; false if there is none but the last. */
bool chat_drop_turn(leat_chat *c);

/* answer.c */
leat_status chat_reply(leat_chat *c, const leat_reply_params *params, leat_reply_result *result,
                       leat_error *e);
leat_status chat_add(leat_chat *c, const char *json, size_t n, leat_error *e);

/* room.c: how many tokens the session and a prompt begin with in common; the same after cutting out of the
 * session what a prompt with fewer turns has no longer; and, within an answer that filled the context behind
 * n_prompt tokens, the oldest turns left out (not `made` when there are none that can go). */
size_t chat_in_common(const leat_chat *c, const leat_token *prompt, size_t n);
size_t chat_cut_out(leat_chat *c, const leat_token *prompt, size_t n);
leat_status chat_make_room(leat_chat *c, size_t n_prompt, bool *made, leat_error *e);

/* keep.c: the messages and the session in a file, and back; after an error the chat is as before. */
leat_status chat_save(const leat_chat *c, const char *path, leat_error *e);
leat_status chat_load(leat_chat *c, const char *path, leat_error *e);

#endif
