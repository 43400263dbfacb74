/* imatrix.h: the entries, and the file they come from and go to. The file is GGUF: general.type "imatrix",
 * imatrix.datasets, .chunk_count and .chunk_size, and for each tensor NAME two tensors of F32, NAME.in_sum2
 * (columns, experts) and NAME.counts (1, experts), in the order of their names. */
#include "imatrix.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "gguf_out.h"
#include "importance.h"
#include "kernels/formats.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/file.h"

enum { ALIGNMENT = 32 };

static leat_status no_memory(leat_error *e) {
    return error_set(e, LEAT_E_NOMEM, "out of memory for an importance matrix");
}

leat_status imatrix_open(leat_imatrix **out, leat_error *e) {
    *out = mem_alloc(1, sizeof **out);
    return *out ? LEAT_OK : no_memory(e);
}

static void free_entry(imatrix_entry *x) {
    mem_free(x->name);
    mem_free(x->sums);
    mem_free(x->counts);
}

void imatrix_close(leat_imatrix *m) {
    if (!m) return;
    for (size_t i = 0; i < m->n_entries; i++) free_entry(&m->entries[i]);
    for (size_t i = 0; i < m->n_datasets; i++) mem_free(m->datasets[i]);
    mem_free(m->entries);
    mem_free(m->datasets);
    mem_free(m);
}

/* Room for one more; false without memory. */
static bool grow(void **array, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return true;
    size_t more = *cap ? *cap * 2 : 16;
    void *p = *array ? mem_resize(*array, *cap, more, size) : mem_alloc(more, size);
    if (!p) return false;
    *array = p;
    *cap = more;
    return true;
}

static char *copy_name(str s) {
    char *p = mem_alloc(s.n + 1, 1);
    if (p) memcpy(p, s.p, s.n);
    return p;
}

static int compare(const char *name, str s) {
    size_t n = strlen(name);
    int order = memcmp(name, s.p, n < s.n ? n : s.n);
    return order ? order : n < s.n ? -1 : n > s.n;
}

/* Where the entry is or would be. */
static size_t place_of(const leat_imatrix *m, str name) {
    size_t low = 0, high = m->n_entries;
    while (low < high) {
        size_t i = low + (high - low) / 2;
        if (compare(m->entries[i].name, name) < 0)
            low = i + 1;
        else
            high = i;
    }
    return low;
}

const imatrix_entry *imatrix_find(const leat_imatrix *m, const char *name, size_t n) {
    size_t i = place_of(m, (str){name, n});
    return i < m->n_entries && !compare(m->entries[i].name, (str){name, n}) ? &m->entries[i] : NULL;
}

/* One count for all becomes one for each. */
static leat_status spread_counts(imatrix_entry *x, size_t n_count, leat_error *e) {
    double *counts = mem_alloc(n_count, sizeof *counts);
    if (!counts) return no_memory(e);
    for (size_t i = 0; i < n_count; i++) counts[i] = x->counts[0];
    mem_free(x->counts);
    x->counts = counts;
    x->n_count = n_count;
    return LEAT_OK;
}

leat_status imatrix_get(leat_imatrix *m, str name, size_t n, size_t n_count, imatrix_entry **out,
                        leat_error *e) {
    size_t at = place_of(m, name);
    if (at < m->n_entries && !compare(m->entries[at].name, name)) {
        imatrix_entry *x = *out = &m->entries[at];
        if (x->n == n && x->n_count == n_count) return LEAT_OK;
        if (x->n == n && x->n_count == 1) return spread_counts(x, n_count, e);
        if (x->n == n && n_count == 1) return LEAT_OK;
        return error_set(e, LEAT_E_TENSOR,
                         "importance of \"%.100s\" has %zu values here and %zu there: they are of different "
                         "models",
                         x->name, x->n, n);
    }
    if (!grow((void **)&m->entries, m->n_entries, &m->cap_entries, sizeof *m->entries)) return no_memory(e);
    imatrix_entry x = {copy_name(name), n, n_count, mem_alloc(n, sizeof *x.sums),
                       mem_alloc(n_count, sizeof *x.counts)};
    if (!x.name || !x.sums || !x.counts) {
        free_entry(&x);
        return no_memory(e);
    }
    memmove(m->entries + at + 1, m->entries + at, (m->n_entries - at) * sizeof *m->entries);
    m->entries[at] = x;
    m->n_entries++;
    *out = &m->entries[at];
    return LEAT_OK;
}

leat_status imatrix_add_dataset(leat_imatrix *m, str name, leat_error *e) {
    if (!grow((void **)&m->datasets, m->n_datasets, &m->cap_datasets, sizeof *m->datasets))
        return no_memory(e);
    char *copy = copy_name(name);
    if (!copy) return no_memory(e);
    m->datasets[m->n_datasets++] = copy;
    return LEAT_OK;
}

/* ---- reading ---- */

