/* The families of pre-tokenizers behind pretokenizers.def, each a list of stages with the regular expressions
 * they follow, and the walk over the words that the stages make. */
#include "pretokenize.h"

#include "scan.h"
#include "unicode.h"

#define RANGES(list) .ranges = list, .n_ranges = sizeof(list) / sizeof *(list)
#define LETTERS      CLASS_BIT(LETTER)
#define WITH_MARKS   (CLASS_BIT(LETTER) | CLASS_BIT(MARK_NONSPACING) | CLASS_BIT(MARK))
#define NUMBERS      CLASS_BIT(NUMBER)

/* ---- sets of characters, as the expressions list them ---- */

static const scan_range newline[] = {{'\n', '\n', 1}};
static const scan_range newlines[] = {{'\n', '\n', 1}, {'\r', '\r', 1}};
static const scan_range ascii_symbols[] = {{'!', '/', 1}, {':', '@', 1}, {'[', '`', 1}, {'{', '~', 1}};
static const scan_range han_kana[] = {{0x3040, 0x30FF, 1}, {0x4E00, 0x9FA5, 1}};
static const scan_range deepseek_cjk[] = {{0x800, 0x9FA5, 1}, {0xAC00, 0xD7FF, 1}};
static const scan_range deepseek_symbols[] = {{'!', '/', 1},       {':', '~', 1},       {0x2018, 0x201F, 1},
                                              {0x3000, 0x3002, 1}, {0xFF01, 0xFF0F, 1}, {0xFF1A, 0xFF5E, 1}};
