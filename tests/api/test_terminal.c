/* `leat chat` at a terminal, as a person has it: typing, editing, history, pastes, interrupting, resizing,
 * commands, leaving. What the model was told is read back with /template; answers whose text matters are
 * made by grammars that allow only that text. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "program.h"
#include "pty.h"
#include "tests/harness/test.h"

#define UP     "\033[A"
#define LEFT   "\033[D"
#define DELETE "\033[3~"
#define ENTER  "\r"
#define BACK   "\177"
#define CTRL_C "\003"
#define CTRL_D "\004"

#ifdef LEAT_WITH_LIBEDIT
static const bool edits = true;
#else
static const bool edits = false;
#endif

/* An answer that nobody waits for. */
#define ENDLESS "chat -c 100000 -n -1 --temp 0 --grammar 'root ::= many{200}\nmany ::= \"la \"{200}'"

#define START(t, p, columns, arguments)                                                                      \
    do {                                                                                                     \
        if (!pty_start(p, NULL, columns, 24, NULL, arguments)) SKIP(t, "no pseudo terminals here");          \
    } while (0)
#define WAIT(t, p, text) CHECK_OR_LEAVE(t, p, pty_wait(p, text))
#define PROMPT(t, p)     CHECK_OR_LEAVE(t, p, pty_prompt(p))
#define CHECK_OR_LEAVE(t, p, condition)                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            TEST_FAIL(t, "failed: %s", #condition);                                                          \
            pty_clean(p);                                                                                    \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

/* Types a message and waits for the numbers behind its answer. */
#define ASK(t, p, text)                                                                                      \
    do {                                                                                                     \
        PROMPT(t, p);                                                                                        \
        pty_type(p, text ENTER);                                                                             \
        WAIT(t, p, "[ prompt ");                                                                             \
    } while (0)
#define LEAVE(t, p)                                                                                          \
    do {                                                                                                     \
        PROMPT(t, p);                                                                                        \
        pty_type(p, CTRL_D);                                                                                 \
        CHECK_EQ(t, pty_finish(p), 0);                                                                       \
        pty_clean(p);                                                                                        \
    } while (0)

static void types_and_edits(test *t) {
    pty p;
    START(t, &p, 80, "chat --temp 0");
    WAIT(t, &p, "/help");
    PROMPT(t, &p);
    pty_type(&p, "Tell me \xC3\xA4\xE6\x97\xA5\xF0\x9F\xA6\x8A" BACK BACK BACK
                 "a \xE6\x97\xA5\xE6\x9C\xAC\xC3\xA9" BACK);
    if (edits) /* where the kernel does it, wide characters leave a half behind on the screen */
        WAIT(t, &p, "> Tell me a \xE6\x97\xA5\xE6\x9C\xAC");
    pty_type(&p, edits ? "stry\001x" DELETE BACK LEFT "\005" LEFT LEFT "o" : "story");
    pty_type(&p, ENTER);
    WAIT(t, &p, "[ prompt ");
    PROMPT(t, &p);
    pty_type(&p, "/template" ENTER);
    WAIT(t, &p,
         edits ? "ell me a \xE6\x97\xA5\xE6\x9C\xACstory<|im_end|>"
               : "Tell me a \xE6\x97\xA5\xE6\x9C\xACstory<|im_end|>");
    LEAVE(t, &p);
}

static void remembers(test *t) {
    pty p, q;
    struct stat info;
    char path[128];
    if (!edits) SKIP(t, "this build has no history: it is without libedit");
    START(t, &p, 80, "chat --temp 0");
    ASK(t, &p, "Hello!");
    PROMPT(t, &p);
    pty_type(&p, "two \\" ENTER "lines" ENTER);
    WAIT(t, &p, "[ prompt ");
    PROMPT(t, &p);
    pty_type(&p, UP);
    WAIT(t, &p, "> two");
    pty_type(&p, UP);
    pty_type(&p, CTRL_C);
    PROMPT(t, &p);
    pty_type(&p, CTRL_D);
    CHECK_EQ(t, pty_finish(&p), 0);
    snprintf(path, sizeof path, "%s/state/leat/history", p.folder);
    CHECK(t, !stat(path, &info) && (info.st_mode & 0777) == 0600);
    CHECK_OR_LEAVE(t, &p, pty_start(&q, &p, 80, 24, NULL, "chat --temp 0"));
    vt_close(&p.screen);
    PROMPT(t, &q);
    pty_type(&q, UP UP);
    WAIT(t, &q, "> Hello!");
    pty_type(&q, ENTER);
    WAIT(t, &q, "[ prompt ");
    LEAVE(t, &q);
}

