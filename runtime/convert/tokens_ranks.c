/* Vocabularies as lists of byte strings in the order in which they were found: Mistral's tekken.json, and the
 * lines of base64 and rank that tiktoken reads. Such a tokenizer joins, in a word, the two neighbours that
 * make the first string of the list; GGUF wants the pairs themselves. They follow: what a string was made of
 * is what the strings before it leave of its bytes. See tokens.h. */
#include <stdio.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/names.h"
#include "runtime/text/utf8.h"
#include "tokens.h"

enum { STRING_MAX = 256, SPECIALS_MAX = 1 << 16 };

typedef struct ranked {
    str text; /* first: see loader/names.h */
    uint32_t rank;
} ranked;

typedef struct ranks {
    ranked *list; /* (n) in order */
    size_t n;
    uint32_t *index;
    size_t index_size;
} ranks;

static names names_of(const ranks *r) {
    return (names){r->list, r->n, sizeof *r->list};
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes of base64, of which padding may be missing. Empty if it is none; {NULL, 0} without memory. */
str base64_bytes(arena *a, str s) {
    char *out = arena_alloc(a, s.n + 1);
    uint32_t bits = 0, held = 0;
    size_t n = 0;
    for (size_t i = 0; out && i < s.n && s.p[i] != '='; i++) {
        int v = base64_value(s.p[i]);
        if (v < 0) return (str){"", 0};
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        out[n++] = (char)(bits >> held);
    }
    return (str){out, out ? n : 0};
}

/* Bytes as GPT-2 writes them: those that are no visible character of Latin-1 get one from U+0100 on. */
static str visible(vocabulary *v, str s) {
    char *out = arena_alloc(&v->a, 2 * s.n + 1);
    size_t n = 0;
    if (!out) {
        conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
        return (str){"", 0};
    }
    for (size_t i = 0; i < s.n; i++) {
        uint32_t b = (uint8_t)s.p[i], before = 0;
        bool seen = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
        for (uint32_t k = 0; k < b; k++) before += !((k >= 0x21 && k <= 0x7E) || (k >= 0xA1 && k != 0xAD));
        n += utf8_encode(seen ? b : 0x100 + before, out + n);
    }
    return (str){out, n};
}

/* ---- pairs ---- */

/* The rank of bytes [from, to), if it is below `limit`; else UINT32_MAX. */
static uint32_t rank_of(const ranks *r, str s, size_t from, size_t to, uint32_t limit) {
    size_t i = names_find(names_of(r), r->index, r->index_size, (str){s.p + from, to - from});
    return i < r->n && r->list[i].rank < limit ? r->list[i].rank : UINT32_MAX;
}

/* Joins what strings before it join; true if two parts remain, the second from *at on. */
static bool parts_of(const ranks *r, const ranked *t, size_t *at) {
    uint16_t ends[STRING_MAX]; /* of parts */
    size_t n = t->text.n;
    if (n < 2 || n > STRING_MAX) return false;
    for (size_t i = 0; i < n; i++) ends[i] = (uint16_t)(i + 1);
    while (n > 2) {
        uint32_t best = UINT32_MAX;
        size_t where = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t rank = rank_of(r, t->text, i ? ends[i - 1] : 0, ends[i + 1], t->rank);
            if (rank < best) best = rank, where = i;
        }
        if (best == UINT32_MAX) return false;
        memmove(ends + where, ends + where + 1, (n - where - 1) * sizeof *ends);
        n--;
    }
    *at = ends[0];
    return true;
}

static void make_merges(vocabulary *v, ranks *r) {
    size_t first, second, at = 0;
    leat_status s = names_index(names_of(r), &r->index, &r->index_size, &first, &second);
    if (s == LEAT_E_DUPLICATE)
        conversion_fail(v->c, LEAT_E_VOCAB, "the vocabulary has token %zu twice, again as %zu", first,
                        second);
    v->merges = s ? NULL : arena_array(&v->a, r->n, sizeof *v->merges);
    if (!v->merges) conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for merges");
    for (size_t i = 0; i < r->n && !v->c->status; i++) {
        str t = r->list[i].text;
        if (!parts_of(r, &r->list[i], &at)) continue; /* a byte, or one that nothing leads to */
        str a = visible(v, (str){t.p, at}), b = visible(v, (str){t.p + at, t.n - at});
        char *line = arena_alloc(&v->a, a.n + b.n + 2);
        if (!line) {
            conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for merges");
            break;
        }
        memcpy(line, a.p, a.n);
        line[a.n] = ' ';
        memcpy(line + a.n + 1, b.p, b.n);
        v->merges[v->n_merges++] = (str){line, a.n + 1 + b.n};
    }
    mem_free(r->index);
}

