/* Going through a text in windows, as llama.cpp's perplexity does, so that numbers compare: what `leat
 * perplexity` and `leat compare` have in common. One session, or several with models of the same vocabulary
 * side by side, of which each sees the same tokens. */
#ifndef LEAT_TOOLS_EVAL_H
#define LEAT_TOOLS_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/leat.h"

#include "input.h"

enum { EVAL_MODELS = 2 };

/* Window i is `length` tokens from i * step on. What the model says at positions first .. length - 2 of the
 * token behind them is counted. */
typedef struct eval_windows {
    size_t n, length, step, first;
} eval_windows;

/* Without stride: windows of n_ctx one behind the other, their second halves counted. With one: n_ctx +
 * stride / 2 tokens every `stride` tokens, the last `stride` of which are counted, so that each counted token
 * has at least n_ctx - stride / 2 before it. n_windows: at most so many; < 0: all. */
int eval_windows_of(size_t n_tokens, size_t n_ctx, size_t stride, int64_t n_windows, eval_windows *out);
size_t eval_counted(const eval_windows *w); /* in a window */

typedef struct eval_model {
    const char *path;
    leat_model *model;
    leat_session *session;
    leat_model_info info;
    bool quantized;                    /* it has such weights */
    double open_seconds, load_seconds; /* of the model, and with its session */
    double seconds;                    /* in evaluating windows */
    size_t n_evaluated, n_batch;
} eval_model;

typedef struct eval_options { /* of sessions; the defaults are eval_options_default */
    const char *cache_k, *cache_v, *activations, *isa;
    int64_t threads, batch;
} eval_options;
#define EVAL_OPTIONS_DEFAULT                                                                                 \
    { .cache_k = "f16", .cache_v = "f16", .activations = "int8", .threads = -1, .batch = 512 }
#define OPTIONS_EVAL(o)                                                                                      \
    OPTION_THREADS(&(o).threads), OPTION_BATCH(&(o).batch), OPTION_CACHE_K(&(o).cache_k),                    \
        OPTION_CACHE_V(&(o).cache_v), OPTION_ACTIVATIONS(&(o).activations), OPTION_ISA(&(o).isa)

int eval_open_model(eval_model *m, const char *path, const eval_options *o);
/* A session in place of the model's present one, that holds n_ctx tokens and keeps the logits of n_logits at
 * the end of a batch; 0: of the last token. Ctrl-C stops what it evaluates. */
int eval_open_session(eval_model *m, const eval_options *o, size_t n_ctx, size_t n_logits);
void eval_close(eval_model *m);
/* The form in which most activations of a model with a session are: "int8", "f32", or "bf16", which int8 is
 * for batches where the CPU has tiles. */
const char *eval_activations(const eval_model *m, const eval_options *o);

/* A text as llama.cpp's perplexity takes it: without the file's last line end, with BOS if the model wants
 * it. */
int eval_read_text(const leat_model *model, const char *path, leat_token **tokens, size_t *count);

/* Tells vocabularies apart: a hash of what each token stands for. Special tokens count as nothing, since
 * models that were trained on rename them. */
uint64_t eval_vocabulary(const leat_model *model);

/* Gets each counted position of a text in its order: what each model says (n_vocab logits each) of the token
 * that comes next. Not EXIT_DONE ends the walk. */
typedef int eval_fn(void *user, const float *const logits[EVAL_MODELS], leat_token next);
/* Windows from..to of tokens, BOS in the place of each one's first token if the first model wants BOS. */
int eval_walk(eval_model *models, size_t n_models, const eval_windows *w, const leat_token *tokens,
              size_t from, size_t to, eval_fn *fn, void *user);

/* Is that a number of chunks (or windows): 1 or more, or -1 for all? Wrong usage if not. */
int eval_check_chunks(const char *command, int64_t chunks);

/* The exit status after something that a signal may have ended. */
int eval_stopped(const leat_error *e);

#endif
