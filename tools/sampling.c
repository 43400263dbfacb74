/* Options of sampling to a sampler; see sampling.h. */
#include "sampling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "json.h"
#include "term.h"

void sampling_init(sampling_options *o) {
    *o = (sampling_options){0};
    int64_t *const whole[] = {&o->seed,       &o->top_k,    &o->repeat_last_n, &o->dry_allowed_length,
                              &o->dry_last_n, &o->mirostat, &o->min_keep,      &o->n_probs};
    float *const real[] = {&o->temp,
                           &o->top_p,
                           &o->min_p,
                           &o->top_n_sigma,
                           &o->typ_p,
                           &o->xtc_probability,
                           &o->xtc_threshold,
                           &o->dynatemp_range,
                           &o->dynatemp_exponent,
                           &o->repeat_penalty,
                           &o->frequency_penalty,
                           &o->presence_penalty,
                           &o->dry_multiplier,
                           &o->dry_base,
                           &o->mirostat_lr,
                           &o->mirostat_ent,
                           &o->adaptive_target,
                           &o->adaptive_decay};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) *whole[i] = INT64_MIN;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) *real[i] = NAN;
}

/* "15043+1.5", "15043-inf". */
static bool parse_bias(const char *text, leat_logit_bias *out) {
    char id[16], *end;
    size_t n = strcspn(text, "+-=");
    int64_t token;
    if (n == 0 || n >= sizeof id || !text[n]) return false;
    memcpy(id, text, n);
    id[n] = 0;
    if (!parse_int(id, 0, INT32_MAX, &token)) return false;
    const char *number = text + n + 1;
    float bias = strtof(number, &end);
    if (end == number || *end || *number == ' ' || isnan(bias)) return false;
    *out = (leat_logit_bias){(leat_token)token, text[n] == '-' ? -bias : bias};
    return true;
}

int sampling_check(const sampling_options *o, const char *command) {
    leat_sampler_params p;
    leat_logit_bias bias;
    leat_error error;
    leat_sampler_params_default(&p);
    if (o->samplers && o->sequence)
        return usage_error(command, "--samplers and --sampler-seq both give the order of steps");
    if (o->samplers && leat_sampler_order(&p, o->samplers, false, &error))
        return usage_error(command, "--samplers: %s", error.message);
    if (o->sequence && leat_sampler_order(&p, o->sequence, true, &error))
        return usage_error(command, "--sampler-seq: %s", error.message);
    for (size_t i = 0; i < o->biases.n; i++)
        if (!parse_bias(o->biases.items[i], &bias))
            return usage_error(
                command, "-l needs a token's id and what to add, as in 15043+1 or 15043-inf, not \"%s\"",
                o->biases.items[i]);
    const struct {
        const char *name, *value;
    } rules[] = {{"--grammar", o->grammar},
                 {"--grammar-file", o->grammar_file},
                 {"--json-schema", o->schema},
                 {"--json-schema-file", o->schema_file},
                 {"--regex", o->regex}};
    const char *given = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!rules[i].value) continue;
        if (given)
            return usage_error(command, "%s and %s both say what the output is like", given, rules[i].name);
        given = rules[i].name;
    }
    return EXIT_DONE;
}

static void set_real(float *to, float given) {
    if (!isnan(given)) *to = given;
}
static void set_int(int32_t *to, int64_t given) {
    if (given != INT64_MIN) *to = (int32_t)given;
}

