/* `leat convert` on a folder of a few hundred megabytes that are mostly holes: memory, a file that may not
 * grow, Ctrl-C, and a weight that is no number. Whatever happens, there is a whole file or none. */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"
#include "tests/harness/test.h"
#include "tests/loader/folder.h"

enum { LAYERS = 10, WIDTH = 1024, WIDE = 4096, TOKENS = 8192, HEADER = 32768 };

typedef struct scene {
    folder in, out;
    char list[HEADER]; /* the header being made */
    size_t n;
    unsigned long long offset; /* of the next tensor, in bytes */
} scene;

static void tensor(scene *s, const char *name, unsigned layer, unsigned rows, unsigned cols) {
    char full[100];
    unsigned long long bytes = 4ull * rows * (cols ? cols : 1);
    snprintf(full, sizeof full, name, layer);
    s->n += (size_t)snprintf(s->list + s->n, sizeof s->list - s->n,
                             "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[%u", s->n ? ',' : '{', full, rows);
    if (cols) s->n += (size_t)snprintf(s->list + s->n, sizeof s->list - s->n, ",%u", cols);
    s->n += (size_t)snprintf(s->list + s->n, sizeof s->list - s->n, "],\"data_offsets\":[%llu,%llu]}",
                             s->offset, s->offset + bytes);
    s->offset += bytes;
}

/* 180 million weights of zero, which take no room on disk. */
static bool scene_open(scene *s) {
    static const char config[] =
        "{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":10,\"hidden_size\":1024,"
        "\"num_attention_heads\":8,\"intermediate_size\":4096,\"rms_norm_eps\":1e-5,"
        "\"max_position_embeddings\":512}";
    memset(s, 0, sizeof *s);
    if (!folder_make(&s->in) || !folder_make(&s->out)) return false;
    tensor(s, "model.embed_tokens.weight", 0, TOKENS, WIDTH);
    tensor(s, "lm_head.weight", 0, TOKENS, WIDTH);
    tensor(s, "model.norm.weight", 0, WIDTH, 0);
    for (unsigned i = 0; i < LAYERS; i++) {
        tensor(s, "model.layers.%u.input_layernorm.weight", i, WIDTH, 0);
        tensor(s, "model.layers.%u.post_attention_layernorm.weight", i, WIDTH, 0);
        tensor(s, "model.layers.%u.self_attn.q_proj.weight", i, WIDTH, WIDTH);
        tensor(s, "model.layers.%u.self_attn.k_proj.weight", i, WIDTH, WIDTH);
        tensor(s, "model.layers.%u.self_attn.v_proj.weight", i, WIDTH, WIDTH);
        tensor(s, "model.layers.%u.self_attn.o_proj.weight", i, WIDTH, WIDTH);
        tensor(s, "model.layers.%u.mlp.gate_proj.weight", i, WIDE, WIDTH);
        tensor(s, "model.layers.%u.mlp.up_proj.weight", i, WIDE, WIDTH);
        tensor(s, "model.layers.%u.mlp.down_proj.weight", i, WIDTH, WIDE);
    }
    s->list[s->n++] = '}';
    while (s->n % 8) s->list[s->n++] = ' ';
    unsigned long long header = s->n;
    FILE *f = fopen(folder_file(&s->in, "model.safetensors"), "wb");
    bool good = f && fwrite(&header, 8, 1, f) == 1 && fwrite(s->list, 1, s->n, f) == s->n && !fflush(f) &&
                !ftruncate(fileno(f), (off_t)(8 + header + s->offset));
    if (f) fclose(f);
    return good && file_put(folder_file(&s->in, "config.json"), config, strlen(config)) &&
           file_put(folder_file(&s->in, "vocab.json"), "{\"a\":0,\"b\":1,\"ab\":2}", 20) &&
           file_put(folder_file(&s->in, "merges.txt"), "a b\n", 4);
}

static void scene_close(scene *s) {
    folder_remove(&s->in);
    folder_remove(&s->out);
}

/* Memory is what is worked on, not what is read and written. */
static void memory(test *t) {
    scene s;
    char arguments[500];
    output o;
    struct rusage usage;
    struct stat in;
    REQUIRE(t, scene_open(&s));
    REQUIRE(t, !stat(folder_file(&s.in, "model.safetensors"), &in) && in.st_size > 700000000);
    snprintf(arguments, sizeof arguments, "convert %%s %s --type q4_0 -t 2", folder_file(&s.out, "m.gguf"));
    REQUIRE(t, leat_run(&o, s.in.path, arguments));
    if (o.status) TEST_FAIL(t, "%s", o.err);
    program_free(&o);
    getrusage(RUSAGE_CHILDREN, &usage);
#if defined(__SANITIZE_ADDRESS__) || defined(__APPLE__)
    (void)usage; /* which has memory of its own; which counts otherwise */
#else
    if (usage.ru_maxrss > 400 * 1024) TEST_FAIL(t, "%ld MiB were in use", usage.ru_maxrss / 1024);
#endif
    scene_close(&s);
}

