/* What commands work on: the model named on the command line or the default one, text from arguments, files
 * or standard input, lists of token ids. Everything here that fails has already said why on stderr, and
 * returns the exit status. */
#ifndef LEAT_TOOLS_INPUT_H
#define LEAT_TOOLS_INPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/leat.h"

#ifndef PATH_MAX
#    define PATH_MAX 4096
#endif

/* Path of the default model, beside this program in a build tree or where it was installed. */
int default_model_path(char path[PATH_MAX]);

/* Opens `path`, or the default model when it is NULL. `isa` is what --isa says or NULL: then LEAT_ISA is
 * read. */
int open_model(const char *path, bool vocab_only, const char *isa, leat_model **out);

/* The whole of a file, "-" being standard input. The caller frees *text, which has a NUL behind its *n bytes.
 */
int read_text(const char *path, char **text, size_t *n);

/* Tokens of a text; the caller frees *tokens. */
int tokenize_text(const leat_model *model, const char *text, size_t n, unsigned flags, leat_token **tokens,
                  size_t *count);

/* Appends the ids of "1,2,3" to *tokens. Wrong usage of the option `name` if one is no whole number of 32
 * bits. */
int parse_ids(const char *command, const char *name, const char *list, leat_token **tokens, size_t *count);

/* The type that a choice of CACHE_TYPES (options.h) names. */
leat_kv_type cache_type(const char *name);

/* What a choice of --activations names. */
leat_activations activations_form(const char *name);

/* Threads for leat_session_params from what -t says. */
unsigned thread_count(long long threads);

#endif
