/* What the AMX folder implements; init.c puts it into the table. Included only inside this folder. */
#ifndef LEAT_KERNELS_X86_AMX_AMX_H
#define LEAT_KERNELS_X86_AMX_AMX_H

#include "kernels/kernels.h"

panel_tiles_fn panel_tiles_amx;
tiles_mul_fn tiles_mul_amx;

#endif
