/* How many workers are best: found out by trying, while the work is done. A pass is cut into pieces that are
 * alike (layers); the tuner says how many workers the next piece gets and is told how long it took. Results
 * do not depend on the number of workers, so nothing is lost by trying but the time that a bad number costs,
 * and that is kept small: a number is dropped as soon as it is seen to be far behind, and after the first
 * choice another is tried only now and then, in case the machine has become busy or free. Knows no threads
 * and no clock: run.c has one tuner for passes of one token and one for passes of many. */
#ifndef LEAT_RUNTIME_TUNE_H
#define LEAT_RUNTIME_TUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TUNE_CANDIDATES = 16,
    TUNE_SAMPLES = 6,     /* of each side, for a decision */
    TUNE_DROP_SAMPLES = 2 /* of each side, to drop what is far behind */
};
enum { TUNE_UP = 1, TUNE_DOWN = 2 };

typedef struct tuner {
    uint32_t candidate[TUNE_CANDIDATES]; /* numbers of workers, ascending */
    size_t n;
    size_t best, rival;               /* indices; equal: nothing is being tried */
    unsigned to_try;                  /* directions from the best, TUNE_UP and TUNE_DOWN */
    bool up;                          /* where the rival is */
    uint64_t sample[2][TUNE_SAMPLES]; /* ns of a piece: of the best, of the rival */
    size_t n_samples[2];
    size_t turn;                   /* pieces since the trial began */
    size_t like;                   /* what passes the samples are of */
    uint32_t workers, before;      /* of this piece, and of the one before it in this pass, or 0 */
    uint64_t settled_ns, pause_ns; /* work since the last trial, and until the next */
} tuner;

/* Begins with `first` workers; tries fewer, in steps of a quarter down to `least`, and `most`, the most there
 * can be at all. least == first == most: that number it is. */
void tuner_start(tuner *t, uint32_t least, uint32_t first, uint32_t most);

/* A pass begins. Only passes with the same `like` (number of tokens) are compared with each other. True if
 * something is to be tried in it: tuner_next before each piece and tuner_took after it. If not, the pass is
 * one piece. */
bool tuner_pass(tuner *t, size_t like);
/* How many workers the next piece gets. */
uint32_t tuner_next(tuner *t);
void tuner_took(tuner *t, uint64_t ns);
/* The number it holds for best. */
uint32_t tuner_best(const tuner *t);

#endif
