/* `leat chat`: a conversation. Answers go to stdout as they are made, and nothing else does; what people see
 * beside them goes to stderr. Here: options, setting up, and going round. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat.h"
#include "commands.h"
#include "input.h"

/* Context when nobody asked for one: a model's own may be 128k tokens and its cache many gigabytes. */
enum { USUAL_CONTEXT = 8192 };

/* A text to standard error, wrapped if that is a terminal. */
static void put_wrapped(const char *text, bool dim) {
    screen s;
    screen_init(&s, STDERR_FILENO);
    screen_start(&s);
    if (dim) fputs("\033[2m", stderr);
    screen_put(&s, text, strlen(text));
    screen_finish(&s);
    if (dim) fputs("\033[0m", stderr);
    screen_free(&s);
}

void talk_note(const talk *t, const char *format, ...) {
    va_list args;
    char text[512] = "[ ";
    va_start(args, format);
    vsnprintf(text + 2, sizeof text - 4, format, args);
    va_end(args);
    strcat(text, " ]");
    put_wrapped(text, t->colours);
}

const char *grouped(uint64_t number, char out[32]) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number), used = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = 0;
    return out;
}

/* ---- setting up ---- */

static int open_session(talk *t) {
    const chat_options *o = t->o;
    leat_session_params params;
    leat_model_info info;
    leat_error error;
    leat_model_get_info(t->model, &info);
    leat_session_params_default(&params);
    params.n_ctx = o->n_ctx > 0                                        ? (uint32_t)o->n_ctx
                   : info.n_ctx_train < USUAL_CONTEXT || o->n_ctx == 0 ? info.n_ctx_train
                                                                       : USUAL_CONTEXT;
    params.n_batch = (uint32_t)o->batch;
    params.n_threads = thread_count(o->threads);
    params.n_threads_batch = o->threads_batch < 0 ? LEAT_THREADS_AUTO : (uint32_t)o->threads_batch;
    params.k_type = cache_type(o->cache_k);
    params.v_type = cache_type(o->cache_v);
    if (leat_session_open(t->model, &params, &t->session, &error)) return fail("%s", error.message);
    return EXIT_DONE;
}

int talk_open_sampler(talk *t) {
    leat_sampler *sampler = NULL;
    leat_grammar *grammar = NULL;
    int status = sampling_open(&t->o->sampling, t->model, &sampler, &grammar);
    if (status) {
        leat_sampler_close(sampler);
        return status;
    }
    if (t->chat) leat_chat_set_sampler(t->chat, sampler);
    leat_sampler_close(t->sampler);
    leat_grammar_close(t->grammar);
    t->sampler = sampler;
    t->grammar = grammar;
    return EXIT_DONE;
}

/* Messages can only be added at the end: those behind a new system prompt are added anew. */
int talk_set_system(talk *t, const char *text, size_t n) {
    size_t count = leat_chat_count(t->chat), first = message_last(t->chat, "system") == 0 ? 1 : 0;
    char **copies = calloc(count + 1, sizeof *copies);
    size_t *sizes = calloc(count + 1, sizeof *sizes);
    bool ok = copies && sizes;
    leat_error error;
    int status = EXIT_DONE;
    for (size_t i = first; ok && i < count; i++) {
        leat_str message = leat_chat_message(t->chat, i);
        sizes[i] = message.size;
        ok = (copies[i] = malloc(message.size + 1)) != NULL;
        if (ok) memcpy(copies[i], message.data, message.size);
    }
    if (!ok) status = fail("no memory for the conversation");
    if (ok) leat_chat_truncate(t->chat, 0);
    if (ok && text && leat_chat_add(t->chat, "system", text, n, &error)) status = fail("%s", error.message);
    for (size_t i = first; ok && !status && i < count; i++)
        if (leat_chat_add_json(t->chat, copies[i], sizes[i], &error)) status = fail("%s", error.message);
    for (size_t i = 0; copies && i < count; i++) free(copies[i]);
    free(copies);
    free(sizes);
    return status;
}

