/* GBNF grammars and regular expressions: what they accept and what they don't, in both directions, each text
 * cut into tokens in several ways; messages with line and column; hostile grammars; masks against a step by
 * every token. */
#include "grammar_vocab.h"

#define LINES(...)                                                                                           \
    (const char *const[]) {                                                                                  \
        __VA_ARGS__, NULL                                                                                    \
    }

typedef struct example {
    const char *grammar;
    const char *const *yes, *const *no;
} example;

static void check_examples(test *t, grammar_language language, const example *list, size_t n) {
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    leat_error e;
    for (size_t i = 0; i < n; i++) {
        leat_grammar *g;
        if (grammar_open(v, language, list[i].grammar, strlen(list[i].grammar), &g, &e)) {
            TEST_FAIL(t, "%s: %s", list[i].grammar, e.message);
            continue;
        }
        for (const char *const *p = list[i].yes; *p; p++)
            if (!accepts(t, g, v, *p, strlen(*p))) TEST_FAIL(t, "%s\nrefuses %s", list[i].grammar, *p);
        for (const char *const *p = list[i].no; *p; p++)
            if (accepts(t, g, v, *p, strlen(*p))) TEST_FAIL(t, "%s\naccepts %s", list[i].grammar, *p);
        grammar_release(g);
    }
    tiny_close(x);
}

static const char json_grammar[] =
    "root   ::= ws value\n"
    "value  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
    "object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? \"}\" ws\n"
    "array  ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\n"
    "string ::= \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}) )* "
    "\"\\\"\" ws\n"
    "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws\n"
    "# optional space\n"
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

