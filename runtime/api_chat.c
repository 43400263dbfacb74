/* The public functions of leat.h for conversations: arguments are checked here, the work is in chat/prompt.c
 * and chat/answer.c. */
#include <string.h>
#include <time.h>

#include "runtime/chat/chat.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/file.h"
#include "model.h"

_Static_assert((int)LEAT_PIECE_CONTENT == REPLY_CONTENT && (int)LEAT_PIECE_REASONING == REPLY_REASONING &&
                   (int)LEAT_PIECE_TOOL_CALL == REPLY_TOOL_CALL,
               "the public kinds of pieces are those of reply.h");

static void begin(leat_error *e) {
    if (e) *e = (leat_error){LEAT_OK, ""};
}

void leat_chat_params_default(leat_chat_params *p) {
    if (p) *p = (leat_chat_params){0};
}

/* A copy of JSON text that must be of this type; NULL stays NULL. */
static leat_status copy_json(const char *text, json_type type, const char *what, char **out, leat_error *e) {
    const json_value *root;
    chat_text copy = {0};
    arena a;
    *out = NULL;
    if (!text) return LEAT_OK;
    arena_init(&a, 1 << 28);
    leat_status status = json_parse(&a, what, text, strlen(text), &root, e);
    if (!status && root->type != type)
        status =
            error_set(e, LEAT_E_VALUE, "%s must be a JSON %s", what, type == JSON_ARRAY ? "array" : "object");
    arena_free(&a);
    if (!status && !chat_puts(&copy, text)) status = error_set(e, LEAT_E_NOMEM, "out of memory for a chat");
    *out = copy.p;
    return status;
}

static leat_status copy_stops(leat_chat *c, const leat_chat_params *p, leat_error *e) {
    if (p->n_stop > 256) return error_set(e, LEAT_E_LIMIT, "%zu stop texts; at most 256", p->n_stop);
    if (p->n_stop && !p->stop) return error_set(e, LEAT_E_ARG, "stop is NULL");
    if (!(c->stop = mem_alloc(p->n_stop, sizeof *c->stop)))
        return error_set(e, LEAT_E_NOMEM, "out of memory for a chat");
    for (size_t i = 0; i < p->n_stop; i++) {
        chat_text copy = {0};
        if (!p->stop[i] || !*p->stop[i]) return error_set(e, LEAT_E_ARG, "stop text %zu is empty", i);
        if (!chat_puts(&copy, p->stop[i])) return error_set(e, LEAT_E_NOMEM, "out of memory for a chat");
        c->stop[c->n_stop++] = copy.p;
    }
    return LEAT_OK;
}

/* The template to use, and what its source tells about replies. */
static leat_status choose_template(leat_chat *c, const leat_chat_params *p, leat_error *e) {
    leat_status status;
    c->source = p->chat_template;
    if (!c->source) {
        status = leat_template_open_model(leat_session_model(c->session), NULL, &c->own, e);
        if (status && status != LEAT_E_MISSING) return status;
        begin(e);
        c->source = c->own;
    }
    if (c->source) reply_style_of(template_source(c->source), c->tools != NULL, &c->style);
    return LEAT_OK;
}

static void set_clock(leat_chat *c, const leat_template_params *p) {
    if (p && p->year) {
        c->now = (leat_template_time){p->year, p->month, p->day, p->hour, p->minute, p->second};
        return;
    }
    time_t seconds = time(NULL);
    struct tm t;
    if (gmtime_r(&seconds, &t))
        c->now =
            (leat_template_time){t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec};
}

leat_status leat_chat_open(leat_session *session, leat_sampler *sampler, const leat_chat_params *params,
                           leat_chat **out, leat_error *e) {
    static const leat_chat_params defaults = {0};
    begin(e);
    if (out) *out = NULL;
    if (!session || !sampler || !out)
        return error_set(e, LEAT_E_ARG, "%s is NULL", !session ? "session" : sampler ? "out" : "sampler");
    if (!params) params = &defaults;
    const leat_template_params *clock = params->params;
    if (clock && clock->year &&
        (clock->year < 1 || clock->year > 9999 || clock->month < 1 || clock->month > 12 || clock->day < 1 ||
         clock->day > 31))
        return error_set(e, LEAT_E_ARG, "the time in the params is none");
    leat_chat *c = mem_alloc(1, sizeof *c);
    if (!c) return error_set(e, LEAT_E_NOMEM, "out of memory for a chat");
    c->session = session;
    c->sampler = sampler;
    c->context_shift = params->context_shift;
    set_clock(c, clock);
    leat_status status = copy_json(params->tools, JSON_ARRAY, "tools", &c->tools, e);
    if (!status) status = copy_json(params->variables, JSON_OBJECT, "variables", &c->variables, e);
    if (!status) status = copy_stops(c, params, e);
    if (!status) status = choose_template(c, params, e);
    if (status) {
        leat_chat_close(c);
        return status;
    }
    *out = c;
    return LEAT_OK;
}

