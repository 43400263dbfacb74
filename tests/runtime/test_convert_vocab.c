/* Vocabularies of Hugging Face folders: tokenizer.json of each kind, vocab.json with merges.txt, added
 * tokens, roles, templates, sampling, and which pre-tokenizer is meant. The weights around them are a random
 * model's. */
#include "convert_subject.h"

static double real_at(const gguf *g, const char *key, uint64_t i) {
    const gguf_kv *kv = gguf_find(g, key);
    return kv && i < kv->count ? gguf_kv_f64(kv, i) : -1e9;
}

/* ---- pre-tokenizers ---- */

#define SPLIT(regex)   "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\"}"
#define LEVEL          "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SEQUENCE(list) "{\"type\":\"Sequence\",\"pretokenizers\":[" list "]}"
#define CONTRACTED     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
#define REST           "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define CASES                                                                                                \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*"                          \
    "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"

/* As in the tokenizer.json of the models that gave the names. */
static const struct {
    const char *pre, *name, *more;
} pres[] = {
    {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}", "gpt-2", ""},
    {SEQUENCE(SPLIT(CONTRACTED "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}" REST) "," LEVEL),
     "llama-bpe", ",\"ignore_merges\":true"},
    {SEQUENCE(SPLIT(CONTRACTED "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}" REST) "," LEVEL),
     "dbrx", ""},
    {SEQUENCE(SPLIT(CONTRACTED "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" REST) "," LEVEL), "qwen2",
     ""},
    {SEQUENCE(SPLIT(CONTRACTED "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{L}\\\\p{M}]+|\\\\p{N}| "
                               "?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!"
                               "\\\\S)|\\\\s+") "," LEVEL),
     "qwen35", ""},
    {SEQUENCE(SPLIT(CASES
                    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*"
                    "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+") "," LEVEL),
     "gpt-4o", ""},
    {SEQUENCE(SPLIT(CASES
                    "|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|"
                    "\\\\s+") "," LEVEL),
     "tekken", ",\"ignore_merges\":true"},
    {SEQUENCE(SPLIT("\\\\p{N}{1,3}") "," SPLIT("[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+") "," SPLIT(
         "[!\\\"#$%&'()*+,\\\\-./:;<=>?@\\\\[\\\\\\\\\\\\]^_`{|}~][A-Za-z]+|[^\\\\r\\\\n\\\\p{L}"
         "\\\\p{P}\\\\p{S}]?[\\\\p{L}\\\\p{M}]+| ?[\\\\p{P}\\\\p{S}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+"
         "|\\\\s+(?!\\\\S)|\\\\s+") "," LEVEL),
     "deepseek-v3", ""},
    {SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":true}"
              ","
              "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"),
     "starcoder", ""},
    {SEQUENCE("{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}"
              ","
              "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
              ","
              "{\"type\":\"Digits\",\"individual_digits\":false}"
              "," SPLIT("[0-9][0-9][0-9]")),
     "falcon", ""},
};

static void pre_tokenizers(test *t) {
    subject s;
    REQUIRE(t, subject_open(t, &s));
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        char text[4096];
        snprintf(text, sizeof text,
                 "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]%s},"
                 "\"pre_tokenizer\":%s}",
                 pres[i].more, pres[i].pre);
        put(&s, "tokenizer.json", text);
        const gguf *g = convert(t, &s);
        if (!g) continue;
        CHECK_TEXT(t, g, "tokenizer.ggml.pre", 0, pres[i].name);
        CHECK_STR(t, s.warned, "");
    }
    put(&s, "tokenizer.json",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]},"
        "\"pre_tokenizer\":" SEQUENCE(SPLIT("[a-q]+") "," LEVEL) "}");
    const gguf *g = convert(t, &s);
    CHECK(t, g && !gguf_find(g, "tokenizer.ggml.pre"));
    CHECK(t, strstr(s.warned, "pre is left out"));
    subject_close(&s);
}

/* ---- BPE of bytes ---- */

