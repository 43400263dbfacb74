/* Importance matrices: how much each column of a weight matrix matters, as the mean square of what it is
 * multiplied with. Read from llama.cpp's GGUF form: per weight tensor NAME a tensor NAME.in_sum2 of sums
 * (columns, experts) and NAME.counts (1, experts), all F32. Used by quantize.c. */
#ifndef LEAT_RUNTIME_QUANTIZE_IMPORTANCE_H
#define LEAT_RUNTIME_QUANTIZE_IMPORTANCE_H

#include "loader/gguf.h"
#include "runtime/leat.h"

typedef struct importance_file importance_file;

/* Opens and checks a whole file. */
leat_status importance_open(const char *path, importance_file **out, leat_error *e);
/* The same of what is in memory; takes m over on success. */
leat_status importance_from_memory(leat_imatrix *m, importance_file **out, leat_error *e);
void importance_close(importance_file *m); /* NULL is fine */

/* The means for a tensor, (experts, columns), to be freed with mem_free; *out is NULL where the file has
 * nothing about it. Numbers that don't fit the tensor are an error, but for a token embedding, which is
 * looked up and not multiplied: there they are ignored. */
leat_status importance_of(const importance_file *m, const gguf_tensor *t, float **out, leat_error *e);

/* What quantizing notes in the metadata. */
size_t importance_entries(const importance_file *m);
uint32_t importance_chunks(const importance_file *m);
str importance_dataset(const importance_file *m); /* the first; "" if none is named */

/* What the file holds, for those who merge: *i is moved on to the next entry; false past the last. Its values
 * are finite and not negative, and there are a whole number of them for each count. */
bool importance_entry(const importance_file *m, size_t *i, const gguf_tensor **sums,
                      const gguf_tensor **counts);
const gguf *importance_gguf(const importance_file *m);
size_t importance_values(const gguf_tensor *t);
float importance_value(const gguf_tensor *t, size_t i);

#endif
