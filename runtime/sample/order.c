/* Names of the steps of a chain, and orders spelled with them. Read by api_sample.c for programs and for what
 * a model's file recommends. */
#include <string.h>

#include "loader/error.h"
#include "sample.h"

static const struct {
    const char *name;
    char letter;
    const char *others; /* each with a blank before and after */
} steps[LEAT_STEP_COUNT] = {
    [LEAT_STEP_END] = {NULL, 0, NULL},
    [LEAT_STEP_PENALTIES] = {"penalties", 'e', ""},
    [LEAT_STEP_DRY] = {"dry", 'd', ""},
    [LEAT_STEP_TOP_N_SIGMA] = {"top_n_sigma", 's', " top-n-sigma top-nsigma "},
    [LEAT_STEP_TOP_K] = {"top_k", 'k', " top-k "},
    [LEAT_STEP_TYP_P] = {"typ_p", 'y', " typ-p typical-p typical_p typical typ "},
    [LEAT_STEP_TOP_P] = {"top_p", 'p', " top-p nucleus "},
    [LEAT_STEP_MIN_P] = {"min_p", 'm', " min-p "},
    [LEAT_STEP_XTC] = {"xtc", 'x', ""},
    [LEAT_STEP_TEMPERATURE] = {"temperature", 't', " temp "},
    [LEAT_STEP_ADAPTIVE_P] = {"adaptive_p", 'a', " adaptive-p "},
};

const char *leat_sampler_step_name(size_t step) {
    return step < LEAT_STEP_COUNT ? steps[step].name : NULL;
}

/* Is word[0..n) one of the words of a list with blanks around each? */
static bool listed(const char *list, const char *word, size_t n) {
    for (const char *p = list; *p; p++)
        if (*p == ' ' && !strncmp(p + 1, word, n) && p[1 + n] == ' ') return true;
    return false;
}

leat_sampler_step sampler_step_of_name(const char *name, size_t n) {
    for (int i = LEAT_STEP_END + 1; i < LEAT_STEP_COUNT; i++)
        if ((strlen(steps[i].name) == n && !memcmp(steps[i].name, name, n)) ||
            (n && listed(steps[i].others, name, n)))
            return (leat_sampler_step)i;
    return LEAT_STEP_END;
}

leat_sampler_step sampler_step_of_letter(char letter) {
    for (int i = LEAT_STEP_END + 1; i < LEAT_STEP_COUNT; i++)
        if (letter == steps[i].letter) return (leat_sampler_step)i;
    return LEAT_STEP_END;
}

leat_status leat_sampler_order(leat_sampler_params *p, const char *text, bool letters, leat_error *e) {
    if (!p || !text) return error_set(e, LEAT_E_ARG, "leat_sampler_order: %s is NULL", p ? "text" : "p");
    uint8_t order[sizeof p->order] = {0};
    size_t used = 0;
    for (const char *at = text; *at;) {
        size_t n = letters ? 1 : strcspn(at, ";");
        leat_sampler_step step = letters ? sampler_step_of_letter(*at) : sampler_step_of_name(at, n);
        if (step == LEAT_STEP_END)
            return error_set(e, LEAT_E_ARG,
                             "\"%.*s\" is no step of the sampler; there are penalties (e), dry (d), "
                             "top_n_sigma (s), top_k (k), typ_p (y), top_p (p), min_p (m), xtc (x), "
                             "temperature (t), adaptive_p (a)",
                             (int)(n < 24 ? n : 24), at);
        if (memchr(order, step, used))
            return error_set(e, LEAT_E_ARG, "the sampler has %s twice in \"%.100s\"", steps[step].name, text);
        order[used++] = (uint8_t)step;
        at += n;
        if (!letters && *at == ';') at++;
    }
    memcpy(p->order, order, sizeof order);
    return error_set(e, LEAT_OK, "%s", "");
}
