/* `leat quantize`: a smaller copy of a model file. The library does the work; this is its command line and
 * progress. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "options.h"
#include "term.h"

/* The names of the mixes, as --help shows them. */
static void list_types(char *text, size_t size) {
    const char *name;
    size_t used = 0, column = 0;
    for (size_t i = 0; (name = leat_quantize_type(i)) && used < size; i++) {
        bool wrap = column + strlen(name) > 98;
        int n = snprintf(text + used, size - used, "%s%s", i == 0 ? "" : wrap ? "\n" : " ", name);
        column = wrap ? strlen(name) : column + (size_t)n;
        used += (size_t)n;
    }
}

typedef struct quantize_options {
    const char *target_size, *calibration, *recipe, *isa;
    text_list type_files;
    float target_bpw;
    int64_t threads, chunks, measured, trials;
    bool quiet;
} quantize_options;

/* What is shown while it works: first the search for types, then the writing. */
typedef struct shown {
    progress search, write;
    bool searching, table;
} shown;

/* Weights are counted in millions: that is what people call models by. */
static bool count_weights(void *user, size_t done, size_t total) {
    shown *s = user;
    return progress_update(&s->write, done / 1000000, total / 1000000);
}

static bool count_steps(void *user, size_t done, size_t total) {
    shown *s = user;
    return progress_update(&s->search, done, total);
}

/* The table of what was chosen, on stdout. */
static void show_choice(void *user, const leat_quantize_choice *x) {
    shown *s = user;
    if (s->searching) progress_end(&s->search);
    s->searching = false;
    if (!s->table)
        printf("%-40s %-8s %-8s %8s %12s %9s %10s\n", "tensor", "from", "to", "bits", "bytes", "error",
               "KL (nats)");
    s->table = true;
    term_put_clean(stdout, x->name.data, x->name.size, 40);
    printf("%*s %-8s %-8s %8.4f %12" PRIu64 " %8.3f%%", (int)(x->name.size < 40 ? 40 - x->name.size : 0), "",
           x->from, x->to, 8 * (double)x->bytes / (double)x->n_weights, x->bytes, 100 * x->error);
    if (isnan(x->divergence))
        printf(" %10s\n", "-");
    else
        printf(" %10.6f\n", x->divergence);
}

/* "800M", "1.5GiB", "123456": bytes; K, M and G are powers of 1000, KiB, MiB and GiB of 1024. */
static bool parse_size(const char *text, uint64_t *out) {
    static const char *const units[] = {"", "K", "M", "G", "T"};
    char *end;
    double v = strtod(text, &end), factor = 1;
    bool binary = strlen(end) > 1 && (end[1] == 'i' || end[1] == 'I');
    for (size_t i = 0; i < sizeof units / sizeof *units; i++, factor *= binary ? 1024 : 1000) {
        size_t n = strlen(units[i]);
        if (n && (*end | 32) != (*units[i] | 32)) continue;
        const char *rest = end + n;
        if (n && binary) rest++;
        if (*rest == 'B' || *rest == 'b') rest++;
        if (*rest) continue;
        if (end == text || !(v > 0 && v * factor < 1e18)) return false;
        *out = (uint64_t)(v * factor);
        return true;
    }
    return false;
}

/* Lines of REGEX=TYPE, as --tensor-type takes them; empty lines and those that start with # are passed over.
 * The text is cut up in place and must outlive the list. */
static int add_lines(char *text, const char *path, const char ***list, size_t *n) {
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        size_t end = strlen(line);
        while (end && (line[end - 1] == '\r' || line[end - 1] == ' ' || line[end - 1] == '\t'))
            line[--end] = 0;
        while (*line == ' ' || *line == '\t') line++;
        if (!*line || *line == '#') continue;
        const char **more = realloc((void *)*list, (*n + 1) * sizeof **list);
        if (!more) return fail("%s: no memory", path);
        *list = more;
        (*list)[(*n)++] = line;
    }
    return EXIT_DONE;
}

static int read_calibration(const char *model_path, const quantize_options *o, leat_token **tokens,
                            size_t *count) {
    leat_model *model = NULL;
    char *text = NULL;
    size_t n = 0;
    int status = read_text(o->calibration, &text, &n);
    if (!status) status = open_model(model_path, true, NULL, &model);
    if (!status)
        status =
            tokenize_text(model, text, n, leat_token_add_bos(model) ? LEAT_TOKENIZE_BOS : 0, tokens, count);
    leat_model_close(model);
    free(text);
    if (!status && *count < 2)
        status = fail("%s: a text of %zu tokens is too short to choose types by", o->calibration, *count);
    return status;
}