static int open_chat(talk *t) {
    const chat_options *o = t->o;
    leat_chat_params params;
    leat_error error;
    char *text;
    size_t n;
    int status;
    leat_chat_params_default(&params);
    if (o->template_file) {
        if ((status = read_text(o->template_file, &text, &n))) return status;
        leat_status failed = leat_template_open(text, n, &t->own_template, &error);
        free(text);
        if (failed) return fail("%s: %s", o->template_file, error.message);
        params.chat_template = t->own_template;
    }
    params.variables = o->variables;
    params.context_shift = o->shift;
    params.stop = o->stop.items;
    params.n_stop = o->stop.n;
    if (leat_chat_open(t->session, t->sampler, &params, &t->chat, &error)) return fail("%s", error.message);
    if (!leat_chat_has_template(t->chat) && !o->quiet)
        fprintf(
            stderr,
            "leat: this model has no chat template: it goes on with what you write, and answers nobody\n");
    if (o->system) return talk_set_system(t, o->system, strlen(o->system));
    if (!o->system_file) return EXIT_DONE;
    if ((status = read_text(o->system_file, &text, &n))) return status;
    status = talk_set_system(t, text, n);
    free(text);
    return status;
}

enum { LONG_STORY = 400, NOT_GIVEN = -3 };

/* The model that comes with Leat tells its best stories with a steadier hand than most, does not always find
 * an end, and has a small context: old stories may go. */
static void suit_default_model(chat_options *o) {
    bool given = o->n_predict != NOT_GIVEN;
    if (!given) o->n_predict = o->model ? -1 : LONG_STORY;
    if (o->model) return;
    if (isnan(o->sampling.temp)) o->sampling.temp = 0.5f;
    o->shift = true;
}

static void greet(const talk *t) {
    if (!t->person || !t->terminal || t->o->quiet || t->o->once) return;
    if (!t->o->model)
        put_wrapped(
            "This is Leat's own small story teller. Ask it for a story: about a fox, a little boat, ...",
            false);
    talk_note(t, "/help tells what can be done here; Ctrl-D leaves");
}

/* ---- going round ---- */

static int take_message(talk *t, const char *text, size_t n) {
    if (talk_is_command(text, n)) return talk_command(t, text);
    if (n > 1 && text[0] == '/' && text[1] == '/') text++, n--; /* a slash that is meant */
    if (t->edit_at != SIZE_MAX) leat_chat_truncate(t->chat, t->edit_at);
    t->edit_at = SIZE_MAX;
    return talk_say(t, text, n);
}

static int converse(talk *t) {
    const chat_options *o = t->o;
    char *text;
    size_t n;
    int status = EXIT_DONE;
    if (o->prompt) status = talk_say(t, o->prompt, strlen(o->prompt));
    if (o->once && !o->prompt) {
        if ((status = read_text("-", &text, &n))) return status;
        while (n && text[n - 1] == '\n') n--;
        status = talk_say(t, text, n);
        free(text);
    }
    while (!status && !o->once && !t->leaving) {
        if ((status = talk_read(t, &text, &n)) || !text) break;
        if (n) status = take_message(t, text, n);
        free(text);
    }
    return status ? status : t->trouble ? EXIT_FAILED : EXIT_DONE;
}

static int run_chat(talk *t) {
    t->terminal = term_is_tty(STDOUT_FILENO);
    t->person = !t->o->once && term_is_tty(STDIN_FILENO) && term_is_tty(STDERR_FILENO);
    t->colours = screen_has_colours(STDERR_FILENO);
    screen_init(&t->out, STDOUT_FILENO);
    suit_default_model(t->o);
    int status = open_model(t->o->model, false, t->o->isa, &t->model);
    if (!status) status = open_session(t);
    if (!status) status = talk_open_sampler(t);
    if (!status) status = open_chat(t);
    if (!status && !(t->editor = editor_open(t->person, t->colours, talk_complete, t)))
        status = fail("no memory");
    if (!status && t->person) term_catch_repeatedly();
    if (!status) greet(t);
    if (!status) status = converse(t);
    editor_close(t->editor);
    leat_chat_close(t->chat);
    leat_template_close(t->own_template);
    leat_sampler_close(t->sampler);
    leat_grammar_close(t->grammar);
    leat_session_close(t->session);
    leat_model_close(t->model);
    screen_free(&t->out);
    for (size_t i = 0; i < t->n_kept; i++) free(t->kept[i]);
    free(t->kept);
    free(t->attached);
    return status;
}

