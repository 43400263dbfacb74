/* The set of tokens in the running: from the dense form to a list, sorting, and cutting off all but the first
 * k or the first that make up a mass. Each pass over a vocabulary is linear whatever the logits are: what
 * can't survive is never sorted. Called by the steps of the chain; allocates nothing. */
#include "impl.h"

enum { LANES = 32, SHORT_SORT = 48, CHUNK = 256, BINNED_MIN = 1024 };

float sample_max(const float *l, uint32_t n) {
    /* lanes, because a single running maximum is a chain that the compiler may not reorder */
    float lane[LANES], max = -INFINITY;
    uint32_t i = 0;
    for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = l[i + j] > lane[j] ? l[i + j] : lane[j];
    for (int j = 0; j < LANES; j++) max = lane[j] > max ? lane[j] : max;
    for (; i < n; i++) max = l[i] > max ? l[i] : max;
    return max;
}

float set_max(const leat_sampler *s, const sampler_set *set) {
    if (set->dense) return sample_max(s->logits, s->n_vocab);
    if (set->sorted) return set->c[0].logit;
    float max = set->c[0].logit;
    for (size_t i = 1; i < set->n; i++) max = set->c[i].logit > max ? set->c[i].logit : max;
    return max;
}

/* Is any of these LANES logits at least / above `least`? */
static inline bool any_at_least(const float *l, float least) {
    int any = 0;
    for (int j = 0; j < LANES; j++) any |= l[j] >= least;
    return any;
}
static inline bool any_above(const float *l, float least) {
    int any = 0;
    for (int j = 0; j < LANES; j++) any |= l[j] > least;
    return any;
}

/* The smallest float that is not below x. */
static float round_up(double x) {
    float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}

void set_floor(leat_sampler *s, sampler_set *set, double least) {
    float floor = round_up(least);
    if (!(floor > -INFINITY)) floor = -3.4028235e38f; /* -FLT_MAX: everything that is in the running */
    size_t m = 0;
    if (set->dense) {
        const float *l = s->logits;
        uint32_t n = s->n_vocab, i = 0;
        set->c = s->a;
        for (; i + LANES <= n; i += LANES) {
            if (!any_at_least(l + i, floor)) continue;
            for (uint32_t j = i; j < i + LANES; j++) {
                set->c[m] = (sampler_candidate){.id = j, .logit = l[j]};
                m += l[j] >= floor; /* m <= j before, so the slot written is there */
            }
        }
        for (; i < n; i++) {
            set->c[m] = (sampler_candidate){.id = i, .logit = l[i]};
            m += l[i] >= floor;
        }
        set->dense = set->sorted = false;
    } else {
        for (size_t i = 0; i < set->n; i++) {
            set->c[m] = set->c[i];
            m += set->c[i].logit >= floor;
        }
    }
    set->n = m;
}

void set_list(leat_sampler *s, sampler_set *set) {
    if (set->dense) set_floor(s, set, -(double)INFINITY);
}

/* Sorts keys[0..n): by all 64 bits when there are few, else by the upper 32, keeping the order of equal ones.
 * Returns whichever of the two arrays holds the result. */
