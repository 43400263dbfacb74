/* Panels: a tile of weight rows, unpacked once into cache, then multiplied with many tokens.
 *
 * unpack_panel turns up to `rows` weight rows x up to PANEL_K columns of any tensor type into one of a few
 * kinds of panel; panel_mul multiplies a panel with a handful of tokens. So a type costs one routine per ISA,
 * not one per micro-kernel. What a panel holds is private between an ISA's unpack and its panel_mul, which
 * are always overridden together for a kind; the C reference and the usual layout is
 *
 *     PANEL_F32        f[k][rows]                       y += sum_k f * x
 *     PANEL_Q8_32      w[k/4][rows][4] unsigned bytes with zero point 128, scale[k/32][rows]; ACT_Q8_32
 *     PANEL_Q8_32_MIN  the same without zero point, min[k/32][rows]: y -= min * ds;            ACT_Q8_32
 *     PANEL_Q8_256_MIN the same for ACT_Q8_256 (one activation scale for the whole chunk)
 *     PANEL_Q8_256_16  zero point 128, scale[k/16][rows];                                      ACT_Q8_256
 *     PANEL_Q8_32_16   the same for ACT_Q8_32 (two folds share an activation scale)
 *     PANEL_Q8_256_16_MIN  no zero point, scale[k/16][rows], min[k/16][rows];                  ACT_Q8_256
 *     PANEL_Q7_256_MIN, PANEL_Q7_256_16: as those with Q8, for codes of 7 bits, too large for sums of words
 *
 * with y[t][r] += sum over folds of scale * d * (sum of w * q + zero * sum q): the integer sum of a fold (32
 * or 16 columns) is exact, everything above it is float.
 *
 * An instruction set that multiplies tiles of bfloat16 turns a panel of bytes into one of values,
 * tiles[rows/16][k/2][16][2], and multiplies these with ACT_BF16: all scales are in the values. */
#ifndef LEAT_KERNELS_PANEL_H
#define LEAT_KERNELS_PANEL_H

#include <stdint.h>

typedef enum panel_kind {
    PANEL_F32,
    PANEL_Q8_32,
    PANEL_Q8_32_MIN,
    PANEL_Q8_256_MIN,
    PANEL_Q8_256_16,
    PANEL_Q8_32_16,
    PANEL_Q8_256_16_MIN,
    PANEL_Q7_256_MIN,
    PANEL_Q7_256_16,
    PANEL_COUNT
} panel_kind;

enum { PANEL_K = 256, PANEL_ROWS_MAX = 32 };

typedef struct panel {
    _Alignas(64) union {
        uint8_t w[PANEL_K * PANEL_ROWS_MAX];
        float f[PANEL_K * PANEL_ROWS_MAX];
    };
    float scale[PANEL_K / 16 * PANEL_ROWS_MAX];
    float min[PANEL_K / 16 * PANEL_ROWS_MAX];
    int32_t
        aux[PANEL_K / 16 * PANEL_ROWS_MAX]; /* for an ISA that keeps something more (pairs of minima, ...) */
    _Alignas(64) uint16_t tiles[PANEL_K * PANEL_ROWS_MAX];
} panel;

#endif
