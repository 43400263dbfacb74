/* reply.h: a scanner over the text with one section open at a time. Text that may still become a tag is held
 * back; the inside of a tool call is collected until it is closed, then parsed by toolcall.c. */
#include "reply.h"

#include <string.h>

#include "loader/alloc.h"
#include "runtime/text/json.h"
#include "toolcall.h"

enum { CALL_MAX = 1 << 22 }; /* bytes of a tool call; a longer one is content */

typedef enum section_kind { CONTENT, THINKING, CALLS, HEADER, CHANNEL } section_kind;

/* The tags around tool calls. An end of NULL: to the end of the reply. */
static const struct call_tag {
    const char *open, *close;
    tool_call *(*parse[2])(arena *a, str text);
} call_tags[] = {
    {"<tool_call>", "</tool_call>", {tool_calls_json, tool_calls_tags}},
    {"<function_call>", "</function_call>", {tool_calls_json, NULL}},
    {"<|tool_call|>", "<|/tool_call|>", {tool_calls_json, NULL}},
    {"<|tool_call_start|>", "<|tool_call_end|>", {tool_calls_python, tool_calls_json}},
    {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", {tool_calls_deepseek, NULL}},
    {u8"<\uFF5Ctool\u2581calls\u2581begin\uFF5C>",
     u8"<\uFF5Ctool\u2581calls\u2581end\uFF5C>",
     {tool_calls_deepseek, NULL}},
    {"[TOOL_CALLS]", NULL, {tool_calls_mistral, NULL}},
    {"<|python_tag|>", NULL, {tool_calls_json, tool_calls_python}},
    {"<functioncall>", NULL, {tool_calls_json, NULL}},
};
enum { N_CALL_TAGS = sizeof call_tags / sizeof *call_tags, BARE = N_CALL_TAGS };

static const char *const thinking_tags[][2] = {
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<seed:think>", "</seed:think>"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|inner_prefix|>", "<|inner_suffix|>"},
    {"<reasoning>", "</reasoning>"},
    {"<thought>", "</thought>"},
    {u8"\u25C1think\u25B7", u8"\u25C1/think\u25B7"},
};
static const char *const harmony_tags[] = {"<|channel|>", "<|message|>", "<|end|>",      "<|start|>",
                                           "<|call|>",    "<|return|>",  "<|constrain|>"};

struct reply {
    reply_style style;
    reply_sink *sink;
    void *user;
    section_kind section;
    size_t tag;        /* of call_tags, in CALLS */
    bool begun;        /* something other than white space has come */
    bool after_think;  /* white space right behind a reasoning section belongs to it */
    char channel[128]; /* the header of the open channel */
    char *held;        /* text not given out yet */
    size_t n, capacity;
    size_t searched; /* held bytes in which an end is known not to start */
};

void reply_style_of(str source, bool tools, reply_style *out) {
    *out = (reply_style){.tools = tools};
    out->harmony = str_find(source, "<|channel|>") != SIZE_MAX && str_find(source, "<|message|>") != SIZE_MAX;
    for (size_t i = 0; !out->harmony && !out->think && i < sizeof thinking_tags / sizeof *thinking_tags; i++)
        if (str_find(source, thinking_tags[i][1]) != SIZE_MAX) {
            out->think = thinking_tags[i][0];
            out->think_end = thinking_tags[i][1];
        }
    if (!tools) return;
    out->bare_python = str_find(source, "func_name1(") != SIZE_MAX ||
                       str_find(source, "[func_name") != SIZE_MAX ||
                       str_find(source, "<|python_start|>") != SIZE_MAX;
    out->bare_json =
        str_find(source, "ipython") != SIZE_MAX || str_find(source, "\"parameters\"") != SIZE_MAX;
}

bool reply_begins_thinking(const reply_style *style, str prompt) {
    if (!style->think) return false;
    str end = str_trim(prompt);
    size_t n = strlen(style->think);
    return end.n >= n && !memcmp(end.p + end.n - n, style->think, n);
}

