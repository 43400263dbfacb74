/* `leat compare`: two models side by side, what a person wants to know before choosing one: size, quality,
 * how far the second is from the first, speed, memory. Both go through the same windows of a text at the same
 * time; without a text, through one that the first model writes, which says how far the second is from it but
 * nothing of how good they are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "eval.h"
#include "options.h"
#include "stats.h"
#include "term.h"

enum {
    SPEED_PROMPT = 512,
    SPEED_TOKENS = 32, /* generated one by one */
    SPEED_ROUNDS = 3,
    CONTEXT_MAX = 4096, /* that memory is told for */
    WRITTEN = 512,      /* tokens that a model writes when there is no text */
    WRITTEN_FIRST = 8   /* of these only lead in */
};

typedef struct compare_options {
    const char *paths[EVAL_MODELS], *text;
    int64_t n_ctx, chunks;
    bool json;
    eval_options eval;
} compare_options;

typedef struct side {
    char type[16]; /* of most bytes */
    uint64_t tensor_bytes, n_weights;
    mean surprise;
    double text_bytes;      /* of counted tokens */
    double prefill, decode; /* tokens per second */
    uint64_t session_bytes;
    leat_token *tokens;
    size_t n_tokens;
} side;

typedef struct comparison {
    eval_model models[EVAL_MODELS];
    side sides[EVAL_MODELS];
    divergence divergence;
    bool together; /* the same tokens: distributions can be compared */
    bool written;  /* the text is the first model's own */
    uint32_t context;
    eval_windows windows;
    size_t alone; /* model that goes through the text by itself */
    /* on the way */
    double start, last_shown;
} comparison;

/* ---- what the files say ---- */

static int read_file(comparison *c, size_t k) {
    side *s = &c->sides[k];
    leat_file *file;
    leat_error e;
    uint64_t most = 0;
    if (leat_file_open(c->models[k].path, &file, &e)) return fail("%s", e.message);
    size_t n = leat_file_tensor_count(file);
    for (size_t i = 0; i < n; i++) {
        leat_tensor_info t, other;
        uint64_t sum = 0;
        if (leat_file_tensor(file, i, &t)) continue;
        s->tensor_bytes += t.bytes;
        s->n_weights += t.dims[0] * t.dims[1] * t.dims[2] * t.dims[3];
        for (size_t j = i; j < n; j++) /* the first of each type has the whole sum */
            if (!leat_file_tensor(file, j, &other) && other.type_id == t.type_id) sum += other.bytes;
        if (sum > most) {
            most = sum;
            snprintf(s->type, sizeof s->type, "%s", t.type);
        }
    }
    leat_file_close(file);
    return EXIT_DONE;
}

/* ---- speed and memory ---- */

static leat_status run_once(leat_session *s, const leat_token *tokens, size_t n, bool one_by_one,
                            double *best, leat_error *e) {
    double start = term_seconds();
    leat_status status = LEAT_OK;
    if (one_by_one)
        for (size_t i = 0; i < n && !status; i++) status = leat_session_eval(s, tokens + i, 1, e);
    else
        status = leat_session_eval(s, tokens, n, e);
    double speed = (double)n / (term_seconds() - start);
    if (speed > *best) *best = speed;
    return status;
}

/* The best of a few rounds: what else the machine does can only make it slower. */
static int measure_speed(comparison *c, size_t k, const eval_options *o) {
    eval_model *m = &c->models[k];
    side *s = &c->sides[k];
    leat_token tokens[SPEED_PROMPT];
    leat_error e;
    size_t prompt = c->context < SPEED_PROMPT ? c->context : SPEED_PROMPT;
    size_t generated = prompt / 2 < SPEED_TOKENS ? prompt / 2 : SPEED_TOKENS;
    int status = eval_open_session(m, o, c->context, 0);
    if (status) return status;
    s->session_bytes = leat_session_bytes(m->session);
    for (size_t i = 0; i < SPEED_PROMPT; i++) /* any tokens do */
        tokens[i] = (leat_token)((i * 7919u + 13) % m->info.n_vocab);
    for (int i = 0; i < SPEED_ROUNDS; i++) {
        leat_session_rewind(m->session, 0);
        if (run_once(m->session, tokens, prompt, false, &s->prefill, &e)) return eval_stopped(&e);
        leat_session_rewind(m->session, 0);
        if (leat_session_eval(m->session, tokens, prompt - generated, &e)) return eval_stopped(&e);
        if (run_once(m->session, tokens, generated, true, &s->decode, &e)) return eval_stopped(&e);
    }
    return EXIT_DONE;
}

/* ---- the text ---- */

