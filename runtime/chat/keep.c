/* chat.h: a conversation in a file. The messages travel as the user's bytes of a saved session: a line "leat
 * chat 1 N", N being how many messages were left out of the prompt, then each message as JSON with a NUL
 * behind, which JSON can't contain. Read as untrusted as the file around it. */
#include <stdio.h>
#include <string.h>

#include "chat.h"
#include "loader/alloc.h"
#include "loader/error.h"

#define FIRST_LINE "leat chat 1 "

leat_status chat_save(const leat_chat *c, const char *path, leat_error *e) {
    chat_text text = {0};
    char number[32];
    snprintf(number, sizeof number, "%zu\n", c->n_dropped);
    bool ok = chat_puts(&text, FIRST_LINE) && chat_puts(&text, number);
    for (size_t i = 0; ok && i < c->n_messages; i++)
        ok = chat_put(&text, c->messages[i].json.p, c->messages[i].json.n) && chat_put(&text, "", 1);
    leat_status status = ok ? leat_session_save(c->session, path, text.p, text.n, e)
                            : error_set(e, LEAT_E_NOMEM, "no memory to save a conversation");
    mem_free(text.p);
    return status;
}

/* The number behind FIRST_LINE and its newline; false if that is not what there is. */
static bool take_number(const char **p, const char *end, size_t *out) {
    const char *q = *p;
    *out = 0;
    while (q < end && *q >= '0' && *q <= '9' && *out < 1000000000) *out = *out * 10 + (size_t)(*q++ - '0');
    if (q == *p || q == end || *q != '\n') return false;
    *p = q + 1;
    return true;
}

/* The messages into a chat that has none. */
static leat_status take_messages(leat_chat *c, leat_str text, leat_error *e) {
    size_t first = strlen(FIRST_LINE), dropped;
    const char *p = text.data + first, *end = text.data + text.size, *nul;
    leat_status status = LEAT_OK;
    if (text.size < first || memcmp(text.data, FIRST_LINE, first) != 0 || !take_number(&p, end, &dropped))
        return error_set(e, LEAT_E_MISSING, "the file holds a session, but no conversation");
    for (; !status && p < end; p = nul + 1) {
        nul = memchr(p, 0, (size_t)(end - p));
        if (!nul) return error_set(e, LEAT_E_VALUE, "saved message %zu has no end", c->n_messages + 1);
        status = chat_add(c, p, (size_t)(nul - p), e);
    }
    c->n_dropped = dropped < c->n_messages ? dropped : 0;
    return status;
}

/* What the sampler would know, had it seen the conversation. */
static void tell_sampler(leat_chat *c) {
    size_t n;
    const leat_token *tokens = leat_session_tokens(c->session, &n);
    leat_sampler_reset(c->sampler);
    for (size_t i = 0; i < n; i++) leat_sampler_accept(c->sampler, tokens[i]);
}

leat_status chat_load(leat_chat *c, const char *path, leat_error *e) {
    leat_chat fresh = {0};
    leat_saved *file;
    leat_saved_info info;
    leat_status status = leat_saved_open(path, &file, e);
    if (status) return status;
    leat_saved_get_info(file, &info);
    status = take_messages(&fresh, info.user, e);
    if (!status) status = leat_session_load(c->session, file, e);
    leat_saved_close(file);
    if (!status) {
        leat_chat old = {.messages = c->messages, .n_messages = c->n_messages};
        c->messages = fresh.messages;
        c->n_messages = fresh.n_messages;
        c->messages_capacity = fresh.messages_capacity;
        c->n_dropped = fresh.n_dropped;
        fresh = old;
        tell_sampler(c);
    }
    leat_chat_truncate(&fresh, 0);
    mem_free(fresh.messages);
    return status;
}