static bool is(str s, const char *word) {
    return word && s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

bool reply_knows(const reply_style *style, str s) {
    if (is(s, style->think) || is(s, style->think_end)) return true;
    for (size_t i = 0; style->tools && i < N_CALL_TAGS; i++)
        if (is(s, call_tags[i].open) || is(s, call_tags[i].close)) return true;
    if (style->tools && (is(s, "[ARGS]") || is(s, "[CALL_ID]") || str_find(s, "tool") != SIZE_MAX))
        return true;
    for (size_t i = 0; style->harmony && i < sizeof harmony_tags / sizeof *harmony_tags; i++)
        if (is(s, harmony_tags[i])) return true;
    return false;
}

leat_status reply_open(const reply_style *style, bool thinking, reply_sink *sink, void *user, reply **out,
                       leat_error *e) {
    reply *r = mem_alloc(1, sizeof *r);
    *out = r;
    if (!r) return error_set(e, LEAT_E_NOMEM, "out of memory for a reply");
    r->style = *style;
    r->sink = sink;
    r->user = user;
    r->section = thinking && style->think ? THINKING : CONTENT;
    return LEAT_OK;
}

void reply_close(reply *r) {
    if (!r) return;
    mem_free(r->held);
    mem_free(r);
}

/* ---- giving out ---- */

static reply_kind channel_kind(const reply *r) {
    str header = {r->channel, strlen(r->channel)};
    return str_find(header, "analysis") != SIZE_MAX ? REPLY_REASONING : REPLY_CONTENT;
}

static void give(reply *r, size_t n) {
    reply_kind kind = r->section == THINKING  ? REPLY_REASONING
                      : r->section == CHANNEL ? channel_kind(r)
                                              : REPLY_CONTENT;
    size_t skip = 0;
    if (r->after_think && kind == REPLY_CONTENT)
        while (skip < n && (r->held[skip] == '\n' || r->held[skip] == ' ')) skip++;
    if (skip < n && r->section != HEADER) {
        if (kind == REPLY_CONTENT) r->after_think = false;
        r->sink(r->user, kind, r->held + skip, n - skip);
    }
}

static void drop(reply *r, size_t n) {
    r->searched = 0;
    if (n == 0) return;
    memmove(r->held, r->held + n, r->n - n);
    r->n -= n;
}

static leat_status give_calls(reply *r, const tool_call *list, leat_error *e) {
    for (; list; list = list->next) {
        size_t quoted = json_quote(list->name.p, list->name.n, false, NULL, 0), n = 0;
        char *text = mem_alloc(quoted + list->arguments.n + 40, 1);
        if (!text) return error_set(e, LEAT_E_NOMEM, "out of memory for a tool call");
        memcpy(text, "{\"name\": ", 9);
        n = 9 + json_quote(list->name.p, list->name.n, false, text + 9, quoted);
        memcpy(text + n, ", \"arguments\": ", 15);
        n += 15;
        memcpy(text + n, list->arguments.p, list->arguments.n);
        n += list->arguments.n;
        text[n++] = '}';
        r->sink(r->user, REPLY_TOOL_CALL, text, n);
        mem_free(text);
    }
    return LEAT_OK;
}

/* The collected calls, `skip` bytes of opening tag before them and `after` of closing tag behind; as content
 * if they are none. */
static leat_status end_calls(reply *r, size_t inside, size_t after, leat_error *e) {
    size_t skip = r->tag == BARE ? 0 : strlen(call_tags[r->tag].open);
    str text = {r->held + skip, inside - skip};
    tool_call *list = NULL;
    leat_status status = LEAT_OK;
    arena a;
    arena_init(&a, (size_t)1 << 28);
    if (r->tag == BARE) {
        if (r->style.bare_json) list = tool_calls_json(&a, text);
        if (!list && r->style.bare_python) list = tool_calls_python(&a, text);
    } else {
        for (int i = 0; i < 2 && !list; i++)
            if (call_tags[r->tag].parse[i]) list = call_tags[r->tag].parse[i](&a, text);
    }
    r->section = CONTENT;
    if (list)
        status = give_calls(r, list, e);
    else
        give(r, inside + after);
    arena_free(&a);
    drop(r, inside + after);
    r->after_think = r->after_think || list; /* nor is the white space between calls content */
    return status;
}

static leat_status end_channel(reply *r, size_t n, leat_error *e) {
    str header = {r->channel, strlen(r->channel)};
    size_t to = str_find(header, "to=functions.");
    if (to == SIZE_MAX) {
        give(r, n);
        return LEAT_OK;
    }
    str name = str_from(header, to + 13);
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == ' ' || name.p[i] == '<') name.n = i;
    arena a;
    arena_init(&a, (size_t)1 << 28);
    tool_call *call = tool_call_named(&a, name, (str){r->held, n});
    leat_status status = LEAT_OK;
    if (call)
        status = give_calls(r, call, e);
    else
        r->sink(r->user, REPLY_CONTENT, r->held, n);
    arena_free(&a);
    return status;
}

