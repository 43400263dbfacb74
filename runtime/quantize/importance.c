/* importance.h: a view on a mapped file; everything is checked when it is opened, so that a bad one is
 * refused before any work is done. */
#include "importance.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/formats.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/file.h"
#include "imatrix.h"
#include "recipe.h"

struct importance_file {
    model_file *file; /* NULL: in memory */
    leat_imatrix *memory;
    size_t n_entries;
    uint32_t n_chunks;
    str dataset;
};

enum { NAME_MAX_BYTES = 128 };
#define NAME_OF(t) (int)((t)->name.n < 100 ? (t)->name.n : 100), (t)->name.p

static bool ends_with(str s, const char *end) {
    size_t n = strlen(end);
    return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

/* NAME and a suffix as a tensor of the file. */
static const gguf_tensor *find(const gguf *g, const char *name, size_t n, const char *suffix) {
    char whole[NAME_MAX_BYTES + 16];
    if (n > NAME_MAX_BYTES) return NULL;
    memcpy(whole, name, n);
    memcpy(whole + n, suffix, strlen(suffix) + 1);
    return gguf_find_tensor(g, whole);
}

size_t importance_values(const gguf_tensor *t) {
    return (size_t)t->ne[0] * t->n_rows; /* its bytes are in the file */
}

float importance_value(const gguf_tensor *t, size_t i) {
    float v;
    memcpy(&v, t->data + i * sizeof v, sizeof v);
    return v;
}

static leat_status check_entry(const gguf_tensor *sums, const gguf_tensor *counts, leat_error *e) {
    if (!counts)
        return error_set(e, LEAT_E_TENSOR, "importance: \"%.*s\" has no .counts beside it", NAME_OF(sums));
    if (sums->format != FORMAT_F32 || counts->format != FORMAT_F32)
        return error_set(e, LEAT_E_TENSOR, "importance: \"%.*s\" or its counts are not F32", NAME_OF(sums));
    size_t n = importance_values(sums), n_counts = importance_values(counts);
    if (!n_counts || n % n_counts || n / n_counts != sums->ne[0])
        return error_set(e, LEAT_E_TENSOR, "importance: \"%.*s\" has %zu sums for %zu counts", NAME_OF(sums),
                         n, n_counts);
    for (size_t i = 0; i < n; i++) {
        float v = importance_value(sums, i), count = importance_value(counts, i / (size_t)sums->ne[0]);
        if (!(v >= 0) || !isfinite(v) || !(count >= 0) || !isfinite(count))
            return error_set(e, LEAT_E_NUMERIC,
                             "importance: \"%.*s\": value %zu or its count is negative or no finite number",
                             NAME_OF(sums), i);
    }
    return LEAT_OK;
}

leat_status importance_open(const char *path, importance_file **out, leat_error *e) {
    leat_status status;
    const gguf_kv *names = NULL;
    bool found = false;
    importance_file *m = mem_alloc(1, sizeof *m);
    if (!m) return error_set(e, LEAT_E_NOMEM, "out of memory for importance");
    if ((status = file_open(path, &m->file, e))) goto fail;
    const gguf *g = file_gguf(m->file);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const gguf_tensor *t = &g->tensors[i];
        if (!ends_with(t->name, ".in_sum2")) continue;
        if ((status = check_entry(t, find(g, t->name.p, t->name.n - strlen(".in_sum2"), ".counts"), e)))
            goto fail;
        m->n_entries++;
    }
    if (!m->n_entries) {
        status =
            error_set(e, LEAT_E_TENSOR, "%.150s: no importance matrix: no tensor is named ....in_sum2", path);
        goto fail;
    }
    if ((status = meta_u32(g, "imatrix.chunk_count", 0, UINT32_MAX, &m->n_chunks, &found, e))) goto fail;
    if ((status = meta_array(g, "imatrix.datasets", GGUF_STRING, UINT32_MAX, &names, &found, e))) goto fail;
    size_t cursor = 0;
    m->dataset = found && names->count ? gguf_kv_next_str(names, &cursor) : (str){"", 0};
    *out = m;
    return LEAT_OK;
fail:
    importance_close(m);
    return status;
}

