/* What the AMX folder implements; init.c puts it into the table. Included only inside this folder. */
#ifndef LEAT_KERNELS_X86_AMX_AMX_H
#define LEAT_KERNELS_X86_AMX_AMX_H

#include "kernels/kernels.h"
#include "kernels/x86/avx512/vec.h"

panel_tiles_fn panel_tiles_amx;
tiles_mul_fn tiles_mul_amx;
attend_fn attend_amx;
peak_fn peak_tiles_amx;

/* 16 pairs of bfloat16, nearest even; NaN stays NaN. */
VEC_INLINE __m512i amx_pairs(__m512 a, __m512 b) {
    static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

typedef struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config;
_Static_assert(sizeof(amx_config) == 64, "as the instruction reads it");

/* In place of _tile_loadconfig and _tile_storeconfig, which tell gcc 12 of the first 8 bytes only. */
VEC_INLINE void amx_load_config(const amx_config *c) {
    __asm__ volatile("ldtilecfg %0" : : "m"(*c));
}
VEC_INLINE void amx_store_config(amx_config *c) {
    __asm__ volatile("sttilecfg %0" : "=m"(*c));
}

/* Tiles 0 to 3: accumulators, the first factor having `first` rows in 0 and 1 and `second` in 2 and 3; 4 and
 * 5 that factor, 6 and 7 the other one, 16 pairs of rows. A tile without rows stays unconfigured. */
VEC_INLINE void amx_configure(size_t first, size_t second) {
    amx_config c = {.palette = 1};
    const size_t rows[8] = {first, first, second, second, first, second, 16, 16};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = (uint8_t)rows[i];
        c.row_bytes[i] = c.rows[i] ? 64 : 0;
    }
    amx_load_config(&c);
}

/* Another library in this thread may have configured tiles for itself, and count on that (llama.cpp does so
 * once for each thread). What it had in them is lost over a call, as over any function's: the ABI has no tile
 * registers that are kept. */
VEC_INLINE void amx_save(amx_config *found) {
    amx_store_config(found);
}

VEC_INLINE void amx_restore(const amx_config *found) {
    if (found->palette)
        amx_load_config(found);
    else
        _tile_release();
}

#endif
