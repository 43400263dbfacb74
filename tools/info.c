/* `leat info`: what is in a GGUF file, for people or as JSON, and single tensors as float32. Works on any
 * well-formed file, also one that is no model; nothing in it is trusted, and its strings can't drive the
 * terminal. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/leat.h"

#include "commands.h"
#include "info.h"
#include "input.h"
#include "json.h"
#include "options.h"
#include "term.h"

enum { KEY_WIDTH = 40, SHOWN_ELEMENTS = 6, MAX_TYPES = 64 };

static const char *const type_names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};

static const char *type_name(leat_meta_type type) {
    return (size_t)type < sizeof type_names / sizeof *type_names ? type_names[type] : "?";
}

typedef struct type_count { /* tensors of one type */
    const char *type;
    uint32_t id;
    uint64_t tensors, elements, bytes;
} type_count;

typedef struct summary {
    type_count types[MAX_TYPES];
    size_t n_types;
    uint64_t elements, bytes;
    uint64_t of_experts;   /* elements of weights of which a token uses only some */
    char architecture[65]; /* "" if the file names none */
} summary;

/* Looks `prefix.suffix` up; a suffix alone when prefix is NULL. */
static bool find_value(const leat_file *file, const char *prefix, const char *suffix, leat_meta *meta,
                       leat_value *value) {
    char key[160];
    size_t index;
    snprintf(key, sizeof key, "%s%s%s", prefix ? prefix : "", prefix ? "." : "", suffix);
    return !leat_file_meta_find(file, key, &index) && !leat_file_meta(file, index, meta) &&
           !leat_file_meta_value(file, index, 0, NULL, value);
}

bool info_string(const leat_file *file, const char *key, leat_str *out) {
    leat_meta meta;
    leat_value value;
    if (!find_value(file, NULL, key, &meta, &value) || meta.type != LEAT_META_STRING) return false;
    *out = value.str;
    return true;
}

static bool find_integer(const leat_file *file, const summary *s, const char *suffix, uint64_t *out) {
    leat_meta meta;
    leat_value value;
    if (!s->architecture[0] || !find_value(file, s->architecture, suffix, &meta, &value)) return false;
    switch (meta.type) {
    case LEAT_META_U8:
    case LEAT_META_U16:
    case LEAT_META_U32:
    case LEAT_META_U64: *out = value.u64; return true;
    case LEAT_META_I8:
    case LEAT_META_I16:
    case LEAT_META_I32:
    case LEAT_META_I64: *out = (uint64_t)value.i64; return value.i64 >= 0;
    default: return false; /* an array per layer, say: the metadata list shows it */
    }
}

/* blk.7.ffn_up_exps.weight and the like: a matrix for each expert. */
static bool is_expert(leat_str name) {
    static const char mark[] = "_exps.";
    for (size_t i = 0; i + sizeof mark - 1 <= name.size; i++)
        if (!memcmp(name.data + i, mark, sizeof mark - 1)) return true;
    return false;
}

/* Weights that one token uses, as far as the file says it. */
static uint64_t active(const leat_file *file, const summary *s) {
    uint64_t n, used;
    if (!s->of_experts || !find_integer(file, s, "expert_count", &n) ||
        !find_integer(file, s, "expert_used_count", &used) || !n || used > n)
        return s->elements;
    return s->elements - s->of_experts + (uint64_t)((double)s->of_experts * (double)used / (double)n);
}

static void summarize(const leat_file *file, summary *s) {
    leat_str architecture;
    memset(s, 0, sizeof *s);
    if (info_string(file, "general.architecture", &architecture) &&
        architecture.size < sizeof s->architecture && !memchr(architecture.data, 0, architecture.size))
        memcpy(s->architecture, architecture.data, architecture.size);
    for (size_t i = 0; i < leat_file_tensor_count(file); i++) {
        leat_tensor_info t;
        size_t k = 0;
        if (leat_file_tensor(file, i, &t)) continue;
        while (k < s->n_types && strcmp(s->types[k].type, t.type) != 0) k++;
        if (k == MAX_TYPES) continue; /* there are fewer types than that */
        if (k == s->n_types) s->types[s->n_types++] = (type_count){.type = t.type, .id = t.type_id};
        s->types[k].tensors++;
        s->types[k].elements += t.n_elements;
        s->types[k].bytes += t.bytes;
        s->elements += t.n_elements;
        s->bytes += t.bytes;
        if (is_expert(t.name)) s->of_experts += t.n_elements;
    }
}

