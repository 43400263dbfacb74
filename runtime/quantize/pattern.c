/* pattern.h: a pattern is compiled to a program of single-character tests, jumps and forks, and all of its
 * threads are run side by side over the text. Nothing here depends on a locale. */
#include "pattern.h"

#include <stdint.h>
#include <string.h>

#include "loader/alloc.h"

enum { PROGRAM_MAX = 2048, DEPTH_MAX = 50, REPEAT_MAX = 255 };

typedef enum op { OP_SET, OP_FORK, OP_JUMP, OP_START, OP_END, OP_MATCH } op;

typedef struct step {
    op op;
    int16_t a, b;    /* where to go on; OP_FORK: both */
    uint32_t set[8]; /* OP_SET: the bytes that match */
} step;

struct pattern {
    int n;
    step steps[PROGRAM_MAX];
};

typedef struct parser {
    pattern *p;
    const char *text, *at, *end;
    const char *wrong; /* the first thing that was */
    int depth;
} parser;

static int emit(parser *s, op o, int a, int b) {
    if (s->p->n == PROGRAM_MAX) {
        if (!s->wrong) s->wrong = "it is too long";
        return PROGRAM_MAX - 1;
    }
    s->p->steps[s->p->n] = (step){o, (int16_t)a, (int16_t)b, {0}};
    return s->p->n++;
}

static void set_add(uint32_t *set, unsigned c) {
    set[c / 32] |= UINT32_C(1) << c % 32;
}

static bool set_has(const uint32_t *set, unsigned c) {
    return set[c / 32] >> c % 32 & 1;
}

static void set_invert(uint32_t *set) {
    for (int i = 0; i < 8; i++) set[i] = ~set[i];
}

/* Letters match in either case. */
static void set_fold(uint32_t *set) {
    for (unsigned c = 'a'; c <= 'z'; c++)
        if (set_has(set, c) || set_has(set, c - 'a' + 'A')) {
            set_add(set, c);
            set_add(set, c - 'a' + 'A');
        }
}

/* What a letter after a backslash stands for. */
static void set_escape(uint32_t *set, char c) {
    uint32_t all[8] = {0};
    char lower = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    for (unsigned i = 0; i < 256; i++) {
        bool digit = i >= '0' && i <= '9', letter = (i | 32) >= 'a' && (i | 32) <= 'z';
        if ((lower == 'd' && digit) || (lower == 'w' && (digit || letter || i == '_')) ||
            (lower == 's' && (i == ' ' || (i >= '\t' && i <= '\r'))))
            set_add(all, i);
    }
    if (lower != 'd' && lower != 'w' && lower != 's')
        set_add(all, (unsigned char)c);
    else if (c != lower)
        set_invert(all);
    for (int i = 0; i < 8; i++) set[i] |= all[i];
}

/* After [ : up to and with ]. */
static void parse_set(parser *s, uint32_t *set) {
    bool inverted = s->at < s->end && *s->at == '^', first = true;
    if (inverted) s->at++;
    for (; s->at < s->end && (*s->at != ']' || first); first = false) {
        unsigned from = (unsigned char)*s->at++;
        if (from == '\\' && s->at < s->end) {
            set_escape(set, *s->at++);
            continue;
        }
        unsigned to = from;
        if (s->end - s->at >= 2 && s->at[0] == '-' && s->at[1] != ']') {
            to = (unsigned char)s->at[1];
            s->at += 2;
        }
        if (to < from && !s->wrong) s->wrong = "a range in [ ] ends before it starts";
        for (unsigned c = from; c <= to; c++) set_add(set, c);
    }
    if (s->at == s->end && !s->wrong) s->wrong = "a [ has no ]";
    if (s->at < s->end) s->at++;
    set_fold(set);
    if (inverted) set_invert(set);
}

static void parse_choice(parser *s);

