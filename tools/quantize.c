/* `leat quantize`: a smaller copy of a model file. The library does the work; this is its command line and
 * progress. */
#include <signal.h>
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

/* Weights are counted in millions: that is what people call models by. */
static bool count_weights(void *bar, size_t done, size_t total) {
    return progress_update(bar, done / 1000000, total / 1000000);
}

static int quantize(const command_line *line, leat_quantize_params *params) {
    leat_quantize_summary made;
    leat_error error;
    progress bar;
    params->type = line->positionals[2];
    params->progress = count_weights;
    params->user = &bar;
    params->summary = &made;
    term_catch_signals(NULL); /* the progress asks for the work to stop */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a failed write, which cleans up */
    progress_start(&bar, "quantizing", "million weights");
    leat_status result = leat_quantize(line->positionals[0], line->positionals[1], params, &error);
    progress_end(&bar);
    if (result == LEAT_E_CANCELLED) return 128 + term_interrupted();
    if (result) return fail("%s", error.message);
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

int command_quantize(int argc, char **argv) {
    char about[1200] =
        "Writes the model IN (GGUF) to OUT with its weight matrices as TYPE; metadata is kept. OUT "
        "appears whole\nor not at all. TYPE is one of these mixes (or copy):\n\n";
    int64_t threads = -1;
    text_list overrides = {.n = 0};
    leat_quantize_params params;
    int status = EXIT_FAILED;
    leat_quantize_params_default(&params);
    const option options[] = {
        {"--imatrix", "FILE", "importance matrix (GGUF): what matters more is written better", OPTION_TEXT,
         &params.imatrix, 0, 0, NULL},
        {"--tensor-type", "REGEX=TYPE", "tensors whose name REGEX finds become TYPE; may be repeated",
         OPTION_LIST, &overrides, 0, 0, NULL},
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
        OPTION_THREADS(&threads)};
    list_types(about + strlen(about), sizeof about - strlen(about));
    command_line line = {
        "quantize", "IN OUT TYPE [options]", about, options, sizeof options / sizeof *options, NULL, 0};
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) {
        status = fail("no memory");
    } else if (options_parse(&line, argc, argv, &status)) {
        params.n_threads = thread_count(threads);
        params.tensor_types = overrides.items;
        params.n_tensor_types = overrides.n;
        status =
            line.n_positionals == 3
                ? quantize(&line, &params)
                : usage_error(line.name,
                              "needs three words: IN OUT TYPE, for example: model-f32.gguf model-q4_k_m.gguf "
                              "q4_k_m");
    }
    free(line.positionals);
    return status;
}
