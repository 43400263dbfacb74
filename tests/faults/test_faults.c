/* Every call to the system that can fail is made to fail, once and for good, one after the other, while
 * models are opened, text is tokenized, tokens are evaluated and sampled, files are quantized. Each must end
 * in a status that says so, leave nothing allocated, and do no harm to what was there before. And the steady
 * state allocates nothing at all. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/formats.h"
#include "rigged.h"
#include "tests/fuzz/packed_folder.h"
#include "tests/harness/fixture.h"
#include "tests/harness/hf_folder.h"
#include "tests/loader/folder.h"

typedef struct scene {
    test *t;
    temp_file model;  /* a small random model */
    char out[112];    /* where results are written, in the same folder */
    folder hf;        /* the same as a Hugging Face folder, where a test made it */
    float first[300]; /* logits of an undisturbed run */
} scene;

static bool scene_open(scene *s, test *t, uint32_t format) {
    random_model m = random_model_small(format);
    *s = (scene){.t = t};
    if (!temp_make(&s->model, "m.gguf") || random_model_write(&m, s->model.path, NULL)) {
        TEST_FAIL(t, "no model to test with");
        return false;
    }
    snprintf(s->out, sizeof s->out, "%s/out", s->model.dir);
    return true;
}

/* The model as a Hugging Face folder. */
static bool scene_publish(scene *s) {
    static const arch_spec llama = {.arch = "llama"};
    bool good = folder_make(&s->hf) && hf_write(s->model.path, &llama, s->hf.path, 2);
    if (!good) TEST_FAIL(s->t, "no folder to convert");
    return good;
}

static void scene_close(scene *s) {
    if (*s->hf.path) folder_remove(&s->hf);
    unlink(s->out);
    temp_remove(&s->model);
}

/* ---- what is done while calls fail; each returns the first status that is not OK and cleans up after itself
 * ---- */

static leat_status read_file(scene *s, leat_error *e) {
    leat_file *f = NULL;
    leat_status st = leat_file_open(s->model.path, &f, e);
    if (!st) st = leat_tensor_export(f, 3, s->out, e);
    leat_file_close(f);
    return st;
}

static leat_status tokenize(scene *s, leat_error *e) {
    leat_model_params p = {.vocab_only = true};
    leat_model *m = NULL;
    leat_decoder *d = NULL;
    leat_token tokens[64];
    size_t n = 0;
    leat_status st = leat_model_open(s->model.path, &p, &m, e);
    if (!st) st = leat_tokenize(m, "w300 and some more w299 words", 29, LEAT_TOKENIZE_BOS, tokens, 64, &n, e);
    if (!st) st = leat_decoder_open(m, false, &d, e);
    for (size_t i = 0; !st && i < n; i++) leat_decoder_push(d, tokens[i]);
    leat_decoder_close(d);
    leat_model_close(m);
    return st;
}

static leat_status generate(scene *s, leat_error *e) {
    leat_model *m = NULL;
    leat_session *session = NULL;
    leat_sampler *sampler = NULL;
    leat_session_params p;
    leat_sampler_params sp;
    leat_token tokens[16];
    fill_tokens(tokens, 16, 300, 3);
    leat_session_params_default(&p);
    leat_sampler_params_default(&sp);
    p.n_threads = 3;
    sp.seed = 1;
    leat_status st = leat_model_open(s->model.path, NULL, &m, e);
    if (!st) st = leat_session_open(m, &p, &session, e);
    if (!st) st = leat_sampler_open(m, &sp, &sampler, e);
    if (!st) st = leat_session_eval(session, tokens, 16, e);
    if (!st && s->first[0] != 0.0f && memcmp(s->first, leat_session_logits(session, 0), sizeof s->first))
        TEST_FAIL(s->t, "with a failure elsewhere the logits are others");
    if (!st) memcpy(s->first, leat_session_logits(session, 0), sizeof s->first);
    for (int i = 0; !st && i < 3; i++) {
        st = leat_sampler_next(sampler, session, &tokens[0], e);
        if (!st) st = leat_session_eval(session, tokens, 1, e);
    }
    leat_sampler_close(sampler);
    leat_session_close(session);
    leat_model_close(m);
    return st;
}

