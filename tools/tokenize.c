/* `leat tokenize` and `leat detokenize`: text to token ids and back, with nothing but a model's vocabulary.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "input.h"
#include "json.h"
#include "options.h"
#include "term.h"

typedef struct tokenize_options {
    const char *model, *text, *file;
    bool null, special, bos, json;
} tokenize_options;

/* One text, one line: ids separated by spaces, or {"ids": [...], "pieces": [...]}. */
static int print_tokens(const leat_model *model, const tokenize_options *o, const char *text, size_t n) {
    leat_token *tokens;
    size_t count;
    unsigned flags = (o->special ? LEAT_TOKENIZE_SPECIAL : 0u) | (o->bos ? LEAT_TOKENIZE_BOS : 0u);
    int status = tokenize_text(model, text, n, flags, &tokens, &count);
    if (status) return status;
    if (o->json) {
        json j;
        json_start(&j, stdout, false);
        json_object(&j);
        json_name(&j, "ids");
        json_array(&j);
        for (size_t i = 0; i < count; i++) json_i64(&j, tokens[i]);
        json_array_end(&j);
        json_name(&j, "pieces");
        json_array(&j);
        for (size_t i = 0; i < count; i++) {
            leat_str piece = leat_token_text(model, tokens[i], true);
            json_string(&j, piece.data, piece.size);
        }
        json_array_end(&j);
        json_object_end(&j);
    } else {
        for (size_t i = 0; i < count; i++) printf(i ? " %d" : "%d", (int)tokens[i]);
    }
    putchar('\n');
    free(tokens);
    return ferror(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int tokenize_all(const leat_model *model, const tokenize_options *o) {
    if (o->text) return print_tokens(model, o, o->text, strlen(o->text));
    char *text;
    size_t n, at = 0;
    int status = read_text(o->file ? o->file : "-", &text, &n);
    if (status) return status;
    if (!o->null) status = print_tokens(model, o, text, n);
    /* A text ends at its NUL; what follows the last NUL is a text only if there is something. */
    while (o->null && !status && at < n) {
        size_t length = strlen(text + at);
        status = print_tokens(model, o, text + at, length);
        at += length + 1;
    }
    free(text);
    return status;
}

/* MODEL and TEXT are both optional, so a single word is decided by what else is there. */
static int check_usage(tokenize_options *o, const command_line *line) {
    size_t n = line->n_positionals, used = 0;
    bool wants_text = !o->text && !o->file;
    bool first_is_model = !o->model && n && (n > 1 || !wants_text || access(line->positionals[0], R_OK) == 0);
    if (first_is_model) o->model = line->positionals[used++];
    if (used < n && wants_text) o->text = line->positionals[used++];
    if (used < n) return usage_error(line->name, "unexpected \"%s\"", line->positionals[used]);
    if (o->text && o->file) return usage_error(line->name, "-p and -f both give a text");
    if (o->null && !o->file) return usage_error(line->name, "--null needs -f FILE");
    if (o->text && !strcmp(o->text, "-")) o->text = NULL;
    return EXIT_DONE;
}

int command_tokenize(int argc, char **argv) {
    tokenize_options o = {0};
    const option options[] = {
        OPTION_MODEL(&o.model),
        {"-p --prompt", "TEXT", "the text", OPTION_TEXT, &o.text, 0, 0, NULL},
        {"-f --file", "FILE", "the text is the content of FILE; - is standard input", OPTION_TEXT, &o.file, 0,
         0, NULL},
        {"--null", NULL, "FILE holds texts that end with a NUL byte", OPTION_FLAG, &o.null, 0, 0, NULL},
        {"--special", NULL, "text of a special token becomes its id", OPTION_FLAG, &o.special, 0, 0, NULL},
        {"--bos", NULL, "put the model's beginning-of-text token first", OPTION_FLAG, &o.bos, 0, 0, NULL},
        {"--json", NULL, "a JSON object a line: {\"ids\": [...], \"pieces\": [...]}", OPTION_FLAG, &o.json, 0,
         0, NULL},
    };
    command_line line = {
        "tokenize",
        "[MODEL] [TEXT | -f FILE | --null -f FILE] [options]",
        "Prints the token ids of a text, separated by spaces; a line per text.\n"
        "A single word is MODEL if there is such a file, else TEXT for the default model. Without any text,\n"
        "standard input is read.",
        options,
        sizeof options / sizeof *options,
        NULL,
        0};
    leat_model *model = NULL;
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status) && !(status = check_usage(&o, &line))) {
        status = open_model(o.model, true, NULL, &model);
        if (!status) status = tokenize_all(model, &o);
    }
    leat_model_close(model);
    free(line.positionals);
    return status;
}

/* The text goes out as the bytes the tokens stand for: they may be any, and tokenize must get back what it
 * gave. */
static int print_text(const leat_model *model, const leat_token *tokens, size_t count, bool special) {
    leat_model_info info;
    leat_decoder *decoder;
    leat_error error;
    bool terminal = term_is_tty(STDOUT_FILENO);
    leat_model_get_info(model, &info);
    for (size_t i = 0; i < count; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= info.n_vocab)
            return fail("token id %d is not in the vocabulary of 0 to %u", (int)tokens[i],
                        (unsigned)info.n_vocab - 1);
    if (leat_decoder_open(model, special, &decoder, &error)) return fail("%s", error.message);
    for (size_t i = 0; i <= count; i++) {
        leat_str piece = i < count ? leat_decoder_push(decoder, tokens[i]) : leat_decoder_finish(decoder);
        if (piece.size) fwrite(piece.data, 1, piece.size, stdout);
    }
    if (terminal) putchar('\n');
    leat_decoder_close(decoder);
    return EXIT_DONE;
}

int command_detokenize(int argc, char **argv) {
    const char *path = NULL;
    bool special = false;
    const option options[] = {
        OPTION_MODEL(&path),
        {"--special", NULL, "show special tokens too", OPTION_FLAG, &special, 0, 0, NULL},
    };
    command_line line = {"detokenize",
                         "[MODEL] ID... [options]",
                         "Prints the text of token ids, which are separated by spaces or commas. Without "
                         "ids, they are read from\n"
                         "standard input. Bytes that are no UTF-8 are shown as U+FFFD.",
                         options,
                         sizeof options / sizeof *options,
                         NULL,
                         0};
    leat_model *model = NULL;
    leat_token *tokens = NULL;
    size_t count = 0, i = 0;
    char *text = NULL;
    int status;
    line.positionals = calloc((size_t)argc, sizeof *line.positionals);
    if (!line.positionals) return fail("no memory");
    if (options_parse(&line, argc, argv, &status)) {
        const char *first = line.n_positionals ? line.positionals[0] : "";
        if (!path && *first && strspn(first, "0123456789,-+") != strlen(first)) path = line.positionals[i++];
        if (i == line.n_positionals) {
            size_t n;
            status = read_text("-", &text, &n);
            char *rest = NULL;
            for (char *word = status ? NULL : strtok_r(text, " \t\r\n", &rest); word && !status;
                 word = strtok_r(NULL, " \t\r\n", &rest))
                status = parse_ids(line.name, "ID", word, &tokens, &count);
        }
        for (; i < line.n_positionals && !status; i++)
            status = parse_ids(line.name, "ID", line.positionals[i], &tokens, &count);
        if (!status) status = open_model(path, true, NULL, &model);
        if (!status) status = print_text(model, tokens, count, special);
    }
    leat_model_close(model);
    free(tokens);
    free(text);
    free(line.positionals);
    return status;
}
