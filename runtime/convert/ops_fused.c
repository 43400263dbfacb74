/* Operations on tensors that hold several of GGUF's, or one in another order. See ops.def. */
#include <string.h>

#include "kernels/formats.h"
#include "ops_impl.h"

/* Two targets of the given dimensions, with parts that differ in where they begin. Only a stack of more than
 * two dimensions has a third. */
static void pair(conversion *c, const tensor_match *m, uint64_t ne0, uint64_t ne1, view first,
                 uint64_t second_base) {
    view second = first;
    uint64_t ne2 = m->src->n_dims > 2 ? shape_of(m->src).stack : 0;
    second.base = second_base;
    op_part(c, m, op_target(c, m, m->rule->to, ne0, ne1, ne2), first);
    op_part(c, m, op_target(c, m, m->rule->to2, ne0, ne1, ne2), second);
}

static void split_rows(conversion *c, const tensor_match *m, bool transposed, bool turns) {
    shape s = shape_of(m->src);
    uint64_t rows = transposed ? s.cols : s.rows, row = transposed ? 1 : s.cols;
    uint64_t cols = transposed ? s.rows : s.cols, col = transposed ? s.cols : 1, half = rows / 2;
    if (rows % 2 || !rows) {
        op_bad_shape(c, m, "it can't be halved");
        return;
    }
    view v = STEPS(m->src, 0, {s.stack, s.rows * s.cols}, {half, turns ? 2 * row : row}, {cols, col});
    if (s.is_row) /* a bias */
        pair(c, m, half, 0, v, turns ? row : half * row);
    else
        pair(c, m, cols, half, v, turns ? row : half * row);
}

static void turns_of_rows(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    if (s.is_row || s.stack != 1 || s.cols % 2)
        op_bad_shape(c, m, "its rows can't be halved");
    else
        pair(c, m, s.cols / 2, s.rows, STEPS(m->src, 0, {s.rows, s.cols}, {s.cols / 2, 2}), 1);
}

/* ---- blocks ---- */

static source_tensor *scales_of(conversion *c, const tensor_match *m) {
    static const char end[] = "_blocks";
    const source_tensor *s = m->src;
    char name[600];
    size_t n = s->name.n - (sizeof end - 1);
    if (s->name.n < sizeof end || s->name.n > sizeof name - 8) return NULL;
    memcpy(name, s->name.p, n);
    memcpy(name + n, "_scales", 7);
    source_tensor *scales = weights_find(&c->w, (str){name, n + 7});
    bool fits = scales && s->n_dims == 4 && scales->n_dims == 3 && s->dims[3] == 16;
    for (uint32_t i = 0; fits && i < 3; i++) fits = s->dims[i] == scales->dims[i];
    return fits && s->type == WEIGHT_U8 && scales->type == WEIGHT_U8 ? scales : NULL;
}

static void mxfp4(conversion *c, const tensor_match *m, bool turns) {
    const source_tensor *s = m->src, *scales = scales_of(c, m);
    if (!scales) {
        op_bad_shape(c, m, "these are no MXFP4 blocks with scales beside them");
        return;
    }
    uint64_t stack = s->dims[0], rows = s->dims[1], blocks = s->dims[2], every = turns ? 2 : 1;
    if (rows % every) {
        op_bad_shape(c, m, "it can't be halved");
        return;
    }
    for (uint64_t k = 0; k < every; k++) {
        target *t = op_target(c, m, k ? m->rule->to2 : m->rule->to, blocks * 32, rows / every, stack);
        if (t) t->format = FORMAT_MXFP4;
        op_part(
            c, m, t,
            STEPS(scales, k * blocks, {stack, rows * blocks}, {rows / every, every * blocks}, {blocks, 1}));
        op_part(c, m, t,
                STEPS(s, k * blocks * 16, {stack, rows * blocks * 16}, {rows / every, every * blocks * 16},
                      {blocks * 16, 1}));
    }
}

/* ---- attention ---- */

/* Rows of each head: `nope` that make keys of the compressed state, then `value` that make values of it. The
 * first are kept transposed, because queries are multiplied with them. */
static void kv_b(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    uint64_t nope = cfg_need_u32(c, "qk_nope_head_dim"), value = cfg_need_u32(c, "v_head_dim");
    uint64_t heads = c->n_head, head = (nope + value) * s.cols;
    if (c->status) return;
    if (s.is_row || s.stack != 1 || s.rows != heads * (nope + value)) {
        op_bad_shape(c, m, "its rows are not those of all heads");
        return;
    }
    op_part(c, m, op_target(c, m, m->rule->to, nope, s.cols, heads),
            STEPS(m->src, 0, {heads, head}, {s.cols, 1}, {nope, s.cols}));
    op_part(c, m, op_target(c, m, m->rule->to2, s.cols, value, heads),
            STEPS(m->src, nope * s.cols, {heads, head}, {value * s.cols, 1}));
}