static void long_messages(test *t) {
    pty p;
    START(t, &p, 80, "chat --temp 0");
    PROMPT(t, &p);
    pty_type(&p, "one\\" ENTER);
    WAIT(t, &p, "> one");
    WAIT(t, &p, ".");
    pty_type(&p, "two" ENTER);
    WAIT(t, &p, "[ prompt ");
    PROMPT(t, &p);
    pty_type(&p, "\"\"\"" ENTER);
    WAIT(t, &p, ".");
    pty_type(&p, "three" ENTER "  /four\\" ENTER "\"\"\"" ENTER);
    WAIT(t, &p, "[ prompt ");
    PROMPT(t, &p);
    pty_type(&p, "five" ENTER "six" ENTER "seven" ENTER); /* at once */
    WAIT(t, &p, "[ prompt ");
    PROMPT(t, &p);
    if (p.screen.marks_pastes) {
        pty_type(&p, "\033[200~eight\rnine\r\033[201~" ENTER);
        WAIT(t, &p, "[ prompt ");
        PROMPT(t, &p);
    }
    pty_type(&p, "//slash" ENTER);
    WAIT(t, &p, "[ prompt ");
    PROMPT(t, &p);
    pty_type(&p, "/template" ENTER);
    WAIT(t, &p, "/template");
    WAIT(t, &p, "|im_end|>"); /* of the oldest message that there is room for */
    PROMPT(t, &p);
    char *all = vt_text(&p.screen, 0);
    CHECK(t, has(all, "user\none\ntwo<|im_end|>"));
    CHECK(t, has(all, "user\nthree\n  /four\\<|im_end|>"));
    CHECK(t, has(all, "user\nfive\nsix\nseven<|im_end|>"));
    CHECK(t, !edits || has(all, "user\neight\nnine<|im_end|>"));
    CHECK(t, has(all, "user\n/slash<|im_end|>"));
    free(all);
    LEAVE(t, &p);
}

static void interrupts(test *t) {
    pty p;
    START(t, &p, 60, ENDLESS);
    PROMPT(t, &p);
    pty_type(&p, "Sing!" ENTER);
    WAIT(t, &p, "la la la");
    pty_type(&p, CTRL_C);
    WAIT(t, &p, "[ stopped");
    PROMPT(t, &p);
    pty_type(&p, "/set grammar default" ENTER);
    WAIT(t, &p, "  grammar ");
    ASK(t, &p, "Hello!");
    PROMPT(t, &p);
    pty_type(&p, "/template" ENTER);
    WAIT(t, &p, "Sing!<|im_end|>");
    WAIT(t, &p, "la la la");
    WAIT(t, &p, "Hello!<|im_end|>");
    PROMPT(t, &p);
    pty_type(&p, "half a line" CTRL_C); /* only the line is dropped */
    PROMPT(t, &p);
    pty_type(&p, CTRL_C);
    WAIT(t, &p, "Ctrl-C again leaves");
    PROMPT(t, &p);
    pty_type(&p, CTRL_C);
    CHECK_EQ(t, pty_finish(&p), 130);
    pty_clean(&p);
}

static void twice_leaves(test *t) {
    pty p;
    START(t, &p, 60, ENDLESS);
    PROMPT(t, &p);
    pty_type(&p, "Sing!" ENTER);
    WAIT(t, &p, "la la la");
    pty_type(&p, CTRL_C);
    WAIT(t, &p, "[ stopped");
    PROMPT(t, &p);
    pty_type(&p, CTRL_C);
    CHECK_EQ(t, pty_finish(&p), 130);
    pty_clean(&p);
}

