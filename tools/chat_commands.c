/* What begins with a slash: the list of commands, finding one, and those with little to say; see chat.h. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chat.h"
#include "input.h"

typedef struct command {
    const char *names; /* separated by blanks, the first is the usual one */
    const char *arguments, *help;
    bool (*run)(talk *t, const char *arguments); /* false: it could not be done, and said why */
    enum { COMPLETE_NONE, COMPLETE_FILE, COMPLETE_OPTION, COMPLETE_THINK } completes;
} command;

static bool done(void) {
    return true;
}

static bool refused(const char *why) {
    fprintf(stderr, "leat: %s\n", why);
    return false;
}

/* ---- going back ---- */

static bool run_exit(talk *t, const char *arguments) {
    (void)arguments;
    t->leaving = true;
    return done();
}

static bool run_clear(talk *t, const char *arguments) {
    (void)arguments;
    bool system = message_last(t->chat, "system") == 0;
    leat_chat_truncate(t->chat, system ? 1 : 0);
    free(t->attached);
    t->attached = NULL;
    t->n_attached = t->n_files = t->n_dropped = 0;
    talk_note(t, system ? "a new conversation, with the same system prompt" : "a new conversation");
    return done();
}

/* Answers anew to what was said last. The old answer comes back if there is no new one. */
static bool run_regen(talk *t, const char *arguments) {
    size_t user = message_last(t->chat, "user"), count = leat_chat_count(t->chat);
    leat_error error;
    (void)arguments;
    if (user == SIZE_MAX) return refused("nothing was said yet");
    leat_str old = leat_chat_message(t->chat, count - 1);
    char *copy = strndup(old.data, old.size);
    if (!copy) return refused("no memory for the old answer");
    leat_chat_truncate(t->chat, user + 1);
    t->status = talk_answer(t);
    if (leat_chat_count(t->chat) == user + 1 && user + 1 < count &&
        leat_chat_add_json(t->chat, copy, strlen(copy), &error))
        fail("%s", error.message);
    free(copy);
    return !t->status;
}

static bool run_undo(talk *t, const char *arguments) {
    size_t user = message_last(t->chat, "user"), n;
    (void)arguments;
    if (user == SIZE_MAX) return refused("there is nothing to take back");
    char *text = message_text(leat_chat_message(t->chat, user), "content", &n);
    leat_chat_truncate(t->chat, user);
    char *end = text ? strchr(text, '\n') : NULL;
    if (end) *end = 0;
    talk_note(t, "taken back: \"%.60s%s\" and its answer", text ? text : "", end || n > 60 ? "..." : "");
    free(text);
    return done();
}

static bool run_edit(talk *t, const char *arguments) {
    size_t user = message_last(t->chat, "user"), n;
    if (user == SIZE_MAX) return refused("there is no message to edit");
    if (*arguments) {
        leat_chat_truncate(t->chat, user);
        t->status = talk_say(t, arguments, strlen(arguments));
        return !t->status;
    }
    char *text = message_text(leat_chat_message(t->chat, user), "content", &n);
    bool there = text && t->person && editor_preset(t->editor, text, n);
    free(text);
    if (!there) return refused("lines can't be edited here: /edit TEXT replaces your last message");
    t->edit_at = user;
    talk_note(t, "your last message: Enter sends it anew, Ctrl-C leaves everything as it is");
    return done();
}

/* ---- what the model is told ---- */

static bool run_system(talk *t, const char *arguments) {
    size_t n;
    if (!*arguments) {
        char *text = message_last(t->chat, "system") == 0
                         ? message_text(leat_chat_message(t->chat, 0), "content", &n)
                         : NULL;
        if (text) talk_print(text, n);
        if (!text) fputs("There is no system prompt; /system TEXT gives one.", stderr);
        fputc('\n', stderr);
        free(text);
        return done();
    }
    bool off = !strcmp(arguments, "off");
    t->status = talk_set_system(t, off ? NULL : arguments, strlen(arguments));
    if (!t->status)
        talk_note(t, off ? "no system prompt from now on"
                         : "the model reads this before the conversation from now on");
    return !t->status;
}

/* The variables for the template: those of the command line, and the ones by which templates know whether to
 * think. */