static void qkv_heads(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    uint64_t heads = c->n_head, row = s.cols;
    if (!heads || s.stack != 1 || s.rows % (3 * heads)) {
        op_bad_shape(c, m, "its rows are not q, k and v of each head");
        return;
    }
    uint64_t part = s.rows / heads / 3 * row;
    op_part(c, m, op_target(c, m, m->rule->to, s.is_row ? s.rows : s.cols, s.is_row ? 0 : s.rows, 0),
            STEPS(m->src, 0, {3, part}, {heads, 3 * part}, {part, 1}));
}

/* Groups of queries, each with its key and value behind. */
static void qkv_groups(conversion *c, const tensor_match *m, bool split) {
    shape s = shape_of(m->src);
    uint64_t kv = c->n_head_kv, per = kv ? c->n_head / kv : 0, dim = per ? s.rows / kv / (per + 2) : 0;
    if (!dim || s.stack != 1 || dim * kv * (per + 2) != s.rows || c->n_head % kv || (split && dim % 2)) {
        op_bad_shape(c, m, "its rows are not groups of queries with a key and a value");
        return;
    }
    uint64_t row = s.cols, head = dim * row, group = (per + 2) * head, half = dim / 2;
    view v = STEPS(m->src, (per + 1) * head, {kv, group}, {head, 1});
    if (!split) {
        target *t = op_target(c, m, m->rule->to, s.is_row ? s.rows : s.cols, s.is_row ? 0 : s.rows, 0);
        op_part(c, m, t, STEPS(m->src, 0, {kv, group}, {per * head, 1}));
        op_part(c, m, t, STEPS(m->src, per * head, {kv, group}, {head, 1}));
        op_part(c, m, t, v);
        return;
    }
    const uint64_t q_rows = c->n_head * dim, kv_rows = kv * dim;
    op_part(c, m, op_target(c, m, "blk.#.attn_q", row, q_rows, 0),
            STEPS(m->src, 0, {kv, group}, {per, head}, {half, row}, {2, half * row}, {row, 1}));
    op_part(c, m, op_target(c, m, "blk.#.attn_k", row, kv_rows, 0),
            STEPS(m->src, per * head, {kv, group}, {half, row}, {2, half * row}, {row, 1}));
    op_part(c, m, op_target(c, m, "blk.#.attn_v", row, kv_rows, 0), v);
}

static void qkv_split(conversion *c, const tensor_match *m) {
    static const char *const names[] = {"blk.#.attn_q", "blk.#.attn_k", "blk.#.attn_v"};
    shape s = shape_of(m->src);
    uint64_t heads[3] = {c->n_head, c->n_head_kv, c->n_head_kv}, first = 0;
    if (s.stack != 1 || s.rows != (uint64_t)(c->n_head + 2 * (uint64_t)c->n_head_kv) * c->head_dim ||
        (c->arch->permute && c->head_dim % 2)) {
        op_bad_shape(c, m, "its rows are not those of q, k and v");
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        uint64_t rows = heads[i] * c->head_dim, dim = c->head_dim, half = dim / 2, row = s.cols;
        view v = view_rows(m->src, row, first, rows);
        if (c->arch->permute && i < 2) /* as permute() of ops.c */
            v = STEPS(m->src, first * row, {heads[i], dim * row}, {half, row}, {2, half * row}, {row, 1});
        op_part(c, m, op_target(c, m, names[i], s.is_row ? rows : row, s.is_row ? 0 : rows, 0), v);
        first += rows;
    }
}

/* ---- delta rule ---- */

typedef struct delta_sizes {
    uint64_t keys, per, key_dim, value_dim; /* heads of keys, value heads for each, and their sizes */
} delta_sizes;

static bool delta_read(conversion *c, delta_sizes *d) {
    uint64_t values = cfg_need_u32(c, "linear_num_value_heads");
    d->keys = cfg_need_u32(c, "linear_num_key_heads");
    d->key_dim = cfg_need_u32(c, "linear_key_head_dim");
    d->value_dim = cfg_need_u32(c, "linear_value_head_dim");
    d->per = d->keys ? values / d->keys : 0;
    if (!c->status && (!d->per || d->per * d->keys != values))
        conversion_fail(c, LEAT_E_HPARAM,
                        "config.json: linear_num_value_heads does not fit "
                        "linear_num_key_heads");
    return !c->status;
}

