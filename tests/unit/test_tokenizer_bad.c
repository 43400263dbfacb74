/* Hostile vocabularies: each row breaks one thing, and must be refused with its status and a message that
 * names it. */
#include "test_tokenizer.h"

static void spm_base(tiny *x) {
    tiny_spm(x);
    tiny_add(x, "a", -1, TOKEN_NORMAL);
}

static void bpe_base(tiny *x) {
    tiny_bpe(x);
    tiny_merge(x, "a b", "ab");
}

static void no_model(tiny *x) {
    x->model = NULL;
}
static void unknown_model(tiny *x) {
    x->model = "hybriddna";
}
static void model_is_number(build *b) {
    build_u32(b, "tokenizer.ggml.model", 7);
}
static void numbered_model(tiny *x) {
    x->model = NULL, x->extra = model_is_number;
}
static void pre_is_bool(build *b) {
    build_bool(b, "tokenizer.ggml.pre", true);
}
static void bool_pre(tiny *x) {
    x->extra = pre_is_bool;
}
static void no_tokens(tiny *x) {
    x->n = -1, x->no_scores = x->no_types = true;
}
static void empty_tokens(tiny *x) {
    x->n = 0;
}
static void tokens_are_numbers(build *b) {
    static const int32_t values[2] = {1, 2};
    build_array(b, "tokenizer.ggml.tokens", GGUF_I32, values, 2);
}
static void number_tokens(tiny *x) {
    no_tokens(x), x->extra = tokens_are_numbers;
}

static void scores_short(build *b) {
    static const float values[3] = {0};
    build_array(b, "tokenizer.ggml.scores", GGUF_F32, values, 3);
}
static void few_scores(tiny *x) {
    x->no_scores = true, x->extra = scores_short;
}
static void no_scores(tiny *x) {
    x->no_scores = true;
}
static void scores_narrow(build *b) {
    static const int8_t values[260] = {0};
    build_array(b, "tokenizer.ggml.scores", GGUF_I8, values, 260);
}
static void narrow_scores(tiny *x) {
    x->no_scores = true, x->extra = scores_narrow;
}
static void nan_score(tiny *x) {
    x->scores[259] = (float)strtod("nan", NULL);
}
static void infinite_score(tiny *x) {
    x->scores[5] = (float)strtod("inf", NULL);
}
static void minus_infinite_score(tiny *x) {
    x->scores[6] = (float)strtod("-inf", NULL);
}
static void bpe_nan_score(tiny *x) {
    x->no_scores = false, x->scores[3] = (float)strtod("nan", NULL);
}

static void types_short(build *b) {
    static const int32_t values[3] = {1, 1, 1};
    build_array(b, "tokenizer.ggml.token_type", GGUF_I32, values, 3);
}
static void few_types(tiny *x) {
    x->no_types = true, x->extra = types_short;
}
static void types_narrow(build *b) {
    static const int8_t values[260] = {1};
    build_array(b, "tokenizer.ggml.token_type", GGUF_I8, values, 260);
}
static void narrow_types(tiny *x) {
    x->no_types = true, x->extra = types_narrow;
}
static void no_types(tiny *x) {
    x->no_types = true;
}
static void type_7(tiny *x) {
    x->types[259] = 7;
}
static void type_negative(tiny *x) {
    x->types[259] = -1;
}

static void byte_negative(tiny *x) {
    x->texts[10] = "<0x-1>";
}
static void byte_no_hex(tiny *x) {
    x->texts[10] = "<0xZZ>";
}
static void byte_long(tiny *x) {
    x->texts[10] = "<0x100>";
}
static void byte_short(tiny *x) {
    x->texts[10] = "<0x1>";
}
static void byte_space(tiny *x) {
    x->texts[10] = "<0x 1>";
}
static void byte_empty(tiny *x) {
    x->texts[10] = "";
}
static void byte_twice(tiny *x) {
    tiny_add(x, "<0x41>", 0, TOKEN_BYTE);
}

static void long_text(tiny *x) {
    static char text[64 * 1024 + 2];
    memset(text, 'a', sizeof text - 1);
    tiny_add(x, text, 0, TOKEN_NORMAL);
}
static void long_special(tiny *x) {
    static char text[1026];
    memset(text, 'a', sizeof text - 1);
    tiny_add(x, text, 0, TOKEN_CONTROL);
}