/* ---- scanning ---- */

/* Where one of the tags starts first in the held text; *which says which. SIZE_MAX: none. */
static size_t first_tag(const reply *r, size_t from, const char *const *tags, size_t n_tags, size_t *which) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n_tags; i++) {
        size_t at = tags[i] ? str_find(str_from((str){r->held, r->n}, from), tags[i]) : SIZE_MAX;
        if (at == SIZE_MAX || at + from >= best) continue;
        best = at + from;
        *which = i;
    }
    return best;
}

/* How many bytes at the end of the held text may be the beginning of one of the tags. */
static size_t partial_tag(const reply *r, const char *const *tags, size_t n_tags) {
    size_t most = 0;
    for (size_t i = 0; i < n_tags; i++) {
        size_t length = tags[i] ? strlen(tags[i]) : 1, n = length - 1 < r->n ? length - 1 : r->n;
        for (; n > most; n--)
            if (!memcmp(r->held + r->n - n, tags[i], n)) break;
        if (n > most) most = n;
    }
    return most;
}

/* One step in plain content: to the next tag, or all that can't be one. *again: there is more to do. */
static leat_status scan_content(reply *r, bool end, bool *again) {
    const char *tags[N_CALL_TAGS + 3] = {NULL};
    size_t which = 0, n_tags = N_CALL_TAGS + 3;
    for (size_t i = 0; r->style.tools && i < N_CALL_TAGS; i++) tags[i] = call_tags[i].open;
    tags[N_CALL_TAGS] = r->style.think;
    if (r->style.harmony) {
        tags[N_CALL_TAGS + 1] = "<|channel|>";
        tags[N_CALL_TAGS + 2] = "<|start|>";
    }
    if (!r->begun) {
        size_t i = 0;
        while (i < r->n && strchr(" \n\t\r", r->held[i])) i++;
        if (i == r->n && !end) return LEAT_OK;
        if (i < r->n) {
            r->begun = true;
            bool bare =
                (r->style.bare_json && r->held[i] == '{') || (r->style.bare_python && r->held[i] == '[');
            if (r->style.tools && bare) {
                r->section = CALLS;
                r->tag = BARE;
                *again = true;
                return LEAT_OK;
            }
        }
    }
    size_t at = first_tag(r, 0, tags, n_tags, &which);
    if (at == SIZE_MAX) {
        size_t keep = end ? 0 : partial_tag(r, tags, n_tags);
        give(r, r->n - keep);
        drop(r, r->n - keep);
        return LEAT_OK;
    }
    give(r, at);
    drop(r, at);
    *again = true;
    if (which < N_CALL_TAGS) {
        r->section = CALLS;
        r->tag = which;
        return LEAT_OK;
    }
    r->section = which == N_CALL_TAGS ? THINKING : HEADER;
    drop(r, strlen(tags[which]));
    if (r->section == HEADER) r->channel[0] = '\0';
    return LEAT_OK;
}

