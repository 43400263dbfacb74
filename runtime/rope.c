/* Frequencies of rotary positions with their scalings. Sources: RoPE (Su et al. 2021), position interpolation
 * (Chen et al. 2023) for `linear`, YaRN (Peng et al. 2023) for `yarn`; Llama 3.1 and LongRoPE come as
 * divisors stored in a tensor. */
#include "rope.h"

#include <math.h>

#include "loader/alloc.h"

/* The dimension whose wavelength makes `rotations` turns over the original context (YaRN, eq. 17 and
 * appendix). */
static double yarn_dimension(const rope_hparams *hp, double rotations) {
    const double tau = 6.283185307179586;
    return hp->n_dims * log(hp->orig_ctx / (rotations * tau)) / (2.0 * log((double)hp->freq_base));
}

/* Share of the unscaled frequency that dimension pair i keeps: 1 for fast ones, 0 for slow ones, a ramp
 * between. */
static double yarn_keep(const rope_hparams *hp, size_t i) {
    double low = fmax(0.0, floor(yarn_dimension(hp, hp->beta_fast)));
    double high = fmin(hp->n_dims - 1.0, ceil(yarn_dimension(hp, hp->beta_slow)));
    double ramp = ((double)i - low) / fmax(0.001, high - low);
    return (1.0 - fmin(1.0, fmax(0.0, ramp))) * hp->ext_factor;
}

static double yarn_magnitude(double factor, double mul) {
    return 1.0 + 0.1 * mul * log(factor);
}

leat_status rope_init(rope_table *r, const rope_hparams *hp, size_t n_ctx, leat_error *e) {
    const weight *divisors = &hp->freqs;
    if (hp->freqs_long.data) divisors = n_ctx > hp->orig_ctx ? &hp->freqs_long : &hp->freqs_short;
    const float *divisor = divisors->data;
    r->n_dims = hp->n_dims;
    r->layout = hp->layout;
    r->magnitude = hp->attn_factor;
    if (!hp->n_dims) return LEAT_OK;
    /* YaRN's temperature on the attention logits, folded into the rotation of q and k alike */
    if (hp->scaling == ROPE_SCALING_YARN && hp->ext_factor > 0.0f && hp->factor > 1.0f)
        r->magnitude *= yarn_magnitude(hp->factor, 1.0) / yarn_magnitude(hp->factor, hp->log_mul);
    r->frequency = mem_alloc(hp->n_dims / 2, sizeof *r->frequency);
    if (!r->frequency)
        return error_set(e, LEAT_E_NOMEM, "out of memory for %u rotary frequencies", hp->n_dims / 2);
    for (size_t i = 0; i < hp->n_dims / 2; i++) {
        double f = pow((double)hp->freq_base, -2.0 * (double)i / hp->n_dims);
        if (divisor) {
            if (!(divisor[i] > 0.0f) || isinf(divisor[i])) {
                rope_free(r);
                return error_set(e, LEAT_E_TENSOR, "rope factor %zu is %g, not a positive number", i,
                                 (double)divisor[i]);
            }
            f /= divisor[i];
        }
        double keep = hp->scaling == ROPE_SCALING_YARN ? yarn_keep(hp, i) : 0.0;
        r->frequency[i] = f * keep + f / hp->factor * (1.0 - keep);
    }
    return LEAT_OK;
}

void rope_free(rope_table *r) {
    mem_free(r->frequency);
    *r = (rope_table){0};
}

void rope_pairs_at(const rope_table *r, size_t position, float *cs) {
    for (size_t i = 0; i < r->n_dims / 2; i++) {
        double theta = (double)position * r->frequency[i];
        cs[2 * i] = (float)(cos(theta) * r->magnitude);
        cs[2 * i + 1] = (float)(sin(theta) * r->magnitude);
    }
}

void rope_pairs_down(const rope_table *r, size_t by, float *cs) {
    for (size_t i = 0; i < r->n_dims / 2; i++) {
        double theta = (double)by * r->frequency[i];
        cs[2 * i] = (float)cos(theta);
        cs[2 * i + 1] = (float)-sin(theta);
    }
}
