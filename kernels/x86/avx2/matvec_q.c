/* matvec for Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0; matvec_q.h has all of it. Called through the kernel table
 * only. */
#include "matvec_q.h"

MATVEC_Q(avx2)
