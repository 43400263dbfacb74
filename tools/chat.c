/* `leat chat`: a conversation. Answers go to stdout as they are made, and nothing else does when it is not a
 * terminal; what the model thinks is shown, dimmed, on terminals only. Lines are read plainly here. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "options.h"
#include "term.h"

/* Context when nobody asked for one: a model's own may be 128k tokens and its cache many gigabytes. */
enum { USUAL_CONTEXT = 8192 };

typedef struct chat_options {
    const char *model, *system, *system_file, *prompt, *template_file, *variables, *isa, *cache_k, *cache_v;
    int64_t n_predict, n_ctx, threads, threads_batch, batch, seed, top_k, repeat_last_n;
    float temp, top_p, min_p, repeat_penalty;
    bool once, shift, quiet;
} chat_options;

typedef struct talk {
    const chat_options *o;
    leat_model *model;
    leat_session *session;
    leat_sampler *sampler;
    leat_template *own_template;
    leat_chat *chat;
    progress bar;
    bool terminal, bar_open, dimmed, said; /* said: something of this answer is on the screen */
    int status;                            /* of writing */
} talk;

/* What a signal cancels. An atomic, because the handler may run at any moment. */
static _Atomic(leat_session *) running;

static void cancel_running(void) {
    leat_session *session = atomic_load(&running);
    if (session) leat_session_cancel(session);
}

/* ---- answers ---- */

static bool write_out(talk *t, const char *data, size_t n) {
    if (t->status || !n) return !t->status;
    if (!term_write(STDOUT_FILENO, data, n))
        t->status = term_interrupted() ? 128 + term_interrupted() : term_stdout_failed(errno);
    return !t->status;
}

static bool set_dim(talk *t, bool dim) {
    if (t->dimmed == dim) return true;
    t->dimmed = dim;
    const char *code = getenv("NO_COLOR") && *getenv("NO_COLOR") ? (dim ? "" : "\n\n")
                       : dim                                     ? "\033[2m"
                                                                 : "\033[0m\n\n";
    return write_out(t, code, strlen(code));
}

static bool show_piece(void *user, leat_piece_kind kind, leat_str text) {
    talk *t = user;
    char *clean;
    if (t->bar_open) progress_end(&t->bar);
    t->bar_open = false;
    if (kind == LEAT_PIECE_REASONING && !t->terminal) return !term_interrupted();
    if (t->terminal && !set_dim(t, kind == LEAT_PIECE_REASONING)) return false;
    while (!t->said && text.size &&
           (*text.data == '\n' || *text.data == ' ')) { /* answers begin with a word */
        text.data++;
        text.size--;
    }
    if (!text.size) return !term_interrupted();
    t->said = true;
    if (!t->terminal) return write_out(t, text.data, text.size) && !term_interrupted();
    if (!(clean = malloc(3 * text.size))) {
        t->status = fail("no memory for %zu bytes of text", text.size);
        return false;
    }
    bool ok = write_out(t, clean, term_strip_controls(text.data, text.size, clean));
    free(clean);
    return ok && !term_interrupted();
}

static bool show_progress(void *user, size_t done, size_t total) {
    talk *t = user;
    return progress_update(&t->bar, done, total);
}

static void show_numbers(const talk *t, const leat_reply_result *r, double seconds) {
    if (!t->terminal || t->o->quiet || t->o->once) return;
    fprintf(stderr, "[ %zu tokens, %.1f t/s, context %zu/%u ]\n", r->n_generated,
            seconds > 0 ? (double)r->n_generated / seconds : 0, leat_session_length(t->session),
            (unsigned)leat_session_n_ctx(t->session));
}

static int answer(talk *t) {
    leat_reply_params params = {t->o->n_predict, show_piece, show_progress, t};
    leat_reply_result result;
    leat_error error;
    double start = term_seconds();
    t->said = t->dimmed = false;
    progress_start(&t->bar, "reading", "tokens");
    t->bar_open = true;
    leat_status status = leat_chat_reply(t->chat, &params, &result, &error);
    if (t->bar_open) progress_end(&t->bar);
    t->bar_open = false;
    if (t->terminal) set_dim(t, false);
    if (t->said) write_out(t, "\n", 1);
    if (t->status) return t->status;
    if (term_interrupted()) return 128 + term_interrupted();
    if (status == LEAT_E_CONTEXT && !t->o->once) {
        fail("%s; start afresh, raise -c, or use --context-shift", error.message);
        return EXIT_DONE;
    }
    if (status) return fail("%s", error.message);
    if (result.end == LEAT_CHAT_FULL)
        fprintf(
            stderr,
            "leat: the context of %u tokens is full; -c makes it longer, --context-shift drops old turns\n",
            (unsigned)leat_session_n_ctx(t->session));
    show_numbers(t, &result, term_seconds() - start);
    return EXIT_DONE;
}

