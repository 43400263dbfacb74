/* Fills the kernel table. The sets of isa.def in their order: C fills every entry, each further set overrides
 * those it implements. The only file that knows which instruction sets exist. */
#include "kernels.h"

#include <string.h>

#include "c/c.h"
#include "cpu.h"
#if defined(__x86_64__)
#    include "x86/x86.h"
#endif

typedef struct isa {
    const char *name;
    uint32_t needs;
    void (*init)(kernels *k);
} isa;

#define ISA_any(set, flags) {#set, flags, kernels_init_##set},
#if defined(__x86_64__)
#    define ISA_x86(set, flags) ISA_any(set, flags)
#else
#    define ISA_x86(set, flags)
#endif

static const isa sets[] = {
#define X(set, architecture, flags) ISA_##architecture(set, flags)
#include "isa.def"
#undef X
};
enum { N_SETS = sizeof sets / sizeof *sets };

static bool runs_here(const isa *s, uint32_t flags) {
    return (s->needs & ~flags) == 0;
}

const char *kernels_isa(size_t i) {
    uint32_t flags = cpu_flags();
    for (size_t s = 0; s < N_SETS; s++)
        if (runs_here(&sets[s], flags) && i-- == 0) return sets[s].name;
    return NULL;
}

bool kernels_init(kernels *k, const char *name) {
    return kernels_init_for(k, name, cpu_flags());
}

bool kernels_init_for(kernels *k, const char *name, uint32_t flags) {
    size_t highest = N_SETS;
    for (size_t s = 0; s < N_SETS; s++)
        if (runs_here(&sets[s], flags) && (!name || !strcmp(name, sets[s].name))) highest = s;
    if (highest == N_SETS) return false;

    memset(k, 0, sizeof *k);
    k->pass_panels = 4;
    k->pass_tokens = 256;
    for (size_t s = 0; s <= highest; s++)
        if (runs_here(&sets[s], flags)) sets[s].init(k);
    k->isa = sets[highest].name;
    return true;
}

weight_traits kernels_traits(uint32_t format) {
    switch (format) {
#define W(name, NAME, act, panel)                                                                            \
    case FORMAT_##NAME:                                                                                      \
        return (weight_traits){act, panel};
#include "kernels.def"
#undef W
    default: return (weight_traits){ACT_COUNT, PANEL_COUNT};
    }
}

float quantize_largest(uint32_t format) {
    switch (format) {
#define Z(name, NAME, largest)                                                                               \
    case FORMAT_##NAME:                                                                                      \
        return largest;
#include "kernels.def"
#undef Z
    default: return 0;
    }
}
