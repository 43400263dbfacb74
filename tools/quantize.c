/* `leat quantize`: a smaller copy of a model file. The library does the work; this is its command line and
 * progress. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "options.h"
#include "term.h"

int command_quantize(int argc, char **argv) {
    int64_t threads = -1;
    const option options[] = {OPTION_THREADS(&threads)};
    command_line line = {"quantize",
                         "IN OUT TYPE [options]",
                         "Writes the model IN (GGUF) to OUT with its weight matrices as TYPE: q8_0. Metadata "
                         "is kept. OUT appears whole\n"
                         "or not at all.",
                         options,
                         sizeof options / sizeof *options,
                         NULL,
                         0};
    leat_quantize_params params;
    leat_error error;
    progress bar;
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status)) {
        if (line.n_positionals != 3) {
            status = usage_error(
                line.name,
                "needs three words: IN OUT TYPE, for example: model-f32.gguf model-q8_0.gguf q8_0");
        } else {
            leat_quantize_params_default(&params);
            params.type = line.positionals[2];
            params.n_threads = thread_count(threads);
            params.progress = progress_update;
            params.user = &bar;
            term_catch_signals(NULL); /* progress_update asks for the work to stop */
            progress_start(&bar, "quantizing", "tensors");
            leat_status result = leat_quantize(line.positionals[0], line.positionals[1], &params, &error);
            progress_end(&bar);
            if (result == LEAT_E_CANCELLED)
                status = 128 + term_interrupted();
            else if (result)
                status = fail("%s", error.message);
        }
    }
    free(line.positionals);
    return status;
}
