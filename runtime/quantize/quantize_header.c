/* The header of a quantized file (quantize_plan.h): metadata as it was, but for what speaks of the file and
 * not of the model, and the tensors with their new types. */
#include <string.h>

#include "gguf_out.h"
#include "kernels/formats.h"
#include "quantize_plan.h"

/* Of general.quantization_version: the layout of the blocks has been this one since 2023. */
enum { QUANTIZATION_VERSION = 2 };

/* Entries that speak of the input file; some of them are written anew. */
static bool is_dropped(const quantize_plan *p, str key) {
    static const char *const split[] = {"split.no", "split.count", "split.tensors.count"};
    static const char *const made[] = {"general.quantization_version",   "general.file_type",
                                       "quantize.imatrix.file",          "quantize.imatrix.dataset",
                                       "quantize.imatrix.entries_count", "quantize.imatrix.chunks_count",
                                       "leat.quantize.search",           "leat.quantize.types"};
    for (size_t i = 0; i < sizeof split / sizeof *split; i++)
        if (str_eq(key, split[i])) return true;
    for (size_t i = 0; p->mix && i < sizeof made / sizeof *made; i++)
        if (str_eq(key, made[i])) return true;
    return false;
}

/* What is added to the metadata, at the end and in this order, as llama.cpp does: how many, and them. */
static uint64_t count_added(const quantize_plan *p, size_t part) {
    uint64_t n = p->parts > 1 ? 3 : 0;
    if (part || !p->mix) return n;
    n += 2;
    if (p->importance) n += 2 + (p->importance_path != NULL) + (importance_dataset(p->importance).n != 0);
    return n + p->listed + (p->listed && p->note[0]);
}

/* leat.quantize.types: "TENSOR=TYPE" of each weight matrix, which --tensor-type understands; and how they
 * were found. */
static void put_types(gguf_out *o, const quantize_plan *p) {
    uint64_t n = 0;
    if (p->note[0]) out_kv_str(o, "leat.quantize.search", (str){p->note, strlen(p->note)});
    for (size_t i = 0; i < p->in->n_tensors; i++) n += recipe_allows(&p->in->tensors[i]);
    out_str(o, (str){"leat.quantize.types", 19});
    out_u32(o, GGUF_ARRAY);
    out_u32(o, GGUF_STRING);
    out_u64(o, n);
    for (size_t i = 0; i < p->in->n_tensors; i++) {
        const gguf_tensor *t = &p->in->tensors[i];
        const char *type = format_get(p->formats[i])->name;
        if (!recipe_allows(t)) continue;
        out_u64(o, t->name.n + 1 + strlen(type));
        out_bytes(o, t->name.p, t->name.n);
        out_bytes(o, "=", 1);
        out_bytes(o, type, strlen(type));
    }
}

uint64_t quantize_header_bytes(const quantize_plan *p) {
    uint64_t bytes = p->in->data_offset + 2048; /* entries that are added, alignment */
    if (p->importance_path) bytes += strlen(p->importance_path);
    if (p->importance) bytes += importance_dataset(p->importance).n;
    for (size_t i = 0; i < p->in->n_tensors; i++)
        if (recipe_allows(&p->in->tensors[i])) bytes += p->in->tensors[i].name.n + 24;
    return bytes;
}

static void put_added(gguf_out *o, const quantize_plan *p, size_t part) {
    if (!part && p->mix) {
        out_kv_u32(o, "general.quantization_version", QUANTIZATION_VERSION);
        out_kv_u32(o, "general.file_type", p->file_type);
        if (p->importance) {
            str dataset = importance_dataset(p->importance);
            if (p->importance_path)
                out_kv_str(o, "quantize.imatrix.file", (str){p->importance_path, strlen(p->importance_path)});
            if (dataset.n) out_kv_str(o, "quantize.imatrix.dataset", dataset);
            out_kv_u32(o, "quantize.imatrix.entries_count", (uint32_t)importance_entries(p->importance));
            out_kv_u32(o, "quantize.imatrix.chunks_count", importance_chunks(p->importance));
        }
        if (p->listed) put_types(o, p);
    }
    if (p->parts > 1) {
        out_kv_u16(o, "split.no", (uint16_t)part);
        out_kv_u16(o, "split.count", (uint16_t)p->parts);
        out_kv_i32(o, "split.tensors.count", (int32_t)p->in->n_tensors);
    }
}

leat_status quantize_header(const quantize_plan *p, size_t part, file_writer *w, leat_error *e) {
    const gguf *g = p->in;
    gguf_out o = {w, LEAT_OK, e};
    uint64_t n_kv = count_added(p, part), n_tensors = 0, offset = 0;
    for (size_t i = 0; i < g->n_kv && !part; i++) n_kv += !is_dropped(p, g->kv[i].key);
    for (size_t i = 0; i < g->n_tensors; i++) n_tensors += p->parts == 1 || g->tensors[i].part == part;

    out_bytes(&o, "GGUF", 4);
    out_u32(&o, 3);
    out_u64(&o, n_tensors);
    out_u64(&o, n_kv);
    for (size_t i = 0; i < g->n_kv && !part; i++)
        if (!is_dropped(p, g->kv[i].key)) out_kv_copy(&o, &g->kv[i]);
    put_added(&o, p, part);
    for (size_t i = 0; i < g->n_tensors && !o.status; i++) {
        const gguf_tensor *t = &g->tensors[i];
        if (p->parts > 1 && t->part != part) continue;
        out_str(&o, t->name);
        out_u32(&o, t->n_dims);
        for (uint32_t dim = 0; dim < t->n_dims; dim++) out_u64(&o, t->ne[dim]);
        out_u32(&o, p->formats[i]);
        out_u64(&o, offset);
        /* can't wrap: a tensor has at most 2^48 values, a file at most 65536 tensors of which the input had
         * all bytes */
        uint64_t bytes = (uint64_t)format_row_bytes(p->formats[i], (size_t)t->ne[0]) * t->n_rows;
        size_t alignment =
            part ? 32 : g->alignment; /* parts after the first have no metadata to say otherwise */
        offset += (bytes + alignment - 1) / alignment * alignment;
    }
    return o.status ? o.status : writer_align(w, part ? 32 : g->alignment, e);
}
