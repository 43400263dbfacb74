/* Vocabularies in JSON: the "model" of tokenizer.json (BPE of bytes or of characters, Unigram, WordPiece),
 * and vocab.json with merges.txt, which are the first of these in two files. See tokens.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "folder.h"
#include "loader/alloc.h"
#include "loader/names.h"
#include "tokens.h"

static void bad(vocabulary *v, const char *what) {
    conversion_fail(v->c, LEAT_E_VOCAB, "tokenizer.json: %s", what);
}

static bool type_is(const json_value *v, const char *word) {
    const json_value *type = json_get(v, "type");
    return type && type->type == JSON_STRING && str_eq(type->text, word);
}

/* The node of this type among v and, if it is a sequence, its parts (which are not nested any deeper). */
static const json_value *find_node(const json_value *v, const char *list, const char *type) {
    if (type_is(v, type)) return v;
    const json_value *parts = json_get(v, list);
    for (const json_value *p = parts && parts->type == JSON_ARRAY ? parts->first : NULL; p; p = p->next)
        if (type_is(p, type)) return p;
    return NULL;
}

static bool is_true(const json_value *v) {
    return v && v->type == JSON_BOOL && v->boolean;
}

static bool is_false(const json_value *v) {
    return v && v->type == JSON_BOOL && !v->boolean;
}

/* "<0x0A>" */
static bool is_byte(str s) {
    return s.n == 6 && !memcmp(s.p, "<0x", 3) && s.p[5] == '>';
}

/* An object of texts and numbers. */
static void read_vocab(vocabulary *v, const json_value *vocab) {
    if (!vocab || vocab->type != JSON_OBJECT || !vocab->count) {
        bad(v, "there is no vocabulary");
        return;
    }
    for (const json_value *t = vocab->first; t && !v->c->status; t = t->next) {
        int shown = (int)(t->key.n < 60 ? t->key.n : 60);
        if (t->type != JSON_INT || t->integer < 0) {
            conversion_fail(v->c, LEAT_E_VOCAB, "the vocabulary's token \"%.*s\" has no number", shown,
                            t->key.p);
            return;
        }
        const token *other = t->integer < v->n ? &v->tokens[t->integer] : NULL;
        if (other && other->kind) {
            conversion_fail(v->c, LEAT_E_VOCAB,
                            "the vocabulary's tokens \"%.*s\" and \"%.*s\" are both number %u",
                            (int)(other->text.n < 60 ? other->text.n : 60), other->text.p, shown, t->key.p,
                            (unsigned)t->integer);
            return;
        }
        vocabulary_set(v, (uint64_t)t->integer, t->key, KIND_NORMAL, 0);
    }
}

/* Two texts as a line of merges: a space in them would be taken for the one between. */
static bool join(vocabulary *v, str a, str b, str *out) {
    char *p = arena_alloc(&v->a, 2 * (a.n + b.n) + 1);
    size_t n = 0;
    if (!p) return false;
    for (size_t i = 0; i < a.n + b.n; i++) {
        char byte = i < a.n ? a.p[i] : b.p[i - a.n];
        if (i == a.n) p[n++] = ' ';
        if (byte == ' ') {
            memcpy(p + n, u8"\u0120", 2);
            n += 2;
        } else {
            p[n++] = byte;
        }
    }
    *out = (str){p, n};
    return true;
}

/* "a b", or ["a", "b"]. */
static void read_merges(vocabulary *v, const json_value *merges) {
    if (!merges || merges->type != JSON_ARRAY) {
        bad(v, "there are no merges");
        return;
    }
    v->merges = arena_array(&v->a, merges->count, sizeof *v->merges);
    if (!v->merges) {
        conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for %zu merges", merges->count);
        return;
    }
    for (const json_value *m = merges->first; m; m = m->next) {
        str *out = &v->merges[v->n_merges++];
        bool two = m->type == JSON_ARRAY && m->count == 2 && m->first->type == JSON_STRING &&
                   m->last->type == JSON_STRING;
        if (m->type == JSON_STRING) {
            *out = m->text;
        } else if (!two) {
            bad(v, "a merge is neither a text nor two");
            return;
        } else if (!join(v, m->first->text, m->last->text, out)) {
            conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for merges");
            return;
        }
    }
}

