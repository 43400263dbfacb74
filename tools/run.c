/* `leat run`: completes a text. stdout gets the text that the model adds and nothing else, at once and in
 * whole UTF-8 characters; what people want to know beside it goes to stderr, when that is a terminal or
 * --stats asks. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "options.h"
#include "sampling.h"
#include "term.h"

/* With neither model nor prompt: what a person who tries Leat for the first time sees. The default model is
 * trained on this form. */
static const char default_prompt[] = "<|im_start|>user\nTell me a story about a little boat.<|im_end|>\n"
                                     "<|im_start|>assistant\n";

/* Context when nobody asked for one: a model's own may be 128k tokens and its cache many gigabytes. */
enum { USUAL_CONTEXT = 4096, ROOM_FOR_ANSWER = 1024 };

typedef struct run_options {
    const char *model, *prompt, *file, *cache_k, *cache_v, *activations, *isa, *kept;
    int64_t n_predict, n_ctx, threads, threads_batch, batch;
    int64_t n_keep;
    bool stats, escape, special, shift, past_end;
    bool kept_all, kept_ro; /* of the file `kept`: also what is generated; is not written */
    sampling_options sampling;
} run_options;

typedef struct generation {
    leat_model *model;
    leat_session *session;
    leat_sampler *sampler;
    leat_decoder *decoder;
    leat_token *prompt;                        /* (n_prompt) */
    size_t n_prompt, n_generated, n_evaluated; /* n_evaluated: of the prompt, the rest was kept */
    bool context_full, ended;                  /* ended: by the model or its grammar, not by a limit */
    double load_seconds, prompt_seconds, generate_seconds;
    char *strip; /* room for a piece without control characters; only for a terminal */
    size_t strip_size;
} generation;

/* What a signal cancels. An atomic, because the handler may run at any moment. */
static _Atomic(leat_session *) running;

static void cancel_running(void) {
    leat_session *session = atomic_load(&running);
    if (session) leat_session_cancel(session);
}

/* \n \t \r \" \' \\ and \xHH become the byte they stand for; anything else stays as it is. In place; returns
 * the length. */
static size_t unescape(char *s, size_t n) {
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '\\' && i + 1 < n) {
            static const char from[] = "nrt\"'\\", to[] = "\n\r\t\"'\\";
            const char *known = strchr(from, s[i + 1]);
            unsigned byte;
            int length = 0;
            if (known && *known) {
                c = to[known - from];
                i++;
            } else if (s[i + 1] == 'x' && i + 3 < n && sscanf(s + i + 2, "%2x%n", &byte, &length) == 1 &&
                       length == 2) {
                c = (char)byte;
                i += 3;
            }
        }
        s[used++] = c;
    }
    return used;
}

/* The prompt's text and how it is to be tokenized. The caller frees *text. */
static int get_prompt(const run_options *o, char **text, size_t *n, unsigned *flags) {
    *flags = o->special ? LEAT_TOKENIZE_SPECIAL : 0;
    if (o->file) return read_text(o->file, text, n);
    const char *source = o->prompt ? o->prompt : default_prompt;
    if (!o->prompt) *flags |= LEAT_TOKENIZE_SPECIAL; /* ours, not a stranger's */
    *n = strlen(source);
    *text = malloc(*n + 1);
    if (!*text) return fail("no memory for the prompt");
    memcpy(*text, source, *n + 1);
    if (o->prompt && o->escape) *n = unescape(*text, *n);
    return EXIT_DONE;
}

/* How many tokens the session shall hold. 0: what the model was trained for. */
static uint32_t context_size(const run_options *o, const leat_model_info *info, size_t n_prompt) {
    if (o->n_ctx >= 0) return (uint32_t)o->n_ctx;
    uint64_t wanted = (uint64_t)n_prompt + (o->n_predict >= 0 ? (uint64_t)o->n_predict : ROOM_FOR_ANSWER);
    if (wanted < USUAL_CONTEXT) wanted = USUAL_CONTEXT;
    return wanted < info->n_ctx_train ? (uint32_t)wanted : info->n_ctx_train;
}

