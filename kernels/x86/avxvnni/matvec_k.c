/* matvec for Q4_K, Q5_K and Q6_K: that of avx2, with vpdpwssd for its sums of scaled products. Called through
 * the kernel table only. */
#include "kernels/x86/avx2/matvec_k.h"
#include "avxvnni.h"

MATVEC_K(avxvnni)
