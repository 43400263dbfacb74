/* `leat imatrix`: which columns of a model's matrices matter, from a text, for `leat quantize --imatrix`; and
 * what such files hold. The library does the work; this is its command line, its checkpoints and its table.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "eval.h"
#include "input.h"
#include "options.h"
#include "term.h"

typedef struct imatrix_options {
    const char *model, *text, *out, *isa;
    text_list in;
    int64_t threads, n_ctx, n_batch, chunks, first_chunk, save_every;
    bool show, special;
} imatrix_options;

/* What the progress needs: after some chunks the file is written as it stands. */
typedef struct collecting {
    progress bar;
    const imatrix_options *o;
    const leat_imatrix *m;
    leat_error error;   /* of a checkpoint */
    size_t done, total; /* chunks */
} collecting;

static bool after_chunk(void *user, size_t done, size_t total) {
    collecting *c = user;
    c->done = done;
    c->total = total;
    if (c->o->out && c->o->save_every && done % (size_t)c->o->save_every == 0 && done < total &&
        leat_imatrix_save(c->m, c->o->out, &c->error))
        return false;
    return progress_update(&c->bar, done, total);
}

static int collect(const imatrix_options *o, leat_imatrix *m, collecting *c) {
    leat_model *model = NULL;
    leat_token *tokens = NULL;
    char *text = NULL;
    size_t n = 0, count = 0;
    leat_error error;
    leat_imatrix_params params;
    int status = open_model(o->model, false, o->isa, &model);
    if (!status) status = read_text(o->text, &text, &n);
    if (!status) {
        unsigned flags =
            (leat_token_add_bos(model) ? LEAT_TOKENIZE_BOS : 0u) | (o->special ? LEAT_TOKENIZE_SPECIAL : 0u);
        status = tokenize_text(model, text, n, flags, &tokens, &count);
    }
    if (!status) {
        leat_imatrix_params_default(&params);
        params.n_ctx = (uint32_t)o->n_ctx;
        params.n_batch = (uint32_t)o->n_batch;
        params.n_threads = thread_count(o->threads);
        params.first_chunk = (size_t)o->first_chunk;
        params.max_chunks = o->chunks > 0 ? (size_t)o->chunks : 0;
        params.dataset = o->text;
        params.progress = after_chunk;
        params.user = c;
        term_catch_signals(NULL); /* the progress asks for the work to stop */
        progress_start(&c->bar, "reading the text", "chunks");
        leat_status result = leat_imatrix_collect(m, model, tokens, count, &params, &error);
        progress_end(&c->bar);
        if (c->error.code)
            status = fail("%s", c->error.message);
        else if (result == LEAT_E_CANCELLED)
            status = 128 + term_interrupted();
        else if (result)
            status = fail("%s", error.message);
    }
    free(tokens);
    free(text);
    leat_model_close(model);
    return status;
}

static void show_entry(const leat_imatrix_entry *x) {
    char layer[16] = "-", cosine[16] = "-";
    const char *name = x->name.data, *end = name + x->name.size;
    if (x->layer != UINT32_MAX) {
        snprintf(layer, sizeof layer, "%" PRIu32, x->layer);
        for (int dots = 0; name < end && dots < 2; name++) dots += *name == '.';
    }
    if (end - name > 7 && !memcmp(end - 7, ".weight", 7)) end -= 7;
    if (!isnan(x->cosine)) snprintf(cosine, sizeof cosine, "%.4f", x->cosine);
    printf("%5s  ", layer);
    term_put_clean(stdout, name, (size_t)(end - name), 24);
    double most = log2((double)x->n_values);
    printf("%*s %11.4f %10.4g %10.4g %10.4g %10.4g %7.2f%% %8zu %8.3f %7.2f%% %7.2f%% %8s\n",
           (int)(end - name < 24 ? 24 - (end - name) : 0), "", x->sum, x->min, x->max, x->mean, x->deviation,
           100 * x->active, x->n_values, x->entropy, most > 0 ? 100 * x->entropy / most : 0,
           100 * x->zd_score, cosine);
}

static int by_layer(const void *a, const void *b) {
    const leat_imatrix_entry *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->sum > y->sum ? -1 : x->sum < y->sum;
}

static int show(const leat_imatrix *m) {
    size_t n = leat_imatrix_count(m), n_unused = 0;
    leat_imatrix_entry *entries = calloc(n ? n : 1, sizeof *entries);
    if (!entries) return fail("no memory");
    for (size_t i = 0; i < n; i++) leat_imatrix_get(m, i, &entries[i]);
    qsort(entries, n, sizeof *entries, by_layer);
    printf("%zu tensors, %" PRIu64 " chunks\n\n", n, leat_imatrix_chunks(m));
    printf("%5s  %-24s %11s %10s %10s %10s %10s %8s %8s %8s %8s %8s %8s\n", "layer", "tensor", "sum(act^2)",
           "min", "max", "mean", "sigma", "active", "n", "entropy", "E(norm)", "ZD", "cos-sim");
    for (size_t i = 0; i < n; i++) {
        show_entry(&entries[i]);
        n_unused += entries[i].n_unused;
    }
    if (n_unused) printf("\n%zu matrices of experts were used by no token\n", n_unused);
    free(entries);
    return EXIT_DONE;
}