/* ---- BPE of characters, as SentencePiece has it ---- */

typedef struct piece {
    str text; /* first: see loader/names.h */
    uint32_t id;
} piece;

typedef struct piece_table {
    piece *list;
    size_t n;
    uint32_t *index;
    size_t index_size;
} piece_table;

static names names_of(const piece_table *t) {
    return (names){t->list, t->n, sizeof *t->list};
}

static void open_table(vocabulary *v, piece_table *t) {
    size_t first, second;
    t->list = arena_array(&v->a, v->n, sizeof *t->list);
    for (uint32_t i = 0; t->list && i < v->n; i++)
        if (v->tokens[i].kind) t->list[t->n++] = (piece){v->tokens[i].text, i};
    leat_status s =
        t->list ? names_index(names_of(t), &t->index, &t->index_size, &first, &second) : LEAT_E_NOMEM;
    if (s == LEAT_E_DUPLICATE)
        bad(v, "two tokens have the same text");
    else if (s)
        conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
}

/* A merge of what are no tokens; of tokens that were left out, and of spaces that join() has replaced, nobody
 * knows. */
static void check_merge(vocabulary *v, const piece_table *t, str line, size_t left) {
    const str sides[] = {{line.p, left}, {line.p + left + 1, line.n - left - 1}};
    for (size_t i = 0; i < line.n; i++)
        if (line.n - i >= 2 && !memcmp(line.p + i, u8"\u0120", 2)) return;
    for (size_t i = 0; i < 2 && !v->n_beyond; i++)
        if (names_find(names_of(t), t->index, t->index_size, sides[i]) >= t->n)
            conversion_fail(v->c, LEAT_E_VOCAB,
                            "tokenizer.json: the merge \"%.*s\" is of \"%.*s\", which is no token",
                            (int)(line.n < 80 ? line.n : 80), line.p,
                            (int)(sides[i].n < 60 ? sides[i].n : 60), sides[i].p);
}

/* SentencePiece merges what makes the token of the highest score. In the order of merges the first that makes
 * a token is its score. */
static void scores_from_merges(vocabulary *v) {
    piece_table t = {NULL, 0, NULL, 0};
    char room[2048];
    for (uint32_t i = 0; i < v->n; i++) v->tokens[i].score = -(float)v->n_merges - 1;
    open_table(v, &t);
    for (size_t r = 0; r < v->n_merges && !v->c->status; r++) {
        str line = v->merges[r];
        const char *space = line.n > 1 ? memchr(line.p + 1, ' ', line.n - 1) : NULL;
        if (!space || line.n >= sizeof room) continue;
        size_t left = (size_t)(space - line.p), right = line.n - left - 1;
        memcpy(room, line.p, left);
        memcpy(room + left, space + 1, right);
        check_merge(v, &t, line, left);
        size_t i = names_find(names_of(&t), t.index, t.index_size, (str){room, left + right});
        if (i >= t.n) continue;
        token *made = &v->tokens[t.list[i].id];
        if (made->score < -(float)r - 1 || made->score == -(float)v->n_merges - 1)
            made->score = -(float)r - 1;
    }
    mem_free(t.index);
}

static void kinds_of_pieces(vocabulary *v, const json_value *model) {
    const json_value *unknown = json_get(model, "unk_token");
    for (uint32_t i = 0; i < v->n; i++) {
        token *t = &v->tokens[i];
        if (t->kind && is_byte(t->text)) t->kind = KIND_BYTE;
        if (t->kind && unknown && unknown->type == JSON_STRING && t->text.n == unknown->text.n &&
            !memcmp(t->text.p, unknown->text.p, t->text.n))
            t->kind = KIND_UNKNOWN;
    }
}

/* Is a space put before a text? By the normalizer or the pre-tokenizer. */
static int puts_space(const vocabulary *v) {
    const json_value *normalizer = json_get(v->tokenizer, "normalizer");
    const json_value *meta = find_node(json_get(v->tokenizer, "pre_tokenizer"), "pretokenizers", "Metaspace");
    const json_value *scheme = json_get(meta, "prepend_scheme");
    if (find_node(normalizer, "normalizers", "Prepend")) return 1;
    if (!meta || is_false(json_get(meta, "add_prefix_space"))) return 0;
    return !(scheme && scheme->type == JSON_STRING && str_eq(scheme->text, "never"));
}

