/* matvec for IQ4_NL, IQ4_XS, MXFP4 and NVFP4: that of avx2, with vpdpbusd for its products. Called through
 * the kernel table only. */
#include "kernels/x86/avx2/matvec_fp4.h"
#include "avxvnni.h"

MATVEC_FP4(avxvnni)
