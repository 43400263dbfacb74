/* A model file on disk: mapped, guarded, parsed, and joined with the other parts of its set. All reading of
 * models goes through here. Pages are shared and read-only. */
#include "file.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "alloc.h"
#include "mapping.h"
#include "parse.h"
#include "split.h"

struct model_file {
    gguf g;
    mapping *parts;
    size_t n_parts; /* of those in `parts` that are open */
    uint64_t bytes;
    atomic_bool lost;
};

/* The first bytes are asked for at once, so that parsing a cold file is one read and not a page fault every
 * 128 KiB. The tensors are left to whoever computes: `leat info` needs none of them. */
enum { HEADER_AHEAD = 8 << 20 };

/* A message about a file: the end of its path, which is the part that tells files apart, then what e says so
 * far. */
static leat_status about_file(const char *path, leat_status status, leat_error *e) {
    enum { SHOWN = 72 };
    size_t n = strlen(path);
    if (!e) return status;
    return error_set(e, status, "%s%s: %s", n > SHOWN ? "..." : "", n > SHOWN ? path + n - SHOWN : path,
                     e->message);
}

/* Opens part i of f, whose slot is there and empty, and parses it into g. */
static leat_status add_part(model_file *f, const char *path, size_t i, gguf *g, leat_error *e) {
    mapping *p = &f->parts[i];
    leat_status status = mapping_open(path, HEADER_AHEAD, p, e);
    if (status) return status;
    f->n_parts = i + 1;
    f->bytes += p->n; /* at most 1024 files of at most 2^62 bytes that all fit the address space together */
    mapping_guard(p, &f->lost);
    return gguf_parse(p->p, p->n, g, e);
}

/* Appends the tensors of g to those of f, whose array has room for `total`. */
static leat_status append_tensors(model_file *f, const gguf *g, size_t part_no, size_t total, leat_error *e) {
    if (g->n_tensors > total - f->g.n_tensors)
        return error_set(e, LEAT_E_SHARD,
                         "has more tensors than the %zu that split.tensors.count leaves room for", total);
    for (size_t i = 0; i < g->n_tensors; i++) {
        gguf_tensor *t = &f->g.tensors[f->g.n_tensors++];
        *t = g->tensors[i];
        t->part = (uint32_t)part_no;
    }
    return LEAT_OK;
}

/* Opens part `no` of the set that part 0, at `path`, describes, and adds its tensors. */
static leat_status join_part(model_file *f, const char *path, uint32_t no, const split_info *set,
                             leat_error *e) {
    gguf g = {0};
    split_info own;
    char *name = NULL;
    leat_status status = split_path(path, 0, no, set->count, &name, e);
    if (status) return about_file(path, status, e);
    status = add_part(f, name, no, &g, e);
    if (status == LEAT_E_IO)
        status = error_set(e, LEAT_E_SHARD, "part %u of %u %s", (unsigned)no + 1, (unsigned)set->count,
                           e ? e->message : "");
    if (!status) status = split_read(&g, &own, e);
    if (status) goto fail;
    if (own.no != no || own.count != set->count || own.n_tensors != set->n_tensors) {
        status = error_set(
            e, LEAT_E_SHARD,
            "says it is part %u of %u with %u tensors in all, the first part expects part %u of %u with %u",
            (unsigned)own.no + 1, (unsigned)own.count, (unsigned)own.n_tensors, (unsigned)no + 1,
            (unsigned)set->count, (unsigned)set->n_tensors);
        goto fail;
    }
    status = append_tensors(f, &g, no, set->n_tensors, e);
fail:
    if (status) about_file(name, status, e);
    gguf_free(&g); /* its tensors are views into the mapping, as are their names; its metadata is not used */
    mem_free(name);
    return status;
}

