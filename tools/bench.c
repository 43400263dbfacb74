/* `leat bench`: how fast models run here, and how near that is to what the memory allows. The tests and their
 * names are llama-bench's: "pp512" evaluates a prompt of 512 tokens into an empty session, "tg128" generates
 * 128 tokens one by one, "@ d4096" says that the session held 4096 tokens before. Every list of values is
 * crossed with the others. Tokens are random but the same each time, and none is sampled: evaluating is what
 * is measured. bench_report.c prints what is measured here. */
#include "bench.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "input.h"
#include "options.h"
#include "term.h"

enum { LIST_MAX = 64, READ_PASSES = 8 };

typedef struct list {
    uint32_t v[LIST_MAX];
    size_t n;
} list;

typedef struct bench_options {
    const char *model, *prompts, *generates, *depths, *threads, *batches, *cache_k, *cache_v, *activations,
        *isa, *output;
    int64_t repetitions, read_mib;
    list p, n, d, t, b;
} bench_options;

/* What a signal cancels. An atomic, because the handler may run at any moment. */
static _Atomic(leat_session *) running;

static void cancel_running(void) {
    leat_session *session = atomic_load(&running);
    if (session) leat_session_cancel(session);
}

/* "1,2,4"; `word_for_0` stands for 0 where there is one. */
static int parse_list(const char *name, const char *text, int64_t min, int64_t max, const char *word_for_0,
                      list *out) {
    out->n = 0;
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        char word[24];
        int64_t v;
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        if (word_for_0 && !strcmp(word, word_for_0)) {
            v = 0;
        } else if (!parse_int(word, INT64_MIN, INT64_MAX, &v)) {
            return usage_error("bench", "%s needs whole numbers with commas between, not \"%s\"", name, text);
        } else if (v < min || v > max) {
            return usage_error("bench", "%s must be %lld to %lld, not %s", name, (long long)min,
                               (long long)max, word);
        }
        if (out->n == LIST_MAX) return usage_error("bench", "%s takes at most %d values", name, LIST_MAX);
        out->v[out->n++] = (uint32_t)v;
        if (!p[n]) return EXIT_DONE;
        p += n + 1;
    }
}

/* ---- what a token reads ---- */

static bool ends_with(leat_str s, const char *end) {
    size_t n = strlen(end);
    return s.size >= n && !memcmp(s.data + s.size - n, end, n);
}

static bool meta_number(const leat_file *file, const char *architecture, const char *suffix, uint64_t *out) {
    char key[128];
    size_t index;
    leat_meta meta;
    leat_value value;
    snprintf(key, sizeof key, "%s.%s", architecture, suffix);
    if (leat_file_meta_find(file, key, &index) || leat_file_meta(file, index, &meta) ||
        meta.type != LEAT_META_U32 || leat_file_meta_value(file, index, 0, NULL, &value))
        return false;
    *out = value.u64;
    return true;
}

static bool is_named(leat_str s, const char *name) {
    return s.size == strlen(name) && ends_with(s, name);
}

/* Tables of which a token takes a row: the embedding, the positions that some models have learned, the kinds
 * of text, and gemma3n's and gemma4's inputs of each layer. */
static bool is_table(leat_str name) {
    return ends_with(name, "token_embd.weight") || is_named(name, "position_embd.weight") ||
           is_named(name, "token_types.weight");
}

/* The experts of a layer and those that a token uses of them; 0 and 0 in a model without. */
static void count_experts(const leat_file *file, const char *architecture, uint64_t *all, uint64_t *used) {
    *all = *used = 0;
    if (!meta_number(file, architecture, "expert_count", all) ||
        !meta_number(file, architecture, "expert_used_count", used) || *used > *all)
        *all = *used = 0;
}

/* Every weight is read once per token, with two exceptions: of tables only a row, unless the embedding also
 * serves as output matrix (no output.weight in the file); and of a layer's experts only those in use. */
static uint64_t weight_bytes(const leat_file *file, const char *architecture) {
    uint64_t bytes = 0, experts, used;
    size_t index;
    bool tied = leat_file_tensor_find(file, "output.weight", &index) != LEAT_OK;
    count_experts(file, architecture, &experts, &used);
    for (size_t i = 0; i < leat_file_tensor_count(file); i++) {
        leat_tensor_info t;
        if (leat_file_tensor(file, i, &t)) continue;
        if (is_table(t.name) && !(tied && is_named(t.name, "token_embd.weight")))
            bytes += t.bytes / t.dims[1];
        else if (ends_with(t.name, "_exps.weight") && experts)
            bytes += t.bytes / experts * used;
        else
            bytes += t.bytes;
    }
    return bytes;
}

