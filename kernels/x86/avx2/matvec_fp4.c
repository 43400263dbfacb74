/* matvec for IQ4_NL, IQ4_XS, MXFP4 and NVFP4: matvec_fp4.h has all of it. Called through the kernel table
 * only. */
#include "matvec_fp4.h"

MATVEC_FP4(avx2)
