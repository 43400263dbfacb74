/* The `leat` program: the table of commands, --help, --version, and what holds for all of them: standard
 * streams that are open, no death by SIGPIPE or SIGXFSZ, a guard against model files that shrink, and output
 * that is known to have arrived. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/leat.h"

#include "commands.h"
#include "options.h"
#include "term.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"chat", command_chat, "have a conversation"},
    {"run", command_run, "complete a text"},
    {"bench", command_bench, "measure how fast models run, and how near to the memory's speed"},
    {"info", command_info, "show what is in a model file"},
    {"embed", command_embed, "turn texts into vectors"},
    {"tokenize", command_tokenize, "turn text into token ids"},
    {"detokenize", command_detokenize, "turn token ids into text"},
    {"logits", command_logits, "write the scores of every next token to a file"},
    {"convert", command_convert, "make a model file of a Hugging Face folder"},
    {"compare", command_compare, "show two models side by side: size, quality, speed, memory"},
    {"perplexity", command_perplexity, "measure how well a model foretells a text or answers questions"},
    {"imatrix", command_imatrix, "find out which weights matter, for quantize"},
    {"quantize", command_quantize, "write a smaller copy of a model"},
    {"template", command_template, "render a conversation with a chat template"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void) {
    printf("leat runs quantized language models (GGUF files) on CPUs.\n\n"
           "leat COMMAND [MODEL] [options]\n\n"
           "Commands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++) printf("  %-12s %s\n", commands[i].name, commands[i].about);
    printf("\nWithout MODEL, the small story teller that comes with Leat is used: try  leat run\n"
           "leat COMMAND --help explains a command; leat --version says which Leat this is.\n"
           "Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.\n");
}

static int unknown_command(const char *name) {
    const char *suggestion = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (nearer_word(name, commands[i].name, strlen(commands[i].name), &best))
            suggestion = commands[i].name;
    if (suggestion) return usage_error(NULL, "unknown command \"%s\"; did you mean %s?", name, suggestion);
    return usage_error(NULL, "unknown command \"%s\"", name);
}

/* A file opened as descriptor 0, 1 or 2 would be taken for a standard stream and written over. Descriptors
 * that are closed get /dev/null, opened the wrong way round, so that using them still fails as it should. */
static void fill_standard_descriptors(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0) return;
}

int main(int argc, char **argv) {
    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a failed write, which cleans up */
    if (argc < 2) {
        usage_error(NULL, "what shall I do? for example: leat run");
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help();
        return term_finish_stdout(EXIT_DONE);
    }
    if (!strcmp(name, "--version") || !strcmp(name, "version")) {
        printf("leat %s\n", leat_version());
        return term_finish_stdout(EXIT_DONE);
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        leat_error error;
        if (leat_guard_install(&error)) return fail("%s", error.message);
        return term_finish_stdout(commands[i].run(argc - 1, argv + 1));
    }
    if (name[0] == '-') return usage_error(NULL, "unknown option %s; the command comes first", name);
    return unknown_command(name);
}