/* Products of weights with one token of a prompt: of all matrices but tables, and of experts those in use.
 * *last gets those for the logits, which only the last token needs. */
static double weight_products(const leat_file *file, const char *architecture, double *last) {
    uint64_t experts, used;
    double products = 0, embedding = 0;
    *last = 0;
    count_experts(file, architecture, &experts, &used);
    for (size_t i = 0; i < leat_file_tensor_count(file); i++) {
        leat_tensor_info t;
        if (leat_file_tensor(file, i, &t) || t.n_dims < 2) continue;
        double n = (double)t.dims[0] * (double)t.dims[1] * (double)t.dims[2] * (double)t.dims[3];
        if (ends_with(t.name, "_exps.weight") && experts)
            products += n / (double)experts * (double)used;
        else if (is_table(t.name))
            embedding = is_named(t.name, "token_embd.weight") ? n : embedding;
        else if (is_named(t.name, "output.weight"))
            *last = n;
        else
            products += n;
    }
    if (*last <= 0) *last = embedding;
    return products;
}

/* What a token reads of the cache and of recurrent state, on average over n that are generated behind
 * `depth` others. */
static double cache_bytes(const leat_session *session, uint32_t depth, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)leat_session_read_bytes(session, (size_t)depth + i);
    return sum / n;
}

/* The type that most of the weights' bytes have. */
static const char *main_type(const leat_file *file, uint32_t *id) {
    const char *best = "";
    uint64_t most = 0;
    for (size_t i = 0; i < leat_file_tensor_count(file); i++) {
        leat_tensor_info t, other;
        uint64_t sum = 0;
        if (leat_file_tensor(file, i, &t)) continue;
        for (size_t j = 0; j < leat_file_tensor_count(file); j++)
            if (!leat_file_tensor(file, j, &other) && other.type_id == t.type_id) sum += other.bytes;
        if (sum > most) {
            most = sum;
            best = t.type; /* a static string */
            *id = t.type_id;
        }
    }
    return best;
}

/* ---- measuring ---- */

typedef struct setup { /* the values of the lists that a session has */
    uint32_t threads, batch, depth;
} setup;

static leat_token next_token(uint64_t *state, uint32_t n_vocab) { /* xorshift64*, Vigna 2016 */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (leat_token)((*state * 0x2545F4914F6CDD1Du >> 33) % n_vocab);
}

/* Evaluates tokens[0..n) behind before[0..depth), at once or one by one, and says how long it took. The
 * session has evaluated `before`; a model with windows may have to do that again. */
static leat_status evaluate(leat_session *session, const leat_token *tokens, const leat_token *before,
                            uint32_t depth, uint32_t n, bool one_by_one, double *seconds, leat_error *e) {
    leat_status status = leat_session_rewind(session, depth);
    if (status == LEAT_E_STATE && !(status = leat_session_rewind(session, 0)))
        status = leat_session_eval(session, before, depth, e);
    double start = term_seconds();
    if (!one_by_one && !status) status = leat_session_eval(session, tokens, n, e);
    for (uint32_t i = 0; one_by_one && i < n && !status; i++)
        status = leat_session_eval(session, tokens + i, 1, e);
    *seconds = term_seconds() - start;
    return status;
}

/* Runs one test: once to warm up (a single token when generating), then for the record. */
static int run_test(bench *b, bench_row *row, leat_session *session, const leat_token *tokens,
                    const leat_token *before, const bench_options *o) {
    bool generate = row->n_gen > 0;
    uint32_t n = generate ? row->n_gen : row->n_prompt;
    leat_error error;
    double seconds, sum = 0, squares = 0;
    busy start, elapsed;
    progress bar;
    leat_status status =
        evaluate(session, tokens, before, row->depth, generate ? 1 : n, generate, &seconds, &error);
    progress_start(&bar, row->test, "repetitions");
    busy_now(&start);
    for (int64_t i = 0; i < o->repetitions && !status; i++) {
        status = evaluate(session, tokens, before, row->depth, n, generate, &seconds, &error);
        if (status) break;
        double speed = n / seconds;
        b->samples[row->first_sample + row->n_samples++] = speed;
        if (speed > row->best) row->best = speed;
        sum += speed;
        progress_update(&bar, (size_t)i + 1, (size_t)o->repetitions);
    }
    progress_end(&bar);
    busy_since(&start, &elapsed);
    if (term_interrupted()) return 128 + term_interrupted();
    if (status) return fail("%s: %s", row->test, error.message);
    if (!row->threads) {
        row->automatic = true;
        row->threads = generate ? leat_session_threads(session) : leat_session_threads_batch(session);
    }
    row->mean = sum / (double)row->n_samples;
    for (size_t i = 0; i < row->n_samples; i++) {
        double d = b->samples[row->first_sample + i] - row->mean;
        squares += d * d;
    }
    row->deviation = row->n_samples > 1 ? sqrt(squares / (double)(row->n_samples - 1)) : 0;
    row->switches = elapsed.switches;
    row->others = elapsed.others;
    return EXIT_DONE;
}

