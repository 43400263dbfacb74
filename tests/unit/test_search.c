/* Types chosen by search: the knapsack against all combinations, and the search as a whole: sizes are kept,
 * any number of threads gives the same file, a choice applied again gives the same file, and what was chosen
 * is nearer to the original than a named mix of the same size. */
#include <math.h>
#include <stdlib.h>

#include "kernels/formats.h"
#include "loader/file.h"
#include "runtime/quantize/divergence.h"
#include "runtime/quantize/knapsack.h"
#include "tests/harness/fixture.h"
#include "tests/loader/folder.h"

/* ---- knapsack ---- */

static uint64_t state;

static uint64_t draw(uint64_t below) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (state >> 33) % below;
}

enum { CLASSES = 7, ITEMS = 6, MANY = 60 };

typedef struct instance {
    knapsack_item items[MANY][ITEMS];
    knapsack_class classes[MANY];
    size_t n;
} instance;

/* Costs are whole numbers or, in some classes, all the same, so that ties happen. */
static void make_instance(instance *x, size_t n, uint64_t seed) {
    state = seed;
    x->n = n;
    for (size_t c = 0; c < n; c++) {
        size_t items = 1 + (size_t)draw(ITEMS);
        for (size_t i = 0; i < items; i++)
            x->items[c][i] = (knapsack_item){draw(100), seed % 3 ? (double)draw(50) : (double)draw(3)};
        x->classes[c] = (knapsack_class){x->items[c], items};
    }
}

static void add_up(const instance *x, const uint32_t *choice, uint64_t *bytes, double *cost) {
    *bytes = 0, *cost = 0;
    for (size_t c = 0; c < x->n; c++) {
        *bytes += x->items[c][choice[c]].bytes;
        *cost += x->items[c][choice[c]].cost;
    }
}

/* The least cost within the budget by looking at every combination; infinite if none fits. */
static double least_cost(const instance *x, uint64_t budget) {
    uint32_t choice[CLASSES] = {0};
    double best = INFINITY;
    for (;;) {
        uint64_t bytes;
        double cost;
        size_t c = 0;
        add_up(x, choice, &bytes, &cost);
        if (bytes <= budget && cost < best) best = cost;
        while (c < x->n && ++choice[c] == x->classes[c].n) choice[c++] = 0;
        if (c == x->n) return best;
    }
}

static void knapsack_is_best(test *t) {
    static instance x;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        make_instance(&x, 1 + seed % CLASSES, seed);
        uint64_t budget = draw(100 * x.n), bytes, least;
        uint32_t choice[CLASSES];
        double cost, best = least_cost(&x, budget);
        leat_error e = {LEAT_OK, ""};
        leat_status status = knapsack_solve(x.classes, x.n, budget, 0, choice, &least, &e);
        if (isinf(best)) {
            if (status != LEAT_E_LIMIT || least <= budget)
                TEST_FAIL(t, "seed %d: what does not fit is %d", (int)seed, status);
            continue;
        }
        if (status) {
            TEST_FAIL(t, "seed %d: %s", (int)seed, e.message);
            continue;
        }
        add_up(&x, choice, &bytes, &cost);
        if (bytes > budget || cost > best || cost < best)
            TEST_FAIL(t, "seed %d: cost %g, not %g, bytes %d of %d", (int)seed, cost, best, (int)bytes,
                      (int)budget);
    }
}

/* With room for few states the result is near the best, and never over the budget. */
static void knapsack_thins(test *t) {
    static instance x;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        make_instance(&x, MANY, 3 * seed + 1);
        uint32_t choice[MANY];
        uint64_t bytes, least;
        double cost, best;
        knapsack_solve(x.classes, MANY, 0, 0, choice, &least, NULL);
        uint64_t budget = least + 40 * MANY / 4;
        CHECK_EQ(t, knapsack_solve(x.classes, MANY, budget, 1 << 16, choice, &least, NULL), LEAT_OK);
        add_up(&x, choice, &bytes, &best);
        CHECK_EQ(t, knapsack_solve(x.classes, MANY, budget, 64, choice, &least, NULL), LEAT_OK);
        add_up(&x, choice, &bytes, &cost);
        if (bytes > budget || cost > 1.1 * best + 3)
            TEST_FAIL(t, "seed %d: cost %g, best is %g, bytes %d of %d", (int)seed, cost, best, (int)bytes,
                      (int)budget);
    }
    CHECK_EQ(t, knapsack_solve(NULL, 0, 5, 0, NULL, &(uint64_t){0}, NULL), LEAT_OK);
}

