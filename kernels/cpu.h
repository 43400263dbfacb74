/* What the CPU that runs us can do, as one word of flags. dispatch.c compares it with the needs listed in
 * isa.def. Nothing is cached: the question is asked once per engine, and an answer kept in a global would be
 * shared state. */
#ifndef LEAT_KERNELS_CPU_H
#define LEAT_KERNELS_CPU_H

#include <stdint.h>

enum {
    CPU_AVX2 = 1 << 0,
    CPU_FMA = 1 << 1,
    CPU_F16C = 1 << 2,
    CPU_AVX512 = 1 << 3,      /* F, BW, VL and DQ together, and all of the above */
    CPU_AVX512_VNNI = 1 << 4, /* vpdpbusd and relatives */
    CPU_AVX512_VBMI = 1 << 5, /* VBMI and VBMI2 together */
    CPU_AVX_VNNI = 1 << 6,    /* vpdpbusd and relatives on ymm, in their VEX form; implies AVX2 */
    CPU_AMX_BF16 = 1 << 7,    /* tile registers, their bfloat16 products and AVX-512's conversions to
                                 bfloat16, and the system lets us use them */
};

/* Only what both the CPU has and the operating system saves on a context switch. 0 on an unknown
 * architecture. */
uint32_t cpu_flags(void);

#endif
