/* The notations in which models write tool calls, parsed to one form: JSON objects {"name": ..., "arguments":
 * {...}}. All of it is total on any text: what does not parse whole is refused, and the caller shows it as
 * text. Used by reply.c. */
#ifndef LEAT_RUNTIME_CHAT_TOOLCALL_H
#define LEAT_RUNTIME_CHAT_TOOLCALL_H

#include <stdbool.h>

#include "runtime/text/arena.h"
#include "loader/gguf.h" /* str */

typedef struct tool_call {
    str name, arguments; /* arguments: a JSON object */
    struct tool_call *next;
} tool_call;

/* Each gives the calls in `text`, in an arena; NULL if it is not wholly made of at least one call. */

/* {"name": ..., "arguments" or "parameters": {...}}, one, an array of them, or several one after the other
 * (Hermes, Qwen, Llama 3, Mistral). */
tool_call *tool_calls_json(arena *a, str text);
/* [f(x=1, y='a'), g()] (Llama 3.2 and 4, LFM2) */
tool_call *tool_calls_python(arena *a, str text);
/* <function=f><parameter=x>1</parameter></function> (Qwen3-Coder),
 * f<arg_key>x</arg_key><arg_value>1</arg_value> (GLM) */
tool_call *tool_calls_tags(arena *a, str text);
/* [TOOL_CALLS] is gone: f[ARGS]{...} or f{...}, several with [TOOL_CALLS] between, or as tool_calls_json
 * (Mistral) */
tool_call *tool_calls_mistral(arena *a, str text);
/* Between the outer tags: call-begin [function sep] name ... arguments call-end (DeepSeek V3, R1, V3.1; Kimi
 * K2) */
tool_call *tool_calls_deepseek(arena *a, str text);
/* A call whose name is known (gpt-oss). */
tool_call *tool_call_named(arena *a, str name, str arguments);

/* Without the white space around. */
str str_trim(str s);
/* Where `what` is in s, SIZE_MAX if nowhere. */
size_t str_find(str s, const char *what);
str str_from(str s, size_t at);

#endif
