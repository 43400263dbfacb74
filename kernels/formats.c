/* The format table, expanded from formats.def. Pure lookups: no state, nothing can fail but "unknown". */
#include "formats.h"

#include <stdbool.h>

#include "blocks.h"

static const format_info table[FORMAT_COUNT] = {
#define X(id, NAME, elems, block) [id] = {#NAME, elems, sizeof(block)},
#define R(id, NAME)               [id] = {#NAME, 0, 0},
#include "formats.def"
#undef X
#undef R
};

const format_info *format_get(uint32_t id) {
    return id < FORMAT_COUNT && table[id].name ? &table[id] : NULL;
}

/* ASCII only: type names have no other letters and the answer must not depend on the locale. */
static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_name(const char *a, const char *b) {
    while (*a && lower(*a) == lower(*b)) a++, b++;
    return lower(*a) == lower(*b);
}

int format_find(const char *name) {
    for (int id = 0; id < FORMAT_COUNT; id++)
        if (table[id].block_elems && same_name(table[id].name, name)) return id;
    return -1;
}

size_t format_row_bytes(uint32_t id, size_t n) {
    const format_info *f = format_get(id);
    if (!f || !f->block_elems || n % f->block_elems) return 0;
    size_t blocks = n / f->block_elems;
    return blocks <= SIZE_MAX / f->block_bytes ? blocks * f->block_bytes : 0;
}
