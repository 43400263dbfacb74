/* The scanners that pre-tokenizers are put together from, see pretokenize.c: each takes the text from where
 * it stands to the end of the piece it works on, and says how long the next word in it is. A scanner follows
 * a regular expression as a search would: what it matches is a word, and what lies between two matches is
 * one. */
#ifndef LEAT_RUNTIME_TEXT_SCAN_H
#define LEAT_RUNTIME_TEXT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLASS_BIT(name) (1u << UNICODE_##name)

/* Code points first..last; words of different groups don't run together. Ascending. */
typedef struct scan_range {
    uint32_t first, last;
    int group;
} scan_range;

enum scan_lead { LEAD_NONE, LEAD_SPACE, LEAD_ANY }; /* before a run: ` ?`, `\s?` */
enum scan_tail {
    TAIL_NONE,
    TAIL_NEWLINES,
    TAIL_NEWLINES_SLASHES,
    TAIL_ONE_NEWLINE_SLASH
}; /* after symbols */
enum scan_contractions { CONTRACTIONS_NONE, CONTRACTIONS_FIRST, CONTRACTIONS_AFTER };
enum scan_spaces { SPACES_BUT_LAST, SPACES_CASCADE, SPACES_NEWLINES_ALONE };
enum scan_letters { LETTERS_RUN, LETTERS_CASES, LETTERS_SPACED, LETTERS_NO_HAN };

typedef struct scan_stage {
    /* The word at p is 1..n bytes long; n > 0. *memo is NULL at the start of a piece and the scanner's own
     * after: how far it looked ahead, so that it need not again. */
    size_t (*scan)(const struct scan_stage *s, const char *p, size_t n, const char **memo);
    /* scan_runs: characters of these classes or ranges (or of none, with `others`), up to `limit` in a word
     */
    uint32_t classes;
    const scan_range *ranges;
    size_t n_ranges;
    size_t limit; /* 0: none; also of the digits of scan_words */
    enum scan_lead lead;
    bool others, ascii_symbols, no_backtick;
    /* scan_matches: length of the match at p, or 0 */
    size_t (*match)(const char *p, size_t n);
    /* scan_words, scan_punctuated */
    enum scan_letters letters;
    enum scan_contractions contractions;
    enum scan_tail tail;
    enum scan_spaces spaces;
    /* scan_thousands */
    bool ascii_digits, joined_threes;
} scan_stage;

size_t scan_runs(const scan_stage *s, const char *p, size_t n, const char **memo);
size_t scan_matches(const scan_stage *s, const char *p, size_t n, const char **memo);
size_t scan_gpt2(const scan_stage *s, const char *p, size_t n, const char **memo);
size_t scan_words(const scan_stage *s, const char *p, size_t n, const char **memo);
size_t scan_punctuated(const scan_stage *s, const char *p, size_t n, const char **memo);
size_t scan_thousands(const scan_stage *s, const char *p, size_t n, const char **memo);
size_t scan_trailing_space(const scan_stage *s, const char *p, size_t n, const char **memo);

/* For scan_matches. */
size_t match_three_digits(const char *p, size_t n);
size_t match_sentinel(const char *p, size_t n);
size_t match_image(const char *p, size_t n);
size_t match_indent(const char *p, size_t n);

#endif
