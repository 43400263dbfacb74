/* `leat embed`: texts to vectors, many in one run, with models made for that or any other. Texts come from
 * the command line, or one to a line from a file or a pipe; vectors go to stdout in the texts' order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "json.h"
#include "options.h"
#include "term.h"

typedef struct embed_options {
    const char *model, *file, *pooling, *format, *isa;
    text_list texts;
    int64_t threads, batch, context, norm;
    bool normalize, null, special, truncate;
} embed_options;

/* The texts of a run and their tokens, one text after the other. */
typedef struct batch {
    leat_str *texts; /* (n) */
    size_t n, capacity;
    char *content; /* of the file that texts point into */
    leat_token *tokens;
    size_t *lengths; /* (n) */
    size_t n_tokens, longest;
} batch;

static bool add_text(batch *b, const char *data, size_t size) {
    if (b->n == b->capacity) {
        size_t more = b->capacity ? 2 * b->capacity : 64;
        leat_str *p = realloc(b->texts, more * sizeof *p);
        if (!p) return false;
        b->texts = p;
        b->capacity = more;
    }
    b->texts[b->n++] = (leat_str){data, size};
    return true;
}

/* A text a line, without what ends the line; or a text up to each NUL. */
static int split_file(batch *b, const embed_options *o) {
    size_t n, at = 0;
    int status = read_text(o->file, &b->content, &n);
    while (!status && at < n) {
        const char *start = b->content + at, *end = memchr(start, o->null ? 0 : '\n', n - at);
        size_t length = end ? (size_t)(end - start) : n - at;
        at += length + 1;
        if (!o->null && length && start[length - 1] == '\r') length--;
        if (!add_text(b, start, length)) status = fail("no memory");
    }
    return status;
}

static int tokenize_all(const leat_model *model, const embed_options *o, batch *b) {
    unsigned flags = (leat_token_add_bos(model) ? LEAT_TOKENIZE_BOS : 0u) |
                     (leat_token_add_eos(model) ? LEAT_TOKENIZE_EOS : 0u) |
                     (o->special ? LEAT_TOKENIZE_SPECIAL : 0u);
    b->lengths = calloc(b->n + 1, sizeof *b->lengths);
    if (!b->lengths) return fail("no memory");
    for (size_t i = 0; i < b->n; i++) {
        leat_token *tokens, *all;
        size_t n;
        int status = tokenize_text(model, b->texts[i].data, b->texts[i].size, flags, &tokens, &n);
        if (status) return status;
        if (!n) {
            free(tokens);
            return fail("text %zu is empty, and the model puts no token of its own there", i + 1);
        }
        all = realloc(b->tokens, (b->n_tokens + n) * sizeof *all);
        if (all) {
            b->tokens = all;
            memcpy(all + b->n_tokens, tokens, n * sizeof *all);
        }
        free(tokens);
        if (!all) return fail("no memory");
        b->lengths[i] = n;
        b->n_tokens += n;
        if (b->longest < n) b->longest = n;
    }
    return EXIT_DONE;
}

static void print_row(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) printf(i ? " %.9g" : "%.9g", (double)x[i]);
    putchar('\n');
}

static void json_row(json *j, const float *x, size_t n) {
    json_array(j);
    for (size_t i = 0; i < n; i++) json_f32(j, x[i]);
    json_array_end(j);
}

/* rows[i] vectors of text i, `each`: as a list even where it is one. */
static void print_json(const batch *b, const embed_options *o, const size_t *rows, bool each,
                       const float *vectors, size_t dims) {
    json j;
    bool bare = !strcmp(o->format, "array");
    json_start(&j, stdout, false);
    if (!bare) {
        json_object(&j);
        json_name(&j, "object");
        json_text(&j, "list");
        json_name(&j, "data");
    }
    json_array(&j);
    for (size_t i = 0; i < b->n; i++) {
        if (!bare) {
            json_object(&j);
            json_name(&j, "object");
            json_text(&j, "embedding");
            json_name(&j, "index");
            json_u64(&j, i);
            json_name(&j, "embedding");
        }
        if (each) json_array(&j);
        for (size_t k = 0; k < rows[i]; k++, vectors += dims) json_row(&j, vectors, dims);
        if (each) json_array_end(&j);
        if (!bare) json_object_end(&j);
    }
    json_array_end(&j);
    if (!bare) {
        json_name(&j, "usage");
        json_object(&j);
        json_name(&j, "prompt_tokens");
        json_u64(&j, b->n_tokens);
        json_name(&j, "total_tokens");
        json_u64(&j, b->n_tokens);
        json_object_end(&j);
        json_object_end(&j);
    }
    putchar('\n');
}

