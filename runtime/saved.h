/* A session as a file: the format, and a checked view of such a file. session_file.c fills it from sessions
 * and sessions from it; this knows bytes only, so that a fuzzer can feed it any.
 *
 * All numbers are little endian. A header of SAVED_HEADER bytes:
 *
 *      0   8  "LEATSESS"                    56   4  layers              96   8  floats of recurrent state
 *      8   4  version, 1                    60   4  type of keys       104   8  tokens that state has seen
 *     12   4  1: logits are there           64   4  type of values     112   8  copies of it
 *     16   8  bytes of the whole file       68   4  size of vocabulary 120   8  bytes of the user's
 *     24   8  hash of the model             72   8  tokens             128  64  name of the model, then zeros
 *     32  16  two doubles that tell rotations apart                   (80, 16: zeros; 48, 8: zeros)
 *
 * then for each layer SAVED_LAYER bytes: KV heads, bytes of a key, bytes of a value, 0 (4 each), window,
 * first position kept (8 each); the tokens, 4 bytes each; for each copy of the state the tokens it has seen,
 * 8 bytes; the user's bytes; the logits of the last token, float32; the state and its copies, float32; for
 * each layer and head the keys of the positions kept, then for each layer and head the values; last the XXH64
 * of all before it, 8 bytes. */
#ifndef LEAT_RUNTIME_SAVED_H
#define LEAT_RUNTIME_SAVED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "loader/mapping.h"

enum { SAVED_HEADER = 192, SAVED_LAYER = 32, SAVED_NAME = 64, SAVED_SUM = 8 };

typedef struct saved_layer {
    uint32_t n_head, k_row, v_row;
    uint64_t window, base;
} saved_layer;

/* What the header says. */
typedef struct saved_head {
    bool has_logits;
    uint64_t bytes, model;
    double rope[2];
    uint32_t n_layer, k_format, v_format, n_vocab;
    uint64_t length, n_floats, state_length, n_copied, n_user;
    char name[SAVED_NAME + 1];
} saved_head;

/* All parts lie inside the file, and their sizes follow from head and layers. None is aligned. */
typedef struct saved {
    saved_head head;
    const uint8_t *layers, *tokens, *copied, *user, *logits, *state, *keys, *values;
    mapping map;
    atomic_bool lost; /* the file shrank under us */
} saved;

saved_layer saved_get_layer(const saved *f, size_t i);
uint64_t saved_get_copied(const saved *f, size_t i);

/* Checks n bytes at p, which stay the caller's, sums included. Time linear in n, no memory. */
leat_status saved_parse(const uint8_t *p, size_t n, saved *f, leat_error *e);
/* Maps a file and checks it; the message names the path. */
leat_status saved_open(const char *path, saved **out, leat_error *e);
void saved_close(saved *f); /* NULL is fine */

/* The bytes of all parts but the sum, in the order of the file; SIZE_MAX if they do not fit. */
uint64_t saved_size(const saved_head *head, const saved_layer *layers);
void saved_put_head(const saved_head *head, uint8_t out[SAVED_HEADER]);
void saved_put_layer(const saved_layer *layer, uint8_t out[SAVED_LAYER]);

#endif
