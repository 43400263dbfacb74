/* quantize_plan.h. Must refuse here what can be known before writing. */
#include "quantize_plan.h"

#include <stdio.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "pattern.h"

/* What the caller asked for, beside the mix. */
typedef struct wishes {
    pattern **patterns; /* (n_patterns), types[i] for tensors that patterns[i] finds */
    uint32_t *types;
    size_t n_patterns;
    int output, embedding; /* -1: by the mix */
} wishes;

/* A type that can be written, by name; -1 with *status set. `of` is what it is asked for. */
static int find_type(const char *of, const char *name, size_t n, leat_status *status, leat_error *e) {
    char word[16] = "";
    if (n < sizeof word) memcpy(word, name, n);
    int format = format_find(word);
    if (format >= 0 && quantize_largest((uint32_t)format) > 0) return format;
    *status = error_set(e, LEAT_E_ARG,
                        "%.100s: \"%.*s\" is no tensor type to quantize to; some are q4_k, q6_k, iq4_xs, f16",
                        of, (int)(n < 40 ? n : 40), name);
    return -1;
}

static void wishes_free(wishes *w) {
    for (size_t i = 0; i < w->n_patterns && w->patterns; i++) pattern_close(w->patterns[i]);
    mem_free(w->patterns);
    mem_free(w->types);
}

/* The names of params->search_types, separated by commas and blanks, are types; there is at least one. */
static leat_status check_search_types(const char *list, leat_error *e) {
    leat_status status = LEAT_OK;
    const char *at = list + strspn(list, ", ");
    if (!*at) return error_set(e, LEAT_E_ARG, "search types: \"%.40s\" names none", list);
    while (*at && !status) {
        size_t n = strcspn(at, ", ");
        find_type("search types", at, n, &status, e);
        at += n;
        at += strspn(at, ", ");
    }
    return status;
}

static leat_status wishes_read(wishes *w, const leat_quantize_params *params, leat_error *e) {
    leat_status status = LEAT_OK;
    w->output = w->embedding = -1;
    if (params->output_tensor_type)
        w->output = find_type("output.weight", params->output_tensor_type, strlen(params->output_tensor_type),
                              &status, e);
    if (!status && params->token_embedding_type)
        w->embedding = find_type("token_embd.weight", params->token_embedding_type,
                                 strlen(params->token_embedding_type), &status, e);
    if (!status && params->search_types) status = check_search_types(params->search_types, e);
    if (status || !params->n_tensor_types) return status;
    w->patterns = mem_alloc(params->n_tensor_types, sizeof *w->patterns);
    w->types = mem_alloc(params->n_tensor_types, sizeof *w->types);
    if (!w->patterns || !w->types) return error_set(e, LEAT_E_NOMEM, "out of memory for quantizing");
    for (size_t i = 0; i < params->n_tensor_types; i++) {
        const char *text = params->tensor_types[i], *equals = text ? strrchr(text, '=') : NULL;
        if (!equals || equals == text)
            return error_set(e, LEAT_E_ARG, "\"%.100s\" is not PATTERN=TYPE", text ? text : "");
        int type = find_type(text, equals + 1, strlen(equals + 1), &status, e);
        if (type < 0) return status;
        if ((status = pattern_open(text, (size_t)(equals - text), &w->patterns[i], e))) return status;
        w->types[w->n_patterns++] = (uint32_t)type;
    }
    return LEAT_OK;
}

static bool is_plain(uint32_t format) {
    return format == FORMAT_F32 || format == FORMAT_F16 || format == FORMAT_BF16 || format == FORMAT_F64;
}

/* The type that the file a recipe is taken from has a tensor in; -1: it is not there. */
static int recipe_of(const quantize_plan *p, const gguf_tensor *t) {
    char name[128] = "";
    if (!p->recipe || t->name.n >= sizeof name) return -1;
    memcpy(name, t->name.p, t->name.n);
    const gguf_tensor *other = gguf_find_tensor(file_gguf(p->recipe), name);
    return other && (other->format == t->format || quantize_largest(other->format) > 0) ? (int)other->format
                                                                                        : -1;
}

/* The type of a tensor that may be quantized; *open: nobody but the mix wants it. */
static uint32_t choose(const quantize_plan *p, const model_facts *facts, const wishes *w,
                       const leat_quantize_params *params, const gguf_tensor *t, bool *open) {
    *open = false;
    bool output = recipe_is_output(t), embedding = recipe_is_embedding(t);
    if (embedding && w->embedding >= 0) return (uint32_t)w->embedding;
    if (output && w->output >= 0) return (uint32_t)w->output;
    for (size_t i = 0; i < w->n_patterns; i++)
        if (pattern_found(w->patterns[i], t->name.p, t->name.n)) return w->types[i];
    int from_recipe = recipe_of(p, t);
    if (from_recipe >= 0) return (uint32_t)from_recipe;
    if (params->pure) return p->mix->base;
    if (embedding && !facts->has_output && w->output >= 0) return (uint32_t)w->output;
    *open = true;
    return recipe_format(p->mix, facts, t);
}