static int run_embedder(leat_embedder *em, const batch *b, const embed_options *o) {
    leat_error error;
    progress bar;
    bool each = leat_embedder_pooling(em) == LEAT_POOLING_NONE;
    size_t dims = leat_embedder_dims(em), n_ctx = leat_embedder_n_ctx(em), n_rows = 0;
    size_t *rows = calloc(b->n + 1, sizeof *rows);
    for (size_t i = 0; rows && i < b->n; i++)
        n_rows += rows[i] = !each ? 1 : b->lengths[i] < n_ctx ? b->lengths[i] : n_ctx;
    float *vectors = rows ? calloc(n_rows + 1, dims * sizeof *vectors) : NULL;
    int status = EXIT_DONE;
    if (!vectors) {
        free(rows);
        return fail("no memory");
    }
    progress_start(&bar, "computing embeddings", "texts");
    if (leat_embed(em, b->tokens, b->lengths, b->n, vectors, progress_update, &bar, &error))
        status = EXIT_FAILED;
    progress_end(&bar);
    if (status)
        fail("%s", error.message);
    else if (!strcmp(o->format, "f32"))
        fwrite(vectors, dims * sizeof *vectors, n_rows, stdout);
    else if (!strcmp(o->format, "text"))
        for (size_t i = 0; i < n_rows; i++) print_row(vectors + i * dims, dims);
    else
        print_json(b, o, rows, each, vectors, dims);
    free(vectors);
    free(rows);
    return status ? status : ferror(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int embed_all(leat_model *model, const batch *b, const embed_options *o) {
    leat_embedder *em = NULL;
    leat_embed_params p;
    leat_model_info info;
    leat_error error;
    leat_model_get_info(model, &info);
    leat_embed_params_default(&p);
    /* no more context than the texts need; too long ones are for the library to refuse or to cut */
    size_t longest = b->longest ? b->longest : 1;
    p.n_ctx = o->context ? (uint32_t)o->context : longest < info.n_ctx_train ? (uint32_t)longest : 0;
    p.n_batch = (uint32_t)o->batch;
    p.n_threads = thread_count(o->threads);
    p.normalize = o->normalize && o->norm != -1;
    p.truncate = o->truncate;
    for (size_t i = 0; leat_pooling_name(i); i++)
        if (!strcmp(leat_pooling_name(i), o->pooling)) p.pooling = (leat_pooling)i;
    if (leat_embedder_open(model, &p, &em, &error)) return fail("%s", error.message);
    int status = run_embedder(em, b, o);
    leat_embedder_close(em);
    return status;
}

/* The first word is MODEL if there is such a file or no default model can be meant. */
static int check_usage(embed_options *o, const command_line *line) {
    size_t n = line->n_positionals, used = 0;
    bool given = o->file || o->texts.n;
    if (!o->model && n && (n > 1 || given || access(line->positionals[0], R_OK) == 0))
        o->model = line->positionals[used++];
    if (used < n && given) return usage_error(line->name, "unexpected \"%s\"", line->positionals[used]);
    if (o->file && o->texts.n) return usage_error(line->name, "-p and -f both give texts");
    if (o->norm != -1 && o->norm != 2)
        return usage_error(line->name, "--embd-normalize can be 2 (length 1) or -1 (as it is)");
    if (!o->file && !o->texts.n && used == n) o->file = "-";
    if (o->null && !o->file) return usage_error(line->name, "--null needs -f FILE");
    return EXIT_DONE;
}

int command_embed(int argc, char **argv) {
    embed_options o = {
        .pooling = "model", .format = "text", .threads = -1, .batch = 512, .norm = 2, .normalize = true};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-p --prompt", "TEXT", "a text; may be given several times", OPTION_LIST, &o.texts, 0, 0, NULL},
        {"-f --file", "FILE", "a text on each line of FILE; - is standard input", OPTION_TEXT, &o.file, 0, 0,
         NULL},
        {"--null", NULL, "FILE holds texts that end with a NUL byte", OPTION_FLAG, &o.null, 0, 0, NULL},
        {"--pooling", "HOW", "model, none, mean, cls, last or rank (what the model's file says)",
         OPTION_CHOICE, &o.pooling, 0, 0, "model|none|mean|cls|last|rank"},
        {"--normalize", NULL, "vectors of length 1 (this is so)", OPTION_FLAG, &o.normalize, 0, 0, NULL},
        {"--no-normalize", NULL, "vectors as they come", OPTION_FLAG_OFF, &o.normalize, 0, 0, NULL},
        {"--embd-normalize", "N", "2: vectors of length 1, -1: as they come (2)", OPTION_INT, &o.norm, -1, 2,
         NULL},
        {"--format --embd-output-format", "HOW",
         "text: a vector a line; json: as the embeddings API of OpenAI; array: [[...], ...]; f32: raw "
         "float32 "
         "(text)",
         OPTION_CHOICE, &o.format, 0, 0, "text|json|array|f32"},
        {"-c --ctx-size", "N", "tokens of the longest text; 0: as many as there are (0)", OPTION_INT,
         &o.context, 0, INT32_MAX, NULL},
        {"--truncate", NULL, "cut longer texts instead of refusing them", OPTION_FLAG, &o.truncate, 0, 0,
         NULL},
        {"--special", NULL, "text of a special token becomes its id", OPTION_FLAG, &o.special, 0, 0, NULL},
        OPTION_THREADS(&o.threads),
        {"-b --batch-size", "N", "tokens evaluated at once, of as many texts as fit (512)", OPTION_INT,
         &o.batch, 1, 65536, NULL},
        OPTION_ISA(&o.isa),
    };
    command_line line = {
        "embed",
        "[MODEL] [TEXT... | -f FILE] [options]",
        "Turns texts into vectors (embeddings): one for each text, or with --pooling none for each of its\n"
        "tokens. Without any text, standard input is read, a text a line.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    leat_model *model = NULL;
    batch b = {0};
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status) && !(status = check_usage(&o, &line)) &&
        !(status = open_model(o.model, false, o.isa, &model))) {
        size_t first = line.n_positionals && o.model == line.positionals[0];
        for (size_t i = 0; i < o.texts.n && !status; i++)
            if (!add_text(&b, o.texts.items[i], strlen(o.texts.items[i]))) status = fail("no memory");
        for (size_t i = first; i < line.n_positionals && !status; i++)
            if (!add_text(&b, line.positionals[i], strlen(line.positionals[i]))) status = fail("no memory");
        if (!status && o.file) status = split_file(&b, &o);
        if (!status) status = tokenize_all(model, &o, &b);
        if (!status) status = embed_all(model, &b, &o);
    }
    leat_model_close(model);
    free(b.texts);
    free(b.content);
    free(b.tokens);
    free(b.lengths);
    free(line.positionals);
    return status;
}
