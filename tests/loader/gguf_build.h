/* Assembles GGUF bytes in memory, well-formed or deliberately not. For every test that needs a model file:
 * the loader's own, and those of the layers above. Memory comes from plain malloc (so it never counts as the
 * library's), and running out of it ends the test program.
 *
 *     build *b = build_open();
 *     build_str(b, "general.architecture", "llama");
 *     build_u32(b, "llama.block_count", 1);
 *     build_tensor(b, "output_norm.weight", FORMAT_F32, 64, 0, norm);   (0 rows: one-dimensional; NULL data:
 * zeros) size_t n; const uint8_t *bytes = build_finish(b, &n);                       (owned by b)
 *     ... gguf_parse(bytes, n, ...) or file_from_memory(bytes, n, ...)
 *     build_close(b);
 *
 * Entries appear in the file in the order of the calls; metadata and tensors may be mixed, each has its own
 * section. */
#ifndef LEAT_TESTS_GGUF_BUILD_H
#define LEAT_TESTS_GGUF_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/gguf.h"

typedef struct build build;

build *build_open(void); /* version 3, alignment 32, nothing in it */
void build_close(build *b);

/* Metadata, one entry per call. */
void build_u8(build *b, const char *key, uint8_t v);
void build_i8(build *b, const char *key, int8_t v);
void build_u16(build *b, const char *key, uint16_t v);
void build_i16(build *b, const char *key, int16_t v);
void build_u32(build *b, const char *key, uint32_t v);
void build_i32(build *b, const char *key, int32_t v);
void build_u64(build *b, const char *key, uint64_t v);
void build_i64(build *b, const char *key, int64_t v);
void build_f32(build *b, const char *key, float v);
void build_f64(build *b, const char *key, double v);
void build_bool(build *b, const char *key, bool v);
void build_str(build *b, const char *key, const char *v);
void build_str_n(build *b, const char *key, const void *v, size_t n);
/* `values` are count little-endian elements of type elem (not string, not array). */
void build_array(build *b, const char *key, gguf_type elem, const void *values, uint64_t count);
void build_str_array(build *b, const char *key, const char *const *values, uint64_t count);
/* Writes general.alignment and lays out the tensors after this call by it. */
void build_alignment(build *b, uint32_t alignment);

/* A tensor of (ne1, ne0) values, one-dimensional when ne1 is 0. data: the encoded rows, NULL for zeros. */
void build_tensor(build *b, const char *name, uint32_t format, uint64_t ne0, uint64_t ne1, const void *data);
void build_tensor_nd(build *b, const char *name, uint32_t format, uint32_t n_dims, const uint64_t *ne,
                     const void *data);

/* The file. The block is exactly as long as the file, so that a sanitizer sees the first byte read beyond it.
 * May be called again after more was added; the pointer before is then invalid. The bytes may be changed by
 * the caller. */
uint8_t *build_finish(build *b, size_t *n);
/* build_finish, then writes a file. False (with a note on stderr) when that fails. */
bool build_save(build *b, const char *path);

/* For broken files. */
void build_version(build *b, uint32_t version);
void build_count_tensors(build *b, uint64_t n); /* what the header claims, instead of what there is */
void build_count_kv(build *b, uint64_t n);
/* Key length, key, value type; the value follows through build_raw. Counts as one entry. */
void build_key(build *b, const void *key, size_t n, uint32_t type);
void build_raw(build *b, const void *bytes, size_t n); /* appends to the metadata section */
void build_raw_u32(build *b, uint32_t v);
void build_raw_u64(build *b, uint64_t v);
/* A tensor record with every field as given, and data_bytes of zeros at the end of the data section. */
void build_tensor_raw(build *b, const void *name, size_t name_n, uint32_t n_dims, const uint64_t *ne,
                      uint32_t format, uint64_t offset, size_t data_bytes);
/* No padding between header and data, and none at all in a file without tensors (the default there). */
void build_cut_padding(build *b);

/* Every integer that says how long, how many, which type or where, for tests that overwrite each in turn.
 * Offsets are those of the latest build_finish. */
typedef struct build_field {
    size_t offset;
    unsigned width; /* bytes */
    const char *what;
} build_field;
const build_field *build_fields(const build *b, size_t *n);

/* Where tensor data starts in the latest build_finish: the length of the header with its padding. */
size_t build_data_offset(const build *b);

#endif