/* ---- the search ---- */

enum { N_TOKENS = 128 };

static leat_token tokens[N_TOKENS];

static leat_quantize_params params_for(double bpw) {
    leat_quantize_params p;
    leat_quantize_params_default(&p);
    p.type = "q4_k_m";
    p.target_bpw = bpw;
    p.calibration = tokens;
    p.n_calibration = N_TOKENS;
    p.calibration_name = "tokens";
    p.search_types = "Q2_K,q3_k, q4_k,q5_k,q6_k,q8_0";
    p.search_measured = 2;
    p.search_trials = 3;
    p.n_threads = 2;
    return p;
}

static bool make_input(test *t, folder *f) {
    random_model m = random_model_small(FORMAT_F32);
    leat_error e = {LEAT_OK, ""};
    fill_tokens(tokens, N_TOKENS, m.n_vocab, 11);
    if (folder_make(f) && !random_model_write(&m, folder_file(f, "in.gguf"), &e)) return true;
    TEST_FAIL(t, "no model: %s", e.message);
    return false;
}

static leat_status run(const folder *f, const char *out, const leat_quantize_params *p, leat_error *e) {
    return leat_quantize(folder_file(f, "in.gguf"), folder_file(f, out), p, e);
}

static bool same_files(const folder *f, const char *a, const char *b) {
    size_t n, m;
    unsigned char *x = file_get(folder_file(f, a), &n), *y = file_get(folder_file(f, b), &m);
    bool same = x && y && n == m && !memcmp(x, y, n);
    free(x), free(y);
    return same;
}

static size_t size_of(const folder *f, const char *name) {
    size_t n = 0;
    free(file_get(folder_file(f, name), &n));
    return n;
}

typedef struct seen {
    size_t n;
    double nats;
    uint64_t bytes;
} seen;

static void see(void *user, const leat_quantize_choice *x) {
    seen *s = user;
    s->n++;
    s->nats += x->divergence;
    s->bytes += x->bytes;
}

static void a_choice_can_be_repeated(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_summary made;
    if (!make_input(t, &f)) return;
    seen s = {0};
    leat_quantize_params p = params_for(4.5);
    p.summary = &made;
    p.chosen = see;
    p.user = &s;
    if (run(&f, "a.gguf", &p, &e)) TEST_FAIL(t, "%s", e.message);
    CHECK(t, 8 * made.bytes_out <= 4.5 * (double)made.n_weights &&
                 8 * made.bytes_out > 4.2 * (double)made.n_weights);
    CHECK(t, s.n >= 15 && s.nats > 0 && s.bytes <= made.bytes_out && made.divergence > 0);
    p.n_threads = 3;
    CHECK_EQ(t, run(&f, "b.gguf", &p, &e), LEAT_OK);
    CHECK(t, same_files(&f, "a.gguf", "b.gguf"));

    /* the importance was taken from the text: from a file it is the same */
    leat_model *model = NULL;
    leat_imatrix *m = NULL;
    leat_imatrix_params ip;
    leat_imatrix_params_default(&ip);
    ip.dataset = "tokens";
    CHECK_EQ(t, leat_model_open(folder_file(&f, "in.gguf"), NULL, &model, &e), LEAT_OK);
    CHECK_EQ(t, leat_imatrix_open(&m, &e), LEAT_OK);
    CHECK_EQ(t, leat_imatrix_collect(m, model, tokens, N_TOKENS, &ip, &e), LEAT_OK);
    CHECK_EQ(t, leat_imatrix_save(m, folder_file(&f, "i.gguf"), &e), LEAT_OK);
    leat_imatrix_close(m);
    leat_model_close(model);
    char imatrix[256], from[256];
    snprintf(imatrix, sizeof imatrix, "%s", folder_file(&f, "i.gguf"));
    snprintf(from, sizeof from, "%s", folder_file(&f, "c.gguf"));
    p.imatrix = imatrix;
    CHECK_EQ(t, run(&f, "c.gguf", &p, &e), LEAT_OK);
    leat_quantize_params again;
    leat_quantize_params_default(&again);
    again.imatrix = imatrix;
    again.recipe_from = from;
    if (run(&f, "d.gguf", &again, &e)) TEST_FAIL(t, "%s", e.message);
    CHECK(t, same_files(&f, "c.gguf", "d.gguf"));
    again.target_bpw = 4;
    CHECK_EQ(t, run(&f, "e.gguf", &again, &e), LEAT_E_ARG);
    again.target_bpw = 0;
    again.recipe_from = folder_file(&f, "absent.gguf");
    CHECK_EQ(t, run(&f, "e.gguf", &again, &e), LEAT_E_IO);
    folder_remove(&f);
}

