/* Enters the AMX kernels into the table: many tokens times tiles of bfloat16, whatever the type of the
 * weights. Called by dispatch.c on a CPU that has the set, after AVX-512 VNNI, whose unpacking is the first
 * half of the way and which keeps the few tokens.
 *
 * Why not the int8 products, which are twice as fast: a block of 32 weights has a scale, so sums would have
 * to leave the tile registers after every product (measured with Q4_0: 620 GOP/s a core, as many as VNNI
 * has), or the integer scales of a superblock be multiplied into two planes of digits (Q4_K: 1050).
 * Multiplying the scales into bfloat16 values keeps sums in the registers for a whole panel (1600), and
 * rounding to 8 bits of mantissa costs less than half of what int8 activations do. */
#include "amx.h"
#include "kernels/x86/x86.h"

void kernels_init_amx(kernels *k) {
    k->panel_tiles = panel_tiles_amx;
    k->tiles_mul = tiles_mul_amx;
    k->pass_panels = 8;
    k->pass_tokens = 512;
}
