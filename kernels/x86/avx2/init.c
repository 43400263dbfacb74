/* Puts the AVX2 kernels into the kernel table. Called by dispatch.c only, on a machine that has AVX2, FMA and
 * F16C. */
#include "kernels/x86/x86.h"

#include "avx2.h"

void kernels_init_avx2(kernels *k) {
#define W(name, NAME, act, panel)                                                                            \
    k->matvec[FORMAT_##NAME] = matvec_##name##_avx2;                                                         \
    k->unpack[FORMAT_##NAME] = unpack_##name##_avx2;
#define P(name, KIND)                                                                                        \
    k->panel_mul[KIND] = panel_mul_##name##_avx2;                                                            \
    k->peak[KIND] = KIND == PANEL_F32 ? peak_f32_avx2 : peak_q8_avx2;                                        \
    k->panel_rows[KIND] = ROWS;                                                                              \
    k->panel_tokens[KIND] = TOKENS;
#define O(name) k->name = name##_avx2;
#include "kernels/kernels.def"
#undef W
#undef P
#undef O

    k->decode[FORMAT_F16] = decode_f16_avx2;
    k->decode[FORMAT_BF16] = decode_bf16_avx2;
    k->decode[FORMAT_Q8_0] = decode_q8_0_avx2;
    k->decode[FORMAT_Q4_0] = decode_q4_0_avx2;
    k->decode[FORMAT_Q5_0] = decode_q5_0_avx2;
    k->decode[FORMAT_IQ4_NL] = decode_iq4_nl_avx2;
    k->encode[FORMAT_F16] = encode_f16_avx2;
    k->encode[FORMAT_BF16] = encode_bf16_avx2;
    k->encode[FORMAT_Q8_0] = encode_q8_0_avx2;
    k->encode[FORMAT_Q4_0] = encode_q4_0_avx2;
    k->encode[FORMAT_Q5_0] = encode_q5_0_avx2;
    k->encode[FORMAT_IQ4_NL] = encode_iq4_nl_avx2;
    quant_init_avx2(k);
}
