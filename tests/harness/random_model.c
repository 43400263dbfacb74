/* Writes GGUF models of random weights; see random_model.h. Weights are uniform with the standard deviation
 * 1 / sqrt(columns) that keeps activations of order one, so a forward pass stays in a sensible range. */
#include "random_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "loader/alloc.h"
#include "loader/gguf.h"
#include "loader/write.h"

typedef struct maker {
    const random_model *m;
    file_writer *w;
    uint64_t state;
    uint64_t n_tensors, offset; /* of the next tensor's data */
    bool counting, data;        /* three walks over the tensors: count, describe, fill */
    leat_status status;
    leat_error *e;
} maker;

enum { ALIGNMENT = 32, CHUNK = 1 << 20 };

static uint64_t next(maker *k) { /* xorshift64*, Vigna 2016 */
    k->state ^= k->state >> 12;
    k->state ^= k->state << 25;
    k->state ^= k->state >> 27;
    return k->state * 0x2545F4914F6CDD1Du;
}

static float uniform(maker *k) {
    return (float)(next(k) >> 40) / (float)(1 << 24) * 2.0f - 1.0f;
}

static void put(maker *k, const void *p, size_t n) {
    if (!k->status) k->status = writer_put(k->w, p, n, k->e);
}
static void put_u32(maker *k, uint32_t v) {
    put(k, &v, sizeof v);
}
static void put_u64(maker *k, uint64_t v) {
    put(k, &v, sizeof v);
}
static void put_str(maker *k, const char *s) {
    put_u64(k, strlen(s));
    put(k, s, strlen(s));
}
static void key(maker *k, const char *name, uint32_t type) {
    char full[128];
    if (strchr(name, '.') && (!strncmp(name, "general.", 8) || !strncmp(name, "tokenizer.", 10)))
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "%s.%s", k->m->arch, name);
    put_str(k, full);
    put_u32(k, type);
}
static void key_u32(maker *k, const char *name, uint32_t v) {
    key(k, name, GGUF_U32);
    put_u32(k, v);
}
static void key_f32(maker *k, const char *name, float v) {
    key(k, name, GGUF_F32);
    put(k, &v, sizeof v);
}

