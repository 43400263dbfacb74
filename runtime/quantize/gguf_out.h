/* Writing the header of a GGUF file, field by field. The first failure is kept and the rest does nothing, so
 * that callers look once. Used by quantize_header.c. */
#ifndef LEAT_RUNTIME_QUANTIZE_GGUF_OUT_H
#define LEAT_RUNTIME_QUANTIZE_GGUF_OUT_H

#include "loader/gguf.h"
#include "loader/write.h"

typedef struct gguf_out {
    file_writer *w;
    leat_status status;
    leat_error *e;
} gguf_out;

void out_bytes(gguf_out *o, const void *p, size_t n);
void out_u32(gguf_out *o, uint32_t v);
void out_u64(gguf_out *o, uint64_t v);
void out_str(gguf_out *o, str s);
/* Whole entries. */
void out_kv_copy(gguf_out *o, const gguf_kv *kv);
void out_kv_u16(gguf_out *o, const char *key, uint16_t v);
void out_kv_u32(gguf_out *o, const char *key, uint32_t v);
void out_kv_i32(gguf_out *o, const char *key, int32_t v);
void out_kv_str(gguf_out *o, const char *key, str v);
void out_kv_strs(gguf_out *o, const char *key, const char *const *v, size_t n);

#endif
