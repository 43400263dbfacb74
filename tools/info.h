/* Inside of `leat info`: what its files share. info.c shows what is in a file, info_model.c what Leat makes
 * of it: who made it, its tokens, template and sampling, whether and how it runs, and the memory it takes. */
#ifndef LEAT_TOOLS_INFO_H
#define LEAT_TOOLS_INFO_H

#include "json.h"
#include "runtime/leat.h"

enum { LABEL = 16, SHOWN_STRING = 72, MEMORY_CONTEXTS = 2 };

/* What of the command line concerns the model as it would run. */
typedef struct info_wish {
    int64_t context, batch, threads; /* 0, 512, -1: as usual */
    const char *cache_k, *cache_v, *isa;
} info_wish;

/* The model opened, or why it can't be. */
typedef struct info_model {
    leat_model *model; /* NULL: it can't run */
    leat_error error;
    leat_model_info info;
    leat_memory memory[MEMORY_CONTEXTS]; /* (n_memory) */
    size_t n_memory;
    leat_error memory_error; /* why there is none */
} info_model;

void info_model_open(info_model *m, const leat_file *file, const char *path, const info_wish *wish);
void info_model_close(info_model *m);

void info_print_origin(const leat_file *file);
void info_print_text(const leat_file *file);
void info_print_model(const info_model *m, const leat_file *file);
void info_json_model(json *j, const leat_file *file, const info_model *m);

/* ---- info.c ---- */

bool info_string(const leat_file *file, const char *key, leat_str *out);
void info_label(const char *name);
void info_print_bytes(uint64_t v);

#endif
