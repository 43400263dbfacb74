/* Quantizing a model: GGUF in, GGUF out, weight matrices turned into Q8_0 and everything else copied. Behind
 * leat_quantize (api_quantize.c). Memory stays small whatever the model's size, and the output is the same,
 * bit for bit, for any number of threads. */
#ifndef LEAT_RUNTIME_QUANTIZE_H
#define LEAT_RUNTIME_QUANTIZE_H

#include <stddef.h>

#include "kernels/kernels.h"
#include "leat.h"

/* n values (a multiple of 32) to n / 32 blocks of Q8_0, by ggml's rule: d = max|x| / 127, kept as half
 * precision, and q = x * (1 / d) rounded half away from zero, with the d before its rounding. Returns n, or
 * the index of the first value that is not finite or whose block needs a scale beyond half precision; what
 * was written is then worthless. */
size_t quantize_q8_0(const kernels *k, const float *x, size_t n, void *blocks);

/* params: type not NULL. */
leat_status quantize_file(const char *in_path, const char *out_path, const leat_quantize_params *params,
                          leat_error *e);

#endif
