/* What the template files share: values, the tree a template is compiled to, and one rendering in progress.
 * The way of a template: lex.c cuts the source into tokens, expr.c and parse.c make a tree of them, run.c and
 * eval.c walk it; the other files know the filters, methods, tests and printing. Nobody outside, but for
 * tests, includes this; template.h is the way in.
 *
 * Every string knows which of its bytes came from the context, where a person may have typed them
 * ("content"), and which from the template ("control"); all that makes strings of strings keeps that
 * knowledge byte by byte. */
#ifndef LEAT_RUNTIME_TEMPLATE_IMPL_H
#define LEAT_RUNTIME_TEMPLATE_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/text/arena.h"
#include "runtime/text/json.h"
#include "template.h"

enum {
    TEMPLATE_NESTING_MAX = 64, /* of blocks, and of brackets in an expression */
    TEMPLATE_DEPTH_MAX =
        400,                 /* of the walk over the tree, macro calls included: bounds the machine's stack */
    TEMPLATE_CALLS_MAX = 64, /* macros inside macros */
    TEMPLATE_VALUE_DEPTH = 160, /* of lists in lists when they are printed or compared */
    TEMPLATE_RANGE_MAX = 100000 /* as in Jinja's sandbox */
};

/* ---- values ---- */

typedef enum value_type {
    V_UNDEFINED,
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STRING,
    V_LIST, /* all sequences, see list_kind */
    V_DICT,
    V_NAMESPACE,
    V_MACRO,
    V_METHOD, /* of a value: "x".upper */
    V_GLOBAL, /* a function that is always there: range */
    V_LOOP,
    V_CYCLER,
    V_JOINER,
    V_MISSING /* an argument that was not given */
} value_type;

/* Bytes in UTF-8 and where they came from; never changed once made. */
typedef struct text {
    const char *p;
    size_t n;
    const uint8_t *marks; /* (n) 1: content, 0: control; NULL: all are as `content` says */
    bool content;
    struct text_buffer *buffer; /* the room behind p + n in which a longer one can be made, or NULL */
} text;

typedef struct value {
    uint8_t type;
    bool b;
    union {
        int64_t i;
        double d;
        const text *s;
        struct list *l;
        struct dict *o; /* V_DICT, V_NAMESPACE */
        struct macro *m;
        struct method *f;
        const struct builtin *g;
        struct loop *loop;
        struct cycler *cycler; /* V_CYCLER, V_JOINER */
        const struct undefined *u;
    };
} value;

typedef enum list_kind { LIST, TUPLE, GENERATOR, RANGE, DICT_KEYS, DICT_VALUES, DICT_ITEMS } list_kind;

typedef struct list {
    list_kind kind;
    value *v;
    size_t n;
    bool used;                 /* a generator that was read: the next reader finds nothing */
    int64_t start, step, stop; /* of a range, for printing */
} list;

typedef struct dict {
    struct dict_entry {
        value key, v;
        uint32_t hash;
    } * e; /* in the order of insertion */
    size_t n, capacity;
    uint32_t *slots; /* open addressing, index + 1; NULL while there are few */
    size_t mask;
} dict;

typedef struct undefined { /* what a message says about it */
    const char *hint;      /* the whole message, or NULL */
    const char *owner;     /* type of what has no such attribute, or NULL */
    str name;
    bool element; /* an element that is not there, not an attribute */
} undefined;

typedef struct method {
    value self;
    const struct builtin *fn;
} method;

typedef struct macro {
    const struct node *def; /* S_MACRO */
    struct scope *scope;    /* where it was defined */
} macro;

typedef struct cycler {
    value *v;
    size_t n, at;
    value separator; /* of a joiner */
    bool used;
} cycler;

typedef struct loop {
    const struct node *def; /* S_FOR */
    struct scope *scope;
    value *v;
    size_t n, at, depth;
    value changed;
} loop;

/* ---- the tree ---- */

typedef struct name { /* one for each spelling */
    str text;
    uint32_t index, hash;
    struct name *next;
} name;

typedef enum node_kind {
    E_CONST,
    E_NAME,
    E_LIST,
    E_TUPLE,
    E_DICT, /* list: key, value, key, value, ... */
    E_ATTRIBUTE,
    E_ITEM,
    E_SLICE, /* a : b : c, any may be NULL; only as index of E_ITEM */
    E_CALL,
    E_FILTER,
    E_TEST,
    E_NEGATE,
    E_PLUS,
    E_NOT,
    E_AND,
    E_OR,
    E_BINARY,
    E_COMPARE, /* a, then list: nodes with op and a */
    E_CONCAT,
    E_IF,   /* a if b else c */
    E_HERE, /* what a block set or filter block collected */
    S_TEXT,
    S_PRINT,
    S_IF,        /* a: test, list: body, d: else */
    S_FOR,       /* a: iterable, b: target, c: condition, list: body, d: else */
    S_SET,       /* b: target, a: value */
    S_SET_BLOCK, /* b: target, a: filters over E_HERE, list: body */
    S_FILTER,    /* a: filters over E_HERE, list: body */
    S_MACRO,     /* a: parameters (E_NAME, each with its default in a), list: body */
    S_CALL,      /* a: the call, d: S_MACRO of the body */
    S_WITH,      /* a: values, b: targets, list: body */
    S_SCOPE,     /* list: body */
    S_BREAK,
    S_CONTINUE,
    T_NAMESPACE /* a target: name.attribute */
} node_kind;