static bool runnable(const char *architecture) {
    for (size_t i = 0; leat_architecture(i); i++)
        if (!strcmp(leat_architecture(i), architecture)) return true;
    return false;
}

static double bits(uint64_t bytes, uint64_t elements) {
    return elements ? 8.0 * (double)bytes / (double)elements : 0;
}

/* 2931712 as "2.9 M": what a person compares. */
static void print_count(uint64_t v) {
    static const char *const units[5] = {"", "K", "M", "B", "T"};
    double scaled = (double)v;
    int i = 0;
    for (; scaled >= 1000 && i < 4; i++) scaled /= 1000;
    printf(i ? "%.1f %s" : "%.0f%s", scaled, units[i]);
}

void info_print_bytes(uint64_t v) {
    static const char *const units[5] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double scaled = (double)v;
    int i = 0;
    for (; scaled >= 1024 && i < 4; i++) scaled /= 1024;
    printf(i ? "%.1f %s" : "%.0f %s", scaled, units[i]);
}

void info_label(const char *name) {
    printf("  %-*s", LABEL, name);
}

static bool find_number(const leat_file *file, const summary *s, const char *suffix, double *out) {
    leat_meta meta;
    leat_value value;
    if (!s->architecture[0] || !find_value(file, s->architecture, suffix, &meta, &value)) return false;
    *out = value.f64;
    return meta.type == LEAT_META_F32 || meta.type == LEAT_META_F64;
}

/* What a token sees and how it knows where it is, as far as the file says it. */
static void print_positions(const leat_file *file, const summary *s) {
    uint64_t v;
    double base, factor;
    leat_str scaling;
    leat_meta meta;
    leat_value value;
    if (find_integer(file, s, "attention.sliding_window", &v) && v) {
        info_label("window");
        printf("%" PRIu64 " tokens in windowed layers\n", v);
    }
    if (!find_number(file, s, "rope.freq_base", &base)) return;
    info_label("rotation");
    printf("base %g", base);
    if (find_integer(file, s, "rope.dimension_count", &v)) printf(", %" PRIu64 " values of a head", v);
    if (find_value(file, s->architecture, "rope.scaling.type", &meta, &value) &&
        meta.type == LEAT_META_STRING) {
        scaling = value.str;
        printf(", scaled: ");
        term_put_clean(stdout, scaling.data, scaling.size, SHOWN_STRING);
    }
    if (find_number(file, s, "rope.scaling.factor", &factor)) printf(" by %g", factor);
    if (find_integer(file, s, "rope.scaling.original_context_length", &v))
        printf(" from %" PRIu64 " tokens", v);
    putchar('\n');
}

static void print_experts(const leat_file *file, const summary *s) {
    uint64_t n, v;
    if (!find_integer(file, s, "expert_count", &n) || !n) return;
    info_label("experts");
    printf("%" PRIu64, n);
    if (find_integer(file, s, "expert_used_count", &v)) printf(", %" PRIu64 " used by each token", v);
    if (find_integer(file, s, "expert_feed_forward_length", &v)) printf(", %" PRIu64 " wide", v);
    putchar('\n');
}

static void print_weights(const summary *s, const info_model *m) {
    if (s->n_types) printf("\nWeights\n");
    for (size_t i = 0; i < s->n_types; i++) {
        const type_count *t = &s->types[i];
        const char *isa = leat_type_isa(t->id, m->model ? m->info.isa : NULL);
        printf("  %-*s%6" PRIu64 " tensors  %6.2f bits per weight  %5.1f %% of the bytes  ", LABEL, t->type,
               t->tensors, bits(t->bytes, t->elements),
               s->bytes ? 100.0 * (double)t->bytes / (double)s->bytes : 0);
        printf(isa ? "kernels: %s\n" : "no kernels\n", isa);
    }
}