static leat_status add_entry(leat_imatrix *m, const gguf_tensor *sums, const gguf_tensor *counts,
                             leat_error *e) {
    imatrix_entry *x;
    str name = {sums->name.p, sums->name.n - strlen(".in_sum2")};
    size_t n = importance_values(sums), n_count = importance_values(counts);
    leat_status status = imatrix_get(m, name, n, n_count, &x, e);
    if (status) return status;
    for (size_t i = 0; i < n; i++) x->sums[i] += (double)importance_value(sums, i);
    for (size_t i = 0; i < x->n_count; i++)
        x->counts[i] += (double)importance_value(counts, n_count == 1 ? 0 : i);
    return LEAT_OK;
}

/* Two files must fit before anything of the second is added. */
static leat_status check_fits(const leat_imatrix *m, const importance_file *file, leat_error *e) {
    const gguf_tensor *sums, *counts;
    for (size_t i = 0; importance_entry(file, &i, &sums, &counts); i++) {
        size_t n = importance_values(sums), n_count = importance_values(counts);
        const imatrix_entry *x = imatrix_find(m, sums->name.p, sums->name.n - strlen(".in_sum2"));
        if (x && (x->n != n || (x->n_count != n_count && x->n_count != 1 && n_count != 1)))
            return error_set(e, LEAT_E_TENSOR,
                             "importance of \"%.100s\" has %zu values in one file and %zu in another: they "
                             "are of different models",
                             x->name, x->n, n);
    }
    return LEAT_OK;
}

leat_status imatrix_merge(leat_imatrix *m, const char *path, leat_error *e) {
    importance_file *file = NULL;
    const gguf_tensor *sums, *counts;
    const gguf_kv *names = NULL;
    bool found = false;
    size_t cursor = 0;
    leat_status status = importance_open(path, &file, e);
    if (!status) status = check_fits(m, file, e);
    for (size_t i = 0; !status && importance_entry(file, &i, &sums, &counts); i++)
        status = add_entry(m, sums, counts, e);
    if (!status)
        status =
            meta_array(importance_gguf(file), "imatrix.datasets", GGUF_STRING, UINT32_MAX, &names, &found, e);
    for (uint64_t i = 0; !status && found && i < names->count; i++)
        status = imatrix_add_dataset(m, gguf_kv_next_str(names, &cursor), e);
    if (!status) {
        uint32_t size = 0;
        m->n_chunks += importance_chunks(file);
        status = meta_u32(importance_gguf(file), "imatrix.chunk_size", 0, UINT32_MAX, &size, &found, e);
        if (!status && !m->chunk_size) m->chunk_size = size;
    }
    importance_close(file);
    return status;
}

/* ---- writing ---- */

static void put_tensor_info(gguf_out *o, const char *name, const char *suffix, size_t n, size_t n_count,
                            uint64_t *offset) {
    size_t length = strlen(name), end = strlen(suffix);
    out_u64(o, length + end);
    out_bytes(o, name, length);
    out_bytes(o, suffix, end);
    out_u32(o, 2);
    out_u64(o, n / n_count);
    out_u64(o, n_count);
    out_u32(o, FORMAT_F32);
    out_u64(o, *offset);
    *offset += ((uint64_t)n * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static leat_status put_floats(gguf_out *o, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float v = (float)x[i];
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        out_u32(o, bits);
    }
    return o->status ? o->status : writer_align(o->w, ALIGNMENT, o->e);
}

static leat_status put_file(const leat_imatrix *m, file_writer *w, leat_error *e) {
    gguf_out o = {w, LEAT_OK, e};
    uint64_t offset = 0;
    leat_status status;
    out_bytes(&o, "GGUF", 4);
    out_u32(&o, 3);
    out_u64(&o, 2 * (uint64_t)m->n_entries);
    out_u64(&o, 4);
    out_kv_str(&o, "general.type", (str){"imatrix", 7});
    out_kv_strs(&o, "imatrix.datasets", (const char *const *)m->datasets, m->n_datasets);
    out_kv_u32(&o, "imatrix.chunk_count", m->n_chunks < UINT32_MAX ? (uint32_t)m->n_chunks : UINT32_MAX);
    out_kv_u32(&o, "imatrix.chunk_size", m->chunk_size);
    for (size_t i = 0; i < m->n_entries; i++) {
        const imatrix_entry *x = &m->entries[i];
        put_tensor_info(&o, x->name, ".in_sum2", x->n, x->n_count, &offset);
        put_tensor_info(&o, x->name, ".counts", x->n_count, x->n_count, &offset);
    }
    if (o.status || (status = writer_align(w, ALIGNMENT, e))) return o.status ? o.status : status;
    for (size_t i = 0; i < m->n_entries; i++) {
        const imatrix_entry *x = &m->entries[i];
        if ((status = put_floats(&o, x->sums, x->n))) return status;
        if ((status = put_floats(&o, x->counts, x->n_count))) return status;
    }
    return LEAT_OK;
}

leat_status imatrix_save(const leat_imatrix *m, const char *path, leat_error *e) {
    file_writer *w;
    if (!m->n_entries) return error_set(e, LEAT_E_STATE, "the importance matrix is empty");
    leat_status status = writer_open(path, &w, e);
    if (status) return status;
    if ((status = put_file(m, w, e))) {
        writer_abandon(w);
        return status;
    }
    return writer_commit(w, e);
}
