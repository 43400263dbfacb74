/* /show, /tokens and /template: what there is to know about a conversation, on standard error; see chat.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "chat.h"
#include "input.h"

void talk_print(const char *text, size_t n) {
    char *clean = malloc(3 * n + 1);
    if (clean) fwrite(clean, 1, term_strip_controls(text, n, clean), stderr);
    free(clean);
}

const char *in_bytes(uint64_t n, char out[32]) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double v = (double)n;
    size_t i = 0;
    for (; v >= 1000 && i < 4; i++) v /= 1000;
    snprintf(out, 32, i ? "%.1f %s" : "%.0f %s", v, units[i]);
    return out;
}

static double per_second(size_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static void show_model(const talk *t) {
    leat_model_info info;
    char path[PATH_MAX], size[32], number[32];
    leat_model_get_info(t->model, &info);
    fputs("  model     ", stderr);
    if (t->o->model) {
        term_put_clean(stderr, t->o->model, strlen(t->o->model), 200);
    } else if (!default_model_path(path)) {
        fprintf(stderr, "%s, which comes with Leat", strrchr(path, '/') + 1);
    }
    fprintf(stderr, "\n            %s, %.1f million parameters, %s, trained for %s tokens\n",
            info.architecture, (double)info.n_params / 1e6, in_bytes(info.bytes, size),
            grouped(info.n_ctx_train, number));
    fprintf(stderr, "            %s\n",
            !leat_chat_has_template(t->chat) ? "without a chat template: it goes on with what you write"
            : t->think == THINK_OFF          ? "with a chat template; asked not to think"
            : leat_chat_can_reason(t->chat)  ? "with a chat template that knows of thinking"
                                             : "with a chat template");
}

bool talk_show(talk *t, const char *what) {
    struct rusage usage;
    char a[32], b[32];
    const chat_numbers *l = &t->last;
    (void)what;
    leat_model_info info;
    leat_model_get_info(t->model, &info);
    show_model(t);
    fputs("  sampling  ", stderr);
    talk_describe_sampling(t);
    fprintf(stderr, "  context   %s of %s tokens, %zu messages\n            when it is full, %s\n",
            grouped(leat_session_length(t->session), a), grouped(leat_session_n_ctx(t->session), b),
            leat_chat_count(t->chat), t->o->shift ? "the oldest turns are left out" : "answers end");
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    uint64_t peak = (uint64_t)usage.ru_maxrss; /* bytes there, KiB elsewhere */
#else
    uint64_t peak = (uint64_t)usage.ru_maxrss * 1024;
#endif
    leat_session_memory memory;
    leat_session_get_memory(t->session, &memory);
    fprintf(stderr, "  memory    %s of %s for the conversation (keys %s, values %s)\n",
            in_bytes(memory.cache_used + memory.state_used, a), in_bytes(memory.cache + memory.state, b),
            t->o->cache_k, t->o->cache_v);
    fprintf(stderr, "            %s of the whole process at most so far\n", in_bytes(peak, a));
    fprintf(stderr, "  speed     %u threads, %s", (unsigned)leat_session_threads(t->session), info.isa);
    if (l->n_prompt)
        fprintf(stderr, "\n            last: %zu of %zu tokens read at %.0f t/s, %zu written at %.1f t/s",
                l->n_prompt - l->n_cached, l->n_prompt,
                per_second(l->n_prompt - l->n_cached, l->prompt_seconds), l->n_generated,
                per_second(l->n_generated, l->seconds));
    fputc('\n', stderr);
    return true;
}

/* A token's text, which may be a part of a character: bytes then. */
static void print_piece(const char *text, size_t n) {
    uint32_t code;
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_next(text + i, n - i, &code);
        if (code == 0xFFFD && length == 1)
            fprintf(stderr, "\\x%02X", (unsigned)(unsigned char)text[i]);
        else
            term_put_clean(stderr, text + i, length, 1);
    }
}

