/* See hf_folder.h. Names and orders are those of the model code in Hugging Face's transformers and of the
 * models' own repositories. */
#include "hf_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hf_config.h"
#include "loader/file.h"

enum { TENSORS_MAX = 4096 };

typedef struct hf_maker {
    const gguf *g;
    const arch_spec *spec;
    uint32_t heads, heads_kv, dim;
    hf_tensor *t;
    size_t n;
} hf_maker;

/* How a tensor is kept; see keep(). First rule that fits counts. */
static const struct rename {
    const char *archs, *gguf, *hf;
    char how;
} renames[] = {
#include "hf_names.def"
};

static bool is_listed(const char *list, const char *word) {
    size_t n = strlen(word);
    if (*list == '*') return true;
    for (const char *p = list; (p = strstr(p, word)); p++)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

/* Does the GGUF name fit the pattern? Gives the layer and what follows. */
static bool name_fits(str name, const char *pattern, unsigned *layer, char suffix[16]) {
    size_t i = 0;
    *layer = 0;
    *suffix = 0;
    for (; *pattern; pattern++) {
        if (*pattern == '!') return i == name.n;
        if (*pattern == '#') {
            for (; i < name.n && name.p[i] >= '0' && name.p[i] <= '9'; i++)
                *layer = *layer * 10 + (unsigned)(name.p[i] - '0');
        } else if (i >= name.n || name.p[i++] != *pattern)
            return false;
    }
    snprintf(suffix, 16, "%.*s", (int)(name.n - i), name.p + i);
    return !strcmp(suffix, ".weight") || !strcmp(suffix, ".bias");
}

static hf_tensor *add(hf_maker *k, const char *pattern, unsigned layer, int expert, const char *suffix,
                      uint32_t n_dims, const uint64_t *dims, float **data) {
    hf_tensor *t = &k->t[k->n++];
    size_t n = 0, values = 1;
    /* in a frame with other kinds of models */
    if (is_listed("gemma3n gemma4 qwen3vl qwen3vlmoe", k->spec->arch) && !strncmp(pattern, "model.", 6)) {
        n = (size_t)sprintf(t->name, "model.language_model.");
        pattern += 6;
    }
    for (; *pattern; pattern++)
        if (*pattern == '#' || *pattern == '@')
            n += (size_t)snprintf(t->name + n, 12, "%u", *pattern == '#' ? layer : (unsigned)expert);
        else
            t->name[n++] = *pattern;
    snprintf(t->name + n, sizeof t->name - n, "%s", suffix);
    t->type = "F32";
    t->n_dims = n_dims;
    for (uint32_t i = 0; i < n_dims; i++) values *= (t->dims[i] = dims[i]);
    t->bytes = 4 * values;
    t->data = *data = calloc(values, 4);
    return t;
}

static const gguf_tensor *partner(const hf_maker *k, const gguf_tensor *t, const char *from, const char *to) {
    char name[128];
    const char *at = strstr(t->name.p, from);
    snprintf(name, sizeof name, "%.*s%s%.*s", (int)(at - t->name.p), t->name.p, to,
             (int)(t->name.n - (size_t)(at - t->name.p) - strlen(from)), at + strlen(from));
    return gguf_find_tensor(k->g, name);
}

/* Row of the source that row r of the kept tensor is, for orders of rows. */
static uint64_t row_from(const hf_maker *k, char how, uint64_t rows, uint64_t r) {
    uint64_t heads = how == 'q' ? k->heads : k->heads_kv, d = k->dim, keys = DELTA_KEYS,
             per = DELTA_VALUES / DELTA_KEYS;
    uint64_t behind = how == 'Q' || how == 'S' ? 2 * keys * d : 0;
    switch (how) {
    case 'q':
    case 'k': { /* halves of heads back to where pairs came from */
        uint64_t dim = rows / heads, h = r / dim, i = r % dim;
        return h * dim + i % (dim / 2) * 2 + i / (dim / 2);
    }
    case 'n': { /* (heads, 3, d) out of (3, heads, d) */
        uint64_t dim = rows / 3 / k->heads, h = r / (3 * dim), part = r / dim % 3;
        return part * k->heads * dim + h * dim + r % dim;
    }
    case 'f': { /* groups of queries with their key and value */
        uint64_t g = k->heads / k->heads_kv, dim = rows / (k->heads + 2 * k->heads_kv),
                 group = r / ((g + 2) * dim), i = r / dim % (g + 2);
        uint64_t head = i < g ? group * g + i : i == g ? k->heads + group : k->heads + k->heads_kv + group;
        return head * dim + r % dim;
    }
    case 'Q':
    case 'S':
    case 'V':
    case 'W':
    case 'L': { /* value heads of a key head together */
        if (r < behind) return r;
        uint64_t dim = (rows - behind) / DELTA_VALUES, head = (r - behind) / dim;
        return behind + ((head % per) * keys + head / per) * dim + r % dim;
    }
    default: return r;
    }
}

static void keep_rows(hf_maker *k, const struct rename *rule, const gguf_tensor *t, unsigned layer,
                      const char *suffix) {
    const float *x = (const float *)(const void *)t->data;
    uint64_t cols = t->n_dims > 1 ? t->ne[0] : 1, rows = t->n_dims > 1 ? t->ne[1] * t->ne[2] : t->ne[0];
    uint64_t dims[5] = {rows, cols};
    uint32_t n_dims = t->n_dims;
    float *y;
    char how = rule->how;
    if (n_dims == 3) dims[0] = t->ne[2], dims[1] = t->ne[1], dims[2] = t->ne[0];
    if ((how == 's' || how == 'S') && n_dims == 2) dims[1] = 1, dims[2] = cols, n_dims = 3;
    if (how == 'l' || how == 'c' || how == 'L') dims[0] = rows * cols, n_dims = 1;
    if (how == 'r') dims[0] = 1, dims[1] = t->ne[0], n_dims = 2;
    add(k, rule->hf, layer, 0, suffix, n_dims, dims, &y);
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++) {
            float v = x[row_from(k, how, rows, r) * cols + c];
            y[r * cols + c] = how == '1' && !strcmp(suffix, ".weight") ? v - 1.0f
                              : how == 'l' || how == 'L'               ? logf(-v)
                                                                       : v;
        }
}

