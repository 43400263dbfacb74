/* Enters the AMX kernels into the table: the integer panels times many tokens. Called by dispatch.c on a CPU
 * that has the set, after AVX-512 VNNI, which unpacks the panels and keeps everything else. */
#include "amx.h"
#include "kernels/x86/x86.h"

void kernels_init_amx(kernels *k) {
    k->panel_mul[PANEL_Q8_32] = panel_mul_q8_32_amx;
    k->panel_mul[PANEL_Q8_32_MIN] = panel_mul_q8_32_min_amx;
    k->panel_mul[PANEL_Q8_256_MIN] = panel_mul_q8_256_min_amx;
    k->panel_mul[PANEL_Q8_256_16] = panel_mul_q8_256_16_amx;
    static const panel_kind kinds[] = {PANEL_Q8_32, PANEL_Q8_32_MIN, PANEL_Q8_256_MIN, PANEL_Q8_256_16};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) k->panel_tokens[kinds[i]] = PANEL_TOKENS_AMX;
}
