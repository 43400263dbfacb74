/* The trials of tune.h. The best number so far and a rival take turns of some pieces each. Of a turn, the
 * first piece is not counted: workers wake up in it. */
#include "tune.h"

#include <string.h>

enum {
    TURN = 4,             /* pieces */
    MARGIN_PERCENT = 3,   /* a rival must be so much faster: samples are noisy */
    BEHIND_PERCENT = 20,  /* a rival so much slower needs no more samples */
    PAUSE_LEAST_MS = 500, /* of work between trials; doubled while they change nothing */
    PAUSE_MOST_MS = 4000
};
static const uint64_t ns_of_ms = 1000000;

void tuner_start(tuner *t, uint32_t least, uint32_t first, uint32_t most) {
    uint32_t down[TUNE_CANDIDATES];
    size_t n = 0;
    memset(t, 0, sizeof *t);
    for (uint32_t v = first; v >= least && v && n<TUNE_CANDIDATES - 1; v -= v> 4 ? v / 4 : 1) down[n++] = v;
    while (n) t->candidate[t->n++] = down[--n];
    t->best = t->rival = t->n - 1;
    if (most > first) t->candidate[t->n++] = most;
    t->to_try = TUNE_UP | TUNE_DOWN;
    t->pause_ns = PAUSE_LEAST_MS * ns_of_ms;
}

static void forget_samples(tuner *t) {
    t->n_samples[0] = t->n_samples[1] = t->turn = 0;
}

/* The next number that is to be tried becomes the rival; if there is none, the best stays alone for a while.
 */
static void next_rival(tuner *t) {
    forget_samples(t);
    t->settled_ns = 0;
    t->rival = t->best;
    while (t->to_try && t->rival == t->best) {
        t->up = t->to_try & TUNE_UP;
        t->to_try &= t->up ? ~(unsigned)TUNE_UP : ~(unsigned)TUNE_DOWN;
        if (t->up && t->best + 1 < t->n) t->rival = t->best + 1;
        if (!t->up && t->best > 0) t->rival = t->best - 1;
    }
}

bool tuner_pass(tuner *t, size_t like) {
    t->before = 0;
    if (t->n == 1) return false;
    if (t->rival == t->best && (t->to_try || t->settled_ns >= t->pause_ns)) {
        if (!t->to_try && t->pause_ns < PAUSE_MOST_MS * ns_of_ms) t->pause_ns *= 2;
        t->to_try = TUNE_UP | TUNE_DOWN;
        next_rival(t);
    }
    if (like != t->like) forget_samples(t);
    t->like = like;
    return t->rival != t->best;
}

uint32_t tuner_next(tuner *t) {
    bool rival = t->rival != t->best && t->turn / TURN % 2;
    t->workers = t->candidate[rival ? t->rival : t->best];
    return t->workers;
}

/* The mean of all but the slowest: now and then the machine does something else. */
static uint64_t mean(const uint64_t *sample, size_t n) {
    uint64_t sum = 0, slowest = 0;
    for (size_t i = 0; i < n; i++) {
        sum += sample[i];
        if (sample[i] > slowest) slowest = sample[i];
    }
    return n > 1 ? (sum - slowest) / (n - 1) : sum;
}

void tuner_took(tuner *t, uint64_t ns) {
    bool counts = t->workers == t->before;
    t->before = t->workers;
    if (t->rival == t->best) {
        t->settled_ns += ns;
        return;
    }
    size_t side = t->turn++ / TURN % 2;
    if (counts && t->n_samples[side] < TUNE_SAMPLES) t->sample[side][t->n_samples[side]++] = ns;
    uint64_t best = mean(t->sample[0], t->n_samples[0]), rival = mean(t->sample[1], t->n_samples[1]);
    bool enough = t->n_samples[0] == TUNE_SAMPLES && t->n_samples[1] == TUNE_SAMPLES;
    bool behind = t->n_samples[0] >= TUNE_DROP_SAMPLES && t->n_samples[1] >= TUNE_DROP_SAMPLES &&
                  rival > best + best * BEHIND_PERCENT / 100;
    if (!enough && !behind) return;
    if (rival < best - best * MARGIN_PERCENT / 100) {
        t->best = t->rival;
        t->to_try = t->up ? TUNE_UP : TUNE_DOWN; /* the other side is where it came from */
        t->pause_ns = PAUSE_LEAST_MS * ns_of_ms;
    }
    next_rival(t);
}

uint32_t tuner_best(const tuner *t) {
    return t->candidate[t->best];
}
