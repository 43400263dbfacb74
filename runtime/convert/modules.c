/* What sentence-transformers keep beside a model: modules.json says what comes after it, and folders have
 * what these need. Of that GGUF has the kind of pooling, and for one architecture the projections behind. */
#include <stdio.h>
#include <string.h>

#include "conversion.h"
#include "folder.h"

enum { POOL_MEAN = 1, POOL_CLS, POOL_LAST, POOL_RANK }; /* llama.cpp's numbers */
enum { PATH_BYTES = 100, DENSE_MAX = 2 };

/* The name of a folder in this one, and nothing that leads elsewhere. */
static bool is_inside(str path) {
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '_' && c != '-') return false;
    }
    return path.n > 0 && path.n < PATH_BYTES - 30;
}

static bool ends_with(str s, const char *end) {
    size_t n = strlen(end);
    return s.n >= n && !memcmp(s.p + s.n - n, end, n);
}

static bool is_true(const json_value *v) {
    return v && v->type == JSON_BOOL && v->boolean;
}

static const json_value *config_of(conversion *c, str path) {
    char name[PATH_BYTES];
    const json_value *v = NULL;
    snprintf(name, sizeof name, "%.*s/config.json", (int)path.n, path.p);
    if (!c->status) c->status = folder_json(c->folder, name, false, &c->a, &v, c->e);
    return v;
}

static void pooling(conversion *c, str path) {
    static const struct {
        const char *name, *mode;
        uint32_t kind;
    } kinds[] = {{"pooling_mode_mean_tokens", "mean", POOL_MEAN},
                 {"pooling_mode_cls_token", "cls", POOL_CLS},
                 {"pooling_mode_lasttoken", "lasttoken", POOL_LAST}};
    const json_value *config = config_of(c, path), *mode = json_get(config, "pooling_mode");
    if (c->status) return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool named = mode && mode->type == JSON_STRING && str_eq(mode->text, kinds[i].mode);
        if (!named && !is_true(json_get(config, kinds[i].name))) continue;
        meta_put_u32(&c->meta, ".pooling_type", kinds[i].kind);
        return;
    }
    conversion_warn(c, "how tokens of a text are pooled is none of mean, first and last: it is left out");
}

/* A projection becomes tensors dense_2.* and dense_3.*; the numbers are those of their folders in the model
 * that has them. */
static void dense(conversion *c, str path, size_t i) {
    const json_value *config = config_of(c, path), *act = json_get(config, "activation_function");
    char file[PATH_BYTES], prefix[16], key[32];
    bool identity = !act || (act->type == JSON_STRING && ends_with(act->text, "Identity"));
    if (c->status) return;
    if (strcmp(c->arch->arch, "gemma-embedding") != 0 || i >= DENSE_MAX || !identity ||
        is_true(json_get(config, "bias"))) {
        conversion_warn(c, "the projection in %.*s is left out: vectors are as they are before it",
                        (int)path.n, path.p);
        return;
    }
    snprintf(file, sizeof file, "%.*s/model.safetensors", (int)path.n, path.p);
    snprintf(prefix, sizeof prefix, "dense_%zu.", i + 2);
    c->status = weights_add(&c->w, c->folder, file, prefix, c->e);
    snprintf(key, sizeof key, "dense_%zu.linear.weight", i + 2);
    const source_tensor *t = c->status ? NULL : weights_find(&c->w, (str){key, strlen(key)});
    if (!t || t->n_dims != 2 || t->dims[0] > UINT32_MAX || t->dims[1] > UINT32_MAX) {
        conversion_fail(c, LEAT_E_TENSOR, "%s has no linear.weight", file);
        return;
    }
    snprintf(key, sizeof key, ".dense_%zu_feat_in", i + 2);
    meta_put_u32(&c->meta, key, (uint32_t)t->dims[1]);
    snprintf(key, sizeof key, ".dense_%zu_feat_out", i + 2);
    meta_put_u32(&c->meta, key, (uint32_t)t->dims[0]);
}

void modules_make(conversion *c) {
    const json_value *list = NULL;
    size_t n = 0;
    if (c->status) return;
    if (conversion_classifies(c)) meta_put_u32(&c->meta, ".pooling_type", POOL_RANK);
    c->status = folder_json(c->folder, "modules.json", false, &c->a, &list, c->e);
    if (c->status || !list || list->type != JSON_ARRAY) return;
    for (const json_value *m = list->first; m && !c->status; m = m->next) {
        const json_value *type = json_get(m, "type"), *path = json_get(m, "path");
        if (!type || type->type != JSON_STRING || !path || path->type != JSON_STRING) continue;
        if (!is_inside(path->text)) continue; /* the model itself has none */
        if (ends_with(type->text, "Pooling")) pooling(c, path->text);
        if (ends_with(type->text, "Dense")) dense(c, path->text, n++);
    }
}