static int open_session(generation *g, const run_options *o) {
    leat_session_params params;
    leat_model_info info;
    leat_error error;
    leat_model_get_info(g->model, &info);
    leat_session_params_default(&params);
    params.n_ctx = context_size(o, &info, g->n_prompt);
    params.n_batch = (uint32_t)o->batch;
    params.n_threads = thread_count(o->threads);
    params.n_threads_batch = o->threads_batch < 0 ? LEAT_THREADS_AUTO : (uint32_t)o->threads_batch;
    params.k_type = cache_type(o->cache_k);
    params.v_type = cache_type(o->cache_v);
    params.activations = activations_form(o->activations);
    uint32_t n_ctx = params.n_ctx ? params.n_ctx : info.n_ctx_train;
    if (g->n_prompt > n_ctx)
        return fail("the prompt has %zu tokens, but the context holds %u: shorten it or raise -c (this model "
                    "was trained for %u)",
                    g->n_prompt, (unsigned)n_ctx, (unsigned)info.n_ctx_train);
    if (leat_session_open(g->model, &params, &g->session, &error)) return fail("%s", error.message);
    atomic_store(&running, g->session);
    int status = sampling_open(&o->sampling, g->model, &g->sampler, NULL);
    if (status) return status;
    if (leat_decoder_open(g->model, o->special, &g->decoder, &error)) return fail("%s", error.message);
    return EXIT_DONE;
}

static int stopped(void) {
    return 128 + term_interrupted();
}

/* The session as the file of --prompt-cache has it, taken back to what the prompt begins with. A file that is
 * not there yet is none. */
static int load_kept(generation *g, const char *path) {
    leat_saved *file;
    leat_error error;
    size_t n, common = 0;
    if (access(path, F_OK) && errno == ENOENT) return EXIT_DONE;
    leat_status status = leat_saved_open(path, &file, &error);
    if (status) return fail("%s", error.message);
    status = leat_session_load(g->session, file, &error);
    leat_saved_close(file);
    if (status) return fail("%s: %s", path, error.message);
    const leat_token *held = leat_session_tokens(g->session, &n);
    while (common < n && common < g->n_prompt && held[common] == g->prompt[common]) common++;
    /* all of it and nothing else: its logits are there, and nothing is left to do */
    if (common == g->n_prompt && (n > common || !leat_session_logits(g->session, 0))) common--;
    if (leat_session_rewind(g->session, common)) leat_session_rewind(g->session, 0);
    return EXIT_DONE;
}

static int save_kept(const generation *g, const run_options *o) {
    leat_error error;
    if (!o->kept || o->kept_ro || leat_session_save(g->session, o->kept, NULL, 0, &error) == LEAT_OK)
        return EXIT_DONE;
    return fail("%s", error.message);
}

static int eval_prompt(generation *g, const run_options *o) {
    leat_error error;
    progress bar;
    int done = o->kept ? load_kept(g, o->kept) : EXIT_DONE;
    if (done) return done;
    size_t held = leat_session_length(g->session);
    double start = term_seconds();
    progress_start(&bar, "reading the prompt", "tokens");
    leat_status status = leat_session_eval_progress(g->session, g->prompt + held, g->n_prompt - held,
                                                    progress_update, &bar, &error);
    progress_end(&bar);
    g->prompt_seconds = term_seconds() - start;
    g->n_evaluated = g->n_prompt - held;
    if (term_interrupted()) return stopped();
    if (status) return fail("%s", error.message);
    if (g->n_evaluated && (done = save_kept(g, o))) return done;
    for (size_t i = 0; i < g->n_prompt; i++) {
        leat_sampler_accept(g->sampler, g->prompt[i]);
        /* Not shown, but what comes next may depend on it: a space at the very start, a character begun in
         * the prompt. */
        leat_decoder_push(g->decoder, g->prompt[i]);
    }
    return EXIT_DONE;
}

