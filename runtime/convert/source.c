/* Values of safetensors as float32; see weights.h. Bytes may lie at any address: each value is copied out. */
#include <math.h>
#include <string.h>

#include "loader/cursor.h"
#include "packed.h"

static float f32_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint64_t load_le(const uint8_t *p, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* Small floats are widened exactly: their bits in the place of float32's have the wrong exponent, which a
 * multiplication puts right, for denormals too. Infinities and NaN apart. */
static float half_value(uint32_t v) {
    uint32_t rest = (v & 0x7FFF) << 13;
    float f = f32_of_bits(rest) * 0x1p112f;
    if (rest >= UINT32_C(0x7C00) << 13) f = rest == UINT32_C(0x7C00) << 13 ? INFINITY : NAN;
    return v & 0x8000 ? -f : f;
}

/* Of the FP8 paper (Micikevicius et al.): no infinities, and NaN only where all bits are set. */
static float e4m3_value(uint32_t v) {
    float f = (v & 0x7F) == 0x7F ? NAN : f32_of_bits((v & 0x7F) << 20) * 0x1p120f;
    return v & 0x80 ? -f : f;
}

static float value_at(weight_type type, const uint8_t *p) {
    double d;
    uint64_t bits;
    switch (type) {
    case WEIGHT_BOOL:
    case WEIGHT_U8: return (float)*p;
    case WEIGHT_I8: return (float)(int8_t)*p;
    case WEIGHT_F8_E5M2: return half_value((uint32_t)*p << 8);
    case WEIGHT_F8_E4M3: return e4m3_value(*p);
    case WEIGHT_F8_E8M0: return *p == 255 ? NAN : ldexpf(1.0f, (int)*p - 127);
    case WEIGHT_I16: return (float)(int16_t)load_le(p, 2);
    case WEIGHT_U16: return (float)load_le(p, 2);
    case WEIGHT_F16: return half_value((uint32_t)load_le(p, 2));
    case WEIGHT_BF16: return f32_of_bits((uint32_t)load_le(p, 2) << 16);
    case WEIGHT_I32: return (float)(int32_t)load_le(p, 4);
    case WEIGHT_U32: return (float)load_le(p, 4);
    case WEIGHT_F32: return f32_of_bits((uint32_t)load_le(p, 4));
    case WEIGHT_F64:
        bits = load_le(p, 8);
        memcpy(&d, &bits, sizeof d);
        return (float)d;
    case WEIGHT_I64: return (float)(int64_t)load_le(p, 8);
    case WEIGHT_U64: return (float)load_le(p, 8);
    case WEIGHT_TYPE_COUNT: break;
    }
    return NAN;
}

/* Multiplies values [at, at + n) with their scales, stretch by stretch. */
static void scale_run(const source_tensor *t, uint64_t at, size_t n, float *x) {
    const source_tensor *s = t->scale;
    uint64_t cols = t->n_dims ? t->dims[t->n_dims - 1] : 1;
    uint64_t per_row = (cols + t->block_cols - 1) / t->block_cols;
    for (size_t i = 0; i < n;) {
        uint64_t row = (at + i) / cols, col = (at + i) % cols;
        uint64_t left = t->block_cols - col % t->block_cols;
        if (left > cols - col) left = cols - col;
        if (left > n - i) left = n - i;
        uint64_t block = row / t->block_rows * per_row + col / t->block_cols;
        float scale = value_at(s->type, s->data + block * weight_type_bytes(s->type)) * t->scale_factor;
        for (uint64_t k = 0; k < left; k++) x[i++] *= scale;
    }
}

void source_read(const source_tensor *t, uint64_t at, uint64_t stride, size_t n, float *out) {
    if (t->packed) {
        packed_read(t, at, stride, n, out);
        return;
    }
    size_t bytes = weight_type_bytes(t->type), step = (size_t)stride * bytes;
    const uint8_t *p = t->data + at * bytes;
    /* the usual ones as loops that compilers can widen */
    if (t->type == WEIGHT_BF16 && stride == 1)
        for (size_t i = 0; i < n; i++) out[i] = f32_of_bits((uint32_t)(p[2 * i] | p[2 * i + 1] << 8) << 16);
    else if (t->type == WEIGHT_F32 && stride == 1)
        for (size_t i = 0; i < n; i++) out[i] = f32_of_bits(load_u32(p + 4 * i));
    else
        for (size_t i = 0; i < n; i++) out[i] = value_at(t->type, p + i * step);
    if (!t->scale) return;
    if (stride == 1)
        scale_run(t, at, n, out);
    else
        for (size_t i = 0; i < n; i++) scale_run(t, at + i * stride, 1, out + i);
}
