/* Enters the AVX-VNNI kernels into the table: every int8 weight type. Called by dispatch.c on a CPU that has
 * the set, after AVX2; everything else keeps that set's kernels. */
#include "kernels/x86/x86.h"
#include "avxvnni.h"

void kernels_init_avxvnni(kernels *k) {
#define TYPE(name, NAME)                                                                                     \
    k->matvec[FORMAT_##NAME] = matvec_##name##_avxvnni;                                                      \
    k->unpack[FORMAT_##NAME] = unpack_##name##_avxvnni;
    TYPE(q4_0, Q4_0)
    TYPE(q4_1, Q4_1)
    TYPE(q5_0, Q5_0)
    TYPE(q5_1, Q5_1)
    TYPE(q8_0, Q8_0)
    TYPE(q4_k, Q4_K)
    TYPE(q5_k, Q5_K)
    TYPE(q6_k, Q6_K)
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
#define KIND(name, NAME)                                                                                     \
    k->panel_mul[PANEL_##NAME] = panel_mul_##name##_avxvnni;                                                 \
    k->peak[PANEL_##NAME] = peak_q8_avxvnni;                                                                 \
    k->panel_rows[PANEL_##NAME] = PANEL_ROWS_AVXVNNI;                                                        \
    k->panel_tokens[PANEL_##NAME] = PANEL_TOKENS_AVXVNNI;
    KIND(q8_32, Q8_32)
    KIND(q8_32_min, Q8_32_MIN)
    KIND(q8_256_min, Q8_256_MIN)
    KIND(q8_256_16, Q8_256_16)
    KIND(q8_32_16, Q8_32_16)
    KIND(q8_256_16_min, Q8_256_16_MIN)
#define panel_mul_q7_256_min_avxvnni panel_mul_q8_256_min_avxvnni
#define panel_mul_q7_256_16_avxvnni  panel_mul_q8_256_16_avxvnni
    KIND(q7_256_min, Q7_256_MIN)
    KIND(q7_256_16, Q7_256_16)
}
