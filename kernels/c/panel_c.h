/* The panel of the C reference: the usual layout of kernels/panel.h with these sizes. Shared by unpack.c,
 * panel_mul.c and init.c only. */
#ifndef LEAT_KERNELS_C_PANEL_C_H
#define LEAT_KERNELS_C_PANEL_C_H

enum {
    ROWS = 16, /* weight rows of a panel */
    TOKENS = 4 /* tokens per call of panel_mul, at most */
};

#endif
