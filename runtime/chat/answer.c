/* chat.h: an answer. The session is taken back to what its tokens and the prompt have in common, the rest is
 * evaluated, and tokens are sampled and taken apart (text/reply.c) until the turn ends. */
#include <string.h>

#include "chat.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "runtime/model.h"

enum { TURN_MARKS = 8 };

/* One answer in the making. */
typedef struct answer {
    leat_chat *c;
    const leat_reply_params *params;
    leat_reply_result *result;
    reply *parts;
    chat_text content, reasoning, calls; /* calls: elements of a JSON array */
    chat_text tail;                      /* text that may be the beginning of a stop text */
    leat_token begins[TURN_MARKS]; /* (n_begins) control tokens that the prompt's last turn begins with */
    size_t n_begins;
    bool ended, stopped, no_memory;
    size_t prompt_end; /* where in the session the answer begins */
} answer;

leat_status chat_add(leat_chat *c, const char *json, size_t n, leat_error *e) {
    const json_value *root;
    chat_message message = {0};
    arena a;
    arena_init(&a, 1 << 30);
    leat_status status = json_parse(&a, "message", json, n, &root, e);
    const json_value *role = status ? NULL : json_get(root, "role");
    if (!status && (!role || role->type != JSON_STRING))
        status = error_set(e, LEAT_E_VALUE, "a message needs a role");
    if (!status) {
        message.user = str_eq(role->text, "user");
        message.system = str_eq(role->text, "system") || str_eq(role->text, "developer");
    }
    arena_free(&a);
    if (status) return status;
    if (c->n_messages == c->messages_capacity) {
        size_t capacity = c->messages_capacity ? c->messages_capacity * 2 : 16;
        chat_message *grown = mem_resize(c->messages, c->n_messages, capacity, sizeof *grown);
        if (!grown) return error_set(e, LEAT_E_NOMEM, "out of memory for a message");
        c->messages = grown;
        c->messages_capacity = capacity;
    }
    if (!chat_put(&message.json, json, n)) {
        mem_free(message.json.p);
        return error_set(e, LEAT_E_NOMEM, "out of memory for a message");
    }
    c->messages[c->n_messages++] = message;
    return LEAT_OK;
}

/* ---- the text of the answer ---- */

static void take_piece(void *user, reply_kind kind, const char *p, size_t n) {
    answer *a = user;
    if (kind == REPLY_TOOL_CALL) {
        a->result->n_tool_calls++;
        a->no_memory |= (a->calls.n && !chat_puts(&a->calls, ",")) ||
                        !chat_puts(&a->calls, "{\"type\":\"function\",\"function\":") ||
                        !chat_put(&a->calls, p, n) || !chat_puts(&a->calls, "}");
    } else {
        a->no_memory |= !chat_put(kind == REPLY_REASONING ? &a->reasoning : &a->content, p, n);
    }
    if (a->params->piece && !a->ended)
        a->ended = !a->params->piece(a->params->user, (leat_piece_kind)kind, (leat_str){p, n});
}

/* Passes text on, but for what a stop text may begin with; at a stop text the answer ends. */
static leat_status push_text(answer *a, const char *p, size_t n, bool end, leat_error *e) {
    const leat_chat *c = a->c;
    size_t keep = 0, from = a->tail.n, cut = SIZE_MAX, longest = 0;
    if (!chat_put(&a->tail, p, n)) return error_set(e, LEAT_E_NOMEM, "out of memory for a reply");
    for (size_t i = 0; i < c->n_stop; i++) {
        size_t length = strlen(c->stop[i]), at = from > length ? from - length : 0;
        longest = length > longest ? length : longest;
        for (; at + length <= a->tail.n && at < cut; at++)
            if (!memcmp(a->tail.p + at, c->stop[i], length)) cut = at;
    }
    if (cut != SIZE_MAX) {
        a->stopped = true;
        a->tail.n = cut;
    } else if (!end) {
        for (size_t i = 0; i < c->n_stop; i++) {
            size_t length = strlen(c->stop[i]), k = length - 1 < a->tail.n ? length - 1 : a->tail.n;
            while (k > keep && memcmp(a->tail.p + a->tail.n - k, c->stop[i], k) != 0) k--;
            keep = k > keep ? k : keep;
        }
    }
    size_t give = a->tail.n - keep;
    leat_status status = reply_push(a->parts, a->tail.p, give, e);
    if (keep) memmove(a->tail.p, a->tail.p + give, keep);
    a->tail.n = keep;
    return status;
}

