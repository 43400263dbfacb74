/* Fills errors and names statuses. Everyone calls it; it must never fail, print, or let a byte from a file
 * reach a terminal as a control character. */
#include "error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at p (n bytes are there), 0 if it is none: no overlong forms, no
 * surrogates, nothing above U+10FFFF. */
static size_t utf8_length(const uint8_t *p, size_t n) {
    if (p[0] < 0x80) return 1;
    size_t need = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                  : (p[0] & 0xf0) == 0xe0        ? 3
                  : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                 : 0;
    if (!need || need > n) return 0;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
    if (p[0] == 0xed && p[1] > 0x9f) return 0;
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return need;
}

/* C0 and C1 controls and DEL, as the first character of the well-formed sequence at p. */
static bool is_control(const uint8_t *p) {
    return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0);
}

leat_status error_set(leat_error *e, leat_status code, const char *format, ...) {
    if (!e) return code;
    /* Formatted aside: an argument may be the old message. One byte more than fits tells a cut sentence from
     * a full one. */
    char text[sizeof e->message + 1];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0) {
        text[0] = 0;
        length = 0;
    }
    size_t n = (size_t)length < sizeof text - 1 ? (size_t)length : sizeof text - 1;
    const uint8_t *p = (const uint8_t *)text;
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        size_t step = utf8_length(p + i, n - i);
        /* A sequence that the end of the buffer cut in two is dropped, not shown as a damaged byte. */
        if (!step && (size_t)length > n && n - i < 4 && p[i] >= 0xc2) break;
        bool shown = step && !is_control(p + i);
        size_t width = shown ? step : 1;
        if (out + width > sizeof e->message - 1) break;
        if (shown)
            memcpy(e->message + out, p + i, step);
        else
            e->message[out] = '?';
        out += width;
        i += step ? step : 1;
    }
    e->message[code == LEAT_OK ? 0 : out] = 0;
    e->code = code;
    return code;
}

const char *status_text(int code) {
    switch (code) {
    case LEAT_OK: return "ok";
#define X(NAME, number, text)                                                                                \
    case number:                                                                                             \
        return text;
#include "errors.def"
#undef X
    default: return "unknown status";
    }
}