/* Orders that are not of rows, and tensors made of several. */
static void keep(hf_maker *k, const struct rename *rule, const gguf_tensor *t, unsigned layer,
                 const char *suffix) {
    const float *x = (const float *)(const void *)t->data, *up, *v;
    uint64_t cols = t->ne[0], rows = t->ne[1], stack = t->ne[2], heads = k->heads, g;
    float *y;
    switch (rule->how) {
    case 'x': break;
    case 't': /* stacks of transposed */
        if (t->n_dims == 1) {
            keep_rows(k, rule, t, layer, suffix);
            break;
        }
        add(k, rule->hf, layer, 0, suffix, t->n_dims,
            t->n_dims == 3 ? (uint64_t[]){stack, cols, rows} : (uint64_t[]){cols, rows}, &y);
        for (uint64_t i = 0; i < stack * rows * cols; i++)
            y[i / (rows * cols) * rows * cols + i % cols * rows + i / cols % rows] = x[i];
        break;
    case 'e':
        if (t->n_dims == 2) stack = rows, rows = 1;
        for (uint64_t e = 0; e < stack; e++) {
            add(k, rule->hf, layer, (int)e, suffix, t->n_dims - 1,
                t->n_dims == 3 ? (uint64_t[]){rows, cols} : (uint64_t[]){cols}, &y);
            memcpy(y, x + e * rows * cols, rows * cols * 4);
        }
        break;
    case 'o': /* two rows of padding before */
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){rows + 2, cols}, &y);
        memcpy(y + 2 * cols, x, rows * cols * 4);
        break;
    case 'u': /* a stack as rows of one matrix */
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){stack * rows, cols}, &y);
        memcpy(y, x, stack * rows * cols * 4);
        break;
    case 'U': /* and each transposed */
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){stack * cols, rows}, &y);
        for (uint64_t i = 0; i < stack * rows * cols; i++)
            y[i / (rows * cols) * rows * cols + i % cols * rows + i / cols % rows] = x[i];
        break;
    case 'P': /* q and k with halves of heads apart, v */
        up = (const float *)(const void *)partner(k, t, "attn_q", "attn_k")->data;
        v = (const float *)(const void *)partner(k, t, "attn_q", "attn_v")->data;
        g = k->heads_kv * k->dim;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){rows + 2 * g, cols}, &y);
        for (uint64_t r = 0; r < rows + 2 * g; r++) {
            const float *from = r < rows       ? x + row_from(k, 'q', rows, r) * cols
                                : r < rows + g ? up + row_from(k, 'k', g, r - rows) * cols
                                               : v + (r - rows - g) * cols;
            memcpy(y + r * cols, from, cols * 4);
        }
        break;
    case 'G': /* gate beside up, transposed */
        up = (const float *)(const void *)partner(k, t, "ffn_gate", "ffn_up")->data;
        add(k, rule->hf, layer, 0, suffix, 3, (uint64_t[]){stack, cols, 2 * rows}, &y);
        for (uint64_t i = 0; i < stack * rows * cols; i++) {
            uint64_t e = i / (rows * cols), r = i / cols % rows, c = i % cols;
            y[(e * cols + c) * 2 * rows + r] = x[i];
            y[(e * cols + c) * 2 * rows + rows + r] = up[i];
        }
        break;
    case 'g': /* gate above up */
    case 'i': /* and in turns, transposed */
        up = (const float *)(const void *)partner(k, t, "ffn_gate", "ffn_up")->data;
        if (rule->how == 'g') {
            add(k, rule->hf, layer, 0, suffix, t->n_dims,
                t->n_dims == 3 ? (uint64_t[]){stack, 2 * rows, cols} : (uint64_t[]){2 * rows, cols}, &y);
            for (uint64_t e = 0; e < stack; e++) {
                memcpy(y + 2 * e * rows * cols, x + e * rows * cols, rows * cols * 4);
                memcpy(y + (2 * e + 1) * rows * cols, up + e * rows * cols, rows * cols * 4);
            }
            break;
        }
        add(k, rule->hf, layer, 0, suffix, 3, (uint64_t[]){stack, cols, 2 * rows}, &y);
        for (uint64_t i = 0; i < stack * rows * cols; i++) {
            uint64_t e = i / (rows * cols), r = i / cols % rows, c = i % cols;
            y[(e * cols + c) * 2 * rows + 2 * r] = x[i];
            y[(e * cols + c) * 2 * rows + 2 * r + 1] = up[i];
        }
        break;
    case 'j':
        up = (const float *)(const void *)partner(k, t, "ffn_gate", "ffn_up")->data;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){rows, 2 * cols}, &y);
        for (uint64_t i = 0; i < rows * cols; i++) y[2 * i] = x[i], y[2 * i + 1] = up[i];
        break;
    case 'w': /* queries of a group, its key, its value; halves of heads apart */
        up = (const float *)(const void *)partner(k, t, "attn_q", "attn_k")->data;
        v = (const float *)(const void *)partner(k, t, "attn_q", "attn_v")->data;
        g = heads / k->heads_kv;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){(heads + 2 * k->heads_kv) * k->dim, cols}, &y);
        for (uint64_t kv = 0; kv < k->heads_kv; kv++)
            for (uint64_t i = 0; i < g + 2; i++)
                for (uint64_t r = 0; r < k->dim; r++, y += cols) {
                    uint64_t turned = r % (k->dim / 2) * 2 + r / (k->dim / 2);
                    const float *from = i < g    ? x + ((kv * g + i) * k->dim + turned) * cols
                                        : i == g ? up + (kv * k->dim + turned) * cols
                                                 : v + (kv * k->dim + r) * cols;
                    memcpy(y, from, cols * 4);
                }
        break;
    case 'b': { /* k_b (heads, rank, nope) and v_b (heads, value, rank) */
        const gguf_tensor *vb = partner(k, t, "attn_k_b", "attn_v_b");
        uint64_t nope = cols, rank = rows, value = vb->ne[1];
        v = (const float *)(const void *)vb->data;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){stack * (nope + value), rank}, &y);
        for (uint64_t h = 0; h < stack; h++, y += (nope + value) * rank) {
            for (uint64_t i = 0; i < nope * rank; i++) y[i] = x[(h * rank + i % rank) * nope + i / rank];
            memcpy(y + nope * rank, v + h * value * rank, value * rank * 4);
        }
        break;
    }
    case 'z': { /* of each key head its q, k, v and z */
        uint64_t d = k->dim, per = DELTA_VALUES / DELTA_KEYS, key = d * cols, value = per * d * cols;
        up = (const float *)(const void *)partner(k, t, "attn_qkv", "attn_gate")->data;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){(2 + 2 * per) * d * DELTA_KEYS, cols}, &y);
        for (uint64_t h = 0; h < DELTA_KEYS; h++, y += 2 * key + 2 * value) {
            memcpy(y, x + h * key, key * 4);
            memcpy(y + key, x + (DELTA_KEYS + h) * key, key * 4);
            memcpy(y + 2 * key, x + 2 * DELTA_KEYS * key + h * value, value * 4);
            memcpy(y + 2 * key + value, up + h * value, value * 4);
        }
        break;
    }
    case 'C': { /* columns by value heads */
        uint64_t d = cols / DELTA_VALUES, per = DELTA_VALUES / DELTA_KEYS;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){rows, cols}, &y);
        for (uint64_t i = 0; i < rows * cols; i++) {
            uint64_t head = i % cols / d;
            y[i] = x[i / cols * cols + ((head % per) * DELTA_KEYS + head / per) * d + i % d];
        }
        break;
    }
    default: keep_rows(k, rule, t, layer, suffix);
    }
}