typedef struct node {
    uint8_t kind, op; /* op: a token type */
    bool flag;        /* S_FOR: recursive; S_MACRO: has a parameter called caller */
    bool closure;     /* S_FOR: macros are made in the body, which keep the scope of an iteration */
    uint32_t at;      /* byte of the source */
    struct node *next;
    struct node *a, *b, *c, *d, *list;
    const name *name, *attribute;
    const struct builtin *fn;
    value v;
    /* E_CALL, E_FILTER, E_TEST: list has the positional arguments */
    struct node *keywords, *star, *stars;
} node;

struct leat_template {
    arena a;
    const char *source; /* newlines as \n, the last one dropped */
    size_t n;
    name *names[256];
    uint32_t n_names;
    node *body;
    struct template_default { /* a variable that a context may leave out */
        const name *name;
        str text;
        struct template_default *next;
    } * defaults;
    /* names with a meaning of their own */
    const name *loop, *caller, *varargs, *kwargs, *null;
};

/* ---- tokens ---- */

typedef enum token_type { /* operators of one character are that character */
                          T_EOF = 128,
                          T_DATA,
                          T_PRINT_BEGIN,
                          T_PRINT_END,
                          T_BLOCK_BEGIN,
                          T_BLOCK_END,
                          T_NAME,
                          T_STRING,
                          T_INT,
                          T_FLOAT,
                          T_EQ,
                          T_NE,
                          T_LE,
                          T_GE,
                          T_FLOORDIV,
                          T_POW,
                          T_IN,
                          T_NOT_IN
} token_type;

typedef struct token {
    uint8_t type;
    uint32_t at;
    str text; /* of names and numbers; of strings and data what they stand for */
} token;

/* T_EOF is the last. */
leat_status template_lex(leat_template *t, const char *what, token **out, size_t *count, leat_error *e);

typedef struct parse {
    leat_template *t;
    const char *what; /* how messages call the source */
    const token *at;  /* the current one */
    leat_error *e;
    leat_status status;
    unsigned depth, macros; /* how many macros were seen so far */
} parse;

/* They return NULL or false after parse_error. */
node *parse_error(parse *p, uint32_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));
node *parse_node(parse *p, node_kind kind, uint32_t at);
bool parse_is_name(const parse *p, const char *word);
bool parse_skip_name(parse *p, const char *word);
bool parse_expect(parse *p, uint8_t type, const char *what);
const name *parse_intern(parse *p, str text);
node *parse_expression(parse *p, bool with_if);
node *parse_primary(parse *p, bool with_namespace);
/* `stop`: a word that ends the tuple, or NULL. */
node *parse_tuple(parse *p, bool with_if, const char *stop, bool parentheses);
/* Filters over `n`: | name (...) | ...; with `inline_start` the first has no |. */
node *parse_filters(parse *p, node *n, bool inline_start);
leat_status template_parse(leat_template *t, const char *what, const token *tokens, leat_error *e);
const name *template_intern(leat_template *t, const char *p, size_t n); /* NULL: no memory */

/* ---- one rendering ---- */

typedef struct variable {
    const name *name;
    value v;
} variable;

typedef struct scope {
    struct scope *parent; /* NULL: the outermost, whose variables are run.globals */
    variable *v;
    size_t n, capacity;
} scope;

typedef struct run {
    const leat_template *t;
    arena a;
    leat_error *e;
    leat_status status;
    const char *what;
    bool js; /* huggingface.js, not Python */
    leat_template_time now;
    value *globals; /* (n_names) V_MISSING: not set */
    scope *top;     /* innermost */
    value here;     /* E_HERE */
    uint32_t at;    /* of the node in work, for messages */
    unsigned depth, calls;
    uint64_t steps, steps_max;
    /* The output, and above it the strings being made: a stack of bytes, each with its mark. */
    char *out;
    uint8_t *marks;
    size_t n_out, out_capacity, out_max;
    int jump; /* S_BREAK or S_CONTINUE on its way to its loop, else 0 */
} run;

typedef struct call {
    value *v; /* positional */
    size_t n;
    struct keyword {
        const name *name;
        value v;
    } * kw;
    size_t n_kw;
    const char *fn; /* for messages */
} call;

typedef struct builtin {
    const char *name;
    bool (*run)(run *r, value self, const value *arg, const call *c, value *out);
    const char
        *args; /* names separated by blanks; arg[] has as many; NULL: the function reads the call itself */
} builtin;

