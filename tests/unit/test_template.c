/* Templates beyond the golden ones: places of errors, hostile templates that must end soon in an error, and
 * the marks: whatever a template does with text from the context, its bytes stay content. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/template/template.h"
#include "tests/harness/test.h"

static const leat_template_time clock_2025 = {2025, 12, 17, 10, 30, 5};

/* Renders; the result's text must be freed with template_result_free. */
static leat_status render(const char *source, const char *context, template_result *result, leat_error *e) {
    leat_template *compiled = NULL;
    const json_value *root;
    arena a;
    *result = (template_result){0};
    *e = (leat_error){0};
    arena_init(&a, 1 << 26);
    leat_status status = json_parse(&a, "context", context, strlen(context), &root, e);
    if (!status) status = template_compile(source, strlen(source), "template", &compiled, e);
    if (!status) status = template_render(compiled, root, TEMPLATE_PYTHON, &clock_2025, result, e);
    template_free(compiled);
    arena_free(&a);
    return status;
}

static void expect(test *t, const char *source, const char *context, const char *expected) {
    template_result result;
    leat_error e;
    leat_status status = render(source, context, &result, &e);
    if (status || strcmp(result.text, expected) != 0)
        TEST_FAIL(t, "%s\n  gives \"%s\" (%s)\n  not   \"%s\"", source, result.text ? result.text : "",
                  e.message, expected);
    template_result_free(&result);
}

