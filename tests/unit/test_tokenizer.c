/* Tokenizing with small vocabularies: both algorithms against plain quadratic ones, special tokens, the space
 * in front, defaults, bounds, and that no text makes it slow. */
#include "test_tokenizer.h"

static uint64_t random_state = 0x2545F4914F6CDD1Du;

static uint32_t draw(uint32_t n) {
    return tiny_random(&random_state) % n;
}

/* ---- the algorithms, plainly ---- */

/* Index of the first ordinary token of exactly these bytes, or -1. */
static int find(const tiny *x, const char *p, size_t n) {
    for (int i = 0; i < x->n; i++)
        if (x->types[i] == TOKEN_NORMAL && strlen(x->texts[i]) == n && !memcmp(x->texts[i], p, n)) return i;
    return -1;
}

static int merge_rank(const tiny *x, const char *p, size_t left, size_t right) {
    for (int i = 0; i < x->n_merges; i++)
        if (strlen(x->merges[i]) == left + 1 + right && !memcmp(x->merges[i], p, left) &&
            x->merges[i][left] == ' ' && !memcmp(x->merges[i] + left + 1, p + left, right))
            return i;
    return -1;
}

/* Merges `starts` (of n_symbols, one more at the end), best pair first, leftmost on a tie; returns how many
 * are left. */
static size_t plain_merge(const tiny *x, const char *text, size_t *starts, size_t n) {
    for (;;) {
        size_t best = n;
        float best_score = 0;
        int best_rank = -1;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t left = starts[i + 1] - starts[i], right = starts[i + 2] - starts[i + 1];
            if (!strcmp(x->model, "llama")) {
                int token = find(x, text + starts[i], left + right);
                if (token < 0 || (best < n && x->scores[token] <= best_score)) continue;
                best_score = x->scores[token];
            } else {
                int rank = merge_rank(x, text + starts[i], left, right);
                if (rank < 0 || (best < n && rank >= best_rank)) continue;
                best_rank = rank;
            }
            best = i;
        }
        if (best == n) return n;
        memmove(starts + best + 1, starts + best + 2, (n - best - 1) * sizeof *starts);
        n--;
    }
}

/* A vocabulary over the letters a..d, whose tokens come from random joins of earlier ones. In BPE each join
 * is a merge. */
static void random_letters(tiny *x, bool spm) {
    int first = x->n;
    for (int c = 0; c < 4; c++) {
        char letter[2] = {(char)('a' + c), 0};
        if (spm && c == 3) break; /* a letter that only its byte stands for */
        if (spm) tiny_add(x, tiny_keep(x, letter, 1), -(float)draw(5), TOKEN_NORMAL);
    }
    if (!spm) first = 'a';
    for (int k = 0; k < 40; k++) {
        int n = spm ? x->n - first : 4 + x->n - 256, a = (int)draw((uint32_t)n), b = (int)draw((uint32_t)n);
        if (!spm && a >= 4) a += 256 - 4 - first;
        if (!spm && b >= 4) b += 256 - 4 - first;
        char text[64], line[64];
        const char *left = x->texts[first + a], *right = x->texts[first + b];
        if (spm && draw(6) == 0) right = "d";
        if (strlen(left) + strlen(right) > 12) continue;
        int length = snprintf(text, sizeof text, "%s%s", left, right);
        if (find(x, text, (size_t)length) < 0)
            tiny_add(x, tiny_keep(x, text, (size_t)length), -(float)draw(12), TOKEN_NORMAL);
        length = snprintf(line, sizeof line, "%s %s", left, right);
        if (!spm) x->merges[x->n_merges++] = tiny_keep(x, line, (size_t)length);
    }
}

static void compare_plain(test *t, const tiny *x, bool spm) {
    char text[128];
    size_t starts[129], count = 0, n = 1 + draw(draw(4) ? 40 : 120);
    int32_t ids[128];
    leat_error e = {0};
    for (size_t i = 0; i < n; i++) text[i] = (char)('a' + draw(4));
    for (size_t i = 0; i <= n; i++) starts[i] = i;
    size_t symbols = plain_merge(x, text, starts, n);
    CHECK_EQ(t, vocab_tokenize(x->v, text, n, 0, ids, 128, &count, &e), LEAT_OK);
    CHECK_EQ(t, count, symbols);
    for (size_t i = 0; i < count && i < symbols; i++) {
        int want = find(x, text + starts[i], starts[i + 1] - starts[i]);
        if (want < 0) want = 3 + text[starts[i]]; /* its byte token */
        if (ids[i] != want) {
            TEST_FAIL(t, "%s: \"%.*s\": token %zu is %d, not %d", spm ? "SPM" : "BPE", (int)n, text, i,
                      ids[i], want);
            return;
        }
    }
}