static void parse_one(parser *s) {
    char c = *s->at++;
    if (c == '(') {
        if (s->end - s->at >= 2 && s->at[0] == '?' && s->at[1] == ':') s->at += 2;
        if (++s->depth > DEPTH_MAX && !s->wrong) s->wrong = "its brackets are nested too deeply";
        if (!s->wrong) parse_choice(s);
        s->depth--;
        if (s->at == s->end || *s->at != ')') {
            if (!s->wrong) s->wrong = "a ( has no )";
        } else {
            s->at++;
        }
        return;
    }
    if (c == '^' || c == '$') {
        emit(s, c == '^' ? OP_START : OP_END, s->p->n + 1, 0);
        return;
    }
    if ((c == '*' || c == '+' || c == '?' || c == '{') && !s->wrong) s->wrong = "there is nothing to repeat";
    step *at = &s->p->steps[emit(s, OP_SET, s->p->n + 1, 0)];
    if (c == '.') {
        set_invert(at->set);
    } else if (c == '[') {
        parse_set(s, at->set);
    } else if (c == '\\') {
        if (s->at == s->end) {
            if (!s->wrong) s->wrong = "it ends in a backslash";
        } else {
            set_escape(at->set, *s->at++);
            set_fold(at->set);
        }
    } else {
        set_add(at->set, (unsigned char)c);
        set_fold(at->set);
    }
}

/* Once more what steps from .. to are. */
static void copy_steps(parser *s, int from, int to) {
    int move = s->p->n - from;
    for (int i = from; i < to; i++) {
        int at = emit(s, s->p->steps[i].op, s->p->steps[i].a + move, s->p->steps[i].b + move);
        memcpy(s->p->steps[at].set, s->p->steps[i].set, sizeof s->p->steps[i].set);
    }
}

/* {m}, {m,} or {m,n}; *most is -1 without end. */
static bool parse_counts(parser *s, int *least, int *most) {
    int v[2] = {0, -1};
    const char *p = s->at + 1;
    for (int i = 0; i < 2; i++) {
        const char *start = p;
        for (v[i] = 0; p < s->end && *p >= '0' && *p <= '9' && v[i] <= REPEAT_MAX; p++)
            v[i] = 10 * v[i] + (*p - '0');
        if (p == start) v[i] = i ? -1 : 0;
        if (i == 0 && p < s->end && *p == '}') {
            v[1] = v[0];
            break;
        }
        if (i == 0 && (p == s->end || *p++ != ',')) return false;
    }
    if (p == s->end || *p != '}' || v[0] > REPEAT_MAX || v[1] > REPEAT_MAX || (v[1] >= 0 && v[1] < v[0]))
        return false;
    s->at = p;
    *least = v[0];
    *most = v[1];
    return true;
}

static void parse_repeated(parser *s) {
    int from = s->p->n, least = 1, most = 1;
    parse_one(s);
    int to = s->p->n;
    if (s->wrong || s->at == s->end) return;
    switch (*s->at) {
    case '*': least = 0, most = -1; break;
    case '+': least = 1, most = -1; break;
    case '?': least = 0, most = 1; break;
    case '{':
        if (!parse_counts(s, &least, &most)) s->wrong = "{ } must hold one count or two";
        break;
    default: return;
    }
    s->at++;
    if (s->at < s->end && *s->at == '?') s->at++; /* lazy: finds the same */
    /* what was parsed becomes a template: copies of it follow, and it is jumped over */
    int over = from, length = to - from;
    if (s->wrong || length == 0) return;
    copy_steps(s, from, to); /* makes room for the jump */
    if (s->wrong) return;
    int template_at = to;
    s->p->steps[over] = (step){OP_JUMP, 0, 0, {0}};
    s->p->steps[over].a = (int16_t)(to + length);
    for (int i = 0; i < least && !s->wrong; i++) copy_steps(s, template_at, template_at + length);
    if (most < 0) {
        int fork = emit(s, OP_FORK, s->p->n + 1, 0);
        copy_steps(s, template_at, template_at + length);
        emit(s, OP_JUMP, fork, 0);
        s->p->steps[fork].b = (int16_t)s->p->n;
    }
    for (int i = least; i < most && !s->wrong; i++) {
        int fork = emit(s, OP_FORK, s->p->n + 1, 0);
        copy_steps(s, template_at, template_at + length);
        s->p->steps[fork].b = (int16_t)s->p->n;
    }
}