static void byte_level(test *t) {
    subject s;
    REQUIRE(t, subject_open(t, &s));
    put(&s, "tokenizer.json",
        "{\"added_tokens\":[{\"id\":4,\"content\":\"<|im_end|>\",\"special\":true},"
        "{\"id\":6,\"content\":\"<tool>\",\"special\":false},"
        "{\"id\":900,\"content\":\"<beyond>\",\"special\":true}],"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\u0120a\":3,\"\u0120\":5},"
        "\"merges\":[[\"a\",\"b\"],[\" \",\"a\"]]}}");
    put(&s, "tokenizer_config.json",
        "{\"bos_token\":null,\"eos_token\":{\"content\":\"<|im_end|>\"},\"pad_token\":\"<tool>\","
        "\"add_bos_token\":false,\"chat_template\":[{\"name\":\"default\",\"template\":\"{{ 1 }}\"},"
        "{\"name\":\"tool_use\",\"template\":\"{{ 2 }}\"}]}");
    put(&s, "generation_config.json",
        "{\"eos_token_id\":[4,2,3],\"temperature\":0.7,\"top_k\":20,\"top_p\":0.8,\"repetition_penalty\":1."
        "05}");
    const gguf *g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "gpt2");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 2, "ab");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 4, "<|im_end|>");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 7, "[PAD7]");
    CHECK_EQ(t, gguf_find(g, "tokenizer.ggml.tokens")->count, N_VOCAB);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 2), 1);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 4), 3);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 6), 4);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 7), 5);
    CHECK_TEXT(t, g, "tokenizer.ggml.merges", 0, "a b");
    CHECK_TEXT(t, g, "tokenizer.ggml.merges", 1, "\u0120 a");
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.eos_token_id", 0), 4);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.eot_token_id", 0), 2);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.eom_token_id", 0), 3);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.padding_token_id", 0), 6);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.add_bos_token", 0), 0);
    CHECK_TEXT(t, g, "tokenizer.chat_template", 0, "{{ 1 }}");
    CHECK_TEXT(t, g, "tokenizer.chat_template.tool_use", 0, "{{ 2 }}");
    CHECK_TEXT(t, g, "tokenizer.chat_templates", 0, "tool_use");
    CHECK_EQ(t, number_at(g, "general.sampling.top_k", 0), 20);
    CHECK(t, (float)real_at(g, "general.sampling.temp", 0) == 0.7f);
    CHECK(t, (float)real_at(g, "general.sampling.top_p", 0) == 0.8f);
    CHECK(t, strstr(s.warned, "<beyond>"));
    /* a file of its own goes before what the configuration has */
    put(&s, "chat_template.jinja", "{{ 3 }}");
    g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.chat_template", 0, "{{ 3 }}");
    subject_close(&s);
}

static void two_files(test *t) {
    subject s;
    REQUIRE(t, subject_open(t, &s));
    CHECK_EQ(t, leat_convert(s.f.path, folder_file(&s.f, "b.gguf"), NULL, &s.e), LEAT_E_MISSING);
    put(&s, "vocab.json", "{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}");
    put(&s, "merges.txt", "#version: 0.2\na b\r\n");
    put(&s, "special_tokens_map.json", "{\"eos_token\":\"<|endoftext|>\",\"bos_token\":\"<|endoftext|>\"}");
    const gguf *g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.merges", 0, "a b");
    CHECK_TEXT(t, g, "tokenizer.ggml.pre", 0, "gpt-2");
    CHECK_EQ(t, gguf_find(g, "tokenizer.ggml.merges")->count, 1);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.eos_token_id", 0), 3);
    subject_close(&s);
}

/* ---- the others ---- */

static void characters(test *t) {
    subject s;
    REQUIRE(t, subject_open(t, &s));
    put(&s, "tokenizer.json",
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
        "\"\u2581\"}]},"
        "\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":1,\"content\":\"<s>\","
        "\"special\":true}],"
        "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"<unk>\",\"vocab\":{\"<unk>\":0,"
        "\"<s>\":1,"
        "\"<0x0A>\":2,\"a\":3,\"b\":4,\"c\":5,\"bc\":6,\"ab\":7},\"merges\":[\"b c\",\"a b\"]}}");
    const gguf *g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "llama");
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 0), 2);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 1), 3);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 2), 6);
    CHECK(t, real_at(g, "tokenizer.ggml.scores", 6) > real_at(g, "tokenizer.ggml.scores", 7));
    CHECK(t, real_at(g, "tokenizer.ggml.scores", 7) > real_at(g, "tokenizer.ggml.scores", 3));
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.add_space_prefix", 0), 1);
    CHECK(t, !gguf_find(g, "tokenizer.ggml.merges"));
    subject_close(&s);
}