/* A text by the first model: what it draws from its own probabilities. */
static int write_text(comparison *c, const eval_options *o) {
    eval_model *m = &c->models[0];
    leat_sampler_params p;
    leat_sampler *sampler = NULL;
    leat_error e;
    size_t n = c->context < WRITTEN ? c->context : WRITTEN;
    leat_token first = leat_token_bos(m->model) >= 0 ? leat_token_bos(m->model) : leat_token_eos(m->model);
    leat_token *tokens = malloc((n + 1) * sizeof *tokens);
    if (!tokens) return fail("no memory for %zu tokens", n);
    c->sides[0].tokens = tokens;
    c->sides[0].n_tokens = n;
    tokens[0] = first >= 0 ? first : 0;
    leat_sampler_params_default(&p);
    p.temp = 1;
    p.top_k = 0;
    p.top_p = 1;
    p.min_p = 0;
    p.seed = 1;
    int status = eval_open_session(m, o, n, 0);
    if (!status && leat_sampler_open(m->model, &p, &sampler, &e)) status = fail("%s", e.message);
    for (size_t i = 0; i + 1 < n && !status; i++)
        if (leat_session_eval(m->session, tokens + i, 1, &e) ||
            leat_sampler_next(sampler, m->session, tokens + i + 1, &e))
            status = eval_stopped(&e);
    leat_sampler_close(sampler);
    c->windows =
        (eval_windows){.n = 1, .length = n, .step = n, .first = n > 2 * WRITTEN_FIRST ? WRITTEN_FIRST : 0};
    return status;
}

static int get_text(comparison *c, const compare_options *o) {
    side *a = &c->sides[0], *b = &c->sides[1];
    bool same_tokens = c->models[0].info.n_vocab == c->models[1].info.n_vocab &&
                       eval_vocabulary(c->models[0].model) == eval_vocabulary(c->models[1].model);
    c->written = !o->text;
    c->together = same_tokens;
    if (c->written) return same_tokens ? write_text(c, &o->eval) : EXIT_DONE;
    for (size_t k = 0; k < EVAL_MODELS; k++) {
        int status = eval_read_text(c->models[k].model, o->text, &c->sides[k].tokens, &c->sides[k].n_tokens);
        if (status) return status;
    }
    c->together = same_tokens && a->n_tokens == b->n_tokens &&
                  !memcmp(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens);
    return EXIT_DONE;
}

/* ---- going through it ---- */

static void add_token(comparison *c, size_t k, double log_prob, leat_token next) {
    mean_add(&c->sides[k].surprise, -log_prob);
    c->sides[k].text_bytes += (double)leat_token_text(c->models[k].model, next, false).size;
}

static int score_both(void *user, const float *const logits[EVAL_MODELS], leat_token next) {
    comparison *c = user;
    leat_difference d;
    leat_error e;
    if (leat_logits_compare(logits[0], false, logits[1], c->models[0].info.n_vocab, next, &d, &e))
        return fail("%s", e.message);
    add_token(c, 0, d.base_log_prob, next);
    add_token(c, 1, d.log_prob, next);
    return divergence_add(&c->divergence, &d) ? EXIT_DONE : fail("no memory for %zu values", c->divergence.n);
}

static int score_alone(void *user, const float *const logits[EVAL_MODELS], leat_token next) {
    comparison *c = user;
    size_t k = c->alone;
    add_token(c, k, leat_log_prob(logits[0], c->models[k].info.n_vocab, next), next);
    return EXIT_DONE;
}

static void show_state(comparison *c, size_t done) {
    double now = term_seconds(), left = (now - c->start) / (double)done * (double)(c->windows.n - done);
    if (!term_is_tty(STDERR_FILENO) || now - c->start < 0.5 || now - c->last_shown < 0.1) return;
    c->last_shown = now;
    fprintf(stderr, "\r\033[K%zu of %zu windows", done, c->windows.n);
    if (c->together) fprintf(stderr, ": KL %.6f", mean_of(&c->divergence.kl).value);
    fprintf(stderr, "; %d:%02d left", (int)(left / 60), (int)left % 60);
    fflush(stderr);
}

/* The models first .. first + n through their windows. */
static int walk(comparison *c, size_t first, size_t n, eval_fn *fn) {
    int status = EXIT_DONE;
    c->start = term_seconds();
    c->last_shown = 0;
    for (size_t i = 0; i < c->windows.n && !status; i++) {
        status = eval_walk(c->models + first, n, &c->windows, c->sides[first].tokens, i, i + 1, fn, c);
        if (!status) show_state(c, i + 1);
    }
    if (c->last_shown > 0) fputs("\r\033[K", stderr);
    return status;
}

