/* weights.h: which files there are, mapping them, finding tensors. */
#include "weights.h"

#include <stdio.h>
#include <string.h>

#include "folder.h"
#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/names.h"
#include "loader/sys.h"

enum {
    FILES_MAX = 4096,            /* public models have some hundred parts */
    FILES_MORE = 8,              /* that weights_add may add */
    HEADER_AHEAD = 1 << 20,      /* bytes read ahead of a file's header */
    INDEX_BYTES_MAX = 256 << 20, /* of the index and its tree: tensors by their ten thousands fit */
    FILE_NAME_MAX = 255
};

static leat_status add_file(weights *w, const char *folder, str file, leat_error *e) {
    char *path = NULL, name[FILE_NAME_MAX + 1];
    mapping *m = &w->files[w->n_files];
    memcpy(name, file.p, file.n);
    name[file.n] = 0;
    leat_status s = folder_path(folder, name, &path, e);
    if (!s) s = mapping_open(path, HEADER_AHEAD, m, e);
    mem_free(path);
    if (s == LEAT_E_NOMEM) return s;
    if (s) return about_file(name, s, e);
    w->n_files++;
    mapping_guard(m, &w->lost);
    return safetensors_parse(w, name, m->p, m->n, e);
}

static bool listed(const str *files, size_t n, str file) {
    for (size_t i = n; i-- > 0;) /* tensors of one file stand together, mostly */
        if (files[i].n == file.n && !memcmp(files[i].p, file.p, file.n)) return true;
    return false;
}

/* The files that the index names, each once. */
static leat_status files_of(const json_value *map, str *files, size_t *n, leat_error *e) {
    *n = 0;
    for (const json_value *v = map->first; v; v = v->next) {
        if (v->type != JSON_STRING || !v->text.n || v->text.n > FILE_NAME_MAX ||
            memchr(v->text.p, '/', v->text.n) || memchr(v->text.p, 0, v->text.n))
            return error_set(e, LEAT_E_VALUE,
                             "model.safetensors.index.json: the file of tensor \"%.100s\" is not a name in "
                             "this folder",
                             v->key.p);
        if (listed(files, *n, v->text)) continue;
        if (*n == FILES_MAX)
            return error_set(e, LEAT_E_LIMIT, "model.safetensors.index.json names more than %d files",
                             FILES_MAX);
        files[(*n)++] = v->text;
    }
    return LEAT_OK;
}

/* Every tensor of the index must be in one of the files. */
static leat_status check_index(const weights *w, const json_value *map, leat_error *e) {
    for (const json_value *v = map->first; v; v = v->next)
        if (!weights_find(w, v->key))
            return error_set(e, LEAT_E_TENSOR,
                             "tensor \"%.*s\" of model.safetensors.index.json is in none of its files",
                             (int)(v->key.n < 120 ? v->key.n : 120), v->key.p);
    return LEAT_OK;
}

static leat_status open_index(weights *w, const char *folder, const json_value *map, leat_error *e) {
    size_t n = 0;
    str *files = mem_alloc(FILES_MAX, sizeof *files);
    if (!files) return error_set(e, LEAT_E_NOMEM, "out of memory for a list of files");
    leat_status s = files_of(map, files, &n, e);
    if (!s) {
        w->files = mem_alloc(n + FILES_MORE, sizeof *w->files);
        if (!w->files) s = error_set(e, LEAT_E_NOMEM, "out of memory for %zu files", n);
    }
    for (size_t i = 0; !s && i < n; i++) s = add_file(w, folder, files[i], e);
    if (!s) s = weights_index(w, e);
    if (!s) s = check_index(w, map, e);
    mem_free(files);
    return s;
}

static leat_status open_one(weights *w, const char *folder, str file, leat_error *e) {
    w->files = mem_alloc(1 + FILES_MORE, sizeof *w->files);
    if (!w->files) return error_set(e, LEAT_E_NOMEM, "out of memory for a file");
    leat_status s = add_file(w, folder, file, e);
    return s ? s : weights_index(w, e);
}

