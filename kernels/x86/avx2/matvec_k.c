/* matvec for Q4_K, Q5_K and Q6_K; matvec_k.h has all of it. Called through the kernel table only. */
#include "matvec_k.h"

MATVEC_K(avx2)
