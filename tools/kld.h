/* Base files: the log probabilities that one model gives every token at the counted places of a text, for
 * comparing others with it later. The format is the one that llama.cpp writes with --kl-divergence-base, in
 * the byte order of the machine (little endian everywhere that matters), so either program reads the other's:
 *
 *     8 bytes   "_logits_"
 *     int32     n_ctx: tokens of a window
 *     int32     n_vocab
 *     int32     n_chunk: windows
 *     int32     tokens (n_chunk, n_ctx), before BOS takes the place of each window's first
 *     then for each window its positions n_ctx / 2 .. n_ctx - 2, a row each:
 *         float     scale
 *         float     least
 *         uint16    codes (n_vocab, rounded up to an even number)
 *
 * The log probability of token i is scale * codes[i] + least. Logits more than 16 below the largest get the
 * code 0: a row whose codes reach over the full 16 says of such tokens only that they are no likelier than
 * exp(least). A text has such tokens too, and its perplexity could not be had from this; so behind the rows
 * come, where llama.cpp does not look any more:
 *
 *     8 bytes   "_target_"
 *     float     log probability of the token that the text goes on with, for each row
 *     8 bytes   "_vocab__"
 *     uint64    eval_vocabulary of the model: another model of as many tokens need not mean the same by them
 *
 * A file without them, or without the vocabulary, is read all the same. */
#ifndef LEAT_TOOLS_KLD_H
#define LEAT_TOOLS_KLD_H

#include <stdint.h>

#include "eval.h"
#include "whole_file.h"

typedef struct kld_writer {
    whole_file file;
    uint16_t *row;
    float *targets; /* (n_rows) */
    size_t n_vocab, n_rows, n_written;
    uint64_t vocabulary;
} kld_writer;
int kld_writer_open(kld_writer *k, const char *path, const eval_windows *w, const eval_model *m,
                    const leat_token *tokens);
void kld_writer_add(kld_writer *k, const float *logits, leat_token next);
int kld_writer_close(kld_writer *k, int status);

typedef struct kld_reader {
    FILE *f;
    const char *path;
    size_t n_vocab, rows_read;
    eval_windows windows;
    leat_token *tokens; /* (windows.n, windows.length) */
    uint16_t *row;
    float *log_probs; /* (n_vocab) of the row read last; -INFINITY: not known */
    double target;    /* of the token that the text goes on with */
    float *targets;   /* (rows) or NULL */
    size_t n_vague;   /* rows whose target is only known to be rare */
} kld_reader;
/* m: the model that is to be compared. */
int kld_reader_open(kld_reader *k, const char *path, const eval_model *m);
/* The next row, which is refused if its probabilities do not add up to 1. log_probs[next] is never -INFINITY.
 */
int kld_reader_next(kld_reader *k, leat_token next);
void kld_reader_close(kld_reader *k);

#endif