void sampling_params(const sampling_options *o, const leat_model *model, leat_sampler_params *p) {
    leat_sampler_params_model(model, p);
    p->seed = o->seed < 0 ? LEAT_SEED_RANDOM : (uint32_t)o->seed;
    set_real(&p->temp, o->temp);
    set_int(&p->top_k, o->top_k);
    set_real(&p->top_p, o->top_p);
    set_real(&p->min_p, o->min_p);
    set_real(&p->repeat_penalty, o->repeat_penalty);
    set_int(&p->repeat_last_n, o->repeat_last_n);
    set_real(&p->frequency_penalty, o->frequency_penalty);
    set_real(&p->presence_penalty, o->presence_penalty);
    set_real(&p->dry_multiplier, o->dry_multiplier);
    set_real(&p->dry_base, o->dry_base);
    set_int(&p->dry_allowed_length, o->dry_allowed_length);
    set_int(&p->dry_last_n, o->dry_last_n);
    set_real(&p->top_n_sigma, o->top_n_sigma);
    set_real(&p->typ_p, o->typ_p);
    set_real(&p->xtc_probability, o->xtc_probability);
    set_real(&p->xtc_threshold, o->xtc_threshold);
    set_real(&p->dynatemp_range, o->dynatemp_range);
    set_real(&p->dynatemp_exponent, o->dynatemp_exponent);
    set_int(&p->mirostat, o->mirostat);
    set_real(&p->mirostat_eta, o->mirostat_lr);
    set_real(&p->mirostat_tau, o->mirostat_ent);
    set_real(&p->adaptive_target, o->adaptive_target);
    set_real(&p->adaptive_decay, o->adaptive_decay);
    if (o->min_keep > 0) p->min_keep = (uint32_t)o->min_keep;
    if (o->n_probs > 0) p->n_probs = (uint32_t)o->n_probs;
    p->ignore_eos = o->ignore_eos;
    /* their words were checked by sampling_check */
    if (o->samplers) leat_sampler_order(p, o->samplers, false, NULL);
    if (o->sequence) leat_sampler_order(p, o->sequence, true, NULL);
    if (o->breakers.n) {
        bool none = o->breakers.n == 1 && !strcmp(o->breakers.items[0], "none");
        p->dry_breakers = o->breakers.items;
        p->n_dry_breakers = none ? 0 : o->breakers.n;
    }
}

static int open_grammar(const sampling_options *o, const leat_model *model, leat_grammar **out) {
    leat_error error;
    leat_status status;
    const char *file = o->grammar_file ? o->grammar_file : o->schema_file;
    const char *text = o->grammar ? o->grammar : o->schema ? o->schema : o->regex;
    char *read = NULL;
    size_t n = text ? strlen(text) : 0;
    *out = NULL;
    if (!file && !text) return EXIT_DONE;
    if (file) {
        int failed = read_text(file, &read, &n);
        if (failed) return failed;
        text = read;
    }
    if (o->grammar || o->grammar_file)
        status = leat_grammar_open(model, text, n, out, &error);
    else if (o->regex)
        status = leat_grammar_open_regex(model, text, n, out, &error);
    else
        status = leat_grammar_open_schema(model, text, n, out, &error);
    free(read);
    return status ? fail("%s%s%s", file ? file : "", file ? ": " : "", error.message) : EXIT_DONE;
}

int sampling_open(const sampling_options *o, const leat_model *model, leat_sampler **out,
                  leat_grammar **keep) {
    leat_sampler_params params;
    leat_logit_bias biases[TEXT_LIST_MAX];
    leat_grammar *grammar = NULL;
    leat_error error;
    sampling_params(o, model, &params);
    for (size_t i = 0; i < o->biases.n; i++) parse_bias(o->biases.items[i], &biases[i]);
    params.logit_bias = biases;
    params.n_logit_bias = o->biases.n;
    int status = open_grammar(o, model, &grammar);
    if (!status && leat_sampler_open(model, &params, out, &error)) status = fail("%s", error.message);
    if (!status && grammar && leat_sampler_set_grammar(*out, grammar, &error))
        status = fail("%s", error.message);
    if (keep && !status)
        *keep = grammar;
    else
        leat_grammar_close(grammar);
    return status;
}

static void report_one(json *j, const leat_model *model, const leat_token_prob *p) {
    leat_str text = leat_token_text(model, p->token, true);
    json_name(j, "token");
    json_i64(j, p->token);
    json_name(j, "text");
    json_string(j, text.data ? text.data : "", text.size);
    json_name(j, "prob");
    json_f32(j, p->prob);
    json_name(j, "chance");
    json_f32(j, p->chance);
}

void sampling_report(const sampling_options *o, const leat_model *model, const leat_sampler *sampler) {
    size_t n;
    const leat_token_prob *probs = leat_sampler_probs(sampler, &n);
    json j;
    if (o->n_probs <= 0 || !n) return;
    json_start(&j, stderr, false);
    json_object(&j);
    report_one(&j, model, &probs[0]);
    json_name(&j, "top");
    json_array(&j);
    for (size_t i = 1; i < n; i++) {
        json_object(&j);
        report_one(&j, model, &probs[i]);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    fputc('\n', stderr);
}