leat_status importance_from_memory(leat_imatrix *memory, importance_file **out, leat_error *e) {
    importance_file *m = mem_alloc(1, sizeof *m);
    if (!m) return error_set(e, LEAT_E_NOMEM, "out of memory for importance");
    m->memory = memory;
    m->n_entries = memory->n_entries;
    m->n_chunks = memory->n_chunks < UINT32_MAX ? (uint32_t)memory->n_chunks : UINT32_MAX;
    if (memory->n_datasets) m->dataset = (str){memory->datasets[0], strlen(memory->datasets[0])};
    *out = m;
    return LEAT_OK;
}

void importance_close(importance_file *m) {
    if (!m) return;
    imatrix_close(m->memory);
    file_close(m->file);
    mem_free(m);
}

/* Where the sums of a tensor are: in the file or in memory. */
typedef struct source {
    const gguf_tensor *sums, *counts;
    const imatrix_entry *entry;
    size_t n;
} source;

static bool find_source(const importance_file *m, const gguf_tensor *t, source *s) {
    *s = (source){NULL};
    if (m->memory) {
        s->entry = imatrix_find(m->memory, t->name.p, t->name.n);
        s->n = s->entry ? s->entry->n : 0;
        return s->entry != NULL;
    }
    const gguf *g = file_gguf(m->file);
    s->sums = find(g, t->name.p, t->name.n, ".in_sum2");
    if (!s->sums) return false;
    s->counts = find(g, t->name.p, t->name.n, ".counts");
    s->n = importance_values(s->sums);
    return true;
}

/* As floats, so that both ways give the same. */
static void value_at(const source *s, size_t i, float *sum, float *count) {
    *sum = s->entry ? (float)s->entry->sums[i] : importance_value(s->sums, i);
    *count = s->entry ? (float)s->entry->counts[i / (s->entry->n / s->entry->n_count)]
                      : importance_value(s->counts, i / (size_t)s->sums->ne[0]);
}

leat_status importance_of(const importance_file *m, const gguf_tensor *t, float **out, leat_error *e) {
    source from;
    size_t columns = (size_t)t->ne[0];
    *out = NULL;
    if (!find_source(m, t, &from)) return LEAT_OK;
    size_t n = from.n;
    if (n % columns || (n / columns != t->ne[2] && n != columns)) {
        if (recipe_is_embedding(t)) return LEAT_OK;
        return error_set(e, LEAT_E_TENSOR,
                         "importance of \"%.*s\" has %zu values, the tensor %" PRIu64 " x %" PRIu64
                         ": it is of another model",
                         NAME_OF(t), n, t->ne[2], t->ne[0]);
    }
    float *v = mem_alloc(columns, (size_t)t->ne[2] * sizeof *v);
    if (!v) return error_set(e, LEAT_E_NOMEM, "out of memory for importance");
    for (size_t i = 0; i < columns * t->ne[2]; i++) {
        float sum, count;
        value_at(&from, i % n, &sum, &count); /* one row of them may stand for all experts */
        v[i] = count > 0 ? sum / count : 1;
        if (!isfinite(v[i])) v[i] = 1;
    }
    if (m->file && file_lost(m->file)) {
        mem_free(v);
        return error_set(e, LEAT_E_IO, "the importance matrix shrank while it was read");
    }
    *out = v;
    return LEAT_OK;
}

size_t importance_entries(const importance_file *m) {
    return m->n_entries;
}

uint32_t importance_chunks(const importance_file *m) {
    return m->n_chunks;
}

str importance_dataset(const importance_file *m) {
    return m->dataset;
}

bool importance_entry(const importance_file *m, size_t *i, const gguf_tensor **sums,
                      const gguf_tensor **counts) {
    const gguf *g = file_gguf(m->file);
    for (; *i < g->n_tensors; ++*i) {
        const gguf_tensor *t = &g->tensors[*i];
        if (!ends_with(t->name, ".in_sum2")) continue;
        *sums = t;
        *counts = find(g, t->name.p, t->name.n - strlen(".in_sum2"), ".counts");
        return true;
    }
    return false;
}

const gguf *importance_gguf(const importance_file *m) {
    return file_gguf(m->file);
}
