/* Asking for weights ahead of time. Included only inside this folder.
 *
 * Decode is bound by memory and was measured to depend on this more than on anything else: for each 64 bytes
 * consumed, exactly one prefetch into L1 1 KiB ahead and one into L2 4 KiB ahead. Whole models, in small and
 * in huge pages, were 1 % (Q4_0) to 6 % (Q4_K) faster with these distances than with 2 and 16 KiB, and 10 %
 * slower with 1 and 2 KiB. Since blocks are no multiple of 64 bytes, a cursor that runs on across rows does
 * the counting. Prefetches never fault, so it may run past the end of the weights. */
#ifndef LEAT_KERNELS_X86_AVX512VNNI_STREAM_H
#define LEAT_KERNELS_X86_AVX512VNNI_STREAM_H

#include "kernels/x86/avx512/vec.h"

typedef uintptr_t stream; /* the first address not yet asked for (not counting the distance) */

/* A new row starts: nothing to do unless the rows are not adjacent. */
VEC_INLINE void stream_row(stream *s, const uint8_t *row) {
    if (*s < (uintptr_t)row) *s = (uintptr_t)row;
}

VEC_INLINE void stream_line(stream *s) {
    _mm_prefetch((const char *)(*s + 1024), _MM_HINT_T0);
    _mm_prefetch((const char *)(*s + 4096), _MM_HINT_T1);
    *s += 64;
}

/* bytes (a constant) from p on are about to be consumed; on entry and on exit the cursor is less than a line
 * ahead. */
VEC_INLINE void stream_bytes(stream *s, const uint8_t *p, const size_t bytes) {
    if (bytes >= 64) stream_line(s);
    if (bytes >= 128) stream_line(s);
    if (bytes >= 192) stream_line(s);
    if (*s < (uintptr_t)p + bytes) stream_line(s);
}

#endif