static void full_disk(test *t) {
    scene s;
    char command[700];
    output o;
    REQUIRE(t, scene_open(&s));
    snprintf(command, sizeof command, "ulimit -f 20000; \"$LEAT\" convert %s %s --type q8_0", s.in.path,
             folder_file(&s.out, "m.gguf"));
    REQUIRE(t, shell_run(&o, command));
    if (o.status != 1 || !has(o.err, "m.gguf")) TEST_FAIL(t, "status %d: %s", o.status, o.err);
    CHECK_EQ(t, folder_count(&s.out), 0);
    program_free(&o);
    snprintf(command, sizeof command,
             "\"$LEAT\" convert %s /dev/full --type q8_0; test $? = 1 -a -c /dev/full", s.in.path);
    REQUIRE(t, shell_run(&o, command));
    CHECK_EQ(t, o.status, 0);
    program_free(&o);
    scene_close(&s);
}

static void interrupted(test *t) {
    scene s;
    char arguments[500];
    output o;
    double seconds = 0;
    REQUIRE(t, scene_open(&s));
    snprintf(arguments, sizeof arguments, "convert %%s %s --type iq3_s -t 1", folder_file(&s.out, "m.gguf"));
    REQUIRE(t, terminal_run(&o, s.in.path, arguments, 0.2, &seconds));
    if (o.status != 130) TEST_FAIL(t, "status %d after %.2f s: %s", o.status, seconds, o.out);
    CHECK_EQ(t, folder_count(&s.out), 0);
    program_free(&o);
    scene_close(&s);
}

static void no_number(test *t) {
    static const unsigned char nan[] = {0, 0, 0xC0, 0x7F};
    scene s;
    char arguments[500];
    output o;
    REQUIRE(t, scene_open(&s));
    /* row 3, column 5 of the last tensor */
    FILE *f = fopen(folder_file(&s.in, "model.safetensors"), "r+b");
    long at = (long)(8 + s.n + s.offset - 4ull * WIDTH * WIDE + 4 * (3 * WIDE + 5));
    REQUIRE(t, f && !fseek(f, at, SEEK_SET) && fwrite(nan, 1, 4, f) == 4 && !fclose(f));
    snprintf(arguments, sizeof arguments, "convert %%s %s --type q8_0", folder_file(&s.out, "m.gguf"));
    REQUIRE(t, leat_run(&o, s.in.path, arguments));
    if (o.status != 1 || !has(o.err, "blk.9.ffn_down.weight") || !has(o.err, "row 3, column 5"))
        TEST_FAIL(t, "status %d: %s", o.status, o.err);
    CHECK_EQ(t, folder_count(&s.out), 0);
    program_free(&o);
    scene_close(&s);
}

/* What is asked for and is not to be had is wrong usage, and nothing is written. */
static void wrong_types(test *t) {
    static const struct {
        const char *options, *word;
    } rows[] = {{"--type foo", "\"foo\" is no type to quantize to"},
                {"--type q8_0 --tensor-type ffn_down=foo", "ffn_down=foo: \"foo\" is no tensor type"},
                {"--type q8_0 --tensor-type nothing=q4_0", "\"nothing=q4_0\": the model has no tensor"}};
    scene s;
    REQUIRE(t, scene_open(&s));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char arguments[500];
        output o;
        snprintf(arguments, sizeof arguments, "convert %%s %s %s", folder_file(&s.out, "m.gguf"),
                 rows[i].options);
        REQUIRE(t, leat_run(&o, s.in.path, arguments));
        if (o.status != 2 || !has(o.err, rows[i].word)) TEST_FAIL(t, "status %d: %s", o.status, o.err);
        CHECK_EQ(t, folder_count(&s.out), 0);
        program_free(&o);
    }
    scene_close(&s);
}

/* A layer that the configuration counts and the folder lacks: known before the first of them is written. */
static void not_whole(test *t) {
    static const char config[] =
        "{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":11,\"hidden_size\":1024,"
        "\"num_attention_heads\":8,\"intermediate_size\":4096}";
    scene s;
    char arguments[500];
    output o;
    REQUIRE(t, scene_open(&s));
    REQUIRE(t, file_put(folder_file(&s.in, "config.json"), config, strlen(config)));
    snprintf(arguments, sizeof arguments, "convert %%s %s", folder_file(&s.out, "m.gguf"));
    REQUIRE(t, leat_run(&o, s.in.path, arguments));
    if (o.status != 1 || !has(o.err, "(model.layers.10.input_layernorm.weight of the folder)"))
        TEST_FAIL(t, "status %d: %s", o.status, o.err);
    CHECK_EQ(t, folder_count(&s.out), 0);
    program_free(&o);
    scene_close(&s);
}

#define TESTS(X) X(wrong_types) X(memory) X(full_disk) X(interrupted) X(no_number) X(not_whole)
TEST_SUITE(TESTS)
