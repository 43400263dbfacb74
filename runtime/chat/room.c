/* chat.h: room in a full context. When the oldest turns are left out of the prompt, what the session holds of
 * the later ones need not be evaluated again: the tokens of the old turns are cut out of it
 * (leat_session_drop), and only where a model can't do that, all that follows is evaluated anew. */
#include <string.h>

#include "chat.h"
#include "loader/alloc.h"
#include "loader/error.h"

enum {
    ALIKE_MIN = 8, /* tokens in a row that are no chance */
    EFFORT = 64    /* comparisons for each token, at most: texts that repeat themselves are not worth more */
};

static size_t alike(const leat_token *a, size_t n, const leat_token *b, size_t m) {
    size_t i = 0, most = n < m ? n : m;
    while (i < most && a[i] == b[i]) i++;
    return i;
}

size_t chat_in_common(const leat_chat *c, const leat_token *prompt, size_t n) {
    size_t n_held;
    const leat_token *held = leat_session_tokens(c->session, &n_held);
    return alike(held, n_held, prompt, n);
}

size_t chat_cut_out(leat_chat *c, const leat_token *prompt, size_t n) {
    size_t n_held, common = chat_in_common(c, prompt, n), best = 0, gap = 0;
    const leat_token *held = leat_session_tokens(c->session, &n_held);
    size_t effort = (n + n_held) * EFFORT;
    for (size_t d = 1; common + d < n_held && effort; d++) {
        size_t run = alike(held + common + d, n_held - common - d, prompt + common, n - common);
        effort = effort > run + 1 ? effort - run - 1 : 0;
        if (run <= best) continue;
        best = run;
        gap = d;
        if (common + d + run == n_held || common + run == n) break; /* none can be longer */
    }
    if (best >= ALIKE_MIN && !leat_session_drop(c->session, common, common + gap, NULL)) common += best;
    return common;
}

/* The prompt without one more turn, and what was generated behind it. */
static leat_status shorter(leat_chat *c, const leat_token *generated, size_t n_generated, leat_token **out,
                           size_t *n, leat_error *e) {
    leat_token *prompt = NULL;
    bool thinking;
    leat_status status = chat_prompt(c, &prompt, n, &thinking, e);
    if (status) return status;
    *out = mem_resize(prompt, *n, *n + n_generated, sizeof **out);
    if (!*out) {
        mem_free(prompt);
        return error_set(e, LEAT_E_NOMEM, "no memory for %zu tokens", *n + n_generated);
    }
    if (n_generated) memcpy(*out + *n, generated, n_generated * sizeof *generated);
    *n += n_generated;
    return LEAT_OK;
}

leat_status chat_make_room(leat_chat *c, size_t n_prompt, bool *made, leat_error *e) {
    size_t n_held, n = 0, n_ctx = leat_session_n_ctx(c->session), room = n_ctx / 8 + 1;
    const leat_token *held = leat_session_tokens(c->session, &n_held);
    size_t n_generated = n_held > n_prompt ? n_held - n_prompt : 0;
    leat_token *wanted = NULL, *generated = mem_alloc(n_generated, sizeof *generated);
    leat_status status = LEAT_OK;
    *made = false;
    if (!generated) return error_set(e, LEAT_E_NOMEM, "no memory for %zu tokens", n_generated);
    if (n_generated) memcpy(generated, held + n_prompt, n_generated * sizeof *generated);
    while (!status && (!wanted || n + room > n_ctx) && chat_drop_turn(c)) {
        mem_free(wanted);
        wanted = NULL;
        status = shorter(c, generated, n_generated, &wanted, &n, e);
    }
    if (!status && wanted && n < n_ctx) {
        size_t common = chat_cut_out(c, wanted, n);
        status = leat_session_rewind(c->session, common);
        if (status) status = leat_session_rewind(c->session, common = 0); /* a window has moved on */
        if (!status) status = leat_session_eval(c->session, wanted + common, n - common, e);
        *made = !status;
    }
    mem_free(wanted);
    mem_free(generated);
    return status;
}
