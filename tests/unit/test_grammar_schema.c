/* JSON schemas as grammars: texts they must accept and refuse, messages with places, and random schemas with
 * texts made at random by their masks: each must parse as JSON and hold against the schema, by a validator of
 * its own.
 */
#include <math.h>

#include "grammar_vocab.h"
#include "runtime/text/json.h"
#include "tests/api/json_check.h"

#define LINES(...)                                                                                           \
    (const char *const[]) {                                                                                  \
        __VA_ARGS__, NULL                                                                                    \
    }

static void examples(test *t) {
    const struct {
        const char *schema;
        const char *const *yes, *const *no;
    } list[] = {
        {"{}", LINES("1", "null", "{}", "[1,{\"a\":[]}]", "\"\\u00e9\"", "-1.5e10"),
         LINES("", "tru", "[1", "01", "\"\\ud800\"")},
        {"true", LINES("{\"a\": true}"), LINES("a")},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},"
         "\"required\":[\"a\"]}",
         LINES("{\"a\":1}", "{\"a\": 1, \"b\": \"x\"}", "{\n  \"a\": -12,\n  \"b\": \"\"\n}"),
         LINES("{}", "{\"b\":\"x\"}", "{\"a\":1.5}", "{\"a\":1,\"c\":2}", "{\"b\":\"\",\"a\":1}",
               "{\"a\":1,}")},
        {"{\"properties\":{\"a\":{},\"b\":{},\"c\":{}}}",
         LINES("{}", "{\"a\":1}", "{\"b\":1}", "{\"c\":[]}", "{\"a\":1,\"c\":2}",
               "{\"a\":1,\"b\":2,\"c\":3}"),
         LINES("{,}", "{\"b\":1,\"a\":2}", "{\"d\":1}", "{\"a\":1 \"b\":2}")},
        {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"null\"}},\"additionalProperties\":{"
         "\"type\":\"integer\"}}",
         LINES("{}", "{\"ab\":null}", "{\"a\":1}", "{\"abc\":1,\"x\":2}", "{\"ab\":null,\"b\":3}",
               "{\"\":0}"),
         LINES("{\"ab\":1}", "{\"a\":null}", "{\"a\":1,\"ab\":null,\"c\":null}", "{\"\\u0061b\":1}")},
        {"{\"type\":\"object\",\"additionalProperties\":false}", LINES("{}", "{ }"), LINES("{\"a\":1}")},
        {"{\"type\":\"object\"}", LINES("{}", "{\"a\":{\"b\":1}}"), LINES("[]")},
        {"{\"required\":[\"z\"],\"properties\":{\"a\":{\"type\":\"null\"}}}",
         LINES("{\"z\":[]}", "{\"a\":null, \"z\":1}"), LINES("{}", "{\"a\":null}")},
        {"{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":3}",
         LINES("[true]", "[true, false,true]"), LINES("[]", "[1]", "[true,true,true,true]", "[true,]")},
        {"{\"items\":false}", LINES("[]"), LINES("[1]")},
        {"{\"prefixItems\":[{\"type\":\"integer\"},{\"const\":\"x\"}],\"items\":{\"type\":\"null\"}}",
         LINES("[1,\"x\"]", "[1, \"x\", null, null]"), LINES("[1]", "[1,\"x\",2]", "[\"x\",1]")},
        {"{\"type\":\"array\",\"items\":[{\"type\":\"integer\"}],\"additionalItems\":false}", LINES("[5]"),
         LINES("[5,5]", "[\"\"]")},
        {"{\"enum\":[\"red\",1,null,{\"a\":[1]},\"\\\"\"]}",
         LINES("\"red\"", "1", "null", "{\"a\": [1]}", "\"\\\"\""), LINES("\"blue\"", "2", "red")},
        {"{\"type\":\"string\",\"enum\":[\"a\",1]}", LINES("\"a\""), LINES("1")},
        {"{\"const\":{\"k\":[true,2.50]}}", LINES("{\"k\": [true, 2.50]}"), LINES("{}")},
        {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}", LINES("1", "null"),
         LINES("\"\"", "1.5")},
        {"{\"type\":[\"string\",\"null\"]}", LINES("\"\"", "null"), LINES("1")},
        {"{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}},\"required\":["
         "\"k\",\"x\"]},"
         "{\"properties\":{\"k\":{\"const\":\"b\"},\"y\":{\"type\":\"string\"}},\"required\":[\"k\",\"y\"]}]"
         "}",
         LINES("{\"k\":\"a\",\"x\":1}", "{\"k\":\"b\",\"y\":\"\"}"),
         LINES("{\"k\":\"a\",\"y\":\"\"}", "{\"k\":\"b\"}")},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"properties\":{"
         "\"b\":{\"type\":"
         "\"integer\"},\"a\":{\"minimum\":5}}}]}",
         LINES("{\"a\":5}", "{\"a\":77,\"b\":1}"), LINES("{\"a\":4}", "{\"b\":1}", "{}")},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"anyOf\":[{\"required\":[\"a\"]"
         "},{\"properties\":{"
         "\"b\":{\"type\":\"null\"}},\"required\":[\"b\"]}]}",
         LINES("{\"a\":1}", "{\"b\":null}", "{\"a\":1,\"b\":null}"), LINES("{}", "{\"b\":1}")},
        {"{\"$ref\":\"#/$defs/"
         "tree\",\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
         "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/tree\"}}},\"required\":[\"v\"]}}}",
         LINES("{\"v\":1}", "{\"v\":1,\"kids\":[{\"v\":2,\"kids\":[]},{\"v\":3,\"kids\":[{\"v\":4}]}]}"),
         LINES("{\"kids\":[]}", "{\"v\":1,\"kids\":[{}]}")},
        {"{\"definitions\":{\"a/b~c\":{\"type\":\"null\"}},\"items\":{\"$ref\":\"#/definitions/a~1b~0c\"}}",
         LINES("[null]"), LINES("[1]")},
        {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", LINES("[]", "[[],[[]]]"), LINES("[1]")},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
         LINES("\"ab\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", "\"\\n\\\"\"", "\"\\u00e9x\""),
         LINES("\"a\"", "\"abcd\"", "\"a\n\"", "\"\\x41b\"")},
        {"{\"type\":\"string\",\"pattern\":\"^[a-c\\\"\\\\n]+$\"}", LINES("\"abc\"", "\"\\\"a\\n\""),
         LINES("\"\"", "\"d\"", "\"\n\"", "\"\"\"")},
        {"{\"pattern\":\"b+\"}", LINES("\"b\"", "\"abba\""), LINES("\"a\"", "\"\"")},
        {"{\"pattern\":\"^a|b$\"}", LINES("\"ax\"", "\"xb\"", "\"a\""), LINES("\"xa\"", "\"bx\"")},
        {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":123}",
         LINES("-5", "-1", "0", "9", "10", "99", "100", "123"),
         LINES("-6", "124", "-0", "007", "1.0", "1000")},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":99,\"exclusiveMaximum\":1003}",
         LINES("100", "999", "1000", "1002"), LINES("99", "1003", "1", "10000")},
        {"{\"type\":\"integer\",\"minimum\":0}", LINES("0", "5", "1234567890"), LINES("-1")},
        {"{\"type\":\"integer\",\"maximum\":-10}", LINES("-10", "-11", "-12345"),
         LINES("-9", "0", "5", "10")},
        {"{\"type\":\"integer\",\"minimum\":2.5,\"maximum\":3.5}", LINES("3"), LINES("2", "4")},
        {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", LINES("0", "1", "0.5", "0.0"),
         LINES("1.5", "-1", "2", "-0.5", "1.1")},
        {"{\"type\":\"number\",\"minimum\":-2.5,\"exclusiveMaximum\":2}",
         LINES("-2", "1.99", "-0.5", "-1.5", "1"), LINES("2", "2.0", "-3", "-2.6", "-2.4")},
        {"{\"type\":\"number\",\"minimum\":0.25,\"maximum\":0.75}", LINES("0.250", "0.500", "0.750"),
         LINES("0.249", "0.751", "0", "1")},
        {"{\"type\":\"number\",\"exclusiveMaximum\":0}", LINES("-1", "-1.5", "-20"),
         LINES("0", "-0.0", "1", "-0")},
        {"{\"format\":\"date\"}", LINES("\"2025-12-17\"", "\"1999-02-28\""),
         LINES("\"2025-02-30\"", "\"2025-13-01\"", "\"25-1-1\"")},
        {"{\"type\":\"string\",\"format\":\"date-time\"}",
         LINES("\"2025-12-17T10:30:00Z\"", "\"2025-12-17T10:30:00.5+02:00\""),
         LINES("\"2025-12-17 10:30:00Z\"", "\"2025-12-17T25:30:00Z\"")},
        {"{\"format\":\"time\"}", LINES("\"23:59:59Z\""), LINES("\"24:00:00Z\"", "\"23:59\"")},
        {"{\"format\":\"uuid\"}", LINES("\"123e4567-e89b-12d3-a456-426614174000\""), LINES("\"123e4567\"")},
        {"{\"format\":\"ipv4\"}", LINES("\"192.168.0.255\""), LINES("\"256.1.1.1\"", "\"1.1.1\"")},
        {"{\"format\":\"whatever\",\"type\":\"string\"}", LINES("\"x\""), LINES("1")},
        {"{\"properties\":{\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnop\":{\"type\":\"null\"},\"\xC3\xA9\":{}"
         ","
         "\"\xE2\x82\xAC\":{}},\"additionalProperties\":{\"type\":\"integer\"}}",
         LINES("{\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnop\":null}", "{\"abcd\":1}", "{\"b\xC3\xA9\":1}"),
         LINES("{\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnop\":1}", "{\"\xC3\xA9\":1,\"\xC3\xA9\":2}")},
        {"{\"anyOf\":[false,{\"type\":\"null\"}]}", LINES("null"), LINES("1")},
    };
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    leat_error e;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        leat_grammar *g;
        if (grammar_open(v, GRAMMAR_SCHEMA, list[i].schema, strlen(list[i].schema), &g, &e)) {
            TEST_FAIL(t, "%s: %s", list[i].schema, e.message);
            continue;
        }
        for (const char *const *p = list[i].yes; *p; p++)
            if (!accepts(t, g, v, *p, strlen(*p))) TEST_FAIL(t, "%s\nrefuses %s", list[i].schema, *p);
        for (const char *const *p = list[i].no; *p; p++)
            if (accepts(t, g, v, *p, strlen(*p))) TEST_FAIL(t, "%s\naccepts %s", list[i].schema, *p);
        grammar_release(g);
    }
    tiny_close(x);
}