#define TEXT                                                                                                 \
    "chat --temp 0 --grammar 'root ::= \"The quick brown fox jumps over the lazy dog.\\n\\n"                 \
    "- a list whose one item takes more than a single line\\n"                                               \
    "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x81\xAE\xE9\x95\xB7\xE3\x81\x84\xE6\x96\x87\xE7\xAB\xA0"       \
    "\xE3\x81\xAF\xE3\x81\x93\xE3\x81\x93\xE3\x81\xA7\xE3\x80\x81\xE6\x8A\x98\xE3\x82\x8B\xE3\x80\x82\\n"    \
    "```c\\nint a = 1;      /* this line of code is longer than the window */\\n```\\n"                      \
    "https://example.org/a-word-that-is-longer-than-the-window-is end\"'"

static void wraps(test *t) {
    pty p;
    START(t, &p, 30, TEXT);
    ASK(t, &p, "Go!");
    PROMPT(t, &p);
    char *all = vt_text(&p.screen, 0);
    const char *expected =
        "The quick brown fox jumps\nover the lazy dog.\n\n"
        "- a list whose one item takes\n  more than a single line\n"
        "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x81\xAE\xE9\x95\xB7\xE3\x81\x84\xE6\x96"
        "\x87\xE7\xAB\xA0\xE3\x81\xAF\xE3\x81\x93\xE3\x81\x93\xE3\x81\xA7\xE3\x80\x81\xE6\x8A\x98\n"
        "\xE3\x82\x8B\xE3\x80\x82\n"
        "```c\nint a = 1;      /* this line o\nf code is longer than the wind\now */\n```\n"
        "https://example.org/a-word-tha\nt-is-longer-than-the-window-is\nend\n[ prompt";
    if (!has(all, expected)) TEST_FAIL(t, "the screen has\n%s", all);
    free(all);
    pty_resize(&p, 60, 24);
    ASK(t, &p, "Again!");
    CHECK(t, p.mark > 0);
    PROMPT(t, &p);
    p.mark = 0;
    CHECK(t, pty_sees(&p, "The quick brown fox jumps over the lazy dog."));
    LEAVE(t, &p);
}

/* Types a command and waits for what it says. */
#define COMMAND(t, p, text, answer)                                                                          \
    do {                                                                                                     \
        PROMPT(t, p);                                                                                        \
        pty_type(p, text ENTER);                                                                             \
        WAIT(t, p, "> " text);                                                                               \
        WAIT(t, p, answer);                                                                                  \
    } while (0)

static void obeys(test *t) {
    pty p;
    START(t, &p, 100, "chat --temp 0 -sys 'You tell stories.'");
    COMMAND(t, &p, "/help", "/regen");
    COMMAND(t, &p, "/regn", "did you mean /regen?");
    COMMAND(t, &p, "/system", "You tell stories.");
    COMMAND(t, &p, "/undo", "nothing to take back");
    COMMAND(t, &p, "/set tempp 1", "did you mean temp");
    COMMAND(t, &p, "/set temp 101", "must be 0 to 100");
    COMMAND(t, &p, "/set top_k 7", "top-k                7");
    COMMAND(t, &p, "/set parameter num_predict 5", "n-predict            5");
    COMMAND(t, &p, "/set samplers no_such", "no_such");
    COMMAND(t, &p, "/show", "top-k 7");
    ASK(t, &p, "Hello!");
    COMMAND(t, &p, "/set predict default", "n-predict            -1");
    COMMAND(t, &p, "/regen", "[ prompt ");
    COMMAND(t, &p, "/template", "You tell stories.<|im_end|>");
    WAIT(t, &p, "Hello!<|im_end|>");
    COMMAND(t, &p, "/edit Thank you!", "[ prompt ");
    COMMAND(t, &p, "/tokens", "The conversation has ");
    COMMAND(t, &p, "/tokens ab", "tokens");
    COMMAND(t, &p, "/system off", "no system prompt");
    COMMAND(t, &p, "/template", "Thank you!<|im_end|>");
    COMMAND(t, &p, "/undo", "taken back: \"Thank you!\"");
    COMMAND(t, &p, "/read /no/such/file", "No such file");
    COMMAND(t, &p, "/clear", "a new conversation");
    COMMAND(t, &p, "/show", "0 messages");
    PROMPT(t, &p);
    pty_type(&p, "/bye" ENTER);
    CHECK_EQ(t, pty_finish(&p), 0);
    pty_clean(&p);
}

