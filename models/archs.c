/* The list of architectures, from archs.def. runtime/arch.h declares it; nothing else in models/ is visible
 * outside. */
#include "runtime/arch.h"

#define X(id) extern const arch arch_##id;
#include "archs.def"
#undef X

const arch *const arch_list[] = {
#define X(id) &arch_##id,
#include "archs.def"
#undef X
    NULL};