static int evaluate(comparison *c, const compare_options *o) {
    int status = EXIT_DONE;
    if (c->written && !c->together) return EXIT_DONE;
    for (size_t k = 0; k < EVAL_MODELS && !status; k++) {
        if (!c->written)
            status = eval_windows_of(c->sides[k].n_tokens, (size_t)o->n_ctx, 0, o->chunks, &c->windows);
        if (!status)
            status = eval_open_session(&c->models[k], &o->eval, c->windows.length,
                                       c->windows.length - c->windows.first);
        c->alone = k;
        if (!status && !c->together) status = walk(c, k, 1, score_alone);
    }
    if (!status && c->together) status = walk(c, 0, EVAL_MODELS, score_both);
    return status;
}

static int compare(comparison *c, const compare_options *o) {
    int status = EXIT_DONE;
    c->context = CONTEXT_MAX;
    for (size_t k = 0; k < EVAL_MODELS && !status; k++) {
        status = eval_open_model(&c->models[k], o->paths[k], &o->eval);
        if (!status) status = read_file(c, k);
        if (!status && c->models[k].info.n_ctx_train < c->context) c->context = c->models[k].info.n_ctx_train;
    }
    for (size_t k = 0; k < EVAL_MODELS && !status; k++) status = measure_speed(c, k, &o->eval);
    if (!status) status = get_text(c, o);
    if (!status) status = evaluate(c, o);
    return status;
}

/* ---- what comes out ---- */

enum { CELL = 64 };

static void put_row(const char *name, const char *a, const char *b, const char *ratio) {
    printf("%-24s %24s %24s  %s\n", name, a, b, ratio);
}

static void number_row(const char *name, const char *format, double a, double b) {
    char cells[3][CELL];
    snprintf(cells[0], CELL, format, a);
    snprintf(cells[1], CELL, format, b);
    snprintf(cells[2], CELL, "%.3f", b / a);
    put_row(name, cells[0], cells[1], a > 0 ? cells[2] : "");
}

static void estimate_row(const char *name, estimate a, estimate b, const char *ratio) {
    char cells[2][CELL];
    snprintf(cells[0], CELL, "%.4f ± %.4f", a.value, a.error);
    snprintf(cells[1], CELL, "%.4f ± %.4f", b.value, b.error);
    printf("%-24s %25s %25s  %s\n", name, cells[0], cells[1], ratio); /* ± has two bytes */
}

static double bits_per_byte(const side *s) {
    return s->surprise.sum / (log(2) * s->text_bytes);
}

/* The end of a path that fits a column. */
static const char *short_path(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    return n > 24 ? name + n - 24 : name;
}

static void print_quality(comparison *c) {
    const side *a = &c->sides[0], *b = &c->sides[1];
    char cell[CELL];
    estimate ratio = divergence_log_ratio(&c->divergence);
    if (!c->written) {
        snprintf(cell, sizeof cell, "%.4f ± %.4f", exp(ratio.value), exp(ratio.value) * ratio.error);
        estimate_row("perplexity", perplexity_of(&a->surprise), perplexity_of(&b->surprise),
                     c->together ? cell : "not comparable: other tokens");
        number_row("bits per byte of text", "%.4f", bits_per_byte(a), bits_per_byte(b));
    }
    if (!c->together && c->written) put_row("KL divergence from A", "", "", "not comparable: other tokens");
    if (!c->together) return;
    divergence_sort(&c->divergence);
    estimate kl = mean_of(&c->divergence.kl), same = share_of(c->divergence.same_top, c->divergence.n);
    snprintf(cell, sizeof cell, "%.6f ± %.6f", kl.value, kl.error);
    printf("%-24s %24s %25s\n", "KL divergence from A", "", cell);
    snprintf(cell, sizeof cell, "%.6f", percentile(c->divergence.kls, c->divergence.n, 0.99));
    put_row("  99 %", "", cell, "");
    snprintf(cell, sizeof cell, "%.2f ± %.2f %%", 100 * same.value, 100 * same.error);
    printf("%-24s %24s %25s\n", "same top token", "", cell);
}

