/* Writes a model with random weights of any shape and type, for measuring speed and memory:
 *
 *     make_model OUT.gguf SHAPE TYPE [key=value ...]       make_model --help lists shapes, types and keys
 *
 * SHAPE is one of shapes.def, which key=value changes. TYPE is a tensor type ("q4_0") for all matrices or a
 * mix: "q4_k_m" and "q5_k_m" have attn_v, ffn_down and the output matrix (or the embedding that serves as
 * one) in Q6_K. llama.cpp's mixes of that name do so in half of the layers only, so these are a little
 * larger.
 *
 * Where rows do not divide into a type's blocks (135m: 576 wide, and 256 to a block of a K type), matrices
 * take the type that `leat quantize` and llama.cpp fall back to: Q5_0 for Q4_K, IQ4_NL for IQ2_XXS. Here that
 * is ffn_down too, which llama.cpp would leave a K type when the feed-forward width allows.
 *
 * Exit status: 2 for what is asked wrongly, 1 for what can't be written or run. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "runtime/leat.h"
#include "runtime/moe.h"
#include "runtime/plan.h"
#include "runtime/quantize/recipe.h"
#include "tests/harness/random_model.h"

typedef struct request {
    random_model m;
    arch_spec spec; /* the model's own, so that it can be changed */
    bool mixture;   /* the architecture has experts */
} request;

static const struct shape {
    const char *name;
    random_model m;
    uint32_t n_expert, n_used;
} shapes[] = {
#define S(name_, arch_, vocab_, ctx_, embd_, layer_, ff_, head_, kv_, dim_, tied_, expert_, used_)           \
    {.name = (name_),                                                                                        \
     .m = {.arch = (arch_),                                                                                  \
           .n_vocab = (vocab_),                                                                              \
           .n_ctx = (ctx_),                                                                                  \
           .n_embd = (embd_),                                                                                \
           .n_layer = (layer_),                                                                              \
           .n_ff = (ff_),                                                                                    \
           .n_head = (head_),                                                                                \
           .n_head_kv = (kv_),                                                                               \
           .head_dim = (dim_),                                                                               \
           .tied = (tied_)},                                                                                 \
     .n_expert = (expert_),                                                                                  \
     .n_used = (used_)},
#include "shapes.def"
#undef S
};

static const struct type_mix {
    const char *name;
    uint32_t format, finer; /* finer: attn_v, ffn_down, output */
} mixes[] = {
#define M(name, format, finer) {name, FORMAT_##format, FORMAT_##finer},
#include "shapes.def"
#undef M
};

static const char *const types[] = {
#define W(name, NAME, act, panel) #name,
#include "kernels/kernels.def"
#undef W
};

enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_MIXES = sizeof mixes / sizeof *mixes };
enum { N_TYPES = sizeof types / sizeof *types };

/* The vocabulary's special tokens and its 256 bytes, without which not every text has tokens. */
enum { VOCAB_MIN = 3 + 256 };

typedef enum key_kind { KEY_ARCH, KEY_NUMBER, KEY_SWITCH, KEY_SEED, KEY_TYPE } key_kind;
enum { ARCH, N_VOCAB, N_CTX, N_EMBD, N_LAYER, N_FF, N_HEAD, N_HEAD_KV, HEAD_DIM, N_EXPERT, N_USED, TIED };
enum { BIASED = TIED + 1, SEED, VALUE_TYPE, OUTPUT_TYPE, EMBED_TYPE, N_KEYS };

