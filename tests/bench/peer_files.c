/* Files in each other's programs: does a file run to the same logits in Leat and in llama.cpp v0.5.0, and
 * what does llama.cpp's quantizer make of one? Links to Leat; llama.cpp's libraries are opened by path
 * (peer_library.h).
 *
 *     peer_files LIBRARIES BACKENDS agree TEXT FILE.gguf...
 *     peer_files LIBRARIES BACKENDS vectors TEXT FILE.gguf...
 *     peer_files LIBRARIES BACKENDS quantize IN.gguf OUT.gguf TYPE [IMATRIX.gguf]
 *
 * BACKENDS is a folder with the libggml-cpu-*.so to choose from; not one that uses AMX, whose tiles it
 * expects to stay as it left them. LEAT_ISA in the environment says what Leat uses.
 *
 * agree: the first 256 tokens of TEXT, as Leat cuts it, through both, with float32 caches. A line for each
 * file: its name; the mean KL divergence (nats) of llama.cpp's tokens from Leat's with float32 activations;
 * as a yardstick that of Leat's own with 8-bit ones; the share of tokens with the same first choice in both
 * programs; and the largest difference of a logit. TEXT "-" is a fixed sequence of random tokens, for models
 * whose vocabulary knows no text.
 * vectors: the same for models that make embeddings: the cosine between both programs' vectors of the text,
 * as the file says that it is pooled. quantize: with IMATRIX, importance as llama-quantize would hand it on.
 */
#include <math.h>

#include "peer_library.h"
#include "runtime/leat.h"
#include "runtime/quantize/importance.h"

enum { TOKENS = 256, IMATRIX_MAX = 4096 };

/* ---- logits ---- */

typedef struct logits {
    size_t n, width;
    float *x; /* (n, width) */
} logits;

static bool ours(leat_model *m, const leat_token *tokens, size_t n, leat_activations activations,
                 logits *out) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_model_info info;
    leat_error e;
    leat_session_params_default(&p);
    leat_model_get_info(m, &info);
    p.n_ctx = (uint32_t)n;
    p.n_threads = 1;
    p.k_type = p.v_type = LEAT_KV_F32;
    p.activations = activations;
    p.logits_all = true;
    *out = (logits){n, info.n_vocab, malloc(n * info.n_vocab * sizeof(float))};
    bool good = out->x && !leat_session_open(m, &p, &s, &e) && !leat_session_eval(s, tokens, n, &e);
    if (!good) fail("Leat", e.message);
    for (size_t i = 0; good && i < n; i++)
        memcpy(out->x + i * info.n_vocab, leat_session_logits(s, n - 1 - i), info.n_vocab * sizeof(float));
    leat_session_close(s);
    return good;
}

/* Of every token, or, where `pooled`, the vector of all as one row. */
static bool theirs(const char *path, const leat_token *tokens, size_t n, bool pooled, logits *out) {
    context_params cp = context_defaults;
    int8_t all[TOKENS];
    int32_t ids[TOKENS];
    void *model = llama.load_model(path, model_defaults), *context = NULL;
    if (!model) return !fail("llama.cpp can't load", path);
    cp.n_ctx = cp.n_batch = cp.n_ubatch = (uint32_t)n;
    cp.n_threads = cp.n_threads_batch = 1;
    cp.type_k = cp.type_v = 0; /* float32 */
    cp.flash_attention = 0;
    cp.embeddings = pooled;
    context = llama.open_context(model, cp);
    size_t width = (size_t)(pooled ? llama.width(model) : llama.n_tokens(llama.vocabulary(model)));
    *out = (logits){n, width, malloc(n * width * sizeof(float))};
    memset(all, 1, sizeof all);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)tokens[i];
    int32_t positions[TOKENS], counts[TOKENS], sequence = 0, *sequences[TOKENS];
    for (size_t i = 0; i < n; i++) positions[i] = (int32_t)i, counts[i] = 1, sequences[i] = &sequence;
    batch b = {.n = (int32_t)n,
               .tokens = ids,
               .positions = positions,
               .n_sequences = counts,
               .sequences = sequences,
               .logits = all};
    bool good = context && out->x && !llama.decode(context, b);
    for (size_t i = 0; good && i < (pooled ? 1 : n); i++) {
        const float *row = pooled ? llama.embeddings(context, 0) : llama.logits(context, (int32_t)i);
        if (row)
            memcpy(out->x + i * width, row, width * sizeof(float));
        else
            good = false;
    }
    if (!good) fail("llama.cpp can't evaluate", path);
    if (context) llama.free_context(context);
    llama.free_model(model);
    return good;
}