/* The roof for a number of threads (0: the usual one): the best that any measurement with them saw in this
 * run. */
static void measure_roof(bench *b, uint32_t threads) {
    bench_roof *r = b->roofs;
    size_t i = 0;
    if (!threads) threads = leat_threads_default();
    while (i < b->n_roofs && r[i].threads != threads) i++;
    if (i == b->n_roofs) r[b->n_roofs++] = (bench_roof){threads, 0};
    double speed = machine_read_speed(b->read_bytes, threads, READ_PASSES);
    if (speed > r[i].speed) r[i].speed = speed;
}

static uint64_t multiply(void *model, uint64_t rounds) {
    const bench_model *m = model;
    return leat_model_multiply(m->model, m->type_id, rounds);
}

/* The roof of the prompts among the rows from `first` on. */
static void measure_multiplying(bench *b, bench_model *model, uint32_t threads, size_t first) {
    if (!b->read_bytes) return;
    double speed = machine_work_speed(multiply, model, threads ? threads : leat_threads_default());
    for (size_t i = first; i < b->n_rows; i++)
        if (b->rows[i].n_prompt && speed > b->rows[i].multiply_speed) b->rows[i].multiply_speed = speed;
}

static void name_test(bench_row *row) {
    int n = snprintf(row->test, sizeof row->test, row->n_gen ? "tg%u" : "pp%u",
                     row->n_gen ? row->n_gen : row->n_prompt);
    if (row->depth) snprintf(row->test + n, sizeof row->test - (size_t)n, " @ d%u", row->depth);
}

/* All tests of one session. */
static int run_session(bench *b, bench_model *model, setup s, const bench_options *o) {
    leat_session *session = NULL;
    leat_session_params params;
    leat_error error;
    uint32_t most = 1;
    uint64_t state = 88172645463325252u;
    double filling;
    for (size_t i = 0; i < o->p.n; i++) most = o->p.v[i] > most ? o->p.v[i] : most;
    for (size_t i = 0; i < o->n.n; i++) most = o->n.v[i] > most ? o->n.v[i] : most;
    size_t n_tokens = (size_t)s.depth + most;
    leat_token *tokens = malloc(n_tokens * sizeof *tokens);
    if (!tokens) return fail("no memory for %zu tokens", n_tokens);
    for (size_t i = 0; i < n_tokens; i++) tokens[i] = next_token(&state, model->info.n_vocab);
    leat_session_params_default(&params);
    params.n_ctx = (uint32_t)n_tokens;
    params.n_batch = s.batch;
    params.n_threads = s.threads;
    params.k_type = cache_type(b->cache_k);
    params.v_type = cache_type(b->cache_v);
    params.activations = activations_form(b->activations);
    double start = term_seconds();
    int status =
        leat_session_open(model->model, &params, &session, &error) ? fail("%s", error.message) : EXIT_DONE;
    if (!status) model->load_seconds = model->open_seconds + term_seconds() - start;
    atomic_store(&running, session);
    if (!status && s.depth && evaluate(session, tokens + most, NULL, 0, s.depth, false, &filling, &error))
        status = term_interrupted() ? 128 + term_interrupted() : fail("%s", error.message);
    for (size_t i = 0; i < o->p.n + o->n.n && !status; i++) {
        bool generate = i >= o->p.n;
        uint32_t n = generate ? o->n.v[i - o->p.n] : o->p.v[i];
        if (!n) continue;
        bench_row *row = &b->rows[b->n_rows];
        *row = (bench_row){.model = model,
                           .threads = s.threads,
                           .batch = s.batch,
                           .depth = s.depth,
                           .n_prompt = generate ? 0 : n,
                           .n_gen = generate ? n : 0,
                           .first_sample = b->n_rows * (size_t)o->repetitions};
        name_test(row);
        if (generate)
            row->bytes_per_token = (double)model->weight_bytes + cache_bytes(session, s.depth, n);
        else
            row->operations = 2 * (model->products + model->last_products / n);
        status = run_test(b, row, session, tokens, tokens + most, o);
        if (!status) b->n_rows++;
    }
    atomic_store(&running, NULL);
    leat_session_close(session);
    free(tokens);
    return status;
}