static leat_status push_token(answer *a, leat_decoder *decoder, leat_token token, leat_error *e) {
    const leat_model *m = leat_session_model(a->c->session);
    leat_str plain = leat_token_text(m, token, false), special = leat_token_text(m, token, true);
    if (plain.size == 0 && special.size > 0) { /* a control token: only its meaning, if it has one here */
        if (!reply_knows(&a->c->style, (str){special.data, special.size})) return LEAT_OK;
        leat_str held = leat_decoder_finish(decoder);
        leat_status status = push_text(a, held.data, held.size, false, e);
        return status ? status : push_text(a, special.data, special.size, false, e);
    }
    leat_str text = leat_decoder_push(decoder, token);
    return push_text(a, text.data, text.size, false, e);
}

/* The answer as a message. */
static leat_status keep_answer(answer *a, leat_error *e) {
    chat_text m = {0};
    bool ok = chat_puts(&m, "{\"role\":\"assistant\",\"content\":") &&
              chat_put_quoted(&m, a->content.p ? a->content.p : "", a->content.n);
    if (a->reasoning.n) {
        size_t from = 0, n = a->reasoning.n;
        while (from < n && strchr("\n ", a->reasoning.p[from])) from++;
        while (n > from && strchr("\n ", a->reasoning.p[n - 1])) n--;
        ok = ok && chat_puts(&m, ",\"reasoning_content\":") &&
             chat_put_quoted(&m, a->reasoning.p + from, n - from);
    }
    if (a->calls.n)
        ok = ok && chat_puts(&m, ",\"tool_calls\":[") && chat_put(&m, a->calls.p, a->calls.n) &&
             chat_puts(&m, "]");
    ok = ok && chat_puts(&m, "}") && !a->no_memory;
    leat_status status =
        ok ? chat_add(a->c, m.p, m.n, e) : error_set(e, LEAT_E_NOMEM, "out of memory for a reply");
    mem_free(m.p);
    return status;
}

/* ---- tokens ---- */

/* Takes the session back to what it has in common with the prompt, and evaluates the rest, at least one
 * token, so that there are logits. `cut`: turns were left out that the session may still hold. */
static leat_status evaluate_prompt(answer *a, const leat_token *prompt, size_t n, bool cut, leat_error *e) {
    leat_chat *c = a->c;
    size_t common = cut ? chat_cut_out(c, prompt, n) : chat_in_common(c, prompt, n);
    if (common == n && common > 0) common--;
    leat_status status = leat_session_rewind(c->session, common);
    if (status == LEAT_E_STATE)
        status = leat_session_rewind(c->session, common = 0); /* a window has moved on */
    if (status) return error_set(e, status, "the session can't be taken back to token %zu", common);
    a->prompt_end = n;
    a->result->n_prompt = n;
    a->result->n_cached = common;
    for (size_t i = common; i < n; i++) leat_sampler_accept(c->sampler, prompt[i]);
    return leat_session_eval_progress(c->session, prompt + common, n - common, a->params->progress,
                                      a->params->user, e);
}

/* Notes what begins the answer's turn, like <|im_start|>: a model that writes it goes on with somebody else's
 * turn, and has forgotten to end its own. */
static void note_turn_marks(answer *a, const leat_token *prompt, size_t n) {
    const leat_model *m = leat_session_model(a->c->session);
    for (size_t i = n > TURN_MARKS ? n - TURN_MARKS : 0; i < n && a->c->source; i++) {
        leat_str plain = leat_token_text(m, prompt[i], false), special = leat_token_text(m, prompt[i], true);
        if (plain.size == 0 && special.size > 0 &&
            !reply_knows(&a->c->style, (str){special.data, special.size}))
            a->begins[a->n_begins++] = prompt[i];
    }
}

static bool begins_turn(const answer *a, leat_token token) {
    for (size_t i = 0; i < a->n_begins; i++)
        if (a->begins[i] == token) return true;
    return false;
}

/* Before the next token: room for it, if there is none and turns may go; `ended` says when there is none. */
static leat_status keep_room(answer *a, bool *ended, leat_error *e) {
    leat_chat *c = a->c;
    bool made = false;
    size_t before = leat_session_length(c->session);
    *ended = false;
    if (before < leat_session_n_ctx(c->session)) return LEAT_OK;
    leat_status status = c->context_shift ? chat_make_room(c, a->prompt_end, &made, e) : LEAT_OK;
    if (made) a->prompt_end -= before - leat_session_length(c->session);
    if (!status && !made) {
        a->result->end = LEAT_CHAT_FULL;
        *ended = true;
    }
    return status;
}

