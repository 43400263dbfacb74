/* See meta_out.h. Little endian, whatever the machine. */
#include "meta_out.h"

#include <stdio.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/checked.h"

enum { HEAD = 24, KEY_MAX = 160 }; /* magic, version, counts */

static bool room(meta_out *m, size_t need) {
    size_t end, capacity = m->capacity ? m->capacity : 4096;
    if (m->status) return false;
    if (!checked_add(m->n, need, &end)) end = SIZE_MAX;
    while (capacity < end && capacity <= SIZE_MAX / 2) capacity *= 2;
    if (capacity == m->capacity) return true;
    uint8_t *p = capacity < end ? NULL : mem_resize(m->p, m->capacity, capacity, 1);
    if (!p) {
        m->status = error_set(m->e, LEAT_E_NOMEM, "out of memory for metadata");
        return false;
    }
    m->p = p;
    m->capacity = capacity;
    return true;
}

static void put(meta_out *m, const void *p, size_t n) {
    if (!room(m, n)) return;
    if (n) memcpy(m->p + m->n, p, n);
    m->n += n;
}

static void put_number(meta_out *m, uint64_t v, size_t bytes) {
    uint8_t b[8];
    for (size_t i = 0; i < bytes; i++) b[i] = (uint8_t)(v >> 8 * i);
    put(m, b, bytes);
}

static void put_str(meta_out *m, str s) {
    put_number(m, s.n, 8);
    put(m, s.p, s.n);
}

void meta_open(meta_out *m, const char *arch, leat_error *e) {
    static const uint8_t head[HEAD] = {'G', 'G', 'U', 'F', 3};
    *m = (meta_out){.arch = arch, .e = e};
    put(m, head, HEAD);
}

void meta_close(meta_out *m) {
    mem_free(m->p);
}

static size_t full_key(const meta_out *m, const char *key, char out[KEY_MAX]) {
    int n = snprintf(out, KEY_MAX, "%s%s", *key == '.' ? m->arch : "", key);
    return n < KEY_MAX ? (size_t)n : KEY_MAX - 1;
}

static uint64_t read_u64(const uint8_t *p) {
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

bool meta_has(const meta_out *m, const char *key) {
    char full[KEY_MAX];
    size_t n = full_key(m, key, full);
    for (size_t i = 0; i < m->n_keys; i++)
        if (read_u64(m->p + m->keys[i]) == n && !memcmp(m->p + m->keys[i] + 8, full, n)) return true;
    return false;
}

/* False: there is one already, or nothing can be added any more. */
static bool put_key(meta_out *m, const char *key, gguf_type type) {
    char full[KEY_MAX];
    size_t n = full_key(m, key, full);
    if (m->status || meta_has(m, key)) return false;
    if (m->n_keys == META_KEYS_MAX) {
        m->status = error_set(m->e, LEAT_E_LIMIT, "more than %d metadata entries", META_KEYS_MAX);
        return false;
    }
    m->keys[m->n_keys++] = m->n;
    put_str(m, (str){full, n});
    put_number(m, type, 4);
    return true;
}

void meta_put_u32(meta_out *m, const char *key, uint32_t v) {
    if (put_key(m, key, GGUF_U32)) put_number(m, v, 4);
}

void meta_put_i32(meta_out *m, const char *key, int32_t v) {
    if (put_key(m, key, GGUF_I32)) put_number(m, (uint32_t)v, 4);
}

static uint32_t bits_of(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

void meta_put_f32(meta_out *m, const char *key, float v) {
    if (put_key(m, key, GGUF_F32)) put_number(m, bits_of(v), 4);
}

void meta_put_bool(meta_out *m, const char *key, bool v) {
    if (put_key(m, key, GGUF_BOOL)) put_number(m, v, 1);
}

void meta_put_str(meta_out *m, const char *key, str v) {
    if (put_key(m, key, GGUF_STRING)) put_str(m, v);
}

void meta_put_text(meta_out *m, const char *key, const char *v) {
    meta_put_str(m, key, (str){v, strlen(v)});
}

void meta_put_array(meta_out *m, const char *key, gguf_type elem, uint64_t count) {
    if (!m->status && meta_has(m, key))
        m->status = error_set(m->e, LEAT_E_DUPLICATE, "metadata key %s is made twice", key);
    if (!put_key(m, key, GGUF_ARRAY)) return;
    put_number(m, elem, 4);
    put_number(m, count, 8);
}

void meta_elem_u8(meta_out *m, uint8_t v) {
    put_number(m, v, 1);
}

void meta_elem_32(meta_out *m, uint32_t v) {
    put_number(m, v, 4);
}

void meta_elem_f32(meta_out *m, float v) {
    put_number(m, bits_of(v), 4);
}

void meta_elem_str(meta_out *m, str v) {
    put_str(m, v);
}

leat_status meta_finish(meta_out *m, const uint8_t **p, size_t *n) {
    if (m->status) return m->status;
    for (size_t i = 0; i < 8; i++) m->p[16 + i] = (uint8_t)((uint64_t)m->n_keys >> 8 * i);
    *p = m->p;
    *n = m->n;
    return LEAT_OK;
}
