/* Fuzz target: vocabulary and text, both from a stranger. Input that starts with "GGUF" is a model file, and
 * the file's own last bytes are the text; any other input is read as a small vocabulary followed by a text,
 * so that most inputs get as far as tokenizing. Checked: bounds, that capacity changes nothing, that the
 * bytes come back where they must, work per byte.
 *
 * Without a fuzzer (LEAT_LIBFUZZER undefined) the program replays the files and folders it is given. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/text/decode.h"
#include "runtime/text/utf8.h"
#include "runtime/text/vocab_impl.h"
#include "tests/loader/gguf_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond)) __builtin_trap();                                                                       \
    } while (0)

enum { MAX_TOKENS = 64, MAX_TEXT = 1 << 16 };

typedef struct input {
    const uint8_t *p;
    size_t n;
} input;

static unsigned take(input *in) {
    if (in->n == 0) return 0;
    in->n--;
    return *in->p++;
}

/* `lossless`: every byte has a token and nothing is put between, so the pieces must spell the text. */
static void tokenize(const vocab *v, const char *text, size_t n, unsigned flags, bool lossless) {
    leat_error e;
    size_t bound = vocab_bound(v, n), count, again;
    int32_t *ids = malloc(bound * sizeof *ids + 1);
    MUST(ids);
    tokenization run = {.v = v, .tokens = ids, .capacity = bound};
    leat_status s = tokenization_run(&run, text, n, flags, &e);
    count = run.count;
    MUST(s == LEAT_OK || s == LEAT_E_VOCAB);
    /* A place of a lattice costs the longest token at most, and a charsmap makes more of the text. */
    uint64_t places = n * (1 + (uint64_t)v->map.longest) + 16;
    MUST(run.m.work <= (has_trie(v) ? 40 + 2 * (uint64_t)v->longest : 40) * places);
    tokenization_close(&run);
    if (s == LEAT_OK) {
        MUST(count <= bound);
        MUST(vocab_tokenize(v, text, n, flags, NULL, 0, &again, &e) == (count ? LEAT_E_LIMIT : LEAT_OK) &&
             again == count);
        text_decoder d;
        size_t at = 0;
        MUST(text_decoder_init(&d, vocab_longest_piece(v), vocab_space_prefix(v), &e) == LEAT_OK);
        for (size_t i = 0; i < count; i++) {
            MUST(ids[i] >= 0 && (uint32_t)ids[i] < vocab_size(v));
            str piece = vocab_piece(v, ids[i], true);
            if (lossless) MUST(piece.n <= n - at && memcmp(piece.p, text + at, piece.n) == 0);
            at += piece.n;
            str shown = text_decoder_push(&d, piece);
            MUST(utf8_valid(shown.p, shown.n));
        }
        MUST(!lossless || at == n);
        text_decoder_finish(&d);
        text_decoder_free(&d);
    }
    free(ids);
}

static void run_file(const uint8_t *data, size_t size, const uint8_t *text, size_t n, bool lossless) {
    gguf g;
    vocab *v;
    leat_error e;
    if (gguf_parse(data, size, &g, &e)) return;
    if (vocab_open(&g, &v, &e) == LEAT_OK) {
        tokenize(v, (const char *)text, n, 0, lossless && !vocab_space_prefix(v));
        tokenize(v, (const char *)text, n, VOCAB_BOS | VOCAB_SPECIAL | VOCAB_EOS, false);
        vocab_close(v);
    } else {
        MUST(e.message[0] && e.code);
    }
    gguf_free(&g);
}

/* A byte as byte-level BPE spells it. */
static size_t spell(unsigned byte, char *out) {
    unsigned cp = byte <= 0x20                   ? 0x100 + byte
                  : byte >= 0x7F && byte <= 0xA0 ? 0x121 + byte - 0x7F
                  : byte == 0xAD                 ? 0x143
                                                 : byte;
    return utf8_encode(cp, out);
}

/* Text of a token: pieces of a few characters, so that texts meet tokens often. */
static size_t take_text(input *in, bool bpe, char *out) {
    static const char *const some[8] = {"a", "b", "ab", "\xE2\x96\x81", "\xC3\xA9", "<", "\n", "\xFF"};
    size_t n = 0, parts = take(in) % 5;
    for (size_t k = 0; k < parts; k++) {
        unsigned b = take(in);
        if (b >= 128)
            n += bpe ? spell(b & 127, out + n) : utf8_encode(b & 127, out + n);
        else if (bpe)
            for (const char *p = some[b % 8]; *p; p++) n += spell((unsigned char)*p, out + n);
        else
            for (const char *p = some[b % 8]; *p; p++) out[n++] = *p;
    }
    out[n] = 0;
    return n;
}

/* What the input's first byte chooses: bits 7 and 6 the pair, bit 0 which of it. */
static const struct made_kind {
    const char *model;
    bool spelled; /* in the alphabet of bytes */
    bool merges;
} kinds[8] = {{"llama", false, false},  {"gpt2", true, true},       {"t5", false, false},
              {"plamo2", false, false}, {"bert", false, false},     {"rwkv", false, false},
              {"gemma4", false, true},  {"whitespace", false, true}};

