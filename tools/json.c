/* The JSON writer; see json.h. */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "term.h"

void json_start(json *j, FILE *f, bool lines) {
    memset(j, 0, sizeof *j);
    j->f = f;
    j->lines = lines;
}

static void new_line(json *j) {
    if (!j->lines || j->depth > 2) return;
    fputc('\n', j->f);
    for (int i = 0; i < j->depth; i++) fputs("  ", j->f);
}

/* Before each value or key: the comma and line that separate it from what came before. */
static void separate(json *j) {
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (!j->depth) return;
    if (j->filled[j->depth - 1]) fputs(j->lines && j->depth <= 2 ? "," : ", ", j->f);
    j->filled[j->depth - 1] = true;
    new_line(j);
}

static void open_container(json *j, char c) {
    separate(j);
    fputc(c, j->f);
    if (j->depth < JSON_DEPTH) j->filled[j->depth++] = false;
}

static void close_container(json *j, char c) {
    bool filled = j->filled[--j->depth];
    if (filled && j->depth < 2) new_line(j);
    fputc(c, j->f);
}

void json_object(json *j) {
    open_container(j, '{');
}
void json_object_end(json *j) {
    close_container(j, '}');
}
void json_array(json *j) {
    open_container(j, '[');
}
void json_array_end(json *j) {
    close_container(j, ']');
}

static void put_string(json *j, const char *text, size_t n) {
    fputc('"', j->f);
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t length = utf8_next(text + i, n - i, &c);
        if (c == '"' || c == '\\')
            fprintf(j->f, "\\%c", (char)c);
        else if (c == '\n')
            fputs("\\n", j->f);
        else if (c == '\t')
            fputs("\\t", j->f);
        else if (c == '\r')
            fputs("\\r", j->f);
        else if (c < 0x20 || (c >= 0x7F && c < 0xA0))
            fprintf(j->f, "\\u%04x", (unsigned)c);
        else if (c == 0xFFFD)
            fputs("\xEF\xBF\xBD", j->f);
        else
            fwrite(text + i, 1, length, j->f);
        i += length;
    }
    fputc('"', j->f);
}

void json_key(json *j, const char *key, size_t n) {
    separate(j);
    put_string(j, key, n);
    fputs(": ", j->f);
    j->after_key = true;
}

void json_name(json *j, const char *key) {
    json_key(j, key, strlen(key));
}

void json_string(json *j, const char *text, size_t n) {
    separate(j);
    put_string(j, text, n);
}

void json_text(json *j, const char *text) {
    if (text)
        json_string(j, text, strlen(text));
    else
        json_null(j);
}

void json_u64(json *j, uint64_t v) {
    separate(j);
    fprintf(j->f, "%" PRIu64, v);
}

void json_i64(json *j, int64_t v) {
    separate(j);
    fprintf(j->f, "%" PRId64, v);
}

void json_f64(json *j, double v) {
    char text[40] = "null";
    separate(j);
    for (int digits = 15; isfinite(v) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    fputs(text, j->f);
}

void json_f32(json *j, float v) {
    char text[40] = "null";
    separate(j);
    for (int digits = 6; isfinite(v) && digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) break;
    }
    fputs(text, j->f);
}

void json_bool(json *j, bool v) {
    separate(j);
    fputs(v ? "true" : "false", j->f);
}

void json_null(json *j) {
    separate(j);
    fputs("null", j->f);
}
