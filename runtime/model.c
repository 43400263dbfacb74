/* Opening a model: file, vocabulary, architecture, in that order; all or nothing. */
#include "model.h"

#include <stdio.h>
#include <string.h>

#include "arch_loader.h"
#include "loader/alloc.h"

static const arch *arch_find(const char *name) {
    for (const arch *const *a = arch_list; *a; a++)
        if (!strcmp((*a)->name, name)) return *a;
    return NULL;
}

/* The list, as far as a message holds it: leat_architecture has it all. */
static leat_status unknown_arch(const char *name, leat_error *e) {
    char known[192] = "", more[40] = "";
    size_t n = 0, left = 0, room = sizeof known - strlen(name);
    for (const arch *const *a = arch_list; *a; a++) {
        if (left || n + strlen((*a)->name) + 4 > room)
            left++;
        else
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", (*a)->name);
    }
    if (left) snprintf(more, sizeof more, " and %zu more", left);
    return error_set(e, LEAT_E_ARCH, "architecture \"%s\" is not known; known are: %s%s", name, known, more);
}

static leat_status read_arch_name(leat_model *m, const gguf *g, bool required, leat_error *e) {
    str name = {0};
    bool found = false;
    leat_status s = meta_str(g, "general.architecture", &name, &found, e);
    if (s) return s;
    if (!found)
        return required
                   ? error_set(e, LEAT_E_ARCH, "general.architecture is missing: this is no language model")
                   : LEAT_OK;
    if (name.n == 0 || name.n >= sizeof m->arch_name || memchr(name.p, 0, name.n))
        return error_set(e, LEAT_E_ARCH, "general.architecture is not a name of 1 to 64 characters");
    memcpy(m->arch_name, name.p, name.n);
    return LEAT_OK;
}

/* Tensors that old converters wrote and that mean nothing: tables the engine computes itself. */
static bool harmless(str name) {
    static const char *const ends[] = {".attn_rot_embd", ".attn_rot_embd.weight", ".rope_freqs.weight"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(ends[i]);
        if (name.n >= n && !memcmp(name.p + name.n - n, ends[i], n)) return true;
    }
    return false;
}

/* A tensor that the architecture did not ask for is a feature it lacks: running without it would give wrong
 * text. */
static leat_status all_used(const leat_model *m, const gguf *g, const uint8_t *used, leat_error *e) {
    for (size_t i = 0; i < g->n_tensors; i++)
        if (!used[i] && !harmless(g->tensors[i].name))
            return error_set(e, LEAT_E_TENSOR, "tensor %.*s is not part of architecture %s",
                             (int)g->tensors[i].name.n, g->tensors[i].name.p, m->arch_name);
    return LEAT_OK;
}

/* How embeddings are pooled, as GGUF numbers it; UINT32_MAX: the file does not say. */
static leat_status read_pooling(arch_loader *l, hparams *hp) {
    const uint32_t unsaid = UINT32_MAX;
    leat_status s = arch_u32(l, "pooling_type", 0, UINT32_MAX, &unsaid, &hp->pooling);
    if (!s && hp->pooling > 4) hp->pooling = unsaid;
    return s;
}

static leat_status bind_weights(leat_model *m, const gguf *g, leat_error *e) {
    m->arch = arch_find(m->arch_name);
    if (!m->arch) return unknown_arch(m->arch_name, e);
    uint8_t *used = mem_alloc(g->n_tensors, 1);
    if (!used) return error_set(e, LEAT_E_NOMEM, "out of memory for %zu tensors", g->n_tensors);
    arch_loader l = {.g = g, .arch_name = m->arch_name, .used = used, .e = e};
    m->hp.n_vocab = vocab_size(m->vocab);
    m->hp.options = m->arch->options;
    leat_status s = m->arch->read_hparams(&l, &m->hp);
    if (!s) {
        m->weights = mem_alloc(1, m->arch->weights_bytes);
        m->layers = mem_alloc(m->hp.n_layer, m->arch->layer_bytes);
        if (!m->weights || !m->layers)
            s = error_set(e, LEAT_E_NOMEM, "out of memory for %u layers", m->hp.n_layer);
    }
    if (!s) s = m->arch->bind(&l, &m->hp, m->weights, m->layers);
    if (!s) s = embed_head_bind(&l, &m->hp, &m->head);
    if (!s) s = read_pooling(&l, &m->hp);
    if (!s) s = all_used(m, g, used, e);
    mem_free(used);
    return s;
}

