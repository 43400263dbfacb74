/* Prints what `leat bench` measured: as a table for people, as Markdown, CSV or JSON; see bench.h. Computes
 * nothing but percentages. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "options.h"
#include "term.h"

enum { CELL = 96, MAX_COLUMNS = 12 };

/* The roof with the most speed, which is the machine's. */
static bench_roof best_roof(const bench *b) {
    bench_roof best = {0, 0};
    for (size_t i = 0; i < b->n_roofs; i++)
        if (b->roofs[i].speed > best.speed) best = b->roofs[i];
    return best;
}

/* Bytes per second; 0 if it could not be measured. */
static double roof_of(const bench *b, const bench_row *row) {
    for (size_t i = 0; i < b->n_roofs; i++)
        if (b->roofs[i].threads == row->threads && !row->automatic) return b->roofs[i].speed;
    return row->automatic ? best_roof(b).speed : 0;
}

static double percent_of_multiplying(const bench_row *row) {
    return row->multiply_speed > 0 ? 100 * row->mean * row->operations / row->multiply_speed : 0;
}

static double percent_of_roof(const bench *b, const bench_row *row) {
    double roof = roof_of(b, row);
    if (row->n_prompt) return percent_of_multiplying(row);
    return roof > 0 ? 100 * row->mean * row->bytes_per_token / roof : 0;
}

/* File name without folder and ".gguf", safe to show. */
static void short_name(const char *path, char out[CELL]) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char clean[3 * 40];
    size_t n = strlen(name);
    if (n > 5 && !strcmp(name + n - 5, ".gguf")) n -= 5;
    n = term_strip_controls(name, n > 40 ? 40 : n, clean);
    for (size_t i = 0; i < n; i++)
        if (clean[i] == '\n' || clean[i] == '\t') clean[i] = ' ';
    snprintf(out, CELL, "%.*s", (int)(n < CELL ? n : CELL - 1), clean);
}

static void human_bytes(double bytes, char out[CELL]) {
    bool giant = bytes >= 1024.0 * 1024 * 1024;
    snprintf(out, CELL, "%.2f %s", bytes / (giant ? 1024.0 * 1024 * 1024 : 1024.0 * 1024),
             giant ? "GiB" : "MiB");
}

static void human_count(double n, char out[CELL]) {
    snprintf(out, CELL, "%.2f %s", n >= 1e9 ? n / 1e9 : n / 1e6, n >= 1e9 ? "B" : "M");
}

/* ---- for people ---- */

typedef struct column {
    const char *title;
    bool right;
} column;

static size_t columns_of(const bench *b, column out[MAX_COLUMNS]) {
    bool batches = false, cache = strcmp(b->cache_k, "f16") || strcmp(b->cache_v, "f16");
    size_t n = 0;
    for (size_t i = 0; i < b->n_rows; i++) batches |= b->rows[i].batch != 512;
    out[n++] = (column){"model", false};
    out[n++] = (column){"type", false};
    out[n++] = (column){"size", true};
    out[n++] = (column){"params", true};
    out[n++] = (column){"threads", true};
    if (batches) out[n++] = (column){"batch", true};
    if (cache) out[n++] = (column){"K/V", false};
    if (strcmp(b->activations, "int8")) out[n++] = (column){"activations", false};
    out[n++] = (column){"test", false};
    out[n++] = (column){"tokens/s", true};
    out[n++] = (column){"best", true};
    out[n++] = (column){"of roof", true};
    return n;
}

static void fill_cell(const bench *b, const bench_row *row, const char *title, char out[CELL]) {
    out[0] = 0;
    if (!strcmp(title, "model")) short_name(row->model->path, out);
    if (!strcmp(title, "type")) snprintf(out, CELL, "%s", row->model->type);
    if (!strcmp(title, "size")) human_bytes((double)row->model->info.bytes, out);
    if (!strcmp(title, "params")) human_count((double)row->model->info.n_params, out);
    if (!strcmp(title, "threads")) snprintf(out, CELL, "%u", row->threads);
    if (!strcmp(title, "batch")) snprintf(out, CELL, "%u", row->batch);
    if (!strcmp(title, "K/V")) snprintf(out, CELL, "%s/%s", b->cache_k, b->cache_v);
    if (!strcmp(title, "activations")) snprintf(out, CELL, "%s", b->activations);
    if (!strcmp(title, "test")) snprintf(out, CELL, "%s", row->test);
    if (!strcmp(title, "tokens/s")) snprintf(out, CELL, "%.2f ± %.2f", row->mean, row->deviation);
    if (!strcmp(title, "best")) snprintf(out, CELL, "%.2f", row->best);
    if (!strcmp(title, "of roof") && percent_of_roof(b, row) > 0)
        snprintf(out, CELL, "%.1f %%", percent_of_roof(b, row));
}

static int width_of(const char *text) {
    int width = 0;
    uint32_t code;
    for (size_t n = strlen(text), i = 0; i < n; width++) i += utf8_next(text + i, n - i, &code);
    return width;
}