static void parse_choice(parser *s) {
    int fork = emit(s, OP_FORK, s->p->n + 1, -1), out[64], n_out = 0;
    for (;;) {
        while (s->at < s->end && *s->at != '|' && *s->at != ')' && !s->wrong) parse_repeated(s);
        if (s->wrong || s->at == s->end || *s->at != '|') break;
        s->at++;
        if (n_out == 64) {
            s->wrong = "it has too many choices";
            return;
        }
        out[n_out++] = emit(s, OP_JUMP, 0, 0);
        s->p->steps[fork].b = (int16_t)s->p->n;
        fork = emit(s, OP_FORK, s->p->n + 1, -1);
    }
    /* the last has no other choice: both ways are the same */
    s->p->steps[fork].b = s->p->steps[fork].a;
    for (int i = 0; i < n_out; i++) s->p->steps[out[i]].a = (int16_t)s->p->n;
}

leat_status pattern_open(const char *text, size_t n, pattern **out, leat_error *e) {
    pattern *p = mem_alloc(1, sizeof *p);
    if (!p) return error_set(e, LEAT_E_NOMEM, "out of memory for a pattern");
    parser s = {p, text, text, text + n, NULL, 0};
    parse_choice(&s);
    if (!s.wrong && s.at < s.end) s.wrong = "a ) has no (";
    emit(&s, OP_MATCH, 0, 0);
    if (s.wrong) {
        pattern_close(p);
        return error_set(e, LEAT_E_ARG, "the pattern \"%.*s\" is wrong: %s", (int)(n < 100 ? n : 100), text,
                         s.wrong);
    }
    *out = p;
    return LEAT_OK;
}

void pattern_close(pattern *p) {
    mem_free(p);
}

/* The threads at a place of the text: steps that wait for a byte. */
typedef struct threads {
    int n;
    int16_t at[PROGRAM_MAX];
    uint8_t seen[PROGRAM_MAX];
} threads;

/* Adds step i and all that it leads to without a byte. True when the end is among them. */
static bool follow(const pattern *p, threads *t, int i, bool start, bool end) {
    int16_t stack[PROGRAM_MAX];
    int n = 0;
    if (t->seen[i]) return false;
    t->seen[i] = 1;
    stack[n++] = (int16_t)i;
    while (n) {
        const step *s = &p->steps[stack[--n]];
        int next[2] = {-1, -1};
        switch (s->op) {
        case OP_MATCH: return true;
        case OP_SET: t->at[t->n++] = (int16_t)(s - p->steps); break;
        case OP_JUMP: next[0] = s->a; break;
        case OP_FORK: next[0] = s->b, next[1] = s->a; break;
        case OP_START: next[0] = start ? s->a : -1; break;
        case OP_END: next[0] = end ? s->a : -1; break;
        }
        for (int k = 0; k < 2; k++)
            if (next[k] >= 0 && !t->seen[next[k]]) {
                t->seen[next[k]] = 1;
                stack[n++] = (int16_t)next[k];
            }
    }
    return false;
}

bool pattern_found(const pattern *p, const char *text, size_t n) {
    threads a, b, *now = &a, *then = &b;
    now->n = 0;
    memset(now->seen, 0, sizeof now->seen);
    for (size_t i = 0;; i++) {
        if (follow(p, now, 0, i == 0, i == n)) return true; /* a match may start anywhere */
        if (i == n) return false;
        then->n = 0;
        memset(then->seen, 0, (size_t)p->n);
        for (int k = 0; k < now->n; k++) {
            const step *s = &p->steps[now->at[k]];
            if (set_has(s->set, (unsigned char)text[i]) && follow(p, then, s->a, false, i + 1 == n))
                return true;
        }
        threads *swap = now;
        now = then;
        then = swap;
    }
}