/* The types in leat.quantize.types, as --tensor-type takes them, are those of the tensors. */
static void types_are_listed(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    model_file *file = NULL;
    const gguf_kv *types = NULL;
    size_t cursor = 0;
    if (!make_input(t, &f)) return;
    static const char *const keep[] = {"ffn_down=q8_0"};
    leat_quantize_params p = params_for(5.5);
    p.tensor_types = keep;
    p.n_tensor_types = 1;
    p.search_trials = 0;
    if (run(&f, "a.gguf", &p, &e)) TEST_FAIL(t, "%s", e.message);
    REQUIRE(t, !file_open(folder_file(&f, "a.gguf"), &file, &e));
    const gguf *g = file_gguf(file);
    CHECK_EQ(t, meta_array(g, "leat.quantize.types", GGUF_STRING, 1000, &types, NULL, &e), LEAT_OK);
    CHECK(t, gguf_find(g, "leat.quantize.search") != NULL);
    for (uint64_t i = 0; types && i < types->count; i++) {
        char line[128] = "";
        str s = gguf_kv_next_str(types, &cursor);
        memcpy(line, s.p, s.n < 127 ? s.n : 127);
        char *equals = strchr(line, '=');
        REQUIRE(t, equals);
        *equals = 0;
        const gguf_tensor *x = gguf_find_tensor(g, line);
        if (!x || (int)x->format != format_find(equals + 1)) TEST_FAIL(t, "%s is not %s", line, equals + 1);
        if (strstr(line, "ffn_down")) CHECK_STR(t, equals + 1, "Q8_0");
    }
    CHECK(t, types && types->count >= 15);
    file_close(file);
    folder_remove(&f);
}

static double divergence_from(test *t, const folder *f, const char *name) {
    leat_model *original = NULL, *changed = NULL;
    divergence *d = NULL;
    leat_token other[N_TOKENS]; /* not those of the search */
    double mean = NAN;
    leat_error e = {LEAT_OK, ""};
    fill_tokens(other, N_TOKENS, 300, 77);
    if (leat_model_open(folder_file(f, "in.gguf"), NULL, &original, &e) ||
        leat_model_open(folder_file(f, name), NULL, &changed, &e) ||
        divergence_open(
            original,
            &(divergence_params){
                .tokens = other, .n_tokens = N_TOKENS, .n_ctx = 128, .max_chunks = 1, .n_threads = 2},
            &d, &e) ||
        divergence_measure(d, changed, &mean, &e))
        TEST_FAIL(t, "%s: %s", name, e.message);
    divergence_close(d);
    leat_model_close(original);
    leat_model_close(changed);
    return mean;
}

static void search_beats_a_mix(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    if (!make_input(t, &f)) return;
    leat_quantize_params mix, p = params_for(0);
    leat_quantize_params_default(&mix);
    mix.type = "q4_k_m";
    CHECK_EQ(t, run(&f, "mix.gguf", &mix, &e), LEAT_OK);
    p.target_bytes = size_of(&f, "mix.gguf");
    p.search_types = "q2_k,q3_k,iq3_s,iq4_xs,q4_k,q5_k,q6_k,q8_0";
    if (run(&f, "found.gguf", &p, &e)) TEST_FAIL(t, "%s", e.message);
    CHECK(t, size_of(&f, "found.gguf") <= p.target_bytes && size_of(&f, "found.gguf") > p.target_bytes / 2);
    double of_mix = divergence_from(t, &f, "mix.gguf"), found = divergence_from(t, &f, "found.gguf");
    if (!(found < 0.95 * of_mix)) TEST_FAIL(t, "divergence %g, that of the mix is %g", found, of_mix);
    folder_remove(&f);
}

typedef struct steps {
    size_t last, total, went_back;
} steps;

static bool count_steps(void *user, size_t done, size_t total) {
    steps *s = user;
    s->went_back += done < s->last || done > total;
    s->last = done;
    s->total = total;
    return true;
}

