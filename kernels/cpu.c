/* CPU detection. Reads CPUID and XCR0; asks Linux for the tile registers of AMX, which a process may use only
 * after it has asked. Touches nothing else. */
#include "cpu.h"

#if defined(__x86_64__)
#    include <cpuid.h>
#    if defined(__linux__)
#        include <sys/syscall.h>
#        include <unistd.h>
#    endif

/* State the operating system has enabled (XCR0): bits 1 and 2 are the xmm and ymm halves, 5 to 7 the AVX-512
 * parts. Only to be asked when CPUID says OSXSAVE. Written as an instruction so that the file needs no
 * -mxsave. */
static uint64_t enabled_state(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* Linux lets a process use the tile registers once it has asked for the permission, which later threads
 * inherit; no other system known to us lets it. The price is a larger area for registers in signal frames. */
static int tiles_granted(void) {
#    if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#    else
    return 0;
#    endif
}

/* Leaf and register bits are from the Intel manual, volume 2, CPUID. */
uint32_t cpu_flags(void) {
    enum { L1C_FMA = 1 << 12, L1C_OSXSAVE = 1 << 27, L1C_AVX = 1 << 28, L1C_F16C = 1 << 29 };
    enum { L7B_AVX2 = 1 << 5, L7B_AVX512F = 1 << 16, L7B_AVX512DQ = 1 << 17, L7B_AVX512BW = 1 << 30 };
    enum { L7C_VBMI = 1 << 1, L7C_VBMI2 = 1 << 6, L7C_VNNI = 1 << 11 };
    enum { L7D_AMX_BF16 = 1 << 22, L7D_AMX_TILE = 1 << 24 };
    enum { L71A_AVX_VNNI = 1 << 4, L71A_AVX512_BF16 = 1 << 5 };
    const uint32_t l7b_avx512vl = 1u << 31;
    const uint32_t l7b_avx512 = L7B_AVX512F | L7B_AVX512DQ | L7B_AVX512BW | l7b_avx512vl;
    const uint64_t ymm = 0x06, zmm = 0xe6, tiles = 0x60000;

    uint32_t a, b, c, d, flags = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & L1C_OSXSAVE) || !(c & L1C_AVX)) return 0;
    uint64_t state = enabled_state();
    if ((state & ymm) != ymm) return 0;
    if (c & L1C_FMA) flags |= CPU_FMA;
    if (c & L1C_F16C) flags |= CPU_F16C;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return flags;
    if (b & L7B_AVX2) flags |= CPU_AVX2;
    const uint32_t base = CPU_AVX2 | CPU_FMA | CPU_F16C;
    /* a is the highest subleaf there is; asking for subleaf 1 overwrites the others */
    uint32_t a1 = 0, b1, c1, d1;
    if (a >= 1 && __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) && (flags & base) == base &&
        (a1 & L71A_AVX_VNNI))
        flags |= CPU_AVX_VNNI;
    if ((flags & base) != base || (b & l7b_avx512) != l7b_avx512 || (state & zmm) != zmm) return flags;
    flags |= CPU_AVX512;
    if (c & L7C_VNNI) flags |= CPU_AVX512_VNNI;
    if ((c & L7C_VBMI) && (c & L7C_VBMI2)) flags |= CPU_AVX512_VBMI;
    const uint32_t amx = L7D_AMX_TILE | L7D_AMX_BF16;
    if ((d & amx) == amx && (a1 & L71A_AVX512_BF16) && (state & tiles) == tiles && tiles_granted())
        flags |= CPU_AMX_BF16;
    return flags;
}

#else

uint32_t cpu_flags(void) {
    return 0;
}

#endif
