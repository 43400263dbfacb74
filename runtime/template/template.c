/* template.h: compiling (lexer, parser, names) and the frame of a rendering: its memory, its limits, the
 * context as variables, and the marks of the output as segments. The walk over the tree is run.c's.
 */
#include "template.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "loader/alloc.h"
#include "impl.h"
#include "runtime/text/utf8.h"

enum {
    COMPILE_MEMORY_MAX = 1 << 28,
    RENDER_MEMORY_MAX = 1 << 27,
    STEPS_MAX =
        20000000 /* some seconds at the very worst; conversations of thousands of messages need a tenth */
};

const name *template_intern(leat_template *t, const char *p, size_t n) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)p[i]) * 16777619u;
    name **bucket = &t->names[hash % (sizeof t->names / sizeof *t->names)];
    for (name *x = *bucket; x; x = x->next)
        if (x->hash == hash && x->text.n == n && !memcmp(x->text.p, p, n)) return x;
    name *x = arena_alloc(&t->a, sizeof *x);
    char *copy = arena_copy(&t->a, p, n);
    if (!x || !copy) return NULL;
    *x = (name){{copy, n}, t->n_names++, hash, *bucket};
    return *bucket = x;
}

static const name *find_name(const leat_template *t, str s) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < s.n; i++) hash = (hash ^ (unsigned char)s.p[i]) * 16777619u;
    for (const name *x = t->names[hash % (sizeof t->names / sizeof *t->names)]; x; x = x->next)
        if (x->hash == hash && x->text.n == s.n && !memcmp(x->text.p, s.p, s.n)) return x;
    return NULL;
}

/* A copy of the source with its newlines as \n; the last one goes. */
static leat_status take_source(leat_template *t, const char *p, size_t n, const char *what, leat_error *e) {
    char *copy = arena_alloc(&t->a, n + 1);
    size_t used = 0;
    if (!copy) return error_set(e, LEAT_E_NOMEM, "out of memory for a template");
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = utf8_decode(p + i, n - i, &cp);
        if (cp >= UTF8_INCOMPLETE) {
            size_t line, column;
            text_position(p, n, i, &line, &column);
            return error_set(e, LEAT_E_TEMPLATE, "%s line %zu, column %zu: bytes that are no UTF-8", what,
                             line, column);
        }
        if (cp == '\r') {
            copy[used++] = '\n';
            i += 1 + (i + 1 < n && p[i + 1] == '\n');
            continue;
        }
        memcpy(copy + used, p + i, length);
        used += length;
        i += length;
    }
    t->source = copy;
    t->n = used > 0 && copy[used - 1] == '\n' ? used - 1 : used;
    return LEAT_OK;
}

leat_status template_compile(const char *source, size_t n, const char *what, leat_template **out,
                             leat_error *e) {
    leat_status status;
    token *tokens;
    size_t n_tokens;
    *out = NULL;
    if (n > TEMPLATE_SOURCE_MAX)
        return error_set(e, LEAT_E_LIMIT, "the %s has %zu bytes; at most %d", what, n, TEMPLATE_SOURCE_MAX);
    leat_template *t = mem_alloc(1, sizeof *t);
    if (!t) return error_set(e, LEAT_E_NOMEM, "out of memory for a template");
    arena_init(&t->a, COMPILE_MEMORY_MAX);
    static const char words[][8] = {"loop", "caller", "varargs", "kwargs", "null"};
    const name **well_known[] = {&t->loop, &t->caller, &t->varargs, &t->kwargs, &t->null};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!(*well_known[i] = template_intern(t, words[i], strlen(words[i])))) {
            status = error_set(e, LEAT_E_NOMEM, "out of memory for a template");
            goto fail;
        }
    if ((status = take_source(t, source, n, what, e))) goto fail;
    if ((status = template_lex(t, what, &tokens, &n_tokens, e))) goto fail;
    if ((status = template_parse(t, what, tokens, e))) goto fail;
    *out = t;
    return LEAT_OK;
fail:
    template_free(t);
    return status;
}

void template_free(leat_template *t) {
    if (!t) return;
    arena_free(&t->a);
    mem_free(t);
}

str template_source(const leat_template *t) {
    return (str){t->source, t->n};
}

leat_status template_default(leat_template *t, const char *word, str s, leat_error *e) {
    struct template_default *d = arena_alloc(&t->a, sizeof *d);
    const name *n = template_intern(t, word, strlen(word));
    char *copy = arena_copy(&t->a, s.p, s.n);
    if (!d || !n || !copy) return error_set(e, LEAT_E_NOMEM, "out of memory for a template");
    *d = (struct template_default){n, {copy, s.n}, t->defaults};
    t->defaults = d;
    return LEAT_OK;
}

/* ---- errors and limits of a rendering ---- */

bool run_error(run *r, leat_status code, const char *format, ...) {
    char message[220];
    size_t line, column;
    va_list args;
    if (r->status) return false; /* the first one counts */
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    text_position(r->t->source, r->t->n, r->at, &line, &column);
    r->status = error_set(r->e, code, "%s line %zu, column %zu: %s", r->what, line, column, message);
    return false;
}

