/* The options of sampling and of constrained output, alike in every command that generates text: their list
 * for the option parser, and the sampler they open. What was not given follows the model's own
 * recommendation, then llama.cpp's defaults. Used by run.c and the chat
 * files. */
#ifndef LEAT_TOOLS_SAMPLING_H
#define LEAT_TOOLS_SAMPLING_H

#include <math.h>
#include <stdint.h>

#include "options.h"
#include "runtime/leat.h"

/* Numbers start as NaN or INT64_MIN: not given. */
typedef struct sampling_options {
    int64_t seed, top_k, repeat_last_n, dry_allowed_length, dry_last_n, mirostat, min_keep, n_probs;
    float temp, top_p, min_p, top_n_sigma, typ_p, xtc_probability, xtc_threshold, dynatemp_range,
        dynatemp_exponent;
    float repeat_penalty, frequency_penalty, presence_penalty, dry_multiplier, dry_base;
    float mirostat_lr, mirostat_ent, adaptive_target, adaptive_decay;
    const char *samplers, *sequence;
    text_list biases, breakers;
    bool ignore_eos;
    const char *grammar, *grammar_file, *schema, *schema_file, *regex;
} sampling_options;

void sampling_init(sampling_options *o);

/* Wrong usage that can be seen without a model: EXIT_USAGE after a message. */
int sampling_check(const sampling_options *o, const char *command);

/* Opens the sampler, with its grammar. Says why if it fails. With `grammar`, the grammar (or NULL) is the
 * caller's to close: it begins anew when it is given to the sampler again. */
int sampling_open(const sampling_options *o, const leat_model *model, leat_sampler **out,
                  leat_grammar **grammar);

/* What is in force: options given, then the model's recommendation, then the defaults. */
void sampling_params(const sampling_options *o, const leat_model *model, leat_sampler_params *out);

/* With --n-probs: one line of JSON on standard error about the last pick. */
void sampling_report(const sampling_options *o, const leat_model *model, const leat_sampler *sampler);

