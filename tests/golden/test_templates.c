/* Chat templates against what Hugging Face's implementations render, from ../shared/templates: real models'
 * templates with conversations (models.json by transformers, hf-e2e.json by huggingface.js) and a list of
 * features (hf-features.json by huggingface.js), every one equal to the byte.
 *
 * What is not rendered, and why:
 * - four feature cases whose context holds functions of the host program (`context_has_functions`). A context
 * here is JSON, so it has none: rendering them must end in an error that names the function as undefined, or,
 * where the template only asks about it, not crash;
 * - one case of hf-e2e.json without a context: its target is the template itself, formatted by
 * huggingface.js. It must compile. */
#include <errno.h>
#include <stdlib.h>

#include "runtime/template/template.h"
#include "tests/harness/test.h"

#define FOLDER LEAT_SOURCE_ROOT "/../shared/templates/"

typedef struct document {
    arena a;
    char *text;
    const json_value *root;
} document;

static bool open_document(test *t, document *d, const char *name) {
    char path[512];
    leat_error e = {0};
    *d = (document){.root = NULL};
    snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "skipped: no %s\n", path);
        t->skipped = true;
        return false;
    }
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    d->text = malloc(n + 1);
    n = fread(d->text, 1, n, f);
    fclose(f);
    arena_init(&d->a, 1 << 28);
    if (json_parse(&d->a, name, d->text, n, &d->root, &e)) TEST_FAIL(t, "%s", e.message);
    return d->root != NULL;
}

static void close_document(document *d) {
    arena_free(&d->a);
    free(d->text);
}

/* Adds the members of an object to another, but for some. */
static void add_members(arena *a, json_value *to, const json_value *from, const char *but1,
                        const char *but2) {
    for (const json_value *m = from ? from->first : NULL; m; m = m->next) {
        if (str_eq(m->key, but1) || str_eq(m->key, but2)) continue;
        json_value *copy = arena_alloc(a, sizeof *copy);
        *copy = *m;
        copy->next = NULL;
        if (to->last)
            to->last->next = copy;
        else
            to->first = copy;
        to->last = copy;
        to->count++;
    }
}

static void check(test *t, const char *name, str source, const json_value *context, str target, int month) {
    const leat_template_time now = {2025, month, month == 7 ? 10 : 17, 10, 30, 0};
    leat_template *compiled = NULL;
    template_result result = {0};
    leat_error e = {0};
    if (template_compile(source.p, source.n, "template", &compiled, &e) ||
        template_render(compiled, context, TEMPLATE_AUTO, &now, &result, &e)) {
        TEST_FAIL(t, "%s: %s", name, e.message);
    } else if (result.n != target.n || memcmp(result.text, target.p, target.n) != 0) {
        size_t i = 0;
        while (i < result.n && i < target.n && result.text[i] == target.p[i]) i++;
        size_t from = i > 30 ? i - 30 : 0;
        TEST_FAIL(t, "%s: differs at byte %zu:\n  is  ...%.60s\n  not ...%.60s", name, i, result.text + from,
                  target.p + from);
    } else { /* the segments tell the same story */
        size_t at = 0;
        for (size_t i = 0; i < result.n_segments; i++) {
            CHECK(t, result.segments[i].at == at && result.segments[i].n > 0);
            CHECK(t, i == 0 || result.segments[i].content != result.segments[i - 1].content);
            at += result.segments[i].n;
        }
        CHECK_EQ(t, at, result.n);
    }
    template_result_free(&result);
    template_free(compiled);
}

static void models(test *t) {
    document d;
    int n = 0;
    if (!open_document(t, &d, "models.json")) return;
    for (const json_value *m = d.root->first; m; m = m->next) {
        const json_value *source = json_get(m, "template"), *cases = json_get(m, "cases");
        for (const json_value *c = cases->first; c; c = c->next, n++) {
            json_value context = {.type = JSON_OBJECT};
            char name[200];
            add_members(&d.a, &context, json_get(m, "special_tokens"), "", "");
            add_members(&d.a, &context, c, "description", "expected");
            snprintf(name, sizeof name, "%s, %s", m->key.p, json_get(c, "description")->text.p);
            check(t, name, source->text, &context, json_get(c, "expected")->text, 12);
        }
    }
    CHECK(t, n >= 300);
    close_document(&d);
}

static void conversations(test *t) {
    document d;
    int n = 0, formatted = 0;
    if (!open_document(t, &d, "hf-e2e.json")) return;
    for (const json_value *c = d.root->first; c; c = c->next) {
        const char *name = json_get(c, "name")->text.p;
        const json_value *context = json_get(c, "context"), *target = json_get(c, "target");
        if (!context) { /* a test of formatting templates */
            leat_template *compiled = NULL;
            leat_error e;
            CHECK_EQ(t, template_compile(target->text.p, target->text.n, "template", &compiled, &e), LEAT_OK);
            template_free(compiled);
            formatted++;
            continue;
        }
        /* the day on which the expected text was made */
        check(t, name, json_get(c, "template")->text, context, target->text,
              strstr(target->text.p, "10 July 2025") ? 7 : 12);
        n++;
    }
    CHECK(t, n >= 50 && formatted <= 1);
    close_document(&d);
}

static void features(test *t) {
    document d;
    int n = 0, with_functions = 0;
    if (!open_document(t, &d, "hf-features.json")) return;
    for (const json_value *c = d.root->first; c; c = c->next) {
        const char *name = json_get(c, "name")->text.p;
        str source = json_get(c, "template")->text;
        if (json_get(c, "context_has_functions")->boolean) {
            leat_template *compiled = NULL;
            template_result result = {0};
            leat_error e = {0};
            with_functions++;
            CHECK_EQ(t, template_compile(source.p, source.n, "template", &compiled, &e), LEAT_OK);
            leat_status status =
                template_render(compiled, json_get(c, "context"), TEMPLATE_AUTO, NULL, &result, &e);
            if (status && (status != LEAT_E_TEMPLATE ||
                           !(strstr(e.message, "is undefined") || strstr(e.message, "has no attribute"))))
                TEST_FAIL(t, "%s: %s", name, e.message);
            template_result_free(&result);
            template_free(compiled);
            continue;
        }
        check(t, name, source, json_get(c, "context"), json_get(c, "target")->text, 12);
        n++;
    }
    CHECK(t, n >= 150 && with_functions == 4);
    close_document(&d);
}

#define TESTS(X) X(models) X(conversations) X(features)
TEST_SUITE(TESTS)