/* Letters of scripts that have capital and small ones. */
static const scan_range deepseek_letters[] = {
    {'A', 'Z', 1},         {'a', 'z', 1},         {0xB5, 0xB5, 1},       {0xC0, 0xD6, 1},
    {0xD8, 0xF6, 1},       {0xF8, 0x1BA, 1},      {0x1BC, 0x1BF, 1},     {0x1C4, 0x293, 1},
    {0x295, 0x2AF, 1},     {0x370, 0x373, 1},     {0x376, 0x377, 1},     {0x37B, 0x37D, 1},
    {0x37F, 0x37F, 1},     {0x386, 0x386, 1},     {0x388, 0x38A, 1},     {0x38C, 0x38C, 1},
    {0x38E, 0x3A1, 1},     {0x3A3, 0x3F5, 1},     {0x3F7, 0x481, 1},     {0x48A, 0x52F, 1},
    {0x531, 0x556, 1},     {0x10A0, 0x10C5, 1},   {0x13A0, 0x13F5, 1},   {0x13F8, 0x13FD, 1},
    {0x1C90, 0x1CBA, 1},   {0x1CBD, 0x1CBF, 1},   {0x1D00, 0x1D2B, 1},   {0x1D6B, 0x1D77, 1},
    {0x1D79, 0x1D9A, 1},   {0x1E00, 0x1F15, 1},   {0x1F18, 0x1F1D, 1},   {0x1F20, 0x1F45, 1},
    {0x1F48, 0x1F4D, 1},   {0x1F50, 0x1F57, 1},   {0x1F59, 0x1F59, 1},   {0x1F5B, 0x1F5B, 1},
    {0x1F5D, 0x1F5D, 1},   {0x1F5F, 0x1F7D, 1},   {0x1F80, 0x1FB4, 1},   {0x1FB6, 0x1FBC, 1},
    {0x1FBE, 0x1FBE, 1},   {0x1FC2, 0x1FC4, 1},   {0x1FC6, 0x1FCC, 1},   {0x1FD0, 0x1FD3, 1},
    {0x1FD6, 0x1FDB, 1},   {0x1FE0, 0x1FEC, 1},   {0x1FF2, 0x1FF4, 1},   {0x1FF6, 0x1FFC, 1},
    {0x2102, 0x2102, 1},   {0x2107, 0x2107, 1},   {0x210A, 0x2113, 1},   {0x2115, 0x2115, 1},
    {0x2119, 0x211D, 1},   {0x2124, 0x2124, 1},   {0x2126, 0x2126, 1},   {0x2128, 0x2128, 1},
    {0x212A, 0x212D, 1},   {0x212F, 0x2134, 1},   {0x2139, 0x2139, 1},   {0x213C, 0x213F, 1},
    {0x2145, 0x2149, 1},   {0x214E, 0x214E, 1},   {0x2183, 0x2184, 1},   {0x2C00, 0x2C7B, 1},
    {0x2C7E, 0x2CE4, 1},   {0x2CEB, 0x2CEE, 1},   {0x2CF2, 0x2CF3, 1},   {0xA640, 0xA66D, 1},
    {0xA680, 0xA69B, 1},   {0xA722, 0xA76F, 1},   {0xA771, 0xA787, 1},   {0xA78B, 0xA78E, 1},
    {0xAB70, 0xABBF, 1},   {0xFB00, 0xFB06, 1},   {0xFB13, 0xFB17, 1},   {0xFF21, 0xFF3A, 1},
    {0xFF41, 0xFF5A, 1},   {0x10400, 0x1044F, 1}, {0x104B0, 0x104D3, 1}, {0x104D8, 0x104FB, 1},
    {0x10C80, 0x10CB2, 1}, {0x10CC0, 0x10CF2, 1}, {0x118A0, 0x118DF, 1}, {0x1E900, 0x1E943, 1},
};
/* [가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+ */
static const scan_range youtu_scripts[] = {
    {0x2014, 0x2014, 2}, {0x2018, 0x2019, 2}, {0x201C, 0x201D, 2}, {0x2026, 0x2026, 2}, {0x3001, 0x303F, 2},
    {0x3040, 0x30FF, 4}, {0x3105, 0x312F, 3}, {0x3131, 0x318E, 1}, {0x4E00, 0x9FA5, 4}, {0xAC00, 0xD7A3, 1},
    {0xFE30, 0xFE4F, 2}, {0xFF01, 0xFF01, 2}, {0xFF0C, 0xFF0C, 2}, {0xFF1A, 0xFF1B, 2},
};
/* CJK and South-East Asian scripts; 8C48 is where the expression, after normalization, has F900. */
static const scan_range afmoe_scripts[] = {
    {0xE40, 0xEFF, 1},   {0x1000, 0x109F, 1}, {0x1100, 0x11FF, 1}, {0x1780, 0x17FF, 1}, {0x2F00, 0x2FDF, 1},
    {0x3040, 0x30FF, 1}, {0x3400, 0x4DBF, 1}, {0x4E00, 0xFAFF, 1}, {0xFF65, 0xFF9F, 1},
};
/* What ends a word in (\s|.,!?…。，、।۔،), read as the set of characters it is. */
static const scan_range bloom_stops[] = {
    {'!', '!', 1},     {'(', ')', 1},       {',', ',', 1},       {'.', '.', 1},
    {'?', '?', 1},     {'|', '|', 1},       {0x60C, 0x60C, 1},   {0x6D4, 0x6D4, 1},
    {0x964, 0x964, 1}, {0x2026, 0x2026, 1}, {0x3001, 0x3002, 1}, {0xFF0C, 0xFF0C, 1},
};

/* ---- stages ---- */

#define GPT2                                                                                                 \
    { .scan = scan_gpt2 }
#define NUMBER_RUNS(most)                                                                                    \
    { .scan = scan_runs, .classes = NUMBERS, .limit = most }
#define ONE_OF(list)                                                                                         \
    { .scan = scan_runs, RANGES(list), .limit = 1 }
#define RUNS_OF(list)                                                                                        \
    { .scan = scan_runs, RANGES(list) }
#define THREE_DIGITS                                                                                         \
    { .scan = scan_matches, .match = match_three_digits }
#define PUNCTUATION_RUNS(tick)                                                                               \
    { .scan = scan_runs, .classes = CLASS_BIT(PUNCTUATION), .ascii_symbols = true, .no_backtick = !(tick) }
#define WORDS(...)                                                                                           \
    { .scan = scan_words, __VA_ARGS__ }
#define CL100K(digits)                                                                                       \
    WORDS(.classes = LETTERS, .limit = digits, .contractions = CONTRACTIONS_FIRST, .tail = TAIL_NEWLINES)
#define BLOOM                                                                                                \
    {                                                                                                        \
        .scan = scan_runs, .classes = CLASS_BIT(SPACE), RANGES(bloom_stops), .others = true,                 \
        .lead = LEAD_SPACE                                                                                   \
    }

