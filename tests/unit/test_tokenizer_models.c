/* The kinds of vocabulary beyond the two of test_tokenizer.c, each with a small one made here: WordPiece,
 * Unigram with its charsmap, BPE of characters, RWKV's and PLaMo 2's; and what goes with names: white space
 * around special tokens, ends of texts, guesses with their warnings. The searches are checked against plain
 * ones that try everything. */
#include <math.h>

#include "test_tokenizer.h"

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint32_t draw(uint32_t n) {
    return tiny_random(&random_state) % n;
}

/* ---- WordPiece ---- */

static void bert_extra(build *b) {
    build_u32(b, "tokenizer.ggml.cls_token_id", 1);
    build_u32(b, "tokenizer.ggml.seperator_token_id", 2);
    build_u32(b, "tokenizer.ggml.unknown_token_id", 0);
}

static void cased_extra(build *b) {
    bert_extra(b);
    build_bool(b, "tokenizer.ggml.normalizer.lowercase", false);
}

static tiny *bert(bool cased) {
    static const char *const words[] = {
        u8"\u2581un", "aff", "able",      u8"\u2581!",      u8"\u2581cafe",     u8"\u2581\u4E2D",
        u8"\u2581a",  "b",   u8"\u2581A", u8"\u2581\u03C9", u8"\u2581Caf\u00E9"};
    tiny *x = tiny_new();
    x->model = "bert";
    x->no_scores = true;
    tiny_add(x, "[UNK]", 0, TOKEN_CONTROL);
    tiny_add(x, "[CLS]", 0, TOKEN_CONTROL);
    tiny_add(x, "[SEP]", 0, TOKEN_CONTROL);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) tiny_add(x, words[i], 0, TOKEN_NORMAL);
    x->extra = cased ? cased_extra : bert_extra;
    return x;
}

static void wordpiece(test *t) {
    static const struct {
        const char *text, *pieces;
    } cases[] = {
        {"", ""},
        {"Unaffable!", " un|aff|able| !|"},
        {u8"CAF\u00C9 cafe\u0301 caf\u00E9", " cafe| cafe| cafe|"},
        {u8"a\u4E2Da", u8" a| \u4E2D| a|"},
        {"  a\n\tab \x01", " a| a|b|"},
        {"a x ab? a", " a|[UNK]| a|b|[UNK]| a|"},
        {u8"\u03A9", u8" \u03C9|"},
        {"a\xFF\xE4"
         "b",
         " a|b|"},
    };
    tiny *x = bert(false);
    leat_error e = {0};
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STR(t, tiny_pieces(x, cases[i].text, strlen(cases[i].text), 0), cases[i].pieces);
    CHECK_STR(t, tiny_pieces(x, "a", 1, VOCAB_BOS | VOCAB_EOS), "[CLS]| a|[SEP]|");
    CHECK_STR(t, tiny_pieces(x, "a[SEP]a", 7, VOCAB_SPECIAL), " a|[SEP]| a|");
    CHECK(t, vocab_add_bos(x->v) && vocab_add_eos(x->v) && vocab_bos(x->v) == 1 && vocab_eos(x->v) == 2);
    char text[1024] = "a"; /* a word of a hundred characters is one, a longer one is unknown */
    memset(text + 1, 'b', 100);
    CHECK(t, !strstr(tiny_pieces(x, text, 100, 0), "[UNK]"));
    CHECK_STR(t, tiny_pieces(x, text, 101, 0), "[UNK]|");
    tiny_close(x);

    x = bert(true);
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK_STR(t, tiny_pieces(x, u8"A Caf\u00E9 Un", 10, 0), u8" A| Caf\u00E9|[UNK]|");
    tiny_close(x);
}

/* ---- Unigram ---- */

static bool with_prefix, with_merge;
static const uint8_t *map;
static size_t map_bytes;

static void unigram_extra(build *b) {
    build_bool(b, "tokenizer.ggml.add_space_prefix", with_prefix);
    build_bool(b, "tokenizer.ggml.remove_extra_whitespaces", with_merge);
    if (map) build_array(b, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, map, map_bytes);
}

static tiny *unigram(void) {
    tiny *x = tiny_new();
    x->model = "t5";
    x->extra = unigram_extra;
    tiny_add(x, "<pad>", 0, TOKEN_CONTROL);
    tiny_add(x, "</s>", 0, TOKEN_CONTROL);
    tiny_add(x, "<unk>", 0, TOKEN_UNKNOWN);
    return x;
}

