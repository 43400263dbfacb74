/* GGUF as a pure function of bytes: gguf_parse turns an untrusted buffer into a checked description whose
 * strings and tensors are views into that buffer. No I/O, no globals; time and memory linear in the header.
 * After LEAT_OK, every offset, length and count in the description is inside the buffer and every product has
 * been checked: nobody has to check again, and nobody reads the file any other way. */
#ifndef LEAT_LOADER_GGUF_H
#define LEAT_LOADER_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} gguf_type;

typedef struct str { /* a view: not NUL-terminated, owned by the mapping */
    const char *p;
    size_t n;
} str;

typedef struct gguf_kv {
    str key;
    gguf_type type;      /* GGUF_ARRAY for arrays */
    gguf_type elem_type; /* of an array; else the same as type */
    uint64_t count;      /* elements; 1 for a scalar */
    const uint8_t *data; /* little endian, unaligned; strings as u64 length + bytes */
    size_t bytes;        /* of data */
} gguf_kv;

typedef struct gguf_tensor {
    str name;
    uint32_t format;  /* type id, live */
    uint32_t n_dims;  /* 1..4 */
    uint64_t ne[4];   /* ne[0] is the row length; unused ones are 1 */
    size_t row_bytes; /* bytes of a row of ne[0] values */
    size_t n_rows;    /* ne[1] * ne[2] * ne[3] */
    size_t bytes;
    const uint8_t *data;
    uint32_t part; /* index of the split file it is in */
} gguf_tensor;

typedef struct gguf {
    uint32_t version;
    size_t alignment;
    size_t data_offset; /* where tensor data starts in the file */
    gguf_kv *kv;
    size_t n_kv;
    gguf_tensor *tensors;
    size_t n_tensors;
    uint32_t *kv_index, *tensor_index; /* open-addressing hash tables over names, private to gguf.c */
    size_t kv_index_size, tensor_index_size;
} gguf;

/* Parses n bytes at p, which must stay valid and unchanged while g is used. On error g is empty. */
leat_status gguf_parse(const uint8_t *p, size_t n, gguf *g, leat_error *e);
void gguf_free(gguf *g); /* a zeroed or empty g is fine */

const gguf_kv *gguf_find(const gguf *g, const char *key);
const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name);

/* Metadata getters: the only way in for values that decide anything. Each takes the wanted type and range; a
 * key of another type or outside the range is an error that names the key and says what was there. Integers
 * accept any integer type whose value fits the range. `found` (may be NULL) is set to whether the key is
 * there; when it is NULL, an absent key is LEAT_E_MISSING; else *out is left as it was. */
leat_status meta_u32(const gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out, bool *found,
                     leat_error *e);
leat_status meta_f32(const gguf *g, const char *key, float min, float max, float *out, bool *found,
                     leat_error *e);
leat_status meta_bool(const gguf *g, const char *key, bool *out, bool *found, leat_error *e);
leat_status meta_str(const gguf *g, const char *key, str *out, bool *found, leat_error *e);
/* An array of exactly that element type, at most max_count long. */
leat_status meta_array(const gguf *g, const char *key, gguf_type elem, uint64_t max_count,
                       const gguf_kv **out, bool *found, leat_error *e);

/* Values of a scalar or of element i of an array, for display: integers and bool as their value. Strings must
 * be walked in order: pass the cursor from one call to the next, starting with 0. */
uint64_t gguf_kv_u64(const gguf_kv *kv, uint64_t i);
int64_t gguf_kv_i64(const gguf_kv *kv, uint64_t i);
double gguf_kv_f64(const gguf_kv *kv, uint64_t i);
str gguf_kv_next_str(const gguf_kv *kv, size_t *cursor);

bool str_eq(str a, const char *b);

#endif
