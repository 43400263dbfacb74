/* Which tensors of a folder are packed, and how; see packed.h. Every shape is checked here, so that reading
 * needs no checks. What is packed otherwise is refused by the name of the method. */
#include "packed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "loader/limits.h"

enum { NAME_ROOM = 700, GROUP_MIN = 8 };

static bool ends(str s, const char *with) {
    size_t n = strlen(with);
    return s.n > n && !memcmp(s.p + s.n - n, with, n);
}

/* The tensor called like t with `tail` in the place of `own`. */
static source_tensor *beside(const conversion *c, const source_tensor *t, const char *own, const char *tail) {
    char name[NAME_ROOM];
    size_t n = t->name.n - strlen(own), m = strlen(tail);
    if (n + m >= sizeof name) return NULL;
    memcpy(name, t->name.p, n);
    memcpy(name + n, tail, m);
    return weights_find(&c->w, (str){name, n + m});
}

static void misfit(conversion *c, const source_tensor *t) {
    conversion_fail(c, LEAT_E_TENSOR,
                    "tensor \"%.150s\" and those with its scales and zeros do not fit together", t->name.p);
}

static bool is_shape(const source_tensor *t, uint64_t rows, uint64_t cols) {
    return t && t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols;
}

/* A matrix of plain numbers in the place of what p holds; its name is t's with `own` replaced. */
static void replace(conversion *c, source_tensor *t, const char *own, const char *tail, uint64_t rows,
                    uint64_t cols, const packing *p) {
    if (c->status) return;
    size_t n = t->name.n - strlen(own);
    char *name = arena_alloc(&c->w.names, n + strlen(tail) + 1);
    packing *kept = arena_array(&c->a, 1, sizeof *kept);
    if (!name || !kept || c->w.n == c->w.capacity) {
        conversion_fail(c, LEAT_E_NOMEM, "out of memory for packed tensors");
        return;
    }
    memcpy(name, t->name.p, n);
    strcpy(name + n, tail);
    *kept = *p;
    bool small = p->scales->type == WEIGHT_F16;
    c->w.t[c->w.n++] = (source_tensor){.name = {name, strlen(name)},
                                       .type = small ? WEIGHT_F16 : WEIGHT_BF16,
                                       .n_dims = 2,
                                       .dims = {rows, cols, 1, 1, 1, 1},
                                       .n = rows * cols,
                                       .packed = kept};
    const source_tensor *parts[] = {p->codes, p->scales,     p->zeros,        p->order,
                                    p->map,   p->scales_map, p->scales_scales};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        source_tensor *x = parts[i] ? weights_find(&c->w, parts[i]->name) : NULL;
        if (x) x->hidden = true;
    }
}

static bool good_size(uint64_t rows, uint64_t cols) {
    return rows && cols && rows <= LIMIT_DIM && cols <= LIMIT_DIM && rows <= LIMIT_ELEMENTS / cols;
}

/* ---- GPTQ, AWQ ---- */

/* Which of the two, and how many bits, is plain from shapes, whatever config.json says, or some other file.
 */
static void integers(conversion *c, source_tensor *t) {
    static const char own[] = ".qweight";
    const source_tensor *s = beside(c, t, own, ".scales"), *z = beside(c, t, own, ".qzeros");
    bool awq = s && s->n_dims == 2 && t->n_dims == 2 && t->dims[1] != s->dims[1];
    packing p = {.kind = awq ? PACKING_AWQ : PACKING_GPTQ,
                 .codes = t,
                 .scales = s,
                 .zeros = z,
                 .order = awq ? NULL : beside(c, t, own, ".g_idx")};
    p.bits = cfg_u32(c, "quantization_config.bits|quantization_config.w_bit", 4);
    if (s && s->n_dims == 2 && s->dims[1] && z && z->n_dims == 2 && z->dims[1] <= s->dims[1])
        p.bits = (uint32_t)(z->dims[1] * 32 / s->dims[1]);
    bool good = !c->status && s && s->n_dims == 2 && t->type == WEIGHT_I32 && t->n_dims == 2 &&
                weight_is_float(s->type) && p.bits >= 2 && p.bits <= 8 && (p.bits == 4 || !awq);
    uint64_t rows = good ? s->dims[1] : 0, words = rows * p.bits / 32,
             cols = !good ? 0
                    : awq ? t->dims[0]
                          : t->dims[0] * 32 / p.bits;
    p.groups = good ? s->dims[0] : 0;
    good = good && good_size(rows, cols) && rows * p.bits % 32 == 0 && p.groups &&
           is_shape(t, awq ? cols : cols * p.bits / 32, awq ? words : rows) && cols * p.bits % 32 == 0;
    good = good && (!p.zeros || (p.zeros->type == WEIGHT_I32 && is_shape(p.zeros, p.groups, words)));
    good = good && (!p.order || (p.order->type == WEIGHT_I32 && p.order->n == cols));
    p.group = good ? (cols + p.groups - 1) / p.groups : 1;
    double said = cfg_f64(c, "quantization_config.group_size|quantization_config.q_group_size", -1);
    if (said >= 1 && said <= (double)LIMIT_DIM) p.group = (uint64_t)said;
    good = good && !c->status && (cols + p.group - 1) / p.group == p.groups;
    if (!good) {
        if (!c->status) misfit(c, t);
        return;
    }
    /* without zeros the middle is zero; GPTQ's first format keeps them less one */
    if (!p.zeros) p.zero = (float)(UINT32_C(1) << (p.bits - 1));
    if (p.zeros && !awq && !cfg_is(c, "quantization_config.checkpoint_format", "gptq_v2")) p.zero = 1;
    replace(c, t, own, ".weight", rows, cols, &p);
}

