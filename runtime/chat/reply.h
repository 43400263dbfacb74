/* What a model says, taken apart while it streams: content, reasoning (<think> and its like) and tool calls,
 * in the notations of the common model families, which are recognised from the chat template. A call that
 * does not parse comes back as content, tags and all: nothing is ever lost. Used by chat.c; knows nothing of
 * models. */
#ifndef LEAT_RUNTIME_CHAT_REPLY_H
#define LEAT_RUNTIME_CHAT_REPLY_H

#include <stdbool.h>

#include "loader/error.h"
#include "loader/gguf.h" /* str */

typedef enum reply_kind {
    REPLY_CONTENT,
    REPLY_REASONING,
    REPLY_TOOL_CALL /* one whole call: {"name": "...", "arguments": {...}} */
} reply_kind;

/* A piece of the reply, whole characters. */
typedef void reply_sink(void *user, reply_kind kind, const char *p, size_t n);

typedef struct reply_style {       /* zeroed: plain text */
    const char *think, *think_end; /* NULL: none */
    bool harmony;                  /* channels of gpt-oss */
    bool tools;                    /* calls are looked for */
    bool bare_json, bare_python;   /* a reply that is wholly a call, without tags */
} reply_style;

typedef struct reply reply;

/* From the source of a template; `tools`: are there any that could be called? */
void reply_style_of(str template_source, bool tools, reply_style *out);
/* Does the prompt end inside of a reasoning section, so that the reply begins there? */
bool reply_begins_thinking(const reply_style *style, str prompt);

leat_status reply_open(const reply_style *style, bool thinking, reply_sink *sink, void *user, reply **out,
                       leat_error *e);
void reply_close(reply *r);
/* More text: whole characters, the text of special tokens included. */
leat_status reply_push(reply *r, const char *p, size_t n, leat_error *e);
/* The end: what was held back comes out. */
leat_status reply_finish(reply *r, leat_error *e);
/* Is this the text of a special token that means something here? Others are not to be pushed. */
bool reply_knows(const reply_style *style, str special);

#endif