static void print_summary(const leat_file *file, const summary *s, const char *path, const info_model *m) {
    leat_str text;
    uint64_t v, heads;
    if (info_string(file, "general.name", &text) && text.size)
        term_put_clean(stdout, text.data, text.size, SHOWN_STRING);
    else
        term_put_clean(stdout, path, strlen(path), SIZE_MAX);
    putchar('\n');
    info_print_origin(file);
    info_label("file");
    term_put_clean(stdout, path, strlen(path), SIZE_MAX);
    printf("\n");
    info_label("size");
    info_print_bytes(leat_file_size(file));
    printf(", GGUF version %u", (unsigned)leat_file_version(file));
    if (leat_file_parts(file) > 1) printf(", %zu parts", leat_file_parts(file));
    putchar('\n');
    info_label("architecture");
    if (!s->architecture[0])
        printf("none named: not a model that can run\n");
    else {
        term_put_clean(stdout, s->architecture, strlen(s->architecture), SIZE_MAX);
        printf(runnable(s->architecture) ? "\n" : " (this version of Leat can't run it)\n");
    }
    if (s->elements) {
        info_label("parameters");
        print_count(s->elements);
        printf(", %.2f bits each", bits(s->bytes, s->elements));
        if (active(file, s) < s->elements) {
            printf("; ");
            print_count(active(file, s));
            printf(" used by each token");
        }
        putchar('\n');
    }
    if (find_integer(file, s, "context_length", &v)) {
        info_label("context");
        printf("%" PRIu64 " tokens\n", v);
    }
    if (find_integer(file, s, "block_count", &v)) {
        info_label("layers");
        printf("%" PRIu64, v);
        if (find_integer(file, s, "embedding_length", &v)) printf(", %" PRIu64 " wide", v);
        if (find_integer(file, s, "feed_forward_length", &v) && v)
            printf(", feed-forward %" PRIu64 " wide", v);
        putchar('\n');
    }
    print_experts(file, s);
    if (find_integer(file, s, "attention.head_count", &heads) && heads) {
        info_label("heads");
        printf("%" PRIu64, heads);
        if (find_integer(file, s, "attention.head_count_kv", &v))
            printf(", %" PRIu64 " for keys and values", v);
        if (find_integer(file, s, "attention.key_length", &v)) printf(", %" PRIu64 " values each", v);
        putchar('\n');
    }
    print_positions(file, s);
    leat_meta meta;
    leat_value value;
    if (find_value(file, NULL, "tokenizer.ggml.tokens", &meta, &value) && meta.type == LEAT_META_ARRAY) {
        info_label("vocabulary");
        printf("%" PRIu64 " tokens", meta.count);
        if (info_string(file, "tokenizer.ggml.model", &text)) {
            printf(", ");
            term_put_clean(stdout, text.data, text.size, SHOWN_STRING);
        }
        if (info_string(file, "tokenizer.ggml.pre", &text)) {
            printf(" / ");
            term_put_clean(stdout, text.data, text.size, SHOWN_STRING);
        }
        printf("\n");
    }
    info_print_text(file);
    info_print_model(m, file);
    print_weights(s, m);
}

static void print_value(leat_meta_type type, const leat_value *v) {
    switch (type) {
    case LEAT_META_STRING: term_put_clean(stdout, v->str.data, v->str.size, SHOWN_STRING); break;
    case LEAT_META_BOOL: fputs(v->u64 ? "true" : "false", stdout); break;
    case LEAT_META_F32:
    case LEAT_META_F64: printf("%g", v->f64); break;
    case LEAT_META_I8:
    case LEAT_META_I16:
    case LEAT_META_I32:
    case LEAT_META_I64: printf("%" PRId64, v->i64); break;
    default: printf("%" PRIu64, v->u64); break;
    }
}

static void print_metadata(const leat_file *file) {
    size_t n = leat_file_meta_count(file);
    printf("\nMetadata (%zu %s)\n", n, n == 1 ? "key" : "keys");
    for (size_t i = 0; i < n; i++) {
        leat_meta meta;
        size_t cursor = 0;
        if (leat_file_meta(file, i, &meta)) continue;
        bool array = meta.type == LEAT_META_ARRAY;
        fputs("  ", stdout);
        term_put_clean(stdout, meta.key.data, meta.key.size, 200);
        printf("%*s ", meta.key.size < KEY_WIDTH ? (int)(KEY_WIDTH - meta.key.size) : 0, "");
        if (array) printf("%" PRIu64 " x %s: ", meta.count, type_name(meta.elem_type));
        for (uint64_t k = 0; k < meta.count && k < SHOWN_ELEMENTS; k++) {
            leat_value value;
            if (leat_file_meta_value(file, i, k, &cursor, &value)) break;
            if (k) fputs(", ", stdout);
            print_value(array ? meta.elem_type : meta.type, &value);
        }
        printf(meta.count > SHOWN_ELEMENTS ? ", ...\n" : "\n");
    }
}

