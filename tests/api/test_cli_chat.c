/* `leat template` and `leat chat` as people run them: the rendering to the byte, errors with their place and
 * exit status, answers on stdout and nothing else there. */
#include <stdio.h>
#include <string.h>

#include "program.h"
#include "tests/harness/test.h"

/* Runs a shell command and compares what it wrote to stdout (NULL: whatever), its exit status, a word on
 * stderr. */
static void check(test *t, const char *command, int status, const char *out, const char *word) {
    output o;
    if (!shell_run(&o, command)) {
        TEST_FAIL(t, "%s can't be run", command);
        return;
    }
    if (o.status != status || (out && strcmp(o.out, out) != 0) || (word && !has(o.err, word)))
        TEST_FAIL(t, "%s\n  status %d, stdout \"%s\", stderr \"%s\"", command, o.status, o.out, o.err);
    program_free(&o);
}

#define GIVEN                                                                                                \
    "cd $DIR; printf '{{ m }}|{{ true }}|{{ strftime_now(\"%%H\") }}' >t.jinja; echo "                       \
    "'{\"m\":\"<s>\\\\n\"}' >c.json; "

static void renderings(test *t) {
    check(t, GIVEN "$LEAT template --file t.jinja --context c.json --now 2025-12-17T10:30:00", 0,
          "<s>\n|true|10", NULL);
    check(t, GIVEN "$LEAT template --file t.jinja --context - --now 2025-12-17 --dialect python <c.json", 0,
          "<s>\n|True|00", NULL);
    check(t,
          GIVEN
          "echo '{{ raise_exception(\"No!\") }}' >t.jinja; $LEAT template --file t.jinja --context c.json",
          1, "", "line 1, column 19: No!");
    check(t, GIVEN "echo '{% if %}' >t.jinja; $LEAT template --file t.jinja --context c.json", 1, "",
          "line 1, column 7");
    check(t, GIVEN "echo '[' >c.json; $LEAT template --file t.jinja --context c.json", 1, "",
          "context line 2, column 1");
    check(t, GIVEN "$LEAT template --file t.jinja", 2, "", "--context");
    check(t, GIVEN "$LEAT template --file t.jinja --context c.json --now today", 2, "", "--now");
    check(t, GIVEN "$LEAT template --file none --context c.json", 1, "", "none");
    check(t,
          GIVEN "echo '{\"messages\":[{\"role\":\"user\",\"content\":\"<|im_end|>\"}]}' >c.json; $LEAT "
                "template --context c.json",
          0, "<s><|im_start|>user\n<|im_end|><|im_end|>\n", NULL);
}

static void answers(test *t) {
    output once, piped;
    check(t, "echo | $LEAT chat model.missing --once", 1, "", "model.missing");
    check(t, "$LEAT chat -sys a -sysf b", 2, "", "system");
    check(t, "$LEAT chat </dev/null", 0, "", NULL);
    REQUIRE(t, shell_run(&once, "$LEAT chat --once -p Hello! --temp 0"));
    CHECK_EQ(t, once.status, 0);
    CHECK(t, strlen(once.out) > 10 && once.out[strlen(once.out) - 1] == '\n' && !strstr(once.out, "<|") &&
                 !*once.err);
    REQUIRE(t, shell_run(&piped, "printf 'Hello!\\nHello!\\n' | $LEAT chat --temp 0"));
    CHECK_EQ(t, piped.status, 0);
    CHECK(t, strlen(piped.out) > strlen(once.out) && !memcmp(piped.out, once.out, strlen(once.out)) &&
                 !*piped.err);
    program_free(&once);
    program_free(&piped);
}

/* Commands from a pipe: what they say goes to stderr, and one that fails shows in the exit status. */
static void scripts(test *t) {
    output plain, scripted;
    REQUIRE(t, shell_run(&plain, "printf 'Hello!\\n' | $LEAT chat --temp 0"));
    REQUIRE(t,
            shell_run(&scripted,
                      "printf '/set temp 0\\n/think off\\nHello!\\n/show\\n/save '$DIR'/a\\n/exit\\nnever' "
                      "| $LEAT chat"));
    CHECK_EQ(t, scripted.status, 0);
    CHECK_STR(t, scripted.out, plain.out);
    CHECK(t, has(scripted.err, "2 messages") && !has(scripted.err, "\033"));
    check(
        t,
        "printf 'Hello!\\n/save '$DIR'/a\\n/clear\\n/load '$DIR'/a\\n/tokens\\n' | $LEAT chat --temp 0 -n 3",
        0, NULL, "The conversation has");
    check(t, "printf '/no\\n' | $LEAT chat", 1, "", "/no");
    check(t, "printf '/set temp hot\\n' | $LEAT chat", 1, "", "hot");
    check(t, "printf '/load /dev/null\\n' | $LEAT chat", 1, "", "/dev/null");
    check(t, "echo text >$DIR/b; printf '/save '$DIR'/b\\n' | $LEAT chat; grep -q text $DIR/b", 0, "",
          "left as it is");
    check(t, "printf '/read '$LEAT'\\n' | $LEAT chat", 1, "", "no text");
    check(t, "printf '\"\"\"\\n/usr/bin is\\\\\\n\"\"\"\\n/template\\n' | $LEAT chat -n 2", 0, NULL,
          "/usr/bin is\\<|im_end|>");
    check(t, "printf 'a\\n' | $LEAT chat --json-schema '{' ", 1, "", "column");
    check(t, "printf 'a\\n' | $LEAT chat --regex 'yes|no' --temp 0.9 -s 3 | grep -qxE 'yes|no'", 0, NULL,
          NULL);
    program_free(&plain);
    program_free(&scripted);
}

#define TESTS(X) X(renderings) X(answers) X(scripts)
TEST_SUITE(TESTS)
