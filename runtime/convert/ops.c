/* The operations of ops.def on one tensor at a time: what becomes a view of what, under which name. Those on
 * tensors that hold several are in ops_fused.c. Shapes come from a file: every product is of checked
 * dimensions, and every view is checked before it is kept. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels/formats.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/limits.h"
#include "ops_impl.h"

enum { EXPERTS_MAX = 4096 };
enum { BAICHUAN2 = 125696 }; /* its vocabulary: what tells it from the first, whose output is another */

#define SOURCE_NAME(m) (int)((m)->src->name.n < 120 ? (m)->src->name.n : 120), (m)->src->name.p

shape shape_of(const source_tensor *t) {
    shape s = {1, 1, 1, t->n_dims < 2};
    if (t->n_dims < 2) {
        s.rows = t->n;
        return s;
    }
    s.cols = t->dims[t->n_dims - 1];
    s.rows = t->dims[t->n_dims - 2];
    for (uint32_t i = 0; i + 2 < t->n_dims; i++) s.stack *= t->dims[i];
    return s;
}

void op_bad_shape(conversion *c, const tensor_match *m, const char *why) {
    conversion_fail(c, LEAT_E_TENSOR, "tensor \"%.*s\" has an unexpected shape: %s", SOURCE_NAME(m), why);
}

view view_steps(const source_tensor *t, uint64_t base, const step *steps, uint32_t n) {
    view v = {.src = t, .base = base, .n_dims = n, .n = 1};
    for (uint32_t i = 0; i < n; i++) {
        v.count[i] = steps[i].count;
        v.stride[i] = steps[i].stride;
        v.n *= steps[i].count;
    }
    return v;
}

/* The pattern with the layer for # and the suffix behind, unless it brings its own. */
static bool write_name(const tensor_match *m, const char *pattern, char out[128]) {
    size_t n = 0;
    for (const char *p = pattern; *p && n < 100; p++) {
        int k = *p == '#' ? snprintf(out + n, 12, "%" PRIu32, m->layer) : 1;
        if (*p != '#') out[n] = *p;
        n += (size_t)k;
    }
    out[n] = 0;
    return n < 100 && snprintf(out + n, 128 - n, "%s", m->suffix) < (int)(128 - n);
}

static target *new_target(conversion *c) {
    if (c->n_targets == c->targets_capacity) {
        size_t more = c->targets_capacity ? 2 * c->targets_capacity : 256;
        target *t = mem_resize(c->targets, c->targets_capacity, more, sizeof *t);
        if (!t) {
            conversion_fail(c, LEAT_E_NOMEM, "out of memory for %zu tensors", more);
            return NULL;
        }
        c->targets = t;
        c->targets_capacity = more;
    }
    if (c->n_targets == LIMIT_TENSORS) {
        conversion_fail(c, LEAT_E_LIMIT, "the model has more than %d tensors", LIMIT_TENSORS);
        return NULL;
    }
    target *t = &c->targets[c->n_targets++];
    memset(t, 0, sizeof *t);
    t->format = FORMAT_F32;
    return t;
}

target *op_target(conversion *c, const tensor_match *m, const char *name, uint64_t ne0, uint64_t ne1,
                  uint64_t ne2) {
    target *t = c->status ? NULL : new_target(c);
    if (!t) return NULL;
    if (!write_name(m, name, t->name)) {
        conversion_fail(c, LEAT_E_NAME, "tensor \"%.*s\" would get a name that is too long", SOURCE_NAME(m));
        return NULL;
    }
    t->ne[0] = ne0;
    t->ne[1] = ne1 ? ne1 : 1;
    t->ne[2] = ne2 ? ne2 : 1;
    t->ne[3] = 1;
    t->n_dims = ne2 ? 3 : ne1 ? 2 : 1;
    return t;
}

void op_part(conversion *c, const tensor_match *m, target *t, view v) {
    if (!t || c->status) return;
    if (!view_inside(&v))
        op_bad_shape(c, m, "it is too small for what the model's sizes say, or empty");
    else if (!target_add(t, &v))
        conversion_fail(c, LEAT_E_NOMEM, "out of memory for parts of tensors");
}