/* The largest numbers are those that the engine allows. */
static const struct key {
    const char *name;
    key_kind kind;
    size_t at; /* in a request */
    uint32_t least, most;
    const char *about;
} keys[N_KEYS] = {
#define AT(field) offsetof(request, field)
    [ARCH] = {"arch", KEY_ARCH, 0, 0, 0, "architecture, whose other numbers are its smallest"},
    [N_VOCAB] = {"n_vocab", KEY_NUMBER, AT(m.n_vocab), VOCAB_MIN, 1 << 24, "tokens of the vocabulary"},
    [N_CTX] = {"n_ctx", KEY_NUMBER, AT(m.n_ctx), 1, 1 << 24, "context it says it was trained for"},
    [N_EMBD] = {"n_embd", KEY_NUMBER, AT(m.n_embd), 1, 1 << 20, "width"},
    [N_LAYER] = {"n_layer", KEY_NUMBER, AT(m.n_layer), 1, ARCH_LAYERS_MAX, "layers"},
    [N_FF] = {"n_ff", KEY_NUMBER, AT(m.n_ff), 1, 1 << 22, "width of the feed-forward network, or an expert"},
    [N_HEAD] = {"n_head", KEY_NUMBER, AT(m.n_head), 1, 1024, "heads"},
    [N_HEAD_KV] = {"n_head_kv", KEY_NUMBER, AT(m.n_head_kv), 1, 1024, "heads of keys and values"},
    [HEAD_DIM] = {"head_dim", KEY_NUMBER, AT(m.head_dim), 2, ATTEND_HEAD_DIM_MAX, "size of a head; even"},
    [N_EXPERT] = {"n_expert", KEY_NUMBER, AT(spec.experts.n), 1, MOE_EXPERTS_MAX, "experts, if it has any"},
    [N_USED] = {"n_used", KEY_NUMBER, AT(spec.experts.used), 1, MOE_USED_MAX, "experts that a token uses"},
    [TIED] = {"tied", KEY_SWITCH, AT(m.tied), 0, 1, "the embedding is the output matrix too"},
    [BIASED] = {"biased", KEY_SWITCH, AT(m.biased), 0, 1, "attention has biases"},
    [SEED] = {"seed", KEY_SEED, AT(m.seed), 0, 0, "of the random numbers"},
    [VALUE_TYPE] = {"value_type", KEY_TYPE, AT(m.value_format), 0, 0, "of attn_v and ffn_down"},
    [OUTPUT_TYPE] = {"output_type", KEY_TYPE, AT(m.output_format), 0, 0, "of the output matrix"},
    [EMBED_TYPE] = {"embed_type", KEY_TYPE, AT(m.embed_format), 0, 0, "of an embedding of its own"},
#undef AT
};

__attribute__((format(printf, 1, 2))) static int wrong(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "make_model: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    return 2;
}

/* ---- lists, for help and complaints ---- */

static void list_shapes(FILE *f) {
    for (size_t i = 0; i < N_SHAPES; i++) fprintf(f, " %s", shapes[i].name);
}
static void list_types(FILE *f) {
    for (size_t i = 0; i < N_TYPES; i++) fprintf(f, " %s", types[i]);
}
static void list_mixes(FILE *f) {
    for (size_t i = 0; i < N_MIXES; i++) fprintf(f, " %s", mixes[i].name);
}
static void list_archs(FILE *f, bool experts_only) {
    for (const arch_spec *s = arch_specs; s->arch; s++) {
        const arch_spec *first = arch_specs; /* of its variants, which is the one that is made */
        while (strcmp(first->arch, s->arch) != 0) first++;
        if (s == first && (s->experts.n || !experts_only)) fprintf(f, " %s", s->arch);
    }
}
static void list_keys(FILE *f) {
    for (size_t i = 0; i < N_KEYS; i++) fprintf(f, " %s", keys[i].name);
}

static int help(void) {
    printf("usage: make_model OUT.gguf SHAPE TYPE [key=value ...]\n\n"
           "Writes a model with random weights.\n\nSHAPE:");
    list_shapes(stdout);
    printf("\nTYPE, of all matrices:");
    list_types(stdout);
    printf("\n  or a mix:");
    list_mixes(stdout);
    printf(
        "\n  Rows that do not divide into a type's blocks take the type that leat quantize falls back to.\n"
        "\nKeys, which change the shape:\n");
    for (const struct key *k = keys; k < keys + N_KEYS; k++) {
        char values[48] = "a type as above";
        if (k->kind == KEY_NUMBER)
            snprintf(values, sizeof values, "%u to %u", k->least, k->most);
        else if (k->kind != KEY_TYPE)
            snprintf(values, sizeof values, "%s",
                     k->kind == KEY_ARCH     ? "a name as below"
                     : k->kind == KEY_SWITCH ? "0 or 1"
                                             : "0 to 2^64 - 1 (1)");
        printf("  %-12s %-18s %s\n", k->name, values, k->about);
    }
    printf("\nArchitectures:");
    list_archs(stdout, false);
    printf("\n  with experts:");
    list_archs(stdout, true);
    printf("\n");
    return 0;
}

/* ---- reading ---- */

/* A type that matrices can be computed with; -1: there is none of that name. */
static int find_type(const char *name) {
    int id = format_find(name);
    return id >= 0 && kernels_traits((uint32_t)id).act == ACT_COUNT ? -1 : id;
}

static bool set_arch(request *r, const char *name) {
    for (const arch_spec *s = arch_specs; s->arch; s++)
        if (!strcmp(s->arch, name)) {
            r->spec = *s;
            r->m.arch = s->arch;
            r->mixture = s->experts.n > 0;
            return true;
        }
    return false;
}

/* Digits only: strtoull would take blanks, signs and nothing at all. */
static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    if (!*text || text[strspn(text, "0123456789")]) return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return !errno && *out >= least && *out <= most;
}

