/* What the AMX folder implements; init.c puts it into the table. Included only inside this folder. */
#ifndef LEAT_KERNELS_X86_AMX_AMX_H
#define LEAT_KERNELS_X86_AMX_AMX_H

#include <immintrin.h>

#include "kernels/kernels.h"

panel_mul_fn panel_mul_q8_32_amx, panel_mul_q8_32_min_amx, panel_mul_q8_256_min_amx, panel_mul_q8_256_16_amx;
enum { PANEL_TOKENS_AMX = 128 };

#endif
