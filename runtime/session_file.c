/* Sessions to files and back: which parts of a session make up what saved.h describes, and whether a file's
 * fit this session. A file that fits is copied as it is, so the session goes on to the same bits. */
#include <inttypes.h>
#include <string.h>

#include "hash.h"
#include "loader/alloc.h"
#include "loader/cursor.h"
#include "loader/write.h"
#include "session.h"
#include "runtime/text/utf8.h"

/* A number for the rotations of a session: they depend on more than the model where the context decides
 * (LongRoPE). Compared with a tolerance, since libraries differ in the last bits of pow. */
double session_rope_sum(const leat_session *s, size_t set) {
    const rope_table *r = &s->rope[set];
    double sum = r->magnitude;
    for (size_t i = 0; i < r->n_dims / 2; i++) sum += (double)(i + 1) * r->frequency[i];
    return sum;
}

static void model_name(const leat_model *m, char out[SAVED_NAME + 1]) {
    str name = {0};
    bool found = false;
    if (meta_str(file_gguf(m->file), "general.name", &name, &found, NULL) || !found || !name.n)
        name = (str){m->arch_name, strlen(m->arch_name)};
    size_t n = name.n < SAVED_NAME ? name.n : SAVED_NAME;
    while (n && n < name.n && ((unsigned char)name.p[n] & 0xc0) == 0x80) n--; /* not within a character */
    memcpy(out, name.p, n);
    if (!utf8_valid(out, n)) n = 0;
    out[n] = 0;
}

static saved_layer describe(const kv_layer *l) {
    return (saved_layer){.n_head = (uint32_t)l->n_head,
                         .k_row = (uint32_t)l->k_row,
                         .v_row = (uint32_t)l->v_row,
                         .window = l->window,
                         .base = l->base};
}

/* ---- saving ---- */

typedef struct sink {
    file_writer *writer;
    hash64 sum;
} sink;

static leat_status put(sink *to, const void *p, size_t n, leat_error *e) {
    if (!n) return LEAT_OK;
    hash64_add(&to->sum, p, n);
    return writer_put(to->writer, p, n, e);
}

static leat_status put_rows(sink *to, const leat_session *s, bool values, leat_error *e) {
    leat_status st = LEAT_OK;
    for (size_t i = 0; i < s->kv.n_layer; i++) {
        const kv_layer *l = &s->kv.layer[i];
        size_t n = s->length - l->base;
        for (size_t h = 0; !st && n && h < l->n_head; h++)
            st = values ? put(to, kv_value(&s->kv, i, h, l->base), n * l->v_row, e)
                        : put(to, kv_key(&s->kv, i, h, l->base), n * l->k_row, e);
    }
    return st;
}

static leat_status put_state(sink *to, const state_cache *c, leat_error *e) {
    if (!c->n_floats) return LEAT_OK;
    leat_status st = put(to, c->side[c->now], c->n_floats * sizeof(float), e);
    for (size_t i = 0; !st && i < c->n_copied; i++) st = put(to, c->copy[i], c->n_floats * sizeof(float), e);
    return st;
}

static leat_status put_all(sink *to, const leat_session *s, const saved_head *head, const saved_layer *layers,
                           const void *user, leat_error *e) {
    uint8_t bytes[SAVED_HEADER];
    saved_put_head(head, bytes);
    leat_status st = put(to, bytes, SAVED_HEADER, e);
    for (size_t i = 0; !st && i < head->n_layer; i++) {
        saved_put_layer(&layers[i], bytes);
        st = put(to, bytes, SAVED_LAYER, e);
    }
    if (!st) st = put(to, s->tokens, s->length * sizeof *s->tokens, e);
    for (size_t i = 0; !st && i < s->state.n_copied; i++) {
        uint64_t copied = s->state.copied[i];
        st = put(to, &copied, sizeof copied, e);
    }
    if (!st) st = put(to, user, (size_t)head->n_user, e);
    if (!st && head->has_logits) st = put(to, leat_session_logits(s, 0), head->n_vocab * sizeof(float), e);
    if (!st) st = put_state(to, &s->state, e);
    if (!st) st = put_rows(to, s, false, e);
    if (!st) st = put_rows(to, s, true, e);
    uint64_t sum = hash64_value(&to->sum);
    if (!st) st = writer_put(to->writer, &sum, sizeof sum, e);
    return st;
}

