/* See gguf_build.h. Four growing byte strings (metadata, tensor records, data, the file) and a list of where
 * the integers are; nothing clever. */
#include "gguf_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/formats.h"

typedef struct bytes {
    uint8_t *p;
    size_t n, capacity;
} bytes;

typedef struct fields {
    build_field *p;
    size_t n, capacity;
} fields;

struct build {
    bytes meta, records, data;
    fields meta_fields, record_fields, all_fields;
    uint32_t version;
    size_t alignment, data_offset;
    uint64_t n_kv, n_tensors;
    uint64_t claimed_kv, claimed_tensors;
    bool claims_kv, claims_tensors, cut_padding;
    uint8_t *file;
};

static void *grow(void *p, size_t n) {
    void *q = realloc(p, n ? n : 1);
    if (!q) {
        fprintf(stderr, "gguf_build: out of memory\n");
        exit(99);
    }
    return q;
}

static void put(bytes *s, const void *p, size_t n) {
    if (n > s->capacity - s->n) {
        s->capacity = 2 * (s->n + n);
        s->p = grow(s->p, s->capacity);
    }
    if (!n) return;
    if (p)
        memcpy(s->p + s->n, p, n);
    else
        memset(s->p + s->n, 0, n);
    s->n += n;
}

static void put_le(bytes *s, uint64_t v, unsigned width) {
    uint8_t b[8];
    for (unsigned i = 0; i < width; i++) b[i] = (uint8_t)(v >> (8 * i));
    put(s, b, width);
}

static void mark(fields *f, size_t offset, unsigned width, const char *what) {
    if (f->n == f->capacity) {
        f->capacity = 2 * f->capacity + 16;
        f->p = grow(f->p, f->capacity * sizeof *f->p);
    }
    f->p[f->n++] = (build_field){offset, width, what};
}

static void put_meta(build *b, uint64_t v, unsigned width, const char *what) {
    mark(&b->meta_fields, b->meta.n, width, what);
    put_le(&b->meta, v, width);
}

static void put_record(build *b, uint64_t v, unsigned width, const char *what) {
    mark(&b->record_fields, b->records.n, width, what);
    put_le(&b->records, v, width);
}

build *build_open(void) {
    build *b = grow(NULL, sizeof *b);
    memset(b, 0, sizeof *b);
    b->version = 3;
    b->alignment = 32;
    return b;
}

void build_close(build *b) {
    if (!b) return;
    free(b->meta.p);
    free(b->records.p);
    free(b->data.p);
    free(b->meta_fields.p);
    free(b->record_fields.p);
    free(b->all_fields.p);
    free(b->file);
    free(b);
}

void build_key(build *b, const void *key, size_t n, uint32_t type) {
    put_meta(b, n, 8, "key length");
    put(&b->meta, key, n);
    put_meta(b, type, 4, "value type");
    b->n_kv++;
}

void build_raw(build *b, const void *p, size_t n) {
    put(&b->meta, p, n);
}
void build_raw_u32(build *b, uint32_t v) {
    put_le(&b->meta, v, 4);
}
void build_raw_u64(build *b, uint64_t v) {
    put_le(&b->meta, v, 8);
}

static void scalar(build *b, const char *key, gguf_type type, uint64_t bits, unsigned width) {
    build_key(b, key, strlen(key), type);
    put_le(&b->meta, bits, width);
}

void build_u8(build *b, const char *key, uint8_t v) {
    scalar(b, key, GGUF_U8, v, 1);
}
void build_i8(build *b, const char *key, int8_t v) {
    scalar(b, key, GGUF_I8, (uint64_t)v, 1);
}
void build_u16(build *b, const char *key, uint16_t v) {
    scalar(b, key, GGUF_U16, v, 2);
}
void build_i16(build *b, const char *key, int16_t v) {
    scalar(b, key, GGUF_I16, (uint64_t)v, 2);
}
void build_u32(build *b, const char *key, uint32_t v) {
    scalar(b, key, GGUF_U32, v, 4);
}
void build_i32(build *b, const char *key, int32_t v) {
    scalar(b, key, GGUF_I32, (uint64_t)v, 4);
}
void build_u64(build *b, const char *key, uint64_t v) {
    scalar(b, key, GGUF_U64, v, 8);
}
void build_i64(build *b, const char *key, int64_t v) {
    scalar(b, key, GGUF_I64, (uint64_t)v, 8);
}
void build_bool(build *b, const char *key, bool v) {
    scalar(b, key, GGUF_BOOL, v, 1);
}

void build_f32(build *b, const char *key, float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    scalar(b, key, GGUF_F32, bits, 4);
}

void build_f64(build *b, const char *key, double v) {
    uint64_t bits;
    memcpy(&bits, &v, 8);
    scalar(b, key, GGUF_F64, bits, 8);
}

void build_str_n(build *b, const char *key, const void *v, size_t n) {
    build_key(b, key, strlen(key), GGUF_STRING);
    put_meta(b, n, 8, "string length");
    put(&b->meta, v, n);
}

void build_str(build *b, const char *key, const char *v) {
    build_str_n(b, key, v, strlen(v));
}

