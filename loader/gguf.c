/* The header and the metadata of a GGUF file; tensors.c goes on from there. A pure function of the bytes:
 * what the fuzzers call. It must never read outside the buffer, allocate by a number that the length of the
 * file doesn't bound, or take more than linear time. The layout is that of the GGUF specification, versions 2
 * and 3 (which differ only in that 3 knows big-endian files). */
#include "gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "names.h"
#include "parse.h"

static const struct {
    const char *name;
    size_t bytes;
} type_table[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

size_t gguf_type_bytes(uint32_t type) {
    return type < GGUF_TYPE_COUNT ? type_table[type].bytes : 0;
}
const char *gguf_type_name(uint32_t type) {
    return type < GGUF_TYPE_COUNT ? type_table[type].name : "no known type";
}

bool is_printable(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e) return false;
    return true;
}

/* What people open by mistake, told by its first four bytes. */
static const char *mistaken_for(const uint8_t *p) {
    static const struct {
        char bytes[5];
        const char *what;
    } list[] = {
        {"FUGG", ": byte-swapped, from a big-endian machine"},
        {"lmgg", ": an old GGML file, convert the original model again"},
        {"fmgg", ": an old GGML file, convert the original model again"},
        {"tjgg", ": an old GGML file, convert the original model again"},
        {"PK\3\4", ": a zip archive, perhaps a PyTorch checkpoint"},
        {"vers", ": perhaps a Git LFS pointer, fetch the real file with git lfs pull"},
        {"<!DO", ": a web page, the download went wrong"},
        {"<htm", ": a web page, the download went wrong"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!memcmp(p, list[i].bytes, 4)) return list[i].what;
    return "";
}

static uint32_t swap_u32(uint32_t v) {
    return v >> 24 | (v >> 8 & 0xff00) | (v << 8 & 0xff0000) | v << 24;
}

/* Magic, version and the two counts, bounded by what the rest of the file could hold. */
static leat_status parse_header(cursor *c, gguf *g, leat_error *e) {
    const uint8_t *magic;
    if (!cursor_take(c, 4, &magic))
        return error_set(e, LEAT_E_TRUNCATED, "file of %zu bytes: a GGUF file has at least %d", c->n,
                         HEADER_BYTES);
    if (memcmp(magic, "GGUF", 4))
        return error_set(e, LEAT_E_MAGIC, "byte 0: magic is %02x %02x %02x %02x, not \"GGUF\"%s", magic[0],
                         magic[1], magic[2], magic[3], mistaken_for(magic));
    if (c->n < HEADER_BYTES)
        return error_set(e, LEAT_E_TRUNCATED, "file ends at byte %zu, inside the header of %d bytes", c->n,
                         HEADER_BYTES);
    uint64_t n_tensors = 0, n_kv = 0;
    cursor_u32(c, &g->version);
    cursor_u64(c, &n_tensors);
    cursor_u64(c, &n_kv);
    if (g->version != 2 && g->version != 3) {
        uint32_t swapped = swap_u32(g->version);
        if (swapped >= 1 && swapped <= 3)
            return error_set(e, LEAT_E_VERSION,
                             "byte 4: a big-endian file (version %" PRIu32
                             "): only little-endian ones can be read, convert it first",
                             swapped);
        return error_set(e, LEAT_E_VERSION, "byte 4: version is %" PRIu32 ", only 2 and 3 can be read",
                         g->version);
    }
    size_t left = cursor_left(c);
    if (n_tensors > LIMIT_TENSORS || n_tensors > left / TENSOR_MIN_BYTES)
        return error_set(e, LEAT_E_COUNT,
                         "byte 8: tensor count is %" PRIu64
                         ", but the file has room for %zu and the limit is %d",
                         n_tensors, left / TENSOR_MIN_BYTES, LIMIT_TENSORS);
    left -= (size_t)n_tensors * TENSOR_MIN_BYTES;
    if (n_kv > LIMIT_KV || n_kv > left / KV_MIN_BYTES)
        return error_set(e, LEAT_E_COUNT,
                         "byte 16: metadata count is %" PRIu64
                         ", but the file has room for %zu and the limit is %d",
                         n_kv, left / KV_MIN_BYTES, LIMIT_KV);
    g->n_tensors = (size_t)n_tensors;
    g->n_kv = (size_t)n_kv;
    return LEAT_OK;
}

/* Skips one string: length, bytes. A length that no string may have is the string's fault; one that is merely
 * more than what is left is that of a file that ends too early. */
static leat_status skip_string(cursor *c, str key, bool in_array, uint64_t i, leat_error *e) {
    size_t at = c->pos;
    uint64_t length = 0;
    const uint8_t *bytes;
    if (cursor_u64(c, &length) && cursor_take(c, length, &bytes) && length <= LIMIT_STRING_BYTES)
        return LEAT_OK;
    char element[40] = "";
    if (in_array) snprintf(element, sizeof element, " element %" PRIu64, i);
    if (length > LIMIT_STRING_BYTES)
        return error_set(e, LEAT_E_STRING,
                         "key \"%.*s\"%s, byte %zu: string length is %" PRIu64 ", the limit is %d", SHOW(key),
                         element, at, length, LIMIT_STRING_BYTES);
    return error_set(e, LEAT_E_TRUNCATED,
                     "key \"%.*s\"%s, byte %zu: string goes beyond the end of the file at byte %zu",
                     SHOW(key), element, at, c->n);
}

/* Bools are 0 or 1: anything else would be true in one place and not in another. */
static leat_status check_bools(const uint8_t *p, uint64_t n, size_t at, str key, leat_error *e) {
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1)
            return error_set(e, LEAT_E_VALUE, "key \"%.*s\", byte %" PRIu64 ": bool is %u, not 0 or 1",
                             SHOW(key), at + i, p[i]);
    return LEAT_OK;
}

