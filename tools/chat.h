/* What the files of `leat chat` share: the conversation at hand. chat.c opens it and goes round,
 * chat_input.c reads messages, chat_answer.c shows answers, chat_commands.c and its neighbours do what
 * /commands ask. Nobody else includes this. */
#ifndef LEAT_TOOLS_CHAT_H
#define LEAT_TOOLS_CHAT_H

#include "editor.h"
#include "options.h"
#include "runtime/leat.h"
#include "sampling.h"
#include "screen.h"
#include "term.h"

typedef struct chat_options {
    const char *model, *system, *system_file, *prompt, *template_file, *variables, *isa, *cache_k, *cache_v;
    int64_t n_predict, n_ctx, threads, batch;
    bool once, shift, quiet;
    text_list stop;
    sampling_options sampling;
} chat_options;

typedef enum think_mode { THINK_SHOWN, THINK_HIDDEN, THINK_OFF } think_mode;

typedef struct chat_numbers { /* of the last answer */
    size_t n_prompt, n_cached, n_generated;
    double prompt_seconds, seconds;
} chat_numbers;

typedef struct talk {
    chat_options *o;
    leat_model *model;
    leat_session *session;
    leat_sampler *sampler;
    leat_grammar *grammar;
    leat_template *own_template;
    leat_chat *chat;
    editor *editor;
    screen out;
    bool terminal, person; /* stdout is a terminal; somebody types at one */
    bool colours;          /* of standard error */
    bool leaving, trouble; /* trouble: a command of a script failed */
    int status;            /* of what a command did that ends the conversation */
    think_mode think;
    char *attached; /* (n_attached) files to go with the next message */
    size_t n_attached, n_files;
    char **kept; /* (n_kept) texts that options given to /set point into */
    size_t n_kept;
    size_t n_dropped;  /* messages left out, as already told */
    bool last_stopped; /* the last answer was, by Ctrl-C: another leaves */
    size_t edit_at;    /* message that the next one replaces; SIZE_MAX: none */
    chat_numbers last;
} talk;

/* A remark, dimmed, in brackets, on standard error. */
#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
void talk_note(const talk *t, const char *format, ...);
/* The number with a comma between groups of three digits. */
const char *grouped(uint64_t number, char out[32]);

/* Such an amount as people say it: "3.1 MB". */
const char *in_bytes(uint64_t n, char out[32]);

/* chat.c: opens the sampler anew from the options, for a conversation that may be under way. */
int talk_open_sampler(talk *t);
/* Has the model read these messages as `role` "system" in front; NULL: none. */
int talk_set_system(talk *t, const char *text, size_t n);

/* chat_input.c: the next message or command, the caller's to free; *text NULL at the end. */
int talk_read(talk *t, char **text, size_t *n);

/* chat_answer.c: sends a message and shows the answer; answers once more to what there is. An exit status;
 * not EXIT_DONE only where the conversation can't go on. */
int talk_say(talk *t, const char *text, size_t n);
int talk_answer(talk *t);
void talk_catch_signals(void);

/* chat_commands.c: is this line a command? Then does it. */
bool talk_is_command(const char *line, size_t n);
int talk_command(talk *t, const char *line);
void talk_complete(void *user, const char *line, size_t n, completions *out);

/* Anybody's text to standard error, without what could drive a terminal. */
void talk_print(const char *text, size_t n);

/* chat_show.c and chat_set.c: commands with much to say; false if they could not be done. */
bool talk_show(talk *t, const char *what);
bool talk_show_tokens(talk *t, const char *text);
bool talk_show_template(talk *t, const char *what);
bool talk_set(talk *t, const char *arguments);
void talk_complete_option(const char *word, size_t n, completions *out);
/* Two lines of what sampling is like, the second indented for /show. */
void talk_describe_sampling(const talk *t);

/* chat_text.c: the text of a member of a message, like "content", the caller's to free; NULL if it has none.
 */
char *message_text(leat_str message, const char *member, size_t *n);
/* Index of the last message of a role; SIZE_MAX: none. */
size_t message_last(const leat_chat *chat, const char *role);

#endif
