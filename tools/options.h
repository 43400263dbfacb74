/* The command line of every command, read by one table-driven parser. A command lists its options once;
 * parsing, range checks, messages and --help all come from that list. Wrong usage prints one line that names
 * the option and is exit status 2. Used by every tools/ file that implements a command; knows nothing of
 * models. */
#ifndef LEAT_TOOLS_OPTIONS_H
#define LEAT_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef enum option_kind {
    OPTION_FLAG,     /* bool *: becomes true */
    OPTION_FLAG_OFF, /* bool *: becomes false */
    OPTION_TEXT,     /* const char **: points into argv */
    OPTION_INT,      /* int64_t *: within min..max */
    OPTION_AUTO,     /* int64_t *: as OPTION_INT, or "auto", which is -1 */
    OPTION_REAL,     /* float *: finite, within min..max */
    OPTION_CHOICE,   /* const char **: one of the words of `choices`, separated by '|' */
    OPTION_LIST      /* text_list *: as OPTION_TEXT, once for each time it is given */
} option_kind;

enum { TEXT_LIST_MAX = 256 };

typedef struct text_list {
    const char *items[TEXT_LIST_MAX]; /* point into argv */
    size_t n;
} text_list;

typedef struct option {
    const char *names; /* separated by blanks: "-n --predict" */
    const char *arg;   /* what --help calls the value; NULL for flags */
    const char *help;
    option_kind kind;
    void *value; /* type by kind; holds the default before parsing */
    double min, max;
    const char *choices;
} option;

typedef struct command_line {
    const char *name;  /* of the command: "run" */
    const char *usage; /* "[MODEL] [options]" */
    const char *about; /* paragraphs of --help */
    const option *options;
    size_t n_options;
    const char **positionals; /* room for argc entries, owned by the caller */
    size_t n_positionals;
} command_line;

/* Options that several commands share, so that they are called and explained alike everywhere. */
#define OPTION_MODEL(p)                                                                                      \
    { "-m --model", "PATH", "model file (GGUF)", OPTION_TEXT, (p), 0, 0, NULL }
#define OPTION_THREADS(p)                                                                                    \
    { "-t --threads", "N", "threads; auto: as many as prove fastest (auto)", OPTION_AUTO, (p), 1, 1024, NULL }
#define OPTION_THREADS_BATCH(p)                                                                              \
    {                                                                                                        \
        "-tb --threads-batch", "N", "threads for prompts, or auto; 0: as -t (0)", OPTION_AUTO, (p), 0, 1024, \
            NULL                                                                                             \
    }
#define OPTION_BATCH(p)                                                                                      \
    { "-b --batch-size", "N", "prompt tokens evaluated at once (512)", OPTION_INT, (p), 1, 2048, NULL }
#define CACHE_TYPES      "f32|f16|bf16|q8_0|q4_0|q5_0|iq4_nl"
#define CACHE_TYPES_HELP "f32, f16, bf16, q8_0, q4_0, q5_0 or iq4_nl (f16)"
#define OPTION_CACHE_K(p)                                                                                    \
    {                                                                                                        \
        "-ctk --cache-type-k", "TYPE", "keys in the cache: " CACHE_TYPES_HELP, OPTION_CHOICE, (p), 0, 0,     \
            CACHE_TYPES                                                                                      \
    }
#define OPTION_CACHE_V(p)                                                                                    \
    {                                                                                                        \
        "-ctv --cache-type-v", "TYPE", "values in the cache: " CACHE_TYPES_HELP, OPTION_CHOICE, (p), 0, 0,   \
            CACHE_TYPES                                                                                      \
    }
#define OPTION_ACTIVATIONS(p)                                                                                \
    {                                                                                                        \
        "--activations", "TYPE",                                                                             \
            "with quantized weights: int8 (with AMX bfloat16 for 48 tokens and more at a time), or f32: "    \
            "slow (int8)",                                                                                   \
            OPTION_CHOICE, (p), 0, 0, "int8|f32"                                                             \
    }
#define OPTION_ISA(p)                                                                                        \
    { "--isa", "NAME", "run as a lesser CPU (also LEAT_ISA=NAME)", OPTION_TEXT, (p), 0, 0, NULL }

/* Reads argv[1..argc-1]. Returns true when the command should go on; else *status is the exit status:
 * EXIT_DONE after
 * --help, EXIT_USAGE after a message. */
bool options_parse(command_line *line, int argc, char **argv, int *status);

/* For options that change while a command runs. option_named: the one of a table that has this name, n bytes,
 * with or without the dashes in front and with _ for - if one likes; NULL if there is none. option_set:
 * stores a value (text is kept, not copied; "on" or "off" for flags); false with a message if it is not
 * allowed. */
const option *option_named(const option *options, size_t n_options, const char *name, size_t n);
bool option_set(const option *o, const char *name, const char *text, char *message, size_t size);
/* The i-th name of an option without its dashes, *n bytes, and the longest; NULL past the last. */
const char *option_name(const option *o, size_t i, size_t *n);
const char *option_longest_name(const option *o, size_t *n);

/* Prints "leat COMMAND: MESSAGE (see leat COMMAND --help)" to stderr and returns EXIT_USAGE. */
#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
int usage_error(const char *command, const char *format, ...);

/* A whole number and nothing else, within min..max. */
bool parse_int(const char *text, int64_t min, int64_t max, int64_t *out);

/* The first word most like `word` that is near enough to be what was meant, or NULL. Call with each candidate
 * in turn, *best starting at SIZE_MAX; true means that this candidate is the best so far. */
bool nearer_word(const char *word, const char *candidate, size_t candidate_length, size_t *best);

#endif
