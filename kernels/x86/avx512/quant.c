/* The quantizers of c/, compiled for this set: vectors that are wider, with the same bits. */
#define QUANT_SET avx512
#include "kernels/c/quant_even.c"
#include "kernels/c/quant_fp4.c"
#include "kernels/c/quant_grid.c"
#include "kernels/c/quant_iq1.c"
#include "kernels/c/quant_k.c"
#include "kernels/c/quant_k_min.c"
#include "kernels/c/quant_low.c"

#undef INLINE
#include "avx512.h"

void quant_init_avx512(kernels *k) {
#define Z(name, NAME, largest) k->quantize_rows[FORMAT_##NAME] = QUANT_ROWS(name);
#include "kernels/kernels.def"
#undef Z
}
