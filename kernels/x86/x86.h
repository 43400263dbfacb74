/* How the x86 instruction sets enter the kernel table. Each function overrides the entries its set implements
 * and is called by dispatch.c only, on a machine that has the set, after all lower sets; it must not touch
 * other entries. An ISA's unpack and panel_mul of a panel kind, with panel_rows and panel_tokens, are
 * overridden together; a set may build on the panels of the one before it and override panel_mul alone. */
#ifndef LEAT_KERNELS_X86_H
#define LEAT_KERNELS_X86_H

#include "kernels/kernels.h"

void kernels_init_avx2(kernels *k);
void kernels_init_avxvnni(kernels *k);
void kernels_init_avx512(kernels *k);
void kernels_init_avx512vnni(kernels *k);
void kernels_init_amx(kernels *k);

#endif
