/* matvec for the types of avx2/codes.h: matvec_group.h has all of it. Called through the kernel table only.
 */
#include "matvec_group.h"

MATVEC_GROUP(avx2)
