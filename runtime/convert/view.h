/* Where the values of a GGUF tensor come from: one or more windows into safetensors tensors, one behind the
 * other, each a walk over its source in up to VIEW_DIMS nested steps. Permuted heads, stacked experts, halves
 * and every second row of fused tensors, transposed matrices are all such walks, so that one reader serves
 * all of them and nothing is ever held in memory as a whole. Made by ops.c, read by convert.c. */
#ifndef LEAT_RUNTIME_CONVERT_VIEW_H
#define LEAT_RUNTIME_CONVERT_VIEW_H

#include "weights.h"

enum { VIEW_DIMS = 5 };

/* Value (i0, i1, ...) in row-major order is the source's value base + i0 * stride[0] + i1 * stride[1] + ...
 */
typedef struct view {
    const source_tensor *src;
    uint64_t base;
    uint32_t n_dims;
    uint64_t count[VIEW_DIMS], stride[VIEW_DIMS]; /* outermost first */
    uint64_t n;                                   /* values */
} view;

typedef enum view_change { /* what happens to each value */
                           CHANGE_NONE,
                           CHANGE_ADD_ONE, /* gains that are kept as their difference from 1 */
                           CHANGE_NEG_EXP, /* -exp(x): decay rates that are kept as logarithms */
                           CHANGE_UNIT     /* rows divided by their length */
} view_change;

typedef struct target { /* a tensor of the GGUF file */
    char name[128];
    uint32_t n_dims;
    uint64_t ne[4];  /* ne[0] is the row length; unused ones are 1 */
    uint32_t format; /* F32, or what the source's blocks are */
    view_change change;
    view *parts;
    uint64_t *ends; /* (n_parts) values of all parts up to and with this one */
    size_t n_parts, capacity;
    uint64_t order; /* place in the file */
} target;

/* The whole of a tensor in its own order. */
view view_whole(const source_tensor *t);
/* `rows` rows from `first` on of a tensor seen as a matrix of `cols` columns. */
view view_rows(const source_tensor *t, uint64_t cols, uint64_t first, uint64_t rows);
/* Is every value of it inside its source? */
bool view_inside(const view *v);

uint64_t target_values(const target *t);
/* Appends a part; false without memory. */
bool target_add(target *t, const view *v);
void target_free(target *t);

/* n values from `start` on. */
void target_read(const target *t, uint64_t start, size_t n, float *out);
/* The same of an MXFP4 target: n / 32 whole blocks. Its first part has the scales, its second the codes: two
 * neighbours in a byte, where GGUF has values 16 apart. */
void target_blocks(const target *t, uint64_t start, size_t n, uint8_t *out);

#endif