static leat_status check_tensor(const quantize_plan *p, const leat_quantize_params *params, const kernels *k,
                                const gguf_tensor *t, uint32_t to, leat_error *e) {
    const char *from = format_get(t->format)->name;
    if (!k->decode[t->format])
        return error_set(e, LEAT_E_UNSUPPORTED, "tensor \"%.*s\" is %s, which this version can't read",
                         NAME_OF(t), from);
    if (!is_plain(t->format) && !params->allow_requantize)
        return error_set(
            e, LEAT_E_UNSUPPORTED,
            "tensor \"%.*s\" is %s already: quantizing twice loses quality; start from F32, F16 or BF16, "
            "or allow requantizing",
            NAME_OF(t), from);
    if (p->importance || !recipe_needs_importance(p->mix, t, to)) return LEAT_OK;
    return error_set(e, LEAT_E_MISSING,
                     "tensor \"%.*s\" would become %s, which is worthless without an importance matrix",
                     NAME_OF(t), format_get(to)->name);
}

/* A pattern that finds no tensor at all is misspelled, or meant for another model. One may well find only
 * what is kept as it is, or what an earlier one has decided. */
static leat_status check_patterns(const quantize_plan *p, const leat_quantize_params *params, const wishes *w,
                                  leat_error *e) {
    for (size_t i = 0; i < w->n_patterns; i++) {
        bool found = false;
        for (size_t k = 0; k < p->in->n_tensors && !found; k++)
            found = pattern_found(w->patterns[i], p->in->tensors[k].name.p, p->in->tensors[k].name.n);
        if (!found)
            return error_set(e, LEAT_E_ARG, "\"%.100s\": the model has no tensor whose name this finds",
                             params->tensor_types[i]);
    }
    return LEAT_OK;
}

static leat_status decide(quantize_plan *p, const leat_quantize_params *params, const wishes *w,
                          const kernels *k, leat_error *e) {
    leat_status status;
    model_facts facts;
    model_facts_read(&facts, p->in, p->importance != NULL);
    p->n_layer = facts.n_layer;
    for (size_t i = 0; i < p->in->n_tensors; i++) {
        const gguf_tensor *t = &p->in->tensors[i];
        p->formats[i] = t->format;
        bool kept = p->source && !is_plain(t->format);
        if (p->mix && !kept && recipe_allows(t) &&
            (is_plain(t->format) || format_get(t->format)->block_elems > 1) &&
            !(params->leave_output_tensor && recipe_is_output(t))) {
            uint32_t wanted = choose(p, &facts, w, params, t, &p->open[i]);
            p->formats[i] = recipe_fallback(wanted, t->ne[0]);
            p->summary.n_fallback += p->formats[i] != wanted;
        }
        if (p->formats[i] != t->format) {
            if ((status = check_tensor(p, params, k, t, p->formats[i], e))) return status;
        }
    }
    quantize_plan_sum_up(p);
    return LEAT_OK;
}

/* The mix whose usual type most weights have. */
static uint32_t file_type_of(const quantize_plan *p) {
    uint64_t weights[FORMAT_COUNT] = {0};
    uint32_t most = FORMAT_F32;
    for (size_t i = 0; i < p->in->n_tensors; i++)
        weights[p->formats[i]] += p->in->tensors[i].ne[0] * p->in->tensors[i].n_rows;
    for (uint32_t f = 0; f < FORMAT_COUNT; f++)
        if (weights[f] > weights[most]) most = f;
    for (size_t i = 0; mix_get(i); i++)
        if (mix_get(i)->base == most) return mix_get(i)->file_type;
    return 0;
}

void quantize_plan_sum_up(quantize_plan *p) {
    size_t n_fallback = p->summary.n_fallback;
    p->summary = (leat_quantize_summary){.n_fallback = n_fallback, .n_tensors = p->in->n_tensors};
    for (size_t i = 0; i < p->in->n_tensors; i++) {
        const gguf_tensor *t = &p->in->tensors[i];
        p->summary.bytes_in += t->bytes;
        p->summary.n_quantized += p->formats[i] != t->format;
        p->summary.n_weights += t->ne[0] * t->n_rows;
        p->summary.bytes_out += (uint64_t)format_row_bytes(p->formats[i], (size_t)t->ne[0]) * t->n_rows;
    }
    p->summary.divergence = p->measured;
    if (p->mix) p->file_type = p->listed ? file_type_of(p) : p->mix->file_type;
}