static void gbnf_examples(test *t) {
    const example list[] = {
        {"root ::= \"abc\"", LINES("abc"), LINES("", "ab", "abcd", "ABC")},
        {"root ::= \"\" | \"a\" root", LINES("", "a", "aaaaaaaaaaaaaaaaa"), LINES("b", "ab")},
        /* arithmetic */
        {"root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= num | \"(\" expr \")\"\nnum ::= [0-9]+",
         LINES("1", "1+2", "(1)", "((12))", "1+(2*(3-4))/5", "((((((((((1))))))))))"),
         LINES("", "+", "1+", "(1", "1)", "()", "1++2", "((1)", "a")},
        {json_grammar,
         LINES("{}", "[]", "null", "true", "\"\"", "-0.5e+12",
               " {\"a\": [1,2, {\"b\":null}], \"c\":\"\\u00e9\\n\"}", "[[[[[[]]]]]]",
               "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""),
         LINES("", "{", "{\"a\"}", "[1,]", "01", "\"\\x\"", "\"\n\"", "nul", "{\"a\":1,}", "\"\xC3\"",
               "\"\xA9\"", "\"\xED\xA0\x80\"", "[[[[[]]]]]]")},
        /* moves of chess */
        {"root ::= (\"1. \" move \" \" move \"\\n\") ([1-9] [0-9]? \". \" move \" \" move \"\\n\")*\n"
         "move ::= (pawn | nonpawn | castle) [+#]?\n"
         "nonpawn ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\n"
         "pawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\n"
         "castle ::= \"O-O\" \"-O\"?\n",
         LINES("1. e4 e5\n", "1. e4 Nf3+\n2. O-O O-O-O#\n", "1. exd5 Ra1xa1\n12. e8=Q Kd2\n"),
         LINES("", "1. e4\n", "1. e9 e5\n", "2. e4 e5\n", "1. e4 e5", "1. O-O-O-O e5\n")},
        /* lists */
        {"root ::= item+\nitem ::= \"- \" [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ \"\\n\"",
         LINES("- a\n", "- a\n- \xC3\xA9\n"),
         LINES("", "-a\n", "- \n", "- a", "- a\n\n", "- \xE2\x80\xA8\n")},
        /* repetitions */
        {"root ::= \"a\"{3} \"b\"{2,} \"c\"{0,2} (\"d\" \"e\"){1,2}", LINES("aaabbde", "aaabbbbbccdede"),
         LINES("aabbde", "aaabde", "aaabbcccde", "aaabb", "aaabbdedede")},
        {"root ::= \"a\"* \"b\"+ \"c\"?", LINES("b", "aabbc"), LINES("", "a", "c", "bcc")},
        {"root ::= .{2}", LINES("ab", "\xC3\xA9x", "\n\n", "\xF0\x9F\x98\x80\xE2\x82\xAC"),
         LINES("a", "abc", "\xC3\xA9")},
        {"root ::= [\\x41-\\u0043\\U0001F600-\\U0001F64F\\]\\-]+",
         LINES("ABC]-", "\xF0\x9F\x98\x80", "\xF0\x9F\x99\x8F"), LINES("D", "\xF0\x9F\x99\x90", "\\")},
        {"root ::= [a-c-]+", LINES("a-b"), LINES("d")},
        /* line breaks, comments, empty alternatives */
        {"# first\nroot ::= a | # why\n  b\n\na ::= (\n  \"x\"\n  |\n  \"y\" )\r\nb ::= [0-9] # end",
         LINES("x", "y", "7"), LINES("z", "xy")},
        {"root ::= \"a\"\n  | \"b\"\n  | \"c\"\n", LINES("a", "b", "c"), LINES("", "d")},
        /* deterministic where naive matching doubles at every step */
        {"root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"",
         LINES("", "ab", "aaaaaaaaaaaaaaaaaaaaaaaabcbcbcbcbcbcbcbcbcbcbcbc"), LINES("a", "aab", "abb")},
        {"root ::= (a | a a)* \"!\"\na ::= \"x\"*", LINES("!", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx!"),
         LINES("x", "xy!")},
        {"root ::= [^a-z]", LINES("A", "\xC3\xA9", "\n"), LINES("q", "")},
    };
    check_examples(t, GRAMMAR_GBNF, list, sizeof list / sizeof *list);
}

static void regex_examples(test *t) {
    const example list[] = {
        {"abc", LINES("abc"), LINES("", "ab", "xabc", "abcx")},
        {"^(a|b)*c$", LINES("c", "abac"), LINES("", "ab", "acb")},
        {"\\d{3}-\\d{4}", LINES("555-1234"), LINES("5555-123", "55-1234")},
        {"[A-Z]\\w+\\.(?:com|org)", LINES("Ab.com", "X_9.org"), LINES("ab.com", "A.com", "Ab.net", "Abxcom")},
        {"(?<year>20\\d\\d)-(0[1-9]|1[0-2])", LINES("2025-12", "2000-01"), LINES("1999-01", "2025-13")},
        {"a.c",
         LINES("abc", "a\xC3\xA9"
                      "c"),
         LINES("a\nc", "ac")},
        {"[^\\s,]+", LINES("abc", "\xE2\x82\xAC"), LINES("a b", "a,b", "")},
        {"x*?y+?z??", LINES("y", "xxyyz"), LINES("x", "xz")},
        {"a{2}b{1,}c{0,1}", LINES("aab", "aabbc"), LINES("ab", "aabcc")},
        {"a{,2}b{", LINES("a{,2}b{"), LINES("aab")},
        {"\\x41\\u00e9\\u{1F600}\\t\\/\\$", LINES("A\xC3\xA9\xF0\x9F\x98\x80\t/$"), LINES("A")},
        {"\\ud83d\\ude00", LINES("\xF0\x9F\x98\x80"), LINES("x")},
        {"|a|b|", LINES("", "a", "b"), LINES("c")},
        {"[\\d\\-x-z]+", LINES("1-xyz"), LINES("w", "")},
        {"[]a]*|q", LINES("q"), LINES("a]", "]")},
        {"\\D\\S\\W", LINES("ab!", "x-\n"), LINES("1b!", "a !", "ab_")},
        {"(a|b)*a(a|b){12}", LINES("abbbbbbbbbbbb", "ababababababababababa"), LINES("bbbbbbbbbbbbb", "ab")},
    };
    check_examples(t, GRAMMAR_REGEX, list, sizeof list / sizeof *list);
}

static void messages(test *t) {
    static const struct {
        grammar_language language;
        const char *text, *says;
    } cases[] = {
        {GRAMMAR_GBNF, "", "no rule \"root\""},
        {GRAMMAR_GBNF, "roots ::= \"a\"", "no rule \"root\""},
        {GRAMMAR_GBNF, "root ::= foo", "line 1, column 10: there is no rule \"foo\""},
        {GRAMMAR_GBNF, "root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: this rule is there already"},
        {GRAMMAR_GBNF, "root ::= \"abc", "line 1, column 10: this literal has no end"},
        {GRAMMAR_GBNF, "root ::= \"a\"\nx ::= [a-", "line 2, column 7: this class"},
        {GRAMMAR_GBNF, "root ::= [z-a]", "column 11: this range ends before"},
        {GRAMMAR_GBNF, "root ::= (\"a\"", "line 1, column 10: this group has no end"},
        {GRAMMAR_GBNF, "root ::= \"a\")", "line 1, column 13"},
        {GRAMMAR_GBNF, "root ::= *", "column 10: nothing stands before"},
        {GRAMMAR_GBNF, "root ::= \"a\"{3,2}", "wrong way round"},
        {GRAMMAR_GBNF, "root ::= \"a\"{", "a number must stand here"},
        {GRAMMAR_GBNF, "root ::= \"a\"{,2}", "a number must stand here"},
        {GRAMMAR_GBNF, "root ::= \"a\"{99999999999}", "too large"},
        {GRAMMAR_GBNF, "root ::= \"\\q\"", "column 11: there is no such escape"},
        {GRAMMAR_GBNF, "root ::= \"\\x4\"", "too few hexadecimal digits"},
        {GRAMMAR_GBNF, "root ::= \"\\ud800\"", "no character"},
        {GRAMMAR_GBNF, "root ::= \"\xC3\"", "no UTF-8"},
        {GRAMMAR_GBNF, "root = \"a\"", "\"::=\" must stand here"},
        {GRAMMAR_GBNF, "::= \"a\"", "the name of a rule"},
        {GRAMMAR_GBNF, "root ::= root \"a\" | \"b\"", "left recursion"},
        {GRAMMAR_GBNF, "root ::= a\n\n  a ::= b \"x\" | \"y\"\nb ::= c? a \"z\"\nc ::= \"q\"",
         "line 3, column 3"},
        {GRAMMAR_GBNF, "root ::= \"x\" a\na ::= e e a | \"b\"\ne ::= \"\"", "left recursion"},
        {GRAMMAR_GBNF, "root ::= \"x\" root", "describes no text at all"},
        {GRAMMAR_GBNF, "root ::= []", "describes no text at all"},
        {GRAMMAR_GBNF, "root ::= <[99999]>", "no such token"},
        {GRAMMAR_GBNF, "root ::= <nothing>", "no token of this text"},
        {GRAMMAR_GBNF, "root ::= <think", "\">\" is missing"},
        {GRAMMAR_GBNF, "root ::= !\"a\"", "a token must follow"},
        {GRAMMAR_GBNF, "root ::= ((((\"a\"{60000}){60000}){60000}){60000})", "too large"},
        {GRAMMAR_REGEX, "a(b", "line 1, column 2: this group has no end"},
        {GRAMMAR_REGEX, "ab)", "column 3: this \")\" closes no group"},
        {GRAMMAR_REGEX, "[a", "column 1: this class"},
        {GRAMMAR_REGEX, "*a", "nothing stands before"},
        {GRAMMAR_REGEX, "a**", "nothing stands before"},
        {GRAMMAR_REGEX, "(?=a)", "not supported"},
        {GRAMMAR_REGEX, "(a)\\1", "column 4: this escape is not supported"},
        {GRAMMAR_REGEX, "a\\b", "not supported"},
        {GRAMMAR_REGEX, "a(^b)", "column 3"},
        {GRAMMAR_REGEX, "a{200000}", "too large"},
        {GRAMMAR_REGEX, "a\\", "escape is cut off"},
        {GRAMMAR_REGEX, "[]", "describes no text at all"},
    };
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_error e;
        leat_grammar *g = (leat_grammar *)&e;
        leat_status status = grammar_open(v, cases[i].language, cases[i].text, strlen(cases[i].text), &g, &e);
        if (!status || g || e.code != status || !strstr(e.message, cases[i].says))
            TEST_FAIL(t, "%s: %d \"%s\", not \"%s\"", cases[i].text, status, e.message, cases[i].says);
        if (!status) grammar_release(g);
    }
    tiny_close(x);
}

/* What is not accepted leaves the matcher where it was; masks agree with a step by every token of the
 * vocabulary, at random places of random texts. */
static void masks_are_steps(test *t) {
    static const char *const grammars[] = {
        json_grammar,
        "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"",
        "root ::= (\"(\" root \")\" | [a-z]+ | \"{\" list \"}\" )*\nlist ::= root (\",\" root)*",
        "root ::= <think> !</think>* </think> [a-z ]+ (<[259]> | <tool>)?",
        "root ::= [^x]*",
    };
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    grammar_random = 5;
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        leat_grammar *g;
        grammar_matcher *m, *probe;
        leat_error e;
        if (grammar_open(v, GRAMMAR_GBNF, grammars[i], strlen(grammars[i]), &g, &e)) {
            TEST_FAIL(t, "%s: %s", grammars[i], e.message);
            continue;
        }
        REQUIRE(t, !grammar_matcher_open(g, &m, &e) && !grammar_matcher_open(g, &probe, &e));
        for (int run = 0; run < 6; run++) {
            int32_t past[64];
            uint32_t n = 0;
            grammar_matcher_reset(m);
            while (n < 40) {
                const uint64_t *mask;
                uint32_t allowed[512], n_allowed = 0;
                REQUIRE(t, !grammar_matcher_mask(m, &mask, &e));
                for (uint32_t id = 0; id < vocab_size(v); id++) {
                    grammar_matcher_reset(probe);
                    for (uint32_t k = 0; k < n; k++)
                        CHECK_EQ(t, grammar_matcher_accept(probe, past[k], NULL), LEAT_OK);
                    leat_status status = grammar_matcher_accept(probe, (int32_t)id, &e);
                    if ((status == LEAT_OK) != in_mask(mask, id))
                        TEST_FAIL(t, "%s: token %u after %u: %d, mask %d", grammars[i], (unsigned)id,
                                  (unsigned)n, status, in_mask(mask, id));
                    if (in_mask(mask, id) && id != 2) allowed[n_allowed++] = id;
                    if (status) CHECK_EQ(t, grammar_matcher_can_end(probe), grammar_matcher_can_end(m));
                    n++;
                    n--;
                    if (run && id % 7 != (unsigned)run) id += 5;
                }
                if (!n_allowed) break;
                past[n] = (int32_t)allowed[random_below(n_allowed)];
                REQUIRE(t, grammar_matcher_accept(m, past[n], &e) == LEAT_OK);
                n++;
            }
        }
        grammar_matcher_close(m);
        grammar_matcher_close(probe);
        grammar_release(g);
    }
    tiny_close(x);
}