static void unigram(test *t) {
    subject s;
    REQUIRE(t, subject_open(t, &s));
    put(&s, "tokenizer.json",
        "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAAA\"},"
        "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"always\"},"
        "\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"<pad>\",0],[\"<unk>\",0],[\"\u2581a\",-2."
        "5]]}}");
    const gguf *g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "t5");
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 1), 2);
    CHECK(t, real_at(g, "tokenizer.ggml.scores", 2) == -2.5);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.precompiled_charsmap", 0), 4);
    put(&s, "tokenizer.json",
        "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true},"
        "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[CLS]\":0,\"a\":1,\"##b\":2}}}");
    g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "bert");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 0, "[CLS]");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 1,
               "\u2581"
               "a");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 2, "b");
    subject_close(&s);
}

/* BERT's own form: a token a line, and nothing else in the folder. */
static void lines(test *t) {
    subject s;
    REQUIRE(t, subject_open(t, &s));
    put(&s, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\r\n[SEP]\nthe\n##s\n");
    const gguf *g = convert(t, &s);
    REQUIRE(t, g);
    CHECK_TEXT(t, g, "tokenizer.ggml.model", 0, "bert");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 2, "[CLS]");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 4, "\u2581the");
    CHECK_TEXT(t, g, "tokenizer.ggml.tokens", 5, "s");
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 1), 2);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.token_type", 2), 3);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.bos_token_id", 0), 2);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.eos_token_id", 0), 3);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.padding_token_id", 0), 0);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.add_bos_token", 0), 1);
    CHECK_EQ(t, number_at(g, "tokenizer.ggml.normalizer.lowercase", 0), 1);
    subject_close(&s);
}

/* ---- what would be ignored ---- */

#define BYTES_MODEL                                                                                          \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]},"                \
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"
#define CHARACTERS(vocab, merges)                                                                            \
    "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{" vocab "},\"merges\":[" merges "]}"
#define PIECES  CHARACTERS("\"a\":0,\"b\":1,\"ab\":2", "\"a b\"")
#define UNIGRAM "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1]]}"
#define WORDS   "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[CLS]\":0,\"a\":1,\"##b\":2}}"
#define BOTH(text)                                                                                           \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Sequence\",\"normalizers\":[" text "]}]}"