static void no_prefix(build *b) {
    build_bool(b, "tokenizer.ggml.add_space_prefix", false);
}

static void against_plain(test *t, bool spm) {
    for (int round = 0; round < 30; round++) {
        tiny *x = tiny_new();
        leat_error e = {0};
        if (spm)
            tiny_spm(x);
        else
            tiny_bpe(x);
        x->extra = no_prefix;
        random_letters(x, spm);
        if (tiny_open(x, &e)) TEST_FAIL(t, "%s", e.message);
        for (int k = 0; k < 40 && x->v; k++) compare_plain(t, x, spm);
        tiny_close(x);
    }
}

static void spm_is_exact(test *t) {
    against_plain(t, true);
}
static void bpe_is_exact(test *t) {
    against_plain(t, false);
}

/* ---- SPM ---- */

static tiny *spm_words(test *t, void (*extra)(build *)) {
    tiny *x = tiny_new();
    leat_error e = {0};
    tiny_spm(x);
    tiny_add(x, "\xE2\x96\x81", -5, TOKEN_NORMAL);
    tiny_add(x, "a", -6, TOKEN_NORMAL);
    tiny_add(x, "b", -7, TOKEN_NORMAL);
    tiny_add(x,
             "\xE2\x96\x81"
             "a",
             -3, TOKEN_NORMAL);
    tiny_add(x, "ab", -2, TOKEN_NORMAL);
    tiny_add(x,
             "\xE2\x96\x81"
             "ab",
             -4, TOKEN_NORMAL);
    tiny_add(x, "<|im_end|>", 0, TOKEN_CONTROL);
    tiny_add(x, "<u>", 0, TOKEN_USER_DEFINED);
    tiny_add(x, "<u><u>", 0, TOKEN_USER_DEFINED);
    tiny_add(x, "\xC3\xA9", -8, TOKEN_UNUSED);
    x->extra = extra;
    if (tiny_open(x, &e)) TEST_FAIL(t, "%s", e.message);
    return x;
}

#define PIECES(x, text, flags) tiny_pieces(x, text, sizeof text - 1, flags)

static void spm_texts(test *t) {
    tiny *x = spm_words(t, NULL);
    CHECK_STR(t, PIECES(x, "", 0), "");
    CHECK_STR(t, PIECES(x, "ab", 0), " ab|");
    CHECK_STR(t, PIECES(x, "a b", 0), " a| |b|");
    CHECK_STR(t,
              PIECES(x,
                     "\xE2\x96\x81"
                     "ab",
                     0),
              " | ab|");
    CHECK_STR(t, PIECES(x, " ", 0), " | |");
    CHECK_STR(t, PIECES(x, "\xC3\xA9\xC3\xA8", 0), " |\xC3\xA9|\xC3|\xA8|");
    CHECK_STR(t, PIECES(x, "\xFFz", 0), " |\xFF|z|");
    CHECK_STR(t, PIECES(x, "ab", VOCAB_BOS | VOCAB_EOS), "<s>| ab|</s>|");
    CHECK_STR(t, PIECES(x, "", VOCAB_BOS), "<s>|");
    CHECK(t, vocab_space_prefix(x->v) && vocab_add_bos(x->v));
    CHECK_EQ(t, vocab_size(x->v), 269);
    CHECK_EQ(t, vocab_longest_piece(x->v), 10);
    tiny_close(x);
    x = spm_words(t, no_prefix);
    CHECK_STR(t, PIECES(x, "ab", 0), "ab|");
    CHECK_STR(t, PIECES(x, " ab", 0), " ab|");
    CHECK(t, !vocab_space_prefix(x->v));
    tiny_close(x);
}

