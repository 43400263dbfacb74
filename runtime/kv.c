/* Reservation of the key/value cache. */
#include "kv.h"

#include "kernels/formats.h"
#include "os.h"

enum { LINE = 64 };

static int mul(size_t a, size_t b, size_t *out) {
    return __builtin_mul_overflow(a, b, out);
}

size_t kv_bytes(size_t n_ctx, size_t n_layer, size_t n_head, size_t k_row, size_t v_row) {
    size_t n;
    if (mul(n_layer, n_head, &n) || mul(n, n_ctx, &n) || mul(n, k_row + v_row, &n)) return 0;
    return n;
}

leat_status kv_open(kv_cache *c, size_t n_ctx, size_t n_layer, size_t n_head, size_t dim_k, size_t dim_v,
                    uint32_t k_format, uint32_t v_format, leat_error *e) {
    *c = (kv_cache){.n_ctx = n_ctx,
                    .n_layer = n_layer,
                    .n_head = n_head,
                    .k_format = k_format,
                    .v_format = v_format,
                    .k_row = format_row_bytes(k_format, dim_k),
                    .v_row = format_row_bytes(v_format, dim_v)};
    size_t need = kv_bytes(n_ctx, n_layer, n_head, c->k_row, c->v_row);
    c->bytes = need && need <= SIZE_MAX - LINE ? need + LINE : 0;
    char *p = c->bytes ? os_reserve(c->bytes) : NULL;
    if (!p)
        return error_set(e, LEAT_E_NOMEM, "no memory for a key/value cache of %zu tokens (%zu MiB)", n_ctx,
                         c->bytes >> 20);
    c->k = p;
    /* quantized keys may end anywhere; values start on a cache line */
    c->v = p + (n_layer * n_head * n_ctx * c->k_row + LINE - 1) / LINE * LINE;
    return LEAT_OK;
}

void kv_close(kv_cache *c) {
    if (c->k) os_release(c->k, c->bytes);
    *c = (kv_cache){0};
}