static void completes(test *t) {
    pty p;
    if (!edits) SKIP(t, "this build has no Tab key: it is without libedit");
    START(t, &p, 100, "chat --temp 0");
    PROMPT(t, &p);
    pty_type(&p, "/te\t");
    WAIT(t, &p, "> /template");
    pty_type(&p, CTRL_C);
    PROMPT(t, &p);
    pty_type(&p, "/set mirostat-\t");
    WAIT(t, &p, "> /set mirostat-");
    pty_type(&p, "\t");
    WAIT(t, &p, "mirostat-ent");
    pty_type(&p, "l\t0.25" ENTER);
    WAIT(t, &p, "mirostat-lr          0.25");
    COMMAND(t, &p, "Thank you!", "[ prompt ");
    COMMAND(t, &p, "/edit", "your last message");
    pty_type(&p, " Really." ENTER);
    WAIT(t, &p, "[ prompt ");
    COMMAND(t, &p, "/template", "Thank you! Really.<|im_end|>");
    LEAVE(t, &p);
}

static void saves_and_loads(test *t) {
    pty p, q;
    char command[128], expected[64], *all;
    START(t, &p, 100, "chat --temp 0");
    ASK(t, &p, "Hello!");
    PROMPT(t, &p);
    snprintf(command, sizeof command, "/save %s/saved" ENTER, p.folder);
    pty_type(&p, command);
    WAIT(t, &p, "[ 2 messages");
    ASK(t, &p, "Tell me a story.");
    PROMPT(t, &p);
    all = vt_text(&p.screen, p.mark - 2); /* how the story ends, and its numbers */
    snprintf(expected, sizeof expected, "%.40s", all);
    free(all);
    pty_type(&p, CTRL_D);
    CHECK_EQ(t, pty_finish(&p), 0);
    CHECK_OR_LEAVE(t, &p, pty_start(&q, &p, 100, 24, NULL, "chat --temp 0"));
    vt_close(&p.screen);
    PROMPT(t, &q);
    snprintf(command, sizeof command, "/load %s/saved" ENTER, q.folder);
    pty_type(&q, command);
    WAIT(t, &q, "[ 2 messages, context ");
    ASK(t, &q, "Tell me a story.");
    PROMPT(t, &q);
    all = vt_text(&q.screen, q.mark - 2);
    CHECK(t, !strncmp(all, expected, strlen(expected)));
    free(all);
    LEAVE(t, &q);
}

/* A template that knows of thoughts, and a model that has some. */
#define THINKS                                                                                               \
    "$LEAT --version >/dev/null; printf '%s' '{%- for m in messages -%}<|im_start|>{{ m.role }}\n{{ "        \
    "m.content.split(\"</think>\")[-1] "                                                                     \
    "}}<|im_end|>{%- endfor -%}{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}' "       \
    ">$HOME/file; exec $LEAT chat --temp 0 --chat-template-file $HOME/file --grammar 'root ::= "             \
    "\"<think>\\nHm, what?\\n</think>\\n\\nYes, indeed.\"'"

static bool is_dim(const pty *p, const char *word) {
    char line[32 * VT_COLUMNS + 1];
    for (size_t i = p->screen.last + 1; i-- > 0;) {
        vt_line(&p->screen, i, line);
        const char *at = strstr(line, word);
        if (at) return p->screen.cells[i][at - line].style & VT_DIM;
    }
    return false;
}

static void thinks(test *t) {
    pty p;
    START(t, &p, 80, THINKS);
    PROMPT(t, &p);
    pty_type(&p, "Is it?" ENTER);
    WAIT(t, &p, "Hm, what?");
    WAIT(t, &p, "Yes, indeed.");
    WAIT(t, &p, "[ prompt ");
    CHECK(t, is_dim(&p, "Hm, what?") && !is_dim(&p, "Yes, indeed."));
    COMMAND(t, &p, "/think hide", "hidden");
    PROMPT(t, &p);
    size_t from = p.mark;
    ASK(t, &p, "And now?");
    PROMPT(t, &p);
    p.mark = from;
    CHECK(t, !pty_sees(&p, "Hm, what?") && pty_sees(&p, "Yes, indeed."));
    COMMAND(t, &p, "/template", "And now?<|im_end|>");
    PROMPT(t, &p);
    p.mark = from;
    CHECK(t, !pty_sees(&p, "Hm, what?"));
    LEAVE(t, &p);
}