enum { BUILTIN_ARGS_MAX = 8 };

/* All return false after an error was set. */
bool run_error(run *r, leat_status code, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool run_no_memory(run *r);
bool run_step(run *r, size_t n); /* n bytes or values of work */
void *run_alloc(run *r, size_t count, size_t size);

/* eval.c, run.c */
bool eval_node(run *r, const node *n, value *out);
bool eval_item(run *r, value object, value index, value *out);
bool eval_attribute(run *r, value object, str attribute, value *out);
bool eval_call(run *r, value callee, const call *c, value *out);
bool run_macro(run *r, const macro *m, const call *c, value *out);
bool run_loop_again(run *r, const loop *l, const call *c, value *out);
bool run_body(run *r, const node *list);
bool run_assign(run *r, const node *target, value v);
bool scope_set(run *r, scope *s, const name *n, value v);
bool builtin_call(run *r, const builtin *fn, value self, const call *c, value *out);

/* math.c */
bool math_binary(run *r, int op, value a, value b, value *out);
bool value_compare(run *r, int op, value a, value b, bool *out); /* <, >, ==, T_IN, ... */
bool value_equal(run *r, value a, value b, bool *out);
bool value_less(run *r, value a, value b, bool *out);
bool value_truth(const value *v);
bool value_number(value v, double *out);
bool value_int(value v, int64_t *out); /* ints and bools */

/* value.c */
extern const value v_none, v_missing;
value v_bool(bool b);
value v_int(int64_t i);
value v_float(double d);
bool v_static(run *r, const char *s, value *out); /* control text that outlives the run */
bool v_copy(run *r, const char *p, size_t n, bool content, value *out);
bool v_slice(run *r, const text *s, size_t from, size_t n, value *out);
bool v_undefined(run *r, const char *hint, value *out);
bool v_undefined_name(run *r, str name, value *out);
bool v_undefined_in(run *r, value object, value key, value *out);
bool v_list(run *r, list_kind kind, size_t n, value *out); /* with n values to be filled in */
bool v_dict(run *r, value_type type, value *out);
bool dict_set(run *r, dict *o, value key, value v);
bool dict_get(run *r, const dict *o, value key, const value **out); /* *out NULL: not there */
const value *dict_get_str(const dict *o, const char *p, size_t n);
bool v_from_json(run *r, const json_value *j, bool content, value *out);
/* What a loop sees: the elements as an array. */
bool value_iterate(run *r, value v, value **items, size_t *n);
const char *value_type_name(value v); /* as Python calls it */
bool list_take(run *r, value v, value **items, size_t *n);

/* strings being made on top of the output: note r->n_out, put, then take what is above the note */
bool put_bytes(run *r, const char *p, size_t n, bool content);
bool put_text(run *r, const text *s);
bool put_range(run *r, const text *s, size_t from, size_t n);
bool put_code_point(run *r, uint32_t cp, bool content);
bool put_format(run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool take_text(run *r, size_t from, value *out);
bool text_concat(run *r, const text *a, const text *b, value *out);

/* print.c */
bool put_value(run *r, value v);                    /* str() */
bool put_repr(run *r, value v, unsigned depth);     /* repr() */
bool value_text(run *r, value v, const text **out); /* str() as a string */
bool put_json(run *r, value v, const value *indent, const text *item_separator, const text *key_separator,
              bool ascii, bool sort, unsigned depth);

/* string.c: strings as Python sees them, in code points */
size_t text_length(const text *s);
size_t text_offset(const text *s, size_t index); /* byte of a code point; n beyond the end */
bool text_is_space(uint32_t cp);
bool text_eq(const text *s, const char *word);
bool text_strip(run *r, const text *s, const text *chars, bool left, bool right, value *out);
bool text_split(run *r, const text *s, const text *separator, int64_t max, bool from_right, value *out);
bool text_replace(run *r, const text *s, const text *from, const text *to, int64_t count, value *out);
size_t text_find(const text *s, const text *what, size_t from); /* SIZE_MAX: not there */
typedef enum case_change { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITALIZE, CASE_SWAP } case_change;
bool text_case(run *r, const text *s, case_change how, value *out);

/* format.c */
bool format_percent(run *r, const text *format, value args, const call *keywords, value *out);
bool format_braces(run *r, const text *format, const call *c, value *out);

/* lists of what there is */
const builtin *find_filter(const char *p, size_t n);
const builtin *find_test(const char *p, size_t n);
const builtin *find_global(const char *p, size_t n);
const builtin *find_method(value self, const char *p, size_t n);
const builtin *builtin_in(const builtin *list, const char *p, size_t n); /* list ends with a NULL name */
extern const builtin filters_text[], filters_list[], filters_value[], template_tests[], template_globals[];

bool put_time(run *r, const text *format, const leat_template_time *time);

#endif