static int open_bench_model(bench_model *m, const char *path, const bench_options *o) {
    leat_file *file = NULL;
    leat_error error;
    int status = path ? EXIT_DONE : default_model_path(m->path);
    if (status) return status;
    if (path) snprintf(m->path, sizeof m->path, "%s", path);
    double start = term_seconds();
    if ((status = open_model(m->path, false, o->isa, &m->model))) return status;
    m->open_seconds = term_seconds() - start;
    leat_model_get_info(m->model, &m->info);
    snprintf(m->architecture, sizeof m->architecture, "%s", m->info.architecture);
    m->info.architecture = m->architecture; /* results outlive the model */
    if (leat_file_open(m->path, &file, &error)) return fail("%s", error.message);
    m->type = main_type(file, &m->type_id);
    m->products = weight_products(file, m->info.architecture, &m->last_products);
    m->weight_bytes = weight_bytes(file, m->info.architecture);
    leat_file_close(file);
    return EXIT_DONE;
}

static int run_models(bench *b, const char **paths, const bench_options *o) {
    int status = EXIT_DONE;
    for (size_t m = 0; m < b->n_models && !status; m++) {
        bench_model *model = &b->models[m];
        status = open_bench_model(model, paths[m], o);
        for (size_t t = 0; t < o->t.n && !status; t++) {
            size_t first = b->n_rows;
            measure_roof(b, o->t.v[t]);
            for (size_t i = 0; i < o->b.n; i++)
                for (size_t d = 0; d < o->d.n && !status; d++) {
                    status = run_session(b, model, (setup){o->t.v[t], o->b.v[i], o->d.v[d]}, o);
                    measure_multiplying(b, model, o->t.v[t], first);
                }
            if (!status) measure_roof(b, o->t.v[t]);
        }
        leat_model_close(model->model);
        model->model = NULL;
    }
    return status;
}

static int run_bench(const bench_options *o, const char **paths, size_t n_paths) {
    size_t sessions = n_paths * o->t.n * o->b.n * o->d.n, rows = sessions * (o->p.n + o->n.n);
    bench b = {
        .n_models = n_paths, .cache_k = o->cache_k, .cache_v = o->cache_v, .activations = o->activations};
    busy start;
    double load[1];
    int status = EXIT_FAILED;
    b.models = calloc(n_paths, sizeof *b.models);
    b.rows = calloc(rows, sizeof *b.rows);
    b.roofs = calloc(o->t.n, sizeof *b.roofs);
    b.samples = calloc(rows * (size_t)o->repetitions, sizeof *b.samples);
    b.load = getloadavg(load, 1) == 1 ? load[0] : -1;
    if (b.models && b.rows && b.roofs && b.samples) {
        machine_read(&b.machine);
        b.read_bytes = o->read_mib < 0 ? machine_read_bytes(&b.machine) : (size_t)o->read_mib << 20;
        busy_now(&start);
        status = run_models(&b, paths, o);
        busy_since(&start, &b.busy);
        /* What was measured before a failure or Ctrl-C is worth having. */
        if (b.n_rows || !status) bench_print(&b, o->output);
        bench_warn(&b);
    } else {
        fail("no memory for %zu results", rows);
    }
    free(b.samples);
    free(b.roofs);
    free(b.rows);
    free(b.models);
    return status;
}

static int parse_lists(bench_options *o) {
    bool any = false;
    int status = parse_list("-p", o->prompts, 0, 1 << 24, NULL, &o->p);
    if (!status) status = parse_list("-n", o->generates, 0, 1 << 24, NULL, &o->n);
    if (!status) status = parse_list("-d", o->depths, 0, 1 << 24, NULL, &o->d);
    if (!status) status = parse_list("-b", o->batches, 1, 2048, NULL, &o->b);
    if (!status && !strcmp(o->threads, "-1"))
        o->t = (list){{0}, 1};
    else if (!status)
        status = parse_list("-t", o->threads, 1, 1024, "auto", &o->t);
    for (size_t i = 0; i < o->p.n; i++) any |= o->p.v[i] > 0;
    for (size_t i = 0; i < o->n.n; i++) any |= o->n.v[i] > 0;
    if (!status && !any) return usage_error("bench", "-p 0 and -n 0 leave nothing to measure");
    return status;
}