leat_status model_open(const char *path, bool vocab_only, const char *isa, leat_model **out, leat_error *e) {
    *out = NULL;
    leat_model *m = mem_alloc(1, sizeof *m);
    if (!m) return error_set(e, LEAT_E_NOMEM, "out of memory for a model");
    atomic_init(&m->holders, 1);
    leat_status s = LEAT_OK;
    if (!kernels_init(&m->kernels, isa)) {
        s = error_set(e, LEAT_E_UNSUPPORTED, "instruction set \"%.32s\" is unknown or this machine lacks it",
                      isa ? isa : "");
        goto fail;
    }
    s = file_open(path, &m->file, e);
    if (!s) s = read_arch_name(m, file_gguf(m->file), !vocab_only, e);
    /* an architecture that we lack is the more helpful news than a tokenizer that we lack */
    if (!s && !vocab_only && !arch_find(m->arch_name)) s = unknown_arch(m->arch_name, e);
    if (!s) s = vocab_open(file_gguf(m->file), &m->vocab, e);
    if (!s && !vocab_only) s = bind_weights(m, file_gguf(m->file), e);
    if (!s && file_lost(m->file)) s = error_set(e, LEAT_E_IO, "%.150s was cut short while it was read", path);
    if (s) goto fail;
    const gguf *g = file_gguf(m->file);
    for (size_t i = 0; i < g->n_tensors; i++)
        m->n_params += (uint64_t)g->tensors[i].n_rows * g->tensors[i].ne[0];
    *out = m;
    return LEAT_OK;
fail:
    model_release(m);
    return s;
}

leat_status model_variant(leat_model *base, const gguf *g, leat_model **out, leat_error *e) {
    *out = NULL;
    leat_model *m = mem_alloc(1, sizeof *m);
    if (!m) return error_set(e, LEAT_E_NOMEM, "out of memory for a model");
    atomic_init(&m->holders, 1);
    m->base = model_hold(base);
    m->file = base->file;
    m->vocab = base->vocab;
    m->kernels = base->kernels;
    m->n_params = base->n_params;
    memcpy(m->arch_name, base->arch_name, sizeof m->arch_name);
    leat_status s = bind_weights(m, g, e);
    if (s)
        model_release(m);
    else
        *out = m;
    return s;
}

leat_status model_check(const gguf *g, leat_error *e) {
    leat_model *m = mem_alloc(1, sizeof *m);
    if (!m) return error_set(e, LEAT_E_NOMEM, "out of memory for a model");
    atomic_init(&m->holders, 1);
    leat_status s = read_arch_name(m, g, true, e);
    if (!s) s = vocab_open(g, &m->vocab, e);
    if (!s) s = bind_weights(m, g, e);
    model_release(m);
    return s;
}

leat_model *model_hold(const leat_model *m) {
    leat_model *held = (leat_model *)(uintptr_t)m;
    atomic_fetch_add_explicit(&held->holders, 1, memory_order_relaxed);
    return held;
}

void model_release(leat_model *m) {
    if (!m || atomic_fetch_sub_explicit(&m->holders, 1, memory_order_acq_rel) != 1) return;
    if (!m->base) {
        vocab_close(m->vocab);
        file_close(m->file);
    }
    model_release(m->base);
    mem_free(m->weights);
    mem_free(m->layers);
    mem_free(m);
}