static int check_usage(chat_options *o, const command_line *line) {
    size_t used = !o->model && line->n_positionals ? 1 : 0;
    if (used) o->model = line->positionals[0];
    if (used < line->n_positionals) return usage_error("chat", "unexpected \"%s\"", line->positionals[used]);
    if (o->system && o->system_file) return usage_error("chat", "-sys and -sysf both give a system prompt");
    return sampling_check(&o->sampling, "chat");
}

int command_chat(int argc, char **argv) {
    chat_options o = {.n_predict = NOT_GIVEN,
                      .n_ctx = -1,
                      .threads = -1,
                      .threads_batch = 0,
                      .batch = 512,
                      .cache_k = "f16",
                      .cache_v = "f16"};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-sys --system-prompt", "TEXT", "what the model is told about its part", OPTION_TEXT, &o.system, 0,
         0, NULL},
        {"-sysf --system-prompt-file", "FILE", "the same, from FILE", OPTION_TEXT, &o.system_file, 0, 0,
         NULL},
        {"-p --prompt", "TEXT", "the first message", OPTION_TEXT, &o.prompt, 0, 0, NULL},
        {"--once", NULL, "answer one message, from -p or standard input, and exit", OPTION_FLAG, &o.once, 0,
         0, NULL},
        {"-n --predict --n-predict", "N", "tokens of an answer at most; -1: until it ends (-1)", OPTION_INT,
         &o.n_predict, -2, 1e9, NULL},
        {"-c --ctx-size", "N", "context in tokens; 0: the model's own (8192 at most)", OPTION_INT, &o.n_ctx,
         0, 2147483647.0, NULL},
        {"--context-shift", NULL, "when the context is full, leave out the oldest turns", OPTION_FLAG,
         &o.shift, 0, 0, NULL},
        {"-r --reverse-prompt", "TEXT", "ends an answer; may be repeated", OPTION_LIST, &o.stop, 0, 0, NULL},
        {"--chat-template-file", "FILE", "use this template, not the model's", OPTION_TEXT, &o.template_file,
         0, 0, NULL},
        {"--chat-template-kwargs", "JSON", "more variables for it: {\"enable_thinking\": false}", OPTION_TEXT,
         &o.variables, 0, 0, NULL},
        OPTION_THREADS(&o.threads),
        OPTION_THREADS_BATCH(&o.threads_batch),
        OPTION_BATCH(&o.batch),
        OPTIONS_SAMPLING(o.sampling),
        OPTION_CACHE_K(&o.cache_k),
        OPTION_CACHE_V(&o.cache_v),
        OPTION_ISA(&o.isa),
        {"-q --quiet", NULL, "no numbers after answers, no greeting", OPTION_FLAG, &o.quiet, 0, 0, NULL},
    };
    command_line line = {"chat",
                         "[MODEL] [-sys TEXT] [-p FIRST [--once]] [options]",
                         "A conversation with a model, by its own chat template. Without MODEL, the one that "
                         "comes with Leat.\n"
                         "A backslash at the end of a line, or \"\"\" before and after, make longer "
                         "messages. /help lists what\n"
                         "else can be done: save, go back, change options. Ctrl-C stops an answer, twice "
                         "leaves; Ctrl-D leaves.",
                         options,
                         sizeof options / sizeof *options,
                         NULL,
                         0};
    talk t = {.o = &o, .edit_at = SIZE_MAX};
    int status;
    sampling_init(&o.sampling);
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status) && !(status = check_usage(&o, &line))) {
        talk_catch_signals();
        status = run_chat(&t);
    }
    free(line.positionals);
    return status;
}