/* Experts that no token chose are quantized as if all their columns mattered alike. */
static void warn_of_unused(const leat_imatrix *m) {
    size_t n_unused = 0, n_all = 0;
    leat_imatrix_entry x;
    for (size_t i = 0; !leat_imatrix_get(m, i, &x); i++) {
        n_unused += x.n_unused;
        n_all += x.n_experts;
    }
    if (n_unused)
        warn("no token used %zu of %zu matrices (of experts): a longer text would tell more", n_unused,
             n_all);
}

/* A stop leaves FILE alone, whose old contents may be of a longer text: unless it was to be written again and
 * again on the way. */
static int after_stop(const collecting *c, int status) {
    const char *out = c->o->out;
    leat_error error;
    if (!out) {
        fail("interrupted after %zu of %zu chunks", c->done, c->total);
    } else if (!c->o->save_every) {
        fail("interrupted after %zu of %zu chunks; %s %s (--save-every N keeps what there is)", c->done,
             c->total, out, access(out, F_OK) ? "is not written" : "is as it was");
    } else if (leat_imatrix_save(c->m, out, &error)) {
        return fail("%s", error.message);
    } else {
        fail("interrupted after %zu of %zu chunks; %s holds %" PRIu64 " chunks", c->done, c->total, out,
             leat_imatrix_chunks(c->m));
    }
    return status;
}

static int run_imatrix(const imatrix_options *o) {
    leat_imatrix *m = NULL;
    collecting c = {.o = o};
    leat_error error;
    int status = EXIT_DONE;
    if (leat_imatrix_open(&m, &error)) return fail("%s", error.message);
    for (size_t i = 0; i < o->in.n && !status; i++)
        if (leat_imatrix_merge(m, o->in.items[i], &error)) status = fail("%s", error.message);
    c.m = m;
    if (!status && o->text) status = collect(o, m, &c);
    if (status > 128) status = after_stop(&c, status);
    if (!status && o->out && leat_imatrix_save(m, o->out, &error)) status = fail("%s", error.message);
    if (!status && o->out) warn_of_unused(m);
    if (!status && o->show) status = show(m);
    leat_imatrix_close(m);
    return status;
}

/* MODEL [TEXT], or with --show and nothing to read a file to show. */
static int place_words(imatrix_options *o, const command_line *line) {
    size_t used = 0;
    if (o->show && !o->text && !o->model && !o->in.n && line->n_positionals == 1) {
        o->in.items[o->in.n++] = line->positionals[0];
        return EXIT_DONE;
    }
    if (!o->model && used < line->n_positionals) o->model = line->positionals[used++];
    if (!o->text && used < line->n_positionals) o->text = line->positionals[used++];
    if (used < line->n_positionals)
        return usage_error(line->name, "unexpected \"%s\"", line->positionals[used]);
    if (!o->text && !o->in.n) return usage_error(line->name, "needs a text (-f FILE) or --in-file FILE");
    if (!o->out && !o->show) return usage_error(line->name, "-o FILE is missing");
    return eval_check_chunks(line->name, o->chunks);
}

int command_imatrix(int argc, char **argv) {
    imatrix_options o = {.threads = -1, .n_ctx = 512, .n_batch = 512, .chunks = -1};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-f --file", "FILE", "the text; - is standard input", OPTION_TEXT, &o.text, 0, 0, NULL},
        {"-o --out --output-file", "FILE", "where the importance matrix goes (GGUF)", OPTION_TEXT, &o.out, 0,
         0, NULL},
        {"--in-file", "FILE", "add what this one holds; may be repeated, to merge", OPTION_LIST, &o.in, 0, 0,
         NULL},
        {"-c --ctx-size", "N", "tokens of a chunk, each of them a context of its own (512)", OPTION_INT,
         &o.n_ctx, 2, 1 << 20, NULL},
        {"--chunks --chunk", "N", "read at most N chunks, 1 or more; -1: all (-1)", OPTION_INT, &o.chunks, -1,
         1 << 30, NULL},
        {"--from-chunk", "N", "leave out the first N chunks (0)", OPTION_INT, &o.first_chunk, 0, 1 << 30,
         NULL},
        {"--save-every --save-frequency", "N",
         "write FILE after every N chunks, and when interrupted; 0: only at the end (0)", OPTION_INT,
         &o.save_every, 0, 1 << 30, NULL},
        {"--show --show-statistics", NULL, "print statistics of each tensor", OPTION_FLAG, &o.show, 0, 0,
         NULL},
        {"--parse-special", NULL, "text of a special token becomes its id", OPTION_FLAG, &o.special, 0, 0,
         NULL},
        OPTION_THREADS(&o.threads),
        OPTION_BATCH(&o.n_batch),
        OPTION_ISA(&o.isa),
    };
    command_line line = {
        "imatrix",
        "[MODEL] [-f] TEXT -o FILE [options]",
        "Runs the model over a text and writes how much each column of each weight matrix matters (the mean\n"
        "square of what it is multiplied with), for leat quantize --imatrix. llama.cpp reads the file too.\n"
        "FILE appears whole at the end; interrupted, it is as it was, unless --save-every is given.\n"
        "leat imatrix --in-file A --in-file B -o FILE merges; leat imatrix --show FILE prints statistics: "
        "of\n"
        "the columns' mean squares sum, smallest, largest, mean, standard deviation, how many are above "
        "1e-5,\n"
        "their number, entropy (bits, and of the most possible), how many are further than a deviation from\n"
        "the mean, and the cosine similarity with the layer before.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status) && !(status = place_words(&o, &line)))
        status = run_imatrix(&o);
    free(line.positionals);
    return status;
}