/* Dimensions as they are, outermost first in the source and last in the target. */
static target *same_dims(conversion *c, const tensor_match *m) {
    const source_tensor *s = m->src;
    if (s->n_dims > 4) {
        op_bad_shape(c, m, "it has more than four dimensions");
        return NULL;
    }
    target *t = op_target(c, m, m->rule->to, s->n, 0, 0);
    if (!t || !s->n_dims) return t;
    t->n_dims = s->n_dims;
    for (uint32_t i = 0; i < s->n_dims; i++) t->ne[i] = s->dims[s->n_dims - 1 - i];
    return t;
}

static void copy(conversion *c, const tensor_match *m, view_change change) {
    target *t = same_dims(c, m);
    if (t) t->change = change;
    op_part(c, m, t, view_whole(m->src));
}

/* Llama's rotation in HF turns value i of a head with value i + half of it, in GGUF neighbours. */
static void permute(conversion *c, const tensor_match *m, uint64_t heads) {
    shape s = shape_of(m->src);
    if (!heads || s.stack != 1 || s.rows % (2 * heads)) {
        op_bad_shape(c, m, "its rows are no pairs in heads");
        return;
    }
    uint64_t dim = s.rows / heads, half = dim / 2;
    op_part(c, m, same_dims(c, m),
            STEPS(m->src, 0, {heads, dim * s.cols}, {half, s.cols}, {2, half * s.cols}, {s.cols, 1}));
}

static void transpose(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    if (s.is_row) {
        copy(c, m, CHANGE_NONE);
        return;
    }
    target *t = op_target(c, m, m->rule->to, s.rows, s.cols, m->src->n_dims > 2 ? s.stack : 0);
    op_part(c, m, t, STEPS(m->src, 0, {s.stack, s.rows * s.cols}, {s.cols, 1}, {s.rows, s.cols}));
}

/* The target that collects the experts of this rule and layer. */
static target *find_stack(conversion *c, const tensor_match *m) {
    char name[128];
    if (!write_name(m, m->rule->to, name)) return NULL;
    for (size_t i = c->n_targets; i-- > 0;) /* experts of a layer stand together, mostly */
        if (!strcmp(c->targets[i].name, name)) return &c->targets[i];
    return NULL;
}

static target *open_stack(conversion *c, const tensor_match *m, uint64_t n) {
    const source_tensor *s = m->src;
    uint64_t cols = s->n_dims ? s->dims[s->n_dims - 1] : 1;
    target *t = s->n_dims == 2 ? op_target(c, m, m->rule->to, cols, s->dims[0], n)
                               : op_target(c, m, m->rule->to, s->n, n, 0);
    view none = {.n = s->n};
    for (uint64_t i = 0; t && !c->status && i < n; i++)
        if (!target_add(t, &none))
            conversion_fail(c, LEAT_E_NOMEM, "out of memory for %" PRIu64 " experts", n);
    return t;
}

uint64_t op_experts(conversion *c) {
    return cfg_u32(c, "num_local_experts|num_experts|n_routed_experts|moe_num_experts", 0);
}

static void expert(conversion *c, const tensor_match *m) {
    bool is_head = strstr(m->rule->to, "attn_") != NULL; /* norms of each head */
    bool is_stream = !strncmp(m->rule->to, "altup", 5);  /* Gemma 3n's, but the first */
    uint64_t n = op_experts(c);
    if (is_head) n = strstr(m->rule->to, "attn_k") ? c->n_head_kv : c->n_head;
    if (is_stream) n = cfg_u32(c, "altup_num_inputs", 4) - UINT64_C(1);
    if (c->status) return;
    if (n > EXPERTS_MAX || m->expert >= n || m->src->n_dims < 1 || m->src->n_dims > 2) {
        conversion_fail(c, LEAT_E_TENSOR, "tensor \"%.*s\": the model has %" PRIu64 " of its kind in a layer",
                        SOURCE_NAME(m), n);
        return;
    }
    target *t = find_stack(c, m);
    if (!t) t = open_stack(c, m, n);
    if (!t || c->status) return;
    view v = view_whole(m->src);
    bool fits =
        t->n_parts == n && t->parts[m->expert].n == v.n && t->ne[0] == m->src->dims[m->src->n_dims - 1];
    if (!fits || !view_inside(&v))
        op_bad_shape(c, m, "it differs from the other experts'");
    else if (t->parts[m->expert].src)
        conversion_fail(c, LEAT_E_DUPLICATE, "tensor \"%.*s\" is there twice", SOURCE_NAME(m));
    else
        t->parts[m->expert] = v;
}

