/* From the text of a token, as a file spells it, to the bytes it stands for: each kind of vocabulary has its
 * own spelling. Called by vocab_load.c for tokens and by vocab_merges.c for the two sides of a merge. */
#include "vocab_load.h"

#include <string.h>

#include "utf8.h"

/* GPT-2's alphabet, by which byte-level BPE spells bytes as printable characters: U+0021..U+007E,
 * U+00A1..U+00AC and U+00AE..U+00FF are the byte of that number; U+0100 and on are the other bytes,
 * ascending. */
void vocab_byte_alphabet(int16_t byte_of[0x144]) {
    int other = 0x100;
    for (int i = 0; i < 0x144; i++) byte_of[i] = -1;
    for (int b = 0; b < 256; b++) {
        bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        byte_of[itself ? b : other++] = (int16_t)b;
    }
}

/* Text in that alphabet to bytes; false if a character is not of it. Never longer than the text. */
bool vocab_decode_byte_level(const int16_t byte_of[0x144], str text, char *out, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t cp;
        i += utf8_decode(text.p + i, text.n - i, &cp);
        if (cp >= 0x144 || byte_of[cp] < 0) return false;
        out[(*n)++] = (char)byte_of[cp];
    }
    return true;
}

/* SentencePiece's text to bytes: U+2581 is a space. False if it holds spaces of its own: no input is ever
 * spelled so. */
bool vocab_decode_spaces(str text, char *out, size_t *n) {
    bool plain = true;
    *n = 0;
    for (size_t i = 0; i < text.n;) {
        if (text.n - i >= 3 && memcmp(text.p + i, "\xE2\x96\x81", 3) == 0) {
            out[(*n)++] = ' ';
            i += 3;
            continue;
        }
        plain = plain && text.p[i] != ' ';
        out[(*n)++] = text.p[i++];
    }
    return plain;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte token is exactly <0xHH>. */
static leat_status decode_byte_token(vocab *v, uint32_t t, str text, char *out, size_t *n, leat_error *e) {
    int high = -1, low = -1;
    if (text.n == 6 && memcmp(text.p, "<0x", 3) == 0 && text.p[5] == '>') {
        high = hex_digit(text.p[3]);
        low = hex_digit(text.p[4]);
    }
    if (high < 0 || low < 0)
        return error_set(e, LEAT_E_VOCAB, "byte token %u is '%.*s', not of the form <0xHH>", (unsigned)t,
                         text.n < 64 ? (int)text.n : 64, text.p);
    unsigned byte = (unsigned)(high * 16 + low);
    if (v->byte_token[byte] != VOCAB_NONE)
        return error_set(e, LEAT_E_VOCAB, "tokens %u and %u are both byte <0x%02X>",
                         (unsigned)v->byte_token[byte], (unsigned)t, byte);
    v->byte_token[byte] = t;
    *out = (char)byte;
    *n = 1;
    return LEAT_OK;
}

/* RWKV's text to bytes: \t, \n, \r, \xHH, and \ before anything else means that. Never longer than the text.
 */
static bool decode_escapes(str text, char *out, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\\' && ++i < text.n) {
            c = text.p[i];
            if (c == 'x') {
                int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1,
                    low = high < 0 ? -1 : hex_digit(text.p[i + 2]);
                if (low < 0) return false;
                c = (char)(high * 16 + low);
                i += 2;
            } else if (c == 't' || c == 'n' || c == 'r') {
                c = c == 't' ? '\t' : c == 'n' ? '\n' : '\r';
            }
        }
        out[(*n)++] = c;
    }
    return true;
}

static bool has_escaped_space(str text) {
    for (size_t i = 0; i + 2 < text.n; i++)
        if (memcmp(text.p + i, "\xE2\x96\x81", 3) == 0) return true;
    return false;
}

/* What a file calls normal or user-defined, but is not text: these end turns or structure a prompt wherever
 * they are known, so a stranger's text must not make them. And the other way: characters' BPE builds
 * user-defined tokens with U+2581 by merging, since no input spells them so. */
static void correct_type(vocab *v, uint32_t t, str text) {
    if (v->type[t] != TOKEN_NORMAL && v->type[t] != TOKEN_USER_DEFINED) return;
    if (vocab_is_control_text(text))
        v->type[t] = TOKEN_CONTROL;
    else if (v->type[t] == TOKEN_USER_DEFINED && v->kind == VOCAB_CHAR_BPE && has_escaped_space(text))
        v->type[t] = TOKEN_NORMAL;
}

/* The bytes of token t; a normal token that no input can spell becomes opaque. */
leat_status vocab_decode_token(vocab *v, uint32_t t, str text, const int16_t byte_of[0x144], char *out,
                               size_t *n, leat_error *e) {
    correct_type(v, t, text);
    if (v->type[t] == TOKEN_BYTE && v->kind != VOCAB_GREEDY) return decode_byte_token(v, t, text, out, n, e);
    bool plain = true;
    if (is_special(v, t) || v->kind == VOCAB_PLAMO2 ||
        (v->pre && v->pre->flags & PRE_CHARACTERS && !v->escapes_spaces)) {
        memcpy(out, text.p, text.n);
        *n = text.n;
    } else if (v->kind == VOCAB_GREEDY) {
        if (!decode_escapes(text, out, n))
            return error_set(e, LEAT_E_VOCAB, "token %u is '%.*s', which has a bad escape", (unsigned)t,
                             text.n < 64 ? (int)text.n : 64, text.p);
    } else if (v->kind != VOCAB_BPE) {
        plain = vocab_decode_spaces(text, out, n);
    } else if (!vocab_decode_byte_level(byte_of, text, out, n)) {
        plain = false;
        memcpy(out, text.p, text.n);
        *n = text.n;
    }
    if (!plain) v->type[t] = TOKEN_OPAQUE;
    return LEAT_OK;
}
