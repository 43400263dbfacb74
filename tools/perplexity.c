/* `leat perplexity`: how well a model foretells a text, how far it is from the model it was made from, and
 * how often it picks the right of several answers. The definitions are llama.cpp's, so that numbers compare:
 * eval.c goes through the text, stats.c has the sums, kld.c the files of log probabilities, choices.c the
 * tasks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "choices.h"
#include "commands.h"
#include "eval.h"
#include "kld.h"
#include "options.h"
#include "stats.h"
#include "term.h"

enum { N_CTX = 512 };

typedef struct perplexity_options {
    const char *model, *file, *base;
    int64_t n_ctx /* 0: not said */, stride, chunks, n_tasks[CHOICE_KINDS];
    bool kld, json, tasks[CHOICE_KINDS];
    eval_options eval;
} perplexity_options;

typedef struct scoring {
    eval_model model;
    eval_windows windows;
    leat_token *tokens;
    mean surprise;
    divergence divergence;
    kld_writer writer;
    kld_reader reader;
    bool writing, reading;
} scoring;

static int score(void *user, const float *const logits[EVAL_MODELS], leat_token next) {
    scoring *s = user;
    uint32_t n_vocab = s->model.info.n_vocab;
    leat_difference d;
    leat_error e;
    if (s->writing) kld_writer_add(&s->writer, logits[0], next);
    if (!s->reading) {
        mean_add(&s->surprise, -leat_log_prob(logits[0], n_vocab, next));
        return EXIT_DONE;
    }
    int status = kld_reader_next(&s->reader, next);
    if (status) return status;
    if (leat_logits_compare(s->reader.log_probs, true, logits[0], n_vocab, next, &d, &e))
        return fail("%s", e.message);
    d.base_log_prob = s->reader.target;
    mean_add(&s->surprise, -d.log_prob);
    return divergence_add(&s->divergence, &d) ? EXIT_DONE : fail("no memory for %zu values", s->divergence.n);
}

/* What is known so far and how long the rest will take, on a terminal. */
static void show_state(const scoring *s, size_t done, double start, double *last) {
    double now = term_seconds(), left = (now - start) / (double)done * (double)(s->windows.n - done);
    estimate p = perplexity_of(&s->surprise);
    if (!term_is_tty(STDERR_FILENO) || now - start < 0.5 || now - *last < 0.1) return;
    *last = now;
    fprintf(stderr, "\r\033[K%zu of %zu windows: perplexity %.4f ± %.4f", done, s->windows.n, p.value,
            p.error);
    if (s->reading) fprintf(stderr, ", KL %.6f", mean_of(&s->divergence.kl).value);
    fprintf(stderr, "; %.0f tokens/s, %d:%02d left", (double)s->model.n_evaluated / s->model.seconds,
            (int)(left / 60), (int)left % 60);
    fflush(stderr);
}

static int walk(scoring *s) {
    double start = term_seconds(), last = 0;
    int status = EXIT_DONE;
    for (size_t i = 0; i < s->windows.n && !status; i++) {
        status = eval_walk(&s->model, 1, &s->windows, s->tokens, i, i + 1, score, s);
        if (!status) show_state(s, i + 1, start, &last);
    }
    if (last > 0) fputs("\r\033[K", stderr);
    return status;
}

/* ---- what comes out ---- */

static void report_json(scoring *s, const perplexity_options *o) {
    json j;
    json_start(&j, stdout, true);
    json_object(&j);
    json_name(&j, "model");
    json_text(&j, s->model.path);
    json_name(&j, "bytes");
    json_u64(&j, s->model.info.bytes);
    json_estimate(&j, "perplexity", perplexity_of(&s->surprise));
    json_name(&j, "n_tokens");
    json_u64(&j, s->surprise.n);
    json_name(&j, "n_windows");
    json_u64(&j, s->windows.n);
    json_name(&j, "n_ctx");
    json_u64(&j, s->windows.length);
    json_name(&j, "stride");
    json_u64(&j, (uint64_t)o->stride);
    if (s->reading) {
        json_name(&j, "base");
        json_text(&j, s->reader.path);
        divergence_json(&s->divergence, &j);
    }
    json_name(&j, "activations");
    json_text(&j, eval_activations(&s->model, &o->eval));
    json_name(&j, "type_k");
    json_text(&j, o->eval.cache_k);
    json_name(&j, "type_v");
    json_text(&j, o->eval.cache_v);
    json_name(&j, "threads");
    json_u64(&j, leat_session_threads(s->model.session));
    json_name(&j, "isa");
    json_text(&j, s->model.info.isa);
    json_name(&j, "n_evaluated");
    json_u64(&j, s->model.n_evaluated);
    json_name(&j, "seconds");
    json_f64(&j, s->model.seconds);
    json_name(&j, "tokens_per_second");
    json_f64(&j, (double)s->model.n_evaluated / s->model.seconds);
    json_object_end(&j);
    putchar('\n');
}

