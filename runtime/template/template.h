/* Chat templates: the Jinja that models ship, as Hugging Face's transformers run it. A template is compiled
 * once and never changes; rendering it with a context, a JSON object, gives the text and says of each stretch
 * whether the template wrote it or the context brought it. Called by api_template.c and chat.c. Knows nothing
 * of models. Bounded in depth, steps, memory and output, whatever it is fed. */
#ifndef LEAT_RUNTIME_TEMPLATE_TEMPLATE_H
#define LEAT_RUNTIME_TEMPLATE_TEMPLATE_H

#include "runtime/text/json.h"
#include "loader/error.h"

enum { TEMPLATE_SOURCE_MAX = 1 << 20, TEMPLATE_OUTPUT_MAX = 1 << 24 };

typedef struct leat_template leat_template;

typedef struct leat_template_time { /* the clock of strftime_now; year 0: not known */
    int year, month, day, hour, minute, second;
} leat_template_time;

typedef enum template_dialect { TEMPLATE_AUTO, TEMPLATE_PYTHON, TEMPLATE_JAVASCRIPT } template_dialect;

typedef struct template_segment { /* of the rendering, in order, without gaps */
    size_t at, n;
    bool content; /* from the context */
} template_segment;

typedef struct template_result { /* free with template_result_free */
    char *text;                  /* NUL behind */
    uint8_t *marks;              /* (n) 1: content, 0: control */
    size_t n;
    template_segment *segments;
    size_t n_segments;
} template_result;

/* `what` names the source in messages: "template". */
leat_status template_compile(const char *source, size_t n, const char *what, leat_template **out,
                             leat_error *e);
void template_free(leat_template *t);

/* As it was given, but for its newlines. */
str template_source(const leat_template *t);

/* A string variable for contexts that don't set it, like bos_token. Only before the first rendering. */
leat_status template_default(leat_template *t, const char *name, str text, leat_error *e);

leat_status template_render(const leat_template *t, const json_value *context, template_dialect dialect,
                            const leat_template_time *now, template_result *out, leat_error *e);
void template_result_free(template_result *r);

#endif
