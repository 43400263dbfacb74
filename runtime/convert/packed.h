/* Weights that folders keep in fewer bits than types of safetensors have: several tensors that together are
 * one matrix. packed.c finds them and puts a tensor in their place whose values packed_read.c works out one
 * by one, so that all that follows sees plain numbers. Used by targets.c and source.c. */
#ifndef LEAT_RUNTIME_CONVERT_PACKED_H
#define LEAT_RUNTIME_CONVERT_PACKED_H

#include "conversion.h"

typedef enum packing_kind {
    PACKING_GPTQ, /* codes (cols, rows) of `bits` along columns, zeros (groups, rows) along rows */
    PACKING_AWQ,  /* codes (cols, rows) and zeros (groups, rows), both along rows, eight out of order */
    PACKING_ROWS, /* codes (rows, cols) along columns, zeros (rows, groups) along rows: compressed-tensors */
    PACKING_FP4,  /* codes (rows, cols), two to a byte; scales (rows, groups), all times `factor` */
    PACKING_BNB   /* codes in row-major order, the first of two in a byte high; `map` says what they mean */
} packing_kind;

/* A value is (code - zero) * scale of its group. */
typedef struct packing {
    packing_kind kind;
    uint32_t bits;
    uint64_t groups, group; /* of a row; and how many values a group has */
    float factor, zero;     /* zero: where there are no zeros, or added to each of them */
    const source_tensor *codes, *scales, *zeros;
    const source_tensor *order; /* the group of each column; NULL: as they come */
    /* bitsandbytes: the meaning of codes, and where scales are codes themselves that of theirs */
    const source_tensor *map, *scales_map, *scales_scales;
    uint64_t scales_group;
    float offset;
} packing;

/* Puts tensors of plain numbers in the place of packed ones. A failure is kept in c. */
void packed_bind(conversion *c);

/* As source_read, of a tensor that is packed. Packings are checked: every index is inside its tensor, but
 * what `order` holds, which is clamped. */
void packed_read(const source_tensor *t, uint64_t at, uint64_t stride, size_t n, float *out);

#endif