static void bos_beyond(build *b) {
    build_u32(b, "tokenizer.ggml.bos_token_id", 260);
}
static void bad_bos(tiny *x) {
    x->extra = bos_beyond;
}
static void eos_all_ones(build *b) {
    build_u32(b, "tokenizer.ggml.eos_token_id", UINT32_MAX);
}
static void bad_eos(tiny *x) {
    x->extra = eos_all_ones;
}
static void unk_is_str(build *b) {
    build_str(b, "tokenizer.ggml.unknown_token_id", "0");
}
static void bad_unk(tiny *x) {
    x->extra = unk_is_str;
}
static void eot_negative(build *b) {
    build_i32(b, "tokenizer.ggml.eot_token_id", -1);
}
static void bad_eot(tiny *x) {
    x->extra = eot_negative;
}
static void pad_wide(build *b) {
    build_u64(b, "tokenizer.ggml.padding_token_id", UINT64_C(1) << 32);
}
static void bad_pad(tiny *x) {
    x->extra = pad_wide;
}
static void fim_beyond(build *b) {
    build_u32(b, "tokenizer.ggml.fim_pad_token_id", 100000);
}
static void bad_fim(tiny *x) {
    x->extra = fim_beyond;
}
static void add_bos_number(build *b) {
    build_u32(b, "tokenizer.ggml.add_bos_token", 1);
}
static void bad_add_bos(tiny *x) {
    x->extra = add_bos_number;
}
static void prefix_str(build *b) {
    build_str(b, "tokenizer.ggml.add_space_prefix", "yes");
}
static void bad_prefix(tiny *x) {
    x->extra = prefix_str;
}

static void no_merges(tiny *x) {
    x->no_merges = true;
}
static void merge_left(tiny *x) {
    tiny_merge(x, "zz a", NULL);
}
static void merge_right(tiny *x) {
    tiny_merge(x, "a zz", NULL);
}
static void merge_made(tiny *x) {
    tiny_merge(x, "b a", NULL);
}
static void merge_no_space(tiny *x) {
    tiny_merge(x, "ab", NULL);
}
static void merge_empty(tiny *x) {
    tiny_merge(x, "", NULL);
}
static void merge_only_left(tiny *x) {
    tiny_merge(x, "a ", NULL);
}
static void merge_only_space(tiny *x) {
    tiny_merge(x, " ", NULL);
}
static void merge_three(tiny *x) {
    tiny_merge(x, "a b a", NULL);
}
static void merge_no_alphabet(tiny *x) {
    tiny_merge(x, "a \xE2\x96\x81", NULL);
}
static void merge_invalid(tiny *x) {
    tiny_merge(x, "a \xFF", NULL);
}
static void merge_long(tiny *x) {
    static char line[64 * 1024 + 8];
    memset(line, 'a', sizeof line - 1);
    line[1] = ' ';
    tiny_merge(x, line, NULL);
}
static void merges_many(tiny *x) {
    x->n = 200;
    for (int i = 0; i < 801; i++) x->merges[i] = "a b";
    x->n_merges = 801;
}

