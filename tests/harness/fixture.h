/* What tests of the engine stand on: temporary files, opened random models, and a way to run tokens and keep
 * logits. */
#ifndef LEAT_TESTS_FIXTURE_H
#define LEAT_TESTS_FIXTURE_H

#include "random_model.h"
#include "runtime/leat.h"
#include "test.h"

/* A fresh path in a private temporary folder; remove it with temp_remove. */
typedef struct temp_file {
    char dir[64], path[96];
} temp_file;
bool temp_make(temp_file *f, const char *name);
void temp_remove(const temp_file *f);

/* Writes the random model, opens it on an ISA (NULL: the best) and removes the file (the mapping keeps it).
 * NULL after a failed check. */
leat_model *open_random(test *t, const random_model *m, const char *isa);

leat_session *open_session(test *t, leat_model *m, uint32_t n_ctx, uint32_t n_batch, uint32_t n_threads);

/* n token ids below n_vocab, the same for the same seed. */
void fill_tokens(leat_token *tokens, size_t n, uint32_t n_vocab, uint32_t seed);

/* |a - b|_2 / |b|_2; infinite when a value is not finite. */
double relative_error(const float *a, const float *b, size_t n);

/* Path of golden data beside the project ("../shared/NAME"), NULL when this checkout has none. */
const char *golden_path(const char *name, char out[512]);

#endif
