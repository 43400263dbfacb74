/* What quantizing a file will do, decided before anything is written: the type of every tensor, and every
 * reason to refuse. quantize_plan.c makes it, quantize_header.c writes its header, quantize.c carries it out.
 */
#ifndef LEAT_RUNTIME_QUANTIZE_QUANTIZE_PLAN_H
#define LEAT_RUNTIME_QUANTIZE_QUANTIZE_PLAN_H

#include "importance.h"
#include "kernels/kernels.h"
#include "runtime/leat.h"
#include "loader/file.h"
#include "loader/write.h"
#include "recipe.h"

/* Weights that are in no GGUF file: then tensors have no data, and all that is read comes from here.
 * Functions are called by any number of threads at a time. */
typedef struct weight_source {
    const void *owner;
    /* n values of a tensor from `start` on */
    void (*read)(const void *owner, size_t tensor, uint64_t start, size_t n, float *out);
    /* the same as blocks of the tensor's own type, where that is none of floats */
    void (*read_blocks)(const void *owner, size_t tensor, uint64_t start, size_t n, uint8_t *out);
    void (*drop)(const void *owner); /* lets go of memory that reading took; called now and then */
    bool (*lost)(const void *owner); /* has a file shrunk? */
    /* is the file to be made, with tensors of these types, one that opens? Called before anything is written
     */
    leat_status (*check)(const void *owner, const gguf *in, const uint32_t *formats, leat_error *e);
} weight_source;

typedef struct quantize_plan {
    const mix *mix;              /* NULL: tensors are only copied */
    model_file *file;            /* NULL with a source */
    const weight_source *source; /* NULL with a file */
    importance_file *importance; /* NULL: none */
    const gguf *in;
    uint32_t *formats;           /* (n_tensors) of the output */
    size_t parts;                /* files to be written */
    const char *importance_path; /* NULL: from memory */
    const char *in_path;
    bool *open;         /* (n_tensors) the type is the mix's choice, not the caller's: a search may choose */
    uint32_t file_type; /* of general.file_type */
    uint32_t n_layer;
    model_file *recipe; /* a file whose types are taken over; NULL: none */
    bool listed;        /* types were chosen one by one and are listed in the metadata */
    double measured;    /* mean divergence of what a search found; 0: not measured */
    char note[160];     /* about the search, for the metadata */
    leat_quantize_summary summary;
} quantize_plan;

/* Opens the files and decides. On failure too, close it. */
leat_status quantize_plan_open(quantize_plan *p, const char *in_path, const leat_quantize_params *params,
                               const kernels *k, leat_error *e);
/* The same for a model whose tensors come from `source`; both stay the caller's. Tensors are F32, or blocks
 * of another type, which they keep. */
leat_status quantize_plan_source(quantize_plan *p, const gguf *in, const weight_source *source,
                                 const leat_quantize_params *params, const kernels *k, leat_error *e);
void quantize_plan_close(quantize_plan *p);

/* After types were chosen: what follows from them. */
void quantize_plan_sum_up(quantize_plan *p);
/* After a search: what the metadata says about it. */
void quantize_plan_note(quantize_plan *p, const leat_quantize_params *params);

/* Bytes of the header, at most. */
uint64_t quantize_header_bytes(const quantize_plan *p);
/* Everything before the first tensor's data of a part. */
leat_status quantize_header(const quantize_plan *p, size_t part, file_writer *w, leat_error *e);

/* How a tensor is named in a message. */
#define NAME_OF(t) (int)((t)->name.n < 100 ? (t)->name.n : 100), (t)->name.p

#endif
