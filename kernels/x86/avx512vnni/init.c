/* Enters the AVX-512 VNNI kernels into the table: every int8 weight type. Called by dispatch.c on a CPU that
 * has the set, after AVX-512; the float types keep that set's kernels. */
#include "kernels/x86/x86.h"
#include "avx512vnni.h"

void kernels_init_avx512vnni(kernels *k) {
    k->matvec[FORMAT_Q4_0] = matvec_q4_0_avx512vnni;
    k->matvec[FORMAT_Q4_1] = matvec_q4_1_avx512vnni;
    k->matvec[FORMAT_Q5_0] = matvec_q5_0_avx512vnni;
    k->matvec[FORMAT_Q5_1] = matvec_q5_1_avx512vnni;
    k->matvec[FORMAT_Q8_0] = matvec_q8_0_avx512vnni;
    k->matvec[FORMAT_Q4_K] = matvec_q4_k_avx512vnni;
    k->matvec[FORMAT_Q5_K] = matvec_q5_k_avx512vnni;
    k->matvec[FORMAT_Q6_K] = matvec_q6_k_avx512vnni;
    k->matvec[FORMAT_IQ1_S] = matvec_iq1_s_avx512vnni;
    k->matvec[FORMAT_IQ1_M] = matvec_iq1_m_avx512vnni;
    k->matvec[FORMAT_IQ2_XXS] = matvec_iq2_xxs_avx512vnni;
    k->matvec[FORMAT_IQ2_XS] = matvec_iq2_xs_avx512vnni;
    k->matvec[FORMAT_IQ2_S] = matvec_iq2_s_avx512vnni;
    k->matvec[FORMAT_IQ3_XXS] = matvec_iq3_xxs_avx512vnni;
    k->matvec[FORMAT_IQ3_S] = matvec_iq3_s_avx512vnni;

    k->unpack[FORMAT_Q4_0] = unpack_q4_0_avx512vnni;
    k->unpack[FORMAT_Q4_1] = unpack_q4_1_avx512vnni;
    k->unpack[FORMAT_Q5_0] = unpack_q5_0_avx512vnni;
    k->unpack[FORMAT_Q5_1] = unpack_q5_1_avx512vnni;
    k->unpack[FORMAT_Q8_0] = unpack_q8_0_avx512vnni;
    k->unpack[FORMAT_Q4_K] = unpack_q4_k_avx512vnni;
    k->unpack[FORMAT_Q5_K] = unpack_q5_k_avx512vnni;
    k->unpack[FORMAT_Q6_K] = unpack_q6_k_avx512vnni;
    k->unpack[FORMAT_IQ1_S] = unpack_iq1_s_avx512vnni;
    k->unpack[FORMAT_IQ1_M] = unpack_iq1_m_avx512vnni;
    k->unpack[FORMAT_IQ2_XXS] = unpack_iq2_xxs_avx512vnni;
    k->unpack[FORMAT_IQ2_XS] = unpack_iq2_xs_avx512vnni;
    k->unpack[FORMAT_IQ2_S] = unpack_iq2_s_avx512vnni;
    k->unpack[FORMAT_IQ3_XXS] = unpack_iq3_xxs_avx512vnni;
    k->unpack[FORMAT_IQ3_S] = unpack_iq3_s_avx512vnni;

    k->panel_mul[PANEL_Q8_32] = panel_mul_q8_32_avx512vnni;
    k->panel_mul[PANEL_Q8_32_MIN] = panel_mul_q8_32_min_avx512vnni;
    k->panel_mul[PANEL_Q8_256_MIN] = panel_mul_q8_256_min_avx512vnni;
    k->panel_mul[PANEL_Q8_256_16] = panel_mul_q8_256_16_avx512vnni;
    k->panel_mul[PANEL_Q7_256_MIN] = panel_mul_q8_256_min_avx512vnni;
    k->panel_mul[PANEL_Q7_256_16] = panel_mul_q8_256_16_avx512vnni;
    static const panel_kind kinds[] = {PANEL_Q8_32,     PANEL_Q8_32_MIN,  PANEL_Q8_256_MIN,
                                       PANEL_Q8_256_16, PANEL_Q7_256_MIN, PANEL_Q7_256_16};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        k->panel_rows[kinds[i]] = 32;
        k->panel_tokens[kinds[i]] = PANEL_TOKENS_AVX512VNNI;
    }
}
