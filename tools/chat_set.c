/* /set: options that change while people talk, by the names they have on the command line; see chat.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"

enum { MOST_OPTIONS = 64 };

/* The options that can be set, storing into o. Returns how many. */
static size_t list_options(chat_options *o, option out[MOST_OPTIONS]) {
    const option all[] = {
        OPTIONS_SAMPLING(o->sampling),
        {"-n --predict --n-predict", "N", "tokens of an answer at most; -1: until it ends (-1)", OPTION_INT,
         &o->n_predict, -2, 1e9, NULL},
        {"--context-shift", NULL, "when the context is full, leave out the oldest turns", OPTION_FLAG,
         &o->shift, 0, 0, NULL},
        {"-q --quiet", NULL, "no numbers after answers", OPTION_FLAG, &o->quiet, 0, 0, NULL},
    };
    _Static_assert(sizeof all / sizeof *all <= MOST_OPTIONS, "a longer list of options");
    memcpy(out, all, sizeof all);
    return sizeof all / sizeof *all;
}

/* What people know from elsewhere: "/set parameter num_predict 5". */
static const char *other_name(const char *name) {
    static const char *const others[][2] = {{"num_predict", "predict"},
                                            {"typical_p", "typical"},
                                            {"repeat_last_n", "repeat-last-n"},
                                            {"temp", "temp"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(name, others[i][0])) return others[i][1];
    return name;
}

/* ---- values ---- */

/* Where leat_sampler_params has what an option stands for, whatever gave it. */
static const struct {
    const char *name;
    size_t offset;
    bool real;
} fields[] = {
#define WHOLE(name, member)                                                                                  \
    { name, offsetof(leat_sampler_params, member), false }
#define REAL(name, member)                                                                                   \
    { name, offsetof(leat_sampler_params, member), true }
    REAL("temperature", temp),
    WHOLE("top-k", top_k),
    REAL("top-p", top_p),
    REAL("min-p", min_p),
    REAL("top-n-sigma", top_n_sigma),
    REAL("top-nsigma", top_n_sigma),
    REAL("typical", typ_p),
    REAL("typical-p", typ_p),
    REAL("xtc-probability", xtc_probability),
    REAL("xtc-threshold", xtc_threshold),
    REAL("dynatemp-range", dynatemp_range),
    REAL("dynatemp-exp", dynatemp_exponent),
    REAL("repeat-penalty", repeat_penalty),
    WHOLE("repeat-last-n", repeat_last_n),
    REAL("frequency-penalty", frequency_penalty),
    REAL("presence-penalty", presence_penalty),
    REAL("dry-multiplier", dry_multiplier),
    REAL("dry-base", dry_base),
    WHOLE("dry-allowed-length", dry_allowed_length),
    WHOLE("dry-penalty-last-n", dry_last_n),
    WHOLE("mirostat", mirostat),
    REAL("mirostat-lr", mirostat_eta),
    REAL("mirostat-ent", mirostat_tau),
    REAL("adaptive-target", adaptive_target),
    REAL("adaptive-decay", adaptive_decay),
    WHOLE("min-keep", min_keep),
    WHOLE("n-probs", n_probs),
#undef WHOLE
#undef REAL
};

static void write_value(const talk *t, const option *o, char *out, size_t size) {
    leat_sampler_params p;
    sampling_params(&t->o->sampling, t->model, &p);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (option_named(o, 1, fields[i].name, strlen(fields[i].name)) != o) continue;
        const char *at = (const char *)&p + fields[i].offset;
        float real;
        int32_t whole;
        memcpy(&real, at, sizeof real);
        memcpy(&whole, at, sizeof whole);
        if (fields[i].real)
            snprintf(out, size, "%g", (double)real);
        else
            snprintf(out, size, "%d", (int)whole);
        return;
    }
    switch (o->kind) {
    case OPTION_FLAG:
    case OPTION_FLAG_OFF: snprintf(out, size, "%s", *(bool *)o->value ? "on" : "off"); break;
    case OPTION_INT:
        if (o->value == (void *)&t->o->sampling.seed)
            snprintf(out, size, "%u", (unsigned)leat_sampler_seed(t->sampler));
        else
            snprintf(out, size, "%lld", (long long)*(int64_t *)o->value);
        break;
    case OPTION_LIST: {
        const text_list *list = o->value;
        size_t used = (size_t)snprintf(out, size, "%s", list->n ? "" : "-");
        for (size_t i = 0; i < list->n && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "", list->items[i]);
        break;
    }
    default: snprintf(out, size, "%s", *(const char **)o->value ? *(const char **)o->value : "-");
    }
}

/* Help ends with what holds where nothing was said, in brackets: not so here. */
static int help_length(const char *help) {
    size_t n = strlen(help);
    const char *open = n && help[n - 1] == ')' ? strrchr(help, '(') : NULL;
    return (int)(open && open > help ? (size_t)(open - help) - 1 : n);
}

static void print_option(const talk *t, const option *o) {
    char value[160], shown[100];
    size_t n;
    const char *name = option_longest_name(o, &n);
    write_value(t, o, value, sizeof value);
    snprintf(shown, sizeof shown, "%.*s", (int)n, name);
    fprintf(stderr, "  %-20s ", shown);
    term_put_clean(stderr, value, strlen(value), 40);
    fprintf(stderr, "%*s  %.*s\n", strlen(value) < 8 ? 8 - (int)strlen(value) : 0, "", help_length(o->help),
            o->help);
}

