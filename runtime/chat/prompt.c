/* chat.h: from messages to tokens. The context for the template is put together as JSON text, so that what
 * templates see is what leat_template_render would give them. */
#include "chat.h"

#include <string.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "runtime/model.h"

enum { CONTEXT_MEMORY_MAX = 1 << 30 };

bool chat_put(chat_text *t, const char *p, size_t n) {
    if (n >= t->capacity - t->n) {
        size_t capacity = t->capacity ? t->capacity : 256;
        while (capacity - t->n <= n) {
            if (capacity > SIZE_MAX / 2) return false;
            capacity *= 2;
        }
        char *grown = mem_resize(t->p, t->n, capacity, 1);
        if (!grown) return false;
        t->p = grown;
        t->capacity = capacity;
    }
    if (n) memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = '\0';
    return true;
}

bool chat_puts(chat_text *t, const char *s) {
    return chat_put(t, s, strlen(s));
}

bool chat_put_quoted(chat_text *t, const char *p, size_t n) {
    size_t length = json_quote(p, n, false, NULL, 0);
    char *quoted = mem_alloc(length, 1);
    if (!quoted) return false;
    json_quote(p, n, false, quoted, length);
    bool ok = chat_put(t, quoted, length);
    mem_free(quoted);
    return ok;
}

/* The text of a message, "" if its content is no string. The arena holds it; false when there is no memory.
 */
static bool content_of(arena *a, const chat_message *m, str *out) {
    const json_value *root, *v;
    *out = (str){"", 0};
    if (json_parse(a, "message", m->json.p, m->json.n, &root, NULL))
        return false; /* it did parse when it was added */
    if ((v = json_get(root, "content")) && v->type == JSON_STRING) *out = v->text;
    return true;
}

static size_t system_messages(const leat_chat *c) {
    return c->n_messages > 0 && c->messages[0].system;
}

bool chat_drop_turn(leat_chat *c) {
    size_t system = system_messages(c), i = system + c->n_dropped + 1;
    while (i < c->n_messages && !c->messages[i].user) i++;
    if (i >= c->n_messages) return false;
    c->n_dropped = i - system;
    return true;
}

/* Without a template: the texts, one after the other. */
static leat_status plain_prompt(const leat_chat *c, chat_text *out, leat_error *e) {
    size_t system = system_messages(c);
    for (size_t i = 0; i < c->n_messages; i++) {
        arena a;
        if (i >= system && i < system + c->n_dropped) continue;
        arena_init(&a, CONTEXT_MEMORY_MAX);
        str s;
        bool ok = content_of(&a, &c->messages[i], &s) && chat_put(out, s.p, s.n);
        arena_free(&a);
        if (!ok) return error_set(e, LEAT_E_NOMEM, "out of memory for a prompt");
    }
    return LEAT_OK;
}

/* {"messages": [...], "tools": ..., "add_generation_prompt": true, and the variables}. With `merge` the
 * system prompt is put in front of the first user message, for templates that know no system role. */
static bool put_context(const leat_chat *c, bool merge, chat_text *out) {
    size_t system = system_messages(c);
    bool ok = chat_puts(out, "{\"messages\":["), first = true;
    arena a;
    arena_init(&a, CONTEXT_MEMORY_MAX);
    for (size_t i = 0; ok && i < c->n_messages; i++) {
        if ((i >= system && i < system + c->n_dropped) || (merge && i == 0)) continue;
        if (!first) ok = ok && chat_puts(out, ",");
        if (merge && first) {
            str s, user;
            ok = ok && content_of(&a, &c->messages[0], &s) && content_of(&a, &c->messages[i], &user);
            chat_text both = {0};
            ok = ok && chat_put(&both, s.p, s.n) && chat_puts(&both, "\n\n") &&
                 chat_put(&both, user.p, user.n) && chat_puts(out, "{\"role\":\"user\",\"content\":") &&
                 chat_put_quoted(out, both.p, both.n) && chat_puts(out, "}");
            mem_free(both.p);
        } else {
            ok = ok && chat_put(out, c->messages[i].json.p, c->messages[i].json.n);
        }
        first = false;
    }
    arena_free(&a);
    ok = ok && chat_puts(out, "],\"add_generation_prompt\":true");
    if (c->tools) ok = ok && chat_puts(out, ",\"tools\":") && chat_puts(out, c->tools);
    if (c->variables) { /* an object: its members */
        const char *open = strchr(c->variables, '{'), *close = strrchr(c->variables, '}');
        bool empty = true;
        for (const char *p = open + 1; p < close; p++) empty = empty && strchr(" \t\r\n", *p);
        if (!empty) ok = ok && chat_puts(out, ",") && chat_put(out, open + 1, (size_t)(close - open) - 1);
    }
    return ok && chat_puts(out, "}");
}

static leat_status render(const leat_chat *c, bool merge, template_result *out, leat_error *e) {
    const json_value *root;
    chat_text context = {0};
    leat_template_time now = c->now;
    arena a;
    leat_status status = LEAT_OK;
    arena_init(&a, CONTEXT_MEMORY_MAX);
    if (!put_context(c, merge, &context))
        status = error_set(e, LEAT_E_NOMEM, "out of memory for a prompt");
    else if (!(status = json_parse(&a, "conversation", context.p, context.n, &root, e)))
        status = template_render(c->source, root, TEMPLATE_PYTHON, &now, out, e);
    arena_free(&a);
    mem_free(context.p);
    return status;
}

static leat_status tokenize(const leat_chat *c, const template_result *text, leat_token **tokens, size_t *n,
                            leat_error *e) {
    const vocab *v = leat_session_model(c->session)->vocab;
    unsigned flags = vocab_add_bos(v) ? VOCAB_BOS : 0;
    leat_status status = vocab_tokenize_marked(v, text->text, text->marks, text->n, flags, NULL, 0, n, e);
    if (status && status != LEAT_E_LIMIT) return status;
    size_t capacity = *n;
    if (!(*tokens = mem_alloc(capacity, sizeof **tokens)))
        return error_set(e, LEAT_E_NOMEM, "no memory for %zu tokens", capacity);
    return vocab_tokenize_marked(v, text->text, text->marks, text->n, flags, *tokens, capacity, n, e);
}

leat_status chat_prompt(const leat_chat *c, leat_token **tokens, size_t *n, bool *thinking, leat_error *e) {
    template_result text = {0};
    leat_status status;
    *tokens = NULL;
    *thinking = false;
    if (c->source) {
        status = render(c, false, &text, e);
        if (status == LEAT_E_TEMPLATE && system_messages(c) &&
            c->n_messages > 1) { /* perhaps it knows no system role */
            leat_error first = e ? *e : (leat_error){status, ""};
            if ((status = render(c, true, &text, e)) && e) *e = first;
        }
        if (status) return status;
        *thinking = reply_begins_thinking(&c->style, (str){text.text, text.n});
    } else {
        chat_text plain = {0};
        if ((status = plain_prompt(c, &plain, e))) {
            mem_free(plain.p);
            return status;
        }
        text.text = plain.p;
        text.n = plain.n;
        if (!(text.marks = mem_alloc(plain.n, 1))) {
            status = error_set(e, LEAT_E_NOMEM, "out of memory for a prompt");
            goto done;
        }
        if (plain.n) memset(text.marks, 1, plain.n);
    }
    status = tokenize(c, &text, tokens, n, e);
done:
    template_result_free(&text);
    if (status) {
        mem_free(*tokens);
        *tokens = NULL;
    }
    return status;
}