/* ---- messages ---- */

/* A message from stdin: a line; more of them after a backslash at the end, or up to the second """. *text
 * NULL at the end of the input. */
static int read_message(bool prompt, char **text, size_t *n) {
    char *line = NULL, *all = NULL;
    size_t capacity = 0, used = 0;
    bool block = false, more = true;
    *text = NULL;
    for (bool first = true; more; first = false) {
        if (prompt) fputs(first ? "> " : ". ", stderr);
        ssize_t length = getline(&line, &capacity, stdin);
        if (length < 0) break;
        if (length && line[length - 1] == '\n') line[--length] = '\0';
        bool mark = !strcmp(line, "\"\"\"");
        if (mark) block = !block;
        more = block || (!mark && length && line[length - 1] == '\\');
        if (!block && more) length--;
        char *grown = realloc(all, used + (size_t)length + 2);
        if (!grown) {
            free(all);
            free(line);
            return fail("no memory for a message");
        }
        all = grown;
        if (!mark) {
            memcpy(all + used, line, (size_t)length);
            used += (size_t)length;
            if (more) all[used++] = '\n';
        }
        all[used] = '\0';
    }
    free(line);
    *text = all;
    *n = used;
    return EXIT_DONE;
}

static int say(talk *t, const char *text, size_t n) {
    leat_error error;
    size_t before = leat_chat_count(t->chat);
    if (leat_chat_add(t->chat, "user", text, n, &error)) return fail("%s", error.message);
    int status = answer(t);
    if (leat_chat_count(t->chat) == before + 1) leat_chat_truncate(t->chat, before); /* no answer */
    return status;
}

static int converse(talk *t) {
    const chat_options *o = t->o;
    bool prompt = term_is_tty(STDIN_FILENO) && term_is_tty(STDERR_FILENO);
    char *text;
    size_t n;
    int status = EXIT_DONE;
    if (o->prompt) status = say(t, o->prompt, strlen(o->prompt));
    if (o->once && !o->prompt) {
        if ((status = read_text("-", &text, &n))) return status;
        while (n && text[n - 1] == '\n') n--;
        status = say(t, text, n);
        free(text);
    }
    while (!status && !o->once) {
        if ((status = read_message(prompt, &text, &n)) || !text) break;
        if (!strcmp(text, "/exit")) {
            free(text);
            break;
        }
        if (n) status = say(t, text, n);
        free(text);
    }
    return status;
}

/* ---- setting up ---- */

static int open_session(talk *t) {
    const chat_options *o = t->o;
    leat_session_params params;
    leat_sampler_params sampling;
    leat_model_info info;
    leat_error error;
    leat_model_get_info(t->model, &info);
    leat_session_params_default(&params);
    params.n_ctx = o->n_ctx > 0                                        ? (uint32_t)o->n_ctx
                   : info.n_ctx_train < USUAL_CONTEXT || o->n_ctx == 0 ? info.n_ctx_train
                                                                       : USUAL_CONTEXT;
    params.n_batch = (uint32_t)o->batch;
    params.n_threads = thread_count(o->threads);
    params.n_threads_batch = thread_count(o->threads_batch);
    params.k_type = cache_type(o->cache_k);
    params.v_type = cache_type(o->cache_v);
    if (leat_session_open(t->model, &params, &t->session, &error)) return fail("%s", error.message);
    atomic_store(&running, t->session);
    leat_sampler_params_default(&sampling);
    sampling.seed = o->seed < 0 ? LEAT_SEED_RANDOM : (uint32_t)o->seed;
    sampling.temp = o->temp;
    sampling.top_k = (int32_t)o->top_k;
    sampling.top_p = o->top_p;
    sampling.min_p = o->min_p;
    sampling.repeat_penalty = o->repeat_penalty;
    sampling.repeat_last_n = (int32_t)o->repeat_last_n;
    if (leat_sampler_open(t->model, &sampling, &t->sampler, &error)) return fail("%s", error.message);
    return EXIT_DONE;
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
    if (leat_chat_open(t->session, t->sampler, &params, &t->chat, &error)) return fail("%s", error.message);
    if (!leat_chat_has_template(t->chat))
        fprintf(
            stderr,
            "leat: this model has no chat template: it goes on with what you write, and answers nobody\n");
    if (o->system && leat_chat_add(t->chat, "system", o->system, strlen(o->system), &error))
        return fail("%s", error.message);
    if (!o->system_file) return EXIT_DONE;
    if ((status = read_text(o->system_file, &text, &n))) return status;
    if (leat_chat_add(t->chat, "system", text, n, &error)) status = fail("%s", error.message);
    free(text);
    return status;
}

