/* `leat convert`: a model as it is published, to one file that runs. The library does the work; this is its
 * command line and progress. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "options.h"
#include "term.h"

/* What can be converted, as --help shows it. */
static void list_names(char *text, size_t size, const char *name(size_t i)) {
    const char *word;
    size_t used = 0, column = 0;
    for (size_t i = 0; (word = name(i)) && used < size; i++) {
        bool wrap = column + strlen(word) > 98;
        int n = snprintf(text + used, size - used, "%s%s", i == 0 ? "" : wrap ? "\n" : " ", word);
        column = wrap ? strlen(word) : column + (size_t)n;
        used += (size_t)n;
    }
}

/* Weights are counted in millions: that is what people call models by. */
static bool count_weights(void *bar, size_t done, size_t total) {
    return progress_update(bar, done / 1000000, total / 1000000);
}

static void tell(void *bar, const char *sentence) {
    (void)bar;
    fputs("leat: ", stderr);
    term_put_clean(stderr, sentence, strlen(sentence), 400);
    fputc('\n', stderr);
}

static int convert(const command_line *line, leat_convert_params *params) {
    leat_quantize_summary made;
    leat_error error;
    progress bar;
    params->progress = count_weights;
    params->warning = tell;
    params->user = &bar;
    params->summary = &made;
    term_catch_signals(NULL); /* the progress asks for the work to stop */
    progress_start(&bar, "converting", "million weights");
    leat_status result = leat_convert(line->positionals[0], line->positionals[1], params, &error);
    progress_end(&bar);
    if (result == LEAT_E_CANCELLED) return 128 + term_interrupted();
    if (result == LEAT_E_ARG) return usage_error(line->name, "%s", error.message);
    if (result) return fail("%s", error.message);
    if (term_is_tty(STDERR_FILENO) && made.n_weights)
        fprintf(stderr, "%zu tensors with %.1f million weights became %.1f MB, %.2f bits a weight\n",
                made.n_tensors, (double)made.n_weights * 1e-6, (double)made.bytes_out * 1e-6,
                8 * (double)made.bytes_out / (double)made.n_weights);
    if (made.n_fallback)
        fprintf(stderr,
                "leat: rows of %zu tensors are no whole blocks of their type; they became another one\n",
                made.n_fallback);
    return EXIT_DONE;
}

int command_convert(int argc, char **argv) {
    char about[2600] =
        "Writes the model in FOLDER, as Hugging Face has it (config.json, *.safetensors, "
        "tokenizer files),\nto OUT as GGUF. OUT appears whole or not at all. Architectures:\n\n";
    int64_t threads = -1;
    text_list overrides = {.n = 0};
    leat_convert_params params;
    int status = EXIT_FAILED;
    leat_convert_params_default(&params);
    const option options[] = {
        {"--type --outtype", "TYPE", "of weight matrices; one of those below (as the folder has them)",
         OPTION_TEXT, &params.type, 0, 0, NULL},
        {"--name", "NAME", "of the model, in the file (the folder's)", OPTION_TEXT, &params.name, 0, 0, NULL},
        {"--imatrix", "FILE", "importance matrix (GGUF): what matters more is written better", OPTION_TEXT,
         &params.imatrix, 0, 0, NULL},
        {"--tensor-type", "REGEX=TYPE", "tensors whose name REGEX finds become TYPE; may be repeated",
         OPTION_LIST, &overrides, 0, 0, NULL},
        {"--output-tensor-type", "TYPE", "of output.weight", OPTION_TEXT, &params.output_tensor_type, 0, 0,
         NULL},
        {"--token-embedding-type", "TYPE", "of token_embd.weight", OPTION_TEXT, &params.token_embedding_type,
         0, 0, NULL},
        {"--pure", NULL, "all weight matrices the same type", OPTION_FLAG, &params.pure, 0, 0, NULL},
        OPTION_THREADS(&threads)};
    list_names(about + strlen(about), sizeof about - strlen(about), leat_convert_architecture);
    strncat(about, "\n\nTypes:\n\n", sizeof about - strlen(about) - 1);
    list_names(about + strlen(about), sizeof about - strlen(about), leat_quantize_type);
    command_line line = {
        "convert", "FOLDER OUT [options]", about, options, sizeof options / sizeof *options, NULL, 0};
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) {
        status = fail("no memory");
    } else if (options_parse(&line, argc, argv, &status)) {
        params.n_threads = thread_count(threads);
        params.tensor_types = overrides.items;
        params.n_tensor_types = overrides.n;
        if (params.type && !strcmp(params.type, "auto")) params.type = NULL;
        status =
            line.n_positionals == 2
                ? convert(&line, &params)
                : usage_error(line.name, "needs two words: FOLDER OUT, for example: my-model my-model.gguf");
    }
    free(line.positionals);
    return status;
}