void quantize_plan_note(quantize_plan *p, const leat_quantize_params *params) {
    const char *name = params->calibration_name ? params->calibration_name : "a text";
    const char *last = strrchr(name, '/');
    char target[48], measured[96] = "";
    if (params->target_bytes)
        snprintf(target, sizeof target, "%llu bytes", (unsigned long long)params->target_bytes);
    else
        snprintf(target, sizeof target, "%.4g bits per weight", params->target_bpw);
    if (params->n_calibration)
        snprintf(measured, sizeof measured, ", mean divergence %.6f on %.40s", p->measured,
                 last ? last + 1 : name);
    snprintf(p->note, sizeof p->note, "target %s%s", target, measured);
}

/* The file that a recipe is taken from, and what it says about how it was found. */
static leat_status open_recipe(quantize_plan *p, const char *path, leat_error *e) {
    str note = {"", 0};
    bool found = false;
    leat_status status = file_open(path, &p->recipe, e);
    if (status) return status;
    if ((status = meta_str(file_gguf(p->recipe), "leat.quantize.search", &note, &found, e))) return status;
    memcpy(p->note, note.p, note.n < sizeof p->note ? note.n : sizeof p->note - 1);
    p->listed = true;
    return LEAT_OK;
}

/* Everything but the input, which is a file or, where `in_path` is NULL, p->in. */
static leat_status plan_open(quantize_plan *p, const char *in_path, const leat_quantize_params *params,
                             const kernels *k, leat_error *e) {
    leat_status status;
    wishes w = {.output = -1, .embedding = -1};
    bool only_copy = !strcmp(params->type, "copy") || !strcmp(params->type, "COPY");
    bool searched = params->target_bpw > 0 || params->target_bytes;
    p->mix = only_copy ? NULL : mix_find(params->type);
    p->in_path = in_path;
    p->listed = searched;
    if (only_copy && (searched || params->recipe_from)) {
        status = error_set(e, LEAT_E_ARG, "a copy changes no types: name another type than \"copy\"");
        goto fail;
    }
    if (searched && params->recipe_from) {
        status = error_set(e, LEAT_E_ARG, "types are either searched for or taken from a file, not both");
        goto fail;
    }
    if (searched && !in_path) {
        status =
            error_set(e, LEAT_E_ARG, "types are searched for in a model file: convert first, then quantize");
        goto fail;
    }
    if (!p->mix && (!only_copy || !in_path)) {
        status =
            error_set(e, LEAT_E_ARG, "\"%.40s\" is no type to quantize to; try Q4_K_M, Q8_0, IQ4_XS or F16",
                      params->type);
        goto fail;
    }
    if ((status = wishes_read(&w, params, e))) goto fail;
    if (in_path && (status = file_open(in_path, &p->file, e))) goto fail;
    if (params->imatrix && p->mix) {
        if ((status = importance_open(params->imatrix, &p->importance, e))) goto fail;
        p->importance_path = params->imatrix;
    }
    if (in_path) p->in = file_gguf(p->file);
    if (params->recipe_from && (status = open_recipe(p, params->recipe_from, e))) goto fail;
    p->parts = in_path && params->keep_split ? file_parts(p->file) : 1;
    p->formats = mem_alloc(p->in->n_tensors, sizeof *p->formats);
    p->open = mem_alloc(p->in->n_tensors, sizeof *p->open);
    if (!p->formats || !p->open) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for quantizing");
        goto fail;
    }
    if ((status = check_patterns(p, params, &w, e))) goto fail;
    status = decide(p, params, &w, k, e);
fail:
    wishes_free(&w);
    return status;
}

leat_status quantize_plan_open(quantize_plan *p, const char *in_path, const leat_quantize_params *params,
                               const kernels *k, leat_error *e) {
    memset(p, 0, sizeof *p);
    return plan_open(p, in_path, params, k, e);
}

leat_status quantize_plan_source(quantize_plan *p, const gguf *in, const weight_source *source,
                                 const leat_quantize_params *params, const kernels *k, leat_error *e) {
    memset(p, 0, sizeof *p);
    p->in = in;
    p->source = source;
    return plan_open(p, NULL, params, k, e);
}

void quantize_plan_close(quantize_plan *p) {
    mem_free(p->formats);
    mem_free(p->open);
    file_close(p->recipe);
    importance_close(p->importance);
    file_close(p->file); /* NULL is fine */
}
