/* What the AVX-VNNI folder implements, and the panels that unpack.c writes and panel_mul.c reads. Included
 * only inside this folder. It builds on the helpers of avx2, without its kernels: everything is compiled for
 * AVX2, FMA, F16C and AVX-VNNI.
 *
 * Panels have 16 rows, four columns of a row side by side: w[k / 4][16][4], unsigned. Kinds with a zero point
 * have the codes at the top of the byte, whatever their width, so that it is 128 for all of them; kinds with
 * minima have plain codes. fold is 32 columns, or 16 for PANEL_Q8_256_16 and
 * PANEL_Q8_32_16. PANEL_Q8_256_16_MIN has folds of 32, as the scales of sub-blocks are in the codes already.
 *
 *     scale[k / fold][16]      of the float that a sum becomes
 *     aux[k / fold][16]        floats: -12582912 * scale, which takes the magic number (act.h) away again
 *     min[k / 32][16]          PANEL_Q8_32_MIN: to be added; PANEL_Q8_256_MIN: min[16] = dmin
 *     aux[AUX_MINS ...][16]    PANEL_Q8_256_MIN: minima of sub-blocks 2i, 2i + 1 as words, i = 0..3;
 *                              PANEL_Q8_256_16_MIN: i = 0..7 */
#ifndef LEAT_KERNELS_X86_AVXVNNI_AVXVNNI_H
#define LEAT_KERNELS_X86_AVXVNNI_AVXVNNI_H

#include "kernels/kernels.h"

matvec_fn matvec_q4_0_avxvnni, matvec_q4_1_avxvnni, matvec_q5_0_avxvnni, matvec_q5_1_avxvnni;
matvec_fn matvec_q8_0_avxvnni, matvec_q4_k_avxvnni, matvec_q5_k_avxvnni, matvec_q6_k_avxvnni;
matvec_fn matvec_q2_k_avxvnni, matvec_q3_k_avxvnni, matvec_iq4_nl_avxvnni, matvec_iq4_xs_avxvnni;
matvec_fn matvec_mxfp4_avxvnni, matvec_nvfp4_avxvnni, matvec_q1_0_avxvnni, matvec_q2_0_avxvnni;
matvec_fn matvec_tq1_0_avxvnni, matvec_tq2_0_avxvnni;

unpack_fn unpack_q4_0_avxvnni, unpack_q4_1_avxvnni, unpack_q5_0_avxvnni, unpack_q5_1_avxvnni;
unpack_fn unpack_q8_0_avxvnni, unpack_q4_k_avxvnni, unpack_q5_k_avxvnni, unpack_q6_k_avxvnni;
unpack_fn unpack_q2_k_avxvnni, unpack_q3_k_avxvnni, unpack_iq4_nl_avxvnni, unpack_iq4_xs_avxvnni;
unpack_fn unpack_mxfp4_avxvnni, unpack_nvfp4_avxvnni, unpack_q1_0_avxvnni, unpack_q2_0_avxvnni;
unpack_fn unpack_tq1_0_avxvnni, unpack_tq2_0_avxvnni;

matvec_fn matvec_iq1_s_avxvnni, matvec_iq1_m_avxvnni, matvec_iq2_xxs_avxvnni, matvec_iq2_xs_avxvnni,
    matvec_iq2_s_avxvnni, matvec_iq3_xxs_avxvnni, matvec_iq3_s_avxvnni;
unpack_fn unpack_iq1_s_avxvnni, unpack_iq1_m_avxvnni, unpack_iq2_xxs_avxvnni, unpack_iq2_xs_avxvnni,
    unpack_iq2_s_avxvnni, unpack_iq3_xxs_avxvnni, unpack_iq3_s_avxvnni;

panel_mul_fn panel_mul_q8_32_avxvnni, panel_mul_q8_32_min_avxvnni;
panel_mul_fn panel_mul_q8_32_16_avxvnni, panel_mul_q8_256_16_min_avxvnni;
panel_mul_fn panel_mul_q8_256_min_avxvnni, panel_mul_q8_256_16_avxvnni;
peak_fn peak_q8_avxvnni;

enum { PANEL_ROWS_AVXVNNI = 16, PANEL_TOKENS_AVXVNNI = 6 };

#endif
