/* How matvec reads rows: four far apart at a time. Included by the matvec kernels of the folders here. */
#ifndef LEAT_KERNELS_X86_STREAMS_H
#define LEAT_KERNELS_X86_STREAMS_H

#include <immintrin.h>
#include <stddef.h>

/* Decode is bound by memory, and depends on this more than on anything else: for each 64 bytes consumed
 * exactly one prefetch into L1 1 KiB ahead and one into L2 4 KiB ahead. Whole models, in small and in huge
 * pages, were 1 % (Q4_0) to 6 % (Q4_K) faster with these distances than with 2 and 16 KiB, and 10 % slower
 * with 1 and 2.
 *
 * Better than one stream are four: rows r, r + n, r + 2n and r + 3n side by side, n a quarter of them, which
 * keeps more of the memory busy. Measured on one core with weights of 2048 columns: 81 % of plain reading
 * becomes 92 % (Q4_0), 84 % becomes 96 % (Q8_0); adjacent rows side by side are slower than one after the
 * other. All four advance in step, so that one cursor, that of the first, serves all. Prefetches never fault,
 * so it may run past the end of the weights. */
enum { STREAMS = 4 };
#define EACH_STREAM(X) X(0) X(1) X(2) X(3)

typedef struct streams {
    const char *at;    /* the first byte of the first stream that is not asked for, less the distance */
    const char *end;   /* of the first stream */
    size_t row, apart; /* bytes between rows of a stream, and between streams */
    size_t jump;       /* from the end of a stream to where the next call is likely to continue it */
} streams;

#define STREAMS_INLINE static inline __attribute__((always_inline))

/* n: STREAMS or 1, a constant in all of these. */
STREAMS_INLINE streams streams_open(const char *w, size_t row_bytes, size_t n_rows, const int n) {
    const size_t apart = n_rows * row_bytes;
    return (streams){w, w + apart, row_bytes, apart, (size_t)(n - 1) * apart};
}

STREAMS_INLINE const char *streams_row(streams *s, const char *w, size_t r) {
    const char *row = w + r * s->row;
    if (s->at < row) s->at = row;
    return row;
}

/* The step of `step` bytes that ends at p, of each stream. */
STREAMS_INLINE void streams_ask(streams *s, const char *p, const size_t step, const int n) {
    const char *near = s->at + 1024, *far = s->at + 4096;
    near += near < s->end ? 0 : s->jump;
    far += far < s->end ? 0 : s->jump;
    const size_t lines = step / 64 + (s->at + step / 64 * 64 < p);
#define ASK(t)                                                                                               \
    if (t < n) {                                                                                             \
        _mm_prefetch(near + 64 * i + t * s->apart, _MM_HINT_T0);                                             \
        _mm_prefetch(far + 64 * i + t * s->apart, _MM_HINT_T1);                                              \
    }
    for (size_t i = 0; i < step / 64; i++) {
        EACH_STREAM(ASK)
    }
    if (lines > step / 64) {
        const size_t i = step / 64;
        EACH_STREAM(ASK)
    }
#undef ASK
    s->at += 64 * lines;
}

#endif