bool talk_show_tokens(talk *t, const char *text) {
    leat_token *tokens;
    size_t n;
    char used[32], all[32];
    if (!*text) {
        fprintf(stderr, "The conversation has %s tokens of %s.\n",
                grouped(leat_session_length(t->session), used), grouped(leat_session_n_ctx(t->session), all));
        return true;
    }
    if (tokenize_text(t->model, text, strlen(text), 0, &tokens, &n)) return false;
    for (size_t i = 0; i < n; i++) {
        leat_str piece = leat_token_text(t->model, tokens[i], true);
        fprintf(stderr, "%s%d \"", i ? "  " : "", (int)tokens[i]);
        print_piece(piece.data ? piece.data : "", piece.size);
        fputc('"', stderr);
    }
    fprintf(stderr, "\n%s tokens\n", grouped(n, used));
    free(tokens);
    return true;
}

/* The template's own text, from the file. */
static bool show_source(const talk *t) {
    char path[PATH_MAX];
    leat_file *file;
    leat_error error;
    leat_value value;
    size_t index;
    if (t->o->template_file) {
        char *text;
        size_t n;
        if (read_text(t->o->template_file, &text, &n)) return false;
        talk_print(text, n);
        free(text);
        return true;
    }
    if (!t->o->model && default_model_path(path)) return false;
    if (leat_file_open(t->o->model ? t->o->model : path, &file, &error))
        return fail("%s", error.message), false;
    bool found = !leat_file_meta_find(file, "tokenizer.chat_template", &index) &&
                 !leat_file_meta_value(file, index, 0, NULL, &value);
    if (found) talk_print(value.str.data, value.str.size);
    fputs(found ? "\n" : "This model has no chat template.\n", stderr);
    leat_file_close(file);
    return true;
}

/* The messages as the JSON a template gets. */
static char *context_of(const talk *t) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    fputs("{\"messages\":[", f);
    for (size_t i = 0; i < leat_chat_count(t->chat); i++) {
        leat_str message = leat_chat_message(t->chat, i);
        if (i) fputc(',', f);
        fwrite(message.data, 1, message.size, f);
    }
    fprintf(f, "],\"add_generation_prompt\":%s",
            message_last(t->chat, "user") + 1 == leat_chat_count(t->chat) ? "true" : "false");
    const char *variables = t->o->variables ? strchr(t->o->variables, '{') : NULL;
    size_t inner = variables ? strlen(variables) - 1 : 0;
    while (inner > 1 && variables[inner] != '}') inner--;
    bool any = variables && strspn(variables + 1, " \t\r\n") + 1 < inner;
    if (any) fprintf(f, ",%.*s", (int)(inner - 1), variables + 1);
    fputs("}", f);
    if (!fclose(f)) return text;
    free(text);
    return NULL;
}

bool talk_show_template(talk *t, const char *what) {
    leat_template *model = NULL;
    leat_rendering *rendering = NULL;
    leat_error error;
    if (!strcmp(what, "source")) return show_source(t);
    if (!leat_chat_has_template(t->chat)) return fail("this model has no chat template"), false;
    char *context = context_of(t);
    if (!context) return fail("no memory for the conversation"), false;
    leat_status status = t->own_template ? LEAT_OK : leat_template_open_model(t->model, NULL, &model, &error);
    if (!status)
        status = leat_template_render(t->own_template ? t->own_template : model, context, strlen(context),
                                      NULL, &rendering, &error);
    for (size_t i = 0; !status && i < leat_rendering_segments(rendering); i++) {
        leat_segment s = leat_rendering_segment(rendering, i);
        if (t->colours && !s.content) fputs("\033[2m", stderr);
        talk_print(s.text.data, s.text.size);
        if (t->colours && !s.content) fputs("\033[0m", stderr);
    }
    if (!status) fputc('\n', stderr);
    if (status) fail("%s", error.message);
    leat_rendering_close(rendering);
    leat_template_close(model);
    free(context);
    return !status;
}