static void qkvz(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    delta_sizes d;
    if (!delta_read(c, &d)) return;
    uint64_t q = d.key_dim * s.cols, v = d.per * d.value_dim * s.cols, group = 2 * q + 2 * v;
    if (s.is_row || s.rows * s.cols != d.keys * group) {
        op_bad_shape(c, m, "its rows are not q, k, v and z of each key head");
        return;
    }
    uint64_t values = d.keys * d.per * d.value_dim;
    target *t = op_target(c, m, m->rule->to, s.cols, 2 * d.keys * d.key_dim + values, 0);
    op_part(c, m, t, STEPS(m->src, 0, {d.keys, group}, {q, 1}));
    op_part(c, m, t, STEPS(m->src, q, {d.keys, group}, {q, 1}));
    op_part(c, m, t, STEPS(m->src, 2 * q, {d.keys, group}, {v, 1}));
    op_part(c, m, op_target(c, m, m->rule->to2, s.cols, values, 0),
            STEPS(m->src, 2 * q + v, {d.keys, group}, {v, 1}));
}

/* GGUF has value head i share key head i modulo their number; the source keeps those of a key head together.
 */
static void value_rows(conversion *c, const tensor_match *m, uint64_t behind, uint64_t dim,
                       view_change change) {
    const source_tensor *s = m->src;
    uint64_t cols = s->n_dims > 1 ? s->dims[s->n_dims - 1] : 1, rows = cols ? s->n / cols : 0;
    delta_sizes d;
    if (!delta_read(c, &d)) return;
    if (behind) behind = 2 * d.keys * d.key_dim;
    if (!dim) dim = d.value_dim;
    if (rows != behind + d.keys * d.per * dim) {
        op_bad_shape(c, m, "its rows are not those of all heads");
        return;
    }
    target *t = op_target(c, m, m->rule->to, s->n_dims > 1 ? cols : rows, s->n_dims > 1 ? rows : 0, 0);
    if (t) t->change = change;
    if (behind) op_part(c, m, t, view_rows(s, cols, 0, behind));
    op_part(c, m, t,
            STEPS(s, behind * cols, {d.per, dim * cols}, {d.keys, d.per * dim * cols}, {dim * cols, 1}));
}

static void value_columns(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    delta_sizes d;
    if (!delta_read(c, &d)) return;
    if (s.is_row || s.stack != 1 || s.cols != d.keys * d.per * d.value_dim) {
        op_bad_shape(c, m, "its columns are not those of all heads");
        return;
    }
    op_part(c, m, op_target(c, m, m->rule->to, s.cols, s.rows, 0),
            STEPS(m->src, 0, {s.rows, s.cols}, {d.per, d.value_dim}, {d.keys, d.per * d.value_dim},
                  {d.value_dim, 1}));
}

bool op_apply_fused(conversion *c, const tensor_match *m) {
    switch (m->rule->op) {
    case OP_HALVES: split_rows(c, m, false, false); break;
    case OP_HALVES_TRANSPOSED: split_rows(c, m, true, false); break;
    case OP_TURNS: split_rows(c, m, false, true); break;
    case OP_TURNS_TRANSPOSED: split_rows(c, m, true, true); break;
    case OP_TURNS_ROW: turns_of_rows(c, m); break;
    case OP_MXFP4: mxfp4(c, m, false); break;
    case OP_MXFP4_TURNS: mxfp4(c, m, true); break;
    case OP_KV_B: kv_b(c, m); break;
    case OP_QKV_HEADS: qkv_heads(c, m); break;
    case OP_QKV_GROUPS: qkv_groups(c, m, false); break;
    case OP_QKV_GROUPS_SPLIT: qkv_groups(c, m, true); break;
    case OP_QKV_SPLIT: qkv_split(c, m); break;
    case OP_QKVZ: qkvz(c, m); break;
    case OP_V_ROWS: value_rows(c, m, 0, 0, CHANGE_NONE); break;
    case OP_V_VALUES: value_rows(c, m, 0, 1, CHANGE_NONE); break;
    case OP_V_NEG_EXP: value_rows(c, m, 0, 1, CHANGE_NEG_EXP); break;
    case OP_V_QKV: value_rows(c, m, 1, 0, CHANGE_NONE); break;
    case OP_V_COLUMNS: value_columns(c, m); break;
    default: return false;
    }
    return true;
}
