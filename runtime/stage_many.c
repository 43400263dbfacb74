/* The stages of many tokens: a race against the multipliers. The input of a product is normed and quantized
 * once for all workers, then each tile unpacks a few panels of weight rows and multiplies them with a block
 * of tokens. */
#include <string.h>

#include "stage.h"

enum {
    PREPARE_TOKENS = 4, /* of a prepare tile: enough to be worth taking, few enough to share out */
    DIRECT_TOKENS = 6   /* of a product read directly: see is_direct */
};

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
    return r->k->panel_rows[kernels_form(r->k, w->format).panel];
}

/* A tile's tokens are pass_tokens at most: n tokens in parts that are even but for rounding. */
static size_t token_blocks(const run *r, size_t n) {
    return tiles_of(n, r->k->pass_tokens);
}

/* So few tokens that floats are better read once for each, from cache after the first, than unpacked; but
 * what an embedding becomes does not depend on how many there are. */
static bool is_direct(const run *r, const weight *w, size_t n) {
    return n <= DIRECT_TOKENS && !r->plan->embeds && kernels_traits(w->format).act == ACT_F32;
}

/* Rows of a tile: as many panels side by side as leave no worker idle at the end, two tiles for each if there
 * are so many. Only who does what depends on it: each row's result is the same in any company. */
static size_t tile_rows(const run *r, const weight *w, size_t n_tokens) {
    size_t n_blocks = token_blocks(r, n_tokens);
    size_t rows = panel_rows(r, w), panels = tiles_of(w->n_rows, rows), best = 1, least = SIZE_MAX;
    for (size_t n = 1; n <= r->k->pass_panels; n++) {
        size_t tiles = tiles_of(panels, n) * n_blocks, longest = tiles_of(tiles, r->n_workers) * n;
        if (n > 1 && tiles < 2 * r->n_workers) break;
        if (longest <= least) {
            best = n;
            least = longest;
        }
    }
    return rows * best;
}

typedef struct token_block {
    size_t first, end;
} token_block;

static token_block block_tokens(const run *r, size_t n, size_t block) {
    enum { ROUND = 32 }; /* micro-kernels are slower on less */
    size_t each = tiles_of(tiles_of(n, token_blocks(r, n)), ROUND) * ROUND, first = block * each;
    return (token_block){first < n ? first : n, first + each < n ? first + each : n};
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

static size_t part_rows(const stage *s, const run *r, const weight *w, size_t n_tokens) {
    return is_direct(r, w, n_tokens) ? s->tile_rows : tile_rows(r, w, n_tokens);
}

static bool gated_is_direct(const stage *s, const run *r) {
    return is_direct(r, &s->part[0].w, r->n_tokens) && is_direct(r, &s->part[1].w, r->n_tokens);
}

static size_t gated_rows(const stage *s, const run *r) {
    return gated_is_direct(s, r) ? s->tile_rows : tile_rows(r, &s->part[0].w, r->n_tokens);
}

size_t linear_many_tiles(const stage *s, const run *r) {
    size_t tiles = 0, n = stage_count(s, r);
    if (n == 0 || (n == 1 && s->output)) return 0;
    size_t blocks = token_blocks(r, n);
    for (uint32_t p = 0; p < s->n_parts; p++)
        tiles += tiles_of(s->part[p].w.n_rows, part_rows(s, r, &s->part[p].w, n)) * blocks;
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

/* n rows from `row` on times one token's input. */
static void multiply_one(const run *r, const weight *m, const float *bias, size_t row, size_t n, size_t token,
                         float *y) {
    act_kind kind = kernels_traits(m->format).act;
    r->k->matvec[m->format]((const char *)m->data + row * m->row_bytes, m->row_bytes, n, m->n_cols,
                            r->act[kind] + token * act_row_bytes(kind, m->n_cols), y);
    for (size_t i = 0; bias && i < n; i++) y[i] += bias[row + i];
}

static void linear_direct(const stage *s, const run *r, scratch *w, const stage_part *part, size_t row,
                          size_t n, size_t n_tokens) {
    for (size_t t = 0; t < n_tokens; t++) {
        multiply_one(r, &part->w, part->bias, row, n, t, w->tile);
        if (s->activation) stage_activate(r, s->activation, w->tile, n);
        float *out = s->output ? r->logits + t * part->w.n_rows + row : buf_row(r, part->out, t) + row;
        if (!deliver(s, r, w->tile, n, out)) w->non_finite = true;
    }
}

static void gated_direct(const stage *s, const run *r, scratch *w, size_t row, size_t n, size_t token) {
    float *out = buf_row(r, s->part[0].out, token) + row;
    multiply_one(r, &s->part[0].w, s->part[0].bias, row, n, token, out);
    multiply_one(r, &s->part[1].w, s->part[1].bias, row, n, token, w->tile);
    stage_gate(r, s->activation, out, w->tile, n);
}

void linear_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t n_tokens = stage_count(s, r), blocks = token_blocks(r, n_tokens), rows, part_tiles;
    const stage_part *part = s->part;
    for (;; part++, tile -= part_tiles) {
        rows = part_rows(s, r, &part->w, n_tokens);
        part_tiles = tiles_of(part->w.n_rows, rows) * blocks;
        if (tile < part_tiles) break;
    }
    /* the blocks of a row tile follow each other: the next finds its weights in cache */
    size_t first = tile / blocks * rows, end = first + rows < part->w.n_rows ? first + rows : part->w.n_rows;
    token_block t = block_tokens(r, n_tokens, tile % blocks);
    size_t height = panel_rows(r, &part->w), n = t.end - t.first;
    const float *c = w->c;
    if (is_direct(r, &part->w, n_tokens)) {
        linear_direct(s, r, w, part, first, end - first, n_tokens);
        return;
    }
    multiply(s, r, w, &part->w, first, end - first, t.first, n, w->c);
    add_bias(w->c, part->bias, first, end, height, n);
    if (s->activation) stage_activate(r, s->activation, w->c, tiles_of(end - first, height) * height * n);
    for (size_t row = first; row < end; row += height)
        for (size_t i = t.first; i < t.end; i++, c += height) {
            float *out = s->output ? r->logits + i * part->w.n_rows + row : buf_row(r, part->out, i) + row;
            if (!deliver(s, r, c, end - row < height ? end - row : height, out)) w->non_finite = true;
        }
}

size_t gated_many_tiles(const stage *s, const run *r) {
    size_t blocks = token_blocks(r, r->n_tokens);
    return tiles_of(s->part[0].w.n_rows, gated_rows(s, r)) * blocks;
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
    size_t blocks = token_blocks(r, r->n_tokens), rows = gated_rows(s, r);
    size_t first = tile / blocks * rows, end = first + rows < gate->n_rows ? first + rows : gate->n_rows;
    size_t height = panel_rows(r, gate), up_height = panel_rows(r, up);
    token_block tokens = block_tokens(r, r->n_tokens, tile % blocks);
    size_t t0 = tokens.first, n = tokens.end - t0;
    if (gated_is_direct(s, r)) {
        for (size_t t = 0; t < n; t++) gated_direct(s, r, w, first, end - first, t);
        return;
    }
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
