/* How every layer reports failure: a status, and a sentence that names the place. Functions return
 * leat_status and fill the leat_error they are given (which may be NULL); nothing is printed, nothing aborts.
 */
#ifndef LEAT_LOADER_ERROR_H
#define LEAT_LOADER_ERROR_H

#ifndef LEAT_ERROR_TYPES /* runtime/leat.h spells out the same two types for the public */
#    define LEAT_ERROR_TYPES
typedef enum leat_status {
    LEAT_OK = 0,
#    define X(NAME, number, text) LEAT_E_##NAME = number,
#    include "errors.def"
#    undef X
} leat_status;
typedef struct leat_error {
    leat_status code;
    char message[256]; /* UTF-8, one sentence, no newline; "" when code is LEAT_OK */
} leat_error;
#endif

/* Fills e (if not NULL) with code and the formatted sentence, cut to fit at a UTF-8 boundary, control
 * characters replaced by '?'; returns code, so that `return error_set(...)` reads well. */
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
leat_status
error_set(leat_error *e, leat_status code, const char *format, ...);

/* Short meaning of a status; "unknown status" for a number that is none. */
const char *status_text(int code);

#endif
