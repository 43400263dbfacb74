/* What the files of runtime/text share behind vocab.h: the vocabulary's tables, and one tokenization in
 * progress. Built by vocab_load.c, never changed after; read by merge.c, spm.c, bpe.c, special.c. Nobody
 * outside this folder, but for the tests, includes it. */
#ifndef LEAT_RUNTIME_TEXT_VOCAB_IMPL_H
#define LEAT_RUNTIME_TEXT_VOCAB_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "charsmap.h"
#include "pretokenize.h"
#include "trie.h"
#include "vocab.h"

#define VOCAB_NONE UINT32_MAX /* no token, no candidate */

enum {
    VOCAB_TOKENS_MAX = 1 << 24, /* the largest public vocabularies have some 2^18 */
    VOCAB_TEXT_MAX = 64 * 1024, /* bytes of one token's text */
    VOCAB_SPECIAL_TEXT_MAX =
        1024, /* the same of a special token: bounds the work per byte of looking for it */
    VOCAB_WARNINGS_MAX = 4,
    VOCAB_PROBES_MAX =
        1024, /* of a hash table; beyond it the vocabulary was made to collide and is refused */
};

enum vocab_kind {
    VOCAB_SPM,       /* SentencePiece BPE: merges by score */
    VOCAB_BPE,       /* of bytes: merges by rank */
    VOCAB_CHAR_BPE,  /* of characters: merges by rank */
    VOCAB_WORDPIECE, /* the rest have a trie of words */
    VOCAB_UNIGRAM,
    VOCAB_GREEDY,
    VOCAB_PLAMO2
};

enum token_type { /* GGUF's numbers */
                  TOKEN_UNDEFINED,
                  TOKEN_NORMAL,
                  TOKEN_UNKNOWN,
                  TOKEN_CONTROL,
                  TOKEN_USER_DEFINED,
                  TOKEN_UNUSED,
                  TOKEN_BYTE,
                  TOKEN_TYPE_COUNT,
                  TOKEN_OPAQUE = TOKEN_TYPE_COUNT /* ours: a normal token whose text no input can spell, see
                                                     vocab_load.c */
};

/* Open addressing with linear probing over a power of two of slots, at most half full. */
typedef struct vocab_index {
    struct vocab_slot {
        uint32_t value; /* + 1; 0: free */
        uint32_t tag;   /* bits of the hash, so that most probes need not look further */
    } * slots;
    size_t mask;
} vocab_index;

/* A merge of BPE; its index in the list is its rank. */
typedef struct vocab_merge {
    uint32_t left, right, token;
} vocab_merge;

struct vocab {
    enum vocab_kind kind;
    uint32_t n;
    const pretokenizer *pre; /* of BPE */
    char warnings[VOCAB_WARNINGS_MAX][256];
    size_t n_warnings;

    /* Pieces: the bytes a token stands for. Byte-level text and SentencePiece's U+2581 are decoded at load,
     * so that all of tokenizing happens on the bytes of the text itself. */
    char *bytes;
    uint32_t *piece_at; /* (n + 1): piece t is bytes[piece_at[t] .. piece_at[t + 1]) */
    uint8_t *type;      /* (n): enum token_type */
    size_t longest;     /* piece */

    /* What merging may build: normal (and unused) tokens, by their bytes. */
    vocab_index texts;
    uint64_t *hash;       /* (n): text_hash of the piece */
    uint64_t *power;      /* (longest_text + 1): TEXT_HASH_BASE to that power */
    size_t longest_text;  /* of those tokens */
    uint32_t single[256]; /* the one of exactly that byte, or VOCAB_NONE */

    uint32_t *priority; /* SPM: (n), lower is merged first: the score turned around */
    uint8_t *joins; /* not BPE of bytes: (8192), bit a * 256 + b: a token has a character ending in a before
                       one starting with b */
    vocab_merge *merges; /* BPE: (n_merges) */
    uint32_t n_merges;
    vocab_index pairs; /* BPE: (left, right) to the rank */

    uint32_t byte_token[256]; /* SPM: byte fallback; BPE: as single */
    uint32_t replacement[3];  /* BPE: the tokens of U+FFFD's bytes, for a byte that has none; or VOCAB_NONE */
    uint32_t tokens_per_byte; /* at most */

    uint32_t *special; /* (n_special): control, unknown, user-defined, sorted by text, then id */
    uint32_t n_special;
    uint32_t special_first[257]; /* where in it the texts starting with that byte begin */
    bool special_starts[2][256]; /* [with VOCAB_SPECIAL][byte]: can a match start here? */

    trie words;                    /* the tokens that text can become, of the kinds without merges */
    float *score;                  /* Unigram, PLaMo 2: (n) */
    double unknown_score;          /* Unigram: of a character that no token stands for */
    charsmap map;                  /* Unigram */
    bool all_bytes;                /* every byte has a token of its own */
    bool escapes_spaces;           /* BPE of characters: U+2581 is a space */
    bool merge_spaces;             /* Unigram: rows of spaces count as one, and none ends a text */
    bool lowercase, strip_accents; /* WordPiece; lowercase also of the tokenizer "whitespace" */

    int32_t bos, eos, unk;
    bool add_bos, add_eos, space_prefix;
    uint8_t *strip;  /* (n): STRIP_*, or NULL */
    uint8_t *is_end; /* (n) */
};

enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 }; /* white space around a special token goes with it */

static inline str piece_of(const vocab *v, uint32_t t) {
    return (str){v->bytes + v->piece_at[t], v->piece_at[t + 1] - v->piece_at[t]};
}