static void matrix(conversion *c, const tensor_match *m) {
    const source_tensor *s = m->src;
    uint64_t cols = s->n_dims ? s->dims[s->n_dims - 1] : 1;
    if (s->n_dims < 2 || !cols) {
        copy(c, m, CHANGE_NONE);
        return;
    }
    op_part(c, m, op_target(c, m, m->rule->to, cols, s->n / cols, 0), view_whole(s));
}

static void reshaped(conversion *c, const tensor_match *m, uint64_t ne0, uint64_t ne1, view_change change) {
    target *t = op_target(c, m, m->rule->to, ne0, ne1, 0);
    if (t) t->change = change;
    op_part(c, m, t, view_whole(m->src));
}

static void groups(conversion *c, const tensor_match *m) {
    uint64_t n = cfg_u32(c, "mamba_n_groups|n_groups|n_group", 1);
    if (!n || m->src->n % n)
        op_bad_shape(c, m, "it is no whole number of groups");
    else
        reshaped(c, m, m->src->n / n, n, CHANGE_NONE);
}

/* A zero that is there as often as it is asked for. */
static const source_tensor zero = {.name = {"zero", 4},
                                   .type = WEIGHT_F32,
                                   .n_dims = 1,
                                   .dims = {1, 1, 1, 1, 1, 1},
                                   .n = 1,
                                   .data = (const uint8_t *)"\0\0\0",
                                   .bytes = 4};

static void padded(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    uint64_t rows = cfg_u32(c, "vocab_size", 0);
    if (s.is_row || s.stack != 1 || rows <= s.rows) {
        copy(c, m, CHANGE_NONE);
        return;
    }
    target *t = op_target(c, m, m->rule->to, s.cols, rows, 0);
    op_part(c, m, t, view_whole(m->src));
    op_part(c, m, t, STEPS(&zero, 0, {(rows - s.rows) * s.cols, 0}));
}

static void positions(conversion *c, const tensor_match *m) {
    shape s = shape_of(m->src);
    uint64_t first = cfg(c, "pad_token_id") ? cfg_u32(c, "pad_token_id", 0) + UINT64_C(1) : 0;
    if (s.is_row || s.stack != 1 || first >= s.rows)
        op_bad_shape(c, m, "it has no rows behind padding's");
    else
        op_part(c, m, op_target(c, m, m->rule->to, s.cols, s.rows - first, 0),
                view_rows(m->src, s.cols, first, s.rows - first));
}

static void stacked(conversion *c, const tensor_match *m, bool transposed) {
    shape s = shape_of(m->src);
    uint64_t n = op_experts(c), rows = n ? s.rows / n : 0;
    if (s.is_row || s.stack != 1 || !rows || rows * n != s.rows) {
        op_bad_shape(c, m, "its rows are not those of all experts");
        return;
    }
    if (transposed)
        op_part(c, m, op_target(c, m, m->rule->to, rows, s.cols, n),
                STEPS(m->src, 0, {n, rows * s.cols}, {s.cols, 1}, {rows, s.cols}));
    else
        op_part(c, m, op_target(c, m, m->rule->to, s.cols, rows, n), view_whole(m->src));
}

