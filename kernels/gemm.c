/* The path of many tokens: a tile of weight rows is unpacked into a panel once per PANEL_K columns and
 * multiplied with all tokens while it is in cache. A few panels are worked on side by side, so that the
 * activations of these columns, which together may be larger than the second-level cache, are brought near
 * once for all of them. Called by matrix stages for m activation rows at a time; the caller owns panel and c.
 */
#include "kernels.h"

#include <string.h>

bool gemm_has_tiles(const kernels *k, size_t m) {
    return k->tiles_mul && m >= GEMM_TILES_MIN;
}

act_kind gemm_act(const kernels *k, uint32_t format, size_t m) {
    act_kind usual = kernels_traits(format).act;
    bool quantized = usual == ACT_Q8_32 || usual == ACT_Q8_256;
    return quantized && gemm_has_tiles(k, m) ? ACT_BF16 : usual;
}

void gemm_panels(const kernels *k, uint32_t format, act_kind act_form, const void *w, size_t row_bytes,
                 size_t n_rows, size_t n_cols, const void *act, size_t act_stride, size_t m, panel *p,
                 float *c) {
    panel_kind kind = kernels_traits(format).panel;
    size_t rows = k->panel_rows[kind], tokens_max = k->panel_tokens[kind];
    size_t n_panels = (n_rows + rows - 1) / rows;
    /* as few tiles as the micro-kernel allows, their sizes differing by one at most: it is slowest on small
     * tiles */
    size_t n_tiles = (m + tokens_max - 1) / tokens_max;

    if (act_form != ACT_BF16) memset(c, 0, n_panels * m * rows * sizeof *c);
    for (size_t k0 = 0; k0 < n_cols; k0 += PANEL_K) {
        size_t kc = n_cols - k0 < PANEL_K ? n_cols - k0 : PANEL_K;
        for (size_t i = 0; i < n_panels; i++) {
            size_t first = i * rows, n = n_rows - first < rows ? n_rows - first : rows;
            k->unpack[format]((const char *)w + first * row_bytes, row_bytes, n, k0, kc, p);
            if (act_form == ACT_BF16) {
                k->panel_tiles(p, kind, kc);
                k->tiles_mul(p, kc, act, act_stride, k0, m, c + i * m * rows);
                continue;
            }
            for (size_t tile = 0; tile < n_tiles; tile++) {
                size_t t0 = m * tile / n_tiles, t1 = m * (tile + 1) / n_tiles;
                k->panel_mul[kind](p, kc, (const char *)act + t0 * act_stride, act_stride, n_cols, k0,
                                   t1 - t0, c + (i * m + t0) * rows);
            }
        }
    }
}
