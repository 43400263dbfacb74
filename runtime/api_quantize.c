/* The public quantizing functions of leat.h: arguments are checked here, the work is in quantize.c. Called by
 * programs. */
#include "leat.h"
#include "loader/error.h"
#include "runtime/quantize/quantize.h"
#include "runtime/quantize/recipe.h"

static const leat_quantize_params defaults = {.type = "q8_0", .search_trials = 48};

void leat_quantize_params_default(leat_quantize_params *p) {
    if (p) *p = defaults;
}

const char *leat_quantize_type(size_t i) {
    const mix *m = mix_get(i);
    return m ? m->name : NULL;
}

leat_status leat_quantize(const char *in_path, const char *out_path, const leat_quantize_params *params,
                          leat_error *e) {
    leat_quantize_params p = params ? *params : defaults;
    if (!p.type) p.type = defaults.type;
    if (!in_path || !out_path)
        return error_set(e, LEAT_E_ARG, "leat_quantize: %s is NULL", in_path ? "out_path" : "in_path");
    if (p.n_tensor_types && !p.tensor_types)
        return error_set(e, LEAT_E_ARG, "leat_quantize: tensor_types is NULL");
    if (p.n_calibration && !p.calibration)
        return error_set(e, LEAT_E_ARG, "leat_quantize: calibration is NULL");
    if (!(p.target_bpw >= 0 && p.target_bpw <= 64))
        return error_set(e, LEAT_E_ARG, "leat_quantize: target_bpw is %g, not 0 .. 64", p.target_bpw);
    leat_status status = quantize_file(in_path, out_path, &p, e);
    return status ? status : error_set(e, LEAT_OK, "%s", "");
}
