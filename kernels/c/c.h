/* The C reference: its kernels, declared from the one list, and how it enters the table. Included by
 * dispatch.c and by the files of this folder; nobody else calls a reference kernel by name. */
#ifndef LEAT_KERNELS_C_C_H
#define LEAT_KERNELS_C_C_H

#include "kernels/kernels.h"

void kernels_init_c(kernels *k);

peak_fn peak_f32_c, peak_q8_c;

#define W(name, NAME, act, panel)                                                                            \
    decode_fn decode_##name##_c;                                                                             \
    matvec_fn matvec_##name##_c;                                                                             \
    unpack_fn unpack_##name##_c;
#define D(name, NAME)          decode_fn decode_##name##_c;
#define E(name, NAME)          encode_fn encode_##name##_c;
#define Z(name, NAME, largest) quantize_rows_fn quantize_rows_##name##_c;
#define P(name, KIND)          panel_mul_fn panel_mul_##name##_c;
#define O(name)                name##_fn name##_c;
#include "kernels/kernels.def"
#undef W
#undef D
#undef E
#undef Z
#undef P
#undef O

#endif
