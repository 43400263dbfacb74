/* Texts out of messages, which the library hands out as JSON it has made or checked itself; see chat.h. */
#include <stdlib.h>
#include <string.h>

#include "chat.h"

typedef struct reader {
    const char *p, *end;
} reader;

static void skip_blanks(reader *r) {
    while (r->p < r->end && strchr(" \t\r\n", *r->p)) r->p++;
}

/* Over a string, past its closing quote. */
static void skip_string(reader *r) {
    for (r->p++; r->p < r->end && *r->p != '"'; r->p++)
        if (*r->p == '\\') r->p++;
    r->p++;
}

/* Over any value, however deep. */
static void skip_value(reader *r) {
    size_t depth = 0;
    do {
        skip_blanks(r);
        if (r->p >= r->end) return;
        if (*r->p == '"') {
            skip_string(r);
        } else if (strchr("{[", *r->p)) {
            depth++;
            r->p++;
        } else if (strchr("}]", *r->p)) {
            depth -= depth > 0;
            r->p++;
        } else if (strchr(",:", *r->p)) {
            r->p++;
        } else {
            while (r->p < r->end && !strchr(",:]} \t\r\n", *r->p)) r->p++;
        }
    } while (depth);
}

static uint32_t hex4(const char *p) {
    char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return (uint32_t)strtoul(digits, NULL, 16);
}

static size_t put_utf8(char *out, uint32_t c) {
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i > 1; i--, c >>= 6) out[i - 1] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* The string that begins at from (its opening quote) without quotes and escapes. */
static char *unquote(const char *from, const char *end, size_t *n) {
    char *out = malloc((size_t)(end - from) + 1);
    size_t used = 0;
    for (const char *p = from + 1; out && p < end && *p != '"'; p++) {
        if (*p != '\\' || p + 1 >= end) {
            out[used++] = *p;
            continue;
        }
        static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
        const char *known = strchr(names, *++p);
        if (*p == 'u' && end - p > 4) {
            uint32_t c = hex4(p + 1), low;
            p += 4;
            if (c >= 0xD800 && c < 0xDC00 && end - p > 6 && p[1] == '\\' && p[2] == 'u' &&
                (low = hex4(p + 3)) >= 0xDC00 && low < 0xE000) {
                c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
                p += 6;
            }
            used += put_utf8(out + used, c);
        } else {
            out[used++] = known ? bytes[known - names] : *p;
        }
    }
    if (out) out[used] = 0;
    *n = used;
    return out;
}

char *message_text(leat_str message, const char *member, size_t *n) {
    reader r = {message.data, message.data + message.size};
    *n = 0;
    if (!message.data) return NULL;
    skip_blanks(&r);
    if (r.p < r.end && *r.p == '{') r.p++;
    while (r.p < r.end) {
        skip_blanks(&r);
        if (r.p >= r.end || *r.p != '"') return NULL;
        const char *name = r.p + 1;
        skip_string(&r);
        size_t length = (size_t)(r.p - name) - 1;
        skip_blanks(&r);
        if (r.p < r.end && *r.p == ':') r.p++;
        skip_blanks(&r);
        const char *value = r.p;
        skip_value(&r);
        if (length == strlen(member) && !memcmp(name, member, length))
            return value < r.end && *value == '"' ? unquote(value, r.end, n) : NULL;
        skip_blanks(&r);
        if (r.p < r.end && *r.p == ',') r.p++;
    }
    return NULL;
}

size_t message_last(const leat_chat *chat, const char *role) {
    for (size_t i = leat_chat_count(chat); i-- > 0;) {
        size_t n;
        char *is = message_text(leat_chat_message(chat, i), "role", &n);
        bool same = is && !strcmp(is, role);
        free(is);
        if (same) return i;
    }
    return SIZE_MAX;
}
