/* The format table: what each GGUF tensor type is called and how large its blocks are. Expanded from
 * formats.def, which is the only place to edit. Used by everyone; owns nothing, allocates nothing, never
 * fails except by answering "unknown". */
#ifndef LEAT_KERNELS_FORMATS_H
#define LEAT_KERNELS_FORMATS_H

#include <stddef.h>
#include <stdint.h>

enum {
#define X(id, NAME, block_elems, block) FORMAT_##NAME = id,
#define R(id, NAME)
#include "formats.def"
#undef X
#undef R
    FORMAT_COUNT = 43 /* one more than the highest id */
};

typedef struct format_info {
    const char *name;     /* "Q4_K"; NULL where the id never existed */
    uint32_t block_elems; /* values per block; 0 for an id that is not live */
    uint32_t block_bytes; /* bytes per block in the file */
} format_info;

/* The row of a type id, or NULL for an id beyond the table. A removed id has a name and block_elems == 0. */
const format_info *format_get(uint32_t id);

/* Type id by name, any case ("q4_K"), or -1. Removed names are not found. */
int format_find(const char *name);

/* Bytes of one row of n values; n must be a multiple of the block. 0 if it is not or the type is not live. */
size_t format_row_bytes(uint32_t id, size_t n);

#endif
