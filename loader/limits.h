/* The constants of limits.def, as LIMIT_NAME. */
#ifndef LEAT_LOADER_LIMITS_H
#define LEAT_LOADER_LIMITS_H

#include <stdint.h>

enum {
#define X(NAME, value, reason) LIMIT_##NAME = value,
#define W(NAME, value, reason)
#include "limits.def"
#undef X
#undef W
};

#define X(NAME, value, reason)
#define W(NAME, value, reason) static const uint64_t LIMIT_##NAME = UINT64_C(value);
#include "limits.def"
#undef X
#undef W

#endif
