/* The files beside the weights of hf_folder.h. */
#ifndef LEAT_TESTS_HF_CONFIG_H
#define LEAT_TESTS_HF_CONFIG_H

#include <stdbool.h>

#include "arch_spec.h"
#include "loader/gguf.h"

/* What rows of the tables are for: the architecture, or its form with other names. */
const char *hf_kind(const arch_spec *s);
/* A number of the architecture's, the first that is not 0 of an array; 0 where there is none. */
uint32_t hf_number(const gguf *g, const arch_spec *spec, const char *key);
bool hf_write_config(const gguf *g, const arch_spec *spec, const char *dir);
/* tokenizer.model */
bool hf_write_vocabulary(const gguf *g, const char *dir);

#endif
