/* Typed, ranged access to metadata (the only way in for values that decide anything) and the untyped walk for
 * display. It must never convert a number silently: what doesn't have the wanted type and range is an error
 * that names the key. */
#include <inttypes.h>
#include <string.h>

#include "cursor.h"
#include "gguf.h"
#include "limits.h"
#include "parse.h"

bool str_eq(str a, const char *b) {
    size_t n = strlen(b);
    return a.n == n && (n == 0 || memcmp(a.p, b, n) == 0);
}

static bool is_integer(gguf_type type) {
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_U16:
    case GGUF_I16:
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_U64:
    case GGUF_I64: return true;
    default: return false;
    }
}

static bool is_signed(gguf_type type) {
    return type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
}

/* The element's bits, zero-extended; 0 outside the array and for types without a fixed width. */
static uint64_t bits(const gguf_kv *kv, uint64_t i) {
    size_t width = gguf_type_bytes(kv->elem_type);
    if (!width || i >= kv->count) return 0;
    const uint8_t *p = kv->data + (size_t)i * width;
    uint64_t v = 0;
    for (size_t k = 0; k < width; k++) v |= (uint64_t)p[k] << (8 * k);
    return v;
}

/* Two's complement of the type's width, widened. */
static uint64_t extended(const gguf_kv *kv, uint64_t i) {
    uint64_t v = bits(kv, i);
    size_t width = gguf_type_bytes(kv->elem_type);
    if (is_signed(kv->elem_type) && width < 8 && v >> (8 * width - 1)) v |= ~UINT64_C(0) << (8 * width);
    return v;
}

uint64_t gguf_kv_u64(const gguf_kv *kv, uint64_t i) {
    return is_integer(kv->elem_type) || kv->elem_type == GGUF_BOOL ? extended(kv, i) : 0;
}

int64_t gguf_kv_i64(const gguf_kv *kv, uint64_t i) {
    uint64_t u = gguf_kv_u64(kv, i);
    int64_t v;
    memcpy(&v, &u, sizeof v); /* the conversion is implementation-defined, the bytes are not */
    return v;
}

double gguf_kv_f64(const gguf_kv *kv, uint64_t i) {
    if (kv->elem_type == GGUF_F32) {
        uint32_t u = (uint32_t)bits(kv, i);
        float v;
        memcpy(&v, &u, sizeof v);
        return v;
    }
    if (kv->elem_type == GGUF_F64) {
        uint64_t u = bits(kv, i);
        double v;
        memcpy(&v, &u, sizeof v);
        return v;
    }
    return is_signed(kv->elem_type) ? (double)gguf_kv_i64(kv, i) : (double)gguf_kv_u64(kv, i);
}

str gguf_kv_next_str(const gguf_kv *kv, size_t *at) {
    const str none = {"", 0};
    uint64_t length;
    const uint8_t *bytes;
    if (kv->elem_type != GGUF_STRING || *at > kv->bytes) return none;
    /* The lengths were checked when the file was parsed, but they are read again from a mapping that another
     * process may have written to since, so they are checked again. */
    cursor c = {kv->data, kv->bytes, *at};
    if (!cursor_u64(&c, &length) || !cursor_take(&c, length, &bytes)) {
        *at = kv->bytes;
        return none;
    }
    *at = c.pos;
    return (str){(const char *)bytes, (size_t)length};
}

/* The common start of all getters: *kv is NULL when the key is absent and that is fine. */
static leat_status look_up(const gguf *g, const char *key, const gguf_kv **kv, bool *found, leat_error *e) {
    *kv = gguf_find(g, key);
    if (found) *found = *kv != NULL;
    if (!*kv && !found) return error_set(e, LEAT_E_MISSING, "key \"%s\" is missing", key);
    return LEAT_OK;
}