bool hf_write_safetensors(const char *path, const hf_tensor *t, size_t n) {
    char *header = malloc(n * 400 + 64);
    size_t size = 0, offset = 0;
    FILE *f = fopen(path, "wb");
    if (!f || !header) return false;
    size += (size_t)sprintf(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        size += (size_t)sprintf(header + size, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t[i].name, t[i].type);
        for (uint32_t d = 0; d < t[i].n_dims; d++)
            size += (size_t)sprintf(header + size, "%s%llu", d ? "," : "", (unsigned long long)t[i].dims[d]);
        size += (size_t)sprintf(header + size, "],\"data_offsets\":[%zu,%zu]}", offset, offset + t[i].bytes);
        offset += t[i].bytes;
    }
    header[size++] = '}';
    uint64_t length = size;
    bool good = fwrite(&length, 8, 1, f) == 1 && fwrite(header, 1, size, f) == size;
    for (size_t i = 0; i < n && good; i++) good = fwrite(t[i].data, 1, t[i].bytes, f) == t[i].bytes;
    free(header);
    return fclose(f) == 0 && good;
}

static bool write_parts(const hf_maker *k, const char *dir, unsigned parts) {
    char path[300];
    bool good = true;
    if (parts == 1) {
        snprintf(path, sizeof path, "%s/model.safetensors", dir);
        return hf_write_safetensors(path, k->t, k->n);
    }
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    fprintf(f, "{\"metadata\":{},\"weight_map\":{");
    for (unsigned p = 0; p < parts; p++) {
        char name[64];
        size_t from = k->n * p / parts, to = k->n * (p + 1) / parts;
        snprintf(name, sizeof name, "model-%05u-of-%05u.safetensors", p + 1, parts);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        good = good && hf_write_safetensors(path, k->t + from, to - from);
        for (size_t i = from; i < to; i++) fprintf(f, "%s\"%s\":\"%s\"", i ? "," : "", k->t[i].name, name);
    }
    fprintf(f, "}}\n");
    return fclose(f) == 0 && good;
}

