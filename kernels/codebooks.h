/* Codebooks: the numbers that codes stand for in types whose steps are not even. Constants of the formats,
 * read by kernels only. */
#ifndef LEAT_KERNELS_CODEBOOKS_H
#define LEAT_KERNELS_CODEBOOKS_H

#include <stdint.h>

/* IQ4_NL, ascending; as a list too, for vector constants. */
#define IQ4_NL_CODEBOOK -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
static const int8_t iq4_nl_codebook[16] = {IQ4_NL_CODEBOOK};

/* FP4 (E2M1), times two so that all are integers. */
#define FP4_CODEBOOK 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12
static const int8_t fp4_codebook[16] = {FP4_CODEBOOK};

#endif
