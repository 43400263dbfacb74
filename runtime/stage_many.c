/* The stages of many tokens: a race against the multipliers. The input of a product is normed and quantized
 * once for all workers, then each tile unpacks one panel of weight rows and multiplies it with every token.
 */
#include <string.h>

#include "stage.h"

enum {
    PREPARE_TOKENS = 4
}; /* tokens of a prepare tile: enough to be worth taking, few enough to share out */

static size_t tiles_of(size_t n, size_t each) {
    return (n + each - 1) / each;
}

size_t prepare_tiles(const stage *s, const run *r) {
    size_t n = stage_count(s, r);
    return n == 1 && s->output ? 0 : tiles_of(n, PREPARE_TOKENS);
}

/* The forms in which the input is wanted. */
static unsigned forms(const stage *s, const run *r) {
    const unsigned quantized = 1u << ACT_Q8_32 | 1u << ACT_Q8_256;
    unsigned kinds = s->act_kinds;
    if ((kinds & quantized) && gemm_has_tiles(r->k, stage_share(s, r)))
        kinds = (kinds & ~quantized) | 1u << ACT_BF16;
    return kinds | s->matvec_kinds;
}

void prepare_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const unsigned kinds = forms(s, r);
    size_t first = stage_first(s, r), n = stage_count(s, r), end = (tile + 1) * PREPARE_TOKENS;
    for (size_t t = tile * PREPARE_TOKENS; t < n && t < end; t++) {
        const float *x = buf_row(r, s->in, first + t);
        if (s->norm.w) {
            stage_normalize(r, &s->norm, x, s->width, w->row);
            x = w->row;
        }
        for (int kind = 0; kind < ACT_COUNT; kind++)
            if (kinds & 1u << kind)
                stage_quantize(r, (act_kind)kind, x, s->width,
                               r->act[kind] + t * act_row_bytes((act_kind)kind, s->width));
    }
}

static size_t panel_rows(const run *r, const weight *w) {
    return r->k->panel_rows[kernels_traits(w->format).panel];
}

/* Rows of a tile: a few panels, unless that left some workers without any. Only who does what depends on it:
 * each row's result is the same in any company. */
static size_t tile_rows(const run *r, const weight *w) {
    size_t rows = panel_rows(r, w), panels = tiles_of(w->n_rows, rows) / (4 * r->n_workers);
    return rows * (panels < 1 ? 1 : panels > r->k->pass_panels ? r->k->pass_panels : panels);
}

/* c (panels, n, panel_rows) = rows row .. row + n_rows of m times the tokens t .. t + n of the stage's input.
 */
static void multiply(const stage *s, const run *r, scratch *w, const weight *m, size_t row, size_t n_rows,
                     size_t t, size_t n, float *c) {
    act_kind kind = stage_act(s, r, m);
    size_t stride = act_row_bytes(kind, m->n_cols);
    gemm_panels(r->k, m->format, kind, (const char *)m->data + row * m->row_bytes, m->row_bytes, n_rows,
                m->n_cols, r->act[kind] + t * stride, stride, n, w->panel, c);
}

size_t linear_many_tiles(const stage *s, const run *r) {
    size_t tiles = 0, n = stage_count(s, r);
    if (n == 0 || (n == 1 && s->output)) return 0;
    for (uint32_t p = 0; p < s->n_parts; p++)
        tiles += tiles_of(s->part[p].w.n_rows, tile_rows(r, &s->part[p].w));
    return tiles;
}

/* Adds each row's bias to products of panels. */
static void add_bias(float *c, const float *bias, size_t first, size_t end, size_t height, size_t n) {
    for (size_t row = first; bias && row < end; row += height)
        for (size_t t = 0; t < n; t++, c += height)
            for (size_t i = 0; i < height && row + i < end; i++) c[i] += bias[row + i];
}

