/* What the AMX folder implements; init.c puts it into the table. Included only inside this folder. */
#ifndef LEAT_KERNELS_X86_AMX_AMX_H
#define LEAT_KERNELS_X86_AMX_AMX_H

#include <immintrin.h>

#include "kernels/kernels.h"

unpack_fn unpack_q3_k_amx, unpack_q4_k_amx, unpack_q5_k_amx, unpack_q6_k_amx;
unpack_fn unpack_iq1_s_amx, unpack_iq1_m_amx, unpack_iq2_xxs_amx, unpack_iq2_xs_amx, unpack_iq2_s_amx,
    unpack_iq3_xxs_amx, unpack_iq3_s_amx;
peak_fn peak_tiles_amx;
panel_mul_fn panel_mul_tiles_amx, panel_mul_tiles_min_amx;
enum { PANEL_TOKENS_AMX = 128 };

#endif
