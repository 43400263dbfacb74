/* A small JSON writer to a stream: commas, nesting and escapes are its business, so that what commands print
 * with --json is always valid. Numbers are written without loss; what JSON can't hold (NaN, infinities) as
 * null. Errors of the stream stay in the stream (ferror), as usual with stdio. */
#ifndef LEAT_TOOLS_JSON_H
#define LEAT_TOOLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH = 16 };

typedef struct json {
    FILE *f;
    bool lines;              /* a line per member of the two outermost levels, for people who look at it */
    int depth;               /* containers open now, at most JSON_DEPTH */
    bool filled[JSON_DEPTH]; /* has the container a member already? */
    bool after_key;
} json;

void json_start(json *j, FILE *f, bool lines);
void json_object(json *j);
void json_object_end(json *j);
void json_array(json *j);
void json_array_end(json *j);
void json_key(json *j, const char *key, size_t n);
void json_name(json *j, const char *key); /* json_key of a C string */
/* Any bytes: what is no UTF-8 becomes U+FFFD. */
void json_string(json *j, const char *text, size_t n);
void json_text(json *j, const char *text); /* json_string of a C string; NULL becomes null */
void json_u64(json *j, uint64_t v);
void json_i64(json *j, int64_t v);
void json_f64(json *j, double v);
void json_f32(json *j, float v); /* as few digits as read back to the same float32 */
void json_bool(json *j, bool v);
void json_null(json *j);

#endif