static const scan_stage gpt2[] = {GPT2};
/* \p{N} first */
static const scan_stage gpt2_digits[] = {NUMBER_RUNS(1), GPT2};
/* [\p{P}\$\+<=>\^~\|]+, GPT-2, \p{N}+, [0-9][0-9][0-9] */
static const scan_stage fallback[] = {PUNCTUATION_RUNS(false), GPT2, NUMBER_RUNS(0), THREE_DIGITS};
/* [\p{P}\$\+<=>\^~\|`]+, GPT-2, [0-9][0-9][0-9] */
static const scan_stage falcon[] = {PUNCTUATION_RUNS(true), GPT2, THREE_DIGITS};
static const scan_stage llama3[] = {CL100K(3)};
static const scan_stage qwen2[] = {CL100K(1)};
/* \p{N}{1,3}, then Llama 3 with \p{N}+ */
static const scan_stage minicpm5[] = {NUMBER_RUNS(3), CL100K(0)};
/* [^\n]+|[\n]+, then Qwen 2 */
static const scan_stage laguna[] = {RUNS_OF(newline), CL100K(1)};
static const scan_stage lines[] = {RUNS_OF(newline)};
static const scan_stage jais2[] = {WORDS(.classes = LETTERS, .limit = 3, .contractions = CONTRACTIONS_FIRST,
                                         .tail = TAIL_NEWLINES, .spaces = SPACES_CASCADE)};
/* letters with their marks: [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+ and ` ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` */
static const scan_stage qwen35[] = {
    WORDS(.classes = WITH_MARKS, .limit = 1, .contractions = CONTRACTIONS_FIRST, .tail = TAIL_NEWLINES)};
/* Qwen 2 with ` ?[^\s\p{L}\p{N}\r\n]+` */
static const scan_stage seed_coder[] = {
    WORDS(.classes = LETTERS, .limit = 1, .contractions = CONTRACTIONS_FIRST)};
/* Qwen 2 without contractions */
static const scan_stage ufakzeka[] = {WORDS(.classes = LETTERS, .limit = 1, .tail = TAIL_NEWLINES)};
/* [^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ and ` ?[^\s\p{L}\p{N}]+[\r\n/]?` */
static const scan_stage exaone_moe[] = {WORDS(.classes = LETTERS, .limit = 1, .letters = LETTERS_SPACED,
                                              .contractions = CONTRACTIONS_FIRST,
                                              .tail = TAIL_ONE_NEWLINE_SLASH)};
/* capitals, then small letters (scan_words.c), no contractions; ` ?[^\s\p{L}\p{N}]+[\r\n/]*` */
static const scan_stage tekken[] = {
    WORDS(.classes = LETTERS, .limit = 1, .letters = LETTERS_CASES, .tail = TAIL_NEWLINES_SLASHES)};
static const scan_stage gpt4o[] = {WORDS(.classes = LETTERS, .limit = 3, .letters = LETTERS_CASES,
                                         .contractions = CONTRACTIONS_AFTER, .tail = TAIL_NEWLINES_SLASHES)};
static const scan_stage granite_multi[] = {WORDS(.classes = WITH_MARKS, .limit = 3, .letters = LETTERS_CASES,
                                                 .contractions = CONTRACTIONS_AFTER,
                                                 .tail = TAIL_NEWLINES_SLASHES)};
/* digits as afmoe (below) cuts them, then GPT-4o with letters of any case and marks in one word */
static const scan_stage tiny_aya[] = {{.scan = scan_thousands, .joined_threes = true},
                                      WORDS(.classes = WITH_MARKS, .limit = 3,
                                            .contractions = CONTRACTIONS_AFTER,
                                            .tail = TAIL_NEWLINES_SLASHES)};
static const scan_stage youtu[] = {RUNS_OF(youtu_scripts),
                                   WORDS(.classes = WITH_MARKS, .limit = 1,
                                         .contractions = CONTRACTIONS_AFTER, .tail = TAIL_NEWLINES_SLASHES)};
/* [\p{Han}]+, and GPT-4o's words of any case without Han; ` ?[^\s\p{L}\p{N}]+[\r\n]*` */
static const scan_stage kimi_k2[] = {WORDS(.classes = LETTERS, .limit = 3, .letters = LETTERS_NO_HAN,
                                           .contractions = CONTRACTIONS_AFTER, .tail = TAIL_NEWLINES)};
