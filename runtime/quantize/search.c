/* search.h: who is a candidate for which types, how large errors are, and the order of the steps. */
#include "search.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "imatrix.h"
#include "knapsack.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/names.h"
#include "runtime/os.h"
#include "trial.h"

enum {
    ERROR_VALUES = 1 << 19, /* of a tensor that errors are estimated from */
    CHUNK = 512,            /* tokens of a measured context */
    CHUNKS_DEFAULT = 8,
    GROUPS_MAX = 64, /* more candidates than that are measured in groups */
    BANDS = 4,       /* of layers, in groups */
};

leat_status search_report(search *s, leat_error *e) {
    s->done++;
    if (!s->params->search_progress || s->params->search_progress(s->params->user, s->done, s->steps))
        return LEAT_OK;
    return error_set(e, LEAT_E_CANCELLED, "the search for types was stopped after %zu of %zu steps", s->done,
                     s->steps);
}

/* ---- candidates ---- */

static uint64_t padded(const search *s, const gguf_tensor *t, uint32_t format) {
    uint64_t bytes = (uint64_t)format_row_bytes(format, (size_t)t->ne[0]) * t->n_rows;
    uint64_t alignment = s->plan->in->alignment;
    return (bytes + alignment - 1) / alignment * alignment;
}

static bool listed(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; *p;) {
        size_t length = strcspn(p, ", "), same = 0;
        while (same < length && same < n && (p[same] | 32) == (name[same] | 32)) same++;
        if (same == n && length == n) return true;
        p += length;
        p += strspn(p, ", ");
    }
    return false;
}

static bool suits(const search *s, const gguf_tensor *t, uint32_t format) {
    if (format == t->format) return true;
    const format_info *f = format_get(format);
    if (!f || !(quantize_largest(format) > 0) || !s->k->decode[format] || !s->k->quantize_rows[format] ||
        kernels_traits(format).act == ACT_COUNT || t->ne[0] % f->block_elems ||
        format_row_bytes(format, (size_t)t->ne[0]) >= t->row_bytes)
        return false;
    if (s->params->search_types && !listed(s->params->search_types, f->name)) return false;
    return s->plan->importance || !recipe_needs_importance(s->plan->mix, t, format);
}

/* Which layers and which kind of tensor it is: equal for those that are measured together. */
static size_t band_of(const search *s, str name, str *kind) {
    size_t layer = 0, i = 4;
    *kind = name;
    if (name.n < 6 || memcmp(name.p, "blk.", 4) != 0) return BANDS;
    for (; i < name.n && name.p[i] >= '0' && name.p[i] <= '9' && layer < 100000; i++)
        layer = layer * 10 + (size_t)(name.p[i] - '0');
    *kind = (str){name.p + i, name.n - i};
    size_t n_layer = s->plan->n_layer > layer ? s->plan->n_layer : layer + 1;
    return layer * BANDS / n_layer;
}

static void make_groups(search *s) {
    s->n_groups = 0;
    for (size_t i = 0; i < s->n; i++) {
        str kind, other;
        size_t band = band_of(s, s->plan->in->tensors[s->c[i].tensor].name, &kind), k = 0;
        for (; s->n > GROUPS_MAX && k < i; k++)
            if (band_of(s, s->plan->in->tensors[s->c[k].tensor].name, &other) == band && other.n == kind.n &&
                !memcmp(other.p, kind.p, kind.n))
                break;
        s->c[i].group = s->n > GROUPS_MAX && k < i ? s->c[k].group : s->n_groups++;
    }
}

static leat_status find_candidates(search *s, leat_error *e) {
    const quantize_plan *p = s->plan;
    s->c = mem_alloc(p->in->n_tensors, sizeof *s->c);
    s->blocks = mem_alloc(p->in->n_tensors, sizeof *s->blocks);
    if (!s->c || !s->blocks) return error_set(e, LEAT_E_NOMEM, "out of memory for choosing types");
    for (size_t i = 0; i < p->in->n_tensors; i++) {
        if (!p->open[i]) continue;
        candidate *c = &s->c[s->n++];
        c->tensor = i;
        for (uint32_t f = 0; f < FORMAT_COUNT && c->n < SEARCH_TYPES_MAX; f++) {
            if (!suits(s, &p->in->tensors[i], f)) continue;
            size_t at = c->n++;
            uint64_t bytes = padded(s, &p->in->tensors[i], f);
            for (; at && c->bytes[at - 1] > bytes; at--) {
                c->bytes[at] = c->bytes[at - 1];
                c->type[at] = c->type[at - 1];
            }
            c->bytes[at] = bytes;
            c->type[at] = f;
        }
    }
    if (!s->n) return error_set(e, LEAT_E_MISSING, "there is no tensor whose type could be chosen");
    make_groups(s);
    return LEAT_OK;
}

