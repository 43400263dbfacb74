/* Vocabularies of Hugging Face folders that are lists of byte strings, Mistral's tekken.json and tiktoken's
 * files, and one whose pieces are numbered otherwise than in its file. What comes out cuts words as the list
 * says, worked out here anew. */
#include "convert_subject.h"

static const char *const strings[] = {"ll", "he", "lo", "hell", "\xC3\xA9", " w", "hello", "or", " wor"};
enum { N_STRINGS = sizeof strings / sizeof *strings, RANKS = 256 + N_STRINGS };

static size_t string_of(size_t rank, char out[8]) {
    out[0] = (char)rank;
    if (rank < 256) return 1;
    strcpy(out, strings[rank - 256]);
    return strlen(out);
}

static void base64(const char *p, size_t n, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++) v = v << 8 | (i + k < n ? (uint8_t)p[i + k] : 0);
        for (size_t k = 0; k < 4; k++) *out++ = i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63];
    }
    *out = 0;
}

/* One word as such tokenizers cut it: of all neighbours those that make the string of the lowest rank. */
static size_t cut(const char *word, leat_token *out) {
    char parts[64][16];
    size_t n = strlen(word);
    for (size_t i = 0; i < n; i++) parts[i][0] = word[i], parts[i][1] = 0;
    for (;;) {
        size_t best = RANKS, at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t r = 256; r < best; r++) {
                char both[40];
                snprintf(both, sizeof both, "%.15s%.15s", parts[i], parts[i + 1]);
                if (!strcmp(both, strings[r - 256])) best = r, at = i;
            }
        if (best == RANKS) break;
        strcpy(parts[at], strings[best - 256]);
        for (size_t i = at + 1; i + 1 < n; i++) strcpy(parts[i], parts[i + 1]);
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        size_t r = 0;
        char text[8];
        while (r < RANKS &&
               (string_of(r, text) != strlen(parts[i]) || memcmp(text, parts[i], strlen(parts[i]))))
            r++;
        out[i] = (leat_token)r;
    }
    return n;
}

/* The converted vocabulary cuts words so, with ids from `first` on. */
static void check_cuts(test *t, subject *s, uint32_t first) {
    static const char *const words[] = {"hello",  "hell",         "lol",  "hehello",
                                        " world", "h\xC3\xA9llo", "llll", "\n"};
    leat_model *m = NULL;
    if (leat_model_open(folder_file(&s->f, "b.gguf"), NULL, &m, &s->e)) TEST_FAIL(t, "%s", s->e.message);
    for (size_t i = 0; m && i < sizeof words / sizeof *words; i++) {
        leat_token want[64], got[64];
        size_t n = cut(words[i], want), k = 0, length = 0;
        if (leat_tokenize(m, words[i], strlen(words[i]), 0, got, 64, &length, &s->e))
            TEST_FAIL(t, "%s", s->e.message);
        while (k < n && k < length && got[k] == want[k] + (leat_token)first) k++;
        if (k < n || length != n) TEST_FAIL(t, "\"%s\": token %zu of %zu differs", words[i], k, n);
    }
    leat_model_close(m);
}

