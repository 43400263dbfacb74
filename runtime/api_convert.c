/* The public converting functions of leat.h: arguments are checked here, the work is in runtime/convert.
 * Called by programs. */
#include "leat.h"
#include "loader/error.h"
#include "runtime/convert/convert.h"

void leat_convert_params_default(leat_convert_params *p) {
    if (p) *p = (leat_convert_params){.type = NULL};
}

const char *leat_convert_architecture(size_t i) {
    return convert_architecture(i);
}

leat_status leat_convert(const char *folder, const char *out_path, const leat_convert_params *params,
                         leat_error *e) {
    leat_convert_params p = {.type = NULL};
    if (params) p = *params;
    if (!folder || !out_path)
        return error_set(e, LEAT_E_ARG, "leat_convert: %s is NULL", folder ? "out_path" : "folder");
    if (p.n_tensor_types && !p.tensor_types)
        return error_set(e, LEAT_E_ARG, "leat_convert: tensor_types is NULL");
    leat_status status = convert_folder(folder, out_path, &p, e);
    return status ? status : error_set(e, LEAT_OK, "%s", "");
}