/* Is there a file of this name? */
static bool is_there(const char *folder, const char *name) {
    char *path = NULL;
    struct stat st;
    bool there = !folder_path(folder, name, &path, NULL) && !sys_stat(path, &st);
    mem_free(path);
    return there;
}

leat_status weights_open(weights *w, const char *folder, leat_error *e) {
    leat_error own;
    if (!e) e = &own;
    arena a;
    const json_value *root = NULL;
    str file = folder_single(folder);
    arena_init(&a, INDEX_BYTES_MAX);
    arena_init(&w->names, INDEX_BYTES_MAX);
    if (file.n) return open_one(w, folder, file, e);
    leat_status s = folder_json(folder, "model.safetensors.index.json", false, &a, &root, e);
    const json_value *map = json_get(root, "weight_map");
    if (!s && !root) {
        s = open_one(w, folder, (str){"model.safetensors", 17}, e);
        if (s == LEAT_E_IO &&
            (is_there(folder, "pytorch_model.bin") || is_there(folder, "pytorch_model.bin.index.json")))
            s = error_set(e, LEAT_E_UNSUPPORTED,
                          "the folder's weights are pickled Python objects (pytorch_model.bin), which may be "
                          "programs; only safetensors are read");
    } else if (!s && (!map || map->type != JSON_OBJECT || !map->count)) {
        s = error_set(e, LEAT_E_VALUE, "model.safetensors.index.json has no \"weight_map\"");
    } else if (!s) {
        s = open_index(w, folder, map, e);
    }
    arena_free(&a);
    return s;
}

leat_status weights_add(weights *w, const char *folder, const char *file, const char *prefix, leat_error *e) {
    if (w->n_more == FILES_MORE) return error_set(e, LEAT_E_LIMIT, "more than %d modules", FILES_MORE);
    w->n_more++;
    w->prefix = prefix;
    leat_status s = add_file(w, folder, (str){file, strlen(file)}, e);
    w->prefix = NULL;
    if (s) return s;
    mem_free(w->index);
    w->index = NULL;
    return weights_index(w, e);
}

leat_status weights_reserve(weights *w, size_t more, leat_error *e) {
    if (w->capacity - w->n >= more) return LEAT_OK;
    source_tensor *t = mem_resize(w->t, w->capacity, w->n + more, sizeof *t);
    if (!t) return error_set(e, LEAT_E_NOMEM, "out of memory for %zu tensors", w->n + more);
    w->t = t;
    w->capacity = w->n + more;
    mem_free(w->index); /* it is by where the tensors are */
    w->index = NULL;
    return weights_index(w, e);
}

void weights_close(weights *w) {
    for (size_t i = 0; i < w->n_files; i++) mapping_close(&w->files[i]);
    mem_free(w->files);
    mem_free(w->t);
    mem_free(w->index);
    arena_free(&w->names);
}

static names names_of(const weights *w) {
    return (names){w->t, w->n, sizeof *w->t}; /* which begin with their name */
}

leat_status weights_index(weights *w, leat_error *e) {
    size_t first, second;
    leat_status s = names_index(names_of(w), &w->index, &w->index_size, &first, &second);
    if (s == LEAT_E_DUPLICATE)
        return error_set(e, s, "tensor \"%.*s\" is there twice",
                         (int)(w->t[first].name.n < 150 ? w->t[first].name.n : 150), w->t[first].name.p);
    return s ? error_set(e, s, "out of memory for the index of %zu tensors", w->n) : LEAT_OK;
}

source_tensor *weights_find(const weights *w, str name) {
    size_t i = w->n ? names_find(names_of(w), w->index, w->index_size, name) : SIZE_MAX;
    return i < w->n ? &w->t[i] : NULL;
}

bool weights_lost(const weights *w) {
    return atomic_load(&w->lost);
}

void weights_drop(const weights *w) {
    for (size_t i = 0; i < w->n_files; i++) mapping_drop(&w->files[i]);
}