/* The best score of any way to write text as tokens: tries every last token at every place. */
static double best_score(const tiny *x, const char *text, size_t n) {
    double best[64], least = 0;
    for (int i = 3; i < x->n; i++) least = x->scores[i] < least ? x->scores[i] : least;
    for (size_t end = 0; end <= n; end++) {
        best[end] = end ? -HUGE_VAL : 0;
        for (size_t start = 0; start < end; start++) {
            double token = start + 1 == end ? least - 10 : -HUGE_VAL;
            for (int i = 3; i < x->n; i++)
                if (strlen(x->texts[i]) == end - start && !memcmp(x->texts[i], text + start, end - start))
                    token = x->scores[i];
            if (best[start] + token > best[end]) best[end] = best[start] + token;
        }
    }
    return best[n];
}

static void unigram_search(test *t) {
    with_prefix = with_merge = false;
    map = NULL;
    for (int round = 0; round < 60; round++) {
        tiny *x = unigram();
        leat_error e = {0};
        for (int i = 0; i < 12; i++) {
            char word[8];
            size_t n = 1 + draw(4);
            for (size_t k = 0; k < n; k++) word[k] = (char)('a' + draw(3));
            word[n] = 0;
            bool there = false;
            for (int k = 0; k < x->n; k++) there = there || !strcmp(x->texts[k], word);
            if (!there) tiny_add(x, tiny_keep(x, word, n), -(float)draw(100) / 8, TOKEN_NORMAL);
        }
        REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
        for (int k = 0; k < 30; k++) {
            char text[40];
            int32_t ids[64];
            size_t n = draw(40), count;
            for (size_t i = 0; i < n; i++) text[i] = (char)('a' + draw(3));
            CHECK_EQ(t, vocab_tokenize(x->v, text, n, 0, ids, 64, &count, &e), LEAT_OK);
            double score = 0;
            size_t length = 0;
            bool unknown = false;
            for (size_t i = 0; i < count; i++) {
                unknown = unknown || ids[i] == 2;
                score += (double)x->scores[ids[i]];
                length += vocab_piece(x->v, ids[i], true).n;
            }
            if (!unknown) CHECK(t, length == n && fabs(score - best_score(x, text, n)) < 1e-6);
        }
        tiny_close(x);
    }
}

static void unigram_spaces(test *t) {
    static const char *const wanted[4][2] = {
        {"  a b ", " | |a| b| |"}, {"  a b ", " |  |a| b| |"}, {"  a b ", " |a| b|"}, {"  a b ", " |a| b|"}};
    leat_error e = {0};
    map = NULL;
    for (int i = 0; i < 4; i++) {
        with_prefix = i & 1;
        with_merge = i & 2;
        tiny *x = unigram();
        tiny_add(x, u8"\u2581", -2, TOKEN_NORMAL);
        tiny_add(x, "a", -1, TOKEN_NORMAL);
        tiny_add(x, u8"\u2581b", -1, TOKEN_NORMAL);
        tiny_add(x, "[x y]", 0, TOKEN_USER_DEFINED);
        REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
        if (i != 1) CHECK_STR(t, tiny_pieces(x, wanted[i][0], 6, 0), wanted[i][1]);
        CHECK_STR(t, tiny_pieces(x, "[x y]", 5, 0), "[x y]|");
        CHECK(t, strstr(tiny_pieces(x, "ZZZ", 3, 0), "<unk>|") &&
                     !strstr(tiny_pieces(x, "ZZZ", 3, 0), "<unk>|<unk>|"));
        CHECK(t, vocab_add_eos(x->v) && !vocab_add_bos(x->v) && vocab_eos(x->v) == 1);
        tiny_close(x);
    }
}

/* 'A' becomes "aa", a tab a space: units 0 (root), children at base ^ byte, replacements. */
static size_t small_map(uint8_t out[4096], uint32_t value_a) {
    static const char texts[] = "aa\0 ";
    uint32_t units[512] = {0}, n = sizeof units;
    units[0] = 256u << 10;                          /* children at 256 ^ byte */
    units[256 ^ 'A'] = 'A' | 1u << 8 | (64u << 10); /* its leaf at (256 ^ 'A') ^ 64 */
    units[256 ^ 'A' ^ 64] = 1u << 31 | value_a;
    units[256 ^ '\t'] = '\t' | 1u << 8 | (128u << 10);
    units[256 ^ '\t' ^ 128] = 1u << 31 | 3;
    memcpy(out, &n, 4);
    memcpy(out + 4, units, sizeof units);
    memcpy(out + 4 + sizeof units, texts, sizeof texts);
    return 4 + sizeof units + sizeof texts;
}