static void messages(test *t) {
    static const struct {
        const char *schema, *says;
    } cases[] = {
        {"", "line 1, column 1"},
        {"{\n \"type\": }", "line 2, column 10"},
        {"[]", "a schema must be"},
        {"{\"type\":\"strin\"}", "line 1, column 9: a type must be"},
        {"{\n\"properties\":{\n  \"a\":{\"type\":7}}}", "line 3, column 15"},
        {"{\"$ref\":\"#/nowhere\"}", "leads nowhere"},
        {"{\"$ref\":\"https://x\"}", "only references within"},
        {"{\"not\":{}}", "\"not\" can't be kept"},
        {"{\"type\":\"array\",\"uniqueItems\":true}", "\"uniqueItems\""},
        {"{\"type\":\"number\",\"multipleOf\":3}", "\"multipleOf\""},
        {"{\"patternProperties\":{\"a\":{}}}", "\"patternProperties\""},
        {"{\"pattern\":\"(a\"}", "in the pattern"},
        {"{\"pattern\":\"a\",\"maxLength\":5}", "length is not supported"},
        {"{\"minLength\":-1}", "whole number"},
        {"{\"minLength\":5,\"maxLength\":2}", "lengths"},
        {"{\"minItems\":3,\"maxItems\":2,\"items\":{}}", "minItems is more"},
        {"{\"enum\":3}", "enum must be a list"},
        {"{\"enum\":[]}", "describes no text"},
        {"false", "describes no text"},
        {"{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", "describes no text"},
        {"{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"$ref\":\"#\"}}}",
         "describes no text"},
        {"{\"allOf\":[{\"$ref\":\"#\"}]}", "contains itself"},
        {"{\"anyOf\":[]}", "something in them"},
        {"{\"type\":\"object\",\"minProperties\":2}", "minProperties"},
    };
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_error e;
        leat_grammar *g = NULL;
        leat_status status =
            grammar_open(v, GRAMMAR_SCHEMA, cases[i].schema, strlen(cases[i].schema), &g, &e);
        if (!status || e.code != status || !strstr(e.message, cases[i].says))
            TEST_FAIL(t, "%s: %d \"%s\", not \"%s\"", cases[i].schema, status, e.message, cases[i].says);
        grammar_release(g);
    }
    tiny_close(x);
}

