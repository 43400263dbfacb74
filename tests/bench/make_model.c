/* Writes a model with random weights of any shape and type, for measuring speed and memory:
 *
 *     make_model OUT.gguf SHAPE TYPE [key=value ...]
 *
 * SHAPE is a name below, TYPE a tensor type ("q4_0") for all matrices or a mix: "q4_k_m" and "q5_k_m" have
 * attn_v, ffn_down and the output matrix (or the embedding that serves as one) in Q6_K. llama.cpp's mixes of
 * that name do so in half of the layers only, so these are a little larger. key=value changes the shape:
 * n_vocab, n_ctx, n_embd, n_layer, n_ff, n_head, n_head_kv, head_dim, tied (0 or 1), seed, and value_type,
 * output_type, embed_type, biased, arch: one of tests/harness/arch_spec.c, and, of one with experts, n_expert
 * and n_used.
 *
 * Where rows do not divide into the blocks of 256 of a K type (135m: 576 wide), matrices take the type that
 * llama.cpp falls back to: Q5_0 for Q4_K, Q5_1 for Q5_K, Q8_0 for Q6_K, IQ4_NL or Q4_0
 * for what is smaller. Here that is ffn_down too, which
 * llama.cpp would leave a K type when the feed-forward width allows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/formats.h"
#include "tests/harness/random_model.h"

static const struct {
    const char *name;
    random_model m;
    const char *arch; /* NULL: llama */
    uint32_t n_expert, n_used;
} shapes[] = {
    {"tiny",
     {.n_vocab = 2048,
      .n_ctx = 512,
      .n_embd = 256,
      .n_layer = 4,
      .n_ff = 512,
      .n_head = 8,
      .n_head_kv = 4,
      .head_dim = 32}},
    {"135m",
     {.n_vocab = 49152,
      .n_ctx = 8192,
      .n_embd = 576,
      .n_layer = 30,
      .n_ff = 1536,
      .n_head = 9,
      .n_head_kv = 3,
      .head_dim = 64,
      .tied = true}},
    {"1b",
     {.n_vocab = 128256,
      .n_ctx = 131072,
      .n_embd = 2048,
      .n_layer = 16,
      .n_ff = 8192,
      .n_head = 32,
      .n_head_kv = 8,
      .head_dim = 64,
      .tied = true}},
    {"3b",
     {.n_vocab = 128256,
      .n_ctx = 131072,
      .n_embd = 3072,
      .n_layer = 28,
      .n_ff = 8192,
      .n_head = 24,
      .n_head_kv = 8,
      .head_dim = 128,
      .tied = true}},
    {"8b",
     {.n_vocab = 128256,
      .n_ctx = 131072,
      .n_embd = 4096,
      .n_layer = 32,
      .n_ff = 14336,
      .n_head = 32,
      .n_head_kv = 8,
      .head_dim = 128}},
    {"moe", /* 1.3 billion parameters, 0.4 of them used by a token */
     {.n_vocab = 49152,
      .n_ctx = 32768,
      .n_embd = 1024,
      .n_layer = 24,
      .n_ff = 512,
      .n_head = 16,
      .n_head_kv = 8,
      .head_dim = 64,
      .tied = true},
     "qwen3moe",
     32,
     8},
};

static const struct {
    const char *name;
    uint32_t format, finer; /* finer: attn_v, ffn_down, output */
} mixes[] = {
    {"q4_k_m", FORMAT_Q4_K, FORMAT_Q6_K},
    {"q5_k_m", FORMAT_Q5_K, FORMAT_Q6_K},
};

/* The type for rows of `columns`. */
static uint32_t fitting(uint32_t format, uint32_t columns) {
    if (format_row_bytes(format, columns)) return format;
    switch (format) {
    case FORMAT_Q4_K: return FORMAT_Q5_0;
    case FORMAT_Q5_K: return FORMAT_Q5_1;
    case FORMAT_Q6_K: return FORMAT_Q8_0;
    case FORMAT_Q2_K:
    case FORMAT_Q3_K:
    case FORMAT_IQ4_XS: return FORMAT_IQ4_NL;
    case FORMAT_TQ1_0:
    case FORMAT_TQ2_0: return FORMAT_Q4_0;
    default: return format; /* refused when it is written */
    }
}

