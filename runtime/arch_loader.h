/* The engine's side of arch.h: what model.c sets up before it calls an architecture's functions. */
#ifndef LEAT_RUNTIME_ARCH_LOADER_H
#define LEAT_RUNTIME_ARCH_LOADER_H

#include "arch.h"

struct arch_loader {
    const gguf *g;
    const char *arch_name;
    uint8_t *used; /* (n_tensors) set by arch_bind, so that a tensor nobody wanted is noticed */
    leat_error *e;
};

#endif