/* A grammar from a schema, followed for some tokens: what is worked out on the way needs memory too. */
static leat_status constrain(scene *s, leat_error *e) {
    static const char schema[] = "{\"items\":{\"enum\":[1,\"a\"]},\"$defs\":{\"d\":{}}}";
    leat_model *m = NULL;
    leat_session *session = NULL;
    leat_sampler *sampler = NULL;
    leat_grammar *g = NULL;
    leat_sampler_params sp;
    leat_session_params p;
    leat_token token = 1;
    leat_session_params_default(&p);
    leat_sampler_params_default(&sp);
    p.n_threads = 1;
    sp.seed = 1;
    sp.n_probs = 2;
    sp.dry_multiplier = 1;
    sp.frequency_penalty = 0.1f;
    leat_status st = leat_model_open(s->model.path, NULL, &m, e);
    if (!st) st = leat_session_open(m, &p, &session, e);
    if (!st) st = leat_sampler_open(m, &sp, &sampler, e);
    if (!st) st = leat_grammar_open_schema(m, schema, sizeof schema - 1, &g, e);
    if (!st) st = leat_sampler_set_grammar(sampler, g, e);
    for (int i = 0; !st && i < 3 && !leat_sampler_must_end(sampler); i++) {
        st = leat_session_eval(session, &token, 1, e);
        if (!st) st = leat_sampler_next(sampler, session, &token, e);
    }
    leat_grammar_close(g);
    leat_sampler_close(sampler);
    leat_session_close(session);
    leat_model_close(m);
    return st;
}

/* A conversation saved and loaded. */
static leat_status keep(scene *s, leat_error *e) {
    leat_model *m = NULL;
    leat_session *session = NULL;
    leat_sampler *sampler = NULL;
    leat_chat *chat = NULL;
    leat_session_params p;
    leat_token tokens[5] = {1, 2, 3, 4, 5};
    leat_session_params_default(&p);
    p.n_threads = 1;
    leat_status st = leat_model_open(s->model.path, NULL, &m, e);
    if (!st) st = leat_session_open(m, &p, &session, e);
    if (!st) st = leat_sampler_open(m, NULL, &sampler, e);
    if (!st) st = leat_chat_open(session, sampler, NULL, &chat, e);
    if (!st) st = leat_chat_add(chat, "user", "w1 w2", 5, e);
    if (!st) st = leat_session_eval(session, tokens, 5, e);
    if (!st) st = leat_session_drop(session, 1, 3, e);
    if (!st) st = leat_chat_save(chat, s->out, e);
    if (!st && (st = leat_chat_load(chat, s->out, e))) unlink(s->out); /* it was whole, but reading failed */
    leat_chat_close(chat);
    leat_sampler_close(sampler);
    leat_session_close(session);
    leat_model_close(m);
    return st;
}

static leat_status quantize(scene *s, leat_error *e) {
    leat_quantize_params p;
    leat_quantize_params_default(&p);
    p.type = "q8_0";
    p.n_threads = 2;
    return leat_quantize(s->model.path, s->out, &p, e);
}

/* Types by search, where only two tensors are left to it; importance comes from the tokens. */
static leat_status choose(scene *s, leat_error *e) {
    static const char *const rest[] = {"blk=q8_0"};
    leat_token tokens[24];
    leat_quantize_params p;
    leat_quantize_params_default(&p);
    fill_tokens(tokens, 24, 300, 1);
    p.target_bpw = 8.4;
    p.calibration = tokens;
    p.n_calibration = 24;
    p.calibration_chunks = 1;
    p.search_types = "q4_0,q8_0";
    p.search_measured = 1;
    p.search_trials = 1;
    p.tensor_types = rest;
    p.n_tensor_types = 1;
    p.n_threads = 1;
    return leat_quantize(s->model.path, s->out, &p, e);
}

static leat_status collect(scene *s, leat_error *e) {
    leat_token tokens[24];
    leat_model *model = NULL;
    leat_imatrix *m = NULL, *again = NULL;
    leat_imatrix_params p;
    leat_imatrix_params_default(&p);
    fill_tokens(tokens, 24, 300, 1);
    p.n_ctx = 12;
    p.n_threads = 1;
    p.dataset = "tokens";
    leat_status st = leat_model_open(s->model.path, NULL, &model, e);
    if (!st) st = leat_imatrix_open(&m, e);
    if (!st) st = leat_imatrix_collect(m, model, tokens, 24, &p, e);
    if (!st) st = leat_imatrix_save(m, s->out, e);
    if (!st) st = leat_imatrix_open(&again, e);
    if (!st) st = leat_imatrix_merge(again, s->out, e);
    if (st) unlink(s->out); /* it may have been written before */
    leat_imatrix_close(m);
    leat_imatrix_close(again);
    leat_model_close(model);
    return st;
}