bool run_no_memory(run *r) {
    if (r->a.over_limit) return run_error(r, LEAT_E_LIMIT, "the template needs too much memory");
    if (!r->status) r->status = error_set(r->e, LEAT_E_NOMEM, "out of memory for rendering a template");
    return false;
}

bool run_step(run *r, size_t n) {
    r->steps += 1 + n / 16;
    return r->steps <= r->steps_max || run_error(r, LEAT_E_LIMIT, "the template takes too long");
}

void *run_alloc(run *r, size_t count, size_t size) {
    void *p = arena_array(&r->a, count, size);
    if (!p) run_no_memory(r);
    return p;
}

/* ---- the context ---- */

/* Special tokens come from the tokenizer, not from a person. */
static bool is_token_name(str key) {
    static const char end[] = "_token";
    return key.n > sizeof end - 1 && !memcmp(key.p + key.n - (sizeof end - 1), end, sizeof end - 1);
}

/* The role of a message is the program's word, and templates make special tokens of it: <|user|>. A word is
 * all it may be. */
static bool is_role(const json_value *v) {
    if (!v || v->type != JSON_STRING || v->text.n == 0 || v->text.n > 64) return false;
    for (size_t i = 0; i < v->text.n; i++) {
        char c = v->text.p[i];
        if (!((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return true;
}

static bool messages_value(run *r, const json_value *j, value *out) {
    if (!v_from_json(r, j, true, out) || j->type != JSON_ARRAY) return !r->status;
    size_t i = 0;
    for (const json_value *m = j->first; m; m = m->next, i++) {
        const json_value *role = json_get(m, "role");
        value key, v;
        if (!is_role(role)) continue;
        if (!v_copy(r, "role", 4, false, &key) || !v_copy(r, role->text.p, role->text.n, false, &v) ||
            !dict_set(r, out->l->v[i].o, key, v))
            return false;
    }
    return true;
}

static bool load_context(run *r, const json_value *context) {
    for (const json_value *m = context->first; m; m = m->next) {
        const name *known = find_name(r->t, m->key);
        value v;
        if (!known) continue; /* the template doesn't speak of it */
        bool messages = str_eq(m->key, "messages");
        if (!(messages ? messages_value(r, m, &v)
                       : v_from_json(r, m, m->type != JSON_STRING || !is_token_name(m->key), &v)))
            return false;
        r->globals[known->index] = v;
    }
    for (const struct template_default *d = r->t->defaults; d; d = d->next)
        if (r->globals[d->name->index].type == V_MISSING &&
            !v_copy(r, d->text.p, d->text.n, false, &r->globals[d->name->index]))
            return false;
    return true;
}

/* ---- the result ---- */

static bool make_result(run *r, template_result *out) {
    size_t n_segments = 0;
    for (size_t i = 0; i < r->n_out; i++) n_segments += i == 0 || r->marks[i] != r->marks[i - 1];
    out->text = mem_alloc(r->n_out + 1, 1);
    out->marks = mem_alloc(r->n_out, 1);
    out->segments = mem_alloc(n_segments, sizeof *out->segments);
    if (!out->text || !out->marks || !out->segments) {
        template_result_free(out);
        r->a.over_limit = false;
        return run_no_memory(r);
    }
    if (r->n_out) {
        memcpy(out->text, r->out, r->n_out);
        memcpy(out->marks, r->marks, r->n_out);
    }
    out->n = r->n_out;
    for (size_t i = 0; i < r->n_out; i++) {
        if (i == 0 || r->marks[i] != r->marks[i - 1])
            out->segments[out->n_segments++] = (template_segment){i, 0, r->marks[i]};
        out->segments[out->n_segments - 1].n++;
    }
    return true;
}

void template_result_free(template_result *result) {
    if (!result) return;
    mem_free(result->text);
    mem_free(result->marks);
    mem_free(result->segments);
    *result = (template_result){0};
}

leat_status template_render(const leat_template *t, const json_value *context, template_dialect dialect,
                            const leat_template_time *now, template_result *out, leat_error *e) {
    run r = {.t = t, .e = e, .what = "template", .out_max = TEMPLATE_OUTPUT_MAX, .steps_max = STEPS_MAX};
    *out = (template_result){0};
    if (!context || context->type != JSON_OBJECT)
        return error_set(e, LEAT_E_VALUE, "the context of a template must be a JSON object");
    arena_init(&r.a, RENDER_MEMORY_MAX);
    if (now) r.now = *now;
    r.js = dialect == TEMPLATE_JAVASCRIPT ||
           (dialect == TEMPLATE_AUTO && !json_get(context, "add_generation_prompt"));
    scope top = {0};
    r.top = &top;
    r.globals = run_alloc(&r, t->n_names, sizeof *r.globals);
    if (!r.globals) goto done;
    for (uint32_t i = 0; i < t->n_names; i++) r.globals[i] = v_missing;
    if (load_context(&r, context) && run_body(&r, t->body)) {
        if (r.jump)
            run_error(&r, LEAT_E_TEMPLATE, "break or continue outside of a loop");
        else
            make_result(&r, out);
    }
done:
    arena_free(&r.a);
    mem_free(r.out);
    mem_free(r.marks);
    return r.status;
}