static int quantize(const command_line *line, const quantize_options *o, leat_quantize_params *params) {
    leat_quantize_summary made;
    leat_error error;
    shown s = {.searching = params->target_bpw > 0 || params->target_bytes};
    params->progress = count_weights;
    params->search_progress = count_steps;
    if (!o->quiet) params->chosen = show_choice;
    params->user = &s;
    params->summary = &made;
    term_catch_signals(NULL); /* the progress asks for the work to stop */
    progress_start(&s.search, "choosing types", "steps");
    progress_start(&s.write, "quantizing", "million weights");
    leat_status result = leat_quantize(line->positionals[0], line->positionals[1], params, &error);
    if (s.searching) progress_end(&s.search);
    progress_end(&s.write);
    if (result == LEAT_E_CANCELLED) return 128 + term_interrupted();
    if (result == LEAT_E_ARG) return usage_error(line->name, "%s", error.message);
    if (result) return fail("%s", error.message);
    if (s.table)
        printf("%.2f bits per weight",
               8 * (double)made.bytes_out / (double)(made.n_weights ? made.n_weights : 1));
    if (s.table && made.divergence > 0)
        printf(", mean KL divergence %.6f nats on the calibration text", made.divergence);
    if (s.table) printf("\n");
    if (term_is_tty(STDERR_FILENO) && made.n_weights)
        fprintf(stderr, "%.1f MB of tensors became %.1f MB, %.2f bits a weight; %zu of %zu tensors changed\n",
                (double)made.bytes_in * 1e-6, (double)made.bytes_out * 1e-6,
                8 * (double)made.bytes_out / (double)made.n_weights, made.n_quantized, made.n_tensors);
    if (made.n_fallback)
        fprintf(stderr,
                "leat: rows of %zu tensors are no whole blocks of their type; they became another one\n",
                made.n_fallback);
    return EXIT_DONE;
}

/* Whether a file starts as GGUF does. */
static bool is_gguf(const char *path) {
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    bool is = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "GGUF", 4);
    if (f) fclose(f);
    return is;
}

static int run_quantize(const command_line *line, quantize_options *o, const text_list *overrides,
                        leat_quantize_params *params) {
    leat_token *tokens = NULL;
    char *texts[TEXT_LIST_MAX + 1] = {NULL};
    const char **types = NULL;
    size_t n_types = 0, n_texts = 0;
    int status = EXIT_DONE;
    bool searched = o->target_bpw > 0 || o->target_size;
    if (line->n_positionals != 3 && !(line->n_positionals == 2 && (searched || o->recipe)))
        return usage_error(line->name,
                           "needs three words: IN OUT TYPE, for example: model-f32.gguf model-q4_k_m.gguf "
                           "q4_k_m");
    if (o->target_size && !parse_size(o->target_size, &params->target_bytes))
        return usage_error(line->name, "--target-size %s: not a size like 800M or 1.5GiB", o->target_size);
    if (o->target_size && o->target_bpw > 0)
        return usage_error(line->name, "--target-size and --target-bpw exclude each other");
    params->type = line->n_positionals == 3 ? line->positionals[2] : "q4_k_m";
    params->target_bpw = (double)o->target_bpw;
    params->calibration_chunks = (size_t)o->chunks;
    params->search_measured = (size_t)o->measured;
    params->search_trials = (size_t)o->trials;
    params->calibration_name = o->calibration;
    if (o->recipe && is_gguf(o->recipe))
        params->recipe_from = o->recipe;
    else if (o->recipe && o->type_files.n < TEXT_LIST_MAX)
        o->type_files.items[o->type_files.n++] = o->recipe;
    for (size_t i = 0; i < overrides->n && !status; i++) {
        const char **more = realloc((void *)types, (n_types + 1) * sizeof *types);
        if (more) {
            types = more;
            types[n_types++] = overrides->items[i];
        } else
            status = fail("no memory");
    }
    for (size_t i = 0; i < o->type_files.n && !status; i++) {
        size_t n;
        status = read_text(o->type_files.items[i], &texts[n_texts], &n);
        if (!status) status = add_lines(texts[n_texts++], o->type_files.items[i], &types, &n_types);
    }
    params->tensor_types = types;
    params->n_tensor_types = n_types;
    if (!status && o->calibration)
        status = read_calibration(line->positionals[0], o, &tokens, &params->n_calibration);
    params->calibration = tokens;
    if (!status) status = quantize(line, o, params);
    for (size_t i = 0; i < n_texts; i++) free(texts[i]);
    free((void *)types);
    free(tokens);
    return status;
}