static void special_tokens(test *t) {
    tiny *x = spm_words(t, no_prefix);
    /* Control tokens only when asked, user-defined ones always, the longest first; never by merging. */
    CHECK_STR(t, PIECES(x, "a</s>b", 0), "a|<|/|s|>|b|");
    CHECK_STR(t, PIECES(x, "a</s>b", VOCAB_SPECIAL), "a|</s>|b|");
    CHECK_STR(t, PIECES(x, "a<u>b", 0), "a|<u>|b|");
    CHECK_STR(t, PIECES(x, "<u><u><u>", 0), "<u><u>|<u>|");
    CHECK_STR(t, PIECES(x, "<u", VOCAB_SPECIAL), "<|u|");
    CHECK_STR(t, PIECES(x, "<<s>", VOCAB_SPECIAL), "<|<s>|");
    CHECK_STR(t, PIECES(x, "<unk>", VOCAB_SPECIAL), "<unk>|");
    CHECK_STR(t, PIECES(x, "<0x41>", VOCAB_SPECIAL), "<|0|x|4|1|>|");
    /* BOS is never doubled, but a second one in the text is the text's. */
    CHECK_STR(t, PIECES(x, "<s>a", VOCAB_SPECIAL | VOCAB_BOS), "<s>|a|");
    CHECK_STR(t, PIECES(x, "<s><s>a", VOCAB_SPECIAL | VOCAB_BOS), "<s>|<s>|a|");
    CHECK_STR(t, PIECES(x, "a<s>", VOCAB_SPECIAL | VOCAB_BOS), "<s>|a|<s>|");
    CHECK_STR(t, PIECES(x, "<s>a", VOCAB_BOS), "<s>|<|s|>|a|");
    tiny_close(x);
    x = spm_words(t, NULL);
    CHECK_STR(t, PIECES(x, "a</s>ab", VOCAB_SPECIAL), " a|</s>| ab|");
    CHECK_STR(t, PIECES(x, "</s></s>", VOCAB_SPECIAL), "</s>|</s>|");
    tiny_close(x);
}

static void pieces_and_ends(test *t) {
    tiny *x = spm_words(t, NULL);
    CHECK_EQ(t, vocab_piece(x->v, 1, false).n, 0);
    CHECK(t, vocab_piece(x->v, 1, false).p != NULL);
    CHECK_EQ(t, vocab_piece(x->v, 1, true).n, 3);
    CHECK_EQ(t, vocab_piece(x->v, 0, false).n, 0);
    CHECK_EQ(t, vocab_piece(x->v, 3 + 'A', false).n, 1);
    CHECK_EQ(t, *vocab_piece(x->v, 3 + 'A', false).p, 'A');
    CHECK_EQ(t, vocab_piece(x->v, 266, false).n, 3); /* user-defined: part of the text */
    CHECK(t, vocab_piece(x->v, -1, true).p == NULL && vocab_piece(x->v, 269, true).p == NULL);
    CHECK(t, vocab_is_end(x->v, 2) && vocab_is_end(x->v, 265));
    CHECK(t, !vocab_is_end(x->v, 1) && !vocab_is_end(x->v, 260) && !vocab_is_end(x->v, -1) &&
                 !vocab_is_end(x->v, 269));
    CHECK_EQ(t, vocab_bos(x->v), 1);
    CHECK_EQ(t, vocab_eos(x->v), 2);
    tiny_close(x);
}

static void roles(build *b) {
    build_u32(b, "tokenizer.ggml.bos_token_id", 256);
    build_u8(b, "tokenizer.ggml.eos_token_id", 65);
    build_i64(b, "tokenizer.ggml.eot_token_id", 66);
    build_u32(b, "tokenizer.ggml.padding_token_id", 67);
    build_bool(b, "tokenizer.ggml.add_bos_token", true);
}

static void bpe_roles(test *t) {
    tiny *x = tiny_new();
    tiny_bpe(x);
    tiny_add(x, "<|begin|>", 0, TOKEN_CONTROL);
    tiny_add(x, "<|end|>", 0, TOKEN_NORMAL); /* looks like an end, so it is one, whatever its type */
    tiny_add(x, "<|eot_id|>", 0, TOKEN_CONTROL);
    x->extra = roles;
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK_EQ(t, vocab_bos(x->v), 256);
    CHECK_EQ(t, vocab_eos(x->v), 65);
    CHECK(t, vocab_add_bos(x->v) && !vocab_space_prefix(x->v));
    CHECK(t, vocab_is_end(x->v, 65) && vocab_is_end(x->v, 66) && vocab_is_end(x->v, 258));
    CHECK(t, !vocab_is_end(x->v, 67) && vocab_is_end(x->v, 257));
    CHECK_EQ(t, vocab_piece(x->v, 257, false).n, 0);
    tiny_close(x);

    x = tiny_new(); /* nothing said: token 11 is a comma here, not an end */
    tiny_bpe(x);
    x->no_types = true;
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK_EQ(t, vocab_bos(x->v), -1);
    CHECK_EQ(t, vocab_eos(x->v), -1);
    CHECK(t, !vocab_add_bos(x->v));
    CHECK_STR(t, PIECES(x, "a", VOCAB_BOS | VOCAB_EOS), "a|");
    tiny_close(x);

    x = tiny_new(); /* the harmony format: <|end|> ends only a message */
    tiny_bpe(x);
    tiny_add(x, "<|end|>", 0, TOKEN_CONTROL);
    tiny_add(x, "<|return|>", 0, TOKEN_CONTROL);
    tiny_add(x, "<|call|>", 0, TOKEN_CONTROL);
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK(t, !vocab_is_end(x->v, 256) && vocab_is_end(x->v, 257) && vocab_is_end(x->v, 258));
    tiny_close(x);
}

