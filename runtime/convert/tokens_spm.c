/* SentencePiece's tokenizer.model: a ModelProto of protocol buffers, of which pieces, the kind of model and
 * the normalizer are read (sentencepiece_model.proto has the numbers of fields). Total on any bytes. */
#include <string.h>

#include "loader/cursor.h"
#include "tokens.h"

enum { PIECES = 1, TRAINER = 2, NORMALIZER = 3 };
enum { UNIGRAM = 1, BPE = 2 };

typedef struct field {
    uint32_t number, wire;
    uint64_t value; /* of a varint */
    str bytes;      /* of what has a length; of 32- and 64-bit values their bytes */
} field;

static bool varint(cursor *c, uint64_t *out) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *p;
        if (!cursor_take(c, 1, &p)) return false;
        v |= (uint64_t)(*p & 127) << shift;
        if (*p < 128) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool next_field(cursor *c, field *f) {
    uint64_t tag, n = 0;
    const uint8_t *p = NULL;
    if (!varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX) return false;
    *f = (field){(uint32_t)(tag >> 3), (uint32_t)(tag & 7), 0, {NULL, 0}};
    switch (f->wire) {
    case 0: return varint(c, &f->value);
    case 1: n = 8; break;
    case 2:
        if (!varint(c, &n)) return false;
        break;
    case 5: n = 4; break;
    default: return false;
    }
    if (!cursor_take(c, n, &p)) return false;
    f->bytes = (str){(const char *)p, (size_t)n};
    return true;
}

static cursor inside(str s) {
    return (cursor){(const uint8_t *)s.p, s.n, 0};
}

static bool piece(vocabulary *v, uint64_t id, str bytes) {
    cursor c = inside(bytes);
    field f;
    token t = {{"", 0}, KIND_NORMAL, 0};
    while (cursor_left(&c)) {
        if (!next_field(&c, &f)) return false;
        if (f.number == 1 && f.wire == 2) t.text = f.bytes;
        if (f.number == 2 && f.wire == 5) {
            uint32_t bits = load_u32((const uint8_t *)f.bytes.p);
            memcpy(&t.score, &bits, sizeof bits);
        }
        if (f.number == 3 && f.wire == 0)
            t.kind = f.value >= 1 && f.value <= KIND_BYTE ? (uint32_t)f.value : 0;
    }
    if (!t.kind || !(t.score >= -1e30f && t.score <= 1e30f)) return false;
    vocabulary_set(v, id, t.text, t.kind, t.score);
    return true;
}

static bool trainer(str bytes, uint64_t *model) {
    cursor c = inside(bytes);
    field f;
    while (cursor_left(&c)) {
        if (!next_field(&c, &f)) return false;
        if (f.number == 3 && f.wire == 0) *model = f.value;
    }
    return true;
}

static bool normalizer(vocabulary *v, str bytes) {
    cursor c = inside(bytes);
    field f;
    while (cursor_left(&c)) {
        if (!next_field(&c, &f)) return false;
        if (f.number == 2 && f.wire == 2) v->charsmap = f.bytes;
        if (f.number == 3 && f.wire == 0) v->add_space = f.value != 0;
        if (f.number == 4 && f.wire == 0) v->merge_spaces = f.value != 0;
    }
    return true;
}

void tokens_from_spm(vocabulary *v, str model) {
    cursor c = inside(model);
    field f;
    uint64_t n = 0, kind = UNIGRAM;
    bool good = true;
    v->add_space = v->merge_spaces = 1; /* what the format has for things not said */
    v->scores = v->spaces_marked = true;
    while (good && cursor_left(&c) && !v->c->status) {
        good = next_field(&c, &f);
        if (!good || f.wire != 2) continue;
        if (f.number == PIECES) good = piece(v, n++, f.bytes);
        if (f.number == TRAINER) good = trainer(f.bytes, &kind);
        if (f.number == NORMALIZER) good = normalizer(v, f.bytes);
    }
    if (!good || !n) {
        conversion_fail(v->c, LEAT_E_VOCAB,
                        "tokenizer.model is no SentencePiece model: it is bad at byte %zu", c.pos);
    } else if (kind != UNIGRAM && kind != BPE) {
        conversion_fail(v->c, LEAT_E_UNSUPPORTED,
                        "tokenizer.model has words or characters as tokens, which is "
                        "not supported");
    } else {
        v->model = kind == BPE ? "llama" : "t5";
        v->pre = "default";
    }
    if (kind == BPE) { /* which cuts nothing away and maps no characters, in the models that people use */
        v->charsmap = (str){NULL, 0};
        v->merge_spaces = -1;
    }
}

/* XLM-RoBERTa's program puts four tokens of its own before the pieces, of which the first three are others'
 * numbers for the same, and one behind them. */
void tokens_renumber(vocabulary *v) {
    static const struct {
        const char *text;
        uint32_t kind;
    } own[] = {
        {"<s>", KIND_CONTROL}, {"<pad>", KIND_CONTROL}, {"</s>", KIND_CONTROL}, {"<unk>", KIND_UNKNOWN}};
    uint32_t last = v->n;
    if (v->c->status || v->n < 6) return;
    while (last && !v->tokens[last - 1].kind) last--;
    if (last == v->n) last--; /* the model has no row for it, then */
    memmove(v->tokens + 4, v->tokens + 3, (last > 3 ? last - 3 : 0) * sizeof *v->tokens);
    for (uint32_t i = 0; i < 4; i++)
        v->tokens[i] = (token){{own[i].text, strlen(own[i].text)}, own[i].kind, 0};
    if (last + 1 < v->n) v->tokens[last + 1] = (token){{"<mask>", 6}, KIND_CONTROL, 0};
}
