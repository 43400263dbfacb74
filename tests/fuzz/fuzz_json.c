/* Fuzz target: JSON from a stranger. Checked: a message with every error, every value inside its parent's
 * bytes, counts that are those of the children, strings that come back the same through json_quote.
 *
 * Without a fuzzer (LEAT_LIBFUZZER undefined) the program replays the files and folders it is given. */
#include <stdlib.h>
#include <string.h>

#include "runtime/text/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) __builtin_trap();                                                                       \
    } while (0)

static void check_string(const json_value *v) {
    size_t n = json_quote(v->text.p, v->text.n, true, NULL, 0);
    char *quoted = malloc(n + 1);
    arena a;
    leat_error e;
    const json_value *again;
    MUST(quoted);
    arena_init(&a, 1 << 26);
    MUST(json_quote(v->text.p, v->text.n, true, quoted, n) == n);
    MUST(json_parse(&a, "again", quoted, n, &again, &e) == LEAT_OK && again->type == JSON_STRING);
    MUST(again->text.n == v->text.n && !memcmp(again->text.p, v->text.p, v->text.n));
    arena_free(&a);
    free(quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena a;
    leat_error e = {LEAT_OK, ""};
    const json_value *root;
    arena_init(&a, 1 << 26);
    leat_status status = json_parse(&a, "input", (const char *)data, size, &root, &e);
    MUST(status == e.code && (!status || strlen(e.message) > 10));
    for (const json_value *v = status ? NULL : root; v;) {
        size_t n = 0;
        MUST(v->at < v->end && v->end <= size);
        for (const json_value *x = v->first; x; x = x->next, n++)
            MUST(x->parent == v && x->at > v->at && x->end < v->end);
        MUST(n == v->count);
        if (v->type == JSON_STRING) check_string(v);
        if (v->first) {
            v = v->first;
            continue;
        }
        while (v && !v->next) v = v->parent;
        if (v) v = v->next;
    }
    arena_free(&a);
    return 0;
}

#include "replay.h"