static void tokens_as_such(test *t) {
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    const char *text = "root ::= <think> !</think>* </think> \"ok\"";
    uint32_t think = vocab_size(v) - 3;
    leat_grammar *g;
    grammar_matcher *m;
    const uint64_t *mask;
    leat_error e;
    REQUIRE(t, !grammar_open(v, GRAMMAR_GBNF, text, strlen(text), &g, &e));
    REQUIRE(t, !grammar_matcher_open(g, &m, &e));
    REQUIRE(t, !grammar_matcher_mask(m, &mask, &e));
    for (uint32_t id = 0; id < vocab_size(v); id++) CHECK_EQ(t, in_mask(mask, id), id == think);
    CHECK_EQ(t, grammar_matcher_accept(m, (int32_t)think, &e), LEAT_OK);
    REQUIRE(t, !grammar_matcher_mask(m, &mask, &e));
    for (uint32_t id = 0; id < vocab_size(v); id++) CHECK_EQ(t, in_mask(mask, id), id != 2); /* not the end */
    CHECK_EQ(t, grammar_matcher_accept(m, 2, &e), LEAT_E_STATE);
    CHECK_EQ(t, grammar_matcher_accept(m, 300, &e), LEAT_OK);
    CHECK_EQ(t, grammar_matcher_accept(m, (int32_t)think + 1, &e), LEAT_OK);
    CHECK(t, !grammar_matcher_can_end(m));
    CHECK(t, feed(t, m, v, "ok", 2, 0));
    CHECK(t, grammar_matcher_can_end(m) && grammar_matcher_must_end(m));
    REQUIRE(t, !grammar_matcher_mask(m, &mask, &e));
    for (uint32_t id = 0; id < vocab_size(v); id++) CHECK_EQ(t, in_mask(mask, id), id == 2);
    CHECK_EQ(t, grammar_matcher_accept(m, 2, &e), LEAT_OK);
    CHECK_EQ(t, grammar_matcher_accept(m, -1, &e), LEAT_E_ARG);
    CHECK_EQ(t, grammar_matcher_accept(m, 1 << 20, &e), LEAT_E_ARG);
    grammar_matcher_close(m);
    grammar_release(g);
    tiny_close(x);
}

