/* What the AVX-512 folder implements; init.c puts it into the table. Included only inside this folder. */
#ifndef LEAT_KERNELS_X86_AVX512_AVX512_H
#define LEAT_KERNELS_X86_AVX512_AVX512_H

#include "kernels/kernels.h"

/* quant.c: the quantizers. */
void quant_init_avx512(kernels *k);

decode_fn decode_f16_avx512, decode_bf16_avx512, decode_q8_0_avx512, decode_q4_0_avx512, decode_q5_0_avx512,
    decode_iq4_nl_avx512;
matvec_fn matvec_f32_avx512, matvec_f16_avx512, matvec_bf16_avx512, matvec_f64_avx512;
unpack_fn unpack_f32_avx512, unpack_f16_avx512, unpack_bf16_avx512, unpack_f64_avx512;
panel_mul_fn panel_mul_f32_avx512;
peak_fn peak_f32_avx512;
enum { PANEL_F32_TOKENS_AVX512 = 12 };

quantize_q8_32_fn quantize_q8_32_avx512;
quantize_q8_256_fn quantize_q8_256_avx512;
rms_norm_fn rms_norm_avx512;
layer_norm_fn layer_norm_avx512;
silu_fn silu_avx512;
silu_mul_fn silu_mul_avx512;
gelu_fn gelu_avx512;
gelu_mul_fn gelu_mul_avx512;
softcap_fn softcap_avx512;
rope_pairs_fn rope_pairs_avx512;
rope_halves_fn rope_halves_avx512;
attend_fn attend_avx512;

#endif