static bool set_thinking(talk *t, bool on) {
    static const char tail[] = "\"enable_thinking\":false,\"thinking\":false,\"reasoning_effort\":\"low\"}";
    const char *given = t->o->variables ? t->o->variables : "{}";
    leat_error error;
    char *both = NULL;
    if (!on) {
        size_t n = strlen(given), close = (size_t)(strrchr(given, '}') - given), last = close;
        while (last && strchr(" \t\r\n", given[last - 1])) last--;
        if (!(both = malloc(n + sizeof tail + 1))) return refused("no memory for variables");
        snprintf(both, n + sizeof tail + 1, "%.*s%s%s", (int)close, given,
                 last && given[last - 1] == '{' ? "" : ",", tail);
    }
    leat_status status = leat_chat_set_variables(t->chat, on ? t->o->variables : both, &error);
    free(both);
    if (status) fail("%s", error.message);
    return !status;
}

static bool run_think(talk *t, const char *arguments) {
    static const char *const says[] = {"thoughts are shown, dimmed", "thoughts are hidden",
                                       "the model is asked not to think"};
    bool on = !strcmp(arguments, "on"), off = !strcmp(arguments, "off"), hide = !strcmp(arguments, "hide");
    if (*arguments && !on && !off && !hide)
        return refused("/think on shows thoughts, hide hides them, off asks for none");
    if (!leat_chat_can_reason(t->chat)) talk_note(t, "this model's template knows of no thinking");
    if (*arguments) {
        if (!set_thinking(t, !off)) return false;
        t->think = on ? THINK_SHOWN : hide ? THINK_HIDDEN : THINK_OFF;
    }
    talk_note(t, "%s", says[t->think]);
    return done();
}

/* "~/x" to the path it means, the caller's to free. */
static char *expand_home(const char *path) {
    const char *home = path[0] == '~' && path[1] == '/' ? getenv("HOME") : NULL;
    size_t n = strlen(path) + (home ? strlen(home) : 0) + 1;
    char *out = malloc(n);
    if (out) snprintf(out, n, "%s%s", home ? home : "", home ? path + 1 : path);
    return out;
}

static bool is_text(const char *text, size_t n) {
    uint32_t code;
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_next(text + i, n - i, &code);
        if (!code || (code == 0xFFFD && length == 1)) return false;
    }
    return true;
}

static bool run_read(talk *t, const char *arguments) {
    char *text, *path = *arguments ? expand_home(arguments) : NULL, number[32];
    leat_token *tokens = NULL;
    size_t n, count = 0;
    if (!path) return refused("/read needs a file: it goes with your next message");
    int failed = !strcmp(path, "-") ? fail("/read - would take your own input") : read_text(path, &text, &n);
    free(path);
    if (failed) return false;
    char *grown = NULL;
    bool good = is_text(text, n);
    if (!good)
        fail("%s is no text in UTF-8", arguments);
    else if (!(grown = realloc(t->attached, t->n_attached + n + 2)))
        fail("no memory for %s", arguments);
    if (grown) {
        t->attached = grown;
        memcpy(t->attached + t->n_attached, text, n);
        t->n_attached += n;
        if (n && text[n - 1] != '\n') t->attached[t->n_attached++] = '\n';
        t->n_files++;
        if (!tokenize_text(t->model, text, n, 0, &tokens, &count))
            talk_note(t, "%s: %s tokens, to go with your next message", arguments, grouped(count, number));
    }
    free(tokens);
    free(text);
    return grown != NULL;
}

/* A file that is no saved conversation is not overwritten: /save notes.txt is a slip. */
static bool may_overwrite(const char *path) {
    leat_saved *saved;
    leat_error error;
    struct stat info;
    if (stat(path, &info) || (S_ISREG(info.st_mode) && !info.st_size)) return true;
    leat_status status = leat_saved_open(path, &saved, &error);
    leat_saved_close(saved);
    if (status) fail("%s is there already, and no saved conversation: it is left as it is", path);
    return !status;
}

static bool run_save(talk *t, const char *arguments) {
    char *path = expand_home(arguments), number[32];
    leat_error error;
    struct stat info;
    bool ok = false;
    if (!*arguments)
        fail("/save needs a file");
    else if (path && may_overwrite(path))
        ok = !leat_chat_save(t->chat, path, &error) || (fail("%s", error.message), false);
    if (ok && !stat(path, &info))
        talk_note(t, "%zu messages and what the model has read of them: %s, %s", leat_chat_count(t->chat),
                  arguments, in_bytes((uint64_t)info.st_size, number));
    free(path);
    return ok;
}

