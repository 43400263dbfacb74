/* The multiplier roof of AMX: bfloat16 products of full tile registers, and nothing else. */
#include "amx.h"

#include <immintrin.h>

uint64_t peak_tiles_amx(uint64_t rounds) {
    amx_config found;
    amx_save(&found);
    amx_configure(16, 16);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (uint64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    amx_restore(&found);
    return rounds * 4 * (16 * 16 * 32) * 2;
}