static uint64_t *sort_keys(leat_sampler *s, size_t n) {
    uint64_t *from = s->keys, *to = s->keys_other;
    if (n <= SHORT_SORT) {
        for (size_t i = 1; i < n; i++) {
            uint64_t k = from[i];
            size_t j = i;
            for (; j > 0 && from[j - 1] > k; j--) from[j] = from[j - 1];
            from[j] = k;
        }
        return from;
    }
    memset(s->digits, 0, sizeof s->digits);
    for (size_t i = 0; i < n; i++)
        for (int pass = 0; pass < SAMPLE_PASSES; pass++)
            s->digits[pass][from[i] >> (32 + pass * SAMPLE_DIGIT_BITS) & (SAMPLE_DIGITS - 1)]++;
    for (int pass = 0; pass < SAMPLE_PASSES; pass++) {
        uint32_t *start = s->digits[pass], sum = 0;
        int shift = 32 + pass * SAMPLE_DIGIT_BITS;
        if (start[from[0] >> shift & (SAMPLE_DIGITS - 1)] == n) continue; /* all the same digit */
        for (int i = 0; i < SAMPLE_DIGITS; i++) {
            uint32_t here = start[i];
            start[i] = sum;
            sum += here;
        }
        for (size_t i = 0; i < n; i++) to[start[from[i] >> shift & (SAMPLE_DIGITS - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* Puts the candidates into the order of the upper halves of s->keys, whose lower halves are indices into
 * set->c. */
static void reorder(leat_sampler *s, sampler_set *set) {
    const uint64_t *sorted = sort_keys(s, set->n);
    sampler_candidate *to = set->c == s->a ? s->b : s->a;
    for (size_t i = 0; i < set->n; i++) to[i] = set->c[(uint32_t)sorted[i]];
    set->c = to;
}

void set_sort(leat_sampler *s, sampler_set *set) {
    set_list(s, set);
    if (set->sorted) return;
    for (size_t i = 0; i < set->n; i++) s->keys[i] = (uint64_t)sample_key(set->c[i].logit) << 32 | i;
    reorder(s, set);
    set->sorted = true;
}

/* The k largest of the dense form. A buffer takes what may be among them; whenever it is full it is sorted
 * and cut to k, and its last logit is the new bar. Equal logits further on have higher ids, so they stay
 * below it. Usually the bar is soon so high that this is a pass of comparisons. */
static void top_of_dense(leat_sampler *s, sampler_set *set, size_t k, size_t room) {
    const float *l = s->logits;
    uint64_t *keys = s->keys;
    float bar = -INFINITY;
    size_t m = 0;
    uint32_t n = s->n_vocab;
    for (uint32_t i = 0; i < n; i += LANES) {
        uint32_t end = n - i < LANES ? n : i + LANES;
        if (end - i == LANES && !any_above(l + i, bar)) continue;
        for (uint32_t j = i; j < end; j++) {
            if (!(l[j] > bar)) continue;
            keys[m++] = (uint64_t)sample_key(l[j]) << 32 | j;
            if (m < room) continue;
            const uint64_t *sorted = sort_keys(s, m);
            if (sorted != keys) memcpy(keys, sorted, k * sizeof *keys);
            m = k;
            bar = l[(uint32_t)keys[k - 1]];
        }
    }
    const uint64_t *sorted = sort_keys(s, m);
    set->c = s->a;
    set->n = m < k ? m : k;
    for (size_t i = 0; i < set->n; i++) {
        uint32_t id = (uint32_t)sorted[i];
        set->c[i] = (sampler_candidate){.id = id, .logit = l[id]};
    }
    set->dense = false;
    set->sorted = true;
}

void set_top(leat_sampler *s, sampler_set *set, size_t k) {
    size_t room = 2 * k < 256 ? 256 : 2 * k;
    if (set->dense && k < s->n_vocab / 4 && room < s->n_vocab) {
        top_of_dense(s, set, k, room);
        return;
    }
    set_sort(s, set);
    if (set->n > k) set->n = k;
}

double set_total(const leat_sampler *s, const sampler_set *set, float max) {
    double total = 0;
    if (!set->dense) {
        for (size_t i = 0; i < set->n; i++) total += (double)sample_exp(set->c[i].logit - max);
        return total;
    }
    for (uint32_t i = 0; i < s->n_vocab; i += CHUNK) {
        uint32_t m = s->n_vocab - i < CHUNK ? s->n_vocab - i : CHUNK;
        const float *l = s->logits + i;
        float w[CHUNK];
        for (uint32_t j = 0; j < m; j++) w[j] = sample_exp(l[j] - max);
        double lanes[4] = {0};
        uint32_t j = 0;
        for (; j + 4 <= m; j += 4)
            for (int k = 0; k < 4; k++) lanes[k] += (double)w[j + (uint32_t)k];
        for (; j < m; j++) lanes[0] += (double)w[j];
        total += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    }
    return total;
}

static inline float score_of(float logit, float max, double center) {
    return (float)fabs((double)max - (double)logit - center);
}

/* Drops what lies in bins of score that the cut can't reach. */
static void drop_far(leat_sampler *s, sampler_set *set, float max, double center, double target, bool reach,
                     size_t min_keep) {
    memset(s->count, 0, sizeof s->count);
    memset(s->mass, 0, sizeof s->mass);
    for (size_t i = 0; i < set->n; i++) {
        uint32_t bin = sample_bin(score_of(set->c[i].logit, max, center));
        s->count[bin]++;
        s->mass[bin] += (double)sample_exp(set->c[i].logit - max);
    }
    uint32_t last = 0;
    size_t tokens = 0, m = 0;
    double mass = 0;
    for (; last < SAMPLE_BINS - 1; last++) {
        tokens += s->count[last];
        mass += s->mass[last];
        /* a hair more than the target: sums in another order differ in their last bits */
        if (tokens >= min_keep && (reach ? mass >= target * (1 + 1e-12) : mass > target * (1 + 1e-12))) break;
    }
    for (size_t i = 0; i < set->n; i++) {
        set->c[m] = set->c[i];
        m += sample_bin(score_of(set->c[i].logit, max, center)) <= last;
    }
    set->n = m;
}

/* The dense form to a list that holds all that a cut by mass of the likeliest can keep. Returns the total
 * mass. */
static double drop_unlikely(leat_sampler *s, sampler_set *set, float max, double p, size_t min_keep) {
    memset(s->count, 0, sizeof s->count);
    memset(s->mass, 0, sizeof s->mass);
    for (uint32_t i = 0; i < s->n_vocab; i += CHUNK) {
        uint32_t m = s->n_vocab - i < CHUNK ? s->n_vocab - i : CHUNK, bin[CHUNK];
        float d[CHUNK], w[CHUNK];
        for (uint32_t j = 0; j < m; j++) d[j] = max - s->logits[i + j];
        for (uint32_t j = 0; j < m; j++) {
            float at = d[j] * SAMPLE_BINS_PER_UNIT;
            bin[j] = (uint32_t)(int32_t)(at < SAMPLE_BINS - 1 ? at : SAMPLE_BINS - 1);
        }
        for (uint32_t j = 0; j < m; j++) w[j] = sample_exp(-d[j]);
        for (uint32_t j = 0; j < m; j++) {
            s->count[bin[j]]++;
            s->mass[bin[j]] += (double)w[j];
        }
    }
    double total = 0, mass = 0;
    for (uint32_t i = 0; i < SAMPLE_BINS; i++) total += s->mass[i];
    uint32_t last = 0;
    for (size_t tokens = 0; last < SAMPLE_BINS - 1; last++) {
        tokens += s->count[last];
        mass += s->mass[last];
        if (tokens >= min_keep && mass >= p * total * (1 + 1e-12)) break;
    }
    double least = (double)max - (double)(last + 1) / SAMPLE_BINS_PER_UNIT;
    set_floor(s, set, last < SAMPLE_BINS - 1 ? least : -(double)INFINITY);
    return total;
}

void set_mass(leat_sampler *s, sampler_set *set, float max, double center, double p, bool reach,
              size_t min_keep) {
    bool by_logit = !(center > 0); /* then the score is the distance to the largest */
    bool dense = set->dense && by_logit;
    double target = p * (dense ? drop_unlikely(s, set, max, p, min_keep) : set_total(s, set, max)), mass = 0;
    set_list(s, set);
    if (!dense && set->n > BINNED_MIN && !(by_logit && set->sorted))
        drop_far(s, set, max, center, target, reach, min_keep);
    if (by_logit) {
        set_sort(s, set);
    } else {
        for (size_t i = 0; i < set->n; i++) {
            float score = score_of(set->c[i].logit, max, center);
            uint32_t bits;
            memcpy(&bits, &score, sizeof bits); /* not negative: in the order of the floats */
            s->keys[i] = (uint64_t)bits << 32 | i;
        }
        reorder(s, set);
        set->sorted = false;
    }
    for (size_t i = 0; i < set->n; i++) {
        mass += (double)sample_exp(set->c[i].logit - max);
        if ((reach ? mass >= target : mass > target) && i + 1 >= min_keep) {
            set->n = i + 1;
            return;
        }
    }
}