static leat_status open_map(tiny **x, leat_error *e) {
    *x = unigram();
    tiny_add(*x, u8"\u2581", -2, TOKEN_NORMAL);
    tiny_add(*x, "a", -1, TOKEN_NORMAL);
    return tiny_open(*x, e);
}

static void charsmaps(test *t) {
    static uint8_t bytes[4096];
    leat_error e = {0};
    tiny *x;
    with_prefix = with_merge = false;
    map = bytes;
    map_bytes = small_map(bytes, 0);
    REQUIRE(t, open_map(&x, &e) == LEAT_OK);
    CHECK_STR(t, tiny_pieces(x, "A\ta", 3, 0), "a|a| |a|");
    CHECK(t, vocab_bound(x->v, 100) >= 200);
    tiny_close(x);

    small_map(bytes, 1000); /* a replacement beyond the end */
    REQUIRE(t, open_map(&x, &e) == LEAT_OK);
    CHECK(t, strstr(tiny_pieces(x, "A", 1, 0), "precompiled_charsmap points out of itself"));
    tiny_close(x);
    for (size_t n = 0; n < map_bytes;
         n += n < 20 ? 1 : 97) { /* cut short: refused, or (nothing at all) no map */
        map_bytes = n;
        small_map(bytes, 0);
        leat_status s = open_map(&x, &e);
        CHECK(t, s == LEAT_E_VOCAB || (s == LEAT_OK && n == 0));
        tiny_close(x);
        map_bytes = small_map(bytes, 0);
    }
    for (int round = 0; round < 500; round++) { /* any units: an error or a result, soon; cycles included */
        map_bytes = small_map(bytes, 0);
        for (int k = 0; k < 200; k++) bytes[4 + draw(2048)] = (uint8_t)draw(256);
        if (open_map(&x, &e) == LEAT_OK) {
            char text[64];
            int32_t ids[1024];
            size_t count;
            for (int i = 0; i < 64; i++) text[i] = (char)draw(256);
            leat_status s = vocab_tokenize(x->v, text, 64, 0, ids, 1024, &count, &e);
            CHECK(t, s == LEAT_OK || s == LEAT_E_VOCAB);
        }
        tiny_close(x);
    }
    map = NULL;
}

/* ---- BPE of characters ---- */

static void characters(test *t) {
    tiny *x = tiny_new();
    leat_error e = {0};
    tiny_spm(x);
    x->model = "gemma4";
    x->no_scores = true;
    static const char *const letters[] = {u8"\u2581", "a", "b", u8"\u00E9", "\n", u8"\u4E2D"};
    for (size_t i = 0; i < 6; i++) tiny_add(x, letters[i], 0, TOKEN_NORMAL);
    tiny_merge(x, u8"\u2581 a", u8"\u2581a");
    tiny_merge(x, u8"a \u00E9", u8"a\u00E9");
    tiny_merge(x, u8"\u2581 \u2581", NULL);
    tiny_add(x, u8"\u2581\u2581", 0, TOKEN_USER_DEFINED);
    tiny_add(x, "\n\n", 0, TOKEN_NORMAL);
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK_STR(t, tiny_pieces(x, u8"a a\u00E9b  b\u4E2D", 12, 0), u8"a| a|\u00E9|b|  |b|\u4E2D|");
    CHECK_STR(t, tiny_pieces(x, "a\n\nb\n\n\n", 7, 0), "a|\n\n|b|\n|\n|\n|");
    CHECK_STR(t, tiny_pieces(x, "x\xFF", 2, 0), "x|\xFF|");
    tiny_close(x);

    x = tiny_new();
    tiny_spm(x);
    x->model = "whitespace";
    x->pre = "whitespace";
    x->no_scores = true;
    tiny_add(x, "a", 0, TOKEN_NORMAL);
    tiny_add(x, "b", 0, TOKEN_NORMAL);
    tiny_merge(x, "a b", "ab");
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK_STR(t, tiny_pieces(x, " ab \n a bA", 10, 0), "ab|a|b|A|");
    tiny_close(x);
}

