/* Answers, shown as they are made: content to stdout, thoughts dimmed and only on a terminal, progress and
 * numbers to stderr; see chat.h. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat.h"

typedef struct answer {
    talk *t;
    progress bar;
    bool bar_open, thinking, thought, said; /* said: some content came */
    double start, prompt_end, thinking_start, thinking_shown;
    int status; /* of writing */
} answer;

/* What a signal cancels: set while an answer is made. An atomic, because the handler may run at any moment.
 */
static _Atomic(leat_session *) running;

static void cancel_running(void) {
    leat_session *session = atomic_load(&running);
    if (session) leat_session_cancel(session);
}

void talk_catch_signals(void) {
    term_catch_signals(cancel_running);
}

/* ---- pieces ---- */

static void end_bar(answer *a) {
    if (a->bar_open) progress_end(&a->bar);
    a->bar_open = false;
}

/* Hidden thoughts: that there are some, and for how long. */
static void show_thinking(answer *a, bool over) {
    double now = term_seconds(), seconds = now - a->thinking_start;
    bool drawn = a->t->terminal && screen_has_colours(STDERR_FILENO);
    if (!drawn) return;
    if (!over && a->thinking_shown > 0 && now - a->thinking_shown < 0.2) return;
    if (over) {
        fputs("\r\033[K", stderr);
        if (seconds >= 0.95) talk_note(a->t, "thought for %.0f s", seconds);
    } else {
        fprintf(stderr, "\r\033[K\033[2mthinking, %.0f s\033[0m", seconds);
    }
    a->thinking_shown = now;
}

static void end_thinking(answer *a) {
    if (a->thinking) show_thinking(a, true);
    a->thinking = false;
}

static bool wrote(answer *a) {
    if (a->t->out.error && !a->status)
        a->status = term_interrupted() ? EXIT_DONE : term_stdout_failed(a->t->out.error);
    return !a->t->out.error && !term_interrupted();
}

static bool show_reasoning(answer *a, leat_str text) {
    talk *t = a->t;
    a->thought = true;
    if (!t->terminal) return !term_interrupted();
    if (t->think != THINK_HIDDEN) {
        screen_part(&t->out, true);
        screen_put(&t->out, text.data, text.size);
        return wrote(a);
    }
    if (!a->thinking) a->thinking_start = term_seconds();
    a->thinking = true;
    show_thinking(a, false);
    return !term_interrupted();
}

static bool show_piece(void *user, leat_piece_kind kind, leat_str text) {
    answer *a = user;
    talk *t = a->t;
    end_bar(a);
    if (t->o->sampling.n_probs > 0) sampling_report(&t->o->sampling, t->model, t->sampler);
    if (kind == LEAT_PIECE_REASONING) return show_reasoning(a, text);
    end_thinking(a);
    if (t->terminal) {
        screen_part(&t->out, false);
        screen_put(&t->out, text.data, text.size);
    } else {
        while (!a->said && text.size &&
               (*text.data == '\n' || *text.data == ' ')) { /* answers begin with a word */
            text.data++;
            text.size--;
        }
        if (text.size && !term_write(STDOUT_FILENO, text.data, text.size)) t->out.error = errno ? errno : EIO;
    }
    for (size_t i = 0; i < text.size && !a->said; i++) a->said = !strchr(" \t\r\n", text.data[i]);
    return wrote(a);
}

static bool show_progress(void *user, size_t done, size_t total) {
    answer *a = user;
    if (done == total) a->prompt_end = term_seconds();
    return progress_update(&a->bar, done, total);
}

/* ---- afterwards ---- */

