/* An importance matrix in memory: for each weight tensor the squares of its inputs, summed column by column,
 * and how many were summed. Collected by running a model (imatrix_collect.c), read, merged and written in
 * llama.cpp's GGUF form (imatrix.c), summed up in numbers (imatrix_show.c). Behind leat_imatrix_*. */
#ifndef LEAT_RUNTIME_QUANTIZE_IMATRIX_H
#define LEAT_RUNTIME_QUANTIZE_IMATRIX_H

#include <stdbool.h>

#include "loader/gguf.h"
#include "runtime/leat.h"

typedef struct imatrix_entry {
    char *name;     /* of the weight tensor */
    size_t n;       /* sums: (n_counts, n / n_counts) */
    size_t n_count; /* experts; 1 for a tensor that all tokens use */
    double *sums, *counts;
} imatrix_entry;

struct leat_imatrix {
    imatrix_entry *entries; /* in the order of their names */
    size_t n_entries, cap_entries;
    char **datasets;
    size_t n_datasets, cap_datasets;
    uint64_t n_chunks;
    uint32_t chunk_size; /* tokens; 0: not known */
};

leat_status imatrix_open(leat_imatrix **out, leat_error *e);
void imatrix_close(leat_imatrix *m);

/* The entry of that name, NULL if there is none. */
const imatrix_entry *imatrix_find(const leat_imatrix *m, const char *name, size_t n);
/* The same, made where there is none. An entry of other sizes is an error; but one count for all experts
 * becomes one for each. */
leat_status imatrix_get(leat_imatrix *m, str name, size_t n, size_t n_count, imatrix_entry **out,
                        leat_error *e);
leat_status imatrix_add_dataset(leat_imatrix *m, str name, leat_error *e);

/* Adds what a file holds. On an error m is unchanged. */
leat_status imatrix_merge(leat_imatrix *m, const char *path, leat_error *e);
leat_status imatrix_save(const leat_imatrix *m, const char *path, leat_error *e);

/* imatrix_collect.c */
leat_status imatrix_collect(leat_imatrix *m, leat_model *model, const leat_token *tokens, size_t n,
                            const leat_imatrix_params *params, leat_error *e);

/* imatrix_show.c */
void imatrix_describe(const leat_imatrix *m, size_t i, leat_imatrix_entry *out);

#endif
