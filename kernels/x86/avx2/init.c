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
    k->panel_rows[KIND] = ROWS;                                                                              \
    k->panel_tokens[KIND] = TOKENS;
#define O(name) k->name = name##_avx2;
#include "kernels/kernels.def"
#undef W
#undef P
#undef O
}