static void character_bpe(vocabulary *v, const json_value *model) {
    bool merged = !strcmp(v->c->arch->arch, "gemma4"); /* the name for keeping merges as they are */
    v->model = merged ? "gemma4" : "llama";
    if (!merged) v->pre = "default";
    v->scores = v->spaces_marked = true;
    v->add_space = puts_space(v);
    kinds_of_pieces(v, model);
    scores_from_merges(v);
    if (!merged) v->n_merges = 0;
}

static void byte_bpe(vocabulary *v) {
    v->model = "gpt2";
    v->pre = tokens_pre(v);
    if (v->pre) return;
    conversion_warn(v->c,
                    "the way tokenizer.json cuts words is not known: tokenizer.ggml.pre is left out, and "
                    "whoever loads the file has to guess");
}

static void bpe(vocabulary *v, const json_value *model) {
    bool level = find_node(json_get(v->tokenizer, "pre_tokenizer"), "pretokenizers", "ByteLevel") ||
                 find_node(json_get(v->tokenizer, "decoder"), "decoders", "ByteLevel");
    read_vocab(v, json_get(model, "vocab"));
    if (!v->c->status) read_merges(v, json_get(model, "merges"));
    if (v->c->status) return;
    if (level)
        byte_bpe(v);
    else if (is_true(json_get(model, "byte_fallback")))
        character_bpe(v, model);
    else
        conversion_fail(v->c, LEAT_E_UNSUPPORTED,
                        "tokenizer.json: BPE that works neither on bytes nor falls back to them is not "
                        "supported");
}

/* ---- the others ---- */

static void read_charsmap(vocabulary *v) {
    const json_value *node = find_node(json_get(v->tokenizer, "normalizer"), "normalizers", "Precompiled");
    const json_value *text = json_get(node, "precompiled_charsmap");
    if (!text || text->type != JSON_STRING || !text->text.n) return;
    v->charsmap = base64_bytes(&v->a, text->text);
    if (!v->charsmap.p)
        conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for the map of characters");
    else if (!v->charsmap.n)
        bad(v, "the map of characters is no base64");
}

/* Are spaces beyond the first dropped? By words being cut at them, or by an expression. */
static int drops_spaces(const vocabulary *v) {
    const json_value *normalizer = json_get(v->tokenizer, "normalizer");
    const json_value *replace = find_node(normalizer, "normalizers", "Replace");
    const json_value *regex = json_path(replace, "pattern.Regex");
    if (find_node(json_get(v->tokenizer, "pre_tokenizer"), "pretokenizers", "WhitespaceSplit")) return 1;
    return regex && regex->type == JSON_STRING && str_eq(regex->text, " {2,}") ? 1 : -1;
}

static void unigram(vocabulary *v, const json_value *model) {
    const json_value *vocab = json_get(model, "vocab"), *unknown = json_get(model, "unk_id");
    uint64_t id = 0;
    if (!vocab || vocab->type != JSON_ARRAY) {
        bad(v, "there is no vocabulary");
        return;
    }
    v->model = "t5";
    v->pre = "default";
    v->scores = v->spaces_marked = true;
    v->add_space = puts_space(v);
    v->merge_spaces = drops_spaces(v);
    for (const json_value *t = vocab->first; t && !v->c->status; t = t->next, id++) {
        const json_value *score = t->type == JSON_ARRAY && t->count == 2 ? t->last : NULL;
        bool number =
            score && (score->type == JSON_INT || score->type == JSON_FLOAT) && isfinite(score->real);
        if (!number || t->first->type != JSON_STRING) {
            bad(v, "a token is not a text with a score");
            return;
        }
        bool unk = unknown && unknown->type == JSON_INT && unknown->integer == (int64_t)id;
        str text = t->first->text;
        vocabulary_set(v, id, text,
                       unk             ? KIND_UNKNOWN
                       : is_byte(text) ? KIND_BYTE
                                       : KIND_NORMAL,
                       (float)score->real);
    }
    read_charsmap(v);
}