static const unsigned type_width[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

static void array_head(build *b, const char *key, gguf_type elem, uint64_t count) {
    build_key(b, key, strlen(key), GGUF_ARRAY);
    put_meta(b, elem, 4, "element type");
    put_meta(b, count, 8, "array count");
}

void build_array(build *b, const char *key, gguf_type elem, const void *values, uint64_t count) {
    array_head(b, key, elem, count);
    put(&b->meta, values, (size_t)count * type_width[elem]);
}

void build_str_array(build *b, const char *key, const char *const *values, uint64_t count) {
    array_head(b, key, GGUF_STRING, count);
    for (uint64_t i = 0; i < count; i++) {
        put_meta(b, strlen(values[i]), 8, "element length");
        put(&b->meta, values[i], strlen(values[i]));
    }
}

void build_alignment(build *b, uint32_t alignment) {
    build_key(b, "general.alignment", 17, GGUF_U32);
    put_meta(b, alignment, 4, "alignment");
    b->alignment = alignment;
}

void build_tensor_raw(build *b, const void *name, size_t name_n, uint32_t n_dims, const uint64_t *ne,
                      uint32_t format, uint64_t offset, size_t data_bytes) {
    put_record(b, name_n, 8, "name length");
    put(&b->records, name, name_n);
    put_record(b, n_dims, 4, "n_dims");
    for (uint32_t i = 0; i < n_dims && i < 8; i++) put_record(b, ne[i], 8, "ne");
    put_record(b, format, 4, "tensor type");
    put_record(b, offset, 8, "tensor offset");
    put(&b->data, NULL, data_bytes);
    b->n_tensors++;
}

void build_tensor_nd(build *b, const char *name, uint32_t format, uint32_t n_dims, const uint64_t *ne,
                     const void *data) {
    const format_info *info = format_get(format);
    uint64_t values = 1;
    for (uint32_t i = 0; i < n_dims; i++) values *= ne[i];
    size_t n = info && info->block_elems ? (size_t)(values / info->block_elems * info->block_bytes) : 0;
    put(&b->data, NULL, (b->alignment - b->data.n % b->alignment) % b->alignment);
    size_t offset = b->data.n;
    build_tensor_raw(b, name, strlen(name), n_dims, ne, format, offset, n);
    if (data) memcpy(b->data.p + offset, data, n);
}

void build_tensor(build *b, const char *name, uint32_t format, uint64_t ne0, uint64_t ne1, const void *data) {
    uint64_t ne[2] = {ne0, ne1};
    build_tensor_nd(b, name, format, ne1 ? 2 : 1, ne, data);
}

void build_version(build *b, uint32_t version) {
    b->version = version;
}
void build_cut_padding(build *b) {
    b->cut_padding = true;
}

void build_count_tensors(build *b, uint64_t n) {
    b->claimed_tensors = n;
    b->claims_tensors = true;
}

void build_count_kv(build *b, uint64_t n) {
    b->claimed_kv = n;
    b->claims_kv = true;
}

uint8_t *build_finish(build *b, size_t *n) {
    bytes s = {0};
    b->all_fields.n = 0;
    put(&s, "GGUF", 4);
    mark(&b->all_fields, 0, 4, "magic");
    mark(&b->all_fields, 4, 4, "version");
    put_le(&s, b->version, 4);
    mark(&b->all_fields, 8, 8, "tensor count");
    put_le(&s, b->claims_tensors ? b->claimed_tensors : b->n_tensors, 8);
    mark(&b->all_fields, 16, 8, "metadata count");
    put_le(&s, b->claims_kv ? b->claimed_kv : b->n_kv, 8);
    for (size_t i = 0; i < b->meta_fields.n; i++)
        mark(&b->all_fields, s.n + b->meta_fields.p[i].offset, b->meta_fields.p[i].width,
             b->meta_fields.p[i].what);
    put(&s, b->meta.p, b->meta.n);
    for (size_t i = 0; i < b->record_fields.n; i++)
        mark(&b->all_fields, s.n + b->record_fields.p[i].offset, b->record_fields.p[i].width,
             b->record_fields.p[i].what);
    put(&s, b->records.p, b->records.n);
    if (b->n_tensors && !b->cut_padding && b->alignment)
        put(&s, NULL, (b->alignment - s.n % b->alignment) % b->alignment);
    b->data_offset = s.n;
    put(&s, b->data.p, b->data.n);
    free(b->file);
    b->file = grow(NULL, s.n);
    memcpy(b->file, s.p, s.n);
    free(s.p);
    *n = s.n;
    return b->file;
}

bool build_save(build *b, const char *path) {
    size_t n;
    const uint8_t *p = build_finish(b, &n);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(p, 1, n, f) == n;
    if (f && fclose(f)) ok = false;
    if (!ok) fprintf(stderr, "gguf_build: can't write %s\n", path);
    return ok;
}

const build_field *build_fields(const build *b, size_t *n) {
    *n = b->all_fields.n;
    return b->all_fields.p;
}

size_t build_data_offset(const build *b) {
    return b->data_offset;
}