/* Of softmax(y) from softmax(x), both (n). */
static double divergence(const float *x, const float *y, size_t n) {
    double top_x = -INFINITY, top_y = -INFINITY, sum_x = 0, sum_y = 0, kl = 0;
    for (size_t i = 0; i < n; i++) top_x = fmax(top_x, (double)x[i]), top_y = fmax(top_y, (double)y[i]);
    for (size_t i = 0; i < n; i++) sum_x += exp((double)x[i] - top_x), sum_y += exp((double)y[i] - top_y);
    for (size_t i = 0; i < n; i++) {
        double a = (double)x[i] - top_x - log(sum_x), b = (double)y[i] - top_y - log(sum_y);
        if (a > -700) kl += exp(a) * (a - b);
    }
    return kl;
}

static size_t best(const float *x, size_t n) {
    size_t k = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[k]) k = i;
    return k;
}

static bool open_ours(const char *path, leat_model **m) {
    leat_model_params p;
    leat_error e;
    leat_model_params_default(&p);
    p.isa = getenv("LEAT_ISA");
    return !leat_model_open(path, &p, m, &e) || !fail("Leat", e.message);
}

static bool tokens_of(leat_model *m, const char *path, leat_token *tokens, size_t *n) {
    leat_error e;
    leat_model_info info;
    char text[16 * TOKENS];
    leat_token all[16 * TOKENS + 2];
    leat_model_get_info(m, &info);
    *n = TOKENS;
    if (!strcmp(path, "-")) {
        *n = 64; /* random models get chaotic */
        for (size_t i = 0; i < *n; i++) tokens[i] = (leat_token)(i * 7919 % info.n_vocab);
        return true;
    }
    FILE *f = fopen(path, "rb");
    size_t bytes = f ? fread(text, 1, sizeof text, f) : 0, got = 0;
    if (f) fclose(f);
    while (bytes && (text[bytes - 1] & 0xC0) == 0x80) bytes--; /* whole characters */
    if (!bytes) return !fail("can't read", path);
    if (leat_tokenize(m, text, bytes, LEAT_TOKENIZE_BOS, all, sizeof all / sizeof *all, &got, &e))
        return !fail("Leat", e.message);
    if (got < *n) *n = got;
    memcpy(tokens, all, *n * sizeof *tokens);
    return true;
}

static int agree(const char *text, const char *path) {
    leat_token tokens[TOKENS];
    leat_model *m = NULL;
    size_t n = 0, same = 0;
    logits plain = {0}, small = {0}, other = {0};
    double peer = 0, own = 0, most = 0;
    if (!open_ours(path, &m)) return 1;
    bool good = tokens_of(m, text, tokens, &n) && ours(m, tokens, n, LEAT_ACTIVATIONS_F32, &plain) &&
                ours(m, tokens, n, LEAT_ACTIVATIONS_INT8, &small) && theirs(path, tokens, n, false, &other);
    if (good && other.width != plain.width) good = !fail("vocabularies differ", path);
    for (size_t i = 0; good && i < n; i++) {
        const float *a = plain.x + i * plain.width, *b = small.x + i * plain.width,
                    *c = other.x + i * plain.width;
        peer += divergence(a, c, plain.width) / (double)n;
        own += divergence(a, b, plain.width) / (double)n;
        same += best(b, plain.width) == best(c, plain.width);
        for (size_t k = 0; k < plain.width; k++) most = fmax(most, fabs((double)b[k] - (double)c[k]));
    }
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (good)
        printf("%s\t%.2e\t%.2e\t%.1f %%\t%.3f\n", name, peer, own, 100.0 * (double)same / (double)n, most);
    fflush(stdout);
    free(plain.x), free(small.x), free(other.x);
    leat_model_close(m);
    return !good;
}

static int vectors(const char *text, const char *path) {
    leat_token tokens[TOKENS];
    leat_model *m = NULL;
    leat_embedder *em = NULL;
    leat_embed_params p;
    leat_error e;
    size_t n = 0, width = 0;
    float *x = NULL;
    logits other = {0};
    double xx = 0, yy = 0, xy = 0;
    if (!open_ours(path, &m)) return 1;
    bool good = tokens_of(m, text, tokens, &n);
    leat_embed_params_default(&p);
    p.n_ctx = (uint32_t)n;
    p.n_threads = 1;
    if (!good || leat_embedder_open(m, &p, &em, &e)) return fail("Leat", e.message);
    width = leat_embedder_dims(em);
    x = malloc(width * sizeof *x);
    good = x && !leat_embed(em, tokens, &n, 1, x, NULL, NULL, &e);
    if (!good) fail("Leat", e.message);
    good = good && theirs(path, tokens, n, true, &other);
    if (good && other.width != width) good = !fail("vectors differ in length", path);
    for (size_t i = 0; good && i < width; i++) {
        xx += (double)x[i] * (double)x[i];
        yy += (double)other.x[i] * (double)other.x[i];
        xy += (double)x[i] * (double)other.x[i];
    }
    if (good) printf("%s\t%.9f\n", path, xy / sqrt(xx * yy));
    fflush(stdout);
    free(x), free(other.x);
    leat_embedder_close(em);
    leat_model_close(m);
    return !good;
}