/* ---- BPE ---- */

static void bpe_texts(test *t) {
    tiny *x = tiny_new();
    tiny_bpe(x);
    tiny_merge(x, "h e", "he");
    tiny_merge(x, "l l", "ll");
    tiny_merge(x, "\xC4\xA0 he", "\xC4\xA0he");
    tiny_add(x, "hello", 0, TOKEN_NORMAL); /* which no merge makes */
    tiny_add(x, "<|x|>", 0, TOKEN_USER_DEFINED);
    tiny_merge(x, "h <|x|>", NULL); /* names a special token: never happens, does no harm */
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK_STR(t, PIECES(x, "hello he\n", 0), "he|ll|o| he|\n|");
    CHECK_STR(t, PIECES(x, "h<|x|>\xFF\xC3\xA9", 0), "h|<|x|>|\xFF|\xC3|\xA9|");
    tiny_close(x);

    x = tiny_new(); /* llama-bpe takes a whole word that is a token, whatever the merges say */
    tiny_bpe(x);
    x->pre = "llama-bpe";
    tiny_add(x, "hello", 0, TOKEN_NORMAL);
    tiny_add(x, "<s>", 0, TOKEN_CONTROL);
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK_STR(t, PIECES(x, "hello hello", 0), "hello| |h|e|l|l|o|");
    CHECK_STR(t, PIECES(x, "<s>", 0), "<|s|>|");
    tiny_close(x);
}

/* Bytes without a token: U+FFFD in byte-level BPE, the unknown token in SPM, else an error that names the
 * byte. */
static void bytes_without_token(test *t) {
    tiny *x = tiny_new();
    int32_t ids[8];
    size_t count;
    leat_error e;
    tiny_bpe(x);
    x->types['q'] = TOKEN_UNUSED;
    x->texts['q'] = "qq";
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK_STR(t, PIECES(x, "aq", 0), "a|\xEF|\xBF|\xBD|");
    CHECK(t, vocab_bound(x->v, 2) >= 4);
    tiny_close(x);

    x = tiny_new();
    x->model = "gpt2";
    x->no_scores = true;
    tiny_add(x, "a", 0, TOKEN_NORMAL);
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK_EQ(t, vocab_tokenize(x->v, "ab", 2, 0, ids, 8, &count, &e), LEAT_E_VOCAB);
    CHECK_EQ(t, count, 0);
    CHECK_STR(t, e.message, "the text has a byte 0x62, for which this vocabulary has no token");
    tiny_close(x);

    x = tiny_new();
    tiny_spm(x);
    x->n = 3;
    tiny_add(x, "a", 0, TOKEN_NORMAL);
    x->extra = no_prefix;
    REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
    CHECK_STR(t, PIECES(x, "aba", 0), "a|<unk>|a|");
    tiny_close(x);
}

/* ---- arguments and bounds ---- */

static void capacity(test *t) {
    tiny *x = spm_words(t, NULL);
    int32_t ids[4] = {-7, -7, -7, -7};
    size_t count = 99;
    leat_error e;
    CHECK_EQ(t, vocab_tokenize(x->v, "abb", 3, VOCAB_BOS, NULL, 0, &count, &e), LEAT_E_LIMIT);
    CHECK_EQ(t, count, 3);
    CHECK_EQ(t, vocab_tokenize(x->v, "abb", 3, VOCAB_BOS, ids, 2, &count, &e), LEAT_E_LIMIT);
    CHECK_EQ(t, count, 3);
    CHECK_EQ(t, ids[2], -7);
    CHECK_EQ(t, vocab_tokenize(x->v, "abb", 3, VOCAB_BOS, ids, 3, &count, &e), LEAT_OK);
    CHECK_EQ(t, ids[3], -7);
    CHECK_EQ(t, vocab_tokenize(x->v, NULL, 0, 0, NULL, 0, &count, &e), LEAT_OK);
    CHECK_EQ(t, count, 0);
    CHECK_EQ(t, vocab_tokenize(x->v, NULL, 1, 0, ids, 4, &count, &e), LEAT_E_ARG);
    CHECK_EQ(t, vocab_tokenize(x->v, "a", 1, 0, NULL, 4, &count, &e), LEAT_E_ARG);
    CHECK_EQ(t, vocab_tokenize(x->v, "a", SIZE_MAX / 8 + 1, 0, NULL, 0, &count, &e), LEAT_E_LIMIT);
    CHECK_EQ(t, count, 0);
    CHECK(t, vocab_bound(x->v, SIZE_MAX) == SIZE_MAX && vocab_bound(x->v, 0) >= 2 &&
                 vocab_bound(x->v, 100) < 1000);
    vocab_close(NULL);
    tiny_close(x);
}