static int set(request *r, const struct key *k, const char *value) {
    void *field = (char *)r + k->at;
    uint64_t number;
    int type;
    switch (k->kind) {
    case KEY_ARCH:
        if (set_arch(r, value)) return 0;
        fprintf(stderr, "make_model: arch must be one of");
        list_archs(stderr, false);
        fprintf(stderr, ", not \"%s\"\n", value);
        return 2;
    case KEY_NUMBER:
        if (!parse_number(value, k->least, k->most, &number))
            return wrong("%s must be %u to %u, not \"%s\"", k->name, k->least, k->most, value);
        *(uint32_t *)field = (uint32_t)number;
        return 0;
    case KEY_SWITCH:
        if (!parse_number(value, 0, 1, &number))
            return wrong("%s must be 0 or 1, not \"%s\"", k->name, value);
        *(bool *)field = number;
        return 0;
    case KEY_SEED:
        if (!parse_number(value, 0, UINT64_MAX, &number))
            return wrong("%s must be 0 to 2^64 - 1, not \"%s\"", k->name, value);
        *(uint64_t *)field = number;
        return 0;
    default: break;
    }
    if ((type = find_type(value)) < 0) {
        fprintf(stderr, "make_model: %s must be one of", k->name);
        list_types(stderr);
        fprintf(stderr, ", not \"%s\"\n", value);
        return 2;
    }
    *(uint32_t *)field = (uint32_t)type;
    return 0;
}

/* arch first, since it brings numbers that other keys change, wherever it stands. */
static int set_all(request *r, char **args, int n, const char *given[N_KEYS]) {
    for (int i = 0; i < n; i++) {
        size_t length = strcspn(args[i], "="), k = 0;
        if (!args[i][length]) return wrong("\"%s\" is no key=value", args[i]);
        while (k < N_KEYS && (strlen(keys[k].name) != length || strncmp(keys[k].name, args[i], length) != 0))
            k++;
        if (k == N_KEYS) {
            fprintf(stderr, "make_model: there is no key \"%.*s\"; there are", (int)length, args[i]);
            list_keys(stderr);
            fprintf(stderr, "\n");
            return 2;
        }
        given[k] = args[i] + length + 1;
    }
    int status = 0;
    for (size_t k = 0; k < N_KEYS && !status; k++)
        if (given[k]) status = set(r, &keys[k], given[k]);
    return status;
}

/* ---- whether the numbers go together ---- */

static int check_experts(const request *r, const char *const given[N_KEYS]) {
    const spec_experts *x = &r->spec.experts;
    const char *key = given[N_EXPERT] ? "n_expert" : "n_used";
    if (!r->mixture && (given[N_EXPERT] || given[N_USED])) {
        fprintf(stderr, "make_model: %s is for an arch with experts:", key);
        list_archs(stderr, true);
        fprintf(stderr, "; not \"%s\"\n", r->m.arch);
        return 2;
    }
    if (x->n && x->used > x->n)
        return wrong("n_used must be 1 to n_expert, which is %u, not %u", x->n, x->used);
    if (x->groups && (x->n % x->groups || x->n == x->groups))
        return wrong("n_expert must be a multiple of %u, and more, for %s, not %u", x->groups, r->m.arch,
                     x->n);
    if (x->groups && x->used > x->n / x->groups * x->groups_used)
        return wrong("n_used must be 1 to %u for %s with %u experts, not %u",
                     x->n / x->groups * x->groups_used, r->m.arch, x->n, x->used);
    return 0;
}

/* Keys that would change nothing in this architecture. */
static int check_meaning(const request *r, const char *const given[N_KEYS]) {
    const arch_spec *s = &r->spec;
    const bool attends = !s->mixer || s->attention_period;
    const bool plain = !s->latent && !s->gated && !s->gemma4 && !s->mixer && !s->fused_qkv;
    const bool useless[N_KEYS] = {
        [N_FF] = !attends,
        [N_HEAD] = !attends,
        [N_HEAD_KV] = !attends || s->latent,
        [HEAD_DIM] = !attends,
        [TIED] = !r->m.tied && s->tied,
        [BIASED] = r->m.biased && !plain,
    };
    for (size_t k = 0; k < N_KEYS; k++)
        if (given[k] && useless[k])
            return wrong("%s=%s has no meaning for arch %s, which %s", keys[k].name, given[k], r->m.arch,
                         k == TIED        ? "always has its embedding as output matrix"
                         : k == BIASED    ? "has no separate matrices for queries, keys and values"
                         : k == N_HEAD_KV ? "has no heads of keys and values"
                                          : "has no attention and no feed-forward network");
    return 0;
}