/* Nothing but answers where the output is no terminal, and nothing that drives terminals which can't be. */
static void keeps_quiet(test *t) {
    static const char *const dumb[] = {"TERM=dumb", NULL}, *const plain[] = {"NO_COLOR=1", NULL};
    pty p;
    char path[80];
    START(t, &p, 80, "$LEAT chat --temp 0 >$HOME/out");
    PROMPT(t, &p);
    pty_type(&p, "Hello!" ENTER);
    PROMPT(t, &p);
    pty_type(&p, "/show" ENTER);
    WAIT(t, &p, "threads");
    PROMPT(t, &p);
    pty_type(&p, CTRL_D);
    CHECK_EQ(t, pty_finish(&p), 0);
    snprintf(path, sizeof path, "%s/out", p.folder);
    char *out = read_whole(path, NULL);
    CHECK(t, has(out, "Hello") && !has(out, "\033") && !has(out, "threads") && !has(out, ">"));
    free(out);
    pty_clean(&p);
    for (size_t i = 0; i < 2; i++) {
        if (!pty_start(&p, NULL, 80, 24, i ? plain : dumb, "chat --temp 0")) return;
        ASK(t, &p, "Hello!");
        COMMAND(t, &p, "/clear", "a new conversation");
        CHECK_EQ(t, p.screen.n_colours, 0);
        if (!i) CHECK_EQ(t, p.screen.n_escapes, 0);
        LEAVE(t, &p);
    }
}

/* Context full: said, with what can be done, and nothing is lost. */
static void says_when_it_is_full(test *t) {
    pty p;
    char path[200];
    snprintf(path, sizeof path, "chat -m %s/models/storyteller-q8_0.gguf --temp 0 -c 60 -n 30",
             LEAT_SOURCE_ROOT);
    START(t, &p, 100, path);
    PROMPT(t, &p);
    pty_type(&p, "Tell me a story." ENTER);
    WAIT(t, &p, "[ prompt ");
    PROMPT(t, &p);
    pty_type(&p, "And now another one, please, a longer one if you can, with a cat." ENTER);
    WAIT(t, &p, "context");
    WAIT(t, &p, "/clear starts afresh");
    COMMAND(t, &p, "/set context-shift on", "context-shift");
    PROMPT(t, &p);
    pty_type(&p, "A short one." ENTER);
    WAIT(t, &p, "oldest messages were left out");
    LEAVE(t, &p);
}

/* At the prompt and in the middle of an answer. A window that is closed sends SIGHUP too, but then the end of
 * input may be seen first, which is status 0. */
static void ends_when_hung_up(test *t) {
    for (size_t i = 0; i < 2; i++) {
        pty p;
        START(t, &p, 80, i ? ENDLESS : "chat --temp 0");
        PROMPT(t, &p);
        if (i) {
            pty_type(&p, "Sing!" ENTER);
            WAIT(t, &p, "la la");
        }
        CHECK_EQ(t, kill(p.child, SIGHUP), 0);
        CHECK_EQ(t, pty_finish(&p), 128 + SIGHUP);
        pty_clean(&p);
    }
}

#define TESTS(X)                                                                                             \
    X(types_and_edits)                                                                                       \
    X(remembers)                                                                                             \
    X(long_messages)                                                                                         \
    X(interrupts)                                                                                            \
    X(twice_leaves)                                                                                          \
    X(wraps)                                                                                                 \
    X(obeys)                                                                                                 \
    X(completes)                                                                                             \
    X(saves_and_loads)                                                                                       \
    X(thinks)                                                                                                \
    X(keeps_quiet)                                                                                           \
    X(ends_when_hung_up)                                                                                     \
    X(says_when_it_is_full)
TEST_SUITE(TESTS)