static inline bool is_special(const vocab *v, uint32_t t) {
    return v->type[t] == TOKEN_CONTROL || v->type[t] == TOKEN_UNKNOWN || v->type[t] == TOKEN_USER_DEFINED;
}

static inline bool merges_by_rank(const vocab *v) {
    return v->kind == VOCAB_BPE || v->kind == VOCAB_CHAR_BPE;
}

static inline bool has_trie(const vocab *v) {
    return v->kind >= VOCAB_WORDPIECE;
}

/* Can text become this token? Not an empty one; byte tokens are only for what nothing else
 * stands for. */
static inline bool is_text(const vocab *v, uint32_t t) {
    return !is_special(v, t) && v->type[t] < TOKEN_BYTE && v->piece_at[t + 1] > v->piece_at[t];
}

/* A polynomial modulo 2^64, so that the hash of a concatenation follows from those of its halves. It need not
 * resist attack: every hit is compared in full, and VOCAB_PROBES_MAX bounds the misses. */
#define TEXT_HASH_BASE UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t text_hash(const char *p, size_t n) {
    uint64_t h = 0;
    for (size_t i = 0; i < n; i++) h = h * TEXT_HASH_BASE + (unsigned char)p[i] + 1;
    return h;
}

static inline uint64_t hash_mix(uint64_t h) { /* MurmurHash3's finalizer, in the public domain */
    h = (h ^ h >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
    h = (h ^ h >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
    return h ^ h >> 33;
}

/* ---- vocab_index.c ---- */

leat_status index_open(vocab_index *x, size_t n_values, leat_error *e);
/* The token of exactly these bytes whose text_hash is given, or VOCAB_NONE. */
uint32_t index_find_text(const vocab *v, const char *p, size_t n, uint64_t hash);
/* The rank of the first merge of these two tokens, or VOCAB_NONE. */
uint32_t index_find_pair(const vocab *v, uint32_t left, uint32_t right);
/* Adds token t / the merge of that rank, unless an equal one is there already: the first one stays. */
leat_status index_add_text(vocab *v, uint32_t t, leat_error *e);
leat_status index_add_pair(vocab *v, uint32_t rank, leat_error *e);

/* ---- one tokenization ---- */

/* Merging of one stretch of text. A symbol is named by the offset of its first byte; all arrays are over
 * offsets. */
typedef struct merger {
    char *text;       /* (capacity): SPM's copy of the stretch */
    uint32_t *length; /* (capacity): of the symbol, at its first and at its last byte */
    uint32_t *token;  /* (capacity): at its first byte; VOCAB_NONE: its bytes are no token */
    uint32_t *
        candidate; /* (capacity): what merging it with its right neighbour makes: token (SPM) or rank (BPE) */
    size_t capacity;
    uint64_t *heap; /* priority << 32 | offset; see merge.c */
    size_t heap_end, heap_capacity;
    uint64_t work; /* look-ups, queue operations and comparisons in all: what tests hold against the length of
                      the text */
} merger;

typedef struct tokenization {
    const vocab *v;
    int32_t *tokens;
    size_t capacity, count;
    const uint8_t *marks; /* of vocab_tokenize_marked, or NULL */
    merger m;
    double *best; /* (n_best): scores of a lattice, see unigram.c and plamo2.c */
    size_t n_best;
} tokenization;

/* As vocab_tokenize; *t must be zeroed but for v, tokens and capacity, and tokenization_close must follow. */
leat_status tokenization_run(tokenization *t, const char *text, size_t n, unsigned flags, leat_error *e);
void tokenization_close(tokenization *t);

static inline void emit(tokenization *t, uint32_t token) {
    if (t->count < t->capacity) t->tokens[t->count] = (int32_t)token;
    t->count++;
}

/* A byte that is no part of any token found: byte fallback, else U+FFFD, else the unknown token. */
leat_status emit_byte(tokenization *t, unsigned char byte, leat_error *e);

/* merge.c */
leat_status merger_reserve(merger *m, size_t n, leat_error *e);
void merger_free(merger *m);
static inline void merger_symbol(merger *m, size_t at, size_t length, uint32_t token) {
    m->length[at] = m->length[at + length - 1] = (uint32_t)length;
    m->token[at] = token;
}
/* Merges the symbols that cover text[0..n) until nothing is left to merge. */
leat_status merger_run(const vocab *v, merger *m, const char *text, size_t n, leat_error *e);

/* Can the bytes a, b be the end of one and the start of the next character in a token? */
static inline bool vocab_joins(const vocab *v, char a, char b) {
    unsigned bit = (unsigned)(unsigned char)a << 8 | (unsigned char)b;
    return v->joins[bit / 8] >> bit % 8 & 1;
}

/* A stretch without special tokens, each in its file. */
leat_status spm_encode(tokenization *t, const char *p, size_t n, bool space_first, leat_error *e);
leat_status bpe_encode(tokenization *t, const char *p, size_t n, leat_error *e);
leat_status char_bpe_encode(tokenization *t, const char *p, size_t n, leat_error *e);
leat_status wordpiece_encode(tokenization *t, const char *p, size_t n, leat_error *e);
leat_status unigram_encode(tokenization *t, const char *p, size_t n, leat_error *e);
leat_status greedy_encode(tokenization *t, const char *p, size_t n, leat_error *e);
leat_status plamo2_encode(tokenization *t, const char *p, size_t n, leat_error *e);

/* special.c */
leat_status special_load(vocab *v, leat_error *e);
/* The longest special token at p, or VOCAB_NONE; control and unknown ones only if `all`. */
uint32_t special_match(const vocab *v, const char *p, size_t n, bool all);

#endif