/* Strings become tokens from number `first` on, at their ranks. */
static void use(vocabulary *v, ranks *r, uint64_t first) {
    for (size_t i = 0; i < r->n && !v->c->status; i++)
        vocabulary_set(v, first + r->list[i].rank, visible(v, r->list[i].text), KIND_NORMAL, 0);
    if (!v->c->status) make_merges(v, r);
    v->model = "gpt2";
}

/* ---- tekken.json ---- */

static uint64_t size_in(const json_value *v, const char *path, uint64_t fallback) {
    const json_value *x = json_path(v, path);
    return x && x->type == JSON_INT && x->integer >= 0 && x->integer < INT32_MAX ? (uint64_t)x->integer
                                                                                 : fallback;
}

/* Those that files of the first version leave to the program, in order. */
static const char *const usual_specials[] = {"<unk>",
                                             "<s>",
                                             "</s>",
                                             "[INST]",
                                             "[/INST]",
                                             "[AVAILABLE_TOOLS]",
                                             "[/AVAILABLE_TOOLS]",
                                             "[TOOL_RESULTS]",
                                             "[/TOOL_RESULTS]",
                                             "[TOOL_CALLS]",
                                             "[IMG]",
                                             "<pad>",
                                             "[IMG_BREAK]",
                                             "[IMG_END]",
                                             "[PREFIX]",
                                             "[MIDDLE]",
                                             "[SUFFIX]",
                                             "[SYSTEM_PROMPT]",
                                             "[/SYSTEM_PROMPT]",
                                             "[TOOL_CONTENT]"};

static void specials(vocabulary *v, const json_value *list, uint64_t n) {
    for (uint64_t i = 0; i < n && !v->c->status; i++) {
        char text[40];
        bool usual = !list && i < sizeof usual_specials / sizeof *usual_specials;
        int length = usual ? snprintf(text, sizeof text, "%s", usual_specials[i])
                           : snprintf(text, sizeof text, "<SPECIAL_%u>", (unsigned)i);
        char *copy = arena_copy(&v->a, text, (size_t)length);
        if (!copy) conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
        vocabulary_set(v, i, (str){copy, (size_t)length}, KIND_CONTROL, 0);
    }
    for (const json_value *t = list ? list->first : NULL; t && !v->c->status; t = t->next) {
        const json_value *text = json_get(t, "token_str"), *control = json_get(t, "is_control");
        uint64_t id = size_in(t, "rank", n);
        bool plain = control && control->type == JSON_BOOL && !control->boolean;
        if (id < n && text && text->type == JSON_STRING)
            vocabulary_set(v, id, text->text, plain ? KIND_USER_DEFINED : KIND_CONTROL, 0);
    }
    if (n) v->tokens[0].kind = v->n ? KIND_UNKNOWN : 0;
}