/* ---- a validator for what the random schemas use ---- */

static size_t characters(str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static bool same(const json_value *a, const json_value *b) {
    if (a->type != b->type || a->count != b->count) return false;
    if (a->type == JSON_BOOL) return a->boolean == b->boolean;
    if (a->type == JSON_INT || a->type == JSON_FLOAT) return !(a->real < b->real) && !(a->real > b->real);
    if (a->type == JSON_STRING) return a->text.n == b->text.n && !memcmp(a->text.p, b->text.p, a->text.n);
    for (const json_value *x = a->first, *y = b->first; x && y; x = x->next, y = y->next)
        if (!same(x, y)) return false;
    return true;
}

static bool is_type(const json_value *x, const char *type) {
    switch (x->type) {
    case JSON_NULL: return !strcmp(type, "null");
    case JSON_BOOL: return !strcmp(type, "boolean");
    case JSON_INT: return !strcmp(type, "integer") || !strcmp(type, "number");
    case JSON_FLOAT:
        return !strcmp(type, "number") ||
               (!strcmp(type, "integer") && !(x->real < floor(x->real)) && !(x->real > floor(x->real)));
    case JSON_STRING: return !strcmp(type, "string");
    case JSON_ARRAY: return !strcmp(type, "array");
    case JSON_OBJECT: return !strcmp(type, "object");
    }
    return false;
}

static bool holds(const json_value *root, const json_value *schema, const json_value *x) {
    const json_value *k;
    if (schema->type == JSON_BOOL) return schema->boolean;
    if ((k = json_get(schema, "$ref"))) {
        const json_value *defs = json_get(root, "$defs");
        if (!holds(root, k->text.n == 1 ? root : json_get(defs, k->text.p + 8), x)) return false;
    }
    if ((k = json_get(schema, "type")) && k->type == JSON_STRING && !is_type(x, k->text.p)) return false;
    if (k && k->type == JSON_ARRAY) {
        bool any = false;
        for (const json_value *y = k->first; y; y = y->next) any |= is_type(x, y->text.p);
        if (!any) return false;
    }
    if ((k = json_get(schema, "const")) && !same(k, x)) return false;
    if ((k = json_get(schema, "enum"))) {
        bool any = false;
        for (const json_value *y = k->first; y; y = y->next) any |= same(y, x);
        if (!any) return false;
    }
    if ((k = json_get(schema, "anyOf"))) {
        bool any = false;
        for (const json_value *y = k->first; y; y = y->next) any |= holds(root, y, x);
        if (!any) return false;
    }
    if ((k = json_get(schema, "allOf")))
        for (const json_value *y = k->first; y; y = y->next)
            if (!holds(root, y, x)) return false;
    if (x->type == JSON_INT || x->type == JSON_FLOAT) {
        if ((k = json_get(schema, "minimum")) && x->real < k->real) return false;
        if ((k = json_get(schema, "maximum")) && x->real > k->real) return false;
        if ((k = json_get(schema, "exclusiveMinimum")) && x->real <= k->real) return false;
        if ((k = json_get(schema, "exclusiveMaximum")) && x->real >= k->real) return false;
    }
    if (x->type == JSON_STRING) {
        if ((k = json_get(schema, "minLength")) && characters(x->text) < (size_t)k->integer) return false;
        if ((k = json_get(schema, "maxLength")) && characters(x->text) > (size_t)k->integer) return false;
    }
    if (x->type == JSON_ARRAY) {
        if ((k = json_get(schema, "minItems")) && x->count < (size_t)k->integer) return false;
        if ((k = json_get(schema, "maxItems")) && x->count > (size_t)k->integer) return false;
        const json_value *prefix = json_get(schema, "prefixItems");
        const json_value *p = prefix ? prefix->first : NULL, *items = json_get(schema, "items");
        for (const json_value *y = x->first; y; y = y->next) {
            if (p ? !holds(root, p, y) : items && !holds(root, items, y)) return false;
            p = p ? p->next : NULL;
        }
    }
    if (x->type == JSON_OBJECT) {
        const json_value *named = json_get(schema, "properties"),
                         *others = json_get(schema, "additionalProperties");
        if ((k = json_get(schema, "required")))
            for (const json_value *y = k->first; y; y = y->next)
                if (!json_get(x, y->text.p)) return false;
        for (const json_value *y = x->first; y; y = y->next) {
            const json_value *of = NULL;
            for (const json_value *z = named ? named->first : NULL; z; z = z->next)
                if (z->key.n == y->key.n && !memcmp(z->key.p, y->key.p, y->key.n)) of = z;
            if (of ? !holds(root, of, y) : others && !holds(root, others, y)) return false;
        }
    }
    return true;
}

/* ---- random schemas ---- */

static char schema_text[1 << 16];
static size_t schema_n;

static void put(const char *text) {
    size_t n = strlen(text);
    if (schema_n + n < sizeof schema_text) {
        memcpy(schema_text + schema_n, text, n);
        schema_n += n;
    }
}
static void put_number(const char *before, int x) {
    char text[64];
    snprintf(text, sizeof text, "%s%d", before, x);
    put(text);
}

static const char *const names[] = {"a",      "ab",       "abc",       "b", "name",
                                    "x\\\"y", "\xC3\xA9", "\xC3\xA8t", "",  "value"};

static void random_schema(int depth);

static void random_object(int depth) {
    uint32_t first = random_below(6), n = random_below(5);
    put("{\"type\":\"object\",\"properties\":{");
    for (uint32_t i = 0; i < n; i++) {
        put(i ? ",\"" : "\"");
        put(names[first + i]);
        put("\":");
        random_schema(depth + 1);
    }
    put("}");
    if (n && random_below(2)) {
        put(",\"required\":[");
        bool any = false;
        for (uint32_t i = 0; i < n; i++) {
            if (random_below(2)) continue;
            put(any ? ",\"" : "\"");
            put(names[first + i]);
            put("\"");
            any = true;
        }
        put("]");
    }
    if (random_below(3) == 0) {
        put(",\"additionalProperties\":");
        random_schema(depth + 1);
    }
    put("}");
}

static void random_schema(int depth) {
    uint32_t kind = random_below(depth > 3 ? 7 : 14);
    int low = (int)random_below(2000) - 1000, high = low + (int)random_below(500);
    switch (kind) {
    case 0: put(random_below(2) ? "{\"type\":\"null\"}" : "{\"type\":\"boolean\"}"); break;
    case 1: put("{\"enum\":[1,\"two\",null,[3],{\"four\":4}]}"); break;
    case 2:
        put(random_below(2) ? "{\"const\":\"\\u00e9\\\"\\n\"}" : "{\"type\":[\"integer\",\"null\"]}");
        break;
    case 3:
    case 4:
        put(kind == 3 ? "{\"type\":\"integer\"" : "{\"type\":\"number\"");
        if (random_below(3)) put_number(random_below(2) ? ",\"minimum\":" : ",\"exclusiveMinimum\":", low);
        if (random_below(3))
            put_number(random_below(2) ? ",\"maximum\":" : ",\"exclusiveMaximum\":", high + 2);
        put("}");
        break;
    case 5:
        put("{\"type\":\"string\"");
        low = (int)random_below(4);
        if (random_below(2)) put_number(",\"minLength\":", low);
        if (random_below(2)) put_number(",\"maxLength\":", low + (int)random_below(5));
        put("}");
        break;
    case 6: put("{\"$ref\":\"#/$defs/d\"}"); break;
    case 7:
    case 8:
        put("{\"type\":\"array\",\"items\":");
        random_schema(depth + 1);
        low = (int)random_below(3);
        if (random_below(2)) put_number(",\"minItems\":", low);
        if (random_below(2)) put_number(",\"maxItems\":", low + (int)random_below(4));
        put("}");
        break;
    case 9:
        put("{\"prefixItems\":[");
        random_schema(depth + 1);
        put(",");
        random_schema(depth + 1);
        put("],\"items\":");
        put(random_below(2) ? "false}" : "{\"type\":\"boolean\"}}");
        break;
    case 10:
        put("{\"anyOf\":[");
        random_schema(depth + 1);
        put(",");
        random_schema(depth + 1);
        put("]}");
        break;
    case 11:
        put("{\"allOf\":[");
        random_object(depth + 1);
        put(",{\"properties\":{\"a\":{\"type\":[\"integer\",\"string\",\"object\"]},\"zz\":{\"type\":"
            "\"null\"}}}]}");
        break;
    default: random_object(depth); break;
    }
}

static void random_schemas(test *t) {
    enum { SCHEMAS = 150, TEXTS = 6 };
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    int opened = 0, whole = 0;
    grammar_random = 77;
    for (int i = 0; i < SCHEMAS; i++) {
        schema_n = 0;
        put("{\"$defs\":{\"d\":");
        put(i % 2 ? "{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#/$defs/"
                    "d\"},\"v\":{\"type\":\"integer\"}}}"
                  : "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
                    "d\"},{\"const\":7}]},\"maxItems\":2}");
        put("},\"allOf\":[");
        random_schema(0);
        put("]}");
        leat_grammar *g = NULL;
        leat_error e;
        leat_status status = grammar_open(v, GRAMMAR_SCHEMA, schema_text, schema_n, &g, &e);
        if (status) {
            /* what contradicts itself has no text, and that is said */
            if (!strstr(e.message, "describes no text") && !strstr(e.message, "not supported"))
                TEST_FAIL(t, "%.*s: %s", (int)schema_n, schema_text, e.message);
            continue;
        }
        opened++;
        arena memory;
        const json_value *schema, *value;
        arena_init(&memory, 64 << 20);
        REQUIRE(t, !json_parse(&memory, "schema", schema_text, schema_n, &schema, &e));
        for (int k = 0; k < TEXTS; k++) {
            static char text[20000];
            bool ended;
            size_t where, n = generate(t, g, v, 300, text, sizeof text, &ended);
            if (!ended) continue; /* cut off: the beginning of a right text */
            whole++;
            if (!json_valid(text, n, &where)) {
                TEST_FAIL(t, "%.*s\ngave %.*s: no JSON at %zu", (int)schema_n, schema_text, (int)n, text,
                          where);
                continue;
            }
            REQUIRE(t, !json_parse(&memory, "text", text, n, &value, &e));
            if (!holds(schema, json_get(schema, "allOf")->first, value))
                TEST_FAIL(t, "%.*s\ndoes not hold for %.*s", (int)schema_n, schema_text, (int)n, text);
        }
        arena_free(&memory);
        grammar_release(g);
    }
    if (opened < SCHEMAS * 3 / 4 || whole < opened * TEXTS / 2)
        TEST_FAIL(t, "only %d schemas, %d whole texts", opened, whole);
    tiny_close(x);
}

/* clang-format off */
#define TESTS(X) X(examples) X(messages) X(random_schemas)
/* clang-format on */
TEST_SUITE(TESTS)