/* What sentence-transformers keep: how tokens are pooled, and projections, each in a folder of its own. */
static bool write_modules(const hf_maker *k, const char *dir) {
    static const char *const modes[] = {NULL, "mean_tokens", "cls_token", NULL};
    char path[300];
    uint32_t mode = hf_number(k->g, k->spec, "pooling_type");
    if (!mode || mode > 3) return true;
    snprintf(path, sizeof path, "%s/modules.json", dir);
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    fprintf(f, "[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
               "{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"}");
    for (int i = 2; i < 4 && k->spec->dense_head; i++)
        fprintf(f, ",{\"path\":\"%d_Dense\",\"type\":\"sentence_transformers.models.Dense\"}", i);
    fprintf(f, "]\n");
    if (fclose(f)) return false;
    snprintf(path, sizeof path, "%s/1_Pooling", dir);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/1_Pooling/config.json", dir);
    if (!(f = fopen(path, "wb"))) return false;
    fprintf(f, "{\"pooling_mode_%s\":true}\n", mode == 3 ? "lasttoken" : modes[mode]);
    if (fclose(f)) return false;
    for (int i = 2; i < 4 && k->spec->dense_head; i++) {
        char name[32];
        hf_tensor one = {.name = "linear.weight", .type = "F32", .n_dims = 2};
        snprintf(name, sizeof name, "dense_%d.weight", i);
        const gguf_tensor *t = gguf_find_tensor(k->g, name);
        one.dims[0] = t->ne[1], one.dims[1] = t->ne[0];
        one.data = t->data;
        one.bytes = t->bytes;
        snprintf(path, sizeof path, "%s/%d_Dense", dir, i);
        mkdir(path, 0777);
        snprintf(path, sizeof path, "%s/%d_Dense/model.safetensors", dir, i);
        if (!hf_write_safetensors(path, &one, 1)) return false;
        snprintf(path, sizeof path, "%s/%d_Dense/config.json", dir, i);
        if (!(f = fopen(path, "wb"))) return false;
        fprintf(f, "{\"bias\":false,\"activation_function\":\"torch.nn.modules.linear.Identity\"}\n");
        if (fclose(f)) return false;
    }
    return true;
}

