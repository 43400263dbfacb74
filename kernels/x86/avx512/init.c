/* Enters the AVX-512 kernels into the table. Called by dispatch.c on a CPU that has the set, after AVX2. The
 * int8 weight types are not here: without VNNI, AVX2's kernels for them stay; so do its encoders: a block is
 * too little work for wider vectors. */
#include "kernels/x86/x86.h"
#include "avx512.h"

void kernels_init_avx512(kernels *k) {
    k->matvec[FORMAT_F32] = matvec_f32_avx512;
    k->matvec[FORMAT_F16] = matvec_f16_avx512;
    k->matvec[FORMAT_BF16] = matvec_bf16_avx512;
    k->matvec[FORMAT_F64] = matvec_f64_avx512;

    k->decode[FORMAT_F16] = decode_f16_avx512;
    k->decode[FORMAT_BF16] = decode_bf16_avx512;
    k->decode[FORMAT_Q8_0] = decode_q8_0_avx512;
    k->decode[FORMAT_Q4_0] = decode_q4_0_avx512;
    k->decode[FORMAT_Q5_0] = decode_q5_0_avx512;
    k->decode[FORMAT_IQ4_NL] = decode_iq4_nl_avx512;

    k->unpack[FORMAT_F32] = unpack_f32_avx512;
    k->unpack[FORMAT_F16] = unpack_f16_avx512;
    k->unpack[FORMAT_BF16] = unpack_bf16_avx512;
    k->unpack[FORMAT_F64] = unpack_f64_avx512;
    k->panel_mul[PANEL_F32] = panel_mul_f32_avx512;
    k->peak[PANEL_F32] = peak_f32_avx512;
    k->panel_rows[PANEL_F32] = 32;
    k->panel_tokens[PANEL_F32] = PANEL_F32_TOKENS_AVX512;

    k->quantize_q8_32 = quantize_q8_32_avx512;
    k->quantize_q8_256 = quantize_q8_256_avx512;
    k->rms_norm = rms_norm_avx512;
    k->layer_norm = layer_norm_avx512;
    k->silu = silu_avx512;
    k->silu_mul = silu_mul_avx512;
    k->gelu = gelu_avx512;
    k->gelu_mul = gelu_mul_avx512;
    k->softcap = softcap_avx512;
    k->rope_pairs = rope_pairs_avx512;
    k->rope_halves = rope_halves_avx512;
    k->attend = attend_avx512;
    quant_init_avx512(k);
}
