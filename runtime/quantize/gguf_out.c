/* gguf_out.h: little-endian, whatever the machine. */
#include "gguf_out.h"

#include <string.h>

void out_bytes(gguf_out *o, const void *p, size_t n) {
    if (!o->status) o->status = writer_put(o->w, p, n, o->e);
}

static void out_number(gguf_out *o, uint64_t v, size_t bytes) {
    uint8_t b[8];
    for (size_t i = 0; i < bytes; i++) b[i] = (uint8_t)(v >> 8 * i);
    out_bytes(o, b, bytes);
}

void out_u32(gguf_out *o, uint32_t v) {
    out_number(o, v, 4);
}

void out_u64(gguf_out *o, uint64_t v) {
    out_number(o, v, 8);
}

void out_str(gguf_out *o, str s) {
    out_u64(o, s.n);
    out_bytes(o, s.p, s.n);
}

static void out_key(gguf_out *o, const char *key, gguf_type type) {
    out_str(o, (str){key, strlen(key)});
    out_u32(o, type);
}

void out_kv_copy(gguf_out *o, const gguf_kv *kv) {
    out_str(o, kv->key);
    out_u32(o, kv->type);
    if (kv->type == GGUF_ARRAY) {
        out_u32(o, kv->elem_type);
        out_u64(o, kv->count);
    }
    out_bytes(o, kv->data, kv->bytes);
}

void out_kv_u16(gguf_out *o, const char *key, uint16_t v) {
    out_key(o, key, GGUF_U16);
    out_number(o, v, 2);
}

void out_kv_u32(gguf_out *o, const char *key, uint32_t v) {
    out_key(o, key, GGUF_U32);
    out_number(o, v, 4);
}

void out_kv_i32(gguf_out *o, const char *key, int32_t v) {
    out_key(o, key, GGUF_I32);
    out_number(o, (uint32_t)v, 4);
}

void out_kv_str(gguf_out *o, const char *key, str v) {
    out_key(o, key, GGUF_STRING);
    out_str(o, v);
}

void out_kv_strs(gguf_out *o, const char *key, const char *const *v, size_t n) {
    out_key(o, key, GGUF_ARRAY);
    out_u32(o, GGUF_STRING);
    out_u64(o, n);
    for (size_t i = 0; i < n; i++) out_str(o, (str){v[i], strlen(v[i])});
}