static leat_status render(scene *s, leat_error *e) {
    static const char source[] =
        "{% macro f(a, b=1) %}{{ a }}{{ caller(b) }}{% endmacro %}{% set ns = namespace(x=[]) %}"
        "{% for m in messages if m.role != 'x' %}{% set ns.x = ns.x + [m.content.split(' "
        "')|map('upper')|list] %}"
        "{% call(z) f(m.content) %}{{ z }}{% endcall %}{{ loop.last }}{% else %}none{% endfor %}"
        "{{ ns.x|tojson(indent=2) }}{{ ns.x|sort|join(',') }}{{ '%s %d' % ('a', 5) }}{{ '{:>5}'.format(1.5) "
        "}}"
        "{{ messages|groupby('role')|list }}{{ messages }}{{ 'abc' * 500 }}{{ x is defined }}{{ "
        "'xay'.replace('a', bos_token) }}";
    static const char context[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"},{\"role\":\"assistant\","
        "\"content\":\"d\",\"tool_calls\":[{\"a\":1.5}]}],\"bos_token\":\"<s>\"}";
    leat_template *template = NULL;
    leat_rendering *r = NULL;
    (void)s;
    leat_status st = leat_template_open(source, sizeof source - 1, &template, e);
    if (!st) st = leat_template_render(template, context, sizeof context - 1, NULL, &r, e);
    leat_rendering_close(r);
    leat_template_close(template);
    return st;
}

static leat_status converse(scene *s, leat_error *e) {
    static const char source[] =
        "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}<think></think>";
    static const char *const stops[] = {"zebra"};
    leat_model *m = NULL;
    leat_session *session = NULL;
    leat_sampler *sampler = NULL;
    leat_template *template = NULL;
    leat_chat *chat = NULL;
    leat_session_params sp;
    leat_reply_params rp = {.max_tokens = 4};
    leat_session_params_default(&sp);
    sp.n_threads = 1;
    leat_status st = leat_model_open(s->model.path, NULL, &m, e);
    if (!st) st = leat_session_open(m, &sp, &session, e);
    if (!st) st = leat_sampler_open(m, NULL, &sampler, e);
    if (!st) st = leat_template_open(source, sizeof source - 1, &template, e);
    leat_chat_params cp = {
        .chat_template = template, .tools = "[]", .variables = "{\"a\":1}", .stop = stops, .n_stop = 1};
    if (!st) st = leat_chat_open(session, sampler, &cp, &chat, e);
    if (!st) st = leat_chat_add(chat, "system", "w1 w2", 5, e);
    if (!st) st = leat_chat_add(chat, "user", "w3 w4", 5, e);
    if (!st) st = leat_chat_reply(chat, &rp, NULL, e);
    leat_chat_close(chat);
    leat_template_close(template);
    leat_sampler_close(sampler);
    leat_session_close(session);
    leat_model_close(m);
    return st;
}

static leat_status convert(scene *s, leat_error *e) {
    leat_convert_params p;
    leat_convert_params_default(&p);
    p.type = "q8_0";
    p.n_threads = 1;
    return leat_convert(s->hf.path, s->out, &p, e);
}

typedef leat_status deed(scene *s, leat_error *e);

/* Nothing but the model and a finished result may be in the folder. */
static void no_litter(scene *s, const char *what, size_t n) {
    DIR *dir = opendir(s->model.dir);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (d->d_name[0] != '.' && strcmp(d->d_name, "m.gguf") && strcmp(d->d_name, "out"))
            TEST_FAIL(s->t, "%s: failing call %zu leaves %s behind", what, n, d->d_name);
    if (dir) closedir(dir);
}

/* Fails call 1, 2, 3, ... of one seam until a run goes through untouched. `spares` says whether a failure may
 * be survived (fewer threads, an fsync of a folder) instead of reported. */
static void fail_each(scene *s, const char *what, deed *d, rig *r, leat_status want, bool spares) {
    size_t n, live = rig_live, reported = 0;
    for (int persistent = 0; persistent < 2; persistent++)
        for (n = 1; n < 5000; n++) {
            leat_error e = {LEAT_OK, ""};
            unlink(s->out);
            rig_arm(r, n, persistent);
            leat_status st = d(s, &e);
            size_t failed = r->failed;
            rig_arm(r, 0, false);
            if (rig_live != live)
                TEST_FAIL(s->t, "%s: failing call %zu leaks %zd blocks", what, n, (ssize_t)(rig_live - live));
            live = rig_live;
            no_litter(s, what, n);
            if (!failed) {
                if (st) TEST_FAIL(s->t, "%s fails undisturbed: %s", what, e.message);
                break;
            }
            reported += st != LEAT_OK;
            if (st ? st != want || e.code != st || !*e.message : !spares)
                TEST_FAIL(s->t, "%s: failing call %zu%s gives status %d \"%s\"", what, n,
                          persistent ? " and all after" : "", st, e.message);
            if (st && !access(s->out, F_OK)) TEST_FAIL(s->t, "%s: failing call %zu leaves a result", what, n);
        }
    CHECK(s->t, n > 1 && n < 5000);
    CHECK(s->t, reported > 0);
}

static void memory_runs_out(test *t) {
    static const struct {
        const char *name;
        deed *d;
    } deeds[] = {{"reading a file", read_file}, {"tokenizing", tokenize},
                 {"generating", generate},      {"rendering", render},
                 {"conversing", converse},      {"constraining", constrain},
                 {"quantizing", quantize},      {"keeping", keep},
                 {"converting", convert},       {"collecting importance", collect},
                 {"choosing types", choose}};
    scene s;
    REQUIRE(t, scene_open(&s, t, FORMAT_F32) && scene_publish(&s));
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        leat_error e = {LEAT_OK, ""};
        if (deeds[i].d(&s, &e)) TEST_FAIL(t, "%s: %s", deeds[i].name, e.message);
        fail_each(&s, deeds[i].name, deeds[i].d, &rig_alloc, LEAT_E_NOMEM, false);
    }
    scene_close(&s);
}