/* What the candidates may take of the size wanted. */
static leat_status find_budget(search *s, leat_error *e) {
    const quantize_plan *p = s->plan;
    uint64_t fixed = 0, weights = 0, total, header = 0;
    for (size_t i = 0; i < p->in->n_tensors; i++) {
        const gguf_tensor *t = &p->in->tensors[i];
        weights += t->ne[0] * t->n_rows;
        if (!p->open[i]) fixed += padded(s, t, p->formats[i]);
    }
    if (s->params->target_bytes) {
        total = s->params->target_bytes;
        header = quantize_header_bytes(p);
    } else {
        double bytes = s->params->target_bpw / 8 * (double)weights;
        total = bytes < 1e18 ? (uint64_t)bytes : UINT64_MAX / 2;
    }
    if (total < fixed + header)
        return error_set(e, LEAT_E_LIMIT,
                         "%" PRIu64 " bytes are wanted, and what is not quantized takes %" PRIu64 " alone",
                         total, fixed + header);
    s->budget = total - fixed - header;
    return LEAT_OK;
}

/* ---- errors ---- */

/* Types that another one beats in both bytes and error are no use. */
static void drop_beaten(candidate *c) {
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++) {
        while (kept && c->bytes[kept - 1] == c->bytes[i] && c->error[kept - 1] > c->error[i]) kept--;
        if (kept && c->error[kept - 1] <= c->error[i]) continue;
        c->type[kept] = c->type[i];
        c->bytes[kept] = c->bytes[i];
        c->error[kept++] = c->error[i];
    }
    c->n = kept;
}

static leat_status find_errors(search *s, leat_error *e) {
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < s->n && !status; i++) {
        candidate *c = &s->c[i];
        const gguf_tensor *t = &s->plan->in->tensors[c->tensor];
        trial r = {.k = s->k, .pool = s->pool, .t = t, .importance = c->importance, .energy = &c->energy};
        r.step = trial_step(t, ERROR_VALUES);
        for (size_t k = 0; k < c->n && !status; k++) {
            r.to = c->type[k];
            r.error = &c->error[k];
            if (r.to == t->format)
                c->error[k] = 0;
            else
                status = trial_run(&r, e);
        }
        drop_beaten(c);
        if (!status) status = search_report(s, e);
    }
    return status;
}

/* Without a text: by what errors in tensors of its kind usually do. */
static void guess_costs(search *s) {
    bool has_output = gguf_find_tensor(s->plan->in, "output.weight") != NULL;
    for (size_t i = 0; i < s->n; i++) {
        const candidate *c = &s->c[i];
        double harm = recipe_harm(&s->plan->in->tensors[c->tensor], s->plan->n_layer, has_output);
        for (size_t k = 0; k < c->n; k++)
            s->c[i].cost[k] = c->energy > 0 ? harm * c->error[k] / c->energy : 0;
    }
}

/* ---- the search ---- */

static leat_status solve(search *s, leat_error *e) {
    leat_status status = LEAT_OK;
    uint64_t least = 0;
    knapsack_class *classes = mem_alloc(s->n, sizeof *classes);
    knapsack_item *items = mem_alloc(s->n, SEARCH_TYPES_MAX * sizeof *items);
    uint32_t *choice = mem_alloc(s->n, sizeof *choice);
    if (!classes || !items || !choice) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for choosing types");
        goto fail;
    }
    for (size_t i = 0; i < s->n; i++) {
        knapsack_item *at = items + i * SEARCH_TYPES_MAX;
        for (size_t k = 0; k < s->c[i].n; k++) at[k] = (knapsack_item){s->c[i].bytes[k], s->c[i].cost[k]};
        classes[i] = (knapsack_class){at, s->c[i].n};
    }
    if ((status = knapsack_solve(classes, s->n, s->budget, 0, choice, &least, e))) {
        if (status == LEAT_E_LIMIT)
            error_set(e, LEAT_E_LIMIT,
                      "the tensors take %" PRIu64
                      " bytes as the smallest types that suit them%s, and %" PRIu64 " are left for them",
                      least, s->plan->importance ? "" : " without an importance matrix", s->budget);
        goto fail;
    }
    for (size_t i = 0; i < s->n; i++) s->c[i].choice = choice[i];
fail:
    mem_free(classes);
    mem_free(items);
    mem_free(choice);
    return status;
}

static uint32_t threads_of(const search *s) {
    return pool_size(s->pool);
}

