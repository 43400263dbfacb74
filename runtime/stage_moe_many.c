/* Mixture of experts, many tokens: tokens are grouped by expert, so that a panel of an expert's weights is
 * unpacked once for all the tokens that use it. The stages are: norm and quantize (stage_many.c), route,
 * group, gate and up, quantize, down.
 *
 * The last one takes its tiles over output rows and goes through all experts in each, adding to the output
 * directly: no tile waits for another, and the order of a sum is always that of the experts' numbers. */
#include <math.h>
#include <string.h>

#include "stage.h"
#include "stage_moe.h"

enum { ROUTE_TOKENS = 4, PREPARE_ROWS = 16 };

static size_t tiles_of(size_t n, size_t each) {
    return (n + each - 1) / each;
}

void moe_activate(const plan_moe_step *m, const run *r, size_t expert, size_t row, size_t n, float *out,
                  float *up) {
    const float *gate_bias = m->gate_bias ? m->gate_bias->data : NULL,
                *up_bias = m->up_bias ? m->up_bias->data : NULL;
    size_t at = expert * m->gate->w.n_rows + row;
    if (gate_bias)
        for (size_t i = 0; i < n; i++) out[i] += gate_bias[at + i];
    if (up_bias)
        for (size_t i = 0; i < n; i++) up[i] += up_bias[at + i];
    if (m->activation == ACTIVATION_SWIGLU_OAI) {
        /* x * sigmoid(slope * x) = silu(slope * x) / slope; a NaN passes both clamps */
        const float slope = 1.702f, limit = 7.0f;
        for (size_t i = 0; i < n; i++) {
            float x = out[i] > limit ? limit : out[i], y = up[i] > limit ? limit : up[i];
            out[i] = slope * x;
            up[i] = ((y < -limit ? -limit : y) + 1.0f) * (1.0f / slope);
        }
        r->k->silu_mul(out, up, n);
    } else
        stage_gate(r, m->activation, out, up, n);
}

void moe_add(const plan_moe_step *m, size_t expert, size_t row, size_t n, const float *y, float share,
             float *sum) {
    const float *bias = m->down_bias ? m->down_bias->data : NULL;
    if (bias)
        for (size_t i = 0; i < n; i++) sum[i] += share * (y[i] + bias[expert * m->down->w.n_rows + row + i]);
    else
        for (size_t i = 0; i < n; i++) sum[i] += share * y[i];
}

void moe_choose(const plan_moe_step *m, const float *logits, moe_choice *out) {
    moe_route(&m->routing, logits, m->select_bias ? m->select_bias->data : NULL,
              m->expert_scale ? m->expert_scale->data : NULL, out);
}

float moe_share(float logit) {
    return 1.0f / (1.0f + expf(-logit));
}

size_t moe_route_tiles(const stage *s, const run *r) {
    (void)s;
    return tiles_of(r->n_tokens, ROUTE_TOKENS);
}

/* The router's product is that of one token, bit for bit: which experts a token uses does not hang on the
 * batch it came in. */
void moe_route_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_moe_step *m = &s->moe;
    const weight *router = m->router, *share = m->shared_router;
    act_kind kind = kernels_form(r->k, router->format).act;
    size_t k = m->routing.n_used, stride = act_row_bytes(kind, router->n_cols);
    for (size_t t = tile * ROUTE_TOKENS; t < r->n_tokens && t < (tile + 1) * ROUTE_TOKENS; t++) {
        float *logits = buf_row(r, r->plan->moe.router, t);
        multiply_rows(r->k, router->format, router->data, router->row_bytes, router->n_rows, router->n_cols,
                      r->act[kind] + t * stride, logits);
        if (m->router_bias) {
            const float *bias = m->router_bias->data;
            for (size_t i = 0; i < router->n_rows; i++) logits[i] += bias[i];
        }
        moe_choose(m, logits, &w->moe.choice);
        memcpy(r->moe.expert + t * k, w->moe.choice.expert, k * sizeof *r->moe.expert);
        memcpy(r->moe.weight + t * k, w->moe.choice.weight, k * sizeof *r->moe.weight);
        r->moe.share[t] = 1.0f;
        if (!share) continue;
        act_kind of_share = kernels_form(r->k, share->format).act;
        multiply_rows(r->k, share->format, share->data, share->row_bytes, 1, share->n_cols,
                      r->act[of_share] + t * act_row_bytes(of_share, share->n_cols), &r->moe.share[t]);
        r->moe.share[t] = moe_share(r->moe.share[t]);
    }
}