/* ---- RWKV, PLaMo 2 ---- */

static void rwkv(test *t) {
    tiny *x = tiny_new();
    leat_error e = {0};
    x->model = "rwkv";
    x->no_scores = true;
    tiny_add(x, "<s>", 0, TOKEN_CONTROL);
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "\\x%02x", b);
        tiny_add(x, tiny_keep(x, text, 4), 0, TOKEN_NORMAL);
    }
    tiny_add(x, "ab", 0, TOKEN_NORMAL);
    tiny_add(x, "abcd", 0, TOKEN_NORMAL);
    tiny_add(x, "\\n\\n", 0, TOKEN_NORMAL);
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK_STR(t, tiny_pieces(x, "ababcabcd\n\n\n\xFF\\", 14, 0), "ab|ab|c|abcd|\n\n|\n|\xFF|\\|");
    CHECK_STR(t, tiny_pieces(x, "<s>", 3, 0), "<|s|>|");
    CHECK_STR(t, tiny_pieces(x, "<s>", 3, VOCAB_SPECIAL), "<s>|");
    tiny_close(x);
    x = tiny_new();
    x->model = "rwkv";
    tiny_add(x, "\\xQ1", 0, TOKEN_NORMAL);
    CHECK_EQ(t, tiny_open(x, &e), LEAT_E_VOCAB);
    CHECK(t, strstr(e.message, "bad escape"));
    tiny_close(x);
}

static void plamo2(test *t) {
    for (int round = 0; round < 60; round++) {
        tiny *x = tiny_new();
        leat_error e = {0};
        tiny_spm(x);
        x->model = "plamo2";
        int first = x->n;
        for (int i = 0; i < 12; i++) {
            char word[8];
            size_t n = 1 + draw(4);
            for (size_t k = 0; k < n; k++) word[k] = (char)('a' + draw(3));
            word[n] = 0;
            bool there = false;
            for (int k = 0; k < x->n; k++) there = there || !strcmp(x->texts[k], word);
            if (!there) tiny_add(x, tiny_keep(x, word, n), -(float)draw(100) / 8, TOKEN_NORMAL);
        }
        REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
        for (int k = 0; k < 20; k++) {
            char text[40], got[64];
            int32_t ids[64];
            double best[41], score = 0;
            size_t n = draw(40), count, length = 0;
            for (size_t i = 0; i < n; i++) text[i] = (char)('a' + draw(3));
            for (size_t end = 0; end <= n; end++) {
                best[end] = end ? -HUGE_VAL : 0;
                if (end) best[end] = best[end - 1] - 1000;
                for (int i = first; i < x->n; i++) {
                    size_t m = strlen(x->texts[i]);
                    if (m <= end && !memcmp(x->texts[i], text + end - m, m) &&
                        best[end - m] + x->scores[i] > best[end])
                        best[end] = best[end - m] + x->scores[i];
                }
            }
            CHECK_EQ(t, vocab_tokenize(x->v, text, n, 0, ids, 64, &count, &e), LEAT_OK);
            for (size_t i = 0; i < count; i++) {
                str piece = vocab_piece(x->v, ids[i], false);
                memcpy(got + length, piece.p, piece.n);
                length += piece.n;
                score += ids[i] < first ? -1000.0 : (double)x->scores[ids[i]];
            }
            CHECK(t, length == n && !memcmp(got, text, n));
            CHECK(t, n == 0 || fabs(score - best[n]) < 1e-3);
        }
        CHECK_STR(t, tiny_pieces(x, u8"\uFEFF\u00E9\xFF", 6, 0), "\xC3|\xA9|\xFF|");
        tiny_close(x);
    }
}

/* ---- what follows from names ---- */

static void phi3_name(build *b) {
    build_str(b, "general.name", "Phi-3 mini");
}
static void strips(test *t) {
    tiny *x = tiny_new();
    leat_error e = {0};
    tiny_bpe(x);
    tiny_add(x, "<|user|>", 0, TOKEN_CONTROL);
    tiny_add(x, "<s>", 0, TOKEN_CONTROL);
    x->extra = phi3_name;
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK_STR(t, tiny_pieces(x, "a <|user|> \n b", 14, VOCAB_SPECIAL), "a| |<|user|>|b|");
    CHECK_STR(t, tiny_pieces(x, "<s> b", 5, VOCAB_SPECIAL), "<s>| |b|");
    tiny_close(x);

    x = tiny_new();
    tiny_bpe(x);
    x->pre = "jina-v2-code";
    tiny_add(x, "<mask>", 0, TOKEN_CONTROL);
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK_STR(t, tiny_pieces(x, "a \t<mask> b", 11, VOCAB_SPECIAL), "a|<mask>| |b|");
    tiny_close(x);
}

