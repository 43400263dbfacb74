/* observe.h: the list of sites and which tensors use them. */
#include "observe.h"

#include <string.h>

#include "loader/alloc.h"

void observer_open(observer *o, const gguf *g) {
    *o = (observer){.g = g};
}

void observer_close(observer *o) {
    for (size_t i = 0; i < o->n_sites; i++) {
        mem_free(o->sites[i]->sums);
        mem_free(o->sites[i]->count);
        mem_free(o->sites[i]);
    }
    mem_free(o->sites);
    mem_free(o->uses);
    *o = (observer){0};
}

void observer_clear(observer *o) {
    for (size_t i = 0; i < o->n_sites; i++) {
        observe_site *s = o->sites[i];
        memset(s->sums, 0, s->n_mat * s->n_cols * sizeof *s->sums);
        memset(s->count, 0, s->n_mat * sizeof *s->count);
    }
}

/* Room for one more; false without memory. */
static bool grow(void **array, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return true;
    size_t more = *cap ? *cap * 2 : 32;
    void *p = *array ? mem_resize(*array, *cap, more, size) : mem_alloc(more, size);
    if (!p) return false;
    *array = p;
    *cap = more;
    return true;
}

observe_site *observer_add(observer *o, size_t n_mat, size_t n_cols, bool experts) {
    size_t n;
    if (__builtin_mul_overflow(n_mat, n_cols, &n)) return NULL;
    if (!grow((void **)&o->sites, o->n_sites, &o->cap_sites, sizeof *o->sites)) return NULL;
    observe_site *s = mem_alloc(1, sizeof *s);
    if (!s) return NULL;
    *s = (observe_site){.n_mat = n_mat, .n_cols = n_cols, .experts = experts};
    s->sums = mem_alloc(n, sizeof *s->sums);
    s->count = mem_alloc(n_mat, sizeof *s->count);
    o->sites[o->n_sites++] = s;
    return s->sums && s->count ? s : NULL;
}

bool observer_use(observer *o, const observe_site *site, const weight *w) {
    const uint8_t *at = w->data;
    size_t i = 0;
    for (; i < o->g->n_tensors; i++) {
        const gguf_tensor *t = &o->g->tensors[i];
        if (at >= t->data && at < t->data + t->bytes) break;
    }
    if (!at || i == o->g->n_tensors) return true;
    for (size_t k = 0; k < o->n_uses; k++)
        if (o->uses[k].tensor == i && o->uses[k].site == site) return true;
    if (!grow((void **)&o->uses, o->n_uses, &o->cap_uses, sizeof *o->uses)) return false;
    o->uses[o->n_uses++] = (observe_use){i, site};
    return true;
}