/* Rows for the table of options; s is a sampling_options. */
#define SAMPLING_WHOLE 2147483647.0
#define SAMPLING_ANY   3.4e38
#define OPTIONS_SAMPLING(s)                                                                                  \
    {"-s --seed",  "N", "of the random numbers; -1: a new one each time (-1)", OPTION_INT, &(s).seed, -1,    \
     4294967295.0, NULL},                                                                                    \
        {"--samplers",                                                                                       \
         "NAMES",                                                                                            \
         "steps in their order, separated by ; (penalties;dry;top_n_sigma;top_k;"                            \
         "typ_p;top_p;min_p;xtc;temperature)",                                                               \
         OPTION_TEXT,                                                                                        \
         &(s).samplers,                                                                                      \
         0,                                                                                                  \
         0,                                                                                                  \
         NULL},                                                                                              \
        {"--sampler-seq --sampling-seq",                                                                     \
         "LETTERS",                                                                                          \
         "the same, a letter each (edskypmxt; a is adaptive_p)",                                             \
         OPTION_TEXT,                                                                                        \
         &(s).sequence,                                                                                      \
         0,                                                                                                  \
         0,                                                                                                  \
         NULL},                                                                                              \
        {"--temp --temperature",                                                                             \
         "X",                                                                                                \
         "0: always the likeliest token (0.8)",                                                              \
         OPTION_REAL,                                                                                        \
         &(s).temp,                                                                                          \
         0,                                                                                                  \
         100,                                                                                                \
         NULL},                                                                                              \
        {"--top-k",      "N", "only the N likeliest tokens; 0: off (40)", OPTION_INT, &(s).top_k, 0,         \
         SAMPLING_WHOLE, NULL},                                                                              \
        {"--top-p", "X", "only the likeliest that make up X; 1: off (0.95)", OPTION_REAL, &(s).top_p, 0,     \
         1,         NULL},                                                                                   \
        {"--min-p",   "X",        "only those at least X times as likely as the first; 0: off (0.05)",       \
         OPTION_REAL, &(s).min_p, 0,                                                                         \
         1,           NULL},                                                                                 \
        {"--top-nsigma --top-n-sigma",                                                                       \
         "X",                                                                                                \
         "only logits within X standard deviations of the largest; "                                         \
         "-1: off (-1)",                                                                                     \
         OPTION_REAL,                                                                                        \
         &(s).top_n_sigma,                                                                                   \
         -SAMPLING_ANY,                                                                                      \
         SAMPLING_ANY,                                                                                       \
         NULL},                                                                                              \
        {"--typical --typical-p",                                                                            \
         "X",                                                                                                \
         "only those of about the expected surprise that make up X; 1: off "                                 \
         "(1)",                                                                                              \
         OPTION_REAL,                                                                                        \
         &(s).typ_p,                                                                                         \
         0,                                                                                                  \
         SAMPLING_ANY,                                                                                       \
         NULL},                                                                                              \
        {"--xtc-probability",                                                                                \
         "X",                                                                                                \
         "how often the likeliest are left out; 0: off (0)",                                                 \
         OPTION_REAL,                                                                                        \
         &(s).xtc_probability,                                                                               \
         0,                                                                                                  \
         1,                                                                                                  \
         NULL},                                                                                              \
        {"--xtc-threshold",                                                                                  \
         "X",                                                                                                \
         "from which probability on; above 0.5: off (0.1)",                                                  \
         OPTION_REAL,                                                                                        \
         &(s).xtc_threshold,                                                                                 \
         0,                                                                                                  \
         1,                                                                                                  \
         NULL},                                                                                              \
        {"--dynatemp-range",                                                                                 \
         "X",                                                                                                \
         "temperature goes from temp - X to temp + X by entropy; 0: off (0)",                                \
         OPTION_REAL,                                                                                        \
         &(s).dynatemp_range,                                                                                \
         0,                                                                                                  \
         100,                                                                                                \
         NULL},                                                                                              \
        {"--dynatemp-exp",                                                                                   \
         "X",                                                                                                \
         "how: the power of the entropy's share (1)",                                                        \
         OPTION_REAL,                                                                                        \
         &(s).dynatemp_exponent,                                                                             \
         -100,                                                                                               \
         100,                                                                                                \
         NULL},                                                                                              \
        {"--repeat-penalty",                                                                                 \
         "X",                                                                                                \
         "make recent tokens less likely; 1: off (1)",                                                       \
         OPTION_REAL,                                                                                        \
         &(s).repeat_penalty,                                                                                \
         0.01,                                                                                               \
         100,                                                                                                \
         NULL},                                                                                              \
        {"--repeat-last-n",                                                                                  \
         "N",                                                                                                \
         "how many tokens are recent; -1: all (64)",                                                         \
         OPTION_INT,                                                                                         \
         &(s).repeat_last_n,                                                                                 \
         -1,                                                                                                 \
         SAMPLING_WHOLE,                                                                                     \
         NULL},                                                                                              \
        {"--presence-penalty",                                                                               \
         "X",                                                                                                \
         "taken off the logit of recent tokens, once; 0: off (0)",                                           \
         OPTION_REAL,                                                                                        \
         &(s).presence_penalty,                                                                              \
         -100,                                                                                               \
         100,                                                                                                \
         NULL},                                                                                              \
        {"--frequency-penalty",                                                                              \
         "X",                                                                                                \
         "the same, for each time; 0: off (0)",                                                              \
         OPTION_REAL,                                                                                        \
         &(s).frequency_penalty,                                                                             \
         -100,                                                                                               \
         100,                                                                                                \
         NULL},                                                                                              \
        {"--dry-multiplier",                                                                                 \
         "X",                                                                                                \
         "against repeating whole sequences; 0: off (0)",                                                    \
         OPTION_REAL,                                                                                        \
         &(s).dry_multiplier,                                                                                \
         0,                                                                                                  \
         1000,                                                                                               \
         NULL},                                                                                              \
        {"--dry-base", "X", "how the penalty grows with their length (1.75)", OPTION_REAL, &(s).dry_base, 0, \
         1000,         NULL},                                                                                \
        {"--dry-allowed-length", "N", "length without penalty (2)", OPTION_INT, &(s).dry_allowed_length, 0,  \
         SAMPLING_WHOLE,         NULL},                                                                      \
        {"--dry-penalty-last-n",                                                                             \
         "N",                                                                                                \
         "how far back it looks; -1: all, 0: off (64)",                                                      \
         OPTION_INT,                                                                                         \
         &(s).dry_last_n,                                                                                    \
         -1,                                                                                                 \
         SAMPLING_WHOLE,                                                                                     \
         NULL},                                                                                              \
        {"--dry-sequence-breaker",                                                                           \
         "TEXT",                                                                                             \
         "ends a sequence; may be repeated, replaces the usual ones "                                        \
         "(line end : \" *); none: no breakers",                                                             \
         OPTION_LIST,                                                                                        \
         &(s).breakers,                                                                                      \
         0,                                                                                                  \
         0,                                                                                                  \
         NULL},                                                                                              \
        {"--mirostat",                                                                                       \
         "N",                                                                                                \
         "1 or 2: keep the surprise of the text even, instead of other steps; 0: off (0)",                   \
         OPTION_INT,                                                                                         \
         &(s).mirostat,                                                                                      \
         0,                                                                                                  \
         2,                                                                                                  \
         NULL},                                                                                              \
        {"--mirostat-lr", "X", "how fast it learns (0.1)", OPTION_REAL, &(s).mirostat_lr, 0, 100, NULL},     \
        {"--mirostat-ent",                                                                                   \
         "X",                                                                                                \
         "the surprise aimed at, in bits (5)",                                                               \
         OPTION_REAL,                                                                                        \
         &(s).mirostat_ent,                                                                                  \
         0,                                                                                                  \
         100,                                                                                                \
         NULL},                                                                                              \
        {"--adaptive-target",                                                                                \
         "X",                                                                                                \
         "adaptive_p: the probability aimed at; -1: off (-1)",                                               \
         OPTION_REAL,                                                                                        \
         &(s).adaptive_target,                                                                               \
         -1,                                                                                                 \
         1,                                                                                                  \
         NULL},                                                                                              \
        {"--adaptive-decay",                                                                                 \
         "X",                                                                                                \
         "adaptive_p: how much of the past counts (0.9)",                                                    \
         OPTION_REAL,                                                                                        \
         &(s).adaptive_decay,                                                                                \
         0,                                                                                                  \
         0.99,                                                                                               \
         NULL},                                                                                              \
        {"--min-keep",   "N", "tokens that the steps leave at least (0)", OPTION_INT, &(s).min_keep, 0,      \
         SAMPLING_WHOLE, NULL},                                                                              \
        {"-l --logit-bias",                                                                                  \
         "ID+X",                                                                                             \
         "adds X to the logit of a token (ID-X takes it off, ID-inf forbids it); "                           \
         "may be repeated",                                                                                  \
         OPTION_LIST,                                                                                        \
         &(s).biases,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         NULL},                                                                                              \
        {"--ignore-eos",                                                                                     \
         NULL,                                                                                               \
         "never pick a token that ends the text",                                                            \
         OPTION_FLAG,                                                                                        \
         &(s).ignore_eos,                                                                                    \
         0,                                                                                                  \
         0,                                                                                                  \
         NULL},                                                                                              \
        {"--n-probs",                                                                                        \
         "N",                                                                                                \
         "a line of JSON about each token to standard error: probabilities of it and of "                    \
         "the N likeliest (0)",                                                                              \
         OPTION_INT,                                                                                         \
         &(s).n_probs,                                                                                       \
         0,                                                                                                  \
         1000000,                                                                                            \
         NULL},                                                                                              \
        {"--grammar", "TEXT", "the output follows this grammar (GBNF)", OPTION_TEXT, &(s).grammar, 0,        \
         0,           NULL},                                                                                 \
        {"--grammar-file", "FILE", "the same, from a file", OPTION_TEXT, &(s).grammar_file, 0, 0, NULL},     \
        {"-j --json-schema",                                                                                 \
         "SCHEMA",                                                                                           \
         "the output is JSON that this schema accepts; {}: any JSON",                                        \
         OPTION_TEXT,                                                                                        \
         &(s).schema,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         NULL},                                                                                              \
        {"-jf --json-schema-file",                                                                           \
         "FILE",                                                                                             \
         "the same, from a file",                                                                            \
         OPTION_TEXT,                                                                                        \
         &(s).schema_file,                                                                                   \
         0,                                                                                                  \
         0,                                                                                                  \
         NULL},                                                                                              \
    {                                                                                                        \
        "--regex", "PATTERN", "the output matches this regular expression as a whole", OPTION_TEXT,          \
            &(s).regex, 0, 0, NULL                                                                           \
    }

#endif