static void report(scoring *s, const perplexity_options *o) {
    estimate p = perplexity_of(&s->surprise);
    if (o->json) {
        report_json(s, o);
        return;
    }
    if (s->reading)
        divergence_print(&s->divergence, s->reader.path);
    else
        printf("perplexity %.4f ± %.5f\n", p.value, p.error);
    printf("%zu windows of %zu tokens, %zu of them counted; %.1f tokens/s with %u threads, %s\n",
           s->windows.n, s->windows.length, s->surprise.n, (double)s->model.n_evaluated / s->model.seconds,
           (unsigned)leat_session_threads(s->model.session), s->model.info.isa);
}

/* ---- getting there ---- */

/* The windows and tokens of a base file; a text that is named too must begin with them. */
static int read_base(scoring *s, const perplexity_options *o) {
    leat_token *text = NULL;
    size_t n = 0;
    int status = kld_reader_open(&s->reader, o->base, &s->model);
    if (status) return status;
    s->reading = true;
    s->windows = s->reader.windows;
    if (o->n_ctx && (size_t)o->n_ctx != s->windows.length)
        return usage_error("perplexity", "-c %lld: the windows of %s have %zu tokens; -c may be left out",
                           (long long)o->n_ctx, o->base, s->windows.length);
    if (o->chunks >= 0 && (uint64_t)o->chunks < s->windows.n) s->windows.n = (size_t)o->chunks;
    s->tokens = s->reader.tokens;
    s->reader.tokens = NULL;
    if (!o->file) return EXIT_DONE;
    status = eval_read_text(s->model.model, o->file, &text, &n);
    size_t used = s->windows.n * s->windows.length;
    if (!status && (n < used || memcmp(text, s->tokens, used * sizeof *text) != 0))
        status = fail("%s was made from another text than %s, or with another vocabulary", o->base, o->file);
    free(text);
    return status;
}

static int read_windows(scoring *s, const perplexity_options *o) {
    size_t n;
    if (o->base && o->kld) return read_base(s, o);
    int status = eval_read_text(s->model.model, o->file, &s->tokens, &n);
    if (!status) status = eval_windows_of(n, (size_t)o->n_ctx, (size_t)o->stride, o->chunks, &s->windows);
    return status;
}

static int evaluate(scoring *s, const perplexity_options *o) {
    int status = eval_open_model(&s->model, o->model, &o->eval);
    if (!status) status = read_windows(s, o);
    if (!status)
        status =
            eval_open_session(&s->model, &o->eval, s->windows.length, s->windows.length - s->windows.first);
    if (!status && o->base && !o->kld) {
        status = kld_writer_open(&s->writer, o->base, &s->windows, &s->model, s->tokens);
        s->writing = !status;
    }
    if (!status) status = walk(s);
    if (s->writing) status = kld_writer_close(&s->writer, status);
    if (!status) report(s, o);
    if (!status && s->reader.n_vague)
        warn("of %zu tokens of the text %s says only that they are rare: its perplexity is higher than told",
             s->reader.n_vague, s->reader.path);
    return status;
}

static int run_perplexity(const perplexity_options *o) {
    scoring s = {.writing = false};
    int status = evaluate(&s, o);
    kld_reader_close(&s.reader);
    divergence_free(&s.divergence);
    eval_close(&s.model);
    free(s.tokens);
    return status;
}

/* ---- the command line ---- */

/* --kld FILE and --kld=FILE name a file to compare with; so does --kld beside --kld-base FILE, as in
 * llama.cpp. The first two are turned into the third; `name` has room for --kld-base=FILE. */
static void turn_kld(int argc, char **argv, bool *kld, char *name, size_t size) {
    static const char *const words[] = {"--kld", "--kl-divergence"};
    bool base = false;
    for (int i = 1; i < argc; i++)
        base |= !strncmp(argv[i], "--kld-base", 10) || !strncmp(argv[i], "--kl-divergence-base", 20);
    for (int i = 1; i < argc; i++)
        for (size_t w = 0; w < 2 && !base; w++) {
            size_t n = strlen(words[w]);
            if (strncmp(argv[i], words[w], n) != 0) continue;
            if (argv[i][n] == '=' && snprintf(name, size, "--kld-base%s", argv[i] + n) < (int)size) {
                argv[i] = name;
                *kld = base = true;
            } else if (!argv[i][n] && i + 1 < argc && argv[i + 1][0] != '-') {
                snprintf(name, size, "--kld-base");
                argv[i] = name;
                *kld = base = true;
            }
        }
}