/* GGUF marks the tokens that begin a word, and not those that go on with one. */
static void wordpiece(vocabulary *v, const json_value *lower) {
    v->model = "bert";
    if (lower && lower->type == JSON_BOOL) v->lowercase = lower->boolean;
    for (uint32_t i = 0; i < v->n && !v->c->status; i++) {
        token *t = &v->tokens[i];
        str s = t->text;
        if (!t->kind || (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')) continue;
        if (s.n > 2 && !memcmp(s.p, "##", 2)) {
            t->text = (str){s.p + 2, s.n - 2};
            continue;
        }
        char *p = arena_alloc(&v->a, s.n + 4);
        if (!p) {
            conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
            return;
        }
        memcpy(p, u8"\u2581", 3);
        memcpy(p + 3, s.p, s.n);
        t->text = (str){p, s.n + 3};
    }
}

void tokens_from_json(vocabulary *v) {
    const json_value *model = json_get(v->tokenizer, "model");
    if (!model)
        bad(v, "there is no model");
    else if (type_is(model, "BPE") || (!json_get(model, "type") && json_get(model, "merges")))
        bpe(v, model);
    else if (type_is(model, "Unigram"))
        unigram(v, model);
    else if (type_is(model, "WordPiece")) {
        const json_value *normalizer = json_get(v->tokenizer, "normalizer");
        read_vocab(v, json_get(model, "vocab"));
        wordpiece(v, json_get(find_node(normalizer, "normalizers", "BertNormalizer"), "lowercase"));
    } else
        conversion_fail(v->c, LEAT_E_UNSUPPORTED,
                        "tokenizer.json: the model is none of BPE, Unigram and WordPiece");
    tokens_follow(v);
}

/* ---- vocab.txt ---- */

/* WordPiece as BERT's first program keeps it: a token a line. */
static void lines_of_pieces(vocabulary *v, str text) {
    uint64_t id = 0;
    for (size_t at = 0; at < text.n && !v->c->status; id++) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t stop = end ? (size_t)(end - text.p) : text.n, length = stop - at;
        if (length && text.p[stop - 1] == '\r') length--;
        str line = {text.p + at, length};
        bool special =
            str_eq(line, "[CLS]") || str_eq(line, "[SEP]") || str_eq(line, "[PAD]") || str_eq(line, "[MASK]");
        vocabulary_set(v, id, line,
                       special                 ? KIND_CONTROL
                       : str_eq(line, "[UNK]") ? KIND_UNKNOWN
                                               : KIND_NORMAL,
                       0);
        at = stop + 1;
    }
    wordpiece(v, json_get(v->config, "do_lower_case"));
    if (v->lowercase < 0) v->lowercase = 1;
    v->add_bos = v->add_eos = 1;
}

/* ---- vocab.json and merges.txt ---- */

static void lines_of(vocabulary *v, str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] == '\n';
    v->merges = arena_array(&v->a, n + 1, sizeof *v->merges);
    if (!v->merges) {
        conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for %zu merges", n);
        return;
    }
    for (size_t at = 0; at < text.n;) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t stop = end ? (size_t)(end - text.p) : text.n, length = stop - at;
        if (length && text.p[stop - 1] == '\r') length--;
        if (length && !(at == 0 && length > 8 && !memcmp(text.p, "#version", 8)))
            v->merges[v->n_merges++] = (str){text.p + at, length};
        at = stop + 1;
    }
}

void tokens_from_files(vocabulary *v) {
    conversion *c = v->c;
    const json_value *vocab = NULL;
    str merges = {NULL, 0}, pieces = {NULL, 0};
    leat_status s = folder_json(c->folder, "vocab.json", false, &v->a, &vocab, c->e);
    if (!s) s = folder_text(c->folder, "merges.txt", false, &v->a, &merges, c->e);
    if (!s && !vocab) s = folder_text(c->folder, "vocab.txt", false, &v->a, &pieces, c->e);
    if (s) {
        c->status = s;
    } else if (pieces.p) {
        lines_of_pieces(v, pieces);
    } else if (!vocab || !merges.p) {
        conversion_fail(
            c, LEAT_E_MISSING,
            "the folder has no tokenizer: none of tokenizer.json, tokenizer.model, tekken.json, vocab.json "
            "with merges.txt, and vocab.txt");
    } else {
        read_vocab(v, vocab);
        if (!c->status) lines_of(v, merges);
        v->model = "gpt2";
        v->pre = tokens_pre(v);
    }
}