size_t moe_group_tiles(const stage *s, const run *r) {
    (void)s, (void)r;
    return 1;
}

/* A counting sort of (token, expert) by expert. */
void moe_group_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const moe_pass *p = &r->moe;
    size_t n = s->moe.routing.n_expert, k = s->moe.routing.n_used;
    (void)w, (void)tile;
    memset(p->first, 0, (n + 2) * sizeof *p->first);
    for (size_t i = 0; i < r->n_tokens * k; i++) p->first[p->expert[i] + 2]++;
    for (size_t e = 2; e < n + 2; e++) p->first[e] += p->first[e - 1];
    for (size_t i = 0; i < r->n_tokens * k; i++) { /* first[e + 1] runs from the start of e to its end */
        uint32_t entry = p->first[p->expert[i] + 1]++;
        p->token[entry] = (uint32_t)(i / k);
        p->entry_weight[entry] = p->weight[i];
    }
}

static size_t panel_rows(const run *r, const weight *w) {
    return r->k->panel_rows[kernels_form(r->k, w->format).panel];
}

/* Rows of a tile of one expert's gate: the input rows of its tokens are gathered once per tile, so tiles are
 * as large as leaves enough of them for all workers, whatever experts the tokens choose. */
static size_t gate_tile_rows(const stage *s, const run *r, const weight *gate, size_t n_experts) {
    size_t height = panel_rows(r, gate), panels = tiles_of(gate->n_rows, height);
    size_t tiles = tiles_of(32 * r->n_workers, n_experts);
    (void)s;
    if (tiles > panels) tiles = panels;
    return tiles_of(panels, tiles) * height;
}

size_t moe_gate_many_tiles(const stage *s, const run *r) {
    const plan_moe_step *m = &s->moe;
    size_t n = m->routing.n_expert, rows = gate_tile_rows(s, r, &m->gate->w, n);
    size_t tiles = n * tiles_of(m->gate->w.n_rows, rows);
    if (m->shared_gate) tiles += tiles_of(m->shared_gate->n_rows, gate_tile_rows(s, r, m->shared_gate, 1));
    return tiles;
}

/* What a tile of gate and up works on. */
typedef struct half {
    const weight *w;
    const char *data; /* of this expert */
    const char *act;  /* input rows of the tokens t0 .. t0 + n */
} half;

static void multiply(const stage *s, const run *r, scratch *w, const half *h, size_t row, size_t rows,
                     size_t n, float *c) {
    act_kind kind = stage_act(s, r, h->w);
    gemm_panels(r->k, h->w->format, kind, h->data + row * h->w->row_bytes, h->w->row_bytes, rows,
                h->w->n_cols, h->act, act_row_bytes(kind, h->w->n_cols), n, w->panel, c);
}

/* Rows first .. end of the inner activations of n tokens; out is the first one's row. */
static void gate_up(const stage *s, const run *r, scratch *w, const half *gate, const half *up, size_t expert,
                    bool shared, size_t first, size_t end, size_t n, float *out) {
    size_t height = panel_rows(r, gate->w), up_height = panel_rows(r, up->w),
           stride = buf_stride(gate->w->n_rows);
    bool plain = s->moe.plain && !shared;
    float up_rows[PANEL_ROWS_MAX];
    for (size_t row = first; row < end; row += r->k->pass_panels * height) {
        size_t rows = end - row < r->k->pass_panels * height ? end - row : r->k->pass_panels * height;
        multiply(s, r, w, gate, row, rows, n, w->c);
        if (!plain) multiply(s, r, w, up, row, rows, n, w->c2);
        for (size_t i = 0; i < rows; i += height)
            for (size_t t = 0; t < n; t++) {
                size_t width = rows - i < height ? rows - i : height;
                float *to = out + t * stride + row + i;
                memcpy(to, w->c + (i / height * n + t) * height, width * sizeof *to);
                if (plain) stage_activate(r, s->moe.activation, to, width);
            }
        if (plain) continue;
        for (size_t i = 0; i < rows; i += up_height)
            for (size_t t = 0; t < n; t++) {
                size_t width = rows - i < up_height ? rows - i : up_height;
                float *to = out + t * stride + row + i;
                memcpy(up_rows, w->c2 + (i / up_height * n + t) * up_height, width * sizeof *up_rows);
                if (shared)
                    stage_gate(r, s->moe.activation, to, up_rows, width);
                else
                    moe_activate(&s->moe, r, expert, row + i, width, to, up_rows);
            }
    }
}