/* Folders of every kind of weights and vocabularies: the corpus of fuzz_convert. */
static void memory_runs_out_converting(test *t) {
    static const char corpus[] = LEAT_SOURCE_ROOT "/tests/fuzz/corpus/convert";
    scene s;
    size_t n = 0, converted = 0;
    REQUIRE(t, scene_open(&s, t, FORMAT_F32) && folder_make(&s.hf));
    DIR *dir = opendir(corpus);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        char path[1024];
        leat_error e = {LEAT_OK, ""};
        if (d->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", corpus, d->d_name);
        unsigned char *bytes = file_get(path, &n);
        REQUIRE(t, bytes && folder_unpack(s.hf.path, bytes, n));
        if (!convert(&s, &e)) {
            fail_each(&s, d->d_name, convert, &rig_alloc, LEAT_E_NOMEM, false);
            converted++;
        }
        folder_clear(s.hf.path);
        free(bytes);
    }
    if (dir) closedir(dir);
    CHECK(t, converted > 10);
    scene_close(&s);
}

static void files_fail(test *t) {
    scene s;
    REQUIRE(t, scene_open(&s, t, FORMAT_F32) && scene_publish(&s));
    fail_each(&s, "reading a file", read_file, &rig_file, LEAT_E_IO, true);
    fail_each(&s, "quantizing", quantize, &rig_file, LEAT_E_IO, true);
    fail_each(&s, "keeping", keep, &rig_file, LEAT_E_IO, true);
    fail_each(&s, "converting", convert, &rig_file, LEAT_E_IO, true);
    fail_each(&s, "collecting importance", collect, &rig_file, LEAT_E_IO, true);
    scene_close(&s);
}

/* Without threads a session works on with those it got, to the same bits; without address space there is
 * none. */
static void threads_fail(test *t) {
    scene s;
    REQUIRE(t, scene_open(&s, t, FORMAT_Q8_0));
    fail_each(&s, "generating", generate, &rig_thread, LEAT_E_NOMEM, true);
    scene_close(&s);
}

static void steady_state_allocates_nothing(test *t) {
    scene s;
    leat_model *m = NULL;
    leat_session *session = NULL;
    leat_sampler *sampler = NULL;
    leat_decoder *decoder = NULL;
    leat_token token = 5;
    leat_session_params p;
    REQUIRE(t, scene_open(&s, t, FORMAT_Q4_0));
    leat_session_params_default(&p);
    p.n_threads = 2;
    REQUIRE(t, !leat_model_open(s.model.path, NULL, &m, NULL));
    REQUIRE(t, !leat_session_open(m, &p, &session, NULL));
    REQUIRE(t, !leat_sampler_open(m, NULL, &sampler, NULL));
    REQUIRE(t, !leat_decoder_open(m, false, &decoder, NULL));
    CHECK_EQ(t, leat_session_eval(session, &token, 1, NULL), LEAT_OK);
    rig_arm(&rig_alloc, 0, false);
    rig_arm(&rig_thread, 0, false);
    rig_arm(&rig_file, 0, false);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(t, leat_sampler_next(sampler, session, &token, NULL), LEAT_OK);
        leat_decoder_push(decoder, token);
        CHECK_EQ(t, leat_session_eval(session, &token, 1, NULL), LEAT_OK);
    }
    CHECK_EQ(t, rig_alloc.calls, 0);
    CHECK_EQ(t, rig_thread.calls, 0);
    CHECK_EQ(t, rig_file.calls, 0);
    leat_decoder_close(decoder);
    leat_sampler_close(sampler);
    leat_session_close(session);
    leat_model_close(m);
    CHECK_EQ(t, rig_live, 0);
    scene_close(&s);
}

#define TESTS(X)                                                                                             \
    X(memory_runs_out)                                                                                       \
    X(memory_runs_out_converting) X(files_fail) X(threads_fail) X(steady_state_allocates_nothing)
TEST_SUITE(TESTS)
