/* See folder.h. */
#include "folder.h"

#include <errno.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "loader/mapping.h"
#include "loader/sys.h"

enum { FILE_BYTES_MAX = 512 << 20, FILE_AHEAD = 1 << 20 };

str folder_single(const char *folder) {
    static const char end[] = ".safetensors";
    size_t n = strlen(folder);
    if (n <= sizeof end - 1 || strcmp(folder + n - (sizeof end - 1), end) != 0) return (str){"", 0};
    const char *slash = strrchr(folder, '/');
    const char *name = slash ? slash + 1 : folder;
    return (str){name, strlen(name)};
}

leat_status folder_path(const char *folder, const char *name, char **out, leat_error *e) {
    size_t n = strlen(folder) - folder_single(folder).n, m = strlen(name);
    char *path = mem_alloc(n + m + 3, 1);
    if (!path) return error_set(e, LEAT_E_NOMEM, "out of memory for a path");
    memcpy(path, folder, n);
    if (n && path[n - 1] != '/') path[n++] = '/';
    memcpy(path + n, name, m + 1);
    *out = path;
    return LEAT_OK;
}

leat_status about_file(const char *name, leat_status status, leat_error *e) {
    char said[sizeof e->message];
    if (!e) return status;
    memcpy(said, e->message, sizeof said);
    return error_set(e, status, "%.80s: %s", name, said);
}

leat_status folder_text(const char *folder, const char *name, bool needed, arena *a, str *out,
                        leat_error *e) {
    leat_error own;
    if (!e) e = &own;
    char *path = NULL;
    mapping m;
    struct stat st;
    *out = (str){NULL, 0};
    leat_status s = folder_path(folder, name, &path, e);
    if (s) return s;
    if (!needed && sys_stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        mem_free(path);
        return LEAT_OK;
    }
    s = mapping_open(path, FILE_AHEAD, &m, e);
    mem_free(path);
    if (s) return about_file(name, s, e);
    if (m.n > FILE_BYTES_MAX) {
        s = error_set(e, LEAT_E_LIMIT, "%s has %zu bytes; at most %d", name, m.n, (int)FILE_BYTES_MAX);
    } else {
        const char *copy = arena_copy(a, (const char *)m.p, m.n);
        if (copy)
            *out = (str){copy, m.n};
        else
            s = error_set(e, LEAT_E_NOMEM, "out of memory for %s", name);
    }
    mapping_close(&m);
    return s;
}

leat_status folder_json(const char *folder, const char *name, bool needed, arena *a, const json_value **out,
                        leat_error *e) {
    str text;
    *out = NULL;
    leat_status s = folder_text(folder, name, needed, a, &text, e);
    return s || !text.p ? s : json_parse(a, name, text.p, text.n, out, e);
}
