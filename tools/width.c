/* Cells of characters; see width.h. */
#include "width.h"

#include <stdbool.h>

#include "term.h"

typedef struct width_range {
    uint32_t first, last;
} width_range;

#include "width_tables.h"

/* Ranges in ascending order, the last one at `last`. */
static bool is_in(const width_range *ranges, size_t last, uint32_t code) {
    size_t low = 0, high = last;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return code >= ranges[low].first && code <= ranges[low].last;
}

int width_of(uint32_t code) {
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return 0;
    if (code < 0x300) return 1;
    if (is_in(no_cell, sizeof no_cell / sizeof *no_cell - 1, code)) return 0;
    return is_in(two_cells, sizeof two_cells / sizeof *two_cells - 1, code) ? 2 : 1;
}

size_t width_of_text(const char *text, size_t n) {
    enum { JOINER = 0x200D, EMOJI_FORM = 0xFE0F, FIRST_TONE = 0x1F3FB, LAST_TONE = 0x1F3FF };
    size_t cells = 0;
    int last = 0;
    bool joined = false;
    for (size_t i = 0; i < n;) {
        uint32_t code;
        i += utf8_next(text + i, n - i, &code);
        int width = width_of(code);
        bool drawn_into = (joined && width == 2) || (last == 2 && code >= FIRST_TONE && code <= LAST_TONE);
        if (code == EMOJI_FORM && last == 1) {
            cells++;
            last = 2;
        }
        joined = code == JOINER && last == 2;
        if (!width || drawn_into) continue;
        cells += (size_t)width;
        last = width;
    }
    return cells;
}