/* kv->count elements of kv->elem_type; sets kv->data and kv->bytes. */
static leat_status parse_elements(cursor *c, gguf_kv *kv, leat_error *e) {
    size_t start = c->pos;
    bool in_array = kv->type == GGUF_ARRAY;
    /* A string has at least its length. Division, not multiplication: nothing here can wrap. */
    size_t min_bytes = kv->elem_type == GGUF_STRING ? 8 : gguf_type_bytes(kv->elem_type);
    if (in_array && kv->count > cursor_left(c) / min_bytes)
        return error_set(e, LEAT_E_COUNT,
                         "key \"%.*s\", byte %zu: array of %" PRIu64
                         " x %s, but only %zu bytes are left: is the file complete?",
                         SHOW(kv->key), start - 8, kv->count, gguf_type_name(kv->elem_type), cursor_left(c));
    kv->data = c->p + start;
    if (kv->elem_type == GGUF_STRING) {
        for (uint64_t i = 0; i < kv->count; i++) {
            leat_status status = skip_string(c, kv->key, in_array, i, e);
            if (status) return status;
        }
    } else if (!cursor_take(c, kv->count * min_bytes, &kv->data)) {
        return error_set(e, LEAT_E_TRUNCATED, "file ends at byte %zu, inside the value of key \"%.*s\"", c->n,
                         SHOW(kv->key));
    }
    kv->bytes = c->pos - start;
    if (kv->elem_type == GGUF_BOOL) return check_bools(kv->data, kv->count, start, kv->key, e);
    return LEAT_OK;
}

static leat_status parse_kv(cursor *c, size_t i, gguf_kv *kv, leat_error *e) {
    size_t at = c->pos;
    uint64_t length;
    uint32_t type;
    const uint8_t *key;
    if (!cursor_u64(c, &length))
        return error_set(e, LEAT_E_TRUNCATED, "file ends at byte %zu, inside the length of metadata key %zu",
                         c->n, i);
    if (length == 0 || length > LIMIT_KEY_BYTES)
        return error_set(e, LEAT_E_STRING, "metadata key %zu, byte %zu: length is %" PRIu64 ", not 1 to %d",
                         i, at, length, LIMIT_KEY_BYTES);
    if (!cursor_take(c, length, &key))
        return error_set(e, LEAT_E_TRUNCATED, "file ends at byte %zu, inside metadata key %zu", c->n, i);
    kv->key = (str){(const char *)key, (size_t)length};
    if (!is_printable(kv->key))
        return error_set(e, LEAT_E_KEY, "metadata key %zu \"%.*s\", byte %zu: not all printable ASCII", i,
                         SHOW(kv->key), at + 8);
    at = c->pos;
    if (!cursor_u32(c, &type))
        return error_set(e, LEAT_E_TRUNCATED, "file ends at byte %zu, inside the type of key \"%.*s\"", c->n,
                         SHOW(kv->key));
    if (type >= GGUF_TYPE_COUNT)
        return error_set(e, LEAT_E_TYPE,
                         "key \"%.*s\", byte %zu: value type is %" PRIu32 ", there are 0 to %d",
                         SHOW(kv->key), at, type, GGUF_TYPE_COUNT - 1);
    kv->type = kv->elem_type = (gguf_type)type;
    kv->count = 1;
    if (kv->type == GGUF_ARRAY) {
        at = c->pos;
        if (!cursor_u32(c, &type) || !cursor_u64(c, &kv->count))
            return error_set(e, LEAT_E_TRUNCATED,
                             "file ends at byte %zu, inside the array head of key \"%.*s\"", c->n,
                             SHOW(kv->key));
        /* Nested arrays have no use in models, and refusing them is what keeps this free of recursion. */
        if (type >= GGUF_TYPE_COUNT || type == GGUF_ARRAY)
            return error_set(e, LEAT_E_TYPE,
                             "key \"%.*s\", byte %zu: array of type %" PRIu32 " (%s) is not supported",
                             SHOW(kv->key), at, type, gguf_type_name(type));
        kv->elem_type = (gguf_type)type;
    }
    return parse_elements(c, kv, e);
}