void tokens_from_tekken(vocabulary *v, const json_value *document) {
    const json_value *vocab = json_get(document, "vocab"), *list = json_get(document, "special_tokens");
    uint64_t n_special = size_in(document, "config.default_num_special_tokens", 1000),
             total = size_in(document, "config.default_vocab_size", v->n);
    ranks r = {NULL, 0, NULL, 0};
    if (!vocab || vocab->type != JSON_ARRAY || !vocab->count || n_special > SPECIALS_MAX ||
        total < n_special || (list && list->type != JSON_ARRAY)) {
        conversion_fail(v->c, LEAT_E_VOCAB,
                        "tekken.json has no vocabulary, or a bad number of special tokens");
        return;
    }
    r.list = arena_array(&v->a, vocab->count, sizeof *r.list);
    if (!r.list) conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for %zu tokens", vocab->count);
    for (const json_value *t = vocab->first; t && !v->c->status; t = t->next) {
        const json_value *bytes = json_get(t, "token_bytes");
        uint64_t rank = size_in(t, "rank", UINT64_MAX);
        str s = bytes && bytes->type == JSON_STRING ? base64_bytes(&v->a, bytes->text) : (str){"", 0};
        if (!s.p) {
            conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
            return;
        }
        if (rank >= UINT32_MAX || !s.n || rank != r.n) {
            conversion_fail(v->c, LEAT_E_VOCAB, "tekken.json: token %zu is not the bytes of that rank", r.n);
            return;
        }
        if (rank >= total - n_special) break; /* the rest is for larger models */
        r.list[r.n++] = (ranked){s, (uint32_t)rank};
    }
    if (!v->c->status) specials(v, list && list->count ? list : NULL, n_special);
    if (!v->c->status) use(v, &r, n_special);
    v->pre = "tekken";
    v->add_bos = 1;
    v->add_eos = 0;
}

/* ---- tiktoken ---- */

/* "IQ== 0" and so on. */
static bool read_line(arena *a, str line, ranked *out) {
    const char *space = memchr(line.p, ' ', line.n);
    uint64_t rank = 0;
    *out = (ranked){{"", 0}, 0};
    if (!space) return false;
    size_t before = (size_t)(space - line.p), digits = line.n - before - 1;
    if (!digits || digits > 9) return false;
    for (size_t i = before + 1; i < line.n; i++) {
        if (line.p[i] < '0' || line.p[i] > '9') return false;
        rank = rank * 10 + (uint64_t)(line.p[i] - '0');
    }
    *out = (ranked){base64_bytes(a, (str){line.p, before}), (uint32_t)rank};
    return out->text.n > 0;
}

static str next_line(str text, size_t *at) {
    const char *end = memchr(text.p + *at, '\n', text.n - *at);
    size_t stop = end ? (size_t)(end - text.p) : text.n;
    str line = {text.p + *at, stop - *at};
    *at = stop + 1;
    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    return line;
}

bool tokens_are_ranks(str text) {
    size_t at = 0, i = 0;
    if (!text.n) return false;
    str line = next_line(text, &at);
    while (i < line.n && (base64_value(line.p[i]) >= 0 || line.p[i] == '=')) i++;
    return i && i + 1 < line.n && line.p[i] == ' ' && line.p[i + 1] >= '0' && line.p[i + 1] <= '9';
}

void tokens_from_ranks(vocabulary *v, const char *file, str text) {
    /* nothing in the file says how words are cut; their programs do */
    static const struct {
        const char *arch, *pre;
    } cuts[] = {{"chatglm", "chatglm-bpe"},
                {"deepseek2", "kimi-k2"},
                {"glm4", "glm4"},
                {"glm4moe", "glm4"},
                {"hunyuan-dense", "hunyuan-dense"},
                {"hunyuan-moe", "hunyuan"},
                {"qwen2", "qwen2"},
                {"llama", "llama-bpe"}};
    ranks r = {NULL, 0, NULL, 0};
    size_t lines = 1;
    for (size_t i = 0; i < text.n; i++) lines += text.p[i] == '\n';
    r.list = arena_array(&v->a, lines, sizeof *r.list);
    if (!r.list) conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for %zu tokens", lines);
    for (size_t at = 0, n = 1; at < text.n && !v->c->status; n++) {
        str line = next_line(text, &at);
        if (!line.n) continue;
        ranked *t = &r.list[r.n];
        bool good = read_line(&v->a, line, t);
        if (!good && !t->text.p)
            conversion_fail(v->c, LEAT_E_NOMEM, "out of memory for tokens");
        else if (!good || (r.n && t->rank <= t[-1].rank))
            conversion_fail(v->c, LEAT_E_VOCAB, "%s: line %zu is not base64 and the next number", file, n);
        r.n++;
    }
    if (!v->c->status) use(v, &r, 0);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        if (!strcmp(cuts[i].arch, v->c->arch->arch)) v->pre = cuts[i].pre;
    if (!v->pre)
        conversion_warn(
            v->c,
            "%s does not say how words are cut: tokenizer.ggml.pre is left out, and whoever loads "
            "the file has to guess",
            file);
}
