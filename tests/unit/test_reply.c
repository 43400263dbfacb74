/* Replies taken apart: every notation of reasoning and tool calls, pushed whole and byte by byte (well,
 * character by character), must give the same; calls that don't parse come back as the text they are. */
#include <stdlib.h>

#include "runtime/chat/reply.h"
#include "runtime/chat/toolcall.h"
#include "runtime/text/utf8.h"
#include "tests/harness/test.h"

#define DS(word) u8"<\uFF5Ctool\u2581" word u8"\uFF5C>"

/* What came out: R{...} reasoning, C{...} content, T{...} calls; pieces of one kind run together. */
typedef struct record {
    char text[4096];
    size_t n;
    int kind;
} record;

static void add(record *r, const char *p, size_t n) {
    if (r->n + n >= sizeof r->text) n = sizeof r->text - 1 - r->n;
    memcpy(r->text + r->n, p, n);
    r->n += n;
    r->text[r->n] = '\0';
}

static void note(void *user, reply_kind kind, const char *p, size_t n) {
    record *r = user;
    if (kind == REPLY_TOOL_CALL || r->kind != (int)kind) {
        if (r->kind >= 0) add(r, "}", 1);
        add(r, kind == REPLY_CONTENT ? "C{" : kind == REPLY_REASONING ? "R{" : "T{", 2);
        r->kind = kind;
    }
    add(r, p, n);
}

static void run(test *t, const char *style_source, bool tools, const char *prompt, const char *said,
                size_t step, record *r) {
    reply_style style;
    reply *parts;
    leat_error e;
    size_t n = strlen(said);
    *r = (record){.kind = -1};
    reply_style_of((str){style_source, strlen(style_source)}, tools, &style);
    REQUIRE(t, reply_open(&style, reply_begins_thinking(&style, (str){prompt, strlen(prompt)}), note, r,
                          &parts, &e) == LEAT_OK);
    for (size_t i = 0; i < n;) {
        size_t length = 0;
        for (size_t k = 0; k < step && i + length < n; k++) {
            uint32_t cp;
            length += utf8_decode(said + i + length, n - i - length, &cp);
        }
        CHECK_EQ(t, reply_push(parts, said + i, length, &e), LEAT_OK);
        i += length;
    }
    CHECK_EQ(t, reply_finish(parts, &e), LEAT_OK);
    reply_close(parts);
    if (r->kind >= 0) add(r, "}", 1);
}

