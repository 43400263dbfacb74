/* Answering tasks: of the answers to a question the one is chosen whose tokens are likeliest, by the mean of
 * their log probabilities. What all answers begin with is evaluated once; the session goes back to there for
 * each. See choices.h. */
#include "choices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "stats.h"
#include "term.h"

enum { TRAILING = 3 }; /* tokens behind the choice that are enough to judge by, without it */

typedef struct answer {
    leat_token *tokens; /* (n) */
    size_t n, from, to; /* tokens from .. to are judged */
} answer;

typedef struct question {
    answer answers[ANSWERS_MAX];
    size_t n_answers, prefix; /* prefix: tokens that all answers begin with, fewer than any has */
} question;

typedef struct quiz {
    choice_list list;
    question *questions; /* (list.n) */
    eval_model model;
    size_t n_right, n_done, n_answers;
} quiz;

/* ---- from texts to tokens ---- */

static int tokenize_parts(const quiz *q, const choice_text *parts, size_t n_parts, answer *out,
                          size_t *count) {
    unsigned flags = leat_token_add_bos(q->model.model) ? LEAT_TOKENIZE_BOS : 0;
    size_t n = 0, used = 0;
    leat_token *tokens = NULL;
    for (size_t i = 0; i < n_parts; i++) n += parts[i].n;
    char *text = malloc(n + 1);
    if (!text) return fail("no memory for a text of %zu bytes", n);
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n) memcpy(text + used, parts[i].p, parts[i].n);
        used += parts[i].n;
    }
    int status = tokenize_text(q->model.model, text, n, flags, &tokens, count);
    free(text);
    if (out && !status) {
        out->tokens = tokens;
        out->n = out->to = *count;
    } else {
        free(tokens);
    }
    return status;
}

/* With a choice in the middle of a sentence, what follows is judged, if there is enough of it, but its last
 * token: that is a full stop. */
static int judge_rest(const quiz *q, const choice_task *task, question *out) {
    bool enough = true;
    for (size_t i = 0; i < out->n_answers; i++) enough &= out->answers[i].n - out->prefix > TRAILING;
    for (size_t i = 0; i < out->n_answers; i++) {
        answer *a = &out->answers[i];
        choice_text parts[] = {task->question, task->answers[i]};
        size_t from = out->prefix;
        int status = enough ? tokenize_parts(q, parts, 2, NULL, &from) : EXIT_DONE;
        if (status) return status;
        if (from > out->prefix && from < a->n) a->from = from;
        if (a->n - a->from > 1) a->to = a->n - 1;
    }
    return EXIT_DONE;
}

static int prepare(const quiz *q, const choice_task *task, question *out) {
    size_t n, shortest = SIZE_MAX;
    int status = EXIT_DONE;
    out->n_answers = task->n_answers;
    for (size_t i = 0; i < task->n_answers && !status; i++) {
        choice_text parts[] = {
            task->question, {" ", q->list.kind != CHOICE_WINOGRANDE}, task->answers[i], task->rest};
        status = tokenize_parts(q, parts, 4, &out->answers[i], &n);
        if (!status && n < shortest) shortest = n;
    }
    if (status) return status;
    const char *place = q->list.kind == CHOICE_MULTIPLE ? "task" : "line";
    if (!shortest) return fail("%s, %s %zu: the text is empty", q->list.path, place, task->place);
    for (bool same = true; same && out->prefix + 1 < shortest; out->prefix += same)
        for (size_t i = 1; i < out->n_answers; i++)
            same &= out->answers[i].tokens[out->prefix] == out->answers[0].tokens[out->prefix];
    if (!out->prefix)
        return fail("%s, %s %zu: the texts have no first token in common, and the model has none of its own",
                    q->list.path, place, task->place);
    for (size_t i = 0; i < out->n_answers; i++) out->answers[i].from = out->prefix;
    return q->list.kind == CHOICE_WINOGRANDE ? judge_rest(q, task, out) : EXIT_DONE;
}

/* All questions, and the session that the longest one needs. */
static int prepare_all(quiz *q, const eval_options *o) {
    size_t longest = 0, own = 0;
    q->questions = calloc(q->list.n, sizeof *q->questions);
    if (!q->questions) return fail("no memory for %zu tasks", q->list.n);
    for (size_t i = 0; i < q->list.n; i++) {
        question *now = &q->questions[i];
        int status = prepare(q, &q->list.tasks[i], now);
        if (status) return status;
        for (size_t k = 0; k < now->n_answers; k++) {
            size_t n = now->answers[k].n;
            if (n > longest) longest = n;
            if (n - now->prefix > own) own = n - now->prefix;
        }
    }
    return eval_open_session(&q->model, o, longest, own);
}

/* ---- answering ---- */

/* Evaluates tokens at .. end; adds to *sum the log probability of each token from .. to that follows one of
 * them. */
static int evaluate(quiz *q, const answer *a, size_t at, size_t end, double *sum) {
    leat_error e;
    eval_model *m = &q->model;
    while (at < end) {
        size_t n = end - at < m->n_batch ? end - at : m->n_batch;
        double start = term_seconds();
        leat_status failed = leat_session_eval(m->session, a->tokens + at, n, &e);
        m->seconds += term_seconds() - start;
        m->n_evaluated += n;
        if (failed || term_interrupted()) return eval_stopped(&e);
        for (size_t i = at; i < at + n; i++)
            if (sum && i + 1 >= a->from && i + 1 < a->to)
                *sum += leat_log_prob(leat_session_logits(m->session, at + n - 1 - i), m->info.n_vocab,
                                      a->tokens[i + 1]);
        at += n;
    }
    return EXIT_DONE;
}