void op_apply(conversion *c, const tensor_match *m) {
    bool one = c->arch->add_one && !strcmp(m->suffix, ".weight");
    switch (m->rule->op) {
    case OP_COPY: copy(c, m, CHANGE_NONE); break;
    case OP_SKIP: break;
    case OP_Q:
    case OP_K:
        if (c->arch->permute)
            permute(c, m, m->rule->op == OP_Q ? c->n_head : c->n_head_kv);
        else
            copy(c, m, CHANGE_NONE);
        break;
    case OP_NORM: copy(c, m, one ? CHANGE_ADD_ONE : CHANGE_NONE); break;
    case OP_UNIT_ROWS:
        copy(c, m, cfg_u32(c, "vocab_size", 0) == BAICHUAN2 ? CHANGE_UNIT : CHANGE_NONE);
        break;
    case OP_ADD_ONE: copy(c, m, CHANGE_ADD_ONE); break;
    case OP_VECTOR: reshaped(c, m, m->src->n, 0, CHANGE_NONE); break;
    case OP_COLUMN: reshaped(c, m, 1, m->src->n, CHANGE_NONE); break;
    case OP_MATRIX: matrix(c, m); break;
    case OP_TRANSPOSE: transpose(c, m); break;
    case OP_NEG_EXP: copy(c, m, CHANGE_NEG_EXP); break;
    case OP_NEG_EXP_COLUMN: reshaped(c, m, 1, m->src->n, CHANGE_NEG_EXP); break;
    case OP_EXPERT: expert(c, m); break;
    case OP_GROUPS: groups(c, m); break;
    case OP_PADDED: padded(c, m); break;
    case OP_POSITIONS: positions(c, m); break;
    case OP_HEAD:
        if (conversion_classifies(c)) copy(c, m, CHANGE_NONE);
        break;
    case OP_STACKED: stacked(c, m, false); break;
    case OP_STACKED_TRANSPOSED: stacked(c, m, true); break;
    default:
        if (!op_apply_fused(c, m))
            conversion_fail(c, LEAT_E_UNSUPPORTED, "tensor \"%.*s\": nobody knows what to do",
                            SOURCE_NAME(m));
    }
}

void op_constant(conversion *c, const char *name, const float *values, size_t n) {
    static const tensor_rule rule = {"", "", OP_COPY, NULL};
    tensor_match m = {&rule, NULL, 0, 0, ""};
    if (c->status) return;
    source_tensor *s = arena_array(&c->a, 1, sizeof *s);
    uint8_t *bytes = arena_array(&c->a, n, 4);
    if (!s || !bytes) {
        conversion_fail(c, LEAT_E_NOMEM, "out of memory for %s", name);
        return;
    }
    for (size_t i = 0; i < n; i++) { /* little endian, as files are */
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (size_t k = 0; k < 4; k++) bytes[4 * i + k] = (uint8_t)(bits >> 8 * k);
    }
    *s = (source_tensor){.name = {name, strlen(name)},
                         .type = WEIGHT_F32,
                         .n_dims = 1,
                         .dims = {n, 1, 1, 1, 1, 1},
                         .n = n,
                         .data = bytes,
                         .bytes = 4 * n};
    m.src = s;
    op_part(c, &m, op_target(c, &m, name, n, 0, 0), view_whole(s));
}

/* Are the parts together what the dimensions say? Sizes of the configuration may not fit the tensors'. */
static bool is_whole(const target *t) {
    uint64_t n = 1;
    for (size_t i = 0; i < 4; i++) {
        if (!t->ne[i] || t->ne[i] > LIMIT_DIM || n > LIMIT_ELEMENTS / t->ne[i]) return false;
        n *= t->ne[i];
    }
    return t->format != FORMAT_F32 || (t->n_parts && t->ends[t->n_parts - 1] == n);
}

/* The folder's name for one of the parts that are there. */
static const char *some_part(const target *t) {
    size_t k = 0;
    while (k < t->n_parts && !t->parts[k].src) k++;
    return k < t->n_parts ? t->parts[k].src->name.p : "";
}

void op_check(conversion *c) {
    for (size_t i = 0; i < c->n_targets && !c->status; i++) {
        const target *t = &c->targets[i];
        for (size_t k = 0; k < t->n_parts && !c->status; k++)
            if (!t->parts[k].src)
                conversion_fail(c, LEAT_E_TENSOR, "%s: number %zu of %zu is missing (there is \"%.120s\")",
                                t->name, k, t->n_parts, some_part(t));
        if (!c->status && !is_whole(t))
            conversion_fail(c, LEAT_E_TENSOR, "%s: its parts do not fit the sizes in config.json", t->name);
    }
}