/* The bytes of all byte values, as the kind has them; 0: it has none. */
static unsigned byte_tokens(const struct made_kind *kind, char room[][64], int32_t *types) {
    bool rwkv = !strcmp(kind->model, "rwkv");
    if (!strcmp(kind->model, "bert")) return 0;
    for (unsigned b = 0; b < 256; b++) {
        if (kind->spelled)
            room[b][spell(b, room[b])] = 0;
        else
            snprintf(room[b], sizeof room[b], rwkv ? "\\x%02x" : "<0x%02X>", b);
        types[b] = kind->spelled || rwkv ? TOKEN_NORMAL : TOKEN_BYTE;
    }
    return 256;
}

/* Must the pieces spell the text? Where every byte has a token, but for what the kinds are known to change.
 */
static bool spells(const struct made_kind *kind, const uint8_t *p, size_t n) {
    const char *model = kind->model;
    if (!strcmp(model, "t5") || !strcmp(model, "bert") || !strcmp(model, "whitespace")) return false;
    for (size_t i = 0; i + 2 < n; i++) {
        bool space = !memcmp(p + i, "\xE2\x96\x81", 3), mark = !memcmp(p + i, "\xEF\xBB\xBF", 3);
        if (space && (!strcmp(model, "llama") || !strcmp(model, "gemma4")))
            return false;                                   /* taken for a space */
        if (mark && !strcmp(model, "plamo2")) return false; /* dropped at the start */
    }
    return true;
}

static void put_charsmap(build *b, input *in) {
    static const char texts[] = "aa\0 \0\xC3\xA9";
    static uint8_t bytes[4 + 4 * 256 + sizeof texts];
    uint32_t n = 4 * (1 + take(in) % 255u);
    memcpy(bytes, &n, 4);
    for (uint32_t i = 0; i < n; i++) bytes[4 + i] = (uint8_t)take(in);
    memcpy(bytes + 4 + n, texts, sizeof texts);
    build_array(b, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, bytes, 4 + n + sizeof texts);
}

static void run_made(input *in) {
    static char room[MAX_TOKENS + 256][64], lines[MAX_TOKENS][128];
    static const char *texts[MAX_TOKENS + 256], *merges[MAX_TOKENS];
    static float scores[MAX_TOKENS + 256];
    static int32_t types[MAX_TOKENS + 256];
    static const char *const pres[32] = {
        "gpt-2",          "llama-bpe",  "qwen2",       "starcoder",
        "default",        "dbrx",       "gpt-2",       "what",
        "falcon",         "qwen35",     "tekken",      "gpt-4o",
        "tiny_aya",       "youtu",      "kimi-k2",     "superbpe",
        "bailingmoe",     "seed-coder", "afmoe",       "laguna",
        "exaone-moe",     "minicpm5",   "deepseek-v3", "deepseek-llm",
        "spark2_5",       "bloom",      "viking",      "chameleon",
        "deepseek-coder", "jais-2",     "ufakzeka",    "granite-embed-multi-97m"};
    unsigned flags = take(in), count = take(in), n_tokens = count % MAX_TOKENS, n = 0, n_merges = 0;
    const struct made_kind *kind = &kinds[(flags >> 6) * 2 + (flags & 1)];
    bool bytes = !(flags & 2), prefix = flags & 4;
    if (bytes) n = byte_tokens(kind, room, types);
    memset(scores, 0, sizeof scores);
    for (unsigned k = 0; k < n_tokens; k++, n++) {
        unsigned type = take(in);
        types[n] = type < 200 ? TOKEN_NORMAL : (int32_t)(type % 8);
        scores[n] = -(float)(take(in) % 16);
        take_text(in, kind->spelled, room[n]);
        if (kind->merges && (type & 1) && n >= 2 && n_merges < MAX_TOKENS) { /* made of two others */
            unsigned left = take(in) * 7 % n, right = take(in) * 5 % n;
            if (strlen(room[left]) + strlen(room[right]) < 60) {
                size_t n_left = strlen(room[left]);
                memcpy(room[n], room[left], n_left);
                memcpy(room[n] + n_left, room[right], strlen(room[right]) + 1);
                char *line = lines[n_merges];
                memcpy(line, room[n], n_left);
                line[n_left] = ' ';
                memcpy(line + n_left + 1, room[right], strlen(room[right]) + 1);
                merges[n_merges] = line;
                n_merges++;
            }
        }
    }
    for (unsigned k = 0; k < n; k++) texts[k] = room[k];
    build *b = build_open();
    build_str(b, "tokenizer.ggml.model", kind->model);
    build_str(b, "tokenizer.ggml.pre", pres[(count >> 6) * 8 + (flags >> 3 & 7)]);
    build_str_array(b, "tokenizer.ggml.tokens", texts, n);
    build_array(b, "tokenizer.ggml.scores", GGUF_F32, scores, n);
    build_array(b, "tokenizer.ggml.token_type", GGUF_I32, types, n);
    if (kind->merges) build_str_array(b, "tokenizer.ggml.merges", merges, n_merges);
    build_bool(b, "tokenizer.ggml.add_space_prefix", prefix);
    build_bool(b, "tokenizer.ggml.remove_extra_whitespaces", flags & 8);
    if (!strcmp(kind->model, "t5") && (flags & 16)) put_charsmap(b, in);
    size_t size, n_text = in->n < MAX_TEXT ? in->n : MAX_TEXT;
    const uint8_t *file = build_finish(b, &size);
    run_file(file, size, in->p, n_text, bytes && spells(kind, in->p, n_text));
    build_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= 4 && memcmp(data, "GGUF", 4) == 0) {
        size_t n = size < 4096 ? size : 4096;
        run_file(data, size, data + size - n, n, false);
    } else {
        input in = {data, size};
        run_made(&in);
    }
    return 0;
}

#include "replay.h"