static void not_followed(test *t) {
    static const struct {
        const char *text;
        leat_status status;
        const char *said; /* the error or the warning; "": none */
    } cases[] = {
        {CHARACTERS("\"a\":0,\"b\":1,\"ab\":1", "\"a b\""), LEAT_E_VOCAB,
         "\"b\" and \"ab\" are both number 1"},
        {CHARACTERS("\"a\":0,\"b\":-1", ""), LEAT_E_VOCAB, "\"b\" has no number"},
        {CHARACTERS("\"a\":0,\"b\":1,\"ab\":2", "\"a b\",\"qq b\""), LEAT_E_VOCAB,
         "\"qq b\" is of \"qq\", which is no token"},
        {CHARACTERS("\"a\":0,\"b\":1,\"ab\":2", "\"a b\",[\"a\",\"zz\"]"), LEAT_E_VOCAB, "of \"zz\""},
        /* one side has no row in the model: what is left works */
        {CHARACTERS("\"a\":0,\"b\":1,\"ab\":2,\"zz\":900", "\"a b\",\"a zz\""), LEAT_OK, "\"zz\""},
        {BYTES_MODEL ",\"normalizer\":{\"type\":\"Lowercase\"}", LEAT_E_UNSUPPORTED, "\"Lowercase\""},
        {BYTES_MODEL ",\"normalizer\":" BOTH("{\"type\":\"StripAccents\"}"), LEAT_E_UNSUPPORTED,
         "StripAccents"},
        {BYTES_MODEL ",\"normalizer\":" BOTH("{\"type\":\"NFC\"}"), LEAT_OK, "(NFC)"},
        {BYTES_MODEL ",\"normalizer\":" BOTH(""), LEAT_OK, ""},
        {PIECES ",\"normalizer\":" BOTH("{\"type\":\"Prepend\",\"prepend\":\"\u2581\"},{\"type\":\"Replace\","
                                        "\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}"),
         LEAT_OK, ""},
        {PIECES ",\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"x\"}", LEAT_E_UNSUPPORTED,
         "\"Prepend\""},
        {PIECES ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"y\"}",
         LEAT_OK, "(Replace)"},
        {PIECES ",\"normalizer\":" BOTH("{\"type\":\"Lowercase\"}"), LEAT_E_UNSUPPORTED, "(llama)"},
        {PIECES ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":"
                "\"MergedWithPrevious\"}",
         LEAT_OK, ""},
        {PIECES ",\"pre_tokenizer\":" SPLIT("foo.*"), LEAT_OK, "(Split) is not followed"},
        {PIECES ",\"pre_tokenizer\":" SEQUENCE("{\"type\":\"Metaspace\"},{\"type\":\"Digits\"}"), LEAT_OK,
         "(Digits)"},
        {UNIGRAM ",\"pre_tokenizer\":" SEQUENCE("{\"type\":\"WhitespaceSplit\"},{\"type\":\"Metaspace\"}"),
         LEAT_OK, ""},
        {UNIGRAM ",\"normalizer\":{\"type\":\"Lowercase\"}", LEAT_E_UNSUPPORTED, "(t5)"},
        {UNIGRAM ",\"pre_tokenizer\":{\"type\":\"Punctuation\"}", LEAT_OK, "(Punctuation)"},
        {WORDS ",\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null},"
               "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}",
         LEAT_OK, ""},
        {WORDS ",\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":false}",
         LEAT_OK, "(BertNormalizer)"},
        {WORDS ",\"pre_tokenizer\":{\"type\":\"Whitespace\"}", LEAT_OK, "(Whitespace)"},
    };
    subject s;
    REQUIRE(t, subject_open(t, &s));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        snprintf(text, sizeof text, "{%s}", cases[i].text);
        put(&s, "tokenizer.json", text);
        if (cases[i].status) {
            leat_status got = leat_convert(s.f.path, folder_file(&s.f, "c.gguf"), NULL, &s.e);
            if (got != cases[i].status || !strstr(s.e.message, cases[i].said))
                TEST_FAIL(t, "%s: %d (%s)", text, got, s.e.message);
        } else if (convert(t, &s) && (!*cases[i].said != !*s.warned || !strstr(s.warned, cases[i].said))) {
            TEST_FAIL(t, "%s: \"%s\"", text, s.warned);
        }
    }
    CHECK(t, access(folder_file(&s.f, "c.gguf"), F_OK) != 0);
    subject_close(&s);
}

/* ---- what is put around texts ---- */

#define ENDS_MODEL                                                                                           \
    "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[PAD]\":0,\"[CLS]\":1,\"[SEP]\":2,\"[END]\":3,\"a\":4}}"
#define SPECIAL(text) "{\"SpecialToken\":{\"id\":\"" text "\",\"type_id\":0}}"
#define TEXT(id)      "{\"Sequence\":{\"id\":\"" id "\",\"type_id\":0}}"