/* Grammars made to blow up end in a message, and soon. */
static void hostile(test *t) {
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    leat_error e;
    leat_grammar *g;
    grammar_matcher *m;
    char text[4000];
    /* a call within a call, with more and more ways back that differ in what follows */
    const char *ambiguous = "root ::= a \"b\" | c \"c\"\na ::= \"(\" a \")\" | \"(\" c \")\" | \"x\"\n"
                            "c ::= \"(\" a \"]\" | \"(\" c \"]\" | \"x\"";
    REQUIRE(t, !grammar_open(v, GRAMMAR_GBNF, ambiguous, strlen(ambiguous), &g, &e));
    REQUIRE(t, !grammar_matcher_open(g, &m, &e));
    leat_status status = LEAT_OK;
    int n = 0;
    for (; n < 100 && !status; n++) status = grammar_matcher_accept(m, 3 + '(', &e);
    if (status) CHECK(t, status == LEAT_E_LIMIT && strstr(e.message, "ambiguous"));
    grammar_matcher_close(m);
    grammar_release(g);

    size_t at = (size_t)snprintf(text, sizeof text, "root ::= ");
    for (int i = 0; i < 1500; i++) text[at++] = '(';
    status = grammar_open(v, GRAMMAR_GBNF, text, at, &g, &e);
    CHECK(t, status == LEAT_E_ARG && strstr(e.message, "nested too deep"));
    status = grammar_open(v, GRAMMAR_REGEX, text + 9, 1500, &g, &e);
    CHECK(t, status == LEAT_E_LIMIT && strstr(e.message, "nested too deep"));

    /* rules that double: 2^40 if they were all written out */
    at = (size_t)snprintf(text, sizeof text, "root ::= r0\n");
    for (int i = 0; i < 40; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "r%d ::= r%d r%d\n", i, i + 1, i + 1);
    at += (size_t)snprintf(text + at, sizeof text - at, "r40 ::= \"ab\"\n");
    REQUIRE(t, !grammar_open(v, GRAMMAR_GBNF, text, at, &g, &e));
    REQUIRE(t, !grammar_matcher_open(g, &m, &e));
    for (int i = 0; i < 50; i++) CHECK(t, feed(t, m, v, "ab", 2, (uint64_t)i));
    grammar_matcher_close(m);
    grammar_release(g);

    /* nesting without end: memory is that of the depth, and the depth has a limit */
    REQUIRE(t, !grammar_open(v, GRAMMAR_GBNF, json_grammar, strlen(json_grammar), &g, &e));
    REQUIRE(t, !grammar_matcher_open(g, &m, &e));
    for (n = 0, status = LEAT_OK; n < 20000 && !status; n++) status = grammar_matcher_accept(m, 3 + '[', &e);
    CHECK(t, status == LEAT_E_LIMIT && strstr(e.message, "deep"));
    grammar_matcher_reset(m);
    CHECK(t, feed(t, m, v, "[1]", 3, 0) && grammar_matcher_can_end(m));
    grammar_matcher_close(m);
    grammar_release(g);
    tiny_close(x);
}

/* Texts made at random by the masks are texts that the grammar accepts. */
static void generated_texts_parse(test *t) {
    tiny *x = tiny_new();
    const vocab *v = grammar_vocab(x);
    leat_grammar *g;
    leat_error e;
    int whole = 0;
    grammar_random = 9;
    REQUIRE(t, !grammar_open(v, GRAMMAR_GBNF, json_grammar, strlen(json_grammar), &g, &e));
    for (int i = 0; i < 60; i++) {
        static char text[8000];
        bool ended;
        size_t n = generate(t, g, v, 400, text, sizeof text, &ended);
        whole += ended;
        if (ended && !accepts(t, g, v, text, n)) TEST_FAIL(t, "not accepted: %.*s", (int)n, text);
    }
    CHECK(t, whole > 30);
    grammar_release(g);
    tiny_close(x);
}

/* clang-format off */
#define TESTS(X) \
    X(gbnf_examples) X(regex_examples) X(messages) X(masks_are_steps) X(tokens_as_such) X(hostile) \
    X(generated_texts_parse)
/* clang-format on */
TEST_SUITE(TESTS)
