/* Copies of the recurrent state; see state.h. */
#include "state.h"

#include <string.h>

#include "os.h"

enum {
    LINE = 64,
    COPIES_MIN = 2,
    COPIES_BYTES = 256 << 20, /* what copies may take together, should two not be more */
    STRIDE = 512              /* tokens after which a copy is due */
};

static size_t copies_of(size_t side) {
    size_t n = COPIES_BYTES / side;
    return n < COPIES_MIN ? COPIES_MIN : n > STATE_COPIES_MAX ? STATE_COPIES_MAX : n;
}

size_t state_bytes(size_t n_floats) {
    size_t side, all;
    if (!n_floats) return 0;
    if (__builtin_mul_overflow(n_floats + LINE / sizeof(float), sizeof(float), &side) ||
        __builtin_mul_overflow(side / LINE * LINE, 2 + copies_of(side), &all))
        return SIZE_MAX;
    return all;
}

leat_status state_open(state_cache *c, size_t n_floats, leat_error *e) {
    *c = (state_cache){.n_floats = n_floats};
    if (!n_floats) return LEAT_OK;
    size_t bytes = state_bytes(n_floats), side = (n_floats * sizeof(float) + LINE) / LINE * LINE;
    c->memory = bytes == SIZE_MAX ? NULL : os_reserve(bytes);
    if (!c->memory)
        return error_set(e, LEAT_E_NOMEM, "no memory for the recurrent state and its copies (%zu MiB)",
                         bytes >> 20);
    c->bytes = bytes;
    c->n_copies = copies_of(side);
    char *p = c->memory;
    for (size_t i = 0; i < 2; i++, p += side) c->side[i] = (float *)(void *)p;
    for (size_t i = 0; i < c->n_copies; i++, p += side) c->copy[i] = (float *)(void *)p;
    return LEAT_OK;
}

void state_close(state_cache *c) {
    if (c->memory) os_release(c->memory, c->bytes);
    *c = (state_cache){0};
}

void state_commit(state_cache *c, size_t n) {
    if (!c->n_floats) return;
    c->length += n;
    c->now ^= 1;
}

bool state_due(const state_cache *c) {
    return c->n_floats && c->length >= (c->n_copied ? c->copied[c->n_copied - 1] : 0) + STRIDE;
}

/* The copy that is missed least: the one between the two closest neighbours, never the last. */
static size_t least_missed(const state_cache *c) {
    size_t best = 0;
    for (size_t i = 0, gap, least = SIZE_MAX; i + 1 < c->n_copied; i++) {
        gap = c->copied[i + 1] - (i ? c->copied[i - 1] : 0);
        if (gap < least) {
            least = gap;
            best = i;
        }
    }
    return best;
}

void state_keep(state_cache *c) {
    if (!c->n_floats || !c->length || (c->n_copied && c->copied[c->n_copied - 1] == c->length)) return;
    if (c->n_copied == c->n_copies) {
        size_t drop = least_missed(c);
        float *freed = c->copy[drop];
        c->n_copied--;
        memmove(c->copy + drop, c->copy + drop + 1, (c->n_copied - drop) * sizeof *c->copy);
        memmove(c->copied + drop, c->copied + drop + 1, (c->n_copied - drop) * sizeof *c->copied);
        c->copy[c->n_copied] = freed;
    }
    memcpy(c->copy[c->n_copied], c->side[c->now], c->n_floats * sizeof(float));
    c->copied[c->n_copied++] = c->length;
}

void state_rewind(state_cache *c, size_t length) {
    if (!c->n_floats || length >= c->length) return;
    while (c->n_copied && c->copied[c->n_copied - 1] > length) c->n_copied--;
    if (c->n_copied) {
        c->length = c->copied[c->n_copied - 1];
        memcpy(c->side[c->now], c->copy[c->n_copied - 1], c->n_floats * sizeof(float));
    } else {
        c->length = 0;
        memset(c->side[c->now], 0, c->n_floats * sizeof(float));
    }
}
