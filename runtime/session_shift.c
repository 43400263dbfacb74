/* Forgetting tokens from the middle of a session: what lies behind them moves down in the cache, and keys are
 * turned back by as many positions as they move. A rotation by the old position followed by one by the
 * difference is the rotation by the new position, whatever frequencies a model has, as long as they depend on
 * nothing but the pair of values: true of every scaling there is, since a session has one table for all its
 * positions. Keys that are kept in blocks are decoded, turned and encoded again, which costs them a little
 * more each time. */
#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "os.h"
#include "session.h"

/* One layer's keys on their way down. */
typedef struct mover {
    const leat_session *s;
    const kv_shape *shape;
    const rope_table *rope; /* NULL: keys are not rotated */
    const float *cs;        /* (n_dims / 2, 2) */
} mover;

/* Gains that would have to be divided by. */
static bool usable(const kv_shape *shape, size_t n_dims) {
    if (shape->fixed) return false;
    for (size_t h = 0; shape->gain && h < shape->n_head; h++)
        for (size_t i = 0; i < n_dims; i++) {
            float g = shape->gain[h * shape->gain_stride + shape->rope_first + i];
            if (!isfinite(g) || fabsf(g) < 1e-30f) return false;
        }
    return true;
}

static leat_status check(const leat_session *s, size_t from, size_t to, leat_error *e) {
    if (s->state.n_floats)
        return error_set(e, LEAT_E_UNSUPPORTED,
                         "recurrent layers remember all tokens as one: %s can't forget some from the middle",
                         s->model->arch_name);
    if (s->plan.n_positions)
        return error_set(e, LEAT_E_UNSUPPORTED, "%s has learned positions: tokens can't move to others",
                         s->model->arch_name);
    for (size_t i = 0; i < s->kv.n_layer; i++) {
        const kv_shape *shape = &s->plan.kv[i];
        size_t n_dims = shape->rope == PLAN_ROPE_NONE ? 0 : s->rope[shape->rope].n_dims;
        if (shape->n_head && !usable(shape, n_dims))
            return error_set(e, LEAT_E_UNSUPPORTED, "keys of layer %zu can't be moved to other positions", i);
    }
    if (!kv_can_drop(&s->kv, from, to, s->length))
        return error_set(e, LEAT_E_STATE,
                         "a layer with a window has given up positions that would be seen without tokens %zu "
                         ".. %zu",
                         from, to);
    return LEAT_OK;
}

/* x: the rotated values of a key. */
static void turn(const mover *m, float *x, const float *gain) {
    const kernels *k = &m->s->model->kernels;
    size_t n = m->rope->n_dims;
    for (size_t i = 0; gain && i < n; i++) x[i] /= gain[i];
    if (m->rope->layout == ROPE_PAIRS)
        k->rope_pairs(x, m->cs, n);
    else
        k->rope_halves(x, m->cs, n);
    for (size_t i = 0; gain && i < n; i++) x[i] *= gain[i];
}

/* n keys of a head; to is where from is, or before. */
static void move_keys(const mover *m, size_t head, const char *from, char *to, size_t n, size_t row) {
    const kernels *k = &m->s->model->kernels;
    const kv_shape *shape = m->shape;
    uint32_t format = m->s->kv.k_format;
    const float *gain = shape->gain ? shape->gain + head * shape->gain_stride + shape->rope_first : NULL;
    _Alignas(64) float x[ATTEND_HEAD_DIM_MAX];
    if (!m->rope) {
        memmove(to, from, n * row);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        k->decode[format](from + i * row, x, shape->dim_k);
        turn(m, x + shape->rope_first, gain);
        k->encode[format](x, to + i * row, shape->dim_k);
    }
}

static void move_layer(leat_session *s, size_t i, size_t from, size_t to, const float *const *cs) {
    kv_layer *l = &s->kv.layer[i];
    const kv_shape *shape = &s->plan.kv[i];
    mover m = {.s = s, .shape = shape};
    if (shape->rope != PLAN_ROPE_NONE && s->rope[shape->rope].n_dims) {
        m.rope = &s->rope[shape->rope];
        m.cs = cs[shape->rope];
    }
    size_t base = kv_base_after(l, from, to), first = l->base > to ? l->base : to, n = s->length - first;
    size_t source = first - l->base, target = first - (to - from) - base;
    for (size_t h = 0; n && h < l->n_head; h++) {
        char *k = l->k + h * l->room * l->k_row, *v = l->v + h * l->room * l->v_row;
        move_keys(&m, h, k + source * l->k_row, k + target * l->k_row, n, l->k_row);
        if (l->v_row) memmove(v + target * l->v_row, v + source * l->v_row, n * l->v_row);
    }
    l->base = base;
}

static leat_status drop(leat_session *s, size_t from, size_t to, leat_error *e) {
    if (from > to || to > s->length)
        return error_set(e, LEAT_E_ARG, "positions %zu .. %zu are not within the %zu tokens of the session",
                         from, to, s->length);
    if (from == to) return LEAT_OK;
    if (to == s->length) {
        leat_status st = session_rewind(s, from);
        return st ? error_set(e, st, "a layer with a window has given up what token %zu would see", from)
                  : st;
    }
    leat_status st = check(s, from, to, e);
    if (st) return st;
    const float *cs[ROPE_SETS] = {NULL};
    float *memory[ROPE_SETS] = {NULL};
    for (size_t i = 0; !st && i < ROPE_SETS; i++) {
        cs[i] = memory[i] = mem_alloc(s->rope[i].n_dims, sizeof *memory[i]);
        if (!cs[i])
            st = error_set(e, LEAT_E_NOMEM, "no memory to move tokens");
        else
            rope_pairs_down(&s->rope[i], to - from, memory[i]);
    }
    if (!st) {
        os_fp old;
        os_fp_flush_denormals(&old);
        for (size_t i = 0; i < s->kv.n_layer; i++)
            if (s->kv.layer[i].n_head) move_layer(s, i, from, to, cs);
        os_fp_restore(&old);
        memmove(s->tokens + from, s->tokens + to, (s->length - to) * sizeof *s->tokens);
        s->length -= to - from;
    }
    for (size_t i = 0; i < ROPE_SETS; i++) mem_free(memory[i]);
    return st;
}

leat_status session_drop(leat_session *s, size_t from, size_t to, leat_error *e) {
    leat_status st = session_take(s, e);
    if (st) return st;
    st = drop(s, from, to, e);
    session_give(s);
    return st;
}