/* ---- compressed-tensors ---- */

/* Integers with their shape in a tensor of its own. */
static void rows_of_integers(conversion *c, source_tensor *t) {
    static const char own[] = ".weight_packed";
    const source_tensor *shape = beside(c, t, own, ".weight_shape");
    packing p = {.kind = PACKING_ROWS,
                 .codes = t,
                 .scales = beside(c, t, own, ".weight_scale"),
                 .zeros = beside(c, t, own, ".weight_zero_point"),
                 .order = beside(c, t, own, ".weight_g_idx")};
    const source_tensor *s = p.scales;
    uint64_t rows = 0, cols = 0;
    if (shape && shape->n == 2 && (shape->type == WEIGHT_I64 || shape->type == WEIGHT_I32)) {
        float sizes[2];
        source_read(shape, 0, 1, 2, sizes);
        if (sizes[0] >= 1 && sizes[1] >= 1 && sizes[0] <= 0x1p24f && sizes[1] <= 0x1p24f) {
            rows = (uint64_t)sizes[0];
            cols = (uint64_t)sizes[1];
        }
    }
    bool good = t->type == WEIGHT_I32 && t->n_dims == 2 && t->dims[0] == rows && good_size(rows, cols) && s &&
                s->n_dims == 2 && s->dims[0] == rows && s->dims[1] && weight_is_float(s->type);
    for (p.bits = 2; good && p.bits < 8; p.bits *= 2) /* as many as there is room for */
        if ((cols + 32 / p.bits - 1) / (32 / p.bits) == t->dims[1]) break;
    good = good && (cols + 32 / p.bits - 1) / (32 / p.bits) == t->dims[1];
    p.groups = good ? s->dims[1] : 1;
    p.group = (cols + p.groups - 1) / p.groups;
    if (good && p.zeros)
        good = p.zeros->type == WEIGHT_I32 &&
               is_shape(p.zeros, (rows + 32 / p.bits - 1) / (32 / p.bits), p.groups);
    if (good && p.order) good = p.order->type == WEIGHT_I32 && p.order->n == cols;
    if (!good || !p.group) {
        misfit(c, t);
        return;
    }
    if (!p.zeros) p.zero = (float)(UINT32_C(1) << (p.bits - 1));
    source_tensor *hidden = beside(c, t, own, ".weight_shape");
    hidden->hidden = true;
    replace(c, t, own, ".weight", rows, cols, &p);
}

/* FP4 with scales of FP8 for 16 values and one for all, or of powers of two for 32. */
static void floats_of_four_bits(conversion *c, source_tensor *t, const char *own) {
    packing p = {.kind = PACKING_FP4, .codes = t, .scales = beside(c, t, own, ".weight_scale"), .factor = 1};
    source_tensor *all = beside(c, t, own, ".weight_scale_2"),
                  *under = beside(c, t, own, ".weight_global_scale");
    const source_tensor *s = p.scales;
    uint64_t rows = t->dims[0], cols = t->n_dims == 2 && t->dims[1] <= LIMIT_DIM / 2 ? 2 * t->dims[1] : 0;
    bool good = s && t->type == WEIGHT_U8 && t->n_dims == 2 && good_size(rows, cols) && s->n_dims == 2 &&
                s->dims[0] == rows && s->dims[1] && cols % s->dims[1] == 0 &&
                cols / s->dims[1] >= GROUP_MIN &&
                (s->type == WEIGHT_F8_E4M3 || s->type == WEIGHT_U8 || s->type == WEIGHT_F8_E8M0);
    if (good && all && (all->n != 1 || !weight_is_float(all->type))) good = false;
    if (good && under && (under->n != 1 || !weight_is_float(under->type))) good = false;
    if (!good) {
        misfit(c, t);
        return;
    }
    float x = 1;
    if (all) source_read(all, 0, 1, 1, &x);
    if (all) p.factor = x;
    if (under) source_read(under, 0, 1, 1, &x);
    if (under) p.factor = 1 / x;
    if (!isfinite(p.factor))
        conversion_fail(c, LEAT_E_NUMERIC, "the scale of tensor \"%.150s\" is %g", t->name.p, (double)x);
    if (all) all->hidden = true;
    if (under) under->hidden = true;
    p.groups = s->dims[1];
    p.group = cols / p.groups;
    if (s->type == WEIGHT_U8) weights_find(&c->w, s->name)->type = WEIGHT_F8_E8M0; /* which it is */
    replace(c, t, own, ".weight", rows, cols, &p);
    t->hidden = true;
}

/* ---- bitsandbytes ---- */