static int run_chat(talk *t) {
    t->terminal = term_is_tty(STDOUT_FILENO);
    int status = open_model(t->o->model, false, t->o->isa, &t->model);
    if (!status) status = open_session(t);
    if (!status) status = open_chat(t);
    if (!status && !t->o->model && !t->o->once && t->terminal && !t->o->quiet)
        fprintf(stderr,
                "This is Leat's own small story teller. Ask it for a story: about a fox, a little boat, ...\n"
                "Ctrl-D or /exit leaves.\n");
    if (!status) status = converse(t);
    atomic_store(&running, NULL);
    leat_chat_close(t->chat);
    leat_template_close(t->own_template);
    leat_sampler_close(t->sampler);
    leat_session_close(t->session);
    leat_model_close(t->model);
    return status;
}

int command_chat(int argc, char **argv) {
    chat_options o = {.n_predict = -1,
                      .n_ctx = -1,
                      .threads = -1,
                      .threads_batch = -1,
                      .batch = 512,
                      .seed = -1,
                      .top_k = 40,
                      .repeat_last_n = 64,
                      .temp = 0.8f,
                      .top_p = 0.95f,
                      .min_p = 0.05f,
                      .repeat_penalty = 1,
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
        {"--context-shift", NULL, "when the context is full, drop the oldest turns", OPTION_FLAG, &o.shift, 0,
         0, NULL},
        {"--chat-template-file", "FILE", "use this template, not the model's", OPTION_TEXT, &o.template_file,
         0, 0, NULL},
        {"--chat-template-kwargs", "JSON", "more variables for it: {\"enable_thinking\": false}", OPTION_TEXT,
         &o.variables, 0, 0, NULL},
        OPTION_THREADS(&o.threads),
        OPTION_THREADS_BATCH(&o.threads_batch),
        OPTION_BATCH(&o.batch),
        {"-s --seed", "N", "of the random numbers; -1: a new one each time (-1)", OPTION_INT, &o.seed, -1,
         4294967295.0, NULL},
        {"--temp --temperature", "X", "0: always the likeliest token (0.8)", OPTION_REAL, &o.temp, 0, 100,
         NULL},
        {"--top-k", "N", "only the N likeliest tokens; 0: off (40)", OPTION_INT, &o.top_k, 0, 2147483647.0,
         NULL},
        {"--top-p", "X", "only the likeliest that make up X; 1: off (0.95)", OPTION_REAL, &o.top_p, 0, 1,
         NULL},
        {"--min-p", "X", "only those at least X times as likely as the first; 0: off (0.05)", OPTION_REAL,
         &o.min_p, 0, 1, NULL},
        {"--repeat-penalty", "X", "make recent tokens less likely; 1: off (1)", OPTION_REAL,
         &o.repeat_penalty, 0.01, 100, NULL},
        {"--repeat-last-n", "N", "how many tokens are recent; -1: all (64)", OPTION_INT, &o.repeat_last_n, -1,
         2147483647.0, NULL},
        OPTION_CACHE_K(&o.cache_k),
        OPTION_CACHE_V(&o.cache_v),
        OPTION_ISA(&o.isa),
        {"-q --quiet", NULL, "no numbers after answers", OPTION_FLAG, &o.quiet, 0, 0, NULL},
    };
    command_line line = {
        "chat",
        "[MODEL] [-sys TEXT] [-p FIRST [--once]] [options]",
        "A conversation with a model, by its own chat template. Without MODEL, the one that comes with "
        "Leat.\n"
        "A backslash at the end of a line, or lines between \"\"\" and \"\"\", make longer messages.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    talk t = {.o = &o};
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status)) {
        size_t used = !o.model && line.n_positionals ? 1 : 0;
        if (used) o.model = line.positionals[0];
        if (used < line.n_positionals) {
            status = usage_error("chat", "unexpected \"%s\"", line.positionals[used]);
        } else if (o.system && o.system_file) {
            status = usage_error("chat", "-sys and -sysf both give a system prompt");
        } else {
            term_catch_signals(cancel_running);
            status = run_chat(&t);
        }
    }
    free(line.positionals);
    return status;
}
