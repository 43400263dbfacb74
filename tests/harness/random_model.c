/* Writes GGUF models of random weights; see random_model.h. Weights are uniform with the standard deviation
 * 1 / sqrt(columns) that keeps activations of order one, so a forward pass stays in a sensible range. */
#include "maker.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "loader/alloc.h"
#include "loader/gguf.h"
#include "loader/write.h"

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
    if (!k->status && !k->counting) k->status = writer_put(k->w, p, n, k->e);
}
void maker_put_u32(maker *k, uint32_t v) {
    put(k, &v, sizeof v);
}
void maker_put_u64(maker *k, uint64_t v) {
    put(k, &v, sizeof v);
}
static void put_str(maker *k, const char *s) {
    maker_put_u64(k, strlen(s));
    put(k, s, strlen(s));
}
void maker_key(maker *k, const char *name, uint32_t type) {
    char full[128];
    k->n_keys += k->counting;
    if (strchr(name, '.') && (!strncmp(name, "general.", 8) || !strncmp(name, "tokenizer.", 10)))
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "%s.%s", k->m->arch, name);
    put_str(k, full);
    maker_put_u32(k, type);
}
void maker_key_u32(maker *k, const char *name, uint32_t v) {
    maker_key(k, name, GGUF_U32);
    maker_put_u32(k, v);
}
void maker_key_f32(maker *k, const char *name, float v) {
    maker_key(k, name, GGUF_F32);
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
        /* random six-bit scales around a zero of 32, or four-bit ones and minima, have a root mean square of
         * 18 or 9; random codes that of their values */
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
        case FORMAT_MXFP4: /* the power of two nearest to sigma over the root mean square of FP4, 2.9 */
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
        if (rows == 1 || constant != 0.0f)
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

void maker_tensor(maker *k, const char *name, uint32_t layer, uint32_t format, uint64_t rows, uint64_t cols,
                  float constant) {
    char full[64];
    uint64_t depth = k->depth ? k->depth : 1;
    size_t bytes = format_row_bytes(format, cols) * rows * depth;
    k->depth = 0;
    if (k->status) return;
    if (k->counting) {
        k->n_tensors++;
        if (!bytes)
            k->status = error_set(k->e, LEAT_E_DIMS, "%llu columns do not fit %s", (unsigned long long)cols,
                                  format_get(format)->name);
    } else if (k->data)
        fill(k, format, rows * depth, cols, constant);
    else {
        snprintf(full, sizeof full, name, layer);
        put_str(k, full);
        maker_put_u32(k, depth > 1 ? 3 : rows == 1 ? 1 : 2);
        maker_put_u64(k, cols);
        if (rows != 1 || depth > 1) maker_put_u64(k, rows);
        if (depth > 1) maker_put_u64(k, depth);
        maker_put_u32(k, format);
        maker_put_u64(k, k->offset);
        k->offset += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

static const arch_spec *spec_of(const random_model *m) {
    static const arch_spec plain = {0};
    return m->spec ? m->spec : &plain;
}

void maker_vector(maker *k, const char *name, uint32_t layer, uint64_t n, float around) {
    maker_tensor(k, name, layer, FORMAT_F32, 1, n, around);
}

/* The gain of a norm and its bias; `name` with one %u, without its ending. */
void maker_norm(maker *k, const char *name, uint32_t layer, uint64_t n) {
    char full[80];
    snprintf(full, sizeof full, "%.60s.weight", name);
    maker_vector(k, full, layer, n, 1.0f);
    snprintf(full, sizeof full, "%.60s.bias", name);
    if (spec_of(k->m)->norm_bias) maker_vector(k, full, layer, n, 0.0f);
}

static void attention(maker *k, uint32_t i) {
    const random_model *m = k->m;
    const arch_spec *s = spec_of(m);
    uint64_t d = m->head_dim, q = m->n_head * d, kv = m->n_head_kv * d, n = m->n_embd;
    if (!s->no_pre_norm && !(s->no_first && i == 0))
        maker_norm(k, s->attn_norm ? "blk.%u.attn_norm_2" : "blk.%u.attn_norm", i, n);
    if (s->fused_qkv) {
        maker_tensor(k, "blk.%u.attn_qkv.weight", i, m->format, q + 2 * kv, n, 0.0f);
        if (s->bias_qkv) maker_vector(k, "blk.%u.attn_qkv.bias", i, q + 2 * kv, 0.0f);
    } else {
        maker_tensor(k, "blk.%u.attn_q.weight", i, m->format, q, n, 0.0f);
        maker_tensor(k, "blk.%u.attn_k.weight", i, m->format, kv, n, 0.0f);
        maker_tensor(k, "blk.%u.attn_v.weight", i, m->value_format, kv, n, 0.0f);
    }
    if (!s->fused_qkv && (s->bias_qkv || m->biased)) {
        maker_vector(k, "blk.%u.attn_q.bias", i, q, 0.0f);
        maker_vector(k, "blk.%u.attn_k.bias", i, kv, 0.0f);
        maker_vector(k, "blk.%u.attn_v.bias", i, kv, 0.0f);
    }
    if (s->heads == HEADS_EACH) {
        maker_tensor(k, "blk.%u.attn_q_norm.weight", i, FORMAT_F32, m->n_head, d, 0.0f);
        maker_tensor(k, "blk.%u.attn_k_norm.weight", i, FORMAT_F32, m->n_head_kv, d, 0.0f);
    } else if (s->heads) {
        maker_vector(k, "blk.%u.attn_q_norm.weight", i, s->heads == HEADS_ROW ? q : d,
                     s->altup ? 0.3f : 1.0f);
        maker_vector(k, "blk.%u.attn_k_norm.weight", i, s->heads == HEADS_ROW ? kv : d, 1.0f);
    }
    maker_tensor(k, "blk.%u.attn_output.weight", i, m->format, n, q, 0.0f);
    if (s->bias_out || m->biased) maker_vector(k, "blk.%u.attn_output.bias", i, n, 0.0f);
    if (s->sinks) maker_vector(k, "blk.%u.attn_sinks.weight", i, m->n_head, 1.0f);
    if (s->post_norm) maker_vector(k, "blk.%u.post_attention_norm.weight", i, n, 1.0f);
    if (s->behind) maker_norm(k, "blk.%u.attn_output_norm", i, n);
}

static void feed_forward(maker *k, uint32_t i) {
    const random_model *m = k->m;
    const arch_spec *s = spec_of(m);
    uint64_t n = m->n_embd, ff = m->n_ff, up = s->fused_gate ? 2 * ff : ff;
    char name[64];
    snprintf(name, sizeof name, "blk.%%u.%s", s->ffn_norm ? s->ffn_norm : "ffn_norm");
    if (!s->no_pre_norm && !s->no_ffn_norm) maker_norm(k, name, i, n);
    if (!s->plain_ffn && !s->fused_gate) maker_tensor(k, "blk.%u.ffn_gate.weight", i, m->format, ff, n, 0.0f);
    maker_tensor(k, "blk.%u.ffn_up.weight", i, m->format, up, n, 0.0f);
    maker_tensor(k, "blk.%u.ffn_down.weight", i, m->value_format, n, ff, 0.0f);
    if (s->bias_ffn) {
        if (!s->plain_ffn && !s->fused_gate) maker_vector(k, "blk.%u.ffn_gate.bias", i, ff, 0.0f);
        maker_vector(k, "blk.%u.ffn_up.bias", i, up, 0.0f);
        maker_vector(k, "blk.%u.ffn_down.bias", i, n, 0.0f);
    }
    if (s->post_norm) maker_vector(k, "blk.%u.post_ffw_norm.weight", i, n, 1.0f);
}

/* What is behind a pooled vector. */
static void head(maker *k) {
    const random_model *m = k->m;
    const arch_spec *s = spec_of(m);
    uint64_t n = m->n_embd;
    if (s->dense_head) {
        maker_tensor(k, "dense_2.weight", 0, m->format, 2 * n, n, 0.0f);
        maker_tensor(k, "dense_3.weight", 0, m->format, n, 2 * n, 0.0f);
    }
    if (!s->classes) return;
    maker_tensor(k, "cls.weight", 0, FORMAT_F32, n, n, 0.0f);
    maker_vector(k, "cls.bias", 0, n, 0.0f);
    maker_tensor(k, "cls.output.weight", 0, FORMAT_F32, s->classes, n, 0.0f);
    maker_vector(k, "cls.output.bias", 0, s->classes, 0.0f);
}

static void tensors(maker *k) {
    const random_model *m = k->m;
    const arch_spec *s = spec_of(m);
    bool tied = m->tied || s->tied;
    maker_tensor(k, "token_embd.weight", 0, tied ? m->output_format : m->embed_format, m->n_vocab, m->n_embd,
                 0.0f);
    if (s->gemma4 || s->altup) mix_inputs(k);
    if (s->kinds) maker_tensor(k, "token_types.weight", 0, FORMAT_F32, s->kinds, m->n_embd, 0.0f);
    if (s->embed_norm) maker_norm(k, "token_embd_norm", 0, m->n_embd);
    if (s->positions) maker_tensor(k, "position_embd.weight", 0, FORMAT_F32, m->n_ctx, m->n_embd, 0.0f);
    if (s->long_factors) {
        maker_vector(k, "rope_factors_long.weight", 0, m->head_dim / 2, 3.0f);
        maker_vector(k, "rope_factors_short.weight", 0, m->head_dim / 2, 1.5f);
    }
    for (uint32_t i = 0; i < m->n_layer; i++) {
        if (spec_mixes(s, i) || s->latent || s->gated || s->gemma4)
            mix_attention(k, i);
        else
            attention(k, i);
        if (spec_expert_layer(s, i) && !s->gemma4)
            mix_experts(k, i);
        else if (s->mixer != MIXER_MAMBA || s->attention_period) /* Mamba 2 has none */
            feed_forward(k, i);
        if (s->gemma4 && s->experts.n) mix_beside(k, i);
        if (s->altup) mix_altup(k, i);
        if (s->behind) maker_norm(k, "blk.%u.layer_output_norm", i, m->n_embd);
    }
    if (!s->no_last_norm) maker_norm(k, s->output_norm ? s->output_norm : "output_norm", 0, m->n_embd);
    head(k);
    if (!tied && !s->no_output)
        maker_tensor(k, "output.weight", 0, m->output_format, m->n_vocab, m->n_embd, 0.0f);
    if (s->bias_output) maker_vector(k, "output.bias", 0, m->n_vocab, 0.0f);
}

static void vocabulary(maker *k) {
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    uint32_t n = k->m->n_vocab;
    maker_key(k, "tokenizer.ggml.tokens", GGUF_ARRAY);
    maker_put_u32(k, GGUF_STRING);
    maker_put_u64(k, n);
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
    maker_key(k, "tokenizer.ggml.scores", GGUF_ARRAY);
    maker_put_u32(k, GGUF_F32);
    maker_put_u64(k, n);
    for (uint32_t i = 0; i < n; i++) {
        float score = i < 259 ? 0.0f : -(float)i;
        put(k, &score, sizeof score);
    }
    maker_key(k, "tokenizer.ggml.token_type", GGUF_ARRAY);
    maker_put_u32(k, GGUF_I32);
    maker_put_u64(k, n);
    for (uint32_t i = 0; i < n; i++) maker_put_u32(k, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
}

static void spec_keys(maker *k, const spec_key *list) {
    for (size_t i = 0; i < SPEC_KEYS_MAX && list[i].name; i++) {
        unsigned char yes = list[i].f != 0.0f;
        switch (list[i].kind) {
        case 'f': maker_key_f32(k, list[i].name, list[i].f); break;
        case 'u': maker_key_u32(k, list[i].name, (uint32_t)list[i].f); break;
        case 'b':
            maker_key(k, list[i].name, GGUF_BOOL);
            put(k, &yes, 1);
            break;
        case 'a':
            maker_key(k, list[i].name, GGUF_ARRAY);
            maker_put_u32(k, GGUF_BOOL);
            maker_put_u64(k, (uint64_t)list[i].f);
            for (size_t n = 0; n < (size_t)list[i].f; n++) put(k, "\1", 1);
            break;
        default: maker_key(k, list[i].name, GGUF_STRING); put_str(k, list[i].s);
        }
    }
}

static void header(maker *k) {
    const random_model *m = k->m;
    const arch_spec *s = spec_of(m);
    put(k, "GGUF", 4);
    maker_put_u32(k, 3);
    maker_put_u64(k, k->n_tensors);
    maker_put_u64(k, k->n_keys);
    maker_key(k, "general.architecture", GGUF_STRING);
    put_str(k, m->arch);
    maker_key(k, "general.name", GGUF_STRING);
    put_str(k, "random weights");
    maker_key_u32(k, "context_length", m->n_ctx);
    maker_key_u32(k, "embedding_length", m->n_embd);
    maker_key_u32(k, "block_count", m->n_layer);
    mix_keys(k); /* lengths of the feed-forward network and numbers of heads among them */
    if (!s->latent) maker_key_u32(k, "attention.key_length", m->head_dim);
    if (!s->latent) maker_key_u32(k, "attention.value_length", m->head_dim);
    if (!s->rope_dims && !s->latent) maker_key_u32(k, "rope.dimension_count", m->head_dim);
    maker_key_f32(k, s->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
                  1e-5f);
    maker_key_f32(k, "rope.freq_base", 500000.0f);
    maker_key(k, "tokenizer.ggml.model", GGUF_STRING);
    put_str(k, "llama");
    maker_key_u32(k, "tokenizer.ggml.bos_token_id", 1);
    maker_key_u32(k, "tokenizer.ggml.eos_token_id", 2);
    maker_key_u32(k, "tokenizer.ggml.unknown_token_id", 0);
    vocabulary(k);
    if (s->kinds) maker_key_u32(k, "tokenizer.ggml.token_type_count", s->kinds);
    if (s->dense_head) {
        maker_key_u32(k, "dense_2_feat_out", 2 * m->n_embd);
        maker_key_u32(k, "dense_3_feat_in", 2 * m->n_embd);
    }
    spec_keys(k, s->keys);
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

random_model random_model_of(const arch_spec *spec, uint32_t format) {
    random_model m = random_model_small(format);
    m.arch = spec->arch;
    m.spec = spec;
    if (spec->n_layer) m.n_layer = spec->n_layer;
    if (format_get(format)->block_elems <= 32) m.n_embd = 64, m.n_ff = 96, m.head_dim = 16;
    if (spec->own_keys) m.n_head_kv = m.n_head;
    if (spec->narrow) m.n_embd = m.n_ff = 64, m.head_dim = 48, m.n_head = 2, m.n_head_kv = 1;
    if (spec->altup) m.n_ff = 512; /* of few values hardly one is far above their mean, and a norm follows */
    return m;
}

leat_status random_model_write(const random_model *m, const char *path, leat_error *e) {
    maker k = {.m = m, .state = m->seed * 2 + 1, .counting = true, .e = e};
    tensors(&k);
    header(&k);
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
