/* What gguf.c and tensors.c share while a file is being parsed. Private to the loader. */
#ifndef LEAT_LOADER_PARSE_H
#define LEAT_LOADER_PARSE_H

#include "cursor.h"
#include "gguf.h"
#include "limits.h"

/* A name in a message, cut to what fits: "%.*s" with SHOW(s). */
#define SHOW(s) (int)((s).n < LIMIT_SHOWN_BYTES ? (s).n : LIMIT_SHOWN_BYTES), (s).p

/* The smallest records there can be: they bound counts before anything is allocated by them. */
enum {
    HEADER_BYTES = 4 + 4 + 8 + 8,
    KV_MIN_BYTES = 8 + 1 + 4 + 1, /* key length, one character, type, one byte */
    TENSOR_MIN_BYTES =
        8 + 1 + 4 + 8 + 4 + 8 /* name length, one character, n_dims, one of them, type, offset */
};

/* Bytes of one element of a metadata type; 0 for strings, arrays and what is no type. */
size_t gguf_type_bytes(uint32_t type);
const char *gguf_type_name(uint32_t type);

/* True when all characters are printable ASCII. */
bool is_printable(str s);

/* Reads g->n_tensors records at the cursor into g->tensors, then checks that their data lies aligned, inside
 * the file and apart; sets g->data_offset. g->alignment is known before. */
leat_status tensors_parse(cursor *c, gguf *g, leat_error *e);

/* (Re)builds g's table of tensor names; LEAT_E_DUPLICATE names the tensor. */
leat_status tensors_index(gguf *g, leat_error *e);

#endif
