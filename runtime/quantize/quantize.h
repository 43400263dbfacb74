/* Quantizing a model: GGUF in, GGUF out, weight matrices as the types of a mix and everything else copied.
 * Behind leat_quantize (api_quantize.c). Memory stays small whatever the model's size, and the output is the
 * same, bit for bit, for any number of threads. */
#ifndef LEAT_RUNTIME_QUANTIZE_QUANTIZE_H
#define LEAT_RUNTIME_QUANTIZE_QUANTIZE_H

#include "runtime/leat.h"

/* params: type not NULL. */
leat_status quantize_file(const char *in_path, const char *out_path, const leat_quantize_params *params,
                          leat_error *e);

/* The same for a model whose tensors come from `source` (quantize_plan.h); params->type is no "copy". */
struct gguf;
struct weight_source;
leat_status quantize_source(const struct gguf *in, const struct weight_source *source, const char *out_path,
                            const leat_quantize_params *params, leat_error *e);

#endif
