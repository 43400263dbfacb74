/* Runs the `leat` program as a user would and keeps what it said: for the tests of the command line. Programs
 * are started with posix_spawn (Criterion and fork do not go together) and killed when they take too long. */
#ifndef LEAT_TESTS_PROGRAM_H
#define LEAT_TESTS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct output {
    int status; /* exit status, or -N when signal N ended it */
    char *out;  /* stdout and stderr, a NUL behind each */
    size_t out_size;
    char *err;
    size_t err_size;
} output;

/* Runs `leat` with the words of `arguments`, split at blanks as a shell does: '...' and "..." keep blanks,
 * nothing else is special. %s in it stands for the path in `path`. */
bool leat_run(output *o, const char *path, const char *arguments);
/* The same with a variable NAME=VALUE in its environment. */
bool leat_run_env(output *o, const char *variable, const char *path, const char *arguments);
/* A command line for sh, in which $LEAT is the program, $ROOT the sources, $SHARED the golden data and $DIR
 * an empty folder. */
bool shell_run(output *o, const char *command);
void program_free(output *o);

/* Runs `leat` with stderr and stdout on a terminal of its own; after `signal_after` seconds (if positive) its
 * process group gets SIGINT as from Ctrl-C. What the terminal saw is in o->out. */
bool terminal_run(output *o, const char *path, const char *arguments, double signal_after, double *seconds);

/* The whole of a file with a NUL behind it, or NULL. */
char *read_whole(const char *path, size_t *n);
/* Is there such a word in the text? */
bool has(const char *text, const char *word);

#endif
