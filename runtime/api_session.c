/* The public functions of leat.h for sessions that are kept in files or forget from their middle, and for
 * what a token reads of them: arguments are checked here, the work is in session_file.c, saved.c,
 * session_shift.c and plan.c. */
#include "leat.h"

#include <string.h>

#include "loader/error.h"
#include "session.h"

struct leat_saved {
    saved file; /* first and only: a leat_saved is a saved */
};

static void begin(leat_error *e) {
    if (e) *e = (leat_error){LEAT_OK, ""};
}

uint64_t leat_model_hash(const leat_model *m) {
    return m ? model_hash(m) : 0;
}

uint64_t leat_session_read_bytes(const leat_session *s, size_t length) {
    return s ? plan_reads(&s->plan, &s->kv, length) : 0;
}

leat_status leat_session_drop(leat_session *s, size_t from, size_t to, leat_error *e) {
    begin(e);
    if (!s) return error_set(e, LEAT_E_ARG, "session is NULL");
    return session_drop(s, from, to, e);
}

leat_status leat_session_save(leat_session *s, const char *path, const void *user, size_t n_user,
                              leat_error *e) {
    begin(e);
    if (!s || !path || (!user && n_user))
        return error_set(e, LEAT_E_ARG, "%s is NULL", !s ? "session" : path ? "user" : "path");
    return session_save(s, path, user, n_user, e);
}

leat_status leat_saved_open(const char *path, leat_saved **out, leat_error *e) {
    saved *f;
    begin(e);
    if (!out) return error_set(e, LEAT_E_ARG, "out is NULL");
    *out = NULL;
    if (!path) return error_set(e, LEAT_E_ARG, "path is NULL");
    leat_status st = saved_open(path, &f, e);
    if (!st) *out = (leat_saved *)f;
    return st;
}

void leat_saved_close(leat_saved *s) {
    saved_close(s ? &s->file : NULL);
}

static const char *type_name(uint32_t format) {
    int type = session_kv_type(format);
    return type < 0 ? "unknown" : leat_kv_type_name((size_t)type);
}

void leat_saved_get_info(const leat_saved *s, leat_saved_info *out) {
    if (!out) return;
    *out = (leat_saved_info){.k_type = "", .v_type = ""};
    if (!s) return;
    const saved_head *h = &s->file.head;
    *out = (leat_saved_info){.bytes = h->bytes,
                             .model = h->model,
                             .model_name = {h->name, strlen(h->name)},
                             .k_type = type_name(h->k_format),
                             .v_type = type_name(h->v_format),
                             .length = (size_t)h->length,
                             .user = {(const char *)s->file.user, (size_t)h->n_user}};
}

leat_status leat_session_load(leat_session *s, const leat_saved *file, leat_error *e) {
    begin(e);
    if (!s || !file) return error_set(e, LEAT_E_ARG, "%s is NULL", s ? "saved" : "session");
    return session_load(s, &file->file, e);
}