static leat_status generate(answer *a, leat_decoder *decoder, leat_error *e) {
    leat_chat *c = a->c;
    const leat_model *m = leat_session_model(c->session);
    leat_status status = LEAT_OK;
    for (;;) {
        leat_token token;
        if (a->params->max_tokens >= 0 && a->result->n_generated >= (size_t)a->params->max_tokens) {
            a->result->end = LEAT_CHAT_LENGTH;
            return LEAT_OK;
        }
        if ((status = leat_sampler_next(c->sampler, c->session, &token, e))) return status;
        a->result->n_generated++;
        if (leat_token_is_end(m, token)) {
            leat_str special = leat_token_text(m, token, true);
            a->result->end = LEAT_CHAT_DONE;
            if (!c->style.harmony || !reply_knows(&c->style, (str){special.data, special.size}))
                return LEAT_OK;
            return push_text(a, special.data, special.size, false, e);
        }
        if (begins_turn(a, token)) {
            a->result->end = LEAT_CHAT_DONE;
            return LEAT_OK;
        }
        if ((status = push_token(a, decoder, token, e))) return status;
        if (a->stopped || a->ended) {
            a->result->end = a->stopped ? LEAT_CHAT_STOP : LEAT_CHAT_ENDED;
            return LEAT_OK;
        }
        bool full;
        status = keep_room(a, &full, e);
        if (!status && full) return LEAT_OK;
        if (!status) status = leat_session_eval(c->session, &token, 1, e);
        if (status == LEAT_E_CANCELLED) {
            a->result->end = LEAT_CHAT_ENDED;
            return error_set(e, LEAT_OK, "%s", "");
        }
        if (status) return status;
    }
}

/* The prompt, without the oldest turns if it would not fit and they may go. Some room is left for an answer.
 */
static leat_status fitting_prompt(answer *a, leat_token **prompt, size_t *n, bool *thinking, leat_error *e) {
    leat_chat *c = a->c;
    size_t n_ctx = leat_session_n_ctx(c->session), room = n_ctx / 4 < 256 ? n_ctx / 4 : 256,
           dropped = c->n_dropped;
    for (;;) {
        leat_status status = chat_prompt(c, prompt, n, thinking, e);
        if (status) return status;
        if (*n == 0) {
            mem_free(*prompt);
            *prompt = NULL;
            return error_set(e, LEAT_E_STATE, "there is nothing to reply to");
        }
        if (*n + (c->context_shift ? room : 0) < n_ctx) return LEAT_OK;
        if (*n < n_ctx && !c->context_shift) return LEAT_OK;
        size_t needed = *n;
        if (c->context_shift) {
            if (chat_drop_turn(c)) {
                mem_free(*prompt);
                *prompt = NULL;
                continue;
            }
            if (needed < n_ctx) return LEAT_OK; /* tight, but nothing more can go */
        }
        mem_free(*prompt);
        *prompt = NULL;
        c->n_dropped = dropped;
        return error_set(e, LEAT_E_CONTEXT, "the conversation has %zu tokens, but the context holds %zu",
                         needed, n_ctx);
    }
}

leat_status chat_reply(leat_chat *c, const leat_reply_params *params, leat_reply_result *result,
                       leat_error *e) {
    answer a = {.c = c, .params = params, .result = result};
    leat_decoder *decoder = NULL;
    leat_token *prompt = NULL;
    size_t n = 0, dropped = c->n_dropped;
    bool thinking = false, evaluated = false;
    if (c->n_messages == 0) return error_set(e, LEAT_E_STATE, "there is no message to reply to");
    leat_status status = fitting_prompt(&a, &prompt, &n, &thinking, e);
    if (status) goto done;
    if ((status = leat_decoder_open(leat_session_model(c->session), false, &decoder, e))) goto done;
    if ((status = reply_open(&c->style, thinking, take_piece, &a, &a.parts, e))) goto done;
    if ((status = evaluate_prompt(&a, prompt, n, c->n_dropped > dropped, e))) goto done;
    evaluated = true;
    note_turn_marks(&a, prompt, n);
    status = generate(&a, decoder, e);
    if (!status && !a.stopped) {
        leat_str last = leat_decoder_finish(decoder);
        status = push_text(&a, last.data, last.size, true, e);
    }
    if (!status) status = reply_finish(a.parts, e);
done:
    result->n_dropped = c->n_dropped;
    if (evaluated) {
        leat_status kept = keep_answer(&a, status ? NULL : e);
        status = status ? status : kept;
    }
    reply_close(a.parts);
    leat_decoder_close(decoder);
    mem_free(prompt);
    mem_free(a.content.p);
    mem_free(a.reasoning.p);
    mem_free(a.calls.p);
    mem_free(a.tail.p);
    return status;
}