static int check_usage(perplexity_options *o, const command_line *line) {
    size_t used = 0, n_tasks = 0;
    if (!o->model && line->n_positionals) o->model = line->positionals[used++];
    if (!o->file && used < line->n_positionals) o->file = line->positionals[used++];
    if (used < line->n_positionals)
        return usage_error(line->name, "unexpected \"%s\"", line->positionals[used]);
    for (size_t i = 0; i < CHOICE_KINDS; i++) n_tasks += o->tasks[i];
    if (eval_check_chunks(line->name, o->chunks)) return EXIT_USAGE;
    if (n_tasks > 1) return usage_error(line->name, "one kind of tasks at a time");
    if (o->kld && !o->base)
        return usage_error(line->name, "--kld needs the file to compare with: --kld FILE");
    if (n_tasks && o->chunks > 0)
        return usage_error(line->name, "--chunks counts windows of a text; tasks are counted by "
                                       "--hellaswag-tasks, --winogrande-tasks and --multiple-choice-tasks");
    if (n_tasks && (o->base || o->stride))
        return usage_error(line->name, "tasks go with neither --kld-base nor --stride");
    if (o->base && o->stride)
        return usage_error(line->name, "a file of log probabilities can't be had with --stride");
    if (!o->n_ctx && !o->kld) o->n_ctx = N_CTX;
    if (o->stride > o->n_ctx)
        return usage_error(line->name, "--stride must be no more than the context of %lld tokens",
                           (long long)o->n_ctx);
    if (!o->file && !o->kld)
        return usage_error(line->name, "a text is missing: leat perplexity MODEL -f TEXT");
    return EXIT_DONE;
}

int command_perplexity(int argc, char **argv) {
    perplexity_options o = {.chunks = -1, .eval = EVAL_OPTIONS_DEFAULT, .n_tasks = {400, 0, 0}};
    char name[PATH_MAX + 32];
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-f --file -bf --binary-file", "FILE", "the text, or the tasks; - is standard input", OPTION_TEXT,
         &o.file, 0, 0, NULL},
        {"-c --ctx-size", "N", "tokens of a window (512; with --kld those of its file)", OPTION_INT, &o.n_ctx,
         4, 1 << 24, NULL},
        {"--stride --ppl-stride", "N",
         "windows overlap: a new one every N tokens, with N/2 more than -c, the last N counted", OPTION_INT,
         &o.stride, 0, 1 << 24, NULL},
        {"--chunks", "N", "so many windows only, 1 or more; -1: all (-1)", OPTION_INT, &o.chunks, -1,
         2147483647.0, NULL},
        {"--kld-base --kl-divergence-base", "FILE",
         "writes the model's log probabilities to FILE (2 bytes for each token of the vocabulary)",
         OPTION_TEXT, &o.base, 0, 0, NULL},
        {"--kld --kl-divergence", "[FILE]",
         "compares the model with FILE, made with --kld-base; the text is in it", OPTION_FLAG, &o.kld, 0, 0,
         NULL},
        {"--hellaswag", NULL,
         "FILE holds tasks: 6 lines each, context, number of the right ending, 4 endings", OPTION_FLAG,
         &o.tasks[CHOICE_HELLASWAG], 0, 0, NULL},
        {"--hellaswag-tasks", "N", "so many of them, drawn at random; 0: all (400)", OPTION_INT,
         &o.n_tasks[CHOICE_HELLASWAG], 0, 2147483647.0, NULL},
        {"--winogrande", NULL, "FILE holds tasks: lines of number,sentence with _,choice,choice,answer",
         OPTION_FLAG, &o.tasks[CHOICE_WINOGRANDE], 0, 0, NULL},
        {"--winogrande-tasks", "N", "so many of them; 0: all (0)", OPTION_INT, &o.n_tasks[CHOICE_WINOGRANDE],
         0, 2147483647.0, NULL},
        {"--multiple-choice", NULL, "FILE holds tasks in llama.cpp's binary form (MMLU, ARC, TruthfulQA)",
         OPTION_FLAG, &o.tasks[CHOICE_MULTIPLE], 0, 0, NULL},
        {"--multiple-choice-tasks", "N", "so many of them; 0: all (0)", OPTION_INT,
         &o.n_tasks[CHOICE_MULTIPLE], 0, 2147483647.0, NULL},
        OPTIONS_EVAL(o.eval),
        {"--json", NULL, "print JSON", OPTION_FLAG, &o.json, 0, 0, NULL},
    };
    command_line line = {
        "perplexity",
        "[MODEL] [-f] TEXT [options]",
        "Tells how well a model foretells a text: exp of the mean of minus the logarithm of the probability\n"
        "that it gives each token, lower is better. The text is cut into windows of -c tokens, of which the\n"
        "second halves count; a last piece that fills no window is left out. With --kld-base and --kld: how\n"
        "far a model's probabilities are from those of the one it was made from. With --hellaswag,\n"
        "--winogrande and --multiple-choice: how often it finds the right answer likeliest.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    int status;
    turn_kld(argc, argv, &o.kld, name, sizeof name);
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status) && !(status = check_usage(&o, &line))) {
        size_t kind = 0;
        while (kind < CHOICE_KINDS && !o.tasks[kind]) kind++;
        if (kind < CHOICE_KINDS)
            status =
                choices_run((choice_kind)kind, o.model, o.file, (size_t)o.n_tasks[kind], &o.eval, o.json);
        else
            status = run_perplexity(&o);
    }
    free(line.positionals);
    return status;
}
