/* Converting a Hugging Face folder to GGUF. Behind leat_convert (api_convert.c). The parts are listed in
 * conversion.h; tensors are read, changed and written by runtime/quantize, row by row. */
#ifndef LEAT_RUNTIME_CONVERT_CONVERT_H
#define LEAT_RUNTIME_CONVERT_CONVERT_H

#include "runtime/leat.h"

leat_status convert_folder(const char *folder, const char *out_path, const leat_convert_params *params,
                           leat_error *e);

/* The i-th architecture that can be converted; NULL past the last. */
const char *convert_architecture(size_t i);

#endif
