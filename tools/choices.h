/* Tasks with several answers of which one is right, in the files that llama.cpp reads. choices_read.c turns a
 * file into tasks, choices.c has a model answer them. */
#ifndef LEAT_TOOLS_CHOICES_H
#define LEAT_TOOLS_CHOICES_H

#include <stdbool.h>
#include <stddef.h>

#include "eval.h"

typedef enum choice_kind { CHOICE_HELLASWAG, CHOICE_WINOGRANDE, CHOICE_MULTIPLE, CHOICE_KINDS } choice_kind;

enum { ANSWERS_MAX = 100 };

typedef struct choice_text { /* points into the file */
    const char *p;
    size_t n;
} choice_text;

/* A task: question, a separator, an answer, the rest. The answers follow the question in the text that the
 * model sees; the rest (winogrande) comes after each. */
typedef struct choice_task {
    size_t place; /* in the file, for messages: line or number of the task, from 1 */
    choice_text question, rest;
    size_t n_answers;
    choice_text *answers; /* (n_answers) */
    uint8_t *right;       /* (n_answers) 1 for each right one */
} choice_task;

typedef struct choice_list {
    choice_kind kind;
    const char *path;
    char *data; /* the file */
    size_t size;
    choice_task *tasks; /* (n) in the order in which they are answered */
    size_t n, n_in_file;
} choice_list;

/* Reads a file and draws n_tasks (0: all) from it: those that llama.cpp would draw. */
int choices_read(choice_kind kind, const char *path, size_t n_tasks, choice_list *out);
void choices_free(choice_list *list);

/* The whole command. */
int choices_run(choice_kind kind, const char *model, const char *path, size_t n_tasks, const eval_options *o,
                bool json);

#endif