static leat_status save(leat_session *s, const char *path, const void *user, size_t n_user, leat_error *e) {
    saved_head head = {.has_logits = s->n_logits > 0,
                       .model = model_hash(s->model),
                       .rope = {session_rope_sum(s, 0), session_rope_sum(s, 1)},
                       .n_layer = (uint32_t)s->kv.n_layer,
                       .k_format = s->kv.k_format,
                       .v_format = s->kv.v_format,
                       .n_vocab = s->model->hp.n_vocab,
                       .length = s->length,
                       .n_floats = s->state.n_floats,
                       .state_length = s->state.length,
                       .n_copied = s->state.n_copied,
                       .n_user = n_user};
    sink to = {0};
    if (file_lost(s->model->file))
        return error_set(e, LEAT_E_IO, "the model file was cut short or could not be read");
    saved_layer *layers = mem_alloc(s->kv.n_layer, sizeof *layers);
    if (!layers) return error_set(e, LEAT_E_NOMEM, "no memory to save a session");
    for (size_t i = 0; i < s->kv.n_layer; i++) layers[i] = describe(&s->kv.layer[i]);
    model_name(s->model, head.name);
    head.bytes = saved_size(&head, layers) + SAVED_SUM;
    hash64_begin(&to.sum);
    leat_status st = writer_open(path, &to.writer, e);
    if (!st) st = put_all(&to, s, &head, layers, user, e);
    if (!st)
        st = writer_commit(to.writer, e);
    else
        writer_abandon(to.writer);
    mem_free(layers);
    return st;
}

leat_status session_save(leat_session *s, const char *path, const void *user, size_t n_user, leat_error *e) {
    leat_status st = session_take(s, e);
    if (st) return st;
    st = save(s, path, user, n_user, e);
    session_give(s);
    return st;
}

/* ---- loading ---- */

static const char *type_name(uint32_t format) {
    int type = session_kv_type(format);
    return type < 0 ? "an unknown type" : leat_kv_type_name((size_t)type);
}

static leat_status check_model(const leat_session *s, const saved_head *h, leat_error *e) {
    if (h->model == model_hash(s->model) && !file_lost(s->model->file)) return LEAT_OK;
    char own[SAVED_NAME + 1];
    model_name(s->model, own);
    if (!strcmp(own, h->name))
        return error_set(
            e, LEAT_E_STATE,
            "the session was saved with another file of the model \"%s\" (its hash is %016" PRIx64 ")", own,
            h->model);
    return error_set(e, LEAT_E_STATE, "the session was saved with the model \"%s\", and this is \"%s\"",
                     h->name, own);
}

static leat_status check_types(const leat_session *s, const saved_head *h, leat_error *e) {
    bool keys = false, values = false;
    for (size_t i = 0; i < s->kv.n_layer; i++) {
        const kv_layer *l = &s->kv.layer[i];
        keys |= l->n_head && l->k_row;
        values |= l->n_head && l->v_row;
    }
    if ((!keys || h->k_format == s->kv.k_format) && (!values || h->v_format == s->kv.v_format))
        return LEAT_OK;
    return error_set(e, LEAT_E_STATE,
                     "the session was saved with keys as %s and values as %s, but this one keeps %s and %s",
                     type_name(h->k_format), type_name(h->v_format), type_name(s->kv.k_format),
                     type_name(s->kv.v_format));
}

/* Same rotations? A NaN is none. */
static bool same_rope(double a, double b) {
    double d = a - b, most = 1e-6 * (b < 0 ? -b : b);
    return d <= most && -d <= most;
}

static leat_status check_layers(const leat_session *s, const saved *f, leat_error *e) {
    uint64_t seen = s->state.n_floats ? f->head.state_length : f->head.length;
    for (size_t i = 0; i < s->kv.n_layer; i++) {
        const kv_layer *own = &s->kv.layer[i];
        saved_layer l = saved_get_layer(f, i);
        /* what the next token sees must be there */
        uint64_t first = l.window && seen >= l.window ? seen - l.window + 1 : 0;
        if (l.n_head != own->n_head || l.k_row != own->k_row || l.v_row != own->v_row ||
            l.window != own->window || l.base > first)
            return error_set(e, LEAT_E_VALUE, "the saved cache of layer %zu has not this model's shape", i);
    }
    return LEAT_OK;
}

static leat_status check_state(const leat_session *s, const saved *f, leat_error *e) {
    const saved_head *h = &f->head;
    uint64_t before = 0;
    bool ok = h->n_floats == s->state.n_floats && h->n_copied <= s->state.n_copies;
    for (size_t i = 0; ok && i < h->n_copied; i++) {
        uint64_t at = saved_get_copied(f, i);
        ok = at > before && at <= h->state_length;
        before = at;
    }
    return ok ? LEAT_OK : error_set(e, LEAT_E_VALUE, "the saved recurrent state has not this model's shape");
}

