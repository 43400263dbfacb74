/* The tensors around those that a test is about: a model of one layer whose folder is complete, since one
 * that is not can't be converted. Static: a suite includes this once. */
#ifndef LEAT_TESTS_CONVERT_SMALL_H
#define LEAT_TESTS_CONVERT_SMALL_H

#include <stdio.h>

#include "tests/harness/hf_folder.h"

enum { SMALL_WIDTH = 96, SMALL_FF = 64, SMALL_MAX = 12 };

/* Appends to n tensors, without those that are there already; zeros all. `ff`: with the feed-forward of a
 * llama. Returns how many there are then. */
static size_t small_add(hf_tensor *list, size_t n, uint64_t tokens, bool ff) {
    static const float zeros[300 * SMALL_WIDTH];
    const struct {
        const char *name;
        uint64_t rows, cols;
    } all[] = {{"model.embed_tokens.weight", tokens, SMALL_WIDTH},
               {"model.norm.weight", SMALL_WIDTH, 0},
               {"model.layers.0.input_layernorm.weight", SMALL_WIDTH, 0},
               {"model.layers.0.post_attention_layernorm.weight", SMALL_WIDTH, 0},
               {"model.layers.0.self_attn.q_proj.weight", SMALL_WIDTH, SMALL_WIDTH},
               {"model.layers.0.self_attn.k_proj.weight", SMALL_WIDTH, SMALL_WIDTH},
               {"model.layers.0.self_attn.v_proj.weight", SMALL_WIDTH, SMALL_WIDTH},
               {"model.layers.0.self_attn.o_proj.weight", SMALL_WIDTH, SMALL_WIDTH},
               {"model.layers.0.mlp.gate_proj.weight", SMALL_FF, SMALL_WIDTH},
               {"model.layers.0.mlp.up_proj.weight", SMALL_FF, SMALL_WIDTH},
               {"model.layers.0.mlp.down_proj.weight", SMALL_WIDTH, SMALL_FF}};
    const size_t count = sizeof all / sizeof *all - (ff ? 0 : 3), before = n;
    for (size_t i = 0; i < count; i++) {
        /* parts of a packed matrix are called as it is but for their ends */
        size_t stem = strlen(all[i].name) - strlen("weight"), k = 0;
        while (k < before && strncmp(list[k].name, all[i].name, stem) != 0) k++;
        if (k < before) continue;
        list[n] = (hf_tensor){.type = "F32",
                              .n_dims = all[i].cols ? 2 : 1,
                              .dims = {all[i].rows, all[i].cols},
                              .data = zeros,
                              .bytes = 4 * all[i].rows * (all[i].cols ? all[i].cols : 1)};
        snprintf(list[n].name, sizeof list[n].name, "%s", all[i].name);
        n++;
    }
    return n;
}

#endif
