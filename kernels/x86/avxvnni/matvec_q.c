/* matvec for Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0: that of avx2, with vpdpbusd for its products. Called through
 * the kernel table only. */
#include "kernels/x86/avx2/matvec_q.h"
#include "avxvnni.h"

MATVEC_Q(avxvnni)