static leat_status check_tokens(const leat_session *s, const saved *f, leat_error *e) {
    uint32_t n_vocab = s->model->hp.n_vocab;
    if (f->head.n_vocab != n_vocab)
        return error_set(e, LEAT_E_VALUE, "the saved vocabulary has %u tokens, the model's %u",
                         (unsigned)f->head.n_vocab, (unsigned)n_vocab);
    for (size_t i = 0; i < f->head.length; i++)
        if (load_u32(f->tokens + 4 * i) >= n_vocab)
            return error_set(e, LEAT_E_VALUE, "saved token %zu is %u, not 0 .. %u", i,
                             (unsigned)load_u32(f->tokens + 4 * i), (unsigned)n_vocab - 1);
    return LEAT_OK;
}

static leat_status check(const leat_session *s, const saved *f, leat_error *e) {
    const saved_head *h = &f->head;
    leat_status st = check_model(s, h, e);
    if (!st) st = check_types(s, h, e);
    if (!st && h->length > s->kv.n_ctx)
        st = error_set(e, LEAT_E_CONTEXT,
                       "the saved session holds %" PRIu64 " tokens, but this context only %zu", h->length,
                       s->kv.n_ctx);
    for (size_t i = 0; !st && i < ROPE_SETS; i++)
        if (!same_rope(h->rope[i], session_rope_sum(s, i)))
            st = error_set(e, LEAT_E_STATE,
                           "the session was saved with a context of another size, for which this model turns "
                           "positions in another way");
    if (!st && h->n_layer != s->kv.n_layer)
        st = error_set(e, LEAT_E_VALUE, "the saved session has %u layers, the model %zu",
                       (unsigned)h->n_layer, s->kv.n_layer);
    if (!st) st = check_layers(s, f, e);
    if (!st) st = check_state(s, f, e);
    if (!st) st = check_tokens(s, f, e);
    return st;
}

/* Rows of a windowed layer that there is no room for here are left out: no token to come sees them. */
static void take_rows(leat_session *s, const saved *f) {
    const uint8_t *k = f->keys, *v = f->values;
    size_t length = (size_t)f->head.length;
    for (size_t i = 0; i < s->kv.n_layer; i++) {
        kv_layer *l = &s->kv.layer[i];
        size_t base = (size_t)saved_get_layer(f, i).base, all = length - base;
        size_t skip = all > l->room ? all - l->room : 0, n = all - skip;
        l->base = base + skip;
        for (size_t h = 0; h < l->n_head; h++) {
            if (n) {
                memcpy(kv_key(&s->kv, i, h, l->base), k + skip * l->k_row, n * l->k_row);
                if (l->v_row) memcpy(kv_value(&s->kv, i, h, l->base), v + skip * l->v_row, n * l->v_row);
            }
            k += all * l->k_row;
            v += all * l->v_row;
        }
    }
}

static void take_state(state_cache *c, const saved *f) {
    size_t bytes = c->n_floats * sizeof(float);
    if (!bytes) return;
    c->length = (size_t)f->head.state_length;
    if (c->length)
        memcpy(c->side[c->now], f->state, bytes);
    else
        memset(c->side[c->now], 0, bytes); /* no other state is that of no tokens, whatever the file says */
    c->n_copied = (size_t)f->head.n_copied;
    for (size_t i = 0; i < c->n_copied; i++) {
        c->copied[i] = (size_t)saved_get_copied(f, i);
        memcpy(c->copy[i], f->state + (i + 1) * bytes, bytes);
    }
}

leat_status session_load(leat_session *s, const saved *f, leat_error *e) {
    leat_status st = session_take(s, e);
    if (st) return st;
    st = check(s, f, e);
    if (!st) {
        session_forget(s);
        take_rows(s, f);
        take_state(&s->state, f);
        s->length = (size_t)f->head.length;
        for (size_t i = 0; i < s->length; i++) s->tokens[i] = (int32_t)load_u32(f->tokens + 4 * i);
        if (f->head.has_logits) runner_put_logits(s->runner, f->logits);
        s->n_logits = f->head.has_logits;
    }
    if (atomic_load(&f->lost)) { /* zeros came in the place of what is gone */
        session_forget(s);
        st = error_set(e, LEAT_E_IO, "the saved session was cut short while it was read");
    }
    session_give(s);
    return st;
}