/* The input rows of the tokens of entries first .. first + n, one after another. */
static void gather(const run *r, const scratch *w, act_kind kind, size_t cols, size_t first, size_t n) {
    size_t bytes = act_row_bytes(kind, cols);
    for (size_t i = 0; i < n; i++)
        memcpy(w->gathered[kind] + i * bytes, r->act[kind] + r->moe.token[first + i] * bytes, bytes);
}

static void shared_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_moe_step *m = &s->moe;
    size_t rows = gate_tile_rows(s, r, m->shared_gate, 1), first = tile * rows,
           end = first + rows < m->shared_gate->n_rows ? first + rows : m->shared_gate->n_rows;
    act_kind g = stage_act(s, r, m->shared_gate), u = stage_act(s, r, m->shared_up);
    for (size_t t0 = 0; t0 < r->n_tokens; t0 += r->k->pass_tokens) {
        size_t n = r->n_tokens - t0 < r->k->pass_tokens ? r->n_tokens - t0 : r->k->pass_tokens;
        gate_up(s, r, w,
                &(half){m->shared_gate, m->shared_gate->data, r->act[g] + t0 * act_row_bytes(g, s->width)},
                &(half){m->shared_up, m->shared_up->data, r->act[u] + t0 * act_row_bytes(u, s->width)}, 0,
                true, first, end, n, r->buf[r->plan->moe.shared] + t0 * buf_stride(m->shared_gate->n_rows));
    }
}

void moe_gate_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_moe_step *m = &s->moe;
    const weight *gate = &m->gate->w, *up = &m->up->w;
    size_t rows = gate_tile_rows(s, r, gate, m->routing.n_expert), per_expert = tiles_of(gate->n_rows, rows),
           expert = tile / per_expert;
    if (expert >= m->routing.n_expert) {
        shared_tile(s, r, w, tile - m->routing.n_expert * per_expert);
        return;
    }
    size_t first = tile % per_expert * rows, end = first + rows < gate->n_rows ? first + rows : gate->n_rows;
    act_kind g = stage_act(s, r, gate), u = stage_act(s, r, up);
    half gate_half = {gate, (const char *)gate->data + expert * m->gate->stride, w->gathered[g]};
    half up_half = {up, (const char *)up->data + expert * m->up->stride, w->gathered[u]};
    for (size_t e = r->moe.first[expert], last = r->moe.first[expert + 1]; e < last; e += r->k->pass_tokens) {
        size_t n = last - e < r->k->pass_tokens ? last - e : r->k->pass_tokens;
        gather(r, w, g, s->width, e, n);
        if (u != g) gather(r, w, u, s->width, e, n);
        gate_up(s, r, w, &gate_half, &up_half, expert, false, first, end, n,
                r->buf[r->plan->moe.hidden] + e * buf_stride(gate->n_rows));
    }
}

size_t moe_prepare_tiles(const stage *s, const run *r) {
    return tiles_of(r->n_tokens * s->moe.routing.n_used, PREPARE_ROWS) +
           (s->moe.shared_down ? tiles_of(r->n_tokens, PREPARE_ROWS) : 0);
}

void moe_prepare_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_moe_step *m = &s->moe;
    size_t rows = r->n_tokens * m->routing.n_used, routed = tiles_of(rows, PREPARE_ROWS);
    bool shared = tile >= routed;
    const weight *down = shared ? m->shared_down : &m->down->w;
    act_kind kind = stage_act(s, r, down);
    const float *from = r->buf[shared ? r->plan->moe.shared : r->plan->moe.hidden];
    char *to = shared ? r->moe.shared[kind] : r->moe.act[kind];
    (void)w;
    if (shared) {
        tile -= routed;
        rows = r->n_tokens;
    }
    for (size_t i = tile * PREPARE_ROWS; i < rows && i < (tile + 1) * PREPARE_ROWS; i++)
        stage_quantize(r, kind, from + i * buf_stride(down->n_cols), down->n_cols,
                       to + i * act_row_bytes(kind, down->n_cols));
}

