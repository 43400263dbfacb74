/* The checked readers for mixtures of experts; the rest of arch.h is in arch.c. */
#include "arch_loader.h"

#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "moe.h"

enum { N_FF_MAX = 1 << 22, NAME_MAX_BYTES = 128 };

static leat_status read_groups(arch_loader *l, moe_routing *r) {
    const uint32_t none = 0;
    leat_status s = arch_u32(l, "expert_group_count", 0, MOE_EXPERTS_MAX, &none, &r->n_groups);
    if (!s) s = arch_u32(l, "expert_group_used_count", 0, MOE_EXPERTS_MAX, &none, &r->n_groups_used);
    if (s || r->n_groups <= 1) return s;
    if (r->n_expert % r->n_groups || r->n_expert == r->n_groups)
        return error_set(l->e, LEAT_E_HPARAM, "%s.expert_count %u does not divide into expert_group_count %u",
                         l->arch_name, r->n_expert, r->n_groups);
    if (r->n_groups_used == 0 || r->n_groups_used > r->n_groups ||
        r->n_used > r->n_groups_used * (r->n_expert / r->n_groups))
        return error_set(l->e, LEAT_E_HPARAM,
                         "%s.expert_group_used_count is %u, but there are %u groups of %u experts, of which "
                         "%u are used",
                         l->arch_name, r->n_groups_used, r->n_groups, r->n_expert / r->n_groups, r->n_used);
    return LEAT_OK;
}

leat_status arch_read_experts(arch_loader *l, hparams *hp) {
    moe_hparams *m = &hp->moe;
    moe_routing *r = &m->routing;
    const uint32_t none = 0, gating = r->gating;
    uint32_t value = 0;
    leat_status s = arch_u32(l, "expert_count", 0, MOE_EXPERTS_MAX, &none, &r->n_expert);
    if (s || !r->n_expert) return s;
    s = arch_u32(l, "expert_used_count", 1, MOE_USED_MAX, NULL, &r->n_used);
    if (!s && r->n_used > r->n_expert)
        s = error_set(l->e, LEAT_E_HPARAM, "%s.expert_used_count is %u, but expert_count is %u", l->arch_name,
                      r->n_used, r->n_expert);
    if (!s) s = arch_u32(l, "expert_feed_forward_length", 0, N_FF_MAX, &none, &m->n_ff);
    if (!s) s = arch_u32(l, "expert_shared_feed_forward_length", 0, N_FF_MAX, &none, &m->n_ff_shared);
    if (!s) s = arch_u32(l, "leading_dense_block_count", 0, hp->n_layer, &none, &m->n_dense);
    if (!s) s = arch_u32(l, "expert_gating_func", 0, UINT32_MAX, &none, &value);
    if (!s) s = arch_f32(l, "expert_weights_scale", -1e6f, 1e6f, &r->scale, &r->scale);
    if (!s) s = arch_bool(l, "expert_weights_norm", &r->normalise, &r->normalise);
    if (!s) s = read_groups(l, r);
    if (s) return s;
    if (value > MOE_SOFTMAX_CHOSEN)
        return error_set(l->e, LEAT_E_UNSUPPORTED, "%s.expert_gating_func is %u, which is not known here",
                         l->arch_name, value);
    r->gating = value ? (moe_gating)value : gating ? (moe_gating)gating : MOE_SOFTMAX;
    if (!m->n_ff) m->n_ff = hp->n_ff / r->n_used;
    if (!m->n_ff)
        return error_set(l->e, LEAT_E_HPARAM, "%s.expert_feed_forward_length is missing or 0", l->arch_name);
    return LEAT_OK;
}

/* The tensor of a name with a layer number, checked to be of shape [cols, rows, n_expert]. */
static leat_status find(arch_loader *l, const char *name, uint32_t layer, size_t n_expert, size_t rows,
                        size_t cols, bool optional, const gguf_tensor **out) {
    char full[NAME_MAX_BYTES];
    const char *hole = strstr(name, "%u");
    if (hole)
        snprintf(full, sizeof full, "%.*s%u%s", (int)(hole - name), name, layer, hole + 2);
    else
        snprintf(full, sizeof full, "%s", name);
    const gguf_tensor *t = *out = gguf_find_tensor(l->g, full);
    if (!t) return optional ? LEAT_OK : error_set(l->e, LEAT_E_TENSOR, "tensor %s is missing", full);
    if (t->ne[0] != cols || t->ne[1] != rows || t->ne[2] != n_expert || t->ne[3] != 1)
        return error_set(l->e, LEAT_E_TENSOR,
                         "tensor %s has shape [%llu, %llu, %llu, %llu], not [%zu, %zu, %zu, 1]", full,
                         (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
                         (unsigned long long)t->ne[2], (unsigned long long)t->ne[3], cols, rows, n_expert);
    l->used[t - l->g->tensors] = 1;
    return LEAT_OK;
}

leat_status arch_bind_experts(arch_loader *l, expert_weight *out, const char *name, uint32_t layer,
                              size_t n_expert, size_t rows, size_t cols, unsigned flags) {
    const gguf_tensor *t;
    *out = (expert_weight){0};
    leat_status s = find(l, name, layer, n_expert, rows, cols, flags & BIND_OPTIONAL, &t);
    if (s || !t) return s;
    if (kernels_traits(t->format).act == ACT_COUNT)
        return error_set(l->e, LEAT_E_UNSUPPORTED,
                         "tensor %.*s has type %s, which can't be computed with yet", (int)t->name.n,
                         t->name.p, format_get(t->format)->name);
    *out = (expert_weight){.w = {.data = t->data,
                                 .format = t->format,
                                 .row_bytes = t->row_bytes,
                                 .n_rows = rows,
                                 .n_cols = cols},
                           .stride = rows * t->row_bytes};
    return LEAT_OK;
}

leat_status arch_bind_expert_bias(arch_loader *l, weight *out, const char *name, uint32_t layer,
                                  size_t n_expert, size_t cols) {
    const gguf_tensor *t;
    *out = (weight){0};
    leat_status s = find(l, name, layer, 1, n_expert, cols, true, &t);
    if (s || !t) return s;
    if (t->format != FORMAT_F32)
        return error_set(l->e, LEAT_E_TENSOR, "tensor %.*s has type %s, not F32", (int)t->name.n, t->name.p,
                         format_get(t->format)->name);
    *out = (weight){
        .data = t->data, .format = t->format, .row_bytes = t->row_bytes, .n_rows = n_expert, .n_cols = cols};
    return LEAT_OK;
}