static const char *arch;
static void arch_extra(build *b) {
    if (arch) build_str(b, "general.architecture", arch);
}

/* Unknown or absent: a guess, and a warning that says what it risks. */
static void guesses(test *t) {
    static const struct {
        const char *arch, *pre, *guess;
    } rows[] = {{NULL, NULL, "gpt-2"},
                {"qwen2", NULL, "qwen2"},
                {"falcon", "", "falcon"},
                {"qwen3", "gpt-99", "qwen2"},
                {"deepseek2", NULL, "deepseek-llm"},
                {"gpt-oss", "what is this", "gpt-4o"},
                {"llama", "qwen2", NULL},
                {"llama", "default", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tiny *x = tiny_new();
        leat_error e = {0};
        tiny_bpe(x);
        arch = rows[i].arch;
        x->pre = rows[i].pre;
        x->extra = arch_extra;
        REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
        const char *warning = vocab_warning(x->v, 0);
        CHECK_EQ(t, warning != NULL, rows[i].guess != NULL);
        if (warning) {
            CHECK(t, strstr(warning, rows[i].guess) && strstr(warning, "which is a guess"));
            CHECK(t, !rows[i].pre || !*rows[i].pre || strstr(warning, rows[i].pre));
            CHECK_STR(t, x->v->pre->name, rows[i].guess);
        }
        CHECK(t, !vocab_warning(x->v, 1));
        tiny_close(x);
    }
}

static void fim_pad(build *b) {
    build_u32(b, "tokenizer.ggml.fim_pad_token_id", 65);
}

static void ends(test *t) {
    leat_error e = {0};
    for (int named = 0; named < 2; named++) {
        tiny *x = tiny_new();
        tiny_bpe(x);
        int pad = tiny_add(x, "<|fim_pad|>", 0, TOKEN_USER_DEFINED),
            sep = tiny_add(x, "<|file_sep|>", 0, TOKEN_NORMAL);
        int end = tiny_add(x, "<|end|>", 0, TOKEN_CONTROL), call = tiny_add(x, "<|call|>", 0, TOKEN_CONTROL);
        int out = tiny_add(x, "<|return|>", 0, TOKEN_CONTROL);
        if (named) x->extra = fim_pad;
        REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
        CHECK_EQ(t, vocab_is_end(x->v, pad), !named);
        CHECK_EQ(t, vocab_is_end(x->v, 65), named);
        CHECK(t, vocab_is_end(x->v, sep) && vocab_is_end(x->v, call) && vocab_is_end(x->v, out));
        CHECK(t, !vocab_is_end(x->v, end)); /* of a message, in this format */
        tiny_close(x);
    }
}

static void refusals(test *t) {
    leat_error e = {0};
    tiny *x = unigram();
    x->no_scores = true;
    CHECK_EQ(t, tiny_open(x, &e), LEAT_E_VOCAB);
    CHECK(t, strstr(e.message, "tokenizer.ggml.scores"));
    tiny_close(x);
    x = unigram();
    char *text = calloc(1, 2000);
    memset(text, 'a', 1100);
    tiny_add(x, text, 0, TOKEN_NORMAL);
    CHECK_EQ(t, tiny_open(x, &e), LEAT_E_VOCAB);
    CHECK(t, strstr(e.message, "token 3 has 1100 bytes; at most 1024"));
    tiny_close(x);
    free(text);
    x = tiny_new(); /* nothing can be unknown here, and nothing is known */
    x->model = "bert";
    tiny_add(x, "q", 0, TOKEN_NORMAL);
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK(t, strstr(tiny_pieces(x, "zz", 2, 0), "no unknown token"));
    tiny_close(x);
}

#define TESTS(X)                                                                                             \
    X(wordpiece)                                                                                             \
    X(unigram_search)                                                                                        \
    X(unigram_spaces) X(charsmaps) X(characters) X(rwkv) X(plamo2) X(strips) X(guesses) X(ends) X(refusals)
TEST_SUITE(TESTS)
