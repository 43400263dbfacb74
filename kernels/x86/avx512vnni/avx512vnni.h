/* What the AVX-512 VNNI folder implements; init.c puts it into the table. Included only inside this folder.
 */
#ifndef LEAT_KERNELS_X86_AVX512VNNI_AVX512VNNI_H
#define LEAT_KERNELS_X86_AVX512VNNI_AVX512VNNI_H

#include "kernels/kernels.h"

matvec_fn matvec_q4_0_avx512vnni, matvec_q4_1_avx512vnni, matvec_q5_0_avx512vnni, matvec_q5_1_avx512vnni;
matvec_fn matvec_q8_0_avx512vnni, matvec_q4_k_avx512vnni, matvec_q5_k_avx512vnni, matvec_q6_k_avx512vnni;
matvec_fn matvec_q2_k_avx512vnni, matvec_q3_k_avx512vnni, matvec_iq4_nl_avx512vnni, matvec_iq4_xs_avx512vnni;
matvec_fn matvec_mxfp4_avx512vnni, matvec_nvfp4_avx512vnni, matvec_q1_0_avx512vnni;
matvec_fn matvec_q2_0_avx512vnni, matvec_tq1_0_avx512vnni, matvec_tq2_0_avx512vnni;

unpack_fn unpack_q4_0_avx512vnni, unpack_q4_1_avx512vnni, unpack_q5_0_avx512vnni, unpack_q5_1_avx512vnni;
unpack_fn unpack_q8_0_avx512vnni, unpack_q4_k_avx512vnni, unpack_q5_k_avx512vnni, unpack_q6_k_avx512vnni;
unpack_fn unpack_q2_k_avx512vnni, unpack_q3_k_avx512vnni, unpack_iq4_nl_avx512vnni, unpack_iq4_xs_avx512vnni;
unpack_fn unpack_mxfp4_avx512vnni, unpack_nvfp4_avx512vnni, unpack_q1_0_avx512vnni;
unpack_fn unpack_q2_0_avx512vnni, unpack_tq1_0_avx512vnni, unpack_tq2_0_avx512vnni;

matvec_fn matvec_iq1_s_avx512vnni, matvec_iq1_m_avx512vnni, matvec_iq2_xxs_avx512vnni,
    matvec_iq2_xs_avx512vnni, matvec_iq2_s_avx512vnni, matvec_iq3_xxs_avx512vnni, matvec_iq3_s_avx512vnni;
unpack_fn unpack_iq1_s_avx512vnni, unpack_iq1_m_avx512vnni, unpack_iq2_xxs_avx512vnni,
    unpack_iq2_xs_avx512vnni, unpack_iq2_s_avx512vnni, unpack_iq3_xxs_avx512vnni, unpack_iq3_s_avx512vnni;

peak_fn peak_q8_avx512vnni;
panel_mul_fn panel_mul_q8_32_avx512vnni, panel_mul_q8_32_min_avx512vnni;
panel_mul_fn panel_mul_q8_256_min_avx512vnni, panel_mul_q8_256_16_avx512vnni;
panel_mul_fn panel_mul_q8_32_16_avx512vnni, panel_mul_q8_256_16_min_avx512vnni;
enum { PANEL_TOKENS_AVX512VNNI = 6 };

#endif