static void put_cell(const char *text, int width, bool right, bool markdown) {
    int padding = width - width_of(text);
    printf("%*s", right && padding > 0 ? padding : 0, "");
    for (const char *p = text; *p; p++) {
        if (markdown && *p == '|') putchar('\\');
        putchar(*p);
    }
    printf("%*s", !right && padding > 0 ? padding : 0, "");
}

static double best_multiplying(const bench *b) {
    double best = 0;
    for (size_t i = 0; i < b->n_rows; i++)
        if (b->rows[i].multiply_speed > best) best = b->rows[i].multiply_speed;
    return best;
}

static void print_machine(const bench *b) {
    bench_roof roof = best_roof(b);
    char memory[CELL];
    human_bytes((double)b->machine.memory, memory);
    term_put_clean(stdout, b->machine.cpu, strlen(b->machine.cpu), SIZE_MAX);
    printf(", %u processors, %s of memory, %s", b->machine.processors, memory, b->models[0].info.isa);
    if (roof.speed > 0) {
        printf("; reads %.1f GB/s", roof.speed / 1e9);
        if (best_multiplying(b) > 0) printf(", multiplies %.0f GOP/s", best_multiplying(b) / 1e9);
        printf(" with %u %s", roof.threads, roof.threads == 1 ? "thread" : "threads");
    }
    printf("; Leat %s\n\n", leat_version());
}

static void print_table(const bench *b, bool markdown) {
    column columns[MAX_COLUMNS];
    int widths[MAX_COLUMNS];
    char cell[CELL];
    size_t n = columns_of(b, columns);
    for (size_t c = 0; c < n; c++) {
        widths[c] = width_of(columns[c].title);
        for (size_t i = 0; i < b->n_rows; i++) {
            fill_cell(b, &b->rows[i], columns[c].title, cell);
            if (width_of(cell) > widths[c]) widths[c] = width_of(cell);
        }
    }
    print_machine(b);
    for (size_t i = 0; i <= b->n_rows; i++) {
        for (size_t c = 0; c < n; c++) {
            if (i)
                fill_cell(b, &b->rows[i - 1], columns[c].title, cell);
            else
                snprintf(cell, CELL, "%s", columns[c].title);
            fputs(markdown ? c ? " | " : "| " : c ? "  " : "", stdout);
            if (markdown || *cell || c + 1 < n) put_cell(cell, widths[c], columns[c].right, markdown);
        }
        puts(markdown ? " |" : "");
        for (size_t c = 0; !i && markdown && c < n; c++) printf(columns[c].right ? "|--:" : "|---");
        if (!i && markdown) puts("|");
    }
}

/* ---- for programs ---- */

static void put_quoted(const char *text) {
    putchar('"');
    for (const char *p = text; *p; p++) {
        if (*p == '"') putchar('"');
        putchar(*p);
    }
    putchar('"');
}

static void print_csv(const bench *b) {
    puts(
        "cpu,processors,isa,leat,model,type,model_size,n_params,threads,n_batch,type_k,type_v,n_prompt,n_gen,"
        "n_depth,test,tokens_per_second,stddev,best,repetitions,bytes_per_token,read_bandwidth_gb_s,"
        "percent_of_read_bandwidth,operations_per_token,multiply_peak_gop_s,percent_of_multiply_peak,"
        "involuntary_switches");
    for (size_t i = 0; i < b->n_rows; i++) {
        const bench_row *r = &b->rows[i];
        double roof = roof_of(b, r);
        put_quoted(b->machine.cpu);
        printf(",%u,%s,%s,", b->machine.processors, r->model->info.isa, leat_version());
        put_quoted(r->model->path);
        printf(",%s,%llu,%llu,%u,%u,%s,%s,%u,%u,%u,%s,%.6g,%.6g,%.6g,%zu,", r->model->type,
               (unsigned long long)r->model->info.bytes, (unsigned long long)r->model->info.n_params,
               r->threads, r->batch, b->cache_k, b->cache_v, r->n_prompt, r->n_gen, r->depth, r->test,
               r->mean, r->deviation, r->best, r->n_samples);
        if (r->n_gen) printf("%.0f", r->bytes_per_token);
        putchar(',');
        if (roof > 0) printf("%.4g", roof / 1e9);
        putchar(',');
        if (r->n_gen && percent_of_roof(b, r) > 0) printf("%.4g", percent_of_roof(b, r));
        putchar(',');
        if (r->n_prompt) printf("%.0f", r->operations);
        putchar(',');
        if (r->multiply_speed > 0) printf("%.4g", r->multiply_speed / 1e9);
        putchar(',');
        if (percent_of_multiplying(r) > 0) printf("%.4g", percent_of_multiplying(r));
        printf(",%ld\n", r->switches);
    }
}

static void json_real(json *j, const char *name, double v, bool known) {
    json_name(j, name);
    if (known)
        json_f64(j, v);
    else
        json_null(j);
}

static void json_count(json *j, const char *name, uint64_t v) {
    json_name(j, name);
    json_u64(j, v);
}

static void json_word(json *j, const char *name, const char *text) {
    json_name(j, name);
    json_text(j, text);
}

