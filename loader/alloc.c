/* The real memory seam: the only file of the library that calls malloc's family. Blocks come from calloc, so
 * that the zeros of a large one cost nothing until they are touched (a KV cache is resident only as far as it
 * is used), and are moved up to the alignment by hand; the byte before the block says how far. */
#include "alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

#if defined(__SANITIZE_ADDRESS__)
#    define HAVE_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define HAVE_ASAN 1
#    endif
#endif

/* What lies before and after the caller's bytes in the calloc block is closed off where AddressSanitizer is
 * on, or it would take an overrun of up to 64 bytes for a valid access. */
#ifdef HAVE_ASAN
#    include <sanitizer/asan_interface.h>
#    define CLOSE_OFF(p, n) __asan_poison_memory_region(p, n)
#    define OPEN_UP(p, n)   __asan_unpoison_memory_region(p, n)
#else
#    define CLOSE_OFF(p, n) ((void)(p), (void)(n))
#    define OPEN_UP(p, n)   ((void)(p), (void)(n))
#endif

enum { ALIGNMENT = 64 };

void *mem_alloc(size_t count, size_t size) {
    size_t n, total;
    if (!checked_mul(count, size, &n) || !checked_add(n, ALIGNMENT, &total)) return NULL;
    uint8_t *block = calloc(total, 1);
    if (!block) return NULL;
    /* 1..64 bytes up, so that there is always a byte before. */
    size_t shift = ALIGNMENT - (uintptr_t)block % ALIGNMENT;
    uint8_t *p = block + shift;
    p[-1] = (uint8_t)shift;
    CLOSE_OFF(block, shift);
    CLOSE_OFF(p + n, ALIGNMENT - shift);
    return p;
}

void *mem_resize(void *p, size_t old_count, size_t new_count, size_t size) {
    uint8_t *fresh = mem_alloc(new_count, size);
    if (!fresh) return NULL;
    size_t kept = old_count < new_count ? old_count : new_count;
    if (p && kept && size) memcpy(fresh, p, kept * size);
    mem_free(p);
    return fresh;
}

void mem_free(void *p) {
    if (!p) return;
    uint8_t *block = p;
    OPEN_UP(block - 1, 1);
    free(block - block[-1]);
}
