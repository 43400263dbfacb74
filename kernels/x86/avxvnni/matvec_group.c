/* matvec for the types of avx2/codes.h: that of avx2, with its own products. Called through the kernel table
 * only. */
#include "kernels/x86/avx2/matvec_group.h"
#include "avxvnni.h"

MATVEC_GROUP(avxvnni)
