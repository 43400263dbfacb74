/* What `leat bench` measured, between the file that measures (bench.c) and the one that prints it
 * (bench_report.c). */
#ifndef LEAT_TOOLS_BENCH_H
#define LEAT_TOOLS_BENCH_H

#include <stdio.h>

#include "runtime/leat.h"

#include "input.h"
#include "machine.h"

typedef struct bench_model {
    char path[PATH_MAX];
    leat_model *model;
    leat_model_info info; /* its strings are static or in here */
    char architecture[64];
    const char *type;      /* of most weights: "Q4_K" */
    uint32_t type_id;      /* its number */
    uint64_t weight_bytes; /* read once per generated token */
    double products;       /* of weights with a prompt's token */
    double last_products;  /* and with its last one more: the logits */
    double open_seconds;   /* for the model */
    double load_seconds;   /* for the model and its last session */
} bench_model;

typedef struct bench_row {
    const bench_model *model;
    char test[64]; /* "tg128 @ d4096" */
    uint32_t threads, batch, depth;
    bool automatic;           /* threads were the session's choice */
    uint32_t n_prompt, n_gen; /* one of them is 0 */
    double bytes_per_token;   /* of a generated one; 0 for prompts */
    double operations;        /* per token of a prompt: multiplications and additions with weights */
    double multiply_speed;    /* operations per second that could be; 0: unknown */
    size_t first_sample, n_samples;
    double mean, deviation, best; /* tokens per second */
    long switches;                /* involuntary, of this process, during the test */
    double others;                /* processor seconds of everything else meanwhile; -1: unknown */
} bench_row;

typedef struct bench_roof {
    uint32_t threads;
    double speed; /* bytes per second; 0: could not be measured */
} bench_roof;

typedef struct bench {
    machine machine;
    size_t read_bytes; /* size of the buffer behind the roofs */
    double load;       /* average when the run began; -1: unknown */
    busy busy;         /* over the whole run */
    const char *cache_k, *cache_v, *activations;
    bench_model *models;
    bench_row *rows;
    bench_roof *roofs;
    double *samples; /* tokens per second */
    size_t n_models, n_rows, n_roofs;
} bench;

/* To stdout; format is "table", "md", "csv" or "json". */
void bench_print(const bench *b, const char *format);
/* To stderr, if the machine was too busy for the numbers to mean much. */
void bench_warn(const bench *b);

#endif