/* Back to the end of the prefix. A model whose windows have moved on begins anew. */
static int go_back(quiz *q, const question *now) {
    if (leat_session_rewind(q->model.session, now->prefix) == LEAT_OK) return EXIT_DONE;
    leat_session_rewind(q->model.session, 0);
    return evaluate(q, &now->answers[0], 0, now->prefix, NULL);
}

static int answer_question(quiz *q, const question *now, size_t *best) {
    double sums[ANSWERS_MAX] = {0}, most = -INFINITY;
    leat_session_rewind(q->model.session, 0);
    int status = evaluate(q, &now->answers[0], 0, now->prefix, NULL);
    const float *logits = status ? NULL : leat_session_logits(q->model.session, 0);
    for (size_t i = 0; i < now->n_answers && logits; i++)
        if (now->answers[i].from == now->prefix)
            sums[i] = leat_log_prob(logits, q->model.info.n_vocab, now->answers[i].tokens[now->prefix]);
    *best = 0;
    for (size_t i = 0; i < now->n_answers && !status; i++) {
        const answer *a = &now->answers[i];
        if (i) status = go_back(q, now);
        if (!status) status = evaluate(q, a, now->prefix, a->to - 1, &sums[i]);
        double score = sums[i] / (double)(a->to - a->from);
        if (score > most) {
            most = score;
            *best = i;
        }
    }
    return status;
}

static void show_state(const quiz *q, double start, double *last) {
    double now = term_seconds(), left = (now - start) / (double)q->n_done * (double)(q->list.n - q->n_done);
    estimate p = share_of(q->n_right, q->n_done);
    if (!term_is_tty(STDERR_FILENO) || now - start < 0.5 || now - *last < 0.1) return;
    *last = now;
    fprintf(stderr, "\r\033[K%zu of %zu tasks: %.2f ± %.2f %% right; %d:%02d left", q->n_done, q->list.n,
            100 * p.value, 100 * p.error, (int)(left / 60), (int)left % 60);
    fflush(stderr);
}

static int answer_all(quiz *q) {
    double start = term_seconds(), last = 0;
    int status = EXIT_DONE;
    for (size_t i = 0; i < q->list.n && !status; i++) {
        size_t best;
        status = answer_question(q, &q->questions[i], &best);
        if (status) break;
        q->n_right += q->list.tasks[i].right[best];
        q->n_answers += q->questions[i].n_answers;
        q->n_done++;
        show_state(q, start, &last);
    }
    if (last > 0) fputs("\r\033[K", stderr);
    return status;
}

/* ---- what comes out ---- */

/* Where the share lies with 95 %: Wilson's interval. */
static void interval(const quiz *q, double *low, double *high) {
    double za = 1.95996398454, n = (double)q->n_done, p = (double)q->n_right / n, z = za * za / n;
    double half = sqrt(z * (4 * p * (1 - p) + z)) / 2;
    *low = (p + z / 2 - half) / (1 + z);
    *high = (p + z / 2 + half) / (1 + z);
}

static void report(const quiz *q, bool as_json) {
    static const char *const names[CHOICE_KINDS] = {"hellaswag", "winogrande", "multiple-choice"};
    estimate p = share_of(q->n_right, q->n_done);
    double low, high, chance = (double)q->n_done / (double)q->n_answers;
    json j;
    interval(q, &low, &high);
    if (!as_json) {
        printf("%s accuracy %.4f ± %.4f %% (95 %%: %.2f to %.2f) over %zu of %zu tasks; chance %.2f %%\n",
               names[q->list.kind], 100 * p.value, 100 * p.error, 100 * low, 100 * high, q->n_done,
               q->list.n_in_file, 100 * chance);
        return;
    }
    json_start(&j, stdout, true);
    json_object(&j);
    json_name(&j, "model");
    json_text(&j, q->model.path);
    json_name(&j, "task");
    json_text(&j, names[q->list.kind]);
    json_estimate(&j, "accuracy", p);
    json_name(&j, "accuracy_low");
    json_f64(&j, low);
    json_name(&j, "accuracy_high");
    json_f64(&j, high);
    json_name(&j, "chance");
    json_f64(&j, chance);
    json_name(&j, "n_right");
    json_u64(&j, q->n_right);
    json_name(&j, "n_tasks");
    json_u64(&j, q->n_done);
    json_name(&j, "n_in_file");
    json_u64(&j, q->list.n_in_file);
    json_name(&j, "n_evaluated");
    json_u64(&j, q->model.n_evaluated);
    json_name(&j, "tokens_per_second");
    json_f64(&j, (double)q->model.n_evaluated / q->model.seconds);
    json_object_end(&j);
    putchar('\n');
}

int choices_run(choice_kind kind, const char *model, const char *path, size_t n_tasks, const eval_options *o,
                bool as_json) {
    quiz q = {.n_done = 0};
    int status = choices_read(kind, path, n_tasks, &q.list);
    if (!status) status = eval_open_model(&q.model, model, o);
    if (!status) status = prepare_all(&q, o);
    if (!status) status = answer_all(&q);
    if (!status) report(&q, as_json);
    for (size_t i = 0; q.questions && i < q.list.n; i++)
        for (size_t k = 0; k < ANSWERS_MAX; k++) free(q.questions[i].answers[k].tokens);
    free(q.questions);
    choices_free(&q.list);
    eval_close(&q.model);
    return status;
}