/* A piece of text to stdout. A terminal gets no control characters but line ends and tabs: the text may be
 * anybody's. */
static int put_piece(generation *g, leat_str piece, bool terminal) {
    const char *data = piece.data;
    size_t n = piece.size;
    if (!n) return EXIT_DONE;
    if (terminal) {
        if (g->strip_size < 3 * n) {
            char *grown = realloc(g->strip, 3 * n);
            if (!grown) return fail("no memory for %zu bytes of text", n);
            g->strip = grown;
            g->strip_size = 3 * n;
        }
        n = term_strip_controls(data, n, g->strip);
        data = g->strip;
    }
    if (term_write(STDOUT_FILENO, data, n)) return EXIT_DONE;
    return term_interrupted() ? stopped() : term_stdout_failed(errno);
}

/* Forgets the older half of what a full context holds behind its first tokens; where the model can't,
 * evaluates again what stays. False when there is nothing to forget; *status says what went wrong. */
static bool make_room(leat_session *session, size_t n_keep, int *status) {
    leat_error error;
    size_t n, first = 0;
    const leat_token *held = leat_session_tokens(session, &n);
    if (!n_keep && n && held[0] == leat_token_bos(leat_session_model(session))) n_keep = 1;
    size_t dropped = n > n_keep ? (n - n_keep + 1) / 2 : 0;
    if (!dropped) return false;
    leat_status done = leat_session_drop(session, n_keep, n_keep + dropped, &error);
    if (done == LEAT_E_UNSUPPORTED || done == LEAT_E_STATE) {
        leat_token *rest = malloc(n * sizeof *rest);
        if (!rest) {
            *status = fail("no memory for %zu tokens", n);
            return true;
        }
        memcpy(rest, held, n_keep * sizeof *rest);
        memcpy(rest + n_keep, held + n_keep + dropped, (n - n_keep - dropped) * sizeof *rest);
        if (leat_session_rewind(session, n_keep) == LEAT_OK)
            first = n_keep;
        else /* a window has moved on */
            leat_session_rewind(session, 0);
        done = leat_session_eval(session, rest + first, n - dropped - first, &error);
        free(rest);
    }
    if (done) *status = term_interrupted() ? stopped() : fail("%s", error.message);
    return true;
}

static int generate(generation *g, const run_options *o) {
    bool terminal = term_is_tty(STDOUT_FILENO);
    double start = term_seconds();
    int status = EXIT_DONE;
    leat_error error;
    while (!status && (o->n_predict < 0 || g->n_generated < (uint64_t)o->n_predict)) {
        leat_token token;
        if (term_interrupted()) {
            status = stopped();
            break;
        }
        if (leat_sampler_next(g->sampler, g->session, &token, &error)) {
            status = fail("%s", error.message);
            break;
        }
        sampling_report(&o->sampling, g->model, g->sampler);
        if (leat_token_is_end(g->model, token) && !o->past_end) {
            g->ended = true;
            break;
        }
        g->n_generated++;
        status = put_piece(g, leat_decoder_push(g->decoder, token), terminal);
        g->ended = leat_sampler_must_end(g->sampler);
        if (status || g->ended || (o->n_predict >= 0 && g->n_generated == (uint64_t)o->n_predict)) break;
        if (leat_session_length(g->session) == leat_session_n_ctx(g->session)) {
            g->context_full =
                !o->shift || !make_room(g->session, o->n_keep < 0 ? g->n_prompt : (size_t)o->n_keep, &status);
            if (g->context_full || status) break;
        }
        if (leat_session_eval(g->session, &token, 1, &error))
            status = term_interrupted() ? stopped() : fail("%s", error.message);
    }
    g->generate_seconds = term_seconds() - start;
    /* A character that never got whole is told as U+FFFD at the end of a text, but not where the user cut it
     * off. */
    if (!status) status = put_piece(g, leat_decoder_finish(g->decoder), terminal);
    if (terminal && status != EXIT_FAILED) term_write(STDOUT_FILENO, "\n", 1);
    return status;
}

