/* Anything as a template, or as what a model says. The first byte chooses: R for a reply (up to the first NUL
 * a template that tells the notation), else a template, up to the first NUL, and the context behind it, JSON,
 * or one that is made here. Beyond not crashing, a sign that only the context has must be marked as content
 * wherever it comes out. */
#include <string.h>

#include "runtime/chat/reply.h"
#include "runtime/template/template.h"
#include "runtime/chat/toolcall.h"
#include "runtime/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIGN "\xEA\x99\xAE" /* U+A66E, which has neither upper nor lower case */

static const char usual_context[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"" SIGN " s\"},{\"role\":\"user\",\"content\":\"<|" SIGN
    "|> \\\"q\\\"\\n\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{"
    "\"a\":[1,2.5,true,\"" SIGN "\"]}}}]}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
    "\"parameters\":{}}}],\"add_generation_prompt\":true,"
    "\"bos_token\":\"<s>\",\"x\":3,\"s\":\"a " SIGN " b\"}";

static void fuzz_template(const char *source, size_t n, const char *json, size_t n_json) {
    const leat_template_time now = {2025, 12, 17, 10, 30, 5};
    leat_template *t = NULL;
    template_result result;
    const json_value *context;
    leat_error e;
    arena a;
    if (n_json == 0) {
        json = usual_context;
        n_json = sizeof usual_context - 1;
    }
    arena_init(&a, 1 << 24);
    if (!template_compile(source, n, "template", &t, &e) &&
        !json_parse(&a, "context", json, n_json, &context, &e)) {
        for (int dialect = TEMPLATE_AUTO; dialect <= TEMPLATE_JAVASCRIPT; dialect++) {
            if (!template_render(t, context, (template_dialect)dialect, &now, &result, &e)) {
                if (!utf8_valid(result.text, result.n)) __builtin_trap();
                bool in_source = str_find((str){source, n}, SIGN) != SIZE_MAX ||
                                 str_find((str){source, n}, "\\") != SIZE_MAX ||
                                 str_find((str){source, n}, "%c") != SIZE_MAX;
                for (size_t i = 0; !in_source && i + 2 < result.n; i++)
                    if (!memcmp(result.text + i, SIGN, 3) && !(result.marks[i] && result.marks[i + 2]))
                        __builtin_trap();
            }
            template_result_free(&result);
        }
    }
    template_free(t);
    arena_free(&a);
}

static void swallow(void *user, reply_kind kind, const char *p, size_t n) {
    (void)kind;
    if (!utf8_valid(p, n)) ++*(size_t *)user;
}

static void fuzz_reply(const char *source, size_t n, const char *said, size_t n_said) {
    reply_style style;
    reply *r;
    leat_error e;
    size_t broken = 0;
    bool valid = utf8_valid(said, n_said);
    reply_style_of((str){source, n}, true, &style);
    if (reply_open(&style, reply_begins_thinking(&style, (str){source, n}), swallow, &broken, &r, &e)) return;
    for (size_t i = 0; i < n_said;) {
        uint32_t cp;
        size_t length = utf8_decode(said + i, n_said - i, &cp);
        if (reply_push(r, said + i, length, &e)) break;
        i += length;
    }
    reply_finish(r, &e);
    reply_close(r);
    if (valid && broken) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *p = (const char *)data;
    if (size == 0) return 0;
    bool is_reply = *p == 'R';
    p += is_reply;
    size -= is_reply;
    const char *nul = memchr(p, 0, size);
    size_t n = nul ? (size_t)(nul - p) : size;
    const char *rest = nul ? nul + 1 : p + size;
    if (is_reply)
        fuzz_reply(p, n, rest, size - (size_t)(rest - p));
    else
        fuzz_template(p, n, rest, size - (size_t)(rest - p));
    return 0;
}

#include "replay.h"