static leat_status scan_thinking(reply *r, bool end, bool *again) {
    const char *tags[] = {r->style.think_end};
    size_t which, at = first_tag(r, 0, tags, 1, &which), keep = end ? 0 : partial_tag(r, tags, 1);
    give(r, at == SIZE_MAX ? r->n - keep : at);
    if (at == SIZE_MAX) {
        drop(r, r->n - keep);
        return LEAT_OK;
    }
    drop(r, at + strlen(tags[0]));
    r->section = CONTENT;
    r->after_think = true;
    *again = true;
    return LEAT_OK;
}

static leat_status scan_calls(reply *r, bool end, bool *again, leat_error *e) {
    const char *close = r->tag == BARE ? NULL : call_tags[r->tag].close;
    size_t open = r->tag == BARE ? 0 : strlen(call_tags[r->tag].open);
    size_t from = r->searched > open ? r->searched : open;
    size_t at = close ? str_find(str_from((str){r->held, r->n}, from), close) : SIZE_MAX;
    if (at == SIZE_MAX && !end && r->n <= CALL_MAX) {
        size_t margin = close ? strlen(close) : 0;
        r->searched = r->n > margin ? r->n - margin : 0;
        return LEAT_OK;
    }
    *again = at != SIZE_MAX;
    return at == SIZE_MAX ? end_calls(r, r->n, 0, e) : end_calls(r, from + at, strlen(close), e);
}

/* <|channel|>analysis<|message|>: the header goes up to <|message|>. */
static leat_status scan_header(reply *r, bool end, bool *again) {
    size_t at = str_find((str){r->held, r->n}, "<|message|>");
    if (at == SIZE_MAX) {
        if (end) drop(r, r->n);
        return LEAT_OK;
    }
    size_t n = at < sizeof r->channel - 1 ? at : sizeof r->channel - 1;
    memcpy(r->channel, r->held, n);
    r->channel[n] = '\0';
    drop(r, at + 11);
    r->section = CHANNEL;
    *again = true;
    return LEAT_OK;
}

static leat_status scan_channel(reply *r, bool end, bool *again, leat_error *e) {
    static const char *const tags[] = {"<|end|>", "<|start|>", "<|channel|>", "<|call|>", "<|return|>"};
    size_t which, at = first_tag(r, r->searched, tags, 5, &which);
    bool call = strstr(r->channel, "to=functions.") != NULL;
    if (at == SIZE_MAX) {
        size_t keep = partial_tag(r, tags, 5);
        if (call && !end) {
            r->searched = r->n - keep;
            return LEAT_OK;
        }
        if (call) {
            leat_status status = end_channel(r, r->n, e);
            drop(r, r->n);
            return status;
        }
        if (end) keep = 0;
        give(r, r->n - keep);
        drop(r, r->n - keep);
        return LEAT_OK;
    }
    leat_status status = end_channel(r, at, e);
    drop(r, at + (which == 2 ? 0 : strlen(tags[which])));
    r->section = which == 1 ? HEADER : CONTENT;
    r->begun = true;
    *again = true;
    return status;
}

static leat_status scan(reply *r, bool end, leat_error *e) {
    bool again = true;
    leat_status status = LEAT_OK;
    while (again && !status) {
        again = false;
        switch (r->section) {
        case CONTENT: status = scan_content(r, end, &again); break;
        case THINKING: status = scan_thinking(r, end, &again); break;
        case CALLS: status = scan_calls(r, end, &again, e); break;
        case HEADER: status = scan_header(r, end, &again); break;
        case CHANNEL: status = scan_channel(r, end, &again, e); break;
        }
    }
    return status;
}

leat_status reply_push(reply *r, const char *p, size_t n, leat_error *e) {
    if (n > r->capacity - r->n) {
        size_t capacity = r->capacity ? r->capacity : 1024;
        while (capacity - r->n < n) capacity *= 2;
        char *grown = mem_resize(r->held, r->n, capacity, 1);
        if (!grown) return error_set(e, LEAT_E_NOMEM, "out of memory for a reply");
        r->held = grown;
        r->capacity = capacity;
    }
    if (n) memcpy(r->held + r->n, p, n);
    r->n += n;
    return scan(r, false, e);
}

leat_status reply_finish(reply *r, leat_error *e) {
    return scan(r, true, e);
}
