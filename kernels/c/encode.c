/* Floats to rows of a type: the reference of what is written, to the bit. Keys and values are stored this
 * way, and weights are quantized to Q8_0. The rules of Q8_0, Q4_0 and Q5_0 are ggml's plain ones; each block
 * is scaled so that the value of largest magnitude gets the code furthest from zero. */
#include "c.h"

#include <math.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/codebooks.h"

void encode_f32_c(const float *x, void *w, size_t n) {
    memcpy(w, x, n * sizeof *x);
}

void encode_f16_c(const float *x, void *w, size_t n) {
    block_f16 *b = w;
    for (size_t i = 0; i < n; i++) b[i].v = f16_from_f32(x[i]);
}

void encode_bf16_c(const float *x, void *w, size_t n) {
    block_bf16 *b = w;
    for (size_t i = 0; i < n; i++) b[i].v = bf16_from_f32(x[i]);
}

/* The scale of a block, d, and what values are multiplied with before rounding: 1 / d before d is rounded to
 * half precision, and 0 where there is none (all values are zero, or d is so small that its inverse
 * overflows; as half precision it is zero). `code` is that of the value of largest magnitude, the first of
 * several; with `unsigned_max` its sign is ignored. False when a value is no finite number. */
typedef struct scale {
    float d, inverse;
} scale;

static bool find_scale(const float *x, float code, bool unsigned_max, scale *s) {
    float max = 0, magnitude = 0;
    bool finite = true;
    for (int i = 0; i < 32; i++) {
        float m = fabsf(x[i]);
        finite = finite && m < INFINITY;
        if (m > magnitude) {
            magnitude = m;
            max = x[i];
        }
    }
    s->d = (unsigned_max ? magnitude : max) / code;
    s->inverse = s->d != 0 ? 1 / s->d : 0;
    if (!isfinite(s->inverse)) s->inverse = 0;
    return finite;
}

enum { F16_NAN = 0x7e00 };

/* A block that stands for 32 values which are not all numbers. */
static void write_nan(void *w, size_t bytes) {
    uint16_t d = F16_NAN;
    memset(w, 0, bytes);
    memcpy(w, &d, sizeof d); /* d is the first member of every block here */
}

void encode_q8_0_c(const float *x, void *w, size_t n) {
    block_q8_0 *b = w;
    for (size_t block = 0; block < n / 32; block++, b++, x += 32) {
        scale s;
        if (!find_scale(x, 127, true, &s)) {
            write_nan(b, sizeof *b);
            continue;
        }
        b->d = f16_from_f32(s.d);
        for (int i = 0; i < 32; i++) {
            /* roundf, said so that it vectorizes: |v| < 127.5, so the cast truncates exactly and so does the
             * difference */
            float v = x[i] * s.inverse, whole = (float)(int32_t)v, rest = v - whole;
            whole += (float)(rest >= 0.5f) - (float)(rest <= -0.5f);
            b->qs[i] = (int8_t)whole;
        }
    }
}

/* Codes 0 .. 2 * zero - 1 of a block whose extreme value has code 0. */
static void round_codes(const float *x, float inverse, int zero, uint8_t *q) {
    for (int i = 0; i < 32; i++) {
        int code = (int)(x[i] * inverse + ((float)zero + 0.5f));
        q[i] = (uint8_t)(code < 2 * zero ? code : 2 * zero - 1);
    }
}

/* The low four bits of 32 codes, as Q4_0 keeps them. */
static void pack_nibbles(const uint8_t *q, uint8_t *qs) {
    for (int i = 0; i < 16; i++) qs[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

void encode_q4_0_c(const float *x, void *w, size_t n) {
    block_q4_0 *b = w;
    for (size_t block = 0; block < n / 32; block++, b++, x += 32) {
        scale s;
        uint8_t q[32];
        if (!find_scale(x, -8, false, &s)) {
            write_nan(b, sizeof *b);
            continue;
        }
        b->d = f16_from_f32(s.d);
        round_codes(x, s.inverse, 8, q);
        pack_nibbles(q, b->qs);
    }
}

void encode_q5_0_c(const float *x, void *w, size_t n) {
    block_q5_0 *b = w;
    for (size_t block = 0; block < n / 32; block++, b++, x += 32) {
        scale s;
        uint8_t q[32];
        if (!find_scale(x, -16, false, &s)) {
            write_nan(b, sizeof *b);
            continue;
        }
        b->d = f16_from_f32(s.d);
        round_codes(x, s.inverse, 16, q);
        pack_nibbles(q, b->qs);
        memset(b->qh, 0, sizeof b->qh);
        for (int i = 0; i < 32; i++) b->qh[i / 8] = (uint8_t)(b->qh[i / 8] | (q[i] >> 4) << i % 8);
    }
}

/* Sums of eight lanes, as vectors have them: value i in lane i % 8, and lanes added in halves. */
static float sum_lanes(const float *lane) {
    float a = lane[0] + lane[4], b = lane[1] + lane[5], c = lane[2] + lane[6], d = lane[3] + lane[7];
    return (a + c) + (b + d);
}

/* Codes are the nearest of the codebook with the extreme value at its -127 end. The scale is then fitted to
 * the codes by least squares weighted with x^2, which are the values that scores and sums are made of; it is
 * worked out in units of the first scale, where nothing overflows. */
void encode_iq4_nl_c(const float *x, void *w, size_t n) {
    block_iq4_nl *b = w;
    for (size_t block = 0; block < n / 32; block++, b++, x += 32) {
        scale s;
        uint8_t q[32];
        float above[8] = {0}, below[8] = {0};
        if (!find_scale(x, iq4_nl_codebook[0], false, &s)) {
            write_nan(b, sizeof *b);
            continue;
        }
        for (int i = 0; i < 32; i++) {
            float v = x[i] * s.inverse, weight = v * v;
            q[i] = 0;
            for (int j = 0; j < 15; j++) /* what lies in the middle goes up */
                q[i] = (uint8_t)(q[i] + (2 * v >= (float)(iq4_nl_codebook[j] + iq4_nl_codebook[j + 1])));
            float code = iq4_nl_codebook[q[i]], wq = weight * code;
            above[i % 8] += wq * v;
            below[i % 8] += wq * code;
        }
        float denominator = sum_lanes(below);
        b->d = f16_from_f32(denominator > 0 ? s.d * (sum_lanes(above) / denominator) : 0);
        pack_nibbles(q, b->qs);
    }
}
