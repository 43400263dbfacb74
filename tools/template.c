/* `leat template`: what a chat template makes of a conversation, to the byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "json.h"
#include "options.h"
#include "term.h"

typedef struct template_options {
    const char *model, *file, *name, *context, *now, *dialect;
    bool segments, ids;
} template_options;

/* "2025-12-17T10:30:00", or only the day; without it the clock, in local time. */
static int set_time(const char *now, leat_template_params *p) {
    char end;
    time_t seconds = time(NULL);
    const struct tm *t = localtime(&seconds);
    if (now) {
        int n = sscanf(now, "%4d-%2d-%2dT%2d:%2d:%2d%c", &p->year, &p->month, &p->day, &p->hour, &p->minute,
                       &p->second, &end);
        if ((n != 3 && n != 5 && n != 6) || p->year < 1)
            return usage_error("template", "--now needs a time like 2025-12-17T10:30:00, not \"%s\"", now);
        return EXIT_DONE;
    }
    if (!t) return EXIT_DONE;
    p->year = t->tm_year + 1900;
    p->month = t->tm_mon + 1;
    p->day = t->tm_mday;
    p->hour = t->tm_hour;
    p->minute = t->tm_min;
    p->second = t->tm_sec;
    return EXIT_DONE;
}

static int open_template(const template_options *o, leat_model **model, leat_template **out) {
    leat_error error;
    char *source;
    size_t n;
    if (o->file) {
        int status = read_text(o->file, &source, &n);
        if (status) return status;
        leat_status failed = leat_template_open(source, n, out, &error);
        free(source);
        if (failed) return fail("%s: %s", o->file, error.message);
    }
    if (!o->file || o->ids) {
        int status = open_model(o->model, true, NULL, model);
        if (status) return status;
    }
    if (!o->file && leat_template_open_model(*model, o->name, out, &error)) return fail("%s", error.message);
    return EXIT_DONE;
}

static void print_segments(const leat_rendering *r) {
    json j;
    json_start(&j, stdout, true);
    json_array(&j);
    for (size_t i = 0; i < leat_rendering_segments(r); i++) {
        leat_segment s = leat_rendering_segment(r, i);
        json_object(&j);
        json_name(&j, s.content ? "content" : "control");
        json_string(&j, s.text.data, s.text.size);
        json_object_end(&j);
    }
    json_array_end(&j);
    putchar('\n');
}

static int print_ids(const leat_rendering *r, const leat_model *model) {
    leat_error error;
    size_t count, capacity = leat_tokenize_bound(model, leat_rendering_text(r).size);
    leat_token *tokens = malloc((capacity ? capacity : 1) * sizeof *tokens);
    if (!tokens) return fail("no memory for %zu tokens", capacity);
    leat_status failed = leat_rendering_tokenize(r, model, tokens, capacity, &count, &error);
    for (size_t i = 0; !failed && i < count; i++) printf(i ? " %d" : "%d", (int)tokens[i]);
    if (!failed) putchar('\n');
    free(tokens);
    return failed ? fail("%s", error.message) : EXIT_DONE;
}

static int render(const template_options *o, const leat_template *t, const leat_model *model) {
    leat_template_params params;
    leat_rendering *r = NULL;
    leat_error error;
    char *context;
    size_t n;
    int status;
    leat_template_params_default(&params);
    if ((status = set_time(o->now, &params))) return status;
    if (!strcmp(o->dialect, "python")) params.dialect = LEAT_TEMPLATE_PYTHON;
    if (!strcmp(o->dialect, "javascript")) params.dialect = LEAT_TEMPLATE_JAVASCRIPT;
    if ((status = read_text(o->context, &context, &n))) return status;
    leat_status failed = leat_template_render(t, context, n, &params, &r, &error);
    free(context);
    if (failed) return fail("%s", error.message);
    if (o->segments) {
        print_segments(r);
    } else if (o->ids) {
        status = print_ids(r, model);
    } else {
        leat_str text = leat_rendering_text(r);
        fwrite(text.data, 1, text.size, stdout);
    }
    leat_rendering_close(r);
    return status;
}

int command_template(int argc, char **argv) {
    template_options o = {.dialect = "auto"};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-f --file", "FILE", "the template is in FILE, not in a model", OPTION_TEXT, &o.file, 0, 0, NULL},
        {"--name", "NAME", "another template of the model, like tool_use", OPTION_TEXT, &o.name, 0, 0, NULL},
        {"-c --context", "FILE", "JSON: messages, tools, add_generation_prompt, ...; - is standard input",
         OPTION_TEXT, &o.context, 0, 0, NULL},
        {"--now", "TIME", "the time for strftime_now: 2025-12-17T10:30:00 (the clock)", OPTION_TEXT, &o.now,
         0, 0, NULL},
        {"--dialect", "NAME",
         "print values like python or javascript; auto: python if there is add_generation_prompt",
         OPTION_CHOICE, &o.dialect, 0, 0, "auto|python|javascript"},
        {"--segments", NULL, "JSON that tells the template's own text (control) from the context's (content)",
         OPTION_FLAG, &o.segments, 0, 0, NULL},
        {"--ids", NULL, "token ids, special tokens only from the template's own text", OPTION_FLAG, &o.ids, 0,
         0, NULL},
    };
    command_line line = {
        "template",
        "(MODEL | --file T.jinja) --context CONTEXT.json [options]",
        "Prints what a chat template makes of a conversation: exactly that, no newline added.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    leat_model *model = NULL;
    leat_template *t = NULL;
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status)) {
        size_t used = !o.model && line.n_positionals ? 1 : 0;
        if (used) o.model = line.positionals[0];
        if (used < line.n_positionals)
            status = usage_error("template", "unexpected \"%s\"", line.positionals[used]);
        else if (!o.context)
            status = usage_error("template", "--context FILE is needed");
        else if (o.file && o.model && !o.ids)
            status = usage_error("template", "a model and --file both give a template");
        else if (!(status = open_template(&o, &model, &t)))
            status = render(&o, t, model);
    }
    leat_template_close(t);
    leat_model_close(model);
    free(line.positionals);
    return status;
}