static void print_table(comparison *c) {
    const double mib = 1 << 20;
    const eval_model *m = c->models;
    const side *a = &c->sides[0], *b = &c->sides[1];
    char name[CELL];
    put_row("", "A", "B", "B / A");
    put_row("model", short_path(m[0].path), short_path(m[1].path), "");
    put_row("mostly", a->type, b->type, "");
    number_row("file, MiB", "%.1f", (double)m[0].info.bytes / mib, (double)m[1].info.bytes / mib);
    number_row("bits per weight", "%.3f", 8 * (double)a->tensor_bytes / (double)a->n_weights,
               8 * (double)b->tensor_bytes / (double)b->n_weights);
    print_quality(c);
    number_row("prompt, tokens/s", "%.1f", a->prefill, b->prefill);
    number_row("generation, tokens/s", "%.1f", a->decode, b->decode);
    number_row("memory: weights, MiB", "%.1f", (double)a->tensor_bytes / mib, (double)b->tensor_bytes / mib);
    snprintf(name, sizeof name, "  context of %u, MiB", (unsigned)c->context);
    number_row(name, "%.1f", (double)a->session_bytes / mib, (double)b->session_bytes / mib);
    number_row("load, ms", "%.1f", 1000 * m[0].load_seconds, 1000 * m[1].load_seconds);
    if (c->divergence.n)
        printf("\n%zu tokens %s; %u threads, %s\n", c->divergence.n,
               c->written ? "that A wrote" : "of the text", (unsigned)leat_session_threads(m[0].session),
               m[0].info.isa);
}

static void json_number(json *j, const char *name, double v) {
    json_name(j, name);
    json_f64(j, v);
}

static void json_count(json *j, const char *name, uint64_t v) {
    json_name(j, name);
    json_u64(j, v);
}

static void print_json(comparison *c, const compare_options *o) {
    json j;
    json_start(&j, stdout, true);
    json_object(&j);
    json_name(&j, "models");
    json_array(&j);
    for (size_t k = 0; k < EVAL_MODELS; k++) {
        const side *s = &c->sides[k];
        const eval_model *m = &c->models[k];
        json_object(&j);
        json_name(&j, "model");
        json_text(&j, m->path);
        json_name(&j, "type");
        json_text(&j, s->type);
        json_count(&j, "bytes", m->info.bytes);
        json_count(&j, "weight_bytes", s->tensor_bytes);
        json_number(&j, "bits_per_weight", 8 * (double)s->tensor_bytes / (double)s->n_weights);
        if (!c->written) {
            json_estimate(&j, "perplexity", perplexity_of(&s->surprise));
            json_number(&j, "bits_per_byte", bits_per_byte(s));
            json_count(&j, "n_tokens", s->surprise.n);
        }
        json_number(&j, "prompt_tokens_per_second", s->prefill);
        json_number(&j, "generation_tokens_per_second", s->decode);
        json_name(&j, "activations");
        json_text(&j, eval_activations(m, &o->eval));
        json_count(&j, "session_bytes", s->session_bytes);
        json_number(&j, "load_seconds", m->load_seconds);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_name(&j, "text");
    json_text(&j, o->text);
    json_count(&j, "n_ctx", c->windows.length);
    json_count(&j, "context", c->context);
    if (c->divergence.n) {
        json_count(&j, "n_tokens", c->divergence.n);
        divergence_json(&c->divergence, &j);
    }
    json_object_end(&j);
    putchar('\n');
}

int command_compare(int argc, char **argv) {
    compare_options o = {.n_ctx = 512, .chunks = -1, .eval = EVAL_OPTIONS_DEFAULT};
    const option options[] = {
        {"-f --file", "FILE", "the text; - is standard input", OPTION_TEXT, &o.text, 0, 0, NULL},
        {"-c --ctx-size", "N", "tokens of a window of the text (512)", OPTION_INT, &o.n_ctx, 4, 1 << 24,
         NULL},
        {"--chunks", "N", "so many windows only, 1 or more; -1: all (-1)", OPTION_INT, &o.chunks, -1,
         2147483647.0, NULL},
        OPTIONS_EVAL(o.eval),
        {"--json", NULL, "print JSON", OPTION_FLAG, &o.json, 0, 0, NULL},
    };
    command_line line = {
        "compare",
        "A B [TEXT] [options]",
        "Shows two models side by side: size, how well each foretells the text (perplexity, lower is "
        "better),\n"
        "how far B is from A (KL divergence, in nats: 0 is the same; and how often both think the same "
        "token\n"
        "likeliest), speed and memory. Without TEXT, A writes one, and there is no perplexity.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    comparison c = {.context = 0};
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status)) {
        size_t n = line.n_positionals;
        if (n < 2 || n > 3 || (n == 3 && o.text))
            status = usage_error(line.name, "needs two models and perhaps a text: A B [TEXT]");
        for (size_t k = 0; k < EVAL_MODELS && !status; k++) o.paths[k] = line.positionals[k];
        if (!status) status = eval_check_chunks(line.name, o.chunks);
        if (n == 3) o.text = line.positionals[2];
        if (!status) status = compare(&c, &o);
        if (!status && o.json) print_json(&c, &o);
        if (!status && !o.json) print_table(&c);
    }
    for (size_t k = 0; k < EVAL_MODELS; k++) {
        eval_close(&c.models[k]);
        free(c.sides[k].tokens);
    }
    divergence_free(&c.divergence);
    free(line.positionals);
    return status;
}
