/* The vocabulary on its way from a folder's tokenizer files into tokenizer.ggml.*. tokens.c reads the files
 * in turn and writes what came out; tokens_json.c knows tokenizer.json, tokens_spm.c SentencePiece's
 * tokenizer.model, tokens_ranks.c Mistral's tekken.json and tiktoken's files, tokens_pre.c which
 * pre-tokenizer a tokenizer.json means, tokens_follow.c what else it asks for, tokens_roles.c which token has
 * which role. */
#ifndef LEAT_RUNTIME_CONVERT_TOKENS_H
#define LEAT_RUNTIME_CONVERT_TOKENS_H

#include "conversion.h"

enum { /* GGUF's numbers of kinds of tokens, which are SentencePiece's */
       KIND_NORMAL = 1,
       KIND_UNKNOWN,
       KIND_CONTROL,
       KIND_USER_DEFINED,
       KIND_UNUSED,
       KIND_BYTE
};

typedef struct token {
    str text;      /* first, so that a table over texts can be made (loader/names.h) */
    uint32_t kind; /* 0: there is none of this number yet */
    float score;
} token;

typedef struct vocabulary {
    conversion *c;
    arena a;
    const json_value *tokenizer, *config, *special_map, *added, *generation; /* documents; NULL: not there */
    const char *model;                                                       /* of tokenizer.ggml.model */
    const char *pre; /* of tokenizer.ggml.pre; NULL: not known */
    token *tokens;   /* (n): by number */
    uint32_t n;
    bool scores;        /* they mean something */
    bool spaces_marked; /* U+2581 stands for a space */
    str *merges;        /* (n_merges) */
    size_t n_merges;
    size_t n_beyond; /* tokens that were left out, since the model has no row for them */
    str charsmap;    /* of SentencePiece's normalizer; {NULL, 0}: none */
    int add_bos, add_eos, add_space, merge_spaces, lowercase; /* -1: nobody says */
} vocabulary;

/* Token `id` becomes this; one beyond the model's is left out with a warning. */
void vocabulary_set(vocabulary *v, uint64_t id, str text, uint32_t kind, float score);
/* The token with this text, or -1. */
int64_t vocabulary_find(const vocabulary *v, str text);
/* Is there text like a role's, <|...|> and such? */
bool looks_special(str text);

void tokens_from_json(vocabulary *v);           /* tokenizer.json, v->tokenizer */
void tokens_from_files(vocabulary *v);          /* vocab.json and merges.txt */
void tokens_from_spm(vocabulary *v, str model); /* tokenizer.model */
/* sentencepiece.bpe.model, as XLM-RoBERTa numbers its pieces */
void tokens_renumber(vocabulary *v);
void tokens_from_tekken(vocabulary *v, const json_value *document);
bool tokens_are_ranks(str text); /* does its first line look so? */
void tokens_from_ranks(vocabulary *v, const char *file, str text);
str base64_bytes(arena *a, str s);
const char *tokens_pre(const vocabulary *v); /* NULL: not known */
/* Refuses or tells what tokenizer.json does to texts and the vocabulary, now of a kind, does not. */
void tokens_follow(vocabulary *v);
void tokens_roles(vocabulary *v); /* ids, flags, templates, sampling */

#endif
