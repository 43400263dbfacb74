/* The smallest program that embeds Leat: a model, a session, a sampler, a decoder, and a loop. Also the
 * example in the README. */
#include <leat.h>
#include <stdio.h>

int main(int argc, char **argv) {
    static const char prompt[] = "Once upon a time";
    leat_model *model = NULL;
    leat_session *session = NULL;
    leat_sampler *sampler = NULL;
    leat_decoder *decoder = NULL;
    leat_token tokens[64];
    size_t n;
    leat_error error = {LEAT_OK, ""};
    if (argc != 2 || leat_model_open(argv[1], NULL, &model, &error) ||
        leat_session_open(model, NULL, &session, &error) ||
        leat_sampler_open(model, NULL, &sampler, &error) ||
        leat_decoder_open(model, false, &decoder, &error) ||
        leat_tokenize(model, prompt, sizeof prompt - 1, LEAT_TOKENIZE_BOS, tokens, 64, &n, &error) ||
        leat_session_eval(session, tokens, n, &error))
        goto fail;
    for (size_t i = 0; i < n + 50; i++) {
        leat_token token = i < n ? tokens[i] : 0;
        if (i >= n && leat_sampler_next(sampler, session, &token, &error)) goto fail;
        if (leat_token_is_end(model, token)) break;
        leat_str text = leat_decoder_push(decoder, token); /* whole UTF-8 characters */
        fwrite(text.data, 1, text.size, stdout);
        if (i >= n && leat_session_eval(session, &token, 1, &error)) goto fail;
    }
    putchar('\n');
fail:
    if (error.code) fprintf(stderr, "%s\n", error.message);
    leat_decoder_close(decoder);
    leat_sampler_close(sampler);
    leat_session_close(session);
    leat_model_close(model);
    return error.code != LEAT_OK;
}
