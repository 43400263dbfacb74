/* The path of many tokens: a tile of weight rows is unpacked into a panel once per PANEL_K columns and
 * multiplied with all tokens while it is in cache. A few panels are worked on side by side, so that the
 * activations of these columns, which together may be larger than the second-level cache, are brought near
 * once for all of them. Called by matrix stages for m activation rows at a time; the caller owns panel and c.
 */
#include "kernels.h"

#include <string.h>

void gemm_panels(const kernels *k, uint32_t format, const void *w, size_t row_bytes, size_t n_rows,
                 size_t n_cols, const void *act, size_t act_stride, size_t m, panel *p, float *c) {
    panel_kind kind = (panel_kind)k->panel[format];
    size_t rows = k->panel_rows[kind], tokens_max = k->panel_tokens[kind];
    size_t n_panels = (n_rows + rows - 1) / rows;
    /* as few tiles as the micro-kernel allows, their sizes differing by one at most: it is slowest on small
     * tiles */
    size_t n_tiles = (m + tokens_max - 1) / tokens_max;

    memset(c, 0, n_panels * m * rows * sizeof *c);
    for (size_t k0 = 0; k0 < n_cols; k0 += PANEL_K) {
        size_t kc = n_cols - k0 < PANEL_K ? n_cols - k0 : PANEL_K;
        for (size_t i = 0; i < n_panels; i++) {
            size_t first = i * rows, n = n_rows - first < rows ? n_rows - first : rows;
            k->unpack[format]((const char *)w + first * row_bytes, row_bytes, n, k0, kc, p);
            for (size_t tile = 0; tile < n_tiles; tile++) {
                size_t t0 = m * tile / n_tiles, t1 = m * (tile + 1) / n_tiles;
                k->panel_mul[kind](p, kc, (const char *)act + t0 * act_stride, act_stride, n_cols, k0,
                                   t1 - t0, c + (i * m + t0) * rows);
            }
        }
    }
}
