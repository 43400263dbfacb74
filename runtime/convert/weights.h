/* The weights of a Hugging Face folder: one safetensors file or the parts that model.safetensors.index.json
 * names, mapped, their headers checked. After LEAT_OK every tensor's bytes are inside its file, as many as
 * its shape and type take, and shared with no other tensor: nobody has to check again. safetensors_parse is a
 * pure function of bytes (what the fuzzer calls). Used by convert.c and targets.c. */
#ifndef LEAT_RUNTIME_CONVERT_WEIGHTS_H
#define LEAT_RUNTIME_CONVERT_WEIGHTS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "loader/gguf.h"
#include "loader/mapping.h"
#include "runtime/text/arena.h"

typedef enum weight_type {
#define X(NAME, text, bytes) WEIGHT_##NAME,
#include "weight_types.def"
#undef X
    WEIGHT_TYPE_COUNT
} weight_type;

enum { WEIGHT_DIMS = 6 };

typedef struct source_tensor {
    str name;
    weight_type type;
    uint32_t n_dims;            /* 0: one number */
    uint64_t dims[WEIGHT_DIMS]; /* the last is the row length; unused ones are 1 */
    uint64_t n;                 /* values */
    const uint8_t *data;
    size_t bytes;
    /* of eight bits: what values are multiplied with, one for `block_rows` x `block_cols` values; NULL:
     * nothing */
    const struct source_tensor *scale;
    uint64_t block_rows, block_cols;
    float scale_factor; /* of all scales */
    const struct packing
        *packed; /* values are worked out of other tensors, and there are no bytes; or NULL */
    bool hidden; /* part of one that is packed, and nothing by itself */
} source_tensor;

typedef struct weights {
    source_tensor *t;
    size_t n, capacity;
    mapping *files;
    size_t n_files, n_more; /* more: of weights_add */
    const char *prefix;     /* put before names that are added; NULL: nothing */
    atomic_bool lost;
    arena names;     /* what `name`s point into */
    uint32_t *index; /* over names */
    size_t index_size;
} weights;

/* An empty one must be zeroed; on failure too, close it. `folder` may be the path of a .safetensors file. */
leat_status weights_open(weights *w, const char *folder, leat_error *e);
/* One more file of the folder, whose tensors get `prefix` before their names. */
leat_status weights_add(weights *w, const char *folder, const char *file, const char *prefix, leat_error *e);
/* Room for `more` tensors behind those that are there, which move. */
leat_status weights_reserve(weights *w, size_t more, leat_error *e);
void weights_close(weights *w);

/* Adds the tensors of one file of n bytes, which stay valid; `file` is for messages. */
leat_status safetensors_parse(weights *w, const char *file, const uint8_t *p, size_t n, leat_error *e);
/* After the last file: LEAT_E_DUPLICATE names a tensor that is there twice. */
leat_status weights_index(weights *w, leat_error *e);

/* NULL: there is none of this name. */
source_tensor *weights_find(const weights *w, str name);
/* True once a page turned out to be missing: what was read since is worthless. */
bool weights_lost(const weights *w);
/* Lets go of the memory that pages read so far take. */
void weights_drop(const weights *w);

const char *weight_type_name(weight_type t);
size_t weight_type_bytes(weight_type t);
bool weight_is_float(weight_type t);

/* n values from the one at `at`, `stride` apart, all inside the tensor, as float32 with their scales. */
void source_read(const source_tensor *t, uint64_t at, uint64_t stride, size_t n, float *out);

#endif
