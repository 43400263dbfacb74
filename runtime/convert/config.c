/* Values of config.json; see conversion.h. What multimodal models keep in "text_config" goes before what
 * stands outside. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conversion.h"
#include "loader/error.h"

enum { PATH_MAX_BYTES = 200 };

void conversion_fail(conversion *c, leat_status code, const char *format, ...) {
    char said[256];
    va_list list;
    if (c->status) return;
    va_start(list, format);
    vsnprintf(said, sizeof said, format, list);
    va_end(list);
    c->status = error_set(c->e, code, "%s", said);
}

void conversion_warn(conversion *c, const char *format, ...) {
    char said[512];
    va_list list;
    if (!c->params->warning) return;
    va_start(list, format);
    vsnprintf(said, sizeof said, format, list);
    va_end(list);
    c->params->warning(c->params->user, said);
}

/* The value at the dotted path of n bytes, or NULL. */
static const json_value *walk(const json_value *v, const char *path, size_t n) {
    char name[PATH_MAX_BYTES];
    while (v && n) {
        const char *dot = memchr(path, '.', n);
        size_t m = dot ? (size_t)(dot - path) : n;
        if (m >= sizeof name) return NULL;
        memcpy(name, path, m);
        name[m] = 0;
        v = json_get(v, name);
        path += m + (dot != NULL);
        n -= m + (dot != NULL);
    }
    return v && v->type != JSON_NULL ? v : NULL;
}

const json_value *json_path(const json_value *v, const char *names) {
    for (;;) {
        const char *bar = strchr(names, '|');
        const json_value *found = walk(v, names, bar ? (size_t)(bar - names) : strlen(names));
        if (found || !bar) return found;
        names = bar + 1;
    }
}

const json_value *cfg(const conversion *c, const char *names) {
    const json_value *v = json_path(c->text, names);
    return v ? v : json_path(c->config, names);
}

static void bad(conversion *c, const char *names, const json_value *v, const char *wanted) {
    size_t n = v->end - v->at;
    conversion_fail(c, LEAT_E_HPARAM, "config.json: %.60s is %s, not %s", names,
                    v->type == JSON_OBJECT  ? "an object"
                    : v->type == JSON_ARRAY ? "an array"
                    : n                     ? "something else"
                                            : "empty",
                    wanted);
}

/* A list of one number per layer counts when all are the same. */
static const json_value *number_of(conversion *c, const char *names) {
    const json_value *v = cfg(c, names), *first;
    if (!v || v->type != JSON_ARRAY || !v->first) return v;
    first = v->first;
    for (const json_value *x = first; x; x = x->next)
        if ((x->type != JSON_INT && x->type != JSON_FLOAT) || x->real != first->real) return v;
    return first;
}

uint32_t cfg_u32(conversion *c, const char *names, uint32_t fallback) {
    const json_value *v = number_of(c, names);
    if (!v || c->status) return fallback;
    if (v->type == JSON_FLOAT && v->real == floor(v->real) && v->real >= 0 && v->real <= UINT32_MAX)
        return (uint32_t)v->real;
    if (v->type == JSON_INT && v->integer >= 0 && v->integer <= UINT32_MAX) return (uint32_t)v->integer;
    bad(c, names, v, "a whole number of 32 bits");
    return fallback;
}

uint32_t cfg_need_u32(conversion *c, const char *names) {
    if (!cfg(c, names)) conversion_fail(c, LEAT_E_HPARAM, "config.json has no %.100s", names);
    return cfg_u32(c, names, 0);
}

double cfg_f64(conversion *c, const char *names, double fallback) {
    const json_value *v = number_of(c, names);
    if (!v || c->status) return fallback;
    if ((v->type == JSON_FLOAT || v->type == JSON_INT) && isfinite(v->real)) return v->real;
    bad(c, names, v, "a number");
    return fallback;
}

bool cfg_bool(conversion *c, const char *names, bool fallback) {
    const json_value *v = cfg(c, names);
    if (!v || c->status) return fallback;
    if (v->type == JSON_BOOL) return v->boolean;
    bad(c, names, v, "true or false");
    return fallback;
}

bool cfg_is(const conversion *c, const char *names, const char *word) {
    const json_value *v = cfg(c, names);
    return v && v->type == JSON_STRING && str_eq(v->text, word);
}

bool conversion_classifies(const conversion *c) {
    static const char end[] = "ForSequenceClassification";
    const json_value *list = json_get(c->config, "architectures");
    const json_value *name = list && list->type == JSON_ARRAY ? list->first : NULL;
    size_t n = sizeof end - 1;
    return name && name->type == JSON_STRING && name->text.n >= n &&
           !memcmp(name->text.p + name->text.n - n, end, n);
}
