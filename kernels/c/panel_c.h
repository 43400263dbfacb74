/* The panel of the C reference: the usual layout of kernels/panel.h with these sizes. Shared by the files of
 * this folder that unpack, panel_mul.c and init.c only. */
#ifndef LEAT_KERNELS_C_PANEL_C_H
#define LEAT_KERNELS_C_PANEL_C_H

#include "kernels/panel.h"

enum {
    ROWS = 16, /* weight rows of a panel */
    TOKENS = 4 /* tokens per call of panel_mul, at most */
};

/* Rows that are not there contribute nothing, whatever else the panel holds for them. */
static inline void clear_missing_rows(panel *p, size_t n_rows, size_t kc, size_t fold) {
    for (size_t r = n_rows; r < ROWS; r++) {
        for (size_t f = 0; f < kc / fold; f++) p->scale[f * ROWS + r] = p->min[f * ROWS + r] = 0;
        for (size_t col = 0; col < kc; col++) p->w[(col / 4 * ROWS + r) * 4 + col % 4] = 0;
    }
}

/* n codes into the panel from column col on, as unsigned bytes with this zero point. */
static inline void put_codes(panel *p, size_t r, size_t col, const int8_t *q, size_t n, int zero_point) {
    for (size_t i = 0; i < n; i++, col++)
        p->w[(col / 4 * ROWS + r) * 4 + col % 4] = (uint8_t)(q[i] + zero_point);
}

#endif