static int check_sizes(const request *r) {
    const random_model *m = &r->m;
    const arch_spec *s = &r->spec;
    const uint32_t step =
        s->gemma4 ? 4 : 2; /* what is rotated is even; windowed layers of gemma4 have half */
    const uint32_t most = s->mixer == MIXER_DELTA ? (uint32_t)DELTA_DIM_MAX : (uint32_t)ATTEND_HEAD_DIM_MAX;
    uint32_t least = s->latent ? LATENT_ROPE + step : s->rope_dims ? s->rope_dims : step;
    if (m->n_head % m->n_head_kv || m->n_head / m->n_head_kv > ATTEND_ROWS_MAX)
        return wrong("n_head_kv must divide n_head, which is %u, into groups of 1 to %d heads, not be %u",
                     m->n_head, ATTEND_ROWS_MAX, m->n_head_kv);
    if (m->head_dim < least || m->head_dim > most || m->head_dim % step)
        return wrong("head_dim must be a multiple of %u from %u to %u for %s, not %u", step, least, most,
                     m->arch, m->head_dim);
    least = s->gemma4 ? SHARED_LAYERS + 2 : 1;
    if (m->n_layer < least)
        return wrong("n_layer must be %u to %d for %s, not %u", least, ARCH_LAYERS_MAX, m->arch, m->n_layer);
    if (s->mixer == MIXER_MAMBA && m->n_embd % 2)
        return wrong("n_embd must be even for %s, not %u", m->arch, m->n_embd);
    return 0;
}

/* ---- writing ---- */

/* The type for rows of both widths: each fallback has smaller blocks that divide those before. */
static uint32_t fitting(uint32_t format, uint32_t columns, uint32_t others) {
    return recipe_fallback(recipe_fallback(format, columns), others);
}

/* What the checks above have missed, the engine refuses. */
static int write_model(const random_model *m, const char *path) {
    leat_model *model = NULL;
    leat_error e = {LEAT_OK, ""};
    if (random_model_write(m, path, &e)) {
        fprintf(stderr, "make_model: %s\n", e.message);
        return 1;
    }
    if (leat_model_open(path, NULL, &model, &e)) {
        fprintf(stderr, "make_model: such a model does not run: %s\n", e.message);
        unlink(path);
        return 1;
    }
    leat_model_close(model);
    return 0;
}

/* SHAPE and TYPE. */
static int begin(request *r, const char *shape, const char *type) {
    int format = find_type(type), finer = format;
    size_t i = 0;
    while (i < N_SHAPES && strcasecmp(shape, shapes[i].name) != 0) i++;
    if (i == N_SHAPES) {
        fprintf(stderr, "make_model: SHAPE must be one of");
        list_shapes(stderr);
        fprintf(stderr, ", not \"%s\"\n", shape);
        return 2;
    }
    r->m = shapes[i].m;
    if (!set_arch(r, shapes[i].m.arch)) return wrong("there is no arch \"%s\"", shapes[i].m.arch);
    if (shapes[i].n_expert) r->spec.experts.n = shapes[i].n_expert, r->spec.experts.used = shapes[i].n_used;
    for (i = 0; i < N_MIXES; i++)
        if (!strcasecmp(type, mixes[i].name)) format = (int)mixes[i].format, finer = (int)mixes[i].finer;
    if (format < 0) {
        fprintf(stderr, "make_model: TYPE must be one of");
        list_types(stderr);
        list_mixes(stderr);
        fprintf(stderr, ", not \"%s\"\n", type);
        return 2;
    }
    r->m.seed = 1;
    r->m.format = r->m.embed_format = (uint32_t)format;
    r->m.value_format = r->m.output_format = (uint32_t)finer;
    return 0;
}

int main(int argc, char **argv) {
    const char *given[N_KEYS] = {NULL};
    request r = {0};
    random_model *m = &r.m;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return help();
    if (argc < 4)
        return wrong("usage: make_model OUT.gguf SHAPE TYPE [key=value ...]; see make_model --help");
    int status = begin(&r, argv[2], argv[3]);
    if (!status) status = set_all(&r, argv + 4, argc - 4, given);
    if (!status) status = check_meaning(&r, given);
    if (!status) status = check_experts(&r, given);
    if (!status) status = check_sizes(&r);
    if (status) return status;
    m->spec = &r.spec;
    m->format = fitting(m->format, m->n_embd, m->n_head * m->head_dim);
    m->value_format = fitting(m->value_format, m->n_embd, m->n_ff);
    m->output_format = fitting(m->output_format, m->n_embd, m->n_embd);
    m->embed_format = fitting(m->embed_format, m->n_embd, m->n_embd);
    return write_model(m, argv[1]);
}
