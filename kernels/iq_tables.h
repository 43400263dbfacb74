/* The codebooks of the IQ1, IQ2 and IQ3 types: constants of the formats, read by kernels only.
 * make_iq_tables.py writes iq_tables.c. An entry stands for 8 values (IQ3: 4), the first in the lowest byte,
 * and is what a vector kernel loads as it is:
 *
 *     iq1_grid      value + 1 (0, 1, 2) in nibbles: low nibble of byte i: value i, high nibble: value i + 4
 *     iq2_*_grid    magnitudes 8, 25, 43, a byte each
 *     iq3_xxs_grid  half of the magnitudes 4, 12, 20, 28, 36, 44, 52, 62, a byte each
 *     iq3_s_grid    magnitudes 1, 3, 5 .. 15, a byte each */
#ifndef LEAT_KERNELS_IQ_TABLES_H
#define LEAT_KERNELS_IQ_TABLES_H

#include <stdint.h>

extern const uint32_t iq1_grid[2048];
extern const uint64_t iq2_xxs_grid[256], iq2_xs_grid[512], iq2_s_grid[1024];
extern const uint32_t iq3_xxs_grid[256], iq3_s_grid[512];

#endif
