/* Values of packed weights; see packed.h. Worker threads call it: nothing here writes to anything shared. */
#include "loader/cursor.h"
#include "packed.h"

static float number(const source_tensor *t, uint64_t at) {
    float x;
    source_read(t, at, 1, 1, &x);
    return x;
}

static uint32_t word(const source_tensor *t, uint64_t at) {
    return load_u32(t->data + 4 * at);
}

/* Code i of a stream of `bits` each, in words `step` apart from word `first` on. Three bits may lie in two
 * words. */
static uint32_t code_at(const source_tensor *t, uint64_t first, uint64_t step, uint64_t i, uint32_t bits) {
    uint64_t bit = i * bits, w = bit / 32, shift = bit % 32;
    uint64_t v = word(t, first + w * step) >> shift;
    if (shift + bits > 32) v |= (uint64_t)word(t, first + (w + 1) * step) << (32 - shift);
    return (uint32_t)(v & ((UINT64_C(1) << bits) - 1));
}

static uint64_t group_of(const packing *p, uint64_t col) {
    if (!p->order) return col / p->group;
    uint32_t g = word(p->order, col);
    return g < p->groups ? g : p->groups - 1;
}

/* Where the eight outputs of a word of AWQ are. */
static uint32_t awq_at(const source_tensor *t, uint64_t line, uint64_t rows, uint64_t row) {
    static const uint8_t place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return word(t, (line * rows + row) / 8) >> 4 * place[row % 8] & 15;
}

static float fp4(uint32_t code) {
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return code & 8 ? -values[code & 7] : values[code & 7];
}

static float bnb_scale(const packing *p, uint64_t block) {
    float s = number(p->scales, block);
    if (!p->scales_map) return s;
    return number(p->scales_map, (uint64_t)s) * number(p->scales_scales, block / p->scales_group) + p->offset;
}

/* What a group's values are made with. */
typedef struct made_with {
    uint64_t row, group;
    float scale, zero;
} made_with;

static made_with of_group(const packing *p, uint64_t rows, uint64_t row, uint64_t g) {
    made_with m = {row, g, 0, p->zero};
    switch (p->kind) {
    case PACKING_GPTQ:
        if (p->zeros) m.zero += (float)code_at(p->zeros, g * (rows * p->bits / 32), 1, row, p->bits);
        m.scale = number(p->scales, g * rows + row);
        break;
    case PACKING_AWQ:
        if (p->zeros) m.zero += (float)awq_at(p->zeros, g, rows, row);
        m.scale = number(p->scales, g * rows + row);
        break;
    case PACKING_ROWS:
        if (p->zeros) m.zero += (float)code_at(p->zeros, g, p->groups, row, p->bits);
        m.scale = number(p->scales, row * p->groups + g);
        break;
    case PACKING_FP4: m.scale = number(p->scales, row * p->groups + g) * p->factor; break;
    case PACKING_BNB: m.scale = bnb_scale(p, g); break;
    }
    return m;
}

static float code_of(const packing *p, uint64_t rows, uint64_t cols, uint64_t row, uint64_t col) {
    uint64_t at = row * cols + col;
    switch (p->kind) {
    case PACKING_GPTQ: return (float)code_at(p->codes, row, rows, col, p->bits);
    case PACKING_AWQ: return (float)awq_at(p->codes, col, rows, row);
    case PACKING_ROWS: return (float)code_at(p->codes, row * p->codes->dims[1], 1, col, p->bits);
    case PACKING_FP4: return fp4(p->codes->data[at / 2] >> (at % 2 ? 4 : 0));
    case PACKING_BNB: return number(p->map, p->codes->data[at / 2] >> (at % 2 ? 0 : 4) & 15);
    }
    return 0;
}

void packed_read(const source_tensor *t, uint64_t at, uint64_t stride, size_t n, float *out) {
    const packing *p = t->packed;
    uint64_t rows = t->dims[0], cols = t->dims[1], row = at / cols, col = at % cols;
    made_with m = {UINT64_MAX, 0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        uint64_t g = p->kind == PACKING_BNB ? (row * cols + col) / p->group : group_of(p, col);
        if (m.row != row || m.group != g) m = of_group(p, rows, row, g);
        out[i] = (code_of(p, rows, cols, row, col) - m.zero) * m.scale;
        col += stride;
        if (col < cols) continue;
        row += col / cols;
        col %= cols;
    }
}
