/* What a measurement ran on: the machine's name and sizes, how fast its memory can be read, and whether
 * something else kept it busy meanwhile. For `leat bench`. Nothing here knows of models; what can't be found
 * out is 0 or "". */
#ifndef LEAT_TOOLS_MACHINE_H
#define LEAT_TOOLS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct machine {
    char cpu[128];       /* "AMD Ryzen 7 5800X 8-Core Processor" */
    char system[128];    /* "Linux 6.1.0 x86_64" */
    unsigned processors; /* logical ones that are online */
    uint64_t memory;     /* bytes of RAM */
    uint64_t cache;      /* bytes of the largest cache of the first processor */
} machine;
void machine_read(machine *m);

/* How much memory machine_read_speed reads: four times the largest cache, at least 512 MiB, at most 1 GiB and
 * at most a quarter of what is free (a container's limit counts). 0 where that leaves less than 64 MiB: too
 * little to tell memory from cache. */
size_t machine_read_bytes(const machine *m);

/* Bytes per second at which `threads` threads together read a buffer of `bytes`, each its own contiguous part
 * that it has written first (pages of the nearest memory, huge ones where the system has them): 64-bit words,
 * which the compiler turns into vector loads, with prefetches ahead so that the memory and not its latency
 * sets the pace. The best of `passes` passes after a first that is not counted. 0 on failure. */
double machine_read_speed(size_t bytes, unsigned threads, unsigned passes);

/* Work for machine_work_speed: does `rounds` of it and returns how many operations these were. */
typedef uint64_t machine_work(void *argument, uint64_t rounds);
/* Operations per second of `threads` threads that do nothing else at the same time, in the best of some
 * periods of 30 ms. 0 on failure. */
double machine_work_speed(machine_work *work, void *argument, unsigned threads);

/* Who used the processors between two moments. */
typedef struct busy {
    double seconds; /* of the clock */
    double own;     /* processor seconds of this process */
    double others;  /* processor seconds of everything else, time stolen by the host included; -1: unknown */
    double stolen;  /* of `others`, what a virtual machine's host took; -1: unknown */
    long switches;  /* times this process had to yield a processor against its will */
} busy;
void busy_now(busy *b);                            /* totals until now */
void busy_since(const busy *start, busy *elapsed); /* the difference */

#endif
