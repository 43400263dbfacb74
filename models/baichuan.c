/* baichuan: Baichuan 7B, which is llama under another name. The 13B model, known by its 40 layers, has no
 * rotations but biases by distance, which Leat does not compute. */
#include "decoder.h"

enum { LAYERS_13B = 40 };

static leat_status baichuan_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && hp->n_layer == LAYERS_13B)
        s = arch_error(l, LEAT_E_UNSUPPORTED,
                       "the 13B model's attention by distance (ALiBi) is not supported");
    return s;
}

const arch arch_baichuan = DECODER("baichuan", baichuan_hparams, .rope = ROPE_PAIRS);