static double per_second(size_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static void print_stats(const generation *g) {
    leat_model_info info;
    struct rusage usage;
    leat_model_get_info(g->model, &info);
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    double peak = (double)usage.ru_maxrss / 1048576; /* bytes there, KiB elsewhere */
#else
    double peak = (double)usage.ru_maxrss / 1024;
#endif
    fprintf(stderr,
            "\nload         %10.1f ms\n"
            "prompt       %10zu tokens  %10.2f tokens/s\n"
            "generation   %10zu tokens  %10.2f tokens/s\n"
            "peak memory  %10.1f MiB\n"
            "threads      %10u          %10u for prompts\n"
            "isa          %10s\n"
            "seed         %10u\n",
            1000 * g->load_seconds, g->n_evaluated, per_second(g->n_evaluated, g->prompt_seconds),
            g->n_generated, per_second(g->n_generated, g->generate_seconds), peak,
            (unsigned)leat_session_threads(g->session), (unsigned)leat_session_threads_batch(g->session),
            info.isa, (unsigned)leat_sampler_seed(g->sampler));
}

static int run_model(const run_options *o, generation *g) {
    char *text = NULL;
    size_t n = 0;
    unsigned flags;
    int status = get_prompt(o, &text, &n, &flags);
    double start = term_seconds();
    if (!status) status = open_model(o->model, false, o->isa, &g->model);
    if (!status) {
        if (leat_token_add_bos(g->model)) flags |= LEAT_TOKENIZE_BOS;
        status = tokenize_text(g->model, text, n, flags, &g->prompt, &g->n_prompt);
    }
    free(text);
    if (!status && !g->n_prompt)
        status =
            fail("the prompt is empty, and this model has no token to begin with: give it a text with -p");
    if (!status) status = open_session(g, o);
    g->load_seconds = term_seconds() - start;
    if (!status && term_interrupted()) status = stopped();
    if (!status) status = eval_prompt(g, o);
    if (!status) status = generate(g, o);
    if (!status && o->kept_all) status = save_kept(g, o);
    if (!g->sampler) return status;
    if (g->context_full && (o->stats || term_is_tty(STDERR_FILENO)))
        fprintf(stderr, "leat: the context of %u tokens is full; -c makes it longer%s\n",
                (unsigned)leat_session_n_ctx(g->session),
                o->shift ? "" : ", --context-shift forgets old ones");
    if (!status && !g->ended && !leat_sampler_can_end(g->sampler) && (o->stats || term_is_tty(STDERR_FILENO)))
        fprintf(stderr,
                "leat: the output was cut off before it was complete by the grammar; -n makes it longer\n");
    if (o->stats && status != EXIT_FAILED) print_stats(g);
    return status;
}

/* What the positional arguments and -m, -p, -f mean together. */
static int check_usage(run_options *o, const command_line *line) {
    for (size_t i = 0; i < line->n_positionals; i++) {
        const char *word = line->positionals[i];
        if (!strcmp(word, "-")) {
            if (o->file) return usage_error(line->name, "- and -f both name the prompt");
            o->file = word;
        } else if (!o->model) {
            o->model = word;
        } else {
            return usage_error(line->name, "unexpected \"%s\": the model is %s already; a prompt needs -p",
                               word, o->model);
        }
    }
    if (o->prompt && o->file)
        return usage_error(line->name, "-p and %s both give a prompt", strcmp(o->file, "-") ? "-f" : "-");
    if ((o->kept_all || o->kept_ro) && !o->kept)
        return usage_error(line->name, "%s needs --prompt-cache FILE",
                           o->kept_all ? "--prompt-cache-all" : "--prompt-cache-ro");
    if (o->kept_all && o->kept_ro)
        return usage_error(line->name, "--prompt-cache-all writes, and --prompt-cache-ro does not");
    if (o->model && !o->prompt && !o->file)
        return usage_error(line->name, "a prompt is missing: -p TEXT, -f FILE or - for standard input");
    return sampling_check(&o->sampling, line->name);
}

int command_run(int argc, char **argv) {
    run_options o = {.n_predict = -1,
                     .n_ctx = -1,
                     .threads = -1,
                     .threads_batch = 0,
                     .batch = 512,
                     .cache_k = "f16",
                     .cache_v = "f16",
                     .activations = "int8",
                     .escape = true};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-p --prompt", "TEXT", "the text to complete", OPTION_TEXT, &o.prompt, 0, 0, NULL},
        {"-f --file", "FILE", "read it from FILE; - is standard input", OPTION_TEXT, &o.file, 0, 0, NULL},
        {"-n --predict --n-predict", "N",
         "tokens to add; -1: until the model ends or the context is full (-1)", OPTION_INT, &o.n_predict, -2,
         1e9, NULL},
        {"-c --ctx-size", "N", "context in tokens; 0: the model's own (what the prompt needs, 4096 at least)",
         OPTION_INT, &o.n_ctx, 0, 2147483647.0, NULL},
        {"--context-shift", NULL, "when the context is full, forget the older half of it and go on",
         OPTION_FLAG, &o.shift, 0, 0, NULL},
        {"--keep", "N", "but not the first N tokens; -1: the prompt (0)", OPTION_INT, &o.n_keep, -1, 1e9,
         NULL},
        {"--prompt-cache", "FILE",
         "keep the evaluated prompt in FILE, and take from there what this one begins with", OPTION_TEXT,
         &o.kept, 0, 0, NULL},
        {"--prompt-cache-all", NULL, "keep what is generated too", OPTION_FLAG, &o.kept_all, 0, 0, NULL},
        {"--prompt-cache-ro", NULL, "use FILE, but do not write it", OPTION_FLAG, &o.kept_ro, 0, 0, NULL},
        OPTION_THREADS(&o.threads),
        OPTION_THREADS_BATCH(&o.threads_batch),
        OPTION_BATCH(&o.batch),
        OPTIONS_SAMPLING(o.sampling),
        OPTION_CACHE_K(&o.cache_k),
        OPTION_CACHE_V(&o.cache_v),
        OPTION_ACTIVATIONS(&o.activations),
        {"--past-end", NULL, "go on where the model ends the text; --ignore-eos forbids it to", OPTION_FLAG,
         &o.past_end, 0, 0, NULL},
        {"-sp --special", NULL,
         "text of special tokens in the prompt becomes the token, and is shown in the output", OPTION_FLAG,
         &o.special, 0, 0, NULL},
        {"-e --escape", NULL, "\\n, \\t, \\xHH ... in -p stand for their byte (on)", OPTION_FLAG, &o.escape,
         0, 0, NULL},
        {"--no-escape", NULL, "take -p as it is", OPTION_FLAG_OFF, &o.escape, 0, 0, NULL},
        OPTION_ISA(&o.isa),
        {"--stats", NULL, "speed, memory, threads and seed to standard error, at the end", OPTION_FLAG,
         &o.stats, 0, 0, NULL},
    };
    generation g = {0};
    int status;
    sampling_init(&o.sampling);
    command_line line = {
        "run",
        "[MODEL] [-p TEXT | -f FILE | -] [options]",
        "Completes a text. The completion, without the text itself, goes to standard output as it is made.\n"
        "Without MODEL and text, the model that comes with Leat tells a story.\n"
        "Ctrl-C stops at once, with exit status 130.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status) && !(status = check_usage(&o, &line))) {
        term_catch_signals(cancel_running);
        status = run_model(&o, &g);
    }
    atomic_store(&running, NULL);
    leat_decoder_close(g.decoder);
    leat_sampler_close(g.sampler);
    leat_session_close(g.session);
    leat_model_close(g.model);
    free(g.prompt);
    free(g.strip);
    free(line.positionals);
    return status;
}