/* Random blocks of a type: random bits, with scales that make a value's standard deviation about `sigma`. */
static void fill_blocks(maker *k, uint32_t format, unsigned char *p, size_t blocks, float sigma) {
    size_t bytes = format_get(format)->block_bytes;
    for (size_t i = 0; i + 8 <= blocks * bytes; i += 8) {
        uint64_t r = next(k);
        memcpy(p + i, &r, 8);
    }
    for (size_t i = 0; i < blocks; i++, p += bytes) {
        float jitter = 1.0f + 0.25f * uniform(k);
        uint16_t d;
#define SET(field, value) (d = f16_from_f32(value), memcpy(p + (field), &d, 2))
        switch (format) {
        case FORMAT_F32: {
            float v = uniform(k) * 1.7f * sigma;
            memcpy(p, &v, 4);
            break;
        }
        case FORMAT_F16: SET(0, uniform(k) * 1.7f * sigma); break;
        case FORMAT_BF16: {
            float v = uniform(k) * 1.7f * sigma;
            memcpy(p, (char *)&v + 2, 2);
            break;
        }
        case FORMAT_Q4_0: SET(offsetof(block_q4_0, d), jitter * sigma / 4.6f); break;
        case FORMAT_Q5_0: SET(offsetof(block_q5_0, d), jitter * sigma / 9.2f); break;
        case FORMAT_Q8_0: SET(offsetof(block_q8_0, d), jitter * sigma / 74.0f); break;
        case FORMAT_Q4_1:
            SET(offsetof(block_q4_1, d), jitter * sigma / 4.6f);
            SET(offsetof(block_q4_1, m), jitter * sigma / 4.6f * -7.5f);
            break;
        case FORMAT_Q5_1:
            SET(offsetof(block_q5_1, d), jitter * sigma / 9.2f);
            SET(offsetof(block_q5_1, m), jitter * sigma / 9.2f * -15.5f);
            break;
        case FORMAT_Q4_K: /* random 6-bit scales and minima average 32: the minimum cancels the mean of 7.5 */
            SET(offsetof(block_q4_k, d), jitter * sigma / 4.6f / 37.0f);
            SET(offsetof(block_q4_k, dmin), jitter * sigma / 4.6f / 37.0f * 7.5f);
            break;
        case FORMAT_Q5_K:
            SET(offsetof(block_q5_k, d), jitter * sigma / 9.2f / 37.0f);
            SET(offsetof(block_q5_k, dmin), jitter * sigma / 9.2f / 37.0f * 15.5f);
            break;
        /* random six-bit scales around a zero of 32, or four-bit ones and minima, have a mean square of 18 or
         * 9; random codes that of their values */
        case FORMAT_Q2_K:
            SET(offsetof(block_q2_k, d), jitter * sigma / 1.1f / 9.0f);
            SET(offsetof(block_q2_k, dmin), jitter * sigma / 1.1f / 9.0f * 1.5f);
            break;
        case FORMAT_Q3_K: SET(offsetof(block_q3_k, d), jitter * sigma / 2.3f / 18.5f); break;
        case FORMAT_IQ4_NL: SET(offsetof(block_iq4_nl, d), jitter * sigma / 69.0f); break;
        case FORMAT_IQ4_XS: SET(offsetof(block_iq4_xs, d), jitter * sigma / 69.0f / 18.5f); break;
        case FORMAT_TQ1_0: SET(offsetof(block_tq1_0, d), jitter * sigma / 0.8f); break;
        case FORMAT_TQ2_0: SET(offsetof(block_tq2_0, d), jitter * sigma / 1.2f); break;
        case FORMAT_Q1_0: SET(offsetof(block_q1_0, d), jitter * sigma); break;
        case FORMAT_Q2_0: SET(offsetof(block_q2_0, d), jitter * sigma / 1.2f); break;
        case FORMAT_MXFP4: /* the power of two nearest to sigma over the mean square of FP4, 2.9 */
            p[0] = (uint8_t)(127 + lroundf(log2f(sigma / 2.9f)));
            break;
        case FORMAT_NVFP4: /* 2^-7 of that is the smallest normal scale */
            for (int g = 0; g < 4; g++) {
                long exponent = 7 + lroundf(log2f(sigma / 2.9f));
                p[g] = (uint8_t)((exponent < 0 ? 0 : exponent) << 3 | (next(k) & 7));
            }
            break;
        case FORMAT_F64: {
            double v = (double)uniform(k) * 1.7 * (double)sigma;
            memcpy(p, &v, 8);
            break;
        }
        case FORMAT_Q6_K: SET(offsetof(block_q6_k, d), jitter * sigma / 18.5f / 74.0f); break;
        /* scale bits s stand for 2 * s + 1: 18.5 (four bits) or 9.2 (three) in the mean square */
        case FORMAT_IQ2_XXS:
        case FORMAT_IQ2_XS:
        case FORMAT_IQ2_S: SET(0, jitter * sigma / 18.5f / 23.0f * 8.0f); break;
        case FORMAT_IQ3_XXS: SET(0, jitter * sigma / 18.5f / 14.0f * 2.0f); break;
        case FORMAT_IQ3_S: SET(0, jitter * sigma / 18.5f / 7.0f); break;
        case FORMAT_IQ1_S: SET(0, jitter * sigma / 9.2f / 0.75f); break;
        case FORMAT_IQ1_M: /* a quarter of d in the top of each word of scales */
            d = f16_from_f32(jitter * sigma / 9.2f / 0.75f);
            for (size_t j = 0; j < 4; j++) {
                unsigned char *top = p + offsetof(block_iq1_m, scales) + 2 * j + 1;
                *top = (unsigned char)((*top & 15) | (d >> 4 * j & 15) << 4);
            }
            break;
        default:
            k->status =
                error_set(k->e, LEAT_E_UNSUPPORTED, "no random weights of type %s", format_get(format)->name);
            return;
        }
#undef SET
    }
}