static void print_tensors(const leat_file *file) {
    printf("\nTensors (%zu)\n", leat_file_tensor_count(file));
    for (size_t i = 0; i < leat_file_tensor_count(file); i++) {
        leat_tensor_info t;
        char shape[100];
        int used = 0;
        if (leat_file_tensor(file, i, &t)) continue;
        for (uint32_t k = 0; k < t.n_dims; k++)
            used += snprintf(shape + used, sizeof shape - (size_t)used, k ? " x %" PRIu64 : "%" PRIu64,
                             t.dims[k]);
        fputs("  ", stdout);
        term_put_clean(stdout, t.name.data, t.name.size, SIZE_MAX);
        printf("%*s %-8s %20s  ", t.name.size < KEY_WIDTH ? (int)(KEY_WIDTH - t.name.size) : 0, "", t.type,
               shape);
        info_print_bytes(t.bytes);
        putchar('\n');
    }
}

static void json_value(json *j, leat_meta_type type, const leat_value *v) {
    switch (type) {
    case LEAT_META_STRING: json_string(j, v->str.data, v->str.size); break;
    case LEAT_META_BOOL: json_bool(j, v->u64 != 0); break;
    case LEAT_META_F32: json_f32(j, (float)v->f64); break;
    case LEAT_META_F64: json_f64(j, v->f64); break;
    case LEAT_META_I8:
    case LEAT_META_I16:
    case LEAT_META_I32:
    case LEAT_META_I64: json_i64(j, v->i64); break;
    default: json_u64(j, v->u64); break;
    }
}