/* More than 64 tensors: those of a kind are measured together, in four bands of layers, so that a model of
 * many layers takes as many measurements as one of few. */
static void many_tensors_are_measured_in_groups(test *t) {
    enum { LAYERS = 9, KINDS = 7, TENSORS = LAYERS * KINDS + 2, GROUPS = 4 * KINDS + 2 };
    folder f;
    leat_error e = {LEAT_OK, ""};
    steps done = {0};
    random_model m = random_model_small(FORMAT_F32);
    m.n_layer = LAYERS;
    m.n_embd = 64, m.n_ff = 96, m.head_dim = 16;
    fill_tokens(tokens, N_TOKENS, m.n_vocab, 11);
    REQUIRE(t, folder_make(&f) && !random_model_write(&m, folder_file(&f, "in.gguf"), &e));
    leat_quantize_params mix, p = params_for(0);
    leat_quantize_params_default(&mix);
    mix.type = "q5_0";
    CHECK_EQ(t, run(&f, "mix.gguf", &mix, &e), LEAT_OK);
    seen s = {0};
    leat_quantize_summary made;
    p.target_bytes = size_of(&f, "mix.gguf");
    p.search_types = "q4_0,q4_1,q5_0,q5_1,q8_0,iq4_nl,mxfp4";
    p.summary = &made;
    p.chosen = see;
    p.user = &s;
    if (run(&f, "a.gguf", &p, &e)) TEST_FAIL(t, "%s", e.message);
    CHECK(t, size_of(&f, "a.gguf") <= p.target_bytes && size_of(&f, "a.gguf") > p.target_bytes * 0.97);
    CHECK_EQ(t, s.n, TENSORS);
    CHECK(t, s.nats > 0 && made.divergence > 0);
    double of_mix = divergence_from(t, &f, "mix.gguf"), found = divergence_from(t, &f, "a.gguf");
    if (!(found < of_mix)) TEST_FAIL(t, "divergence %g, that of the mix is %g", found, of_mix);
    p.n_threads = 3;
    p.chosen = NULL;
    p.search_progress = count_steps;
    p.user = &done;
    CHECK_EQ(t, run(&f, "b.gguf", &p, &e), LEAT_OK);
    CHECK(t, same_files(&f, "a.gguf", "b.gguf"));
    CHECK_EQ(t, done.total, TENSORS + GROUPS * p.search_measured + p.search_trials);
    CHECK(t, !done.went_back && done.last <= done.total);
    folder_remove(&f);
}

static bool stop(void *user, size_t done, size_t total) {
    (void)user;
    return done < total / 2;
}

static void what_cannot_be_is_refused(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    if (!make_input(t, &f)) return;
    leat_quantize_params p = params_for(1.2);
    CHECK_EQ(t, run(&f, "a.gguf", &p, &e), LEAT_E_LIMIT); /* none of the types is that small */
    p.target_bpw = 0;
    p.target_bytes = 1000;
    CHECK_EQ(t, run(&f, "a.gguf", &p, &e), LEAT_E_LIMIT);
    p = params_for(4.5);
    p.type = "copy";
    CHECK_EQ(t, run(&f, "a.gguf", &p, &e), LEAT_E_ARG);
    p = params_for(4.5);
    p.search_progress = stop;
    CHECK_EQ(t, run(&f, "a.gguf", &p, &e), LEAT_E_CANCELLED);
    p = params_for(NAN);
    CHECK_EQ(t, run(&f, "a.gguf", &p, &e), LEAT_E_ARG);
    p = params_for(4.5);
    p.calibration = NULL;
    CHECK_EQ(t, run(&f, "a.gguf", &p, &e), LEAT_E_ARG);
    CHECK_EQ(t, folder_count(&f), 1);
    /* without a text, by errors alone */
    p.n_calibration = 0;
    if (run(&f, "a.gguf", &p, &e)) TEST_FAIL(t, "%s", e.message);
    folder_remove(&f);
}

#define TESTS(X)                                                                                             \
    X(knapsack_is_best)                                                                                      \
    X(knapsack_thins)                                                                                        \
    X(a_choice_can_be_repeated)                                                                              \
    X(types_are_listed)                                                                                      \
    X(search_beats_a_mix)                                                                                    \
    X(many_tensors_are_measured_in_groups)                                                                   \
    X(what_cannot_be_is_refused)
TEST_SUITE(TESTS)
