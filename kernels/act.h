/* Activations: the vectors that weights are multiplied with. A row of k values is one contiguous piece of
 * memory in one of four forms; this file is the layout of that piece and nothing else.
 *
 * ACT_F32     k floats.
 * ACT_Q8_32   int8 with one scale per 32 values  (weights with blocks of 32: Q4_0, Q8_0, ...); k % 32 == 0
 * ACT_Q8_256  int8 with one scale per 256 values (weights with blocks of 256: Q4_K, Q6_K, ...); k % 256 == 0
 *
 * ACT_BF16    k bfloat16 values                  (any quantized weights, many tokens: see panel.h)
 *
 * Quantized rows hold, beside the int8 values, the sums of them that every kernel would otherwise compute
 * again for each weight row: a weight type with a zero point or a minimum needs them. x[i] ~= d[i / group] *
 * q[i], q in [-127, 127], d = max|x| / 127 over the group, q = x * (127 / max|x|) rounded to nearest even.
 *
 * Two kinds of groups are special, and the same for every instruction set: where max|x| < ACT_TINY (so that
 * 127 / max|x| is finite and d is never denormal), d and all q are 0; where a value is Inf or NaN, d is the
 * quiet NaN 0x7fc00000 and all q are 0, which makes every product with the row NaN. The largest of the x with
 * the sign bit cleared, compared as integers, tells both: NaN > Inf > every number.
 *
 * Every section starts at a multiple of 64 bytes, and a row ends with 64 spare bytes, so that a kernel may
 * load a whole vector at the end of a section. Values beyond a section's end are unspecified but always
 * initialised memory: whoever allocates a row clears it once, quantizing writes the sections only. */
#ifndef LEAT_KERNELS_ACT_H
#define LEAT_KERNELS_ACT_H

#include <stddef.h>
#include <stdint.h>

typedef enum act_kind { ACT_F32, ACT_Q8_32, ACT_Q8_256, ACT_BF16, ACT_COUNT } act_kind;

#define ACT_TINY 0x1p-119f

#define ACT_MAGIC 0x4B400000 /* the bits of 12582912.0f, 1.5 * 2^23 */

#define ACT_ALIGN64(n) (((size_t)(n) + 63) & ~(size_t)63)

/* Byte offsets of the sections of a quantized row of k values; q is at 0. */

/* float d[k / group] */
static inline size_t act_d_at(size_t k) {
    return ACT_ALIGN64(k);
}
/* float ds[k / 32]: d times the sum of the 32 q */
static inline size_t act_ds_at(size_t k) {
    return act_d_at(k) + ACT_ALIGN64(k / 32 * 4);
}
/* int32_t z32[k / 32]: -128 times the sum of the 32 q */
static inline size_t act_z32_at(size_t k) {
    return act_ds_at(k) + ACT_ALIGN64(k / 32 * 4);
}
/* int32_t z16[k / 16]: -128 times the sum of the 16 q */
static inline size_t act_z16_at(size_t k) {
    return act_z32_at(k) + ACT_ALIGN64(k / 32 * 4);
}
/* int16_t s16[k / 16]: sum of 16 q */
static inline size_t act_s16_at(size_t k) {
    return act_z16_at(k) + ACT_ALIGN64(k / 16 * 4);
}
/* int16_t s32[k / 32]: sum of 32 q */
static inline size_t act_s32_at(size_t k) {
    return act_s16_at(k) + ACT_ALIGN64(k / 16 * 2);
}
/* int32_t m32[k / 32]: ACT_MAGIC plus z32. Products are added to it as integers; what comes out, taken as the
 * bits of a float, is 12582912 + the sum, exactly while that is below 2^22, so one fma takes it to a scaled
 * float. */
static inline size_t act_m32_at(size_t k) {
    return act_s32_at(k) + ACT_ALIGN64(k / 32 * 2);
}

/* Bytes of one row; also the smallest stride between rows. Rows start at multiples of 64 bytes. */
static inline size_t act_row_bytes(act_kind kind, size_t k) {
    if (kind == ACT_F32) return ACT_ALIGN64(k * 4) + 64;
    if (kind == ACT_BF16)
        return ACT_ALIGN64(k * 2) + 64; /* tile loads need rows that are no power of two apart */
    return act_m32_at(k) + ACT_ALIGN64(k / 32 * 4) + 64;
}

static inline const int8_t *act_q(const void *row) {
    return (const int8_t *)row;
}
static inline const float *act_d(const void *row, size_t k) {
    return (const float *)((const char *)row + act_d_at(k));
}
static inline const float *act_ds(const void *row, size_t k) {
    return (const float *)((const char *)row + act_ds_at(k));
}
static inline const int32_t *act_z32(const void *row, size_t k) {
    return (const int32_t *)((const char *)row + act_z32_at(k));
}
static inline const int32_t *act_z16(const void *row, size_t k) {
    return (const int32_t *)((const char *)row + act_z16_at(k));
}
static inline const int32_t *act_m32(const void *row, size_t k) {
    return (const int32_t *)((const char *)row + act_m32_at(k));
}
static inline const int16_t *act_s16(const void *row, size_t k) {
    return (const int16_t *)((const char *)row + act_s16_at(k));
}
static inline const int16_t *act_s32(const void *row, size_t k) {
    return (const int16_t *)((const char *)row + act_s32_at(k));
}

#endif
