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

    k->unpack[FORMAT_Q4_0] = unpack_q4_0_avx512vnni;
    k->unpack[FORMAT_Q4_1] = unpack_q4_1_avx512vnni;
    k->unpack[FORMAT_Q5_0] = unpack_q5_0_avx512vnni;
    k->unpack[FORMAT_Q5_1] = unpack_q5_1_avx512vnni;
    k->unpack[FORMAT_Q8_0] = unpack_q8_0_avx512vnni;
    k->unpack[FORMAT_Q4_K] = unpack_q4_k_avx512vnni;
    k->unpack[FORMAT_Q5_K] = unpack_q5_k_avx512vnni;
    k->unpack[FORMAT_Q6_K] = unpack_q6_k_avx512vnni;

#define TYPE(name, NAME)                                                                                     \
    k->matvec[FORMAT_##NAME] = matvec_##name##_avx512vnni;                                                   \
    k->unpack[FORMAT_##NAME] = unpack_##name##_avx512vnni;
    TYPE(q2_k, Q2_K)
    TYPE(q3_k, Q3_K)
    TYPE(iq4_nl, IQ4_NL)
    TYPE(iq4_xs, IQ4_XS)
    TYPE(mxfp4, MXFP4)
    TYPE(nvfp4, NVFP4)
    TYPE(q1_0, Q1_0)
    TYPE(q2_0, Q2_0)
    TYPE(tq1_0, TQ1_0)
    TYPE(tq2_0, TQ2_0)
    TYPE(iq1_s, IQ1_S)
    TYPE(iq1_m, IQ1_M)
    TYPE(iq2_xxs, IQ2_XXS)
    TYPE(iq2_xs, IQ2_XS)
    TYPE(iq2_s, IQ2_S)
    TYPE(iq3_xxs, IQ3_XXS)
    TYPE(iq3_s, IQ3_S)

    for (int kind = PANEL_F32 + 1; kind < PANEL_COUNT; kind++) k->peak[kind] = peak_q8_avx512vnni;
    k->panel_mul[PANEL_Q8_32] = panel_mul_q8_32_avx512vnni;
    k->panel_mul[PANEL_Q8_32_MIN] = panel_mul_q8_32_min_avx512vnni;
    k->panel_mul[PANEL_Q8_256_MIN] = panel_mul_q8_256_min_avx512vnni;
    k->panel_mul[PANEL_Q8_256_16] = panel_mul_q8_256_16_avx512vnni;
    k->panel_mul[PANEL_Q8_32_16] = panel_mul_q8_32_16_avx512vnni;
    k->panel_mul[PANEL_Q8_256_16_MIN] = panel_mul_q8_256_16_min_avx512vnni;
    k->panel_mul[PANEL_Q7_256_MIN] = panel_mul_q8_256_min_avx512vnni;
    k->panel_mul[PANEL_Q7_256_16] = panel_mul_q8_256_16_avx512vnni;
    static const panel_kind kinds[] = {PANEL_Q8_32,      PANEL_Q8_32_MIN, PANEL_Q8_256_MIN,
                                       PANEL_Q8_256_16,  PANEL_Q8_32_16,  PANEL_Q8_256_16_MIN,
                                       PANEL_Q7_256_MIN, PANEL_Q7_256_16};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        k->panel_rows[kinds[i]] = 32;
        k->panel_tokens[kinds[i]] = PANEL_TOKENS_AVX512VNNI;
    }
}
