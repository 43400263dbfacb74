/* Models, texts and token lists for the commands; see input.h. The only file that reads the environment
 * (LEAT_ISA). */
#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#    include <mach-o/dyld.h>
#endif

#include "options.h"
#include "term.h"

#define DEFAULT_MODEL "storyteller-q8_0.gguf"

/* The folder this program lies in, without the final slash. */
static bool program_folder(char folder[PATH_MAX]) {
    char path[PATH_MAX];
#ifdef __APPLE__
    uint32_t size = sizeof path;
    if (_NSGetExecutablePath(path, &size)) return false;
#else
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return false;
    path[n] = 0;
#endif
    if (!realpath(path, folder)) return false;
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return slash != NULL;
}

int default_model_path(char path[PATH_MAX]) {
    static const char *const beside[] = {
        "/../models/" DEFAULT_MODEL,     /* build/tools/leat, the model copied to build/models */
        "/../../models/" DEFAULT_MODEL,  /* build/tools/leat, the model in the sources */
        "/../share/leat/" DEFAULT_MODEL, /* PREFIX/bin/leat */
    };
    char folder[PATH_MAX];
    if (program_folder(folder)) {
        for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
            int n = snprintf(path, PATH_MAX, "%s%s", folder, beside[i]);
            if (n < PATH_MAX && access(path, R_OK) == 0) return EXIT_DONE;
        }
    }
    snprintf(path, PATH_MAX, "%s", LEAT_DATADIR "/" DEFAULT_MODEL);
    if (access(path, R_OK) == 0) return EXIT_DONE;
    return fail("the default model %s is not beside this program nor in %s; name a model: leat COMMAND MODEL",
                DEFAULT_MODEL, LEAT_DATADIR);
}

/* Is `name` something this machine runs? Says what it has if not. */
static int check_isa(const char *from, const char *name) {
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; leat_isa(i); i++) {
        if (!strcmp(leat_isa(i), name)) return EXIT_DONE;
        int n = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", leat_isa(i));
        if (n < 0 || (used += (size_t)n) >= sizeof list) break;
    }
    return fail("%s: this machine has no instruction set \"%s\"; it has %s", from, name, list);
}

/* The whole list, which an error message may have no room for. */
static void name_architectures(void) {
    char list[4096] = "";
    size_t n = 0;
    for (size_t i = 0; leat_architecture(i) && n < sizeof list - 80; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", leat_architecture(i));
    fail("this version runs the architectures %s", list);
}

int open_model(const char *path, bool vocab_only, const char *isa, leat_model **out) {
    char default_path[PATH_MAX];
    leat_model_params params;
    leat_error error;
    *out = NULL;
    if (!path) {
        int status = default_model_path(default_path);
        if (status) return status;
        path = default_path;
    }
    leat_model_params_default(&params);
    params.vocab_only = vocab_only;
    const char *from = isa ? "--isa" : "LEAT_ISA";
    if (!isa) isa = getenv("LEAT_ISA");
    if (isa && *isa) {
        if (check_isa(from, isa)) return *from == '-' ? EXIT_USAGE : EXIT_FAILED;
        params.isa = isa;
    }
    leat_status status = leat_model_open(path, &params, out, &error);
    if (status) fail("%s", error.message);
    if (status == LEAT_E_ARCH) name_architectures();
    const char *warning;
    for (size_t i = 0; (warning = leat_model_warning(*out, i)) != NULL; i++) warn("%s", warning);
    return status ? EXIT_FAILED : EXIT_DONE;
}

int read_text(const char *path, char **text, size_t *n) {
    bool standard = !strcmp(path, "-");
    FILE *f = standard ? stdin : fopen(path, "rb");
    const char *name = standard ? "standard input" : path;
    char *data = NULL;
    size_t size = 0, capacity = 0;
    *text = NULL;
    *n = 0;
    if (!f) return fail("%s: %s", name, strerror(errno));
    errno = 0;
    do {
        if (capacity - size < 2) {
            size_t wanted = capacity ? capacity * 2 : 1 << 16;
            char *grown = wanted > capacity ? realloc(data, wanted) : NULL;
            if (!grown) {
                errno = ENOMEM;
                break;
            }
            data = grown;
            capacity = wanted;
        }
        size += fread(data + size, 1, capacity - size - 1, f);
    } while (!feof(f) && !ferror(f));
    bool complete = feof(f) && !ferror(f);
    int error = errno;
    if (!standard) fclose(f);
    if (!complete) {
        free(data);
        return fail("%s: %s", name, strerror(error ? error : EIO));
    }
    data[size] = 0;
    *text = data;
    *n = size;
    return EXIT_DONE;
}

/* Nearly always a byte of text is at most one token; where it is more, the second try knows how many. */
int tokenize_text(const leat_model *model, const char *text, size_t n, unsigned flags, leat_token **tokens,
                  size_t *count) {
    size_t bound = leat_tokenize_bound(model, n), capacity = bound < n + 64 ? bound : n + 64;
    leat_error error;
    for (;;) {
        *count = 0;
        *tokens = capacity < SIZE_MAX / sizeof **tokens ? malloc((capacity + 1) * sizeof **tokens) : NULL;
        if (!*tokens) return fail("no memory for the tokens of %zu bytes of text", n);
        leat_status s = leat_tokenize(model, text, n, flags, *tokens, capacity, count, &error);
        if (!s) return EXIT_DONE;
        free(*tokens);
        *tokens = NULL;
        if (s != LEAT_E_LIMIT || *count <= capacity) return fail("%s", error.message);
        capacity = *count;
    }
}

int parse_ids(const char *command, const char *name, const char *list, leat_token **tokens, size_t *count) {
    size_t most = 1;
    for (const char *p = list; *p; p++) most += *p == ',';
    leat_token *grown = realloc(*tokens, (*count + most) * sizeof **tokens);
    if (!grown) return fail("no memory for %zu token ids", *count + most);
    *tokens = grown;
    for (const char *p = list;;) {
        size_t n = strcspn(p, ",");
        char word[24];
        int64_t id;
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        if (!parse_int(word, INT32_MIN, INT32_MAX, &id))
            return usage_error(command, "%s: \"%s\" is no token id", name, word);
        (*tokens)[(*count)++] = (leat_token)id;
        if (!p[n]) return EXIT_DONE;
        p += n + 1;
    }
}

leat_kv_type cache_type(const char *name) {
    for (size_t i = 0; leat_kv_type_name(i); i++)
        if (!strcmp(name, leat_kv_type_name(i))) return (leat_kv_type)i;
    return LEAT_KV_F16; /* not reached: options.c has checked the word */
}

leat_activations activations_form(const char *name) {
    return strcmp(name, "f32") ? LEAT_ACTIVATIONS_INT8 : LEAT_ACTIVATIONS_F32;
}

unsigned thread_count(long long threads) {
    return threads > 0 ? (unsigned)threads : 0;
}