void leat_chat_close(leat_chat *c) {
    if (!c) return;
    leat_chat_truncate(c, 0);
    template_free(c->own);
    for (size_t i = 0; i < c->n_stop; i++) mem_free(c->stop[i]);
    mem_free(c->stop);
    mem_free(c->tools);
    mem_free(c->variables);
    mem_free(c->messages);
    mem_free(c);
}

bool leat_chat_has_template(const leat_chat *c) {
    return c && c->source;
}

bool leat_chat_can_reason(const leat_chat *c) {
    return c && (c->style.think || c->style.harmony);
}

leat_status leat_chat_add(leat_chat *c, const char *role, const char *text, size_t n, leat_error *e) {
    chat_text m = {0};
    begin(e);
    if (!c || !role || (!text && n))
        return error_set(e, LEAT_E_ARG, "%s is NULL", !c ? "chat" : role ? "text" : "role");
    bool ok = chat_puts(&m, "{\"role\":") && chat_put_quoted(&m, role, strlen(role)) &&
              chat_puts(&m, ",\"content\":") && chat_put_quoted(&m, n ? text : "", n) && chat_puts(&m, "}");
    leat_status status =
        ok ? chat_add(c, m.p, m.n, e) : error_set(e, LEAT_E_NOMEM, "out of memory for a message");
    mem_free(m.p);
    return status;
}

leat_status leat_chat_add_json(leat_chat *c, const char *message, size_t n, leat_error *e) {
    begin(e);
    if (!c || !message) return error_set(e, LEAT_E_ARG, "%s is NULL", c ? "message" : "chat");
    return chat_add(c, message, n, e);
}

size_t leat_chat_count(const leat_chat *c) {
    return c ? c->n_messages : 0;
}

leat_str leat_chat_message(const leat_chat *c, size_t i) {
    return i < leat_chat_count(c) ? (leat_str){c->messages[i].json.p, c->messages[i].json.n}
                                  : (leat_str){NULL, 0};
}

void leat_chat_truncate(leat_chat *c, size_t i) {
    while (c && c->n_messages > i) mem_free(c->messages[--c->n_messages].json.p);
    if (c && c->n_dropped >= c->n_messages) c->n_dropped = 0;
}

leat_status leat_chat_set_variables(leat_chat *c, const char *variables, leat_error *e) {
    char *copy;
    begin(e);
    if (!c) return error_set(e, LEAT_E_ARG, "chat is NULL");
    leat_status status = copy_json(variables, JSON_OBJECT, "variables", &copy, e);
    if (status) return status;
    mem_free(c->variables);
    c->variables = copy;
    return LEAT_OK;
}

void leat_chat_set_sampler(leat_chat *c, leat_sampler *sampler) {
    if (!c || !sampler) return;
    size_t n;
    const leat_token *tokens = leat_session_tokens(c->session, &n);
    c->sampler = sampler;
    for (size_t i = 0; i < n; i++) leat_sampler_accept(sampler, tokens[i]);
}

void leat_chat_set_context_shift(leat_chat *c, bool shift) {
    if (c) c->context_shift = shift;
}

leat_status leat_chat_save(const leat_chat *c, const char *path, leat_error *e) {
    begin(e);
    if (!c || !path) return error_set(e, LEAT_E_ARG, "%s is NULL", c ? "path" : "chat");
    return chat_save(c, path, e);
}

leat_status leat_chat_load(leat_chat *c, const char *path, leat_error *e) {
    begin(e);
    if (!c || !path) return error_set(e, LEAT_E_ARG, "%s is NULL", c ? "path" : "chat");
    return chat_load(c, path, e);
}

leat_status leat_chat_reply(leat_chat *c, const leat_reply_params *params, leat_reply_result *result,
                            leat_error *e) {
    static const leat_reply_params defaults = {.max_tokens = -1};
    leat_reply_result unused;
    begin(e);
    if (!c) return error_set(e, LEAT_E_ARG, "chat is NULL");
    if (!result) result = &unused;
    *result = (leat_reply_result){0};
    return chat_reply(c, params ? params : &defaults, result, e);
}