static void json_machine(json *j, const bench *b) {
    bench_roof roof = best_roof(b);
    const busy *u = &b->busy;
    json_object(j);
    json_word(j, "cpu", b->machine.cpu);
    json_word(j, "system", b->machine.system);
    json_count(j, "cores", leat_threads_default());
    json_count(j, "processors", b->machine.processors);
    json_count(j, "memory", b->machine.memory);
    json_count(j, "largest_cache", b->machine.cache);
    json_word(j, "isa", b->models[0].info.isa);
    json_real(j, "read_bandwidth_gb_s", roof.speed / 1e9, roof.speed > 0);
    json_real(j, "multiply_peak_gop_s", best_multiplying(b) / 1e9, best_multiplying(b) > 0);
    json_count(j, "read_threads", roof.threads);
    json_count(j, "read_buffer", b->read_bytes);
    json_word(j, "leat", leat_version());
    json_real(j, "load_average", b->load, b->load >= 0);
    json_real(j, "seconds", u->seconds, true);
    json_real(j, "cpus_used_by_others", u->others / u->seconds, u->others >= 0 && u->seconds > 0);
    json_real(j, "cpus_stolen_by_host", u->stolen / u->seconds, u->stolen >= 0 && u->seconds > 0);
    json_name(j, "involuntary_switches");
    json_i64(j, u->switches);
    json_object_end(j);
}

static void json_row(json *j, const bench *b, const bench_row *r) {
    double roof = roof_of(b, r);
    json_object(j);
    json_word(j, "model", r->model->path);
    json_word(j, "architecture", r->model->info.architecture);
    json_word(j, "type", r->model->type);
    json_count(j, "model_size", r->model->info.bytes);
    json_count(j, "n_params", r->model->info.n_params);
    json_word(j, "isa", r->model->info.isa);
    json_word(j, "test", r->test);
    json_count(j, "n_prompt", r->n_prompt);
    json_count(j, "n_gen", r->n_gen);
    json_count(j, "n_depth", r->depth);
    json_count(j, "threads", r->threads);
    json_name(j, "threads_auto");
    json_bool(j, r->automatic);
    json_count(j, "n_batch", r->batch);
    json_word(j, "type_k", b->cache_k);
    json_word(j, "type_v", b->cache_v);
    json_word(j, "activations", b->activations);
    json_real(j, "load_seconds", r->model->load_seconds, true);
    json_real(j, "tokens_per_second", r->mean, true);
    json_real(j, "stddev", r->deviation, true);
    json_real(j, "best", r->best, true);
    json_name(j, "samples");
    json_array(j);
    for (size_t i = 0; i < r->n_samples; i++) json_f64(j, b->samples[r->first_sample + i]);
    json_array_end(j);
    if (r->n_gen) {
        json_real(j, "bytes_per_token", r->bytes_per_token, true);
        json_real(j, "read_bandwidth_gb_s", roof / 1e9, roof > 0);
        json_real(j, "percent_of_read_bandwidth", percent_of_roof(b, r), roof > 0);
    }
    if (r->n_prompt) {
        json_real(j, "operations_per_token", r->operations, true);
        json_real(j, "multiply_peak_gop_s", r->multiply_speed / 1e9, r->multiply_speed > 0);
        json_real(j, "percent_of_multiply_peak", percent_of_multiplying(r), r->multiply_speed > 0);
    }
    json_name(j, "involuntary_switches");
    json_i64(j, r->switches);
    json_real(j, "cpu_seconds_of_others", r->others, r->others >= 0);
    json_object_end(j);
}

static void print_json(const bench *b) {
    json j;
    json_start(&j, stdout, true);
    json_object(&j);
    json_name(&j, "machine");
    json_machine(&j, b);
    json_name(&j, "results");
    json_array(&j);
    for (size_t i = 0; i < b->n_rows; i++) json_row(&j, b, &b->rows[i]);
    json_array_end(&j);
    json_object_end(&j);
    putchar('\n');
}

void bench_print(const bench *b, const char *format) {
    if (!strcmp(format, "json"))
        print_json(b);
    else if (!strcmp(format, "csv"))
        print_csv(b);
    else
        print_table(b, !strcmp(format, "md"));
}

/* A tenth of a processor taken by others is where two runs stop agreeing within a few percent. Runs too short
 * for the system's clock ticks of 10 ms are not judged. */
void bench_warn(const bench *b) {
    const busy *u = &b->busy;
    bool known = u->others >= 0 && u->seconds > 0.5;
    double others = known ? u->others / u->seconds : 0;
    if (!b->n_rows || (known && others < 0.1) || (!known && b->load < 0.5 * b->machine.processors)) return;
    if (known)
        fprintf(stderr, "leat: the machine was busy: other programs used %.2f of %u processors%s", others,
                b->machine.processors, u->stolen / u->seconds >= 0.05 ? " (its host, too)" : "");
    else
        fprintf(stderr, "leat: the machine was busy when this began: load average %.2f", b->load);
    fprintf(stderr, ", %ld involuntary context switches; the numbers are too low\n", u->switches);
}