static leat_status index_kv(gguf *g, leat_error *e) {
    size_t first = 0, second = 0;
    leat_status status = names_index(names_of_kv(g), &g->kv_index, &g->kv_index_size, &first, &second);
    if (status == LEAT_E_DUPLICATE)
        return error_set(e, status, "metadata key \"%.*s\" appears twice, as number %zu and %zu",
                         SHOW(g->kv[first].key), first, second);
    if (status) return error_set(e, status, "no memory for the index of %zu metadata keys", g->n_kv);
    return LEAT_OK;
}

/* Only after all metadata, wherever the key stands, and before anything is laid out by it. */
static leat_status find_alignment(gguf *g, leat_error *e) {
    const gguf_kv *kv = gguf_find(g, "general.alignment");
    g->alignment = LIMIT_ALIGNMENT_DEFAULT;
    if (!kv) return LEAT_OK;
    if (kv->type != GGUF_U32)
        return error_set(e, LEAT_E_ALIGN, "key \"general.alignment\" is of type %s, not u32",
                         gguf_type_name(kv->type));
    uint32_t v = load_u32(kv->data);
    if (v < LIMIT_ALIGNMENT_MIN || v > LIMIT_ALIGNMENT_MAX || (v & (v - 1)) != 0)
        return error_set(e, LEAT_E_ALIGN,
                         "key \"general.alignment\" is %" PRIu32 ", not a power of two from %d to %d", v,
                         LIMIT_ALIGNMENT_MIN, LIMIT_ALIGNMENT_MAX);
    g->alignment = v;
    return LEAT_OK;
}

leat_status gguf_parse(const uint8_t *p, size_t n, gguf *g, leat_error *e) {
    cursor c = {p, n, 0};
    *g = (gguf){0};
    leat_status status = parse_header(&c, g, e);
    if (status) goto fail;
    g->kv = mem_alloc(g->n_kv, sizeof *g->kv);
    if (!g->kv) {
        status = error_set(e, LEAT_E_NOMEM, "no memory for %zu metadata entries", g->n_kv);
        goto fail;
    }
    for (size_t i = 0; i < g->n_kv; i++) {
        status = parse_kv(&c, i, &g->kv[i], e);
        if (status) goto fail;
    }
    status = index_kv(g, e);
    if (!status) status = find_alignment(g, e);
    if (!status) status = tensors_parse(&c, g, e);
    if (!status) status = tensors_index(g, e);
    if (status) goto fail;
    return error_set(e, LEAT_OK, "%s", "");
fail:
    gguf_free(g);
    return status;
}

void gguf_free(gguf *g) {
    mem_free(g->kv);
    mem_free(g->tensors);
    mem_free(g->kv_index);
    mem_free(g->tensor_index);
    *g = (gguf){0};
}

const gguf_kv *gguf_find(const gguf *g, const char *key) {
    size_t i = names_find(names_of_kv(g), g->kv_index, g->kv_index_size, (str){key, strlen(key)});
    return i == SIZE_MAX ? NULL : &g->kv[i];
}

const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name) {
    size_t i =
        names_find(names_of_tensors(g), g->tensor_index, g->tensor_index_size, (str){name, strlen(name)});
    return i == SIZE_MAX ? NULL : &g->tensors[i];
}
