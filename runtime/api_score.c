/* The public functions of leat.h that judge logits: arguments are checked here, the work is in
 * score/score.c. */
#include <math.h>

#include "leat.h"
#include "loader/error.h"
#include "runtime/score/score.h"

double leat_log_prob(const float *logits, size_t n, leat_token token) {
    if (!logits || token < 0 || (size_t)token >= n) return NAN;
    return (double)logits[token] - score_log_sum(logits, n);
}

leat_status leat_logits_compare(const float *base, bool log_probs, const float *logits, size_t n,
                                leat_token token, leat_difference *out, leat_error *e) {
    if (!out || !base || !logits)
        return error_set(e, LEAT_E_ARG, "leat_logits_compare: %s is NULL",
                         !out    ? "out"
                         : !base ? "base"
                                 : "logits");
    if (token < 0 || (size_t)token >= n)
        return error_set(e, LEAT_E_ARG, "token %d is not 0 .. %zu", token, n ? n - 1 : 0);
    score_compare(base, log_probs, logits, n, (size_t)token, out);
    return error_set(e, LEAT_OK, "%s", "");
}
