/* Files of tasks: hellaswag (text, 6 lines a task), winogrande (CSV) and multiple choice (binary). Whatever
 * is wrong with one is said with its line, or the task and the byte. See choices.h. */
#include "choices.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "term.h"

/* ---- which tasks: the random numbers of C++'s std::mt19937 (Matsumoto and Nishimura 1998), seed 1 ---- */

enum { MT_N = 624, MT_M = 397 };
typedef struct twister {
    uint32_t x[MT_N];
    size_t at;
} twister;

static void twister_seed(twister *t, uint32_t seed) {
    t->x[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++) t->x[i] = 1812433253u * (t->x[i - 1] ^ t->x[i - 1] >> 30) + i;
    t->at = MT_N;
}

static uint32_t twister_next(twister *t) {
    if (t->at == MT_N) {
        for (size_t i = 0; i < MT_N; i++) {
            uint32_t y = (t->x[i] & 0x80000000u) | (t->x[(i + 1) % MT_N] & 0x7FFFFFFFu);
            t->x[i] = t->x[(i + MT_M) % MT_N] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
        }
        t->at = 0;
    }
    uint32_t y = t->x[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

/* One of n, evenly (Lemire 2019), as std::uniform_int_distribution of GNU's library draws it. */
static size_t draw_evenly(twister *t, size_t n) {
    uint32_t range = (uint32_t)n;
    uint64_t product = (uint64_t)twister_next(t) * range;
    if ((uint32_t)product < range)
        while ((uint32_t)product < (0u - range) % range) product = (uint64_t)twister_next(t) * range;
    return (size_t)(product >> 32);
}

/* One of n by scaling in float32. */
static size_t draw_scaled(twister *t, size_t n) {
    size_t i = (size_t)(0x1p-32f * (float)twister_next(t) * (float)n);
    return i < n ? i : n - 1;
}

/* Leaves `wanted` tasks in the order in which they are drawn. Hellaswag's are drawn even if all are wanted,
 * and the others close ranks; of the other kinds the last one takes the place of one that is drawn. */
static int draw(choice_list *list, size_t wanted) {
    bool ordered = list->kind == CHOICE_HELLASWAG;
    size_t left = list->n;
    twister t;
    list->n_in_file = list->n;
    if (!wanted || wanted > list->n) wanted = list->n;
    if (!ordered && wanted == list->n) return EXIT_DONE;
    choice_task *drawn = malloc(wanted * sizeof *drawn);
    if (!drawn) return fail("no memory for %zu tasks", wanted);
    twister_seed(&t, 1);
    for (size_t i = 0; i < wanted; i++) {
        size_t j = ordered ? draw_evenly(&t, left) : draw_scaled(&t, left);
        drawn[i] = list->tasks[j];
        left--;
        if (ordered)
            memmove(list->tasks + j, list->tasks + j + 1, (left - j) * sizeof *drawn);
        else
            list->tasks[j] = list->tasks[left];
    }
    for (size_t i = 0; i < left; i++) {
        free(list->tasks[i].answers);
        free(list->tasks[i].right);
    }
    free(list->tasks);
    list->tasks = drawn;
    list->n = wanted;
    return EXIT_DONE;
}

/* ---- reading ---- */

/* A new task at the end of the list, with room for its answers. */
static choice_task *append(choice_list *list, size_t place, size_t n_answers) {
    if ((list->n & (list->n - 1)) == 0) { /* grows by powers of two */
        choice_task *grown = realloc(list->tasks, (list->n ? 2 * list->n : 1) * sizeof *grown);
        if (!grown) return NULL;
        list->tasks = grown;
    }
    choice_task *task = &list->tasks[list->n];
    *task = (choice_task){.place = place,
                          .n_answers = n_answers,
                          .answers = calloc(n_answers, sizeof *task->answers),
                          .right = calloc(n_answers, sizeof *task->right)};
    if (task->answers && task->right) {
        list->n++;
        return task;
    }
    free(task->answers);
    free(task->right);
    return NULL;
}

static int no_memory(const choice_list *list) {
    return fail("no memory for the tasks of %s", list->path);
}

/* The next line from *p on, without its end; false behind the last. */
static bool next_line(const choice_list *list, const char **p, choice_text *line) {
    const char *end = list->data + list->size;
    if (*p >= end) return false;
    const char *stop = memchr(*p, '\n', (size_t)(end - *p));
    if (!stop) stop = end;
    *line = (choice_text){*p, (size_t)(stop - *p)};
    if (line->n && line->p[line->n - 1] == '\r') line->n--;
    *p = stop + 1;
    return true;
}

static int read_hellaswag(choice_list *list) {
    enum { LINES = 6, ENDINGS = 4 };
    const char *p = list->data;
    choice_text line[LINES];
    for (size_t at = 1;; at += LINES) {
        size_t n = 0;
        while (n < LINES && next_line(list, &p, &line[n])) n++;
        if (!n) return EXIT_DONE;
        if (n < LINES)
            return fail("%s, line %zu: a task begins here, but the file ends after %zu of its 6 lines",
                        list->path, at, n);
        if (line[1].n != 1 || line[1].p[0] < '0' || line[1].p[0] > '3')
            return fail("%s, line %zu: \"%.*s\" is not the number of an ending, 0 to 3", list->path, at + 1,
                        (int)(line[1].n < 60 ? line[1].n : 60), line[1].p);
        choice_task *task = append(list, at, ENDINGS);
        if (!task) return no_memory(list);
        task->question = line[0];
        memcpy(task->answers, line + 2, ENDINGS * sizeof *line);
        task->right[line[1].p[0] - '0'] = 1;
    }
}

/* A field of a CSV line up to the next comma that is not within quotes, or to the end. Quotes around it go,
 * and two within become one, in place. */
static choice_text csv_field(choice_text *line, bool *more) {
    char *p = (char *)(uintptr_t)line->p; /* the list's own copy of the file */
    size_t n = 0;
    bool quoted = false;
    while (n < line->n && (quoted || p[n] != ',')) quoted ^= p[n++] == '"';
    choice_text field = {p, n};
    *more = n < line->n;
    line->p += n + *more;
    line->n -= n + *more;
    if (n < 2 || p[0] != '"' || p[n - 1] != '"') return field;
    size_t used = 0;
    for (size_t i = 1; i + 1 < n; i++) {
        p[used++] = p[i];
        if (p[i] == '"' && i + 2 < n && p[i + 1] == '"') i++;
    }
    return (choice_text){p, used};
}

static int read_winogrande(choice_list *list) {
    enum { FIELDS = 5 }; /* number, sentence, choice, choice, answer */
    const char *p = list->data;
    choice_text line, field[FIELDS];
    for (size_t at = 1; next_line(list, &p, &line); at++) {
        size_t n = 0;
        bool more = true;
        if (!line.n) continue;
        while (n < FIELDS && more) field[n++] = csv_field(&line, &more);
        if (n < FIELDS)
            return fail("%s, line %zu: %zu fields, not number,sentence,choice,choice,answer", list->path, at,
                        n);
        if (at == 1 && field[4].n == 6 && !memcmp(field[4].p, "answer", 6)) continue; /* names of columns */
        const char *gap = memchr(field[1].p, '_', field[1].n);
        if (!gap) return fail("%s, line %zu: the sentence has no _", list->path, at);
        if (field[4].n != 1 || (field[4].p[0] != '1' && field[4].p[0] != '2'))
            return fail("%s, line %zu: the answer is \"%.*s\", not 1 or 2", list->path, at,
                        (int)(field[4].n < 60 ? field[4].n : 60), field[4].p);
        choice_task *task = append(list, at, 2);
        if (!task) return no_memory(list);
        size_t before = (size_t)(gap - field[1].p);
        task->question = (choice_text){field[1].p, before};
        task->rest = (choice_text){gap + 1, field[1].n - before - 1};
        task->answers[0] = field[2];
        task->answers[1] = field[3];
        task->right[field[4].p[0] - '1'] = 1;
    }
    return EXIT_DONE;
}

/* A binary file is walked with a place that never passes its end. */
typedef struct cursor {
    const choice_list *list;
    size_t at, task; /* task: which one, from 1 */
} cursor;

static int too_short(const cursor *c) {
    return fail("%s, task %zu, byte %zu: the file ends within the task", c->list->path, c->task, c->at);
}

static bool take_u32(cursor *c, uint32_t *out) { /* little endian */
    if (c->list->size - c->at < 4) return false;
    const unsigned char *p = (const unsigned char *)c->list->data + c->at;
    *out = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    c->at += 4;
    return true;
}

static bool take_text(cursor *c, choice_text *out) {
    uint32_t n;
    if (!take_u32(c, &n) || c->list->size - c->at < n) return false;
    *out = (choice_text){c->list->data + c->at, n};
    c->at += n;
    return true;
}

/* One set of answers. task may be NULL: it is only passed over. */
static int take_answers(cursor *c, choice_list *list, choice_text question, bool keep) {
    uint32_t n, label;
    choice_task *task = NULL;
    if (!take_u32(c, &n)) return too_short(c);
    if (n > ANSWERS_MAX)
        return fail("%s, task %zu, byte %zu: %u answers, more than %d", list->path, c->task, c->at - 4,
                    (unsigned)n, ANSWERS_MAX);
    if (keep && !(n && question.n))
        return fail("%s, task %zu: it has no %s", list->path, c->task, n ? "question" : "answers");
    if (keep && !(task = append(list, c->task, n))) return no_memory(list);
    if (task) task->question = question;
    for (uint32_t i = 0; i < n; i++) {
        choice_text answer;
        if (!take_text(c, &answer)) return too_short(c);
        if (task && !answer.n) return fail("%s, task %zu: answer %u is empty", list->path, c->task, i + 1);
        if (task) task->answers[i] = answer;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!take_u32(c, &label)) return too_short(c);
        if (task) task->right[i] = label == 1;
    }
    return EXIT_DONE;
}

/* The number of tasks, the place of each, and the tasks: a question and two sets of answers, the first with
 * one that is right. */
static int read_multiple(choice_list *list) {
    cursor c = {.list = list};
    uint32_t n;
    if (!take_u32(&c, &n) || !n || (list->size - c.at) / 4 < n)
        return fail("%s is no file of multiple choice tasks", list->path);
    c.at += (size_t)n * 4;
    for (c.task = 1; c.task <= n; c.task++) {
        choice_text question;
        if (!take_text(&c, &question)) return too_short(&c);
        int status = take_answers(&c, list, question, true);
        if (!status) status = take_answers(&c, list, question, false);
        if (status) return status;
    }
    return EXIT_DONE;
}

int choices_read(choice_kind kind, const char *path, size_t n_tasks, choice_list *out) {
    static int (*const readers[CHOICE_KINDS])(choice_list *) = {read_hellaswag, read_winogrande,
                                                                read_multiple};
    *out = (choice_list){.kind = kind, .path = path};
    int status = read_text(path, &out->data, &out->size);
    if (!status) status = readers[kind](out);
    if (!status && !out->n) status = fail("%s has no tasks", path);
    if (!status && out->n > UINT32_MAX / 2) status = fail("%s has too many tasks", path);
    if (!status) status = draw(out, n_tasks);
    return status;
}

void choices_free(choice_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        free(list->tasks[i].answers);
        free(list->tasks[i].right);
    }
    free(list->tasks);
    free(list->data);
    *list = (choice_list){.n = 0};
}
