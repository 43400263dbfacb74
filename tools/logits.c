/* `leat logits`: the scores that a model gives every possible next token, after each token of a list. For
 * comparing runtimes and builds; the file appears whole or not at all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "options.h"
#include "term.h"
#include "whole_file.h"

typedef struct logits_options {
    const char *model, *list, *out, *cache_k, *cache_v, *activations, *isa;
    int64_t threads, threads_batch, batch;
} logits_options;

static int write_logits(leat_session *session, const leat_token *tokens, size_t count, size_t n_batch,
                        uint32_t n_vocab, whole_file *out) {
    leat_error error;
    progress bar;
    int status = EXIT_DONE;
    progress_start(&bar, "computing logits", "tokens");
    for (size_t done = 0; done < count && !status && !out->error;) {
        size_t n = count - done < n_batch ? count - done : n_batch;
        if (leat_session_eval(session, tokens + done, n, &error)) {
            progress_end(&bar);
            return fail("%s", error.message);
        }
        for (size_t i = 0; i < n && !status && !out->error; i++) {
            const float *logits = leat_session_logits(session, n - 1 - i); /* (n_vocab) */
            if (!logits)
                status = fail("the session has no logits for token %zu", done + i);
            else if (fwrite(logits, sizeof *logits, n_vocab, out->f) != n_vocab)
                out->error = errno ? errno : EIO;
        }
        done += n;
        progress_update(&bar, done, count);
    }
    progress_end(&bar);
    return status; /* a failed write is told by whole_file_close */
}

static int run_logits(const logits_options *o, const leat_token *tokens, size_t count) {
    leat_model *model = NULL;
    leat_session *session = NULL;
    leat_session_params params;
    leat_model_info info;
    leat_error error;
    whole_file out;
    int status = open_model(o->model, false, o->isa, &model);
    if (status) return status;
    leat_model_get_info(model, &info);
    leat_session_params_default(&params);
    params.n_ctx = (uint32_t)count;
    params.n_batch = (uint32_t)((size_t)o->batch < count ? (size_t)o->batch : count);
    params.n_threads = thread_count(o->threads);
    params.n_threads_batch = o->threads_batch < 0 ? LEAT_THREADS_AUTO : (uint32_t)o->threads_batch;
    params.k_type = cache_type(o->cache_k);
    params.v_type = cache_type(o->cache_v);
    params.logits_all = true;
    params.activations = activations_form(o->activations);
    if (leat_session_open(model, &params, &session, &error)) {
        status = fail("%s", error.message);
    } else if (!(status = whole_file_open(&out, o->out))) {
        status = write_logits(session, tokens, count, params.n_batch, info.n_vocab, &out);
        status = whole_file_close(&out, status);
    }
    leat_session_close(session);
    leat_model_close(model);
    return status;
}

int command_logits(int argc, char **argv) {
    logits_options o = {.cache_k = "f16",
                        .cache_v = "f16",
                        .activations = "int8",
                        .threads = -1,
                        .threads_batch = 0,
                        .batch = 512};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"--tokens", "ID,ID,...", "the tokens to evaluate", OPTION_TEXT, &o.list, 0, 0, NULL},
        {"-o --out", "FILE", "where the scores go", OPTION_TEXT, &o.out, 0, 0, NULL},
        OPTION_THREADS(&o.threads),
        OPTION_THREADS_BATCH(&o.threads_batch),
        OPTION_BATCH(&o.batch),
        OPTION_CACHE_K(&o.cache_k),
        OPTION_CACHE_V(&o.cache_v),
        OPTION_ACTIVATIONS(&o.activations),
        OPTION_ISA(&o.isa),
    };
    command_line line = {"logits",
                         "[MODEL] --tokens ID,ID,... --out FILE [options]",
                         "Writes the scores (logits) of every possible next token, after each of the given "
                         "tokens: raw float32 in the\n"
                         "byte order of this machine, a row of the vocabulary's size per token.",
                         options,
                         sizeof options / sizeof *options,
                         NULL,
                         0};
    leat_token *tokens = NULL;
    size_t count = 0;
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status)) {
        size_t used = 0;
        if (!o.model && line.n_positionals) o.model = line.positionals[used++];
        if (used < line.n_positionals)
            status = usage_error(line.name, "unexpected \"%s\"", line.positionals[used]);
        else if (!o.list)
            status = usage_error(line.name, "--tokens is missing");
        else if (!o.out)
            status = usage_error(line.name, "--out is missing");
        else
            status = parse_ids(line.name, "--tokens", o.list, &tokens, &count);
        if (!status) status = run_logits(&o, tokens, count);
    }
    free(tokens);
    free(line.positionals);
    return status;
}