/* \p{N}+, (?=(\d{3})+(?!\d)) */
static const scan_stage superbpe[] = {NUMBER_RUNS(0), {.scan = scan_thousands, .ascii_digits = true}};
/* [\r\n], \s?[letters]+, \s?[symbols]+, \s+$, [Han and more]+, \p{N}+ */
static const scan_stage deepseek_llm[] = {ONE_OF(newlines),
                                          {.scan = scan_runs, RANGES(deepseek_letters), .lead = LEAD_ANY},
                                          {.scan = scan_runs, RANGES(deepseek_symbols), .lead = LEAD_ANY},
                                          {.scan = scan_trailing_space},
                                          RUNS_OF(deepseek_cjk),
                                          NUMBER_RUNS(0)};
/* [\r\n], \s?\p{L}+, \s?\p{P}+, [Han and more]+, \p{N} */
static const scan_stage deepseek_coder[] = {
    ONE_OF(newlines),
    {.scan = scan_runs, .classes = LETTERS, .lead = LEAD_ANY},
    {.scan = scan_runs, .classes = CLASS_BIT(PUNCTUATION), .lead = LEAD_ANY},
    RUNS_OF(deepseek_cjk),
    NUMBER_RUNS(1)};
/* \p{N}{1,3}, [一-龥぀-ゟ゠-ヿ]+, then words with their punctuation (scan_words.c) */
static const scan_stage deepseek3[] = {
    NUMBER_RUNS(3), RUNS_OF(han_kana), {.scan = scan_punctuated, .tail = TAIL_NEWLINES}};
/* the same with ` ?[\p{P}\p{S}]+|[\r\n]`, and \p{N} last */
static const scan_stage spark[] = {NUMBER_RUNS(3),
                                   RUNS_OF(han_kana),
                                   {.scan = scan_punctuated, .spaces = SPACES_NEWLINES_ALONE},
                                   NUMBER_RUNS(1)};
/* all digits in threes from the right (the first with what is before it), scripts without spaces, then as
 * DeepSeek V3 */
static const scan_stage afmoe[] = {{.scan = scan_thousands, .joined_threes = true},
                                   RUNS_OF(afmoe_scripts),
                                   {.scan = scan_punctuated, .tail = TAIL_NEWLINES}};
/* ` ?[^(\s|.,!?…。，、।۔،)]+`, and with \p{N} */
static const scan_stage bloom[] = {BLOOM};
static const scan_stage viking[] = {BLOOM, NUMBER_RUNS(1)};
static const scan_stage chameleon[] = {
    {.scan = scan_matches, .match = match_sentinel},
    {.scan = scan_matches, .match = match_image},
    {.scan = scan_matches, .match = match_indent},
    NUMBER_RUNS(1),
    {.scan = scan_runs, .classes = CLASS_BIT(PUNCTUATION), RANGES(ascii_symbols), .limit = 1},
    GPT2};
/* \S+ */
static const scan_stage whitespace[] = {{.scan = scan_runs, .classes = CLASS_BIT(SPACE), .others = true}};

#define X(name, family, flags)                                                                               \
    _Static_assert(sizeof(family) / sizeof *(family) <= PRETOKENIZER_STAGES_MAX, "room for the stages");
#include "pretokenizers.def"
#undef X

static const pretokenizer list[] = {
#define X(name, family, flags) {name, family, sizeof(family) / sizeof *(family), flags},
#include "pretokenizers.def"
#undef X
};

const pretokenizer *pretokenizer_find(str name) {
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (str_eq(name, list[i].name)) return &list[i];
    return NULL;
}

pretokenization pretokenize(const pretokenizer *pre, const char *p, size_t n) {
    return (pretokenization){.pre = pre, .p = p, .n = n};
}

size_t pretokenize_next(pretokenization *w) {
    size_t at = w->at, end = w->n;
    for (unsigned k = 0; k < w->pre->n_stages; k++) {
        const scan_stage *s = &w->pre->stages[k];
        if (w->ends[k] == at) {
            w->ends[k] = at + s->scan(s, w->p + at, end - at, &w->memos[k]);
            if (k + 1 < w->pre->n_stages) w->memos[k + 1] = NULL; /* a new piece for it */
        }
        end = w->ends[k];
    }
    w->at = end;
    return end - at;
}