/* ---- quantizing ---- */

static const struct {
    const char *name;
    int32_t type;
} types[] = {{"F16", 1},     {"Q4_0", 2},     {"Q4_1", 3},    {"Q8_0", 7},     {"Q5_0", 8},    {"Q5_1", 9},
             {"Q2_K", 10},   {"Q3_K_S", 11},  {"Q3_K_M", 12}, {"Q3_K_L", 13},  {"Q4_K_S", 14}, {"Q4_K_M", 15},
             {"Q5_K_S", 16}, {"Q5_K_M", 17},  {"Q6_K", 18},   {"IQ2_XXS", 19}, {"IQ2_XS", 20}, {"Q2_K_S", 21},
             {"IQ3_XS", 22}, {"IQ3_XXS", 23}, {"IQ1_S", 24},  {"IQ4_NL", 25},  {"IQ3_S", 26},  {"IQ3_M", 27},
             {"IQ2_S", 28},  {"IQ2_M", 29},   {"IQ4_XS", 30}, {"IQ1_M", 31},   {"BF16", 32},   {"TQ1_0", 36},
             {"TQ2_0", 37}};

/* Means of squares for each tensor of the file, as llama-quantize makes them of it. */
static imatrix_entry *read_imatrix(const char *path) {
    importance_file *file = NULL;
    leat_error e;
    const gguf_tensor *sums, *counts;
    imatrix_entry *list = calloc(IMATRIX_MAX + 1, sizeof *list);
    size_t n = 0;
    if (!list || importance_open(path, &file, &e)) {
        fail("Leat", list ? e.message : "no memory");
        return NULL;
    }
    for (size_t i = 0; n < IMATRIX_MAX && importance_entry(file, &i, &sums, &counts); n++, i++) {
        static const char end[] = ".in_sum2";
        size_t values = (size_t)(sums->ne[0] * sums->n_rows),
               chunks = (size_t)(counts->ne[0] * counts->n_rows);
        char *name = calloc(sums->name.n + 1, 1);
        float *x = malloc(values * sizeof *x);
        if (!name || !x) return NULL;
        memcpy(name, sums->name.p, sums->name.n - (sizeof end - 1));
        for (size_t k = 0; k < values; k++) {
            float count = importance_value(counts, k / (values / chunks));
            x[k] = count > 0 ? importance_value(sums, k) / count : 1.0f;
        }
        list[n] = (imatrix_entry){name, x, values};
    }
    importance_close(file);
    return list;
}

static int quantize(const char *in, const char *out, const char *type, const char *imatrix) {
    quantize_params p = quantize_defaults;
    size_t k = 0;
    while (k < sizeof types / sizeof *types && strcmp(types[k].name, type) != 0) k++;
    if (k == sizeof types / sizeof *types) return fail("llama.cpp has no type", type);
    p.type = types[k].type;
    p.n_threads = 2;
    if (imatrix && !(p.imatrix = read_imatrix(imatrix))) return 1;
    if (llama.quantize(in, out, &p)) return fail("llama.cpp can't quantize to", type);
    return 0;
}

int main(int argc, char **argv) {
    bool embeds = argc > 5 && !strcmp(argv[3], "vectors"),
         compares = embeds || (argc > 5 && !strcmp(argv[3], "agree")),
         makes = (argc == 7 || argc == 8) && !strcmp(argv[3], "quantize");
    if (!compares && !makes) {
        fprintf(stderr, "usage: peer_files LIBRARIES BACKENDS agree|vectors TEXT FILE...\n"
                        "       peer_files LIBRARIES BACKENDS quantize IN OUT TYPE [IMATRIX]\n");
        return 2;
    }
    int status = open_libraries(argv[1], argv[2]);
    if (status) return status;
    if (makes) return quantize(argv[4], argv[5], argv[6], argc == 8 ? argv[7] : NULL);
    for (int i = 5; i < argc; i++) status |= (embeds ? vectors : agree)(argv[4], argv[i]);
    return status;
}
