/* Puts the C reference into every entry of the kernel table. */
#include "c.h"

#include "panel_c.h"

void kernels_init_c(kernels *k) {
#define W(name, NAME, act, panel)                                                                            \
    k->decode[FORMAT_##NAME] = decode_##name##_c;                                                            \
    k->matvec[FORMAT_##NAME] = matvec_##name##_c;                                                            \
    k->unpack[FORMAT_##NAME] = unpack_##name##_c;
#define D(name, NAME)          k->decode[FORMAT_##NAME] = decode_##name##_c;
#define E(name, NAME)          k->encode[FORMAT_##NAME] = encode_##name##_c;
#define Z(name, NAME, largest) k->quantize_rows[FORMAT_##NAME] = quantize_rows_##name##_c;
#define P(name, KIND)                                                                                        \
    k->panel_mul[KIND] = panel_mul_##name##_c;                                                               \
    k->peak[KIND] = KIND == PANEL_F32 ? peak_f32_c : peak_q8_c;                                              \
    k->panel_rows[KIND] = ROWS;                                                                              \
    k->panel_tokens[KIND] = TOKENS;
#define O(name) k->name = name##_c;
#include "kernels/kernels.def"
#undef W
#undef D
#undef E
#undef Z
#undef P
#undef O
}