/* Chunks of the text that importance is taken from are steps of their own, before the others. */
static bool chunk_done(void *user, size_t done, size_t total) {
    const search *s = user;
    return !s->params->search_progress || s->params->search_progress(s->params->user, done, total);
}

/* The original as a model, and importance from the text where there is none from a file. */
static leat_status open_text(search *s, leat_error *e) {
    const leat_quantize_params *p = s->params;
    leat_status status = model_open(s->plan->in_path, false, NULL, &s->model, e);
    if (status) return status;
    if (!s->plan->importance) {
        leat_imatrix *m = NULL;
        leat_imatrix_params ip = {
            .n_threads = threads_of(s), .dataset = p->calibration_name, .progress = chunk_done, .user = s};
        if ((status = imatrix_open(&m, e))) return status;
        status = imatrix_collect(m, s->model, p->calibration, p->n_calibration, &ip, e);
        if (!status) status = importance_from_memory(m, &s->plan->importance, e);
        if (status) {
            imatrix_close(m);
            return status;
        }
    }
    divergence_params dp = {.tokens = p->calibration,
                            .n_tokens = p->n_calibration,
                            .n_ctx = CHUNK,
                            .max_chunks = p->calibration_chunks ? p->calibration_chunks : CHUNKS_DEFAULT,
                            .n_threads = threads_of(s)};
    return divergence_open(s->model, &dp, &s->divergence, e);
}

static leat_status open_variant(search *s, leat_error *e) {
    s->variant = *file_gguf(s->model->file);
    s->tensors = mem_alloc(s->variant.n_tensors, sizeof *s->tensors);
    if (!s->tensors) return error_set(e, LEAT_E_NOMEM, "out of memory for choosing types");
    memcpy(s->tensors, s->variant.tensors, s->variant.n_tensors * sizeof *s->tensors);
    s->variant.tensors = s->tensors;
    size_t first, second; /* the index of names depends on where they are */
    if (names_index(names_of_tensors(&s->variant), &s->index, &s->variant.tensor_index_size, &first, &second))
        return error_set(e, LEAT_E_NOMEM, "out of memory for choosing types");
    s->variant.tensor_index = s->index;
    return LEAT_OK;
}

static void search_close(search *s) {
    for (size_t i = 0; i < s->n; i++) {
        mem_free(s->c[i].importance);
        mem_free(s->blocks[i]);
    }
    divergence_close(s->divergence);
    model_release(s->model);
    mem_free(s->index);
    mem_free(s->tensors);
    mem_free(s->blocks);
    mem_free(s->c);
}

static void take_choice(search *s) {
    for (size_t i = 0; i < s->n; i++) {
        const candidate *c = &s->c[i];
        const gguf_tensor *t = &s->plan->in->tensors[c->tensor];
        s->plan->formats[c->tensor] = c->type[c->choice];
        if (!s->params->chosen) continue;
        leat_quantize_choice x = {.name = {t->name.p, t->name.n},
                                  .from = format_get(t->format)->name,
                                  .to = format_get(c->type[c->choice])->name,
                                  .bytes = c->bytes[c->choice],
                                  .n_weights = t->ne[0] * t->n_rows,
                                  .error = c->energy > 0 ? sqrt(c->error[c->choice] / c->energy) : 0,
                                  .divergence = s->model ? c->cost[c->choice] : NAN};
        s->params->chosen(s->params->user, &x);
    }
}

leat_status search_types(quantize_plan *plan, const leat_quantize_params *params, const kernels *k, pool *p,
                         leat_error *e) {
    leat_status status = LEAT_OK;
    search s = {.plan = plan, .params = params, .k = k, .pool = p};
    if (params->n_calibration && (status = open_text(&s, e))) goto fail;
    if ((status = find_candidates(&s, e))) goto fail;
    if ((status = find_budget(&s, e))) goto fail;
    for (size_t i = 0; i < s.n && plan->importance; i++)
        if ((status =
                 importance_of(plan->importance, &plan->in->tensors[s.c[i].tensor], &s.c[i].importance, e)))
            goto fail;
    s.steps = s.n;
    if (s.model) s.steps += search_measurements(&s) + params->search_trials;
    if ((status = find_errors(&s, e))) goto fail;
    if (!s.model) guess_costs(&s);
    if (s.model && (status = open_variant(&s, e))) goto fail;
    if (s.model && (status = search_costs(&s, e))) goto fail;
    if ((status = solve(&s, e))) goto fail;
    if (s.model && (status = search_refine(&s, params->search_trials, e))) goto fail;
    take_choice(&s);
fail:
    search_close(&s);
    return status;
}