/* Its description is a JSON document in a tensor of bytes. */
static const json_value *state_of(conversion *c, const source_tensor *t) {
    static const char *const tails[] = {".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"};
    const json_value *v = NULL;
    for (size_t i = 0; i < 2 && !v && !c->status; i++) {
        source_tensor *s = beside(c, t, "", tails[i]);
        if (!s || s->type != WEIGHT_U8) continue;
        s->hidden = true;
        c->status = json_parse(&c->a, "quant_state", (const char *)s->data, s->bytes, &v, c->e);
    }
    return v;
}

static uint64_t size_in(const json_value *v, const char *name) {
    const json_value *x = json_get(v, name);
    return x && x->type == JSON_INT && x->integer > 0 && (uint64_t)x->integer <= LIMIT_DIM
               ? (uint64_t)x->integer
               : 0;
}

static void bits_and_bytes(conversion *c, source_tensor *t) {
    const json_value *state = state_of(c, t), *shape = json_get(state, "shape");
    const json_value *offset = json_get(state, "nested_offset");
    uint64_t sizes[2] = {0, 0};
    size_t k = 0;
    packing p = {.kind = PACKING_BNB,
                 .codes = t,
                 .scales = beside(c, t, "", ".absmax"),
                 .map = beside(c, t, "", ".quant_map"),
                 .scales_map = beside(c, t, "", ".nested_quant_map"),
                 .scales_scales = beside(c, t, "", ".nested_absmax"),
                 .group = size_in(state, "blocksize"),
                 .scales_group = size_in(state, "nested_blocksize")};
    if (c->status) return;
    for (const json_value *x = shape && shape->type == JSON_ARRAY ? shape->first : NULL; x && k < 2;
         x = x->next)
        sizes[k++] = x->type == JSON_INT && x->integer > 0 ? (uint64_t)x->integer : 0;
    uint64_t n = good_size(sizes[0], sizes[1]) ? sizes[0] * sizes[1] : 0, blocks = 0;
    bool good = n && t->type == WEIGHT_U8 && t->n == (n + 1) / 2 && p.group && p.scales && p.map &&
                p.map->n >= 16 && weight_is_float(p.map->type);
    if (good) blocks = (n + p.group - 1) / p.group;
    good = good && p.scales->n >= blocks;
    if (good && p.scales_map)
        good = p.scales->type == WEIGHT_U8 && p.scales_map->n >= 256 && weight_is_float(p.scales_map->type) &&
               p.scales_group && p.scales_scales && weight_is_float(p.scales_scales->type) &&
               p.scales_scales->n >= (blocks + p.scales_group - 1) / p.scales_group;
    else
        good = good && weight_is_float(p.scales->type);
    if (!good) {
        misfit(c, t);
        return;
    }
    if (offset && (offset->type == JSON_FLOAT || offset->type == JSON_INT)) p.offset = (float)offset->real;
    replace(c, t, "", "", sizes[0], sizes[1], &p);
    t->hidden = true;
}

/* ---- all of them ---- */

static void unknown(conversion *c, const source_tensor *t, const char *kind) {
    conversion_fail(
        c, LEAT_E_UNSUPPORTED,
        "tensor \"%.100s\" is packed by %s, which can't be converted; convert the model that it was "
        "made from",
        t->name.p, kind);
}

void packed_bind(conversion *c) {
    static const struct {
        const char *tail, *kind;
    } others[] = {{".quant_map", "bitsandbytes"},
                  {".absmax", "bitsandbytes"},
                  {".qweight", "GPTQ or AWQ"},
                  {".qzeros", "GPTQ or AWQ"},
                  {".weight_packed", "compressed-tensors"},
                  {".codebooks", "AQLM"},
                  {".W_q", "HQQ"},
                  {".weight._data", "Quanto"}};
    weights *w = &c->w;
    size_t n = w->n, packed = 0;
    for (size_t i = 0; i < n; i++)
        packed += ends(w->t[i].name, ".qweight") || ends(w->t[i].name, ".weight_packed") ||
                  w->t[i].type == WEIGHT_U8;
    if (packed) c->status = weights_reserve(w, packed, c->e);
    for (size_t i = 0; i < n && !c->status; i++) {
        source_tensor *t = &w->t[i];
        bool bytes = t->type == WEIGHT_U8 && ends(t->name, ".weight");
        if (ends(t->name, ".qweight"))
            integers(c, t);
        else if (ends(t->name, ".weight_packed") && t->type == WEIGHT_U8)
            floats_of_four_bits(c, t, ".weight_packed");
        else if (ends(t->name, ".weight_packed"))
            rows_of_integers(c, t);
        else if (bytes && beside(c, t, "", ".absmax"))
            bits_and_bytes(c, t);
        else if (bytes && beside(c, t, ".weight", ".weight_scale"))
            floats_of_four_bits(c, t, ".weight");
    }
    for (size_t i = 0; i < n && !c->status; i++)
        for (size_t k = 0; k < sizeof others / sizeof *others && !w->t[i].hidden; k++)
            if (ends(w->t[i].name, others[k].tail)) unknown(c, &w->t[i], others[k].kind);
}