/* Rows of a tile of the down matrices: a few panels, unless that left some workers without any. */
static size_t down_tile_rows(const run *r, const weight *down) {
    size_t rows = panel_rows(r, down), panels = tiles_of(down->n_rows, rows) / (4 * r->n_workers);
    return rows * (panels < 1 ? 1 : panels > r->k->pass_panels ? r->k->pass_panels : panels);
}

size_t moe_down_many_tiles(const stage *s, const run *r) {
    const weight *down = &s->moe.down->w;
    return tiles_of(down->n_rows, down_tile_rows(r, down));
}

/* Adds rows first .. end of n products to the outputs of their tokens: those of entries from `entry` on, or
 * of the shared expert for tokens from `token` on. */
static void deliver(const stage *s, const run *r, const float *c, size_t height, size_t first, size_t end,
                    size_t n, size_t expert, const uint32_t *tokens, const float *weights, size_t token) {
    const plan_moe_step *m = &s->moe;
    float scale = m->scale != 0.0f ? m->scale : 1.0f;
    for (size_t row = first; row < end; row += height)
        for (size_t i = 0; i < n; i++, c += height) {
            size_t width = end - row < height ? end - row : height, t = tokens ? tokens[i] : token + i;
            float *out = buf_row(r, m->out, t) + row;
            if (tokens)
                moe_add(m, expert, row, width, c, scale * weights[i], out);
            else
                for (size_t j = 0; j < width; j++) out[j] += scale * weights[i] * c[j];
        }
}

void moe_down_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_moe_step *m = &s->moe;
    const weight *down = &m->down->w;
    size_t rows = down_tile_rows(r, down), first = tile * rows,
           end = first + rows < down->n_rows ? first + rows : down->n_rows;
    act_kind kind = stage_act(s, r, down);
    size_t stride = act_row_bytes(kind, down->n_cols);
    if (!m->add)
        for (size_t t = 0; t < r->n_tokens; t++)
            memset(buf_row(r, m->out, t) + first, 0, (end - first) * sizeof(float));
    for (size_t expert = 0; expert < m->routing.n_expert; expert++) {
        half h = {.w = down, .data = (const char *)down->data + expert * m->down->stride};
        for (size_t e = r->moe.first[expert], last = r->moe.first[expert + 1]; e < last;
             e += r->k->pass_tokens) {
            size_t n = last - e < r->k->pass_tokens ? last - e : r->k->pass_tokens;
            h.act = r->moe.act[kind] + e * stride;
            multiply(s, r, w, &h, first, end - first, n, w->c);
            deliver(s, r, w->c, panel_rows(r, down), first, end, n, expert, r->moe.token + e,
                    r->moe.entry_weight + e, 0);
        }
    }
    if (!m->shared_down) return;
    size_t height = panel_rows(r, m->shared_down);
    act_kind of_shared = stage_act(s, r, m->shared_down);
    half h = {.w = m->shared_down, .data = m->shared_down->data};
    for (size_t t = 0; t < r->n_tokens; t += r->k->pass_tokens) {
        size_t n = r->n_tokens - t < r->k->pass_tokens ? r->n_tokens - t : r->k->pass_tokens;
        h.act = r->moe.shared[of_shared] + t * act_row_bytes(of_shared, m->shared_down->n_cols);
        /* at most r->k->pass_panels panels at a time, should its panels be lower than those of the routed
         * ones */
        for (size_t row = first; row < end; row += r->k->pass_panels * height) {
            size_t stop = row + r->k->pass_panels * height < end ? row + r->k->pass_panels * height : end;
            multiply(s, r, w, &h, row, stop - row, n, w->c);
            deliver(s, r, w->c, height, row, stop, n, 0, NULL, r->moe.share + t, t);
        }
    }
}