static void borders(test *t) {
    static const struct {
        const char *processor, *config;
        int bos, eos, eot, before, after, between; /* ids, and flags; -1: not said */
    } cases[] = {
        {"{\"type\":\"TemplateProcessing\",\"single\":[" SPECIAL("[CLS]") "," TEXT("A") "," SPECIAL("[SEP]") "],\"pair\":[" SPECIAL(
             "[CLS]") "," TEXT("A") "," SPECIAL("[SEP]") "," TEXT("B") "," SPECIAL("[SEP]") "]}",
         "{\"cls_token\":\"[CLS]\",\"sep_token\":\"[SEP]\"}", 1, 2, -1, 1, 1, 0},
        {"{\"type\":\"RobertaProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]}",
         "{\"bos_token\":\"[CLS]\",\"eos_token\":\"[SEP]\"}", 1, 2, -1, 1, 1, 1},
        {"{\"type\":\"TemplateProcessing\",\"single\":[" SPECIAL("[CLS]") "," TEXT("A") "," SPECIAL("[SEP]") "],\"pair\":[" SPECIAL(
             "[CLS]") "," TEXT("A") "," SPECIAL("[SEP]") "," SPECIAL("[SEP]") "," TEXT("B") "," SPECIAL("[SEP"
                                                                                                        "]") "]}",
         "{\"bos_token\":\"[CLS]\",\"eos_token\":\"[SEP]\"}", 1, 2, -1, 1, 1, 1},
        /* texts end otherwise than answers */
        {"{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\","
         "\"single\":[" TEXT("A") "," SPECIAL("[END]") "]}]}",
         "{\"eos_token\":\"[SEP]\"}", 1, 3, 2, 0, 1, -1},
        {"{\"type\":\"TemplateProcessing\",\"single\":[" SPECIAL("[CLS]") "," SPECIAL("[END]") "," TEXT(
             "A") "]}",
         "{\"bos_token\":\"[CLS]\",\"eos_token\":\"[SEP]\"}", 1, 2, -1, 1, 0, -1},
        {"null", "{\"eos_token\":\"[SEP]\",\"add_eos_token\":true}", 1, 2, -1, -1, 1, -1},
    };
    subject s;
    REQUIRE(t, subject_open(t, &s));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        snprintf(text, sizeof text, "{" ENDS_MODEL ",\"post_processor\":%s}", cases[i].processor);
        put(&s, "tokenizer.json", text);
        put(&s, "tokenizer_config.json", cases[i].config);
        const gguf *g = convert(t, &s);
        if (!g) continue;
        CHECK_EQ(t, number_at(g, "tokenizer.ggml.bos_token_id", 0), cases[i].bos);
        CHECK_EQ(t, number_at(g, "tokenizer.ggml.eos_token_id", 0), cases[i].eos);
        CHECK_EQ(t, number_at(g, "tokenizer.ggml.eot_token_id", 0), cases[i].eot);
        CHECK_EQ(t, number_at(g, "tokenizer.ggml.add_bos_token", 0), cases[i].before);
        CHECK_EQ(t, number_at(g, "tokenizer.ggml.add_eos_token", 0), cases[i].after);
        CHECK_EQ(t, number_at(g, "tokenizer.ggml.add_sep_token", 0), cases[i].between);
    }
    subject_close(&s);
}

/* ---- golden data ---- */

/* The whole way: a published folder, and the text it is known to write. */
static void tiny_stories(test *t) {
    char path[512], golden[512];
    folder f;
    leat_error e;
    leat_model *model = NULL;
    leat_session *s = NULL;
    leat_decoder *d = NULL;
    leat_session_params p;
    size_t n = 0;
    if (!golden_path("models/TinyStories-656K", path) ||
        !golden_path("models/TinyStories-656K.greedy.txt", golden))
        SKIP(t, "no golden data (../shared/models)");
    REQUIRE(t, folder_make(&f));
    const char *out = folder_file(&f, "m.gguf");
    char *expected = (char *)file_get(golden, &n), text[4096];
    leat_session_params_default(&p);
    p.k_type = p.v_type = LEAT_KV_F32;
    bool good = expected && !leat_convert(path, out, NULL, &e) && !leat_model_open(out, NULL, &model, &e) &&
                !leat_session_open(model, &p, &s, &e) && !leat_decoder_open(model, true, &d, &e);
    if (!good) TEST_FAIL(t, "%s", e.message);
    while (good && n && expected[n - 1] == '\n') n--;
    size_t length = 0;
    leat_token token = good ? leat_token_bos(model) : 0;
    while (good && length < n) {
        uint32_t best = 0;
        good = !leat_session_eval(s, &token, 1, &e);
        const float *logits = good ? leat_session_logits(s, 0) : NULL;
        for (uint32_t i = 1; logits && i < 2048; i++)
            if (logits[i] > logits[best]) best = i;
        token = (leat_token)best;
        leat_str piece = leat_decoder_push(d, token);
        if (length + piece.size >= sizeof text) break;
        memcpy(text + length, piece.data, piece.size);
        length += piece.size;
    }
    CHECK(t, good && length >= n && !memcmp(text, expected, n));
    leat_decoder_close(d);
    leat_session_close(s);
    leat_model_close(model);
    free(expected);
    folder_remove(&f);
}

#define TESTS(X)                                                                                             \
    X(pre_tokenizers)                                                                                        \
    X(byte_level)                                                                                            \
    X(two_files) X(characters) X(unigram) X(lines) X(not_followed) X(borders) X(tiny_stories)
TEST_SUITE(TESTS)