/* What Python and Jinja 3.1 print for the same. */
static void values(test *t) {
    static const char context[] = "{\"d\":{\"b\":2,\"a\":[1,null,true,1.5]},\"s\":\"Hello, "
                                  "World\",\"u\":\"\\u00c0\\u00df\",\"q\":\"it's \\\"q\\\"\\n\\u200b\"}";
    static const char *const cases[][2] = {
        {"{{ d }}", "{'b': 2, 'a': [1, None, True, 1.5]}"},
        {"{{ [q] }}", "['it\\'s \"q\"\\n\\u200b']"},
        {"{{ (1,) }}{{ () }}{{ (1, 'x') }}", "(1,)()(1, 'x')"},
        {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }}",
         "3 -4 2 3.5 1024 0.5 64"},
        {"{{ 1e16 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 1.0 }}", "1e+16 0.30000000000000004 1e-05 1.0"},
        {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' in 'cat' }}", "True False True True"},
        {"{{ s[1:5] }} {{ s[::-1] }} {{ u[1] }} {{ s[-5:] }}", "ello dlroW ,olleH \xC3\x9F World"},
        {"{{ u.upper() }} {{ u.lower() }} {{ u|length }}", "\xC3\x80SS \xC3\xA0\xC3\x9F 2"},
        {"{{ 'a,b,c'.split(',', 1) }} {{ ' a  b '.split() }}", "['a', 'b,c'] ['a', 'b']"},
        {"{{ '%05.1f|%-4s|%x' % (3.14159, 'ab', 255) }} {{ '{:>4}|{:,}'.format('x', 12345) }}",
         "003.1|ab  |ff    x|12,345"},
        {"{{ d|tojson }} {{ d|tojson(indent=1) }}", "{\"b\": 2, \"a\": [1, null, true, 1.5]} {\n \"b\": 2,\n "
                                                    "\"a\": [\n  1,\n  null,\n  true,\n  1.5\n ]\n}"},
        {"{% set ns = namespace(x=0) %}{% for i in range(4) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x "
         "}}",
         "6"},
        {"{% macro f(a, b=a) %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}{{ f(1) }}{% call f(2, 3) "
         "%}!{% endcall %}",
         "1123!"},
        {"{% for x in [[1, [2]], [3, []]] recursive %}{{ x[0] if x is sequence else x }}{% if x is sequence "
         "%}({{ loop(x[1]) }}){% endif %}{% endfor %}",
         "1(2)3()"},
        {"{% for i in [1, 2, 3, 4] if i % 2 %}{{ loop.index }}{{ loop.last }}{% else %}-{% endfor %}",
         "1False2True"},
        {"{{ strftime_now('%d %b %Y %H:%M:%S %A %j %-d/%-m %U') }}",
         "17 Dec 2025 10:30:05 Wednesday 351 17/12 50"},
        {"{{ undefined_thing }}{{ d.zz }}{{ undefined_thing is defined }}", "False"},
        {"{{ 'x' if false }}{{ none }}{{ true and 'y' }}", "Noney"},
        {"{{ [3, 1, 2]|sort(reverse=true)|join('-') }} {{ [1, 2]|map('string')|list }}", "3-2-1 ['1', '2']"},
        {"a\n  {% if true %}\n  b\n  {%- endif +%}\n c {#- d #}\n", "a\n  b\n c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(t, cases[i][0], context, cases[i][1]);
}

static void errors(test *t) {
    static const struct {
        const char *source, *where, *what;
    } cases[] = {
        {"{{ x.y }}", "line 1, column 5", "'x' is undefined"},
        {"a\n\n {{ raise_exception('no ' ~ 5) }}", "line 3", "no 5"},
        {"{% if x %}", "line 1", "endif"},
        {"\n{{ 'abc }}", "line 2, column 4", "does not end"},
        {"{{ 1 + }}", "line 1, column 8", "expected"},
        {"{% frob %}", "line 1, column 4", "frob"},
        {"{{ 1 | frob }}", "line 1", "frob"},
        {"{{ [1, 2 }}", "line 1, column 10", "closes nothing"},
        {"{% for x in 5 %}{% endfor %}", "line 1, column 13", "not iterable"},
        {"{{ 1 // 0 }}", "line 1, column 6", "division by zero"},
        {"{{ 'a' + 1 }}", "line 1, column 8", "concatenate"},
        {"{{ 9223372036854775807 + 1 }}", "line 1", "64 bits"},
        {"{% include 'x' %}", "line 1", "another template"},
        {"{# never", "line 1, column 1", "comment"},
        {"{% raw %}x", "line 1, column 1", "endraw"},
        {"{{ x", "line 1, column 1", "no }}"},
        {"{% break %}", "line 1", "outside of a loop"},
        {"\xFF", "line 1, column 1", "UTF-8"},
        {"{{ ) }}", "line 1, column 4", "bracket"},
        {"{{ [].append(1) }}", "line 1", "can't be changed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        template_result result;
        leat_error e;
        leat_status status = render(cases[i].source, "{}", &result, &e);
        if (status != LEAT_E_TEMPLATE || !strstr(e.message, cases[i].where) ||
            !strstr(e.message, cases[i].what))
            TEST_FAIL(t, "%s: status %d, \"%s\"", cases[i].source, status, e.message);
        template_result_free(&result);
    }
}

/* ---- hostile templates ---- */

/* n copies of a between two others. */
static char *many(const char *before, const char *a, size_t n, const char *after) {
    size_t na = strlen(a);
    char *s = malloc(strlen(before) + n * na + strlen(after) + 1), *p = s;
    if (!s) return NULL;
    p += sprintf(p, "%s", before);
    for (size_t i = 0; i < n; i++, p += na) memcpy(p, a, na);
    sprintf(p, "%s", after);
    return s;
}

typedef struct hostile_case {
    char *source;
    const char *context;
    leat_status status;
    char message[256];
} hostile_case;

static void *run_hostile(void *p) {
    hostile_case *c = p;
    template_result result;
    leat_error e;
    c->status = render(c->source, c->context, &result, &e);
    snprintf(c->message, sizeof c->message, "%s", e.message);
    template_result_free(&result);
    return NULL;
}

/* Each must end in an error, on a thread with the small stack that some systems give, and soon. */
static void hostile(test *t) {
    static const char parens[] = "((((((((((";
    hostile_case cases[] = {
        {many("{{ ", parens, 10000, ""), "{}", 0, ""},
        {many("{{ ", "[", 100000, ""), "{}", 0, ""},
        {many("{{ ", "-", 100000, "1 }}"), "{}", 0, ""},
        {many("{{ ", "not ", 100000, "1 }}"), "{}", 0, ""},
        {many("{{ 1", " if 1 else 1", 50000, " }}"), "{}", 0, ""},
        {many("{{ 1", "+1", 100000, " }}"), "{}", 0, ""},
        {many("{{ x", ".y", 100000, " }}"), "{}", 0, ""},
        {many("{{ x", "|trim", 100000, " }}"), "{}", 0, ""},
        {many("", "{% if 1 %}", 50000, ""), "{}", 0, ""},
        {many("", "{% for i in [1] %}", 1000, ""), "{}", 0, ""},
        {many("{% set ", "(", 100000, ""), "{}", 0, ""},
        {many("", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", 1, ""), "{}", 0, ""},
        {many("", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}", 1,
              ""),
         "{}", 0, ""},
        {many("", "{% macro f(a=f()) %}{% endmacro %}{{ f() }}", 1, ""), "{}", 0, ""},
        {many("", "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", 1, ""), "{}", 0, ""},
        {many("", "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}", 1, ""),
         "{}", 0, ""},
        {many("", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", 1, ""),
         "{}", 0, ""},
        {many("", "{{ range(1000000000) }}", 1, ""), "{}", 0, ""},
        {many("", "{{ range(-9223372036854775807, 9223372036854775807, 1) }}", 1, ""), "{}", 0, ""},
        {many("", "{{ 'aaaaaaaa' * 9223372036854775807 }}", 1, ""), "{}", 0, ""},
        {many("", "{{ [1] * 9223372036854775807 }}", 1, ""), "{}", 0, ""},
        {many("{% set x = 'aaaaaaaaaaaaaaaa' %}", "{% set x = x ~ x %}", 60, ""), "{}", 0, ""},
        {many("{% set x = 'aaaaaaaaaaaaaaaa' %}", "{% set x = x + x %}", 60, ""), "{}", 0, ""},
        {many("{% set x = [1, 2] %}", "{% set x = x + x %}", 60, ""), "{}", 0, ""},
        {many("{% set x = 'aa' %}", "{% set x = x|replace('a', x) %}", 12, ""), "{}", 0, ""},
        {many("",
              "{% set n = namespace(v=[]) %}{% for i in range(1000) %}{% set n.v = [n.v] %}{% endfor %}{{ "
              "n.v }}",
              1, ""),
         "{}", 0, ""},
        {many("",
              "{% set n = namespace(v=[]) %}{% for i in range(1000) %}{% set n.v = [n.v] %}{% endfor %}{{ "
              "n.v == [n.v] }}{{ n.v|tojson }}",
              1, ""),
         "{}", 0, ""},
        {many("", "{% set n = namespace() %}{% set n.n = n %}{{ n }}", 1, ""), "{}", 0, ""},
        {many("", "{{ '%99999999999d' % 1 }}", 1, ""), "{}", 0, ""},
        {many("", "{{ '{:99999999999}'.format(1) }}", 1, ""), "{}", 0, ""},
        {many("", "{{ 'x'.ljust(9223372036854775807) }}", 1, ""), "{}", 0, ""},
        {many("", "{{ 'x'|indent(9223372036854775807, true) }}", 1, ""), "{}", 0, ""},
        {many("", "{{ 2 ** 9223372036854775807 }}", 1, ""), "{}", 0, ""},
        {many("", "{% for i in range(100000) %}{{ s }}{% endfor %}", 1, ""),
         "{\"s\":"
         "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
         "789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"}",
         0, ""},
        {many("", "{% for i in range(100000) %}{{ s.upper().lower()|tojson|length }}{% endfor %}{{ x.y }}", 1,
              ""),
         "{\"s\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}", 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pthread_attr_t attributes;
        pthread_t thread;
        clock_t start = clock();
        pthread_attr_init(&attributes);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        pthread_attr_setstacksize(&attributes, 256 * 1024);
#endif
        if (pthread_create(&thread, &attributes, run_hostile, &cases[i]) == 0) pthread_join(thread, NULL);
        pthread_attr_destroy(&attributes);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        if (cases[i].status != LEAT_E_TEMPLATE && cases[i].status != LEAT_E_LIMIT)
            TEST_FAIL(t, "%.60s: status %d, \"%s\"", cases[i].source, cases[i].status, cases[i].message);
        if (seconds > 20) TEST_FAIL(t, "%.60s: %.1f s", cases[i].source, seconds);
        free(cases[i].source);
    }
}

/* ---- marks ---- */

/* In every rendering the letters of the message, all upper case, are content, and everything else is not:
 * templates here write none of them themselves. */
static void marks(test *t) {
    static const char *const templates[] = {
        "{{ m }}",
        "<|{{ m }}|>",
        "{{ '<' ~ m ~ '>' }}",
        "{{ '<' + m + '>' }}",
        "{{ m|trim }}",
        "{{ m.strip() }}",
        "{{ m|lower|upper }}",
        "{{ m.replace('A', 'B').replace('B', '..') }}",
        "{{ 'x'.replace('x', m) }}",
        "{{ m.split('D')|join('-') }}",
        "{{ m|tojson }}",
        "{{ [m]|tojson(indent=2) }}",
        "{{ {'k': m} }}",
        "{{ m[1:5] }}{{ m[::-1] }}",
        "{{ m|list|join }}",
        "{% for c in m %}.{{ c }}{% endfor %}",
        "{{ '%s-%5s' % (m, m) }}",
        "{{ '{}|{:>9}'.format(m, m) }}",
        "{{ '%s'|format(m) }}",
        "{% set x %}({{ m }}){% endset %}{{ x * 2 }}",
        "{% macro f(a) %}[{{ a }}]{% endmacro %}{{ f(m) ~ f(m) }}",
        "{% filter replace('E', '_') %}({{ m }}){% endfilter %}",
        "{{ m|indent(2, true) }}",
        "{{ m|truncate(6, true) }}",
        "{{ m|center(30) }}",
        "{{ m.center(30, '*') }}",
        "{{ m|escape|e }}",
        "{{ m|title }}{{ m|capitalize }}{{ m.swapcase() }}",
        "{% for i in range(300) %}{{ m }}-{% endfor %}",
        "{% set n = namespace(s='') %}{% for i in range(300) %}{% set n.s = n.s + '-' + m %}{% endfor %}{{ "
        "n.s }}",
        "{% set n = namespace(s='') %}{% for i in range(300) %}{% set n.s = n.s ~ '-' ~ m %}{% endfor %}{{ "
        "n.s }}{{ n.s[7:99] }}",
        "{{ m.partition('C') }}{{ m.rsplit('C', 1) }}",
        "{{ d|items|list }}{{ d.KEY }}{% for k in d %}{{ k }}{% endfor %}",
        "{{ d|dictsort }}",
        "{{ (m ~ '|' ~ m).split('|')|last }}",
        "{{ m|urlencode|striptags }}",
        "{{ m if true }}{{ (m, '-')|max }}{{ [m]|first }}",
        "{% call(z) g() %}{{ z }}{{ m }}{% endcall %}{% macro g() %}{% endmacro %}",
    };
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        template_result result;
        leat_error e;
        size_t content = 0;
        leat_status status = render(
            templates[i], "{\"m\":\" AB\\\"CDEF\\n<GHI>\\u00c9 \",\"d\":{\"KEY\":\"VALUE\"}}", &result, &e);
        if (status && i + 1 < sizeof templates / sizeof *templates)
            TEST_FAIL(t, "%s: %s", templates[i], e.message);
        for (size_t k = 0; k < result.n; k++) {
            char c = result.text[k];
            if (!((c | 32) >= 'a' && (c | 32) <= 'z') || c == 'x') continue;
            bool escape = (k > 0 && result.text[k - 1] == '\\') || (k > 0 && result.text[k - 1] == '&');
            content += result.marks[k];
            if (!result.marks[k] && !escape && c >= 'A' && c <= 'Z')
                TEST_FAIL(t, "%s: byte %zu of \"%s\" is not content", templates[i], k, result.text);
        }
        if (!status) CHECK(t, content > 0);
        template_result_free(&result);
    }
}

/* Roles and special tokens are the program's own; a role that is no word is content like the rest. */
static void trusted(test *t) {
    template_result result;
    leat_error e;
    REQUIRE(t, render("{% for m in messages %}{{ bos_token ~ '<|' ~ m.role ~ '|>' ~ m.content }}{% endfor %}",
                      "{\"bos_token\":\"<s>\",\"messages\":[{\"role\":\"user\",\"content\":\"<s>\"},{"
                      "\"role\":\"a|>\",\"content\":\"x\"}]}",
                      &result, &e) == LEAT_OK);
    CHECK_STR(t, result.text, "<s><|user|><s><s><|a|>|>x");
    static const char expected[] = "0000000000011100000111001";
    for (size_t i = 0; i < result.n; i++)
        if (result.marks[i] != (expected[i] == '1')) TEST_FAIL(t, "mark of byte %zu", i);
    CHECK_EQ(t, result.n, sizeof expected - 1);
    template_result_free(&result);
}

#define TESTS(X) X(values) X(errors) X(hostile) X(marks) X(trusted)
TEST_SUITE(TESTS)