int command_quantize(int argc, char **argv) {
    char about[2400] =
        "Writes the model IN (GGUF) to OUT with its weight matrices as TYPE; metadata is kept. OUT "
        "appears whole\nor not at all. TYPE is one of these mixes (or copy):\n\n";
    quantize_options o = {.threads = -1, .chunks = 8, .measured = 3, .trials = 48};
    text_list overrides = {.n = 0};
    leat_quantize_params params;
    int status = EXIT_FAILED;
    leat_quantize_params_default(&params);
    const option options[] = {
        {"--imatrix", "FILE", "importance matrix (GGUF): what matters more is written better", OPTION_TEXT,
         &params.imatrix, 0, 0, NULL},
        {"--tensor-type", "REGEX=TYPE", "tensors whose name REGEX finds become TYPE; may be repeated",
         OPTION_LIST, &overrides, 0, 0, NULL},
        {"--tensor-type-file", "FILE", "a file with a REGEX=TYPE in each line", OPTION_LIST, &o.type_files, 0,
         0, NULL},
        {"--target-bpw", "X", "choose types tensor by tensor for X bits per weight; TYPE may be left out",
         OPTION_REAL, &o.target_bpw, 0.5, 32, NULL},
        {"--target-size", "SIZE", "the same for a file of at most SIZE bytes: 800M, 1.5GiB", OPTION_TEXT,
         &o.target_size, 0, 0, NULL},
        {"--calibration", "TEXT", "choose by how far predictions move on this text", OPTION_TEXT,
         &o.calibration, 0, 0, NULL},
        {"--calibration-chunks", "N", "chunks of 512 tokens of it that are used (8)", OPTION_INT, &o.chunks,
         1, 1 << 20, NULL},
        {"--search-types", "A,B,...", "choose among these types only", OPTION_TEXT, &params.search_types, 0,
         0, NULL},
        {"--search-measured", "N", "types that are measured for each tensor (3)", OPTION_INT, &o.measured, 1,
         32, NULL},
        {"--search-trials", "N", "exchanges of types that are tried at the end (48)", OPTION_INT, &o.trials,
         0, 1 << 20, NULL},
        {"--recipe-from", "FILE", "take over the types of this GGUF file, or a file of REGEX=TYPE lines",
         OPTION_TEXT, &o.recipe, 0, 0, NULL},
        {"--quiet", NULL, "no table of the types chosen", OPTION_FLAG, &o.quiet, 0, 0, NULL},
        {"--output-tensor-type", "TYPE", "of output.weight", OPTION_TEXT, &params.output_tensor_type, 0, 0,
         NULL},
        {"--token-embedding-type", "TYPE", "of token_embd.weight", OPTION_TEXT, &params.token_embedding_type,
         0, 0, NULL},
        {"--leave-output-tensor", NULL, "output.weight stays as it is", OPTION_FLAG,
         &params.leave_output_tensor, 0, 0, NULL},
        {"--pure", NULL, "all weight matrices the same type", OPTION_FLAG, &params.pure, 0, 0, NULL},
        {"--allow-requantize", NULL, "also tensors that are quantized already", OPTION_FLAG,
         &params.allow_requantize, 0, 0, NULL},
        {"--keep-split", NULL, "as many files as IN has, named OUT-00001-of-....gguf", OPTION_FLAG,
         &params.keep_split, 0, 0, NULL},
        OPTION_THREADS(&o.threads)};
    list_types(about + strlen(about), sizeof about - strlen(about));
    command_line line = {
        "quantize", "IN OUT [TYPE] [options]", about, options, sizeof options / sizeof *options, NULL, 0};
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) {
        status = fail("no memory");
    } else if (options_parse(&line, argc, argv, &status)) {
        params.n_threads = thread_count(o.threads);
        status = run_quantize(&line, &o, &overrides, &params);
    }
    free(line.positionals);
    return status;
}