/* One token's part of one panel: product c to the buffer or the logits. False if a logit is not finite. */
static bool deliver(const stage *s, const run *r, const float *c, size_t n, float *out) {
    float check = 0.0f;
    if (s->add)
        for (size_t i = 0; i < n; i++) out[i] += s->scale * c[i];
    else
        memcpy(out, c, n * sizeof *out);
    if (!s->output) return true;
    for (size_t i = 0; i < n; i++) check += c[i] - c[i]; /* NaN unless all are finite */
    stage_finish_logits(s, r, out, n);
    return check == 0.0f;
}

void linear_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t n_tokens = stage_count(s, r), rows, part_tiles;
    const stage_part *part = s->part;
    for (;; part++, tile -= part_tiles) {
        rows = tile_rows(r, &part->w);
        part_tiles = tiles_of(part->w.n_rows, rows);
        if (tile < part_tiles) break;
    }
    size_t first = tile * rows, end = first + rows < part->w.n_rows ? first + rows : part->w.n_rows;
    size_t height = panel_rows(r, &part->w);
    for (size_t t0 = 0; t0 < n_tokens; t0 += r->k->pass_tokens) {
        size_t n = n_tokens - t0 < r->k->pass_tokens ? n_tokens - t0 : r->k->pass_tokens;
        const float *c = w->c;
        multiply(s, r, w, &part->w, first, end - first, t0, n, w->c);
        add_bias(w->c, part->bias, first, end, height, n);
        if (s->activation) stage_activate(r, s->activation, w->c, tiles_of(end - first, height) * height * n);
        for (size_t row = first; row < end; row += height)
            for (size_t t = t0; t < t0 + n; t++, c += height) {
                float *out =
                    s->output ? r->logits + t * part->w.n_rows + row : buf_row(r, part->out, t) + row;
                if (!deliver(s, r, c, end - row < height ? end - row : height, out)) w->non_finite = true;
            }
    }
}

size_t gated_many_tiles(const stage *s, const run *r) {
    return tiles_of(s->part[0].w.n_rows, tile_rows(r, &s->part[0].w));
}

/* Results of some panels to the rows of a buffer. */
static void scatter(const run *r, plan_buf out, const float *c, size_t first, size_t end, size_t height,
                    size_t t0, size_t n) {
    for (size_t row = first; row < end; row += height)
        for (size_t t = t0; t < t0 + n; t++, c += height)
            memcpy(buf_row(r, out, t) + row, c, (end - row < height ? end - row : height) * sizeof *c);
}

void gated_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const weight *gate = &s->part[0].w, *up = &s->part[1].w;
    size_t rows = tile_rows(r, gate), first = tile * rows,
           end = first + rows < gate->n_rows ? first + rows : gate->n_rows;
    size_t height = panel_rows(r, gate), up_height = panel_rows(r, up);
    for (size_t t0 = 0; t0 < r->n_tokens; t0 += r->k->pass_tokens) {
        size_t n = r->n_tokens - t0 < r->k->pass_tokens ? r->n_tokens - t0 : r->k->pass_tokens;
        multiply(s, r, w, gate, first, end - first, t0, n, w->c);
        multiply(s, r, w, up, first, end - first, t0, n, w->c2);
        add_bias(w->c, s->part[0].bias, first, end, height, n);
        add_bias(w->c2, s->part[1].bias, first, end, up_height, n);
        if (height == up_height) {
            stage_gate(r, s->activation, w->c, w->c2, tiles_of(end - first, height) * height * n);
            scatter(r, s->part[0].out, w->c, first, end, height, t0, n);
        } else { /* two types whose panels differ in height: meet in the output buffer */
            scatter(r, s->part[0].out, w->c, first, end, height, t0, n);
            for (size_t row = first; row < end; row += up_height)
                for (size_t t = 0; t < n; t++)
                    stage_gate(r, s->activation, buf_row(r, s->part[0].out, t0 + t) + row,
                               w->c2 + ((row - first) / up_height * n + t) * up_height,
                               end - row < up_height ? end - row : up_height);
        }
    }
}