static int usage(void) {
    fprintf(stderr, "usage: make_model OUT.gguf SHAPE TYPE [key=value ...]; shapes:");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) fprintf(stderr, " %s", shapes[i].name);
    fprintf(stderr, "\n");
    return 2;
}

/* spec: the model's own, so that it can be changed. */
static bool set_arch(random_model *m, arch_spec *spec, const char *name) {
    for (const arch_spec *s = arch_specs; s->arch; s++)
        if (!strcmp(s->arch, name)) {
            *spec = *s;
            m->arch = s->arch;
            m->spec = spec;
            return true;
        }
    return false;
}

static bool set(random_model *m, arch_spec *spec, const char *arg) {
    const struct {
        const char *name;
        uint32_t *field;
    } numbers[] =
        {{"n_vocab=", &m->n_vocab},       {"n_ctx=", &m->n_ctx},       {"n_embd=", &m->n_embd},
         {"n_layer=", &m->n_layer},       {"n_ff=", &m->n_ff},         {"n_head=", &m->n_head},
         {"n_head_kv=", &m->n_head_kv},   {"head_dim=", &m->head_dim}, {"n_expert=", &spec->experts.n},
         {"n_used=", &spec->experts.used}},
      types[] = {{"value_type=", &m->value_format},
                 {"output_type=", &m->output_format},
                 {"embed_type=", &m->embed_format}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strncmp(arg, numbers[i].name, strlen(numbers[i].name))) {
            *numbers[i].field = (uint32_t)strtoul(strchr(arg, '=') + 1, NULL, 10);
            return true;
        }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strncmp(arg, types[i].name, strlen(types[i].name))) {
            int id = format_find(strchr(arg, '=') + 1);
            *types[i].field = (uint32_t)id;
            return id >= 0;
        }
    if (!strncmp(arg, "seed=", 5)) return m->seed = strtoull(arg + 5, NULL, 10), true;
    if (!strncmp(arg, "tied=", 5)) return m->tied = arg[5] == '1', true;
    if (!strncmp(arg, "arch=", 5)) return set_arch(m, spec, arg + 5);
    if (!strncmp(arg, "biased=", 7)) return m->biased = arg[7] == '1', true;
    return false;
}

int main(int argc, char **argv) {
    if (argc < 4) return usage();
    random_model m = {0};
    arch_spec spec = {0};
    int type = format_find(argv[3]), finer = type;
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (!strcmp(argv[3], mixes[i].name)) {
            type = (int)mixes[i].format;
            finer = (int)mixes[i].finer;
        }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(argv[2], shapes[i].name)) {
            m = shapes[i].m;
            m.arch = "llama";
            if (shapes[i].arch && !set_arch(&m, &spec, shapes[i].arch)) return 1;
            if (shapes[i].arch) spec.experts.n = shapes[i].n_expert, spec.experts.used = shapes[i].n_used;
        }
    if (!m.n_embd || type < 0) return usage();
    m.seed = 1;
    m.format = m.embed_format = (uint32_t)type;
    m.value_format = m.output_format = (uint32_t)finer;
    for (int i = 4; i < argc; i++)
        if (!set(&m, &spec, argv[i])) {
            fprintf(stderr, "make_model: what is %s?\n", argv[i]);
            return 2;
        }
    m.format = fitting(fitting(m.format, m.n_embd), m.n_head * m.head_dim);
    m.value_format = fitting(fitting(m.value_format, m.n_embd), m.n_ff);
    m.output_format = fitting(m.output_format, m.n_embd);
    m.embed_format = fitting(m.embed_format, m.n_embd);
    leat_error e = {LEAT_OK, ""};
    if (random_model_write(&m, argv[1], &e)) {
        fprintf(stderr, "make_model: %s\n", e.message);
        return 1;
    }
    return 0;
}