bool hf_write(const char *gguf_path, const arch_spec *spec, const char *dir, unsigned parts) {
    model_file *file = NULL;
    leat_error e;
    bool good = true;
    if (file_open(gguf_path, &file, &e)) {
        fprintf(stderr, "%s\n", e.message);
        return false;
    }
    hf_maker k = {.g = file_gguf(file), .spec = spec};
    k.heads = hf_number(k.g, spec, "attention.head_count");
    k.heads_kv = hf_number(k.g, spec, "attention.head_count_kv");
    k.dim = hf_number(k.g, spec, "attention.key_length");
    k.t = calloc(TENSORS_MAX, sizeof *k.t);
    for (size_t i = 0; i < k.g->n_tensors && k.t; i++) {
        const gguf_tensor *t = &k.g->tensors[i];
        unsigned layer;
        char suffix[16];
        size_t r = 0, n = sizeof renames / sizeof *renames;
        while (r < n && !(is_listed(renames[r].archs, hf_kind(spec)) &&
                          name_fits(t->name, renames[r].gguf, &layer, suffix)))
            r++;
        if (r == n) {
            fprintf(stderr, "%s: %.*s has no name in a folder\n", spec->arch, (int)t->name.n, t->name.p);
            good = false;
        } else
            keep(&k, &renames[r], t, layer, suffix);
    }
    good = good && k.t && write_parts(&k, dir, parts) && hf_write_config(k.g, spec, dir) &&
           hf_write_vocabulary(k.g, dir) && write_modules(&k, dir);
    for (size_t i = 0; i < k.n; i++) free((void *)(uintptr_t)k.t[i].data);
    free(k.t);
    file_close(file);
    return good;
}