static void tekken(test *t) {
    static char text[64000];
    subject s;
    size_t n = 0;
    REQUIRE(t, subject_open(t, &s));
    n += (size_t)sprintf(text,
                         "{\"config\":{\"pattern\":\"x\",\"default_vocab_size\":%d,"
                         "\"default_num_special_tokens\":24,\"version\":\"v3\"},\"vocab\":[",
                         24 + RANKS);
    for (size_t r = 0; r < RANKS + 2; r++) { /* two more than are used */
        char bytes[8], code[16];
        size_t length = string_of(r < RANKS ? r : r - 256, bytes);
        base64(bytes, length, code);
        n += (size_t)sprintf(text + n, "%s{\"rank\":%zu,\"token_bytes\":\"%s\",\"token_str\":null}",
                             r ? "," : "", r, code);
    }
    sprintf(text + n, "]}");
    put(&s, "tekken.json", text);
    const gguf *g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "gpt2");
    CHECK_TEXT(t, g, "tokenizer.ggml.pre", 0, "tekken");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 3, "[INST]");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 20, "<SPECIAL_20>");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 24 + ' ', "\u0120");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 24 + 259, "hell");
    CHECK_TEXT(t, g, "tokenizer.ggml.merges", 3, "he ll");
    CHECK_EQ(t, gguf_find(g, "tokenizer.ggml.merges")->count, N_STRINGS);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 0), 2);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 3), 3);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 30), 1);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.add_bos_token", 0), 1);
    check_cuts(t, &s, 24);
    /* newer files name their special tokens */
    sprintf(text + n, "],\"special_tokens\":[{\"rank\":1,\"token_str\":\"<s>\",\"is_control\":true},"
                      "{\"rank\":7,\"token_str\":\"[CALL]\",\"is_control\":true}]}");
    put(&s, "tekken.json", text);
    g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 7, "[CALL]");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 3, "<SPECIAL_3>");
    static const char *const broken[] = {
        "{}",
        "{\"vocab\":[]}",
        "{\"vocab\":[{\"rank\":1,\"token_bytes\":\"AA==\"}]}",
        "{\"vocab\":[{\"rank\":0,\"token_bytes\":\"?\"}]}",
        "{\"vocab\":[{\"rank\":0}]}",
        ("{\"vocab\":[{\"rank\":0,\"token_bytes\":\"AA==\"},{\"rank\":1,\"token_bytes\":\"AA==\"}],"
         "\"config\":{\"default_num_special_tokens\":2}}"),
        "{\"vocab\":[1],\"config\":{\"default_num_special_tokens\":9000000}}"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put(&s, "tekken.json", broken[i]);
        CHECK_EQ(t, leat_convert(s.f.path, folder_file(&s.f, "b.gguf"), NULL, &s.e), LEAT_E_VOCAB);
    }
    subject_close(&s);
}

static void tiktoken(test *t) {
    static char text[16000];
    static const char *const names[] = {"tiktoken.model", "hy.tiktoken", "tokenizer.model"};
    subject s;
    size_t n = 0;
    REQUIRE(t, subject_open(t, &s));
    for (size_t r = 0; r < RANKS; r++) {
        char bytes[8], code[16];
        base64(bytes, string_of(r, bytes), code);
        n += (size_t)sprintf(text + n, "%s %zu\n", code, r);
    }
    put(&s, "tokenizer_config.json",
        "{\"added_tokens_decoder\":{\"270\":{\"content\":\"<|end|>\",\"special\":true}},\"eos_token\":\"<|"
        "end|>\"}");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        put(&s, names[i], text);
        const gguf *g = convert(t, &s);
        REQUIRE(t, g);
        CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "gpt2");
        CHECK_TEXT(t, g, "tokenizer.ggml.pre", 0, "llama-bpe");
        CHECK_TEXT(t, g, "tokenizer.ggml.merges", 3, "he ll");
        CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 270, "<|end|>");
        CHECK_EQ(t, number_at(g, "tokenizer.ggml.eos_token_id", 0), 270);
        check_cuts(t, &s, 0);
        put(&s, names[i], "AA== 0\nAQ== x\n");
        CHECK_EQ(t, leat_convert(s.f.path, folder_file(&s.f, "b.gguf"), NULL, &s.e), LEAT_E_VOCAB);
        unlink(folder_file(&s.f, names[i]));
    }
    subject_close(&s);
}

/* A SentencePiece model whose numbers XLM-RoBERTa's program moves. */
static void renumbered(test *t) {
    static const char *const pieces[] = {"<unk>", "<s>", "</s>", ",", "\u2581a"};
    char model[400];
    size_t n = 0;
    subject s;
    REQUIRE(t, subject_open(t, &s));
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t length = strlen(pieces[i]);
        n += (size_t)sprintf(model + n, "\n%c\n%c%s", (char)(length + 4), (char)length, pieces[i]);
        model[n++] = 3 << 3;
        model[n++] = (char)(i == 0 ? 2 : i < 3 ? 3 : 1);
    }
    file_put(folder_file(&s.f, "sentencepiece.bpe.model"), model, n);
    const gguf *g = convert(t, &s);
    REQUIRE(t, g);
    static const char *const want[] = {"<s>", "<pad>", "</s>", "<unk>", ",", "\u2581a", "<mask>", "[PAD7]"};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        CHECK_TEXT(t, g, "tokenizer.ggml.tokens", i, want[i]);
    CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "t5");
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 3), 2);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 4), 1);
    subject_close(&s);
}

#define TESTS(X) X(tekken) X(tiktoken) X(renumbered)
TEST_SUITE(TESTS)