/* Part 0 is open; opens the others. */
static leat_status join_parts(model_file *f, const char *path, const split_info *set, leat_error *e) {
    if (set->n_tensors < f->g.n_tensors) {
        error_set(e, LEAT_E_SHARD, "has %zu tensors, but split.tensors.count is %u", f->g.n_tensors,
                  (unsigned)set->n_tensors);
        return about_file(path, LEAT_E_SHARD, e);
    }
    mapping *parts = mem_resize(f->parts, 1, set->count, sizeof *parts);
    if (parts) f->parts = parts;
    gguf_tensor *tensors = mem_resize(f->g.tensors, f->g.n_tensors, set->n_tensors, sizeof *tensors);
    if (tensors) f->g.tensors = tensors;
    if (!parts || !tensors)
        return error_set(e, LEAT_E_NOMEM, "no memory for a set of %u files", (unsigned)set->count);
    for (uint32_t no = 1; no < set->count; no++) {
        leat_status status = join_part(f, path, no, set, e);
        if (status) return status;
    }
    if (f->g.n_tensors != set->n_tensors) {
        error_set(e, LEAT_E_SHARD, "the %u parts have %zu tensors together, but split.tensors.count is %u",
                  (unsigned)set->count, f->g.n_tensors, (unsigned)set->n_tensors);
        return about_file(path, LEAT_E_SHARD, e);
    }
    mem_free(f->g.tensor_index);
    f->g.tensor_index = NULL;
    f->g.tensor_index_size = 0;
    leat_status status = tensors_index(&f->g, e);
    return status ? about_file(path, status, e) : LEAT_OK;
}

/* Someone opened a part that isn't the first: says which file to open instead. */
static leat_status refuse_later_part(const char *path, const split_info *set, leat_error *e) {
    char *first = NULL;
    leat_status status = split_path(path, set->no, 0, set->count, &first, e);
    if (status) return about_file(path, status, e);
    const char *slash = strrchr(first, '/');
    error_set(e, LEAT_E_SHARD, "is part %u of %u, open the first one: %.120s", (unsigned)set->no + 1,
              (unsigned)set->count, slash ? slash + 1 : first);
    mem_free(first);
    return about_file(path, LEAT_E_SHARD, e);
}

static model_file *new_file(leat_error *e) {
    model_file *f = mem_alloc(1, sizeof *f);
    if (f) {
        atomic_init(&f->lost, false);
        f->parts = mem_alloc(1, sizeof *f->parts);
        if (f->parts) return f;
    }
    mem_free(f);
    error_set(e, LEAT_E_NOMEM, "no memory to open a file");
    return NULL;
}

leat_status file_open(const char *path, model_file **out, leat_error *e) {
    leat_error own; /* what is said about a file is built in steps, so there must be a place for it */
    if (!e) e = &own;
    *out = NULL;
    split_info set;
    model_file *f = new_file(e);
    if (!f) return LEAT_E_NOMEM;
    leat_status status = add_part(f, path, 0, &f->g, e);
    if (!status) status = split_read(&f->g, &set, e);
    if (status) {
        about_file(path, status, e);
        goto fail;
    }
    if (set.count > 1) status = set.no ? refuse_later_part(path, &set, e) : join_parts(f, path, &set, e);
    if (status) goto fail;
    if (file_lost(f)) {
        error_set(e, LEAT_E_IO, "shrank while it was being read");
        status = about_file(path, LEAT_E_IO, e);
        goto fail;
    }
    *out = f;
    return error_set(e, LEAT_OK, "%s", "");
fail:
    file_close(f);
    return status;
}

leat_status file_from_memory(const void *bytes, size_t n, const char *name, model_file **out, leat_error *e) {
    leat_error own;
    if (!e) e = &own;
    *out = NULL;
    split_info set;
    model_file *f = new_file(e);
    if (!f) return LEAT_E_NOMEM;
    f->parts[0] = (mapping){bytes, n, NULL};
    f->n_parts = 1;
    f->bytes = n;
    leat_status status = gguf_parse(bytes, n, &f->g, e);
    if (!status) status = split_read(&f->g, &set, e);
    if (!status && set.count > 1)
        status = error_set(e, LEAT_E_SHARD, "is part %u of %u, which can only be opened as files",
                           (unsigned)set.no + 1, (unsigned)set.count);
    if (status) goto fail;
    *out = f;
    return error_set(e, LEAT_OK, "%s", "");
fail:
    about_file(name, status, e);
    file_close(f);
    return status;
}

void file_close(model_file *f) {
    if (!f) return;
    for (size_t i = 0; i < f->n_parts; i++) mapping_close(&f->parts[i]);
    gguf_free(&f->g);
    mem_free(f->parts);
    mem_free(f);
}

const gguf *file_gguf(const model_file *f) {
    return &f->g;
}
uint64_t file_bytes(const model_file *f) {
    return f->bytes;
}
size_t file_parts(const model_file *f) {
    return f->n_parts;
}
bool file_lost(const model_file *f) {
    return atomic_load(&f->lost);
}