static leat_status wrong_type(const gguf_kv *kv, const char *key, const char *wanted, leat_error *e) {
    if (kv->type == GGUF_ARRAY)
        return error_set(e, LEAT_E_TYPE, "key \"%s\" is an array of %s, not %s", key,
                         gguf_type_name(kv->elem_type), wanted);
    return error_set(e, LEAT_E_TYPE, "key \"%s\" is of type %s, not %s", key, gguf_type_name(kv->type),
                     wanted);
}

leat_status meta_u32(const gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out, bool *found,
                     leat_error *e) {
    const gguf_kv *kv;
    leat_status status = look_up(g, key, &kv, found, e);
    if (status || !kv) return status;
    if (!is_integer(kv->type)) return wrong_type(kv, key, "an integer", e);
    uint64_t v = gguf_kv_u64(kv, 0);
    if (is_signed(kv->type) && v >> 63)
        return error_set(e, LEAT_E_VALUE, "key \"%s\" is %" PRId64 ", not %" PRIu32 " to %" PRIu32, key,
                         gguf_kv_i64(kv, 0), min, max);
    if (v < min || v > max)
        return error_set(e, LEAT_E_VALUE, "key \"%s\" is %" PRIu64 ", not %" PRIu32 " to %" PRIu32, key, v,
                         min, max);
    *out = (uint32_t)v;
    return LEAT_OK;
}

leat_status meta_f32(const gguf *g, const char *key, float min, float max, float *out, bool *found,
                     leat_error *e) {
    const gguf_kv *kv;
    leat_status status = look_up(g, key, &kv, found, e);
    if (status || !kv) return status;
    if (kv->type != GGUF_F32 && kv->type != GGUF_F64)
        return wrong_type(kv, key, "a floating-point number", e);
    double v = gguf_kv_f64(kv, 0);
    if (!(v >= (double)min && v <= (double)max)) /* this way round, a NaN is refused */
        return error_set(e, LEAT_E_VALUE, "key \"%s\" is %g, not %g to %g", key, v, (double)min, (double)max);
    *out = (float)v;
    return LEAT_OK;
}

leat_status meta_bool(const gguf *g, const char *key, bool *out, bool *found, leat_error *e) {
    const gguf_kv *kv;
    leat_status status = look_up(g, key, &kv, found, e);
    if (status || !kv) return status;
    if (kv->type != GGUF_BOOL) return wrong_type(kv, key, "a bool", e);
    *out = kv->data[0] == 1;
    return LEAT_OK;
}

leat_status meta_str(const gguf *g, const char *key, str *out, bool *found, leat_error *e) {
    const gguf_kv *kv;
    leat_status status = look_up(g, key, &kv, found, e);
    if (status || !kv) return status;
    if (kv->type != GGUF_STRING) return wrong_type(kv, key, "a string", e);
    size_t at = 0;
    *out = gguf_kv_next_str(kv, &at);
    return LEAT_OK;
}

leat_status meta_array(const gguf *g, const char *key, gguf_type elem, uint64_t max_count,
                       const gguf_kv **out, bool *found, leat_error *e) {
    const gguf_kv *kv;
    leat_status status = look_up(g, key, &kv, found, e);
    if (status || !kv) return status;
    if (kv->type != GGUF_ARRAY || kv->elem_type != elem) {
        if (kv->type == GGUF_ARRAY)
            return error_set(e, LEAT_E_TYPE, "key \"%s\" is an array of %s, not of %s", key,
                             gguf_type_name(kv->elem_type), gguf_type_name(elem));
        return error_set(e, LEAT_E_TYPE, "key \"%s\" is of type %s, not an array of %s", key,
                         gguf_type_name(kv->type), gguf_type_name(elem));
    }
    if (kv->count > max_count)
        return error_set(e, LEAT_E_COUNT,
                         "key \"%s\" has %" PRIu64 " elements, at most %" PRIu64 " are possible", key,
                         kv->count, max_count);
    *out = kv;
    return LEAT_OK;
}
