/* One conversion in progress: what its parts in this folder share. convert.c opens the folder and runs the
 * parts in turn: hparams.c and tokens*.c make the metadata, targets.c the list of tensors with the operations
 * of ops.c, by the tables of archs*.c. The first failure is kept in `status`, and then readers return their
 * fallbacks, so that tables can be walked without looking after every step. */
#ifndef LEAT_RUNTIME_CONVERT_CONVERSION_H
#define LEAT_RUNTIME_CONVERT_CONVERSION_H

#include "meta_out.h"
#include "runtime/leat.h"
#include "runtime/text/json.h"
#include "view.h"

typedef struct conversion conversion;

/* What becomes of a tensor; see ops.c. */
typedef enum tensor_op {
#define X(NAME, does) OP_##NAME,
#include "ops.def"
#undef X
    OP_COUNT
} tensor_op;

typedef struct tensor_rule {
    const char *from; /* without the prefixes of targets.c; # is the layer, @ the expert. Ends in "!" when it
                         is the whole name; else .weight or .bias follows in both names */
    const char *to;   /* the GGUF name, without its ".weight" unless from ends in "!" */
    tensor_op op;
    const char *to2; /* where an operation makes two tensors */
} tensor_rule;

typedef struct key_rule {
    const char *key;  /* ".attention.scale" */
    char kind;        /* 'u' uint32, 'f' float32, 'b' bool; capital: needed */
    const char *from; /* of config.json: names with | between, of which the first that is there counts */
} key_rule;

typedef struct convert_arch {
    const char *arch;           /* GGUF's name */
    const char *names;          /* of "architectures" in config.json, with | between */
    const tensor_rule *tensors; /* ended by one without `from`; looked at before the common ones; or NULL */
    const tensor_rule *dense_tensors; /* in their place where the model has no experts; or NULL */
    const key_rule *keys;             /* likewise */
    void (*hparams)(conversion *c);   /* what no table says; goes first; or NULL */
    bool permute;                     /* rotated pairs: HF has their halves apart, GGUF side by side */
    bool add_one;                     /* gains of norms are kept less one */
    bool no_output;                   /* lm_head is never kept */
    bool both_ways;                   /* tokens see what follows them */
} convert_arch;

struct conversion {
    const char *folder;
    const leat_convert_params *params;
    arena a;                         /* documents, names, computed tensors */
    const json_value *config, *text; /* config.json, and the part of it about the language model */
    const convert_arch *arch;
    const tensor_rule *rules; /* of the architecture */
    weights w;
    target *targets;
    size_t n_targets, targets_capacity;
    meta_out meta;
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_vocab;
    bool tied; /* the output matrix is the embedding */
    leat_status status;
    leat_error *e;
};

/* Keeps the first failure. */
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
void conversion_fail(conversion *c, leat_status code, const char *format, ...);
/* Tells who called, if they want to know; a sentence. */
#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
void conversion_warn(conversion *c, const char *format, ...);

/* ---- config.c: values of config.json. `names` has | between; dots go into objects ---- */

const json_value *cfg(const conversion *c, const char *names); /* NULL: none, or null */
uint32_t cfg_u32(conversion *c, const char *names, uint32_t fallback);
uint32_t cfg_need_u32(conversion *c, const char *names);
double cfg_f64(conversion *c, const char *names, double fallback);
bool cfg_bool(conversion *c, const char *names, bool fallback);
bool cfg_is(const conversion *c, const char *names, const char *word);
/* Has the model a classifier for its output? */
bool conversion_classifies(const conversion *c);
/* Of an object, with the same rules. */
const json_value *json_path(const json_value *v, const char *names);

/* ---- archs.c ---- */

/* By the name in config.json's "architectures"; NULL: we can't convert it. */
const convert_arch *convert_arch_find(str name);
const convert_arch *convert_arch_named(const char *arch); /* by GGUF's */
const convert_arch *convert_arch_get(size_t i);           /* NULL past the last */
/* Rules for all architectures, ended by one without `from`. */
extern const tensor_rule common_tensors[];

/* ---- defaults.c ---- */

/* What a kind of model has where config.json says nothing; 0: no default. */
typedef struct config_defaults {
    uint32_t context, heads_kv, head_dim; /* without a default as many heads as queries, all of the width */
    double eps, theta;                    /* theta 0: 10000 */
} config_defaults;
const config_defaults *config_default(const conversion *c);

/* ---- the parts ---- */

void hparams_make(conversion *c); /* sizes, and all keys that are not of the tokenizer */
/* The names in config.json of what becomes the key ".feed_forward_length"; NULL: not known. */
const char *hparams_origin(const conversion *c, const char *key);
void settings_check(conversion *c); /* refuses settings that no key holds and nothing here follows */
void modules_make(conversion *c);   /* pooling, and projections behind it, of sentence-transformers */
void targets_make(conversion *c);
void vocab_make(conversion *c);

/* ---- ops.c ---- */

/* A name as a rule took it apart. */
typedef struct tensor_match {
    const tensor_rule *rule;
    source_tensor *src;
    uint32_t layer, expert;
    const char *suffix; /* ".weight", ".bias" or "" */
} tensor_match;

/* targets.c: the rule for a tensor, with the match filled in; false: there is none. */
bool target_rule(const conversion *c, const source_tensor *t, tensor_match *m);
/* A name without what different programs put around the same model. */
const char *target_plain_name(const char *name);
/* check.c, for a weight_source: does the planned file open? `owner` is the conversion. */
leat_status convert_check(const void *owner, const gguf *in, const uint32_t *formats, leat_error *e);

/* The operation of a rule on a tensor. */
void op_apply(conversion *c, const tensor_match *m);
/* A float32 tensor that is computed: values stay where they are. */
void op_constant(conversion *c, const char *name, const float *values, size_t n);
/* After the last: are stacked tensors complete? */
void op_check(conversion *c);

#endif
