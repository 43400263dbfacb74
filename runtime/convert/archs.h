/* What the tables of archs.c and archs_more.c share: keys that have to be worked out. */
#ifndef LEAT_RUNTIME_CONVERT_ARCHS_H
#define LEAT_RUNTIME_CONVERT_ARCHS_H

#include "conversion.h"

/* The lists, each ended by one without `arch`. */
extern const convert_arch convert_archs[], convert_archs_more[], convert_archs_gemma[],
    convert_archs_encoders[];

/* arch_keys.c: rope.dimension_count is the part of each head that is rotated, all of it if nothing is said
 * (hparams_rotated) or half (hparams_half_rotated). */
void hparams_rotated(conversion *c);
void hparams_half_rotated(conversion *c);
void hparams_baichuan(conversion *c);
void hparams_chatglm(conversion *c);
void hparams_codeshell(conversion *c);
void hparams_deepseek(conversion *c);
void hparams_ernie_moe(conversion *c);
void hparams_exaone(conversion *c);
void hparams_falcon(conversion *c);
void hparams_gemma3(conversion *c);
void hparams_glm4moe(conversion *c);
void hparams_gpt2(conversion *c);
void hparams_gptneox(conversion *c);
void hparams_hunyuan(conversion *c);
void hparams_minicpm(conversion *c);
void hparams_minimax(conversion *c);
void hparams_mistral3(conversion *c);
void hparams_orion(conversion *c);
void hparams_phi3(conversion *c);
void hparams_qwen3vl(conversion *c);
void hparams_sigmoid(conversion *c);
void hparams_stablelm(conversion *c);
void hparams_windows(conversion *c);
/* attention.sliding_window_pattern from the kinds of layers: true where `word` is one's. */
void hparams_layer_kinds(conversion *c, const char *key, const char *word);

#endif