static double per_second(size_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static void show_numbers(const talk *t) {
    char used[32], all[32];
    const chat_numbers *l = &t->last;
    if (!t->terminal || !term_is_tty(STDERR_FILENO) || t->o->quiet || t->o->once) return;
    double rate = per_second(l->n_generated, l->seconds);
    talk_note(t,
              rate < 100 ? "prompt %.0f t/s · %.1f t/s · context %s/%s"
                         : "prompt %.0f t/s · %.0f t/s · context %s/%s",
              per_second(l->n_prompt - l->n_cached, l->prompt_seconds),
              per_second(l->n_generated, l->seconds), grouped(leat_session_length(t->session), used),
              grouped(leat_session_n_ctx(t->session), all));
}

static void say_full(const char *what) {
    fprintf(stderr,
            "leat: %s\n"
            "      /clear starts afresh, /undo takes the last turn back,\n"
            "      /set context-shift on leaves out the oldest turns from now on;\n"
            "      leat chat -c N makes room for more\n",
            what);
}

static void say_how_it_ended(talk *t, const leat_reply_result *r) {
    if (r->n_dropped > t->n_dropped && term_is_tty(STDERR_FILENO) && !t->o->quiet)
        talk_note(t, "to make room, the oldest messages were left out: %zu by now", r->n_dropped);
    t->n_dropped = r->n_dropped;
    if (r->end == LEAT_CHAT_FULL && !t->person)
        fprintf(
            stderr,
            "leat: the context of %u tokens is full; -c makes it longer, --context-shift drops old turns\n",
            (unsigned)leat_session_n_ctx(t->session));
    else if (r->end == LEAT_CHAT_FULL)
        say_full("the answer ends here: the context is full");
    if (r->end == LEAT_CHAT_LENGTH && t->terminal)
        talk_note(t, "cut off after %zu tokens (-n)", r->n_generated);
}

/* Has the model answer. A cancellation that nobody asked for is left over from a Ctrl-C that came when the
 * last answer was just done: then once more. */
static leat_status reply(answer *a, leat_reply_result *result, leat_error *error) {
    talk *t = a->t;
    leat_reply_params params = {t->o->n_predict, show_piece, show_progress, a};
    leat_status status;
    if (t->grammar && leat_sampler_set_grammar(t->sampler, t->grammar, error)) return error->code;
    for (int tries = 0; tries < 2; tries++) {
        a->start = a->prompt_end = term_seconds();
        status = leat_chat_reply(t->chat, &params, result, error);
        if (status != LEAT_E_CANCELLED || term_interrupted()) break;
    }
    return status;
}

static void keep_numbers(answer *a, const leat_reply_result *r) {
    double end = term_seconds();
    a->t->last = (chat_numbers){r->n_prompt, r->n_cached, r->n_generated, a->prompt_end - a->start,
                                end - a->prompt_end};
}

/* What Ctrl-C does: the answer stops, and what was said stays. Twice leaves. */
static int after_interrupt(talk *t, const answer *a) {
    if (term_interrupted() != SIGINT) return 128 + term_interrupted();
    int times = term_take_interrupts();
    if (times > 1) return 128 + SIGINT;
    t->last_stopped = true;
    if (a->said)
        talk_note(t, "stopped; Ctrl-C again leaves");
    else
        talk_note(t, "stopped before a word was said: your message is taken back; Ctrl-C again leaves");
    return EXIT_DONE;
}

int talk_answer(talk *t) {
    answer a = {.t = t};
    leat_reply_result result;
    leat_error error;
    size_t before = leat_chat_count(t->chat);
    if (t->person) editor_pause(t->editor);
    progress_start(&a.bar, "reading", "tokens");
    a.bar_open = true;
    screen_start(&t->out);
    atomic_store(&running, t->session);
    leat_status status = reply(&a, &result, &error);
    atomic_store(&running, NULL);
    end_bar(&a);
    end_thinking(&a);
    if (t->out.error == EINTR) t->out.error = 0; /* Ctrl-C while the terminal was held up */
    if (t->terminal)
        screen_finish(&t->out);
    else if (a.said && !t->out.error)
        term_write(STDOUT_FILENO, "\n", 1);
    if (a.status) return a.status;
    if (!a.said && term_interrupted() && leat_chat_count(t->chat) > before)
        leat_chat_truncate(t->chat, before);
    if (term_interrupted()) return t->person ? after_interrupt(t, &a) : 128 + term_interrupted();
    if (status == LEAT_E_CONTEXT && !t->o->once) {
        if (t->person)
            say_full(error.message);
        else
            fail("%s; start afresh, raise -c, or use --context-shift", error.message);
        return EXIT_DONE;
    }
    if (status && t->person) {
        fail("%s", error.message);
        return EXIT_DONE;
    }
    if (status) return fail("%s", error.message);
    keep_numbers(&a, &result);
    say_how_it_ended(t, &result);
    show_numbers(t);
    return EXIT_DONE;
}

int talk_say(talk *t, const char *text, size_t n) {
    leat_error error;
    size_t before = leat_chat_count(t->chat);
    char *both = NULL;
    if (t->n_attached) {
        if (!(both = malloc(t->n_attached + n + 2))) return fail("no memory for a message");
        memcpy(both, t->attached, t->n_attached);
        both[t->n_attached] = '\n';
        memcpy(both + t->n_attached + 1, text, n);
        text = both;
        n += t->n_attached + 1;
    }
    leat_status added = leat_chat_add(t->chat, "user", text, n, &error);
    free(both);
    if (added) return fail("%s", error.message);
    int status = talk_answer(t);
    if (leat_chat_count(t->chat) == before + 1) {
        leat_chat_truncate(t->chat, before); /* no answer */
        return status;
    }
    free(t->attached);
    t->attached = NULL;
    t->n_attached = t->n_files = 0;
    return status;
}