static void print_json(const leat_file *file, const summary *s, const char *path, const info_model *m) {
    json j;
    json_start(&j, stdout, true);
    json_object(&j);
    json_name(&j, "file");
    json_text(&j, path);
    json_name(&j, "gguf_version");
    json_u64(&j, leat_file_version(file));
    json_name(&j, "bytes");
    json_u64(&j, leat_file_size(file));
    json_name(&j, "parts");
    json_u64(&j, leat_file_parts(file));
    json_name(&j, "architecture");
    json_text(&j, s->architecture[0] ? s->architecture : NULL);
    json_name(&j, "runnable");
    json_bool(&j, runnable(s->architecture));
    json_name(&j, "parameters");
    json_u64(&j, s->elements);
    json_name(&j, "active_parameters");
    json_u64(&j, active(file, s));
    json_name(&j, "bits_per_weight");
    json_f64(&j, bits(s->bytes, s->elements));
    json_name(&j, "types");
    json_array(&j);
    for (size_t i = 0; i < s->n_types; i++) {
        json_object(&j);
        json_name(&j, "type");
        json_text(&j, s->types[i].type);
        json_name(&j, "isa");
        json_text(&j, leat_type_isa(s->types[i].id, m->model ? m->info.isa : NULL));
        json_name(&j, "tensors");
        json_u64(&j, s->types[i].tensors);
        json_name(&j, "elements");
        json_u64(&j, s->types[i].elements);
        json_name(&j, "bytes");
        json_u64(&j, s->types[i].bytes);
        json_object_end(&j);
    }
    json_array_end(&j);
    info_json_model(&j, file, m);
    json_name(&j, "metadata");
    json_object(&j);
    for (size_t i = 0; i < leat_file_meta_count(file); i++) {
        leat_meta meta;
        leat_value value;
        size_t cursor = 0;
        if (leat_file_meta(file, i, &meta)) continue;
        bool array = meta.type == LEAT_META_ARRAY;
        json_key(&j, meta.key.data, meta.key.size);
        if (array) json_array(&j);
        for (uint64_t k = 0; k < meta.count && !leat_file_meta_value(file, i, k, &cursor, &value); k++)
            json_value(&j, array ? meta.elem_type : meta.type, &value);
        if (array) json_array_end(&j);
    }
    json_object_end(&j);
    json_name(&j, "tensors");
    json_array(&j);
    for (size_t i = 0; i < leat_file_tensor_count(file); i++) {
        leat_tensor_info t;
        if (leat_file_tensor(file, i, &t)) continue;
        json_object(&j);
        json_name(&j, "name");
        json_string(&j, t.name.data, t.name.size);
        json_name(&j, "type");
        json_text(&j, t.type);
        json_name(&j, "dims");
        json_array(&j);
        for (uint32_t k = 0; k < t.n_dims; k++) json_u64(&j, t.dims[k]);
        json_array_end(&j);
        json_name(&j, "elements");
        json_u64(&j, t.n_elements);
        json_name(&j, "bytes");
        json_u64(&j, t.bytes);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    putchar('\n');
}

static int export_tensor(const leat_file *file, const char *path, const char *name, const char *out) {
    leat_tensor_info t, nearest = {.name = {NULL, 0}};
    leat_error error;
    size_t index, best = SIZE_MAX;
    if (!leat_file_tensor_find(file, name, &index)) {
        if (leat_tensor_export(file, index, out, &error)) return fail("%s", error.message);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < leat_file_tensor_count(file); i++)
        if (!leat_file_tensor(file, i, &t) && nearer_word(name, t.name.data, t.name.size, &best)) nearest = t;
    if (nearest.name.data)
        return fail("%s has no tensor %s; did you mean %.*s?", path, name, (int)nearest.name.size,
                    nearest.name.data);
    return fail("%s has no tensor %s; --tensors lists what it has", path, name);
}

int command_info(int argc, char **argv) {
    const char *path = NULL, *tensor = NULL, *out = NULL;
    bool as_json = false, tensors = false;
    char default_path[PATH_MAX];
    info_wish wish = {.batch = 512, .threads = -1, .cache_k = "f16", .cache_v = "f16"};
    const option options[] = {
        OPTION_MODEL(&path),
        {"-c --ctx-size", "N", "memory for a context of N tokens; 0: 4096 and what it was trained for (0)",
         OPTION_INT, &wish.context, 0, INT32_MAX, NULL},
        OPTION_BATCH(&wish.batch),
        OPTION_THREADS(&wish.threads),
        OPTION_CACHE_K(&wish.cache_k),
        OPTION_CACHE_V(&wish.cache_v),
        OPTION_ISA(&wish.isa),
        {"--json", NULL, "everything, for programs; dims as in the file, row length first", OPTION_FLAG,
         &as_json, 0, 0, NULL},
        {"--tensors", NULL, "list all tensors too", OPTION_FLAG, &tensors, 0, 0, NULL},
        {"--tensor", "NAME", "write this tensor as raw float32, row by row", OPTION_TEXT, &tensor, 0, 0,
         NULL},
        {"-o --out", "FILE", "where --tensor goes", OPTION_TEXT, &out, 0, 0, NULL},
    };
    command_line line = {
        "info",
        "[MODEL] [-c N] [--json] [--tensors] [--tensor NAME --out FILE]",
        "Shows what is in a model file: what kind of model it is, how it runs here and the memory it takes,\n"
        "its metadata and its tensors.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    leat_file *file = NULL;
    leat_error error;
    summary s;
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status)) {
        size_t used = 0;
        if (!path && line.n_positionals) path = line.positionals[used++];
        if (used < line.n_positionals)
            status = usage_error(line.name, "unexpected \"%s\"", line.positionals[used]);
        else if (!tensor != !out)
            status =
                usage_error(line.name, tensor ? "--tensor needs --out FILE" : "--out needs --tensor NAME");
        else if (!path && !(status = default_model_path(default_path)))
            path = default_path;
        if (!status && leat_file_open(path, &file, &error)) status = fail("%s", error.message);
    }
    if (file && tensor) {
        status = export_tensor(file, path, tensor, out);
    } else if (file) {
        info_model m;
        summarize(file, &s);
        if (!wish.isa) wish.isa = getenv("LEAT_ISA");
        info_model_open(&m, file, path, &wish);
        if (as_json) {
            print_json(file, &s, path, &m);
        } else {
            print_summary(file, &s, path, &m);
            print_metadata(file);
            if (tensors) print_tensors(file);
        }
        info_model_close(&m);
    }
    leat_file_close(file);
    free(line.positionals);
    return status;
}