void talk_describe_sampling(const talk *t) {
    leat_sampler_params p;
    sampling_params(&t->o->sampling, t->model, &p);
    fprintf(stderr, "temp %g, top-k %d, top-p %g, min-p %g, seed %u%s\n            ", (double)p.temp,
            (int)p.top_k, (double)p.top_p, (double)p.min_p, (unsigned)leat_sampler_seed(t->sampler),
            t->grammar ? "; a grammar" : "");
    for (size_t i = 0; i < sizeof p.order && p.order[i] != LEAT_STEP_END; i++)
        fprintf(stderr, "%s%s", i ? ";" : "", leat_sampler_step_name(p.order[i]));
    fputc('\n', stderr);
}

/* ---- changing ---- */

/* The option takes the value that it has in `from`, whose table of options has it at the same place. */
static void copy_value(const option *to, const option *from) {
    switch (to->kind) {
    case OPTION_FLAG:
    case OPTION_FLAG_OFF: *(bool *)to->value = *(bool *)from->value; break;
    case OPTION_INT: *(int64_t *)to->value = *(int64_t *)from->value; break;
    case OPTION_REAL: *(float *)to->value = *(float *)from->value; break;
    case OPTION_LIST: *(text_list *)to->value = *(text_list *)from->value; break;
    default: *(const char **)to->value = *(const char **)from->value;
    }
}

/* A copy of a value that lives as long as the conversation. */
static const char *keep(talk *t, const char *text) {
    char **grown = realloc(t->kept, (t->n_kept + 1) * sizeof *grown);
    if (!grown) return NULL;
    t->kept = grown;
    return (t->kept[t->n_kept] = strdup(text)) ? t->kept[t->n_kept++] : NULL;
}

/* Only one option may say what the output is like: a new one takes the place of the old. */
static void clear_rules(sampling_options *s, const option *o) {
    const char **const rules[] = {&s->grammar, &s->grammar_file, &s->schema, &s->schema_file, &s->regex};
    bool one = false;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) one = one || o->value == (void *)rules[i];
    for (size_t i = 0; one && i < sizeof rules / sizeof *rules; i++) *rules[i] = NULL;
    if (o->value == (void *)&s->samplers) s->sequence = NULL;
    if (o->value == (void *)&s->sequence) s->samplers = NULL;
}

static bool change(talk *t, const option *o, const option *usual, const char *name, const char *value) {
    char message[512];
    chat_options before = *t->o;
    bool fresh = !strcmp(value, "default");
    const char *text = keep(t, value);
    if (!text) return fail("no memory for an option"), false;
    clear_rules(&t->o->sampling, o);
    if (fresh) {
        copy_value(o, usual);
    } else if (!option_set(o, name, text, message, sizeof message)) {
        *t->o = before;
        return fail("%s", message), false;
    }
    if (sampling_check(&t->o->sampling, "chat") || talk_open_sampler(t)) {
        *t->o = before;
        return false;
    }
    leat_chat_set_context_shift(t->chat, t->o->shift);
    print_option(t, o);
    return true;
}

static bool say_unknown(const option *options, size_t n_options, const char *name) {
    const char *nearest = NULL;
    size_t best = SIZE_MAX, n = 0;
    for (size_t i = 0; i < n_options; i++) {
        const char *word;
        size_t length;
        for (size_t j = 0; (word = option_name(&options[i], j, &length)) != NULL; j++)
            if (nearer_word(name, word, length, &best)) nearest = word, n = length;
    }
    if (nearest) return fail("there is no option \"%s\"; did you mean %.*s?", name, (int)n, nearest), false;
    return fail("there is no option \"%s\" to set; /set lists them", name), false;
}

bool talk_set(talk *t, const char *arguments) {
    option options[MOST_OPTIONS], usual[MOST_OPTIONS];
    chat_options first = {.n_predict = -1};
    size_t n = list_options(t->o, options);
    char name[64];
    sampling_init(&first.sampling);
    list_options(&first, usual);
    if (!strncmp(arguments, "parameter ", 10)) arguments += 10;
    size_t length = strcspn(arguments, " =");
    const char *value = arguments + length;
    while (*value == ' ' || *value == '=') value++;
    if (!length) {
        for (size_t i = 0; i < n; i++) print_option(t, &options[i]);
        return true;
    }
    snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), arguments);
    if (!strcmp(name, "verbose")) {
        t->o->quiet = false;
        return true;
    }
    const char *known = other_name(name);
    const option *o = option_named(options, n, known, strlen(known));
    if (!o) return say_unknown(options, n, name);
    bool flag = o->kind == OPTION_FLAG || o->kind == OPTION_FLAG_OFF;
    if (!*value && !flag) {
        print_option(t, o);
        return true;
    }
    return change(t, o, &usual[o - options], name, *value ? value : "on");
}

void talk_complete_option(const char *word, size_t n, completions *out) {
    chat_options o = {0};
    option options[MOST_OPTIONS];
    size_t count = list_options(&o, options);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        size_t length;
        for (size_t j = 0; (name = option_name(&options[i], j, &length)) != NULL; j++)
            if (length > 1 && length >= n && !memcmp(name, word, n)) completions_add(out, name, length);
    }
}
