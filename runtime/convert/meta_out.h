/* The metadata of the file that is being made: entries in memory, as GGUF has them, in the order they were
 * added. The first entry of a key stays: what an architecture says goes before what is said of all. The first
 * failure is kept and the rest does nothing. Keys that begin with a dot get the architecture's name in front.
 */
#ifndef LEAT_RUNTIME_CONVERT_META_OUT_H
#define LEAT_RUNTIME_CONVERT_META_OUT_H

#include "loader/gguf.h"

enum { META_KEYS_MAX = 256 };

typedef struct meta_out {
    const char *arch;
    uint8_t *p;
    size_t n, capacity;
    size_t keys[META_KEYS_MAX]; /* where entries begin */
    size_t n_keys;
    leat_status status;
    leat_error *e;
} meta_out;

void meta_open(meta_out *m, const char *arch, leat_error *e);
void meta_close(meta_out *m);
bool meta_has(const meta_out *m, const char *key);

void meta_put_u32(meta_out *m, const char *key, uint32_t v);
void meta_put_i32(meta_out *m, const char *key, int32_t v);
void meta_put_f32(meta_out *m, const char *key, float v);
void meta_put_bool(meta_out *m, const char *key, bool v);
void meta_put_str(meta_out *m, const char *key, str v);
void meta_put_text(meta_out *m, const char *key, const char *v);
/* Starts an array; exactly `count` elements must follow. */
void meta_put_array(meta_out *m, const char *key, gguf_type elem, uint64_t count);
void meta_elem_u8(meta_out *m, uint8_t v);
void meta_elem_32(meta_out *m, uint32_t v); /* of u32 and i32 */
void meta_elem_f32(meta_out *m, float v);
void meta_elem_str(meta_out *m, str v);

/* The whole as the bytes of a GGUF file without tensors, owned by m. */
leat_status meta_finish(meta_out *m, const uint8_t **p, size_t *n);

#endif
