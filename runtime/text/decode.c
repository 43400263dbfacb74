/* The streaming decoder, see decode.h. */
#include "decode.h"

#include <string.h>

#include "loader/alloc.h"
#include "loader/checked.h"
#include "utf8.h"

static const char replacement[3] = "\xEF\xBF\xBD"; /* U+FFFD */

leat_status text_decoder_init(text_decoder *d, size_t longest, bool drop_space, leat_error *e) {
    size_t bytes;
    *d = (text_decoder){.longest = longest, .drop_space = drop_space, .at_start = true};
    /* Held bytes and piece, of which each byte may become a U+FFFD. */
    if (checked_add(longest, sizeof d->held, &bytes)) d->text = mem_alloc(bytes, sizeof replacement);
    if (!d->text)
        return error_set(e, LEAT_E_NOMEM, "no memory for a decoder of pieces of up to %zu bytes", longest);
    return LEAT_OK;
}

void text_decoder_free(text_decoder *d) {
    mem_free(d->text);
    *d = (text_decoder){0};
}

/* Decodes what begins in the held bytes and ends in the piece: at most one character, or held bytes that turn
 * out to be none. Takes bytes of the piece one by one, so that a byte that does not fit starts afresh in the
 * main loop. */
static size_t finish_held(text_decoder *d, str *piece) {
    char whole[4];
    uint32_t cp;
    memcpy(whole, d->held, d->n_held);
    while (piece->n > 0) {
        whole[d->n_held] = *piece->p;
        size_t length = utf8_decode(whole, d->n_held + 1, &cp);
        if (cp == UTF8_INVALID) { /* the held bytes are a maximal subpart: they alone were not invalid */
            d->n_held = 0;
            memcpy(d->text, replacement, sizeof replacement);
            return sizeof replacement;
        }
        piece->p++;
        piece->n--;
        if (cp != UTF8_INCOMPLETE) {
            d->n_held = 0;
            memcpy(d->text, whole, length);
            return length;
        }
        memcpy(d->held, whole, ++d->n_held);
    }
    return 0;
}

str text_decoder_push(text_decoder *d, str piece) {
    if (piece.n > d->longest) piece.n = d->longest;
    if (d->at_start && piece.n > 0) {
        d->at_start = false;
        if (d->drop_space && *piece.p == ' ') {
            piece.p++;
            piece.n--;
        }
    }
    size_t n = d->n_held > 0 ? finish_held(d, &piece) : 0;
    for (size_t i = 0; i < piece.n;) {
        uint32_t cp;
        size_t length = utf8_decode(piece.p + i, piece.n - i, &cp);
        if (cp == UTF8_INCOMPLETE) {
            d->n_held = piece.n - i;
            memcpy(d->held, piece.p + i, d->n_held);
            break;
        }
        const char *from = cp == UTF8_INVALID ? replacement : piece.p + i;
        size_t bytes = cp == UTF8_INVALID ? sizeof replacement : length;
        memcpy(d->text + n, from, bytes);
        n += bytes;
        i += length;
    }
    return (str){d->text, n};
}

str text_decoder_finish(text_decoder *d) {
    size_t n = d->n_held > 0 ? sizeof replacement : 0;
    memcpy(d->text, replacement, n);
    d->n_held = 0;
    d->at_start = true;
    return (str){d->text, n};
}
