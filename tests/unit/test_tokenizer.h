/* Small vocabularies made in memory, for the tests of the tokenizer: strings in, a vocab out, through a GGUF
 * file as in life. Included by one file of tests at a time. */
#ifndef LEAT_TESTS_TOKENIZER_H
#define LEAT_TESTS_TOKENIZER_H

#include <stdlib.h>

#include "runtime/text/vocab_impl.h"
#include "tests/harness/test.h"
#include "tests/loader/gguf_build.h"

enum { TINY_MAX = 2048 };

typedef struct tiny { /* zero it, set model and flags, add tokens, open */
    const char *model, *pre;
    const char *texts[TINY_MAX];
    float scores[TINY_MAX];
    int32_t types[TINY_MAX];
    const char *merges[TINY_MAX];
    int n, n_merges;
    bool no_scores, no_types, no_merges, wrong_types;
    void (*extra)(build *b);  /* more metadata */
    char pool[16 * TINY_MAX]; /* for texts made here */
    size_t used;
    build *b;
    gguf g;
    vocab *v;
} tiny;

static inline int tiny_add(tiny *x, const char *text, float score, int32_t type) {
    x->texts[x->n] = text;
    x->scores[x->n] = score;
    x->types[x->n] = type;
    return x->n++;
}

static inline const char *tiny_keep(tiny *x, const char *bytes, size_t n) {
    char *kept = x->pool + x->used;
    memcpy(kept, bytes, n);
    kept[n] = 0;
    x->used += n + 1;
    return kept;
}

/* A byte as byte-level BPE spells it. */
static inline size_t tiny_spell(unsigned byte, char out[4]) {
    unsigned cp = byte;
    if (byte <= 0x20) cp = 0x100 + byte;
    if (byte >= 0x7F && byte <= 0xA0) cp = 0x121 + byte - 0x7F;
    if (byte == 0xAD) cp = 0x143;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    out[0] = (char)(0xC0 | cp >> 6);
    out[1] = (char)(0x80 | (cp & 0x3F));
    return 2;
}

/* The first 259 tokens as SentencePiece lays them out: <unk>, <s>, </s>, bytes. */
static inline void tiny_spm(tiny *x) {
    x->model = "llama";
    tiny_add(x, "<unk>", 0, TOKEN_UNKNOWN);
    tiny_add(x, "<s>", 0, TOKEN_CONTROL);
    tiny_add(x, "</s>", 0, TOKEN_CONTROL);
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        tiny_add(x, tiny_keep(x, text, 6), 0, TOKEN_BYTE);
    }
}

/* The first 256 tokens: every byte, as itself. */
static inline void tiny_bpe(tiny *x) {
    x->model = "gpt2";
    x->no_scores = true;
    for (unsigned b = 0; b < 256; b++) {
        char text[4];
        tiny_add(x, tiny_keep(x, text, tiny_spell(b, text)), 0, TOKEN_NORMAL);
    }
}

static inline void tiny_merge(tiny *x, const char *line, const char *made) {
    x->merges[x->n_merges++] = line;
    if (made) tiny_add(x, made, 0, TOKEN_NORMAL);
}

static inline leat_status tiny_open(tiny *x, leat_error *e) {
    x->b = build_open();
    if (x->model) build_str(x->b, "tokenizer.ggml.model", x->model);
    if (x->pre) build_str(x->b, "tokenizer.ggml.pre", x->pre);
    if (x->n >= 0) build_str_array(x->b, "tokenizer.ggml.tokens", x->texts, (uint64_t)x->n);
    if (!x->no_scores) build_array(x->b, "tokenizer.ggml.scores", GGUF_F32, x->scores, (uint64_t)x->n);
    if (!x->no_types) build_array(x->b, "tokenizer.ggml.token_type", GGUF_I32, x->types, (uint64_t)x->n);
    bool merges = x->model && (!strcmp(x->model, "gpt2") || !strcmp(x->model, "gemma4") ||
                               !strcmp(x->model, "whitespace"));
    if (merges && !x->no_merges)
        build_str_array(x->b, "tokenizer.ggml.merges", x->merges, (uint64_t)x->n_merges);
    if (x->extra) x->extra(x->b);
    size_t n;
    const uint8_t *bytes = build_finish(x->b, &n);
    leat_status s = gguf_parse(bytes, n, &x->g, e);
    return s ? s : vocab_open(&x->g, &x->v, e);
}

static inline void tiny_close(tiny *x) {
    vocab_close(x->v);
    gguf_free(&x->g);
    build_close(x->b);
    free(x);
}

static inline tiny *tiny_new(void) {
    tiny *x = calloc(1, sizeof *x);
    if (!x) exit(99);
    return x;
}

/* Tokens as text: each piece followed by '|' ("<s>|a|"). */
static inline const char *tiny_pieces(const tiny *x, const char *text, size_t n, unsigned flags) {
    static char line[4096];
    static leat_error e;
    int32_t ids[512];
    size_t count, at = 0;
    if (vocab_tokenize(x->v, text, n, flags, ids, 512, &count, &e)) return e.message;
    for (size_t i = 0; i < count; i++) {
        str piece = vocab_piece(x->v, ids[i], true);
        memcpy(line + at, piece.p, piece.n);
        at += piece.n;
        line[at++] = '|';
    }
    line[at] = 0;
    return line;
}

static inline uint32_t tiny_random(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545F4914F6CDD1Du) >> 32);
}

#endif
