/* The commands of the program, one file each; main.c lists them. Each gets its own part of the command line,
 * argv[0] being the name of the command, and returns the exit status. */
#ifndef LEAT_TOOLS_COMMANDS_H
#define LEAT_TOOLS_COMMANDS_H

int command_run(int argc, char **argv);
int command_chat(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_convert(int argc, char **argv);
int command_imatrix(int argc, char **argv);
int command_info(int argc, char **argv);
int command_embed(int argc, char **argv);
int command_tokenize(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_detokenize(int argc, char **argv);
int command_logits(int argc, char **argv);
int command_perplexity(int argc, char **argv);
int command_quantize(int argc, char **argv);
int command_template(int argc, char **argv);

#endif
