/* The stages of one token: a race against memory. Weight rows are read once, straight from the mapping, in
 * runs that are adjacent for each worker; everything else is small enough that each worker does it again for
 * itself. */
#include <math.h>
#include <string.h>

#include "stage.h"

bool prepare_one(const stage *s, const run *r, scratch *w, size_t token) {
    if (w->prepared == s) return false;
    w->prepared = s;
    const float *x = buf_row(r, s->in, token);
    if (s->norm.w) {
        stage_normalize(r, &s->norm, x, s->width, w->row);
        x = w->row;
    }
    if (s->act_kinds & 1u << ACT_F32) memcpy(w->act[ACT_F32], x, s->width * sizeof *x);
    if (s->act_kinds & 1u << ACT_Q8_32) r->k->quantize_q8_32(x, s->width, w->act[ACT_Q8_32]);
    if (s->act_kinds & 1u << ACT_Q8_256) r->k->quantize_q8_256(x, s->width, w->act[ACT_Q8_256]);
    return true;
}

static void multiply(const run *r, const scratch *w, const weight *m, size_t row, size_t n, float *y) {
    multiply_rows(r->k, m->format, (const char *)m->data + row * m->row_bytes, m->row_bytes, n, m->n_cols,
                  w->act[kernels_form(r->k, m->format).act], y);
}

/* True when a logit is not finite: x - x is 0 for finite x and NaN for the rest. */
static bool not_finite(const float *y, size_t n) {
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) sum += y[i] - y[i];
    return sum != 0.0f;
}

static size_t row_tiles(const stage *s, size_t part) {
    return (s->part[part].w.n_rows + s->tile_rows - 1) / s->tile_rows;
}

size_t embed_tiles(const stage *s, const run *r) {
    (void)s;
    return r->n_tokens;
}

static void decode_row(const run *r, const weight *w, size_t row, float *out) {
    r->k->decode[w->format]((const char *)w->data + row * w->row_bytes, out, w->n_cols);
}

void embed_tile(const stage *s, const run *r, scratch *w, size_t t) {
    const weight *table = &s->part[0].w, *positions = &s->part[1].w, *kinds = &s->part[2].w;
    const size_t position = position_of(r, t);
    const hparams *hp = r->plan->hp;
    float *x = buf_row(r, s->part[0].out, t);
    decode_row(r, table, (size_t)r->tokens[t], x);
    for (size_t i = 0; s->scale != 1.0f && i < table->n_cols; i++) x[i] *= s->scale;
    if (positions->data) {
        decode_row(r, positions, position, w->row);
        for (size_t i = 0; i < table->n_cols; i++) x[i] += w->row[i];
    }
    if (kinds->data) {
        decode_row(r, kinds, 0, w->row);
        for (size_t i = 0; i < table->n_cols; i++) x[i] += w->row[i];
    }
    for (size_t i = 0; i < ROPE_SETS; i++)
        if (r->rope[i].n_dims) rope_pairs_at(&r->rope[i], position, r->cs[i] + t * r->rope[i].n_dims);
    if (hp->temperature_length) {
        double steps = floor((double)position / hp->temperature_length);
        r->temperature[t] = (float)(1.0 + (double)hp->temperature_scale * log(1.0 + steps));
    }
}

size_t linear_one_tiles(const stage *s, const run *r) {
    size_t n = 0;
    if (stage_count(s, r) != 1) return 0;
    for (uint32_t p = 0; p < s->n_parts; p++) n += row_tiles(s, p);
    return n;
}

void linear_one_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t token = stage_first(s, r);
    uint32_t p = 0;
    prepare_one(s, r, w, token);
    while (tile >= row_tiles(s, p)) tile -= row_tiles(s, p++);
    const stage_part *part = &s->part[p];
    size_t row = tile * s->tile_rows, n = part->w.n_rows - row;
    if (n > s->tile_rows) n = s->tile_rows;
    float *out = s->output ? r->logits + row : buf_row(r, part->out, token) + row;
    float *y = s->add ? w->tile : out;
    multiply(r, w, &part->w, row, n, y);
    if (part->bias)
        for (size_t i = 0; i < n; i++) y[i] += part->bias[row + i];
    if (s->add)
        for (size_t i = 0; i < n; i++) out[i] += s->scale * y[i];
    if (s->activation) stage_activate(r, s->activation, y, n);
    if (!s->output) return;
    if (not_finite(y, n)) w->non_finite = true;
    stage_finish_logits(s, r, y, n);
}

size_t gated_one_tiles(const stage *s, const run *r) {
    (void)r;
    return row_tiles(s, 0);
}

void gated_one_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    prepare_one(s, r, w, 0);
    const weight *gate = &s->part[0].w, *up = &s->part[1].w;
    size_t row = tile * s->tile_rows, n = gate->n_rows - row;
    if (n > s->tile_rows) n = s->tile_rows;
    float *out = buf_row(r, s->part[0].out, 0) + row;
    multiply(r, w, gate, row, n, out);
    multiply(r, w, up, row, n, w->tile);
    const float *gate_bias = s->part[0].bias, *up_bias = s->part[1].bias;
    for (size_t i = 0; gate_bias && i < n; i++) out[i] += gate_bias[row + i];
    for (size_t i = 0; up_bias && i < n; i++) w->tile[i] += up_bias[row + i];
    stage_gate(r, s->activation, out, w->tile, n);
}