static void refusals(test *t) {
    static const struct {
        const char *what;
        void (*base)(tiny *x), (*harm)(tiny *x);
        leat_status status;
        const char *message;
    } rows[] = {
        {"no model", spm_base, no_model, LEAT_E_VOCAB, "tokenizer.ggml.model"},
        {"model of wrong type", spm_base, numbered_model, LEAT_E_VOCAB, "tokenizer.ggml.model"},
        {"unknown model", spm_base, unknown_model, LEAT_E_UNSUPPORTED,
         "'hybriddna' is not supported; known are llama, gpt2, gemma4, whitespace, bert, t5, rwkv and "
         "plamo2"},
        {"pre of wrong type", bpe_base, bool_pre, LEAT_E_VOCAB, "tokenizer.ggml.pre"},
        {"no tokens", spm_base, no_tokens, LEAT_E_VOCAB, "tokenizer.ggml.tokens"},
        {"empty tokens", spm_base, empty_tokens, LEAT_E_VOCAB, "tokenizer.ggml.tokens is empty"},
        {"tokens of wrong type", spm_base, number_tokens, LEAT_E_VOCAB, "tokenizer.ggml.tokens"},
        {"no scores", spm_base, no_scores, LEAT_E_VOCAB, "tokenizer.ggml.scores"},
        {"few scores", spm_base, few_scores, LEAT_E_VOCAB,
         "tokenizer.ggml.scores has 3 elements, but there are 260 tokens"},
        {"scores as int8", spm_base, narrow_scores, LEAT_E_VOCAB, "tokenizer.ggml.scores"},
        {"score NaN", spm_base, nan_score, LEAT_E_VOCAB, "tokenizer.ggml.scores of token 259"},
        {"score inf", spm_base, infinite_score, LEAT_E_VOCAB, "tokenizer.ggml.scores of token 5"},
        {"score -inf", spm_base, minus_infinite_score, LEAT_E_VOCAB, "tokenizer.ggml.scores of token 6"},
        {"score NaN in BPE", bpe_base, bpe_nan_score, LEAT_E_VOCAB, "tokenizer.ggml.scores of token 3"},
        {"few types", spm_base, few_types, LEAT_E_VOCAB, "tokenizer.ggml.token_type has 3 elements"},
        {"few types in BPE", bpe_base, few_types, LEAT_E_VOCAB, "tokenizer.ggml.token_type has 3 elements"},
        {"types as int8", spm_base, narrow_types, LEAT_E_VOCAB, "tokenizer.ggml.token_type"},
        {"no types", spm_base, no_types, LEAT_E_VOCAB, "tokenizer.ggml.token_type"},
        {"type 7", spm_base, type_7, LEAT_E_VOCAB, "token_type of token 259 is 7"},
        {"type -1", spm_base, type_negative, LEAT_E_VOCAB, "token_type of token 259 is -1"},
        {"byte <0x-1>", spm_base, byte_negative, LEAT_E_VOCAB, "byte token 10 is '<0x-1>'"},
        {"byte <0xZZ>", spm_base, byte_no_hex, LEAT_E_VOCAB, "byte token 10 is '<0xZZ>'"},
        {"byte <0x100>", spm_base, byte_long, LEAT_E_VOCAB, "byte token 10"},
        {"byte <0x1>", spm_base, byte_short, LEAT_E_VOCAB, "byte token 10"},
        {"byte <0x 1>", spm_base, byte_space, LEAT_E_VOCAB, "byte token 10"},
        {"byte empty", spm_base, byte_empty, LEAT_E_VOCAB, "byte token 10"},
        {"257 bytes", spm_base, byte_twice, LEAT_E_VOCAB, "tokens 68 and 260 are both byte <0x41>"},
        {"long text", spm_base, long_text, LEAT_E_VOCAB, "token 260 has 65537 bytes"},
        {"long special text", spm_base, long_special, LEAT_E_VOCAB,
         "special token 260 has a text of 1025 bytes"},
        {"bos out of range", spm_base, bad_bos, LEAT_E_VOCAB, "tokenizer.ggml.bos_token_id is 260, but"},
        {"eos 2^32-1", spm_base, bad_eos, LEAT_E_VOCAB, "tokenizer.ggml.eos_token_id"},
        {"unk is a string", spm_base, bad_unk, LEAT_E_VOCAB, "tokenizer.ggml.unknown_token_id"},
        {"eot -1", spm_base, bad_eot, LEAT_E_VOCAB, "tokenizer.ggml.eot_token_id"},
        {"pad 2^32", bpe_base, bad_pad, LEAT_E_VOCAB, "tokenizer.ggml.padding_token_id"},
        {"fim_pad out of range", bpe_base, bad_fim, LEAT_E_VOCAB,
         "tokenizer.ggml.fim_pad_token_id is 100000"},
        {"add_bos a number", spm_base, bad_add_bos, LEAT_E_VOCAB, "tokenizer.ggml.add_bos_token"},
        {"add_space_prefix a string", spm_base, bad_prefix, LEAT_E_VOCAB, "tokenizer.ggml.add_space_prefix"},
        {"no merges", bpe_base, no_merges, LEAT_E_VOCAB, "tokenizer.ggml.merges"},
        {"merge: left", bpe_base, merge_left, LEAT_E_VOCAB,
         "merge 1 'zz a' has a left side that is no token"},
        {"merge: right", bpe_base, merge_right, LEAT_E_VOCAB,
         "merge 1 'a zz' has a right side that is no token"},
        {"merge: result", bpe_base, merge_made, LEAT_E_VOCAB, "merge 1 'b a' makes a text that is no token"},
        {"merge: no space", bpe_base, merge_no_space, LEAT_E_VOCAB, "merge 1 'ab' is not two texts"},
        {"merge: empty", bpe_base, merge_empty, LEAT_E_VOCAB, "merge 1 '' is not two texts"},
        {"merge: no right side", bpe_base, merge_only_left, LEAT_E_VOCAB, "merge 1 'a ' is not two texts"},
        {"merge: only a space", bpe_base, merge_only_space, LEAT_E_VOCAB, "merge 1 ' ' is not two texts"},
        {"merge: three sides", bpe_base, merge_three, LEAT_E_VOCAB, "merge 1 'a b a'"},
        {"merge: no byte", bpe_base, merge_no_alphabet, LEAT_E_VOCAB, "merge 1"},
        {"merge: invalid UTF-8", bpe_base, merge_invalid, LEAT_E_VOCAB, "merge 1"},
        {"merge: long", bpe_base, merge_long, LEAT_E_VOCAB, "merge 1 has 65543 bytes"},
        {"merges: too many", bpe_base, merges_many, LEAT_E_VOCAB,
         "tokenizer.ggml.merges has 801 elements for 200 tokens"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tiny *x = tiny_new();
        leat_error e = {0};
        rows[i].base(x);
        rows[i].harm(x);
        leat_status s = tiny_open(x, &e);
        if (s != rows[i].status || !strstr(e.message, rows[i].message) || (s && e.code != s))
            TEST_FAIL(t, "%s: status %d, code %d, \"%s\"", rows[i].what, s, e.code, e.message);
        CHECK_EQ(t, x->v == NULL, s != LEAT_OK);
        tiny_close(x);
    }
}

/* Texts chosen to fall into one slot of the hash table would make loading quadratic: refused after a bounded
 * effort. */
static void collisions(test *t) {
    enum { COPIES = 1100, SLOTS = 4096 };
    tiny *x = tiny_new();
    leat_error e = {0};
    char text[8] = "aaaaaa";
    tiny_spm(x);
    x->n = 3; /* no byte tokens: the others fill the table alone */
    while (x->n < 3 + COPIES) {
        if ((hash_mix(text_hash(text, 6)) & (SLOTS - 1)) == 5)
            tiny_add(x, tiny_keep(x, text, 6), 0, TOKEN_NORMAL);
        for (int i = 0; ++text[i] > 'z'; i++) text[i] = 'a';
    }
    CHECK_EQ(t, tiny_open(x, &e), LEAT_E_VOCAB);
    CHECK(t, strstr(e.message, "token 1027 has the same hash"));
    tiny_close(x);
}

/* Nothing depends on there being somebody to read the message. */
static void error_may_be_null(test *t) {
    tiny *x = tiny_new();
    spm_base(x);
    bad_bos(x);
    CHECK_EQ(t, tiny_open(x, NULL), LEAT_E_VOCAB);
    tiny_close(x);
}

/* What is odd but has one meaning is taken. */
static void oddities(test *t) {
    tiny *x = tiny_new();
    leat_error e = {0};
    tiny_spm(x);
    int first = tiny_add(x, "q", -1, TOKEN_NORMAL);
    tiny_add(x, "q", -2, TOKEN_NORMAL);
    tiny_add(x, "", -3, TOKEN_NORMAL);
    tiny_add(x, "", 0, TOKEN_CONTROL);
    tiny_add(x, "x y", -4, TOKEN_NORMAL);
    tiny_add(x, "\xFF\xC0", -5, TOKEN_NORMAL);
    int32_t ids[8];
    size_t count;
    REQUIRE(t, tiny_open(x, &e) == LEAT_OK);
    CHECK_EQ(t, vocab_tokenize(x->v, "q", 1, 0, ids, 8, &count, &e), LEAT_OK);
    CHECK_EQ(t, ids[count - 1], first);
    CHECK_STR(t, tiny_pieces(x, "x y", 3, 0), " |x| |y|");
    CHECK_EQ(t, vocab_piece(x->v, first + 2, false).n, 0);
    tiny_close(x);
}

#define TESTS(X) X(refusals) X(collisions) X(error_may_be_null) X(oddities)
TEST_SUITE(TESTS)