static bool run_load(talk *t, const char *arguments) {
    char *path = expand_home(arguments), used[32], all[32];
    leat_error error;
    if (!*arguments) fail("/load needs a file that /save has written");
    bool ok =
        path && *arguments && (!leat_chat_load(t->chat, path, &error) || (fail("%s", error.message), false));
    free(path);
    if (!ok) return false;
    size_t last = message_last(t->chat, "assistant"), n;
    char *text = last != SIZE_MAX ? message_text(leat_chat_message(t->chat, last), "content", &n) : NULL;
    t->n_dropped = 0;
    talk_note(t, "%zu messages, context %s/%s; the last answer was", leat_chat_count(t->chat),
              grouped(leat_session_length(t->session), used), grouped(leat_session_n_ctx(t->session), all));
    if (text) {
        talk_print(text, n);
        fputc('\n', stderr);
    }
    free(text);
    return true;
}

static bool run_tokens(talk *t, const char *arguments) {
    return talk_show_tokens(t, arguments);
}

static bool run_help(talk *t, const char *arguments);

static const command commands[] = {
    {"help ?", "", "this list", run_help, COMPLETE_NONE},
    {"regen", "", "another answer to your last message", run_regen, COMPLETE_NONE},
    {"edit", "[TEXT]", "change your last message, or put TEXT in its place, and send it anew", run_edit,
     COMPLETE_NONE},
    {"undo", "", "take back your last message and its answer", run_undo, COMPLETE_NONE},
    {"clear", "", "a new conversation; the system prompt stays", run_clear, COMPLETE_NONE},
    {"system", "[TEXT|off]", "what the model is told about its part", run_system, COMPLETE_NONE},
    {"set", "[OPTION [VALUE]]", "options of sampling and others; VALUE default: as it was at first", talk_set,
     COMPLETE_OPTION},
    {"show", "", "model, sampling, context, memory, speed", talk_show, COMPLETE_NONE},
    {"think", "[on|hide|off]", "show thoughts, hide them, or ask the model not to think", run_think,
     COMPLETE_THINK},
    {"read", "FILE", "a text file goes with your next message", run_read, COMPLETE_FILE},
    {"save", "FILE", "write the conversation, and what the model has read of it, to a file", run_save,
     COMPLETE_FILE},
    {"load", "FILE", "go on with a saved conversation, at once", run_load, COMPLETE_FILE},
    {"tokens", "[TEXT]", "the tokens of a text, or how many the conversation has", run_tokens, COMPLETE_NONE},
    {"template", "[source]", "the conversation as the model reads it, or the template", talk_show_template,
     COMPLETE_NONE},
    {"exit quit bye", "", "leave", run_exit, COMPLETE_NONE},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static bool run_help(talk *t, const char *arguments) {
    (void)t, (void)arguments;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char head[64];
        int first = (int)strcspn(commands[i].names, " ");
        snprintf(head, sizeof head, "/%.*s %s", first, commands[i].names, commands[i].arguments);
        fprintf(stderr, "  %-24s %s\n", head, commands[i].help);
    }
    fputs(
        "\n"
        "  A backslash at the end of a line, or \"\"\" before and after, make longer messages; // sends a "
        "slash.\n"
        "  Tab completes commands, options and files. Ctrl-C stops an answer, twice leaves; Ctrl-D leaves.\n",
        stderr);
    return done();
}

/* ---- finding them ---- */

/* Length of the word behind the slash; 0 if this is no command. A path is none: its word has more slashes. */
static size_t command_word(const char *line, size_t n) {
    size_t i = 1;
    if (n < 2 || line[0] != '/' || memchr(line, '\n', n)) return 0;
    while (i < n && ((line[i] >= 'a' && line[i] <= 'z') || line[i] == '?')) i++;
    return i == n || line[i] == ' ' ? i - 1 : 0;
}

bool talk_is_command(const char *line, size_t n) {
    return command_word(line, n) > 0;
}