static void fill(maker *k, uint32_t format, uint64_t rows, uint64_t cols, float constant) {
    const format_info *f = format_get(format);
    uint64_t blocks = rows * cols / f->block_elems;
    size_t per_chunk = CHUNK / f->block_bytes;
    unsigned char *p = mem_alloc(per_chunk, f->block_bytes);
    if (!p) k->status = error_set(k->e, LEAT_E_NOMEM, "out of memory");
    while (blocks && !k->status) {
        size_t n = blocks < per_chunk ? (size_t)blocks : per_chunk;
        if (rows == 1)
            for (size_t i = 0; i < n; i++) {
                float v = constant + 0.1f * uniform(k);
                memcpy(p + 4 * i, &v, 4);
            }
        else
            fill_blocks(k, format, p, n, 1.0f / sqrtf((float)cols));
        put(k, p, n * f->block_bytes);
        blocks -= n;
    }
    mem_free(p);
    if (!k->status) k->status = writer_align(k->w, ALIGNMENT, k->e);
}

static void tensor(maker *k, const char *name, uint32_t layer, uint32_t format, uint64_t rows, uint64_t cols,
                   float constant) {
    char full[64];
    size_t bytes = format_row_bytes(format, cols) * rows;
    if (k->status) return;
    if (k->counting) {
        k->n_tensors++;
        if (!bytes)
            k->status = error_set(k->e, LEAT_E_DIMS, "%llu columns do not fit %s", (unsigned long long)cols,
                                  format_get(format)->name);
    } else if (k->data)
        fill(k, format, rows, cols, constant);
    else {
        snprintf(full, sizeof full, name, layer);
        put_str(k, full);
        put_u32(k, rows == 1 ? 1 : 2);
        put_u64(k, cols);
        if (rows != 1) put_u64(k, rows);
        put_u32(k, format);
        put_u64(k, k->offset);
        k->offset += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

static void tensors(maker *k) {
    const random_model *m = k->m;
    uint64_t q = (uint64_t)m->n_head * m->head_dim, kv = (uint64_t)m->n_head_kv * m->head_dim;
    tensor(k, "token_embd.weight", 0, m->tied ? m->output_format : m->embed_format, m->n_vocab, m->n_embd,
           0.0f);
    for (uint32_t i = 0; i < m->n_layer; i++) {
        tensor(k, "blk.%u.attn_norm.weight", i, FORMAT_F32, 1, m->n_embd, 1.0f);
        tensor(k, "blk.%u.attn_q.weight", i, m->format, q, m->n_embd, 0.0f);
        tensor(k, "blk.%u.attn_k.weight", i, m->format, kv, m->n_embd, 0.0f);
        tensor(k, "blk.%u.attn_v.weight", i, m->value_format, kv, m->n_embd, 0.0f);
        tensor(k, "blk.%u.attn_output.weight", i, m->format, m->n_embd, q, 0.0f);
        if (m->biased) {
            tensor(k, "blk.%u.attn_q.bias", i, FORMAT_F32, 1, q, 0.0f);
            tensor(k, "blk.%u.attn_k.bias", i, FORMAT_F32, 1, kv, 0.0f);
            tensor(k, "blk.%u.attn_v.bias", i, FORMAT_F32, 1, kv, 0.0f);
            tensor(k, "blk.%u.attn_output.bias", i, FORMAT_F32, 1, m->n_embd, 0.0f);
        }
        tensor(k, "blk.%u.ffn_norm.weight", i, FORMAT_F32, 1, m->n_embd, 1.0f);
        tensor(k, "blk.%u.ffn_gate.weight", i, m->format, m->n_ff, m->n_embd, 0.0f);
        tensor(k, "blk.%u.ffn_up.weight", i, m->format, m->n_ff, m->n_embd, 0.0f);
        tensor(k, "blk.%u.ffn_down.weight", i, m->value_format, m->n_embd, m->n_ff, 0.0f);
    }
    tensor(k, "output_norm.weight", 0, FORMAT_F32, 1, m->n_embd, 1.0f);
    if (!m->tied) tensor(k, "output.weight", 0, m->output_format, m->n_vocab, m->n_embd, 0.0f);
}

static void vocabulary(maker *k) {
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    uint32_t n = k->m->n_vocab;
    key(k, "tokenizer.ggml.tokens", GGUF_ARRAY);
    put_u32(k, GGUF_STRING);
    put_u64(k, n);
    for (uint32_t i = 0; i < n; i++) {
        char text[32];
        if (i < 3)
            snprintf(text, sizeof text, "%s", special[i]);
        else if (i < 259)
            snprintf(text, sizeof text, "<0x%02X>", i - 3);
        else
            snprintf(text, sizeof text, "\xE2\x96\x81w%u", i);
        put_str(k, text);
    }
    key(k, "tokenizer.ggml.scores", GGUF_ARRAY);
    put_u32(k, GGUF_F32);
    put_u64(k, n);
    for (uint32_t i = 0; i < n; i++) {
        float score = i < 259 ? 0.0f : -(float)i;
        put(k, &score, sizeof score);
    }
    key(k, "tokenizer.ggml.token_type", GGUF_ARRAY);
    put_u32(k, GGUF_I32);
    put_u64(k, n);
    for (uint32_t i = 0; i < n; i++) put_u32(k, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
}

static void header(maker *k) {
    const random_model *m = k->m;
    put(k, "GGUF", 4);
    put_u32(k, 3);
    put_u64(k, k->n_tensors);
    put_u64(k, 20);
    key(k, "general.architecture", GGUF_STRING);
    put_str(k, m->arch);
    key(k, "general.name", GGUF_STRING);
    put_str(k, "random weights");
    key_u32(k, "context_length", m->n_ctx);
    key_u32(k, "embedding_length", m->n_embd);
    key_u32(k, "block_count", m->n_layer);
    key_u32(k, "feed_forward_length", m->n_ff);
    key_u32(k, "attention.head_count", m->n_head);
    key_u32(k, "attention.head_count_kv", m->n_head_kv);
    key_u32(k, "attention.key_length", m->head_dim);
    key_u32(k, "attention.value_length", m->head_dim);
    key_u32(k, "rope.dimension_count", m->head_dim);
    key_f32(k, "attention.layer_norm_rms_epsilon", 1e-5f);
    key_f32(k, "rope.freq_base", 500000.0f);
    key(k, "tokenizer.ggml.model", GGUF_STRING);
    put_str(k, "llama");
    key_u32(k, "tokenizer.ggml.bos_token_id", 1);
    key_u32(k, "tokenizer.ggml.eos_token_id", 2);
    key_u32(k, "tokenizer.ggml.unknown_token_id", 0);
    vocabulary(k); /* three keys */
}

random_model random_model_small(uint32_t format) {
    return (random_model){.arch = "llama",
                          .n_vocab = 300,
                          .n_ctx = 128,
                          .n_embd = 256,
                          .n_layer = 2,
                          .n_ff = 512,
                          .n_head = 4,
                          .n_head_kv = 2,
                          .head_dim = 64,
                          .format = format,
                          .value_format = format,
                          .output_format = format,
                          .embed_format = format,
                          .seed = 1};
}

leat_status random_model_write(const random_model *m, const char *path, leat_error *e) {
    maker k = {.m = m, .state = m->seed * 2 + 1, .counting = true, .e = e};
    tensors(&k);
    if (k.status) return k.status;
    leat_status s = writer_open(path, &k.w, e);
    if (s) return s;
    k.counting = false;
    header(&k);
    tensors(&k);
    if (!k.status) k.status = writer_align(k.w, ALIGNMENT, e);
    k.data = true;
    tensors(&k);
    if (k.status) {
        writer_abandon(k.w);
        return k.status;
    }
    return writer_commit(k.w, e);
}