static const struct {
    const char *style, *prompt, *said, *expected;
} cases[] = {
    {"", "", "Hello <think>not</think>", "C{Hello <think>not</think>}"},
    {"</think>", "", "<think>\nhm\n</think>\n\nYes", "R{\nhm\n}C{Yes}"},
    {"</think>", "<think>\n", "hm</think>\n\nYes </thi", "R{hm}C{Yes </thi}"},
    {"</think>", "<think>", "never ends </thin", "R{never ends </thin}"},
    {"</think>", "", "a <thinking b", "C{a <thinking b}"},
    {"[/THINK]", "", "[THINK]x[/THINK]y", "R{x}C{y}"},
    {"<tool_call>", "",
     "Sure.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, "
     "\"</tool\"]}}\n</tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>",
     "C{Sure.\n}T{{\"name\": \"f\", \"arguments\": {\"a\": [1, \"</tool\"]}}}T{{\"name\": \"g\", "
     "\"arguments\": {}}}"},
    {"<tool_call>", "", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": }}</tool_call>!",
     "C{<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": }}</tool_call>!}"},
    {"<tool_call>", "", "<tool_call>{\"name\": \"f\"", "C{<tool_call>{\"name\": \"f\"}"},
    {"<tool_call>", "",
     "<tool_call>\n<function=get_w>\n<parameter=city>\nNew "
     "York\n</parameter>\n<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>",
     "T{{\"name\": \"get_w\", \"arguments\": {\"city\":\"New York\",\"n\":3}}}"},
    {"<tool_call>", "",
     "<tool_call>get_w\n<arg_key>city</arg_key>\n<arg_value>NY</arg_value>\n<arg_key>k</"
     "arg_key>\n<arg_value>[true]</arg_value>\n</tool_call>",
     "T{{\"name\": \"get_w\", \"arguments\": {\"city\":\"NY\",\"k\":[true]}}}"},
    {"ipython \"parameters\"", "", "{\"name\": \"f\", \"parameters\": {\"q\": \"x\"}}",
     "T{{\"name\": \"f\", \"arguments\": {\"q\": \"x\"}}}"},
    {"ipython \"parameters\"", "",
     "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
     "T{{\"name\": \"f\", \"arguments\": {}}}T{{\"name\": \"g\", \"arguments\": {}}}"},
    {"ipython \"parameters\"", "", "{\"answer\": 42}", "C{{\"answer\": 42}}"},
    {"ipython \"parameters\"", "", "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"q\": 1}}",
     "T{{\"name\": \"f\", \"arguments\": {\"q\": 1}}}"},
    {"[func_name1(params_name1=params_value1)]", "",
     "[f(a=1, b='it\\'s', c=[True, None], d={\"k\": -1.5}), g()]",
     "T{{\"name\": \"f\", \"arguments\": "
     "{\"a\":1,\"b\":\"it's\",\"c\":[true,null],\"d\":{\"k\":-1.5}}}}T{{\"name\": \"g\", \"arguments\": "
     "{}}}"},
    {"[func_name1(params_name1=params_value1)]", "", "[1, 2, 3] are numbers", "C{[1, 2, 3] are numbers}"},
    {"<|tool_call_start|>", "", "<|tool_call_start|>[f(x=\"y\")]<|tool_call_end|>ok",
     "T{{\"name\": \"f\", \"arguments\": {\"x\":\"y\"}}}C{ok}"},
    {"[TOOL_CALLS]", "", "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"123456789\"}]",
     "T{{\"name\": \"f\", \"arguments\": {\"a\": 1}}}"},
    {"[TOOL_CALLS]", "", "[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]xyz[ARGS]{}",
     "T{{\"name\": \"f\", \"arguments\": {\"a\": 1}}}T{{\"name\": \"g\", \"arguments\": {}}}"},
    {"[TOOL_CALLS]", "", "[TOOL_CALLS] oh no", "C{[TOOL_CALLS] oh no}"},
    {DS("calls"), "",
     "Hm" DS("calls\u2581begin") DS("call\u2581begin") "function" DS("sep") "f\n```json\n{\"a\": 1}\n```" DS(
         "call\u2581end") "\n" DS("call\u2581begin") "g" DS("sep") "{}" DS("call\u2581end")
         DS("calls\u2581end"),
     "C{Hm}T{{\"name\": \"f\", \"arguments\": {\"a\": 1}}}T{{\"name\": \"g\", \"arguments\": {}}}"},
    {"<|tool_calls_section_begin|>", "",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": "
     "1}<|tool_call_end|><|tool_calls_section_end|>",
     "T{{\"name\": \"f\", \"arguments\": {\"a\": 1}}}"},
    {"<|channel|><|message|>", "",
     "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
     "R{Hm.}C{Yes.}"},
    {"<|channel|><|message|>", "",
     "<|channel|>analysis<|message|>H<|end|><|start|>assistant<|channel|>commentary to=functions.f "
     "<|constrain|>json<|message|>{\"a\": 1}<|call|>",
     "R{H}T{{\"name\": \"f\", \"arguments\": {\"a\": 1}}}"},
    {"<|channel|><|message|>", "", "<|channel|>commentary to=functions.f<|message|>{\"a\": <|call|>",
     "C{{\"a\": }"},
    {"</think><tool_call>", "<think>\n",
     "let "
     "me\n</think>\n\nOk\n<tool_call>{\"name\":\"f\",\"arguments\":{\"x\":\"\\u00e9\xE2\x82\xAC\"}}</"
     "tool_call>",
     "R{let me\n}C{Ok\n}T{{\"name\": \"f\", \"arguments\": {\"x\":\"\\u00e9\xE2\x82\xAC\"}}}"},
};

static void notations(test *t) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 200; step = step < 8 ? step + 1 : step * 3) {
            record r;
            run(t, cases[i].style, true, cases[i].prompt, cases[i].said, step, &r);
            if (strcmp(r.text, cases[i].expected) != 0)
                TEST_FAIL(t, "%s (%zu characters at a time)\n  gives %s\n  not   %s", cases[i].said, step,
                          r.text, cases[i].expected);
        }
}

/* Without tools nothing is taken for a call. */
static void no_tools(test *t) {
    record r;
    run(t, "ipython \"parameters\" <tool_call>", false, "",
        "{\"name\": \"f\", \"parameters\": {}} <tool_call>", 3, &r);
    CHECK_STR(t, r.text, "C{{\"name\": \"f\", \"parameters\": {}} <tool_call>}");
}

/* Replies cut anywhere lose no text: what is given out is what was said, but for tags and white space around
 * calls. */
static void cut_anywhere(test *t) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char said[1024];
        size_t n = strlen(cases[i].said);
        for (size_t cut = 0; cut <= n; cut++) {
            record r;
            if (cut < n && ((unsigned char)cases[i].said[cut] & 0xC0) == 0x80) continue;
            memcpy(said, cases[i].said, cut);
            said[cut] = '\0';
            run(t, cases[i].style, true, cases[i].prompt, said, 1000, &r);
            if (cut > 0 && !strchr(" \n<[", said[0]) && r.n == 0) TEST_FAIL(t, "\"%s\" is lost", said);
        }
    }
}

static void hostile_calls(test *t) {
    static char text[300000];
    arena a;
    static const char *const parts[] = {
        "[", "{\"a\":", "f(a=", "[f(a=[", "<function=", "\"", "{\"name\":\"f\",\"arguments\":", "\\"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t n = 0, length = strlen(parts[i]);
        while (n + length < sizeof text) {
            memcpy(text + n, parts[i], length);
            n += length;
        }
        arena_init(&a, 1 << 28);
        str s = {text, n};
        CHECK(t, !tool_calls_json(&a, s) && !tool_calls_python(&a, s) && !tool_calls_mistral(&a, s) &&
                     !tool_calls_deepseek(&a, s) && !tool_calls_tags(&a, s));
        arena_free(&a);
    }
}

#define TESTS(X) X(notations) X(no_tools) X(cut_anywhere) X(hostile_calls)
TEST_SUITE(TESTS)
