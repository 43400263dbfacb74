/* JSON as RFC 8259 has it, strictly: text in UTF-8 to a tree in an arena. Objects keep their order, numbers
 * their text. Used for the contexts of templates, for JSON schemas, and for tool calls in what a model says.
 * Total on any bytes, linear in time, without recursion. */
#ifndef LEAT_RUNTIME_TEXT_JSON_H
#define LEAT_RUNTIME_TEXT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "loader/error.h"
#include "loader/gguf.h" /* str */

enum { JSON_DEPTH_MAX = 128 }; /* arrays and objects inside one another */

typedef enum json_type {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,   /* a number without fraction and exponent that fits 64 bits */
    JSON_FLOAT, /* any other number */
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} json_type;

typedef struct json_value {
    json_type type;
    bool boolean;
    int64_t integer; /* of JSON_INT */
    double real;     /* of both kinds of numbers */
    str text;        /* a string's bytes, NUL behind; a number as it was written */
    str key;         /* the name of a member of an object */
    size_t count;    /* elements of an array, members of an object, also those with the same name */
    struct json_value *first, *next, *last; /* children; the next of the same parent */
    struct json_value *parent;
    size_t at, end; /* bytes of the source: it is p[at..end) */
} json_value;

/* Parses the n bytes at p, all of which must be one value with white space around. The tree lives in `a`. On
 * an error the sentence says line and column (in characters, from 1) and begins with `name` ("context.json"):
 * LEAT_E_VALUE for bad JSON, LEAT_E_LIMIT for nesting and size, LEAT_E_NOMEM. */
leat_status json_parse(arena *a, const char *name, const char *p, size_t n, const json_value **out,
                       leat_error *e);

/* The last member with this name, NULL if there is none or v is no object (or NULL). */
const json_value *json_get(const json_value *v, const char *key);

/* Line and column, from 1, of a byte in a text; columns count characters. */
void text_position(const char *p, size_t n, size_t at, size_t *line, size_t *column);

/* Appends s as a JSON string with its quotes. With `ascii` everything else is \u.... Returns the length;
 * writes only what fits `capacity`, so a first call with 0 measures. Bytes that are no UTF-8 become U+FFFD.
 */
size_t json_quote(const char *p, size_t n, bool ascii, char *out, size_t capacity);

#endif
