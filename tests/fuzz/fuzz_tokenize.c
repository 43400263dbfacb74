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
    MUST(run.m.work <= 40 * (uint64_t)n + 100);
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

static void run_made(input *in) {
    static char room[MAX_TOKENS + 256][64], lines[MAX_TOKENS][128];
    static const char *texts[MAX_TOKENS + 256], *merges[MAX_TOKENS];
    static float scores[MAX_TOKENS + 256];
    static int32_t types[MAX_TOKENS + 256];
    static const char *const pres[8] = {"gpt-2",   "llama-bpe", "qwen2", "starcoder",
                                        "default", "dbrx",      "gpt-2", "what"};
    unsigned flags = take(in), n_tokens = take(in) % MAX_TOKENS, n = 0, n_merges = 0;
    bool bpe = flags & 1, bytes = !(flags & 2), prefix = flags & 4;
    if (bytes)
        for (unsigned b = 0; b < 256; b++, n++) {
            if (bpe)
                room[n][spell(b, room[n])] = 0;
            else
                snprintf(room[n], sizeof room[n], "<0x%02X>", b);
            types[n] = bpe ? TOKEN_NORMAL : TOKEN_BYTE;
            scores[n] = 0;
        }
    for (unsigned k = 0; k < n_tokens; k++, n++) {
        unsigned kind = take(in);
        types[n] = kind < 200 ? TOKEN_NORMAL : (int32_t)(kind % 8);
        scores[n] = -(float)(take(in) % 16);
        take_text(in, bpe, room[n]);
        if (bpe && (kind & 1) && n >= 2 && n_merges < MAX_TOKENS) { /* made of two others */
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
    build_str(b, "tokenizer.ggml.model", bpe ? "gpt2" : "llama");
    build_str(b, "tokenizer.ggml.pre", pres[flags >> 3 & 7]);
    build_str_array(b, "tokenizer.ggml.tokens", texts, n);
    build_array(b, "tokenizer.ggml.scores", GGUF_F32, scores, n);
    build_array(b, "tokenizer.ggml.token_type", GGUF_I32, types, n);
    if (bpe) build_str_array(b, "tokenizer.ggml.merges", merges, n_merges);
    build_bool(b, "tokenizer.ggml.add_space_prefix", prefix);
    size_t size, n_text = in->n < MAX_TEXT ? in->n : MAX_TEXT;
    const uint8_t *file = build_finish(b, &size);
    bool lossless = bytes;
    for (size_t i = 0; i + 2 < n_text && !bpe; i++) /* SPM takes U+2581 for a space */
        lossless = lossless && memcmp(in->p + i, "\xE2\x96\x81", 3) != 0;
    run_file(file, size, in->p, n_text, lossless);
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

#ifndef LEAT_LIBFUZZER
#    include <dirent.h>

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 0;
    }
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    uint8_t *bytes =
        malloc(size > 0 ? (size_t)size : 1); /* exactly as long, so that a sanitizer sees a read beyond */
    bool whole = bytes && size >= 0 && fread(bytes, 1, (size_t)size, f) == (size_t)size;
    fclose(f);
    if (whole) LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
    return whole;
}

int main(int argc, char **argv) {
    int replayed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            if (!replay_file(argv[i])) return 1;
            replayed++;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            replayed += replay_file(path);
        }
        closedir(folder);
    }
    printf("%d files replayed\n", replayed);
    return 0;
}
#endif