static bool is_named(const command *c, const char *word, size_t n) {
    for (const char *p = c->names; *p;) {
        size_t length = strcspn(p, " ");
        if (length == n && !memcmp(p, word, n)) return true;
        p += length + (p[length] == ' ');
    }
    return false;
}

static const command *find(const char *word, size_t n) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (is_named(&commands[i], word, n)) return &commands[i];
    return NULL;
}

static void say_unknown(const char *word, size_t n) {
    char typed[40];
    const char *nearest = NULL;
    size_t best = SIZE_MAX, length = 0;
    snprintf(typed, sizeof typed, "%.*s", (int)(n < 39 ? n : 39), word);
    for (size_t i = 0; i < N_COMMANDS; i++)
        for (const char *p = commands[i].names; *p;) {
            size_t k = strcspn(p, " ");
            if (nearer_word(typed, p, k, &best)) nearest = p, length = k;
            p += k + (p[k] == ' ');
        }
    if (nearest)
        fprintf(stderr, "leat: there is no /%s; did you mean /%.*s? (//%s sends it as text)\n", typed,
                (int)length, nearest, typed);
    else
        fprintf(stderr, "leat: there is no /%s; /help lists what there is (//%s sends it as text)\n", typed,
                typed);
}

int talk_command(talk *t, const char *line) {
    size_t n = command_word(line, strlen(line));
    const command *c = find(line + 1, n);
    const char *arguments = line + 1 + n;
    while (*arguments == ' ') arguments++;
    char *copy = strdup(arguments);
    if (!copy) return fail("no memory for a command");
    for (size_t k = strlen(copy); k && copy[k - 1] == ' '; k--) copy[k - 1] = 0;
    t->edit_at = SIZE_MAX;
    t->status = EXIT_DONE;
    if (!c) say_unknown(line + 1, n);
    if ((!c || !c->run(t, copy)) && !t->person) t->trouble = true;
    free(copy);
    return t->status;
}

/* ---- the Tab key ---- */

static void complete_file(const char *typed, size_t n, completions *out) {
    char *path = strndup(typed, n);
    char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
    char *real = expand_home(folder ? folder : "./");
    DIR *d = real ? opendir(real) : NULL;
    for (struct dirent *entry; d && (entry = readdir(d)) != NULL;) {
        struct stat info;
        char word[PATH_MAX];
        if (strncmp(entry->d_name, name, strlen(name)) != 0 || (entry->d_name[0] == '.' && name[0] != '.'))
            continue;
        int length = snprintf(word, sizeof word, "%s%s", real, entry->d_name);
        bool is_folder = length > 0 && length < PATH_MAX && !stat(word, &info) && S_ISDIR(info.st_mode);
        length =
            snprintf(word, sizeof word, "%s%s%s", folder ? folder : "", entry->d_name, is_folder ? "/" : "");
        if (length > 0 && length < PATH_MAX) completions_add(out, word, (size_t)length);
    }
    if (d) closedir(d);
    free(real);
    free(folder);
    free(path);
}

void talk_complete(void *user, const char *line, size_t n, completions *out) {
    size_t word = 1;
    (void)user;
    if (!n || line[0] != '/') return;
    while (word < n && line[word] != ' ') word++;
    if (word == n) {
        out->from = 0;
        for (size_t i = 0; i < N_COMMANDS; i++) {
            char name[32];
            int length =
                snprintf(name, sizeof name, "/%.*s", (int)strcspn(commands[i].names, " "), commands[i].names);
            if ((size_t)length >= n && !memcmp(name, line, n)) completions_add(out, name, (size_t)length);
        }
        return;
    }
    const command *c = find(line + 1, word - 1);
    while (word < n && line[word] == ' ') word++;
    out->from = word;
    if (c && c->completes == COMPLETE_FILE) complete_file(line + word, n - word, out);
    if (!c || memchr(line + word, ' ', n - word)) return;
    if (c->completes == COMPLETE_OPTION) talk_complete_option(line + word, n - word, out);
    static const char *const ways[] = {"on", "hide", "off"};
    for (size_t i = 0; c->completes == COMPLETE_THINK && i < 3; i++)
        if (!strncmp(ways[i], line + word, n - word)) completions_add(out, ways[i], strlen(ways[i]));
}