static const char about[] =
    "Measures how fast models run on this machine. pp512 is the speed of evaluating a prompt of 512 tokens,\n"
    "tg128 of generating 128 tokens one by one, \"@ d4096\" of doing so with 4096 tokens in the context "
    "before.\n"
    "LIST is a number or several with commas between; all combinations are measured. 0 leaves -p or -n "
    "out.\n\n"
    "\"of roof\" compares with what the machine can do. A prompt is a matter of multiplying: 100 % would be "
    "to\n"
    "multiply weights and tokens as fast as this run did nothing but such multiplications in registers, "
    "with\n"
    "the instructions for the type that most weights have. Attention is not counted, so that long prompts "
    "get\n"
    "further from it. Generation is a matter of reading: each token has to read all weights once (of the "
    "token\n"
    "embedding only a row, unless it is the output matrix too, and of a mixture only the experts in use), "
    "and\n"
    "in each layer the keys and values of all tokens it sees: those before it, or with a window those in it; "
    "in\n"
    "a recurrent layer the state instead. 100 % would be doing that as fast as this run read plain memory "
    "with\n"
    "the same number of threads: a buffer of four times the largest cache, within 512 MiB and 1 GiB, the "
    "best\n"
    "of several passes before and after the tests. Models that fit the cache can be above 100 %.\n\n"
    "Speeds are tokens per second: mean ± standard deviation of the repetitions, after one that warms up "
    "and\n"
    "is not counted, and the best. A busy machine is told on stderr; its numbers are worth little.";

int command_bench(int argc, char **argv) {
    bench_options o = {.prompts = "512",
                       .generates = "128",
                       .depths = "0",
                       .threads = "auto",
                       .batches = "512",
                       .cache_k = "f16",
                       .cache_v = "f16",
                       .activations = "int8",
                       .output = "table",
                       .repetitions = 5,
                       .read_mib = -1};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-p --n-prompt", "LIST", "tokens of a prompt (512)", OPTION_TEXT, &o.prompts, 0, 0, NULL},
        {"-n --n-gen", "LIST", "tokens to generate (128)", OPTION_TEXT, &o.generates, 0, 0, NULL},
        {"-d --n-depth", "LIST", "tokens in the context before (0)", OPTION_TEXT, &o.depths, 0, 0, NULL},
        {"-t --threads", "LIST", "threads; auto: as many as prove fastest (auto)", OPTION_TEXT, &o.threads, 0,
         0, NULL},
        {"-b --batch-size", "LIST", "prompt tokens evaluated at once (512)", OPTION_TEXT, &o.batches, 0, 0,
         NULL},
        {"-r --repetitions", "N", "how often each test is repeated (5)", OPTION_INT, &o.repetitions, 1, 10000,
         NULL},
        {"--read-mib", "N", "size of the buffer read for \"of roof\", 0: no roofs (-1: chosen)", OPTION_INT,
         &o.read_mib, -1, 1 << 20, NULL},
        OPTION_CACHE_K(&o.cache_k),
        OPTION_CACHE_V(&o.cache_v),
        OPTION_ACTIVATIONS(&o.activations),
        OPTION_ISA(&o.isa),
        {"-o --output", "FORMAT", "table, md, csv or json (table)", OPTION_CHOICE, &o.output, 0, 0,
         "table|md|csv|json"},
    };
    command_line line = {
        "bench", "[MODEL...] [options]", about, options, sizeof options / sizeof *options, NULL, 0};
    int status;
    line.positionals = calloc((size_t)argc + 1, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status) && !(status = parse_lists(&o))) {
        const char **paths = line.positionals;
        size_t n = line.n_positionals;
        if (o.model || !n) paths[n++] = o.model; /* NULL: the default model */
        for (size_t i = 0; i < n && !status; i++)
            if (paths[i] && strlen(paths[i]) >= PATH_MAX)
                status = fail("a path is longer than %d bytes", PATH_MAX);
        term_catch_signals(cancel_running);
        if (!status) status = run_bench(&o, paths, n);
    }
    free(line.positionals);
    return status;
}