static void random_bytes_survive(test *t) {
    for (int kind = 0; kind < 2; kind++) {
        tiny *x = tiny_new();
        if (kind)
            tiny_bpe(x);
        else
            tiny_spm(x);
        x->extra = no_prefix;
        random_letters(x, !kind);
        REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
        for (int round = 0; round < 500; round++) {
            char text[200], back[200];
            int32_t ids[512];
            size_t n = draw(200), count = 0, at = 0;
            uint32_t range = round % 2 ? 256 : 4, from = round % 2 ? 0 : 'a';
            for (size_t i = 0; i < n; i++) text[i] = (char)(from + draw(range));
            for (size_t i = 0; i + 2 < n; i++) /* U+2581 is a space to SPM */
                if (!memcmp(text + i, "\xE2\x96\x81", 3)) text[i] = 'x';
            CHECK_EQ(t, vocab_tokenize(x->v, text, n, VOCAB_SPECIAL, ids, 512, &count, NULL), LEAT_OK);
            CHECK(t, count <= vocab_bound(x->v, n));
            for (size_t i = 0; i < count; i++) {
                str piece = vocab_piece(x->v, ids[i], false);
                memcpy(back + at, piece.p, piece.n);
                at += piece.n;
            }
            CHECK(t, at == n && !memcmp(text, back, n));
        }
        tiny_close(x);
    }
}

/* Work is counted, not timed: look-ups, queue operations and comparisons per byte stay under a constant,
 * whatever the text. At most n - 1 + 2 (n - 1) look-ups, 3 n entries in and out of the heap, 1 per byte of
 * scanning; and short stretches compare at most their 32 bytes per merge. */
static void work_is_linear(test *t) {
    static const char *const texts[] = {
        "a", "ab", "abcd", " ", "\n", "\xF0\x9F\x99\x82", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "};
    const size_t n = 1 << 18;
    char *text = malloc(n);
    int32_t *ids = malloc((2 * n + 8) * sizeof *ids);
    for (int kind = 0; kind < 2; kind++) {
        tiny *x = tiny_new();
        if (kind)
            tiny_bpe(x);
        else
            tiny_spm(x);
        random_letters(x, !kind);
        REQUIRE(t, tiny_open(x, NULL) == LEAT_OK);
        for (size_t k = 0; k <= sizeof texts / sizeof *texts; k++) {
            bool mixed = k == sizeof texts / sizeof *texts;
            for (size_t i = 0; i < n; i++)
                text[i] = mixed ? (char)('a' + draw(4)) : texts[k][i % strlen(texts[k])];
            tokenization run = {.v = x->v, .tokens = ids, .capacity = 2 * n + 8};
            CHECK_EQ(t, tokenization_run(&run, text, n, 0, NULL), LEAT_OK);
            if (run.m.work > 40 * n) TEST_FAIL(t, "text %zu: %llu steps", k, (unsigned long long)run.m.work);
            tokenization_close(&run);
        }
        tiny_close(x);
    }
    free(text);
    free(ids);
}

#define TESTS(X)                                                                                             \
    X(spm_is_exact)                                                                                          \
    X(bpe_is_exact)                                                                                          \
    X(spm_texts)                                                                                             \
    X(special_tokens)                                                                                        \
    X(pieces_and_ends)                                                                                       \
    X(bpe_roles)                                                                                             \
    X(bpe_texts)                                                                                             \
    X(bytes_without_token)                                                                                   \
    X(capacity)                                                                                              \
    X(random_bytes_survive)                                                                                  \
    X(work_is_linear)
TEST_SUITE(TESTS)
