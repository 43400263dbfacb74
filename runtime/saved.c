/* See saved.h: writing and checking the bytes of saved sessions. A file is believed nothing: every size is
 * worked out from the head with checked arithmetic and compared with the bytes there are. */
#include "saved.h"

#include <inttypes.h>
#include <string.h>

#include "hash.h"
#include "loader/alloc.h"
#include "loader/checked.h"
#include "loader/cursor.h"
#include "runtime/text/utf8.h"

enum { VERSION = 1, HAS_LOGITS = 1 };
static const char magic[8] = {'L', 'E', 'A', 'T', 'S', 'E', 'S', 'S'};

static void put_u32(uint8_t *p, uint32_t v) {
    for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static void put_u64(uint8_t *p, uint64_t v) {
    for (unsigned i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static uint64_t bits_of(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
static double of_bits(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void saved_put_head(const saved_head *h, uint8_t out[SAVED_HEADER]) {
    memset(out, 0, SAVED_HEADER);
    memcpy(out, magic, sizeof magic);
    put_u32(out + 8, VERSION);
    put_u32(out + 12, h->has_logits ? HAS_LOGITS : 0);
    put_u64(out + 16, h->bytes);
    put_u64(out + 24, h->model);
    put_u64(out + 32, bits_of(h->rope[0]));
    put_u64(out + 40, bits_of(h->rope[1]));
    put_u32(out + 56, h->n_layer);
    put_u32(out + 60, h->k_format);
    put_u32(out + 64, h->v_format);
    put_u32(out + 68, h->n_vocab);
    put_u64(out + 72, h->length);
    put_u64(out + 96, h->n_floats);
    put_u64(out + 104, h->state_length);
    put_u64(out + 112, h->n_copied);
    put_u64(out + 120, h->n_user);
    memcpy(out + 128, h->name, strlen(h->name));
}

static void get_head(const uint8_t *p, saved_head *h) {
    *h = (saved_head){.has_logits = load_u32(p + 12) == HAS_LOGITS,
                      .bytes = load_u64(p + 16),
                      .model = load_u64(p + 24),
                      .rope = {of_bits(load_u64(p + 32)), of_bits(load_u64(p + 40))},
                      .n_layer = load_u32(p + 56),
                      .k_format = load_u32(p + 60),
                      .v_format = load_u32(p + 64),
                      .n_vocab = load_u32(p + 68),
                      .length = load_u64(p + 72),
                      .n_floats = load_u64(p + 96),
                      .state_length = load_u64(p + 104),
                      .n_copied = load_u64(p + 112),
                      .n_user = load_u64(p + 120)};
    memcpy(h->name, p + 128, SAVED_NAME);
}

void saved_put_layer(const saved_layer *l, uint8_t out[SAVED_LAYER]) {
    put_u32(out, l->n_head);
    put_u32(out + 4, l->k_row);
    put_u32(out + 8, l->v_row);
    put_u32(out + 12, 0);
    put_u64(out + 16, l->window);
    put_u64(out + 24, l->base);
}

static saved_layer get_layer(const uint8_t *p) {
    return (saved_layer){.n_head = load_u32(p),
                         .k_row = load_u32(p + 4),
                         .v_row = load_u32(p + 8),
                         .window = load_u64(p + 16),
                         .base = load_u64(p + 24)};
}

saved_layer saved_get_layer(const saved *f, size_t i) {
    return get_layer(f->layers + i * SAVED_LAYER);
}
uint64_t saved_get_copied(const saved *f, size_t i) {
    return load_u64(f->copied + 8 * i);
}

/* ---- sizes: false where one does not fit 64 bits ---- */

static bool add(uint64_t *sum, uint64_t n) {
    return !__builtin_add_overflow(*sum, n, sum);
}
static bool add_product(uint64_t *sum, uint64_t a, uint64_t b) {
    uint64_t n;
    return checked_mul_u64(a, b, &n) && add(sum, n);
}

/* What comes before the keys. */
static bool add_front(const saved_head *h, uint64_t *sum) {
    return add(sum, SAVED_HEADER) && add_product(sum, h->n_layer, SAVED_LAYER) &&
           add_product(sum, h->length, 4) && add_product(sum, h->n_copied, 8) && add(sum, h->n_user) &&
           add_product(sum, h->has_logits ? h->n_vocab : 0, 4) &&
           (!h->n_floats || (h->n_copied < UINT64_MAX / 4 / h->n_floats - 1 &&
                             add_product(sum, h->n_floats, 4 * (1 + h->n_copied))));
}

/* A layer's keys, or its values. */
static bool add_rows(const saved_head *h, const saved_layer *l, uint32_t row, uint64_t *sum) {
    uint64_t n;
    return l->base <= h->length && checked_mul_u64(l->n_head, h->length - l->base, &n) &&
           add_product(sum, n, row);
}

uint64_t saved_size(const saved_head *h, const saved_layer *layers) {
    uint64_t sum = 0;
    bool ok = add_front(h, &sum);
    for (size_t i = 0; ok && i < h->n_layer; i++)
        ok = add_rows(h, &layers[i], layers[i].k_row, &sum) && add_rows(h, &layers[i], layers[i].v_row, &sum);
    return ok ? sum : UINT64_MAX;
}

/* ---- checking ---- */

static leat_status check_start(const uint8_t *p, size_t n, leat_error *e) {
    size_t same = n < sizeof magic ? n : sizeof magic;
    if (memcmp(p, magic, same) != 0) return error_set(e, LEAT_E_MAGIC, "this is no saved session");
    if (n < SAVED_HEADER + SAVED_SUM)
        return error_set(e, LEAT_E_TRUNCATED, "the file ends in its header, after %zu bytes", n);
    if (load_u32(p + 8) != VERSION)
        return error_set(e, LEAT_E_VERSION,
                         "this saved session is of version %u, and only version %d is known",
                         (unsigned)load_u32(p + 8), VERSION);
    uint64_t bytes = load_u64(p + 16), sum;
    if (bytes > n)
        return error_set(e, LEAT_E_TRUNCATED, "the file was cut short: it has %zu of %" PRIu64 " bytes", n,
                         bytes);
    if (bytes < n) return error_set(e, LEAT_E_SIZE, "the file has %zu bytes, but says %" PRIu64, n, bytes);
    hash64 h;
    hash64_begin(&h);
    hash64_add(&h, p, n - SAVED_SUM);
    sum = hash64_value(&h);
    if (sum != load_u64(p + n - SAVED_SUM))
        return error_set(e, LEAT_E_VALUE,
                         "the file is damaged: its checksum is %016" PRIx64 ", not %016" PRIx64, sum,
                         load_u64(p + n - SAVED_SUM));
    return LEAT_OK;
}

/* The header's numbers among each other. */
static leat_status check_head(const uint8_t *p, const saved_head *h, leat_error *e) {
    if (load_u32(p + 12) > HAS_LOGITS)
        return error_set(e, LEAT_E_VALUE, "flags at byte 12 are %#x, which are none that we know",
                         (unsigned)load_u32(p + 12));
    if (h->state_length > h->length)
        return error_set(e, LEAT_E_VALUE, "its state has seen %" PRIu64 " tokens of %" PRIu64,
                         h->state_length, h->length);
    if (!h->n_floats && (h->state_length || h->n_copied))
        return error_set(e, LEAT_E_VALUE, "it has copies of a state, but no state");
    if (h->has_logits && !h->length) return error_set(e, LEAT_E_VALUE, "it has logits, but no tokens");
    if (!utf8_valid(h->name, strlen(h->name)))
        return error_set(e, LEAT_E_STRING, "the model's name at byte 128 is no UTF-8");
    return LEAT_OK;
}

static leat_status wrong_size(leat_error *e) {
    return error_set(e, LEAT_E_SIZE, "its parts do not make up the size of the file");
}

/* All lies inside n bytes: then the parts can be laid out without looking again. */
static leat_status check_sizes(const uint8_t *p, size_t n, const saved_head *h, uint64_t *front,
                               uint64_t *keys, leat_error *e) {
    uint64_t rest = 0;
    *front = *keys = 0;
    if (!add_front(h, front) || *front > n - SAVED_SUM) return wrong_size(e);
    for (size_t i = 0; i < h->n_layer; i++) {
        saved_layer l = get_layer(p + SAVED_HEADER + i * SAVED_LAYER);
        if (!add_rows(h, &l, l.k_row, keys) || !add_rows(h, &l, l.v_row, &rest))
            return error_set(e, LEAT_E_SIZE, "the cache of its layer %zu is out of range", i);
    }
    if (!add(&rest, *keys) || !add(&rest, *front) || rest != n - SAVED_SUM) return wrong_size(e);
    return LEAT_OK;
}

leat_status saved_parse(const uint8_t *p, size_t n, saved *f, leat_error *e) {
    uint64_t front, keys;
    leat_status st = check_start(p, n, e);
    if (st) return st;
    saved_head *h = &f->head;
    get_head(p, h);
    st = check_head(p, h, e);
    if (!st) st = check_sizes(p, n, h, &front, &keys, e);
    if (st) return st;
    f->layers = p + SAVED_HEADER;
    f->tokens = f->layers + (size_t)h->n_layer * SAVED_LAYER;
    f->copied = f->tokens + h->length * 4;
    f->user = f->copied + h->n_copied * 8;
    f->logits = f->user + h->n_user;
    f->state = f->logits + (h->has_logits ? (size_t)h->n_vocab * 4 : 0);
    f->keys = p + front;
    f->values = f->keys + keys;
    return LEAT_OK;
}

leat_status saved_open(const char *path, saved **out, leat_error *e) {
    enum { SHOWN = 80 };
    leat_error own = {LEAT_OK, ""};
    size_t n = strlen(path);
    *out = NULL;
    saved *f = mem_alloc(1, sizeof *f);
    if (!f) return error_set(e, LEAT_E_NOMEM, "no memory to read a saved session");
    leat_status st = mapping_open(path, SIZE_MAX, &f->map, &own);
    if (!st) {
        mapping_guard(&f->map, &f->lost);
        st = saved_parse(f->map.p, f->map.n, f, &own);
    }
    if (!st && atomic_load(&f->lost)) st = error_set(&own, LEAT_E_IO, "shrank while it was being read");
    if (st) {
        saved_close(f);
        return error_set(e, st, "%s%s: %s", n > SHOWN ? "..." : "", n > SHOWN ? path + n - SHOWN : path,
                         own.message);
    }
    *out = f;
    return LEAT_OK;
}

void saved_close(saved *f) {
    if (!f) return;
    mapping_close(&f->map);
    mem_free(f);
}
