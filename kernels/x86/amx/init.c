/* Enters the AMX kernels into the table: superblocks with integer scales times many tokens. Called by
 * dispatch.c on a CPU that has the set, after AVX-512 VNNI, which keeps everything else: one token is a
 * matter of memory, and blocks of 32 with a float scale each would have to leave the tile registers after
 * every product, which was measured to cost what the product saves (Q4_0 620 instead of 632 GOP/s). */
#include "amx.h"
#include "kernels/x86/x86.h"

void kernels_init_amx(kernels *k) {
    k->panel_mul[PANEL_TILES] = panel_mul_tiles_amx;
    k->panel_mul[PANEL_TILES_MIN] = panel_mul_tiles_min_amx;
    k->peak[PANEL_TILES] = k->peak[PANEL_TILES_MIN] = peak_tiles_amx;
    k->panel_rows[PANEL_TILES] = k->panel_rows[PANEL_TILES_MIN] = 32;
    k->panel_tokens[PANEL_TILES] = k->panel_tokens[PANEL_TILES_MIN] = PANEL_TOKENS_AMX;
#define TILES(name, NAME, kind)                                                                              \
    k->unpack[FORMAT_##NAME] = unpack_##name##_amx;                                                          \
    k->panel[FORMAT_##NAME] = kind;
    TILES(q3_k, Q3_K, PANEL_TILES)
    TILES(q4_k, Q4_K, PANEL_TILES_MIN)
    TILES(q5_k, Q5_K, PANEL_TILES_MIN)
    TILES(q6_k, Q6_K, PANEL_TILES)
    TILES(iq1_s, IQ1_S, PANEL_TILES)
    TILES(iq1_m, IQ1_M, PANEL_TILES)
    TILES(iq2_xxs, IQ2_XXS, PANEL_TILES)
    TILES(iq2_xs, IQ2_XS, PANEL_TILES)
    TILES(iq2_s, IQ2_S, PANEL_TILES)
    TILES(iq3_xxs, IQ3_XXS, PANEL_TILES)
    TILES(iq3_s, IQ3_S, PANEL_TILES)
}
